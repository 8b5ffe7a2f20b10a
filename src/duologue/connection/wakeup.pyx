"""What a task waits for when it waits for octets, woken without a turn of the event loop.

An :class:`asyncio.Future` wakes its task through ``call_soon``: another callback, another turn. A
:class:`Wakeup` is enough of a future for a real :class:`asyncio.Task` to wait for, and enters the
task's callback, in its context, straight from the code that received the octets. The task is a task
all the same: ``current_task``, ``timeout``, ``TaskGroup``, context variables, cancellation.

Rules:

* Never wake at once while a task is current, nor into a context that is entered: a drain nested in
  a task, or a connection lost inside ``send()``. Then ``call_soon`` does it, as a future would.
* ``cancel()`` always goes through ``call_soon``.
* One task waits at a time, and one callback is kept: the task's own.
* The object is used again only after it woke its task at once. One whose callback is still to run
  has yet to tell it how it ended.

Knows asyncio's tasks, and nothing of what they wait for.
"""

cimport cython

import asyncio
import sys
from asyncio import current_task

from cpython.contextvars cimport PyContext_Enter, PyContext_Exit


# What current_task() looks into, where it is a function written in Python and not in C.
cdef dict running = None
if sys.version_info < (3, 12):
    from asyncio.tasks import _current_tasks

    running = _current_tasks


class _Nowhere:
    """As much of an event loop as a future asks for that never has a callback."""

    def get_debug(self):
        return False


cdef object FINISHED = asyncio.Future(loop=_Nowhere())
FINISHED.set_result(None)


cdef class Wakeup:
    """A future-like object of one event loop; see the module.

    Args:
        loop: the event loop of the task that will wait.
    """

    def __init__(self, loop):
        self.loop = loop

    cdef object prepare(self):
        """Make it ready to be waited for; return it, for a coroutine to yield."""
        self.settled = False
        self.was_cancelled = False
        self.callback = None
        self._asyncio_future_blocking = True
        return self

    cdef bint wake(self, bint at_once) except -1:
        """Wake the task; return whether that happened at once, so that the object is free again."""
        callback, context = self.callback, self.context
        if self.settled:
            return False
        self.settled = True
        self.callback = self.context = None
        if callback is None:
            return False
        if at_once and (
            current_task(self.loop) is None if running is None else self.loop not in running
        ):
            try:
                PyContext_Enter(context)
            except RuntimeError:
                pass
            else:
                try:
                    # Any future that is done will do, and a task asks a real one the quick way.
                    callback(FINISHED)
                finally:
                    PyContext_Exit(context)
                return True
        self.loop.call_soon(callback, self, context=context)
        return False

    def __await__(self):
        yield self.prepare()
        self.result()

    # -- what asyncio.Task asks of a future

    @cython.binding(False)
    @cython.embedsignature.format("clinic")
    def get_loop(self):
        """The event loop."""
        return self.loop

    @cython.binding(False)
    @cython.embedsignature.format("clinic")
    def add_done_callback(self, callback, *, context=None):
        """Keep the task's callback."""
        if self.settled:
            self.loop.call_soon(callback, self, context=context)
        else:
            self.callback = callback
            self.context = context

    def remove_done_callback(self, callback):
        """Let the callback go; return how many there were."""
        found = self.callback is not None and self.callback == callback
        if found:
            self.callback = self.context = None
        return int(found)

    def cancel(self, msg=None):
        """Cancel the waiting; the task hears of it in the loop's next turn."""
        if self.settled:
            return False
        self.settled = self.was_cancelled = True
        self.message = msg
        if self.callback is not None:
            self.loop.call_soon(self.callback, self, context=self.context)
            self.callback = self.context = None
        return True

    def done(self):
        """Whether the waiting is over."""
        return bool(self.settled)

    def cancelled(self):
        """Whether it was cancelled."""
        return bool(self.was_cancelled)

    @cython.binding(False)
    @cython.embedsignature.format("clinic")
    def result(self):
        """Return ``None``, or raise :exc:`asyncio.CancelledError`."""
        if self.was_cancelled:
            message, self.message = self.message, None
            raise asyncio.CancelledError() if message is None else asyncio.CancelledError(message)
        return None

    def exception(self):
        """Return ``None``, or raise :exc:`asyncio.CancelledError`."""
        return self.result()
