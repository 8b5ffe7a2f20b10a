"""One prepared message to many connections: made once, shared, merged, bounded."""

from __future__ import annotations

import asyncio
import logging
import random
import tracemalloc
from typing import Any

import pytest
import websockets.extensions.permessage_deflate as theirs
import websockets.frames
import websockets.streams
import wsproto
import wsproto.events
from wsproto.connection import Connection as Wsproto
from wsproto.connection import ConnectionType
from wsproto.extensions import PerMessageDeflate as TheirDeflate

from duologue.base.limits import Limits
from duologue.base.vocabulary import Opcode, Side, State
from duologue.connection.broadcast import broadcast
from duologue.connection.connection import Connection
from duologue.connection.ending import Cause
from duologue.connection.fanout import fan_out
from duologue.connection.prepared import Prepared
from duologue.connection.settings import Settings
from duologue.net.socket_link import SocketLink
from duologue.wire.deflate import PerMessageDeflate
from duologue.wire.frame import Frame

from .rig import Rig, rig, turns

pytestmark = pytest.mark.virtual_time

LONG = b'{"id": 1, "name": "alpha", "price": 12.5}' * 40


def codecs(local_no_takeover: bool, bits: int = 15, level: int = 1) -> tuple[list[Any], list[Any]]:
    """Codecs of a server and of its peer, which refuses what it could not know."""
    return (
        [PerMessageDeflate(False, local_no_takeover, 15, bits, {"level": level})],
        [PerMessageDeflate(local_no_takeover, False, bits, 15)],
    )


async def test_framed_once_for_all() -> None:
    with rig() as a, rig() as b, rig() as client_like:
        message = Prepared(Opcode.BINARY, b"x")
        assert fan_out(message, [a.ws, b.ws, client_like.ws]) is None
        assert message.frames == 1
        for r in (a, b, client_like):
            assert await r.heard_data() == [b"x"]


async def test_compressed_once_for_each_way_of_compressing() -> None:
    ways = [(True, 15, 1), (True, 15, 1), (True, 12, 1), (True, 12, 9), (False, 12, 9)]
    rigs = [Rig(extensions=codecs(*way)) for way in ways]
    plain = [Rig(), Rig()]
    message = Prepared(Opcode.BINARY, LONG)
    fan_out(message, [r.ws for r in [*rigs, *plain]])
    # A connection with context takeover that never compressed has nothing to lose.
    assert message.frames == 4
    await turns()
    assert len(bytes(rigs[0].wire.sent)) < len(LONG) / 5
    assert rigs[0].wire.sent == rigs[1].wire.sent
    assert rigs[3].wire.sent == rigs[4].wire.sent
    for r in [*rigs, *plain]:
        assert await r.heard_data() == [LONG]
        r.wire.lose()


async def test_short_messages_are_not_compressed() -> None:
    with rig(extensions=codecs(True)) as a, rig() as b:
        message = Prepared(Opcode.BINARY, b"x" * 1023)
        fan_out(message, [a.ws, b.ws])
        assert message.frames == 1
        await turns()
        assert a.wire.sent == b.wire.sent


async def test_clients_mask_each_for_itself() -> None:
    with rig(Side.CLIENT) as a, rig(Side.CLIENT) as b, rig() as server:
        message = Prepared(Opcode.BINARY, bytes(100))
        fan_out(message, [a.ws, b.ws, server.ws])
        assert message.frames == 1
        await turns()
        assert a.wire.sent != b.wire.sent
        for r in (a, b, server):
            assert await r.heard_data() == [bytes(100)]


async def test_a_connection_that_logs_frames_logs_these(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "duologue"), rig() as r:
        broadcast([r.ws], "seen")
        assert "> TEXT 'seen'" in caplog.text
        assert await r.heard_data() == [b"seen"]


@pytest.mark.parametrize("size", [1, 4000, 5000, 70_000])
async def test_messages_of_one_turn_go_out_together_and_in_order(size: int) -> None:
    with rig(write_limit=2**20) as r, rig(write_limit=2**20) as other:
        expected = []
        for number in range(20):
            own, shared = b"%d" % number * 3, bytes([number]) * size
            r.ws.send(own) if number % 3 == 0 else None
            broadcast([r.ws, other.ws], shared)
            expected += [own, shared] if number % 3 == 0 else [shared]
        assert await r.heard_data() == expected
        assert await other.heard_data() == [each for each in expected if len(each) == size]
        if size == 1:
            assert r.wire.writes == other.wire.writes == 1
        elif size == 4000:
            assert other.wire.writes < 5


