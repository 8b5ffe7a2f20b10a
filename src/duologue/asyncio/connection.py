"""The asyncio connection of both roles; the name is that of `websockets.asyncio.connection`."""

from __future__ import annotations

from duologue.connection.broadcast import (
    broadcast,
)
from duologue.connection.connection import (
    Connection,
)

__all__ = [
    "Connection",
    "broadcast",
]
