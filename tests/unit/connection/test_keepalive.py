"""Pings, pongs, and the judgement over a silent peer, in virtual time."""

from __future__ import annotations

import asyncio

import pytest

from duologue.base.exceptions import ConcurrencyError, ConnectionClosedError, ProtocolError
from duologue.base.limits import Limits
from duologue.base.vocabulary import Opcode, State
from duologue.connection.ending import Cause
from duologue.testing import VirtualEventLoop

from .rig import Rig, rig, turns

pytestmark = pytest.mark.virtual_time


async def pinged(r: Rig) -> list[bytes]:
    return [bytes(each.data) for each in await r.heard() if each.opcode is Opcode.PING]


async def test_pings_go_out_at_every_interval() -> None:
    with rig(ping_interval=10, ping_timeout=5) as r:
        await asyncio.sleep(9.9)
        assert await pinged(r) == []
        for _ in range(3):
            await asyncio.sleep(0.2)
            assert len(await pinged(r)) == 1
            await asyncio.sleep(1)
            r.say()
            assert r.ws.latency == pytest.approx(1.2, abs=0.2)
            await asyncio.sleep(8.8)


async def test_no_interval_no_pings() -> None:
    with rig(ping_interval=None) as r:
        await asyncio.sleep(1000)
        assert await r.heard() == []


async def test_silence_after_a_ping_fails_the_connection() -> None:
    with rig(ping_interval=10, ping_timeout=5) as r:
        await asyncio.sleep(14.9)
        assert r.ws.state is State.OPEN
        await asyncio.sleep(0.2)
        assert r.ws.close_sent.code == 1011
        assert r.ws.close_sent.reason == "keepalive ping timeout"
        assert r.ws.ending is not None and r.ws.ending.cause is Cause.PING_TIMEOUT
        assert "ping_timeout of 5 s" in r.ws.ending.detail


async def test_any_octet_counts_as_life() -> None:
    with rig(ping_interval=10, ping_timeout=5) as r:
        for octet in b"\x81\xfe\x01\x00" + bytes(30):
            await asyncio.sleep(4)
            r.wire.feed(bytes([octet]))
        assert r.ws.state is State.OPEN
        assert len(await pinged(r)) > 3


async def test_without_a_timeout_nobody_is_judged_and_nothing_piles_up() -> None:
    with rig(ping_interval=10, ping_timeout=None) as r:
        mine = await r.ws.ping(b"mine")
        for _ in range(50):
            await asyncio.sleep(10)
        await asyncio.sleep(0.1)
        assert r.ws.state is State.OPEN
        pings = await pinged(r)
        assert len(pings) == 51
        # Answers to keepalive pings long gone are ignored; one to the last answers all before it.
        r.peer.data_to_send()
        r.peer.send_pong(pings[1])
        r.say()
        assert not mine.done()
        r.peer.send_pong(pings[-1])
        r.say()
        assert await mine == pytest.approx(500.1, abs=0.2)


async def test_a_full_inbox_is_not_the_peers_silence() -> None:
    with rig(ping_interval=10, ping_timeout=5, max_queue=1) as r:
        r.text("1", "2")
        await asyncio.sleep(1000)
        assert r.ws.state is State.OPEN
        # Reading goes on just before the next judgement.
        await asyncio.sleep(4.999)
        assert [await r.ws.recv(), await r.ws.recv()] == ["1", "2"]
        await asyncio.sleep(1)
        assert r.ws.state is State.OPEN
        await asyncio.sleep(20)
        assert r.ws.ending is not None and r.ws.ending.cause is Cause.PING_TIMEOUT


async def test_a_blocked_link_is_left_to_write_timeout() -> None:
    with rig(ping_interval=10, ping_timeout=5) as r:
        r.clog()
        await asyncio.sleep(30)
        assert r.ws.state is State.OPEN
        r.wire.drain()
        await asyncio.sleep(30)
        assert r.ws.ending is not None and r.ws.ending.cause is Cause.PING_TIMEOUT
    with rig(ping_interval=10, ping_timeout=5, limits=Limits(write_timeout=None)) as r:
        r.clog()
        await asyncio.sleep(16)
        assert r.ws.state is State.CLOSING


