"""A process's end of its connection to the bus: cuts it into frames, and shows that both ends live.

Knows the frames; what they mean is its owner's affair.
"""

cimport cython

import asyncio

from duologue.base.exceptions import BackplaneError
from duologue.connection.turn import known_turn
from duologue.hub.backplanes import framing
from duologue.hub.backplanes.framing import Frames, Kind, frame
from duologue.hub.backplanes.private import check_owner

cdef int WELCOME = Kind.WELCOME
cdef int JOINED = Kind.JOINED
cdef int GONE = Kind.GONE
cdef int POSITION = Kind.POSITION
cdef int DELIVER = Kind.DELIVER
cdef int REQUEST = Kind.REQUEST
cdef int ASKED = Kind.ASKED
cdef int ANSWER = Kind.ANSWER
cdef int TELL = Kind.TELL
cdef int PING = Kind.PING


@cython.final
@cython.auto_pickle(False)
cdef class Line:
    """One connection to the bus, from its beginning to its end: an :class:`asyncio.Protocol`.

    Args:
        owner: what it tells, by the methods that ``_Owner`` in the stub has.
        lease: seconds without a sign of life until it gives the bus up, ``None`` for any.

    Attributes:
        ended: done when the connection is lost.
        transport: carries it.
        welcomed: whether the bus has answered the greeting; the owner sets it.
    """

    cdef readonly object ended
    cdef readonly object transport
    cdef public bint welcomed
    cdef readonly object _timer
    cdef object owner
    cdef object lease
    cdef object loop
    cdef object frames
    cdef list out
    cdef double heard
    cdef double interval
    cdef double look_at

    def __init__(self, owner, lease):
        self.loop = asyncio.get_running_loop()
        self.ended = self.loop.create_future()
        self.owner = owner
        self.lease = lease
        self.frames = Frames()
        self.out = []
        self.heard = self.loop.time()
        self.interval = 0.0 if lease is None else lease / 3

    def connection_made(self, transport):
        """Greet the bus."""
        self.transport = transport
        try:
            check_owner(transport.get_extra_info("socket"))
        except BackplaneError:
            transport.abort()
            return
        self.owner.connected(self)
        self.look_later()

    def connection_lost(self, exc):
        """Tell the owner."""
        if self._timer is not None:
            self._timer.cancel()
        self.owner.lost(self)
        if not self.ended.done():
            self.ended.set_result(None)

    def eof_received(self):
        """The connection is lost with it."""

    def pause_writing(self):
        """What waits is the owner's to bound."""

    def resume_writing(self):
        """See :meth:`pause_writing`."""

    def write(self, bytes octets not None):
        """Queue a frame; all of a turn go out together."""
        if not self.out:
            self.loop.call_soon(self.flush)
        self.out.append(octets)

    def flush(self):
        """Write what waits, without waiting for the end of the turn."""
        cdef list out
        if self.out:
            out, self.out = self.out, []
            if not self.transport.is_closing():
                self.transport.write(out[0] if len(out) == 1 else b"".join(out))

    # -- signs of life

    cdef int look_later(self) except -1:
        if self.lease is None:
            return 0
        self.look_at = self.loop.time() + self.interval
        self._timer = self.loop.call_at(self.look_at, self._look)
        return 0

    def _look(self):
        """Give a sign of life, and give up a bus that gives none."""
        cdef double now = self.loop.time()
        if now - self.heard > <double>self.lease and now - self.look_at < self.interval:
            self.transport.abort()
            return
        self.write(frame(Kind.PING))
        self.look_later()

    # -- what the bus says

    def data_received(self, bytes data not None):
        """Tell the owner what the frames say, and have connections write what comes of it."""
        self.heard = self.loop.time()
        turn = known_turn(self.loop)
        if turn is None:
            self._take(data)
        else:
            turn.run(self._take, data)

    def _take(self, bytes data):
        cdef int kind
        cdef bytes body
        for kind, body in self.frames.feed(data):
            if self.transport.is_closing():
                return
            if kind == DELIVER:
                self.owner.deliver(framing.delivered(body))
            elif kind == POSITION:
                self.owner.positioned(framing.number_of(body))
            elif kind != PING:
                self.hear(kind, body)

    cdef int hear(self, int kind, bytes body) except -1:
        """Tell the owner of a frame that isn't about a message."""
        if kind == WELCOME:
            self.owner.welcome(self, framing.names_in(body))
        elif kind == JOINED:
            self.owner.peer_joined(body.decode())
        elif kind == GONE:
            self.owner.peer_gone(body.decode())
        elif kind == REQUEST:
            self.owner.asked(*framing.address_of(body))
        elif kind == ASKED:
            _, identifier, names = framing.address_of(body)
            self.owner.expect(identifier, framing.names_in(names))
        elif kind == ANSWER:
            peer, identifier, answer = framing.address_of(body)
            self.owner.answered(identifier, peer, answer)
        elif kind == TELL:
            peer, _, words = framing.address_of(body)
            self.owner.told(peer, words)
        else:
            raise ValueError(f"the bus sends a frame of kind {kind}")
        return 0
