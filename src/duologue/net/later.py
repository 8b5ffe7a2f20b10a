"""Calls at a later time, on the timers that connections use.

``loop.call_later`` makes an entry in the loop's own queue for each call, and one that is cancelled
stays there for a while. Here all calls, and all time-outs of connections, are behind one entry, and
one that is cancelled is gone.

Knows nothing of connections.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Any, TypeVarTuple

from duologue.net.timers import Timer, timers_of

Ts = TypeVarTuple("Ts")


class DelayedCall:
    """A call that waits for its time; made by :func:`call_later`."""

    __slots__ = ("_args", "_callback", "_context", "_timer")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        when: float,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        context: Context,
    ) -> None:
        self._callback = callback
        self._args = args
        self._context = context
        self._timer: Timer | None = Timer(timers_of(loop), self._run)
        self._timer.set(when)
        self._timer.timers.held.add(self)

    @property
    def when(self) -> float | None:
        """When it is due, in seconds of the loop's clock; ``None`` once it has run or will not."""
        return None if self._timer is None else self._timer.when

    def cancel(self) -> None:
        """Don't call; afterwards, and a second time, this changes nothing."""
        if self._timer is not None:
            self._timer.timers.held.discard(self)
            self._timer.drop()
            self._timer = None

    def _run(self) -> None:
        self.cancel()
        self._context.run(self._callback, *self._args)


def call_later(
    delay: float,
    callback: Callable[[*Ts], object],
    *args: *Ts,
    context: Context | None = None,
) -> DelayedCall:
    """Call ``callback(*args)`` in ``delay`` seconds, in the running event loop.

    Means the same as ``loop.call_later`` and costs less when most calls are cancelled before their
    time, as time-outs are.

    Args:
        delay: seconds, never called earlier; 0 or less calls in one of the next turns of the loop.
        callback: an exception that it raises goes to the loop's exception handler.
        *args: for ``callback``.
        context: in which ``callback`` runs; a copy of the current one by default.

    Returns:
        What can cancel the call.

    Raises:
        RuntimeError: If no event loop runs in this thread.
        ValueError: If ``delay`` is not a number.
    """
    if math.isnan(delay):
        raise ValueError("delay must be a number of seconds, not NaN")
    loop = asyncio.get_running_loop()
    context = copy_context() if context is None else context
    return DelayedCall(loop, loop.time() + delay, callback, args, context)
