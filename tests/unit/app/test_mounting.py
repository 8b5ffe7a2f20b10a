"""ASGI applications in an App, and an App as one."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

import duologue
from duologue.app.application import App
from duologue.app.request import Request


class Guestbook:
    """An ASGI application that tells what it is asked, and what its lifespan was told."""

    def __init__(self) -> None:
        self.events: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            scope["state"]["book"] = "open"
            for phase in ("startup", "shutdown"):
                event = await receive()
                self.events.append(event["type"])
                await send({"type": f"lifespan.{phase}.complete"})
            return
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.send", "text": scope["path"]})
            await send({"type": "websocket.close"})
            return
        facts = [scope["path"], scope["root_path"], scope["state"]["book"], scope["method"]]
        body = json.dumps([*facts, scope["client"][0], scope["scheme"]]).encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})


async def test_what_no_route_takes_goes_to_the_mounted_application(visiting: Any) -> None:
    app, book = App(origins="*"), Guestbook()
    app.mount("/book", book)
    app.get("/book/own")(lambda request: "own")
    app.websocket("/book/ws")(_hello)
    async with visiting(app) as site:
        assert book.events == ["lifespan.startup"]
        assert (await site.ask("GET", "/book/own")).body == b"own"
        fields = ("X-Forwarded-For: 192.0.2.1", "X-Forwarded-Proto: https")
        for method, path in (("GET", "/book"), ("PUT", "/book/a/b"), ("POST", "/book/own")):
            answer = json.loads((await site.ask(method, path, *fields)).body)
            assert answer == [path, "/book", "open", method, "192.0.2.1", "https"]
        assert (await site.ask("GET", "/elsewhere")).status_code == 404
        assert (await site.ask("GET", "/bookshop")).status_code == 404
        for path, message in (("/book/ws", "hello"), ("/book/other", "/book/other")):
            async with site.connect(path) as ws:
                assert await ws.recv() == message
    assert book.events == ["lifespan.startup", "lifespan.shutdown"]


async def _hello(ws: Any) -> None:
    await ws.send("hello")


async def test_routes_that_are_more_special_go_before_the_mounted_application(
    visiting: Any,
) -> None:
    app = App()
    app.mount("/", Guestbook())
    app.mount("/deep", Guestbook())
    app.route("/own")(lambda request: f"own {request.method}")
    app.post("/own")(lambda request: "own post")
    app.get("/read")(lambda request: "read")
    app.route("/below/*")(lambda request: "below")
    app.get("/*")(lambda request: "fallback")
    async with visiting(app) as site:
        for method, path, body in (
            ("GET", "/own", b"own GET"),
            ("PUT", "/own", b"own PUT"),
            ("POST", "/own", b"own post"),
            ("GET", "/below/it", b"below"),
            ("GET", "/read", b"read"),
        ):
            assert (await site.ask(method, path)).body == body
        assert (await site.ask("HEAD", "/read")).headers["Content-Length"] == "4"
        assert json.loads((await site.ask("POST", "/other")).body)[0] == "/other"
        assert json.loads((await site.ask("GET", "/deep/down")).body)[0] == "/deep/down"


async def test_rules_and_bounds_hold_for_mounted_applications(visiting: Any) -> None:
    app = App(allowed_hosts=["localhost", "127.0.0.1"])
    app.mount("/", Guestbook())
    async with visiting(app) as site:
        assert (await site.ask("GET", "/", "Host: evil.test")).status_code == 403
        with pytest.raises(duologue.InvalidStatus) as info:
            await site.connect(origin="https://evil.test")
        assert info.value.response.status_code == 403


def test_a_mount_has_no_parameters() -> None:
    with pytest.raises(ValueError, match="without parameters"):
        App().mount("/{x}", Guestbook())


class Server:
    """The least of an ASGI server: one request, without body."""

    def __init__(self, **scope: Any) -> None:
        self.scope = {
            "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http", "root_path": "",
            "query_string": b"", "headers": [(b"host", b"localhost")],
            "client": ("127.0.0.1", 5), "server": ("127.0.0.1", 80), **scope,
        }  # fmt: skip
        self.sent: list[dict[str, Any]] = []
        self.events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def send(self, event: dict[str, Any]) -> None:
        self.sent.append(event)

    async def run(self, app: App) -> None:
        async with asyncio.timeout(20):
            await app(self.scope, self.events.get, self.send)


async def test_an_app_under_another_server() -> None:
    app = App()

    @app.get("/items/{id:int}")
    async def item(request: Request, id: int) -> dict[str, Any]:
        return {"id": id, "a": request.query_params["a"]}

    server = Server(
        type="http", method="GET", path="/items/7", raw_path=b"/items/7", query_string=b"a=1"
    )
    server.events.put_nowait({"type": "http.request", "body": b"", "more_body": False})
    await server.run(app)
    assert server.sent[0]["status"] == 200
    assert b"".join(event["body"] for event in server.sent[1:]) == b'{"id":7,"a":"1"}'


async def test_a_websocket_of_an_app_under_another_server() -> None:
    app = App()
    seen: list[Any] = []

    @app.websocket("/room/{name}", subprotocols=["v1"])
    async def room(ws: Any, name: str) -> None:
        seen.append(ws.path_params)
        await ws.send(f"{name}: {await ws.recv()}")

    server = Server(type="websocket", path="/room/x", raw_path=b"/room/x", subprotocols=["v1"])
    server.scope["scheme"] = "ws"
    server.scope["headers"].append((b"sec-websocket-protocol", b"v1"))
    for event in (
        {"type": "websocket.connect"},
        {"type": "websocket.receive", "text": "hi"},
    ):
        server.events.put_nowait(event)
    await server.run(app)
    assert server.sent[0]["type"] == "websocket.accept"
    assert server.sent[0]["subprotocol"] == "v1"
    assert server.sent[1]["text"] == "x: hi"
    assert server.sent[2]["type"] == "websocket.close"
    assert seen == [{"name": "x"}]


async def test_the_lifespan_of_an_app_under_another_server() -> None:
    book = Guestbook()
    app = App()
    app.mount("/book", book)
    server = Server(type="lifespan", state={})
    for phase in ("startup", "shutdown"):
        server.events.put_nowait({"type": f"lifespan.{phase}"})
    await server.run(app)
    assert [event["type"] for event in server.sent] == [
        "lifespan.startup.complete", "lifespan.shutdown.complete",
    ]  # fmt: skip
    assert book.events == ["lifespan.startup", "lifespan.shutdown"]
