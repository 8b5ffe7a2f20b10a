"""The other way round: handlers of ours as an ASGI application under any ASGI server.

:class:`Guest` makes exchanges of scope, receive and send, so that whoever answers exchanges runs
under uvicorn, hypercorn, granian or Django as it does on our own links. What ASGI can't do:

- there are no pings: ``ping()`` and ``pong()`` raise :exc:`NotImplementedError`, and keepalive is
  the server's;
- permessage-deflate is the server's;
- ``close(code=None)`` sends 1000, since ASGI has no Close frame without a code;
- an answer to an opening handshake other than 101 is a plain 403 unless the server has the
  extension ``websocket.http.response``;
- ``exchange.disconnected`` is known only while somebody receives: asking for it starts to. It is
  not known before a request's body was read.

Source: ASGI specification 3.0, HTTP and WebSocket message formats 2.5, lifespan protocol 2.0.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from duologue.asgi.guest_exchange import GuestExchange
from duologue.asgi.scope import Receive, Scope, Send
from duologue.asgi.standing import standing_server
from duologue.base.exceptions import ASGIError
from duologue.base.limits import DEFAULT_LIMITS, Limits
from duologue.base.types import LoggerLike
from duologue.server.exchanges import RequestHandler
from duologue.server.serving import Server
from duologue.server.terms import ConnectionOptions

Moment = Callable[[], Awaitable[None]]


class Guest:
    """An ASGI 3 application that answers with a handler of exchanges.

    Args:
        handler: coroutine function that answers each :class:`HTTPExchange`.
        startup: coroutine function for the lifespan's beginning; what it raises fails it.
        shutdown: coroutine function for its end.
        limits: ``max_body`` bounds the bodies of requests; see :class:`Limits` for connections'.
        terms: of connections whose ``accept()`` isn't told otherwise; by default of ``limits``.
        logger: by default ``logging.getLogger("duologue.asgi")``.
    """

    def __init__(
        self,
        handler: RequestHandler,
        *,
        startup: Moment | None = None,
        shutdown: Moment | None = None,
        limits: Limits = DEFAULT_LIMITS,
        terms: ConnectionOptions | None = None,
        logger: LoggerLike | None = None,
    ) -> None:
        self._handler = handler
        self._startup, self._shutdown = startup, shutdown
        self._limits = limits
        self._logger = logger or logging.getLogger("duologue.asgi")
        self._terms = terms or ConnectionOptions.resolve(limits=limits, logger=self._logger)
        self._server: Server | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the lifespan.

        Raises:
            ASGIError: If the scope is of a kind that ASGI doesn't have, or an answer was cut off.
        """
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] in ("http", "websocket"):
            exchange = GuestExchange(
                self._handler,
                self.server,
                self._terms,
                scope,
                receive,
                send,
                self._limits.max_body,
                self._logger,
            )
            await exchange.run()
        else:
            raise ASGIError(f"no such scope: {scope['type']!r}")

    @property
    def server(self) -> Server:
        """Has the connections of the running event loop; made when first asked for."""
        loop = asyncio.get_running_loop()
        if self._server is None or self._loop is not loop:
            self._server = standing_server(self._handler, limits=self._limits, logger=self._logger)
            self._loop = loop
        return self._server

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        moments = {"startup": self._startup, "shutdown": self._shutdown}
        while moments:
            phase = (await receive())["type"].removeprefix("lifespan.")
            moment = moments.pop(phase)
            try:
                if moment is not None:
                    await moment()
            except Exception as exc:
                self._logger.error("%s failed", phase, exc_info=exc)
                await send({"type": f"lifespan.{phase}.failed", "message": repr(exc)})
                return
            await send({"type": f"lifespan.{phase}.complete"})
