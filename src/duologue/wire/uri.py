"""WebSocket URLs: one parser, that of the WHATWG URL Standard, for the schemes ws and wss.

`parse_url` reads what a browser reads and maps http and https to ws and wss, as the WebSocket
constructor does. `parse_uri` is the stricter reading that `websockets` offers, on top of it. This
module must never connect, look up, or decide which ports are allowed.

A URL has a scheme, an authority, a path, a query and a fragment. All four schemes are "special" in
the standard's words, which leaves out opaque paths, opaque hosts and file URLs; other schemes are
refused.

Invariants:
    * `parse_url(url.href) == url`;
    * `href` and `resource_name` are visible ASCII and have no line break, whatever was parsed;
    * a fragment is kept, also an empty one, so that callers can refuse it.

Sources: WHATWG URL Standard sections 1.3 (percent-encode sets), 4.4 (parsing) and 4.5
(serializing); WHATWG WebSockets, "get a URL record"; RFC 6455 section 3.
"""

from __future__ import annotations

import re
import urllib.parse
from dataclasses import dataclass, replace

from duologue.base.exceptions import InvalidURI
from duologue.wire.host import parse_host

__all__ = ["URL", "WebSocketURI", "parse_uri", "parse_url"]

_DEFAULT_PORTS = {"ws": 80, "wss": 443, "http": 80, "https": 443}
_WEBSOCKET_SCHEMES = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}

_TRIMMED = "".join(map(chr, range(0x21)))
_scheme = re.compile(r"([A-Za-z][-+.0-9A-Za-z]*):")
_slashes = re.compile(r"[/\\]*")
_authority = re.compile(r"[^/\\?#]*")
_path = re.compile(r"[^?#]*")
_segment_end = re.compile(r"[/\\]")
_is_port = re.compile(r"[0-9]*").fullmatch
_host_and_port = re.compile(r"((?:\[[^\]]*\]?|[^:\[])*)(?::(.*))?", re.DOTALL)

# What each percent-encode set leaves alone, given to urllib's quote() beside letters, digits and
# "_.-~". A percent sign is never encoded: the parser keeps escapes as they are.
_ASCII = "".join(map(chr, range(0x21, 0x7F)))


def _safe(encoded: str) -> str:
    return "".join(char for char in _ASCII if char not in encoded)


_QUERY_SAFE = _safe("\"#<>'")
_FRAGMENT_SAFE = _safe('"<>`')
_PATH_SAFE = _safe('"#<>?^`{}')
_USERINFO_SAFE = _safe('"#<>?^`{}/:;=@[\\]|')


@dataclass(frozen=True, slots=True)
class URL:
    """A parsed URL, each part in the form it has in `href`.

    Attributes:
        scheme: "ws" or "wss".
        username: User name, percent-encoded; empty if there is none.
        password: Password, percent-encoded; empty if there is none.
        host: Lower-case ASCII domain, IPv4 address, or IPv6 address in brackets.
        port: TCP port; None if it is the scheme's default.
        path: Path, percent-encoded; starts with "/".
        query: Query without "?", percent-encoded; None if there is none.
        fragment: Fragment without "#"; None if there is none. No request can carry one.
    """

    scheme: str
    username: str
    password: str
    host: str
    port: int | None
    path: str
    query: str | None
    fragment: str | None

    @property
    def secure(self) -> bool:
        """Whether the connection uses TLS."""
        return self.scheme in ("wss", "https")

    @property
    def origin(self) -> str:
        """Scheme, host and port, as in "wss://example.com:8443"."""
        port = "" if self.port is None else f":{self.port}"
        return f"{self.scheme}://{self.host}{port}"

    @property
    def resource_name(self) -> str:
        """What the request line names: path and query (RFC 6455 section 3)."""
        return self.path if self.query is None else f"{self.path}?{self.query}"

    @property
    def href(self) -> str:
        """The whole URL, normalized."""
        userinfo = self.username
        if self.password:
            userinfo += f":{self.password}"
        if userinfo:
            userinfo += "@"
        fragment = "" if self.fragment is None else f"#{self.fragment}"
        host_and_port = self.origin.partition("://")[2]
        return f"{self.scheme}://{userinfo}{host_and_port}{self.resource_name}{fragment}"

    def __str__(self) -> str:
        return self.href


