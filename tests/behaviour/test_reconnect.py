"""``async for connection in connect(...)``: which failures are tried again, and when."""

from __future__ import annotations

import asyncio
import itertools
import logging
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from .ends import echo, raw_server, upgrade_response, url
from .library import Library


@pytest.fixture
def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def no_delay() -> Iterator[float]:
    return itertools.repeat(0.0)


def rejecting(*statuses: int | None) -> Callable[[Any, Any], Any]:
    """Answer successive requests with ``statuses``; None accepts, and so does what follows."""
    remaining = list(statuses)

    def process_request(connection: Any, request: Any) -> Any:
        status = remaining.pop(0) if remaining else None
        return None if status is None else connection.respond(status, "later\n")

    return process_request


async def test_reconnects_after_each_iteration(lib: Library) -> None:
    opened = []
    async with lib.serve(echo, "127.0.0.1", 0) as server:
        async for connection in lib.connect(url(server)):
            opened.append(connection)
            await connection.send("hello")
            assert await connection.recv() == "hello"
            if len(opened) == 3:
                break
        assert len({connection.id for connection in opened}) == 3


async def test_connection_is_closed_between_iterations(lib: Library) -> None:
    previous = None
    async with lib.serve(echo, "127.0.0.1", 0) as server:
        async for connection in lib.connect(url(server)):
            if previous is not None:
                assert previous.state is lib.State.CLOSED
                assert previous.close_code == 1000
                break
            previous = connection


async def test_connection_closed_then_continue(lib: Library) -> None:
    async def handler(connection: Any) -> None:
        await connection.close(1012, "restart")

    iterations = 0
    async with lib.serve(handler, "127.0.0.1", 0) as server:
        async for connection in lib.connect(url(server), reconnect_delays=no_delay):
            iterations += 1
            try:
                await connection.recv()
            except lib.ConnectionClosed as exc:
                assert exc.rcvd.code == 1012
                if iterations == 3:
                    break
                continue
    assert iterations == 3


@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_retries_on_server_errors(lib: Library, status: int) -> None:
    process_request = rejecting(status, status)
    async with lib.serve(echo, "127.0.0.1", 0, process_request=process_request) as server:
        async for connection in lib.connect(url(server), reconnect_delays=no_delay):
            await connection.send("through")
            assert await connection.recv() == "through"
            break


@pytest.mark.parametrize("status", [400, 401, 403, 404])
async def test_gives_up_on_other_statuses(lib: Library, status: int) -> None:
    process_request = rejecting(status)
    async with lib.serve(echo, "127.0.0.1", 0, process_request=process_request) as server:
        with pytest.raises(lib.InvalidStatus) as raised:
            async for _ in lib.connect(url(server), reconnect_delays=no_delay):
                pytest.fail("the request was refused")
    assert raised.value.response.status_code == status


async def test_retries_when_the_connection_is_lost_during_the_handshake(lib: Library) -> None:
    attempts = 0

    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal attempts
        attempts += 1
        head = await reader.readuntil(b"\r\n\r\n")
        if attempts < 3:
            writer.close()
            return
        writer.write(upgrade_response(head))
        await reader.read()

    async with raw_server(conversation) as address:
        async for _ in lib.connect(address, reconnect_delays=no_delay, close_timeout=0.01):
            break
    assert attempts == 3


async def test_retries_when_refused(lib: Library, unused_port: int) -> None:
    delays = []

    def reconnect_delays() -> Iterator[float]:
        for attempt in range(2):
            delays.append(attempt)
            yield 0.0
        raise KeyboardInterrupt  # the test's way out of the loop

    with pytest.raises(KeyboardInterrupt):
        async for _ in lib.connect(
            f"ws://127.0.0.1:{unused_port}/", reconnect_delays=reconnect_delays
        ):
            pytest.fail("nothing listens")
    assert delays == [0, 1]


async def test_retries_when_the_handshake_times_out(lib: Library) -> None:
    attempts = 0

    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal attempts
        attempts += 1
        head = await reader.readuntil(b"\r\n\r\n")
        if attempts > 1:
            writer.write(upgrade_response(head))
        await reader.read()

    async with raw_server(conversation) as address:
        async for _ in lib.connect(
            address, reconnect_delays=no_delay, open_timeout=0.05, close_timeout=0.01
        ):
            break
    assert attempts == 2


