"""``WebSocketStream`` over real sockets: its promises, its ends, and room both ways."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

import duologue
from duologue import AbortController, AbortSignal, Blob, DOMException, Limits
from duologue.base.accounts import accounts
from duologue.client.browser.stream import WebSocketStream
from duologue.client.browser.streams_error import WebSocketError

Raw = Callable[..., AbstractAsyncContextManager[str]]
Handler = Callable[[Any], Awaitable[None]]

MEBIBYTE = 2**20
#: Octets of the test of memory; a longer run can be asked for.
OCTETS = int(os.environ.get("STREAM_MEBIBYTES", "64")) * MEBIBYTE


@asynccontextmanager
async def serving(handler: Handler, **options: Any) -> AsyncIterator[str]:
    async with duologue.serve(handler, "127.0.0.1", 0, **options) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


async def echo(peer: Any) -> None:
    async for message in peer:
        await peer.send(message)


async def failure_of(promise: Awaitable[object]) -> BaseException:
    try:
        async with asyncio.timeout(20):
            result = await promise
    except BaseException as exc:
        return exc
    raise AssertionError(f"kept, with {result!r}")


# -- arguments


def test_arguments_are_checked_first() -> None:
    bad: list[tuple[Any, ...]]
    bad = [(), (5,), ("ws://h/", True), ("ws://h/", {"protocols": "text"})]
    for args in bad:
        with pytest.raises(TypeError):
            WebSocketStream(*args)
    bad = [("invalid:",), ("ws://h/#f",), ("ws://h/", {"protocols": ["a", "A"]})]
    for args in bad:
        with pytest.raises(DOMException) as caught:
            WebSocketStream(*args)
        assert caught.value.name == "SyntaxError"
    with pytest.raises(TypeError, match="signal"):
        WebSocketStream("ws://h/", signal=5)
    with pytest.raises(TypeError, match="no_option"):
        asyncio.run(make("ws://h/", no_option=1))
    with pytest.raises(RuntimeError, match="event loop"):
        WebSocketStream("ws://h/")


async def make(*args: Any, **options: Any) -> WebSocketStream:
    return WebSocketStream(*args, **options)


async def test_options_of_a_socket() -> None:
    seen = []

    async def look(peer: Any) -> None:
        headers = peer.request.headers
        seen.append((peer.request.path, headers["X-Mine"], headers["Origin"]))

    async with serving(look) as url:
        stream = WebSocketStream(
            "chat?q", base=url.replace("ws", "http"), headers={"X-Mine": "1"}, origin="http://me"
        )
        assert stream.url == f"{url}chat?q"
        await stream.closed
    assert seen == [("/chat?q", "1", "http://me")]


# -- opening and messages


@pytest.mark.parametrize("as_keywords", [False, True])
async def test_messages_both_ways(as_keywords: bool) -> None:
    options: dict[str, Any] = {"protocols": ["b", "a"]}
    async with serving(echo, subprotocols=["a"]) as url:
        args, keywords = ((url,), options) if as_keywords else ((url, options), {})
        stream = WebSocketStream(*args, **keywords)
        opened = await stream.opened
        assert opened.protocol == "a"
        assert opened.extensions.startswith("permessage-deflate")
        assert (await stream.opened) is opened
        reader, writer = opened.readable.getReader(), opened.writable.getWriter()
        buffer = bytearray(b"abc")
        chunks = ["text", b"octets", buffer, memoryview(b"-xyz-")[1:4], Blob(["blob"]), "\ud800"]
        writes = [writer.write(chunk) for chunk in chunks]
        buffer[:] = b"---"
        await asyncio.gather(*writes)
        found = [(await reader.read()).value for _ in chunks]
        assert found == ["text", b"octets", b"abc", b"xyz", b"blob", "\ufffd"]
        stream.close()
        assert await stream.closed == (1005, "")


async def test_a_chunk_that_cannot_be_sent() -> None:
    async with serving(echo) as url:
        stream = WebSocketStream(url)
        writer = (await stream.opened).writable.getWriter()
        assert isinstance(await failure_of(writer.write(object())), TypeError)
        assert isinstance(await failure_of(writer.write("next")), TypeError)
        stream.close()
        await stream.closed


async def test_a_server_that_refuses() -> None:
    async with serving(echo, process_request=lambda peer, request: peer.respond(404, "")) as url:
        stream = WebSocketStream(url)
        opened, closed = await failure_of(stream.opened), await failure_of(stream.closed)
    assert isinstance(opened, WebSocketError) and isinstance(closed, WebSocketError)
    assert (opened.closeCode, closed.closeCode, closed.reason) == (None, 1006, "")
    assert isinstance(closed.__cause__, duologue.InvalidStatus)


# -- giving up


async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    assert await reader.read() == b""


async def test_a_signal_that_is_aborted_already_connects_nowhere() -> None:
    stream = WebSocketStream("ws://no-such-host.invalid/", {"signal": AbortSignal.abort()})
    for promise in (stream.opened, stream.closed):
        exc = await failure_of(promise)
        assert isinstance(exc, DOMException) and exc.name == "AbortError"
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []
    stream.close()


@pytest.mark.parametrize("reason", [None, ValueError("mine"), "text"])
async def test_a_signal_gives_up_the_handshake(raw: Raw, reason: object) -> None:
    controller = AbortController()
    async with raw("", stall) as url:
        stream = WebSocketStream(url, {"signal": controller.signal})
        await asyncio.sleep(0.05)
        controller.abort(reason)
        for promise in (stream.opened, stream.closed):
            exc = await failure_of(promise)
            if isinstance(reason, ValueError):
                assert exc is reason
            else:
                assert isinstance(exc, DOMException) and exc.name == "AbortError"


class OwnSignal:
    """A signal that isn't ours."""

    def __init__(self) -> None:
        self.aborted, self.reason = False, None
        self.listeners: list[Callable[[object], None]] = []

    def addEventListener(self, type: str, listener: Callable[[object], None]) -> None:
        self.listeners.append(listener)

    def removeEventListener(self, type: str, listener: Callable[[object], None]) -> None:
        self.listeners.remove(listener)


