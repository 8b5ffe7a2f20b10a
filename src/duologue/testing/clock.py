"""Virtual time: an event loop whose clock jumps to the next timer instead of waiting for it.

A test of a twenty-second keepalive takes a millisecond, and its moments compare with ``==``.

What this module is: a clock, a selector that moves it, and a loop that carries both, made with the
public interface of asyncio only (a selector given to :class:`asyncio.SelectorEventLoop`, and public
methods overridden). What it must never know: WebSocket, or anything else of duologue.

The rule that moves time, applied whenever the loop has no callback left to run:

1. Real sockets are polled with a time-out of 0. If one is ready, time stands still.
2. While a call given to ``run_in_executor`` is out in its thread, the loop waits for it in real
   time, at most ``patience`` seconds.
3. Otherwise, if a timer is pending, time jumps to exactly that timer. When real sockets are
   registered too, the loop first watches them for ``settle`` real seconds, because octets between
   two processes or threads need a moment of real time.
4. Otherwise nothing in this loop can ever wake it. If real sockets are registered, the loop waits
   ``patience`` real seconds for them (``settle`` seconds if there are none, for a thread that may
   be about to call ``call_soon_threadsafe``), then raises :exc:`DeadlockError` naming what waits.

Callbacks that keep making new ones would hold time for ever: two ends that answer each other with
no delay between them, say. After ``MAX_TURNS`` turns at one moment the loop raises
:exc:`DeadlockError` too.

Invariants: time never goes back; it moves only by rule 3 or by the methods of
:class:`VirtualClock`, and always by a step; when a timer runs because of rule 3, ``loop.time()`` is
that timer's time to the last bit.
"""

from __future__ import annotations

import asyncio
import heapq
import math
import selectors
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from contextvars import Context
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple, Unpack

from .leftovers import WatchedEventLoop

if TYPE_CHECKING:
    from _typeshed import FileDescriptorLike

__all__ = ["DeadlockError", "VirtualClock", "VirtualEventLoop", "virtual_loop_factory"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

#: Real seconds given to registered real sockets before time jumps. Loopback delivers within
#: microseconds; this leaves room for another process to be scheduled.
SETTLE = 0.005

#: Real seconds to wait for real sockets or threads when they are the only thing left to wait for.
PATIENCE = 5.0

#: Turns of the loop at one moment of virtual time; they take a few seconds.
MAX_TURNS = 500_000


class DeadlockError(RuntimeError):
    """Time can't go on: nothing can ever wake the loop, or its callbacks never come to an end."""


class VirtualClock:
    """A clock that stands still until it is told to advance.

    Args:
        start: the first reading, in seconds.

    Raises:
        ValueError: ``start`` is negative.
    """

    __slots__ = ("_now",)

    def __init__(self, start: float = 0.0) -> None:
        if start < 0:
            raise ValueError(f"start must not be negative, got {start!r}")
        self._now = float(start)

    def time(self) -> float:
        """Return the present reading in seconds."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move the clock forward.

        Args:
            seconds: how far.

        Raises:
            ValueError: ``seconds`` is negative.
        """
        if seconds < 0:
            raise ValueError(f"time cannot go back by {-seconds} s")
        self._now += seconds

    def advance_to(self, moment: float) -> None:
        """Move the clock forward to a reading; a reading in the past leaves it as it is."""
        self._now = max(self._now, moment)


class _VirtualSelector(selectors.BaseSelector):
    """A real selector that answers at once and pays for the time-out with virtual seconds."""

    def __init__(self, clock: VirtualClock, settle: float, patience: float) -> None:
        self._real = selectors.DefaultSelector()
        self._clock = clock
        self._settle = settle
        self._patience = patience
        self._own_files = 0
        self._turns = 0
        self._moment = clock.time()
        self.threads = 0
        self.moments: list[float] = []  # a heap of the times of timers
        self.describe: Callable[[], str] = str

    def own_files_registered(self) -> None:
        """Take what is registered by now for the loop's own (its wake-up socket)."""
        self._own_files = len(self._real.get_map())

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._count_turn()
        ready = self._real.select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        real_seconds = self._real_wait(timeout)
        if real_seconds:
            ready = self._real.select(real_seconds)
            if ready:
                return ready
        if timeout is None:
            raise DeadlockError(self.describe())
        self._clock.advance_to(self._next_moment(timeout))
        return []

    def _count_turn(self) -> None:
        now = self._clock.time()
        if now != self._moment:
            self._moment = now
            self._turns = 0
        self._turns += 1
        if self._turns > MAX_TURNS:
            self._turns = 0  # what closes the loop may need some more
            raise DeadlockError(
                f"time stands still at {now} s: {MAX_TURNS} turns of the loop (MAX_TURNS), "
                f"and a callback is ready again"
            )

    def _next_moment(self, timeout: float) -> float:
        """Find the timer behind a time-out: asyncio subtracted, and adding again is inexact."""
        now = self._clock.time()
        step = math.nextafter(now, math.inf)
        asked = now + timeout
        inexact = 4 * math.ulp(asked)
        while self.moments and self.moments[0] < max(asked - inexact, step):
            heapq.heappop(self.moments)  # a timer that has run or was cancelled
        found = self.moments and self.moments[0] <= asked + inexact
        return self.moments[0] if found else asked

    def _real_wait(self, timeout: float | None) -> float:
        has_files = len(self._real.get_map()) > self._own_files
        if self.threads or (has_files and timeout is None):
            return self._patience
        return self._settle if has_files or timeout is None else 0.0

    def register(
        self, fileobj: FileDescriptorLike, events: int, data: Any = None
    ) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: FileDescriptorLike) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def modify(
        self, fileobj: FileDescriptorLike, events: int, data: Any = None
    ) -> selectors.SelectorKey:
        return self._real.modify(fileobj, events, data)

    def close(self) -> None:
        self._real.close()

    def get_map(self) -> Mapping[FileDescriptorLike, selectors.SelectorKey]:
        return self._real.get_map()


