"""Requests as handlers see them: bodies, answers whole and in parts, upgrades, and their ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from duologue import Endpoint, Limits, ServerConnection, State, connect, serve
from duologue.exceptions import (
    BodyTooLarge,
    ClientDisconnected,
    ConcurrencyError,
    InvalidState,
    InvalidStatus,
)
from duologue.protocol.incoming import MAX_SKIPPED
from duologue.server.exchanges import HTTPExchange
from duologue.server.terms import ConnectionOptions
from duologue.wire.headers import Headers
from duologue.wire.http11 import Response

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
UPGRADE = (
    b"GET /x?y HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def ok(text: str = "ok") -> Response:
    return Response(200, "OK", Headers(), text.encode())


def post(body: bytes, *headers: str) -> bytes:
    lines = "".join(f"{line}\r\n" for line in headers)
    return f"POST / HTTP/1.1\r\nHost: h\r\n{lines}\r\n".encode() + body


class Peer:
    """An HTTP client of octets."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self, octets: bytes) -> tuple[str, bytes]:
        """Send a request; return the head of the answer and its body."""
        self.writer.write(octets)
        return await self.answer()

    async def answer(self) -> tuple[str, bytes]:
        head = (await self.within(self.reader.readuntil(b"\r\n\r\n"))).decode()
        length = [line for line in head.split("\r\n") if line.lower().startswith("content-length")]
        if length:
            return head, await self.within(self.reader.readexactly(int(length[0].split(":")[1])))
        return head, b""

    async def rest(self) -> bytes:
        return await self.within(self.reader.read())

    async def within(self, awaitable: Any) -> Any:
        return await asyncio.wait_for(awaitable, 20)


@contextlib.asynccontextmanager
async def serving(handler: Any, **options: Any) -> AsyncIterator[Any]:
    """Serve with ``handler``; give a function that connects."""
    peers = []
    async with serve(None, "127.0.0.1", 0, respond=handler, **options) as server:  # type: ignore[arg-type]

        async def peer() -> Peer:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
            peers.append(writer)
            return Peer(reader, writer)

        peer.server = server  # type: ignore[attr-defined]
        yield peer
        for writer in peers:
            writer.close()


@pytest.fixture(params=["auto", "asyncio"])
def engine(request: pytest.FixtureRequest) -> Any:
    return request.param


async def test_facts(engine: Any) -> None:
    seen: list[HTTPExchange] = []

    async def handler(exchange: HTTPExchange) -> None:
        seen.append(exchange)
        await exchange.respond(ok())

    async with serving(handler, engine=engine) as connected:
        peer = await connected()
        head, body = await peer.ask(GET)
        assert head.startswith("HTTP/1.1 200 OK\r\n")
        assert "Server: " in head
        assert body == b"ok"
        (exchange,) = seen
        assert (exchange.scheme, exchange.http_version, exchange.asks_upgrade) == (
            "http",
            "1.1",
            False,
        )
        assert exchange.client == peer.writer.get_extra_info("sockname")
        assert exchange.server == peer.writer.get_extra_info("peername")
        assert exchange.answered
        exchange.client = ("10.0.0.1", 1)
        assert exchange.client == ("10.0.0.1", 1)


async def test_pipelined_requests_are_answered_in_order(engine: Any) -> None:
    late = asyncio.Event()

    async def handler(exchange: HTTPExchange) -> None:
        if exchange.request.path == "/0":
            await late.wait()
        await exchange.respond(ok(exchange.request.path))

    async with serving(handler, engine=engine) as connected:
        peer = await connected()
        peer.writer.write(b"".join(GET.replace(b"/ ", b"/%d " % n) for n in range(4)))
        await asyncio.sleep(0)
        late.set()
        assert [(await peer.answer())[1] for _ in range(4)] == [b"/0", b"/1", b"/2", b"/3"]


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_is_read_in_parts(chunked: bool, engine: Any) -> None:
    async def handler(exchange: HTTPExchange) -> None:
        parts = []
        while part := await exchange.read():
            parts.append(part)
        assert await exchange.read() == b""
        await exchange.respond(ok(b"".join(parts).decode()))

    async with serving(handler, engine=engine) as connected:
        peer = await connected()
        if chunked:
            peer.writer.write(post(b"3\r\nab", "Transfer-Encoding: chunked"))
            rest = b"c\r\n2\r\nde\r\n0\r\n\r\n"
        else:
            peer.writer.write(post(b"ab", "Content-Length: 5"))
            rest = b"cde"
        await asyncio.sleep(0.01)
        peer.writer.write(rest + GET)
        assert (await peer.answer())[1] == b"abcde"
        assert (await peer.answer())[1] == b""