async def test_anything_like_a_signal_will_do(raw: Raw) -> None:
    signal = OwnSignal()
    async with raw("", stall) as url:
        stream = WebSocketStream(url, signal=signal)
        await asyncio.sleep(0.05)
        signal.listeners[0](None)
        exc = await failure_of(stream.opened)
        assert isinstance(exc, DOMException) and exc.name == "AbortError"
        await asyncio.sleep(0)
        assert signal.listeners == []


async def test_a_signal_does_nothing_after_opening() -> None:
    controller = AbortController()
    async with serving(echo) as url:
        stream = WebSocketStream(url, signal=controller.signal)
        opened = await stream.opened
        controller.abort()
        await opened.writable.getWriter().write("hello")
        assert (await opened.readable.getReader().read()).value == "hello"
        stream.close()
        await stream.closed


@pytest.mark.parametrize("at_once", [True, False])
async def test_closing_while_connecting(raw: Raw, at_once: bool) -> None:
    asked = asyncio.Event()

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await stall(reader, writer)

    async with asyncio.TaskGroup() as tasks, raw("", note) as url:
        if at_once:
            # The server of this test wants to be asked once.
            tasks.create_task(ask(url))
        stream = WebSocketStream(url)
        if not at_once:
            await asked.wait()
        stream.close()
        for promise in (stream.opened, stream.closed):
            assert isinstance(await failure_of(promise), WebSocketError)


async def ask(url: str) -> None:
    host, port = url.removeprefix("ws://").rstrip("/").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET / HTTP/1.1\r\nSec-WebSocket-Key: x\r\n\r\n")
    writer.write_eof()
    writer.close()


# -- closing


@pytest.mark.parametrize(
    ("args", "keywords", "expected"),
    [
        ((), {}, (1005, "")),
        (({},), {}, (1005, "")),
        (({"reason": ""},), {}, (1005, "")),
        (({"reason": "why"},), {}, (1000, "why")),
        (({"closeCode": 3456, "reason": "pizza"},), {}, (3456, "pizza")),
        ((), {"closeCode": 4999}, (4999, "")),
    ],
)
async def test_the_peer_gets_code_and_reason(
    args: Any, keywords: dict[str, Any], expected: tuple[int, str]
) -> None:
    async with serving(echo) as url:
        stream = WebSocketStream(url)
        readable, writable, _, _ = await stream.opened
        stream.close(*args, **keywords)
        stream.close({"closeCode": 4000})
        closed = await stream.closed
        assert closed == expected and type(closed.closeCode) is int
        assert await readable.getReader().read() == (None, True)
        exc = await failure_of(writable.getWriter().ready)
        assert isinstance(exc, DOMException) and exc.name == "InvalidStateError"


