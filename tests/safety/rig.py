"""What these tests share: the event loops, and a connection on a socket whose far end is bare.

The far end of a :class:`Line` speaks frames by hand and moves octets only when the test says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from duologue import EventLoop, connect, serve
from duologue.base.limits import Limits
from duologue.base.vocabulary import Opcode, Side
from duologue.connection.connection import Callbacks, Connection
from duologue.connection.endpoint import Endpoint
from duologue.connection.settings import Settings
from duologue.net.poller import poller_of
from duologue.net.socket_link import SocketLink
from duologue.protocol.machine import EventMachine
from duologue.wire.frame import Frame


def uvloop_factory() -> asyncio.AbstractEventLoop:
    import uvloop

    return uvloop.new_event_loop()


def debug_factory() -> asyncio.AbstractEventLoop:
    loop = asyncio.SelectorEventLoop()
    loop.set_debug(True)
    loop.slow_callback_duration = 30.0  # a busy machine is no failure
    return loop


LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.SelectorEventLoop,
    "debug": debug_factory,
    "uvloop": uvloop_factory,
    "engine": EventLoop,
}


class Line:
    """A server's connection on one end of a socket pair, and the client's frames at the other.

    Args:
        endpoint: called instead of somebody who receives, if given.
        options: of ``serve``; ``limits`` too.
    """

    def __init__(self, endpoint: Endpoint | None = None, **options: Any) -> None:
        limits = options.pop("limits", Limits())
        options = {
            "max_size": ..., "max_queue": ..., "write_limit": ..., "ping_interval": None,
            "ping_timeout": ..., "close_timeout": 2, "logger": None, **options,
        }  # fmt: skip
        ours, self.sock = socket.socketpair()
        ours.setblocking(False)
        self.sock.setblocking(False)
        for sock in (ours, self.sock):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)
        self.poller = poller_of(asyncio.get_running_loop())
        self.peer = EventMachine(Side.CLIENT, max_size=None)
        self.ws: Any = Connection(Settings.resolve(Side.SERVER, limits, **options))
        self.gone = 0
        self.unsent = bytearray()
        self.parts = b""
        self.ended = False
        if endpoint is not None:
            self.ws.serve_endpoint(Callbacks(endpoint, Endpoint), self._note_gone)
        self.link = SocketLink(asyncio.get_running_loop(), ours)
        self.ws.open(self.link)
        self.link.begin()

    def _note_gone(self, _: Any) -> None:
        self.gone += 1

    def say(self, *texts: str) -> None:
        """Send texts, all in one piece."""
        for text in texts:
            self.peer.send_text(text.encode())
        self.push()

    def push(self, octets: int = 1 << 20) -> None:
        """Send up to so many octets of what the peer has written, as far as they are taken now."""
        self.unsent += b"".join(self.peer.data_to_send())
        with contextlib.suppress(BlockingIOError, ConnectionError):
            while self.unsent and octets > 0:
                sent = self.sock.send(self.unsent[:octets])
                del self.unsent[:sent]
                octets -= sent

    def hear(self, octets: int = 1 << 20) -> None:
        """Take up to so many octets that have arrived, without waiting."""
        with contextlib.suppress(BlockingIOError, ConnectionError):
            data = self.sock.recv(octets)
            if data:
                self.peer.receive_data(data)
            elif not self.ended:
                # As clients do: they end their stream after the server.
                self.ended = True
                self.peer.receive_eof()
                self.sock.shutdown(socket.SHUT_WR)
        self.push()

    def heard(self) -> list[bytes]:
        """Whole messages that were taken since the last call."""
        messages: list[bytes] = []
        for event in self.peer.events_received():
            assert isinstance(event, Frame)
            if event.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                self.parts += bytes(event.data)
                if event.fin:
                    messages.append(self.parts)
                    self.parts = b""
        self.ended = False
        return messages

    async def hear_until(self, condition: Callable[[], bool]) -> None:
        """Take octets until something is true."""
        async with asyncio.timeout(10):
            while not condition():
                self.hear()
                await asyncio.sleep(0)

    async def clog(self) -> int:
        """Send without waiting until the socket is full; return how many messages it took."""
        count = 0
        while not self.ws.transport.get_write_buffer_size():
            self.ws.send(b"\0" * 16_000)
            count += 1
            await asyncio.sleep(0)
        return count


@contextlib.asynccontextmanager
async def line(*arguments: Any, **options: Any) -> AsyncIterator[Line]:
    """A :class:`Line` that is cut in the end."""
    made = Line(*arguments, **options)
    try:
        yield made
    finally:
        made.link.abort_link()
        made.sock.close()
        await made.ws.wait_closed()
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def served(handler: Any, **options: Any) -> AsyncIterator[tuple[Any, str]]:
    """Serve on loopback; gives the server and its URL."""
    async with serve(handler, "127.0.0.1", 0, **options) as server:
        host, port = server.sockets[0].getsockname()[:2]
        yield server, f"ws://{host}:{port}/"


def dial(url: str, **options: Any) -> connect:
    """Connect without a proxy."""
    return connect(url, proxy=None, **options)


def descriptors() -> int:
    """How many descriptors this process has open."""
    return len(os.listdir("/proc/self/fd"))


def resident() -> int:
    """Octets of memory that the process holds."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def turns(count: int = 5) -> None:
    """Let everything run that is ready."""
    for _ in range(count):
        await asyncio.sleep(0)


async def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Wait until something is true."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.001)


@contextlib.contextmanager
def errors() -> Iterator[list[dict[str, Any]]]:
    """Collect what the loop's exception handler is told."""
    loop = asyncio.get_running_loop()
    contexts: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: contexts.append(context))
    try:
        yield contexts
    finally:
        loop.set_exception_handler(None)
