"""Rules and decisions hold when another ASGI server carries the application."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import pytest

from duologue.app.application import App
from duologue.app.guard import TicketAuth, Tickets, UpgradeRequest

testclient = pytest.importorskip("starlette.testclient")
TICKETS = Tickets("a secret of the site")


async def decide(request: UpgradeRequest) -> None:
    if request.path == "/no":
        await request.reject(451, "why")
    elif request.path == "/code":
        await request.reject(reason="why", close_code=4403)
    else:
        await request.accept("b", [("X-Seen", "1")])


@pytest.fixture
def client() -> Any:
    app = App(max_connections=1)

    @app.websocket("/{rest:path}", on_request=decide, auth=TicketAuth(TICKETS))
    async def handler(ws: Any) -> None:
        await ws.send(repr(ws.user_data))
        async for message in ws:
            await ws.send(message)

    with testclient.TestClient(app) as client:
        yield client


def connect(client: Any, path: str, **headers: str) -> Any:
    ticket = TICKETS.issue("ada")
    return client.websocket_connect(f"{path}?ticket={ticket}", ["a", "b"], headers=headers)


def refused(client: Any, path: str, **headers: str) -> Any:
    with pytest.raises(testclient.WebSocketDenialResponse) as raised:
        connect(client, path, **headers).__enter__()
    return raised.value


def test_accept_and_numbers(client: Any) -> None:
    with connect(client, "/", Origin="http://testserver") as ws:
        assert ws.accepted_subprotocol == "b"
        assert (b"x-seen", b"1") in ws.extra_headers
        assert ws.receive_text() == "'ada'"
        ws.send_text("hello")
        assert ws.receive_text() == "hello"
        response = refused(client, "/")
        assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
    # Its end makes room, as soon as the application has heard of it.
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with contextlib.suppress(testclient.WebSocketDenialResponse), connect(client, "/") as ws:
            assert ws.receive_text() == "'ada'"
            return
    pytest.fail("no room")


def test_reject(client: Any) -> None:
    response = refused(client, "/no")
    assert (response.status_code, response.text) == (451, "why\n")
    assert response.headers["X-WebSocket-Reject-Reason"] == "why"
    with connect(client, "/code") as ws:
        assert ws.receive() == {"type": "websocket.close", "code": 4403, "reason": "why"}


def test_origins_and_auth(client: Any) -> None:
    assert refused(client, "/", Origin="https://evil.example").status_code == 403
    with pytest.raises(testclient.WebSocketDenialResponse) as raised:
        client.websocket_connect("/?ticket=a.b").__enter__()
    assert raised.value.status_code == 401