async def test_our_own_blocked_loop_is_not_the_peers_silence() -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualEventLoop)
    with rig(ping_interval=10, ping_timeout=5) as r:
        await asyncio.sleep(10.1)
        loop.clock.advance(30)
        await turns()
        assert r.ws.state is State.OPEN
        await asyncio.sleep(4.8)
        assert r.ws.state is State.OPEN
        # But the peer doesn't live for ever on that.
        await asyncio.sleep(0.5)
        assert r.ws.state is State.CLOSING


async def test_after_a_fault_keepalive_has_nothing_to_say() -> None:
    with rig(ping_interval=1, ping_timeout=1, close_timeout=100) as r:
        r.text("question")
        assert await r.ws.recv() == "question"
        r.wire.feed(b"\xff\xff")
        await asyncio.sleep(50)
        assert r.ws.ending is not None and r.ws.ending.cause is Cause.PROTOCOL_FAULT
        await r.ws.send("answer")
        asyncio.ensure_future(r.ws.recv()).cancel()
        r.ws.start_close()
        frames = await r.heard()
        assert [bytes(each.data) for each in frames if each.opcode is Opcode.TEXT] == [b"answer"]
        assert r.ws.close_sent.code == 1002


# -- ping() and pong()


async def test_a_ping_measures_the_round_trip() -> None:
    with rig() as r:
        first = await r.ws.ping(b"1")
        await asyncio.sleep(1)
        second = await r.ws.ping("2")
        third = await r.ws.ping()
        await asyncio.sleep(2)
        await r.heard()
        r.peer.data_to_send()
        r.peer.send_pong(b"unknown")
        r.peer.send_pong(b"2")
        r.say()
        assert (await first, await second) == (3, 2)
        assert r.ws.latency == 2
        assert not third.done()
        r.wire.lose()
        with pytest.raises(ConnectionClosedError):
            await third


async def test_a_ping_whose_future_was_cancelled() -> None:
    with rig() as r:
        (await r.ws.ping(b"1")).cancel()
        await r.heard()
        r.say()
        (await r.ws.ping(b"1")).cancel()


async def test_pings_need_payloads_of_their_own_that_fit() -> None:
    with rig() as r:
        await r.ws.ping(bytearray(b"same"))
        with pytest.raises(ConcurrencyError):
            await r.ws.ping("same")
        for wrong in (r.ws.ping("x" * 126), r.ws.pong(b"x" * 126)):
            with pytest.raises(ProtocolError, match="control frame too long"):
                await wrong
        for wrong_type in (r.ws.ping(1), r.ws.pong(1)):  # type: ignore[arg-type]
            with pytest.raises(TypeError):
                await wrong_type
        await r.ws.pong("unasked")
        frames = await r.heard()
        assert [(each.opcode, bytes(each.data)) for each in frames] == [
            (Opcode.PING, b"same"),
            (Opcode.PONG, b"unasked"),
        ]


async def test_pings_are_answered_once_the_link_takes_it() -> None:
    with rig() as r:
        r.peer.send_ping(b"at once")
        r.say()
        assert [bytes(each.data) for each in await r.heard()] == [b"at once"]
        r.clog()
        for number in range(500):
            r.peer.send_ping(str(number).encode())
        r.say()
        r.wire.drain()
        pongs = [each for each in await r.heard() if each.opcode is Opcode.PONG]
        assert [bytes(each.data) for each in pongs] == [b"499"]


async def test_no_pong_after_the_end_of_our_stream() -> None:
    with rig() as r:
        r.clog()
        r.peer.send_ping(b"owed")
        r.peer.send_close()
        r.say()
        assert r.wire.half_closed
        r.wire.drain()
        assert [each.opcode for each in await r.heard()][1:] == [Opcode.CLOSE]


async def test_pings_are_answered_after_our_close() -> None:
    with rig() as r:
        r.ws.start_close()
        r.peer.send_ping(b"still")
        r.say()
        assert r.wire.sent.endswith(b"\x8a\x05still")
