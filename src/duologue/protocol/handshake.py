"""The opening handshake of RFC 6455 §4 as pure decisions, for both roles.

What it is: functions from a request or a response to what was agreed, or to an exception of the
`InvalidHandshake` family. The sans-I/O classes and the connections call
the same functions. What it must never know: sockets, buffers, states, loops.

Server: `negotiate` judges a request and builds the headers of the 101; `rejection` turns
what it raises into an HTTP answer. Client: `build_request` and `check_response`.

Invariants: header names and tokens are compared in any case, lists may span several header lines,
subprotocol names are compared exactly; nothing is agreed that the client didn't offer.

Sources: RFC 6455 §4.1 (client), §4.2 (server), §4.4 (versions), §9.1 (extensions); WHATWG
WebSockets "establish a WebSocket connection" (`require_subprotocol`).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from duologue.base.exceptions import (
    InvalidHeader,
    InvalidHeaderValue,
    InvalidMethod,
    InvalidOrigin,
    InvalidProtocol,
    InvalidStatus,
    InvalidUpgrade,
    NegotiationError,
)
from duologue.base.types import ExtensionHeader, Origin, Subprotocol
from duologue.protocol.reply import http_date, rejection, respond
from duologue.wire.extension import ClientExtensionFactory, Extension, ServerExtensionFactory
from duologue.wire.grammar import (
    build_authorization_basic,
    build_extension,
    build_host,
    build_subprotocol,
    parse_connection,
    parse_extension,
    parse_subprotocol,
    parse_upgrade,
)
from duologue.wire.headers import Headers, HeadersLike, MultipleValuesError
from duologue.wire.http11 import Request, Response
from duologue.wire.uri import WebSocketURI

__all__ = [
    "Agreed",
    "Negotiated",
    "accept_key",
    "agree_extensions",
    "agree_subprotocol",
    "build_request",
    "check_origin",
    "check_request",
    "check_response",
    "check_switch",
    "choose_extensions",
    "choose_subprotocol",
    "generate_key",
    "negotiate",
    "offered_subprotocols",
    "rejection",
    "respond",
    "switching_headers",
]

# RFC 6455 §1.3: no other protocol would hash a key with this.
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

Origins = Sequence[Origin | re.Pattern[str] | None]
SelectSubprotocol = Callable[[Sequence[Subprotocol]], Subprotocol | None]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Negotiated:
    """What a server answers to a valid handshake request.

    Attributes:
        headers: Headers of the 101 response.
        extensions: Extensions in use, in the order in which they process a frame to be sent.
        subprotocol: The subprotocol chosen, if any.
        origin: Value of the request's `Origin`, if any.
    """

    headers: Headers
    extensions: list[Extension]
    subprotocol: Subprotocol | None
    origin: Origin | None


@dataclass(frozen=True, slots=True)
class Agreed:
    """What a client learns from a valid handshake response.

    Attributes:
        extensions: Extensions in use, in the order in which they process a frame to be sent.
        subprotocol: The subprotocol the server chose, if any.
    """

    extensions: list[Extension]
    subprotocol: Subprotocol | None


def generate_key() -> str:
    """Make a `Sec-WebSocket-Key`: 16 octets of the operating system's entropy in base64."""
    return base64.b64encode(secrets.token_bytes(16)).decode()


def accept_key(key: str) -> str:
    """Compute the `Sec-WebSocket-Accept` that answers `key` (RFC 6455 §4.2.2 step 5.4)."""
    return base64.b64encode(
        hashlib.sha1(key.encode() + GUID, usedforsecurity=False).digest()
    ).decode()


def _merge(headers: Headers, name: str, parse: Callable[[str], Iterable[T]]) -> list[T]:
    """Read a list header that may be spread over several lines (RFC 9110 §5.3)."""
    return [item for line in headers.get_all(name) for item in parse(line)]


def _single(headers: Headers, name: str) -> str:
    try:
        return headers[name]
    except KeyError:
        raise InvalidHeader(name) from None
    except MultipleValuesError:
        raise InvalidHeader(name, "multiple values") from None


def _check_connection(headers: Headers) -> None:
    options = _merge(headers, "Connection", parse_connection)
    if not any(option.lower() == "upgrade" for option in options):
        raise InvalidUpgrade("Connection", ", ".join(options) or None)


# Server


