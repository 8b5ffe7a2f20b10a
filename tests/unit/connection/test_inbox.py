"""Messages on their way in: order, marks, pausing and going on, cancelled receivers."""

from __future__ import annotations

import asyncio

import pytest

from duologue.base.exceptions import (
    ConcurrencyError,
    ConnectionClosedError,
    ConnectionClosedOK,
    PayloadTooBig,
    TooManyFragments,
)
from duologue.base.limits import Limits
from duologue.base.vocabulary import Side, State
from duologue.connection.connection import Connection
from duologue.connection.ending import Cause
from duologue.net.asyncio_link import AsyncioLink
from duologue.wire.frame import Frame

from .rig import Wire, rig, turns

pytestmark = pytest.mark.virtual_time


async def test_messages_come_in_order_and_the_ring_grows() -> None:
    texts = [str(number) for number in range(200)]
    with rig(max_queue=None) as r:
        r.text(*texts)
        assert [await r.ws.recv() for _ in texts] == texts


async def test_octets_after_the_handshake_are_read() -> None:
    head = bytes([0x81, 0x82, 0, 0, 0, 0])
    with rig(rest=head + b"hi") as r:
        assert await r.ws.recv() == "hi"


async def test_a_link_that_was_paused_during_the_handshake_reads_again() -> None:
    with rig() as r:
        link = AsyncioLink(lambda link: None)
        wire = Wire(link)
        link.connection_made(wire)
        link.pause()
        assert wire.paused
        other = Connection(r.settings)
        other.open(link)
        assert not wire.paused
        wire.lose()


@pytest.mark.parametrize("high, low", [(4, 0), (4, 2), (1, 0), (16, 16)])
async def test_reading_pauses_at_the_mark_and_goes_on(high: int, low: int) -> None:
    texts = [str(number) for number in range(50)]
    with rig(max_queue=(high, low)) as r:
        r.text(*texts)
        assert r.wire.paused
        got = []
        for _ in texts:
            got.append(await r.ws.recv())
        assert got == texts
        assert not r.wire.paused


async def test_without_a_mark_reading_never_pauses() -> None:
    with rig(max_queue=None) as r:
        r.text(*["x" * 1000] * 2000)
        assert not r.wire.paused
        for _ in range(2000):
            await r.ws.recv()


async def test_octets_are_a_mark_too() -> None:
    with rig(limits=Limits(max_queue_bytes=1000)) as r:
        r.text("x" * 600)
        assert not r.wire.paused
        r.text("y" * 600, "z")
        assert r.wire.paused
        await r.ws.recv()
        assert r.wire.paused
        await r.ws.recv()
        assert not r.wire.paused
        assert await r.ws.recv() == "z"
    with rig(limits=Limits(max_queue_bytes=None)) as r:
        r.text("x" * 900_000, "y" * 900_000)
        assert not r.wire.paused


async def test_what_comes_while_paused_is_kept() -> None:
    with rig(max_queue=1) as r:
        r.text("1", "2")
        r.text("3")
        assert r.wire.paused
        assert [await r.ws.recv() for _ in range(3)] == ["1", "2", "3"]
        assert not r.wire.paused


async def test_a_full_inbox_and_then_the_end_of_the_stream() -> None:
    with rig(max_queue=1) as r:
        r.text("1", "2", "3")
        r.peer.send_close(1000)
        r.say()
        assert r.wire.paused
        r.wire.eof()
        r.wire.lose()
        assert [message async for message in r.ws] == ["1", "2", "3"]
        assert r.ws.close_code == 1000


async def test_a_full_inbox_and_then_the_loss_of_the_link() -> None:
    with rig(max_queue=1) as r:
        r.text("1", "2", "3")
        r.wire.lose(ConnectionResetError("gone"))
        got = [await r.ws.recv() for _ in range(3)]
        assert got == ["1", "2", "3"]
        with pytest.raises(ConnectionClosedError) as caught:
            await r.ws.recv()
        assert isinstance(caught.value.__cause__, ConnectionResetError)


async def test_close_reads_on_behind_a_full_inbox() -> None:
    with rig(max_queue=1) as r:
        r.text("1", "2", "3")
        closing = asyncio.create_task(r.ws.close())
        await turns()
        assert not r.wire.paused
        await r.heard()
        r.say()
        r.wire.lose()
        await closing
        assert [message async for message in r.ws] == ["1", "2", "3"]
        with pytest.raises(ConnectionClosedOK):
            await r.ws.recv()


