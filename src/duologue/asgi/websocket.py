"""One WebSocket in ASGI's events.

``receive()`` is the connection's own ``recv()`` shaped to an event: there is no task and no queue
between them, so back-pressure is the connection's. ``send()`` waits as the connection's does.

Invariants: the order of events is ``websocket.connect``, then messages, then one
``websocket.disconnect``, which is repeated to whoever asks again. The application first accepts,
closes (403) or begins an HTTP answer; then sends; nothing after its ``websocket.close``. What
breaks that raises :exc:`~duologue.exceptions.ASGIError`; anything sent to a connection that is
closing or closed raises :exc:`~duologue.exceptions.ClientDisconnected`.

Source: ASGI WebSocket message format 2.5.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from duologue.asgi.http import HTTPConversation
from duologue.asgi.lookout import lookout_of
from duologue.asgi.scope import Event, text_headers
from duologue.base.exceptions import ASGIError, ClientDisconnected, ConnectionClosed
from duologue.base.vocabulary import CloseCode
from duologue.connection.ending import Cause
from duologue.protocol.handshake import offered_subprotocols, respond
from duologue.server.connection import ServerConnection
from duologue.server.exchanges import HTTPExchange, phrase
from duologue.server.terms import ConnectionOptions
from duologue.wire.headers import Headers
from duologue.wire.http11 import Response

_logger = logging.getLogger("duologue.asgi")
_RESPONSE = "websocket.http.response."


class WebSocketConversation:
    """``receive`` and ``send`` of one opening handshake and the connection it becomes.

    Args:
        exchange: the handshake.
        terms: options of the connection, ``None`` for the server's.
    """

    def __init__(self, exchange: HTTPExchange, terms: ConnectionOptions | None) -> None:
        self._exchange = exchange
        self._terms = terms
        self._connected = False
        self._connection: ServerConnection | None = None
        self._denial: HTTPConversation | None = None
        self._disconnect: Event | None = None
        self._closed = False
        self._over: asyncio.Future[None] | None = None
        self._lookout = lookout_of(asyncio.get_running_loop())

    @property
    def client_gone(self) -> bool:
        """Whether there is nobody to send to."""
        return self._closed or self._exchange.disconnected.done() or self._disconnect is not None

    # -- receiving

    async def receive(self) -> Event:
        """Give the next event."""
        connection = self._connection
        if connection is None or self._closed:
            return await self._receive_without()
        try:
            message = await connection.recv()
        except ConnectionClosed as exc:
            if self._disconnect is None:
                self._disconnect = _disconnect(*_ending(exc))
            return dict(self._disconnect)
        if self._lookout is not None:
            self._lookout.read()
        if message.__class__ is str:
            return {"type": "websocket.receive", "text": message}
        return {"type": "websocket.receive", "bytes": message}

    async def _receive_without(self) -> Event:
        """Give what there is without a connection: its beginning, and its end."""
        if not self._connected:
            self._connected = True
            return {"type": "websocket.connect"}
        if self._disconnect is None:
            if self._over is None:
                self._over = asyncio.get_running_loop().create_future()
            waiting = {self._over, self._exchange.disconnected}
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if self._connection is not None and not self._closed:
                # Accepted by another task meanwhile.
                return await self.receive()
            if self._disconnect is None:
                self._disconnect = _disconnect(CloseCode.ABNORMAL_CLOSURE, "")
        return dict(self._disconnect)

    def _end(self, code: int, reason: str) -> None:
        """The application has ended it: whatever else is received is the disconnection."""
        self._closed = True
        self._disconnect = self._disconnect or _disconnect(code, reason)
        self._tell()

    def shut_down(self, code: int) -> None:
        """Close the connection because the server ends; the application receives that.

        Args:
            code: close code of a connection; a handshake without answer gets 500.
        """
        if self._closed:
            return
        if self._connection is not None:
            self._connection.start_close(code, cause=Cause.SHUTDOWN)
            self._disconnect = self._disconnect or _disconnect(code, "")
        elif not self._exchange.answered:
            text = "The server is shutting down.\n"
            task = asyncio.ensure_future(self._exchange.respond(respond(500, text)))
            task.add_done_callback(lambda done: done.exception())
            self._end(CloseCode.ABNORMAL_CLOSURE, "")

    def _tell(self) -> None:
        if self._over is not None and not self._over.done():
            self._over.set_result(None)

    # -- sending

    async def send(self, event: Event) -> None:
        """Take an event of the application."""
        kind = event["type"]
        connection = self._connection
        if connection is None or self._closed:
            await self._answer(kind, event)
        elif kind == "websocket.send":
            try:
                await connection.send(_payload(event))
            except ConnectionClosed as exc:
                self._disconnect = self._disconnect or _disconnect(*_ending(exc))
                raise ClientDisconnected("the connection is closed") from exc
        elif kind == "websocket.close":
            self._close(connection, event)
        else:
            raise ASGIError(
                f"{kind!r} was sent where 'websocket.send' or 'websocket.close' was expected"
            )

    def _close(self, connection: ServerConnection, event: Event) -> None:
        if connection.close_code is not None or self._disconnect is not None:
            raise ClientDisconnected("the connection is closed")
        code = event.get("code")
        code = CloseCode.NORMAL_CLOSURE if code is None else code
        reason = event.get("reason") or ""
        connection.start_close(code, reason)
        self._end(code, reason)

    async def _answer(self, kind: str, event: Event) -> None:
        """Take what answers the handshake."""
        if self._closed or self._exchange.disconnected.done():
            raise ClientDisconnected("the connection is closed")
        if self._denial is not None or kind == _RESPONSE + "start":
            await self._deny(kind, event)
        elif kind == "websocket.accept":
            await self._accept(event)
        elif kind == "websocket.close":
            self._end(CloseCode.ABNORMAL_CLOSURE, "")
            headers = Headers([("Connection", "close")])
            await self._exchange.respond(Response(403, phrase(403), headers))
        else:
            raise ASGIError(
                f"{kind!r} was sent where 'websocket.accept', 'websocket.close' or "
                f"'websocket.http.response.start' was expected"
            )

    async def _accept(self, event: Event) -> None:
        headers = text_headers(event.get("headers") or ())
        subprotocol = event.get("subprotocol") or None
        lines = headers.get_all("Sec-WebSocket-Protocol")
        if lines:
            raise ValueError("Sec-WebSocket-Protocol is for the event's 'subprotocol' to say")
        if subprotocol is not None and subprotocol not in offered_subprotocols(
            self._exchange.request.headers
        ):
            # Clients must refuse what they didn't ask for (RFC 6455 section 4.1).
            _logger.warning(
                "the application accepted with subprotocol %r, which the client didn't offer; "
                "the connection has none",
                subprotocol,
            )
            subprotocol = None
        options: dict[str, Any] = {} if self._terms is None else {"terms": self._terms}
        self._connection = await self._exchange.accept(subprotocol, headers, **options)
        # ASGI applications learn of the end by receiving it.
        self._connection.cancellable = False
        self._connected = True
        self._tell()

    async def _deny(self, kind: str, event: Event) -> None:
        """Take a part of the HTTP answer that refuses the handshake."""
        if not kind.startswith(_RESPONSE):
            raise ASGIError(f"{kind!r} was sent within an HTTP answer to the handshake")
        if self._denial is None:
            self._denial = HTTPConversation(self._exchange)
        await self._denial.send({**event, "type": kind.removeprefix("websocket.")})
        if kind == _RESPONSE + "body" and not event.get("more_body", False):
            self._end(CloseCode.ABNORMAL_CLOSURE, "")

    def check_end(self) -> None:
        """Judge the application's return.

        Raises:
            ASGIError: If it has not answered the handshake, and somebody still waits.
        """
        if self._connection is not None or self.client_gone:
            return
        if self._denial is not None:
            self._denial.check_end()
        raise ASGIError("the application returned without answering the opening handshake")


def _payload(event: Event) -> str | bytes:
    octets, text = event.get("bytes"), event.get("text")
    if octets is not None:
        return octets  # type: ignore[no-any-return]
    if text is None:
        raise ASGIError("'websocket.send' has neither 'bytes' nor 'text'")
    return text  # type: ignore[no-any-return]


def _ending(exc: ConnectionClosed) -> tuple[int, str]:
    """Code and reason that ended a connection: those of the side that spoke first."""
    first = exc.rcvd if exc.rcvd_then_sent or exc.sent is None else exc.sent
    if first is None:
        return CloseCode.ABNORMAL_CLOSURE, ""
    return first.code, first.reason


def _disconnect(code: int, reason: str) -> Event:
    return {"type": "websocket.disconnect", "code": int(code), "reason": reason}
