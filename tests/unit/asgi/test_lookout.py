"""Looking for answers before a loop that isn't ours sleeps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from duologue.asgi import lookout
from duologue.net.engine import PROVEN, backend
from duologue.net.loops import new_event_loop


class Loop:
    """Keeps what is to be called."""

    def __init__(self) -> None:
        self.due: list[Callable[[], object]] = []

    def call_soon(self, callback: Callable[[], object]) -> None:
        self.due.append(callback)

    def turn(self) -> None:
        due, self.due = self.due, []
        for callback in due:
            callback()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(lookout, "perf_counter", lambda: now[0])
    return now


def test_quick_answers_are_looked_for(clock: list[float]) -> None:
    loop: Any = Loop()
    watch = lookout.Lookout(loop)
    for _ in range(lookout.QUICK):
        watch.read()
        assert loop.due == []
        clock[0] += lookout.LOOK
    watch.read()
    watch.read()
    assert len(loop.due) == 1
    clock[0] += lookout.LOOK / 2
    loop.turn()
    assert len(loop.due) == 1
    clock[0] += lookout.LOOK
    loop.turn()
    assert loop.due == []


def test_slow_answers_are_not(clock: list[float]) -> None:
    loop: Any = Loop()
    watch = lookout.Lookout(loop)
    for _ in range(3 * lookout.QUICK):
        watch.read()
        clock[0] += 3 * lookout.LOOK
    assert loop.due == []


async def test_one_for_each_loop_but_ours() -> None:
    loop = asyncio.get_running_loop()
    found = lookout.lookout_of(loop)
    assert found is not None
    assert lookout.lookout_of(loop) is found
    ours = new_event_loop()
    try:
        assert (lookout.lookout_of(ours) is None) == (backend() == PROVEN)
    finally:
        ours.close()
