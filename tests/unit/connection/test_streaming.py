"""``recv_streaming()``: fragments as they come."""

from __future__ import annotations

import asyncio

import pytest

from duologue.base.exceptions import ConcurrencyError, ConnectionClosedError
from duologue.base.vocabulary import State

from .rig import rig, turns

pytestmark = pytest.mark.virtual_time


async def test_fragments_come_one_by_one() -> None:
    with rig() as r:
        stream = aiter(r.ws.recv_streaming())
        r.fragments(b"a")
        assert await anext(stream) == "a"
        r.fragments(b"b")
        assert await anext(stream) == "b"
        r.fragments(b"c", fin=True)
        assert [part async for part in stream] == ["c"]
        r.text("whole")
        assert [part async for part in r.ws.recv_streaming()] == ["whole"]
        r.text("next")
        assert await r.ws.recv() == "next"


async def test_characters_may_be_cut_by_fragments() -> None:
    octets = "aé€😀".encode()
    for cut in range(len(octets) + 1):
        with rig() as r:
            r.fragments(octets[:cut], octets[cut:], fin=True)
            assert "".join([part async for part in r.ws.recv_streaming()]) == "aé€😀"


async def test_decode_chooses_the_type() -> None:
    with rig() as r:
        r.fragments(b"a", b"b", fin=True)
        assert [part async for part in r.ws.recv_streaming(decode=False)] == [b"a", b"b"]
        r.text("whole")
        assert [part async for part in r.ws.recv_streaming(decode=False)] == [b"whole"]
        r.peer.send_binary(b"bin", fin=False)
        r.peer.send_continuation("é".encode(), True)
        r.peer.send_binary("ü".encode())
        r.say()
        assert [part async for part in r.ws.recv_streaming(decode=True)] == ["bin", "é"]
        assert [part async for part in r.ws.recv_streaming(decode=True)] == ["ü"]


@pytest.mark.parametrize("parts", [[b"\xc3", b"abc"], [b"a", b"\xff"], [b"a", b"\xc3"], [b"\xff"]])
async def test_decoding_what_is_no_text_fails_the_connection(parts: list[bytes]) -> None:
    with rig() as r:
        r.peer.send_binary(parts[0], fin=len(parts) == 1)
        for part in parts[1:]:
            r.peer.send_continuation(part, True)
        r.say()

        async def receive() -> None:
            async for _ in r.ws.recv_streaming(decode=True):
                pass

        task = asyncio.create_task(receive())
        await r.heard()
        assert r.ws.close_sent is not None and r.ws.close_sent.code == 1007
        r.wire.lose()
        with pytest.raises(ConnectionClosedError) as caught:
            await task
        assert isinstance(caught.value.__cause__, UnicodeDecodeError)


async def test_cancelling_before_the_first_fragment_loses_nothing() -> None:
    with rig() as r:
        waiting = asyncio.ensure_future(anext(r.ws.recv_streaming()))
        await turns()
        with pytest.raises(ConcurrencyError):
            await r.ws.recv()
        waiting.cancel()
        await turns()
        r.text("kept")
        assert await r.ws.recv() == "kept"


async def test_an_abandoned_stream_keeps_the_connection_busy_until_its_end() -> None:
    with rig() as r:
        stream = aiter(r.ws.recv_streaming())
        r.fragments(b"a", b"b", fin=True)
        assert await anext(stream) == "a"
        await stream.aclose()  # type: ignore[attr-defined]
        with pytest.raises(ConcurrencyError, match="recv_streaming"):
            await anext(aiter(r.ws.recv_streaming()))
        with pytest.raises(ConcurrencyError):
            await r.ws.recv()


async def test_leaving_after_the_last_fragment_is_no_abandoning() -> None:
    with rig() as r:
        stream = aiter(r.ws.recv_streaming())
        r.fragments(b"a", fin=True)
        assert await anext(stream) == "a"
        await stream.aclose()  # type: ignore[attr-defined]
        r.text("next")
        assert await r.ws.recv() == "next"


async def test_a_cancelled_recv_leaves_its_fragments_to_the_stream() -> None:
    with rig() as r:
        waiting = asyncio.create_task(r.ws.recv())
        r.fragments(b"a", b"b")
        await turns()
        waiting.cancel()
        await turns()
        r.fragments(b"c", fin=True)
        assert [part async for part in r.ws.recv_streaming()] == ["a", "b", "c"]


async def test_the_end_comes_as_an_exception() -> None:
    with rig() as r:
        stream = aiter(r.ws.recv_streaming())
        r.fragments(b"a")
        assert await anext(stream) == "a"
        waiting = asyncio.ensure_future(anext(stream))
        await turns()
        r.wire.lose()
        with pytest.raises(ConnectionClosedError):
            await waiting
        with pytest.raises(ConnectionClosedError):
            await r.ws.recv()


async def test_no_limit_to_the_number_of_fragments() -> None:
    with rig(max_size=6400) as r:
        stream = aiter(r.ws.recv_streaming())
        r.fragments(b"x")
        assert await anext(stream) == "x"
        for _ in range(1000):
            r.fragments(b"", b"y")
            assert await anext(stream) == "y"
        assert r.ws.state is State.OPEN
        r.fragments(b"", fin=True)
        assert [part async for part in stream] == [""]


async def test_fragments_taken_from_one_message_are_not_credited_to_the_next() -> None:
    with rig(max_size=6400, max_queue=None) as r:
        r.fragments(*[b"x"] * 90, fin=True)
        r.fragments(*[b"y"] * 90)
        assert len([part async for part in r.ws.recv_streaming()]) == 90
        r.fragments(*[b"y"] * 11)
        assert r.ws.parser_exc is not None
