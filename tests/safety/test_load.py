"""What one connection does to others: a handler that blocks, a peer that floods, one that stops.

Nothing here is judged by the clock: what is counted are octets, messages and memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
import time
from typing import Any

import pytest

import duologue
from duologue import ConnectionClosed
from duologue.base.limits import Limits
from duologue.connection.ending import Cause

from .rig import dial, resident, served, until

MIB = 1 << 20


async def echo(ws: Any) -> None:
    async for message in ws:
        await ws.send(message)


@pytest.mark.slow
async def test_a_handler_that_blocks_the_loop(loop_factory: Any, engine: str) -> None:
    """For longer than keepalive waits: nobody is taken for gone, and nothing is lost."""
    options = {"engine": engine, "ping_interval": 0.3, "ping_timeout": 0.3}

    async def handler(ws: Any) -> None:
        async for message in ws:
            if message == "block":
                time.sleep(1.2)  # twice as long
            await ws.send(message)

    async with served(handler, **options) as (server, url):
        async with contextlib.AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(dial(url, **options)) for _ in range(10)]
            await asyncio.sleep(0.4)  # pings are on their way
            for number, ws in enumerate(clients):
                await ws.send(str(number))
            await clients[0].send("block")
            opening = asyncio.ensure_future(_open(url, options))
            for number, ws in enumerate(clients):
                assert await ws.recv() == str(number)
            assert await clients[0].recv() == "block"
            clients.append(await opening)
            await asyncio.sleep(0.7)  # keepalive has judged by now
            assert len(server.connections) == 11
            for ws in clients:
                await ws.send("still there?")
                assert await ws.recv() == "still there?"
            await clients[-1].close()


async def _open(url: str, options: dict[str, Any]) -> Any:
    return await dial(url, **options)


class Peer(threading.Thread):
    """A peer in a thread, on a bare socket."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        host, port = url[5:].rstrip("/").split(":")
        self.sock = socket.create_connection((host, int(port)))
        request = (
            "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        self.sock.sendall(request.encode())


class Drain(Peer):
    """Reads nothing until it is started, and then everything."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.octets = 0

    def run(self) -> None:
        view = memoryview(bytearray(MIB))
        with contextlib.suppress(ConnectionError):
            while count := self.sock.recv_into(view):
                self.octets += count
        self.sock.close()


SENT = 100


@pytest.mark.slow
async def test_a_peer_that_stops_reading_while_100_mb_are_sent(
    loop_factory: Any, engine: str
) -> None:
    """The sender waits, memory is flat; when the peer reads again, all of it arrives."""
    progress = 0
    done = asyncio.Event()

    async def handler(ws: Any) -> None:
        nonlocal progress
        message = os.urandom(MIB)
        for _ in range(SENT):
            await ws.send(message)
            progress += 1
        done.set()
        await ws.wait_closed()

    limits = Limits(max_outbox=4 * MIB, close_timeout=1.0)
    options: dict[str, Any] = {"compression": None, "ping_interval": None}
    async with served(handler, engine=engine, limits=limits, **options) as (_, url):
        before = resident()
        peer = Drain(url)
        await until(lambda: progress > 0)
        seen = -1
        while seen != progress:
            seen = progress
            await asyncio.sleep(0.3)
        assert progress < 20  # what the kernel's buffers took
        assert resident() - before < 16 * MIB
        peer.start()
        async with asyncio.timeout(30):
            await done.wait()
        assert resident() - before < 24 * MIB
    await asyncio.to_thread(peer.join)
    assert peer.octets > SENT * (MIB + 10)
    assert peer.octets < SENT * (MIB + 10) + 1000


async def test_a_peer_that_stops_reading_while_nobody_waits(loop_factory: Any, engine: str) -> None:
    """Sends that are not awaited follow the policy: ``max_outbox``, and then the end with 1013."""
    outcome: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    most = 0

    async def handler(ws: Any) -> None:
        nonlocal most
        before = resident()
        message = os.urandom(MIB)
        sent = 0
        while ws.state is duologue.State.OPEN and sent < SENT:
            ws.send(message)
            sent += 1
            most = max(most, resident() - before)
            await asyncio.sleep(0)
        outcome.set_result((sent, ws.ending))
        await ws.wait_closed()

    limits = Limits(max_outbox=4 * MIB, close_timeout=0.2)
    options: dict[str, Any] = {"compression": None, "ping_interval": None}
    async with served(handler, engine=engine, limits=limits, **options) as (_, url):
        peer = Drain(url)
        async with asyncio.timeout(20):
            sent, ending = await outcome
        peer.sock.close()
    assert sent < SENT / 2
    assert most < 40 * MIB
    assert ending.cause is Cause.OUTBOX_FULL
    assert str(4 * MIB) in ending.detail


async def test_two_peers_that_both_only_write(loop_factory: Any, engine: str) -> None:
    """Each writes all it has before it reads anything: a blocked write never pauses reading."""
    message = bytes(range(256)) * 256
    count = 20 * MIB // len(message)
    options: dict[str, Any] = {
        "engine": engine, "compression": None, "max_queue": None, "ping_interval": None,
    }  # fmt: skip

    async def write_then_read(ws: Any) -> None:
        for _ in range(count):
            await ws.send(message)
        for _ in range(count):
            assert await ws.recv() == message

    finished = asyncio.Event()

    async def handler(ws: Any) -> None:
        await write_then_read(ws)
        finished.set()
        await ws.wait_closed()

    async with served(handler, **options) as (_, url):
        async with dial(url, **options) as ws, asyncio.timeout(30):
            await write_then_read(ws)
            await finished.wait()


async def test_two_peers_that_never_read(loop_factory: Any, engine: str) -> None:
    """With full inboxes both must wait; ``write_timeout`` ends it and says what it was."""
    limits = Limits(write_timeout=0.3, close_timeout=0.3)
    options: dict[str, Any] = {
        "engine": engine, "limits": limits, "compression": None, "ping_interval": 0.1,
        "ping_timeout": 0.1,
    }  # fmt: skip
    endings = []

    async def write(ws: Any) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                await ws.send(bytes(65_536))
        await ws.wait_closed()
        endings.append(ws.ending.cause)

    async with served(write, **options) as (_, url):
        ws = await dial(url, **options)
        async with asyncio.timeout(10):
            await write(ws)
            await until(lambda: len(endings) == 2)
    assert Cause.WRITE_STALLED in endings
    assert set(endings) <= {Cause.WRITE_STALLED, Cause.CONNECTION_LOST}


POLITE = 999
ROUNDS = 5


class Counting(duologue.Endpoint):
    """Echoes to the polite; counts what the flooder brings."""

    def __init__(self) -> None:
        self.flood = 0

    def on_message(self, ws: Any, message: Any) -> None:
        if isinstance(message, bytes):
            self.flood += 1
        else:
            ws.send(message)


class Flooder(Peer):
    """A peer in a thread that sends messages of 1000 octets without end."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.stop = False
        self.stopped_by = ""

    def run(self) -> None:
        frame = b"\x82\xfe" + (1000).to_bytes(2, "big") + bytes(4) + bytes(1000)
        burst = memoryview(frame * 256)
        try:
            while not self.stop:
                self.sock.sendall(burst)
        except OSError as exc:
            self.stopped_by = repr(exc)
        self.sock.close()


@pytest.mark.slow
async def test_one_flooder_beside_999_polite_connections(loop_factory: Any, engine: str) -> None:
    """The polite get all their answers while the flood goes on, each after few of its messages."""
    endpoint = Counting()
    options: dict[str, Any] = {"engine": engine, "compression": None, "ping_interval": None}
    waits: list[int] = []

    async def converse(name: int) -> None:
        ws = await dial(url, open_timeout=None, **options)
        opened.append(ws)
        await flooding.wait()
        for number in range(ROUNDS):
            before = endpoint.flood
            await ws.send(f"{name} {number}")
            assert await ws.recv() == f"{name} {number}"
            waits.append(endpoint.flood - before)
        await ws.close()

    flooding = asyncio.Event()
    opened: list[Any] = []
    async with served(endpoint, open_timeout=None, backlog=1024, **options) as (server, url):
        talking = [asyncio.ensure_future(converse(name)) for name in range(POLITE)]
        await until(lambda: len(opened) == POLITE, 30)
        flooder = Flooder(url)
        flooder.start()
        await until(lambda: endpoint.flood > 1000)
        flooding.set()
        async with asyncio.timeout(40):
            await asyncio.gather(*talking)
        before = endpoint.flood
        await until(lambda: endpoint.flood > before)  # it floods still
        assert not flooder.stopped_by
        flooder.stop = True
        await until(lambda: not flooder.is_alive())
        await until(lambda: not server.all_connections)
    assert len(waits) == POLITE * ROUNDS
    waits.sort()
    # A round of answers takes a few batches of events, in each of which the flooder has one read.
    assert waits[len(waits) * 99 // 100] < MOST_READS * 262_144 // 1008


#: Reads of the flooder's that may come between a polite question and its answer, for 99 of 100.
MOST_READS = 100
