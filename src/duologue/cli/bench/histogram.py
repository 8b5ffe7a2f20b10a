"""A histogram of durations: a few kilobytes for any number of them, and each within 0.8 %.

Log-linear, as HdrHistogram: 128 equal steps from each power of two to the next. Durations are whole
nanoseconds. Histograms of several processes or intervals add up to one.

Invariants: nothing is dropped, whatever the value; minimum, maximum and sum are exact.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

__all__ = ["Histogram"]

_BITS = 7
_STEPS = 1 << _BITS


@dataclass(slots=True)
class Histogram:
    """Durations, counted by size.

    Attributes:
        counts: How many there are of each size, by the size's number.
        count: How many there are.
        total: Their sum, in nanoseconds.
        least: The shortest; 0 if there are none.
        most: The longest; 0 if there are none.
    """

    counts: dict[int, int] = field(default_factory=dict)
    count: int = 0
    total: int = 0
    least: int = 0
    most: int = 0

    def record(self, value: int) -> None:
        """Counts a duration; a clock that went backwards counts as 0.

        Args:
            value: Nanoseconds.
        """
        if value < 0:
            value = 0
        shift = value.bit_length() - _BITS - 1
        number = value if shift <= 0 else (shift << _BITS) + (value >> shift)
        counts = self.counts
        counts[number] = counts.get(number, 0) + 1
        if value > self.most:
            self.most = value
        if not self.count or value < self.least:
            self.least = value
        self.count += 1
        self.total += value

    def add(self, other: Histogram) -> None:
        """Adds all of another histogram."""
        if not other.count:
            return
        for number, count in other.counts.items():
            self.counts[number] = self.counts.get(number, 0) + count
        self.least = min(self.least, other.least) if self.count else other.least
        self.most = max(self.most, other.most)
        self.count += other.count
        self.total += other.total

    @property
    def mean(self) -> float:
        """Arithmetic mean in nanoseconds, 0 if there are none."""
        return self.total / self.count if self.count else 0.0

    def percentile(self, percent: float) -> int:
        """Returns the duration that so many per cent of all don't exceed.

        Args:
            percent: From 0 to 100.

        Returns:
            Nanoseconds, the upper end of their step but no more than the longest; 0 if there are
            none.
        """
        wanted = max(1, -(-self.count * percent // 100))
        seen = 0
        for number in sorted(self.counts):
            seen += self.counts[number]
            if seen >= wanted:
                return max(min(_end(number) - 1, self.most), self.least)
        return self.most

    def shares(self, edges: list[int]) -> Iterator[float]:
        """Iterates over the shares of durations between neighbouring edges.

        Args:
            edges: Nanoseconds, rising.
        """
        sums = [0] * (len(edges) - 1)
        for number, count in self.counts.items():
            middle = (_start(number) + _end(number)) // 2
            middle = min(max(middle, self.least), self.most)
            for place, (low, high) in enumerate(pairwise(edges)):
                if low <= middle < high:
                    sums[place] += count
                    break
        yield from (each / self.count if self.count else 0.0 for each in sums)


def _start(number: int) -> int:
    """The least value with that number."""
    shift = (number >> _BITS) - 1
    return number if shift <= 0 else (number - (shift << _BITS)) << shift


def _end(number: int) -> int:
    """The least value that has a higher number."""
    return _start(number + 1)
