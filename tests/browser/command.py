"""Runs the ``duologue`` command as a user would, and ends it as a user would."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

from .chromium import PATIENCE


class Running:
    """A ``duologue`` command that has announced its URL.

    Attributes:
        url: What it printed first.
        port: The port in it.
    """

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self._process = process
        self.url = url
        port = urlsplit(url).port
        assert port is not None
        self.port = port

    async def line(self) -> str:
        """Wait for the next line of its output."""
        assert self._process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            return (await self._process.stdout.readline()).decode().rstrip("\r\n")

    async def interrupt(self) -> int:
        """Press Ctrl-C; return the exit code."""
        self._process.send_signal(signal.SIGINT)
        async with asyncio.timeout(PATIENCE):
            return await self._process.wait()


@contextlib.asynccontextmanager
async def running(*arguments: str) -> AsyncIterator[Running]:
    """Run ``duologue`` with these arguments on a port of the system's choice."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "duologue",
        *arguments,
        "--port",
        "0",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            url = (await process.stdout.readline()).decode().strip()
        yield Running(process, url)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
