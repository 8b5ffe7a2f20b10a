"""Token buckets by key, in a table that no number of keys makes larger than it may be.

A bucket is one number: the time at which it would be full again. Taking moves it ahead by the
rate's interval, and nobody may move it further ahead of the clock than a full bucket's worth (the
"generic cell rate algorithm" of ATM traffic management, ITU-T I.371; it says the same as a bucket
that is refilled).

Invariants: a key that isn't in the table has a full bucket; the table has at most ``most`` keys, in
the order in which they were last taken from. When it is full the key that has been quiet for
longest is forgotten: who commands more addresses than that could open as many connections anyway.
"""

from __future__ import annotations

from collections.abc import Hashable

from duologue.base.rates import Rate

MOST_KEYS = 65536
"""Keys that a table remembers at most, some 10 MB."""

# Seconds that adding up many small numbers may lose.
_ROUNDING = 1e-6


class Buckets:
    """Buckets of one rate.

    Args:
        rate: of each.
        most: keys remembered at once.
    """

    def __init__(self, rate: Rate, most: int = MOST_KEYS) -> None:
        self.rate = rate
        self._most = most
        self._interval = rate.interval
        self._slack = rate.lead - rate.interval
        self._full_at: dict[Hashable, float] = {}

    def __len__(self) -> int:
        return len(self._full_at)

    def wait(self, key: Hashable, now: float) -> float:
        """Return in how many seconds one may be taken, 0 for now; takes nothing."""
        full_at = self._full_at.get(key)
        seconds = 0.0 if full_at is None else full_at - now - self._slack
        return seconds if seconds > _ROUNDING else 0.0

    def take(self, key: Hashable, now: float) -> None:
        """Take one; ask :meth:`wait` before."""
        table = self._full_at
        full_at = max(table.pop(key, now), now) + self._interval
        self._forget_full(now)
        if len(table) >= self._most:
            del table[next(iter(table))]
        table[key] = full_at

    def _forget_full(self, now: float) -> None:
        # Two for each that comes: the table shrinks as long as anybody comes at all.
        for _ in range(2):
            key = next(iter(self._full_at), None)
            if key is None or self._full_at[key] > now:
                return
            del self._full_at[key]
