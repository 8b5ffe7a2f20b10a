"""Thousands of connections that come and go at random: descriptors are used again at once.

An event or a message of a closed connection must never reach its successor with the same number.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import threading
from typing import Any

import pytest

import duologue
from duologue.base.limits import Limits
from duologue.net.poller import poller_of
from duologue.net.socket_link import SocketLink

from .rig import descriptors, dial, errors, served, turns, until

STORM = 10_000

REQUEST = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def frame(text: bytes, opcode: int = 1) -> bytes:
    """A masked frame of at most 125 octets, whose masking key is 0."""
    return bytes([0x80 | opcode, 0x80 | len(text), 0, 0, 0, 0]) + text


class Echo(duologue.Endpoint):
    """Answers each message with the number of its connection's first."""

    def __init__(self) -> None:
        self.opened = 0
        self.closed = 0

    def on_open(self, ws: Any) -> None:
        self.opened += 1
        ws.first = None

    def on_message(self, ws: Any, message: Any) -> None:
        if ws.first is None:
            ws.first = message
        ws.send(f"{ws.first}/{message}")

    def on_close(self, ws: Any, code: int, reason: str) -> None:
        self.closed += 1


class Storm(threading.Thread):
    """Opens and closes connections at random; some of them converse, and each answer is checked."""

    def __init__(self, address: tuple[str, int], count: int, seed: int) -> None:
        super().__init__(daemon=True)
        self.address = address
        self.count = count
        self.chance = random.Random(seed)
        self.open: list[tuple[int, socket.socket]] = []
        self.upgraded = 0
        self.wrong: list[bytes] = []
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            for number in range(self.count):
                self.one(number)
                while len(self.open) > 20:
                    self.leave(*self.open.pop(self.chance.randrange(len(self.open))))
            while self.open:
                self.leave(*self.open.pop())
        except BaseException as exc:
            self.failure = exc

    def one(self, number: int) -> None:
        sock = socket.create_connection(self.address)
        sock.settimeout(30)
        choice = self.chance.random()
        if choice < 0.15:
            self.shut(sock)
        elif choice < 0.3:
            sock.sendall(REQUEST[: self.chance.randrange(len(REQUEST))])
            self.shut(sock)
        elif choice < 0.4:
            # Gone before the answer, with a message in the same packet.
            sock.sendall(REQUEST + frame(b"unheard"))
            self.shut(sock)
        else:
            sock.sendall(REQUEST)
            assert self.read_head(sock).startswith(b"HTTP/1.1 101 ")
            self.upgraded += 1
            self.ask(number, sock, 0)
            self.open.append((number, sock))

    def ask(self, number: int, sock: socket.socket, question: int) -> None:
        text = f"{number}.{question}".encode()
        sock.sendall(frame(text))
        expected = f"{number}.0/".encode() + text
        got = self.read(sock, 2 + len(expected))
        if got[2:] != expected:
            self.wrong.append(got)

    def leave(self, number: int, sock: socket.socket) -> None:
        for question in range(1, self.chance.randrange(4)):
            self.ask(number, sock, question)
        if self.chance.random() < 0.5:
            sock.sendall(frame(struct.pack("!H", 1000), 8))
            if self.chance.random() < 0.5:
                with contextlib.suppress(ConnectionError):
                    self.read(sock, 4)
        else:
            sock.sendall(frame(b"unheard") * self.chance.randrange(3))
        self.shut(sock)

    def shut(self, sock: socket.socket) -> None:
        if self.chance.random() < 0.5:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        sock.close()

    def read(self, sock: socket.socket, octets: int) -> bytes:
        got = b""
        while len(got) < octets:
            data = sock.recv(octets - len(got))
            assert data, "the server ended a connection"
            got += data
        return got

    def read_head(self, sock: socket.socket) -> bytes:
        """Read a response's head; the server says nothing more before it is asked."""
        got = b""
        while not got.endswith(b"\r\n\r\n"):
            data = sock.recv(4096)
            assert data, "the server ended a connection"
            got += data
        return got


