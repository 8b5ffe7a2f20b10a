"""open_timeout and close_timeout."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from .ends import (
    CLOSE,
    accepting,
    echo,
    raw_client,
    raw_server,
    stays_pending,
    upgrade_request,
    upgrade_response,
    url,
    wire,
)
from .library import Library


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(-1)


async def test_client_open_timeout(lib: Library) -> None:
    async with raw_server(silent) as address:
        with pytest.raises(TimeoutError) as raised:
            await lib.connect(address, open_timeout=0.05)
    assert str(raised.value).startswith("timed out during opening handshake")


async def test_client_without_open_timeout(lib: Library) -> None:
    async with raw_server(silent) as address:
        opening = asyncio.create_task(lib.connect(address, open_timeout=None).__aenter__())
        assert await stays_pending(opening, 0.05)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening


@pytest.mark.parametrize("sent", [b"", upgrade_request()[:40]])
async def test_server_open_timeout(lib: Library, sent: bytes) -> None:
    async with lib.serve(echo, "127.0.0.1", 0, open_timeout=0.05) as server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
        writer.write(sent)
        async with asyncio.timeout(5):
            await reader.read(-1)
        writer.close()


async def test_server_open_timeout_counts_process_request(lib: Library) -> None:
    cancelled = asyncio.Event()

    async def process_request(connection: Any, request: Any) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.set()

    async with lib.serve(
        echo, "127.0.0.1", 0, open_timeout=0.05, process_request=process_request
    ) as server:
        with pytest.raises(lib.InvalidMessage):
            await lib.connect(url(server))
        await asyncio.wait_for(cancelled.wait(), 5)


async def test_open_timeout_ends_with_the_handshake(lib: Library) -> None:
    async with lib.serve(echo, "127.0.0.1", 0, open_timeout=0.05) as server:
        async with lib.connect(url(server), open_timeout=0.05) as client:
            await asyncio.sleep(0.1)
            await client.send("still here")
            assert await client.recv() == "still here"


async def test_close_timeout(lib: Library, role: str) -> None:
    loop = asyncio.get_running_loop()
    async with wire(lib, role, close_timeout=0.05) as (connection, peer):
        start = loop.time()
        await connection.close()
        assert 0.04 <= loop.time() - start < 2
        assert connection.state is lib.State.CLOSED
        assert connection.close_code == 1006
        with pytest.raises(lib.ConnectionClosedError) as raised:
            await connection.recv()
        assert raised.value.sent.code == 1000
        assert raised.value.rcvd is None
        assert isinstance(raised.value.__cause__, TimeoutError)
        await peer.at_eof()


async def test_without_close_timeout(lib: Library, role: str) -> None:
    async with wire(lib, role, close_timeout=None) as (connection, peer):
        closing = asyncio.create_task(connection.close())
        assert await stays_pending(closing, 0.05)
        await peer.answer_close()
        await closing
        assert connection.close_code == 1000


async def test_client_close_timeout_when_the_server_keeps_tcp_open(lib: Library) -> None:
    async with wire(lib, "client", close_timeout=0.05) as (connection, peer):
        closing = asyncio.create_task(connection.close(1001))
        await peer.receive_close()
        await peer.send(CLOSE, b"\x03\xe9")
        await closing
        assert connection.close_code == 1001


async def test_exit_of_connect_is_bounded_by_close_timeout(lib: Library) -> None:
    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(upgrade_response(await reader.readuntil(b"\r\n\r\n")))
        await reader.read(-1)

    async with raw_server(conversation) as address, asyncio.timeout(5):
        async with lib.connect(address, close_timeout=0.05):
            pass


async def test_server_exit_is_bounded_by_close_timeout(lib: Library) -> None:
    async with asyncio.timeout(5):
        async with accepting(lib, close_timeout=0.05) as (server, accepted):
            async with raw_client(server):
                await accepted.get()
                server.close()
                await server.wait_closed()


async def test_client_that_keeps_tcp_open_is_cut(lib: Library) -> None:
    async with wire(lib, "server", close_timeout=0.05) as (connection, peer):
        await peer.send(CLOSE, b"\x03\xe8")
        await peer.receive_close()
        await connection.close()
        assert connection.state is lib.State.CLOSED
        assert connection.close_code == 1000
