"""How a conversation ends, and what each end is told about it."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from duologue import Close, ConnectionClosed, ConnectionClosedError, ConnectionClosedOK, State

from .test_messages import order
from .venue import Venue


async def ending_of(connection: Any) -> ConnectionClosed:
    """Receive until the connection has ended, and say how."""
    while True:
        try:
            await connection.recv()
        except ConnectionClosed as exc:
            await connection.wait_closed()
            return exc


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1007, 1011, 1014, 3000, 4999])
async def test_codes_and_reasons_arrive(venue: Venue, role: str, code: int) -> None:
    async with venue.ends() as ends:
        here, there = order(role, ends)
        closing = asyncio.create_task(here.close(code, "grund: ü"))
        exc = await ending_of(there)
        await closing
        assert type(exc) is (ConnectionClosedOK if code in (1000, 1001) else ConnectionClosedError)
        for seen in (exc, await ending_of(here)):
            assert seen.rcvd == seen.sent == Close(code, "grund: ü")
        assert exc.rcvd_then_sent is True
        for end in (here, there):
            assert (end.close_code, end.close_reason) == (code, "grund: ü")
            assert end.state is State.CLOSED
            with pytest.raises(ConnectionClosed):
                await end.send("too late")


async def test_both_close_at_the_same_time(venue: Venue) -> None:
    async with venue.ends() as (client, server):
        await asyncio.gather(client.close(4001, "client"), server.close(4002, "server"))
        for end, sent, received in ((client, 4001, 4002), (server, 4002, 4001)):
            exc = await ending_of(end)
            assert exc.sent is not None and exc.sent.code == sent
            assert exc.rcvd is not None and exc.rcvd.code == received
            assert exc.rcvd_then_sent is False
            assert end.close_code == received


async def test_messages_before_close_are_still_received(venue: Venue, role: str) -> None:
    async with venue.ends() as ends:
        here, there = order(role, ends)
        for number in range(10):
            await here.send(str(number))
        closing = asyncio.create_task(here.close())
        assert [message async for message in there] == [str(number) for number in range(10)]
        await closing


async def test_a_cut_is_1006(venue: Venue, role: str) -> None:
    async with venue.ends() as ends:
        here, there = order(role, ends)
        there.transport.abort()
        exc = await ending_of(here)
        assert type(exc) is ConnectionClosedError
        assert (exc.rcvd, exc.sent) == (None, None)
        assert here.close_code == 1006
        with pytest.raises(ConnectionClosedError):
            await here.send("anyone?")


async def test_recv_send_and_ping_under_way_end_with_a_cut(venue: Venue, role: str) -> None:
    async with venue.ends(write_limit=1, compression=None) as ends:
        here, there = order(role, ends)
        venue.carry_whole()
        there.transport.pause_reading()
        waiting = [
            asyncio.create_task(here.recv()),
            asyncio.create_task(await_pong(here)),
            asyncio.create_task(send_for_ever(here)),
        ]
        await asyncio.sleep(0.05)
        there.transport.abort()
        done, pending = await asyncio.wait(waiting, timeout=5)
        assert not pending
        assert all(isinstance(task.exception(), ConnectionClosedError) for task in done)


async def await_pong(connection: Any) -> None:
    await (await connection.ping())


async def send_for_ever(connection: Any) -> None:
    while True:
        await connection.send(bytes(100_000))


async def test_a_handler_that_raises_gives_1011_and_one_log_entry(
    venue: Venue, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(connection: Any) -> None:
        await connection.recv()
        raise ZeroDivisionError("by the test")

    with caplog.at_level(logging.ERROR):
        async with venue.served(handler) as way, venue.dial(way) as client:
            await client.send("go")
            exc = await ending_of(client)
    assert exc.rcvd is not None and exc.rcvd.code == 1011
    failures = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert [record.getMessage() for record in failures] == ["connection handler failed"]
    assert failures[0].exc_info is not None


async def test_a_server_that_stops_gives_1001_to_all(venue: Venue) -> None:
    async def handler(connection: Any) -> None:
        async for _ in connection:
            pass

    async with venue.served(handler) as way:
        clients = [await venue.dial(way) for _ in range(5)]
    for client in clients:
        exc = await ending_of(client)
        assert exc.rcvd is not None and exc.rcvd.code == 1001
