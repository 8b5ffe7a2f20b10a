"""WebSockets in ASGI's events, on our own server."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from duologue import connect
from duologue.exceptions import ASGIError, ClientDisconnected, InvalidStatus

from .rig import Served, serving


def url(served: Served, target: str = "/") -> str:
    return f"ws://{served.netloc}{target}"


ACCEPT = {"type": "websocket.accept"}
CLOSE = {"type": "websocket.close"}


async def echo(scope: Any, receive: Any, send: Any) -> None:
    assert await receive() == {"type": "websocket.connect"}
    await send(ACCEPT)
    while (event := await receive())["type"] == "websocket.receive":
        await send({**event, "type": "websocket.send"})


@pytest.mark.parametrize("engine", ["auto", "asyncio"])
async def test_echo(engine: Any) -> None:
    async with serving(echo, engine=engine) as served:
        async with connect(url(served)) as ws:
            for message in ("text", b"binary", "", b"", "x" * 100_000):
                await ws.send(message)
                assert await ws.recv() == message


async def test_the_scope() -> None:
    scopes = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)
        await receive()
        await send(ACCEPT | {"subprotocol": "b", "headers": [(b"x-a", b"1"), (b"x-a", b"2")]})

    async with serving(app) as served:
        async with connect(url(served, "/a%20b?q"), subprotocols=["a", "b"]) as ws:  # type: ignore[list-item]
            assert ws.subprotocol == "b"
            assert ws.response is not None
            assert ws.response.headers.get_all("x-a") == ["1", "2"]
            await ws.wait_closed()
            assert ws.close_code == 1000
    (scope,) = scopes
    assert (scope["type"], scope["scheme"], scope["path"]) == ("websocket", "ws", "/a b")
    assert (scope["raw_path"], scope["query_string"]) == (b"/a%20b", b"q")
    assert scope["subprotocols"] == ["a", "b"]
    assert scope["extensions"] == {"websocket.http.response": {}}
    assert "method" not in scope


async def test_a_subprotocol_that_was_not_offered(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT | {"subprotocol": "z"})

    async with serving(app) as served:
        async with connect(url(served)) as ws:
            assert ws.subprotocol is None
    assert "subprotocol 'z', which the client didn't offer" in caplog.text


async def test_refused_with_403() -> None:
    events = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(CLOSE | {"code": 4000})
        events.append(await receive())

    async with serving(app) as served:
        with pytest.raises(InvalidStatus) as raised:
            await connect(url(served))
    assert raised.value.response.status_code == 403
    assert events == [{"type": "websocket.disconnect", "code": 1006, "reason": ""}]


@pytest.mark.parametrize("parts", [1, 3])
async def test_refused_with_an_answer(parts: int) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        headers = [(b"x-why", b"because")]
        await send({"type": "websocket.http.response.start", "status": 401, "headers": headers})
        for n in range(parts):
            more = n < parts - 1
            await send({"type": "websocket.http.response.body", "body": b"no", "more_body": more})
        assert (await receive())["type"] == "websocket.disconnect"

    async with serving(app) as served:
        with pytest.raises(InvalidStatus) as raised:
            await connect(url(served))
    response = raised.value.response
    assert (response.status_code, response.headers["x-why"]) == (401, "because")
    assert response.body == b"no" * parts


@pytest.mark.parametrize(
    ("code", "reason", "received"),
    [
        (1001, "bye", (1001, "bye")),
        (4999, "", (4999, "")),
        (None, "", (1005, "")),
        ("abort", "", (1006, "")),
    ],
)
async def test_the_clients_end(code: Any, reason: str, received: Any) -> None:
    outcome: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        event = await receive()
        assert await receive() == event
        with pytest.raises(ClientDisconnected) as raised:
            await send({"type": "websocket.send", "text": "x"})
        assert isinstance(raised.value, OSError)
        with pytest.raises(ClientDisconnected):
            await send(CLOSE)
        outcome.set_result((event["code"], event["reason"]))

    async with serving(app) as served:
        async with connect(url(served)) as ws:
            if code == "abort":
                assert ws.transport is not None
                ws.transport.abort()
            else:
                await ws.close(code, reason)
            assert await asyncio.wait_for(outcome, 20) == received


async def test_the_clients_end_is_known_to_who_only_sends(
    caplog: pytest.LogCaptureFixture,
) -> None:
    outcome: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        try:
            while True:
                await send({"type": "websocket.send", "text": "x"})
                await asyncio.sleep(0)
        except OSError as exc:
            outcome.set_result(exc)
            raise

    async with serving(app) as served:
        async with connect(url(served)) as ws:
            await ws.recv()
            await ws.close()
            assert isinstance(await asyncio.wait_for(outcome, 20), ClientDisconnected)
    assert [each for each in caplog.records if each.levelno >= logging.ERROR] == []


async def test_the_applications_end() -> None:
    outcome: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        await send(CLOSE | {"code": 4001, "reason": "enough"})
        event = await receive()
        errors = []
        for again in (CLOSE, {"type": "websocket.send", "text": "x"}):
            try:
                await served.server.answer.app.inner_send(again)
            except OSError as exc:
                errors.append(type(exc))
        outcome.set_result((event, errors))

    async with serving(app) as served:
        host = served.server.answer
        host.app = Recording(host.app)
        async with connect(url(served)) as ws:
            await ws.wait_closed()
            assert (ws.close_code, ws.close_reason) == (4001, "enough")
            event, errors = await asyncio.wait_for(outcome, 20)
    assert event == {"type": "websocket.disconnect", "code": 4001, "reason": "enough"}
    assert errors == [ClientDisconnected, ClientDisconnected]


class Recording:
    """Keeps the server's own ``send``, which the strict application would guard."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.inner_send = send
        await self.app(scope, receive, send)


