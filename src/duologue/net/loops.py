"""The event loop that suits the engine best, for programs that can choose theirs."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from duologue.net.engine import PROVEN, backend

T = TypeVar("T")


def new_event_loop(busy_poll: float | None = None) -> asyncio.AbstractEventLoop:
    """Return a new event loop: :class:`EventLoop` on Linux, asyncio's own elsewhere.

    Args:
        busy_poll: As :class:`EventLoop` takes it, in seconds; its default by default.
    """
    if backend() != PROVEN:
        return asyncio.new_event_loop()
    from duologue.net.selector import EventLoop

    return EventLoop() if busy_poll is None else EventLoop(busy_poll=busy_poll)


def run(main: Coroutine[Any, Any, T], *, debug: bool | None = None) -> T:
    """Run a coroutine to its end as :func:`asyncio.run` does, on the engine's event loop.

    Args:
        main: what to run.
        debug: asyncio's debug mode; by default that of the environment.

    Returns:
        What the coroutine returns.

    Raises:
        RuntimeError: If an event loop is running in this thread.
    """
    with asyncio.Runner(debug=debug, loop_factory=new_event_loop) as runner:
        return runner.run(main)
