"""The demo: pages that talk to the server they came from, all on one port.

A start page, an echo page and a chat page. The pages' sources lie beside this file in ``pages/`` as
plain HTML, CSS and JavaScript without a build step; they are meant to be read.

===========  =============================  =========================
path         opened in a browser            opened as a WebSocket
===========  =============================  =========================
``/``        the start page                 the chat
``/echo``    the echo page                  the echo
``/chat``    the chat page                  –
===========  =============================  =========================

It must never serve a file by the name in a request: :data:`FILES` lists all there is.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from duologue.asyncio.server import Server, ServerConnection
from duologue.asyncio.server import serve as serve_websocket
from duologue.frontends import pages
from duologue.frontends.chat import Chat
from duologue.frontends.echo import Echo
from duologue.http11 import Request, Response

__all__ = ["FILES", "MAX_SIZE", "Demo", "serve"]

MAX_SIZE = 16 * 1024 * 1024
"""Largest message the demo accepts, in bytes."""

FILES = {
    "/": "index.html",
    "/echo": "echo.html",
    "/chat": "chat.html",
    "/style.css": "style.css",
    "/echo.js": "echo.js",
    "/chat.js": "chat.js",
    "/favicon.svg": "favicon.svg",
}
"""Paths of the web site, and the files in ``pages/`` that answer them."""


def _no_log(line: str) -> None:
    pass


class Demo:
    """The demo's web site, chat and echo, to be handed to a server.

    Pass :meth:`handler` and :meth:`process_request` to :func:`duologue.asyncio.server.serve`, or
    use :func:`serve`.

    Args:
        log: Called with each line of the chat's log, see :class:`duologue.frontends.chat.Chat`.

    Attributes:
        chat: The chat room.
        echo: The echo service.
    """

    def __init__(self, log: Callable[[str], object] = _no_log) -> None:
        self.chat = Chat(log)
        self.echo = Echo()
        self._handlers = {"/": self.chat.handler, "/echo": self.echo.handler}
        self._pages = {path: pages.load(__name__, f"pages/{name}") for path, name in FILES.items()}

    async def handler(self, websocket: ServerConnection) -> None:
        """Serves one connection by the path that it was opened with.

        Args:
            websocket: The connection. :meth:`process_request` has let it in.
        """
        assert websocket.request is not None  # the opening handshake is over
        await self._handlers[pages.request_path(websocket.request)](websocket)

    def process_request(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answers plain HTTP with the web site, and WebSockets that lead nowhere with 404.

        Args:
            connection: The connection; not used.
            request: What the client asks for.

        Returns:
            ``None`` to go on with the opening handshake, or the answer.
        """
        path = pages.request_path(request)
        if request.method not in pages.METHODS:
            return pages.method_refusal()
        if pages.wants_websocket(request):
            if path in self._handlers:
                return None
            return pages.text_answer(
                HTTPStatus.NOT_FOUND, "No WebSocket here: the chat is at /, the echo at /echo."
            )
        if path in self._pages:
            return pages.answer(self._pages[path])
        return pages.refusal(HTTPStatus.NOT_FOUND, "The demo has no such page.")


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
    return serve_websocket(
        demo.handler,
        host,
        port,
        process_request=demo.process_request,
        max_size=max_size,
        **options,
    )
