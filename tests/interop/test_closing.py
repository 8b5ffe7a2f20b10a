"""How conversations end, with every other implementation and in each role it has."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from .conversation import Pairing, conversation, pairings
from .peer import PATIENCE
from .subject import ConnectionClosed, ConnectionClosedError, ConnectionClosedOK


async def ending(connection: Any) -> ConnectionClosed:
    """Wait for the end and return what ``recv`` says about it."""
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(ConnectionClosed) as caught:
            while True:
                await connection.recv()
    return caught.value


@pairings()
@pytest.mark.parametrize(
    ("code", "reason"),
    [(1000, ""), (1011, "fault"), (3000, "κόσμε"), (4999, "x" * 123)],
)
async def test_our_close_reaches_them(pairing: Pairing, code: int, reason: str) -> None:
    async with conversation(pairing) as (ours, theirs):
        await theirs.next("open")
        await ours.send("last words")
        await ours.close(code, reason)
        assert await theirs.message() == "last words"
        closed = await theirs.next("closed")
        assert closed.code == code
        if reason:  # some put in a text of their own where there is none
            assert closed.reason == reason
        end = await ending(ours)
        assert end.sent is not None and end.rcvd is not None
        assert (end.sent.code, end.sent.reason) == (code, reason)
        assert end.rcvd.code == (code if pairing.peer.mirrors_close else 1000)
        assert end.rcvd_then_sent is False
        assert ours.close_code == end.rcvd.code


@pairings()
@pytest.mark.parametrize(
    ("code", "reason"), [(1000, "Closing normally!"), (3000, "κόσμε"), (4999, "")]
)
async def test_their_close_reaches_us(pairing: Pairing, code: int, reason: str) -> None:
    async with conversation(pairing) as (ours, theirs):
        await theirs.next("open")
        await theirs.send("last words")
        await theirs.close(code, reason)
        assert await ours.recv() == "last words"
        end = await ending(ours)
        assert isinstance(end, ConnectionClosedOK if code == 1000 else ConnectionClosedError)
        assert end.rcvd is not None and end.sent is not None
        assert (end.rcvd.code, end.rcvd.reason) == (code, reason)
        assert end.sent.code == code
        assert end.rcvd_then_sent is True
        assert (ours.close_code, ours.close_reason) == (code, reason)
        closed = await theirs.next("closed")
        if pairing.peer.heeds_answer or pairing.role == "client":
            assert closed.code == code


@pairings(role="server", ends_tcp=False)
async def test_a_server_that_never_ends_tcp_costs_us_close_timeout(pairing: Pairing) -> None:
    async with conversation(pairing, close_timeout=0.5) as (ours, theirs):
        await theirs.next("open")
        started = asyncio.get_running_loop().time()
        await ours.close()
        assert 0.4 < asyncio.get_running_loop().time() - started < 5
        assert ours.close_code == 1000


@pairings(closes_empty=True)
async def test_their_close_without_a_code(pairing: Pairing) -> None:
    async with conversation(pairing) as (ours, theirs):
        await theirs.next("open")
        await theirs.close(None, "")
        end = await ending(ours)
        assert isinstance(end, ConnectionClosedOK)
        assert ours.close_code == 1005
        await theirs.next("closed")


@pairings(drops=True)
async def test_their_end_vanishes(pairing: Pairing) -> None:
    async with conversation(pairing) as (ours, theirs):
        await theirs.next("open")
        await theirs.drop()
        end = await ending(ours)
        assert isinstance(end, ConnectionClosedError)
        assert end.rcvd is None
        assert ours.close_code == 1006


@pairings()
async def test_our_end_vanishes(pairing: Pairing) -> None:
    async with conversation(pairing) as (ours, theirs):
        await theirs.next("open")
        ours.transport.abort()
        report = await theirs.reports.get()
        if report.kind == "refused":  # some tell of the error first
            report = await theirs.reports.get()
        assert (report.kind, report.code) == ("closed", 1006)


@pairings(role="client")
async def test_our_server_going_away_tells_them(pairing: Pairing) -> None:
    async with conversation(pairing) as (ours, theirs):
        await theirs.next("open")
        ours.server.close()
        assert (await theirs.next("closed")).code == 1001
