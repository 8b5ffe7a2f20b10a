"""Reading header values piece by piece, as handlers know it from pywebsocket.

The grammar is that of HTTP: tokens, quoted strings, and white space between them.

Source: RFC 2616 section 2.2, which RFC 6455 section 4.1 refers to.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

__all__ = [
    "ParsingState",
    "consume",
    "consume_lws",
    "consume_lwses",
    "consume_string",
    "consume_token",
    "consume_token_or_quoted_string",
    "parse_request_line",
    "parse_uri",
    "peek",
    "quote_if_necessary",
]

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_LWS = re.compile(r"(?:\r\n)?[ \t]+")
_QUOTED = re.compile(r'"((?:[^"\\\x00-\x1f\x7f]|(?:\r\n)?[ \t]+|\\[\x00-\x7f])*)"')
_REQUEST_LINE = re.compile(r"([A-Z]+) (\S+) HTTP/1\.[01]\r\n")


class ParsingState:
    """A text and how far it has been read.

    Args:
        data: The text.

    Attributes:
        head: Index of the next character.
    """

    def __init__(self, data: str) -> None:
        self.data = data
        self.head = 0


def peek(state: ParsingState, pos: int = 0) -> str | None:
    """Returns a character without consuming it; ``None`` at the end.

    Args:
        state: What is read.
        pos: How many characters further on.
    """
    return state.data[state.head + pos : state.head + pos + 1] or None


def consume(state: ParsingState, amount: int = 1) -> str | None:
    """Consumes characters and returns them; ``None``, if there are fewer, and consumes nothing.

    Args:
        state: What is read.
        amount: How many.
    """
    if state.head + amount > len(state.data):
        return None
    state.head += amount
    return state.data[state.head - amount : state.head]


def consume_string(state: ParsingState, expected: str) -> bool:
    """Consumes a text if it comes next; tells whether it did."""
    if not state.data.startswith(expected, state.head):
        return False
    state.head += len(expected)
    return True


def _match(state: ParsingState, pattern: re.Pattern[str]) -> re.Match[str] | None:
    found = pattern.match(state.data, state.head)
    if found is not None:
        state.head = found.end()
    return found


def consume_lws(state: ParsingState) -> bool:
    """Consumes white space, perhaps with a line break before it; tells whether there was any."""
    return _match(state, _LWS) is not None


def consume_lwses(state: ParsingState) -> None:
    """Consumes all white space there is."""
    while consume_lws(state):
        pass


def consume_token(state: ParsingState) -> str | None:
    """Consumes a token and returns it; ``None`` if none comes next."""
    found = _match(state, _TOKEN)
    return None if found is None else found[0]


def consume_token_or_quoted_string(state: ParsingState) -> str | None:
    """Consumes a token or a quoted string and returns what it says; ``None`` if none comes next."""
    if peek(state) != '"':
        return consume_token(state)
    found = _match(state, _QUOTED)
    if found is None:
        return None
    return re.sub(r"\\(.)", r"\1", _LWS.sub(" ", found[1]), flags=re.DOTALL)


def quote_if_necessary(s: str) -> str:
    """Returns a parameter's value as it is written: itself if it is a token, else quoted."""
    if s and _TOKEN.fullmatch(s):
        return s
    return '"' + re.sub(r'(["\\\x00-\x1f\x7f])', r"\\\1", s) + '"'


def parse_request_line(request_line: str) -> tuple[str, str] | None:
    """Returns method and target of a request line with its CRLF; ``None`` if it is none."""
    found = _REQUEST_LINE.fullmatch(request_line)
    return None if found is None else (found[1], found[2])


def parse_uri(uri: str) -> tuple[str | None, int | None, str | None]:
    """Takes the target of a request apart.

    Args:
        uri: The target; absolute or only a path.

    Returns:
        Host, port and resource. Host and port are ``None`` unless the target is a ws: or wss: URL;
        all are if it is one that can't be read.
    """
    try:
        parsed = urlsplit(uri)
        if parsed.scheme not in ("ws", "wss"):
            return None, None, uri
        host, port = parsed.hostname, parsed.port
    except ValueError:
        return None, None, None
    if host is None:
        return None, None, None
    resource = parsed.path or "/"
    if parsed.query:
        resource += f"?{parsed.query}"
    if parsed.fragment:
        resource += f"#{parsed.fragment}"
    if port is None:
        port = 80 if parsed.scheme == "ws" else 443
    return host, port, resource
