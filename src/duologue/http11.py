"""HTTP/1.1 requests and responses as values; names are those of `websockets.http11`."""

from __future__ import annotations

from duologue.wire.http11 import (
    SERVER,
    USER_AGENT,
    Request,
    Response,
)

__all__ = [
    "SERVER",
    "USER_AGENT",
    "Request",
    "Response",
]
