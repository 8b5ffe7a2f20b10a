"""How often something may happen: the rate of a token bucket.

A record without time or state; those who count (a connection its messages, a server its
newcomers) keep one number beside it. Two rules hold, as for `Limits`: `None` in place of a rate
lifts it, and 0 never means "no limit".
"""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Rate"]


@dataclass(frozen=True, slots=True)
class Rate:
    """A token bucket's: so many in so many seconds, and so many at once.

    ::

        Rate(100)                # 100 a second
        Rate(100, 60)            # 100 a minute, also all at once
        Rate(100, 60, burst=10)  # 100 a minute, at most 10 at once

    Attributes:
        count: How many, in the long run; need not be whole.
        seconds: In how many seconds. Default 1.
        burst: How many at once after a quiet time; at least 1. Default `count`, or 1 if it is less.

    Raises:
        TypeError: If a value is not a number.
        ValueError: If a value is not finite, not above 0, or `burst` is below 1.
    """

    count: float
    seconds: float = 1.0
    burst: float | None = None

    def __post_init__(self) -> None:
        for name in ("count", "seconds", "burst"):
            value = getattr(self, name)
            if value is None and name == "burst":
                continue
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise TypeError(f"{name} of a rate must be a number, not {value!r}")
            if not math.isfinite(value) or value <= 0:
                raise ValueError(f"{name} of a rate must be above 0, not {value!r}")
        if self.burst is None:
            object.__setattr__(self, "burst", max(float(self.count), 1.0))
        elif self.burst < 1:
            raise ValueError(f"burst of a rate must be at least 1, not {self.burst!r}")

    @classmethod
    def of(cls, value: Rate | float | None) -> Rate | None:
        """Return a rate as options take it: itself, or a plain number of times a second."""
        return value if value is None or isinstance(value, Rate) else cls(value)

    @property
    def interval(self) -> float:
        """Seconds that one takes of the bucket."""
        return self.seconds / self.count

    @property
    def lead(self) -> float:
        """Seconds of the rate that may be used at once: what the whole bucket holds."""
        assert self.burst is not None
        return self.burst * self.interval

    def __str__(self) -> str:
        each = "s" if self.seconds == 1 else f"{self.seconds:g} s"
        return f"{self.count:g}/{each}, {self.burst:g} at once"
