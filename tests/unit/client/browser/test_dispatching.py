"""Where coroutines of listeners run, and who hears of what they raise."""

from __future__ import annotations

import asyncio
import sys
import threading
from typing import Any

import pytest

from duologue import Event, EventTarget
from duologue.client.browser.dispatching import call_listener, report


def test_coroutines_without_a_loop_run_in_the_background() -> None:
    where: list[Any] = []
    done = threading.Event()

    async def listener(event: Event) -> None:
        await asyncio.sleep(0)
        where.append((threading.current_thread(), event.type))
        done.set()

    target = EventTarget()
    target.addEventListener("x", listener)
    target.dispatchEvent(Event("x"))
    assert done.wait(30)
    assert where[0][0] is not threading.current_thread()
    assert where[0][1] == "x"


async def test_coroutines_run_in_the_running_loop() -> None:
    loop = asyncio.get_running_loop()
    where = loop.create_future()

    async def listener(number: int) -> None:
        where.set_result((asyncio.get_running_loop(), number))

    call_listener(listener, 5)
    assert not where.done()
    assert await where == (loop, 5)


async def test_exceptions_go_to_the_loop() -> None:
    reported: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda loop, context: reported.append((context["message"], context["exception"]))
    )
    failure = ValueError("no")

    async def later() -> None:
        raise failure

    def cancelled() -> None:
        raise asyncio.CancelledError

    call_listener(later)
    assert call_listener(cancelled) is None
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    kinds = [(message, type(exc)) for message, exc in reported]
    assert kinds == [
        ("an event listener raised", asyncio.CancelledError),
        ("an event listener raised", ValueError),
    ]


async def test_a_cancelled_task_is_no_failure() -> None:
    reported: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.append(context))
    tasks: list[Any] = []

    async def listener() -> None:
        tasks.append(asyncio.current_task())
        await asyncio.sleep(60)

    call_listener(listener)
    await asyncio.sleep(0)
    tasks[0].cancel()
    await asyncio.wait(tasks)
    assert reported == []


def test_exceptions_without_a_loop_go_to_the_hook(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(sys, "excepthook", lambda *args: seen.append(args))
    failure = ValueError("no")
    report("somewhere", failure)
    assert seen == [(ValueError, failure, None)]


def test_returns_what_the_listener_returns() -> None:
    assert call_listener(lambda: False) is False
