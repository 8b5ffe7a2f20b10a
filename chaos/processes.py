"""The processes under test: a supervisor, its workers and its hub process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import Self

WORKERS = 3
SERVING = WORKERS + 1
"""Children of the supervisor while nobody leaves."""
PATIENCE = 60.0
ENDING = 20.0
"""Seconds that the supervisor has to end in order when a run is interrupted."""


def resident(process: int) -> float:
    """MiB of memory that a process holds."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


class Crew:
    """A supervisor and its children, in a session of their own; ended with the block.

    Args:
        application: what they serve, as ``duologue serve`` takes it.
        environment: variables in addition to ours.

    Attributes:
        port: where the workers listen.
        returncode: how the supervisor has ended, ``None`` before.
    """

    def __init__(self, application: str, environment: dict[str, str]) -> None:
        self._application = application
        self._environment = os.environ | environment
        self._supervisor: asyncio.subprocess.Process | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """Where clients connect to."""
        return f"ws://127.0.0.1:{self.port}/"

    @property
    def pid(self) -> int:
        """The supervisor's number."""
        assert self._supervisor is not None
        return self._supervisor.pid

    @property
    def returncode(self) -> int | None:
        """How the supervisor has ended."""
        assert self._supervisor is not None
        return self._supervisor.returncode

    async def __aenter__(self) -> Self:
        options = ["--port", "0", "--workers", str(WORKERS), "--log-level", "critical"]
        options += ["--worker-timeout", "10", "--drain-timeout", "5"]
        # Ctrl-C is for us alone: we end them, and look how they end.
        self._supervisor = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "duologue", "serve", self._application, *options,
            stdout=asyncio.subprocess.PIPE, env=self._environment, start_new_session=True,
        )  # fmt: skip
        assert self._supervisor.stdout is not None
        try:
            line = await self._supervisor.stdout.readline()
            self.port = int(line.decode().strip().strip("/").rpartition(":")[2])
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._end()

    async def _end(self) -> None:
        assert self._supervisor is not None
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGCONT)
            self._supervisor.terminate()
            with contextlib.suppress(TimeoutError):
                await self.ended(ENDING)
        # Whoever is left, also of a supervisor that has died.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        await self._supervisor.wait()

    def children(self) -> dict[int, str]:
        """All processes that the supervisor has started, with what they call themselves."""
        found = {}
        with contextlib.suppress(OSError):
            for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split():
                with contextlib.suppress(OSError):
                    found[int(pid)] = Path(f"/proc/{pid}/comm").read_text().strip()
        return found

    def workers(self) -> list[int]:
        """The processes that serve."""
        return self._called("duo worker")

    def hubs(self) -> list[int]:
        """The hub process, if it is there."""
        return self._called("duo hub process")

    def _called(self, name: str) -> list[int]:
        return [pid for pid, called in self.children().items() if called.startswith(name)]

    async def settled(self) -> None:
        """Wait until nobody leaves and nobody is missing, for more than a second in a row.

        Raises:
            TimeoutError: If that takes too long.
        """
        quiet = 0
        async with asyncio.timeout(2 * PATIENCE):
            before: dict[int, str] = {}
            while quiet < 6:
                await asyncio.sleep(0.25)
                now = self.children()
                quiet = quiet + 1 if now == before and len(now) == SERVING else 0
                before = now

    def send(self, number: int) -> None:
        """Send a signal to the supervisor."""
        assert self._supervisor is not None
        self._supervisor.send_signal(number)

    async def ended(self, seconds: float) -> int:
        """Wait until the supervisor has ended; return how."""
        assert self._supervisor is not None
        return await asyncio.wait_for(self._supervisor.wait(), seconds)
