"""The server for threads; names are those of `websockets.sync.server`."""

from __future__ import annotations

from duologue.connection.threads_broadcast import (
    broadcast,
)
from duologue.server.threads import (
    Server,
    ServerConnection,
    basic_auth,
    serve,
    unix_serve,
)

__all__ = [
    "Server",
    "ServerConnection",
    "basic_auth",
    "broadcast",
    "serve",
    "unix_serve",
]
