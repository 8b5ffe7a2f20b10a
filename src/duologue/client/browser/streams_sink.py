"""Where chunks go that are written to a WebSocketStream: the connection.

It must never decide when the stream ends; it knows only whether the peer closed while a message was
on its way, which no closing handshake makes good.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from duologue.base.exceptions import ConnectionClosed
from duologue.base.vocabulary import State
from duologue.client.browser.arguments import to_message
from duologue.client.browser.dom_exception import DOMException
from duologue.client.connection import ClientConnection

__all__ = ["ConnectionSink"]


class ConnectionSink:
    """Sends chunks on a connection; see :class:`~.streams_writable.Sink`.

    Args:
        connection: an open one.
        close_for: begins to close, for a reason.
        failure: makes the exception for who waits when the end isn't clean.
    """

    def __init__(
        self,
        connection: ClientConnection,
        close_for: Callable[[object], None],
        failure: Callable[[ClientConnection], BaseException],
    ) -> None:
        self._connection = connection
        self._close_for = close_for
        self._failure = failure
        self._sending: asyncio.Task[None] | None = None
        self._end: asyncio.Future[None] = connection.loop.create_future()
        # From now on the connection counts what was sent.
        connection.count_unsent()
        self.cut = False
        """Whether the peer closed while a message was on its way."""

    def convert(self, chunk: object) -> str | bytes:
        """Take a chunk as ``WebSocket.send`` does."""
        return to_message(chunk)[0]

    def write(self, data: str | bytes) -> Awaitable[None]:
        """Send a message; there is room for more once it has mostly left."""
        # Sent by the call; what it returns waits for room.
        room = self._connection.send(data) if self._connection.state is State.OPEN else None
        self._sending = self._connection.loop.create_task(self._wait(room))
        return self._sending

    def close(self) -> Awaitable[None]:
        """Do the closing handshake."""
        self._close_for(None)
        return self._end

    def abort(self, reason: object) -> None:
        """Close with the reason's code, if it has one."""
        self._close_for(reason)

    def too_much(self, octets: int) -> Exception | None:
        """Hold what waits against ``Limits.max_outbox``."""
        most = self._connection.settings.limits.max_outbox
        if most is None or octets <= most:
            return None
        return DOMException(
            f"{octets} octets would wait to be written, more than max_outbox of {most}; "
            "await the promises of write()",
            "QuotaExceededError",
        )

    async def idle(self) -> None:
        """Wait until no message is on its way; for a connection that has ended, only a moment."""
        if self._sending is not None:
            await asyncio.wait({self._sending})

    def ended(self, exc: BaseException | None) -> None:
        """The connection has ended; tell who waits for :meth:`close`."""
        if exc is None:
            self._end.set_result(None)
        else:
            self._end.set_exception(exc)
            self._end.exception()

    async def _wait(self, room: Awaitable[None] | None) -> None:
        connection = self._connection
        if room is None:
            # The peer may have closed before the program could know.
            self.cut = self.cut or bool(connection.close_rcvd_then_sent)
            raise DOMException("the WebSocketStream is closed or closing", "InvalidStateError")
        passed, taken, unframed = connection.count_unsent()
        on_its_way = passed > taken or unframed > 0
        try:
            await room
        except ConnectionClosed:
            if connection.close_rcvd is None:
                raise self._failure(connection) from None
            self.cut = True
        self.cut = self.cut or bool(on_its_way and connection.close_rcvd_then_sent)
        if self.cut:
            raise DOMException(
                "the peer closed while the message was being sent", "InvalidStateError"
            )