async def test_control_frames_and_the_end_keep_their_place() -> None:
    with rig() as r:
        broadcast([r.ws], "a")
        r.ws.send_ping(b"ping")
        broadcast([r.ws], "b")
        broadcast([r.ws], "c")
        r.ws.start_close()
        broadcast([r.ws], "never")
        heard = await r.heard()
        assert [(each.opcode, bytes(each.data)) for each in heard[:-1]] == [
            (Opcode.TEXT, b"a"), (Opcode.PING, b"ping"), (Opcode.TEXT, b"b"), (Opcode.TEXT, b"c"),
        ]  # fmt: skip
        assert heard[-1].opcode is Opcode.CLOSE


async def test_a_random_mixture_arrives_in_order() -> None:
    source = random.Random(6455)
    rigs = [Rig(write_limit=source.choice([None, 10, 5000, 100_000])) for _ in range(5)]
    expected: list[list[bytes]] = [[] for _ in rigs]
    got: list[list[bytes]] = [[] for _ in rigs]
    for number in range(600):
        payload = b"%d " % number * source.choice([1, 5, 900, 1700, 20_000])
        chosen = [i for i in range(5) if source.random() < 0.7]
        if source.random() < 0.3:
            for i in chosen:
                rigs[i].ws.send(payload)
        else:
            broadcast([rigs[i].ws for i in chosen], payload)
        for i in chosen:
            expected[i].append(payload)
        if source.random() < 0.2:
            rigs[source.randrange(5)].wire.stuck = True
        if source.random() < 0.1:
            for i, r in enumerate(rigs):
                r.wire.drain()
                got[i] += await r.heard_data()
    for i, r in enumerate(rigs):
        r.wire.drain()
        await turns(10)
        got[i] += await r.heard_data()
        assert got[i] == expected[i]
        r.wire.lose()


@pytest.mark.parametrize("takeover", [True, False])
@pytest.mark.parametrize("bits", [9, 12, 15])
async def test_broadcasts_between_own_messages_leave_the_windows_right(
    takeover: bool, bits: int
) -> None:
    with rig(extensions=codecs(not takeover, bits)) as r:
        texts = [LONG[n:] + b"%d" % n for n in range(30)]
        for number, text in enumerate(texts):
            if number % 10 < 2 or number % 10 == 5:
                broadcast([r.ws], text)
            else:
                r.ws.send(text)
            if number % 10 == 7:
                r.ws.extensions[0].release()
        assert await r.heard_data() == texts


class TheirWebsockets:
    """The inflating end of websockets."""

    def __init__(self, no_takeover: bool) -> None:
        self.codec = theirs.PerMessageDeflate(no_takeover, False, 12, 15)

    def read(self, octets: bytes) -> list[bytes]:
        reader = websockets.streams.StreamReader()
        reader.feed_data(octets)
        found = []
        while reader.buffer:
            parsing = websockets.frames.Frame.parse(
                reader.read_exact, mask=False, extensions=[self.codec]
            )
            with pytest.raises(StopIteration) as stop:
                next(parsing)
            found.append(bytes(stop.value.value.data))
        return found


class TheirWsproto:
    """The inflating end of wsproto."""

    def __init__(self, no_takeover: bool) -> None:
        codec = TheirDeflate(server_no_context_takeover=no_takeover, server_max_window_bits=12)
        codec._enabled = True
        self.end = Wsproto(ConnectionType.CLIENT, [codec])

    def read(self, octets: bytes) -> list[bytes]:
        self.end.receive_data(octets)
        found, whole = [], b""
        for event in self.end.events():
            assert isinstance(event, wsproto.events.BytesMessage)
            whole += event.data
            if event.message_finished:
                found.append(whole)
                whole = b""
        return found


@pytest.mark.parametrize("peer", [TheirWebsockets, TheirWsproto])
@pytest.mark.parametrize("no_takeover", [True, False])
async def test_other_implementations_read_it(peer: Any, no_takeover: bool) -> None:
    ours = PerMessageDeflate(False, no_takeover, 15, 12, {"level": 1})
    reader = peer(no_takeover)
    with rig(extensions=([ours], [])) as r, rig(extensions=codecs(no_takeover, 12)) as other:
        texts = [LONG[n:] * 3 for n in range(16)]
        for number, text in enumerate(texts):
            if number % 4 == 3:
                r.ws.send(text)
            else:
                broadcast([other.ws, r.ws], text)
        await turns()
        assert reader.read(bytes(r.wire.sent)) == texts


