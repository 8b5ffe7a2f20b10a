"""Parts of the opening handshake: reading and judging its headers.

Source: RFC 6455 sections 4.1 and 4.2.
"""

from __future__ import annotations

from typing import Any

from duologue.frontends.pywebsocket import common, http_header_util
from duologue.frontends.pywebsocket.exceptions import (
    AbortedByUserException,
    HandshakeException,
    VersionException,
)

__all__ = [
    "AbortedByUserException",
    "HandshakeException",
    "VersionException",
    "get_default_port",
    "get_mandatory_header",
    "parse_host_header",
    "parse_token_list",
    "validate_mandatory_header",
    "validate_subprotocol",
]


def get_default_port(is_secure: bool) -> int:
    """Returns 443 or 80."""
    return common.DEFAULT_WEB_SOCKET_SECURE_PORT if is_secure else common.DEFAULT_WEB_SOCKET_PORT


def validate_subprotocol(subprotocol: str) -> None:
    """Checks that a subprotocol's name is a token.

    Raises:
        HandshakeException: If it isn't.
    """
    state = http_header_util.ParsingState(subprotocol or "")
    if http_header_util.consume_token(state) is None or http_header_util.peek(state) is not None:
        raise HandshakeException(f"Invalid subprotocol name: {subprotocol!r}")


def parse_host_header(request: Any) -> tuple[str, int]:
    """Returns host and port of the ``Host`` header.

    Raises:
        HandshakeException: If the port is no number.
    """
    host, colon, port = request.headers_in[common.HOST_HEADER].partition(":")
    try:
        return host, int(port) if colon else get_default_port(request.is_https())
    except ValueError:
        raise HandshakeException(f"Invalid port number format: {port!r}") from None


def get_mandatory_header(request: Any, key: str) -> str:
    """Returns the value of a header.

    Raises:
        HandshakeException: If it isn't there.
    """
    value: str | None = request.headers_in.get(key)
    if value is None:
        raise HandshakeException(f"Header {key} is not defined")
    return value


def validate_mandatory_header(
    request: Any, key: str, expected_value: str, fail_status: int | None = None
) -> None:
    """Checks the value of a header, without regard to case.

    Raises:
        HandshakeException: If it isn't there, or says something else; with ``fail_status`` then.
    """
    value = get_mandatory_header(request, key)
    if value.lower() != expected_value.lower():
        raise HandshakeException(
            f"Expected {expected_value!r} for header {key} but found {value!r} (case-insensitive)",
            status=fail_status,
        )


def parse_token_list(data: str) -> list[str]:
    """Returns the tokens of a list with commas between them.

    Raises:
        HandshakeException: If something else is in it, or nothing.
    """
    state = http_header_util.ParsingState(data)
    tokens = []
    while True:
        token = http_header_util.consume_token(state)
        if token is not None:
            tokens.append(token)
        http_header_util.consume_lwses(state)
        found = http_header_util.peek(state)
        if found is None:
            break
        if not http_header_util.consume_string(state, ","):
            raise HandshakeException(f"Expected a comma but found {found!r}")
        http_header_util.consume_lwses(state)
    if not tokens:
        raise HandshakeException("No valid token found")
    return tokens
