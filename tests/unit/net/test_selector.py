"""The poller as the selector of an event loop: what selectors promise, and what asyncio needs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import selectors
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from selectors import EVENT_READ, EVENT_WRITE

import pytest

from duologue.net.selector import EventLoop, PollerSelector

from .rig import linked

engine_loop = pytest.mark.parametrize("loop_factory", [EventLoop])


@pytest.fixture
def selector() -> Iterator[PollerSelector]:
    selector = PollerSelector()
    yield selector
    selector.close()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair()
    with near, far:
        yield near, far


Pair = tuple[socket.socket, socket.socket]


def test_register_modify_unregister(selector: PollerSelector, pair: Pair) -> None:
    near, far = pair
    key = selector.register(near, EVENT_READ, "data")
    assert key == (near, near.fileno(), EVENT_READ, "data")
    assert selector.get_key(near) == key
    assert dict(selector.get_map()) == {near.fileno(): key}
    assert len(selector.get_map()) == 1
    assert selector.select(0) == []
    far.send(b"x")
    assert selector.select(0) == [(key, EVENT_READ)]
    assert selector.select(0) == [(key, EVENT_READ)]  # level-triggered
    key = selector.modify(near, EVENT_WRITE, "other")
    assert key == (near, near.fileno(), EVENT_WRITE, "other")
    assert selector.select(0) == [(key, EVENT_WRITE)]
    both = selector.modify(near, EVENT_READ | EVENT_WRITE)
    seen = 0
    for found, events in selector.select(0):
        assert found == both
        seen |= events
    assert seen == EVENT_READ | EVENT_WRITE
    assert selector.modify(near, EVENT_READ | EVENT_WRITE, "mine").data == "mine"
    assert selector.unregister(near).fileobj is near
    assert selector.select(0) == []
    assert len(selector.get_map()) == 0


def test_the_end_of_the_peer_is_readable_and_writable(selector: PollerSelector) -> None:
    near, far = socket.socketpair()
    with near:
        selector.register(near, EVENT_READ)
        far.close()
        assert [events for _, events in selector.select(0)] == [EVENT_READ]
        selector.modify(near, EVENT_WRITE)
        assert [events for _, events in selector.select(0)] == [EVENT_WRITE]
        selector.unregister(near)


@pytest.mark.parametrize("events", [0, 4, EVENT_READ | 8])
def test_events_must_be_known(selector: PollerSelector, pair: Pair, events: int) -> None:
    with pytest.raises(ValueError, match="invalid events"):
        selector.register(pair[0], events)


@pytest.mark.parametrize("what", [-1, "socket", None, object()])
def test_what_has_no_descriptor_is_refused(selector: PollerSelector, what: object) -> None:
    with pytest.raises(ValueError, match="invalid file"):
        selector.register(what, EVENT_READ)


def test_errors_are_those_of_selectors(selector: PollerSelector, pair: Pair) -> None:
    near, far = pair
    selector.register(near, EVENT_READ)
    with pytest.raises(KeyError, match="already registered"):
        selector.register(near, EVENT_READ)
    with pytest.raises(KeyError, match="already registered"):
        selector.register(near.fileno(), EVENT_WRITE)
    for call in (selector.unregister, lambda each: selector.modify(each, EVENT_READ)):
        with pytest.raises(KeyError):
            call(far)
    closed = os.dup(near.fileno())
    os.close(closed)
    with pytest.raises(OSError):
        selector.register(closed, EVENT_READ)
    assert closed not in selector.get_map()


def test_an_object_closed_before_it_is_unregistered(selector: PollerSelector) -> None:
    near, far = socket.socketpair()
    number = near.fileno()
    selector.register(near, EVENT_READ)
    near.close()
    assert selector.select(0) == []
    assert selector.unregister(near).fd == number
    with pytest.raises(KeyError, match="not registered"):
        selector.unregister(near)
    # Its number is somebody else's now.
    again, _far = socket.socketpair()
    with again, far, _far:
        assert again.fileno() == number
        selector.register(again, EVENT_READ)
        _far.send(b"x")
        assert [key.fileobj for key, _ in selector.select(0)] == [again]
        selector.unregister(again)


@pytest.mark.parametrize("seconds", [0.0101, 0.03])
def test_select_waits_so_long_and_never_less(selector: PollerSelector, seconds: float) -> None:
    started = time.monotonic()
    assert selector.select(seconds) == []
    assert seconds <= time.monotonic() - started < seconds + 1


@pytest.mark.parametrize("seconds", [0, 0.0, -1, -0.5])
def test_select_without_waiting(selector: PollerSelector, seconds: float) -> None:
    started = time.monotonic()
    assert selector.select(seconds) == []
    assert time.monotonic() - started < 1


def test_select_waits_for_ever_for_what_comes(selector: PollerSelector, pair: Pair) -> None:
    key = selector.register(pair[0], EVENT_READ)
    threading.Timer(0.02, pair[1].send, [b"x"]).start()
    assert selector.select() == [(key, EVENT_READ)]


# -- looking again before it sleeps


def wait_shortly(selector: PollerSelector, pair: Pair, times: int) -> None:
    """Let so many waits find something that is there already."""
    pair[1].send(b"x")
    for _ in range(times):
        assert selector.select(5)
    pair[0].recv(1)


def vain_looks(selector: PollerSelector, pair: Pair, *, short: int) -> int:
    """Return how often the selector looked in vain in a wait that followed short ones."""
    before = selector.poller.vain_looks
    wait_shortly(selector, pair, short)
    assert selector.select(0.001) == []
    return selector.poller.vain_looks - before


def test_a_wait_after_short_ones_looks_before_it_sleeps(
    selector: PollerSelector, pair: Pair
) -> None:
    selector.register(pair[0], EVENT_READ)
    # So long that no other program on the machine can make a short wait of it a long one.
    selector.poller.poll_busily(0.001)
    # It must have seen four short waits, and then never in vain.
    assert vain_looks(selector, pair, short=3) == 0
    assert sum(vain_looks(selector, pair, short=40) for _ in range(20)) in range(2, 8)
    # Each look in vain makes it wait for more short ones: sixteen, 32, 64, and so on.
    assert vain_looks(selector, pair, short=10) == 0


def test_a_wait_does_not_look_without_busy_polling(selector: PollerSelector, pair: Pair) -> None:
    selector.register(pair[0], EVENT_READ)
    assert sum(vain_looks(selector, pair, short=40) for _ in range(20)) == 0


def test_looking_finds_what_comes(selector: PollerSelector, pair: Pair) -> None:
    key = selector.register(pair[0], EVENT_READ)
    selector.poller.poll_busily(0.001)
    for number in range(200):
        wait_shortly(selector, pair, 5)
        timer = threading.Timer(number * 0.00001, pair[1].send, [b"x"])
        timer.start()
        assert selector.select(5) == [(key, EVENT_READ)]
        timer.join()
        pair[0].recv(1)


@pytest.mark.parametrize("seconds", [-1e-9, 0.0011, float("nan"), float("inf")])
def test_how_long_it_looks_is_bounded(seconds: float) -> None:
    with pytest.raises(ValueError, match=r"busy_poll must be between 0 and 0\.001 s"):
        EventLoop(busy_poll=seconds)


@pytest.mark.parametrize("busy_poll, looks", [(None, True), (0.0005, True), (0.0, False)])
def test_an_event_loop_looks_unless_told_not_to(
    pair: Pair, busy_poll: float | None, looks: bool
) -> None:
    loop = EventLoop() if busy_poll is None else EventLoop(busy_poll=busy_poll)
    with contextlib.closing(loop):
        selector = loop._selector
        assert isinstance(selector, PollerSelector)
        selector.register(pair[0], EVENT_READ)
        seen = 0
        for _ in range(200):
            # Another program may take the processor in the middle of a short wait.
            seen += vain_looks(selector, pair, short=300)
            if seen:
                break
        assert bool(seen) is looks
        selector.unregister(pair[0])


def test_a_closed_selector_has_no_map(pair: Pair) -> None:
    selector = PollerSelector()
    selector.register(pair[0], EVENT_READ)
    selector.close()
    assert selector.get_map() is None
    selector.close()


# -- an event loop on it


@engine_loop
async def test_foreign_sockets_beside_the_engines(loop_factory: object, pair: Pair) -> None:
    loop = asyncio.get_running_loop()
    near, far = pair
    near.setblocking(False)
    foreign: list[bytes] = []
    changed = asyncio.Event()

    def readable() -> None:
        foreign.append(near.recv(10))
        changed.set()

    loop.add_reader(near, readable)
    with linked() as (_, owner, theirs):
        for number in range(1, 20):
            far.send(b"f")
            theirs.send(b"e")
            await changed.wait()
            changed.clear()
            await owner.until(lambda number=number: len(owner.received) == number)
        assert foreign == [b"f"] * 19
        loop.add_writer(near, changed.set)
        await changed.wait()
        assert loop.remove_writer(near)
        assert not loop.remove_writer(near)
        assert loop.remove_reader(near)
        far.send(b"unread")
        theirs.send(b"read")
        await owner.until(lambda: owner.received.endswith(b"read"))
        assert foreign == [b"f"] * 19


@engine_loop
async def test_foreign_sockets_are_not_starved(loop_factory: object, pair: Pair) -> None:
    """A loop whose engine always has something to do serves the rest as well."""
    loop = asyncio.get_running_loop()
    near, far = pair
    near.setblocking(False)
    with linked() as (_, flooded, theirs):
        flooded.on["data"] = lambda data: theirs.send(b"again")
        theirs.send(b"first")
        far.send(b"x")
        assert await asyncio.wait_for(loop.sock_recv(near, 1), 5) == b"x"
        async with asyncio.timeout(5):
            await asyncio.sleep(0.01)
            await loop.run_in_executor(None, time.sleep, 0.001)
        del flooded.on["data"]


@engine_loop
async def test_other_threads_wake_the_loop(loop_factory: object) -> None:
    loop = asyncio.get_running_loop()
    woken = asyncio.Event()
    thread = threading.Timer(0.01, loop.call_soon_threadsafe, [woken.set])
    thread.start()
    await asyncio.wait_for(woken.wait(), 5)
    thread.join()
    assert await loop.run_in_executor(None, lambda: 6 * 7) == 42


@engine_loop
@pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")
async def test_signal_handlers_run(loop_factory: object) -> None:
    loop = asyncio.get_running_loop()
    heard = asyncio.Event()
    loop.add_signal_handler(signal.SIGUSR1, heard.set)
    threading.Timer(0.01, os.kill, [os.getpid(), signal.SIGUSR1]).start()
    await asyncio.wait_for(heard.wait(), 5)
    assert loop.remove_signal_handler(signal.SIGUSR1)


def test_subprocesses_are_run_and_waited_for() -> None:
    async def main() -> tuple[bytes, int | None]:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            "import sys; print(sys.stdin.read()[::-1]); sys.exit(3)",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await asyncio.wait_for(process.communicate(b"abc"), 20)
        return output, process.returncode

    with asyncio.Runner(loop_factory=EventLoop) as runner:
        assert runner.run(main()) == (b"cba\n", 3)


def test_an_ordinary_selector_would_say_the_same(pair: Pair) -> None:
    """The interface is that of the selectors of the standard library."""
    results = []
    for kind in (PollerSelector, selectors.DefaultSelector):
        with kind() as selector:
            near, far = pair
            far.send(b"x")
            selector.register(near, EVENT_READ | EVENT_WRITE, 1)
            seen = 0
            for key, events in selector.select(1):
                assert key.data == 1
                seen |= events
            results.append((seen, near.recv(1), [*selector.get_map()]))
    assert results[0] == results[1]
