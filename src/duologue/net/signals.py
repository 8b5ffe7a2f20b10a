"""Ending on request: SIGINT and SIGTERM become an event that a coroutine can wait for.

A second signal ends the process at once, for those who don't want to wait for peers that don't say
goodbye.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

__all__ = ["stop_requested"]


@contextlib.contextmanager
def stop_requested() -> Iterator[asyncio.Event]:
    """Gives an event that is set by the first SIGINT or SIGTERM.

    To be used in the main thread, while the event loop is running. The handlers of before are
    restored at the end, unless a signal has come.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}

    def request(number: signal.Signals) -> None:
        stop.set()
        _forget(loop, number)
        signal.signal(number, signal.SIG_DFL)

    for number in numbers:
        try:
            loop.add_signal_handler(number, request, number)
        except NotImplementedError:  # the loops of Windows

            def handler(received: int, frame: FrameType | None) -> None:
                loop.call_soon_threadsafe(request, signal.Signals(received))

            signal.signal(number, handler)
    try:
        yield stop
    finally:
        if not stop.is_set():
            for number in numbers:
                _forget(loop, number)
                signal.signal(number, before[number])


def _forget(loop: asyncio.AbstractEventLoop, number: signal.Signals) -> None:
    with contextlib.suppress(NotImplementedError):
        loop.remove_signal_handler(number)
