"""``bufferedAmount``: payload only, grows within an iteration of the loop, falls between them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

import duologue
from duologue import Blob, Limits, WebSocket

Logged = Callable[[WebSocket], list[tuple[Any, ...]]]
Raw = Callable[..., AbstractAsyncContextManager[str]]


async def opened(ws: WebSocket) -> WebSocket:
    event = asyncio.get_running_loop().create_future()
    ws.addEventListener("open", event.set_result, once=True)
    await event
    return ws


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.001)


class Stalling:
    """A peer that reads as much as it is told to."""

    def __init__(self) -> None:
        self.read = asyncio.Event()
        self.reset = False

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        transport: Any = writer.transport
        transport.pause_reading()
        await self.read.wait()
        if self.reset:
            transport.abort()
            return
        transport.resume_reading()
        while await reader.read(65536):
            pass


async def test_counts_payload_in_one_iteration(raw: Raw, accepted: str) -> None:
    async with raw(accepted) as url:
        ws = await opened(WebSocket(url, close_timeout=0.2))
        amounts = []
        for data in ("", "a", "é", "\ud800", memoryview(b"abcdef")[1:3], Blob(["four"]), b"x" * 99):
            ws.send(data)
            amounts.append(ws.bufferedAmount)
        assert amounts == [0, 1, 3, 6, 8, 12, 111]
        await until(lambda: ws.bufferedAmount == 0)
        ws.close()


async def test_large_message_counts_whole_at_first_and_is_gone_later(
    raw: Raw, accepted: str
) -> None:
    peer = Stalling()
    async with raw(accepted, peer.talk) as url:
        ws = await opened(WebSocket(url, compression=None, close_timeout=0.2))
        ws.send(bytes(10_000_000))
        # The system has taken some of it already.
        assert ws.bufferedAmount == 10_000_000
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await until(lambda: 0 < ws.bufferedAmount < 10_000_000)
        stuck = ws.bufferedAmount
        ws.send("abc")
        assert ws.bufferedAmount == stuck + 3
        peer.read.set()
        seen = [stuck]
        async with asyncio.timeout(30):
            while seen[-1]:
                seen.append(ws.bufferedAmount)
                await asyncio.sleep(0)
        assert sorted(seen[1:], reverse=True) == seen[1:]
        ws.close()
        await ws.wait_closed(30)
        assert ws.bufferedAmount == 0


async def test_many_messages_are_counted_without_their_frames(raw: Raw, accepted: str) -> None:
    peer = Stalling()
    async with raw(accepted, peer.talk) as url:
        ws = await opened(WebSocket(url, compression=None, close_timeout=0.2))
        # Enough to fill what the system takes: what waits after it is not framed, or framed in
        # part, and either way counted by the octet.
        ws.send(bytes(8_000_000))
        await until(lambda: ws.bufferedAmount < 8_000_000)
        before = ws.bufferedAmount
        for _ in range(1000):
            ws.send("x")
        await asyncio.sleep(0.01)
        assert ws.bufferedAmount == before + 1000
        peer.read.set()
        await until(lambda: ws.bufferedAmount == 0)
        ws.close()


async def test_compression_does_not_change_it(raw: Raw, accepted: str) -> None:
    peer = Stalling()
    head = accepted[:-2] + "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
    async with raw(head, peer.talk) as url:
        ws = await opened(WebSocket(url, close_timeout=0.2))
        assert ws.extensions == "permessage-deflate"
        ws.send("x" * 1_000_000)
        assert ws.bufferedAmount == 1_000_000
        peer.read.set()
        await until(lambda: ws.bufferedAmount == 0)
        ws.close()


async def test_grows_after_close_and_never_falls(raw: Raw, accepted: str) -> None:
    async with raw(accepted) as url:
        ws = await opened(WebSocket(url, close_timeout=0.1))
        ws.close()
        ws.send("abc")
        assert ws.bufferedAmount == 3
        await asyncio.sleep(0.01)
        assert (ws.readyState, ws.bufferedAmount) == (2, 3)
        await ws.wait_closed(30)
        assert ws.bufferedAmount == 3
        ws.send(b"12")
        assert ws.bufferedAmount == 5
        await asyncio.sleep(0.01)
        assert ws.bufferedAmount == 5


@pytest.mark.parametrize("engine", ["auto", "asyncio"])
@pytest.mark.parametrize("close", [False, True])
async def test_what_was_never_sent_stays(
    close: bool, engine: Any, raw: Raw, accepted: str, logged: Logged
) -> None:
    peer = Stalling()
    async with raw(accepted, peer.talk) as url:
        ws = await opened(WebSocket(url, compression=None, close_timeout=5, engine=engine))
        log = logged(ws)
        for _ in range(4):
            ws.send(bytes(4_000_000))
        await until(lambda: ws.bufferedAmount < 16_000_000)
        if close:
            ws.close()
        stuck = ws.bufferedAmount
        assert stuck > 8_000_000
        peer.reset = True
        peer.read.set()
        await ws.wait_closed(30)
        assert ws.bufferedAmount == stuck
        assert log == [("close", 3, 1006, "", False)]


async def test_what_was_sent_before_the_end_does_not_stay(logged: Logged) -> None:
    async def take(peer: Any) -> None:
        await peer.recv()

    async with duologue.serve(take, "127.0.0.1", 0, max_size=None) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        ws = await opened(WebSocket(url, compression=None, close_timeout=0.2))
        log = logged(ws)
        ws.send(bytes(10_000_000))
        await ws.wait_closed(30)
        # Nobody asked in between.
        assert (ws.bufferedAmount, log) == (0, [("close", 3, 1000, "", True)])


async def test_more_than_may_wait_fails_the_connection(
    raw: Raw, accepted: str, logged: Logged
) -> None:
    peer = Stalling()
    async with raw(accepted, peer.talk) as url:
        ws = await opened(
            WebSocket(url, limits=Limits(max_outbox=1_000_000, close_timeout=0.5), compression=None)
        )
        log = logged(ws)
        # One message is always taken; so is all that the system takes.
        ws.send(bytes(10_000_000))
        await until(lambda: ws.bufferedAmount < 10_000_000)
        assert ws.readyState == 1
        for _ in range(3):
            ws.send(bytes(600_000))
        assert ws.bufferedAmount > 1_800_000
        peer.read.set()
        await ws.wait_closed(30)
        assert log == [("error", 3), ("close", 3, 1006, "", False)]
        assert "max_outbox of 1000000" in str(ws.failure)
        assert ws.bufferedAmount >= 1_800_000


async def test_send_from_another_thread(raw: Raw, accepted: str) -> None:
    received = asyncio.get_running_loop().create_future()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.set_result(await reader.readexactly(8))
        await reader.read()

    async with raw(accepted, talk) as url:
        ws = await opened(WebSocket(url, close_timeout=0.2))

        def work() -> None:
            ws.send("hi")

        await asyncio.to_thread(work)
        assert (await received)[0] == 0x81
        await until(lambda: ws.bufferedAmount == 0)
        ws.close()
