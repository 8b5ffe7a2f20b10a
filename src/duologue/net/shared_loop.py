"""An event loop whose objects other threads may use, one thread at a time.

The loop's thread is inside the loop's :class:`~duologue.net.gate.Gate` whenever it runs anything,
and outside while it waits for descriptors. Another thread goes inside, does what it has to do as if
it were the loop's, and leaves: no round trip through the loop, no copy of what the loop knows.
What it leaves for the loop to do (a callback, an earlier timer) wakes the loop.

Invariant: ``asleep`` is true exactly while the loop's thread is outside.

On Linux only, where the poller is the selector. Knows nothing of connections.
"""

from __future__ import annotations

import asyncio
import math
import select
import selectors
import time
from collections.abc import Callable
from contextvars import Context
from typing import Any, TypeVarTuple

from duologue.net.gate import Gate
from duologue.net.selector import EventLoop, PollerSelector

Ts = TypeVarTuple("Ts")

LONGEST = 3600.0
"""Seconds that are waited for at once: the kernel counts milliseconds in an int."""


class SharedSelector(PollerSelector):
    """The poller as a selector that leaves the gate while it waits."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = Gate()
        self.asleep = False
        self.hurried = False
        self._readable = select.poll()
        self._readable.register(self.poller.fileno(), select.POLLIN)

    def hurry(self) -> None:
        """See :meth:`PollerSelector.hurry`."""
        super().hurry()
        self.hurried = True

    def _wait(self, seconds: float) -> None:
        """Wait for a descriptor, outside."""
        self.asleep = True
        self.gate.release()
        try:
            # Rounded up, as the poller does: a timer is never early.
            self._readable.poll(math.ceil(seconds * 1000))
        finally:
            self.gate.acquire()
            self.asleep = False

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait, handle our own sockets, and return what is ready of the loop's.

        Goes on waiting as long as only sockets of ours were ready, as the poller does.
        """
        end = math.inf if timeout is None else time.monotonic() + timeout
        left = LONGEST if timeout is None else timeout
        self.hurried = False
        while True:
            if left > 0:
                self._wait(min(left, LONGEST))
            elif self.gate.wanted:
                # Whoever waits is next, then we are.
                self.gate.release()
                self.gate.acquire()
            ready = super().select(0)
            if ready or self.hurried or self.due is None or len(self.due):
                return ready
            left = end - time.monotonic()
            if left <= 0:
                return ready


class SharedLoop(EventLoop):
    """asyncio's own event loop on the engine's poller, for many threads.

    A thread that isn't the loop's may call what isn't thread-safe while it is inside ``gate``. The
    loop has to be run by a thread that is inside.
    """

    selector_class = SharedSelector

    def __init__(self) -> None:
        super().__init__()
        # asyncio's debug mode would refuse whatever another thread does.
        self.set_debug(False)

    @property
    def shared(self) -> SharedSelector:
        """The loop's selector."""
        selector: Any = self._selector  # type: ignore[attr-defined]
        assert isinstance(selector, SharedSelector)
        return selector

    @property
    def gate(self) -> Gate:
        """Who is inside may use the loop."""
        return self.shared.gate

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """See :meth:`asyncio.loop.call_soon`."""
        if self.shared.asleep:
            return self.call_soon_threadsafe(callback, *args, context=context)
        return super().call_soon(callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """See :meth:`asyncio.loop.call_at`."""
        handle = super().call_at(when, callback, *args, context=context)
        if self.shared.asleep:
            self.call_soon_threadsafe(_look_again)
        return handle


def _look_again() -> None:
    """A turn of the loop, in which it learns when it is due next."""
