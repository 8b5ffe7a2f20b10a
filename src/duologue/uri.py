"""WebSocket URLs; names are those of `websockets.uri`, and the WHATWG parser beneath."""

from __future__ import annotations

from duologue.wire.uri import (
    URL,
    WebSocketURI,
    parse_uri,
    parse_url,
)

__all__ = [
    "URL",
    "WebSocketURI",
    "parse_uri",
    "parse_url",
]
