"""What a message costs in system calls and allocations: counted, so these bounds hold anywhere."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

CALLBACK, COROUTINE = "duologue callback (duologue)", "duologue coroutine (duologue)"
SINGLE, BURST = "one at a time", "bursts of 16"
#: Multiples of a burst; far enough apart that what timers do meanwhile is lost in it.
SHORT, LONG = 320, 1920


@pytest.fixture
def counts(programs: Path, bench_modules: None, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module, with the programs compiled for the tests and the interpreter that runs them."""
    if "LD_PRELOAD" in os.environ:
        pytest.skip("something else is preloaded, such as a sanitizer")
    monkeypatch.setenv("BENCH_BIN", str(programs))
    monkeypatch.setenv("BENCH_PYTHON", sys.executable)
    import counts

    if counts.ALLOCATIONS.missing():
        pytest.skip("the counter could not be compiled")
    return counts


def count(counts: ModuleType, row: str, way: str) -> tuple[float, float]:
    """Return system calls and allocations for one message more."""
    tools = [counts.SOCKET_CALLS, counts.ALLOCATIONS]
    server = counts.SERVERS_BY_NAME[row]
    calls, allocations = counts.per_message(tools, server, counts.WAYS[way], SHORT, LONG)
    return calls, allocations


@pytest.mark.parametrize(("way", "calls"), [(SINGLE, 3), (BURST, 3 / 16)])
def test_the_counter_counts(counts: ModuleType, way: str, calls: float) -> None:
    """The raw server makes three calls each time: epoll_wait, recv and send."""
    found, allocations = count(counts, "raw epoll (C)", way)
    assert found == pytest.approx(calls, rel=0.1)
    assert allocations == 0


@pytest.mark.parametrize(
    ("row", "way", "most_calls", "most_allocations"),
    [
        (CALLBACK, SINGLE, 3.2, 3),
        (CALLBACK, BURST, 0.25, 3),
        (COROUTINE, SINGLE, 3.2, 8),
        (COROUTINE, BURST, 0.25, 3),
    ],
)
def test_a_message(
    counts: ModuleType, row: str, way: str, most_calls: float, most_allocations: float
) -> None:
    calls, allocations = count(counts, row, way)
    assert 2 / 16 <= calls <= most_calls
    # The message itself is one.
    assert 0.9 <= allocations <= most_allocations
