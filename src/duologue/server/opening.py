"""The server's part of a link until it is a WebSocket connection, or for good if it never is.

An :class:`Opening` owns a link on which anything else has come than an ordinary handshake, which
:mod:`duologue.server.reception` answers itself. It speaks HTTP/1.1: requests are taken one after
the other, each is given to an :class:`Attendant` that answers it, and the link is kept alive
between them; a handshake request ends it, and the link passes on to a connection. It must never
know what attendants do.

Invariants: at most one request is being answered; while nobody but the peer is waited for, one
deadline runs: ``open_timeout`` from a request's beginning to the end of what the attendant wants to
see, ``keep_alive_timeout`` between requests.

Sources: RFC 6455 section 4.2, RFC 9112 section 9.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from duologue.base.exceptions import InvalidHandshake
from duologue.base.limits import Limits
from duologue.base.types import LoggerLike, Subprotocol
from duologue.net.link import Link
from duologue.net.timers import Timer, timers_of
from duologue.protocol.exchange import ServerExchange
from duologue.protocol.handshake import Origins, respond
from duologue.server.connection import ServerConnection
from duologue.wire.extension import ServerExtensionFactory
from duologue.wire.http11 import Request, Response

if TYPE_CHECKING:
    from duologue.server.serving import Server

ProcessRequest = Callable[[ServerConnection, Request], Awaitable[Response | None] | Response | None]
ProcessResponse = Callable[
    [ServerConnection, Request, Response], Awaitable[Response | None] | Response | None
]
SelectSubprotocol = Callable[[ServerConnection, Sequence[Subprotocol]], Subprotocol | None]

Address = tuple[str, int | None]
Facts = tuple[str, Address | None, Address | None]

SERVER_ERROR = "Failed to open a WebSocket connection.\nSee server log for more information.\n"


class Attendant(Protocol):
    """Answers one request; made for it by ``OpeningOptions.attend``."""

    def start(self) -> None:
        """Start to answer: at once, or later."""

    def data_received(self) -> None:
        """More of the request's body may have arrived."""

    def eof_received(self) -> None:
        """The peer sends nothing more."""

    def writable(self) -> None:
        """The link takes octets again."""

    def timed_out(self) -> None:
        """The deadline that was set has passed."""

    def connection_lost(self, exc: Exception | None) -> None:
        """The link is gone, and so is whoever waited for the answer."""


@dataclass(slots=True)
class OpeningOptions:
    """How a server opens connections; see :func:`~duologue.serve` for each.

    Attributes:
        attend: makes the attendant of each request.
        streaming: whether attendants want requests before their bodies.
        access_logger: gets a line for each answer, ``None`` for no such lines.
    """

    limits: Limits
    logger: LoggerLike
    origins: Origins | None
    extensions: Sequence[ServerExtensionFactory] | None
    subprotocols: Sequence[Subprotocol] | None
    select_subprotocol: SelectSubprotocol | None
    process_request: ProcessRequest | None
    process_response: ProcessResponse | None
    server_header: str | None
    open_timeout: float | None
    attend: Callable[[Opening, Request], Attendant]
    streaming: bool = False
    access_logger: logging.Logger | None = None
    warned_of_origin: bool = False


