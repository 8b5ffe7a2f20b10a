"""What a closing server does with connections that have not become WebSockets."""

from __future__ import annotations

import asyncio
from typing import Any

from duologue.asyncio.server import serve
from duologue.datastructures import Headers
from duologue.http11 import Response

REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


async def handler(connection: Any) -> None:
    raise AssertionError("no connection was opened")


def hello(connection: Any, request: Any) -> Any:
    return Response(200, "OK", Headers({"Content-Length": "6"}), b"hello\n")


async def test_half_a_request_is_answered_with_503_at_once() -> None:
    async with serve(handler, "127.0.0.1", 0, process_request=hello, open_timeout=50) as server:
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        # When the first request has its answer, the half one has arrived as well.
        writer.write(REQUEST + REQUEST[:20])
        await reader.readuntil(b"hello\n")
        server.close()
        async with asyncio.timeout(5):
            rest = await reader.read()
            await server.wait_closed()
        writer.close()
    assert rest.startswith(b"HTTP/1.1 503 ")
    assert b"Connection: close" in rest


async def test_an_idle_connection_is_just_closed() -> None:
    async with serve(handler, "127.0.0.1", 0, process_request=hello, open_timeout=50) as server:
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(REQUEST)
        await reader.readuntil(b"hello\n")
        server.close()
        async with asyncio.timeout(5):
            assert await reader.read() == b""
            await server.wait_closed()
        writer.close()
