"""Accepting connections in C."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from duologue.net import listener as listener_module
from duologue.net.listener import Listener
from duologue.net.socket_link import SocketLink

from .rig import Errors, Owner, read, sockets_open, watched


class Acceptor:
    """Gives each new link an owner."""

    def __init__(self) -> None:
        self.links: list[SocketLink] = []
        self.owners: list[Owner] = []
        self.changed = asyncio.Event()

    def __call__(self, link: SocketLink) -> None:
        owner = Owner()
        link.attach(owner)
        self.links.append(link)
        self.owners.append(owner)
        self.changed.set()

    async def until(self, count: int) -> None:
        while len(self.links) < count:
            self.changed.clear()
            await self.changed.wait()

    async def close(self) -> None:
        for link, owner in zip(self.links, self.owners, strict=True):
            link.abort_link()
            await owner.until_lost()


@contextlib.contextmanager
def listening(
    opened: Callable[[SocketLink], None], unix: bool = False
) -> Iterator[tuple[Listener, Any]]:
    with contextlib.ExitStack() as stack:
        if unix:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            sock = stack.enter_context(socket.socket(socket.AF_UNIX))
            sock.bind(os.path.join(folder, "socket"))
            sock.listen()
        else:
            sock = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=1000))
        sock.setblocking(False)
        listener = Listener(asyncio.get_running_loop(), sock, opened)
        stack.callback(listener.close)
        yield listener, sock.getsockname()


def call(address: Any) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
    sock.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        sock.connect(address)
    return sock


@pytest.mark.parametrize("unix", [False, True])
async def test_accepting(loop_factory: Any, unix: bool) -> None:
    acceptor = Acceptor()
    with listening(acceptor, unix) as (listener, address):
        listener.start()
        listener.start()
        with call(address) as sock:
            await acceptor.until(1)
            sock.send(b"hello")
            (owner,) = acceptor.owners
            await owner.until(lambda: owner.received == b"hello")
            acceptor.links[0].write_octets(b"answer")
            assert await read(sock, 6) == b"answer"
            if not unix:
                assert acceptor.links[0].get_extra_info("peername") == sock.getsockname()
                assert acceptor.links[0].get_extra_info("sockname") == address
            await acceptor.close()
    assert watched() == 0


async def test_nagle_is_off_and_descriptors_are_not_inherited(loop_factory: Any) -> None:
    acceptor = Acceptor()
    with listening(acceptor) as (listener, address):
        listener.start()
        with call(address):
            await acceptor.until(1)
            number = int(repr(acceptor.links[0]).partition("fd=")[2].split()[0])
            assert not os.get_inheritable(number)
            assert not os.get_blocking(number)
            with socket.socket(fileno=os.dup(number)) as copy:
                assert copy.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
            await acceptor.close()


async def test_three_hundred_at_once(loop_factory: Any) -> None:
    acceptor = Acceptor()
    with listening(acceptor) as (listener, address), contextlib.ExitStack() as stack:
        socks = [stack.enter_context(call(address)) for _ in range(300)]
        listener.start()
        await acceptor.until(300)
        for sock in socks:
            sock.send(b"x")
        for owner in acceptor.owners:
            await owner.until(lambda owner=owner: owner.received == b"x")  # type: ignore[misc]
        await acceptor.close()


async def test_stopping_and_going_on(loop_factory: Any) -> None:
    acceptor = Acceptor()
    with listening(acceptor) as (listener, address), contextlib.ExitStack() as stack:
        listener.start()
        listener.stop()
        listener.stop()
        assert watched() == 0
        stack.enter_context(call(address))
        await asyncio.sleep(0.01)
        assert acceptor.links == []
        listener.start()
        await acceptor.until(1)
        listener.close()
        listener.close()
        listener.start()
        stack.enter_context(call(address))
        await asyncio.sleep(0.01)
        assert len(acceptor.links) == 1
        await acceptor.close()


async def test_closed_while_a_batch_is_accepted(loop_factory: Any) -> None:
    acceptor = Acceptor()

    def opened(link: SocketLink) -> None:
        acceptor(link)
        listener.close()

    with listening(opened) as (listener, address), contextlib.ExitStack() as stack:
        for _ in range(5):
            stack.enter_context(call(address))
        listener.start()
        await acceptor.until(1)
        await asyncio.sleep(0.01)
        assert len(acceptor.links) == 1
        await acceptor.close()


async def test_an_opener_that_closes_the_link(loop_factory: Any) -> None:
    acceptor = Acceptor()

    def opened(link: SocketLink) -> None:
        acceptor(link)
        link.abort_link()

    with listening(opened) as (listener, address):
        listener.start()
        with call(address) as sock:
            await acceptor.until(1)
            await acceptor.owners[0].until_lost()
            with contextlib.suppress(ConnectionResetError):
                assert await read(sock, 1) == b""
            assert watched() == 1


@pytest.mark.parametrize("attached", [False, True])
async def test_an_opener_that_fails(loop_factory: Any, attached: bool) -> None:
    """Its link is closed, the exception told, and the next one accepted."""
    errors = Errors()
    acceptor = Acceptor()
    failed: list[Owner] = []

    def opened(link: SocketLink) -> None:
        if failed or len(errors.contexts):
            acceptor(link)
            return
        failed.append(Owner())
        if attached:
            link.attach(failed[0])
        raise LookupError("the opener's")

    with listening(opened) as (listener, address):
        listener.start()
        with call(address) as first, call(address):
            await acceptor.until(1)
            with contextlib.suppress(ConnectionResetError):
                assert await read(first, 1) == b""
            assert errors.exceptions == [LookupError]
            if attached:
                await failed[0].until_lost()
            await acceptor.close()


async def test_an_opener_that_gives_no_owner(loop_factory: Any) -> None:
    errors = Errors()
    with listening(lambda link: None) as (listener, address):
        listener.start()
        before = sockets_open()
        with call(address) as sock:
            with contextlib.suppress(ConnectionResetError):
                assert await read(sock, 1) == b""
            assert errors.exceptions == [RuntimeError]
            assert sockets_open() == before + 1


async def test_a_socket_that_cannot_accept_pauses(
    loop_factory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any error of accept pauses it; it is neither repeated at once nor the end."""
    monkeypatch.setattr(listener_module, "ACCEPT_PAUSE", 0.05)
    errors = Errors()
    with socket.socket() as sock:
        sock.setblocking(False)
        sock.bind(("127.0.0.1", 0))  # does not listen: accept4 fails with EINVAL
        listener = Listener(asyncio.get_running_loop(), sock, lambda link: None)
        listener.start()
        while not errors.contexts:
            await asyncio.sleep(0)
        assert errors.contexts[0]["message"] == "accepting connections pauses for 0.05 s"
        await asyncio.sleep(0.02)
        assert len(errors.contexts) == 1
        while len(errors.contexts) < 2:
            await asyncio.sleep(0.01)
        listener.stop()
        await asyncio.sleep(0.1)
        assert len(errors.contexts) == 2
        assert watched() == 0


