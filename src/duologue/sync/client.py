"""The client for threads; names are those of `websockets.sync.client`."""

from __future__ import annotations

from duologue.client.threads import (
    ClientConnection,
    connect,
    reconnect,
    unix_connect,
    unix_reconnect,
)

__all__ = [
    "ClientConnection",
    "connect",
    "reconnect",
    "unix_connect",
    "unix_reconnect",
]
