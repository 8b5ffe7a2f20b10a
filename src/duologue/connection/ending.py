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
    LOOP_BLOCKED = "our own event loop was blocked, and the peer gave up"
    WRITE_STALLED = "the peer took no octets"
    OUTBOX_FULL = "more was sent than the peer took"
    MEMORY_BUDGET = "the process held too much, and this connection most of it"
    TLS_FAILED = "TLS failed"
    IDLE_CUT = "something between the two ends cut the idle connection"
    CONNECTION_LOST = "the stream ended without a closing handshake"


ENDED = dict.fromkeys(Cause, 0)
"""How many connections of this process have ended, by cause; connections count."""

_ADVICE = {
    Cause.HANDLER_RAISED: "see the traceback in the log",
    Cause.PROTOCOL_FAULT: "the peer's program, or something between, needs to be mended",
    Cause.PING_TIMEOUT: (
        "a longer ping_timeout, if the round trips above are near it; else the peer or its network "
        "is gone"
    ),
    Cause.LOOP_BLOCKED: (
        "move what blocks the loop to a thread (asyncio.to_thread); asyncio's debug mode names it"
    ),
    Cause.WRITE_STALLED: "nothing if the peer was gone; else a longer write_timeout",
    Cause.OUTBOX_FULL: "send less, choose an overflow policy that drops, or raise max_outbox",
    Cause.MEMORY_BUDGET: "raise memory_budget, or lower the limits of single connections",
    Cause.TLS_FAILED: "look at certificates and versions; `duologue check` tells what it sees",
}


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a connection ended.

    Attributes:
        cause: what happened first.
        detail: the particulars in one line, such as a limit, its value and its setting.
        exc: the exception behind it, if there is one.
        limit: name of the limit or time-out of ours that was passed, ``None`` for none.
        value: what it was set to: seconds, octets, or a :class:`~duologue.Rate`.
        round_trips: seconds of the last round trips of pings, at most four, the latest last (the
            others to two digits); with PING_TIMEOUT and LOOP_BLOCKED.
        blocked: seconds for which our event loop was blocked shortly before the end, at least;
            0.0 if it was not seen to be.
        idle: seconds in which no octet had come or gone when the connection was lost, ``None``
            where that can't be told.
        period: with IDLE_CUT, seconds of silence after which connections are cut.
    """

    cause: Cause
    detail: str = ""
    exc: BaseException | None = None
    limit: str | None = None
    value: object = None
    round_trips: tuple[float, ...] = ()
    blocked: float = 0.0
    idle: float | None = None
    period: float | None = None

    @property
    def advice(self) -> str:
        """What to change so that it doesn't happen again; empty where nothing is wrong."""
        if self.cause is Cause.LIMIT and self.limit is not None:
            return f"raise {self.limit}, or have the peer keep to it"
        if self.cause is Cause.IDLE_CUT and self.period is not None:
            return (
                f"a ping_interval below {self.period:g} s at either end, or a longer time-out of "
                f"what is between"
            )
        if self.cause is Cause.TLS_FAILED and "BAD_RECORD_MAC" in str(self.exc):
            return "something between the two ends changes what they send; find it"
        return _ADVICE.get(self.cause, "")

    def __str__(self) -> str:
        return f"{self.cause.value}: {self.detail}" if self.detail else self.cause.value
