"""The harm that is done, deed after deed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections import Counter

from .scene import Scene
from .verdict import Verdict

DEEDS = {
    "kill": 3, "kill hub": 1, "stop": 3, "renew": 1, "storm": 1, "storm and kill": 1, "nothing": 2,
}  # fmt: skip
"""What may be done, and how often each compared with others."""


class Harm:
    """Does what chance says.

    Args:
        scene: who is there.
        verdict: tells what was done.
    """

    def __init__(self, scene: Scene, verdict: Verdict) -> None:
        self.scene = scene
        self.chance = scene.chance("harm")
        self.deeds: Counter[str] = Counter()
        verdict.figure("deeds", lambda: dict(self.deeds))

    async def do(self, seconds: float) -> None:
        """Do harm for so long."""
        scene = self.scene
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and scene.crew.returncode is None:
            await asyncio.sleep(min(self.chance.uniform(1, 5), left))
            deed = self.chance.choices(list(DEEDS), list(DEEDS.values()))[0]
            self.deeds[deed] += 1
            await self._do(deed)
            print(
                f"{end - time.monotonic():5.0f} s left  {scene.judge.messages:9,} messages  "
                f"{scene.judge.connections:6,} connections  {deed:14}  {len(scene.wrong)} wrong"
            )

    async def _do(self, deed: str) -> None:
        if deed == "kill":
            self._kill_worker()
        elif deed == "kill hub":
            for pid in self.scene.crew.hubs():
                _signal(pid, signal.SIGKILL)
        elif deed == "stop":
            await self._stop_for_a_while()
        elif deed == "renew":
            self.scene.crew.send(signal.SIGHUP)
        elif deed == "storm":
            await self.scene.storm()
        elif deed == "storm and kill":
            await self.scene.storm(self._kill_worker)

    def _kill_worker(self) -> None:
        if workers := self.scene.crew.workers():
            _signal(self.chance.choice(sorted(workers)), signal.SIGKILL)

    async def _stop_for_a_while(self) -> None:
        seconds = self.chance.uniform(0.5, 14)
        if workers := self.scene.crew.workers():
            pid = self.chance.choice(sorted(workers))
            _signal(pid, signal.SIGSTOP)
            try:
                await asyncio.sleep(seconds)
            finally:
                _signal(pid, signal.SIGCONT)


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
