"""The echo service: whatever arrives goes back, unchanged, in a message of the same kind.

It behaves as the first echo.websocket.org did: any path, no greeting, text answered with text and
binary with binary. ``greeting`` makes it speak first, as later echo services do. Whoever opens its
address in a browser gets a page to try it with.

It must never look into a message.
"""

from __future__ import annotations

from typing import Any

from duologue.asyncio.server import Server, ServerConnection
from duologue.asyncio.server import serve as serve_websocket
from duologue.exceptions import ConnectionClosed
from duologue.frontends import pages
from duologue.http11 import Request, Response

__all__ = ["Echo", "serve"]


class Echo:
    """The echo service, to be handed to a server.

    Pass :meth:`handler` and :meth:`process_request` to :func:`duologue.asyncio.server.serve`, or
    use :func:`serve`, which does that.

    Args:
        greeting: Text to send as soon as a connection opens. ``None``, the default, sends none; an
            empty string sends an empty message.
    """

    def __init__(self, greeting: str | None = None) -> None:
        self.greeting = greeting
        self._page = pages.load(__name__, "page.html")

    async def handler(self, websocket: ServerConnection) -> None:
        """Echoes on one connection until it ends.

        Args:
            websocket: The connection.
        """
        try:
            if self.greeting is not None:
                await websocket.send(self.greeting)
            async for message in websocket:
                await websocket.send(message)
        except ConnectionClosed:
            # How a peer leaves is its own affair: an echo has nothing to clean up.
            pass

    def process_request(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answers plain HTTP with the page, on every path.

        Args:
            connection: The connection; not used.
            request: What the client asks for.

        Returns:
            ``None`` to go on with the opening handshake, or the answer to plain HTTP.
        """
        if request.method not in pages.METHODS:
            return pages.method_refusal()
        return None if pages.wants_websocket(request) else pages.answer(self._page)


def serve(
    host: str = "127.0.0.1",
    port: int = 8000,
    *,
    greeting: str | None = None,
    **options: Any,
) -> Server:
    """Serves the echo, see :class:`Echo`.

    Args:
        host: Address to listen on.
        port: TCP port; 0 lets the operating system choose.
        greeting: Text to send first, see :class:`Echo`.
        **options: Passed to :func:`duologue.asyncio.server.serve`.

    Returns:
        The server, to be awaited or used as an asynchronous context manager.
    """
    echo = Echo(greeting)
    return serve_websocket(
        echo.handler, host, port, process_request=echo.process_request, **options
    )
