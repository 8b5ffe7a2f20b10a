"""Handlers of exchanges as ASGI applications, judged by a strict server."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from duologue import Endpoint, Limits
from duologue.asgi.guest import Guest
from duologue.asgi.guest_exchange import make_request
from duologue.asgi.guest_transport import ServerFrames, client_frame
from duologue.base.vocabulary import Opcode
from duologue.exceptions import (
    ASGIError,
    ClientDisconnected,
    ConnectionClosedError,
    ConnectionClosedOK,
    InvalidState,
)
from duologue.server.exchanges import HTTPExchange
from duologue.wire.headers import Headers
from duologue.wire.http11 import Response

from .strict import HTTP, LIFESPAN, WEBSOCKET, StrictServer, scope_of


def ok(body: bytes = b"ok", **headers: str) -> Response:
    return Response(200, "OK", Headers(headers), body)


def served(
    handler: Any, kind: str = HTTP, path: str = "/", *, scope: Any = None, **options: Any
) -> StrictServer:
    return StrictServer(Guest(handler, **options), scope_of(kind, path, **(scope or {})))


# HTTP


async def test_an_answer() -> None:
    async def handler(exchange: HTTPExchange) -> None:
        assert (exchange.request.path, exchange.request.method) == ("/a%20b?q", "GET")
        assert exchange.client == ("192.0.2.1", 1234)
        assert exchange.server == ("192.0.2.2", 80)
        assert (exchange.scheme, exchange.http_version) == ("http", "1.1")
        await exchange.respond(ok(**{"X-A": "1", "Connection": "close"}))

    server = served(handler, path="/a%20b?q")
    start = await server.next()
    assert start["status"] == 200
    # About the connection the server around us decides.
    assert start["headers"] == [(b"x-a", b"1"), (b"content-length", b"2")]
    last = await server.next()
    assert (last["body"], last["more_body"]) == (b"ok", False)
    await server.end()


@pytest.mark.parametrize(
    ("facts", "path"),
    [
        ({"root_path": "/r", "path": "/r/a", "raw_path": b"/r/a"}, "/a"),
        ({"root_path": "/r", "path": "/r", "raw_path": b"/r"}, "/"),
        ({"root_path": "/r", "path": "/room", "raw_path": b"/room"}, "/room"),
        ({"root_path": "/r/", "path": "/r/a", "raw_path": b"/r/a"}, "/a"),
        ({"path": "/é b", "raw_path": None}, "/%C3%A9%20b"),
        ({"query_string": b"x=1"}, "/?x=1"),
    ],
)
def test_requests(facts: Any, path: str) -> None:
    assert make_request(scope_of(HTTP) | facts).path == path


async def test_a_port_that_is_text() -> None:
    async def handler(exchange: HTTPExchange) -> None:
        assert exchange.client == ("192.0.2.1", 1234)
        assert exchange.server == ("/run/app.sock", None)
        assert exchange.root_path == "/api"
        await exchange.respond(ok())

    facts = {"client": ("192.0.2.1", "1234"), "server": ("/run/app.sock", None)}
    facts |= {"root_path": "/api", "path": "/api/x", "raw_path": b"/api/x"}
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(event: Any) -> None:
        sent.append(event)

    # Not by the strict server: it is granian that does so.
    await Guest(handler)(scope_of(HTTP, "/") | facts, receive, send)
    assert sent[0]["status"] == 200


async def test_a_body() -> None:
    async def handler(exchange: HTTPExchange) -> None:
        parts = []
        while part := await exchange.read():
            parts.append(part)
        assert await exchange.read() == b""
        await exchange.respond(ok(b"".join(parts)))

    server = served(handler)
    server.give("http.request", body=b"a", more_body=True)
    server.give("http.request", body=b"", more_body=True)
    server.give("http.request", body=b"b")
    await server.next()
    assert (await server.next())["body"] == b"ab"
    await server.end()


async def test_max_body() -> None:
    async def handler(exchange: HTTPExchange) -> None:
        await exchange.read()

    server = served(handler, limits=Limits(max_body=2))
    server.give("http.request", body=b"abc")
    assert (await server.next())["status"] == 413
    await server.end()


async def test_an_answer_in_parts() -> None:
    async def handler(exchange: HTTPExchange) -> None:
        await exchange.begin(200, [("Content-Length", "3")])
        await exchange.write(b"ab")
        with pytest.raises(ValueError, match="1 bytes longer"):
            await exchange.write(b"cd")
        with pytest.raises(ValueError, match="1 bytes shorter"):
            await exchange.finish()
        await exchange.write(b"c")
        await exchange.finish()
        with pytest.raises(InvalidState):
            await exchange.respond(ok())

    server = served(handler)
    assert (await server.next())["headers"] == [(b"content-length", b"3")]
    assert [(await server.next())["body"] for _ in range(3)] == [b"ab", b"c", b""]
    await server.end()


async def test_no_body_for_head() -> None:
    async def handler(exchange: HTTPExchange) -> None:
        await exchange.respond(ok())

    server = served(handler, scope={"method": "HEAD"})
    assert (await server.next())["headers"] == [(b"content-length", b"2")]
    assert (await server.next())["body"] == b""
    await server.end()


@pytest.mark.parametrize("begun", [False, True])
async def test_a_handler_that_fails(begun: bool, caplog: pytest.LogCaptureFixture) -> None:
    async def handler(exchange: HTTPExchange) -> None:
        if begun:
            await exchange.begin(200, [])
        raise ZeroDivisionError

    server = served(handler)
    if begun:
        with pytest.raises(ASGIError, match="could not be ended"):
            await server.end()
    else:
        assert (await server.next())["status"] == 500
        await server.end()
    assert len([each for each in caplog.records if each.levelno == logging.ERROR]) == 1


async def test_the_clients_end() -> None:
    async def handler(exchange: HTTPExchange) -> None:
        assert not exchange.disconnected.done()
        await exchange.read()
        await exchange.disconnected
        with pytest.raises(ClientDisconnected):
            await exchange.respond(ok())

    server = served(handler)
    server.give("http.request", body=b"")
    server.give("http.disconnect")
    await server.end()


async def test_the_clients_end_within_the_body(caplog: pytest.LogCaptureFixture) -> None:
    async def handler(exchange: HTTPExchange) -> None:
        while await exchange.read():
            pass

    server = served(handler)
    server.give("http.request", body=b"x", more_body=True)
    server.give("http.disconnect")
    await server.end()
    assert caplog.records == []


async def test_a_server_that_refuses_to_send() -> None:
    async def handler(exchange: HTTPExchange) -> None:
        with pytest.raises(ClientDisconnected):
            await exchange.respond(ok())
        assert exchange.disconnected.done()

    server = served(handler)
    server.gone = True
    await server.end()


# WebSocket


async def accepted(server: StrictServer) -> dict[str, Any]:
    server.give("websocket.connect")
    event = await server.next()
    assert event["type"] == "websocket.accept"
    return event


async def echo(exchange: HTTPExchange) -> None:
    ws = await exchange.accept()
    async for message in ws:
        await ws.send(message)


@pytest.mark.parametrize("size", [0, 5, 125, 126, 65535, 65536, 300_000])
async def test_messages(size: int) -> None:
    server = served(echo, WEBSOCKET)
    await accepted(server)
    server.give("websocket.receive", text="x" * size)
    assert await server.next() == {"type": "websocket.send", "text": "x" * size}
    server.give("websocket.receive", bytes=b"x" * size, text=None)
    assert await server.next() == {"type": "websocket.send", "bytes": b"x" * size}
    server.give("websocket.disconnect", code=1001, reason="bye")
    await server.end()


async def test_accept() -> None:
    async def handler(exchange: HTTPExchange) -> None:
        assert exchange.asks_upgrade
        assert exchange.scheme == "http"
        with pytest.raises(ValueError, match="didn't offer subprotocol 'z'; it offered a, b"):
            await exchange.accept("z")
        ws = await exchange.accept("b", [("X-A", "1")], user_data=7)
        assert (ws.subprotocol, ws.user_data, ws.remote_address) == ("b", 7, ("192.0.2.1", 1234))
        assert ws.request is not None
        assert ws.request.path == "/x?y"

    server = served(handler, WEBSOCKET, "/x?y", scope={"subprotocols": ["a", "b"]})
    event = await accepted(server)
    assert event["subprotocol"] == "b"
    assert event["headers"] == [(b"x-a", b"1")]
    assert await server.next() == {"type": "websocket.close", "code": 1000, "reason": ""}
    await server.end()


@pytest.mark.parametrize("extension", [True, False])
async def test_refuse(extension: bool) -> None:
    async def handler(exchange: HTTPExchange) -> None:
        await exchange.respond(Response(401, "Unauthorized", Headers(), b"no"))

    extensions = {"websocket.http.response": {}} if extension else {}
    server = served(handler, WEBSOCKET, scope={"extensions": extensions})
    server.give("websocket.connect")
    event = await server.next()
    if extension:
        assert (event["type"], event["status"]) == ("websocket.http.response.start", 401)
        assert (await server.next())["body"] == b"no"
    else:
        assert event["type"] == "websocket.close"
    await server.end()


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (1000, ConnectionClosedOK),
        (1001, ConnectionClosedOK),
        (1005, ConnectionClosedOK),
        (4000, ConnectionClosedError),
        (1006, ConnectionClosedError),
    ],
)
async def test_the_peers_close(code: int, kind: type) -> None:
    outcome: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def handler(exchange: HTTPExchange) -> None:
        ws = await exchange.accept()
        with pytest.raises(kind):
            await ws.recv()
        outcome.set_result(ws.close_code)

    server = served(handler, WEBSOCKET)
    await accepted(server)
    server.give("websocket.disconnect", code=code)
    assert await asyncio.wait_for(outcome, 20) == code
    await server.end()


@pytest.mark.parametrize(
    ("arguments", "code", "reason"), [((4000, "x"), 4000, "x"), ((None,), 1000, "")]
)
async def test_our_close(arguments: Any, code: int, reason: str) -> None:
    async def handler(exchange: HTTPExchange) -> None:
        ws = await exchange.accept()
        await ws.send("last")
        await ws.close(*arguments)

    server = served(handler, WEBSOCKET)
    await accepted(server)
    assert (await server.next())["text"] == "last"
    assert await server.next() == {"type": "websocket.close", "code": code, "reason": reason}
    await server.end()


async def test_a_handler_that_fails_closes_with_1011() -> None:
    async def handler(exchange: HTTPExchange) -> None:
        await exchange.accept()
        raise ZeroDivisionError

    server = served(handler, WEBSOCKET)
    await accepted(server)
    assert (await server.next())["code"] == 1011
    await server.end()


async def test_limits_of_the_connection() -> None:
    server = served(echo, WEBSOCKET, limits=Limits(max_size=3))
    await accepted(server)
    server.give("websocket.receive", text="four")
    assert (await server.next())["code"] == 1009
    await server.end()


async def test_fragments_are_one_event() -> None:
    async def handler(exchange: HTTPExchange) -> None:
        ws = await exchange.accept()
        await ws.send(["a", "b", "c"])

    server = served(handler, WEBSOCKET)
    await accepted(server)
    assert (await server.next())["text"] == "abc"
    await server.next()
    await server.end()


async def test_there_are_no_pings() -> None:
    async def handler(exchange: HTTPExchange) -> None:
        ws = await exchange.accept(ping_interval=0.001)
        assert ws.ping_interval is None
        for attempt in (ws.ping(), ws.pong()):
            with pytest.raises(NotImplementedError, match="ASGI has no pings"):
                await attempt

    server = served(handler, WEBSOCKET)
    await accepted(server)
    await server.next()
    await server.end()


async def test_an_endpoint() -> None:
    log: list[Any] = []

    class Echo(Endpoint):
        def on_message(self, ws: Any, message: Any) -> None:
            ws.send(message)

        def on_close(self, ws: Any, code: int, reason: str) -> None:
            log.append((code, reason))

    async def handler(exchange: HTTPExchange) -> None:
        await exchange.accept(endpoint=Echo())

    server = served(handler, WEBSOCKET)
    await accepted(server)
    server.give("websocket.receive", text="x")
    assert (await server.next())["text"] == "x"
    server.give("websocket.disconnect", code=1001, reason="bye")
    await server.end()
    assert log == [(1001, "bye")]


async def test_a_full_inbox_is_not_received_into() -> None:
    go = asyncio.Event()
    received = []

    async def handler(exchange: HTTPExchange) -> None:
        ws = await exchange.accept(max_queue=2)
        await go.wait()
        async for message in ws:
            received.append(message)

    server = served(handler, WEBSOCKET)
    await accepted(server)
    for n in range(50):
        server.give("websocket.receive", text=str(n))
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(server.order.received) < 10
    server.give("websocket.disconnect", code=1000)
    go.set()
    await server.end()
    assert received == [str(n) for n in range(50)]


async def test_a_slow_server_holds_send_up() -> None:
    sent = 0
    go = asyncio.Event()

    async def handler(exchange: HTTPExchange) -> None:
        nonlocal sent
        ws = await exchange.accept(write_limit=1000)
        for _ in range(50):
            await ws.send("x" * 500)
            sent += 1

    guest = Guest(handler)

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        async def slow_send(event: Any) -> None:
            if event["type"] == "websocket.send":
                await go.wait()
            await send(event)

        await guest(scope, receive, slow_send)

    server = StrictServer(slow, scope_of(WEBSOCKET))
    await accepted(server)
    for _ in range(50):
        await asyncio.sleep(0)
    assert sent < 10
    go.set()
    for _ in range(50):
        assert (await server.next())["type"] == "websocket.send"
    await server.next()
    await server.end()


# the rest


async def test_lifespan() -> None:
    log: list[str] = []

    async def startup() -> None:
        log.append("startup")

    async def shutdown() -> None:
        raise ZeroDivisionError

    server = served(echo, LIFESPAN, startup=startup, shutdown=shutdown)
    server.give("lifespan.startup")
    assert await server.next() == {"type": "lifespan.startup.complete"}
    server.give("lifespan.shutdown")
    assert (await server.next())["type"] == "lifespan.shutdown.failed"
    await server.end()
    assert log == ["startup"]


async def test_no_such_scope() -> None:
    with pytest.raises(ASGIError, match="no such scope: 'smtp'"):
        await Guest(echo)({"type": "smtp"}, None, None)  # type: ignore[arg-type]


def test_frames_split_anywhere() -> None:
    octets = b"\x81\x02hi" + b"\x02\x01a" + b"\x00\x00" + b"\x80\x7e\x00\x80" + b"b" * 128
    octets += b"\x88\x02\x03\xe8"
    wanted = [(Opcode.TEXT, b"hi"), (Opcode.BINARY, b"a" + b"b" * 128), (Opcode.CLOSE, b"\x03\xe8")]
    assert ServerFrames().feed(octets) == wanted
    for at in range(len(octets)):
        frames = ServerFrames()
        assert frames.feed(octets[:at]) + frames.feed(octets[at:]) == wanted


def test_client_frames() -> None:
    assert client_frame(Opcode.TEXT, b"hi") == b"\x81\x82\0\0\0\0hi"
    assert client_frame(Opcode.BINARY, b"x" * 126)[:8] == b"\x82\xfe\x00\x7e\0\0\0\0"
    assert client_frame(Opcode.BINARY, b"x" * 65536)[:10] == b"\x82\xff\0\0\0\0\0\x01\0\0"
