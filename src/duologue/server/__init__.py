"""The server's side. Names are those of `websockets.server`.

`duologue.serve` and what else needs asyncio is in the submodules and not imported from here, so
that the sans-I/O server can be used without a loop.
"""

from __future__ import annotations

from duologue.protocol.server import (
    ServerProtocol,
)

__all__ = [
    "ServerProtocol",
]
