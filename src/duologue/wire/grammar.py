"""The grammar of the header values that a WebSocket handshake uses, read and written.

Each `parse_…` reads one whole value and returns what it says; each `build_…` is its inverse. It
must never know which values are acceptable: "Upgrade: h2c" is good grammar. Header names appear
here for error texts only.

Invariants:
    * a parser accepts a value if, and only if, it matches the grammar from end to end;
    * every error names the header, what was expected, and where;
    * time is proportional to the length of the value.

Sources: RFC 9110 sections 5.6 (tokens, quoted strings, lists), 7.6.1, 7.8 and 11; RFC 6455
section 9.1 (extensions); RFC 7617 (Basic authentication).
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable, Sequence
from typing import TypeVar

from duologue.base.exceptions import InvalidHeaderFormat, InvalidHeaderValue
from duologue.base.types import (
    ConnectionOption,
    ExtensionHeader,
    ExtensionName,
    ExtensionParameter,
    Subprotocol,
    UpgradeProtocol,
)

__all__ = [
    "build_authorization_basic",
    "build_extension",
    "build_extension_list",
    "build_host",
    "build_subprotocol",
    "build_subprotocol_list",
    "build_www_authenticate_basic",
    "is_token",
    "parse_authorization_basic",
    "parse_connection",
    "parse_extension",
    "parse_extension_list",
    "parse_subprotocol",
    "parse_subprotocol_list",
    "parse_upgrade",
    "validate_subprotocols",
]

_T = TypeVar("_T")

_TOKEN = r"[-!#$%&'*+.^_`|~0-9A-Za-z]+"
_token = re.compile(_TOKEN)
_protocol = re.compile(f"{_TOKEN}(?:/{_TOKEN})?")
_token68 = re.compile(r"[-A-Za-z0-9._~+/]+=*")
_space = re.compile(r"[\t ]*")
_separators = re.compile(r"[\t ,]*")
_quoted = re.compile(r'"((?:[\t\x20!\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*)"')
_escaped = re.compile(r"\\(.)", re.DOTALL)
_is_quotable = re.compile(r"[\t\x20-\x7e\x80-\xff]*").fullmatch


class _Reader:
    """A value and how far it has been read."""

    __slots__ = ("name", "pos", "value")

    def __init__(self, name: str, value: str) -> None:
        self.name = name
        self.value = value
        self.pos = 0

    def fail(self, expected: str, pos: int | None = None) -> InvalidHeaderFormat:
        return InvalidHeaderFormat(
            self.name, expected, self.value, self.pos if pos is None else pos
        )

    def match(self, pattern: re.Pattern[str], expected: str) -> str:
        found = pattern.match(self.value, self.pos)
        if found is None:
            raise self.fail(expected)
        self.pos = found.end()
        return found.group()

    def skip(self, char: str) -> bool:
        """Skip a character if it comes next, with optional space around it."""
        self.match(_space, "space")
        if not self.value.startswith(char, self.pos):
            return False
        self.pos += 1
        self.match(_space, "space")
        return True

    def list(self, item: Callable[[_Reader], _T]) -> list[_T]:
        """Read 1#item to the end of the value; empty items are allowed and ignored."""
        items = []
        self.match(_separators, "comma")
        while True:
            items.append(item(self))
            self.match(_space, "space")
            if self.pos == len(self.value):
                return items
            if self.value[self.pos] != ",":
                raise self.fail("expected comma")
            self.match(_separators, "comma")
            if self.pos == len(self.value):
                return items


def _read_token(reader: _Reader) -> str:
    return reader.match(_token, "expected token")


def _read_protocol(reader: _Reader) -> str:
    return reader.match(_protocol, "expected protocol")


def _read_parameter(reader: _Reader) -> ExtensionParameter:
    name = _read_token(reader)
    if not reader.skip("="):
        return name, None
    if not reader.value.startswith('"', reader.pos):
        return name, _read_token(reader)
    start = reader.pos
    value = _escaped.sub(r"\1", reader.match(_quoted, "expected quoted string")[1:-1])
    # Unlike elsewhere in HTTP, quoting must not add anything (RFC 6455 section 9.1).
    if not is_token(value):
        raise reader.fail("invalid quoted header content", start)
    return name, value


def _read_extension(reader: _Reader) -> ExtensionHeader:
    name = ExtensionName(_read_token(reader))
    parameters = []
    while reader.skip(";"):
        parameters.append(_read_parameter(reader))
    return name, parameters


def is_token(text: str) -> bool:
    """Tell whether a text is a token (RFC 9110 section 5.6.2)."""
    return _token.fullmatch(text) is not None


