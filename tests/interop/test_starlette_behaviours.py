"""Starlette's WebSocket behaviours: the same on uvicorn's protocols, on ours, and on our host."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from duologue.asyncio.client import ClientConnection, connect
from duologue.exceptions import InvalidStatus

from .asgi_servers import HOST, OURS, SERVERS, UVICORN, serving

pytestmark = pytest.mark.filterwarnings("default")

Endpoint = Callable[[WebSocket], Coroutine[Any, Any, None]]


class Play:
    """One endpoint on one server; the endpoint's outcome is put into ``seen``."""

    def __init__(self, endpoint: Callable[[WebSocket, Play], Coroutine[Any, Any, None]]) -> None:
        self._endpoint = endpoint
        self.seen: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def endpoint(self, ws: WebSocket) -> None:
        await self._endpoint(ws, self)

    def saw(self, what: Any) -> None:
        self.seen.set_result(what)

    async def outcome(self) -> Any:
        return await asyncio.wait_for(self.seen, 20)

    @contextlib.asynccontextmanager
    async def on(self, server: str) -> Any:
        app = Starlette(routes=[WebSocketRoute("/", self.endpoint)])
        async with serving(app, server) as netloc:
            yield f"ws://{netloc}/"


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


async def test_facts_and_accept(server: str) -> None:
    async def endpoint(ws: WebSocket, play: Play) -> None:
        play.saw((ws.url.scheme, ws.query_params["q"], ws.headers["x-a"], ws.scope["subprotocols"]))
        await ws.accept(subprotocol="b", headers=[(b"x-b", b"1"), (b"x-b", b"2")])
        await ws.close()

    play = Play(endpoint)
    async with play.on(server) as url:
        options: Any = {"subprotocols": ["a", "b"], "additional_headers": {"X-A": "y"}}
        async with connect(url + "?q=1", **options) as ws:
            assert ws.subprotocol == "b"
            assert ws.response is not None
            assert ws.response.headers.get_all("x-b") == ["1", "2"]
    assert await play.outcome() == ("ws", "1", "y", ["a", "b"])


async def test_text_octets_and_json(server: str) -> None:
    async def endpoint(ws: WebSocket, play: Play) -> None:
        await ws.accept()
        await ws.send_text(await ws.receive_text())
        await ws.send_bytes(await ws.receive_bytes())
        await ws.send_json(await ws.receive_json())
        await ws.close()

    async with Play(endpoint).on(server) as url, connect(url) as ws:
        for sent, received in (("é", "é"), (b"\xff", b"\xff"), ('{"a": 1}', '{"a":1}')):
            await ws.send(sent)
            assert await ws.recv() == received


async def test_fragments_are_one_message(server: str) -> None:
    async def endpoint(ws: WebSocket, play: Play) -> None:
        await ws.accept()
        play.saw(await ws.receive_text())
        await ws.close()

    play = Play(endpoint)
    async with play.on(server) as url, connect(url) as ws:
        await ws.send(["a", "b", "c"])
        assert await play.outcome() == "abc"


@pytest.mark.parametrize(
    ("code", "reason", "seen"), [(1000, "", (1000, "")), (4001, "why", (4001, "why"))]
)
async def test_the_client_closes(server: str, code: int, reason: str, seen: Any) -> None:
    async def endpoint(ws: WebSocket, play: Play) -> None:
        await ws.accept()
        try:
            await ws.receive_text()
        except WebSocketDisconnect as exc:
            play.saw((exc.code, exc.reason))

    play = Play(endpoint)
    async with play.on(server) as url:
        async with connect(url) as ws:
            await ws.close(code, reason)
        assert await play.outcome() == seen


async def test_the_client_is_lost(server: str) -> None:
    async def endpoint(ws: WebSocket, play: Play) -> None:
        await ws.accept()
        try:
            await ws.receive_text()
        except WebSocketDisconnect as exc:
            play.saw(exc.code)

    play = Play(endpoint)
    async with play.on(server) as url:
        async with connect(url) as ws:
            assert ws.transport is not None
            ws.transport.abort()
        # 1006 is RFC 6455's (section 7.1.5); uvicorn's own say 1005 or 1006, by version.
        assert await play.outcome() in ((1006,) if server in (HOST, OURS) else (1005, 1006))


async def test_the_application_closes(server: str) -> None:
    async def endpoint(ws: WebSocket, play: Play) -> None:
        await ws.accept()
        await ws.close(4002, "enough")
        play.saw(await ws.receive())

    play = Play(endpoint)
    async with play.on(server) as url, connect(url) as ws:
        await ws.wait_closed()
        assert (ws.close_code, ws.close_reason) == (4002, "enough")
        event = await play.outcome()
        assert (event["type"], event["code"]) == ("websocket.disconnect", 4002)


async def test_closed_before_it_is_accepted(server: str) -> None:
    async def endpoint(ws: WebSocket, play: Play) -> None:
        await ws.close()

    async with Play(endpoint).on(server) as url:
        with pytest.raises(InvalidStatus) as raised:
            await connect(url)
    assert raised.value.response.status_code == 403


async def test_a_denial_response(server: str) -> None:
    async def endpoint(ws: WebSocket, play: Play) -> None:
        await ws.send_denial_response(JSONResponse({"no": 1}, 418, headers={"X-Why": "tea"}))

    async with Play(endpoint).on(server) as url:
        with pytest.raises(InvalidStatus) as raised:
            await connect(url)
    response = raised.value.response
    assert (response.status_code, response.body) == (418, b'{"no":1}')
    assert response.headers["X-Why"] == "tea"
    assert response.headers["Content-Type"] == "application/json"


async def test_sending_to_who_is_gone(server: str) -> None:
    async def endpoint(ws: WebSocket, play: Play) -> None:
        await ws.accept()
        try:
            while True:
                await ws.send_text("x")
                await asyncio.sleep(0.001)
        except WebSocketDisconnect as exc:
            play.saw(exc.code)

    play = Play(endpoint)
    async with play.on(server) as url:
        async with connect(url) as ws:
            await ws.recv()
        # Starlette's word for the OSError that the server raises.
        assert await play.outcome() == 1006


async def test_an_exception_before_it_is_accepted(server: str) -> None:
    async def endpoint(ws: WebSocket, play: Play) -> None:
        raise ZeroDivisionError

    async with Play(endpoint).on(server) as url:
        with pytest.raises(InvalidStatus) as raised:
            await connect(url)
    assert raised.value.response.status_code == 500


async def test_an_exception_afterwards(server: str) -> None:
    async def endpoint(ws: WebSocket, play: Play) -> None:
        await ws.accept()
        raise ZeroDivisionError

    async with Play(endpoint).on(server) as url:
        ws: ClientConnection
        async with connect(url) as ws:
            await ws.wait_closed()
            # uvicorn's own drop the connection; we say why.
            assert ws.close_code == (1006 if server in UVICORN else 1011)


async def test_returning_without_closing(server: str) -> None:
    async def endpoint(ws: WebSocket, play: Play) -> None:
        await ws.accept()

    async with Play(endpoint).on(server) as url, connect(url) as ws:
        await ws.wait_closed()
        assert ws.close_code == (1006 if server in UVICORN else 1000)
