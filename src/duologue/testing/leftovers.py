"""An event loop that can tell what was left behind in it: tasks, timers, sockets.

What this module is: a thin layer over :class:`asyncio.SelectorEventLoop` that remembers, with
public methods only, which timers were set. What it must never know: WebSocket, pytest, virtual
time.

Invariant: watching changes nothing. Timers are held weakly, so nothing lives longer for it.
"""

from __future__ import annotations

import asyncio
import selectors
import weakref
from collections.abc import Callable
from contextvars import Context
from typing import Any, TypeVarTuple, Unpack

__all__ = ["WatchedEventLoop", "pending_tasks"]

Ts = TypeVarTuple("Ts")


def _current_task(loop: asyncio.AbstractEventLoop) -> asyncio.Task[Any] | None:
    return asyncio.current_task(loop) if loop.is_running() else None


def pending_tasks(loop: asyncio.AbstractEventLoop) -> list[str]:
    """Describe the tasks of a loop that are not done, apart from the one that asks.

    Args:
        loop: any event loop.

    Returns:
        One line a task: its name and where it waits, sorted by name.
    """
    asking = _current_task(loop)
    tasks = [task for task in asyncio.all_tasks(loop) if task is not asking]
    return sorted(f"task {task.get_name()!r} waits {_place(task)}" for task in tasks)


def _place(task: asyncio.Task[Any]) -> str:
    frames = task.get_stack(limit=1)
    if not frames:
        return "to be started"
    code = frames[-1].f_code
    name = getattr(code, "co_qualname", code.co_name)
    return f"in {name} ({code.co_filename}:{frames[-1].f_lineno})"


class WatchedEventLoop(asyncio.SelectorEventLoop):
    """asyncio's own loop that lists what is still pending in it.

    Args:
        selector: the selector to use; the platform's best by default.
    """

    def __init__(self, selector: selectors.BaseSelector | None = None) -> None:
        self._watched_selector = selectors.DefaultSelector() if selector is None else selector
        # Keyed by identity: two timers with the same time and callback compare equal.
        self._timers: weakref.WeakValueDictionary[int, asyncio.TimerHandle] = (
            weakref.WeakValueDictionary()
        )
        super().__init__(self._watched_selector)
        self._own_files = set(self._watched_selector.get_map())

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Set a timer, and remember it until it has run or is cancelled."""
        timer = super().call_at(when, callback, *args, context=context)
        self._timers[id(timer)] = timer
        return timer

    def pending_timers(self) -> list[str]:
        """Describe the timers that are neither cancelled nor due, one line each, soonest first."""
        now = self.time()
        soonest = now + 1e-6  # a timer runs up to a clock tick before its moment
        timers = [t for t in self._timers.values() if not t.cancelled() and t.when() > soonest]
        timers.sort(key=asyncio.TimerHandle.when)
        return [f"timer in {timer.when() - now:g} s: {timer!r}" for timer in timers]

    def registered_sockets(self) -> list[str]:
        """Describe the files this loop still watches, apart from its own wake-up socket."""
        if self.is_closed():
            return []
        files = self._watched_selector.get_map()
        return [f"socket {key.fileobj!r}" for fd, key in files.items() if fd not in self._own_files]

    def leftovers(self) -> list[str]:
        """Describe every task, timer and socket still pending, apart from the task that asks."""
        return pending_tasks(self) + self.pending_timers() + self.registered_sockets()
