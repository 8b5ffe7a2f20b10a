"""All time-outs of an event loop behind one of its timers.

A connection has several deadlines and moves them far more often than they pass (each answered ping
moves one). A :class:`Timer` is therefore an object that lives as long as its user and can be set
again for nothing: setting it later only writes the new time down, and the old place in the queue
turns out to be too early when its turn comes. One ``loop.call_at`` serves the earliest deadline of
all timers of a loop; it is moved only for an earlier one.

Deadlines are exact to the loop's clock, never early. Knows nothing of connections.
"""

from __future__ import annotations

import heapq
import weakref
from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable
from itertools import count


class Timer:
    """One deadline that can be set, moved and cleared.

    Args:
        timers: the loop's timers, from :func:`timers_of`.
        callback: called with no arguments when the deadline passes; it may set the timer again.
    """

    __slots__ = ("_callback", "_queued", "_timers", "when")

    def __init__(self, timers: Timers, callback: Callable[[], object]) -> None:
        self._timers = timers
        self._callback: Callable[[], object] | None = callback
        self._queued: Place | None = None
        self.when: float | None = None
        """When it is due, in seconds of the loop's clock; ``None`` while it is not set."""

    def set(self, when: float) -> None:
        """Make the timer due at ``when`` (seconds of the loop's clock) instead of before."""
        self.when = when
        if self._queued is None or when < self._queued[0]:
            moved = self._queued is not None
            self._queued = self._timers.push(when, self)
            if moved:
                self._timers.forget()

    def clear(self) -> None:
        """Make the timer not due at all."""
        self.when = None

    def drop(self) -> None:
        """Clear the timer for good and let its callback go."""
        self.when = None
        self._callback = None
        if self._queued is not None:
            self._queued = None
            self._timers.forget()

    def holds(self, place: Place) -> bool:
        """Whether ``place`` in the queue is the timer's current one."""
        return place is self._queued

    def pop(self, place: Place, now: float) -> None:
        """Take one of the timer's places in the queue, whose time has come, out of it."""
        if place is not self._queued:
            self._timers.stale -= 1
            return
        self._queued = None
        if self.when is None:
            return
        if self.when > now:
            self.set(self.when)
            return
        self.when = None
        if self._callback is not None:
            self._callback()


class Timers:
    """The timers of one event loop.

    Args:
        loop: whose clock and ``call_at`` they use.
    """

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = weakref.ref(loop)
        self._queue: list[Place] = []
        self._order = count()
        self._handle: TimerHandle | None = None
        self._running = False
        self.stale = 0
        """Places in the queue that mean nothing any more; only :class:`Timer` counts them."""

    def push(self, when: float, timer: Timer) -> Place:
        """Queue ``timer`` for ``when`` and return its place; only :class:`Timer` calls this."""
        place = (when, next(self._order), timer)
        heapq.heappush(self._queue, place)
        if self._queue[0] is place and not self._running:
            self._arm()
        return place

    def forget(self) -> None:
        """Note that a place in the queue is stale; drop those when they are most of it."""
        self.stale += 1
        if self.stale * 2 > len(self._queue) and not self._running:
            self._queue = [place for place in self._queue if place[2].holds(place)]
            heapq.heapify(self._queue)
            self.stale = 0
            self._arm()

    def _arm(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        loop = self._loop()
        if self._queue and loop is not None and not loop.is_closed():
            self._handle = loop.call_at(self._queue[0][0], self._run)

    def _run(self) -> None:
        self._handle = None
        loop = self._loop()
        assert loop is not None
        now = loop.time()
        self._running = True
        try:
            while self._queue and self._queue[0][0] <= now:
                place = heapq.heappop(self._queue)
                place[2].pop(place, now)
        finally:
            self._running = False
            self._arm()


Place = tuple[float, int, Timer]

# Weak on both sides, since a timer's callback leads to the loop. Timers are held by what needs
# them: each Timer, and the loop while one is set.
_timers: weakref.WeakKeyDictionary[AbstractEventLoop, weakref.ref[Timers]] = (
    weakref.WeakKeyDictionary()
)


def timers_of(loop: AbstractEventLoop) -> Timers:
    """Return the timers of ``loop``, made at the first call."""
    reference = _timers.get(loop)
    timers = None if reference is None else reference()
    if timers is None:
        timers = Timers(loop)
        _timers[loop] = weakref.ref(timers)
    return timers