def build_host(host: str, port: int, secure: bool, *, always_include_port: bool = False) -> str:
    """Build a `Host` header.

    Args:
        host: Host name or address; an IPv6 address without its brackets.
        port: TCP port.
        secure: Whether TLS is used, which makes 443 the default port instead of 80.
        always_include_port: Write the port even if it is the default.

    Returns:
        The header's value (RFC 9110 section 7.2).
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        pass
    else:
        if address.version == 6:
            host = f"[{host}]"
    if always_include_port or port != (443 if secure else 80):
        return f"{host}:{port}"
    return host


def parse_connection(header: str) -> list[ConnectionOption]:
    """Parse a `Connection` header (RFC 9110 section 7.6.1).

    Args:
        header: The header's value.

    Returns:
        The options, in their own case and order.

    Raises:
        InvalidHeaderFormat: If the value is malformed.
    """
    return [ConnectionOption(item) for item in _Reader("Connection", header).list(_read_token)]


def parse_upgrade(header: str) -> list[UpgradeProtocol]:
    """Parse an `Upgrade` header (RFC 9110 section 7.8).

    Args:
        header: The header's value.

    Returns:
        The protocols, with their versions if given, in their own case and order.

    Raises:
        InvalidHeaderFormat: If the value is malformed.
    """
    return [UpgradeProtocol(item) for item in _Reader("Upgrade", header).list(_read_protocol)]


def parse_extension(header: str) -> list[ExtensionHeader]:
    """Parse a `Sec-WebSocket-Extensions` header (RFC 6455 section 9.1).

    Args:
        header: The header's value.

    Returns:
        Extensions as (name, parameters) pairs; parameters are (name, value) pairs, with None
        for a parameter without value.

    Raises:
        InvalidHeaderFormat: If the value is malformed.
    """
    return _Reader("Sec-WebSocket-Extensions", header).list(_read_extension)


parse_extension_list = parse_extension


def build_extension(extensions: Sequence[ExtensionHeader]) -> str:
    """Build a `Sec-WebSocket-Extensions` header.

    Args:
        extensions: Extensions as `parse_extension` returns them.

    Returns:
        The header's value. Values are tokens, so none needs quotes.
    """
    return ", ".join(
        "; ".join([name, *(key if value is None else f"{key}={value}" for key, value in params)])
        for name, params in extensions
    )


build_extension_list = build_extension


def parse_subprotocol(header: str) -> list[Subprotocol]:
    """Parse a `Sec-WebSocket-Protocol` header (RFC 6455 section 11.3.4).

    Args:
        header: The header's value.

    Returns:
        The subprotocols in order of preference.

    Raises:
        InvalidHeaderFormat: If the value is malformed.
    """
    reader = _Reader("Sec-WebSocket-Protocol", header)
    return [Subprotocol(item) for item in reader.list(_read_token)]


parse_subprotocol_list = parse_subprotocol


def build_subprotocol(subprotocols: Sequence[Subprotocol]) -> str:
    """Build a `Sec-WebSocket-Protocol` header.

    Args:
        subprotocols: Subprotocols in order of preference; see `validate_subprotocols`.

    Returns:
        The header's value.
    """
    return ", ".join(subprotocols)


build_subprotocol_list = build_subprotocol


def validate_subprotocols(subprotocols: Sequence[Subprotocol]) -> None:
    """Check subprotocols given by an application.

    Args:
        subprotocols: What `build_subprotocol` is going to get.

    Raises:
        TypeError: If it is not a sequence, or a single string.
        ValueError: If one is not a token.
    """
    if isinstance(subprotocols, str) or not isinstance(subprotocols, Sequence):
        kind = type(subprotocols).__name__
        raise TypeError(f"subprotocols must be a list of names, not a {kind}")
    for subprotocol in subprotocols:
        if not is_token(subprotocol):
            raise ValueError(f"invalid subprotocol: {subprotocol}")


def build_www_authenticate_basic(realm: str) -> str:
    """Build a `WWW-Authenticate` header that asks for Basic authentication (RFC 7617).

    Args:
        realm: Name of what is protected; shown to users.

    Returns:
        The header's value; it asks for UTF-8.

    Raises:
        ValueError: If the realm has control characters or characters above U+00FF.
    """
    return f'Basic realm={_quote(realm)}, charset="UTF-8"'


def parse_authorization_basic(header: str) -> tuple[str, str]:
    """Parse an `Authorization` header of Basic authentication (RFC 7617 section 2).

    Args:
        header: The header's value.

    Returns:
        User name and password. Octets that are not UTF-8 become lone surrogates, as in
        `os.fsdecode`.

    Raises:
        InvalidHeaderFormat: If the value is malformed.
        InvalidHeaderValue: If it is another scheme, or does not hold a name and a password.
    """
    reader = _Reader("Authorization", header)
    scheme = _read_token(reader)
    if scheme.lower() != "basic":
        raise InvalidHeaderValue(reader.name, f"unsupported scheme: {scheme}")
    if not header.startswith(" ", reader.pos):
        raise reader.fail("expected space after scheme")
    reader.pos += 1
    encoded = reader.match(_token68, "expected token68")
    if reader.pos != len(header):
        raise reader.fail("trailing data")
    try:
        decoded = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        raise InvalidHeaderValue(reader.name, "expected base64-encoded credentials") from None
    username, colon, password = decoded.decode(errors="surrogateescape").partition(":")
    if not colon:
        raise InvalidHeaderValue(reader.name, "expected username:password credentials")
    return username, password


def build_authorization_basic(username: str, password: str) -> str:
    """Build an `Authorization` header of Basic authentication (RFC 7617 section 2).

    Args:
        username: User name, without a colon; may have surrogates from `os.fsdecode`.
        password: Password, likewise, colons allowed.

    Returns:
        The header's value.

    Raises:
        ValueError: If the user name has a colon.
    """
    if ":" in username:
        raise ValueError(f"a user name for Basic authentication has no colon: {username!r}")
    credentials = f"{username}:{password}".encode(errors="surrogateescape")
    return "Basic " + base64.b64encode(credentials).decode("ascii")


def _quote(value: str) -> str:
    """Write a quoted string (RFC 9110 section 5.6.4)."""
    if _is_quotable(value) is None:
        raise ValueError(f"cannot be quoted in a header: {value!r}")
    return '"' + re.sub(r'(["\\])', r"\\\1", value) + '"'
