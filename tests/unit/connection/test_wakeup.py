"""The rules by which a waiting task is woken straight from the read."""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextvars import ContextVar, copy_context
from typing import Any

import pytest

from duologue import ServerConnection, serve
from duologue.connection.wakeup import Wakeup
from duologue.net.poller import poller_of

REQUEST = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
X = b"\x81\x81\0\0\0\0x"  # text "x", masked with zeros

number: ContextVar[int] = ContextVar("number", default=0)


@contextlib.asynccontextmanager
async def waiting(
    handler: Callable[[ServerConnection], Any],
) -> AsyncIterator[tuple[socket.socket, Callable[[], None]]]:
    """A handler that waits for its first message; its peer's socket; what reads what came."""
    loop = asyncio.get_running_loop()
    async with serve(handler, "127.0.0.1", 0, compression=None, ping_interval=None) as server:
        with socket.socket() as sock:
            sock.setblocking(False)
            await loop.sock_connect(sock, server.sockets[0].getsockname())
            await loop.sock_sendall(sock, REQUEST)
            assert (await loop.sock_recv(sock, 4096)).startswith(b"HTTP/1.1 101")
            for _ in range(5):
                await asyncio.sleep(0)
            poller = poller_of(loop)

            def drain() -> None:
                # The poller's own descriptor tells that what was sent has arrived.
                assert select.select([poller], [], [], 5)[0] == [poller]
                poller.drain()

            yield sock, drain


async def outside_of_tasks(call: Callable[[], Any]) -> Any:
    """Call from the loop itself, where no task is current."""
    result: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(lambda: result.set_result(call()))
    return await result


async def test_a_task_is_woken_inside_the_read() -> None:
    woken: list[Any] = []
    tasks: list[Any] = []

    async def handler(ws: ServerConnection) -> None:
        tasks.append(asyncio.current_task())
        async with asyncio.timeout(5):
            async for message in ws:
                woken.append((message, asyncio.current_task() is tasks[0]))

    def read() -> list[Any]:
        woken.clear()
        sock.send(X)
        drain()
        return list(woken)

    async with waiting(handler) as (sock, drain):
        # The object is used again each time.
        for _ in range(5):
            assert await outside_of_tasks(read) == [("x", True)]


async def test_never_while_a_task_is_current() -> None:
    woken: list[Any] = []

    async def handler(ws: ServerConnection) -> None:
        woken.append(await ws.recv())

    async with waiting(handler) as (sock, drain):
        sock.send(X)
        drain()
        assert woken == []
        assert asyncio.current_task() is not None
        await asyncio.sleep(0)
        assert woken == ["x"]


async def test_never_into_a_context_that_is_entered() -> None:
    woken: list[Any] = []
    context = copy_context()

    async def handler(ws: ServerConnection) -> None:
        async def receive() -> None:
            woken.append((await ws.recv(), number.get()))

        number.set(1)
        await asyncio.get_running_loop().create_task(receive(), context=context)

    def read() -> list[Any]:
        sock.send(X)
        context.run(drain)
        return list(woken)

    context.run(number.set, 7)
    async with waiting(handler) as (sock, drain):
        assert await outside_of_tasks(read) == []
        await asyncio.sleep(0)
        assert woken == [("x", 7)]


async def test_the_task_runs_in_its_own_context() -> None:
    woken: list[int] = []

    async def handler(ws: ServerConnection) -> None:
        number.set(42)
        await ws.recv()
        woken.append(number.get())
        number.set(43)

    def read() -> list[int]:
        sock.send(X)
        number.set(5)
        drain()
        assert number.get() == 5
        return list(woken)

    async with waiting(handler) as (sock, drain):
        assert await outside_of_tasks(read) == [42]


async def test_a_traced_task_is_woken_all_the_same() -> None:
    woken: list[Any] = []
    seen: list[str] = []

    async def handler(ws: ServerConnection) -> None:
        woken.append(await ws.recv())

    def trace(frame: Any, event: str, argument: Any) -> Any:
        seen.append(frame.f_code.co_name)
        return trace

    def read() -> list[Any]:
        sock.send(X)
        before = sys.gettrace()
        sys.settrace(trace)
        try:
            drain()
        finally:
            sys.settrace(before)
        return list(woken)

    async with waiting(handler) as (sock, drain):
        assert await outside_of_tasks(read) == ["x"]
    assert "handler" in seen


async def test_cancelled_between_read_and_turn() -> None:
    """The message is not lost, and the task hears of the cancellation once."""
    heard: list[Any] = []
    tasks: list[Any] = []

    async def handler(ws: ServerConnection) -> None:
        tasks.append(asyncio.current_task())
        try:
            await ws.recv()
        except asyncio.CancelledError as exc:
            heard.append(exc.args)
        tasks[0].uncancel()
        heard.append(await ws.recv())

    def cancel_and_read() -> list[Any]:
        tasks[0].cancel("enough")
        sock.send(X)
        drain()
        return list(heard)

    async with waiting(handler) as (sock, drain):
        # cancel() never enters the task: it hears in the loop's next turn.
        assert await outside_of_tasks(cancel_and_read) == []
        while len(heard) < 2:
            await asyncio.sleep(0)
    assert heard == [("enough",), "x"]


# -- as a future, by itself


async def wait_for(wakeup: Wakeup) -> str:
    await wakeup
    return "woken"


@pytest.mark.parametrize("message", [None, "enough"])
async def test_cancelling_goes_through_the_loop(message: str | None) -> None:
    wakeup = Wakeup(asyncio.get_running_loop())
    task = asyncio.create_task(wait_for(wakeup))
    await asyncio.sleep(0)
    assert not wakeup.done()
    assert wakeup.cancel(message)
    assert not wakeup.cancel()
    assert wakeup.done()
    assert wakeup.cancelled()
    assert not task.done()
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    assert caught.value.args == (() if message is None else (message,))


async def test_a_task_that_is_cancelled_cancels_what_it_waits_for() -> None:
    wakeup = Wakeup(asyncio.get_running_loop())
    task = asyncio.create_task(wait_for(wakeup))
    await asyncio.sleep(0)
    task.cancel()
    assert wakeup.cancelled()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_it_can_be_waited_for_again() -> None:
    wakeup = Wakeup(asyncio.get_running_loop())
    for _ in range(3):
        task = asyncio.create_task(wait_for(wakeup))
        await asyncio.sleep(0)
        assert not wakeup.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_one_callback_is_kept_and_may_be_removed() -> None:
    loop = asyncio.get_running_loop()
    wakeup = Wakeup(loop)
    assert next(wakeup.__await__()) is wakeup
    assert wakeup.get_loop() is loop
    called: list[Any] = []
    wakeup.add_done_callback(called.append)
    assert wakeup.remove_done_callback(print) == 0
    assert wakeup.remove_done_callback(called.append) == 1
    assert wakeup.remove_done_callback(called.append) == 0
    wakeup.cancel()
    # Settled: a callback is called by the loop.
    wakeup.add_done_callback(called.append)
    assert called == []
    await asyncio.sleep(0)
    assert called == [wakeup]
    for ask in (wakeup.result, wakeup.exception):
        with pytest.raises(asyncio.CancelledError):
            ask()