@dataclass
class WebSocketURI:
    """A WebSocket URI in the form that `websockets.uri` gives it.

    Attributes:
        secure: Whether the scheme is wss.
        host: Host in lower case; an IPv6 address without brackets.
        port: TCP port, the default one if none is given.
        path: Path; never empty when it comes from `parse_uri`.
        query: Query; empty if there is none.
        username: User name, decoded; None without credentials.
        password: Password, decoded; None without credentials.
    """

    secure: bool
    host: str
    port: int
    path: str
    query: str
    username: str | None = None
    password: str | None = None

    @property
    def resource_name(self) -> str:
        """What the request line names: path and query (RFC 6455 section 3)."""
        path = self.path or "/"
        return f"{path}?{self.query}" if self.query else path

    @property
    def user_info(self) -> tuple[str, str] | None:
        """User name and password, None without them."""
        if self.username is None or self.password is None:
            return None
        return self.username, self.password


def parse_url(url: str, base: URL | str | None = None) -> URL:
    """Parse a URL as the WebSocket constructor of browsers does.

    Args:
        url: URL with the scheme ws, wss, http or https, or relative to `base`.
        base: What a relative URL refers to, such as the address of a page.

    Returns:
        The URL with scheme ws or wss. Its fragment, if any, is kept for the caller to refuse.

    Raises:
        InvalidURI: If it cannot be parsed, or has another scheme.
    """
    if isinstance(base, str):
        base = _parse(base, None)
    record = _parse(url, base)
    return replace(record, scheme=_WEBSOCKET_SCHEMES[record.scheme])


def parse_uri(uri: str) -> WebSocketURI:
    """Parse a WebSocket URI (RFC 6455 section 3).

    Args:
        uri: Absolute URI with the scheme ws or wss.

    Returns:
        The parts needed to connect.

    Raises:
        InvalidURI: If it cannot be parsed, has another scheme, no host, a fragment, or a user
            name without a password.
    """
    record = _parse(uri, None)
    if record.scheme not in ("ws", "wss"):
        raise InvalidURI(uri, "scheme isn't ws or wss")
    if not re.match(r"//[^/\\]", _clean(uri).partition(":")[2]):
        # A browser takes "path" in "ws:///path" for the host, which is never meant.
        raise InvalidURI(uri, "hostname isn't provided")
    if record.fragment is not None:
        raise InvalidURI(uri, "fragment identifier is meaningless")
    username = password = None
    if record.username or record.password:
        username, password = _decode_credentials(uri, record)
    port = _DEFAULT_PORTS[record.scheme] if record.port is None else record.port
    host = record.host.strip("[]")
    query = record.query or ""
    return WebSocketURI(record.secure, host, port, record.path, query, username, password)


def _decode_credentials(uri: str, record: URL) -> tuple[str, str]:
    if not record.password and ":" not in _find_userinfo(uri):
        raise InvalidURI(uri, "username provided without password")
    try:
        return (
            urllib.parse.unquote(record.username, errors="strict"),
            urllib.parse.unquote(record.password, errors="strict"),
        )
    except UnicodeDecodeError:
        raise InvalidURI(uri, "username or password isn't UTF-8") from None


def _find_userinfo(uri: str) -> str:
    """Return the credentials as written: the record does not tell "user" from "user:"."""
    rest = _clean(uri).partition(":")[2]
    rest = rest[_end(_slashes, rest) :]
    return rest[: _end(_authority, rest)].rpartition("@")[0]


def _parse(url: str, base: URL | None) -> URL:
    """Parse without changing the scheme (WHATWG "basic URL parser")."""
    text = _clean(url)
    try:
        found = _scheme.match(text)
        if found is None:
            if base is None:
                raise ValueError("scheme isn't ws or wss")
            return _parse_relative(text, base)
        scheme = found.group(1).lower()
        rest = text[found.end() :]
        if scheme not in _DEFAULT_PORTS:
            raise ValueError("scheme isn't ws or wss")
        # "ws:chat" is relative to a base of the same scheme, an odd relic of early browsers.
        if base is not None and base.scheme == scheme and not rest.startswith("//"):
            return _parse_relative(rest, base)
        return _parse_authority(scheme, rest)
    except ValueError as exc:
        raise InvalidURI(url, str(exc)) from None