async def test_delays_start_again_after_a_success(lib: Library) -> None:
    started = []
    used = []

    def reconnect_delays() -> Iterator[float]:
        started.append(True)
        for number in itertools.count(1):
            used.append(number)
            yield 0.0

    process_request = rejecting(503, 503, None, 503)
    async with lib.serve(echo, "127.0.0.1", 0, process_request=process_request) as server:
        opened = 0
        async for _ in lib.connect(url(server), reconnect_delays=reconnect_delays):
            opened += 1
            if opened == 2:
                break
    assert len(started) == 2
    assert used == [1, 2, 1]


async def test_waits_for_the_delay(lib: Library) -> None:
    process_request = rejecting(503)
    loop = asyncio.get_running_loop()
    async with lib.serve(echo, "127.0.0.1", 0, process_request=process_request) as server:
        start = loop.time()
        async for _ in lib.connect(url(server), reconnect_delays=lambda: iter([0.1])):
            break
        assert loop.time() - start >= 0.09


async def test_failures_are_logged(lib: Library, caplog: pytest.LogCaptureFixture) -> None:
    process_request = rejecting(503)
    logger = logging.getLogger("behaviour.reconnect")
    with caplog.at_level(logging.INFO, logger="behaviour.reconnect"):
        async with lib.serve(echo, "127.0.0.1", 0, process_request=process_request) as server:
            async for _ in lib.connect(url(server), reconnect_delays=no_delay, logger=logger):
                break
    records = [r for r in caplog.records if r.name == "behaviour.reconnect"]
    assert any(r.levelno == logging.INFO and "503" in r.getMessage() for r in records)


async def test_process_exception_decides(lib: Library) -> None:
    seen = []

    def process_exception(exc: Exception) -> Exception | None:
        seen.append(exc)
        return None if len(seen) == 1 else exc

    process_request = rejecting(404, 404)
    async with lib.serve(echo, "127.0.0.1", 0, process_request=process_request) as server:
        with pytest.raises(lib.InvalidStatus) as raised:
            async for _ in lib.connect(
                url(server), process_exception=process_exception, reconnect_delays=no_delay
            ):
                pytest.fail("both requests were refused")
    assert len(seen) == 2
    assert raised.value is seen[1]


async def test_process_exception_may_replace(lib: Library) -> None:
    def process_exception(exc: Exception) -> Exception | None:
        return LookupError("translated")

    process_request = rejecting(404)
    async with lib.serve(echo, "127.0.0.1", 0, process_request=process_request) as server:
        with pytest.raises(LookupError, match="translated") as raised:
            async for _ in lib.connect(url(server), process_exception=process_exception):
                pytest.fail("the request was refused")
    assert isinstance(raised.value.__cause__, lib.InvalidStatus)


async def test_process_exception_may_raise(lib: Library) -> None:
    def process_exception(exc: Exception) -> Exception | None:
        raise LookupError("raised")

    process_request = rejecting(404)
    async with lib.serve(echo, "127.0.0.1", 0, process_request=process_request) as server:
        with pytest.raises(LookupError, match="raised"):
            async for _ in lib.connect(url(server), process_exception=process_exception):
                pytest.fail("the request was refused")


async def test_exception_in_the_loop_body_leaves_the_loop(lib: Library) -> None:
    async with lib.serve(echo, "127.0.0.1", 0) as server:
        with pytest.raises(ZeroDivisionError):
            async for _ in lib.connect(url(server)):
                raise ZeroDivisionError


async def test_default_process_exception(lib: Library) -> None:
    response = lib.Response(503, "Service Unavailable", lib.Headers())
    assert lib.process_exception(OSError()) is None
    assert lib.process_exception(TimeoutError()) is None
    assert lib.process_exception(lib.InvalidStatus(response)) is None
    message = lib.InvalidMessage("cut")
    assert lib.process_exception(message) is message
    message.__cause__ = EOFError()
    assert lib.process_exception(message) is None
    response = lib.Response(404, "Not Found", lib.Headers())
    refused = lib.InvalidStatus(response)
    assert lib.process_exception(refused) is refused
    other = ValueError()
    assert lib.process_exception(other) is other


async def test_default_delays_grow_to_a_cap(lib: Library) -> None:
    delays = list(itertools.islice(lib.backoff(), 50))
    assert all(0 <= delay <= 90 for delay in delays)
    first = {next(iter(lib.backoff())) for _ in range(5)}
    assert len(first) > 1, "the first delay is random"
