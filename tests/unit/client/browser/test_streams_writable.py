"""The writable stream: locks, order, room, ends (WHATWG Streams)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest

from duologue.client.browser.streams_writable import WritableStream


class Sink:
    """Takes each chunk when it is told to."""

    def __init__(self) -> None:
        self.log: list[Any] = []
        self.work: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def convert(self, chunk: object) -> str:
        if not isinstance(chunk, str):
            raise TypeError("no chunk")
        return chunk

    def write(self, data: str | bytes) -> Awaitable[None]:
        return self.begin(data)

    def close(self) -> Awaitable[None]:
        return self.begin("(close)")

    def abort(self, reason: object) -> None:
        self.log.append(("abort", reason))

    def too_much(self, octets: int) -> Exception | None:
        return OverflowError(f"{octets} octets") if octets > 10 else None

    def begin(self, what: Any) -> Awaitable[None]:
        self.log.append(what)
        self.work = asyncio.get_running_loop().create_future()
        return self.work

    async def finish(self, exc: BaseException | None = None) -> None:
        if exc is None:
            self.work.set_result(None)
        else:
            self.work.set_exception(exc)
        await asyncio.sleep(0)


async def test_chunks_go_one_after_the_other() -> None:
    sink = Sink()
    writer = WritableStream(sink).getWriter()
    first, second = writer.write("a"), writer.write("b")
    assert sink.log == ["a"]
    await sink.finish()
    assert first.done() and not second.done()
    assert sink.log == ["a", "b"]
    await sink.finish()
    await second


async def test_room_is_for_one_chunk() -> None:
    sink = Sink()
    writer = WritableStream(sink).getWriter()
    assert writer.desiredSize == 1
    await writer.ready
    writes = [writer.write("a"), writer.write("b")]
    assert writer.desiredSize == -1
    full = writer.ready
    assert not full.done()
    await sink.finish()
    assert writer.desiredSize == 0 and not full.done()
    await sink.finish()
    await full
    assert writer.ready is full
    await asyncio.gather(*writes)


async def test_a_stream_has_one_writer_at_a_time() -> None:
    sink = Sink()
    stream = WritableStream(sink)
    writer = stream.getWriter()
    assert stream.locked
    with pytest.raises(TypeError, match="locked"):
        stream.getWriter()
    for refused in (stream.close(), stream.abort()):
        with pytest.raises(TypeError, match="locked"):
            await refused
    write = writer.write("a")
    writer.releaseLock()
    writer.releaseLock()
    for broken in (writer.ready, writer.closed, writer.write("b"), writer.close(), writer.abort()):
        with pytest.raises(TypeError, match="released"):
            await broken
    with pytest.raises(TypeError, match="released"):
        _ = writer.desiredSize
    await sink.finish()
    await write
    assert not stream.locked


async def test_closing_comes_after_the_chunks() -> None:
    sink = Sink()
    stream = WritableStream(sink)
    writer = stream.getWriter()
    write, close = writer.write("a"), writer.close()
    for refused in (writer.write("b"), writer.close()):
        with pytest.raises(TypeError, match="clos"):
            await refused
    await sink.finish()
    await write
    assert sink.log == ["a", "(close)"]
    assert not close.done() and not writer.closed.done()
    await sink.finish()
    await asyncio.gather(close, writer.closed, writer.ready)
    assert writer.desiredSize == 0
    await writer.abort("nothing is left to abort")
    assert sink.log == ["a", "(close)"]


async def test_a_close_that_fails() -> None:
    sink = Sink()
    writer = WritableStream(sink).getWriter()
    close = writer.close()
    await sink.finish(ConnectionError("lost"))
    for broken in (close, writer.closed, writer.ready):
        with pytest.raises(ConnectionError, match="lost"):
            await broken


async def test_a_write_that_fails_fails_the_stream() -> None:
    sink = Sink()
    stream = WritableStream(sink)
    writer = stream.getWriter()
    writes = [writer.write("a"), writer.write("b")]
    close = writer.close()
    failure = ConnectionError("lost")
    await sink.finish(failure)
    for broken in (*writes, close, writer.closed, writer.ready, writer.write("c")):
        with pytest.raises(ConnectionError) as caught:
            await broken
        assert caught.value is failure
    assert writer.desiredSize is None
    assert sink.log == ["a"]
    stream.error(ConnectionError("another"))
    writer.releaseLock()
    with pytest.raises(ConnectionError) as caught:
        await stream.getWriter().ready
    assert caught.value is failure


async def test_a_chunk_that_cannot_be_fails_the_stream_in_its_turn() -> None:
    sink = Sink()
    writer = WritableStream(sink).getWriter()
    good, bad = writer.write("a"), writer.write(5)
    assert not bad.done()
    await sink.finish()
    await good
    with pytest.raises(TypeError, match="no chunk"):
        await bad
    with pytest.raises(TypeError, match="no chunk"):
        await writer.closed


async def test_an_error_leaves_the_chunk_on_its_way_to_the_sink() -> None:
    sink = Sink()
    stream = WritableStream(sink)
    writer = stream.getWriter()
    writes = [writer.write("a"), writer.write("b")]
    stream.error(ConnectionError("lost"))
    with pytest.raises(ConnectionError, match="lost"):
        await writes[1]
    assert not writes[0].done()
    await sink.finish()
    await writes[0]


async def test_an_error_does_not_spoil_a_close_that_goes_on() -> None:
    sink = Sink()
    stream = WritableStream(sink)
    close = stream.close()
    stream.error(ConnectionError("closed"))
    await sink.finish()
    await close


@pytest.mark.parametrize("reason", [None, "text", ValueError("mine"), StopIteration()])
async def test_aborting_drops_what_waits_and_tells_the_sink(reason: object) -> None:
    sink = Sink()
    stream = WritableStream(sink)
    writes = [(writer := stream.getWriter()).write("a"), writer.write("b")]
    await writer.abort(reason)
    await writer.abort("again")
    assert sink.log == ["a", ("abort", reason)]
    expected = ValueError if isinstance(reason, ValueError) else RuntimeError
    with pytest.raises(expected):
        await writes[1]
    await sink.finish()
    await writes[0]


async def test_what_waits_is_bounded() -> None:
    sink = Sink()
    writer = WritableStream(sink).getWriter()
    # One chunk is always taken.
    writes = [writer.write("a" * 20)]
    with pytest.raises(OverflowError, match="21 octets"):
        await writer.write("b")
    await sink.finish()
    writes += [writer.write("c" * 5), writer.write("d" * 5)]
    with pytest.raises(OverflowError, match="11 octets"):
        await writer.write("e")
    await sink.finish()
    await sink.finish()
    await asyncio.gather(*writes)
    assert [str(data)[0] for data in sink.log] == ["a", "c", "d"]
