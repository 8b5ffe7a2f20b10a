"""The task of a handler: what it runs, shows, and does at the handler's end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Generator
from typing import Any

import pytest

from duologue.asyncio.client import connect
from duologue.asyncio.server import Server, serve
from duologue.connection.connection import Handling


def address(server: Server) -> str:
    host, port = server.sockets[0].getsockname()[:2]
    return f"ws://{host}:{port}"


class Patient:
    """An awaitable that is no coroutine."""

    def __init__(self, ws: Any) -> None:
        self.ws = ws

    def __await__(self) -> Generator[Any, None, None]:
        return self.speak().__await__()

    async def speak(self) -> None:
        await self.ws.send("before")
        await asyncio.sleep(0)
        await self.ws.send("after")


async def test_a_handler_may_return_any_awaitable() -> None:
    async with serve(Patient, "127.0.0.1", 0) as server, connect(address(server)) as ws:
        assert [message async for message in ws] == ["before", "after"]
        assert ws.close_code == 1000


async def test_a_handler_that_is_no_coroutine_function_fails(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def handler(ws: Any) -> Any:
        return 3

    with caplog.at_level(logging.ERROR):
        async with serve(handler, "127.0.0.1", 0) as server, connect(address(server)) as ws:
            await ws.wait_closed()
            assert ws.close_code == 1011
    (record,) = (each for each in caplog.records if each.msg == "connection handler failed")
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "object int can't be used in 'await' expression"


async def test_a_task_shows_where_its_handler_is() -> None:
    async def patient_handler(ws: Any) -> None:
        await ws.wait_closed()

    async with serve(patient_handler, "127.0.0.1", 0) as server, connect(address(server)):
        (task,) = server.all_connections.values()
        assert task is not None
        await asyncio.sleep(0)
        assert "patient_handler" in repr(task)
        assert [frame.f_code.co_name for frame in task.get_stack()] == ["patient_handler"]


async def test_a_cancelled_handler_closes_its_connection() -> None:
    cancelled = []

    async def handler(ws: Any) -> None:
        try:
            await ws.wait_closed()
        except asyncio.CancelledError:
            cancelled.append(ws)
            raise

    async with serve(handler, "127.0.0.1", 0) as server:
        async with connect(address(server)) as ws:
            await asyncio.sleep(0)
            (task,) = server.all_connections.values()
            assert task is not None
            task.cancel()
            await ws.wait_closed()
            assert ws.close_code == 1011
            assert task.cancelled()
        assert server.all_connections == {}
    assert len(cancelled) == 1


class _Server:
    """As much of a server as a :class:`Handling` asks for."""

    def __init__(self) -> None:
        self.ended: list[BaseException | None] = []

    async def handler(self, connection: Any) -> None:
        await asyncio.sleep(0)

    async def handler_ended(self, connection: Any, exc: BaseException | None) -> None:
        self.ended.append(exc)
        if exc is not None:
            raise exc


def test_driven_by_hand() -> None:
    server: Any = _Server()
    handling = Handling(server, server)
    assert handling.__await__() is handling
    assert next(handling) is None
    with pytest.raises(StopIteration):
        handling.send(None)
    assert server.ended == [None]
    with pytest.raises(RuntimeError, match="already awaited"):
        handling.send(None)


def test_thrown_into_before_and_after_its_first_step() -> None:
    for steps in (0, 1):
        server: Any = _Server()
        handling = Handling(server, server)
        for _ in range(steps):
            handling.send(None)
        with pytest.raises(KeyError):
            handling.throw(KeyError())
        assert [type(exc) for exc in server.ended] == [KeyError]


def test_closed() -> None:
    server: Any = _Server()
    handling = Handling(server, server)
    handling.send(None)
    handling.close()
    handling.close()
    assert [type(exc) for exc in server.ended] == [GeneratorExit]
