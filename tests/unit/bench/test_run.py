"""A run of the bench: what it keeps, and what it leaves out."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.leftovers_allowed

RAW = "raw epoll (C)"
Start = Callable[..., Any]


@pytest.fixture
def start(
    programs: Path, bench_modules: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Start:
    """Returns a run with the given words on its command line; its parts are in tmp_path."""
    monkeypatch.setenv("BENCH_BIN", str(programs))
    monkeypatch.setenv("BENCH_PYTHON", sys.executable)
    import parts
    import run

    monkeypatch.setattr(parts, "PARTS", tmp_path)

    def make(*words: str) -> Any:
        command = ["run.py", "--servers", "raw", "--seconds", "0.02", "--part", "p", *words]
        monkeypatch.setattr(sys, "argv", command)
        return run.Bench(run.parse_arguments())

    return make


def test_every_round_is_kept(start: Start) -> None:
    import parts

    bench = start("--scenarios", "a", "i", "--rounds", "7")
    bench.run()
    part = parts.load("p")
    assert part is not None
    assert list(part["results"]) == ["a", "i"]
    assert part["results"]["a"][RAW]["round"] == list(range(7))
    assert min(part["results"]["i"][RAW]["per_second"]) > 0
    assert part["setups"][RAW]["nodelay"] in (True, None)
    assert part["setups"][RAW]["extensions"] == "none"
    assert part["notes"] == []


def test_scenarios_are_added_to_a_part(start: Start) -> None:
    import parts

    start("--scenarios", "b", "--rounds", "1").run()
    start("--scenarios", "a", "--rounds", "2", "--add").run()
    part = parts.load("p")
    assert part is not None
    assert list(part["results"]) == ["a", "b"]
    assert len(part["results"]["a"][RAW]["round"]) == 2
    start("--scenarios", "d", "--rounds", "1").run()
    part = parts.load("p")
    assert part is not None
    assert list(part["results"]) == ["d"]


def test_a_run_ends_with_its_budget(start: Start) -> None:
    bench = start("--scenarios", "a", "b", "--rounds", "15", "--budget", "0.001")
    bench.run()
    assert "b: only 0 rounds: the time was over" in bench.notes
    assert len(bench.results.get("a", {}).get(RAW, [])) <= 5


def test_a_server_that_fails_is_left_out_with_a_note(start: Start) -> None:
    import peers

    bench = start("--scenarios", "a", "--rounds", "2")
    broken = peers.Server("broken", lambda variant: ["false"], "a broken one")
    bench.plan["a"].append(broken)
    bench.run()
    assert list(bench.results["a"]) == [RAW]
    assert len(bench.results["a"][RAW]) == 2
    assert bench.notes == ["a: broken: broken ended at once: (it printed nothing)"]
