"""Timers of a loop, in virtual time: when they run, and how little they cost."""

from __future__ import annotations

import asyncio
import gc
import random
import weakref

import pytest

from duologue.net.timers import Timer, Timers, timers_of
from duologue.testing import VirtualClock, VirtualEventLoop

pytestmark = pytest.mark.virtual_time


class Log:
    """Notes when timers run."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.timers = timers_of(self.loop)
        self.ran: list[tuple[str, float]] = []

    def timer(self, name: str) -> Timer:
        return Timer(self.timers, lambda: self.ran.append((name, self.loop.time())))


async def test_timers_run_when_they_are_due_in_order() -> None:
    log = Log()
    timers = {name: log.timer(name) for name in "abc"}
    timers["a"].set(3)
    timers["b"].set(1)
    timers["c"].set(2)
    await asyncio.sleep(10)
    assert log.ran == [("b", 1), ("c", 2), ("a", 3)]
    assert all(timer.when is None for timer in timers.values())


async def test_timers_of_one_moment_run_in_the_order_of_setting() -> None:
    log = Log()
    kept = [log.timer(name) for name in "abc"]
    for timer in kept:
        timer.set(1)
    await asyncio.sleep(1)
    assert [name for name, _ in log.ran] == ["a", "b", "c"]


@pytest.mark.parametrize("moves", [[5, 9], [5, 2], [5, 9, 2], [5, 2, 9], [5, 2, 5], [2, 5, 2, 5]])
async def test_a_moved_timer_runs_once_at_its_last_time(moves: list[float]) -> None:
    log = Log()
    timer = log.timer("a")
    for when in moves:
        timer.set(when)
    await asyncio.sleep(20)
    assert log.ran == [("a", moves[-1])]


async def test_a_cleared_timer_does_not_run_but_may_be_set_again() -> None:
    log = Log()
    timer = log.timer("a")
    timer.set(1)
    timer.clear()
    await asyncio.sleep(5)
    assert log.ran == []
    timer.set(7)
    await asyncio.sleep(5)
    assert log.ran == [("a", 7)]


async def test_a_callback_may_set_its_timer() -> None:
    loop = asyncio.get_running_loop()
    times: list[float] = []

    def again() -> None:
        times.append(loop.time())
        if len(times) < 3:
            timer.set(loop.time() + 2)
        elif len(times) < 5:
            timer.set(loop.time())

    timer = Timer(timers_of(loop), again)
    timer.set(1)
    await asyncio.sleep(20)
    assert times == [1, 3, 5, 5, 5]


async def test_a_dropped_timer_lets_go_of_its_callback() -> None:
    log = Log()
    timer = log.timer("a")
    timer.set(1)
    callback = weakref.ref(timer.callback)
    timer.drop()
    timer.drop()
    assert callback() is None
    await asyncio.sleep(5)
    assert log.ran == []


async def test_a_failing_callback_stops_no_other() -> None:
    log = Log()
    errors: list[object] = []
    log.loop.set_exception_handler(lambda loop, context: errors.append(context["exception"]))
    bad = Timer(log.timers, lambda: [][0])
    good = log.timer("good")
    bad.set(1)
    good.set(1)
    await asyncio.sleep(2)
    assert [type(error) for error in errors] == [IndexError]
    assert log.ran == [("good", 1)]


async def test_dropped_and_moved_timers_leave_no_litter() -> None:
    log = Log()
    kept = log.timer("kept")
    kept.set(1000)
    for _ in range(1000):
        timer = log.timer("dropped")
        timer.set(500)
        timer.drop()
    assert len(log.timers) == 1
    for when in range(999, 1, -1):
        kept.set(when)
    assert len(log.timers) == 1
    kept.drop()
    assert len(log.timers) == 0


async def test_callbacks_may_drop_and_move_other_timers() -> None:
    log = Log()
    others = [log.timer(str(number)) for number in range(10)]

    def disturb() -> None:
        for timer in others[:8]:
            timer.drop()
        others[8].set(3)

    for timer in others:
        timer.set(5)
    disturber = Timer(log.timers, disturb)
    disturber.set(2)
    await asyncio.sleep(10)
    assert log.ran == [("8", 3), ("9", 5)]


async def test_one_loop_timer_for_all() -> None:
    loop = asyncio.get_running_loop()
    timers = timers_of(loop)
    assert timers_of(loop) is timers
    before = len(loop._scheduled)  # type: ignore[attr-defined]
    kept = [Timer(timers, lambda: None) for _ in range(100)]
    for number, timer in enumerate(kept):
        timer.set(10 + number)
    assert len(loop._scheduled) == before + 1  # type: ignore[attr-defined]
    for timer in kept:
        timer.drop()


def test_timers_go_with_their_loop() -> None:
    loop = VirtualEventLoop(VirtualClock())
    timers = timers_of(loop)
    timer = Timer(timers, lambda: None)
    timer.set(1)
    loop.close()
    # Setting one on a loop that is closed, or gone, does nothing.
    timer.set(0.5)
    gone = weakref.ref(loop)
    del loop
    gc.collect()
    assert gone() is None
    timer.set(0.25)
    assert isinstance(timers, Timers)


async def test_a_timer_that_nobody_holds_is_not_due() -> None:
    log = Log()
    timer = log.timer("a")
    timer.set(1)
    assert [each is timer for each in log.timers.pending()] == [True]
    del timer
    assert len(log.timers) == 0
    assert log.timers.pending() == []
    await asyncio.sleep(2)
    assert log.ran == []


async def test_a_timer_in_a_cycle_goes_with_it() -> None:
    """The collector may free a set timer together with what its callback leads to."""

    class Owner:
        def __init__(self, number: float) -> None:
            self.timer = Timer(timers, self.due)
            self.timer.set(number)

        def due(self) -> None:
            raise AssertionError

    timers = timers_of(asyncio.get_running_loop())
    for number in range(1000):
        Owner(1 + number % 7)
    gc.collect()
    assert len(timers) == 0
    await asyncio.sleep(10)


async def test_pending_timers_are_those_that_are_set() -> None:
    log = Log()
    timers = [log.timer(name) for name in "abc"]
    for timer in timers:
        timer.set(3)
    timers[1].clear()
    assert timers[1].when is None
    assert {id(timer) for timer in log.timers.pending()} == {id(timers[0]), id(timers[2])}
    assert "when=3.0" in repr(timers[0])
    for timer in timers:
        timer.drop()
    assert log.timers.pending() == []


async def test_a_time_that_is_none_is_refused() -> None:
    timer = Log().timer("a")
    with pytest.raises(ValueError, match="NaN"):
        timer.set(float("nan"))
    assert timer.when is None


@pytest.mark.parametrize("seed", range(20))
async def test_any_order_of_calls_gives_the_same_as_a_plain_list(seed: int) -> None:
    """Set, moved, cleared and dropped at random: what is left runs in the order of its times."""
    chance = random.Random(seed)
    log = Log()
    timers = [log.timer(str(number)) for number in range(60)]
    due: dict[str, float] = {}
    for _ in range(600):
        number = chance.randrange(len(timers))
        what = chance.random()
        if what < 0.7:
            due[str(number)] = chance.randrange(1, 1000) + number / 100
            timers[number].set(due[str(number)])
        elif what < 0.85:
            due.pop(str(number), None)
            timers[number].clear()
        else:
            due.pop(str(number), None)
            timers[number].drop()
            timers[number] = log.timer(str(number))
    await asyncio.sleep(2000)
    assert log.ran == sorted(due.items(), key=lambda each: each[1])
    assert len(log.timers) == 0


async def test_the_loop_has_no_timer_when_all_are_dropped() -> None:
    loop = asyncio.get_running_loop()
    timer = Timer(timers_of(loop), lambda: None)
    timer.set(5)
    assert any(not handle.cancelled() for handle in loop._scheduled)  # type: ignore[attr-defined]
    timer.drop()
    assert all(handle.cancelled() for handle in loop._scheduled)  # type: ignore[attr-defined]
