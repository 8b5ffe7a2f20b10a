"""Every exception that duologue raises, in one tree.

    WebSocketException
    +-- ConnectionClosed                  the connection is over
    |   +-- ConnectionClosedOK            ... as agreed (1000, 1001 or no code)
    |   +-- ConnectionClosedError         ... in any other way
    +-- InvalidURI                        the URI cannot be connected to
    +-- InvalidProxy                      the proxy's URL cannot be used
    +-- InvalidHandshake                  the opening handshake failed
    |   +-- SecurityError                 ... since a head or body passed a limit
    |   |   +-- RequestLineTooLong
    |   |   +-- StatusLineTooLong
    |   |   +-- HeaderLineTooLong
    |   |   +-- TooManyHeaders
    |   |   +-- BodyTooLarge
    |   +-- ProxyError                    ... at the proxy
    |   |   +-- InvalidProxyMessage
    |   |   +-- InvalidProxyStatus
    |   +-- InvalidMessage                ... since what came is not HTTP
    |   +-- InvalidMethod                 ... not a GET request
    |   +-- InvalidProtocol               ... not HTTP/1.1
    |   +-- InvalidStatus                 ... since the server answered with another status
    |   +-- InvalidHeader                 ... since a header is missing, malformed or wrong
    |   |   +-- InvalidHeaderFormat
    |   |   +-- InvalidHeaderValue
    |   |   +-- InvalidOrigin
    |   |   +-- InvalidUpgrade
    |   +-- NegotiationError              ... over a subprotocol or an extension
    |       +-- DuplicateParameter
    |       +-- InvalidParameterName
    |       +-- InvalidParameterValue
    +-- ProtocolError                     a frame breaks RFC 6455
    +-- PayloadTooBig                     a frame or message passes `max_size`
    +-- TooManyFragments                  a message has too many frames
    +-- RateExceeded                      messages or octets come faster than allowed
    +-- InvalidState                      a frame cannot be sent in this state (AssertionError)
    +-- ConcurrencyError                  two calls exclude each other (RuntimeError)
    +-- TooManySubscriptions              a subscription passes a limit
    +-- BackplaneError                    other processes could not be reached, or do not answer
    +-- PublishError                      an endpoint for publishing could not be used
    +-- ClientDisconnected                a client is gone before it was answered (ConnectionError)
    +-- ASGIError                         the ASGI specification is broken (RuntimeError)

Names, constructors, attributes and texts are those of `websockets.exceptions`, so that handlers
written for it keep working. This module must never import from a higher floor: what an exception
carries of those is described by the two protocols below.
"""

from __future__ import annotations

import warnings
from typing import Any, Protocol

from duologue.base.vocabulary import CloseCode

__all__ = [
    "ASGIError",
    "BackplaneError",
    "BodyTooLarge",
    "ClientDisconnected",
    "ConcurrencyError",
    "ConnectionClosed",
    "ConnectionClosedError",
    "ConnectionClosedOK",
    "DuplicateParameter",
    "HeaderLineTooLong",
    "InvalidHandshake",
    "InvalidHeader",
    "InvalidHeaderFormat",
    "InvalidHeaderValue",
    "InvalidMessage",
    "InvalidMethod",
    "InvalidOrigin",
    "InvalidParameterName",
    "InvalidParameterValue",
    "InvalidProtocol",
    "InvalidProxy",
    "InvalidProxyMessage",
    "InvalidProxyStatus",
    "InvalidState",
    "InvalidStatus",
    "InvalidURI",
    "InvalidUpgrade",
    "NegotiationError",
    "PayloadTooBig",
    "ProtocolError",
    "ProxyError",
    "PublishError",
    "RateExceeded",
    "RequestLineTooLong",
    "SecurityError",
    "StatusLineTooLong",
    "TooManyFragments",
    "TooManyHeaders",
    "TooManySubscriptions",
    "WebSocketException",
]


class CloseInfo(Protocol):
    """Code and reason of a Close frame, as `duologue.wire.frame.Close` has them."""

    @property
    def code(self) -> int:
        """The close code."""

    @property
    def reason(self) -> str:
        """The reason given with it, empty if none was."""


