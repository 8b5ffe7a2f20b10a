"""What recv(), send() and ``__anext__`` return behaves as a coroutine does."""

from __future__ import annotations

import asyncio
import collections.abc
import inspect
import sys
from collections.abc import Callable, Coroutine, Generator
from typing import Any

import pytest

from duologue.connection.connection import Connection
from duologue.exceptions import ConnectionClosedError

from .rig import Rig, rig, turns

pytestmark = pytest.mark.virtual_time

KINDS: dict[str, Callable[[Rig], Coroutine[Any, Any, Any]]] = {
    "recv": lambda r: r.ws.recv(),
    "decode": lambda r: r.ws.recv(decode=True),
    "next": lambda r: anext(r.ws),  # type: ignore[arg-type,return-value]
    "send": lambda r: r.ws.send("x"),
    "fragments": lambda r: r.ws.send(["x"]),
    "refused": lambda r: r.ws.send("\ud800"),
}


@pytest.fixture(params=KINDS)
def make(request: pytest.FixtureRequest) -> Callable[[Rig], Coroutine[Any, Any, Any]]:
    return KINDS[request.param]


async def test_they_are_coroutines(make: Callable[[Rig], Coroutine[Any, Any, Any]]) -> None:
    with rig() as r:
        awaitable = make(r)
        assert isinstance(awaitable, collections.abc.Coroutine)
        assert asyncio.iscoroutine(awaitable)
        awaitable.close()


async def test_tasks_take_them(make: Callable[[Rig], Coroutine[Any, Any, Any]]) -> None:
    with rig() as r:
        task = asyncio.create_task(make(r))
        assert repr(task)
        await turns()
        r.text("x")
        await asyncio.wait([task])
        if task.exception() is None:
            assert task.result() in ("x", None)


async def test_an_awaitable_of_somebody_else_may_delegate_to_them(
    make: Callable[[Rig], Coroutine[Any, Any, Any]],
) -> None:
    class Wrapping:
        def __init__(self, inner: Coroutine[Any, Any, Any]) -> None:
            self.inner = inner

        def __await__(self) -> Generator[Any, Any, Any]:
            return (yield from self.inner.__await__())

    with rig() as r:
        r.text("x")
        try:
            assert await Wrapping(make(r)) in ("x", None)
        except UnicodeEncodeError:
            assert make is KINDS["refused"]


async def test_cancelled_before_they_began(
    make: Callable[[Rig], Coroutine[Any, Any, Any]],
) -> None:
    with rig() as r:
        r.clog()
        r.text("kept")
        task = asyncio.create_task(make(r))
        task.cancel()
        await turns()
        assert task.cancelled()
        assert await r.ws.recv() == "kept"


async def test_awaiting_again_is_refused() -> None:
    with rig() as r:
        r.text("1", "2", "3")
        for awaitable in (r.ws.recv(), r.ws.recv(decode=True)):
            await awaitable
            with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
                await awaitable
        assert await r.ws.recv() == "3"
        closed = r.ws.recv()
        closed.close()
        with pytest.raises(RuntimeError, match="cannot reuse"):
            await closed
        thrown = r.ws.recv()
        with pytest.raises(LookupError):
            thrown.throw(LookupError())
        with pytest.raises(RuntimeError, match="cannot reuse"):
            await thrown
        r.clog()
        queued = asyncio.ensure_future(r.ws.send("x"))
        r.wire.drain()
        await queued


async def test_a_send_that_needs_no_waiting_may_be_awaited_again() -> None:
    with rig() as r:
        sent = r.ws.send("x")
        await sent
        await sent
        await asyncio.gather(r.ws.send("a"), r.ws.send("b"))
        assert await r.heard_data() == [b"x", b"a", b"b"]


