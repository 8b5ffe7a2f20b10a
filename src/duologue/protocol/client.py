"""The client's end of a connection without I/O: opening handshake, then frames.

What it is: `ClientProtocol`, which adds the client's opening handshake to `EventMachine`. What it
must never know: where octets come from and go to. All decisions of the handshake are functions of
`duologue.protocol.handshake`.

Invariants: no frame is read before the response passed every check; a handshake that failed leaves
its cause in `handshake_exc`, half-closes the stream and ignores what follows.

Source: RFC 6455 §4.1.
"""

from __future__ import annotations

from collections.abc import Sequence

from duologue.base.exceptions import InvalidHandshake, InvalidMessage, StatusLineTooLong
from duologue.base.limits import DEFAULT_LIMITS, Limits
from duologue.base.types import LoggerLike, Origin, Subprotocol
from duologue.base.vocabulary import Side, State
from duologue.protocol.handshake import (
    agree_extensions,
    agree_subprotocol,
    build_request,
    check_switch,
    generate_key,
)
from duologue.protocol.machine import EventMachine
from duologue.wire.extension import ClientExtensionFactory, Extension
from duologue.wire.headers import Headers
from duologue.wire.http11 import Request, Response, ResponseParser
from duologue.wire.uri import WebSocketURI, parse_uri

__all__ = ["ClientProtocol"]


class ClientProtocol(EventMachine):
    """Sans-I/O client.

    Send what `connect` returns with `send_request`; the first event is the server's `Response`. If
    `handshake_exc` is `None` then, the connection is open.

    Args:
        uri: Where the connection leads: what `parse_uri` returns, or a string for it.
        origin: Value of `Origin`; none is sent by default.
        extensions: Extensions to offer, in order of preference.
        subprotocols: Subprotocols to offer, in order of preference.
        state: State to begin with; `OPEN` skips the opening handshake.
        max_size: Octets in the greatest message accepted, `None` for any, or a pair for messages
            and for single frames. Default 1 MiB.
        logger: Default `logging.getLogger("duologue.client")`.
        limits: Bounds of the response's head (`max_line`, `max_headers`, `max_head`) and body
            (`max_body`).

    Attributes:
        key: Value of `Sec-WebSocket-Key`, fresh for every object.

    Raises:
        InvalidURI: `uri` is a string and no WebSocket URL.
    """

    def __init__(
        self,
        uri: WebSocketURI | str,
        *,
        origin: Origin | None = None,
        extensions: Sequence[ClientExtensionFactory] | None = None,
        subprotocols: Sequence[Subprotocol] | None = None,
        state: State = State.CONNECTING,
        max_size: int | tuple[int | None, int | None] | None = 2**20,
        logger: LoggerLike | None = None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        super().__init__(Side.CLIENT, state=state, max_size=max_size, logger=logger)
        self.uri = parse_uri(uri) if isinstance(uri, str) else uri
        self.origin = origin
        self.available_extensions = extensions
        self.available_subprotocols = subprotocols
        self.key = generate_key()
        self._parser: ResponseParser | None = ResponseParser(limits)

    def connect(self) -> Request:
        """Build the handshake request; change it if need be, then pass it to `send_request`."""
        return build_request(
            self.uri,
            key=self.key,
            origin=self.origin,
            extensions=self.available_extensions,
            subprotocols=self.available_subprotocols,
        )

    def send_request(self, request: Request) -> None:
        """Send the handshake request.

        Args:
            request: The request.

        Raises:
            ValueError: The request can't be put into octets.
        """
        octets = request.serialize()
        if self.debug:
            self.logger.debug("> %s %s %s", request.method, request.path, request.protocol)
            for name, value in request.headers.raw_items():
                self.logger.debug("> %s: %s", name, value)
        self.write(octets)

    def process_response(self, response: Response) -> None:
        """Check the response and adopt what it agrees to; override to add checks.

        Args:
            response: The server's answer.

        Raises:
            InvalidHandshake: The response doesn't open a connection.
        """
        check_switch(response, self.key)
        self.extensions = self.process_extensions(response.headers)
        self.subprotocol = self.process_subprotocol(response.headers)

    def process_extensions(self, headers: Headers) -> list[Extension]:
        """Set up the extensions the server accepted; see `handshake.agree_extensions`."""
        return agree_extensions(headers, self.available_extensions)

    def process_subprotocol(self, headers: Headers) -> Subprotocol | None:
        """Read the subprotocol the server chose; see `handshake.agree_subprotocol`."""
        return agree_subprotocol(headers, self.available_subprotocols)

    def head_received(self, data: bytes) -> None:
        """Take octets of the handshake; called by `receive_data` while connecting."""
        assert self._parser is not None
        try:
            response = self._parser.feed(data)
        except Exception as exc:
            self._refuse_message(exc)
            return
        if response is not None:
            self._response_received(response, self._parser.rest)

    def head_eof(self) -> None:
        """Take the end of the stream; called by `receive_eof` while connecting."""
        assert self._parser is not None
        try:
            response = self._parser.feed_eof()
        except Exception as exc:
            self._refuse_message(exc)
            return
        if response is not None:
            self._response_received(response, b"")

    def _response_received(self, response: Response, rest: bytes) -> None:
        if self.debug:
            self._log(response)
        self._parser = None
        try:
            self.process_response(response)
        except InvalidHandshake as exc:
            self.add_event(response)
            self._fail_handshake(exc)
            return
        self.state = State.OPEN
        self.add_event(response)
        if rest:
            self.receive_data(rest)

    def _log(self, response: Response) -> None:
        self.logger.debug("< HTTP/1.1 %d %s", response.status_code, response.reason_phrase)
        for name, value in response.headers.raw_items():
            self.logger.debug("< %s: %s", name, value)
        if response.body:
            self.logger.debug("< [body] (%d bytes)", len(response.body))

    def _refuse_message(self, exc: Exception) -> None:
        if isinstance(exc, StatusLineTooLong):
            self._fail_handshake(exc)
            return
        invalid = InvalidMessage("did not receive a valid HTTP response")
        invalid.__cause__ = exc
        self._fail_handshake(invalid)

    def _fail_handshake(self, exc: InvalidHandshake) -> None:
        self._parser = None
        self.handshake_exc = exc
        self.send_eof()
        self.ignore_input()
