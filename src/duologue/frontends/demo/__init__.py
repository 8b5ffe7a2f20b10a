"""The demo: pages that talk to the server they came from, all on one port.

The pages' sources lie beside this file in ``pages/`` as plain HTML, CSS and JavaScript modules
without a build step; they are meant to be read.

================  =============================  =============================================
path              opened in a browser            opened as a WebSocket
================  =============================  =============================================
``/``             the start page                 the chat's lobby, as tutorials speak
``/echo``         the echo page                  the echo
``/chat``         the chat page                  –
``/rooms``        –                              the chat's rooms, see :mod:`.rooms`
``/lab``          life of a WebSocket, events    commands, see :mod:`.lab`
``/slow``         –                              the same after a handshake that takes a while
``/codes``        close codes                    –
``/data``         text, binary, buffering        –
``/streams``      push, both ways, calls         –
``/inspector``    frames, octet for octet        –
``/inspect``      –                              reports, see :mod:`.inspector`
``/inspected``    –                              an echo that is inspected
``/ticker``       –                              a message each second, unasked
``/stream``       –                              both directions at once
``/rpc``          –                              calls and answers
``/digest``       –                              what has arrived
``/subprotocol``  –                              negotiates a subprotocol
``/schemes``      ``["ws"]``, ``["wss"]``, both  –
``/tutorials``    pages of well-known tutorials  –
================  =============================  =============================================

Any number of workers may serve it: what belongs to a visitor is in the connection, and what
connections have in common is in topics, which all workers share. So it never matters which of them
a connection has come to.

It must never serve a file by the name in a request: :data:`FILES` lists all there is. Whatever a
visitor can make it do has a bound in :mod:`.bounds`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from http import HTTPStatus
from typing import Any

from duologue.app.application import App
from duologue.app.errors import HTTPError
from duologue.app.guard import UpgradeRequest
from duologue.app.request import Request
from duologue.asyncio.server import Server, ServerConnection
from duologue.frontends import pages
from duologue.frontends.demo import bounds, services
from duologue.frontends.demo.bounds import MAX_SIZE, MAX_SLOW, MAX_VISITORS, SLOW
from duologue.frontends.demo.connection import DemoConnection
from duologue.frontends.demo.inspector import InspectedConnection, Inspector
from duologue.frontends.demo.lab import Lab
from duologue.frontends.demo.rooms import Rooms
from duologue.frontends.echo import Echo
from duologue.http11 import Response

__all__ = ["FILES", "MAX_SIZE", "Demo", "serve", "served_schemes"]

_PAGES = {
    "/": "index",
    "/echo": "echo",
    "/chat": "chat",
    "/lab": "lab",
    "/codes": "codes",
    "/data": "data",
    "/streams": "streams",
    "/inspector": "inspector",
    "/tutorials": "tutorials",
    "/runoob_websocket.html": "runoob",
    "/websocket-demos": "websocket-demos",
}
_SCRIPTS = (
    "echo",
    "chat",
    "common",
    "lab",
    "codes",
    "data",
    "streams",
    "inspector",
    "runoob",
    "websocket-demos",
)

FILES = {
    **{path: f"{name}.html" for path, name in _PAGES.items()},
    **{f"/{name}.js": f"{name}.js" for name in _SCRIPTS},
    "/style.css": "style.css",
    "/favicon.svg": "favicon.svg",
}
"""Paths of the web site, and the files in ``pages/`` that answer them."""


# What one visitor may say to others.
_LIMITS: dict[str, dict[str, Any]] = {
    "/": {"message_rate": bounds.PLAIN_RATE},
    "/rooms": {"message_rate": bounds.SAID_RATE, "max_size": bounds.MAX_OCTETS_SAID},
}

Handler = Callable[[Any], Awaitable[None]]


def _no_log(line: str) -> None:
    pass


class Demo:
    """The demo's web site and services.

    Args:
        log: Called with each line of the chat's log, see :class:`duologue.frontends.chat.Chat`.
        max_size: Largest message accepted, in bytes; ``None`` lifts the limit.
        schemes: Those that its one port is served with: ``"ws"``, ``"wss"`` or both.
        workers: How many processes serve it, for its pages to tell.

    Attributes:
        app: The application that serves them.
        rooms: The chat.
        echo: The echo service.
        lab: The service behind the lab's pages.
        inspector: The service behind the inspector's page.
    """

    def __init__(
        self,
        log: Callable[[str], object] = _no_log,
        *,
        max_size: int | None = MAX_SIZE,
        schemes: Sequence[str] = ("ws",),
        workers: int = 1,
    ) -> None:
        # Its pages are tried from everywhere.
        self.app = App(origins="*", allowed_hosts="*", max_size=max_size, lifespan=self._running)
        self.rooms = Rooms(self.app, log, workers)
        self.echo = Echo()
        self.lab = Lab(self.app)
        self.inspector = Inspector(self.app)
        self._schemes = list(schemes)
        self._visitors = 0
        self._handlers: dict[str, Handler] = {
            "/": self.rooms.talk_plainly,
            "/rooms": self.rooms.visit,
            "/echo": self.echo.handler,
            "/lab": self.lab.handler,
            "/slow": self.lab.handler,
            "/inspect": self.inspector.watch,
            "/inspected": self.inspector.subject,
            "/ticker": services.ticker,
            "/stream": services.stream,
            "/rpc": services.rpc,
            "/digest": services.digest,
            "/subprotocol": services.subprotocol,
        }
        self._pages = {path: pages.load(__name__, f"pages/{name}") for path, name in FILES.items()}
        self._slow = asyncio.Semaphore(MAX_SLOW)
        self._admissions = {
            "/rooms": self._admit_to_room,
            "/slow": self._admit_slowly,
            "/inspected": self._admit_inspected,
            "/subprotocol": self._admit_negotiating,
        }
        self._declare()

    @contextlib.asynccontextmanager
    async def _running(self, app: App) -> AsyncIterator[None]:
        with self.lab.running(), self.inspector.running():
            async with self.rooms.running():
                yield

    def _declare(self) -> None:
        """Puts all of it into the application."""
        for path, handler in self._handlers.items():
            self.app.websocket(
                path,
                on_request=self._admissions.get(path, self._admit),
                create_connection=InspectedConnection if path == "/inspected" else DemoConnection,
                **_LIMITS.get(path, {}),
            )(self._counting(handler))
        self.app.websocket("/{path:path}", on_request=_refuse)(_talk_to_nobody)
        self.app.get("/schemes")(self._tell_schemes)
        self.app.route("/{path:path}")(self._page)

    def _counting(self, handler: Handler) -> Handler:
        async def visit(websocket: Any) -> None:
            self._visitors += 1
            try:
                await handler(websocket)
            finally:
                self._visitors -= 1

        return visit

    async def _tell_schemes(self, request: Request) -> list[str]:
        return self._schemes

    async def _page(self, request: Request) -> Response:
        """Answers plain HTTP with the web site."""
        head = request.exchange.request
        if request.method not in pages.METHODS:
            return pages.method_refusal()
        if pages.wants_websocket(head):
            # A botched handshake: whoever wrote it wants to know what is wrong with it.
            await request.exchange.accept()
        if request.raw_path in self._pages:
            return pages.answer(self._pages[request.raw_path])
        return pages.refusal(HTTPStatus.NOT_FOUND, "The demo has no such page.")

    async def _admit(self, request: UpgradeRequest) -> None:
        if self._visitors >= MAX_VISITORS:
            raise HTTPError(503, f"{MAX_VISITORS} WebSockets are open, which is the most.")

    async def _admit_to_room(self, request: UpgradeRequest) -> None:
        await self._admit(request)
        await self.rooms.admit(request)

    async def _admit_slowly(self, request: UpgradeRequest) -> None:
        await self._admit(request)
        if self._slow.locked():
            raise HTTPError(503, f"{MAX_SLOW} handshakes are held back, which is the most.")
        async with self._slow:
            await asyncio.sleep(SLOW)

    async def _admit_inspected(self, request: UpgradeRequest) -> None:
        await self._admit(request)
        await self.inspector.admit(request)

    async def _admit_negotiating(self, request: UpgradeRequest) -> None:
        await self._admit(request)
        await request.accept(services.choose_subprotocol(request.subprotocols))


async def _refuse(request: UpgradeRequest) -> None:
    raise HTTPError(404, "No WebSocket here: the chat is at /, the echo at /echo.")


async def _talk_to_nobody(websocket: ServerConnection) -> None:
    """Never called: nobody gets there."""


def serve(
    host: str = "127.0.0.1",
    port: int = 8001,
    *,
    log: Callable[[str], object] = _no_log,
    max_size: int | None = MAX_SIZE,
    **options: Any,
) -> AbstractAsyncContextManager[Server]:
    """Serves the demo, see :class:`Demo`.

    Args:
        host: Address to listen on.
        port: TCP port; 0 lets the operating system choose.
        log: Called with each line of the chat's log.
        max_size: Largest message accepted, in bytes; ``None`` lifts the limit.
        **options: Passed to :meth:`duologue.App.serving`.

    Returns:
        An asynchronous context manager of the server.
    """
    tls = (options.get("ssl"), options.get("ssl_certfile")) != (None, None)
    schemes = served_schemes(tls, options.get("ssl_optional", False))
    return Demo(log, max_size=max_size, schemes=schemes).app.serving(host, port, **options)


def served_schemes(tls: bool, optional: bool) -> list[str]:
    """Names the schemes that a port is served with.

    Args:
        tls: Whether it has a certificate.
        optional: Whether it takes connections without TLS all the same.
    """
    return ["ws"] * (not tls or optional) + ["wss"] * tls
