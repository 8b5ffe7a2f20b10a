"""The histogram: held against sorted lists."""

from __future__ import annotations

import math
import random

import pytest

from duologue.cli.bench.histogram import Histogram, _end, _start

PERCENTS = (0, 1, 50, 75, 90, 99, 99.9, 100)


def of(values: list[int]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    return histogram


def test_every_value_is_in_its_step():
    rng = random.Random(3)
    values = [*range(5000), *(rng.randrange(1 << rng.randrange(1, 50)) for _ in range(5000))]
    for value in values:
        ((number, count),) = of([value]).counts.items()
        assert count == 1
        assert _start(number) <= value < _end(number)
        assert _end(number) - _start(number) <= max(1, value / 128)


@pytest.mark.parametrize("count", [1, 2, 10, 1000])
def test_percentiles_are_within_the_error(count):
    rng = random.Random(count)
    values = sorted(round(rng.lognormvariate(13, 2)) for _ in range(count))
    histogram = of(values)
    for percent in PERCENTS:
        exact = values[max(1, math.ceil(count * percent / 100)) - 1]
        assert exact <= histogram.percentile(percent) <= exact * (1 + 1 / 128)


def test_what_is_exact():
    histogram = of([7, 1_000_003, 5_000_000_011])
    assert (histogram.least, histogram.most, histogram.count) == (7, 5_000_000_011, 3)
    assert histogram.mean == (7 + 1_000_003 + 5_000_000_011) / 3
    assert histogram.percentile(100) == 5_000_000_011


def test_of_nothing():
    assert Histogram().percentile(99) == 0
    assert Histogram().mean == 0


def test_a_clock_that_goes_backwards_counts_as_0():
    assert of([-5]).least == of([-5]).most == 0


def test_sums():
    rng = random.Random(9)
    values = [rng.randrange(1 << 30) for _ in range(2000)]
    whole = of(values)
    parts = Histogram()
    parts.add(Histogram())
    for place in range(0, 2000, 300):
        parts.add(of(values[place : place + 300]))
    parts.add(Histogram())
    assert parts == whole


def test_shares():
    histogram = of([10, 20, 30, 1000])
    assert list(histogram.shares([0, 15, 100, 2000])) == [0.25, 0.5, 0.25]
    assert list(Histogram().shares([0, 1])) == [0.0]
