"""Calls at a later time, in virtual time."""

from __future__ import annotations

import asyncio
import gc
import weakref
from contextvars import ContextVar, copy_context
from typing import Any

import pytest

import duologue
from duologue.net.later import call_later
from duologue.net.timers import timers_of

pytestmark = pytest.mark.virtual_time

who: ContextVar[str] = ContextVar("who", default="nobody")


async def test_calls_come_in_the_order_of_their_times() -> None:
    loop = asyncio.get_running_loop()
    ran: list[tuple[Any, ...]] = []
    for delay in (3.0, 1.5, 2):
        call_later(delay, lambda *args: ran.append((loop.time(), *args)), delay, "x")
    assert ran == []
    await asyncio.sleep(10)
    assert ran == [(1.5, 1.5, "x"), (2, 2, "x"), (3, 3.0, "x")]


@pytest.mark.parametrize("delay", [0, -5])
async def test_one_that_is_due_already_is_made_by_the_loop(delay: float) -> None:
    ran: list[int] = []
    call_later(delay, ran.append, 1)
    assert ran == []
    for _ in range(3):
        await asyncio.sleep(0)
    assert ran == [1]


async def test_it_is_kept_until_its_time_and_not_longer() -> None:
    class Thing:
        def call(self) -> None:
            ran.append(1)

    ran: list[int] = []
    thing = Thing()
    gone = weakref.ref(thing)
    call_later(5, thing.call)
    del thing
    gc.collect()
    await asyncio.sleep(4)
    assert gone() is not None
    await asyncio.sleep(2)
    gc.collect()
    assert ran == [1]
    assert gone() is None


async def test_a_cancelled_call_is_not_made_and_leaves_nothing() -> None:
    loop = asyncio.get_running_loop()
    timers = timers_of(loop)
    call = call_later(5, pytest.fail)
    assert call.when == 5
    assert len(timers) == len(timers.held) == 1
    call.cancel()
    call.cancel()
    assert call.when is None
    assert len(timers) == len(timers.held) == 0
    await asyncio.sleep(10)


async def test_cancelled_from_the_call_itself_or_after_it() -> None:
    ran: list[float | None] = []

    def callback() -> None:
        ran.append(call.when)
        call.cancel()

    call = call_later(1, callback)
    await asyncio.sleep(2)
    call.cancel()
    assert ran == [None]


async def test_the_context_is_that_of_the_call_or_the_given_one() -> None:
    ran: list[str] = []
    given = copy_context()
    given.run(who.set, "given")
    who.set("mine")
    call_later(1, lambda: ran.append(who.get()))
    call_later(2, lambda: ran.append(who.get()), context=given)
    who.set("changed")
    await asyncio.sleep(3)
    assert ran == ["mine", "given"]


async def test_a_failing_call_stops_no_other() -> None:
    contexts: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, each: contexts.append(each))
    ran: list[int] = []
    call_later(1, [].pop)
    call_later(1, ran.append, 1)
    await asyncio.sleep(2)
    assert [type(each["exception"]) for each in contexts] == [IndexError]
    assert ran == [1]


async def test_the_delay_must_be_a_number() -> None:
    with pytest.raises(ValueError, match="NaN"):
        call_later(float("nan"), print)
    with pytest.raises(TypeError):
        call_later("1", print)  # type: ignore[arg-type]
    assert len(timers_of(asyncio.get_running_loop())) == 0


@pytest.mark.virtual_time
def test_a_loop_must_run() -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        call_later(1, print)


def test_its_public_name() -> None:
    assert duologue.call_later is call_later
