"""The parts of uvicorn's protocol that need no uvicorn; tests/interop has the rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from duologue.asgi import uvicorn


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
    monkeypatch.setattr(uvicorn, "perf_counter", lambda: now[0])
    return now


def test_quick_answers_are_looked_for(clock: list[float]) -> None:
    loop: Any = Loop()
    lookout = uvicorn._Lookout(loop)
    for _ in range(uvicorn._QUICK):
        lookout.read()
        assert loop.due == []
        clock[0] += uvicorn._LOOK
    lookout.read()
    lookout.read()
    assert len(loop.due) == 1
    clock[0] += uvicorn._LOOK / 2
    loop.turn()
    assert len(loop.due) == 1
    clock[0] += uvicorn._LOOK
    loop.turn()
    assert loop.due == []


def test_slow_answers_are_not(clock: list[float]) -> None:
    loop: Any = Loop()
    lookout = uvicorn._Lookout(loop)
    for _ in range(3 * uvicorn._QUICK):
        lookout.read()
        clock[0] += 3 * uvicorn._LOOK
    assert loop.due == []
