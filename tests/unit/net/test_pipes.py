"""The ends of pipes on the engine's poller."""

from __future__ import annotations

import asyncio
import os
import sys

import pytest

if sys.platform == "win32":
    pytest.skip("event loops of Windows watch no pipes", allow_module_level=True)

from duologue.net.pipes import PipeReader, PipeWriter, Watch

PATIENCE = 20.0


def pipe():
    """A reader, and the descriptor of the other end."""
    out, into = os.pipe()
    return PipeReader(out), into


async def test_octets_and_the_end():
    reader, into = pipe()
    async with asyncio.timeout(PATIENCE):
        os.write(into, b"one")
        assert await reader.read() == b"one"
        waiting = asyncio.create_task(reader.read())
        await asyncio.sleep(0)
        os.write(into, b"two")
        assert await waiting == b"two"
        assert not reader.ended
        os.close(into)
        assert await reader.read() == b"" and reader.ended
        assert await reader.read() == b""


async def test_one_chunk_at_the_most():
    reader, into = pipe()
    os.set_blocking(into, False)
    written = 0
    async with asyncio.timeout(PATIENCE):
        for _ in range(100):
            try:
                written += os.write(into, bytes(65536))
            except BlockingIOError:
                await asyncio.sleep(0)
        # The pipe, and what was read of it once.
        assert written <= 3 * 65536
        os.close(into)
        found = 0
        while octets := await reader.read():
            found += len(octets)
    assert found == written


async def test_close_ends_the_waiting():
    reader, into = pipe()
    waiting = asyncio.create_task(reader.read())
    await asyncio.sleep(0)
    reader.close()
    assert await asyncio.wait_for(waiting, PATIENCE) == b"" and reader.ended
    with pytest.raises(BrokenPipeError):
        os.write(into, b"x")
    os.close(into)


async def test_stop_leaves_the_pipe_open():
    reader, into = pipe()
    waiting = asyncio.create_task(reader.read())
    await asyncio.sleep(0)
    reader.stop()
    assert await asyncio.wait_for(waiting, PATIENCE) == b""
    assert reader.stopped and not reader.ended
    assert os.write(into, b"x") == 1
    reader.close()
    os.close(into)


async def test_the_alert_comes_once():
    reader, into = pipe()
    heard = asyncio.Queue()
    reader.alert = lambda: heard.put_nowait(reader.ended)
    async with asyncio.timeout(PATIENCE):
        os.write(into, b"one")
        assert await heard.get() is False
        assert await reader.read() == b"one"
        os.close(into)
        assert await reader.read() == b""
        assert heard.empty()
        reader, into = pipe()
        reader.alert = lambda: heard.put_nowait(reader.ended)
        os.close(into)
        assert await heard.get() is True


async def test_the_writer_waits_for_room():
    out, into = os.pipe()
    writer = PipeWriter(into)
    octets = os.urandom(300_000)
    taken = writer.write_now(octets)
    assert 0 < taken < len(octets)
    assert writer.written == taken and writer.write_now(octets) == 0
    writing = asyncio.create_task(writer.write(octets[taken:]))
    reader = PipeReader(out)
    found = b""
    async with asyncio.timeout(PATIENCE):
        while len(found) < len(octets):
            found += await reader.read()
        assert await writing
    assert found == octets and writer.written == len(octets)
    writer.close()
    assert writer.fileno() == -1
    assert await asyncio.wait_for(reader.read(), PATIENCE) == b""


async def test_nobody_reads_any_more():
    out, into = os.pipe()
    writer = PipeWriter(into)
    while writer.write_now(bytes(65536)):
        pass
    writing = asyncio.create_task(writer.write(b"x"))
    await asyncio.sleep(0)
    os.close(out)
    assert not await asyncio.wait_for(writing, PATIENCE)
    assert writer.fileno() == -1
    assert not await writer.write(b"y") and writer.write_now(b"y") == 0


async def test_close_ends_the_writing():
    out, into = os.pipe()
    writer = PipeWriter(into)
    while writer.write_now(bytes(65536)):
        pass
    writing = asyncio.create_task(writer.write(b"x"))
    await asyncio.sleep(0)
    writer.close()
    assert not await asyncio.wait_for(writing, PATIENCE)
    os.close(out)


async def test_watch():
    out, into = os.pipe()
    readable = asyncio.Event()
    watch = Watch(out, readable.set)
    os.write(into, b"x")
    await asyncio.wait_for(readable.wait(), PATIENCE)
    watch.close()
    watch.close()
    with pytest.raises(OSError):
        os.fstat(out)
    os.close(into)