async def test_throwing_into_them_in_all_forms() -> None:
    with rig() as r:
        for arguments in ((LookupError,), (LookupError, None, None), (LookupError, LookupError())):
            with pytest.raises(LookupError):
                r.ws.recv().throw(*arguments)
        waiting = r.ws.recv()
        waiting.send(None)
        with pytest.raises(LookupError):
            waiting.throw(LookupError())
        r.text("kept")
        assert await r.ws.recv() == "kept"


async def test_closing_them_while_they_wait() -> None:
    with rig() as r:
        waiting = r.ws.recv()
        waiting.send(None)
        waiting.close()
        r.text("kept")
        assert await r.ws.recv() == "kept"


async def test_iteration_by_hand() -> None:
    with rig() as r:
        r.peer.send_close()
        r.say()
        step = anext(r.ws)
        assert isinstance(step, collections.abc.Coroutine)
        step.send(None)
        r.wire.lose()
        with pytest.raises(StopAsyncIteration):
            step.send(None)
        error = RuntimeError("thrown")
        fresh = anext(r.ws)
        assert isinstance(fresh, collections.abc.Coroutine)
        with pytest.raises(RuntimeError, match="thrown"):
            fresh.throw(error)
        assert await anext(r.ws, "default") == "default"


async def test_the_end_thrown_into_an_iteration() -> None:
    from duologue.base.exceptions import ConnectionClosedOK

    with rig() as r:
        step = anext(r.ws)
        assert isinstance(step, collections.abc.Coroutine)
        with pytest.raises(StopAsyncIteration):
            step.throw(ConnectionClosedOK(None, None))


async def test_wait_for_a_message() -> None:
    with rig() as r:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(r.ws.recv(), 5)
        r.text("late")
        assert await asyncio.wait_for(r.ws.recv(), 5) == "late"


async def test_iterating_makes_no_object_for_a_message() -> None:
    with rig(max_queue=None) as r:
        messages = aiter(r.ws)
        first = anext(messages)
        r.text("a", "b")
        assert await first == "a"
        assert anext(messages) is first
        assert await first == "b"


async def test_an_iterator_given_out_is_not_given_out_again() -> None:
    with rig(max_queue=None) as r:
        messages = aiter(r.ws)
        first, second = anext(messages), anext(messages)
        assert first is not second
        waiting = asyncio.ensure_future(first)
        await asyncio.sleep(0)
        third = anext(messages)
        assert third is not first
        r.text("a", "b", "c")
        assert await waiting == "a"
        assert [await second, await third] == ["b", "c"]
        with pytest.raises(RuntimeError, match="already awaited"):
            await first


async def test_an_iterator_goes_on_after_a_cancellation() -> None:
    with rig() as r:
        messages = aiter(r.ws)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await anext(messages)
        r.text("a")
        assert await anext(messages) == "a"
        r.fragments(b"b", b"c", fin=True)
        assert await anext(messages) == "bc"
        r.wire.lose()
        with pytest.raises(ConnectionClosedError):
            await anext(messages)


async def test_messages_leave_nothing_behind() -> None:
    """Memory after ten thousand messages is what it was after the first hundred."""
    with rig() as r:

        async def echo() -> None:
            async for message in r.ws:
                await r.ws.send(message)

        task = asyncio.ensure_future(echo())
        blocks = 0
        for number in range(630):
            r.text(*["0123456789abcdef"] * 16)
            await asyncio.sleep(0)
            assert len(await r.heard_data()) == 16
            if number == 5:
                blocks = sys.getallocatedblocks()
        assert sys.getallocatedblocks() - blocks < 200
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_send_that_needs_no_waiting_makes_no_object() -> None:
    with rig() as r:
        assert r.ws.send("a") is r.ws.send(b"b") is r.ws.send("é", compress=False)
        assert await r.heard_data() == [b"a", b"b", "é".encode()]


def test_send_tells_its_signature() -> None:
    """Compiled without a function object of its own, which a call would pay for."""
    expected = "(self, /, message, *, text=None, compress=None, key=None, overflow=None)"
    assert str(inspect.signature(Connection.send)) == expected
