"""The ASGI specification's orders and types, checked in both directions.

:class:`StrictApplication` stands between a server and an application, and judges what the server
gives: scope, events, their order. :class:`StrictServer` is a server without a network and judges
what an application sends. Both fail a test by raising :class:`Breach`, and keep what happened.

Written from the specification's text (HTTP and WebSocket message formats 2.5, lifespan 2.0).
"""

from __future__ import annotations

import asyncio
from typing import Any

HTTP, WEBSOCKET, LIFESPAN = "http", "websocket", "lifespan"


class Breach(AssertionError):
    """Somebody breaks the specification."""


def expect(condition: object, what: str) -> None:
    if not condition:
        raise Breach(what)


SCOPE_TYPES: dict[str, Any] = {
    "type": str,
    "asgi": dict,
    "http_version": str,
    "scheme": str,
    "path": str,
    "raw_path": bytes,
    "query_string": bytes,
    "root_path": str,
    "headers": list,
    "client": (tuple, type(None)),
    "server": (tuple, type(None)),
    "extensions": dict,
}


def check_scope(scope: dict[str, Any]) -> None:
    """Judge a connection's scope."""
    kind = scope["type"]
    expect(kind in (HTTP, WEBSOCKET, LIFESPAN), f"scope of type {kind!r}")
    expect(scope["asgi"]["version"] == "3.0", "version of ASGI")
    if kind == LIFESPAN:
        expect(scope["asgi"]["spec_version"] == "2.0", "version of lifespan")
        expect(isinstance(scope["state"], dict), "state")
        return
    expect(scope["asgi"]["spec_version"] in ("2.3", "2.4", "2.5"), "version of messages")
    for name, wanted in SCOPE_TYPES.items():
        expect(isinstance(scope[name], wanted), f"{name} is {scope[name]!r}")
    expect(scope["http_version"] in ("1.0", "1.1", "2", "3"), "HTTP version")
    expect(scope["scheme"] in (("http", "https") if kind == HTTP else ("ws", "wss")), "scheme")
    expect(b"?" not in scope["raw_path"], "raw_path has the query")
    expect(not scope["root_path"].endswith("/"), "root_path ends in a slash")
    expect(scope["path"].startswith(scope["root_path"]), "path is without root_path")
    for name, value in scope["headers"]:
        expect(isinstance(name, bytes) and isinstance(value, bytes), "headers are not octets")
        expect(name == name.lower(), f"header {name!r} is not in lower case")
        expect(not name.startswith(b":"), "pseudo header")
    for end in ("client", "server"):
        if scope[end] is not None:
            host, port = scope[end]
            expect(isinstance(host, str) and isinstance(port, int | None), end)
    if kind == HTTP:
        expect(scope["method"].isupper(), "method is not in upper case")
    else:
        expect(all(isinstance(each, str) for each in scope["subprotocols"]), "subprotocols")