class ResponseInfo(Protocol):
    """An HTTP response, as `duologue.wire.http11.Response` is."""

    status_code: int
    reason_phrase: str
    # Floor 1 defines Headers; naming it here would turn the floors upside down.
    headers: Any
    body: bytes | bytearray


class WebSocketException(Exception):
    """Base of all exceptions defined by duologue."""


class ConnectionClosed(WebSocketException):
    """Using a connection that is closed, or that closes while the call waits.

    Args:
        rcvd: The Close frame received from the peer, None if there was none.
        sent: The Close frame sent to the peer, None if there was none.
        rcvd_then_sent: With both, True if the peer closed first. None otherwise.

    Raises:
        ValueError: If `rcvd_then_sent` contradicts the presence of the two frames.
    """

    def __init__(
        self,
        rcvd: CloseInfo | None,
        sent: CloseInfo | None,
        rcvd_then_sent: bool | None = None,
    ) -> None:
        if (rcvd_then_sent is None) != (rcvd is None or sent is None):
            raise ValueError("rcvd_then_sent must be given when, and only when, both frames are")
        self.rcvd = rcvd
        self.sent = sent
        self.rcvd_then_sent = rcvd_then_sent

    def __str__(self) -> str:
        if self.rcvd is None:
            if self.sent is None:
                return "no close frame received or sent"
            return f"sent {self.sent}; no close frame received"
        if self.sent is None:
            return f"received {self.rcvd}; no close frame sent"
        if self.rcvd_then_sent:
            return f"received {self.rcvd}; then sent {self.sent}"
        return f"sent {self.sent}; then received {self.rcvd}"

    @property
    def code(self) -> int:
        """The code received, 1006 without one. Deprecated: use `rcvd.code`."""
        warnings.warn(
            "ConnectionClosed.code is deprecated; use ConnectionClosed.rcvd.code or close_code",
            DeprecationWarning,
            stacklevel=2,
        )
        return CloseCode.ABNORMAL_CLOSURE if self.rcvd is None else self.rcvd.code

    @property
    def reason(self) -> str:
        """The reason received, empty without one. Deprecated: use `rcvd.reason`."""
        warnings.warn(
            "ConnectionClosed.reason is deprecated; use ConnectionClosed.rcvd.reason "
            "or close_reason",
            DeprecationWarning,
            stacklevel=2,
        )
        return "" if self.rcvd is None else self.rcvd.reason


class ConnectionClosedOK(ConnectionClosed):
    """The closing handshake took place, with code 1000, 1001 or none, both ways."""


class ConnectionClosedError(ConnectionClosed):
    """The connection failed, or was closed with another code than 1000, 1001 or none."""


class InvalidURI(WebSocketException):
    """The URI to connect to is not a valid WebSocket URI.

    Args:
        uri: The URI as given.
        msg: What is wrong with it.
    """

    def __init__(self, uri: str, msg: str) -> None:
        self.uri = uri
        self.msg = msg

    def __str__(self) -> str:
        return f"{self.uri} isn't a valid URI: {self.msg}"


class InvalidProxy(WebSocketException):
    """The proxy's URL cannot be used.

    Args:
        proxy: The URL as given.
        msg: What is wrong with it.
    """

    def __init__(self, proxy: str, msg: str) -> None:
        self.proxy = proxy
        self.msg = msg

    def __str__(self) -> str:
        return f"{self.proxy} isn't a valid proxy: {self.msg}"


class InvalidHandshake(WebSocketException):
    """Base of everything that makes the opening handshake fail."""


class SecurityError(InvalidHandshake):
    """A head or body passes a limit that protects from hostile peers."""


class RequestLineTooLong(SecurityError):
    """The first line of a request passes `Limits.max_line`."""


class StatusLineTooLong(SecurityError):
    """The first line of a response passes `Limits.max_line`."""


class HeaderLineTooLong(SecurityError):
    """A header line passes `Limits.max_line`."""


class TooManyHeaders(SecurityError):
    """A head has more header lines than `Limits.max_headers`."""


