"""One thread that does the I/O of everybody who waits in a thread of their own.

Connections of the threads API live on an event loop in this thread. It is started by the first who
needs it, is a daemon and never ends: an idle one waits in the kernel. What other threads want of
the loop's objects they do themselves, inside the loop's gate (:mod:`duologue.net.shared_loop`);
where there is no such loop, they ask the thread to do it and wait.

A forked child has no such thread. It gets one of its own when it needs one; what belongs to its
parent's refuses to be used.

Knows nothing of connections.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar, TypeVarTuple

from duologue.net.engine import PROVEN, backend
from duologue.net.gate import Gate

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_this_thread = threading.local()


def _make_loop() -> tuple[asyncio.AbstractEventLoop, Gate | None]:
    if backend() != PROVEN:
        return asyncio.new_event_loop(), None
    from duologue.net.shared_loop import SharedLoop

    loop = SharedLoop()
    return loop, loop.gate


class _Job(Generic[T]):
    """A coroutine that runs on the loop while a thread waits for it."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        coroutine: Coroutine[Any, Any, T],
        discard: Callable[[T], object] | None,
    ) -> None:
        self._loop = loop
        self._coroutine = coroutine
        self._discard = discard
        self._unwanted = False
        self._ended = threading.Lock()
        self._ended.acquire()
        self._task: asyncio.Task[T]

    def start(self) -> None:
        self._task = self._loop.create_task(self._coroutine)
        self._task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[T]) -> None:
        if self._unwanted:
            self._throw_away()
        self._ended.release()

    def _throw_away(self) -> None:
        if not self._task.cancelled() and self._task.exception() is None and self._discard:
            self._discard(self._task.result())

    def _give_up(self) -> None:
        self._unwanted = True
        if self._task.done():
            self._throw_away()
        else:
            self._task.cancel()

    def wait(self) -> T:
        """Wait for the end; an interrupt cancels the task, or throws away what it returned."""
        try:
            self._ended.acquire()
        except BaseException:
            self._loop.call_soon_threadsafe(self._give_up)
            raise
        return self._task.result()


class IoThread:
    """A daemon thread with an event loop.

    Args:
        loop: runs in the thread; by default the best that can be had.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self.gate: Gate | None = None
        """What to be inside of for using the loop's objects; ``None`` if only it may use them."""
        if loop is None:
            loop, self.gate = _make_loop()
        self.loop = loop
        self.forked = False
        self._thread = threading.Thread(target=self._run, name="duologue I/O", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and close its loop, with everything that lives there; for tests."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()

    def _run(self) -> None:
        _this_thread.io = self
        if self.gate is not None:
            self.gate.acquire()
        try:
            while not self._ended():
                pass
        finally:
            if self.gate is not None:
                self.gate.release()

    def _ended(self) -> bool:
        """Run the loop until it is stopped; ``False`` if something else ended it."""
        try:
            self.loop.run_forever()
        except BaseException:
            # Such as SystemExit in a log handler. Everybody who waits would wait for ever.
            logging.getLogger("duologue").critical("the I/O thread goes on after", exc_info=True)
            return False
        return True

    def check(self) -> None:
        """Refuse whom the thread can't serve.

        Raises:
            RuntimeError: In a forked child, and in the thread itself.
        """
        if self.forked:
            raise RuntimeError(
                f"this belongs to the process that forked process {os.getpid()}: "
                "a child has to make its own connections and servers"
            )
        if self.is_current():
            raise RuntimeError(
                "this thread does the I/O that the call would wait for: let another thread make it"
            )

    def is_current(self) -> bool:
        """Whether it is this thread that runs."""
        return getattr(_this_thread, "io", None) is self

    def call(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        """Call a function as if by the thread, and return what it returns; it must not wait."""
        self.check()
        if self.gate is not None:
            return self.gate.run(function, *args)

        async def called() -> T:
            return function(*args)

        return self.run(called())

    def run(
        self, coroutine: Coroutine[Any, Any, T], discard: Callable[[T], object] | None = None
    ) -> T:
        """Run a coroutine as a task in the thread, and wait for its result.

        Args:
            coroutine: what to run; cancelled if the waiting is interrupted.
            discard: called in the thread with a result that came nevertheless.
        """
        try:
            self.check()
            job = _Job(self.loop, coroutine, discard)
            self.loop.call_soon_threadsafe(job.start)
        except BaseException:
            coroutine.close()
            raise
        return job.wait()


_starting = threading.Lock()
_process_thread: IoThread | None = None
_of_parents: list[IoThread] = []


def io_thread() -> IoThread:
    """Return the thread of this process, started at the first call."""
    global _process_thread
    if _process_thread is None:
        with _starting:
            if _process_thread is None:
                thread = IoThread()
                thread.start()
                _process_thread = thread
    return _process_thread


def this_io_thread() -> IoThread:
    """Return the I/O thread that runs now.

    Raises:
        RuntimeError: In any other thread.
    """
    thread = getattr(_this_thread, "io", None)
    if not isinstance(thread, IoThread):
        raise RuntimeError("connections of the threads API are made by connect() and serve() only")
    return thread


def _forked() -> None:
    global _process_thread, _starting
    _starting = threading.Lock()
    _this_thread.__dict__.clear()
    if _process_thread is not None:
        _process_thread.forked = True
        # Kept, never closed: its descriptors are the parent's too.
        _of_parents.append(_process_thread)
        _process_thread = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
