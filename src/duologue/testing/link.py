"""The simulated wire: two directions that delay, split, stall and cut what crosses them.

What this module is: a model of one TCP connection's way through a network, in memory. What it must
never know: asyncio's transports and protocols (it calls a :class:`Receiver`), servers, WebSocket.

What is modelled, per direction:

* Order is kept and nothing is lost while the link lives, as TCP promises.
* A piece written at *t* arrives at *t* + time to send it at ``bandwidth`` + ``delay``, never before
  the piece in front of it.
* ``split`` cuts what is written into pieces, each delivered by a ``data_received`` call of its own
  in a loop turn of its own. Without it, everything that has arrived is delivered together.
* At most ``window`` octets are on their way or unread; the rest waits with the writer, whose
  transport then asks its protocol to pause. Once half the window is free, the writer goes on.
* An end that has gone answers octets with a reset (RFC 9293, section 3.5.2).

What is not: loss and retransmission, and the time an acknowledgement takes.

Invariants: one timer a direction at most; all chance comes from the :class:`random.Random` given,
so the same seed and the same program give the same run.
"""

from __future__ import annotations

import asyncio
import enum
import random
from collections import deque
from dataclasses import replace
from typing import Any, Literal, Protocol

from .conditions import Conditions

__all__ = ["Direction", "Mark", "Receiver", "SimulatedLink"]

#: What a socket's reader takes at once when it is not told to split, as in asyncio.
MAX_READ = 262_144

Cut = Literal["reset", "eof", "vanish"]


class Mark(enum.Enum):
    """What crosses the wire besides octets."""

    FIN = "end of stream"
    RST = "reset"


Piece = bytes | Mark


class Receiver(Protocol):
    """What a direction calls at its two ends."""

    def arrived(self) -> None:
        """Something new can be taken with :meth:`Direction.take`."""

    def room_made(self) -> None:
        """The peer has read: there is room in the window again."""

    def is_gone(self) -> bool:
        """Say whether this end is closed, so that octets for it have to be refused."""


class Direction:
    """One way of a link: what one end writes and the other reads."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, chance: random.Random, conditions: Conditions
    ) -> None:
        self.conditions = conditions
        #: Octets that the writer has handed over, and octets that have reached the reader's end.
        self.octets_sent = 0
        self.octets_arrived = 0
        self.link: SimulatedLink
        self.source: Receiver
        self.target: Receiver
        self._loop = loop
        self._chance = chance
        self._flight: deque[tuple[float, Piece]] = deque()
        self._inbox: deque[Piece] = deque()
        self._held = 0  # octets in flight and in the inbox, counted against the window
        self._wire_free_at = 0.0
        self._timer: asyncio.Handle | None = None
        self._room_call: asyncio.Handle | None = None
        self._stalled = False
        self._severed: Cut | None = None
        self._cut_at: tuple[int, Cut] | None = None

    # The writer's end.

    def room(self) -> int:
        """Return how many octets the window admits now."""
        return max(0, self.conditions.window - self._held)

    def send(self, piece: Piece) -> None:
        """Put octets or a mark on the wire; octets are cut into pieces as conditions say."""
        if isinstance(piece, Mark):
            self._launch(piece, 0)
            return
        self.octets_sent += len(piece)
        self._held += len(piece)
        start = 0
        while start < len(piece):
            end = start + self._piece_length(len(piece) - start)
            self._launch(piece[start:end], end - start)
            start = end

    def _piece_length(self, available: int) -> int:
        split = self.conditions.split
        if split is None:
            return available
        length = split if isinstance(split, int) else self._chance.randint(*split)
        return min(length, available)

    def _launch(self, piece: Piece, octets: int) -> None:
        if self._severed is not None:
            if self._severed == "eof" and octets:
                self.link.refuse(self)
            return
        conditions = self.conditions
        delay = conditions.delay
        if isinstance(delay, tuple):
            delay = self._chance.uniform(*delay)
        sent = max(self._loop.time(), self._wire_free_at)
        if conditions.bandwidth is not None:
            sent += octets / conditions.bandwidth
            self._wire_free_at = sent
        self._flight.append((sent + delay, piece))  # nothing overtakes what is in front of it
        self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None or self._stalled or not self._flight:
            return
        moment = self._flight[0][0]
        if moment <= self._loop.time():
            self._timer = self._loop.call_soon(self._land)
        else:
            self._timer = self._loop.call_at(moment, self._land)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _land(self) -> None:
        self._timer = None
        now = self._loop.time() + 1e-9  # timers may run a nanosecond early
        while self._flight and self._flight[0][0] <= now:
            piece = self._flight.popleft()[1]
            if isinstance(piece, Mark):
                self._inbox.append(piece)
            elif self.target.is_gone():
                self._held -= len(piece)
                self.link.refuse(self)
            elif not self._deliver(piece):
                break
        self._set_timer()
        if self._inbox:
            self.target.arrived()

    def _deliver(self, piece: bytes) -> bool:
        """Hand a piece to the reader's end; say whether the link still stands after it."""
        if self._cut_at is not None:
            limit, how = self._cut_at
            allowed = limit - self.octets_arrived
            if len(piece) >= allowed:
                self._put(piece[:allowed])
                self._cut_at = None
                self.link.cut(how)
                return False
        self._put(piece)
        return True

    def _put(self, piece: bytes) -> None:
        self.octets_arrived += len(piece)
        if piece:
            self._inbox.append(piece)

    # The reader's end.

    def take(self) -> Piece | None:
        """Take what the reader gets next: octets, a mark, or ``None`` when nothing has arrived."""
        if not self._inbox:
            return None
        piece = self._inbox.popleft()
        if isinstance(piece, Mark):
            return piece
        if self.conditions.split is None:
            piece = self._join(piece)
        self._held -= len(piece)
        # Not for every octet read: RFC 9293, section 3.8.6.2, avoiding the silly window.
        if self._room_call is None and self._held <= self.conditions.window // 2:
            self._room_call = self._loop.call_soon(self._make_room)
        return piece

    def _make_room(self) -> None:
        self._room_call = None
        self.source.room_made()

    def _join(self, first: bytes) -> bytes:
        pieces, length = [first], len(first)
        while self._inbox and length < MAX_READ:
            piece = self._inbox[0]
            if isinstance(piece, Mark):
                break
            pieces.append(piece)
            length += len(piece)
            self._inbox.popleft()
        return b"".join(pieces)

    def has_unread(self) -> bool:
        """Say whether octets have arrived that nobody has read."""
        return any(not isinstance(piece, Mark) for piece in self._inbox)

    def has_reset(self) -> bool:
        """Say whether a reset has arrived, even if octets before it are still unread."""
        return bool(self._inbox) and self._inbox[-1] is Mark.RST

    def drop_unread(self) -> None:
        """Forget what has arrived: nobody will read it."""
        self._inbox.clear()
        self._held = sum(len(piece) for _, piece in self._flight if isinstance(piece, bytes))

    # Trouble.

    def change(self, **changes: Any) -> None:
        """Change some of the conditions for what is written from now on."""
        self.conditions = replace(self.conditions, **changes)

    def stall(self, seconds: float | None = None) -> None:
        """Hold back everything on its way, for some seconds or until :meth:`resume`."""
        self._stalled = True
        self._stop_timer()
        if seconds is not None:
            self._loop.call_later(seconds, self.resume)

    def resume(self) -> None:
        """End a stall: what should have arrived meanwhile arrives now."""
        if self._severed is None:
            self._stalled = False
            self._set_timer()

    def cut_after(self, octets: int, how: Cut = "reset") -> None:
        """Cut the link once so many octets, counted from its beginning, have arrived this way.

        Raises:
            ValueError: they have already arrived.
        """
        if octets < self.octets_arrived:
            raise ValueError(f"{self.octets_arrived} octets have arrived, cannot cut at {octets}")
        self._cut_at = (octets, how)

    def sever(self, how: Cut) -> None:
        """Lose what is on its way and end this direction; part of :meth:`SimulatedLink.cut`."""
        self._severed = how
        self._stop_timer()
        if how == "vanish":
            self._stalled = True  # what is held keeps the window, as unacknowledged octets do
            return
        self._flight.clear()
        if not self.target.is_gone():
            self._inbox.append(Mark.RST if how == "reset" else Mark.FIN)
            self._loop.call_soon(self.target.arrived)

    def put_reset(self) -> None:
        """Make a reset arrive at the reader's end, after what is on its way."""
        if self._severed == "eof":
            self._inbox.append(Mark.RST)
            self._loop.call_soon(self.target.arrived)
        else:
            self.send(Mark.RST)