def _clean(url: str) -> str:
    """Trim, drop tabs and line breaks, and replace lone surrogates (Web IDL USVString)."""
    text = url.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return re.sub(r"[\t\n\r]", "", text.strip(_TRIMMED))


def _parse_relative(text: str, base: URL) -> URL:
    """Resolve against a base (states "relative" and "relative slash")."""
    if re.match(r"[/\\]{2}", text):
        return _parse_authority(base.scheme, text)
    if text[:1] in ("/", "\\"):
        return _parse_path(replace(base, path="", query=None, fragment=None), [], text[1:])
    if not text or text[0] in "?#":
        query = _Tail(text).query if text.startswith("?") else base.query
        return replace(base, query=query, fragment=_Tail(text).fragment)
    folders = base.path.split("/")[1:-1]
    return _parse_path(replace(base, query=None, fragment=None), folders, text)


def _parse_authority(scheme: str, text: str) -> URL:
    """Read credentials, host and port (states "authority" to "port")."""
    rest = text[_end(_slashes, text) :]
    authority = rest[: _end(_authority, rest)]
    userinfo, _, location = authority.rpartition("@")
    username, _, password = userinfo.partition(":")
    found = _host_and_port.fullmatch(location)
    if found is None:
        raise ValueError(f"invalid host: {location!r}")
    if not found.group(1):
        raise ValueError("hostname isn't provided")
    url = URL(
        scheme=scheme,
        username=urllib.parse.quote(username, safe=_USERINFO_SAFE),
        password=urllib.parse.quote(password, safe=_USERINFO_SAFE),
        host=parse_host(found.group(1)),
        port=_parse_port(found.group(2) or "", scheme),
        path="",
        query=None,
        fragment=None,
    )
    after = rest[len(authority) :]
    return _parse_path(url, [], after[1:] if after[:1] in ("/", "\\") else after)


def _parse_port(text: str, scheme: str) -> int | None:
    if not text:
        return None
    if _is_port(text) is None:
        raise ValueError(f"invalid port: {text!r}")
    digits = text.lstrip("0") or "0"
    if len(digits) > 5 or int(digits) > 65535:
        raise ValueError(f"port out of range: {text}")
    return None if int(digits) == _DEFAULT_PORTS[scheme] else int(digits)


def _parse_path(url: URL, folders: list[str], text: str) -> URL:
    """Read the path below `folders`, then query and fragment (states "path" and after)."""
    end = _end(_path, text)
    segments = folders.copy()
    *inner, last = _segment_end.split(text[:end])
    for segment in inner:
        _walk(segments, segment)
    if not _walk(segments, last):
        segments.append("")
    tail = _Tail(text[end:])
    return replace(url, path="/" + "/".join(segments), query=tail.query, fragment=tail.fragment)


def _walk(segments: list[str], segment: str) -> bool:
    """Follow one segment of a path; tell whether it added a name, empty ones included."""
    dots = re.sub("%2e", ".", segment, flags=re.IGNORECASE)
    if dots == "..":
        del segments[-1:]
    elif dots != ".":
        segments.append(urllib.parse.quote(segment, safe=_PATH_SAFE))
        return True
    return False


class _Tail:
    """Query and fragment, each None if it is missing."""

    def __init__(self, text: str) -> None:
        before, mark, fragment = text.partition("#")
        self.fragment = urllib.parse.quote(fragment, safe=_FRAGMENT_SAFE) if mark else None
        _, mark, query = before.partition("?")
        self.query = urllib.parse.quote(query, safe=_QUERY_SAFE) if mark else None


def _end(pattern: re.Pattern[str], text: str) -> int:
    found = pattern.match(text)
    return found.end() if found else 0
