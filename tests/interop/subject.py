"""The one place that says whose ``connect`` and ``serve`` the interop tests examine."""

from __future__ import annotations

from duologue.asyncio.client import connect
from duologue.asyncio.server import ServerConnection, serve
from duologue.exceptions import (
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    InvalidStatus,
)

__all__ = [
    "ConnectionClosed",
    "ConnectionClosedError",
    "ConnectionClosedOK",
    "InvalidStatus",
    "ServerConnection",
    "connect",
    "serve",
]
