"""The bus's end of one connection: reads what a process says, and writes to it what it should know.

What is written in one turn of the loop goes out together. Invariant: no more than
``Limits.max_backlog`` octets wait, except for a single frame.
"""

cimport cython

import asyncio

from cpython.bytes cimport PyBytes_GET_SIZE

from duologue.base.exceptions import BackplaneError
from duologue.hub.backplanes import framing
from duologue.hub.backplanes.framing import EVERYBODY, NAME, Frames, Kind, frame
from duologue.hub.backplanes.private import check_owner

cdef int HELLO = Kind.HELLO
cdef int INTEREST = Kind.INTEREST
cdef int NO_INTEREST = Kind.NO_INTEREST
cdef int PUBLISH = Kind.PUBLISH
cdef int POSITION = Kind.POSITION
cdef int DELIVER = Kind.DELIVER
cdef int REQUEST = Kind.REQUEST
cdef int ANSWER = Kind.ANSWER
cdef int TELL = Kind.TELL
cdef int PING = Kind.PING

cdef int SLACK = 1 << 20


@cython.final
@cython.auto_pickle(False)
cdef class Process:
    """One connection to the bus: an :class:`asyncio.Protocol`.

    Args:
        bus: what it is connected to.

    Attributes:
        name: the process's, empty until it has said who it is.
        transport: carries it.
        heard: when the last octets came, in the loop's time.
    """

    cdef readonly str name
    cdef readonly object transport
    cdef readonly double heard
    cdef object bus
    cdef object loop
    cdef object frames
    cdef object most
    cdef list out
    cdef Py_ssize_t octets

    def __init__(self, bus):
        self.name = ""
        self.bus = bus
        self.loop = asyncio.get_running_loop()
        self.heard = self.loop.time()
        self.most = bus.limits.max_backlog
        self.frames = Frames(None if self.most is None else self.most + SLACK)
        self.out = []

    def connection_made(self, transport):
        """Ask who it is, and wait for its greeting."""
        self.transport = transport
        self.bus.met(self)
        try:
            check_owner(transport.get_extra_info("socket"))
        except BackplaneError as exc:
            self.cut_off(str(exc))

    def connection_lost(self, exc):
        """Leave the bus."""
        self.bus.leave(self)

    def eof_received(self):
        """The connection is lost with it."""

    def pause_writing(self):
        """What waits is bounded by :meth:`write`."""

    def resume_writing(self):
        """See :meth:`pause_writing`."""

    def cut_off(self, str reason not None):
        """End the connection at once."""
        if not self.transport.is_closing():
            self.bus.logger.warning("process %s is cut off: %s", self.name or "unknown", reason)
            self.transport.abort()

    def write(self, bytes octets not None):
        """Queue a frame; what waits is bounded."""
        cdef Py_ssize_t waiting
        if self.transport.is_closing():
            return
        if self.most is not None:
            waiting = self.octets + <Py_ssize_t>self.transport.get_write_buffer_size()
            if waiting and waiting + PyBytes_GET_SIZE(octets) > <Py_ssize_t>self.most:
                self.cut_off(f"more than max_backlog={self.most} octets wait for it")
                return
        if not self.out:
            self.bus.flush_later(self)
        self.out.append(octets)
        self.octets += PyBytes_GET_SIZE(octets)

    def flush(self):
        """Write what waits."""
        cdef list out
        out, self.out = self.out, []
        self.octets = 0
        if not self.transport.is_closing():
            self.transport.write(out[0] if len(out) == 1 else b"".join(out))

    def data_received(self, bytes data not None):
        """Do what the frames say."""
        cdef int kind
        cdef bytes body
        self.heard = self.loop.time()
        try:
            for kind, body in self.frames.feed(data):
                if self.transport.is_closing():
                    return
                if not self.name and kind != HELLO:
                    raise ValueError("the first frame is no greeting")
                if kind == PUBLISH:
                    self.bus.publish_later(self, body)
                else:
                    self.hear(kind, body)
        except (ValueError, IndexError) as exc:
            self.cut_off(f"it does not speak as this version does: {exc!r}")

    # -- what a process says

    cdef int hear(self, int kind, bytes body) except -1:
        """Do what a frame says that isn't to be published."""
        if kind == HELLO:
            self.hello(body)
        elif kind == INTEREST:
            self.bus.interests.add(self, body.decode())
        elif kind == NO_INTEREST:
            self.bus.interests.discard(self, body.decode())
        elif kind == REQUEST:
            self.request(body)
        elif kind == ANSWER:
            name, identifier, answer = framing.address_of(body)
            asker = self.bus.processes.get(name)
            if asker is not None:
                asker.write(frame(ANSWER, framing.addressed(self.name, identifier, answer)))
        elif kind == TELL:
            self.tell(body)
        elif kind == PING:
            self.write(frame(PING))
        else:
            raise ValueError(f"there is no kind {kind}")
        return 0

    cdef int hello(self, bytes body) except -1:
        if body[0] != framing.VERSION or PyBytes_GET_SIZE(body) != 1 + <Py_ssize_t>NAME:
            raise ValueError(f"it speaks version {body[0]}, not {framing.VERSION}")
        self.name = body[1:].decode()
        self.bus.welcome(self)
        return 0

    def publish(self, bytes body not None):
        """Give a message of the process its position, and write it to those that want it."""
        cdef str topic = framing.topic_of(body)
        cdef bytes position = framing.number(self.bus.take_position(topic))
        cdef bytes octets
        cdef dict peers = self.bus.interests.peers(topic)
        if peers and (len(peers) > 1 or self not in peers):
            octets = frame(DELIVER, position, body)
            for peer in list(peers):
                if peer is not self:
                    (<Process>peer).write(octets)
        self.write(frame(POSITION, position))

    cdef int request(self, bytes body) except -1:
        cdef Process peer
        _, identifier, question = framing.address_of(body)
        others = [each for each in self.bus.processes.values() if each is not self]
        names = [each.name.encode() for each in others]
        self.write(frame(Kind.ASKED, framing.addressed(self.name, identifier, *names)))
        octets = frame(REQUEST, framing.addressed(self.name, identifier, question))
        for peer in others:
            peer.write(octets)
        return 0

    cdef int tell(self, bytes body) except -1:
        name, _, words = framing.address_of(body)
        octets = frame(TELL, framing.addressed(self.name, 0, words))
        if name == EVERYBODY:
            self.bus.write_all(octets, self)
        elif name in self.bus.processes:
            self.bus.processes[name].write(octets)
        return 0
