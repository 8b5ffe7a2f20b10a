"""Who takes part in a run of ``chaos.crew``, and what all its parts need."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Protocol

from . import storms
from .clients import FAILURES, PATIENCE, TOPICS, Listener, Publisher, Stalled, ask, connect
from .judge import Judge
from .processes import Crew
from .storm import TOPIC as STORM_TOPIC
from .streams import Stream
from .verdict import Verdict

LISTENERS = 60
STALLED = 6
STREAMS = 60
PUBLISHERS = 4


class Client(Protocol):
    """One that goes on until it is cancelled."""

    async def run(self) -> None:
        """Do what it does."""


class Scene:
    """Processes and clients.

    Args:
        crew: the processes.
        chosen: the options.
        verdict: hears what is wrong.
        notes: where the workers note what they sent.

    Attributes:
        wrong: what is wrong so far.
        judge: of topics.
    """

    def __init__(
        self, crew: Crew, chosen: argparse.Namespace, verdict: Verdict, notes: Path
    ) -> None:
        self.crew = crew
        self.chosen = chosen
        self.wrong = verdict.wrong
        self.notes = notes
        self.judge = Judge(self.wrong)
        self.fates: Counter[str] = Counter()
        self.seconds: list[float] = []
        self.listeners = [
            Listener(crew.url, self.chance(f"listener {n}"), f"listener {n}", self.judge)
            for n in range(LISTENERS)
        ]
        self.publishers = [
            Publisher(crew.url, TOPICS[n::PUBLISHERS], self.judge) for n in range(PUBLISHERS)
        ]
        self.streams = [
            Stream(crew.url, f"stream {n}", self.chance(f"stream {n}")) for n in range(STREAMS)
        ]
        self.stalled = [
            Stalled(crew.port, self.chance(f"stalled {n}"), f"stalled {n}") for n in range(STALLED)
        ]
        uncertain = self.judge.uncertain
        verdict.figure("messages, each checked", lambda: f"{self.judge.messages:,}")
        verdict.figure("uncertain ones", lambda: f"{sum(map(len, uncertain.values())):,}")
        verdict.figure("connections", lambda: f"{self.judge.connections:,}")
        verdict.figure("of those who never read", lambda: sum(each.visits for each in self.stalled))
        verdict.figure("clients of storms", lambda: dict(self.fates))
        verdict.figure("a storm's seconds to come", lambda: self.seconds)

    def chance(self, name: str) -> random.Random:
        """Return where somebody's chance comes from: the same for the same seed."""
        return random.Random(f"{self.chosen.seed}/{name}")

    @contextlib.asynccontextmanager
    async def publishing(self) -> AsyncIterator[None]:
        """Have messages published as long as the block takes, and the last ones' fate known."""
        stop = asyncio.Event()
        tasks = [asyncio.create_task(each.run(stop)) for each in self.publishers]
        try:
            yield
            stop.set()
            await asyncio.wait(tasks)
        finally:
            await cancel(tasks)

    def all_listen(self) -> bool:
        """Whether all listeners are subscribed."""
        return all(each.listening for each in self.listeners)

    async def until(self, condition: Callable[[], bool], complaint: str) -> None:
        """Wait for something, and complain if it does not happen."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > deadline:
                self.wrong.append(complaint)
                return
            await asyncio.sleep(0.1)

    async def until_present(self, expected: dict[str, list[str]]) -> None:
        """Wait until presence of topics names exactly these, and complain if it does not."""
        deadline = time.monotonic() + PATIENCE
        wanted = {topic: Counter(names) for topic, names in expected.items()}
        found: dict[str, Counter[str]] = {}
        while found != wanted and time.monotonic() < deadline:
            with contextlib.suppress(*FAILURES):
                async with connect(self.crew.url) as ws:
                    for topic in wanted:
                        await ws.send(json.dumps({"presence": topic}))
                        found[topic] = Counter(json.loads(await ws.recv())["present"])
            await asyncio.sleep(0.5)
        for topic, names in wanted.items():
            present = found.get(topic, Counter())
            if present != names:
                self.wrong.append(
                    f"presence of {topic} lacks {dict(names - present)}, "
                    f"has {dict(present - names)} too many"
                )

    async def storm(self, kill: Callable[[], None] | None = None) -> None:
        """Have a storm, and look whether it goes."""
        # What else was done must be over: then only limits and backlogs are reasons to refuse.
        await self.crew.settled()
        seed = f"{self.chosen.seed}/{len(self.seconds)}"
        count = self.chosen.storm
        got, wrong = await storms.storm(self.crew.port, count, seed, self._publish, kill)
        self.wrong += wrong
        self.fates += Counter(got["fates"])
        self.fates["lost, and back"] += sum(got["lost"].values())
        self.fates["full backlogs"] += got["dropped"]
        self.seconds.append(got["seconds"])
        await self.until_present({STORM_TOPIC: []})

    async def _publish(self, topic: str) -> None:
        """Publish for sure; a worker may first have to find out that it has lost the bus."""
        async with asyncio.timeout(PATIENCE):
            while not (await ask(self.crew.url, publish=topic, number=1))["certain"]:
                await asyncio.sleep(0.5)


async def cancel(tasks: list[asyncio.Task[None]]) -> None:
    """Cancel tasks, and wait for them."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def running(clients: Iterable[Client]) -> AsyncIterator[None]:
    """Have clients go on as long as the block takes."""
    tasks = [asyncio.create_task(each.run()) for each in clients]
    try:
        yield
    finally:
        await cancel(tasks)
