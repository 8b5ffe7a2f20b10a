"""The access log: a line for each answer, as uvicorn words them."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

import duologue
from duologue.app.logs import JSONFormatter
from duologue.asgi import serve
from duologue.server.access import ACCESS_LOGGER

from .conftest import Visitor

FORWARDED = "X-Forwarded-For: 192.0.2.1"


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """What is written, the client's address left out unless it is given by a proxy."""
    found: list[str] = []

    class Keeper(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(record.getMessage().partition(" - ")[2])

    keeper, level = Keeper(), ACCESS_LOGGER.level
    ACCESS_LOGGER.addHandler(keeper)
    ACCESS_LOGGER.setLevel(logging.INFO)
    yield found
    ACCESS_LOGGER.setLevel(level)
    ACCESS_LOGGER.removeHandler(keeper)


def application() -> duologue.App:
    app = duologue.App()

    async def decide(request: Any) -> None:
        if "secret" in request.query_params:
            await request.reject(429)

    @app.get("/hello")
    async def hello(request: Any) -> str:
        return "hello"

    @app.post("/body")
    async def body(request: Any) -> bytes:
        return await request.body()  # type: ignore[no-any-return]

    @app.websocket("/chat/{name}", on_request=decide)
    async def chat(ws: Any) -> None:
        await ws.send("hello")

    return app


async def visit(site: Visitor) -> None:
    await site.ask("GET", "/hello?a=b", FORWARDED)
    await site.ask("HEAD", "/hello")
    await site.ask("GET", "/caf%C3%A9")
    async with site.connect("/chat/ann?x=1") as ws:
        assert await ws.recv() == "hello"
    for path in ("/chat/ann?secret", "/nowhere"):
        with pytest.raises(duologue.InvalidStatus):
            await site.connect(path)


EXPECTED = [
    '"GET /hello?a=b HTTP/1.1" 200',
    '"HEAD /hello HTTP/1.1" 200',
    '"GET /caf%C3%A9 HTTP/1.1" 404',
    '"WebSocket /chat/ann?x=1" [accepted]',
    '"WebSocket /chat/ann?secret" 429',
    '"WebSocket /nowhere" 404',
]


async def test_answers_and_handshakes(visiting: Any, lines: list[str]) -> None:
    async with visiting(application()) as site:
        await visit(site)
    assert lines == EXPECTED


async def test_not_without_wish(visiting: Any, lines: list[str]) -> None:
    async with visiting(application(), access_log=False) as site:
        await visit(site)
    assert lines == []


async def test_silence_below_its_level(
    visiting: Any, lines: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    ACCESS_LOGGER.setLevel(logging.WARNING)
    async with visiting(application()) as site:
        await visit(site)
    assert lines == []
    assert "duologue.access" not in {record.name for record in caplog.records}


async def test_a_body_that_is_too_long(visiting: Any, lines: list[str]) -> None:
    async with visiting(application()) as site:
        assert (await site.ask("POST", "/body", "Content-Length: 3000000")).status_code == 413
    assert lines == ['"POST /body HTTP/1.1" 413']


async def test_the_client_is_whom_proxies_name(
    visiting: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "duologue.access"):
        async with visiting(application()) as site:
            await site.ask("GET", "/hello", FORWARDED)
            await site.ask("GET", "/hello", "X-Forwarded-For: 2001:db8::1")
    told = [record for record in caplog.records if record.name == "duologue.access"]
    assert [record.args[0] for record in told if record.args] == [  # type: ignore[index]
        "192.0.2.1:0",
        "[2001:db8::1]:0",
    ]


async def test_facts_for_logs_in_json(visiting: Any) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JSONFormatter())
    ACCESS_LOGGER.addHandler(handler)
    ACCESS_LOGGER.setLevel(logging.INFO)
    try:
        async with visiting(application()) as site, site.connect("/chat/ann"):
            pass
    finally:
        ACCESS_LOGGER.setLevel(logging.NOTSET)
        ACCESS_LOGGER.removeHandler(handler)
    (record,) = map(json.loads, stream.getvalue().splitlines())
    assert record["client"].startswith("127.0.0.1:")
    facts = {name: record[name] for name in ("method", "target", "status")}
    assert facts == {"method": "WebSocket", "target": "/chat/ann", "status": 101}


async def test_asgi_applications(lines: list[str]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close"})
        else:
            await send({"type": "http.response.start", "status": 201, "headers": []})
            await send({"type": "http.response.body", "body": b"", "more_body": True})
            await send({"type": "http.response.body"})

    async with serve(app, "127.0.0.1", 0, lifespan="off") as server:
        site = Visitor(server)  # type: ignore[arg-type]
        await site.ask("PUT", "/thing")
        with pytest.raises(duologue.InvalidStatus):
            await site.connect("/talk")
    assert lines == ['"PUT /thing HTTP/1.1" 201', '"WebSocket /talk" 403']


@pytest.mark.parametrize("octet", [b"\x7f", b"\xe9", b"\x9b", b"\x1b", b"\n"])
async def test_no_target_writes_to_a_terminal(
    visiting: Any, lines: list[str], octet: bytes
) -> None:
    async with visiting(application()) as site, site.link() as link:
        link.write(b"GET /a" + octet + b"b HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (await link.answer()).status_code == 400
    assert lines == []
