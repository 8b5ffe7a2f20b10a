"""A flood that never ends inside one ``select`` of the engine's loop, and all that must end it.

Two links of the engine send each other the same octet for ever, so there is always something of the
engine's own to handle and never a reason of the flood's to take a turn of the loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from duologue.net.selector import EventLoop, PollerSelector
from duologue.net.socket_link import SocketLink

pytestmark = pytest.mark.parametrize("loop_factory", [EventLoop])


class Bouncer:
    """Sends back what it gets."""

    def __init__(self, link: SocketLink) -> None:
        self.link = link
        self.count = 0
        self.then: dict[int, Callable[[], object]] = {}

    def data_received(self, data: bytes) -> None:
        self.count += 1
        if self.count in self.then:
            self.then[self.count]()
        self.link.write_octets(data)

    def eof_received(self) -> None:
        pass

    def writable(self, yes: bool) -> None:
        pass

    def connection_lost(self, exc: Exception | None) -> None:
        pass


@contextlib.contextmanager
def flood() -> Iterator[Bouncer]:
    links = [SocketLink(asyncio.get_running_loop(), sock) for sock in socket.socketpair()]
    bouncers = [Bouncer(link) for link in links]
    for link, bouncer in zip(links, bouncers, strict=True):
        link.attach(bouncer)
        link.begin()
    links[0].write_octets(b"x")
    try:
        yield bouncers[0]
    finally:
        for link in links:
            link.abort_link()


async def test_no_turn_is_taken_for_the_flood(
    loop_factory: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That the other tests test something: without what they do there is one long ``select``."""
    calls = 0
    select = PollerSelector.select

    def counted(self: PollerSelector, timeout: float | None = None) -> object:
        nonlocal calls
        calls += 1
        return select(self, timeout)

    with flood() as bouncer:
        await asyncio.sleep(0)
        monkeypatch.setattr(PollerSelector, "select", counted)
        before = bouncer.count
        await asyncio.sleep(0.1)
        assert bouncer.count - before > 50
        assert calls <= 3


