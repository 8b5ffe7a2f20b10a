"""The client's side. Names are those of `websockets.client`.

`duologue.connect` and what else needs asyncio is in the submodules and not imported from here, so
that the sans-I/O client can be used without a loop.
"""

from __future__ import annotations

from duologue.client.reconnect import (
    backoff,
    process_exception,
)
from duologue.protocol.client import (
    ClientProtocol,
)

__all__ = [
    "ClientProtocol",
    "backoff",
    "process_exception",
]
