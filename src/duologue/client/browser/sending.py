"""``bufferedAmount``: octets that ``send()`` was given and the network has not (WHATWG 3.1).

The standard has the network's progress seen between tasks only: within one, the amount can only
grow. A task is an iteration of the event loop here. So what was sent is counted once in an
iteration, when it is first asked for, and again in the next one.

Frames are not payloads: their headers and masks are no part of the amount, and compression changes
their length. What was framed between two counts is one stretch of the stream, and the payload in it
is taken to be spread evenly.

Octets that were given to a socket which drops them, because it is closing, are never sent: the
amount doesn't get rid of them any more.

Invariants: only the loop's thread counts; ``_given`` and ``_sent`` never fall.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque

from duologue.connection.connection import Connection

__all__ = ["Sending"]


class Sending:
    """What one socket sends.

    Args:
        loop: the event loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lock = threading.Lock()
        self._given = 0
        self._sent = 0
        self._connection: Connection | None = None
        self._counted = False
        # Octets of payload that the connection was given, and those of them that are framed.
        self._handed = 0
        self._framed = 0
        # Stretches of the stream: their first octet, the one after the last, payload in them.
        self._stretches: deque[tuple[int, int, int]] = deque()
        self._stretched = 0
        self._before = 0

    def begin(self, connection: Connection) -> None:
        """The connection is open."""
        self._connection = connection
        self._stretched = connection.count_unsent()[0]

    def give(self, octets: int) -> None:
        """Count what ``send()`` was given, whatever becomes of it; from any thread."""
        with self._lock:
            self._given += octets

    def hand(self, message: str | bytes, octets: int) -> None:
        """Give the connection a message if it still takes any."""
        connection = self._connection
        if connection is None or connection.state != 1:
            return
        self._hold()
        self._handed += octets
        # Queued at once; nobody waits for room here.
        _ = connection.send(message)

    def amount(self) -> int:
        """Return the amount as of this iteration; from the loop's thread."""
        if not self._counted and self._given != self._sent:
            self._hold()
        return self.latest()

    def latest(self) -> int:
        """Return the amount as it was counted last, with what was given since; from any thread."""
        with self._lock:
            return self._given - self._sent

    def count(self) -> None:
        """Count what the operating system has taken."""
        if self._connection is None:
            return
        end, taken, unframed = self._connection.count_unsent()
        framed = self._handed - unframed
        if framed > self._framed:
            self._stretches.append((self._stretched, end, framed - self._framed))
            self._framed = framed
        self._stretched = end
        while self._stretches and self._stretches[0][1] <= taken:
            self._before += self._stretches.popleft()[2]
        sent = self._before
        if self._stretches:
            first, end, payload = self._stretches[0]
            if taken > first:
                sent += payload * (taken - first) // (end - first)
        self._sent = max(self._sent, sent)

    def _hold(self) -> None:
        """Count now, and no more in this iteration of the loop."""
        if not self._counted:
            # What was sent before may have left since the last count.
            self.count()
            self._counted = True
            self._loop.call_soon(self._next_iteration)

    def _next_iteration(self) -> None:
        self._counted = False
        self.count()
