"""Endpoints: an application as callbacks, each at its moment, without a task."""

from __future__ import annotations

import asyncio
import logging
import pickle
from typing import Any

import pytest

import duologue
from duologue.asyncio.client import connect
from duologue.asyncio.server import Server, serve
from duologue.connection.connection import Callbacks, Connection
from duologue.connection.ending import Cause
from duologue.connection.settings import Settings
from duologue.exceptions import ConnectionClosedError
from duologue.frames import Opcode

from .rig import rig, turns


class Recorder(duologue.Endpoint):
    """Keeps what it is told, and echoes."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.closed = asyncio.Event()

    def on_open(self, ws: Any) -> None:
        self.told.append("open")

    def on_message(self, ws: Any, message: Any) -> None:
        self.told.append(message)
        ws.send(message)

    def on_ping(self, ws: Any, payload: bytes) -> None:
        self.told.append(("ping", payload))

    def on_pong(self, ws: Any, payload: bytes) -> None:
        self.told.append(("pong", payload))

    def on_close(self, ws: Any, code: int, reason: str) -> None:
        self.told.append(("close", code, reason, ws.ending.cause))
        self.closed.set()


def connected_to(endpoint: duologue.Endpoint) -> Any:
    """Return what makes a connection that calls an endpoint."""

    class Connected(Connection):
        def __init__(self, settings: Settings) -> None:
            super().__init__(settings)
            self.serve_endpoint(Callbacks(endpoint, duologue.Endpoint), lambda _: None)

    return Connected


def address(server: Server) -> str:
    host, port = server.sockets[0].getsockname()[:2]
    return f"ws://{host}:{port}/"


@pytest.mark.parametrize("engine", ["auto", "asyncio"])
async def test_the_life_of_a_connection(engine: Any) -> None:
    endpoint = Recorder()
    async with serve(endpoint, "127.0.0.1", 0, engine=engine) as server:
        async with connect(address(server)) as ws:
            await ws.send("text")
            await ws.send(b"binary")
            await ws.send(["a", "é", "b"])
            await ws.send([b"c", b""])
            assert [await ws.recv() for _ in range(4)] == ["text", b"binary", "aéb", b"c"]
            await (await ws.ping(b"?"))
            await ws.pong(b"!")
            await ws.close(3000, "bye")
        await endpoint.closed.wait()
        assert server.connections == set()
        assert server.all_connections == {}
    assert endpoint.told == [
        "open",
        "text",
        b"binary",
        "aéb",
        b"c",
        ("ping", b"?"),
        ("pong", b"!"),
        ("close", 3000, "bye", Cause.PEER_CLOSED),
    ]


async def test_no_task_for_a_connection() -> None:
    async with serve(Recorder(), "127.0.0.1", 0) as server:
        before = len(asyncio.all_tasks())
        clients = [await connect(address(server)) for _ in range(5)]
        assert len(asyncio.all_tasks()) == before
        assert len(server.connections) == 5
        assert list(server.all_connections.values()) == [None] * 5
        for client in clients:
            await client.close()


async def test_sends_of_one_callback_go_out_together() -> None:
    class Burst(duologue.Endpoint):
        def on_message(self, ws: Any, message: Any) -> None:
            for number in range(3):
                ws.send(str(number))

    async with serve(Burst(), "127.0.0.1", 0) as server, connect(address(server)) as ws:
        await ws.send("go")
        assert [await ws.recv() for _ in range(3)] == ["0", "1", "2"]


@pytest.mark.parametrize("moment", ["on_open", "on_message", "on_ping", "on_pong"])
async def test_an_exception_closes_with_1011_and_is_logged(
    moment: str, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(self: Any, ws: Any, *arguments: Any) -> None:
        raise LookupError("oops")

    endings = []

    def on_close(self: Any, ws: Any, code: int, reason: str) -> None:
        endings.append((code, ws.ending.cause))

    kind = type("Failing", (duologue.Endpoint,), {moment: fail, "on_close": on_close})
    with caplog.at_level(logging.ERROR, "duologue.server"):
        async with serve(kind(), "127.0.0.1", 0) as server:
            async with connect(address(server)) as ws:
                with pytest.raises(ConnectionClosedError) as raised:
                    if moment == "on_message":
                        await ws.send("x")
                    elif moment == "on_ping":
                        await ws.ping()
                    elif moment == "on_pong":
                        await ws.pong()
                    await ws.recv()
    assert raised.value.rcvd is not None
    assert raised.value.rcvd.code == 1011
    assert [record.message for record in caplog.records] == ["endpoint failed"]
    assert endings == [(1011, Cause.HANDLER_RAISED)]


async def test_an_exception_in_on_close_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    class Failing(duologue.Endpoint):
        def on_close(self, ws: Any, code: int, reason: str) -> None:
            raise LookupError("oops")

    with caplog.at_level(logging.ERROR, "duologue.server"):
        async with serve(Failing(), "127.0.0.1", 0) as server:
            async with connect(address(server)):
                pass
        assert server.all_connections == {}
    assert [record.message for record in caplog.records] == ["endpoint failed"]


async def test_on_drain() -> None:
    drained = asyncio.Event()

    class Flood(duologue.Endpoint):
        def on_open(self, ws: Any) -> None:
            ws.send(b"x" * 8_000_000)

        def on_drain(self, ws: Any) -> None:
            drained.set()

    async with serve(Flood(), "127.0.0.1", 0, compression=None) as server:
        async with connect(address(server), max_size=None) as ws:
            assert len(await ws.recv()) == 8_000_000
            await drained.wait()


async def test_shutdown_tells_every_connection() -> None:
    endpoint = Recorder()
    async with serve(endpoint, "127.0.0.1", 0) as server:
        clients = [await connect(address(server)) for _ in range(3)]
    assert [client.close_code for client in clients] == [1001] * 3
    closes = [entry for entry in endpoint.told if entry[0] == "close"]
    assert closes == [("close", 1001, "", Cause.SHUTDOWN)] * 3


async def test_a_fault_ends_it() -> None:
    endpoint = Recorder()
    async with serve(endpoint, "127.0.0.1", 0, max_size=10) as server:
        async with connect(address(server), compression=None) as ws:
            await ws.send("fine")
            assert await ws.recv() == "fine"
            await ws.send("x" * 11)
            with pytest.raises(ConnectionClosedError):
                await ws.recv()
        await endpoint.closed.wait()
    assert endpoint.told[-1][0] == "close"
    assert endpoint.told[-1][3] is Cause.LIMIT


async def test_too_many_fragments() -> None:
    endpoint = Recorder()
    async with serve(endpoint, "127.0.0.1", 0, max_size=1000) as server:
        async with connect(address(server)) as ws:
            with pytest.raises(ConnectionClosedError):
                await ws.send([""] * 100)
                await ws.recv()
        await endpoint.closed.wait()
    assert endpoint.told[-1][3] is Cause.LIMIT


class Frames(duologue.Endpoint):
    """Keeps the frames that it is shown."""

    def __init__(self) -> None:
        self.frames: list[Any] = []
        self.messages: list[Any] = []
        self.views: list[memoryview] = []
        self.closed = asyncio.Event()
        self.ending: Any = None

    def on_frame(self, ws: Any, opcode: Opcode, fin: bool, view: memoryview) -> None:
        assert view.readonly
        self.frames.append((opcode, fin, bytes(view)))
        self.views.append(view)

    def on_message(self, ws: Any, message: Any) -> None:
        self.messages.append(message)

    def on_ping(self, ws: Any, payload: bytes) -> None:
        self.frames.append(payload)

    def on_close(self, ws: Any, code: int, reason: str) -> None:
        self.ending = ws.ending
        self.closed.set()


@pytest.mark.parametrize("engine", ["auto", "asyncio"])
@pytest.mark.parametrize("compression", [None, "deflate"])
async def test_frames_are_shown_instead_of_messages(engine: Any, compression: Any) -> None:
    endpoint = Frames()
    large = bytes(range(256)) * 1200
    options: Any = {"engine": engine, "compression": compression}
    async with serve(endpoint, "127.0.0.1", 0, **options) as server:
        async with connect(address(server), compression=compression) as ws:
            await ws.send("text é")
            await ws.send(b"")
            await ws.send(large)

            async def parts() -> Any:
                yield "a"
                await (await ws.ping(b"between"))
                yield "é"

            await ws.send(parts())
        await endpoint.closed.wait()
    assert endpoint.messages == []
    assert endpoint.frames == [
        (Opcode.TEXT, True, "text é".encode()),
        (Opcode.BINARY, True, b""),
        (Opcode.BINARY, True, large),
        (Opcode.TEXT, False, b"a"),
        b"between",
        (Opcode.CONT, False, "é".encode()),
        (Opcode.CONT, True, b""),
    ]
    for view in endpoint.views:
        with pytest.raises(ValueError, match="released"):
            bytes(view)


@pytest.mark.parametrize(
    ("octets", "code"),
    [
        (b"\x81\x83\0\0\0\0\xff\xfe\xfd", 1007),
        (b"\x01\x81\0\0\0\0a\x80\x81\0\0\0\0\xff", 1007),
        (b"\x82\x85\0\0\0\0abcde", 1009),
        (b"\x02\x83\0\0\0\0abc\x80\x82\0\0\0\0de", 1009),
        (b"\x80\x81\0\0\0\0a", 1002),
    ],
)
async def test_frames_are_judged_before_they_are_shown(octets: bytes, code: int) -> None:
    endpoint = Frames()
    with rig(connect=connected_to(endpoint), max_size=4) as r:
        r.wire.feed(octets)
        (close,) = await r.heard()
        assert close.opcode is Opcode.CLOSE
        assert int.from_bytes(close.data[:2]) == code
    assert len(endpoint.frames) == (octets[0] < 0x80)


async def test_any_number_of_fragments_is_shown() -> None:
    endpoint = Frames()
    with rig(connect=connected_to(endpoint), max_size=100) as r:
        r.wire.feed(b"\x02\x80\0\0\0\0" + b"\x00\x80\0\0\0\0" * 1000)
        await turns(50)
        assert len(endpoint.frames) == 1001
        assert r.ws.ending is None


async def test_what_is_made_from_a_view_keeps_its_octets() -> None:
    class Keeps(Frames):
        def on_frame(self, ws: Any, opcode: Opcode, fin: bool, view: memoryview) -> None:
            self.frames.append((view[1:], pickle.PickleBuffer(view)))

    endpoint = Keeps()
    with rig(connect=connected_to(endpoint)) as r:
        for octets in (b"abc", b"def"):
            r.peer.send_binary(octets)
            r.say()
        assert r.ws.ending is None
    assert [bytes(part) for part, _ in endpoint.frames] == [b"bc", b"ef"]
    assert [bytes(whole) for _, whole in endpoint.frames] == [b"abc", b"def"]


async def test_on_frame_that_raises_closes_with_1011(caplog: pytest.LogCaptureFixture) -> None:
    class Fails(Frames):
        def on_frame(self, ws: Any, opcode: Opcode, fin: bool, view: memoryview) -> None:
            self.views.append(view)
            raise ZeroDivisionError

    endpoint = Fails()
    with rig(connect=connected_to(endpoint)) as r:
        r.wire.feed(b"\x82\x81\0\0\0\0a")
        (close,) = await r.heard()
        assert int.from_bytes(close.data[:2]) == 1011
    assert isinstance(endpoint.ending.exc, ZeroDivisionError)
    with pytest.raises(ValueError, match="released"):
        bytes(endpoint.views[0])


@pytest.mark.parametrize("keep", [False, True])
async def test_the_request_stays_only_when_asked_for(keep: bool) -> None:
    heads: dict[str, Any] = {}

    class Looks(duologue.Endpoint):
        keep_request = keep

        def on_open(self, ws: Any) -> None:
            heads["open"] = ws.request, ws.response

        def on_message(self, ws: Any, message: Any) -> None:
            heads["message"] = ws.request, ws.response
            ws.send(message)

    async with serve(Looks(), "127.0.0.1", 0) as server:
        async with connect(address(server) + "?x", additional_headers={"X-Y": "z"}) as ws:
            await ws.send("")
            await ws.recv()
            assert heads["open"][0].path == "/?x"
            assert heads["open"][0].headers["X-Y"] == "z"
            assert heads["open"][1] == ws.response
    assert heads["message"] == (heads["open"] if keep else (None, None))


async def test_a_callback_that_nobody_would_await_is_refused() -> None:
    class Awaiting(duologue.Endpoint):
        async def on_message(self, ws: Any, message: Any) -> None:  # type: ignore[override]
            await ws.send(message)

    with pytest.raises(TypeError, match="on_message must be a plain function"):
        serve(Awaiting(), "127.0.0.1", 0)
    with pytest.raises(TypeError, match="on_message must be a plain function"):
        duologue.App().websocket("/")(Awaiting)
