"""Leaving without loss: how a server's connections are closed when it ends.

First nobody is accepted any more; who was accepted just before may still connect. Connections are
closed one after the other, so that clients don't all come back in the same moment; each is told
when to, by the reason of its Close frame: ``retry after 2.7 s``. What was sent before goes out
before the Close frame, for which connections have until ``drain_timeout``; handlers have as long to
return. Then everything is cut off.

Must never know what is served, nor how many processes there are.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass

from duologue.base.vocabulary import CloseCode, State
from duologue.connection.ending import Cause
from duologue.server.serving import Server

__all__ = ["Departure", "leave"]

TURN = 0.02
"""Seconds between the closings of some connections and of the next."""
GRACE = 1.0
"""Seconds that those who were accepted have to say what they want, and to be answered."""


@dataclass(frozen=True, slots=True)
class Departure:
    """How a server leaves.

    Attributes:
        close_rate: connections to close in a second; more if they would take longer than half of
            the server's ``drain_timeout``. ``None`` closes all at once.
        retry_spread: seconds over which clients are asked to spread their coming back: each is told
            a time of its own from 0 to this. ``None`` tells them nothing.

    Raises:
        ValueError: If one of them isn't more than 0.
    """

    close_rate: float | None = 1000.0
    retry_spread: float | None = 5.0

    def __post_init__(self) -> None:
        for name in ("close_rate", "retry_spread"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be more than 0 or None, not {value!r}")

    def reason(self) -> str:
        """The reason of one Close frame."""
        if self.retry_spread is None:
            return ""
        return f"retry after {random.uniform(0, self.retry_spread):.1f} s"

    def at_once(self, count: int, drain_timeout: float | None) -> int:
        """How many of ``count`` connections to close in one turn."""
        rate = self.close_rate
        if rate is None:
            return max(count, 1)
        if drain_timeout is not None:
            rate = max(rate, count / max(drain_timeout / 2, TURN))
        return max(int(rate * TURN), 1)


async def leave(
    server: Server, departure: Departure, code: CloseCode | int = CloseCode.GOING_AWAY
) -> None:
    """Close a server, its connections one after the other; again only waits for the end.

    Args:
        server: what to close.
        departure: how.
        code: of the Close frames.
    """
    loop = asyncio.get_running_loop()
    begun = loop.time()
    drain = server.drain_timeout
    # To refuse them would be a failure for them; a Close frame says when to come back.
    server.admitting = True
    server.server.close()
    # Links accepted in this very turn of the loop are handed over in the next one.
    await asyncio.sleep(0)
    waiting = list(server.connections)
    step = departure.at_once(len(waiting), drain)
    while waiting or (server.expecting and loop.time() < begun + GRACE):
        for connection in waiting[:step]:
            if connection.state is State.OPEN:
                connection.start_close(code, departure.reason(), Cause.SHUTDOWN)
                if drain is not None:
                    connection.drain_until(begun + drain)
        del waiting[:step]
        await asyncio.sleep(TURN)
        waiting = waiting or list(server.connections)
    server.admitting = False
    # Handshakes and requests under way.
    server.close(code=code, reason=departure.reason())
    await server.wait_closed()
