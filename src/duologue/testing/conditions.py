"""What a simulated link does to the octets that cross it: a value, checked when it is made.

What this module must never know: asyncio, links, chance (who draws from a range decides with what).
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Conditions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What a direction of a link does to the octets that cross it.

    Args:
        delay: seconds one way; a pair draws each piece's delay evenly from that range. Default 0.
        bandwidth: octets a second; ``None``, the default, is without limit.
        split: octets a piece; a pair draws each piece's length from that range, both ends
            included. ``None``, the default, leaves what is written whole.
        window: octets that may be on their way or unread. Default 65536.

    Raises:
        ValueError: a value is out of its range.
    """

    delay: float | tuple[float, float] = 0.0
    bandwidth: float | None = None
    split: int | tuple[int, int] | None = None
    window: int = 65_536

    def __post_init__(self) -> None:
        low, high = self.delay if isinstance(self.delay, tuple) else (self.delay, self.delay)
        if not 0 <= low <= high:
            raise ValueError(f"delay must be from 0 up, low before high, got {self.delay!r}")
        if self.bandwidth is not None and self.bandwidth <= 0:
            raise ValueError(f"bandwidth must be positive or None, got {self.bandwidth!r}")
        if self.split is not None:
            low, high = self.split if isinstance(self.split, tuple) else (self.split, self.split)
            if not 1 <= low <= high:
                raise ValueError(f"split must be from 1 up, low before high, got {self.split!r}")
        if self.window < 1:
            raise ValueError(f"window must be at least 1 octet, got {self.window!r}")
