"""The asyncio client; names are those of `websockets.asyncio.client`."""

from __future__ import annotations

from duologue.client.connecting import (
    connect,
    unix_connect,
)
from duologue.client.connection import (
    ClientConnection,
)
from duologue.client.reconnect import (
    backoff,
    process_exception,
)

__all__ = [
    "ClientConnection",
    "backoff",
    "connect",
    "process_exception",
    "unix_connect",
]
