"""A link costs no task before it is a WebSocket connection, and with an endpoint none after."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from duologue import Endpoint, ServerConnection, serve

HEAD = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
REST = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"


async def handler(ws: ServerConnection) -> None:
    await ws.wait_closed()


@pytest.mark.parametrize("engine", ["auto", "asyncio"])
@pytest.mark.parametrize(("handle", "tasks"), [(handler, 1), (Endpoint(), 0)])
async def test_no_task_until_upgraded(handle: Any, tasks: int, engine: Any) -> None:
    loop = asyncio.get_running_loop()
    alone = {asyncio.current_task()}
    made: list[Any] = []

    def factory(loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> Any:
        made.append(coro)
        return asyncio.Task(coro, loop=loop, **options)

    async with serve(handle, "127.0.0.1", 0, engine=engine) as server:
        with socket.socket() as plain, socket.socket() as sock:
            for each in (plain, sock):
                each.setblocking(False)
                await loop.sock_connect(each, server.sockets[0].getsockname())
            loop.set_task_factory(factory)
            # A plain request is answered without one too.
            await loop.sock_sendall(plain, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await loop.sock_recv(plain, 4096)).startswith(b"HTTP/1.1 426")
            await loop.sock_sendall(sock, HEAD)
            for _ in range(20):
                await asyncio.sleep(0.001)
            assert made == []
            assert asyncio.all_tasks() == alone
            await loop.sock_sendall(sock, REST)
            assert (await loop.sock_recv(sock, 4096)).startswith(b"HTTP/1.1 101")
            assert len(made) == tasks
            loop.set_task_factory(None)
