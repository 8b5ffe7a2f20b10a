"""Handlers under a task factory that takes the first step at once (CPython 3.12 and later)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from duologue.asyncio.client import connect
from duologue.asyncio.server import serve
from duologue.connection.connection import Handling

eager = getattr(asyncio, "eager_task_factory", None)


@pytest.mark.skipif(eager is None, reason="CPython 3.12 brought eager tasks")
async def test_a_handler_that_speaks_first() -> None:
    async def greet(ws: Any) -> None:
        await ws.send("hello")
        await ws.send(await ws.recv())

    asyncio.get_running_loop().set_task_factory(eager)
    async with serve(greet, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        async with connect(f"ws://{host}:{port}") as ws:
            assert await ws.recv() == "hello"
            await ws.send("you")
            assert await ws.recv() == "you"


async def test_the_connection_is_open_when_its_task_is_made() -> None:
    """What an eager task relies on, on every version."""
    states = []
    loop = asyncio.get_running_loop()

    def factory(loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> asyncio.Task[Any]:
        if isinstance(coro, Handling):
            states.extend(each.state.name for each in server.all_connections)
        return asyncio.Task(coro, loop=loop, **options)

    async def idle(ws: Any) -> None:
        await ws.wait_closed()

    loop.set_task_factory(factory)
    async with serve(idle, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        async with connect(f"ws://{host}:{port}"):
            pass
    assert states == ["OPEN"]
