"""HTTP in ASGI's events, on our own server."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from duologue import Limits
from duologue.exceptions import ASGIError, ClientDisconnected

from .rig import serving


def answering(*events: dict[str, Any]) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        for event in events:
            await send(event)

    return app


START = {"type": "http.response.start", "status": 200, "headers": [(b"x-a", b"\xe9")]}


def body(octets: bytes = b"", more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": octets, "more_body": more}


async def test_the_scope() -> None:
    scopes = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)
        await answering(START, body())(scope, receive, send)

    async with serving(app, root_path="/app") as served:
        await served.get("/a%20b/%C3%A9?q=%20", **{"X-B": "1"})
        (scope,) = scopes
        assert scope["path"] == "/app/a b/é"
        assert scope["raw_path"] == b"/app/a%20b/%C3%A9"
        assert scope["query_string"] == b"q=%20"
        assert scope["root_path"] == "/app"
        assert (scope["method"], scope["scheme"], scope["http_version"]) == ("GET", "http", "1.1")
        assert (b"x-b", b"1") in scope["headers"]
        assert scope["server"] == served.address
        assert scope["client"][0] == "127.0.0.1"
        assert "state" not in scope


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("http://h/x?y", "/x", b"y"),
        ("http://h", "/", b""),
        ("http://h?y", "/", b"y"),
        ("/a?b?c", "/a", b"b?c"),
        ("*", "*", b""),
    ],
)
async def test_targets(target: str, path: str, query: bytes) -> None:
    scopes = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)
        await answering(START, body())(scope, receive, send)

    async with serving(app) as served:
        method = b"OPTIONS" if target == "*" else b"GET"
        await served.ask(
            method + f" {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode()
        )
    assert (scopes[0]["path"], scopes[0]["query_string"]) == (path, query)


async def test_a_short_answer_has_a_length() -> None:
    async with serving(answering(START, body(b"hello"))) as served:
        answer = await served.get()
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"\r\nx-a: \xe9\r\n" in answer
        assert b"\r\nContent-Length: 5\r\n" in answer
        assert answer.endswith(b"\r\n\r\nhello")


async def test_an_answer_in_parts_is_in_chunks() -> None:
    async with serving(answering(START, body(b"a", True), body(b"", True), body(b"b"))) as served:
        answer = await served.get()
        assert answer.endswith(b"\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n")


async def test_the_applications_framing_is_not_taken() -> None:
    headers = [(b"transfer-encoding", b"chunked")]
    async with serving(answering(START | {"headers": headers}, body(b"hello"))) as served:
        answer = await served.get()
        assert b"ransfer-" not in answer
        assert answer.endswith(b"\r\n\r\nhello")


async def test_the_body_is_received_in_parts() -> None:
    parts = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (event := await receive())["more_body"]:
            parts.append(event["body"])
        await send(START)
        await send(body())
        assert await receive() == {"type": "http.disconnect"}

    async with serving(app) as served:
        await served.ask(
            b"POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 5\r\n\r\nabcde"
        )
    assert b"".join(parts) == b"abcde"


@pytest.mark.parametrize(
    ("events", "message"),
    [
        ([body(b"x")], "'http.response.body' was sent where 'http.response.start' was expected"),
        ([START, START], "'http.response.start' was sent where 'http.response.body' was expected"),
        ([START, body(b"", True), START], "where 'http.response.body' was expected"),
        ([START, body(), body()], "was sent after the answer was complete"),
        ([{"type": "http.response.nonsense"}], "'http.response.nonsense' was sent where"),
        ([], "the application returned without sending the last 'http.response.start'"),
        ([START], "the application returned without sending the last 'http.response.body'"),
        ([START, body(b"x", True)], "without sending the last 'http.response.body'"),
    ],
)
async def test_orders(events: list[Any], message: str, caplog: pytest.LogCaptureFixture) -> None:
    # Not through the strict application: what it would refuse is what is tried.
    async with serving(None) as served:
        served.strict.app = None
        host = served.server.answer
        host.app = answering(*events)
        answer = await served.get()
    if not events or events[0] != START or len(events) == 1 or events[1] == START:
        assert answer.startswith(b"HTTP/1.1 500 ")
    (record,) = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ASGIError)
    assert message in str(record.exc_info[1])


async def test_an_application_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise ZeroDivisionError

    async with serving(app) as served:
        assert (await served.get()).startswith(b"HTTP/1.1 500 ")
    (record,) = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert "request handler failed: GET /" in record.getMessage()


async def test_max_body() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["more_body"]:
            pass

    async with serving(app, limits=Limits(max_body=4)) as served:
        answer = await served.ask(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nabcde")
        assert answer.startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("receiving", [True, False])
async def test_the_clients_loss_is_known_at_once(
    receiving: bool, caplog: pytest.LogCaptureFixture
) -> None:
    begun = asyncio.Event()
    outcome: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(START)
        begun.set()
        if receiving:
            outcome.set_result(await receive())
            return
        try:
            while True:
                await send(body(b"x", True))
                await asyncio.sleep(0.001)
        except OSError as exc:
            outcome.set_result(exc)
            raise

    async with serving(app) as served:
        _, writer = await asyncio.open_connection(*served.address)
        writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        await asyncio.wait_for(begun.wait(), 20)
        writer.transport.abort()
        result = await asyncio.wait_for(outcome, 20)
    if receiving:
        assert result == {"type": "http.disconnect"}
    else:
        assert isinstance(result, ClientDisconnected)
    assert [each for each in caplog.records if each.levelno >= logging.ERROR] == []


async def test_receiving_waits_for_the_answers_end() -> None:
    ended = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        waiting = asyncio.ensure_future(receive())
        await send(START)
        await asyncio.sleep(0)
        assert not waiting.done()
        await send(body())
        assert await waiting == {"type": "http.disconnect"}
        ended.set()

    async with serving(app) as served:
        await served.get()
    assert ended.is_set()


async def test_drain_timeout(caplog: pytest.LogCaptureFixture) -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        begun.set()
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async with serving(app, drain_timeout=0.01) as served:
        _, writer = await asyncio.open_connection(*served.address)
        writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        await asyncio.wait_for(begun.wait(), 20)
    assert cancelled.is_set()
    assert "drain_timeout of 0.01 s" in caplog.text
    writer.close()


def test_options_that_are_the_applications() -> None:
    import duologue.asgi

    with pytest.raises(TypeError, match="decides itself about: origins, process_request"):
        duologue.asgi.serve(answering(), process_request=None, origins=None)
