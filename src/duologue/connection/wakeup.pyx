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
* The object is used again only after its task went on: it tells the task how the waiting ended.
* A task's callback in C is kept as what it is bound to, and made anew where it is asked for: nobody
  else has it, and a connection waits most of its life.

Knows asyncio's tasks, and nothing of what they wait for.
"""

cimport cython

import asyncio
import sys
from asyncio import current_task

from cpython.object cimport PyObject
from cpython.contextvars cimport PyContext_Enter, PyContext_Exit


cdef extern from *:
    """
    /* The function of the tasks' callbacks, once one was seen. */
    static PyMethodDef *duologue_task_wakeup = NULL;

    /* Whether a callback is a function in C that is bound to an object, takes one argument, and is
     * the one that is known. */
    static int duologue_is_direct(PyObject *callback)
    {
        PyCFunctionObject *function = (PyCFunctionObject *)callback;
        if (!PyCFunction_CheckExact(callback) || function->m_self == NULL
            || function->m_module != NULL || function->m_ml->ml_flags != METH_O)
            return 0;
        if (duologue_task_wakeup == NULL)
            duologue_task_wakeup = function->m_ml;
        return duologue_task_wakeup == function->m_ml;
    }

    static PyObject *duologue_callback_again(PyObject *bound)
    {
        return PyCFunction_NewEx(duologue_task_wakeup, bound, NULL);
    }

    static PyObject *duologue_call_bound(PyObject *bound, PyObject *argument)
    {
        return duologue_task_wakeup->ml_meth(bound, argument);
    }
    """
    bint is_direct "duologue_is_direct"(object callback)
    PyObject* bound_to "PyCFunction_GET_SELF"(object callback)
    object callback_again "duologue_callback_again"(object bound)
    object call_bound "duologue_call_bound"(object bound, object argument)

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


cdef class Wakeable:
    """What :class:`Wakeup` and the awaitables are that wait by themselves; see the module."""

    cdef object home(self):
        """Return the event loop of the task that waits."""
        raise NotImplementedError

    cdef object prepare(self):
        """Make it ready to be waited for; return it, for a coroutine to yield."""
        self.settled = False
        self.was_cancelled = False
        self.callback = self.context = None
        self.blocking = True
        return self

    cdef object let_callback_go(self):
        """Return the callback as the task gave it, and keep it no longer."""
        callback, self.callback = self.callback, None
        if self.direct and callback is not None:
            return callback_again(callback)
        return callback

    cdef int wake(self, bint at_once) except -1:
        """Wake the task: now if it may be, else in the loop's next turn."""
        callback, context = self.callback, self.context
        if self.settled:
            return 0
        self.settled = True
        if callback is None:
            return 0
        if at_once and (
            current_task(self.home()) is None if running is None else self.home() not in running
        ):
            try:
                PyContext_Enter(context)
            except RuntimeError:
                pass
            else:
                self.callback = self.context = None
                return self.enter(callback, context)
        self.context = None
        self.home().call_soon(self.let_callback_go(), self, context=context)
        return 0

    cdef int enter(self, object callback, object context) except -1:
        """Call the task's callback in its context, which is entered."""
        try:
            # Any future that is done will do, and a task asks a real one the quick way.
            if self.direct:
                call_bound(callback, FINISHED)
            else:
                callback(FINISHED)
        finally:
            PyContext_Exit(context)
        return 0

    # -- what asyncio.Task asks of a future

    @property
    def _asyncio_future_blocking(self):
        # None is what says that this is no future: to all but the task that waits for it.
        return bool(self.blocking) if self.waiting else None

    @_asyncio_future_blocking.setter
    def _asyncio_future_blocking(self, bint value):
        self.blocking = value

    @cython.binding(False)
    @cython.embedsignature.format("clinic")
    def get_loop(self):
        """The event loop."""
        return self.home()

    @cython.binding(False)
    @cython.embedsignature.format("clinic")
    def add_done_callback(self, callback, *, context=None):
        """Keep the task's callback."""
        if self.settled:
            self.home().call_soon(callback, self, context=context)
        else:
            self.direct = is_direct(callback)
            self.callback = <object>bound_to(callback) if self.direct else callback
            self.context = context

    def remove_done_callback(self, callback):
        """Let the callback go; return how many there were."""
        kept = self.let_callback_go()
        if kept is not None and kept == callback:
            self.context = None
            return 1
        if kept is not None:
            self.add_done_callback(kept, context=self.context)
        return 0

    def cancel(self, msg=None):
        """Cancel the waiting; the task hears of it in the loop's next turn."""
        if self.settled:
            return False
        self.settled = self.was_cancelled = True
        context, self.context = self.context, msg
        callback = self.let_callback_go()
        if callback is not None:
            self.home().call_soon(callback, self, context=context)
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
            message, self.context = self.context, None
            raise asyncio.CancelledError() if message is None else asyncio.CancelledError(message)
        return None

    def exception(self):
        """Return ``None``, or raise :exc:`asyncio.CancelledError`."""
        return self.result()


cdef class Wakeup(Wakeable):
    """A future-like object of one event loop; see the module.

    Args:
        loop: the event loop of the task that will wait.
    """

    def __init__(self, loop):
        self.loop = loop
        self.waiting = True

    cdef object home(self):
        return self.loop

    def __await__(self):
        yield self.prepare()
        self.result()
