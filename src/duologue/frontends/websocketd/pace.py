"""Time between things: a client's messages, and a program's restarts."""

from __future__ import annotations

import asyncio
import time
from typing import Final

__all__ = ["FIRST_DELAY", "MAX_DELAY", "STABLE", "Pace", "Restarting"]

FIRST_DELAY: Final = 0.5
"""Seconds before a program is started again for the first time; doubled each time."""

MAX_DELAY: Final = 30.0
"""Most seconds before a program is started again."""

STABLE: Final = 10.0
"""Seconds after which a program counts as one that works: delays begin anew."""


class Pace:
    """Holds a client to a number of messages a second: more wait, none is lost.

    A second's worth may come at once.

    Args:
        rate: Messages a second; ``None`` for any number.
    """

    def __init__(self, rate: int | None) -> None:
        self._rate = rate
        self._next = 0.0

    async def wait(self) -> None:
        """Waits until another message may pass."""
        if self._rate is None:
            return
        now = asyncio.get_running_loop().time()
        # The generic cell rate algorithm: when the next message is due, up to a second ahead.
        self._next = max(self._next, now - 1.0) + 1.0 / self._rate
        if self._next > now:
            await asyncio.sleep(self._next - now)


class Restarting:
    """Whether and when a program is started again.

    Args:
        policy: ``never``, ``on-failure`` or ``always``.
    """

    def __init__(self, policy: str) -> None:
        self._policy = policy
        self._delay = FIRST_DELAY
        self._since = time.monotonic()

    def delay(self, status: int | None) -> float | None:
        """Returns the seconds to wait before the program is started again.

        Args:
            status: How it ended; ``None`` if it couldn't be started.

        Returns:
            ``None`` if it isn't.
        """
        wanted = self._policy == "always" or (self._policy == "on-failure" and status != 0)
        if not wanted:
            return None
        if time.monotonic() - self._since >= STABLE:
            self._delay = FIRST_DELAY
        delay, self._delay = self._delay, min(self._delay * 2, MAX_DELAY)
        self._since = time.monotonic() + delay
        return delay
