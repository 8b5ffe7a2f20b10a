"""The front-end on a loopback port, in the test's own process and event loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from duologue import connect
from duologue.frontends.websocketd.log import Log
from duologue.frontends.websocketd.options import read
from duologue.frontends.websocketd.serving import open_servers
from duologue.frontends.websocketd.site import Site

PATIENCE = 20.0
"""Seconds after which a test fails instead of waiting."""


@dataclass
class Running:
    """What listens, and its log."""

    site: Site
    port: int
    lines: list[str]

    def connect(self, target: str = "/", **options: Any) -> connect:
        options.setdefault("compression", None)
        return connect(f"ws://127.0.0.1:{self.port}{target}", proxy=None, **options)

    async def get(
        self,
        target: str,
        *headers: str,
        method: str = "GET",
        host: str | None = None,
        body: bytes = b"",
    ) -> tuple[int, dict[str, str], bytes]:
        """Send a plain request; give status, header fields in lower case and body."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        name = host or f"127.0.0.1:{self.port}"
        lines = [f"{method} {target} HTTP/1.1", f"Host: {name}", "Connection: close", *headers]
        writer.write("".join(f"{line}\r\n" for line in lines).encode() + b"\r\n" + body)
        async with asyncio.timeout(PATIENCE):
            head, _, content = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        await writer.wait_closed()
        first, *rest = head.decode().split("\r\n")
        fields = dict(line.lower().split(": ", 1) for line in rest)
        return int(first.split()[1]), fields, content

    async def post(
        self, target: str, body: bytes, *headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Send a request with a body."""
        length = f"Content-Length: {len(body)}"
        return await self.get(target, length, *headers, method="POST", body=body)

    async def logged(self, *texts: str) -> str:
        """Wait for a line of the log with all these texts."""
        async with asyncio.timeout(PATIENCE):
            while True:
                for line in self.lines:
                    if all(text in line for text in texts):
                        return line
                await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def running(*words: str) -> AsyncIterator[Running]:
    """Serve what a command line says, on a port of the system's choice."""
    config = replace(read(words), port=0)
    lines: list[str] = []
    site = Site(config, Log(config.log_level, lines.append))
    try:
        async with contextlib.AsyncExitStack() as stack:
            servers = await open_servers(config, site, stack)
            name = servers[0].sockets[0].getsockname()
            yield Running(site, name[1] if isinstance(name, tuple) else 0, lines)
    finally:
        await site.close()
    assert site.running == 0


@pytest.fixture(name="running")
def _running() -> Callable[..., contextlib.AbstractAsyncContextManager[Running]]:
    return running


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be reaped by somebody doesn't."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in ("Z", "X")
    except (FileNotFoundError, ProcessLookupError):
        return False


async def gone(pid: int) -> None:
    """Wait until a process has ended."""
    async with asyncio.timeout(PATIENCE):
        while is_alive(pid):
            await asyncio.sleep(0.01)


@pytest.fixture(name="gone")
def _gone() -> Callable[[int], Any]:
    return gone