async def test_closing_checks_its_arguments() -> None:
    async with serving(echo) as url:
        stream = WebSocketStream(url)
        await stream.opened
        with pytest.raises(TypeError):
            stream.close(True)  # type: ignore[arg-type]
        with pytest.raises(DOMException, match="1001"):
            stream.close({"closeCode": 1001})
        with pytest.raises(DOMException, match="123"):
            stream.close({"reason": "x" * 124})
        stream.close()
        await stream.closed


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        (None, (1005, "")),
        ({"closeCode": 3333, "reason": "no"}, (1005, "")),
        (DOMException("no", "DataCloneError"), (1005, "")),
        (WebSocketError("", {"closeCode": 3456, "reason": "set"}), (3456, "set")),
        (WebSocketError("", {"reason": "set"}), (1000, "set")),
    ],
)
@pytest.mark.parametrize(("side", "method"), [("readable", "cancel"), ("writable", "abort")])
async def test_cancelling_and_aborting_close(
    side: str, method: str, reason: object, expected: tuple[int, str]
) -> None:
    async with serving(echo) as url:
        stream = WebSocketStream(url)
        await getattr(getattr(await stream.opened, side), method)(reason)
        assert await stream.closed == expected


async def test_closing_the_writable_waits_for_the_handshake() -> None:
    go_on = asyncio.Event()

    async def talk(peer: Any) -> None:
        await go_on.wait()

    async with serving(talk) as url:
        stream = WebSocketStream(url)
        writer = (await stream.opened).writable.getWriter()
        sent = writer.write("before")
        closing = writer.close()
        await sent
        assert not stream.closed.done()
        go_on.set()
        await closing
        await writer.closed
        await stream.closed


async def test_what_was_written_goes_before_the_close_frame() -> None:
    received = []

    async def collect(peer: Any) -> None:
        async for message in peer:
            received.append(message)

    async with serving(collect) as url:
        stream = WebSocketStream(url)
        writer = (await stream.opened).writable.getWriter()
        write = writer.write(b"x" * MEBIBYTE)
        stream.close({"closeCode": 3000})
        assert (await stream.closed).closeCode == 3000
        await write
    assert [len(message) for message in received] == [MEBIBYTE]


async def test_the_peer_closes() -> None:
    async def leave(peer: Any) -> None:
        await peer.send("last")
        await peer.close(4000, "robot")

    async with serving(leave) as url:
        stream = WebSocketStream(url)
        readable, writable, _, _ = await stream.opened
        assert await stream.closed == (4000, "robot")
        # What came before is still there.
        assert [message async for message in readable] == ["last"]
        exc = await failure_of(writable.getWriter().write("too late"))
        assert isinstance(exc, DOMException) and exc.name == "InvalidStateError"


async def test_the_connection_is_cut() -> None:
    async def cut(peer: Any) -> None:
        await peer.recv()
        peer.transport.abort()

    async with serving(cut) as url:
        stream = WebSocketStream(url)
        readable, writable, _, _ = await stream.opened
        reader, writer = readable.getReader(), writable.getWriter()
        read = reader.read()
        await writer.write("go")
        closing = writer.close()
        found = [await failure_of(promise) for promise in (stream.closed, read, closing)]
        found += [await failure_of(promise) for promise in (reader.closed, writer.ready)]
        assert len(set(map(id, found))) == 1
        assert isinstance(found[0], WebSocketError)
        assert (found[0].closeCode, found[0].reason) == (1006, "")
        assert isinstance(found[0].__cause__, duologue.ConnectionClosed)


async def test_a_fault_of_the_peer_is_no_clean_end(raw: Raw, accepted: str) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x81\x02\xff\xff")
        frame = await reader.readexactly(6)
        assert frame[0] == 0x88
        # Its own Close frame comes all the same.
        writer.write(b"\x88\x02\x03\xe8")

    async with raw(accepted, talk) as url:
        exc = await failure_of(WebSocketStream(url).closed)
    assert isinstance(exc, WebSocketError) and exc.closeCode == 1006