async def test_without_a_view_of_the_callbacks_each_batch_is_a_turn(
    loop_factory: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0
    select = PollerSelector.select

    def counted(self: PollerSelector, timeout: float | None = None) -> object:
        nonlocal calls
        calls += 1
        self.due = None
        return select(self, timeout)

    with flood() as bouncer:
        monkeypatch.setattr(PollerSelector, "select", counted)
        before = bouncer.count
        await asyncio.sleep(0.05)
        assert calls > (bouncer.count - before) > 20


async def test_a_timer_is_on_time(loop_factory: object) -> None:
    loop = asyncio.get_running_loop()
    with flood():
        for seconds in (0.0, 0.001, 0.05):
            began = loop.time()
            await asyncio.sleep(seconds)
            assert seconds <= loop.time() - began < seconds + 2.0


async def test_a_timer_set_meanwhile_is_on_time(loop_factory: object) -> None:
    """An earlier one than the loop knew of when it began to wait."""
    loop = asyncio.get_running_loop()
    fired: list[float] = []
    late = loop.call_later(600, fired.append, 0.0)
    with flood() as bouncer:
        done = asyncio.Event()

        def fire(began: float) -> None:
            fired.append(loop.time() - began)
            done.set()

        def set_timer() -> None:
            loop.call_later(0.02, fire, loop.time())

        bouncer.then[100] = set_timer
        await done.wait()
        assert 0.02 <= fired[0] < 2.0
    late.cancel()


async def test_a_callback_scheduled_meanwhile_runs_after_the_batch(loop_factory: object) -> None:
    loop = asyncio.get_running_loop()
    seen = []
    with flood() as bouncer:
        done = asyncio.Event()

        def ran() -> None:
            seen.append(bouncer.count)
            done.set()

        bouncer.then[100] = lambda: loop.call_soon(ran)
        await done.wait()
    assert 100 <= seen[0] <= 102


async def test_a_future_set_meanwhile_wakes_its_task(loop_factory: object) -> None:
    future = asyncio.get_running_loop().create_future()
    with flood() as bouncer:
        bouncer.then[100] = lambda: future.set_result(bouncer.count)
        assert await future == 100
        assert bouncer.count <= 102


async def test_another_thread_is_heard(loop_factory: object) -> None:
    loop = asyncio.get_running_loop()
    with flood() as bouncer:
        future = loop.create_future()
        timer = threading.Timer(0.02, loop.call_soon_threadsafe, (future.set_result, "heard"))
        timer.start()
        assert await asyncio.wait_for(future, 10) == "heard"
        assert bouncer.count > 1
        timer.join()


async def test_foreign_descriptors_are_served(loop_factory: object) -> None:
    loop = asyncio.get_running_loop()
    near, far = socket.socketpair()
    with near, far, flood() as bouncer:
        near.setblocking(False)
        bouncer.then[100] = lambda: far.send(b"y")
        assert await asyncio.wait_for(loop.sock_recv(near, 1), 10) == b"y"


async def test_an_added_reader_is_served(loop_factory: object) -> None:
    loop = asyncio.get_running_loop()
    near, far = socket.socketpair()
    with near, far, flood() as bouncer:
        done = asyncio.Event()
        far.send(b"y")
        bouncer.then[100] = lambda: loop.add_reader(near.fileno(), done.set)
        await asyncio.wait_for(done.wait(), 10)
        loop.remove_reader(near.fileno())


async def test_a_signal_handler_of_the_loop_runs(loop_factory: object) -> None:
    loop = asyncio.get_running_loop()
    done = asyncio.Event()
    loop.add_signal_handler(signal.SIGUSR1, done.set)
    try:
        with flood() as bouncer:
            bouncer.then[100] = lambda: os.kill(os.getpid(), signal.SIGUSR1)
            await asyncio.wait_for(done.wait(), 10)
    finally:
        loop.remove_signal_handler(signal.SIGUSR1)


async def test_a_signal_handler_of_python_runs_at_once(loop_factory: object) -> None:
    seen: list[int] = []
    with flood() as bouncer:
        before = signal.signal(signal.SIGUSR1, lambda *_: seen.append(bouncer.count))
        try:
            bouncer.then[100] = lambda: os.kill(os.getpid(), signal.SIGUSR1)
            bouncer.then[200] = lambda: done.set()
            done = asyncio.Event()
            await done.wait()
        finally:
            signal.signal(signal.SIGUSR1, before)
    assert 100 <= seen[0] <= 102


def test_stop_stops(loop_factory: Callable[[], EventLoop]) -> None:
    loop = loop_factory()

    async def begin() -> None:
        stack.enter_context(flood()).then[100] = loop.stop

    with contextlib.ExitStack() as stack:
        loop.run_until_complete(begin())
        began = time.monotonic()
        late = loop.call_later(600, int)
        loop.run_forever()
        assert time.monotonic() - began < 10
        late.cancel()

        async def end() -> None:
            stack.close()

        loop.run_until_complete(end())
    loop.close()


def test_control_c_interrupts(loop_factory: object) -> None:
    """With the runner's own handler, and without: in a process, since it is the whole one's."""
    program = """
        import asyncio, os, signal, socket, sys, time
        sys.path.insert(0, {here!r})
        from test_flood import flood
        from duologue.net.selector import EventLoop
        async def main():
            if {bare}:
                signal.signal(signal.SIGINT, signal.default_int_handler)
            with flood() as bouncer:
                bouncer.then[100] = lambda: os.kill(os.getpid(), signal.SIGINT)
                await asyncio.sleep(600)
        try:
            with asyncio.Runner(loop_factory=EventLoop) as runner:
                runner.run(main())
        except KeyboardInterrupt:
            print("interrupted")
    """
    for bare in (False, True):
        text = textwrap.dedent(program.format(here=os.path.dirname(__file__), bare=bare))
        result = subprocess.run(
            [sys.executable, "-c", text], capture_output=True, text=True, timeout=60
        )
        assert result.stdout == "interrupted\n", result.stderr
