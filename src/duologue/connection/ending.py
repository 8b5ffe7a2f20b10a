"""Why a connection ended, recorded at the place where it happens.

The first cause is the one that counts: what follows it (a lost socket after a time-out, say) is its
consequence. Nothing here is ever sent to the peer.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Cause(enum.Enum):
    """What ended a connection."""

    PEER_CLOSED = "the peer closed the connection"
    CLOSED_HERE = "the connection was closed by this side"
    HANDLER_RAISED = "the handler raised an exception"
    SHUTDOWN = "the server is shutting down"
    PROTOCOL_FAULT = "the peer broke the protocol"
    LIMIT = "the peer went over a limit"
    PING_TIMEOUT = "the peer answered no ping and sent nothing else"
    WRITE_STALLED = "the peer took no octets"
    OUTBOX_FULL = "more was sent than the peer took"
    MEMORY_BUDGET = "the process held too much, and this connection most of it"
    CONNECTION_LOST = "the stream ended without a closing handshake"


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a connection ended.

    Attributes:
        cause: what happened first.
        detail: the particulars in one line, such as a limit, its value and its setting.
        exc: the exception behind it, if there is one.
    """

    cause: Cause
    detail: str = ""
    exc: BaseException | None = None

    def __str__(self) -> str:
        return f"{self.cause.value}: {self.detail}" if self.detail else self.cause.value
