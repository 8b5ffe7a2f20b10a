"""The application of ``test_topic_order.py``: its clients say in words what it is to do.

``subscribe TOPIC,TOPIC,...``; ``publish MESSAGE`` (see ``ledger``); ``work NAME COUNT TOPICS``: the
worker publishes so many messages in each of so many topics by itself.

``PLANT`` in the environment spoils one message on purpose, in the worker that first delivers it:
``KIND=TOPIC KIND=TOPIC ...`` with the kinds lost, doubled, reordered and changed. ``CLAIMS`` is the
folder in which workers agree on who does it.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable
from pathlib import Path

from ledger import END, topic_of, write

import duologue
from duologue.connection.prepared import Prepared
from duologue.hub.message import Message

app = duologue.App()
tasks: set[asyncio.Task[None]] = set()


async def work(name: str, count: int, topics: int) -> None:
    """Publish; in each round in another order."""
    for number in range(count):
        for at, topic in enumerate(random.sample(range(topics), topics)):
            app.publish(f"t{topic}", write(f"t{topic}", name, number))
            if at % 16 == 0:
                await asyncio.sleep(0)
    await app.publish(END, write(END, name, 0))


@app.websocket("/")
async def obey(ws: duologue.ServerConnection) -> None:
    """Do what is said."""
    ws.subscribe(END)
    await ws.send(f".{os.getpid()}")
    async for message in ws:
        assert isinstance(message, str)
        order, _, rest = message.partition(" ")
        if order == "publish":
            app.publish(topic_of(rest), rest)
        elif order == "subscribe":
            for topic in rest.split(","):
                ws.subscribe(topic)
            await ws.send(".subscribed")
        else:
            name, count, topics = rest.split()
            task = asyncio.create_task(work(name, int(count), int(topics)))
            tasks.add(task)
            task.add_done_callback(tasks.discard)


class Spoiler:
    """Delivers messages to this process's subscribers, all but one rightly.

    Args:
        deliver: does it rightly.
        plants: kinds of faults by topic.
    """

    def __init__(self, deliver: Callable[[Message], None], plants: dict[str, str]) -> None:
        self.deliver = deliver
        self.plants = plants
        self.kept: dict[str, Message] = {}

    def __call__(self, message: Message) -> None:
        topic = message.topic
        if topic in self.kept and self._publisher(message) == self._publisher(self.kept[topic]):
            self.deliver(message)
            message = self.kept.pop(topic)
        elif topic in self.plants and b"|1|" in message.prepared.payload and self._claim(topic):
            kind = self.plants[topic]
            if kind == "lost":
                return
            if kind == "reordered":
                self.kept[topic] = message
                return
            if kind == "doubled":
                self.deliver(message)
            else:
                spoiled = message.prepared.payload.replace(b"|1|x", b"|1|y")
                message = Message(topic, Prepared(message.prepared.opcode, spoiled))
        self.deliver(message)

    def _publisher(self, message: Message) -> bytes:
        return message.prepared.payload.split(b"|")[1]

    def _claim(self, topic: str) -> bool:
        try:
            Path(os.environ["CLAIMS"], topic).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True


if "PLANT" in os.environ:
    kinds = (plant.split("=") for plant in os.environ["PLANT"].split())
    spoiler = Spoiler(app.topics.deliver, {topic: kind for kind, topic in kinds})
    setattr(app.topics, "deliver", spoiler)  # noqa: B010 - a method, to mypy