class Opening:
    """The owner of a link that isn't a WebSocket connection yet.

    Args:
        server: makes connections and runs their handlers.
        link: nothing was read from it so far.
        options: shared by all openings of the server.
        deadline: of the first request, in seconds of the loop's clock; ``None`` for any time.

    Attributes:
        http: what has been read and may be written; attendants use it for bodies.
        blocked: whether the link holds all that it should.
    """

    def __init__(
        self, server: Server, link: Link, options: OpeningOptions, deadline: float | None
    ) -> None:
        self.server = server
        self.link = link
        self.options = options
        self.loop = asyncio.get_running_loop()
        self.http = ServerExchange(options.limits, streaming=options.streaming)
        self.blocked = False
        self._attendant: Attendant | None = None
        self._paused = False
        self._timer = Timer(timers_of(self.loop), self._timed_out)
        self._unsent = 0
        self._answered = 0
        self._ended = False
        self._facts: Facts | None = None
        if deadline is not None:
            self._timer.set(deadline)

    def set_deadline(self, seconds: float | None) -> None:
        """Wait for the peer ``seconds`` from now, or any time."""
        self._unsent = self.link.unsent_octets()
        if seconds is None:
            self._timer.clear()
        else:
            self._timer.set(self.loop.time() + seconds)

    @property
    def facts(self) -> Facts:
        """Scheme, the peer's address and ours, which are the same for all requests."""
        if self._facts is None:
            tell = self.link.get_extra_info
            secure = tell("ssl_object") is not None or tell("scheme") == "https"
            scheme = "https" if secure else "http"
            self._facts = scheme, _address(tell("peername")), _address(tell("sockname"))
        return self._facts

    # -- the link's calls

    def data_received(self, data: bytes) -> None:
        """Take octets of the peer."""
        if self._ended:
            # Read and dropped: closing a socket with unread octets resets it, and the peer would
            # lose the answer (RFC 9112 section 9.6).
            return
        if self.http.idle and self._answered:
            self.set_deadline(self.options.open_timeout)
        self.http.receive(data)
        if self._attendant is not None:
            self._attendant.data_received()
        self.advance()

    def eof_received(self) -> None:
        """The peer sends nothing more; what it asked before is still answered."""
        if self._ended:
            self.link.close_link()
            return
        self.http.receive_eof()
        if self._attendant is not None:
            self._attendant.eof_received()
        self.advance()

    def writable(self, yes: bool) -> None:
        """Take no further request while the peer doesn't take its answers."""
        self.blocked = not yes
        if self._ended:
            return
        if not yes:
            self.balance()
            return
        if self._attendant is not None:
            self._attendant.writable()
        self.advance()

    def connection_lost(self, exc: Exception | None) -> None:
        """The link is gone."""
        self._ended = True
        self.leave()
        # They hold each other, and what is in a cycle waits for the collector.
        attendant, self._attendant = self._attendant, None
        if attendant is not None:
            attendant.connection_lost(exc)

    def leave(self) -> None:
        """The link has another owner, or is gone."""
        self._timer.drop()
        self.server.reception.openings.discard(self)

    def _pause(self, yes: bool) -> None:
        if yes != self._paused:
            self._paused = yes
            if yes:
                self.link.pause()
            else:
                self.link.resume()

    def _timed_out(self) -> None:
        unsent = self.link.unsent_octets()
        if unsent and unsent < self._unsent and not self._ended:
            # It still takes its answer.
            self.set_deadline(self.options.limits.write_timeout)
        elif self._attendant is not None:
            self._attendant.timed_out()
        elif self._ended or self.http.idle:
            # Between requests: there is nothing to explain.
            self.link.abort_link()
        else:
            text = f"no whole request within {self.options.open_timeout} seconds\n"
            self.end(self.http.respond(None, respond(408, text)))

    @property
    def busy(self) -> bool:
        """Whether a request, or a part of one, waits for its answer."""
        return not self._ended and not self.http.idle

    def shut_down(self) -> None:
        """End the link at once unless a request waits for its answer.

        Half a request is not waited for: its peer may take until ``open_timeout``.
        """
        if self.busy:
            if self._attendant is not None:
                self.http.stop()
                return
            self.end(self.http.respond(None, respond(503, "The server is shutting down.\n")))
        self.link.close_link()

    # -- requests

    def advance(self) -> None:
        """Answer requests, one after the other, as far as they have arrived."""
        while self._attendant is None and not (self.http.upgraded or self._ended):
            try:
                request = self.http.next_request()
            except InvalidHandshake as exc:
                self.options.logger.debug("! malformed request", exc_info=True)
                self.end(self.http.refuse(exc))
                return
            self.send_interim()
            if request is None:
                break
            self._attendant = self.options.attend(self, request)
            self._attendant.start()
        if self.http.upgraded or self._ended:
            return
        if self._attendant is None and not self.http.keep_alive:
            self.link.close_link()
            return
        self.balance()

    def balance(self) -> None:
        """Read on, or pause while enough has arrived that nobody has taken yet."""
        self._pause(not self.http.wants_data or (self.blocked and self._attendant is None))

    def send_interim(self) -> None:
        """Send a ``100 Continue`` if the peer waits for one."""
        interim = self.http.data_to_send()
        if interim:
            self.link.write_octets(interim)

    # -- what attendants do

    def name_server(self, response: Response) -> None:
        """Add the ``Server`` header if there is to be one."""
        if self.options.server_header is not None and "Server" not in response.headers:
            response.headers["Server"] = self.options.server_header

    def switch(self, connection: ServerConnection, octets: bytes) -> None:
        """Send a 101 and let go of the link, which is the connection's from now on."""
        self.leave()
        self._attendant = None
        self._pause(False)
        self.link.write_octets(octets)
        if self.options.process_request is None and self.options.process_response is None:
            # No hook may have left something on them.
            connection.keep_heads(self.http.head, octets)
        connection.heads_exchanged(self.http.head, octets)

    def answered(self, octets: bytes) -> None:
        """Send the last octets of an answer; the next request may follow."""
        self._attendant = None
        self._answered += 1
        if self.http.keep_alive:
            self.link.write_octets(octets)
            self.set_deadline(self.options.limits.keep_alive_timeout)
        else:
            self.end(octets)

    def end(self, octets: bytes) -> None:
        """Send the last octets and end the link, giving the peer time to read them."""
        self._ended = True
        self._pause(False)
        self.link.write_octets(octets)
        self.link.write_eof()
        self.set_deadline(self.options.limits.close_timeout)


def _address(name: Any) -> Address | None:
    """What ``getpeername`` and ``getsockname`` tell, as ASGI has it; the path of a Unix socket."""
    if isinstance(name, tuple) and len(name) >= 2:
        return str(name[0]), int(name[1])
    return (str(name), None) if isinstance(name, str) and name else None
