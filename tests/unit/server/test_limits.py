"""Every bound that ``serve`` and ``connect`` take from ``Limits``, by its effect."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from duologue import Limits
from duologue.asyncio.client import ClientConnection, connect
from duologue.asyncio.server import ServerConnection, serve
from duologue.base.limits import DEFAULT_LIMITS
from duologue.connection.settings import Settings
from duologue.exceptions import ConnectionClosedError
from duologue.protocol import Side

OPTIONS = {
    "max_size": ("max_message", 77),
    "max_queue": ("queue_high", 5),
    "write_limit": ("write_high", 99),
    "ping_interval": ("ping_interval", 7.0),
    "ping_timeout": ("ping_timeout", 8.0),
    "close_timeout": ("close_timeout", 9.0),
}


@pytest.mark.parametrize("option", OPTIONS)
def test_limits_are_the_options_defaults(option: str) -> None:
    field, value = OPTIONS[option]
    changed = Limits(**{option: value})  # type: ignore[arg-type]
    assert getattr(Settings.resolve(Side.SERVER, changed), field) == value
    given: Any = {option: None}
    assert getattr(Settings.resolve(Side.SERVER, changed, **given), field) is None
    default = getattr(Settings.resolve(Side.SERVER, Limits()), field)
    assert default == getattr(Limits(), option)


async def echo(ws: ServerConnection) -> None:
    async for message in ws:
        await ws.send(message)


async def both(
    server_limits: Limits, client_limits: Limits = DEFAULT_LIMITS, **options: Any
) -> Any:
    """Echo 300 letters between a server and a client with these limits."""
    async with serve(echo, "127.0.0.1", 0, limits=server_limits, **options) as server:
        host, port = server.sockets[0].getsockname()
        async with connect(f"ws://{host}:{port}", limits=client_limits) as ws:
            await ws.send("x" * 300)
            return await ws.recv()


async def test_max_size() -> None:
    assert await both(Limits(max_size=300)) == "x" * 300
    with pytest.raises(ConnectionClosedError) as raised:
        await both(Limits(max_size=299))
    assert raised.value.rcvd is not None
    assert raised.value.rcvd.code == 1009
    assert await both(Limits(max_size=299), max_size=300) == "x" * 300


async def test_max_size_of_the_client() -> None:
    with pytest.raises(ConnectionClosedError) as raised:
        await both(Limits(), Limits(max_size=299))
    assert raised.value.sent is not None
    assert raised.value.sent.code == 1009


async def test_open_timeout_of_the_client() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        with pytest.raises(TimeoutError, match=r"open_timeout of 0\.05 s"):
            await connect(f"ws://{host}:{port}", limits=Limits(open_timeout=0.05))


async def test_open_timeout_of_the_server() -> None:
    async with serve(echo, "127.0.0.1", 0, limits=Limits(open_timeout=0.05)) as server:
        host, port = server.sockets[0].getsockname()
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(b"GET / HTTP/1.1\r\n")
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"0.05 seconds" in answer
        writer.close()


async def test_keep_alive_timeout() -> None:
    def hello(connection: ServerConnection, request: object) -> Any:
        response = connection.respond(200, "hello\n")
        del response.headers["Connection"]
        return response

    limits = Limits(keep_alive_timeout=0.05, open_timeout=None)
    async with serve(echo, "127.0.0.1", 0, process_request=hello, limits=limits) as server:
        host, port = server.sockets[0].getsockname()
        reader, writer = await asyncio.open_connection(host, port)
        for _ in range(2):
            writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 ")
            assert b"close" not in head
            assert await reader.readexactly(6) == b"hello\n"
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()


async def test_compress_threshold() -> None:
    sizes = []

    async def measure(ws: ServerConnection) -> None:
        await ws.send("x" * 300)
        sizes.append(ws.extensions[0].threshold)  # type: ignore[attr-defined]

    for threshold in (200, 400):
        limits = Limits(compress_threshold=threshold)
        async with serve(measure, "127.0.0.1", 0, limits=limits) as server:
            host, port = server.sockets[0].getsockname()
            ws: ClientConnection
            async with connect(f"ws://{host}:{port}", limits=replace(limits)) as ws:
                await ws.recv()
                assert ws.extensions[0].threshold == threshold  # type: ignore[attr-defined]
    assert sizes == [200, 400]
