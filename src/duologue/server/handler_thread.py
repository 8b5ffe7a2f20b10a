"""The thread of one connection of a server of the threads API: its hooks, then its handler.

Hooks and handlers of one connection run in the same thread, one after the other, so that they may
wait and share what belongs to a thread. The I/O thread hands over what is to run and never waits.

Knows nothing of WebSocket.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


def _settle(future: asyncio.Future[Any], value: Any, exc: BaseException | None) -> None:
    if future.done():
        return
    if exc is None:
        future.set_result(value)
    elif isinstance(exc, Exception) and not isinstance(exc, StopIteration):
        future.set_exception(exc)
    else:
        # A future doesn't take the one, and the others would end the loop; they end this thread's
        # work only.
        failure = RuntimeError(f"{exc!r} was raised")
        failure.__cause__ = exc
        future.set_exception(failure)


class HandlerThread:
    """A thread that runs what it is given until it is told to end.

    Not a daemon: what an application does in it isn't cut off when the program ends.

    Args:
        loop: event loop of the I/O thread.
        threads: where the thread is noted as long as it lives.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, threads: set[threading.Thread]) -> None:
        self._loop = loop
        self._threads = threads
        self._jobs: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="connection handler", daemon=False)
        threads.add(self._thread)
        try:
            self._thread.start()
        except BaseException:
            threads.discard(self._thread)
            raise

    def _run(self) -> None:
        try:
            while (job := self._jobs.get()) is not None:
                job()
                del job
        finally:
            self._threads.discard(self._thread)

    def end(self) -> None:
        """End the thread when it has done what it was given."""
        self._jobs.put(None)

    def call(self, function: Callable[..., T], *args: Any) -> asyncio.Future[T]:
        """Call a function in the thread.

        Returns:
            A future of the loop for what it returns or raises; what no task could raise without
            ending the loop (:exc:`SystemExit`, say) becomes the cause of a :exc:`RuntimeError`.
        """
        future: asyncio.Future[T] = self._loop.create_future()

        def job() -> None:
            value: Any = None
            failure = None
            try:
                value = function(*args)
            except BaseException as exc:
                failure = exc
            self._loop.call_soon_threadsafe(_settle, future, value, failure)

        self._jobs.put(job)
        return future
