"""The readable stream: locks, reads, ends, and room for one chunk (WHATWG Streams)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from duologue.client.browser.streams_readable import ReadableStream


def make() -> tuple[ReadableStream, list[object]]:
    reasons: list[object] = []
    return ReadableStream(reasons.append), reasons


async def test_a_read_gets_what_is_there_or_comes() -> None:
    stream, _ = make()
    reader = stream.getReader()
    stream.enqueue("one")
    assert await reader.read() == ("one", False)
    later, latest = reader.read(), reader.read()
    assert not later.done()
    stream.enqueue("two")
    stream.enqueue(b"three")
    assert (await later).value == "two"
    assert (await latest).value == b"three"


async def test_a_stream_has_one_reader_at_a_time() -> None:
    stream, _ = make()
    locked = [stream.locked]
    reader = stream.getReader()
    locked.append(stream.locked)
    assert locked == [False, True]
    with pytest.raises(TypeError, match="locked"):
        stream.getReader()
    with pytest.raises(TypeError, match="locked"):
        await stream.cancel()
    reader.releaseLock()
    reader.releaseLock()
    assert not stream.locked
    stream.getReader()


async def test_releasing_rejects_reads_and_keeps_chunks() -> None:
    stream, _ = make()
    first = stream.getReader()
    read = first.read()
    first.releaseLock()
    for broken in (read, first.closed, first.read(), first.cancel()):
        with pytest.raises(TypeError, match="released"):
            await broken
    stream.enqueue("kept")
    assert (await stream.getReader().read()).value == "kept"


async def test_closing_comes_after_the_chunks() -> None:
    stream, _ = make()
    reader = stream.getReader()
    stream.enqueue("last")
    stream.close()
    stream.enqueue("too late")
    assert not reader.closed.done()
    assert await reader.read() == ("last", False)
    assert await reader.read() == (None, True)
    await reader.closed
    reader.releaseLock()
    with pytest.raises(TypeError, match="released"):
        await reader.closed
    await stream.getReader().closed


async def test_closing_keeps_waiting_reads() -> None:
    stream, _ = make()
    reader = stream.getReader()
    reads = [reader.read(), reader.read()]
    stream.close()
    assert [await read for read in reads] == [(None, True), (None, True)]


async def test_an_error_goes_to_all_and_drops_chunks() -> None:
    stream, reasons = make()
    stream.enqueue("dropped")
    failure = ConnectionError("lost")
    stream.error(failure)
    stream.error(ConnectionError("another"))
    stream.close()
    reader = stream.getReader()
    for broken in (reader.read(), reader.closed, reader.cancel()):
        with pytest.raises(ConnectionError) as caught:
            await broken
        assert caught.value is failure
    assert reasons == []


async def test_an_error_breaks_reads_that_wait() -> None:
    stream, _ = make()
    reader = stream.getReader()
    read = reader.read()
    stream.error(ConnectionError("lost"))
    for broken in (read, reader.closed):
        with pytest.raises(ConnectionError, match="lost"):
            await broken


async def test_cancelling_drops_chunks_and_tells_the_source() -> None:
    stream, reasons = make()
    stream.enqueue("dropped")
    await stream.cancel("enough")
    await stream.cancel("again")
    assert reasons == ["enough"]
    assert await stream.getReader().read() == (None, True)


async def test_a_source_that_fails_to_cancel() -> None:
    def fail(reason: object) -> None:
        raise ConnectionError("no")

    with pytest.raises(ConnectionError, match="no"):
        await ReadableStream(fail).cancel()


async def test_a_reader_cancels_reads_that_wait() -> None:
    stream, reasons = make()
    reader = stream.getReader()
    read = reader.read()
    await reader.cancel()
    assert await read == (None, True)
    assert reasons == [None]


async def test_a_chunk_is_not_lost_to_a_read_that_was_given_up() -> None:
    stream, _ = make()
    reader = stream.getReader()
    reader.read().cancel()
    await asyncio.sleep(0)
    stream.enqueue("for the next")
    assert (await reader.read()).value == "for the next"


async def test_there_is_room_for_one_chunk() -> None:
    stream, _ = make()
    await stream.wanted()
    stream.enqueue("one")
    waiting = asyncio.create_task(stream.wanted())
    await asyncio.sleep(0)
    assert not waiting.done()
    await stream.getReader().read()
    await waiting


@pytest.mark.parametrize("end", ["rush", "close", "error", "cancel"])
async def test_nobody_waits_for_room_at_the_end(end: str) -> None:
    stream, _ = make()
    stream.enqueue("one")
    waiting = asyncio.create_task(stream.wanted())
    await asyncio.sleep(0)
    args = (ConnectionError(),) if end == "error" else ()
    getattr(stream, end)(*args)
    await waiting


async def test_iterating_ends_with_the_stream() -> None:
    stream, reasons = make()
    stream.enqueue("one")
    stream.enqueue("two")
    stream.close()
    assert [chunk async for chunk in stream] == ["one", "two"]
    assert not stream.locked
    assert reasons == []


async def test_iterating_raises_the_error() -> None:
    stream, _ = make()
    stream.error(ConnectionError("lost"))
    with pytest.raises(ConnectionError, match="lost"):
        async for _ in stream:
            pass
    assert not stream.locked


async def take_one(chunks: Any) -> Any:
    async for chunk in chunks:
        return chunk


@pytest.mark.parametrize("prevent", [False, True])
async def test_leaving_an_iteration_cancels(prevent: bool) -> None:
    stream, reasons = make()
    stream.enqueue("one")
    stream.enqueue("two")
    chunks = stream.values(preventCancel=prevent)
    locked = [stream.locked]
    assert await take_one(chunks) == "one"
    await chunks.aclose()
    assert [*locked, stream.locked] == [True, False]
    assert reasons == ([] if prevent else [None])
    expected = ("two", False) if prevent else (None, True)
    assert await stream.getReader().read() == expected


async def test_a_task_that_is_cancelled_gives_up_its_iteration() -> None:
    stream, reasons = make()
    task = asyncio.create_task(take_one(stream))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert reasons == [None]
    assert not stream.locked
