"""The closing handshake of both roles, its deadlines, and what is left of a connection after it."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from typing import Any

import pytest

from duologue.base.exceptions import (
    ConnectionClosedError,
    ConnectionClosedOK,
    InvalidState,
    ProtocolError,
)
from duologue.base.limits import Limits
from duologue.base.vocabulary import Opcode, Side, State
from duologue.connection.connection import Connection
from duologue.connection.ending import Cause

from .rig import rig, turns

pytestmark = pytest.mark.virtual_time


@pytest.mark.parametrize("side", Side)
async def test_we_close(side: Side) -> None:
    with rig(side) as r:
        closing = asyncio.create_task(r.ws.close(4000, "done"))
        await turns()
        r.ws.start_close(4001, "changes nothing")
        await r.heard()
        assert r.peer.close_rcvd is not None
        assert (r.peer.close_rcvd.code, r.peer.close_rcvd.reason) == (4000, "done")
        assert r.ws.state is State.CLOSING
        r.say()
        # Section 7.1.1: the server ends the TCP connection.
        assert r.wire.half_closed is (side is Side.SERVER)
        r.wire.eof()
        assert r.wire.closed
        assert not closing.done()
        r.wire.lose()
        await closing
        assert (r.ws.close_code, r.ws.close_reason) == (4000, "done")
        assert r.ws.close_rcvd_then_sent is False
        assert r.ws.ending is not None and r.ws.ending.cause is Cause.CLOSED_HERE
        await r.ws.close()
        await r.ws.wait_closed()


@pytest.mark.parametrize("side", Side)
async def test_the_peer_closes(side: Side) -> None:
    with rig(side) as r:
        r.peer.send_close(1001, "away")
        r.say()
        assert [each.opcode for each in await r.heard()] == [Opcode.CLOSE]
        assert r.wire.half_closed is (side is Side.SERVER)
        r.wire.lose()
        assert (r.ws.close_code, r.ws.close_reason) == (1001, "away")
        with pytest.raises(ConnectionClosedOK) as caught:
            await r.ws.recv()
        assert caught.value.rcvd_then_sent is True
        assert r.ws.ending is not None and r.ws.ending.cause is Cause.PEER_CLOSED
        assert "1001" in str(r.ws.ending)


async def test_messages_queued_before_are_sent_before_the_close_frame() -> None:
    with rig() as r:
        r.clog()
        waiting = asyncio.create_task(r.ws.send("queued"))
        r.ws.send("too")
        await turns()
        r.ws.start_close()
        r.wire.drain()
        await waiting
        assert [each.opcode for each in (await r.heard())[1:]] == [
            Opcode.TEXT, Opcode.TEXT, Opcode.CLOSE,
        ]  # fmt: skip


async def test_codes_and_reasons_are_judged_before_anything_happens() -> None:
    with rig() as r:
        for code, reason in [(1005, ""), (999, ""), (None, "why"), (1000, "x" * 124)]:
            with pytest.raises(ProtocolError):
                await r.ws.close(code, reason)
        assert r.ws.state is State.OPEN
        assert r.ws.ending is None
        r.ws.start_close(None)
        await turns()
        assert bytes(r.wire.sent) == b"\x88\x00"


async def test_closing_inside_a_fragmented_message() -> None:
    class Endless:
        async def __aiter__(self) -> Any:
            yield "a"
            await asyncio.get_running_loop().create_future()

    with rig() as r:
        sending = asyncio.create_task(r.ws.send(Endless()))
        await turns()
        r.ws.start_close()
        await r.heard()
        assert r.peer.close_rcvd is not None and r.peer.close_rcvd.code == 1011
        assert r.peer.close_rcvd.reason == "close during fragmented message"
        sending.cancel()
        await turns()


@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize("close_timeout", [3, None])
async def test_a_peer_that_does_not_answer(side: Side, close_timeout: float | None) -> None:
    with rig(side, close_timeout=close_timeout) as r:
        closing = asyncio.create_task(r.ws.close())
        await asyncio.sleep(2.9)
        assert not r.wire.aborted
        await asyncio.sleep(0.2)
        assert r.wire.aborted is (close_timeout is not None)
        if close_timeout is None:
            r.wire.lose()
        await closing
        with pytest.raises(ConnectionClosedError) as caught:
            await r.ws.recv()
        if close_timeout is not None:
            assert isinstance(caught.value.__cause__, TimeoutError)


@pytest.mark.parametrize("side", Side)
async def test_a_peer_that_does_not_end_its_stream(side: Side) -> None:
    with rig(side, close_timeout=3) as r:
        r.peer.send_close()
        r.say()
        await asyncio.sleep(3.1)
        assert r.wire.aborted
        assert r.ws.ending is not None and r.ws.ending.cause is Cause.PEER_CLOSED
        assert r.ws.close_code == 1005


async def test_a_peer_that_ends_its_stream_and_reads_nothing() -> None:
    with rig(close_timeout=3) as r:
        r.wire.stuck = True
        r.ws.send("never read")
        r.wire.eof()
        await asyncio.sleep(3.1)
        assert r.wire.aborted
        assert r.ws.close_code == 1006
        assert r.ws.ending is not None and r.ws.ending.cause is Cause.CONNECTION_LOST
        assert r.ws.ending.detail == "the peer ended the stream"


async def test_a_timed_out_close_after_no_other_cause_is_recorded() -> None:
    with rig(close_timeout=3) as r:
        refused = asyncio.ensure_future(r.ws.send("x"))
        r.wire.eof()
        await asyncio.sleep(3.1)
        refused.cancel()
        assert isinstance(r.ws.connection_exc, TimeoutError)


async def test_a_lost_link() -> None:
    with rig() as r:
        waiting = asyncio.create_task(r.ws.recv())
        await turns()
        r.wire.lose(ConnectionResetError("reset"))
        with pytest.raises(ConnectionClosedError) as caught:
            await waiting
        assert isinstance(caught.value.__cause__, ConnectionResetError)
        assert r.ws.ending is not None and r.ws.ending.cause is Cause.CONNECTION_LOST
        assert r.ws.ending.detail == "reset"
        assert (r.ws.close_code, r.ws.close_reason) == (1006, "")


@pytest.mark.parametrize("write_timeout", [60, None])
async def test_a_write_that_makes_no_progress(write_timeout: float | None) -> None:
    with rig(limits=Limits(write_timeout=write_timeout)) as r:
        r.clog()
        await asyncio.sleep(59)
        # Progress, although more waits than before.
        r.wire.drain(10)
        await asyncio.sleep(59)
        assert not r.wire.aborted
        await asyncio.sleep(62)
        assert r.wire.aborted is (write_timeout is not None)
        if write_timeout is not None:
            assert r.ws.ending is not None and r.ws.ending.cause is Cause.WRITE_STALLED
            assert "write_timeout of 60 s" in r.ws.ending.detail


async def test_progress_is_seen_although_more_was_written_meanwhile() -> None:
    with rig(limits=Limits(write_timeout=10), close_timeout=None) as r:
        r.clog()
        r.ws.send(b"x" * 500_000)
        await asyncio.sleep(5)
        r.ws.start_close()
        r.wire.drain(1000)
        await asyncio.sleep(6)
        assert not r.wire.aborted
        await asyncio.sleep(10)
        assert r.wire.aborted


async def test_a_drained_link_is_not_timed() -> None:
    with rig(limits=Limits(write_timeout=10)) as r:
        r.clog()
        r.wire.drain()
        await asyncio.sleep(100)
        assert not r.wire.aborted


async def test_a_connection_that_is_not_open_yet() -> None:
    with rig() as r:
        ws = Connection(r.settings)
        assert ws.state is State.CONNECTING
        assert ws.local_address is None and ws.remote_address is None and ws.transport is None
        for refused in (ws.send("x"), ws.ping(), ws.pong(), ws.close(), ws.send(["x"])):
            with pytest.raises(InvalidState, match="connection is connecting"):
                await refused
        waiting = asyncio.create_task(ws.recv())
        await turns()
        error = OSError("no handshake")
        ws.abandon(error)
        with pytest.raises(ConnectionClosedError) as caught:
            await waiting
        assert caught.value.__cause__ is error


async def test_facts() -> None:
    with rig(ping_interval=1, ping_timeout=2, close_timeout=3) as r:
        ws = r.ws
        assert ws.protocol is ws
        assert ws.transport is r.wire
        assert (ws.local_address, ws.remote_address) == (("10.0.0.2", 80), ("10.0.0.1", 9))
        assert (ws.ping_interval, ws.ping_timeout, ws.close_timeout) == (1, 2, 3)
        assert ws.id == ws.id
        assert ws.close_code is None


@pytest.mark.parametrize("error, code", [(None, 1000), (LookupError(), 1011)])
async def test_the_context_manager_closes(error: Exception | None, code: int) -> None:
    with rig() as r:

        async def use() -> None:
            async with r.ws as ws:
                assert ws is r.ws
                if error is not None:
                    raise error

        task = asyncio.create_task(use())
        await r.heard()
        assert r.peer.close_rcvd is not None and r.peer.close_rcvd.code == code
        r.wire.lose()
        await turns()
        assert task.exception() is error


@pytest.mark.parametrize("debug", [False, True])
async def test_nothing_holds_a_closed_connection(debug: bool) -> None:
    # pytest's own handler would keep every record, and with it the connection.
    logger = logging.Logger("unheard", "DEBUG" if debug else "INFO")
    logger.addHandler(logging.NullHandler())
    gone: list[weakref.ref[Any]] = []

    async def handler(ws: Connection) -> None:
        async for message in ws:
            await ws.send(message)

    gc.disable()
    try:
        with rig(ping_interval=5, logger=logger) as r:
            gone.append(weakref.ref(r.ws))
            task = asyncio.create_task(handler(r.ws))
            gone.append(weakref.ref(task))
            await r.ws.ping()
            r.text("echo")
            assert await r.heard_data() == [b"echo"]
            r.clog()
            r.wire.drain()
            r.peer.send_close()
            r.say()
            r.wire.lose()
            await task
        await turns()
        del r, task
        if debug:  # the logger knows the connection, which has the logger
            gc.collect()
        assert [each() for each in gone] == [None, None]
    finally:
        gc.enable()
