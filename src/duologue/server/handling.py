"""What a request's handler may still do, and what becomes of a request without an answer.

What it is: :class:`HandledExchange`, the part that exchanges have in common whatever carries them.

Invariants: whatever a handler does, the request is answered or its peer cut off; one error is
logged for one failure, none for a peer that is gone.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from duologue.base.exceptions import ClientDisconnected, InvalidHandshake, InvalidState
from duologue.base.types import LoggerLike
from duologue.protocol.handshake import rejection, respond
from duologue.server.connection import ServerConnection
from duologue.server.exchanges import HTTPExchange, RequestHandler
from duologue.server.terms import ConnectionOptions
from duologue.wire.http11 import Response

if TYPE_CHECKING:
    from duologue.server.serving import Server

_FAILED = "Internal server error: the server's log says why.\n"


class HandledExchange(HTTPExchange):
    """An exchange that knows how to run its handler.

    Args:
        handler: coroutine function that answers it.
        server: has the connection that the exchange may become.
        terms: options of that connection, unless :meth:`accept` is given others.
        logger: hears of failures.
    """

    def __init__(
        self,
        handler: RequestHandler,
        server: Server,
        terms: ConnectionOptions,
        logger: LoggerLike,
    ) -> None:
        self._handler = handler
        self._server = server
        self._terms = terms
        self._logger = logger
        # Whether the peer is gone; or has at least ended its side, and may still take an answer.
        self._gone = False
        self._left = False
        self._answered = False
        self._finished = False
        self._connection: ServerConnection | None = None
        # Whether callbacks serve the connection, not the handler.
        self._endpoint = False

    @property
    def answered(self) -> bool:
        """See :attr:`HTTPExchange.answered`."""
        return self._answered

    @abstractmethod
    def abort(self) -> None:
        """Cut the peer off within an answer that had begun."""

    def _expect_no_answer(self) -> None:
        if self._gone:
            raise ClientDisconnected("the client is gone before the answer")
        if self._answered or self._connection is not None:
            raise InvalidState("this request was answered already")

    def _expect_begun(self) -> None:
        if self._gone:
            raise ClientDisconnected("the client is gone before the answer's end")
        if self._finished or not self._answered:
            raise InvalidState("no answer in parts was begun, or it was finished")

    def _choose_terms(
        self, terms: ConnectionOptions | None, options: dict[str, Any]
    ) -> ConnectionOptions:
        if terms is None:
            return ConnectionOptions.resolve(**options) if options else self._terms
        if options:
            raise TypeError(f"options beside terms: {', '.join(options)}")
        return terms

    async def handle(self) -> None:
        """Run the handler, and see to it that the request is answered."""
        try:
            await self._handler(self)
        except asyncio.CancelledError as exc:
            await self._end(exc)
            raise
        except Exception as exc:
            await self._end(exc)
        else:
            await self._end(None)

    async def _end(self, exc: BaseException | None) -> None:
        if self._connection is not None:
            if not self._endpoint:
                await self._server.handler_ended(self._connection, exc)
            elif exc is not None:
                self._connection.blame(exc)
        elif (self._gone or self._left) and isinstance(exc, ClientDisconnected | None):
            if not (self._gone or self._finished):
                self.abort()
        elif isinstance(exc, InvalidHandshake) and not self._answered:
            self._logger.debug("! request refused", exc_info=exc)
            await self._conclude(rejection(exc))
        elif exc is not None or not self._finished:
            self._log_failure(exc)
            await self._conclude(respond(500, _FAILED))

    def _log_failure(self, exc: BaseException | None) -> None:
        what = f"{self.request.method} {self.request.path}"
        if isinstance(exc, asyncio.CancelledError):
            self._logger.info("request handler was cancelled: %s", what)
        elif exc is not None:
            self._logger.error("request handler failed: %s", what, exc_info=exc)
        else:
            self._logger.error("request handler returned without a whole answer: %s", what)

    async def _conclude(self, response: Response) -> None:
        """Answer for a handler that did not; an answer that had begun can only be cut off."""
        if self._gone or self._finished:
            return
        if self._answered:
            self.abort()
            return
        try:
            await self.respond(response)
        except ClientDisconnected:
            pass