def check_request(request: Request) -> str:
    """Check everything in a request that RFC 6455 §4.2.1 demands, before any negotiation.

    Args:
        request: The client's request.

    Returns:
        The value of `Sec-WebSocket-Accept`.

    Raises:
        InvalidMethod: The method isn't GET.
        InvalidProtocol: The protocol isn't HTTP/1.1.
        InvalidUpgrade: `Connection` or `Upgrade` don't ask for a WebSocket.
        InvalidHeader: `Host`, the key or the version is missing, repeated or wrong, or the request
            announces a body.
    """
    if request.method != "GET":
        raise InvalidMethod(request.method)
    if request.protocol != "HTTP/1.1":
        raise InvalidProtocol(request.protocol)
    headers = request.headers
    _check_connection(headers)
    # A client may offer other protocols beside ours (RFC 9110 §7.8): the server picks.
    protocols = _merge(headers, "Upgrade", parse_upgrade)
    if not any(protocol.lower() == "websocket" for protocol in protocols):
        raise InvalidUpgrade("Upgrade", ", ".join(protocols) or None)
    _single(headers, "Host")
    _check_no_body(headers)
    # The version comes before the key, because another version may have other rules for keys.
    version = _single(headers, "Sec-WebSocket-Version")
    if version != "13":
        raise InvalidHeaderValue("Sec-WebSocket-Version", version)
    key = _single(headers, "Sec-WebSocket-Key")
    if not _is_key(key):
        raise InvalidHeaderValue("Sec-WebSocket-Key", key)
    return accept_key(key)


def _is_key(key: str) -> bool:
    try:
        return len(base64.b64decode(key.encode(), validate=True)) == 16
    except binascii.Error:
        return False


def _check_no_body(headers: Headers) -> None:
    # A body would have to be told apart from frames that follow the head.
    if headers.get_all("Transfer-Encoding"):
        raise InvalidHeader("Transfer-Encoding", ", ".join(headers.get_all("Transfer-Encoding")))
    lengths = headers.get_all("Content-Length")
    if not set(lengths) <= {"0"}:
        raise InvalidHeader("Content-Length", ", ".join(lengths))


def check_origin(headers: Headers, origins: Origins | None) -> Origin | None:
    """Read `Origin` and hold it against the accepted ones.

    Args:
        headers: Headers of the request.
        origins: Accepted values: strings for an exact match, compiled patterns for a full match,
            `None` in the sequence for a request without the header. `None` instead of a sequence
            accepts every origin.

    Returns:
        The origin, if the request has one.

    Raises:
        InvalidOrigin: The origin isn't among `origins`.
        InvalidHeader: The header occurs more than once.
    """
    lines = headers.get_all("Origin")
    if len(lines) > 1:
        raise InvalidHeader("Origin", "multiple values")
    origin = Origin(lines[0]) if lines else None
    if origins is None or any(_matches(accepted, origin) for accepted in origins):
        return origin
    raise InvalidOrigin(origin)


def _matches(accepted: Origin | re.Pattern[str] | None, origin: Origin | None) -> bool:
    if isinstance(accepted, re.Pattern):
        return origin is not None and accepted.fullmatch(origin) is not None
    return accepted == origin


def choose_extensions(
    headers: Headers, available: Sequence[ServerExtensionFactory] | None
) -> tuple[str | None, list[Extension]]:
    """Accept those of the client's extension offers that a configured factory accepts.

    The client's order is kept (RFC 6455 §9.1); an offer no factory takes is declined silently.

    Args:
        headers: Headers of the request.
        available: Factories in order of preference.

    Returns:
        The value of `Sec-WebSocket-Extensions` for the response, and the extensions.

    Raises:
        InvalidHeaderFormat: The header can't be parsed.
    """
    if not available:
        return None, []
    accepted: list[ExtensionHeader] = []
    extensions: list[Extension] = []
    for name, params in _merge(headers, "Sec-WebSocket-Extensions", parse_extension):
        for factory in available:
            if factory.name != name:
                continue
            try:
                answer, extension = factory.process_request_params(params, extensions)
            except NegotiationError:
                continue
            accepted.append((name, answer))
            extensions.append(extension)
            break
    return (build_extension(accepted) if accepted else None), extensions


def offered_subprotocols(headers: Headers) -> list[Subprotocol]:
    """List the subprotocols a client offers, in its order of preference."""
    return _merge(headers, "Sec-WebSocket-Protocol", parse_subprotocol)


