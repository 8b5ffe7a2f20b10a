"""Ports that protocols share, told apart by what comes first."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from duologue.net.listening import listen
from duologue.net.preamble import SharedPort

QUESTION = b"<policy-file-request/>\0"


class Owner:
    """Who is given links; answers with its name and what has come."""

    def __init__(self, name: bytes) -> None:
        self.name = name

    def __call__(self, link: Any) -> None:
        self.link = link
        link.attach(self)

    def data_received(self, data: bytes) -> None:
        self.link.write_octets(self.name + data)

    def eof_received(self) -> None:
        self.link.close_link()

    def writable(self, yes: bool) -> None: ...

    def connection_lost(self, exc: Exception | None) -> None: ...


def choose(octets: bytes) -> Owner | None:
    if octets == QUESTION:
        return Owner(b"policy:")
    return None if QUESTION.startswith(octets) else Owner(b"http:")


@contextlib.asynccontextmanager
async def shared(timeout: float | None = None) -> AsyncIterator[tuple[SharedPort, Any]]:
    loop = asyncio.get_running_loop()
    port = SharedPort(loop, choose, timeout)
    server = await listen(loop, port.accept, "127.0.0.1", 0)
    try:
        async with asyncio.timeout(20):
            yield port, server.sockets[0].getsockname()[:2]
    finally:
        server.close()
        port.close()


async def test_whom_the_first_octets_concern() -> None:
    async with shared() as (port, address):
        for octets, answer in ((QUESTION, b"policy:" + QUESTION), (b"<p>", b"http:<p>")):
            reader, writer = await asyncio.open_connection(*address)
            for octet in octets:
                writer.write(bytes([octet]))
                await writer.drain()
                await asyncio.sleep(0)
            assert await reader.readexactly(len(answer)) == answer
            assert not port.waiting
            writer.close()
            await writer.wait_closed()


async def test_who_says_nothing_is_closed() -> None:
    async with shared(0.05) as (port, address):
        reader, writer = await asyncio.open_connection(*address)
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        assert not port.waiting
        writer.close()
        with contextlib.suppress(ConnectionResetError):
            await writer.wait_closed()


async def test_who_leaves_is_forgotten() -> None:
    async with shared() as (port, address):
        reader, writer = await asyncio.open_connection(*address)
        writer.write(QUESTION[:3])
        writer.write_eof()
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()
        with contextlib.suppress(ConnectionResetError):
            await writer.wait_closed()
        assert not port.waiting


async def test_closing_breaks_off_what_waits() -> None:
    async with shared() as (port, address):
        reader, writer = await asyncio.open_connection(*address)
        while not port.waiting:
            await asyncio.sleep(0)
        port.close()
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()
        with contextlib.suppress(ConnectionResetError):
            await writer.wait_closed()
