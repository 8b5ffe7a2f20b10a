"""No connection has a turn of the loop for itself: so many frames, then the others."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest

import duologue
from duologue import EventLoop, serve
from duologue.base.exceptions import ConnectionClosedOK
from duologue.base.vocabulary import State
from duologue.connection.connection import Callbacks, Connection
from duologue.connection.endpoint import Endpoint

from .rig import Rig, rig, turns

FRAMES = 512  # a turn of one connection
FLOOD = 5 * FRAMES + 100


class Notes(Endpoint):
    """Keeps what it is told, and does ``then`` with each message."""

    def __init__(self, then: Callable[[Any, Any], object] = lambda ws, message: None) -> None:
        self.told: list[Any] = []
        self.then = then

    def on_message(self, ws: Any, message: Any) -> None:
        self.told.append(message)
        self.then(ws, message)

    def on_ping(self, ws: Any, payload: bytes) -> None:
        self.told.append(payload)

    def on_close(self, ws: Any, code: int, reason: str) -> None:
        self.told.append(code)


def served(endpoint: Endpoint) -> type[Connection]:
    """A kind of connection that calls the endpoint."""

    class Served(Connection):
        def __init__(self, settings: Any) -> None:
            super().__init__(settings)
            self.serve_endpoint(Callbacks(endpoint, Endpoint), lambda connection: None)

    return Served


def flood(r: Rig, frames: int = FLOOD) -> list[str]:
    """Deliver that many messages in one read; return them."""
    texts = [str(number) for number in range(frames)]
    r.text(*texts)
    return texts


async def test_a_read_has_only_so_many_callbacks() -> None:
    endpoint = Notes()
    with rig(connect=served(endpoint)) as r:
        texts = flood(r)
        for turn in range(1, 6):
            assert endpoint.told == texts[: turn * FRAMES]
            assert r.wire.paused
            await asyncio.sleep(0)
        assert endpoint.told == texts
        assert not r.wire.paused


@pytest.mark.parametrize("max_queue", [16, None])
async def test_a_task_has_only_so_many_messages_a_turn(max_queue: int | None) -> None:
    """Woken once, it takes all that there is without waiting."""
    got: list[Any] = []

    async def handler(ws: Connection) -> None:
        async for message in ws:
            got.append(message)

    with rig(max_queue=max_queue) as r:
        task = asyncio.create_task(handler(r.ws))
        await turns()
        texts: list[str] = []
        asyncio.get_running_loop().call_soon(lambda: texts.extend(flood(r)))
        await asyncio.sleep(0)
        most, turn = 0, 0
        while len(got) < FLOOD:
            before = len(got)
            await asyncio.sleep(0)
            most = max(most, len(got) - before)
            turn += 1
            assert turn < 50
        assert got == texts
        assert most <= FRAMES
        assert turn >= FLOOD // FRAMES
        await turns()
        assert not r.wire.paused
        r.peer.send_close(1000)
        r.say()
        r.wire.lose()
        await task


async def test_control_frames_count_too() -> None:
    endpoint = Notes()
    with rig(connect=served(endpoint)) as r:
        for number in range(FRAMES + 1):
            r.peer.send_ping(b"%d" % number)
        r.say()
        assert len(endpoint.told) == FRAMES
        await asyncio.sleep(0)
        assert endpoint.told == [b"%d" % number for number in range(FRAMES + 1)]


async def test_fragments_count_too() -> None:
    endpoint = Notes()
    with rig(connect=served(endpoint)) as r:
        r.fragments(b"x", *[b"y"] * (FRAMES + 9), b"z", fin=True)
        assert endpoint.told == []
        await asyncio.sleep(0)
        assert endpoint.told == ["x" + "y" * (FRAMES + 9) + "z"]


async def test_what_comes_meanwhile_waits_behind_it() -> None:
    endpoint = Notes()
    with rig(connect=served(endpoint)) as r:
        texts = flood(r)
        r.text("late")
        assert len(endpoint.told) == FRAMES
        await turns(7)
        assert endpoint.told == [*texts, "late"]


async def test_the_end_of_the_stream_waits_behind_it() -> None:
    endpoint = Notes()
    with rig(connect=served(endpoint)) as r:
        texts = flood(r)
        r.wire.eof()
        assert r.ws.state is State.OPEN
        await turns(7)
        assert endpoint.told == texts
        assert r.ws.state is State.CLOSED
        r.wire.lose()
        assert endpoint.told == [*texts, 1006]


async def test_the_end_of_the_link_waits_behind_it() -> None:
    endpoint = Notes()
    with rig(connect=served(endpoint)) as r:
        texts = flood(r)
        r.wire.lose(OSError("reset"))
        assert len(endpoint.told) == FRAMES
        await turns(7)
        assert endpoint.told == [*texts, 1006]


async def test_a_task_gets_all_that_came_before_the_end_of_the_link() -> None:
    with rig(max_queue=None) as r:
        texts = flood(r, 3 * FRAMES)
        r.peer.send_close(1000)
        r.say()
        r.wire.lose()
        assert [await r.ws.recv() for _ in texts] == texts
        with pytest.raises(ConnectionClosedOK):
            await r.ws.recv()


async def test_closing_in_the_middle_finds_the_peers_close_frame() -> None:
    endpoint = Notes(lambda ws, message: ws.start_close(3000) if message == "600" else None)
    with rig(connect=served(endpoint)) as r:
        texts = flood(r, 2000)
        r.peer.send_close(3000)
        r.say()
        await turns(7)
        r.wire.lose()
        assert endpoint.told == [*texts, 3000]


async def test_an_endpoint_that_raises_in_the_middle_ends_its_connection() -> None:
    def then(ws: Any, message: Any) -> None:
        if message == "600":
            raise LookupError(message)

    endpoint = Notes(then)
    with rig(connect=served(endpoint)) as r:
        flood(r)
        await turns(7)
        assert r.ws.close_sent is not None
        assert r.ws.close_sent.code == 1011


# -- with sockets


def uvloop_factory() -> asyncio.AbstractEventLoop:
    uvloop = pytest.importorskip("uvloop")
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


LOOPS = {"asyncio": asyncio.SelectorEventLoop, "uvloop": uvloop_factory, "engine": EventLoop}
REQUEST = (
    b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def message(payload: bytes) -> bytes:
    return bytes([0x82, 0x80 | len(payload), 0, 0, 0, 0]) + payload


@pytest.mark.parametrize("engine", ["epoll", "asyncio"])
@pytest.mark.parametrize("loop_factory", LOOPS.values(), ids=LOOPS)
@pytest.mark.parametrize("kind", ["endpoint", "handler"])
async def test_one_flooder_beside_99_polite_connections(
    loop_factory: Callable[[], Any], engine: Any, kind: str
) -> None:
    """All polite messages are answered while the flood of one read has only begun."""
    order: list[bytes] = []
    opened = asyncio.Semaphore(0)

    class Server(duologue.Endpoint):
        def on_open(self, ws: Any) -> None:
            opened.release()

        def on_message(self, ws: Any, message: Any) -> None:
            order.append(message)
            ws.send(message)

    async def handler(ws: Any) -> None:
        opened.release()
        async for each in ws:
            order.append(each)
            await ws.send(each)

    serving: Any = Server() if kind == "endpoint" else handler
    async with serve(serving, "127.0.0.1", 0, engine=engine, compression=None) as server:
        address = server.sockets[0].getsockname()
        sockets = []
        try:
            for _ in range(100):
                sockets.append(socket.create_connection(address, timeout=10))
                sockets[-1].sendall(REQUEST)
                await opened.acquire()
            flooder, *polite = sockets
            # All of it is there before the server looks: nothing here gives the loop a turn.
            flooder.sendall(message(b"!") * 30_000)
            for each in polite:
                each.sendall(message(b"?"))
            while order.count(b"?") < len(polite):
                await asyncio.sleep(0.001)
            last = max(number for number, each in enumerate(order) if each == b"?")
            assert order[:last].count(b"!") <= 4 * FRAMES
            flooder.setblocking(False)
            while order.count(b"!") < 30_000:
                try:
                    flooder.recv(1 << 20)
                except BlockingIOError:
                    pass
                await asyncio.sleep(0.001)
        finally:
            for each in sockets:
                each.close()
