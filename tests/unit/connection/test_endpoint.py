"""Endpoints: an application as callbacks, each at its moment, without a task."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

import duologue
from duologue.asyncio.client import connect
from duologue.asyncio.server import Server, serve
from duologue.connection.ending import Cause
from duologue.exceptions import ConnectionClosedError


class Recorder(duologue.Endpoint):
    """Keeps what it is told, and echoes."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.closed = asyncio.Event()

    def on_open(self, ws: Any) -> None:
        self.told.append("open")

    def on_message(self, ws: Any, message: Any) -> None:
        self.told.append(message)
        ws.send(message)

    def on_ping(self, ws: Any, payload: bytes) -> None:
        self.told.append(("ping", payload))

    def on_pong(self, ws: Any, payload: bytes) -> None:
        self.told.append(("pong", payload))

    def on_close(self, ws: Any, code: int, reason: str) -> None:
        self.told.append(("close", code, reason, ws.ending.cause))
        self.closed.set()


def address(server: Server) -> str:
    host, port = server.sockets[0].getsockname()[:2]
    return f"ws://{host}:{port}/"


@pytest.mark.parametrize("engine", ["auto", "asyncio"])
async def test_the_life_of_a_connection(engine: Any) -> None:
    endpoint = Recorder()
    async with serve(endpoint, "127.0.0.1", 0, engine=engine) as server:
        async with connect(address(server)) as ws:
            await ws.send("text")
            await ws.send(b"binary")
            await ws.send(["a", "é", "b"])
            await ws.send([b"c", b""])
            assert [await ws.recv() for _ in range(4)] == ["text", b"binary", "aéb", b"c"]
            await (await ws.ping(b"?"))
            await ws.pong(b"!")
            await ws.close(3000, "bye")
        await endpoint.closed.wait()
        assert server.connections == set()
        assert server.all_connections == set()
    assert endpoint.told == [
        "open",
        "text",
        b"binary",
        "aéb",
        b"c",
        ("ping", b"?"),
        ("pong", b"!"),
        ("close", 3000, "bye", Cause.PEER_CLOSED),
    ]


async def test_no_task_for_a_connection() -> None:
    async with serve(Recorder(), "127.0.0.1", 0) as server:
        before = len(asyncio.all_tasks())
        clients = [await connect(address(server)) for _ in range(5)]
        assert len(asyncio.all_tasks()) == before
        assert len(server.connections) == 5
        assert not server.handler_tasks
        for client in clients:
            await client.close()


async def test_sends_of_one_callback_go_out_together() -> None:
    class Burst(duologue.Endpoint):
        def on_message(self, ws: Any, message: Any) -> None:
            for number in range(3):
                ws.send(str(number))

    async with serve(Burst(), "127.0.0.1", 0) as server, connect(address(server)) as ws:
        await ws.send("go")
        assert [await ws.recv() for _ in range(3)] == ["0", "1", "2"]


@pytest.mark.parametrize("moment", ["on_open", "on_message", "on_ping", "on_pong"])
async def test_an_exception_closes_with_1011_and_is_logged(
    moment: str, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(self: Any, ws: Any, *arguments: Any) -> None:
        raise LookupError("oops")

    endings = []

    def on_close(self: Any, ws: Any, code: int, reason: str) -> None:
        endings.append((code, ws.ending.cause))

    kind = type("Failing", (duologue.Endpoint,), {moment: fail, "on_close": on_close})
    with caplog.at_level(logging.ERROR, "duologue.server"):
        async with serve(kind(), "127.0.0.1", 0) as server:
            async with connect(address(server)) as ws:
                with pytest.raises(ConnectionClosedError) as raised:
                    if moment == "on_message":
                        await ws.send("x")
                    elif moment == "on_ping":
                        await ws.ping()
                    elif moment == "on_pong":
                        await ws.pong()
                    await ws.recv()
    assert raised.value.rcvd is not None
    assert raised.value.rcvd.code == 1011
    assert [record.message for record in caplog.records] == ["endpoint failed"]
    assert endings == [(1011, Cause.HANDLER_RAISED)]


async def test_an_exception_in_on_close_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    class Failing(duologue.Endpoint):
        def on_close(self, ws: Any, code: int, reason: str) -> None:
            raise LookupError("oops")

    with caplog.at_level(logging.ERROR, "duologue.server"):
        async with serve(Failing(), "127.0.0.1", 0) as server:
            async with connect(address(server)):
                pass
        assert server.all_connections == set()
    assert [record.message for record in caplog.records] == ["endpoint failed"]


async def test_on_drain() -> None:
    drained = asyncio.Event()

    class Flood(duologue.Endpoint):
        def on_open(self, ws: Any) -> None:
            ws.send(b"x" * 8_000_000)

        def on_drain(self, ws: Any) -> None:
            drained.set()

    async with serve(Flood(), "127.0.0.1", 0, compression=None) as server:
        async with connect(address(server), max_size=None) as ws:
            assert len(await ws.recv()) == 8_000_000
            await drained.wait()


async def test_shutdown_tells_every_connection() -> None:
    endpoint = Recorder()
    async with serve(endpoint, "127.0.0.1", 0) as server:
        clients = [await connect(address(server)) for _ in range(3)]
    assert [client.close_code for client in clients] == [1001] * 3
    closes = [entry for entry in endpoint.told if entry[0] == "close"]
    assert closes == [("close", 1001, "", Cause.SHUTDOWN)] * 3


async def test_a_fault_ends_it() -> None:
    endpoint = Recorder()
    async with serve(endpoint, "127.0.0.1", 0, max_size=10) as server:
        async with connect(address(server), compression=None) as ws:
            await ws.send("fine")
            assert await ws.recv() == "fine"
            await ws.send("x" * 11)
            with pytest.raises(ConnectionClosedError):
                await ws.recv()
        await endpoint.closed.wait()
    assert endpoint.told[-1][0] == "close"
    assert endpoint.told[-1][3] is Cause.LIMIT


async def test_too_many_fragments() -> None:
    endpoint = Recorder()
    async with serve(endpoint, "127.0.0.1", 0, max_size=1000) as server:
        async with connect(address(server)) as ws:
            with pytest.raises(ConnectionClosedError):
                await ws.send([""] * 100)
                await ws.recv()
        await endpoint.closed.wait()
    assert endpoint.told[-1][3] is Cause.LIMIT
