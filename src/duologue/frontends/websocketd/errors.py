"""What programs write on standard error: it goes to the log.

Most write nothing, so a task reads only once there is something.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from duologue.frontends.websocketd import framing
from duologue.frontends.websocketd.log import Log
from duologue.net.pipes import PipeReader

__all__ = ["MAX_LOGGED", "ErrorLog"]

MAX_LOGGED = 4096
"""Octets of a line of standard error that make one line of the log; a longer one makes several."""


class ErrorLog:
    """Logs what a program writes on standard error, until it ends.

    Args:
        stream: The program's standard error.
        log: Of its session.
        also: Is given each line, too.
    """

    def __init__(
        self,
        stream: PipeReader,
        log: Log,
        also: Callable[[bytes], Awaitable[Any]] | None = None,
    ) -> None:
        self._stream = stream
        self._log = log
        self._also = also
        self._task: asyncio.Task[None] | None = None
        stream.alert = self._begin

    def _begin(self) -> None:
        if self._stream.ended:
            self._log("debug", "process", "Process STDERR closed")
        elif self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._read())

    async def drain(self, seconds: float | None = None) -> None:
        """Waits until the stream has ended and all of it is logged, or the time is over.

        Args:
            seconds: The time; ``None`` for any.
        """
        if not self._stream.ended:
            self._stream.alert = None
            self._begin()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=seconds)

    async def _read(self) -> None:
        lines = framing.Lines(None)
        pending = 0
        while octets := await self._stream.read():
            pending = 0 if b"\n" in octets else pending + len(octets)
            found = lines.feed(octets)
            if pending > MAX_LOGGED:
                found.append(lines.rest())
                pending = 0
            for line in found:
                await self._log_line(line)
        rest = lines.rest()
        if rest:
            await self._log_line(rest)
        self._log("debug", "process", "Process STDERR closed")

    async def _log_line(self, line: bytes) -> None:
        for start in range(0, max(len(line), 1), MAX_LOGGED):
            self._log("error", "stderr", framing.to_text(line[start : start + MAX_LOGGED]))
        if self._also is not None:
            await self._also(line)