async def test_what_floods_in_after_our_close_is_discarded(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with rig(limits=Limits(max_queue_bytes=10_000)) as r:
        r.ws.start_close()
        for _ in range(100):
            r.text("x" * 1000)
        assert caplog.text.count("what follows is discarded") == 1
        await r.heard()
        r.say()
        r.wire.lose()
        assert len([message async for message in r.ws]) == 19
        assert r.ws.close_code == 1000


async def test_one_wake_up_for_many_messages() -> None:
    with rig() as r:
        waiting = asyncio.create_task(r.ws.recv())
        await turns()
        r.text("1", "2")
        assert await waiting == "1"
        assert await r.ws.recv() == "2"


async def test_a_cancelled_receiver_loses_nothing() -> None:
    with rig() as r:
        waiting = asyncio.create_task(r.ws.recv())
        await turns()
        r.text("kept")
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await r.ws.recv() == "kept"


async def test_a_receiver_cancelled_inside_a_fragmented_message_loses_nothing() -> None:
    with rig() as r:
        waiting = asyncio.create_task(r.ws.recv())
        r.fragments(b"a", b"b")
        await turns()
        waiting.cancel()
        await turns()
        r.fragments(b"c", fin=True)
        r.text("next")
        assert await r.ws.recv() == "abc"
        assert await r.ws.recv() == "next"


async def test_two_receivers_at_once_are_one_too_many() -> None:
    with rig() as r:
        first = asyncio.create_task(r.ws.recv())
        await turns()
        with pytest.raises(ConcurrencyError, match="cannot call recv while"):
            await r.ws.recv()
        r.text("for the first")
        # Even when a message is there already.
        with pytest.raises(ConcurrencyError, match="cannot call recv while"):
            await r.ws.recv()
        assert await first == "for the first"


async def test_decode_chooses_the_type() -> None:
    with rig() as r:
        r.text("é", "é")
        r.peer.send_binary("ü".encode())
        r.say()
        assert await r.ws.recv(decode=False) == "é".encode()
        assert await r.ws.recv(decode=True) == "é"
        assert await r.ws.recv(decode=True) == "ü"


async def test_decoding_what_is_no_text_fails_the_connection() -> None:
    with rig() as r:
        r.peer.send_binary(b"\xff")
        r.say()
        waiting = asyncio.create_task(r.ws.recv(decode=True))
        await r.heard()
        assert r.peer.close_rcvd is not None and r.peer.close_rcvd.code == 1007
        r.wire.lose()
        with pytest.raises(ConnectionClosedError):
            await waiting
        assert r.ws.ending is not None and r.ws.ending.cause is Cause.CLOSED_HERE


async def test_iteration_ends_normally_or_raises() -> None:
    with rig() as r:
        r.text("1")
        r.peer.send_close(1001)
        r.say()
        r.wire.lose()
        assert [message async for message in r.ws] == ["1"]
    with rig() as r:
        waiting = asyncio.ensure_future(anext(r.ws))
        await turns()
        r.peer.send_close(1011)
        r.say()
        r.wire.lose()
        with pytest.raises(ConnectionClosedError):
            await waiting


@pytest.mark.parametrize("max_size, many", [(64 * 100, 100), (0, 64), (None, None)])
async def test_fragments_are_counted(max_size: int | None, many: int | None) -> None:
    with rig(max_size=max_size) as r:
        r.fragments(*[b""] * (many or 100_000))
        assert r.ws.state is State.OPEN
        r.fragments(b"")
        if many is None:
            assert r.ws.state is State.OPEN
        else:
            await r.heard()
            assert r.ws.state is State.CLOSING
            assert r.ws.close_sent.code == 1009
            assert isinstance(r.ws.parser_exc, TooManyFragments)
            assert r.ws.ending is not None and r.ws.ending.cause is Cause.LIMIT


async def test_fragment_cost_weighs_fragments() -> None:
    for cost, state in [(0, State.OPEN), (64, State.CLOSING)]:
        with rig(max_size=6400, limits=Limits(fragment_cost=cost)) as r:
            r.fragments(*[b""] * 200)
            assert r.ws.state is state


async def test_too_large_messages_name_the_setting() -> None:
    with rig(Side.CLIENT, max_size=10) as r:
        r.text("x" * 11)
        await r.heard()
        assert r.peer.close_rcvd is not None and r.peer.close_rcvd.code == 1009
        assert r.ws.ending is not None and r.ws.ending.cause is Cause.LIMIT
        assert "max_size" in r.ws.ending.detail and "11" in r.ws.ending.detail
        assert isinstance(r.ws.ending.exc, PayloadTooBig)
    with rig(Side.CLIENT, max_size=(None, 10)) as r:
        r.fragments(b"x" * 10, b"y" * 10, fin=True)
        assert await r.ws.recv() == "x" * 10 + "y" * 10
        r.text("x" * 11)
        assert isinstance(r.ws.parser_exc, PayloadTooBig)


async def test_an_extension_that_fails_is_not_the_peers_fault() -> None:
    class Broken:
        name = "x-broken"

        def decode(self, frame: Frame, *, max_size: int | None = None) -> Frame:
            raise LookupError("no such thing")

        def encode(self, frame: Frame) -> Frame:
            return frame

    with rig(extensions=([Broken()], [])) as r:
        r.text("boom")
        assert r.ws.close_sent.code == 1011
        assert r.ws.ending is not None and r.ws.ending.cause is Cause.CLOSED_HERE
        assert isinstance(r.ws.ending.exc, LookupError)
