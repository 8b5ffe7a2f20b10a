"""The asyncio server; names are those of `websockets.asyncio.server`."""

from __future__ import annotations

from duologue.connection.broadcast import (
    broadcast,
)
from duologue.server.auth import (
    basic_auth,
)
from duologue.server.connection import (
    ServerConnection,
)
from duologue.server.serving import (
    Server,
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
