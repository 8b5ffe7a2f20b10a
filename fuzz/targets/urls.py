"""The URL parser: any text, alone and relative to a base (the octet 0 stands between them)."""

from __future__ import annotations

import re

from duologue.base.exceptions import InvalidURI
from duologue.wire.uri import parse_uri, parse_url

BASE = "ws://base/a/b?c#d"


def run(data: bytes) -> None:
    """Parse the input; what is a URL is written in one way only and parses as the same."""
    text, _, base = data.decode("utf-8", "surrogateescape").partition("\0")
    check(text, base or None)
    check(text, BASE)
    try:
        parsed = parse_uri(text)
    except InvalidURI as exc:
        assert exc.uri == text
        return
    assert 0 <= parsed.port < 65536
    assert re.fullmatch(r"/[!-\"$-~]*", parsed.resource_name), parsed


def check(text: str, base: str | None) -> None:
    """Parse one URL."""
    try:
        parsed = parse_url(text, base)
    except InvalidURI as exc:
        assert exc.uri in (text, base)
        return
    assert parse_url(parsed.href) == parsed
    assert re.fullmatch(r"wss?://[!-~]+", parsed.href), parsed.href
    assert re.fullmatch(r"/[!-\"$-~]*", parsed.resource_name), parsed
    assert not {".", ".."} & set(parsed.path.split("/")), parsed
    assert parsed.port != (443 if parsed.secure else 80)