async def test_continue_is_sent_at_the_first_read() -> None:
    async def handler(exchange: HTTPExchange) -> None:
        await exchange.respond(ok((await exchange.read()).decode()))

    async with serving(handler) as connected:
        peer = await connected()
        peer.writer.write(post(b"", "Content-Length: 2", "Expect: 100-continue"))
        assert await peer.within(peer.reader.readuntil(b"\r\n\r\n")) == (
            b"HTTP/1.1 100 Continue\r\n\r\n"
        )
        peer.writer.write(b"hi")
        assert (await peer.answer())[1] == b"hi"


async def test_without_a_read_nothing_is_expected_to_continue() -> None:
    async def handler(exchange: HTTPExchange) -> None:
        await exchange.respond(ok())

    async with serving(handler) as connected:
        peer = await connected()
        head, _ = await peer.ask(post(b"", "Content-Length: 2", "Expect: 100-continue"))
        # Whether two octets or a request follow, nobody knows.
        assert "Connection: close" in head
        assert await peer.rest() == b""


@pytest.mark.parametrize("size", [10, MAX_SKIPPED + 300_000])
async def test_an_unread_body_is_skipped_up_to_a_bound(size: int, engine: Any) -> None:
    async def handler(exchange: HTTPExchange) -> None:
        await exchange.respond(ok())

    async with serving(handler, engine=engine) as connected:
        peer = await connected()
        head, _ = await peer.ask(post(b"x" * size, f"Content-Length: {size}"))
        if size == 10:
            assert "Connection" not in head
            assert (await peer.ask(GET))[1] == b"ok"
        else:
            assert "Connection: close" in head
            peer.writer.write_eof()
            assert await peer.rest() == b""


async def test_too_long_an_unread_chunked_body_ends_the_connection() -> None:
    async def handler(exchange: HTTPExchange) -> None:
        await exchange.respond(ok())

    async with serving(handler) as connected:
        peer = await connected()
        await peer.ask(post(b"", "Transfer-Encoding: chunked"))
        with contextlib.suppress(ConnectionError):
            for _ in range(200):
                peer.writer.write(b"1000\r\n" + b"x" * 4096 + b"\r\n")
                await peer.writer.drain()
            assert await peer.rest() == b""


@pytest.mark.parametrize("caught", [False, True])
async def test_max_body(caught: bool) -> None:
    async def handler(exchange: HTTPExchange) -> None:
        assert exchange.max_body == 100
        exchange.max_body = 4
        try:
            await exchange.read()
        except BodyTooLarge:
            if not caught:
                raise
            await exchange.respond(ok("caught"))

    async with serving(handler, limits=Limits(max_body=100)) as connected:
        peer = await connected()
        head, body = await peer.ask(post(b"12345", "Content-Length: 5"))
        assert "Connection: close" in head
        assert body == b"caught" if caught else head.startswith("HTTP/1.1 413 ")


async def test_a_malformed_body_is_answered_with_400() -> None:
    async def handler(exchange: HTTPExchange) -> None:
        while await exchange.read():
            pass

    async with serving(handler) as connected:
        peer = await connected()
        head, _ = await peer.ask(post(b"zz\r\n", "Transfer-Encoding: chunked"))
        assert head.startswith("HTTP/1.1 400 ")


async def test_a_withheld_body_is_not_waited_for() -> None:
    raised: list[BaseException] = []

    async def handler(exchange: HTTPExchange) -> None:
        try:
            await exchange.read()
        except ClientDisconnected as exc:
            raised.append(exc)
            raise

    async with serving(handler, open_timeout=0.05) as connected:
        peer = await connected()
        head, _ = await peer.ask(post(b"", "Content-Length: 5"))
        assert head.startswith("HTTP/1.1 408 ")
        assert raised


async def test_two_readers_exclude_each_other() -> None:
    async def handler(exchange: HTTPExchange) -> None:
        first = asyncio.create_task(exchange.read())
        await asyncio.sleep(0)
        with pytest.raises(ConcurrencyError):
            await exchange.read()
        peer.writer.write(b"x")
        await exchange.respond(ok((await first).decode()))

    async with serving(handler) as connected:
        peer = await connected()
        assert (await peer.ask(post(b"", "Content-Length: 1")))[1] == b"x"


async def in_parts(exchange: HTTPExchange) -> None:
    length = exchange.request.path.removeprefix("/")
    await exchange.begin(200, [("Content-Length", length)] if length else [])
    for part in (b"abc", b"", b"de"):
        await exchange.write(part)
    await exchange.finish()


