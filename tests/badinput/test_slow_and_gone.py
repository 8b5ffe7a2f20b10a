"""Peers that are too slow, vanish or read nothing: each is given up at its deadline.

Time is virtual. The deadlines are the defaults, so a test says what happens after 10, 40 or 60
seconds and takes none of them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from duologue.base.limits import Limits
from duologue.datastructures import Headers
from duologue.exceptions import ConnectionClosedError
from duologue.http11 import Response
from duologue.testing import SimulatedLoop, SimulatedNetwork

from .hostile import (
    CLOSE,
    Raw,
    connect,
    echo,
    frame,
    hostile_server,
    parse_frames,
    request,
    response,
    serve,
)

HOST = "server.test"
URL = f"ws://{HOST}:80/"


@pytest.fixture
def network() -> SimulatedNetwork:
    return SimulatedNetwork()


@pytest.fixture(autouse=True)
def loop_factory(network: SimulatedNetwork) -> Callable[[], SimulatedLoop]:
    return network.loop_factory


def now() -> float:
    return asyncio.get_running_loop().time()


async def dial() -> Raw:
    return Raw(*await asyncio.open_connection(HOST, 80))


async def drip(peer: Raw, octets: bytes) -> None:
    """Send one octet a second."""
    with contextlib.suppress(ConnectionError):
        for octet in octets:
            peer.writer.write(bytes([octet]))
            await asyncio.sleep(1)


async def until_closed(peer: Raw) -> bytes:
    """Return what comes until the connection ends, however long it takes."""
    octets = b""
    with contextlib.suppress(ConnectionError):
        while data := await peer.reader.read(65536):
            octets += data
    return octets


async def test_one_octet_a_second_is_closed_at_open_timeout(network: SimulatedNetwork) -> None:
    async with serve(echo, HOST, 80):
        peer, start = await dial(), now()
        dripping = asyncio.create_task(drip(peer, request()))
        answer = await until_closed(peer)
        assert now() - start == pytest.approx(10, abs=0.01)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"10" in answer.split(b"\r\n\r\n", 1)[1]
        dripping.cancel()
        peer.abort()


async def test_another_open_timeout(network: SimulatedNetwork) -> None:
    async with serve(echo, HOST, 80, open_timeout=3):
        peer, start = await dial(), now()
        assert (await until_closed(peer)) == b""
        assert now() - start == pytest.approx(3, abs=0.01)
        peer.abort()
    async with serve(echo, HOST, 80, open_timeout=None):
        peer = await dial()
        await drip(peer, request())
        assert (await peer.head()).startswith(b"HTTP/1.1 101 ")
        peer.abort()


async def test_a_body_of_one_octet_a_second(network: SimulatedNetwork) -> None:
    async with serve(echo, HOST, 80):
        peer, start = await dial(), now()
        peer.writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n")
        dripping = asyncio.create_task(drip(peer, b"x" * 100))
        assert (await until_closed(peer)).startswith(b"HTTP/1.1 408 ")
        assert now() - start == pytest.approx(10, abs=0.01)
        dripping.cancel()
        peer.abort()


async def test_a_peer_that_goes_on_after_a_refusal_is_cut_off(network: SimulatedNetwork) -> None:
    """The answer is left time to arrive, but not for ever."""
    async with serve(echo, HOST, 80, limits=Limits(close_timeout=7.0)):
        peer, start = await dial(), now()
        peer.writer.write(b"nonsense\r\n")
        assert (await until_closed(peer)).startswith(b"HTTP/1.1 400 ")
        assert now() - start < 0.1
        for _ in range(100):
            peer.writer.write(b"more")
            await asyncio.sleep(1)
            if network.links[-1].to_server.target.is_gone():
                break
        assert now() - start == pytest.approx(7, abs=1.1)
        peer.abort()


async def test_an_idle_connection_between_requests(network: SimulatedNetwork) -> None:
    def hello(connection: Any, request: Any) -> Response:
        return Response(200, "OK", Headers(), b"hello")

    async with serve(echo, HOST, 80, process_request=hello):
        peer = await dial()
        for _ in range(3):
            peer.writer.write(request())
            assert (await peer.head()).startswith(b"HTTP/1.1 200 ")
            assert await peer.reader.readexactly(5) == b"hello"
            await asyncio.sleep(4)
        start = now() - 4
        assert await until_closed(peer) == b""
        assert now() - start == pytest.approx(5, abs=0.01)
        peer.abort()


async def discard(connection: Any) -> None:
    with contextlib.suppress(ConnectionClosedError):
        async for _ in connection:
            pass


@contextlib.asynccontextmanager
async def joined(
    network: SimulatedNetwork, side: str, **options: Any
) -> AsyncIterator[tuple[Any, Any]]:
    """Yield one end with `options` and its network link; the other end is the library's too."""
    ends: asyncio.Queue[Any] = asyncio.Queue()

    async def handler(connection: Any) -> None:
        ends.put_nowait(connection)
        await connection.wait_closed()

    quiet: dict[str, Any] = {"ping_interval": None, "compression": None}
    server_options, client_options = (options, quiet) if side == "server" else (quiet, options)
    async with serve(handler, HOST, 80, **server_options):
        client = await connect(URL, **client_options)
        server = await ends.get()
        here, there = (server, client) if side == "server" else (client, server)
        reading = asyncio.create_task(discard(there))
        yield here, network.links[-1]
        reading.cancel()
        client.transport.abort()
        server.transport.abort()


