"""What tests of the engine's sockets share: an owner that takes notes, pairs of sockets."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from duologue.net.poller import BACKEND, watched_by
from duologue.net.selector import EventLoop
from duologue.net.socket_link import SocketLink

needs_hangup = pytest.mark.skipif(
    BACKEND != "epoll", reason="kqueue reports an end only to who waits for something"
)


def uvloop_factory() -> asyncio.AbstractEventLoop:
    import uvloop

    return uvloop.new_event_loop()


def debug_factory() -> asyncio.AbstractEventLoop:
    loop = asyncio.SelectorEventLoop()
    loop.set_debug(True)
    loop.slow_callback_duration = 30.0
    return loop


LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.SelectorEventLoop,
    "debug": debug_factory,
    "uvloop": uvloop_factory,
    "engine": EventLoop,
}


class Owner:
    """Notes what its link tells it; ``on`` holds what to do besides."""

    def __init__(self, **on: Callable[..., object]) -> None:
        self.received = bytearray()
        self.pieces: list[bytes] = []
        self.told: list[Any] = []
        self.on = on
        self.changed = asyncio.Event()

    def _tell(self, name: str, *arguments: Any) -> None:
        self.changed.set()
        if name in self.on:
            self.on[name](*arguments)

    def data_received(self, data: bytes) -> None:
        self.received += data
        self.pieces.append(data)
        self._tell("data", data)

    def eof_received(self) -> None:
        self.told.append("eof")
        self._tell("eof")

    def writable(self, yes: bool) -> None:
        self.told.append(yes)
        self._tell("writable", yes)

    def connection_lost(self, exc: Exception | None) -> None:
        self.told.append(("lost", exc))
        self._tell("lost", exc)

    @property
    def lost(self) -> bool:
        return any(isinstance(each, tuple) for each in self.told)

    @property
    def reason(self) -> Any:
        """Why the link was closed, once it is."""
        (found,) = [each[1] for each in self.told if isinstance(each, tuple)]
        return found

    async def until(self, condition: Callable[[], object]) -> None:
        while not condition():
            self.changed.clear()
            await self.changed.wait()

    async def until_lost(self) -> None:
        await self.until(lambda: self.lost)


@contextlib.contextmanager
def linked(
    kind: int = socket.AF_UNIX, begin: bool = True, **on: Callable[..., object]
) -> Iterator[tuple[SocketLink, Owner, socket.socket]]:
    """A link, its owner, and the non-blocking socket at the other end."""
    ours, theirs = tcp_pair() if kind == socket.AF_INET else socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    link = SocketLink(asyncio.get_running_loop(), ours)
    owner = Owner(**on)
    link.attach(owner)
    if begin:
        link.begin()
    try:
        with theirs:
            yield link, owner, theirs
    finally:
        link.abort_link()


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    """Two TCP sockets that are connected to each other."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        return client, listener.accept()[0]


def reset(sock: socket.socket) -> None:
    """Close a TCP socket with a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    sock.close()


async def read(sock: socket.socket, octets: int) -> bytes:
    """Read so many octets, or all that come before the end."""
    loop = asyncio.get_running_loop()
    got = bytearray()
    while len(got) < octets and (piece := await loop.sock_recv(sock, 1 << 18)):
        got += piece
    return bytes(got)


def watched() -> int:
    """How many sockets the engine watches in this loop."""
    found = watched_by(asyncio.get_running_loop())
    return 0 if found is None else found[1]


def descriptors() -> set[str]:
    """Numbers of the open descriptors of this process."""
    found = set(os.listdir("/proc/self/fd"))
    return {each for each in found if os.path.exists(f"/proc/self/fd/{each}")}


def sockets_open() -> int:
    """How many sockets this process has open."""
    count = 0
    for each in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            count += os.readlink(f"/proc/self/fd/{each}").startswith("socket:")
    return count


class Errors:
    """Collects what the loop's exception handler is told."""

    def __init__(self) -> None:
        self.contexts: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(self._note)

    def _note(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.contexts.append(context)

    @property
    def exceptions(self) -> list[type[BaseException]]:
        return [type(context["exception"]) for context in self.contexts]


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)
