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


HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: testserver\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


class Late(asyncio.Protocol):
    """A client that is accepted, and sends its handshake in two parts, some time later."""

    def __init__(self) -> None:
        self.heard = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.heard += data
        if b"\r\n\r\n\x88" in self.heard:
            self.transport.write(b"\x88\x80mask")

    def say_it(self, loop: asyncio.AbstractEventLoop, first: float, second: float) -> None:
        loop.call_later(first, self.transport.write, HANDSHAKE[:40])
        loop.call_later(second, self.transport.write, HANDSHAKE[40:])


async def test_who_was_accepted_is_not_refused(
    loop_factory: Any, network: testing.SimulatedNetwork
) -> None:
    """Only who takes longer than others have patience."""
    app = duologue.App()

    async def think(request: Any) -> str:
        await asyncio.sleep(0.3)
        return "Ann"

    app.websocket("/", auth=think)(Waiting().wait)
    loop = asyncio.get_running_loop()
    async with testing.client(app, retry_spread=None) as c:
        soon, slow, too_late = Late(), Late(), Late()
        for each in (soon, slow, too_late):
            await network.create_connection(lambda each=each: each, c.host, 80)
        soon.say_it(loop, 0.1, 0.11)
        slow.say_it(loop, 0.2, 0.6)
        loop.call_later(0.7, too_late.transport.write, HANDSHAKE[:40])
    for each in (soon, slow):
        assert each.heard.startswith(b"HTTP/1.1 101 ")
        assert each.heard.endswith(b"\r\n\r\n\x88\x02\x03\xe9")
    assert too_late.heard.startswith(b"HTTP/1.1 503 ")
