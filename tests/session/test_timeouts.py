"""Every time-out of a connection at its exact moment, on virtual time over a simulated network."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from duologue import ConnectionClosedError, connect, serve
from duologue.testing import SimulatedLoop, SimulatedNetwork, pair

from .raw import CLOSE, PING, REQUEST, TEXT, RawPeer, accept, raw_ends
from .test_messages import order
from .venue import Certificates, Venue


@pytest.fixture
def network() -> SimulatedNetwork:
    return SimulatedNetwork()


@pytest.fixture
def loop_factory(network: SimulatedNetwork) -> Callable[[], SimulatedLoop]:
    return network.loop_factory


@pytest.fixture
def venue(network: SimulatedNetwork, certificates: Certificates) -> Venue:
    return Venue("asyncio", "simulated", "auto", certificates, network)


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_keepalive_pings_every_interval(venue: Venue, role: str) -> None:
    async with raw_ends(venue, role) as (_, peer):
        for beat in (20.0, 40.0, 60.0, 80.0):
            opcode, payload = await peer.receive()
            assert (opcode, now()) == (PING, beat)
            peer.writer.write(peer.frame(10, payload))
        peer.writer.write(peer.frame(CLOSE, b"\x03\xe8"))
        assert await peer.receive() == (CLOSE, b"\x03\xe8")


async def test_an_unanswered_ping_fails_the_connection(venue: Venue, role: str) -> None:
    async with raw_ends(venue, role) as (here, peer):
        assert (await peer.receive())[0] == PING
        assert now() == 20.0
        opcode, payload = await peer.receive()
        assert (opcode, payload[:2], now()) == (CLOSE, (1011).to_bytes(2, "big"), 40.0)
        with pytest.raises(ConnectionClosedError) as caught:
            await here.recv()
        assert caught.value.sent is not None
        assert caught.value.sent.reason == "keepalive ping timeout"


@pytest.mark.parametrize(("interval", "timeout"), [(5.0, 3.0), (3.0, 30.0), (1.5, 0.25)])
async def test_keepalive_options(venue: Venue, role: str, interval: float, timeout: float) -> None:
    options = {"ping_interval": interval, "ping_timeout": timeout}
    async with raw_ends(venue, role, **options) as (_, peer):
        assert (await peer.receive())[0] == PING
        assert now() == interval
        while (received := await peer.receive())[0] == PING:
            pass
        assert (received[0], now()) == (CLOSE, interval + timeout)


async def test_without_keepalive_silence_is_no_fault(role: str) -> None:
    async with pair(ping_interval=None) as ends:
        here, there = order(role, ends)
        await asyncio.sleep(86_400)
        await here.send("still there")
        assert await there.recv() == "still there"


async def test_any_octet_counts_as_life(venue: Venue, role: str) -> None:
    async with raw_ends(venue, role) as (here, peer):
        assert (await peer.receive())[0] == PING
        for _ in range(10):  # no pong, but something each time before the time-out
            await asyncio.sleep(15)
            peer.writer.write(peer.frame(TEXT, b"busy"))
            assert await here.recv() == "busy"
        await here.send("open")
        while (received := await peer.receive())[0] == PING:
            pass
        assert received == (TEXT, b"open")


async def test_a_peer_that_vanishes_is_noticed(network: SimulatedNetwork, role: str) -> None:
    async with pair(close_timeout=10) as ends:
        here, _ = order(role, ends)
        await asyncio.sleep(1)
        network.links[0].cut("vanish")
        with pytest.raises(ConnectionClosedError) as caught:
            await here.recv()
        await here.wait_closed()
        assert now() <= 50.0
        assert caught.value.rcvd is None
        assert here.close_code == 1006


@pytest.mark.parametrize("timeout", [10.0, 0.5])
async def test_close_timeout(network: SimulatedNetwork, role: str, timeout: float) -> None:
    async with pair(close_timeout=timeout) as ends:
        here, _ = order(role, ends)
        network.links[0].cut("vanish")
        began = now()
        await here.close()
        assert now() - began == timeout
        assert here.close_code == 1006


async def test_close_takes_no_longer_than_the_peer_needs(network: SimulatedNetwork) -> None:
    network.conditions = type(network.conditions)(delay=0.25)
    async with pair() as (client, _):
        began = now()
        await client.close()
        assert 0.5 <= now() - began <= 0.75


@pytest.mark.parametrize("timeout", [10.0, 2.5])
async def test_open_timeout_of_a_server(timeout: float) -> None:
    async with serve(refuse, "server.test", 8000, open_timeout=timeout):
        reader, writer = await asyncio.open_connection("server.test", 8000)
        writing = asyncio.create_task(write_slowly(writer))
        answer = await reader.read()
        assert now() == timeout
        assert answer.startswith(b"HTTP/1.1 408 ")
        writing.cancel()
        writer.close()


async def write_slowly(writer: asyncio.StreamWriter) -> None:
    for octet in REQUEST:  # one octet a second is no progress
        writer.write(bytes([octet]))
        await asyncio.sleep(1)


async def refuse(connection: Any) -> None:
    pytest.fail(f"{connection} should never have been opened")


@pytest.mark.parametrize("timeout", [10.0, 2.5])
async def test_open_timeout_of_a_client(timeout: float) -> None:
    async def says_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(says_nothing, "server.test", 8000):
        with pytest.raises(TimeoutError):
            await connect("ws://server.test:8000/", open_timeout=timeout)
        assert now() == timeout
        await asyncio.sleep(1)


async def test_open_timeout_covers_the_tcp_connection(network: SimulatedNetwork) -> None:
    network.silence("silent.test")
    with pytest.raises(TimeoutError, match="open_timeout of 7"):
        await connect("ws://silent.test/", open_timeout=7)
    assert now() == 7.0


async def test_a_peer_that_never_reads_is_given_up(network: SimulatedNetwork, role: str) -> None:
    async with pair(ping_interval=None, compression=None) as ends:
        here, there = order(role, ends)
        there.transport.pause_reading()

        async def send_for_ever() -> None:
            while True:
                await here.send(bytes(100_000))

        began = now()
        with pytest.raises(ConnectionClosedError):
            await send_for_ever()
        await here.wait_closed()
        # Limits.write_timeout is 60 s, close_timeout 10 s.
        assert 60 <= now() - began <= 71
        there.transport.abort()


async def test_reconnection_waits_and_then_succeeds(network: SimulatedNetwork) -> None:
    delays: list[float] = []

    def fixed() -> Any:
        while True:
            delays.append(now())
            yield 4.0

    async def serve_later() -> None:
        await asyncio.sleep(10)
        async with await asyncio.start_server(greet, "server.test", 8000):
            await asyncio.sleep(10)

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await accept(reader, writer)
        peer = RawPeer(reader, writer, masks=False)
        writer.write(peer.frame(TEXT, b"hello"))
        assert (await peer.receive())[0] == CLOSE
        writer.write(peer.frame(CLOSE, b"\x03\xe8"))
        writer.close()

    serving = asyncio.create_task(serve_later())
    async for client in connect("ws://server.test:8000/", reconnect_delays=fixed):
        assert await client.recv() == "hello"
        break
    await client.close()
    assert delays == [0.0, 4.0, 8.0]
    assert now() == 12.0
    await serving
