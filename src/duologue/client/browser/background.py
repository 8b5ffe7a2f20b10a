"""The event loop of sockets that were made where none runs: in a script, or at a prompt.

One daemon thread of the process, started by the first who needs it. It dispatches all events of
these sockets, one after the other, as the only thread of a page does. It isn't the I/O thread of
:mod:`duologue.sync`: listeners may call that module, and wait.

When the interpreter exits, sockets are left as a page leaves them (close code 1001), for at most
`LEAVING_TIME`; what a listener still does then is not waited for any longer. A forked child gets a
thread of its own, and its parent's sockets refuse to be used there.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import Callable

from duologue.net.io_thread import IoThread
from duologue.net.loops import new_event_loop

__all__ = ["LEAVING_TIME", "background", "when_leaving"]

LEAVING_TIME = 1.0
"""Seconds that the exit of the interpreter waits for sockets to be left."""

_starting = threading.Lock()
_thread: IoThread | None = None
_leaving: set[Callable[[], None]] = set()


def background() -> IoThread:
    """Return the thread that runs the loop, started at the first call."""
    global _thread
    if _thread is None:
        with _starting:
            if _thread is None:
                thread = IoThread(new_event_loop())
                thread.start()
                _thread = thread
    return _thread


def when_leaving(leave: Callable[[], None], wanted: bool) -> None:
    """Have ``leave`` called in the loop when the interpreter exits, or not any more.

    Args:
        leave: must not wait.
        wanted: whether to call it.
    """
    if wanted:
        _leaving.add(leave)
    else:
        _leaving.discard(leave)


@atexit.register
def _leave() -> None:
    if _thread is None:
        return
    left = threading.Event()
    _thread.loop.call_soon_threadsafe(_leave_all, left)
    left.wait(LEAVING_TIME)


def _leave_all(left: threading.Event) -> None:
    for leave in list(_leaving):
        leave()
    # What they write goes out at the end of this turn of the loop.
    asyncio.get_running_loop().call_soon(left.set)


def _forked() -> None:
    global _thread, _starting
    _starting = threading.Lock()
    _leaving.clear()
    if _thread is not None:
        _thread.forked = True
        # Kept, never closed: its descriptors are the parent's too.
        _of_parents.append(_thread)
        _thread = None


_of_parents: list[IoThread] = []
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
