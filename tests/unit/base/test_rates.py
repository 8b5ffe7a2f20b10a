from __future__ import annotations

import math

import pytest

from duologue.base.rates import Rate


def test_defaults():
    rate = Rate(100)
    assert (rate.count, rate.seconds, rate.burst) == (100, 1.0, 100.0)
    assert (rate.interval, rate.lead) == (0.01, 1.0)


def test_all_at_once_is_the_default_burst():
    assert Rate(100, 60).burst == 100
    assert Rate(0.1).burst == 1
    assert Rate(100, 60, burst=10).lead == pytest.approx(6)


def test_of():
    assert Rate.of(None) is None
    assert Rate.of(5) == Rate(5)
    rate = Rate(5, 60)
    assert Rate.of(rate) is rate


def test_str():
    assert str(Rate(5)) == "5/s, 5 at once"
    assert str(Rate(100, 60, 10)) == "100/60 s, 10 at once"


@pytest.mark.parametrize("name", ["count", "seconds", "burst"])
def test_impossible_values(name):
    values = {"count": 5, "seconds": 1}
    for value in (0, -1, math.inf, math.nan):
        with pytest.raises(ValueError, match=f"{name} of a rate must be above 0"):
            Rate(**values | {name: value})
    for value in ("1", True, b"1"):
        with pytest.raises(TypeError, match=f"{name} of a rate must be a number"):
            Rate(**values | {name: value})
    with pytest.raises(ValueError, match="burst of a rate must be at least 1"):
        Rate(1, burst=0.5)
