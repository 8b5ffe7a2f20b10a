"""Several workers under attack: ``python -m chaos.crew``, part of ``make chaos``.

Supervised workers serve topics. One publisher for each topic numbers its messages; listeners on
random workers check that no number comes twice or in the wrong order, and that none is missing
between two that came over one connection. Meanwhile workers are killed (SIGKILL), stopped for a
while (SIGSTOP) and renewed (SIGHUP), clients stall, vanish and come back in storms. In the end
everything is left alone: what is published then must reach everybody, presence must name exactly
those who are there, and memory must be back where it was.

What a publisher lost sight of, because its connection or its worker's broke, is *uncertain*: such a
number may be missing, or come late. A connection that was ended may have missed messages, so
numbers may jump from one connection to the next; workers that lost the bus end theirs for that.

Environment:
    SOAK_SECONDS    how long, 600 by default
    SOAK_SEED       where all chance comes from, 1 by default
    SOAK_STORM      clients of one storm, a thousand a second, 10000 by default
    SOAK_PLANT      "lost" or "doubled": spoil one message of a thousand, which must be noticed
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

import duologue

from .soak import resident

SECONDS = float(os.environ.get("SOAK_SECONDS", "600"))
SEED = int(os.environ.get("SOAK_SEED", "1"))
STORM = int(os.environ.get("SOAK_STORM", "10000"))
PLANT = os.environ.get("SOAK_PLANT", "")
WORKERS = 3
TOPICS = 20
LISTENERS = 60
PATIENCE = 60.0
MOST_GROWTH = 96.0
"""MiB by which all workers together may have grown in the end: storms leave free memory behind."""


class Judge:
    """What publishers and listeners have seen, and what is wrong about it."""

    def __init__(self) -> None:
        self.messages = 0
        self.connections = 0
        self.uncertain: dict[str, set[int]] = {}
        self.wrong: list[str] = []

    def check(self, who: str, topic: str, seen: Seen, number: int) -> None:
        """Compare a message with those before it on the same connection."""
        self.messages += 1
        uncertain = self.uncertain.get(topic, set())
        if number in seen.numbers:
            self.wrong.append(f"{who}: {topic} has {number} twice")
        elif number < seen.newest and number not in uncertain:
            self.wrong.append(f"{who}: {topic} has {number} after {seen.newest}")
        elif seen.newest:
            lost = set(range(seen.newest + 1, number)) - uncertain
            if lost:
                self.wrong.append(f"{who}: {topic} lacks {sorted(lost)[:5]}")
        seen.add(number)


class Seen:
    """The numbers of one topic that came over one connection: the latest ones."""

    def __init__(self) -> None:
        self.numbers: set[int] = set()
        self.newest = 0

    def add(self, number: int) -> None:
        """Note one."""
        self.newest = max(self.newest, number)
        self.numbers.add(number)
        if len(self.numbers) > 4000:
            self.numbers = {each for each in self.numbers if each > self.newest - 2000}


class Listener:
    """Follows a few topics, whatever happens to its connections.

    Args:
        url: of the workers.
        chance: where its chance comes from.
        name: for complaints, and for presence.
        judge: notes what comes.
    """

    def __init__(self, url: str, chance: random.Random, name: str, judge: Judge) -> None:
        self.url = url
        self.chance = chance
        self.name = name
        self.judge = judge
        self.topics = chance.sample([f"topic/{n}" for n in range(TOPICS)], 3)
        self.newest: dict[str, int] = {}
        self.listening = False
        self.calm = False

    async def run(self) -> None:
        """Listen over one connection after the other."""
        while True:
            with contextlib.suppress(OSError, duologue.WebSocketException, TimeoutError):
                async with duologue.connect(self.url, open_timeout=20, ping_interval=2) as ws:
                    await self._listen(ws)
            self.listening = False
            await asyncio.sleep(self.chance.random())

    async def _listen(self, ws: duologue.ClientConnection) -> None:
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

    async def _misbehave(self, ws: duologue.ClientConnection) -> None:
        if self.calm:
            return
        luck = self.chance.random()
        if luck < 0.0005:
            await asyncio.sleep(self.chance.uniform(1, 5))  # stall
        elif luck < 0.001 and ws.transport is not None:
            ws.transport.abort()  # vanish


class Publisher:
    """Numbers the messages of some topics.

    Args:
        url: of the workers.
        topics: which nobody else publishes to.
        judge: is told what is uncertain.
    """

    def __init__(self, url: str, topics: list[str], judge: Judge) -> None:
        self.url = url
        self.numbers = dict.fromkeys(topics, 0)
        self.judge = judge

    async def run(self, stop: asyncio.Event) -> None:
        """Publish until told to stop."""
        while not stop.is_set():
            with contextlib.suppress(OSError, duologue.WebSocketException, TimeoutError):
                async with duologue.connect(self.url, open_timeout=20, ping_interval=2) as ws:
                    while not stop.is_set():
                        await self.publish(ws)
                        await asyncio.sleep(0.02)
            await asyncio.sleep(0.2)

    async def publish(self, ws: duologue.ClientConnection) -> bool:
        """Publish a message to each topic; tell whether all were published for sure."""
        all_certain = True
        for topic in self.numbers:
            self.numbers[topic] += 1
            number = self.numbers[topic]
            certain = False
            try:
                await ws.send(json.dumps({"publish": topic, "number": number}))
                async with asyncio.timeout(PATIENCE):
                    certain = json.loads(await ws.recv())["certain"]
            finally:
                if not certain:
                    all_certain = False
                    self.judge.uncertain.setdefault(topic, set()).add(number)
        return all_certain


class Chaos:
    """One run.

    Args:
        supervisor: the process that was started.
        url: where its workers serve.
    """

    def __init__(self, supervisor: asyncio.subprocess.Process, url: str) -> None:
        self.supervisor = supervisor
        self.url = url
        self.chance = random.Random(SEED)
        self.judge = Judge()
        self.deeds: dict[str, int] = {}
        self.stormed = 0
        self.listeners = [
            Listener(url, random.Random(f"{SEED}/{n}"), f"listener {n}", self.judge)
            for n in range(LISTENERS)
        ]
        topics = [f"topic/{n}" for n in range(TOPICS)]
        self.publishers = [Publisher(url, topics[n::4], self.judge) for n in range(4)]

    def workers(self) -> list[int]:
        """The processes that serve."""
        return [pid for pid, name in self.children().items() if name.startswith("duo worker")]

    def children(self) -> dict[int, str]:
        """All processes that the supervisor has started, with what they call themselves."""
        path = Path(f"/proc/{self.supervisor.pid}/task/{self.supervisor.pid}/children")
        found = {}
        for pid in path.read_text().split():
            with contextlib.suppress(OSError):
                found[int(pid)] = Path(f"/proc/{pid}/comm").read_text().strip()
        return found

    async def run(self) -> None:
        """Do harm for so long, then look whether all is well again."""
        stop = asyncio.Event()
        listening = [asyncio.create_task(each.run()) for each in self.listeners]
        await self._until(lambda: all(each.listening for each in self.listeners), "nobody listens")
        before = sum(resident(pid) for pid in self.workers())
        publishing = [asyncio.create_task(each.run(stop)) for each in self.publishers]
        end = time.monotonic() + SECONDS
        while time.monotonic() < end and self.supervisor.returncode is None:
            await asyncio.sleep(self.chance.uniform(1, 5))
            await self._do_harm()
            self._tell(end - time.monotonic())
        for listener in self.listeners:
            listener.calm = True
        stop.set()
        await asyncio.wait(publishing)
        await self._settle()
        await self._judge_presence()
        after = sum(resident(pid) for pid in self.workers())
        print(f"memory of the workers    {before:.1f} MiB, at the end {after:.1f} MiB")
        if SECONDS >= 60 and after - before > MOST_GROWTH:
            self.judge.wrong.append(f"the workers have grown by {after - before:.1f} MiB")
        for task in listening:
            task.cancel()
        await asyncio.wait(listening)

    async def _do_harm(self) -> None:
        kinds = {"kill": 3, "kill hub": 1, "stop": 3, "renew": 1, "storm": 1, "nothing": 2}
        kind = self.chance.choices(list(kinds), list(kinds.values()))[0]
        workers = self.workers()
        hubs = [pid for pid, name in self.children().items() if name == "duo hub process"]
        if not workers:
            return
        self.deeds[kind] = self.deeds.get(kind, 0) + 1
        if kind == "kill":
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.chance.choice(workers), signal.SIGKILL)
        elif kind == "kill hub":
            for pid in hubs:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        elif kind == "stop":
            await self._stop_for_a_while(self.chance.choice(workers))
        elif kind == "renew":
            self.supervisor.send_signal(signal.SIGHUP)
        elif kind == "storm":
            await self._storm()

    async def _stop_for_a_while(self, pid: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            await asyncio.sleep(self.chance.uniform(0.5, 14))
            os.kill(pid, signal.SIGCONT)

    async def _storm(self) -> None:
        """Very many come at the same time, over ten seconds at most, and go."""

        async def come() -> None:
            await asyncio.sleep(self.chance.uniform(0, STORM / 1000))
            with contextlib.suppress(OSError, duologue.WebSocketException, TimeoutError):
                async with duologue.connect(self.url, open_timeout=30, ping_interval=None) as ws:
                    await ws.send(json.dumps({"subscribe": ["storm"], "as": "storm"}))
                    async with asyncio.timeout(30):
                        await ws.recv()
                    self.stormed += 1

        await asyncio.gather(*(come() for _ in range(STORM)))

    async def _settle(self) -> None:
        """What is published now must reach everybody."""
        # One of the workers may still be about to be replaced, or to find out that it missed a bus.
        await asyncio.sleep(12)
        await self._until(lambda: all(each.listening for each in self.listeners), "some are lost")
        async with duologue.connect(self.url, open_timeout=20) as ws:
            for publisher in self.publishers:
                if not await publisher.publish(ws):
                    self.judge.wrong.append("in the end not everything could be published")
        numbers = {topic: n for each in self.publishers for topic, n in each.numbers.items()}

        def reached() -> bool:
            return all(
                each.newest.get(topic, 0) >= numbers[topic]
                for each in self.listeners
                for topic in each.topics
            )

        await self._until(reached, "the last messages have not reached everybody")

    async def _judge_presence(self) -> None:
        """Presence must name exactly those who listen."""
        expected = {
            f"topic/{n}": sorted(
                each.name for each in self.listeners if f"topic/{n}" in each.topics
            )
            for n in range(TOPICS)
        }
        deadline = time.monotonic() + PATIENCE
        async with duologue.connect(self.url, open_timeout=20) as ws:
            found: dict[str, Any] = {}
            while found != expected and time.monotonic() < deadline:
                for topic in expected:
                    await ws.send(json.dumps({"presence": topic}))
                    found[topic] = json.loads(await ws.recv())["present"]
                await asyncio.sleep(0.5)
        for topic, names in expected.items():
            if found[topic] != names:
                self.judge.wrong.append(f"{topic} names {found[topic]}, not {names}")

    async def _until(self, condition: Any, complaint: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > deadline:
                self.judge.wrong.append(complaint)
                return
            await asyncio.sleep(0.1)

    def _tell(self, left: float) -> None:
        print(
            f"{left:5.0f} s left  {self.judge.messages:9,} messages  "
            f"{self.judge.connections:6,} connections  {self.deeds}  "
            f"{len(self.judge.wrong)} wrong",
            flush=True,
        )


async def run() -> list[str]:
    """Start the workers, let all loose, and return what is wrong."""
    command = [sys.executable, "-m", "duologue", "serve", "chaos.crew_app:app", "--port", "0"]
    options = ["--workers", str(WORKERS), "--worker-timeout", "10", "--drain-timeout", "5"]
    supervisor = await asyncio.create_subprocess_exec(
        *command, *options, "--log-level", "critical", stdout=asyncio.subprocess.PIPE
    )
    assert supervisor.stdout is not None
    url = (await supervisor.stdout.readline()).decode().strip().replace("http", "ws")
    chaos = Chaos(supervisor, url)
    try:
        await chaos.run()
        supervisor.terminate()
        code = await asyncio.wait_for(supervisor.wait(), 120)
        if code:
            chaos.judge.wrong.append(f"the supervisor ended with {code}")
    finally:
        if supervisor.returncode is None:
            supervisor.kill()
            await supervisor.wait()
    print(f"messages, each checked   {chaos.judge.messages:,}")
    uncertain = sum(len(each) for each in chaos.judge.uncertain.values())
    print(f"uncertain ones           {uncertain:,}")
    print(f"connections              {chaos.judge.connections:,}")
    print(f"clients of storms        {chaos.stormed:,} answered")
    print(f"deeds                    {chaos.deeds}")
    if not chaos.judge.messages:
        chaos.judge.wrong.append("nothing was published")
    return chaos.judge.wrong


def main() -> int:
    """Return 0 if all is well."""
    # That connections end is what this is about.
    logging.getLogger("duologue").setLevel(logging.ERROR)
    wrong = asyncio.run(run())
    for line in wrong[:20]:
        print(f"WRONG  {line}")
    print("wrong" if wrong else "all is well")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
