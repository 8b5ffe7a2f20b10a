"""Messages on their way out: both stages, order, waiting, bounds, fragmented messages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from duologue.base.exceptions import ConnectionClosed, ConnectionClosedError
from duologue.base.limits import Limits
from duologue.base.vocabulary import Opcode, Side, State
from duologue.connection.ending import Cause
from duologue.wire.frame import Frame
from duologue.wire.permessage_deflate import (
    enable_client_permessage_deflate,
    enable_server_permessage_deflate,
)

from .rig import Rig, rig, turns

pytestmark = pytest.mark.virtual_time


async def test_messages_of_one_turn_go_out_in_one_write() -> None:
    with rig() as r:
        for number in range(10):
            await r.ws.send(str(number))
        assert r.wire.writes == 0
        assert await r.heard_data() == [str(number).encode() for number in range(10)]
        assert r.wire.writes == 1


async def test_a_full_write_buffer_goes_out_at_once() -> None:
    with rig(write_limit=100) as r:
        await r.ws.send("x" * 60)
        assert r.wire.writes == 0
        await r.ws.send("x" * 60)
        assert r.wire.writes == 1


@pytest.mark.parametrize("side", Side)
async def test_sending_waits_above_the_mark_and_goes_on_below_the_low_one(side: Side) -> None:
    with rig(side, write_limit=(1000, 500)) as r:
        r.wire.stuck = True
        waiting = asyncio.create_task(r.ws.send(b"x" * 2000))
        await turns()
        assert not waiting.done()
        r.wire.drain(1000)
        await turns()
        assert not waiting.done()
        r.wire.drain(600)
        await waiting


async def test_without_a_write_limit_max_outbox_is_the_mark() -> None:
    with rig(write_limit=None, limits=Limits(max_outbox=100_000)) as r:
        r.wire.stuck = True
        await asyncio.wait_for(r.ws.send(b"x" * 90_000), 1)
        waiting = asyncio.create_task(r.ws.send(b"x" * 90_000))
        await turns()
        assert not waiting.done()
        r.wire.drain()
        await waiting
    with rig(write_limit=None, limits=Limits(max_outbox=None)) as r:
        r.wire.stuck = True
        await asyncio.wait_for(r.ws.send(b"x" * 30_000_000), 1)


async def test_messages_queue_in_order_and_stay_as_they_were_given() -> None:
    with rig() as r:
        r.clog()
        data = bytearray(b"before")
        r.ws.send(data)
        data[:] = b"after!"
        r.ws.send("text")
        r.ws.send(memoryview(b"abcdef")[::2])
        r.ws.send(b"utf8", text=True)
        r.ws.send("raw", text=False)
        r.wire.drain()
        frames = (await r.heard())[1:]
        assert [(each.opcode, bytes(each.data)) for each in frames] == [
            (Opcode.BINARY, b"before"),
            (Opcode.TEXT, b"text"),
            (Opcode.BINARY, b"ace"),
            (Opcode.TEXT, b"utf8"),
            (Opcode.BINARY, b"raw"),
        ]


async def test_any_memoryview_can_be_sent() -> None:
    with rig() as r:
        await r.ws.send(memoryview(b"abcdef")[::-1])
        await r.ws.send(memoryview(b"abcd").cast("B", (2, 2)))
        assert await r.heard_data() == [b"fedcba", b"abcd"]


@pytest.mark.parametrize("clogged", [False, True])
async def test_what_has_no_utf8_form_is_refused_and_nothing_else_happens(clogged: bool) -> None:
    with rig() as r:
        if clogged:
            r.clog()
        refused = r.ws.send("\ud800")
        with pytest.raises(UnicodeEncodeError):
            await refused
        r.ws.send("good")
        r.wire.drain()
        assert (await r.heard_data())[-1] == b"good"
        assert r.ws.state is State.OPEN


@pytest.mark.parametrize(
    "message, error",
    [
        ({"a": 1}, "dict-like"),
        (1, "data must be str, bytes, iterable, or async iterable"),
        ([1], "iterable must contain bytes or str"),
    ],
)
async def test_other_types_are_refused(message: Any, error: str) -> None:
    with rig() as r:
        with pytest.raises(TypeError, match=error):
            await r.ws.send(message)
        assert r.ws.state is State.OPEN


async def test_queued_sends_are_done_when_the_link_takes_them() -> None:
    with rig() as r:
        r.clog()
        waiting = [asyncio.create_task(r.ws.send(str(number))) for number in range(3)]
        unawaited = r.ws.send("3")
        await turns()
        assert not any(each.done() for each in waiting)
        r.wire.drain()
        await asyncio.gather(*waiting)
        await unawaited
        assert (await r.heard_data())[1:] == [b"0", b"1", b"2", b"3"]


async def test_a_cancelled_send_takes_its_queued_message_back() -> None:
    with rig() as r:
        r.clog()
        first, second = (asyncio.create_task(r.ws.send(each)) for each in "12")
        await turns()
        first.cancel()
        await turns()
        r.wire.drain()
        await second
        assert (await r.heard_data())[1:] == [b"2"]


async def test_cancelled_waiters_are_forgotten() -> None:
    with rig() as r:
        r.wire.stuck = True
        waiting = [asyncio.create_task(r.ws.send(b"x" * 40_000)) for _ in range(3)]
        await turns()
        waiting[0].cancel()
        waiting[1].cancel()
        await turns()
        r.wire.drain()
        await waiting[2]


async def test_many_queued_sends_take_linear_time() -> None:
    with rig() as r:
        r.clog()
        sending = asyncio.gather(*(r.ws.send(b"x") for _ in range(20_000)))
        await turns()
        r.wire.drain()
        await asyncio.wait_for(sending, 10)
        assert len(await r.heard_data()) == 20_001


async def test_too_many_sends_that_nobody_awaits_close_with_1013() -> None:
    with rig(limits=Limits(max_outbox=1000)) as r:
        r.clog()
        r.ws.send(b"x" * 5000)  # one message always finds room
        await turns()
        assert r.ws.state is State.OPEN
        r.ws.send(b"x")
        dropped = asyncio.ensure_future(r.ws.send(b"too much"))
        await turns()
        assert r.ws.state is State.CLOSING
        r.wire.drain()
        assert len(await r.heard_data()) == 1
        assert r.peer.close_rcvd is not None and r.peer.close_rcvd.code == 1013
        assert r.ws.ending is not None and r.ws.ending.cause is Cause.OUTBOX_FULL
        assert "max_outbox of 1000" in r.ws.ending.detail
        r.wire.lose()
        with pytest.raises(ConnectionClosedError):
            await dropped


async def test_what_a_message_takes_besides_its_octets_counts() -> None:
    for messages, state in ((690, State.OPEN), (700, State.CLOSING)):
        with rig(limits=Limits(max_outbox=100_000)) as r:
            r.clog()
            for _ in range(messages):
                r.ws.send(b"")
            await turns()
            assert r.ws.state is state


async def test_the_outbox_has_no_bound_for_those_who_wait() -> None:
    for limit in (1_000_000, None):
        with rig(limits=Limits(max_outbox=limit)) as r:
            r.clog()
            sending = asyncio.gather(*(r.ws.send(b"x" * 1_000_000) for _ in range(30)))
            await turns(20)
            assert r.ws.state is State.OPEN
            r.wire.stuck = False
            r.wire.drain()
            await sending
            assert len(await r.heard_data()) == 31


async def test_awaiting_later_does_not_falsify_the_account() -> None:
    with rig(limits=Limits(max_outbox=1000)) as r:
        for _ in range(5):
            r.clog()
            late = r.ws.send(b"x" * 900)
            r.wire.drain()
            await late
        r.clog()
        for _ in range(3):
            r.ws.send(b"x" * 500)
        await turns()
        assert r.ws.state is State.CLOSING


async def test_sends_that_wait_learn_of_the_end() -> None:
    with rig() as r:
        r.clog()
        queued = asyncio.create_task(r.ws.send("queued"))
        late = r.ws.send("awaited after the end")
        await turns()
        r.wire.lose()
        for each in (queued, late, r.ws.send("after"), r.ws.send(["after"])):
            with pytest.raises(ConnectionClosedError):
                await each
    with rig() as r:
        r.wire.stuck = True
        draining = asyncio.create_task(r.ws.send(b"x" * 100_000))
        await turns()
        r.wire.lose()
        with pytest.raises(ConnectionClosedError):
            await draining


async def test_sending_on_a_closing_connection_waits_for_its_end() -> None:
    with rig() as r:
        r.ws.start_close()
        for refused in (r.ws.send("x"), r.ws.ping(), r.ws.pong(), r.ws.send(["x"])):
            task = asyncio.ensure_future(refused)
            await turns()
            assert not task.done()
            task.cancel()
        late = asyncio.ensure_future(r.ws.send("x"))
        await turns()
        r.wire.lose()
        with pytest.raises(ConnectionClosed):
            await late


# -- fragmented messages


async def test_an_iterable_is_one_message() -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b"c"
        yield b"d"

    with rig() as r:
        await r.ws.send(["a", "b"])
        await r.ws.send(parts())
        await r.ws.send([])
        await r.ws.send([b"e"], text=True)
        frames = await r.heard()
        assert [(each.opcode, bytes(each.data), each.fin) for each in frames] == [
            (Opcode.TEXT, b"a", False),
            (Opcode.CONT, b"b", False),
            (Opcode.CONT, b"", True),
            (Opcode.BINARY, b"c", False),
            (Opcode.CONT, b"d", False),
            (Opcode.CONT, b"", True),
            (Opcode.TEXT, b"e", False),
            (Opcode.CONT, b"", True),
        ]


class Slow:
    """A fragmented message whose parts come when the test says so."""

    def __init__(self) -> None:
        self.parts: asyncio.Queue[str] = asyncio.Queue()

    async def __aiter__(self) -> AsyncIterator[str]:
        while part := await self.parts.get():
            yield part


async def test_messages_wait_for_a_fragmented_one() -> None:
    with rig() as r:
        slow = Slow()
        slow.parts.put_nowait("a")
        fragmented = asyncio.create_task(r.ws.send(slow))
        await turns()
        others = [asyncio.create_task(r.ws.send(each)) for each in ("1", ["2"], "3", ["4"], "5")]
        await turns()
        await r.ws.ping(b"between")
        assert [bytes(each.data) for each in await r.heard()] == [b"a", b"between"]
        slow.parts.put_nowait("")
        await asyncio.gather(fragmented, *others)
        assert [each for each in await r.heard_data() if each] == [b"1", b"3", b"5", b"2", b"4"]


async def test_a_fragmented_message_is_not_starved() -> None:
    with rig() as r:
        r.clog()
        before = asyncio.create_task(r.ws.send("before"))
        await turns()
        fragmented = asyncio.create_task(r.ws.send(["part"]))
        await turns()
        after = [r.ws.send(str(number)) for number in range(3)]
        r.wire.drain()
        await asyncio.gather(before, fragmented, *after)
        assert (await r.heard_data())[1:] == [b"before", b"part", b"", b"0", b"1", b"2"]


@pytest.mark.parametrize("granted", [False, True])
async def test_a_cancelled_turn_is_passed_on(granted: bool) -> None:
    with rig() as r:
        r.clog()
        before = asyncio.create_task(r.ws.send("before"))
        await turns()
        fragmented = asyncio.create_task(r.ws.send(["part"]))
        await turns()
        after = r.ws.send("after")
        if granted:
            r.wire.drain()
        fragmented.cancel()
        await turns()
        r.wire.drain()
        await before
        await after
        assert (await r.heard_data())[1:] == [b"before", b"after"]


async def test_a_turn_ends_with_the_connection() -> None:
    with rig() as r:
        slow = Slow()
        slow.parts.put_nowait("a")
        tasks = [asyncio.create_task(r.ws.send(slow))]
        await turns()
        tasks += [asyncio.create_task(r.ws.send(each)) for each in (["b"], "c")]
        await turns()
        r.wire.lose()
        slow.parts.put_nowait("more")
        for task in tasks:
            with pytest.raises(ConnectionClosedError):
                await task


async def test_closing_drops_a_fragmented_message_that_has_not_begun() -> None:
    with rig() as r:
        r.clog()
        r.ws.send("before")
        fragmented = asyncio.create_task(r.ws.send(["part"]))
        await turns()
        r.ws.start_close()
        r.wire.drain()
        assert (await r.heard_data())[1:] == [b"before"]
        r.wire.lose()
        with pytest.raises(ConnectionClosed):
            await fragmented


def mixed() -> Iterator[str | bytes]:
    yield "a"
    yield b"b"


def broken() -> Iterator[str]:
    yield "a"
    raise LookupError


async def cancelled(r: Rig) -> None:
    slow = Slow()
    slow.parts.put_nowait("a")
    task = asyncio.create_task(r.ws.send(slow))
    await turns()
    task.cancel()
    await task


async def test_half_a_message_fails_the_connection() -> None:
    for attempt, error in [
        (lambda r: r.ws.send(mixed()), TypeError),
        (lambda r: r.ws.send(broken()), LookupError),
        (lambda r: r.ws.send(["a", "\ud800"]), UnicodeEncodeError),
        (cancelled, asyncio.CancelledError),
    ]:
        with rig() as r:
            with pytest.raises(error):
                await attempt(r)
            await r.heard()
            assert r.peer.close_rcvd is not None
            assert r.peer.close_rcvd.code == 1011
            assert r.peer.close_rcvd.reason == "error in fragmented message"
            assert r.ws.ending is not None and r.ws.ending.cause is Cause.CLOSED_HERE


# -- compression and other extensions


def deflated(**options: Any) -> Any:
    client = enable_client_permessage_deflate(None)[0]
    server = enable_server_permessage_deflate(None)[0]
    accepted, theirs = server.process_request_params(client.get_request_params(), [])
    return theirs, client.process_response_params(accepted, [])


@pytest.mark.parametrize("compress", [None, True, False])
async def test_compress_chooses(compress: bool | None) -> None:
    server, client = deflated()
    with rig(extensions=([server], [client])) as r:
        await r.ws.send("x" * 5000, compress=compress)
        await r.ws.send("x" * 500, compress=compress)
        await turns()
        small = len(r.wire.sent)
        assert await r.heard_data() == [b"x" * 5000, b"x" * 500]
    if compress is None:
        assert 500 < small < 1000
    else:
        assert small < 100 if compress else small > 5500


class Broken:
    """An extension that can't encode."""

    name = "x-broken"

    def encode(self, frame: Frame) -> Frame:
        if frame.opcode is Opcode.TEXT:
            raise LookupError("can't encode")
        return frame


async def test_an_extension_that_fails_on_a_queued_message(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with rig(extensions=([Broken()], [])) as r:
        r.clog()
        awaited = asyncio.create_task(r.ws.send("awaited"))
        r.ws.send("unawaited")
        r.ws.send(b"fine")
        await turns()
        r.wire.drain()
        with pytest.raises(LookupError):
            await awaited
        assert (await r.heard_data())[-1] == b"fine"
        assert caplog.text.count("a message could not be sent") == 1
