"""The smallest chat there is: everything anybody says goes to everybody.

On the wire it does what the chat of the ``nodejs-websocket`` tutorials does: each newcomer is
numbered and announced to all, itself included, as ``user3 come in!``; each text goes to all, its
sender included. Binary messages are ignored, nobody is announced when leaving, and a number is
never used again.

It must never wait for a peer: a text is handed to all connections at once, and a connection that
doesn't read is ended by the limit of its outbox or by its keepalive, while the others talk on.

Invariant: a newcomer is counted among the connections before it is announced, so it always receives
its own announcement first.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from duologue.asyncio.server import Server, ServerConnection, broadcast
from duologue.asyncio.server import serve as serve_websocket
from duologue.exceptions import ConnectionClosed, ConnectionClosedError

__all__ = ["Chat", "logged_visit", "opening", "serve"]


def _no_log(line: str) -> None:
    pass


class Chat:
    """One room, to be handed to a server.

    Pass :meth:`handler` to :func:`duologue.asyncio.server.serve`, or use :func:`serve`.

    Args:
        log: Called with each line of the room's log: ``New connection``, ``Received …``,
            ``Error …``, ``Connection closed``. The text of a message is part of it as it came, so
            whoever prints it on a terminal must escape it. The default drops the lines.

    Attributes:
        count: How many connections the room has seen; the number of the latest one.
        connections: Those that are in the room now, in order of arrival.
    """

    def __init__(self, log: Callable[[str], object] = _no_log) -> None:
        self.count = 0
        self.connections: dict[ServerConnection, None] = {}
        self._log = log

    def listening(self, port: int) -> None:
        """Logs that the room is open.

        Args:
            port: The TCP port that it can be reached at.
        """
        self._log(opening(port))

    def say(self, text: str) -> None:
        """Sends a text to everybody in the room.

        Args:
            text: What to send.
        """
        broadcast(self.connections, text)

    async def handler(self, websocket: ServerConnection) -> None:
        """Lets one connection take part until it ends.

        Args:
            websocket: The connection.
        """
        self.count += 1
        self.connections[websocket] = None
        try:
            self.say(f"user{self.count} come in!")
            with logged_visit(self._log):
                async for message in websocket:
                    if isinstance(message, str):
                        self._log(f"Received {message}")
                        self.say(message)
        finally:
            del self.connections[websocket]


def opening(port: int) -> str:
    """Returns the first line of the log, as the tutorials' server prints it.

    Args:
        port: The TCP port that the room can be reached at.
    """
    return f"websocket server connection on port {port}"


@contextlib.contextmanager
def logged_visit(log: Callable[[str], object]) -> Iterator[None]:
    """Logs how a connection begins and ends; that it is closed ends the block, and is no error.

    Args:
        log: Called with each line; see :class:`Chat`.
    """
    log("New connection")
    try:
        yield
    except ConnectionClosedError as error:
        if fault := _fault_of(error):
            log(f"Error {fault}")
    except ConnectionClosed:
        pass
    finally:
        log("Connection closed")


def _fault_of(error: ConnectionClosedError) -> BaseException | None:
    # A peer that says why it leaves, or just hangs up, is no error of the room.
    cause = error.__cause__
    return None if error.rcvd is not None or isinstance(cause, EOFError) else cause


def serve(
    host: str = "127.0.0.1",
    port: int = 8001,
    *,
    log: Callable[[str], object] = _no_log,
    **options: Any,
) -> Server:
    """Serves a chat room, see :class:`Chat`.

    Args:
        host: Address to listen on.
        port: TCP port; 0 lets the operating system choose.
        log: Called with each line of the log, see :class:`Chat`.
        **options: Passed to :func:`duologue.asyncio.server.serve`.

    Returns:
        The server, to be awaited or used as an asynchronous context manager.
    """
    return serve_websocket(Chat(log).handler, host, port, **options)
