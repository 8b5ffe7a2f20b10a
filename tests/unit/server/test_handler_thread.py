"""The thread of a connection: what it is given runs in order, and all of it comes back."""

from __future__ import annotations

import asyncio
import threading

import pytest

from duologue.server.handler_thread import HandlerThread


async def test_calls_run_in_order_in_one_thread() -> None:
    threads: set[threading.Thread] = set()
    thread = HandlerThread(asyncio.get_running_loop(), threads)
    [only] = threads
    seen: list[int] = []
    calls = [thread.call(seen.append, number) for number in range(5)]
    ident = thread.call(threading.current_thread)
    thread.end()
    await asyncio.gather(*calls)
    assert seen == list(range(5))
    assert await ident is only
    assert not only.daemon
    await asyncio.to_thread(only.join)
    assert threads == set()
    # The pool of to_thread() outlives the test otherwise.
    await asyncio.get_running_loop().shutdown_default_executor()


async def test_what_a_call_raises() -> None:
    thread = HandlerThread(asyncio.get_running_loop(), set())
    with pytest.raises(ZeroDivisionError):
        await thread.call(divmod, 1, 0)
    thread.end()


@pytest.mark.parametrize("exc", [StopIteration(3), SystemExit(3), KeyboardInterrupt()])
async def test_what_would_end_the_loop(exc: BaseException) -> None:
    def fail() -> None:
        raise exc

    thread = HandlerThread(asyncio.get_running_loop(), set())
    with pytest.raises(RuntimeError, match=type(exc).__name__) as caught:
        await thread.call(fail)
    thread.end()
    assert caught.value.__cause__ is exc


async def test_nobody_waits_any_more() -> None:
    release = threading.Event()
    thread = HandlerThread(asyncio.get_running_loop(), set())
    waiting = thread.call(release.wait, 10)
    waiting.cancel()
    after = thread.call(int)
    release.set()
    assert await after == 0
    thread.end()
    assert waiting.cancelled()