SIDES = pytest.mark.parametrize("side", ["server", "client"])


@SIDES
async def test_a_vanished_peer_is_noticed_by_keepalive(
    network: SimulatedNetwork, side: str
) -> None:
    async with joined(network, side) as (end, link):
        start = now()
        link.cut("vanish")
        with pytest.raises(ConnectionClosedError) as caught:
            await end.recv()
        # A ping after 20 s, given up 20 s later; then close_timeout for a Close frame in vain.
        assert now() - start == pytest.approx(50, abs=0.1)
        assert caught.value.sent is not None
        assert (caught.value.sent.code, caught.value.sent.reason) == (
            1011,
            "keepalive ping timeout",
        )
        assert (caught.value.rcvd, end.close_code) == (None, 1006)


@SIDES
async def test_a_vanished_peer_without_keepalive_stays(
    network: SimulatedNetwork, side: str
) -> None:
    async with joined(network, side, ping_interval=None) as (end, link):
        link.cut("vanish")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3600):
                await end.recv()


@SIDES
async def test_a_peer_that_vanishes_while_closing(network: SimulatedNetwork, side: str) -> None:
    async with joined(network, side) as (end, link):
        link.cut("vanish")
        start = now()
        await end.close()
        assert now() - start == pytest.approx(10, abs=0.1)
        assert end.close_code == 1006


@SIDES
async def test_a_peer_whose_machine_crashes(network: SimulatedNetwork, side: str) -> None:
    async with joined(network, side) as (end, link):
        receiving = asyncio.ensure_future(end.recv())
        await asyncio.sleep(1)
        start = now()
        link.cut("reset")
        with pytest.raises(ConnectionClosedError) as caught:
            await receiving
        assert now() == start
        assert (caught.value.rcvd, caught.value.sent, end.close_code) == (None, None, 1006)
        with pytest.raises(ConnectionClosedError):
            await end.send("too late")


@SIDES
async def test_a_peer_that_never_reads_is_given_up_after_write_timeout(
    network: SimulatedNetwork, side: str
) -> None:
    async with joined(network, side, ping_interval=None) as (end, link):
        (link.to_client if side == "server" else link.to_server).stall()
        start = now()
        with pytest.raises(ConnectionClosedError) as caught:
            while True:
                await end.send(bytes(10_000))
        assert now() - start == pytest.approx(60, abs=0.1)
        assert "write_timeout of 60.0 s" in str(caught.value.__cause__)


@SIDES
async def test_a_peer_that_reads_a_little_is_not_given_up(
    network: SimulatedNetwork, side: str
) -> None:
    """Progress is what counts: 30 s for a window's worth is slow, and alive."""
    async with joined(network, side, ping_interval=None) as (end, link):
        way = link.to_client if side == "server" else link.to_server
        link.change(bandwidth=2000)
        start, sent = now(), 0
        while now() - start < 300:
            await end.send(bytes(10_000))
            sent += 10_000
        assert end.close_code is None
        assert way.octets_arrived > 400_000


async def test_a_response_of_one_octet_a_second(network: SimulatedNetwork) -> None:
    """A server that drips its response is given up by the client."""

    async def dripping(peer: Raw) -> None:
        await drip(peer, response(await peer.head()))

    async with hostile_server(dripping) as address:
        start = now()
        with pytest.raises(TimeoutError, match="timed out during opening handshake"):
            await connect(address)
        assert now() - start == pytest.approx(10, abs=0.01)


async def test_a_peer_that_never_answers_a_close(network: SimulatedNetwork) -> None:
    ended: asyncio.Queue[tuple[float, Any]] = asyncio.Queue()

    async def handler(connection: Any) -> None:
        start = now()
        await connection.close(1001, "bye")
        ended.put_nowait((now() - start, connection.close_code))

    async with serve(handler, HOST, 80):
        peer = await dial()
        peer.writer.write(request())
        await peer.head()
        assert parse_frames(await until_closed(peer)) == [(CLOSE, b"\x03\xe9bye")]
        took, code = await ended.get()
        assert (took, code) == (pytest.approx(10, abs=0.01), 1006)
        peer.abort()


async def test_a_frame_of_one_octet_a_second_is_read_and_no_fault(
    network: SimulatedNetwork,
) -> None:
    """Octets are life: a slow message is not a dead peer."""
    async with serve(echo, HOST, 80):
        peer = await dial()
        peer.writer.write(request())
        await peer.head()
        await drip(peer, frame(1, b"x" * 100))
        octets = await peer.reader.read(65536)
        assert (1, b"x" * 100) in parse_frames(octets)
        peer.abort()
