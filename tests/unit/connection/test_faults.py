"""What arrived whole before a fault is delivered and may be answered, but not for ever."""

from __future__ import annotations

import asyncio

import pytest

from duologue.base.exceptions import ConnectionClosedError, ProtocolError
from duologue.base.vocabulary import Opcode, Side, State
from duologue.connection.ending import Cause

from .rig import Rig, rig, turns

pytestmark = pytest.mark.virtual_time

GARBAGE = b"\x83\x80\0\0\0\0"  # a reserved opcode


def fault(r: Rig) -> None:
    r.wire.feed(GARBAGE)


async def test_a_fault_with_nothing_to_answer_fails_at_once() -> None:
    with rig(Side.SERVER) as r:
        fault(r)
        assert r.ws.state is State.CLOSING
        assert r.wire.half_closed
        await r.heard()
        assert r.peer.close_rcvd is not None and r.peer.close_rcvd.code == 1002
        assert r.ws.ending is not None and r.ws.ending.cause is Cause.PROTOCOL_FAULT
        r.wire.lose()
        with pytest.raises(ConnectionClosedError) as caught:
            await r.ws.recv()
        assert isinstance(caught.value.__cause__, ProtocolError)
        assert caught.value.sent is not None and caught.value.sent.code == 1002


async def test_a_message_before_a_fault_is_answered_before_the_close() -> None:
    with rig() as r:
        r.text("1", "2")
        fault(r)
        assert r.ws.state is State.OPEN
        for _ in range(2):
            await r.ws.send(await r.ws.recv())
        assert r.ws.state is State.OPEN
        more = asyncio.create_task(r.ws.recv())
        frames = await r.heard()
        assert [each.opcode for each in frames] == [Opcode.TEXT, Opcode.TEXT, Opcode.CLOSE]
        r.wire.lose()
        with pytest.raises(ConnectionClosedError):
            await more


async def test_an_answer_that_waits_in_the_queue_still_goes_first() -> None:
    with rig() as r:
        r.text("1")
        assert await r.ws.recv() == "1"
        fault(r)
        r.clog()
        r.ws.send("answer")
        more = asyncio.create_task(r.ws.recv())
        await turns()
        r.wire.drain()
        frames = await r.heard()
        assert [each.opcode for each in frames[1:]] == [Opcode.TEXT, Opcode.CLOSE]
        more.cancel()
        await turns()


async def test_a_waiting_receiver_that_gets_message_and_fault_at_once() -> None:
    with rig() as r:
        waiting = asyncio.create_task(r.ws.recv())
        await turns()
        r.peer.send_text(b"last")
        r.wire.feed(b"".join(r.peer.data_to_send()) + GARBAGE)
        assert r.ws.state is State.OPEN
        assert await waiting == "last"
        r.ws.start_close()
        assert r.ws.close_sent.code == 1002


async def test_nobody_answers_for_longer_than_close_timeout() -> None:
    with rig(close_timeout=5) as r:
        r.text("1")
        assert await r.ws.recv() == "1"
        fault(r)
        await asyncio.sleep(4.9)
        assert r.ws.state is State.OPEN
        await asyncio.sleep(0.2)
        assert r.ws.close_sent.code == 1002
        await asyncio.sleep(5)
        assert r.wire.aborted


async def test_half_a_message_is_nothing_to_answer() -> None:
    with rig() as r:
        r.fragments(b"half")
        fault(r)
        assert r.ws.state is State.CLOSING


async def test_a_fault_behind_a_full_inbox_is_met_when_its_turn_comes() -> None:
    with rig(max_queue=1) as r:
        r.text("1", "2")
        fault(r)
        assert r.ws.parser_exc is None
        assert [await r.ws.recv(), await r.ws.recv()] == ["1", "2"]
        assert r.ws.parser_exc is not None
        asyncio.create_task(r.ws.recv()).cancel()
        r.ws.start_close()
        assert r.ws.close_sent.code == 1002


async def test_a_fault_after_our_close() -> None:
    for side in Side:
        with rig(side, close_timeout=5) as r:
            r.ws.start_close()
            r.wire.feed(GARBAGE if side is Side.SERVER else b"\x83\x00")
            assert r.wire.half_closed is (side is Side.SERVER)
            assert r.ws.close_sent.code == 1000
            await asyncio.sleep(5.1)
            assert r.wire.aborted


async def test_failing_reads_the_end_of_the_stream_behind_a_full_inbox() -> None:
    with rig(max_queue=1, ping_interval=None) as r:
        r.text("1", "2", "3")
        assert r.wire.paused
        with pytest.raises(TypeError):
            await r.ws.send(iter(["a", 1]))  # type: ignore[list-item]
        assert r.ws.close_sent.code == 1011
        assert not r.wire.paused


async def test_octets_after_a_fault_are_dropped() -> None:
    with rig() as r:
        fault(r)
        r.text("ignored")
        r.wire.feed(b"\x82\xff" + (1 << 40).to_bytes(8, "big") + bytes(100_000))
        r.wire.lose()
        with pytest.raises(ConnectionClosedError):
            await r.ws.recv()
