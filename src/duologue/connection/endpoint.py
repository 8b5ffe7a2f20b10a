"""What a connection calls when no task waits for it."""

from __future__ import annotations

from duologue.base.types import Data
from duologue.connection.connection import Connection


class Endpoint:
    """An application as callbacks: no task for each connection, so idle ones cost next to nothing.

    ::

        class Echo(duologue.Endpoint):
            def on_message(self, ws, message):
                ws.send(message)

        async with duologue.serve(Echo(), "127.0.0.1", 8000) as server:
            await server.serve_forever()

    One object serves all connections of a server; what belongs to one of them can be kept as
    attributes of ``ws``. Callbacks are plain functions and run where octets are received: they
    should be short, and may call anything that doesn't wait (``ws.send(...)`` needs no ``await``;
    start a task for what does). What several sends in one callback write goes out together.

    An exception closes the connection with 1011 and is logged. Callbacks that aren't overridden
    cost nothing.
    """

    def on_open(self, ws: Connection) -> None:
        """The opening handshake is done."""

    def on_message(self, ws: Connection, message: Data) -> None:
        """A message arrived, whole.

        Args:
            ws: the connection.
            message: :class:`str` from text frames, :class:`bytes` from binary ones.
        """

    def on_ping(self, ws: Connection, payload: bytes) -> None:
        """A Ping frame arrived; it has been answered."""

    def on_pong(self, ws: Connection, payload: bytes) -> None:
        """A Pong frame arrived."""

    def on_drain(self, ws: Connection) -> None:
        """What was sent has left; before, more than ``write_limit`` octets waited."""

    def on_close(self, ws: Connection, code: int, reason: str) -> None:
        """The connection is closed; called once for each that was opened.

        Args:
            ws: the connection; ``ws.ending`` says why it ended.
            code: close code of the peer, 1005 if it gave none, 1006 if none came.
            reason: close reason of the peer.
        """
