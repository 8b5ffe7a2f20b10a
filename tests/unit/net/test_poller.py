"""The engine's epoll set: what is reported, to whom, and what may happen meanwhile."""

from __future__ import annotations

import asyncio
import gc
import socket
import subprocess
import sys
import textwrap
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from duologue.net.poller import Poller, poller_of, watched_by
from duologue.net.selector import EventLoop
from duologue.net.socket_link import SocketLink

from .rig import LOOPS, Errors, Owner, descriptors, linked, sockets_open, turns, watched


async def test_one_poller_a_loop(loop_factory: Any) -> None:
    loop = asyncio.get_running_loop()
    if not isinstance(loop, EventLoop):
        assert watched_by(loop) is None
    poller = poller_of(loop)
    assert poller_of(loop) is poller
    assert watched_by(loop) == (poller.fileno(), 0)
    with linked() as (link, owner, _):
        assert watched_by(loop) == (poller.fileno(), 1)
        link.abort_link()
        assert poller.count == 0
        await owner.until_lost()


async def test_a_descriptor_used_again_inside_one_batch(loop_factory: Any) -> None:
    """An event that lies in the batch for a closed socket is not taken for its successor's."""
    loop = asyncio.get_running_loop()
    poller = poller_of(loop)
    pairs = [socket.socketpair() for _ in range(2)]
    owners: list[Owner] = []
    links: list[SocketLink] = []
    late: list[tuple[SocketLink, Owner, socket.socket]] = []

    def close_the_other_and_open_one(me: int) -> None:
        other = links[1 - me]
        if late or other.is_closing():
            return
        number = repr(other)
        other.abort_link()
        ours, theirs = socket.socketpair()
        successor = SocketLink(loop, ours)
        owner = Owner()
        successor.attach(owner)
        successor.begin()
        assert repr(successor) == number
        late.append((successor, owner, theirs))

    for index, (ours, _) in enumerate(pairs):
        link, owner = SocketLink(loop, ours), Owner()
        owner.on["data"] = lambda data, index=index: close_the_other_and_open_one(index)
        link.attach(owner)
        link.begin()
        links.append(link)
        owners.append(owner)
    for _, theirs in pairs:
        theirs.send(b"x")
    poller.drain()
    (successor, owner, theirs), *_ = late
    assert owner.told == [] and owner.pieces == []
    assert sorted(bytes(each.received) for each in owners) == [b"", b"x"]
    theirs.send(b"for the successor")
    await owner.until(lambda: owner.received == b"for the successor")
    for link in (*links, successor):
        link.abort_link()
    for each in (*(pair[1] for pair in pairs), theirs):
        each.close()


async def test_a_drain_takes_no_more_than_four_batches(loop_factory: Any) -> None:
    poller = poller_of(asyncio.get_running_loop())
    heard: list[int] = []
    count = 1100
    links, far = [], []
    for number in range(count):
        ours, theirs = socket.socketpair()
        link = SocketLink(asyncio.get_running_loop(), ours)
        owner = Owner(data=lambda data, number=number: heard.append(number))
        link.attach(owner)
        link.begin()
        theirs.send(b"x")
        links.append(link)
        far.append(theirs)
    poller.drain()
    assert len(heard) == 4 * 256
    poller.drain()
    assert sorted(heard) == list(range(count))
    poller.drain()
    assert len(heard) == count
    for each in links:
        each.abort_link()
    for sock in far:
        sock.close()


async def test_the_rest_is_taken_in_the_next_turn(loop_factory: Any) -> None:
    """One that floods gets one read a round, like any other, and timers run between."""
    with linked() as (_, flooded, theirs), linked() as (_, polite, their_polite):
        turns_seen: list[int] = []
        await asyncio.get_running_loop().sock_sendall(theirs, bytes(100_000))
        flooded.on["data"] = lambda data: theirs.send(bytes(1000))  # for ever
        loop = asyncio.get_running_loop()
        loop.call_later(0.02, turns_seen.append, 1)
        their_polite.send(b"me too")
        await polite.until(lambda: polite.received == b"me too")
        while not turns_seen:
            await asyncio.sleep(0)
        del flooded.on["data"]


async def test_many_at_once_and_closed_by_each_other(loop_factory: Any) -> None:
    """Whoever is served first closes all the others of the batch."""
    links: list[SocketLink] = []
    owners: list[Owner] = []
    far: list[socket.socket] = []

    def close_all(_: bytes) -> None:
        for link in links:
            link.abort_link()

    for _ in range(300):
        ours, theirs = socket.socketpair()
        link, owner = SocketLink(asyncio.get_running_loop(), ours), Owner(data=close_all)
        link.attach(owner)
        link.begin()
        links.append(link)
        owners.append(owner)
        far.append(theirs)
    for sock in far:
        sock.send(b"x")
    for owner in owners:
        await owner.until_lost()
    assert sum(len(owner.received) for owner in owners) == 1
    assert all(owner.told == [("lost", None)] for owner in owners)
    assert watched() == 0
    for sock in far:
        sock.close()


async def test_a_nested_drain_serves_the_others(loop_factory: Any) -> None:
    poller = poller_of(asyncio.get_running_loop())
    order: list[str] = []

    def outer(_: bytes) -> None:
        order.append("outer begins")
        poller.drain()
        order.append("outer ends")

    first = linked(data=outer)
    second = linked(data=lambda data: order.append("inner"))
    with first as (_, _, theirs), second as (_, _, their_other):
        theirs.send(b"x")
        their_other.send(b"x")
        while len(order) < 3:
            await asyncio.sleep(0)
    assert sorted(order) == ["inner", "outer begins", "outer ends"]
    assert order.index("outer begins") < order.index("outer ends")


