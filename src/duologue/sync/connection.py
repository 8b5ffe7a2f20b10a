"""The connection of both roles for threads; names are those of `websockets.sync.connection`."""

from __future__ import annotations

from duologue.connection.threads import (
    Connection,
)
from duologue.connection.threads_broadcast import (
    broadcast,
)

__all__ = [
    "Connection",
    "broadcast",
]