class Order:
    """What may be received, and what may be sent, at each moment."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.received: list[dict[str, Any]] = []
        self.sent: list[dict[str, Any]] = []
        self.disconnected = False
        self._request_over = False
        # of the answer
        self.begun = False
        self.over = False

    def receive(self, event: dict[str, Any]) -> None:
        kind = event["type"]
        expect(kind.partition(".")[0] == self.kind, f"{kind} in a scope of {self.kind}")
        getattr(self, f"_receive_{self.kind}")(kind, event)
        self.received.append(event)

    def _receive_http(self, kind: str, event: dict[str, Any]) -> None:
        if kind == "http.disconnect":
            self.disconnected = True
            return
        expect(kind == "http.request", kind)
        expect(not self._request_over, "http.request after the last one")
        expect(not self.disconnected, "http.request after http.disconnect")
        expect(isinstance(event.get("body", b""), bytes), "body")
        self._request_over = not event.get("more_body", False)

    def _receive_websocket(self, kind: str, event: dict[str, Any]) -> None:
        if not self.received:
            expect(kind == "websocket.connect", f"{kind} comes first")
            return
        if kind == "websocket.disconnect":
            expect(isinstance(event["code"], int), "code")
            expect(isinstance(event.get("reason", ""), str), "reason")
            self.disconnected = True
            return
        expect(kind == "websocket.receive", kind)
        expect(self.begun, "websocket.receive before websocket.accept")
        expect(not self.disconnected, "websocket.receive after websocket.disconnect")
        given = [event[name] for name in ("bytes", "text") if event.get(name) is not None]
        expect(len(given) == 1, "neither bytes nor text, or both")
        expect(isinstance(event.get("text"), str | None), "text")
        expect(isinstance(event.get("bytes"), bytes | None), "bytes")

    def _receive_lifespan(self, kind: str, event: dict[str, Any]) -> None:
        wanted = ["lifespan.startup", "lifespan.shutdown"][len(self.received)]
        expect(kind == wanted, f"{kind} instead of {wanted}")

    def send(self, event: dict[str, Any]) -> None:
        kind = event["type"]
        expect(not self.over, f"{kind} after the end")
        getattr(self, f"_send_{self.kind}")(kind, event)
        self.sent.append(event)

    def _send_http(self, kind: str, event: dict[str, Any]) -> None:
        wanted = "http.response.body" if self.begun else "http.response.start"
        expect(kind == wanted, f"{kind} instead of {wanted}")
        if not self.begun:
            self.begun = True
            expect(isinstance(event["status"], int), "status")
            _check_headers(event)
            return
        expect(isinstance(event.get("body", b""), bytes), "body")
        self.over = not event.get("more_body", False)

    def _send_websocket(self, kind: str, event: dict[str, Any]) -> None:
        if kind.startswith("websocket.http."):
            expect(not self.begun, "an HTTP answer after websocket.accept")
            expect((kind.endswith("start")) == (not self.sent), kind)
            self.over = kind.endswith("body") and not event.get("more_body", False)
            return
        expect(
            not (self.sent and self.sent[0]["type"].startswith("websocket.http.")),
            f"{kind} within an HTTP answer",
        )
        if kind == "websocket.close":
            self.over = True
            expect(isinstance(event.get("code", 1000), int), "code")
            expect(isinstance(event.get("reason", ""), str | None), "reason")
        elif kind == "websocket.accept":
            expect(not self.begun, "two websocket.accept")
            self.begun = True
            expect(isinstance(event.get("subprotocol"), str | None), "subprotocol")
            _check_headers(event)
        else:
            expect(kind == "websocket.send", kind)
            expect(self.begun, "websocket.send before websocket.accept")
            given = [event[name] for name in ("bytes", "text") if event.get(name) is not None]
            expect(len(given) == 1, "neither bytes nor text, or both")

    def _send_lifespan(self, kind: str, event: dict[str, Any]) -> None:
        phase = ["startup", "shutdown"][len(self.sent)]
        expect(kind in (f"lifespan.{phase}.complete", f"lifespan.{phase}.failed"), kind)
        expect(len(self.received) > len(self.sent), f"{kind} before it was asked for")


def _check_headers(event: dict[str, Any]) -> None:
    for name, value in event.get("headers", ()):
        expect(isinstance(name, bytes) and isinstance(value, bytes), "headers are not octets")
        expect(name == name.lower(), f"header {name!r} is not in lower case")


class StrictApplication:
    """Judges the server in front of ``app``.

    Attributes:
        orders: of each scope, as they came.
        breaches: of the server; the test is to look that there are none.
    """

    def __init__(self, app: Any) -> None:
        self.app = app
        self.orders: list[Order] = []
        self.breaches: list[Breach] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        order = Order(scope["type"])
        self.orders.append(order)
        self._judge(check_scope, scope)

        async def strict_receive() -> Any:
            event = await receive()
            self._judge(order.receive, event)
            return event

        async def strict_send(event: Any) -> None:
            order.send(event)
            await send(event)

        await self.app(scope, strict_receive, strict_send)

    def _judge(self, check: Any, value: Any) -> None:
        try:
            check(value)
        except Breach as breach:
            self.breaches.append(breach)


class StrictServer:
    """One scope of an application, without a network.

    Args:
        app: to be judged.
        scope: of the connection.

    Attributes:
        order: keeps what was sent and received.
    """

    def __init__(self, app: Any, scope: dict[str, Any]) -> None:
        check_scope(scope)
        self.order = Order(scope["type"])
        self.sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._receiving = False
        self.gone = False
        self.task = asyncio.ensure_future(app(scope, self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        expect(not self._receiving, "two tasks receive")
        self._receiving = True
        try:
            event = await self._events.get()
        finally:
            self._receiving = False
        self.order.receive(event)
        return event

    async def _send(self, event: dict[str, Any]) -> None:
        if self.gone:
            raise OSError("the client is gone")
        self.order.send(event)
        self.sent.put_nowait(event)

    def give(self, kind: str, **facts: Any) -> None:
        """Let the application receive an event."""
        self._events.put_nowait({"type": kind, **facts})

    async def next(self) -> dict[str, Any]:
        """Wait for what the application sends."""
        getting = asyncio.ensure_future(self.sent.get())
        await asyncio.wait({getting, self.task}, return_when=asyncio.FIRST_COMPLETED, timeout=20)
        if not getting.done():
            getting.cancel()
            self.task.result()
            raise AssertionError("the application returned without sending anything more")
        return getting.result()

    async def end(self) -> None:
        """Wait for the application's return; raise what it raises."""
        await asyncio.wait_for(self.task, 20)


def scope_of(kind: str, path: str = "/", **facts: Any) -> dict[str, Any]:
    """Build a scope as servers do."""
    path, _, query = path.partition("?")
    scope: dict[str, Any] = {
        "type": kind,
        "asgi": {"version": "3.0", "spec_version": "2.0" if kind == LIFESPAN else "2.5"},
        "state": {},
    }
    if kind != LIFESPAN:
        scope |= {
            "http_version": "1.1",
            "scheme": "http" if kind == HTTP else "ws",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(b"host", b"server.test")],
            "client": ("192.0.2.1", 1234),
            "server": ("192.0.2.2", 80),
            "extensions": {},
        }
    if kind == HTTP:
        scope["method"] = "GET"
    if kind == WEBSOCKET:
        scope |= {"subprotocols": [], "extensions": {"websocket.http.response": {}}}
    return scope | facts
