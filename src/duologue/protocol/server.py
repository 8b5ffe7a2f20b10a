"""The server's end of a connection without I/O: opening handshake, then frames.

What it is: `ServerProtocol`, which adds the server's opening handshake to `EventMachine`. What it
must never know: where octets come from and go to. All decisions of the handshake are functions of
`duologue.protocol.handshake`; servers that keep HTTP connections alive use
`duologue.protocol.exchange` instead.

Invariants: one request a connection; no frame is read before the 101 is written; every request that
can be told from noise is answered, a malformed one with 400 and its reason; any other answer than
101 half-closes the stream, and what follows is ignored.

Source: RFC 6455 §4.2.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from duologue.base.exceptions import (
    InvalidHandshake,
    InvalidMessage,
    InvalidState,
    SecurityError,
)
from duologue.base.limits import DEFAULT_LIMITS, Limits
from duologue.base.types import LoggerLike, Origin, StatusLike, Subprotocol
from duologue.base.vocabulary import Side, State
from duologue.protocol.handshake import (
    check_origin,
    check_request,
    check_selected,
    choose_extensions,
    choose_subprotocol,
    offered_subprotocols,
    rejection,
    respond,
    switching_headers,
)
from duologue.protocol.machine import EventMachine
from duologue.wire.extension import Extension, ServerExtensionFactory
from duologue.wire.headers import Headers
from duologue.wire.http11 import Request, RequestParser, Response

__all__ = ["ServerProtocol"]


class ServerProtocol(EventMachine):
    """Sans-I/O server.

    The first event is the client's `Request`. Pass it to `accept`, or answer with `reject`; either
    way send the response with `send_response`. After a 101 the connection is open.

    Args:
        origins: Accepted values of `Origin`: strings for an exact match, compiled patterns for a
            full match, `None` in the sequence for requests without one. `None` accepts all.
        extensions: Extensions to accept, in order of preference.
        subprotocols: Subprotocols this server speaks, in order of preference.
        select_subprotocol: Replaces the method of that name; takes this object and the client's
            offer, returns the choice or `None`.
        state: State to begin with; `OPEN` skips the opening handshake.
        max_size: Octets in the greatest message accepted, `None` for any, or a pair for messages
            and for single frames. Default 1 MiB.
        logger: Default `logging.getLogger("duologue.server")`.
        limits: Bounds of the request's head (`max_line`, `max_headers`, `max_head`). `max_head`
            also bounds what a client may send before it has its answer.

    Attributes:
        accept_called: Whether `accept` was called.
    """

    def __init__(
        self,
        *,
        origins: Sequence[Origin | re.Pattern[str] | None] | None = None,
        extensions: Sequence[ServerExtensionFactory] | None = None,
        subprotocols: Sequence[Subprotocol] | None = None,
        select_subprotocol: (
            Callable[[ServerProtocol, Sequence[Subprotocol]], Subprotocol | None] | None
        ) = None,
        state: State = State.CONNECTING,
        max_size: int | tuple[int | None, int | None] | None = 2**20,
        logger: LoggerLike | None = None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        super().__init__(Side.SERVER, state=state, max_size=max_size, logger=logger)
        self.origins = origins
        self.available_extensions = extensions
        self.available_subprotocols = subprotocols
        self.accept_called = False
        self._select = select_subprotocol
        self._limits = limits
        self._parser: RequestParser | None = RequestParser(limits)
        self._early = b""

    def accept(self, request: Request) -> Response:
        """Judge a request and build the answer: a 101, or the refusal it deserves.

        Args:
            request: The client's request.

        Returns:
            The answer; headers may be added before `send_response`. With another status than 101
            the reason is in `handshake_exc`.
        """
        self.accept_called = True
        try:
            accept, extensions, subprotocol = self.process_request(request)
        except InvalidHandshake as exc:
            self.handshake_exc = exc
            if self.debug:
                self.logger.debug("! opening handshake refused", exc_info=True)
            return rejection(exc)
        except Exception as exc:
            self.handshake_exc = exc
            self.logger.error("opening handshake failed", exc_info=True)
            return rejection(exc)
        headers = switching_headers(accept, extensions, subprotocol)
        return Response(101, "Switching Protocols", headers)

    def process_request(self, request: Request) -> tuple[str, str | None, str | None]:
        """Check a request and adopt what can be agreed to; override to add checks.

        Args:
            request: The client's request.

        Returns:
            Values of `Sec-WebSocket-Accept`, `Sec-WebSocket-Extensions` and
            `Sec-WebSocket-Protocol` for the response.

        Raises:
            InvalidHandshake: The request is refused.
        """
        accept = check_request(request)
        limit = self._limits.max_head
        if limit is not None and len(self._early) > limit:
            raise SecurityError(
                f"client sent {len(self._early)} bytes before it had an answer, "
                f"over the limit of {limit} bytes (setting: max_head)"
            )
        self.origin = self.process_origin(request.headers)
        extensions, self.extensions = self.process_extensions(request.headers)
        self.subprotocol = self.process_subprotocol(request.headers)
        return accept, extensions, self.subprotocol

    def process_origin(self, headers: Headers) -> Origin | None:
        """Check `Origin` against `origins`; see `handshake.check_origin`."""
        return check_origin(headers, self.origins)

    def process_extensions(self, headers: Headers) -> tuple[str | None, list[Extension]]:
        """Choose among the client's extension offers; see `handshake.choose_extensions`."""
        return choose_extensions(headers, self.available_extensions)

    def process_subprotocol(self, headers: Headers) -> Subprotocol | None:
        """Have a subprotocol selected among the client's offers.

        Raises:
            InvalidHeaderFormat: The offer is malformed.
            NegotiationError: There is no common subprotocol.
            ValueError: The selection isn't among the offers.
        """
        offered = offered_subprotocols(headers)
        selected = self.select_subprotocol(offered)
        check_selected(selected, offered)
        return selected

    def select_subprotocol(self, subprotocols: Sequence[Subprotocol]) -> Subprotocol | None:
        """Pick a subprotocol: the first of the server's that the client offers.

        Override this method or pass a function to the constructor to choose differently.

        Args:
            subprotocols: What the client offers.

        Returns:
            The choice, `None` to go on without.

        Raises:
            NegotiationError: The server speaks subprotocols, the client offers none of them.
        """
        if self._select is not None:
            return self._select(self, subprotocols)
        return choose_subprotocol(subprotocols, self.available_subprotocols)

    def reject(self, status: StatusLike, text: str) -> Response:
        """Build a plain-text answer instead of a 101.

        Args:
            status: HTTP status code.
            text: Body, encoded as UTF-8.

        Returns:
            The answer; headers may be added before `send_response`.

        Raises:
            ValueError: `status` isn't a registered status code.
        """
        return respond(status, text)

    def send_response(self, response: Response) -> None:
        """Send the answer; a 101 opens the connection, anything else ends it.

        Args:
            response: The answer.

        Raises:
            InvalidState: An answer was sent before, or the connection ended.
            ValueError: The response can't be put into octets.
        """
        if self.state is not State.CONNECTING or self.eof_sent:
            raise InvalidState(f"cannot answer: connection is {self.state.name.lower()}")
        octets = response.serialize()
        if self.debug:
            self._log(response)
        self.write(octets)
        if response.status_code == 101:
            self.state = State.OPEN
            self.logger.info("connection open")
            early, self._early = self._early, b""
            if early:
                self.receive_data(early)
            return
        what = "connection rejected (%d %s)" if self.accept_called else "HTTP response sent (%d %s)"
        self.logger.info(what, response.status_code, response.reason_phrase)
        self.send_eof()
        self.ignore_input()
        self._early = b""

    def _log(self, response: Response) -> None:
        self.logger.debug("> HTTP/1.1 %d %s", response.status_code, response.reason_phrase)
        for name, value in response.headers.raw_items():
            self.logger.debug("> %s: %s", name, value)
        if response.body:
            self.logger.debug("> [body] (%d bytes)", len(response.body))

    def head_received(self, data: bytes) -> None:
        """Take octets of the handshake; called by `receive_data` while connecting."""
        if self._parser is None:
            self._keep_early(data)
            return
        try:
            request = self._parser.feed(data)
        except Exception as exc:
            self._answer_malformed(exc)
            return
        if request is None:
            return
        if self.debug:
            self.logger.debug("< %s %s %s", request.method, request.path, request.protocol)
            for name, value in request.headers.raw_items():
                self.logger.debug("< %s: %s", name, value)
        self._early, self._parser = self._parser.rest, None
        self.add_event(request)

    def _keep_early(self, data: bytes) -> None:
        # One piece above the limit is kept, so that process_request sees that it was passed.
        limit = self._limits.max_head
        if limit is None or len(self._early) <= limit:
            self._early += data

    def head_eof(self) -> None:
        """Take the end of the stream; called by `receive_eof` while connecting."""
        try:
            if self._parser is not None:
                self._parser.feed_eof()
            raise EOFError("connection ended before the handshake was answered")
        except EOFError as exc:
            self.handshake_exc = InvalidMessage("did not receive a valid HTTP request")
            self.handshake_exc.__cause__ = exc
        self.send_eof()
        self.ignore_input()

    def _answer_malformed(self, exc: Exception) -> None:
        self._parser = None
        if not isinstance(exc, InvalidHandshake):
            invalid = InvalidMessage("did not receive a valid HTTP request")
            invalid.__cause__ = exc
            exc = invalid
        self.handshake_exc = exc
        if self.debug:
            self.logger.debug("! invalid HTTP request", exc_info=exc)
        self.send_response(rejection(exc))
