"""How an application leaves, on virtual time and a simulated network."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import duologue
from duologue import testing
from duologue.connection.ending import Cause


@pytest.fixture
def network() -> testing.SimulatedNetwork:
    return testing.SimulatedNetwork()


@pytest.fixture
def loop_factory(network: testing.SimulatedNetwork) -> Callable[[], testing.SimulatedLoop]:
    return network.loop_factory


async def read_all(ws: duologue.ClientConnection) -> list[int]:
    return [int(str(message)) async for message in ws]


class Waiting:
    """An application with connections that stay, and what became of them."""

    def __init__(self, **options: Any) -> None:
        self.app = duologue.App(ping_interval=None, **options)
        self.causes: list[Any] = []
        self.app.websocket("/")(self.wait)

    async def wait(self, ws: duologue.ServerConnection) -> None:
        await ws.wait_closed()
        assert ws.ending is not None
        self.causes.append(ws.ending.cause)


async def test_connections_are_closed_one_after_the_other(loop_factory: Any) -> None:
    waiting = Waiting()
    closed: list[float] = []
    loop = asyncio.get_running_loop()

    async def stay(ws: duologue.ClientConnection) -> None:
        await ws.wait_closed()
        closed.append(loop.time() - begun)

    async with testing.client(waiting.app, close_rate=100, retry_spread=3.0) as c:
        connections = [await c.connect("/", ping_interval=None) for _ in range(50)]
        c.leave_open()
        staying = [asyncio.create_task(stay(ws)) for ws in connections]
        begun = loop.time()
    await asyncio.gather(*staying)
    assert closed == sorted(closed)
    assert closed[-1] - closed[0] == pytest.approx(0.48)
    assert {ws.close_code for ws in connections} == {1001}
    assert {(ws.close_reason or "")[:12] for ws in connections} == {"retry after "}
    assert set(waiting.causes) == {Cause.SHUTDOWN}


async def test_the_close_timeout_gives_way_to_what_waits(
    loop_factory: Any, network: testing.SimulatedNetwork
) -> None:
    """A peer that takes what was sent has until drain_timeout, though close_timeout is shorter."""
    waiting = Waiting(close_timeout=1.0, max_outbox=16 << 20)
    async with testing.client(waiting.app, drain_timeout=20.0) as c:
        ws = await c.connect("/", ping_interval=None, compression=None)
        c.leave_open()
        (server,) = waiting.app.tally.servers
        (there,) = server.connections
        for n in range(50):
            there.send(f"{n}".ljust(65536))
        network.links[-1].stall(8.0)
        reading = asyncio.create_task(read_all(ws))
    assert await reading == list(range(50))
    assert ws.close_code == 1001


async def test_who_does_not_answer_is_cut_off(
    loop_factory: Any, network: testing.SimulatedNetwork
) -> None:
    waiting = Waiting(close_timeout=None, write_timeout=None)
    loop = asyncio.get_running_loop()
    async with testing.client(waiting.app, drain_timeout=7.0) as c:
        ws = await c.connect("/", ping_interval=None, close_timeout=1.0)
        network.links[-1].stall()
        begun = loop.time()
        c.leave_open()
    assert loop.time() - begun == pytest.approx(7.0)
    network.links[-1].cut()
    await ws.wait_closed()
    assert ws.close_code == 1006


async def test_nobody_new_is_let_in(loop_factory: Any) -> None:
    app = duologue.App(health_path="/health")
    async with testing.client(app) as c:
        assert (await c.get("/health")).status == 200
    with pytest.raises(OSError):
        await c.get("/health")
