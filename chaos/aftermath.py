"""What must be well again once nobody does harm any more."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections import Counter
from pathlib import Path

from . import streams
from .clients import FAILURES, PATIENCE, TOPICS, Publisher, ask, connect
from .processes import resident
from .scene import Scene
from .verdict import Verdict

KEPT_OF_A_CLIENT = 12.0
"""KiB for each client of a storm that workers may hold in the end, free or not.

One takes 9.3 KiB while it is there. Afterwards nearly all of that is free, but CPython's allocator
gives memory back in pieces of a MiB, and only those of which nothing is in use; something always is
(tables that have grown, caches of the interpreter), so the process keeps what its greatest storm
took, for the next one.
"""
GROWTH = 24.0
"""MiB that all workers may have grown by otherwise."""
SECOND_GROWTH = 12.0
"""MiB that they may grow by in a second storm: it finds the memory of the first. A leak of one
connection's objects would be 90 with 10,000 clients, and of its buffers more."""
MOST_BLOCKS = 5000
"""Blocks of memory in use by which a worker may have grown: one connection has about 80."""


class Aftermath:
    """Looks at everything, one thing after the other.

    Args:
        scene: who is there.
        verdict: tells what was found.
    """

    def __init__(self, scene: Scene, verdict: Verdict) -> None:
        self.scene = scene
        self.codes: dict[str, Counter[int | None]] = {}
        self.memory: dict[str, float] = {}
        self.blocks: list[int] = []
        self._before = 0.0
        verdict.figure("close codes", lambda: {way: dict(n) for way, n in self.codes.items()})
        verdict.figure("MiB of the workers", lambda: self.memory)
        verdict.figure("blocks before, and of each", lambda: self.blocks)

    async def prepare(self) -> None:
        """Note what the workers hold before any harm is done."""
        self._before = self._measure("at first")
        self.blocks.append(max((await self._count_blocks()).values()))

    async def settle(self) -> None:
        """What is published now must reach everybody."""
        scene = self.scene
        await scene.crew.settled()
        # Somebody may still have to find out that he has missed something: a lease takes 10 s.
        await asyncio.sleep(min(12.0, scene.chosen.seconds))
        await scene.until(scene.all_listen, "some are lost")
        for publisher in scene.publishers:
            await self._publish_last(publisher)
        numbers = {topic: n for each in scene.publishers for topic, n in each.numbers.items()}

        def reached() -> bool:
            return all(
                each.newest.get(topic, 0) >= numbers[topic]
                for each in scene.listeners
                for topic in each.topics
            )

        await scene.until(reached, "the last messages have not reached everybody")

    async def _publish_last(self, publisher: Publisher) -> None:
        with contextlib.suppress(*FAILURES):
            async with connect(self.scene.crew.url) as ws:
                if await publisher.publish(ws):
                    return
        self.scene.wrong.append("in the end not everything could be published")

    async def judge_presence(self) -> None:
        """Presence must name exactly those who listen."""
        listeners = self.scene.listeners
        await self.scene.until_present(
            {topic: [each.name for each in listeners if topic in each.topics] for topic in TOPICS}
        )

    # -- memory

    def _measure(self, when: str) -> float:
        memory = round(sum(map(resident, self.scene.crew.workers())), 1)
        self.memory[when] = memory
        return memory

    async def _count_blocks(self) -> dict[int, int]:
        """How many blocks of memory each worker uses."""
        found: dict[int, int] = {}
        async with asyncio.timeout(PATIENCE):
            # Which of them answers is chance.
            while set(found) != set(self.scene.crew.workers()):
                facts = await ask(self.scene.crew.url, facts=True)
                found[facts["pid"]] = facts["blocks"]
        return found

    async def judge_memory(self) -> None:
        """Storms must leave nothing behind."""
        wrong = self.scene.wrong
        await self.scene.storm()
        once = self._measure("after a storm")
        await self.scene.storm()
        twice = self._measure("after another")
        most = self._before + GROWTH + self.scene.chosen.storm * KEPT_OF_A_CLIENT / 1024
        if twice > most:
            wrong.append(f"the workers have {twice:.1f} MiB, not {most:.1f} at most")
        if twice - once > SECOND_GROWTH:
            wrong.append(f"a second storm has taken {twice - once:.1f} MiB more")
        for pid, used in (await self._count_blocks()).items():
            self.blocks.append(used)
            if used > self.blocks[0] + MOST_BLOCKS:
                wrong.append(f"worker {pid} uses {used:,} blocks, at first {self.blocks[0]:,}")

    # -- leaving

    async def leave(self) -> None:
        """Renew the workers, then send all away, under load."""
        scene, crew = self.scene, self.scene.crew
        await scene.until(self._all_follow, "not everybody is sent messages")
        old = set(crew.workers())
        crew.send(signal.SIGHUP)
        await scene.until(lambda: not old & set(crew.children()), "not all workers were renewed")
        await scene.until(self._all_follow, "not everybody has come back")
        self._judge_codes("SIGHUP", 1012, staying=True)
        await scene.until(scene.all_listen, "not everybody listens again")
        children = crew.children()
        crew.send(signal.SIGTERM)
        if code := await crew.ended(PATIENCE):
            scene.wrong.append(f"the supervisor ended with {code}")
        for pid, name in children.items():
            if Path(f"/proc/{pid}").exists():
                scene.wrong.append(f"{name}, process {pid}, is left")
        await scene.until(lambda: not any(each.here for each in scene.streams), "some stay")
        self._judge_codes("SIGTERM", 1001, staying=False)
        for listener in scene.listeners:
            if listener.code != 1001:
                scene.wrong.append(f"{listener.name} was closed with {listener.code}, not 1001")

    def _all_follow(self) -> bool:
        return all(each.here for each in self.scene.streams)

    def _judge_codes(self, way: str, expected: int, *, staying: bool) -> None:
        sent = streams.read_sent(self.scene.notes)
        self.codes[way], wrong = streams.find_wrong(
            self.scene.streams, sent, expected, staying=staying
        )
        self.scene.wrong += wrong