async def test_an_answer_in_chunks() -> None:
    async with serving(in_parts) as connected:
        peer = await connected()
        head, _ = await peer.ask(GET)
        assert "Transfer-Encoding: chunked" in head
        chunks = b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
        assert await peer.within(peer.reader.readexactly(len(chunks))) == chunks
        assert (await peer.ask(GET.replace(b"/ ", b"/5 ")))[1] == b"abcde"


async def test_an_answer_in_parts_to_old_peers_and_to_head() -> None:
    async with serving(in_parts) as connected:
        peer = await connected()
        head, _ = await peer.ask(b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n")
        assert "Transfer-Encoding: chunked" in head
        peer.writer.write(b"GET / HTTP/1.0\r\n\r\n")
        head = (await peer.within(peer.reader.readuntil(b"\r\n\r\n"))).decode()
        assert "Transfer-Encoding" not in head
        assert "Connection: close" in head
        assert await peer.rest() == b"abcde"


@pytest.mark.parametrize("length", [4, 6])
async def test_an_answer_of_another_length_is_cut_off(
    length: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(in_parts) as connected:
        peer = await connected()
        peer.writer.write(GET.replace(b"/ ", b"/%d " % length))
        with contextlib.suppress(ConnectionError):
            await peer.rest()
    (record,) = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert "Content-Length" in str(record.exc_info[1])  # type: ignore[index]


async def test_an_answer_waits_for_its_peer(engine: Any) -> None:
    sent = 0

    async def handler(exchange: HTTPExchange) -> None:
        nonlocal sent
        await exchange.begin(200, [])
        for _ in range(400):
            await exchange.write(b"x" * 65536)
            sent += 65536
        await exchange.finish()

    async with serving(handler, engine=engine) as connected:
        peer = await connected()
        peer.reader._limit = 1000  # type: ignore[attr-defined]
        peer.writer.write(b"GET / HTTP/1.0\r\n\r\n")
        await asyncio.sleep(0.2)
        assert sent < 400 * 65536
        _, _, body = (await peer.rest()).partition(b"\r\n\r\n")
        assert len(body) == sent == 400 * 65536


async def test_a_peer_that_takes_nothing_is_gone() -> None:
    raised: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()

    async def handler(exchange: HTTPExchange) -> None:
        await exchange.begin(200, [])
        try:
            while True:
                await exchange.write(b"x" * 65536)
        except ClientDisconnected as exc:
            raised.set_result(exc)
            raise

    async with serving(handler, limits=Limits(write_timeout=0.05)) as connected:
        peer = await connected()
        peer.reader._limit = 1000  # type: ignore[attr-defined]
        peer.writer.write(GET)
        assert isinstance(await peer.within(raised), OSError)


async def test_the_peers_loss_is_known_at_once(
    engine: Any, caplog: pytest.LogCaptureFixture
) -> None:
    begun, known = asyncio.Event(), asyncio.Event()

    async def handler(exchange: HTTPExchange) -> None:
        begun.set()
        await exchange.disconnected
        with pytest.raises(ClientDisconnected):
            while True:
                await exchange.begin(200, []) if not exchange.answered else None
                await exchange.write(b"x")
                await asyncio.sleep(0.001)
        known.set()
        await exchange.write(b"")

    async with serving(handler, engine=engine) as connected:
        peer = await connected()
        peer.writer.write(GET)
        await peer.within(begun.wait())
        peer.writer.transport.abort()
        await peer.within(known.wait())
    assert [each for each in caplog.records if each.levelno >= logging.ERROR] == []


async def test_a_body_cut_off_is_a_disconnection() -> None:
    raised: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()

    async def handler(exchange: HTTPExchange) -> None:
        try:
            while await exchange.read():
                pass
        except ClientDisconnected as exc:
            raised.set_result(exc)
            raise

    async with serving(handler) as connected:
        peer = await connected()
        peer.writer.write(post(b"ab", "Content-Length: 5"))
        peer.writer.write_eof()
        await peer.within(raised)


async def test_who_only_ends_its_stream_is_answered() -> None:
    async def handler(exchange: HTTPExchange) -> None:
        await exchange.disconnected
        await exchange.respond(ok())

    async with serving(handler) as connected:
        peer = await connected()
        peer.writer.write(GET)
        peer.writer.write_eof()
        assert (await peer.answer())[1] == b"ok"
        assert await peer.rest() == b""


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("begun", [False, True])
async def test_a_handler_that_does_not_answer(
    fails: bool, begun: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(exchange: HTTPExchange) -> None:
        if begun:
            await exchange.begin(200, [])
            await exchange.write(b"x")
        if fails:
            raise RuntimeError("on purpose")

    async with serving(handler) as connected:
        peer = await connected()
        peer.writer.write(GET)
        answer = b""
        with contextlib.suppress(ConnectionError):
            answer = await peer.rest()
        if begun:
            assert not answer.endswith(b"0\r\n\r\n")
        else:
            assert answer.startswith(b"HTTP/1.1 500 ")
            assert b"on purpose" not in answer
    (record,) = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert "GET /" in record.getMessage()


async def test_a_request_is_answered_once() -> None:
    async def handler(exchange: HTTPExchange) -> None:
        with pytest.raises(InvalidState):
            await exchange.write(b"x")
        await exchange.respond(ok())
        for again in (exchange.respond(ok()), exchange.begin(200, []), exchange.finish()):
            with pytest.raises(InvalidState):
                await again

    async with serving(handler) as connected:
        peer = await connected()
        assert (await peer.ask(GET + GET))[1] == b"ok"
        assert (await peer.answer())[1] == b"ok"


async def test_closing_waits_for_the_answer_under_way() -> None:
    begun, go = asyncio.Event(), asyncio.Event()

    async def handler(exchange: HTTPExchange) -> None:
        begun.set()
        await go.wait()
        await exchange.respond(ok())

    async with serving(handler) as connected:
        peer = await connected()
        peer.writer.write(GET)
        await peer.within(begun.wait())
        connected.server.close()
        await asyncio.sleep(0.01)
        go.set()
        head, body = await peer.answer()
        assert body == b"ok"
        assert "Connection: close" in head
        await peer.within(connected.server.wait_closed())


# WebSocket


async def echo(exchange: HTTPExchange) -> None:
    ws = await exchange.accept()
    async for message in ws:
        await ws.send(message)


async def test_accept(engine: Any) -> None:
    async def handler(exchange: HTTPExchange) -> None:
        assert exchange.asks_upgrade
        ws = await exchange.accept("v2", [("X-A", "1"), ("X-A", "2")], {"user": 7})
        assert ws.user_data == {"user": 7}
        assert ws.request is not None
        assert ws.request.path == "/"
        await ws.send(await ws.recv())

    async with serving(handler, engine=engine) as connected:
        host, port = connected.server.sockets[0].getsockname()
        async with connect(f"ws://{host}:{port}", subprotocols=["v1", "v2"]) as ws:  # type: ignore[list-item]
            assert ws.subprotocol == "v2"
            assert ws.response is not None
            assert ws.response.headers.get_all("X-A") == ["1", "2"]
            assert ws.extensions
            await ws.send("hi")
            assert await ws.recv() == "hi"
            await ws.wait_closed()
            assert ws.close_code == 1000


async def test_options_of_the_connection() -> None:
    terms = ConnectionOptions.resolve(max_size=3, compression=None)

    async def handler(exchange: HTTPExchange) -> None:
        given: Any = {"terms": terms} if exchange.request.path == "/a" else {"max_size": 3}
        ws = await exchange.accept(**given)
        async for message in ws:
            await ws.send(message)

    async with serving(handler) as connected:
        host, port = connected.server.sockets[0].getsockname()
        for path, extensions in (("/a", 0), ("/b", 1)):
            async with connect(f"ws://{host}:{port}{path}") as ws:
                assert len(ws.extensions) == extensions
                await ws.send("four")
                await ws.wait_closed()
                assert ws.close_code == 1009


async def test_an_endpoint_outlives_the_handler() -> None:
    class Echo(Endpoint):
        def on_message(self, ws: Any, message: Any) -> None:
            ws.send(message)

    async def handler(exchange: HTTPExchange) -> None:
        await exchange.accept(endpoint=Echo())

    async with serving(handler) as connected:
        host, port = connected.server.sockets[0].getsockname()
        async with connect(f"ws://{host}:{port}") as ws:
            await ws.send("hi")
            assert await ws.recv() == "hi"
            assert connected.server.opening_tasks == set()


async def test_octets_behind_the_handshake_are_kept() -> None:
    async with serving(echo) as connected:
        peer = await connected()
        head, _ = await peer.ask(UPGRADE + b"\x81\x82\x00\x00\x00\x00hi")
        assert head.startswith("HTTP/1.1 101 ")
        assert await peer.within(peer.reader.readexactly(4)) == b"\x81\x02hi"


@pytest.mark.parametrize(
    ("octets", "status"),
    [
        (GET, 426),
        (UPGRADE.replace(b"Version: 13", b"Version: 12"), 426),
        (UPGRADE.replace(b"dGhl", b"dG"), 400),
    ],
)
async def test_what_is_no_handshake_cannot_be_accepted(
    octets: bytes, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(echo) as connected:
        peer = await connected()
        head, _ = await peer.ask(octets)
        assert head.startswith(f"HTTP/1.1 {status} ")
    assert [each for each in caplog.records if each.levelno >= logging.ERROR] == []


@pytest.mark.parametrize(
    ("subprotocol", "headers", "message"),
    [
        ("other", [], "didn't offer subprotocol 'other'; it offered none"),
        (None, [("Sec-WebSocket-Accept", "x")], "Sec-WebSocket-Accept is set by the handshake"),
    ],
)
async def test_what_cannot_be_accepted_with(subprotocol: Any, headers: Any, message: str) -> None:
    async def handler(exchange: HTTPExchange) -> None:
        with pytest.raises(ValueError, match=message):
            await exchange.accept(subprotocol, headers)
        await exchange.respond(ok())

    async with serving(handler) as connected:
        peer = await connected()
        assert (await peer.ask(UPGRADE))[1] == b"ok"


async def test_a_handshake_can_be_answered_with_http() -> None:
    async def handler(exchange: HTTPExchange) -> None:
        await exchange.respond(Response(403, "Forbidden", Headers({"X-Why": "because"}), b"no"))

    async with serving(handler) as connected:
        host, port = connected.server.sockets[0].getsockname()
        with pytest.raises(InvalidStatus) as raised:
            await connect(f"ws://{host}:{port}")
        assert raised.value.response.headers["X-Why"] == "because"
        assert raised.value.response.body == b"no"


async def test_a_handler_that_fails_closes_its_connection() -> None:
    async def handler(exchange: HTTPExchange) -> None:
        await exchange.accept()
        raise RuntimeError("on purpose")

    async with serving(handler) as connected:
        host, port = connected.server.sockets[0].getsockname()
        async with connect(f"ws://{host}:{port}") as ws:
            await ws.wait_closed()
            assert ws.close_code == 1011


@pytest.mark.parametrize("what", ["preparing", "the answer"])
async def test_a_connection_that_cannot_be_prepared_is_answered_with_500(
    what: str, engine: Any, caplog: pytest.LogCaptureFixture
) -> None:
    made: list[ServerConnection] = []

    def prepare(connection: ServerConnection) -> None:
        made.append(connection)
        if what == "preparing":
            raise RuntimeError("on purpose")

    async def handler(exchange: HTTPExchange) -> None:
        if exchange.asks_upgrade:
            bad = [("X-A", "a\nb")] if what == "the answer" else []
            await exchange.accept(None, bad, prepare=prepare)
        await exchange.respond(ok())

    async with serving(handler, engine=engine) as connected:
        peer = await connected()
        head, _ = await peer.ask(UPGRADE)
        assert head.startswith("HTTP/1.1 500 ")
        assert all(connection.state is State.CLOSED for connection in made)
        assert made or what == "the answer"
        assert await peer.rest() == b""
    assert [each.message for each in caplog.records if each.levelno >= logging.ERROR] == [
        "request handler failed: GET /x?y"
    ]


async def test_a_connection_that_fails_between_answer_and_opening_is_cut_off(engine: Any) -> None:
    made: list[ServerConnection] = []

    class Failing(ServerConnection):
        def heads_exchanged(self, request: bytes, response: bytes) -> None:
            made.append(self)
            raise RuntimeError("on purpose")

    async def handler(exchange: HTTPExchange) -> None:
        await exchange.accept(create_connection=Failing)

    async with serving(handler, engine=engine) as connected:
        peer = await connected()
        peer.writer.write(UPGRADE)
        with contextlib.suppress(ConnectionResetError):
            await peer.rest()
        (connection,) = made
        assert connection.state is State.CLOSED
        assert connected.server.openings == []
        assert not connected.server.all_connections


async def test_closing_the_server_closes_connections() -> None:
    async with serving(echo) as connected:
        host, port = connected.server.sockets[0].getsockname()
        async with connect(f"ws://{host}:{port}") as ws:
            assert len(connected.server.connections) == 1
            connected.server.close()
            await ws.wait_closed()
            assert ws.close_code == 1001


async def test_a_peer_that_leaves_before_it_is_accepted() -> None:
    known = asyncio.Event()

    async def handler(exchange: HTTPExchange) -> None:
        await exchange.disconnected
        with pytest.raises(ClientDisconnected):
            await exchange.accept()
        known.set()

    async with serving(handler) as connected:
        peer = await connected()
        peer.writer.write(UPGRADE)
        await peer.writer.drain()
        peer.writer.write_eof()
        await peer.within(known.wait())