class BodyTooLarge(SecurityError):
    """The body of an HTTP message passes `Limits.max_body`."""


class ProxyError(InvalidHandshake):
    """Base of what goes wrong between a client and its proxy."""


class InvalidProxyMessage(ProxyError):
    """The proxy's answer is malformed."""


class InvalidProxyStatus(ProxyError):
    """The proxy refuses to connect.

    Args:
        response: The proxy's answer.
    """

    def __init__(self, response: ResponseInfo) -> None:
        self.response = response

    def __str__(self) -> str:
        return f"proxy rejected connection: HTTP {self.response.status_code:d}"


class InvalidMessage(InvalidHandshake):
    """What should be an HTTP request or response is malformed."""


class InvalidMethod(InvalidHandshake):
    """The handshake request is not a GET request (RFC 6455 section 4.2.1).

    Args:
        method: The request's method.
    """

    def __init__(self, method: str) -> None:
        self.method = method

    def __str__(self) -> str:
        return f"unsupported HTTP method: {self.method}"


class InvalidProtocol(InvalidHandshake):
    """The handshake request does not use HTTP/1.1 (RFC 6455 section 4.2.1).

    Args:
        protocol: The request's protocol, such as "HTTP/1.0".
    """

    def __init__(self, protocol: str) -> None:
        self.protocol = protocol

    def __str__(self) -> str:
        return f"unsupported HTTP version: {self.protocol}"


class InvalidStatus(InvalidHandshake):
    """The server answers the handshake with another status than 101.

    Args:
        response: The server's answer, body included.
    """

    def __init__(self, response: ResponseInfo) -> None:
        self.response = response

    def __str__(self) -> str:
        return f"server rejected WebSocket connection: HTTP {self.response.status_code:d}"


class InvalidHeader(InvalidHandshake):
    """A header is missing or not acceptable.

    Args:
        name: The header's name.
        value: The offending value; None if the header is missing.
    """

    def __init__(self, name: str, value: str | None = None) -> None:
        self.name = name
        self.value = value

    def __str__(self) -> str:
        if self.value is None:
            return f"missing {self.name} header"
        if self.value == "":
            return f"empty {self.name} header"
        return f"invalid {self.name} header: {self.value}"


class InvalidHeaderFormat(InvalidHeader):
    """A header does not match its grammar.

    Args:
        name: The header's name.
        error: What was expected.
        header: The header's whole value.
        pos: Index in `header` where the expectation failed.
    """

    def __init__(self, name: str, error: str, header: str, pos: int) -> None:
        super().__init__(name, f"{error} at {pos} in {header}")


class InvalidHeaderValue(InvalidHeader):
    """A header matches its grammar but its value is not acceptable."""


class InvalidOrigin(InvalidHeader):
    """The request's Origin is not among those allowed (RFC 6455 section 10.2).

    Args:
        origin: The request's Origin; None if it has none.
    """

    def __init__(self, origin: str | None) -> None:
        super().__init__("Origin", origin)


class InvalidUpgrade(InvalidHeader):
    """The Upgrade or Connection header does not ask for, or agree to, a WebSocket."""


class NegotiationError(InvalidHandshake):
    """The two sides do not agree on an extension or a subprotocol."""


class DuplicateParameter(NegotiationError):
    """An extension's parameter is given twice.

    Args:
        name: The parameter's name.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def __str__(self) -> str:
        return f"duplicate parameter: {self.name}"


class InvalidParameterName(NegotiationError):
    """An extension does not have such a parameter.

    Args:
        name: The parameter's name.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def __str__(self) -> str:
        return f"invalid parameter name: {self.name}"


class InvalidParameterValue(NegotiationError):
    """An extension's parameter has a value it must not have, or lacks one.

    Args:
        name: The parameter's name.
        value: Its value; None if it has none.
    """

    def __init__(self, name: str, value: str | None) -> None:
        self.name = name
        self.value = value

    def __str__(self) -> str:
        if self.value is None:
            return f"missing value for parameter {self.name}"
        if self.value == "":
            return f"empty value for parameter {self.name}"
        return f"invalid value for parameter {self.name}: {self.value}"


