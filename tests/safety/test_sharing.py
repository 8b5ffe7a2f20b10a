"""Two tasks on one connection, one lost inside ``send``, exceptions in callbacks, tracing."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import socket
import sys
from typing import Any

import pytest

import duologue
from duologue import ConcurrencyError, ConnectionClosed, ConnectionClosedError

from .rig import dial, errors, line, served, turns, until


async def test_two_tasks_receive(loop_factory: Any) -> None:
    """The second is refused; the first, and the message, come to no harm."""
    async with line() as made:
        first = asyncio.ensure_future(made.ws.recv())
        await turns()
        for second in (made.ws.recv(), made.ws.__anext__(), made.ws.recv(decode=False)):
            with pytest.raises(ConcurrencyError):
                await second
        made.say("for the first")
        assert await first == "for the first"


async def test_receiving_is_taken_over_in_the_same_turn(loop_factory: Any) -> None:
    async with line() as made:
        for number in range(50):
            first = asyncio.ensure_future(made.ws.recv())
            await asyncio.sleep(0)
            first.cancel()
            second = asyncio.ensure_future(asyncio.wait_for(made.ws.recv(), 5))
            if number % 2:
                made.say(str(number))
                made.poller.drain()
            await asyncio.sleep(0)
            if not number % 2:
                made.say(str(number))
            assert await second == str(number)
            with pytest.raises(asyncio.CancelledError):
                await first


async def test_many_tasks_send_and_one_receives(loop_factory: Any, engine: str) -> None:
    async def echo(ws: Any) -> None:
        async for message in ws:
            await ws.send(message)

    async with served(echo, engine=engine) as (_, url):
        async with dial(url, engine=engine, write_limit=1000) as ws:

            async def send(name: int) -> None:
                for number in range(50):
                    await ws.send(f"{name} {number} " + "z" * 500)

            sending = [asyncio.ensure_future(send(name)) for name in range(8)]
            heard: dict[int, list[int]] = {name: [] for name in range(8)}
            for _ in range(8 * 50):
                name, number, filling = (await ws.recv()).split()
                assert filling == "z" * 500
                heard[int(name)].append(int(number))
            await asyncio.gather(*sending)
            assert all(numbers == list(range(50)) for numbers in heard.values())


async def test_two_tasks_close(loop_factory: Any, engine: str) -> None:
    async def wait(ws: Any) -> None:
        await ws.wait_closed()

    async with served(wait, engine=engine) as (_, url):
        async with dial(url, engine=engine) as ws:
            receiving = asyncio.ensure_future(ws.recv())
            await turns()
            await asyncio.gather(ws.close(4000, "first"), ws.close(4001, "second"), ws.close())
            assert (ws.close_code, ws.close_reason) == (4000, "first")
            with pytest.raises(ConnectionClosed):
                await receiving


def reset(sock: socket.socket) -> None:
    """Close a TCP socket with a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    sock.close()


@pytest.mark.parametrize("size", [10, 100_000])
async def test_a_connection_lost_inside_send(loop_factory: Any, engine: str, size: int) -> None:
    """The write fails at once, with several senders and a receiver waiting."""
    outcome: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()

    async def handler(ws: Any) -> None:
        receiving = asyncio.ensure_future(ws.recv())
        await turns()
        reset(peers.pop().transport.get_extra_info("socket").dup())
        for peer in clients:
            peer.transport.abort()

        async def send() -> None:
            while True:
                await ws.send(bytes(size))
                await asyncio.sleep(0)

        results = await asyncio.gather(
            receiving, *(send() for _ in range(3)), return_exceptions=True
        )
        outcome.set_result(results)

    clients: list[Any] = []
    peers: list[Any] = []
    with errors() as contexts:
        async with served(handler, engine=engine) as (_, url):
            ws = await dial(url, engine="asyncio")
            clients.append(ws)
            peers.append(ws)
            async with asyncio.timeout(10):
                results = await outcome
            assert all(isinstance(each, ConnectionClosedError) for each in results), results
            await ws.wait_closed()
    assert not contexts