class VirtualEventLoop(WatchedEventLoop):
    """An asyncio event loop on virtual time; see the module's text for the rule that moves it.

    Args:
        clock: the clock to read and to move; a fresh one by default.
        settle: real seconds given to real sockets before each jump.
        patience: real seconds to wait when only real sockets or threads can wake the loop.

    Raises:
        ValueError: ``settle`` or ``patience`` is negative.
    """

    def __init__(
        self,
        clock: VirtualClock | None = None,
        *,
        settle: float = SETTLE,
        patience: float = PATIENCE,
    ) -> None:
        self.clock = VirtualClock() if clock is None else clock
        self._jumper = _VirtualSelector(self.clock, settle, patience)
        super().__init__(self._jumper)
        self._jumper.own_files_registered()
        self._jumper.describe = self._describe_deadlock
        if settle < 0 or patience < 0:
            self.close()  # a loop that was never constructed complains when it is deleted
            raise ValueError(f"settle={settle!r} and patience={patience!r} must not be negative")

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self.clock.time()

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Set a timer; ``loop.time()`` will be exactly ``when`` as it runs."""
        heapq.heappush(self._jumper.moments, when)
        return super().call_at(when, callback, *args, context=context)

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Run a function in a thread; time stands still until it has returned."""
        future = super().run_in_executor(executor, func, *args)
        self._jumper.threads += 1
        future.add_done_callback(self._thread_done)
        return future

    def _thread_done(self, _: asyncio.Future[Any]) -> None:
        self._jumper.threads -= 1

    async def shutdown_default_executor(self, *args: Any, **kwargs: Any) -> None:
        """Join the executor's threads, in real time."""
        self._jumper.threads += 1
        try:
            await super().shutdown_default_executor(*args, **kwargs)
        finally:
            self._jumper.threads -= 1

    def _describe_deadlock(self) -> str:
        what = "nothing is ready, no timer is set, no socket speaks"
        waiting = self.leftovers() or ["no task waits"]
        return "\n  ".join([f"deadlock at {self.time()} s: {what}", *waiting])


def virtual_loop_factory(
    *, start: float = 0.0, settle: float = SETTLE, patience: float = PATIENCE
) -> Callable[[], VirtualEventLoop]:
    """Make a loop factory for :class:`asyncio.Runner`.

    Args:
        start: what ``loop.time()`` says first, in seconds.
        settle: see :class:`VirtualEventLoop`.
        patience: see :class:`VirtualEventLoop`.

    Returns:
        A function without parameters; each call returns a fresh loop with a clock of its own.
    """

    def factory() -> VirtualEventLoop:
        return VirtualEventLoop(VirtualClock(start), settle=settle, patience=patience)

    return factory
