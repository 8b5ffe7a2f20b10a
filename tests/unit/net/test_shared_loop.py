"""The loop that other threads use while it waits."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Iterator

import pytest

from duologue.net.io_thread import IoThread
from duologue.net.shared_loop import SharedLoop


@pytest.fixture
def io() -> Iterator[IoThread]:
    """A thread of the test's own, with a shared loop."""
    thread = IoThread()
    assert isinstance(thread.loop, SharedLoop)
    thread.start()
    yield thread
    thread.stop()


def test_call_soon_of_a_visitor_wakes_the_loop(io: IoThread) -> None:
    ran = threading.Event()
    assert io.gate is not None
    for _ in range(50):
        ran.clear()
        io.gate.run(io.loop.call_soon, ran.set)
        assert ran.wait(5)


def test_a_visitors_timer_is_not_waited_out(io: IoThread) -> None:
    """The loop sleeps for its first timer; an earlier one of a visitor wakes it in time."""
    ran = threading.Event()
    assert io.gate is not None
    io.gate.run(io.loop.call_later, 60, ran.set)
    time.sleep(0.02)  # asleep for a minute now
    begun = time.monotonic()
    io.gate.run(io.loop.call_later, 0.03, ran.set)
    assert ran.wait(5)
    assert 0.03 <= time.monotonic() - begun < 5


def test_timers_are_never_early(io: IoThread) -> None:
    async def sleep() -> float:
        begun = time.monotonic()
        await asyncio.sleep(0.013)
        return time.monotonic() - begun

    assert io.run(sleep()) >= 0.013


def test_callbacks_run_inside(io: IoThread) -> None:
    async def inside() -> bool:
        assert io.gate is not None
        return io.gate.inside

    assert io.run(inside())


def test_a_busy_loop_lets_visitors_in(io: IoThread) -> None:
    stop = False

    def again() -> None:
        if not stop:
            io.loop.call_soon(again)

    io.call(again)
    assert io.gate is not None
    for number in range(200):
        assert io.gate.run(lambda number=number: number) == number
    stop = True


def test_foreign_descriptors(io: IoThread) -> None:
    """The loop is an ordinary one besides."""
    reading, writing = os.pipe()
    seen = threading.Event()
    try:
        io.call(io.loop.add_reader, reading, seen.set)
        assert not seen.wait(0.05)
        os.write(writing, b"x")
        assert seen.wait(5)
        assert io.call(io.loop.remove_reader, reading)
    finally:
        os.close(reading)
        os.close(writing)
