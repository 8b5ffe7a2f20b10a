"""An application on a port of its own, and a client's first octets."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from duologue.app.application import App
from duologue.asyncio.client import ClientConnection, connect
from duologue.exceptions import ConnectionClosed

PATIENCE = 30


@contextlib.asynccontextmanager
async def serving(app: App) -> AsyncIterator[str]:
    """Serve an application; yields its address without scheme."""
    async with app.serving("127.0.0.1", 0) as server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


def handshake_request(address: str, path: str = "/", *lines: str) -> bytes:
    """A request for a WebSocket, with more header lines."""
    head = [
        f"GET {path} HTTP/1.1",
        f"Host: {address}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
        *lines,
    ]
    return "\r\n".join([*head, "", ""]).encode()


async def handshake(address: str, path: str = "/", *lines: str) -> tuple[int, str]:
    """Ask for a WebSocket; returns the status and all that comes until the connection's end."""
    host, port = address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        async with asyncio.timeout(PATIENCE):
            writer.write(handshake_request(address, path, *lines))
            answer = await reader.readuntil(b"\r\n\r\n")
            if b"Connection: close" in answer:
                answer += await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()
    return int(answer.split(b" ")[1]), answer.decode()


async def ending_of(ws: ClientConnection) -> tuple[int | None, str | None]:
    """Wait for the connection's end; returns code and reason."""
    async with asyncio.timeout(PATIENCE):
        with contextlib.suppress(ConnectionClosed):
            while True:
                await ws.recv()
    return ws.close_code, ws.close_reason


def reach(address: str, path: str = "/", **options: Any) -> connect:
    """Connect to an application."""
    return connect(f"ws://{address}{path}", **options)