class SimulatedLink:
    """A connection's two directions; what a test turns to make trouble.

    Attributes:
        to_server: the client's octets on their way to the server.
        to_client: the server's octets on their way to the client.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, chance: random.Random, conditions: Conditions
    ) -> None:
        self.to_server = Direction(loop, chance, conditions)
        self.to_client = Direction(loop, chance, conditions)
        self.to_server.link = self.to_client.link = self

    def join(self, client: Receiver, server: Receiver) -> None:
        """Set the two ends."""
        self.to_server.source = self.to_client.target = client
        self.to_client.source = self.to_server.target = server

    def end_gone(self) -> None:
        """Stop carrying once both ends are gone: nobody is left to see what arrives."""
        if self.to_server.target.is_gone() and self.to_client.target.is_gone():
            self.to_server.sever("reset")
            self.to_client.sever("reset")

    def refuse(self, direction: Direction) -> None:
        """Answer octets for an end that has gone with a reset."""
        back = self.to_client if direction is self.to_server else self.to_server
        back.put_reset()

    def change(self, **changes: Any) -> None:
        """Change some of the conditions, both ways, for what is written from now on.

        Args:
            changes: fields of :class:`Conditions`.
        """
        self.to_server.change(**changes)
        self.to_client.change(**changes)

    def stall(self, seconds: float | None = None) -> None:
        """Hold everything back, both ways, for some seconds or until :meth:`resume`."""
        self.to_server.stall(seconds)
        self.to_client.stall(seconds)

    def resume(self) -> None:
        """End a stall both ways."""
        self.to_server.resume()
        self.to_client.resume()

    def cut(self, how: Cut = "reset") -> None:
        """Cut the link now; what is on its way is lost.

        Args:
            how: ``"reset"`` gives both ends a :exc:`ConnectionResetError` (a peer that crashed or a
                middlebox that gave up); ``"eof"`` gives both ends an end of stream, and a reset if
                they write after it (a peer's process that was killed); ``"vanish"`` tells nobody
                anything (a pulled cable): octets pile up at the writers.

        Raises:
            ValueError: ``how`` is none of these.
        """
        if how not in ("reset", "eof", "vanish"):
            raise ValueError(f"how must be 'reset', 'eof' or 'vanish', got {how!r}")
        self.to_server.sever(how)
        self.to_client.sever(how)
