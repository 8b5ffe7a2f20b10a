"""Medians and their intervals, from order statistics: no assumption about the distribution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from statistics import median

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A median and the interval that holds the true one with at least 95 % confidence.

    With fewer than six values no interval can promise that: it is then the whole range.
    """

    value: float
    low: float
    high: float
    count: int


def _rank(count: int) -> int:
    """Return how many values may be cut off each end of the sorted list (0 when too few)."""
    cut, outside = 0, 0.0
    while cut < count // 2:
        outside += comb(count, cut) / 2**count
        if 2 * outside > 1 - CONFIDENCE:
            break
        cut += 1
    return max(cut - 1, 0)


def estimate(values: Sequence[float]) -> Estimate:
    """Return the median of the values with its interval.

    Raises:
        ValueError: If there are no values.
    """
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    cut = _rank(len(ordered))
    return Estimate(median(ordered), ordered[cut], ordered[-1 - cut], len(ordered))


def ratio(values: Sequence[float], others: Sequence[float]) -> Estimate:
    """Return the median of value / other, pair by pair: what shifts both cancels out."""
    return estimate([a / b for a, b in zip(values, others, strict=True)])
