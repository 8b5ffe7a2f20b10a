"""What a connection calls when no task waits for it."""

from __future__ import annotations

from duologue.base.types import Data
from duologue.base.vocabulary import Opcode
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

    keep_request: bool = False
    """Whether ``ws.request`` and ``ws.response`` stay after ``on_open``.

    They are the largest part of what an idle connection needs, so they are let go: what matters of
    them can be noted in ``on_open``.
    """

    def on_open(self, ws: Connection) -> None:
        """The opening handshake is done."""

    def on_message(self, ws: Connection, message: Data) -> None:
        """A message arrived, whole.

        Args:
            ws: the connection.
            message: :class:`str` from text frames, :class:`bytes` from binary ones.
        """

    def on_frame(self, ws: Connection, opcode: Opcode, fin: bool, view: memoryview) -> None:
        """A data frame arrived, whole; for feeds whose payloads need not become objects.

        An endpoint that overrides this gets frames instead of messages: ``on_message`` is never
        called. Everything else is as ever: UTF-8 is checked (invalid text ends the connection
        before its frame gets here), compressed payloads are inflated, ``max_size`` holds for the
        message, and control frames come between through ``on_ping`` and ``on_pong``. Nothing is
        kept, so a message may have any number of fragments.

        Args:
            ws: the connection.
            opcode: TEXT or BINARY in a message's first frame, CONT in those that follow.
            fin: whether it is the message's last frame.
            view: the payload, read-only, on loan for the call: it is released afterwards, and later
                use raises :exc:`ValueError`. Copy what is to stay (``bytes(view)``). A slice of
                it, or an array made from it, keeps the whole payload's memory for as long as it
                lives.
        """

    def on_ping(self, ws: Connection, payload: bytes) -> None:
        """A Ping frame arrived; it has been answered."""

    def on_pong(self, ws: Connection, payload: bytes) -> None:
        """A Pong frame arrived."""

    def on_drain(self, ws: Connection) -> None:
        """What was sent has left; before, more than ``write_limit`` octets waited."""

    def on_subscription(self, ws: Connection, topic: str, count: int, before: int) -> None:
        """The connection has subscribed to a topic, or is subscribed to it no more.

        When a connection closes this is called for each of its topics, before ``on_close``.

        Args:
            ws: the connection.
            topic: its name, or the filter that was subscribed to.
            count: connections of this process that are subscribed to it now.
            before: how many were before.
        """

    def on_close(self, ws: Connection, code: int, reason: str) -> None:
        """The connection is closed; called once for each that was opened.

        Args:
            ws: the connection; ``ws.why`` says why it ended.
            code: close code of the peer, 1005 if it gave none, 1006 if none came.
            reason: close reason of the peer.
        """