class Breaking(duologue.Endpoint):
    """Raises in one of its callbacks."""

    def __init__(self, where: str, exc: BaseException) -> None:
        self.where = where
        self.exc = exc
        self.closed = 0

    def _break(self, where: str) -> None:
        if where == self.where:
            raise self.exc

    def on_open(self, ws: Any) -> None:
        self._break("on_open")

    def on_message(self, ws: Any, message: Any) -> None:
        ws.send(message)
        if message == "break":
            self._break("on_message")

    def on_ping(self, ws: Any, payload: bytes) -> None:
        self._break("on_ping")

    def on_pong(self, ws: Any, payload: bytes) -> None:
        self._break("on_pong")

    def on_close(self, ws: Any, code: int, reason: str) -> None:
        self.closed += 1
        self._break("on_close")


@pytest.mark.parametrize("where", ["on_open", "on_message", "on_ping", "on_pong", "on_close"])
async def test_exceptions_in_callbacks(
    loop_factory: Any, engine: str, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The connection ends with 1011 and is told of once; its neighbour goes on."""
    endpoint = Breaking("", ZeroDivisionError("by the test"))
    with caplog.at_level(logging.ERROR), errors() as contexts:
        async with served(endpoint, engine=engine) as (server, url):
            async with dial(url, engine=engine) as neighbour:
                endpoint.where = where
                ws = await dial(url, engine=engine)
                try:
                    if where == "on_ping":
                        await ws.ping()
                    elif where == "on_pong":
                        await ws.pong()
                    elif where == "on_close":
                        await ws.close()
                    await ws.send("break")
                except ConnectionClosed:
                    pass
                await ws.wait_closed()
                assert ws.close_code == (1000 if where == "on_close" else 1011)
                await until(lambda: endpoint.closed == 1)
                await neighbour.send("still there?")
                assert await neighbour.recv() == "still there?"
                endpoint.where = ""
            await until(lambda: not server.all_connections)
    assert endpoint.closed == 2
    assert [record.getMessage() for record in caplog.records] == ["endpoint failed"]
    assert not contexts


async def test_a_handler_raises_what_is_no_exception(loop_factory: Any, engine: str) -> None:
    """``GeneratorExit`` and ``CancelledError`` out of a callback do no harm to others."""
    for exc in (GeneratorExit(), asyncio.CancelledError()):
        endpoint = Breaking("on_message", exc)
        with errors():
            async with served(endpoint, engine=engine) as (_, url):
                async with dial(url, engine=engine) as neighbour:
                    ws = await dial(url, engine=engine)
                    await ws.send("break")
                    await ws.wait_closed()
                    await neighbour.send("still there?")
                    async with asyncio.timeout(5):
                        assert await neighbour.recv() == "still there?"


VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("VARIABLE", default="unset")


@pytest.mark.parametrize("tool", ["settrace", "setprofile"])
async def test_wake_ups_are_traced(loop_factory: Any, engine: str, tool: str) -> None:
    """A debugger, a profiler, a coverage tool sees the same program."""
    calls: list[str] = []

    def trace(frame: Any, event: str, argument: Any) -> Any:
        if event == "call":
            calls.append(frame.f_code.co_name)
        return trace

    async def handler(ws: Any) -> None:
        VARIABLE.set("handler")
        me = asyncio.current_task()
        async for message in ws:
            assert asyncio.current_task() is me
            assert VARIABLE.get() == "handler"
            await answer(ws, message)

    async def answer(ws: Any, message: str) -> None:
        await ws.send(message)

    async with served(handler, engine=engine) as (_, url):
        async with dial(url, engine=engine) as ws:
            before = getattr(sys, tool.replace("set", "get"))()
            getattr(sys, tool)(trace)
            try:
                for number in range(50):
                    if number % 2:
                        await ws.send(str(number))
                        receiving = asyncio.ensure_future(ws.recv())
                    else:
                        receiving = asyncio.ensure_future(ws.recv())
                        await turns(number % 5)
                        await ws.send(str(number))
                    assert await receiving == str(number)
                cancelled = asyncio.ensure_future(ws.recv())
                await turns()
                cancelled.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await cancelled
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.01):
                        await anext(ws)
            finally:
                getattr(sys, tool)(before)
            assert calls.count("answer") == 50
            await ws.send("afterwards")
            assert await ws.recv() == "afterwards"