async def test_those_that_cannot_take_it_share_the_message() -> None:
    rigs = [Rig(limits=Limits(max_outbox=2**24)) for _ in range(200)]
    for r in rigs:
        r.clog()
    await turns()
    payload = bytes(2**20)
    tracemalloc.start()
    try:
        broadcast([r.ws for r in rigs], payload)
        await turns()
        assert tracemalloc.get_traced_memory()[1] < 3 * 2**20
    finally:
        tracemalloc.stop()
    for r in rigs[:3]:
        r.wire.drain()
        assert (await r.heard_data())[-1] == payload
    for r in rigs:
        assert r.ws.state is State.OPEN
        r.wire.lose()


async def test_a_slow_peer_is_given_up_by_what_waits_while_others_get_everything() -> None:
    limits = Limits(max_outbox=10_000)
    with rig(limits=limits) as slow, rig(limits=limits) as fast, rig(limits=limits) as waiting:
        slow.clog()
        waiting.clog()
        await turns()
        fast_before = len(await fast.heard_data())
        for number in range(20):
            broadcast([slow.ws, fast.ws], bytes([number]) * 1000)
            if number < 8:
                broadcast([waiting.ws], bytes([number]) * 1000)
        await turns()
        assert slow.ws.close_sent.code == 1013
        assert slow.ws.ending is not None and slow.ws.ending.cause is Cause.OUTBOX_FULL
        assert "max_outbox of 10000" in slow.ws.ending.detail
        assert len(await fast.heard_data()) - fast_before == 20
        assert fast.ws.state is waiting.ws.state is State.OPEN
        waiting.wire.drain()
        assert (await waiting.heard_data())[1:] == [bytes([n]) * 1000 for n in range(8)]


async def test_other_things_are_no_connections() -> None:
    with pytest.raises(TypeError, match="connections"):
        broadcast([object()], "x")  # type: ignore[list-item]


class Closing:
    """An extension that closes another connection and fails."""

    name = "x-closing"

    def __init__(self, other: Connection, how: str) -> None:
        self.other = other
        self.how = how

    def encode(self, frame: Frame) -> Frame:
        if frame.opcode is Opcode.TEXT:
            if self.how == "abort":
                self.other.transport.abort()
            else:
                self.other.start_close()
            raise LookupError("can't encode")
        return frame


@pytest.mark.parametrize("how", ["close", "abort"])
async def test_a_connection_closed_in_the_middle_is_passed_over(
    how: str, caplog: pytest.LogCaptureFixture
) -> None:
    with rig() as before, rig() as after, rig() as last:
        with rig(extensions=([Closing(after.ws, how)], [])) as bad:
            broadcast([before.ws, bad.ws, after.ws, last.ws], "x")
            assert caplog.text.count("skipped broadcast") == 1
            bad.ws.extensions = []
        assert await before.heard_data() == await last.heard_data() == [b"x"]
        assert await after.heard_data() == ([] if how == "close" else [b"x"])
        await turns()
        assert after.ws.state is not State.OPEN
    caplog.clear()


async def test_a_log_handler_may_close_connections() -> None:
    class Strict(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            for r in (good, bad):
                r.ws.start_close()

    class Broken:
        name = "x-broken"

        def encode(self, frame: Frame) -> Frame:
            if frame.opcode is Opcode.TEXT:
                raise LookupError("can't encode")
            return frame

    with rig(extensions=([Broken()], [])) as bad, rig() as good:
        handler = Strict(logging.WARNING)
        logger = logging.getLogger("duologue.server")
        logger.addHandler(handler)
        try:
            broadcast([bad.ws, good.ws], "1")
            broadcast([bad.ws, good.ws], "2")
        finally:
            logger.removeHandler(handler)
        assert await good.heard_data() == [b"1"]
        assert good.ws.state is bad.ws.state is State.CLOSING


@pytest.mark.skipif(not hasattr(asyncio, "SelectorEventLoop"), reason="needs sockets")
async def test_large_messages_are_shared_down_to_the_socket() -> None:
    """1 MiB to 300 peers that read nothing takes 1 MiB, not 300."""
    import socket

    settings = Settings.resolve(Side.SERVER, Limits(), ping_interval=None)
    pairs = [socket.socketpair() for _ in range(300)]
    connections = []
    for ours, _ in pairs:
        ours.setblocking(False)
        link = SocketLink(asyncio.get_running_loop(), ours)
        connection = Connection(settings)
        connection.open(link)
        link.begin()
        connections.append(connection)
    tracemalloc.start()
    try:
        for _ in range(2):
            broadcast(connections, bytes(2**20))
            await turns()
        assert tracemalloc.get_traced_memory()[1] < 6 * 2**20
    finally:
        tracemalloc.stop()
    for connection in connections:
        connection.transport.abort()  # type: ignore[union-attr]
    await turns()
    for _, peer in pairs:
        peer.close()
    assert all(connection.state is State.CLOSED for connection in connections)
