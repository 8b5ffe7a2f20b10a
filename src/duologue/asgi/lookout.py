"""Keeps somebody else's event loop from sleeping for a moment while peers answer at once.

What our own loop does by ``busy_poll``, within the means of others: a peer that answered within
twice the time several times in a row is looked for so long before the loop sleeps, since sleeping
and waking take longer than its answer.

It must never know what is waited for.
"""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import Final
from weakref import WeakKeyDictionary

LOOK: Final = 20e-6
"""Seconds that a loop goes on looking."""
QUICK: Final = 4
"""How many answers in a row must have come within twice that."""


class Lookout:
    """Looks out for answers; one for all connections of a loop.

    Args:
        loop: the event loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._call_soon = loop.call_soon
        self._last = 0.0
        self._quick = 0
        self._looking = False

    def read(self) -> None:
        """Something was read just now."""
        now = perf_counter()
        self._quick = self._quick + 1 if now - self._last < 2 * LOOK else 0
        self._last = now
        if self._quick >= QUICK and not self._looking:
            self._looking = True
            self._call_soon(self._look)

    def _look(self) -> None:
        if perf_counter() - self._last < LOOK:
            # The loop looks at its descriptors before it calls again, and doesn't sleep.
            self._call_soon(self._look)
        else:
            self._looking = False


_lookouts: WeakKeyDictionary[asyncio.AbstractEventLoop, Lookout] = WeakKeyDictionary()


def lookout_of(loop: asyncio.AbstractEventLoop) -> Lookout | None:
    """Return the lookout of ``loop``; ``None`` for our own, which looks out itself."""
    if hasattr(loop, "selector_class"):
        return None
    found = _lookouts.get(loop)
    if found is None:
        found = _lookouts[loop] = Lookout(loop)
    return found