@pytest.mark.parametrize(
    ("events", "message"),
    [
        ([{"type": "websocket.send", "text": "x"}], "'websocket.send' was sent where"),
        ([ACCEPT, ACCEPT], "where 'websocket.send' or 'websocket.close' was expected"),
        ([ACCEPT, {"type": "websocket.send"}], "has neither 'bytes' nor 'text'"),
        ([ACCEPT, {"type": "http.response.start"}], "'http.response.start' was sent where"),
        (
            [{"type": "websocket.http.response.start", "status": 400}, ACCEPT],
            "'websocket.accept' was sent within an HTTP answer",
        ),
        ([{"type": "websocket.http.response.start", "status": 400}], "without sending the last"),
        ([], "without answering the opening handshake"),
    ],
)
async def test_orders(events: Any, message: str, caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        for event in events:
            await send(event)

    async with serving(None) as served:
        served.server.answer.app = app
        if events and events[0] == ACCEPT:
            async with connect(url(served)) as ws:
                await ws.wait_closed()
                assert ws.close_code == 1011
        else:
            with pytest.raises(InvalidStatus) as raised:
                await connect(url(served))
            assert raised.value.response.status_code == 500
    (record,) = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ASGIError)
    assert message in str(record.exc_info[1])


async def test_options_of_connections() -> None:
    async with serving(echo, max_size=3, compression=None) as served:
        async with connect(url(served)) as ws:
            assert ws.extensions == []
            await ws.send("four")
            await ws.wait_closed()
            assert ws.close_code == 1009


async def test_a_message_too_big_is_a_disconnection_with_1009() -> None:
    outcome: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        outcome.set_result(await receive())

    async with serving(app, max_size=3) as served:
        async with connect(url(served)) as ws:
            await ws.send("four")
            assert (await asyncio.wait_for(outcome, 20))["code"] == 1009


async def test_closing_the_server() -> None:
    async with serving(echo) as served:
        async with connect(url(served)) as ws:
            await ws.send("x")
            await ws.recv()
            served.server.close()
            await ws.wait_closed()
            assert ws.close_code == 1001


async def test_no_valid_handshake() -> None:
    async with serving(echo) as served:
        answer = await served.get(Upgrade="websocket", Connection="Upgrade")
        assert answer.startswith(b"HTTP/1.1 400 ")
