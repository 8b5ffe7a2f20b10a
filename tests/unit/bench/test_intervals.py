"""Medians and their intervals."""

from __future__ import annotations

import random

import pytest

pytestmark = pytest.mark.usefixtures("bench_modules")


@pytest.mark.parametrize(
    ("count", "low", "high"), [(1, 1, 1), (3, 1, 3), (6, 1, 6), (9, 2, 8), (15, 4, 12), (25, 8, 18)]
)
def test_ranks_of_the_sign_test(count: int, low: int, high: int) -> None:
    """As tables of the sign test have them."""
    import intervals

    values = [float(value) for value in range(1, count + 1)]
    random.shuffle(values)
    found = intervals.estimate(values)
    assert (found.low, found.high, found.count) == (low, high, count)
    assert found.value == (count + 1) / 2


def test_ratios_are_taken_pair_by_pair() -> None:
    import intervals

    found = intervals.ratio([10.0, 2.0, 300.0], [5.0, 1.0, 100.0])
    assert (found.value, found.low, found.high) == (2.0, 2.0, 3.0)


def test_without_values() -> None:
    import intervals

    with pytest.raises(ValueError, match="no values"):
        intervals.estimate([])
