"""The picture of a load test, without one."""

from __future__ import annotations

import random

import pytest

from duologue.cli.bench.counts import Counts
from duologue.cli.bench.crew import Progress, Result
from duologue.cli.bench.histogram import Histogram
from duologue.cli.bench.picture import as_json, duration, picture, progress_line, title
from duologue.cli.bench.plan import Plan, Way

PLAN = Plan(Way("ws://127.0.0.1/"))


def result(values: list[int], **counts: int) -> Result:
    found = Result(rate=len(values) / 2, seconds=2.0)
    for value in values:
        found.counts.latency.record(value)
    found.counts.answered = found.counts.sent = len(values)
    for name, value in counts.items():
        setattr(found.counts, name, value)
    return found


@pytest.mark.parametrize(
    ("nanoseconds", "shown"),
    [
        (0, "0 µs"),
        (999, "0.999 µs"),
        (1234, "1.23 µs"),
        (123_456, "123 µs"),
        (1_234_567, "1.23 ms"),
        (2e9, "2 s"),
        (1234e9, "1234 s"),
    ],
)
def test_durations(nanoseconds, shown):
    assert duration(nanoseconds) == shown


@pytest.mark.parametrize("seed", range(20))
def test_the_rows_hold_everything(seed):
    rng = random.Random(seed)
    values = [round(rng.lognormvariate(12, rng.random() * 3)) for _ in range(rng.randrange(1, 500))]
    lines = list(picture(PLAN, result(values), unicode=True))
    rows = [line for line in lines if " – " in line]
    shares = [float(line.split("%")[0].split()[-1]) for line in rows]
    assert 1 <= len(rows) <= 12
    assert sum(shares) == pytest.approx(100, abs=0.05 * len(rows) + 0.01)
    longest = max(line.count("█") for line in rows)
    assert longest == 40


def test_of_one_value_and_of_none():
    lines = list(picture(PLAN, result([0]), unicode=True))
    assert any("100.0%" in line for line in lines)
    lines = list(picture(PLAN, result([]), unicode=True))
    assert "latency" not in " ".join(lines)


def test_ascii():
    text = "\n".join(picture(PLAN, result([5000, 70_000]), unicode=False))
    assert text.isascii()
    assert "#" * 40 in text and "70 us" in text


def test_errors_are_named_and_harmless():
    found = result([5], lost=2, different=1)
    found.counts.example("a \x1b[31mred example")
    lines = list(picture(PLAN, found, unicode=True))
    assert "errors       3" in lines
    assert "          2  connections lost" in lines
    assert "          1  answers that are not what was sent" in lines
    assert lines[-1] == r"  such as: a \x1b[31mred example"


def test_processes_that_died_are_errors():
    found = result([5])
    found.died = 1
    assert "          1  processes that died" in list(picture(PLAN, found, unicode=True))
    assert as_json(PLAN, 1, found)["errors"]["total"] == 1


def test_an_early_end_is_said():
    found = result([5])
    found.interrupted = True
    assert next(picture(PLAN, found, unicode=True)) == "ended early"


def test_titles():
    assert title(PLAN, 1) == (
        "10 connections, closed loop with 1 in flight, 10 s, 32 bytes of text"
    )
    plan = Plan(PLAN.way, connections=1, rate=1e6, payload=b"xyz", text=False, messages=5)
    assert title(plan, 2) == (
        "1 connection, open loop of 1,000,000 messages/s, 5 messages, 10 s, 3 bytes of binary, "
        "2 processes"
    )


def test_progress():
    counts, recent = Counts(open=5, lost=1), Histogram()
    recent.record(2_000_000)
    assert progress_line(Progress("connecting", 1.0, counts, 0.0, Histogram())) == (
        "connecting   1.0 s  5 open  1 errors"
    )
    assert progress_line(Progress("measuring", 2.5, counts, 1234.5, recent)) == (
        "measuring   2.5 s  5 open  1,234 messages/s  median 2 ms, 99 % 2 ms  1 errors"
    )