@pytest.mark.parametrize("factory", ["asyncio.SelectorEventLoop", "EventLoop"])
def test_out_of_descriptors(factory: str) -> None:
    """Accepting pauses, says so once a pause, and takes the waiting ones when there is room."""
    code = f"""
    import asyncio, resource, socket
    from duologue.net import listener as module
    from duologue.net.selector import EventLoop
    from duologue.net.socket_link import SocketLink

    class Owner:
        def data_received(self, data): link.write_octets(b"served")
        def eof_received(self): link.close_link()
        def writable(self, yes): pass
        def connection_lost(self, exc): pass

    async def main():
        global link
        module.ACCEPT_PAUSE = 0.1
        loop = asyncio.get_running_loop()
        told, links = [], []
        loop.set_exception_handler(lambda loop, context: told.append(context))

        def opened(link):
            links.append(link)
            link.attach(Owner())

        sock = socket.create_server(("127.0.0.1", 0))
        sock.setblocking(False)
        listener = module.Listener(loop, sock, opened)
        calls = [socket.create_connection(sock.getsockname()) for _ in range(10)]
        hoard = []
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        try:
            while True:
                hoard.append(socket.socket())
        except OSError:
            pass
        for _ in range(3):
            hoard.pop().close()
        listener.start()
        while not told:
            await asyncio.sleep(0.001)
        assert len(links) < 10, links
        assert told[0]["exception"].errno == 24, told
        await asyncio.sleep(0.25)
        assert 2 <= len(told) <= 4, len(told)
        for each in hoard:
            each.close()
        async with asyncio.timeout(5):
            while len(links) < 10:
                await asyncio.sleep(0.001)
        for link in links:
            link.abort_link()
        listener.close()
        print("served", len(links))

    with asyncio.Runner(loop_factory={factory}) as runner:
        runner.run(main())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=30
    )
    assert (done.stdout, done.stderr) == ("served 10\n", "")