async def test_an_exception_concerns_nobody_else_in_the_batch(loop_factory: Any) -> None:
    errors = Errors()

    def fail(_: bytes) -> None:
        raise LookupError("mine")

    with linked(data=fail) as (_, bad, theirs), linked() as (_, good, their_good):
        theirs.send(b"x")
        their_good.send(b"x")
        poller_of(asyncio.get_running_loop()).drain()
        assert good.received == b"x"
        await bad.until_lost()
        (context,) = errors.contexts
        assert isinstance(context["exception"], LookupError)
        assert "SocketLink" in context["message"]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("name", [name for name in LOOPS if name != "uvloop"])
def test_interrupts_go_through_the_loop(name: str, kind: type[BaseException]) -> None:
    loop = LOOPS[name]()

    async def main() -> None:
        def stop(_: bytes) -> None:
            raise kind

        with linked(data=stop) as (_, _, theirs):
            theirs.send(b"x")
            await asyncio.sleep(60)

    task = loop.create_task(main())
    with pytest.raises(kind):
        loop.run_until_complete(task)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)
    loop.close()


async def test_a_descriptor_closed_by_somebody_else(loop_factory: Any) -> None:
    """Such a thing is an application's fault, and does no harm beyond its connection."""
    import os

    with linked() as (link, owner, _):
        number = int(repr(link).partition("fd=")[2].split()[0])
        saved = os.dup(number)
        os.close(number)
        os.dup2(saved, number)  # the number is in use again, as nothing that is watched
        os.close(saved)
        link.abort_link()
        await owner.until_lost()
        assert watched() == 0


def run_and_close(factory: Callable[[], asyncio.AbstractEventLoop]) -> tuple[Any, Any, Any]:
    """Run a loop with live links, close it, and forget it."""
    loop = factory()
    far: list[socket.socket] = []

    async def main() -> list[Any]:
        dead = []
        for _ in range(20):
            ours, theirs = socket.socketpair()
            link = SocketLink(loop, ours)
            owner = Owner()
            owner.loop = loop  # type: ignore[attr-defined]  # as connections do
            link.attach(owner)
            link.begin()
            far.append(theirs)
            dead.append(weakref.ref(owner))
        await turns()
        return dead

    dead = loop.run_until_complete(main())
    loop.close()
    return weakref.ref(loop), dead, far


@pytest.mark.parametrize("name", LOOPS)
def test_a_loop_closed_with_live_links_goes_with_them(name: str) -> None:
    gc.collect()
    sockets, before = sockets_open(), len(descriptors())
    loop, dead, far = run_and_close(LOOPS[name])
    gc.collect()
    assert loop() is None
    assert [each() for each in dead] == [None] * 20
    assert sockets_open() == sockets + 20
    for each in far:
        assert each.recv(1) == b""
        each.close()
    assert len(descriptors()) <= before


def test_our_own_loop_closes_them_at_once() -> None:
    gc.collect()
    gc.disable()
    try:
        loop, _, far = run_and_close(EventLoop)
        for each in far:
            each.setblocking(False)
            assert each.recv(1) == b""
            each.close()
    finally:
        gc.enable()
    gc.collect()
    assert loop() is None


def test_a_closed_loop_gets_no_poller() -> None:
    loop = asyncio.SelectorEventLoop()
    loop.close()
    with pytest.raises(RuntimeError, match="closed"):
        poller_of(loop)
    assert watched_by(loop) is None


def test_a_poller_alone_closes_its_set() -> None:
    loop = asyncio.SelectorEventLoop()
    before = descriptors()
    poller = Poller(loop)
    assert str(poller.fileno()) in descriptors()
    del poller
    assert descriptors() == before
    loop.close()


def test_a_forked_child_leaves_the_set_alone() -> None:
    """The child closes its copies of the links; the parent's go on."""
    code = """
    import asyncio, os, socket, sys
    from duologue.net.socket_link import SocketLink
    from duologue.net.selector import EventLoop

    class Owner:
        heard = b""
        def data_received(self, data): self.heard += data
        def eof_received(self): pass
        def writable(self, yes): pass
        def connection_lost(self, exc): pass

    async def main():
        ours, theirs = socket.socketpair()
        link, owner = SocketLink(asyncio.get_running_loop(), ours), Owner()
        link.attach(owner)
        link.begin()
        child = os.fork()
        if child == 0:
            link.abort_link()
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        theirs.send(b"still watched")
        async with asyncio.timeout(5):
            while not owner.heard:
                await asyncio.sleep(0.001)
        print(owner.heard.decode())
        link.abort_link()

    for factory in (asyncio.SelectorEventLoop, EventLoop):
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(main())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=30
    )
    assert (done.stdout, done.stderr) == ("still watched\n" * 2, "")


def test_the_table_of_watched_things_grows() -> None:
    """A descriptor of any number finds room."""
    import os
    import resource

    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]

    async def main() -> None:
        with linked() as (_, near, theirs), linked() as (_, _, _):
            ours, far = socket.socketpair()
            number = min(limit - 1, 5000)
            high = socket.socket(fileno=os.dup2(ours.fileno(), number))
            ours.close()
            link, owner = SocketLink(asyncio.get_running_loop(), high), Owner()
            link.attach(owner)
            link.begin()
            far.send(b"high")
            theirs.send(b"low")
            await owner.until(lambda: owner.received == b"high")
            await near.until(lambda: near.received == b"low")
            link.abort_link()
            far.close()

    asyncio.run(main())
