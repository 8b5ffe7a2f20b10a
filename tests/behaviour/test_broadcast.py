"""Sending one message to many connections at once."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from .ends import BINARY, TEXT, accepting, ends, turns, url, wire
from .library import Library


@contextlib.asynccontextmanager
async def crowd(lib: Library, size: int) -> AsyncIterator[tuple[Any, list[Any]]]:
    """A server with ``size`` clients."""
    async with accepting(lib) as (server, accepted), contextlib.AsyncExitStack() as stack:
        clients = []
        for _ in range(size):
            clients.append(await stack.enter_async_context(lib.connect(url(server))))
            await accepted.get()
        yield server, clients


@pytest.mark.parametrize("message", ["😀", b"\x01\xff", "", b""])
async def test_everyone_receives(lib: Library, message: str | bytes) -> None:
    async with crowd(lib, 3) as (server, clients):
        lib.broadcast(server.connections, message)
        for client in clients:
            received = await client.recv()
            assert received == message
            assert type(received) is type(message)


@pytest.mark.parametrize(
    ("message", "text", "opcode"),
    [
        ("text", None, TEXT),
        ("text", True, TEXT),
        ("text", False, BINARY),
        (b"text", None, BINARY),
        (b"text", True, TEXT),
        (b"text", False, BINARY),
        (bytearray(b"text"), None, BINARY),
        (bytearray(b"text"), True, TEXT),
        (memoryview(b"text"), None, BINARY),
        (memoryview(b"text"), True, TEXT),
    ],
)
async def test_types(lib: Library, role: str, message: Any, text: bool | None, opcode: int) -> None:
    async with wire(lib, role) as (connection, peer):
        lib.broadcast([connection], message, text=text)
        frame = await peer.receive()
        assert (frame.opcode, frame.payload) == (opcode, b"text")


@pytest.mark.parametrize("message", [["fragments"], {"a": 1}, 42, None])
async def test_wrong_type(lib: Library, message: Any) -> None:
    async with ends(lib) as (client, _):
        with pytest.raises(TypeError):
            lib.broadcast([client], message)


async def test_nobody(lib: Library) -> None:
    assert lib.broadcast([], "hello") is None


@pytest.mark.parametrize("container", [list, tuple, set, iter])
async def test_any_iterable(lib: Library, container: Any) -> None:
    async with crowd(lib, 2) as (server, clients):
        lib.broadcast(container(server.connections), "hello")
        assert [await client.recv() for client in clients] == ["hello", "hello"]


async def test_clients_may_broadcast(lib: Library) -> None:
    async with ends(lib) as (client, server):
        lib.broadcast([client], "from a client")
        assert await server.recv() == "from a client"


async def test_keeps_order_with_send(lib: Library) -> None:
    async with ends(lib, "server") as (server, client):
        await server.send("1")
        lib.broadcast([server], "2")
        await server.send("3")
        lib.broadcast([server], "4")
        assert [await client.recv() for _ in range(4)] == ["1", "2", "3", "4"]


async def test_skips_closed_connections(lib: Library) -> None:
    async with ends(lib, "server") as (closed, other):
        await other.close()
        await closed.wait_closed()
        async with ends(lib, "server") as (open_, client):
            lib.broadcast([closed, open_], "hello", raise_exceptions=True)
            assert await client.recv() == "hello"


async def test_skips_closing_connections(lib: Library) -> None:
    async with wire(lib, "server") as (closing, peer):
        task = asyncio.create_task(closing.close())
        await turns()
        lib.broadcast([closing], "hello", raise_exceptions=True)
        assert await peer.answer_close() == (1000, "")
        await task


async def test_does_not_break_into_a_fragmented_message(lib: Library) -> None:
    """Whether the message is left out for that connection or comes later is left open."""
    gate = asyncio.Event()

    async def fragments() -> AsyncIterator[str]:
        yield "one"
        await gate.wait()
        yield "two"

    async with ends(lib, "server") as (server, client):
        sending = asyncio.create_task(server.send(fragments()))
        await turns()
        lib.broadcast([server], "meanwhile")
        gate.set()
        await sending
        lib.broadcast([server], "afterwards")
        assert await client.recv() == "onetwo"
        second = await client.recv()
        if second == "meanwhile":
            second = await client.recv()
        assert second == "afterwards"


def failing_extension(lib: Library) -> Any:
    """A server factory of an extension that can't encode text."""

    class Failing(lib.Extension):  # type: ignore[name-defined,misc]
        name = "x-failing"

        def decode(self, frame: Any, *, max_size: int | None = None) -> Any:
            return frame

        def encode(self, frame: Any) -> Any:
            if frame.opcode == lib.Opcode.TEXT:
                raise ZeroDivisionError("cannot encode")
            return frame

    class Factory(lib.ServerExtensionFactory):  # type: ignore[name-defined,misc]
        name = "x-failing"

        def process_request_params(self, params: Any, accepted: Any) -> Any:
            return [], Failing()

    return Factory()


BROKEN = ("Sec-WebSocket-Extensions: x-failing",)


async def test_failures_are_logged(lib: Library, caplog: pytest.LogCaptureFixture) -> None:
    extensions = [failing_extension(lib)]
    async with wire(lib, "server", headers=BROKEN, extensions=extensions) as (broken, _):
        with caplog.at_level(logging.WARNING):
            lib.broadcast([broken], "hello")
    (record,) = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert "skipped broadcast" in record.getMessage()
    assert "cannot encode" in record.getMessage()


async def test_failures_are_raised_together(lib: Library) -> None:
    extensions = [failing_extension(lib)]
    async with (
        wire(lib, "server", headers=BROKEN, extensions=extensions) as (broken, _),
        wire(lib, "server", headers=BROKEN, extensions=extensions) as (broken_too, _),
        ends(lib, "server") as (sound, client),
    ):
        with pytest.raises(ExceptionGroup, match="skipped broadcast") as raised:
            lib.broadcast([broken, sound, broken_too], "hello", raise_exceptions=True)
        assert [type(exc) for exc in raised.value.exceptions] == [RuntimeError, RuntimeError]
        assert [type(exc.__cause__) for exc in raised.value.exceptions] == [ZeroDivisionError] * 2
        assert await client.recv() == "hello"


async def test_failures_do_not_keep_others_from_receiving(lib: Library) -> None:
    extensions = [failing_extension(lib)]
    async with (
        wire(lib, "server", headers=BROKEN, extensions=extensions) as (broken, _),
        ends(lib, "server") as (sound, client),
    ):
        lib.broadcast([broken, sound], "hello")
        assert await client.recv() == "hello"


async def test_large_message(lib: Library) -> None:
    message = b"x" * 500_000
    async with crowd(lib, 3) as (server, clients):
        lib.broadcast(server.connections, message)
        assert [len(await client.recv()) for client in clients] == [500_000] * 3


async def test_does_not_wait(lib: Library) -> None:
    async with wire(lib, "server", compression=None, close_timeout=0.05) as (connection, peer):
        for _ in range(20):
            lib.broadcast([connection], b"x" * 100_000)
        received = 0
        for _ in range(20):
            received += len((await peer.receive()).payload)
        assert received == 2_000_000
