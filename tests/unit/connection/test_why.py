"""``ws.why`` with causes that only real sockets have, and what is made of it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
import struct
import sys
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trustme

import duologue
from duologue.connection import losses
from duologue.connection.ending import Cause, Ending
from duologue.sync.client import connect as sync_connect

from .rig import rig, turns

ENGINES = ["epoll", "asyncio"] if sys.platform == "linux" else ["asyncio"]


async def until(condition: Any) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.mark.virtual_time
async def test_the_line_that_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with rig() as r:
        r.ws.record(Cause.TLS_FAILED, "bad record mac")
        r.wire.lose()
    (line,) = (each for each in caplog.records if "ended" in each.message)
    assert line.levelno == logging.WARNING
    assert line.message.startswith("connection ended: TLS failed: bad record mac (look at ")
    caplog.clear()
    with rig() as r:
        r.peer.send_close(1000, "bye")
        r.say()
        r.wire.lose()
    (line,) = (each for each in caplog.records if "ended" in each.message)
    assert (line.levelno, line.message) == (
        logging.DEBUG,
        "connection ended: the peer closed the connection: 1000 (OK) bye",
    )


@pytest.mark.virtual_time
async def test_the_peer_hears_nothing_of_it() -> None:
    with rig(ping_interval=10, ping_timeout=5) as r:
        await asyncio.sleep(20)
        await r.heard()
        assert r.ws.why is not None and r.ws.why.detail not in r.peer.close_rcvd.reason  # type: ignore[union-attr]
        assert r.peer.close_rcvd.reason == "keepalive ping timeout"  # type: ignore[union-attr]


@pytest.mark.virtual_time
async def test_the_round_trips_before_a_ping_was_not_answered() -> None:
    with rig(ping_interval=10, ping_timeout=5) as r:
        for seconds in (0.5, 1, 2, 3, 4):
            await asyncio.sleep(10 - (asyncio.get_running_loop().time() % 10) + 0.001)
            await r.heard()
            await asyncio.sleep(seconds)
            r.say()
        await asyncio.sleep(30)
        why = r.ws.why
        assert why is not None and why.cause is Cause.PING_TIMEOUT
        assert why.round_trips == pytest.approx((1, 2, 3, 4), rel=0.02)
        assert "round trips before:" in why.detail
        assert (why.limit, why.value) == ("ping_timeout", 5)
        assert "ping_timeout" in why.advice


@pytest.mark.virtual_time
async def test_limits_are_named() -> None:
    with rig(max_size=1000) as r:
        r.text("x" * 2000)
        await turns()
        why = r.ws.why
        assert why is not None and (why.cause, why.limit, why.value) == (
            Cause.LIMIT, "max_size", 1000,
        )  # fmt: skip
        assert why.advice == "raise max_size, or have the peer keep to it"


class Middlebox:
    """Forwards octets, and resets connections that were silent for too long."""

    def __init__(self, port: int, idle: float) -> None:
        self.port = port
        self.idle = idle

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self.port)
        last = time.monotonic()

        async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            nonlocal last
            with contextlib.suppress(ConnectionError):
                while data := await source.read(65536):
                    last = time.monotonic()
                    target.write(data)

        copying = [
            asyncio.ensure_future(copy(reader, back)),
            asyncio.ensure_future(copy(there, writer)),
        ]
        while (left := last + self.idle - time.monotonic()) > 0:
            await asyncio.sleep(left)
        for each in copying:
            each.cancel()
        for each in (writer, back):
            # Lingering for no time is a reset.
            sock = each.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            each.transport.abort()


@contextlib.asynccontextmanager
async def through_a_middlebox(handler: Any, idle: float, engine: Any) -> AsyncIterator[str]:
    async with duologue.serve(handler, "127.0.0.1", 0, ping_interval=None, engine=engine) as server:
        box = Middlebox(server.sockets[0].getsockname()[1], idle)
        front = await asyncio.start_server(box.carry, "127.0.0.1", 0)
        async with front:
            yield f"ws://127.0.0.1:{front.sockets[0].getsockname()[1]}"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells how long it was silent")
@pytest.mark.parametrize("engine", ENGINES)
async def test_a_middlebox_that_cuts_idle_connections(
    engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(losses.SILENCES, "_hosts", type(losses.SILENCES._hosts)())
    ended: list[Ending | None] = []

    async def handler(ws: Any) -> None:
        await ws.wait_closed()
        ended.append(ws.why)

    async with through_a_middlebox(handler, 0.7, engine) as url:
        # Two that agree make a habit of it; a busy machine cuts some of them late.
        for number in range(10):
            ws = await duologue.connect(url, ping_interval=None, engine=engine)
            await ws.wait_closed()
            await until(lambda number=number: len(ended) > number)
            if number >= 2 and ws.why is not None and ws.why.cause is Cause.IDLE_CUT:
                break
    for why in (*ended, ws.why):
        assert why is not None and why.idle is not None and why.idle >= 0.6
    assert ws.why is not None and ws.why.cause is Cause.IDLE_CUT
    assert ws.why.period is not None and ws.why.period >= 0.6


# Without keepalive no timer is late: how long the peer's Close frame lay unread tells.
BLOCKED = [(engine, None) for engine in ENGINES] if sys.platform == "linux" else []


@pytest.mark.parametrize("engine, ping_interval", [(ENGINES[0], 0.2), *BLOCKED])
async def test_our_own_loop_was_blocked_and_the_peer_gave_up(
    engine: Any, ping_interval: float | None
) -> None:
    ended: asyncio.Future[Ending | None] = asyncio.get_running_loop().create_future()
    gave_up = threading.Event()

    class Blocking(duologue.Endpoint):
        def on_message(self, ws: Any, message: Any) -> None:
            assert gave_up.wait(20)
            time.sleep(1.3)

        def on_close(self, ws: Any, code: int, reason: str) -> None:
            ended.set_result(ws.why)

    def impatient(port: int) -> None:
        with sync_connect(
            f"ws://127.0.0.1:{port}", ping_interval=0.4, ping_timeout=0.4, close_timeout=0.2
        ) as ws:
            ws.send("block")
            ws.wait_closed()
            gave_up.set()

    async with duologue.serve(
        Blocking(), "127.0.0.1", 0, ping_interval=ping_interval, ping_timeout=20, engine=engine
    ) as server:
        peer = asyncio.to_thread(impatient, server.sockets[0].getsockname()[1])
        visiting = asyncio.ensure_future(peer)
        async with asyncio.timeout(40):
            why = await ended
            await visiting
    assert why is not None and why.cause is Cause.LOOP_BLOCKED
    assert why.blocked >= 1.2


async def test_a_full_inbox_is_no_blocked_loop() -> None:
    """What lay unread then did so since the handler was slow, which the loop is not."""
    ended: asyncio.Future[Ending | None] = asyncio.get_running_loop().create_future()
    gave_up = asyncio.Event()

    async def slow(ws: Any) -> None:
        await gave_up.wait()
        with contextlib.suppress(duologue.ConnectionClosed):
            while True:
                await ws.recv()
        ended.set_result(ws.why)

    def impatient(port: int) -> None:
        with sync_connect(f"ws://127.0.0.1:{port}", ping_interval=None, close_timeout=1.5) as ws:
            for _ in range(100):
                ws.send("x")
            ws.close(1011, "keepalive ping timeout")

    async with duologue.serve(slow, "127.0.0.1", 0, ping_interval=None, max_queue=2) as server:
        visit = asyncio.to_thread(impatient, server.sockets[0].getsockname()[1])
        async with asyncio.timeout(40):
            await visit
            gave_up.set()
            why = await ended
    assert why is not None and why.cause is Cause.PEER_CLOSED


async def test_threads_and_endpoints_are_told_too() -> None:
    told: list[Ending | None] = []

    class Listening(duologue.Endpoint):
        def on_close(self, ws: Any, code: int, reason: str) -> None:
            told.append(ws.why)

    def visit(port: int) -> Ending | None:
        ws = sync_connect(f"ws://127.0.0.1:{port}")
        ws.close(4000, "enough")
        return ws.why

    async with duologue.serve(Listening(), "127.0.0.1", 0) as server:
        why = await asyncio.to_thread(visit, server.sockets[0].getsockname()[1])
        await until(lambda: told)
    assert why is not None and why.cause is Cause.CLOSED_HERE
    assert told[0] is not None and told[0].cause is Cause.PEER_CLOSED
    assert "4000" in told[0].detail


class Spoiler:
    """Forwards octets, and changes one of each read on the way to the server once told to."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.spoils = False

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self.port)

        async def copy(source: asyncio.StreamReader, to: asyncio.StreamWriter, there: bool) -> None:
            with contextlib.suppress(ConnectionError):
                while data := await source.read(65536):
                    if there and self.spoils:
                        data = data[:-1] + bytes([data[-1] ^ 1])
                    to.write(data)
            to.close()

        await asyncio.gather(copy(reader, back, True), copy(there, writer, False))


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_tls_record_that_was_changed_on_its_way(
    engine: Any, caplog: pytest.LogCaptureFixture
) -> None:
    authority = trustme.CA()
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(ours)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    ended: asyncio.Future[Ending | None] = asyncio.get_running_loop().create_future()

    async def handler(ws: Any) -> None:
        with contextlib.suppress(duologue.ConnectionClosed):
            while True:
                await ws.send(await ws.recv())
        ended.set_result(ws.why)

    def visit(url: str, spoiler: Spoiler) -> Ending | None:
        ws = sync_connect(url, ssl=trusting)
        ws.send("whole")
        assert ws.recv() == "whole"
        spoiler.spoils = True
        ws.send("changed")
        with pytest.raises(duologue.ConnectionClosed):
            ws.recv(timeout=20)
        return ws.why

    async with duologue.serve(handler, "127.0.0.1", 0, ssl=ours, engine=engine) as server:
        spoiler = Spoiler(server.sockets[0].getsockname()[1])
        async with await asyncio.start_server(spoiler.carry, "127.0.0.1", 0) as front:
            url = f"wss://127.0.0.1:{front.sockets[0].getsockname()[1]}"
            async with asyncio.timeout(40):
                there = await asyncio.to_thread(visit, url, spoiler)
                why = await ended
    assert why is not None and why.cause is Cause.TLS_FAILED
    assert isinstance(why.exc, ssl.SSLError)
    assert why.advice == "something between the two ends changes what they send; find it"
    assert f"connection ended: {why} ({why.advice})" in caplog.messages
    # The engine tells the other end so by an alert; asyncio only ends the stream.
    assert there is not None
    causes = [Cause.TLS_FAILED] if engine == "epoll" else [Cause.TLS_FAILED, Cause.CONNECTION_LOST]
    assert there.cause in causes