async def test_the_peer_closes_while_a_message_is_on_its_way(raw: Raw, accepted: str) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Some of the message has come, the rest has no room.
        await reader.readexactly(MEBIBYTE)
        transport: Any = writer.transport
        transport.pause_reading()
        writer.write(b"\x88\x02\x11\xd7")
        # Time for it to come before the rest is taken.
        await asyncio.sleep(0.1)
        transport.resume_reading()
        await reader.readexactly(63 * MEBIBYTE)

    async with raw(accepted, talk) as url:
        stream = WebSocketStream(url)
        writer = (await stream.opened).writable.getWriter()
        write = writer.write(os.urandom(64 * MEBIBYTE))
        exc = await failure_of(stream.closed)
        assert isinstance(exc, WebSocketError) and exc.closeCode == 4567
        refusal = await failure_of(write)
        assert isinstance(refusal, DOMException) and refusal.name == "InvalidStateError"
        assert await failure_of(writer.write("word")) is refusal


# -- back-pressure


async def test_memory_is_flat_with_a_slow_reader() -> None:
    message = os.urandom(64 * 1024)
    count = OCTETS // len(message)

    async def pour(peer: Any) -> None:
        for _ in range(count):
            await peer.send(message)

    async with serving(pour, compression=None) as url:
        before = accounts().octets
        stream = WebSocketStream(url)
        octets = highest = 0
        async for chunk in (await stream.opened).readable:
            octets += len(chunk)
            for _ in range(3):
                await asyncio.sleep(0)
            highest = max(highest, accounts().octets - before)
        assert octets == OCTETS
        # An inbox of 1 MiB, the octets of one read, and what the server's side holds.
        assert highest < 3 * MEBIBYTE
        await stream.closed


async def test_a_reader_that_stops_stops_the_peer() -> None:
    sent = 0
    stuck = asyncio.Event()

    async def pour(peer: Any) -> None:
        nonlocal sent
        while sent < 64 * MEBIBYTE:
            write = asyncio.ensure_future(peer.send(b"x" * MEBIBYTE))
            done, _ = await asyncio.wait({write}, timeout=0.5)
            if not done:
                stuck.set()
            await write
            sent += MEBIBYTE

    async with serving(pour, compression=None) as url:
        stream = WebSocketStream(url)
        readable = (await stream.opened).readable
        await asyncio.wait_for(stuck.wait(), 30)
        assert sent < 64 * MEBIBYTE
        assert sum([len(chunk) async for chunk in readable]) == 64 * MEBIBYTE
        await stream.closed


async def test_a_peer_that_does_not_read_stops_the_writer() -> None:
    go_on = asyncio.Event()
    received = 0

    async def read_late(peer: Any) -> None:
        nonlocal received
        await go_on.wait()
        async for message in peer:
            received += len(message)

    async with serving(read_late, compression=None) as url:
        stream = WebSocketStream(url)
        writer = (await stream.opened).writable.getWriter()
        written = 0
        while True:
            write = writer.write(b"x" * MEBIBYTE)
            written += MEBIBYTE
            done, _ = await asyncio.wait({write}, timeout=0.5)
            if not done:
                break
            assert written < 256 * MEBIBYTE
        assert writer.desiredSize == 0 and not writer.ready.done()
        go_on.set()
        await write
        await writer.ready
        await writer.close()
    assert received == written


async def test_writes_that_nobody_awaits_are_bounded(raw: Raw, accepted: str) -> None:
    done = asyncio.Event()

    async def ignore(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await done.wait()
        writer.transport.abort()

    async with raw(accepted, ignore) as url:
        limits = Limits(max_outbox=MEBIBYTE, ping_interval=None)
        stream = WebSocketStream(url, limits=limits)
        writer = (await stream.opened).writable.getWriter()
        first, second = writer.write(b"x" * 64 * MEBIBYTE), writer.write(b"y" * MEBIBYTE)
        refusal = await failure_of(second)
        assert isinstance(refusal, DOMException) and refusal.name == "QuotaExceededError"
        assert f"max_outbox of {MEBIBYTE}" in str(refusal)
        assert not first.done()
        done.set()
        for promise in (stream.closed, first):
            assert isinstance(await failure_of(promise), WebSocketError)


async def test_a_stream_that_nobody_holds_goes_on() -> None:
    async def answer(peer: Any) -> None:
        async for message in peer:
            await peer.send(message)

    async with serving(answer) as url:
        writer = (await WebSocketStream(url).opened).writable.getWriter()
        writes = [writer.write(b"x" * 100_000) for _ in range(20)]
        gc.collect()
        await asyncio.gather(*writes)
        await writer.close()