class ProtocolError(WebSocketException):
    """A frame, received or about to be sent, breaks RFC 6455."""


class PayloadTooBig(WebSocketException):
    """A frame, or the message it continues, passes `max_size`.

    An extension's `decode` raises it when its output would pass the limit it was given.

    Args:
        size_or_message: Octets in the offending frame; None if the limit was passed before that
            was known (while inflating). A string instead is deprecated and used as the text.
        max_size: Octets that were still allowed. Required unless a string is given.
        current_size: Octets of the message received in earlier frames; None in its first frame.

    Raises:
        TypeError: If `max_size` is missing, or given together with a string.
    """

    def __init__(
        self,
        size_or_message: int | str | None,
        max_size: int | None = None,
        current_size: int | None = None,
    ) -> None:
        self.message: str | None = None
        self.size: int | None = None
        self.current_size: int | None = None
        if isinstance(size_or_message, str):
            if max_size is not None or current_size is not None:
                raise TypeError("PayloadTooBig takes either a message or sizes")
            warnings.warn(
                "PayloadTooBig(message) is deprecated; use PayloadTooBig(size, max_size)",
                DeprecationWarning,
                stacklevel=2,
            )
            self.message = size_or_message
            return
        if max_size is None:
            raise TypeError("PayloadTooBig needs max_size")
        self.size = size_or_message
        self.max_size: int = max_size
        self.set_current_size(current_size)
        # A note shows in tracebacks and leaves the text equal to that of `websockets`.
        self.add_note("The limit is the max_size setting; max_size=None lifts it.")

    def __str__(self) -> str:
        if self.message is not None:
            return self.message
        size = "" if self.size is None else f"with {self.size} bytes "
        after = "" if self.current_size is None else f"after reading {self.current_size} bytes "
        return f"frame {size}{after}exceeds limit of {self.max_size} bytes"

    def set_current_size(self, current_size: int | None) -> None:
        """Tell how much of the message came in earlier frames, once.

        The code that reads one frame does not know; its caller does.

        Args:
            current_size: Octets received before this frame; None in a message's first frame.

        Raises:
            RuntimeError: If it is known already.
        """
        if self.current_size is not None:
            raise RuntimeError("current_size is set already")
        if current_size is not None:
            self.max_size += current_size
            self.current_size = current_size


class TooManyFragments(WebSocketException):
    """A message has more frames than allowed.

    Args:
        max_fragments: The number of frames allowed.
    """

    def __init__(self, max_fragments: int) -> None:
        super().__init__(f"fragmented message exceeds limit of {max_fragments} frames")


class RateExceeded(WebSocketException):
    """What a peer sends comes faster than a rate allows.

    Args:
        what: "messages" or "octets".
        rate: The rate in words.
        setting: Name of its setting.
    """

    def __init__(self, what: str, rate: object, setting: str) -> None:
        self.rate = rate
        self.setting = setting
        super().__init__(f"{what} come faster than {rate} (setting: {setting})")


class InvalidState(WebSocketException, AssertionError):
    """A frame cannot be sent in the connection's present state."""


class ConcurrencyError(WebSocketException, RuntimeError):
    """Two calls that exclude each other are under way, such as two `recv()`."""


class ClientDisconnected(WebSocketException, ConnectionError):
    """A client is gone, or the connection to it closed, before what is still to be sent.

    An :exc:`OSError`, as the ASGI specification asks of what ``send()`` raises then.
    """


class ASGIError(WebSocketException, RuntimeError):
    """An application, or the server around ours, breaks the ASGI specification."""


class TooManySubscriptions(WebSocketException):
    """A subscription that passes `Limits.max_subscriptions` or `Limits.max_topics`."""


class BackplaneError(WebSocketException):
    """What should have reached other processes did not, may not have, or was not answered."""


class PublishError(WebSocketException):
    """Publishing over HTTP failed.

    Args:
        message: What happened.
        status_code: Status of the answer, None if there was none: then whether the messages were
            published is not known unless the text says so.
    """

    def __init__(self, message: str, status_code: int | None = None) -> None:
        super().__init__(message)
        self.status_code = status_code