@pytest.mark.slow
async def test_ten_thousand_connections_at_random(loop_factory: Any, engine: str) -> None:
    count = STORM // 4 if asyncio.get_running_loop().get_debug() else STORM  # it takes five times
    endpoint = Echo()
    limits = Limits(close_timeout=2.0)
    with errors() as contexts:
        async with served(endpoint, engine=engine, compression=None, limits=limits) as (server, _):
            before = descriptors()
            address = server.sockets[0].getsockname()
            storms = [Storm(address, count // 4, seed) for seed in range(4)]
            for storm in storms:
                storm.start()
            await until(lambda: not any(storm.is_alive() for storm in storms), 50)
            for storm in storms:
                assert storm.failure is None, repr(storm.failure)
                assert storm.wrong == []
            await until(lambda: endpoint.closed == endpoint.opened and not server.openings, 20)
            assert endpoint.opened >= sum(storm.upgraded for storm in storms)
            assert not server.all_connections
            await until(lambda: descriptors() <= before)
    assert not contexts


async def test_links_at_random(loop_factory: Any) -> None:
    """The same below WebSocket: each link hears what was said to it and nothing else."""
    loop = asyncio.get_running_loop()
    poller_of(loop)
    chance = random.Random(5)
    before = descriptors()
    wrong: list[bytes] = []

    class Owner:
        def __init__(self, name: bytes) -> None:
            self.name = name

        def data_received(self, data: bytes) -> None:
            if data != self.name * (len(data) // len(self.name)):
                wrong.append(data)
            if chance.random() < 0.3 and live:
                close(chance.randrange(len(live)))
            if chance.random() < 0.3:
                open_one()

        def eof_received(self) -> None:
            pass

        def writable(self, yes: bool) -> None:
            pass

        def connection_lost(self, exc: BaseException | None) -> None:
            pass

    live: list[tuple[SocketLink, socket.socket, bytes]] = []
    count = 0

    def open_one() -> None:
        nonlocal count
        count += 1
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        link = SocketLink(loop, ours)
        name = b"%6d" % count
        link.attach(Owner(name))
        link.begin()
        live.append((link, theirs, name))

    def close(index: int) -> None:
        link, theirs, name = live.pop(index)
        if chance.random() < 0.5:
            theirs.send(name)  # it lies in the set when the descriptor is closed
        link.abort_link()
        theirs.close()

    while count < STORM:
        for _ in range(30):
            if len(live) < 200:
                open_one()
        for _, theirs, name in chance.sample(live, len(live) // 2):
            theirs.send(name)
        await asyncio.sleep(0)
    while live:
        close(0)
    await turns()
    assert wrong == []
    await until(lambda: descriptors() <= before)


async def test_clients_at_random(loop_factory: Any, engine: str) -> None:
    """``connect`` given up at random moments, beside conversations that go on."""
    chance = random.Random(9)

    async def echo(ws: Any) -> None:
        async for message in ws:
            await ws.send(message)

    async def converse(name: int) -> None:
        for number in range(30):
            async with dial(url, engine=engine, compression=None) as ws:
                for part in range(3):
                    await ws.send(f"{name}.{number}.{part}")
                    assert await ws.recv() == f"{name}.{number}.{part}"
                if chance.random() < 0.3:
                    ws.transport.abort()

    async def give_up() -> None:
        for _ in range(100):
            with contextlib.suppress(TimeoutError, OSError):
                async with asyncio.timeout(chance.random() * 0.005):
                    async with dial(url, engine=engine) as ws:
                        await ws.recv()

    with errors() as contexts:
        async with served(echo, engine=engine) as (server, url):
            async with asyncio.timeout(30):
                await asyncio.gather(*(converse(name) for name in range(8)), give_up(), give_up())
            await until(lambda: not server.all_connections)
    assert not contexts
