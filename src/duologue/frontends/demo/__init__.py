"""The demo: pages that talk to the server they came from, all on one port.

The pages' sources lie beside this file in ``pages/`` as plain HTML, CSS and JavaScript modules
without a build step; they are meant to be read.

================  =============================  =============================================
path              opened in a browser            opened as a WebSocket
================  =============================  =============================================
``/``             the start page                 the chat
``/echo``         the echo page                  the echo
``/chat``         the chat page                  –
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
``/tutorials``    pages of well-known tutorials  –
================  =============================  =============================================

It must never serve a file by the name in a request: :data:`FILES` lists all there is. Whatever a
visitor can make it do has a bound in :mod:`.bounds`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, cast

from duologue.asyncio.server import Server, ServerConnection
from duologue.asyncio.server import serve as serve_websocket
from duologue.frontends import pages
from duologue.frontends.chat import Chat
from duologue.frontends.demo import services
from duologue.frontends.demo.bounds import MAX_SIZE, MAX_SLOW, MAX_VISITORS, SLOW
from duologue.frontends.demo.connection import DemoConnection
from duologue.frontends.demo.inspector import Inspector
from duologue.frontends.demo.lab import Lab
from duologue.frontends.echo import Echo
from duologue.http11 import Request, Response

__all__ = ["FILES", "MAX_SIZE", "Demo", "serve"]

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


def _no_log(line: str) -> None:
    pass


class Demo:
    """The demo's web site and services, to be handed to a server.

    Pass :meth:`handler` and :meth:`options` to :func:`duologue.asyncio.server.serve`, or use
    :func:`serve`.

    Args:
        log: Called with each line of the chat's log, see :class:`duologue.frontends.chat.Chat`.

    Attributes:
        chat: The chat room.
        echo: The echo service.
        lab: The service behind the lab's pages.
        inspector: The service behind the inspector's page.
    """

    def __init__(self, log: Callable[[str], object] = _no_log) -> None:
        self.chat = Chat(log)
        self.echo = Echo()
        self.lab = Lab()
        self.inspector = Inspector()
        self._handlers: dict[str, Callable[[Any], Awaitable[None]]] = {
            "/": self.chat.handler,
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

    def options(self) -> dict[str, Any]:
        """Returns what :func:`duologue.asyncio.server.serve` needs to know besides the handler."""
        return {
            "process_request": self.process_request,
            "select_subprotocol": _select_subprotocol,
            "create_connection": DemoConnection,
        }

    async def handler(self, websocket: ServerConnection) -> None:
        """Serves one connection by the path that it was opened with.

        Args:
            websocket: The connection. :meth:`process_request` has let it in.
        """
        await self._handlers[pages.request_path(websocket.request)](websocket)

    def process_request(
        self, connection: ServerConnection, request: Request
    ) -> Response | Awaitable[None] | None:
        """Answers plain HTTP with the web site, and WebSockets that lead nowhere with 404.

        Args:
            connection: The connection.
            request: What the client asks for.

        Returns:
            ``None`` to go on with the opening handshake, at once or in a while, or the answer.
        """
        path = pages.request_path(request)
        if request.method not in pages.METHODS:
            return pages.method_refusal()
        if pages.wants_websocket(request):
            return self._admit(path, cast(DemoConnection, connection), request)
        if path in self._pages:
            return pages.answer(self._pages[path])
        return pages.refusal(HTTPStatus.NOT_FOUND, "The demo has no such page.")

    def _admit(
        self, path: str, connection: DemoConnection, request: Request
    ) -> Response | Awaitable[None] | None:
        if path not in self._handlers:
            return pages.text_answer(
                HTTPStatus.NOT_FOUND, "No WebSocket here: the chat is at /, the echo at /echo."
            )
        if len(connection.server.all_connections) >= MAX_VISITORS:
            return _busy(f"{MAX_VISITORS} WebSockets are open, which is the most.")
        if path == "/inspected":
            refusal = self.inspector.admit(connection, request)
            if refusal is None:
                return None
            return pages.text_answer(HTTPStatus.FORBIDDEN, refusal)
        if path == "/slow":
            if self._slow.locked():
                return _busy(f"{MAX_SLOW} handshakes are held back, which is the most.")
            return self._hold_back()
        return None

    async def _hold_back(self) -> None:
        async with self._slow:
            await asyncio.sleep(SLOW)


def _busy(why: str) -> Response:
    return pages.text_answer(HTTPStatus.SERVICE_UNAVAILABLE, why)


def _select_subprotocol(connection: ServerConnection, offered: Any) -> Any:
    if pages.request_path(connection.request) == "/subprotocol":
        return services.select_subprotocol(connection, offered)
    return None


def serve(
    host: str = "127.0.0.1",
    port: int = 8001,
    *,
    log: Callable[[str], object] = _no_log,
    max_size: int | None = MAX_SIZE,
    **options: Any,
) -> Server:
    """Serves the demo, see :class:`Demo`.

    Args:
        host: Address to listen on.
        port: TCP port; 0 lets the operating system choose.
        log: Called with each line of the chat's log.
        max_size: Largest message accepted, in bytes; ``None`` lifts the limit.
        **options: Passed to :func:`duologue.asyncio.server.serve`.

    Returns:
        The server, to be awaited or used as an asynchronous context manager.
    """
    demo = Demo(log)
    return serve_websocket(demo.handler, host, port, max_size=max_size, **demo.options(), **options)
