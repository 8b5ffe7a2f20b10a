"""Handlers that fail: the peer is told 1011, the log once, and the server goes on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from duologue.exceptions import ConnectionClosed, ConnectionClosedError, InvalidStatus

from .hostile import PATIENCE, TEXT, close_code, connect, frame, opened, raw, request, url, watched


class OwnError(Exception):
    """An application's error."""


def errors(watch: Any) -> list[logging.LogRecord]:
    return [record for record in watch.records if record.levelno >= logging.ERROR]


async def at_once(_: Any) -> None:
    raise OwnError("at once")


async def after_a_message(connection: Any) -> None:
    raise OwnError(await connection.recv())


async def in_the_middle_of_a_fragmented_message(connection: Any) -> None:
    async def parts() -> Any:
        yield "one"
        raise OwnError(await connection.recv())

    await connection.send(parts())


async def as_a_group(connection: Any) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(after_a_message(connection))


@pytest.mark.parametrize(
    "handler",
    [at_once, after_a_message, in_the_middle_of_a_fragmented_message, as_a_group],
    ids=lambda handler: handler.__name__,
)
async def test_a_handler_that_raises(handler: Callable[[Any], Any]) -> None:
    async with watched(handler, quiet=False) as watch:
        async with opened(watch.server) as peer:
            await peer.send(frame(TEXT, b"boom"))
            octets = await peer.close()
        assert close_code(octets) == 1011
        # What went wrong is for the log only.
        assert b"boom" not in octets
        assert b"OwnError" not in octets
        while watch.server.connections:
            await asyncio.sleep(0.01)
    (record,) = errors(watch)
    assert record.exc_info
    assert "OwnError" in repr(record.exc_info[1]) or record.exc_info[0] is OwnError
    assert watch.unhandled == []


async def test_a_handler_that_raises_after_the_peer_has_gone() -> None:
    gone = asyncio.Event()

    async def handler(connection: Any) -> None:
        await connection.wait_closed()
        gone.set()
        raise OwnError("late")

    async with watched(handler, quiet=False) as watch:
        async with opened(watch.server):
            pass
        await asyncio.wait_for(gone.wait(), PATIENCE)
    (record,) = errors(watch)
    assert record.exc_info
    assert record.exc_info[0] is OwnError


async def test_a_handler_that_does_not_catch_the_end_of_its_connection() -> None:
    """That is how most handlers end; nobody wants to read about it."""

    async def handler(connection: Any) -> None:
        while True:
            await connection.recv()

    async with watched(handler) as watch:
        async with connect(url(watch.server)):
            pass
        async with opened(watch.server):
            pass


async def test_a_handler_that_raises_the_end_of_another_connection() -> None:
    """That is an error of the application's, not the end of this connection."""

    async def handler(connection: Any) -> None:
        raise ConnectionClosedError(None, None)

    async with watched(handler, quiet=False) as watch:
        async with opened(watch.server) as peer:
            assert close_code(await peer.close()) == 1011
    assert len(errors(watch)) == 1


async def test_a_handler_that_returns_early() -> None:
    async def handler(connection: Any) -> None:
        pass

    async with watched(handler) as watch, opened(watch.server) as peer:
        assert close_code(await peer.close()) == 1000


async def test_a_client_learns_of_1011() -> None:
    async with watched(after_a_message, quiet=False) as watch:
        async with connect(url(watch.server)) as client:
            await client.send("boom")
            with pytest.raises(ConnectionClosed) as caught:
                await client.recv()
        assert caught.value.rcvd is not None
        assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (1011, "")
        assert client.close_code == 1011
    assert len(errors(watch)) == 1


@pytest.mark.parametrize(
    ("hook", "is_async"),
    [
        ("process_request", False),
        ("process_request", True),
        ("process_response", False),
        ("process_response", True),
        ("select_subprotocol", False),
    ],
)
async def test_a_hook_that_raises(hook: str, is_async: bool) -> None:
    def fail(*_: Any) -> None:
        raise OwnError("boom")

    async def fail_later(*_: Any) -> None:
        await asyncio.sleep(0)
        raise OwnError("boom")

    options: dict[str, Any] = {hook: fail_later if is_async else fail}
    handled = False

    async def handler(connection: Any) -> None:
        nonlocal handled
        handled = True

    async with watched(handler, quiet=False, subprotocols=["a"], **options) as watch:
        with pytest.raises(InvalidStatus) as caught:
            await connect(url(watch.server), subprotocols=["a"])
        assert caught.value.response.status_code == 500
        assert b"boom" not in bytes(caught.value.response.body or b"")
    (record,) = errors(watch)
    assert record.exc_info
    assert record.exc_info[0] is OwnError
    assert not handled


async def test_a_hook_that_is_never_done_and_a_peer_that_goes_away() -> None:
    cancelled = asyncio.Event()

    async def process_request(connection: Any, request: Any) -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            cancelled.set()

    async def handler(connection: Any) -> None:
        raise AssertionError("never opened")

    async with watched(handler, process_request=process_request) as watch:
        async with raw(watch.server) as peer:
            await peer.send(request())
            await asyncio.sleep(0.05)
        await asyncio.wait_for(cancelled.wait(), PATIENCE)


async def test_many_handlers_that_raise_at_the_same_time() -> None:
    async with watched(after_a_message, quiet=False) as watch:
        clients = await asyncio.gather(*(connect(url(watch.server)) for _ in range(50)))
        await asyncio.gather(*(client.send("boom") for client in clients))
        await asyncio.gather(*(client.wait_closed() for client in clients))
        assert {client.close_code for client in clients} == {1011}
    assert len(errors(watch)) == 50