def choose_subprotocol(
    offered: Sequence[Subprotocol], available: Sequence[Subprotocol] | None
) -> Subprotocol | None:
    """Pick the first of the server's subprotocols that the client offers.

    Args:
        offered: What the client offers.
        available: What the server speaks, in order of preference.

    Returns:
        The choice, or `None` if the server doesn't speak any.

    Raises:
        NegotiationError: The server speaks subprotocols and the client offers none of them.
    """
    if not available:
        return None
    if not offered:
        raise NegotiationError(f"missing subprotocol; this server needs {_one_of(available)}")
    for subprotocol in available:
        if subprotocol in offered:
            return subprotocol
    raise NegotiationError(
        f"no common subprotocol: {', '.join(offered)} offered, "
        f"this server needs {_one_of(available)}"
    )


def _one_of(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"one of {', '.join(names)}"


def switching_headers(accept: str, extensions: str | None, subprotocol: str | None) -> Headers:
    """Build the headers of a 101 response (RFC 6455 §4.2.2 step 5)."""
    headers = Headers()
    headers["Date"] = http_date()
    headers["Upgrade"] = "websocket"
    headers["Connection"] = "Upgrade"
    headers["Sec-WebSocket-Accept"] = accept
    if extensions is not None:
        headers["Sec-WebSocket-Extensions"] = extensions
    if subprotocol is not None:
        headers["Sec-WebSocket-Protocol"] = subprotocol
    return headers


def negotiate(
    request: Request,
    *,
    origins: Origins | None = None,
    extensions: Sequence[ServerExtensionFactory] | None = None,
    subprotocols: Sequence[Subprotocol] | None = None,
    select_subprotocol: SelectSubprotocol | None = None,
) -> Negotiated:
    """Judge a handshake request and settle what both sides will use (RFC 6455 §4.2).

    Args:
        request: The client's request.
        origins: See `check_origin`.
        extensions: See `choose_extensions`.
        subprotocols: See `choose_subprotocol`.
        select_subprotocol: Takes the client's offer and returns the choice or `None`; replaces the
            choice among `subprotocols`.

    Returns:
        What was agreed, with the headers of the 101.

    Raises:
        InvalidHandshake: The request isn't acceptable; `rejection` builds the answer.
        ValueError: `select_subprotocol` chose something the client didn't offer.
    """
    accept = check_request(request)
    origin = check_origin(request.headers, origins)
    header, agreed = choose_extensions(request.headers, extensions)
    offered = offered_subprotocols(request.headers)
    if select_subprotocol is None:
        subprotocol = choose_subprotocol(offered, subprotocols)
    else:
        subprotocol = select_subprotocol(offered)
        check_selected(subprotocol, offered)
    return Negotiated(switching_headers(accept, header, subprotocol), agreed, subprotocol, origin)


def check_selected(subprotocol: Subprotocol | None, offered: Sequence[Subprotocol]) -> None:
    """Refuse an application's choice that every conforming client would refuse (RFC 6455 §4.1).

    Raises:
        ValueError: `subprotocol` isn't among `offered`.
    """
    if subprotocol is not None and subprotocol not in offered:
        raise ValueError(
            f"select_subprotocol chose {subprotocol!r}, which the client didn't offer; "
            f"it offered {', '.join(offered) or 'none'}"
        )


# Client


def build_request(
    uri: WebSocketURI,
    *,
    key: str,
    origin: Origin | None = None,
    extensions: Sequence[ClientExtensionFactory] | None = None,
    subprotocols: Sequence[Subprotocol] | None = None,
    additional_headers: HeadersLike | None = None,
    user_agent: str | None = None,
) -> Request:
    """Build the client's handshake request (RFC 6455 §4.1).

    Args:
        uri: Where to connect.
        key: See `generate_key`.
        origin: Value of `Origin`.
        extensions: Extensions to offer, in order of preference.
        subprotocols: Subprotocols to offer, in order of preference.
        additional_headers: More headers. `Host`, `Origin` and `Authorization` replace the
            computed ones, others are added.
        user_agent: Value of `User-Agent` unless `additional_headers` has one.

    Returns:
        The request.

    Raises:
        InvalidHeaderValue: A value contains characters that no header may contain.
    """
    headers = Headers()
    headers["Host"] = build_host(uri.host, uri.port, uri.secure)
    if uri.user_info:
        headers["Authorization"] = build_authorization_basic(*uri.user_info)
    if origin is not None:
        headers["Origin"] = origin
    headers["Upgrade"] = "websocket"
    headers["Connection"] = "Upgrade"
    headers["Sec-WebSocket-Key"] = key
    headers["Sec-WebSocket-Version"] = "13"
    # An empty list would be an empty header, which the grammar of RFC 6455 §9.1 doesn't allow.
    if extensions:
        offers = [(factory.name, factory.get_request_params()) for factory in extensions]
        headers["Sec-WebSocket-Extensions"] = build_extension(offers)
    if subprotocols:
        headers["Sec-WebSocket-Protocol"] = build_subprotocol(subprotocols)
    if additional_headers is not None:
        extra = Headers(additional_headers)
        for name in ("Host", "Origin", "Authorization"):
            if name in extra and name in headers:
                del headers[name]
        headers.update(extra)
    if user_agent is not None:
        headers.setdefault("User-Agent", user_agent)
    return Request(uri.resource_name, headers)


def check_switch(response: Response, key: str) -> None:
    """Check that a response switches to WebSocket in answer to `key` (RFC 6455 §4.1 steps 1–4).

    Raises:
        InvalidStatus: The status isn't 101.
        InvalidUpgrade: `Connection` lacks `Upgrade`, or `Upgrade` isn't just `websocket`.
        InvalidHeader: `Sec-WebSocket-Accept` is missing, repeated or wrong.
    """
    if response.status_code != 101:
        raise InvalidStatus(response)
    headers = response.headers
    _check_connection(headers)
    protocols = _merge(headers, "Upgrade", parse_upgrade)
    if len(protocols) != 1 or protocols[0].lower() != "websocket":
        raise InvalidUpgrade("Upgrade", ", ".join(protocols) or None)
    accept = _single(headers, "Sec-WebSocket-Accept")
    if accept != accept_key(key):
        raise InvalidHeaderValue("Sec-WebSocket-Accept", accept)


def agree_extensions(
    headers: Headers, available: Sequence[ClientExtensionFactory] | None
) -> list[Extension]:
    """Set up the extensions a server accepted (RFC 6455 §4.1 step 5, §9.1).

    Args:
        headers: Headers of the response.
        available: Factories whose offers the request made.

    Returns:
        The extensions in the server's order.

    Raises:
        NegotiationError: The server uses an extension, or parameters, that weren't offered.
        InvalidHeaderFormat: The header can't be parsed.
    """
    extensions: list[Extension] = []
    for name, params in _merge(headers, "Sec-WebSocket-Extensions", parse_extension):
        refusal: NegotiationError | None = None
        for factory in available or ():
            if factory.name != name:
                continue
            try:
                extensions.append(factory.process_response_params(params, extensions))
                break
            except NegotiationError as exc:
                refusal = exc
        else:
            answer = build_extension([(name, params)])
            if refusal is None:
                raise NegotiationError(f"the server uses an extension not offered: {answer}")
            raise NegotiationError(
                f"the server's extension isn't acceptable: {answer}"
            ) from refusal
    return extensions


def agree_subprotocol(
    headers: Headers, available: Sequence[Subprotocol] | None, *, required: bool = False
) -> Subprotocol | None:
    """Read the subprotocol a server chose (RFC 6455 §4.1 step 6).

    Args:
        headers: Headers of the response.
        available: What the request offered.
        required: Refuse a response without a choice when there was an offer, as browsers do.

    Returns:
        The choice, if the server made one.

    Raises:
        NegotiationError: The choice wasn't offered, or is missing though `required`.
        InvalidHeader: The server chose more than one.
    """
    chosen = _merge(headers, "Sec-WebSocket-Protocol", parse_subprotocol)
    if len(chosen) > 1:
        raise InvalidHeader("Sec-WebSocket-Protocol", f"multiple values: {', '.join(chosen)}")
    if not chosen:
        if required and available:
            raise NegotiationError(
                f"the server chose no subprotocol; offered {', '.join(available)}"
            )
        return None
    if chosen[0] not in (available or ()):
        offer = ", ".join(available) if available else "none"
        raise NegotiationError(f"unsupported subprotocol: {chosen[0]}; offered {offer}")
    return chosen[0]


def check_response(
    response: Response,
    *,
    key: str,
    extensions: Sequence[ClientExtensionFactory] | None = None,
    subprotocols: Sequence[Subprotocol] | None = None,
    require_subprotocol: bool = False,
) -> Agreed:
    """Judge a handshake response (RFC 6455 §4.1).

    Args:
        response: The server's response.
        key: The key of the request.
        extensions: Factories whose offers the request made.
        subprotocols: What the request offered.
        require_subprotocol: Fail when subprotocols were offered and none was chosen, as the WHATWG
            standard demands of browsers.

    Returns:
        What was agreed.

    Raises:
        InvalidHandshake: The response doesn't open a connection; the subclass tells why.
    """
    check_switch(response, key)
    agreed = agree_extensions(response.headers, extensions)
    subprotocol = agree_subprotocol(response.headers, subprotocols, required=require_subprotocol)
    return Agreed(agreed, subprotocol)
