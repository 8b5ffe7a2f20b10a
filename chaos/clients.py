"""Those who publish, who listen and who only pretend to, whatever happens to their connections."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
import time
from typing import Any

import duologue

from .hostile import END, REQUEST, frame
from .judge import Judge, Seen

TOPICS = [f"topic/{n}" for n in range(20)]
PATIENCE = 60.0
FAILURES = (OSError, duologue.WebSocketException, TimeoutError)


def connect(url: str, **options: Any) -> Any:
    """Connect as all clients here do."""
    defaults: dict[str, Any] = {"open_timeout": 20, "ping_interval": 2, "proxy": None}
    return duologue.connect(url, **(defaults | options))


async def ask(url: str, **words: Any) -> dict[str, Any]:
    """Ask a worker, one or another, until there is an answer.

    Raises:
        TimeoutError: If nobody answers for a long time.
    """
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with contextlib.suppress(*FAILURES):
            async with connect(url) as ws:
                await ws.send(json.dumps(words))
                answer: dict[str, Any] = json.loads(await asyncio.wait_for(ws.recv(), 20))
                return answer
        await asyncio.sleep(0.5)
    raise TimeoutError(f"nobody answers {words}")


class Listener:
    """Follows a few topics, over one connection after the other.

    Args:
        url: of the workers.
        chance: where its chance comes from.
        name: for complaints, and for presence.
        judge: notes what comes.

    Attributes:
        topics: which it follows.
        newest: by topic, the greatest number that ever came.
        listening: whether it is subscribed now.
        calm: whether it has stopped to stall and to vanish.
        code: how the last connection was closed.
    """

    def __init__(self, url: str, chance: random.Random, name: str, judge: Judge) -> None:
        self.url = url
        self.chance = chance
        self.name = name
        self.judge = judge
        self.topics = chance.sample(TOPICS, 3)
        self.newest: dict[str, int] = {}
        self.listening = False
        self.calm = False
        self.code: int | None = None

    async def run(self) -> None:
        """Listen over one connection after the other."""
        while True:
            with contextlib.suppress(*FAILURES):
                async with connect(self.url) as ws:
                    try:
                        await self._listen(ws)
                    finally:
                        self.code = ws.close_code
            self.listening = False
            await asyncio.sleep(self.chance.random())

    async def _listen(self, ws: Any) -> None:
        self.judge.connections += 1
        seen: dict[str, Seen] = {}
        await ws.send(json.dumps({"subscribe": self.topics, "as": self.name}))
        async for message in ws:
            said = json.loads(message)
            if "topic" not in said:
                self.listening = True
                continue
            topic, number = said["topic"], said["number"]
            self.judge.check(self.name, topic, seen.setdefault(topic, Seen()), number)
            self.newest[topic] = max(number, self.newest.get(topic, 0))
            await self._misbehave(ws)

    async def _misbehave(self, ws: Any) -> None:
        if self.calm:
            return
        luck = self.chance.random()
        if luck < 0.0005:
            await asyncio.sleep(self.chance.uniform(1, 5))  # stall
        elif luck < 0.001 and ws.transport is not None:
            ws.transport.abort()  # vanish


class Stalled:
    """Follows all topics and never reads, until it is sent away or goes: its messages pile up.

    Args:
        port: of the workers.
        chance: where its chance comes from.
        name: for presence.

    Attributes:
        visits: how often it has come.
    """

    def __init__(self, port: int, chance: random.Random, name: str) -> None:
        self._address = ("127.0.0.1", port)
        self._chance = chance
        words = json.dumps({"subscribe": TOPICS, "as": name}).encode()
        self._greeting = REQUEST + END + frame(1, words)
        self.visits = 0

    async def run(self) -> None:
        """Come again and again."""
        loop = asyncio.get_running_loop()
        while True:
            with contextlib.suppress(OSError), socket.socket() as sock:
                sock.setblocking(False)
                # The less the kernels take, the sooner it piles up at the worker.
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                await loop.sock_connect(sock, self._address)
                await loop.sock_sendall(sock, self._greeting)
                self.visits += 1
                await asyncio.sleep(self._chance.uniform(5, 60))
            await asyncio.sleep(1)


class Publisher:
    """Numbers the messages of some topics.

    Args:
        url: of the workers.
        topics: which nobody else publishes to.
        judge: is told what is uncertain.

    Attributes:
        numbers: by topic, the last one.
    """

    def __init__(self, url: str, topics: list[str], judge: Judge) -> None:
        self.url = url
        self.numbers = dict.fromkeys(topics, 0)
        self.judge = judge

    async def run(self, stop: asyncio.Event) -> None:
        """Publish until told to stop."""
        while not stop.is_set():
            with contextlib.suppress(*FAILURES):
                async with connect(self.url) as ws:
                    while not stop.is_set():
                        await self.publish(ws)
                        await asyncio.sleep(0.02)
            await asyncio.sleep(0.2)

    async def publish(self, ws: Any) -> bool:
        """Publish a message to each topic; tell whether all were published for sure."""
        all_certain = True
        for topic in self.numbers:
            self.numbers[topic] += 1
            number = self.numbers[topic]
            certain = False
            # Until there is an answer; a listener must not complain before.
            self.judge.doubt(topic, number)
            try:
                await ws.send(json.dumps({"publish": topic, "number": number}))
                async with asyncio.timeout(PATIENCE):
                    certain = json.loads(await ws.recv())["certain"]
            finally:
                if certain:
                    self.judge.uncertain[topic].discard(number)
                all_certain = all_certain and certain
        return all_certain
