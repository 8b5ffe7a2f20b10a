"""Calling listeners: coroutine functions become tasks, and what listeners raise is reported.

A browser reports an exception that nobody catches to the page (``window.onerror``, the console) and
goes on. Here it goes to the exception handler of the event loop, which logs it unless the program
has set another (:meth:`asyncio.loop.set_exception_handler`); where no loop runs, to
:func:`sys.excepthook`. :exc:`KeyboardInterrupt` and :exc:`SystemExit` of a plain listener aren't
reported: they go on to whoever dispatches.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from duologue.client.browser.background import background

__all__ = ["call_listener", "report"]

# The loop itself refers to its tasks weakly.
_tasks: set[asyncio.Task[Any]] = set()


def call_listener(listener: Callable[..., Any], *args: Any) -> Any:
    """Call a listener; never raises what it raises.

    Args:
        listener: a function, or a coroutine function, which runs as a task of the running loop; in
            the background loop where none runs.
        *args: for the listener.

    Returns:
        What the listener returns, ``None`` if it raises.
    """
    try:
        result = listener(*args)
        if inspect.isawaitable(result):
            _start(result)
        return result
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as exc:
        report("an event listener raised", exc)
        return None


def report(message: str, exc: BaseException) -> None:
    """Report an exception that nobody catches; see the module.

    Args:
        message: where it comes from.
        exc: what was raised.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        sys.excepthook(type(exc), exc, exc.__traceback__)
    else:
        loop.call_exception_handler({"message": message, "exception": exc})


def _start(awaitable: Awaitable[Any]) -> None:
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        background().loop.call_soon_threadsafe(_start, awaitable)
        return
    task = loop.create_task(_wait_for(awaitable))
    _tasks.add(task)
    task.add_done_callback(_ended)


async def _wait_for(awaitable: Awaitable[Any]) -> None:
    await awaitable


def _ended(task: asyncio.Task[Any]) -> None:
    _tasks.discard(task)
    if not task.cancelled() and (exc := task.exception()) is not None:
        report("an event listener raised", exc)
