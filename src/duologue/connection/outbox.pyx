"""What waits to be sent: messages that are not framed yet, the only place where policies act.

A frame can't be taken back once it is written: a compressed one is part of its stream, and half of
one ends the connection. A message that was not framed can be dropped, or replaced by a newer one
of the same key, and nobody at the other end can tell.

Messages leave in the order in which they came. One that replaces another takes its place, so that
a key whose value changes all the time isn't moved to the end again and again. What is let go keeps
its place in the queue, empty, until its turn or until such places are half of the queue.

Knows neither connections nor links. Invariants: ``unawaited`` is what messages take that nobody
awaits, ``shared`` the part of it that others have been sent too and nobody can await, ``waiting``
the octets that no other outbox holds too; a place whose message was let go is
counted in ``dead``.
"""

cimport cython

import collections
from collections import deque

from cpython.bytes cimport PyBytes_GET_SIZE

from duologue.base.accounts cimport totals
from duologue.connection.prepared cimport Prepared

# Fewer dead places are not worth the walk through all.
cdef enum:
    FEW = 64


@cython.final
@cython.auto_pickle(False)
cdef class Queued:
    """A message in the outbox, not framed yet; CONT stands for the turn of a fragmented one."""


cdef inline Queued current(Queued place):
    """The message at a place: the one that came there first, or the last that has replaced it."""
    return place if place.successor is None else place.successor


@cython.final
@cython.auto_pickle(False)
@cython.freelist(16)
cdef class Outbox:
    """What waits to be sent, and who waits for that; for connections that were ever held up."""

    def __cinit__(self):
        self.policy = -1

    cdef Py_ssize_t count(self) except -1:
        """How many messages wait."""
        return 0 if self.queue is None else len(self.queue) - self.dead

    cdef Queued put(
        self, int opcode, bytes message, int compress, Prepared prepared, object key, bint spare
    ):
        """Queue a message; with a key it replaces the one of that key, if that still waits.

        ``spare`` says that it may be dropped for others.
        """
        cdef Queued item = Queued.__new__(Queued), place = None
        item.opcode = opcode
        item.message = message
        item.compress = compress
        item.prepared = prepared
        item.spare = spare
        if self.queue is None:
            self.queue = deque()
        self.unawaited += PyBytes_GET_SIZE(message) + QUEUED_COST
        if prepared is None:
            # What is shared is held once for all, by the message itself.
            self.waiting += PyBytes_GET_SIZE(message)
        else:
            self.shared += PyBytes_GET_SIZE(message) + QUEUED_COST
        if key is not None:
            if self.keyed is None:
                self.keyed = {}
            place = self.keyed.get(key)
        if place is not None:
            self.replace(place, item)
        else:
            place = item
            self.queue.append(item)
            if key is not None:
                self.keyed[key] = item
                item.key = key
        if spare and not place.listed:
            place.listed = True
            if self.spares is None:
                self.spares = deque()
            self.spares.append(place)
        return item

    cdef int replace(self, Queued place, Queued item) except -1:
        cdef Queued before = current(place)
        if before.fate == WAITING:
            self.let_go(before, SPARED)
            self.replaced += 1
            totals.dropped_replaced += 1
        else:
            # Taken back; its place is of use again.
            self.dead -= 1
        place.successor = item
        return 0

    cdef bint refuses(self, Py_ssize_t size, object key, Py_ssize_t limit) except -1:
        """Whether a message that would be dropped for being the newest has no room; counts it."""
        cdef Py_ssize_t wanted = self.unawaited + size + QUEUED_COST
        cdef Queued before
        if key is not None and self.keyed is not None and key in self.keyed:
            before = current(self.keyed[key])
            if before.fate == WAITING and not before.awaited:
                wanted -= PyBytes_GET_SIZE(before.message) + QUEUED_COST
        if wanted <= limit or self.count() == 0:
            return False
        self.newest += 1
        totals.dropped_newest += 1
        return True

    cdef bint make_room(self, Py_ssize_t limit) except -1:
        """Drop the oldest of those that may be dropped until ``limit`` is kept.

        Returns whether it is; a single message always has room.
        """
        cdef Queued place, item
        while self.unawaited > limit and self.spares and self.count() > 1:
            place = self.spares.popleft()
            place.listed = False
            item = current(place)
            if item.fate != WAITING or not item.spare:
                continue
            self.let_go(item, SPARED)
            self.oldest += 1
            totals.dropped_oldest += 1
            if place.key is not None:
                del self.keyed[place.key]
                place.key = None
            self.bury()
        return self.unawaited <= limit or self.count() <= 1

    cdef Queued take(self):
        """Take the next message out, ``None`` when there is none."""
        cdef Queued place, item
        while self.queue:
            place = self.queue.popleft()
            if place.key is not None:
                del self.keyed[place.key]
            if place.listed and self.spares[0] is place:
                self.spares.popleft()
            if not self.queue:
                # Places that were not the first there when they left the queue.
                self.spares = None
            item = current(place)
            if item.fate == WAITING:
                self.let_go(item, FRAMED)
                return item
            self.dead -= 1
        return None

    cdef int note_awaited(self, Queued item) except -1:
        """Note that somebody waits for a message: it is no more bounded by anything else."""
        item.awaited = True
        self.unawaited -= PyBytes_GET_SIZE(item.message) + QUEUED_COST
        return 0

    cdef int take_back(self, Queued item) except -1:
        """Let a message go whose sender has cancelled that."""
        self.let_go(item, DROPPED)
        item.message = None
        item.prepared = None
        return self.bury()

    cdef int bury(self) except -1:
        """Count a place as dead; walk through the queue when those are half of it."""
        self.dead += 1
        if self.dead > FEW and 2 * self.dead > len(self.queue):
            left = deque()
            for place in self.queue:
                if current(<Queued>place).fate == WAITING:
                    left.append(place)
                elif (<Queued>place).key is not None:
                    del self.keyed[(<Queued>place).key]
            self.queue = left
            self.dead = 0
        return 0

    cdef int clear(self) except -1:
        """Let all messages go: the connection ends."""
        cdef Queued item
        cdef Py_ssize_t count = self.count()
        self.unsent += count
        totals.dropped_unsent += count
        self.dropped += self.waiting
        queue, self.queue = self.queue, None
        self.keyed = self.spares = None
        self.dead = 0
        for place in queue or ():
            item = current(<Queued>place)
            if item.fate == WAITING:
                self.let_go(item, DROPPED)
        self.unawaited = self.shared = self.waiting = 0
        return 0

    cdef int let_go(self, Queued item, int fate) except -1:
        """Have a message wait no more; what was framed keeps its octets until that is done."""
        item.fate = fate
        if not item.awaited:
            self.unawaited -= PyBytes_GET_SIZE(item.message) + QUEUED_COST
        if item.prepared is None:
            self.waiting -= PyBytes_GET_SIZE(item.message)
        else:
            self.shared -= PyBytes_GET_SIZE(item.message) + QUEUED_COST
        if fate == FRAMED:
            return 0
        item.message = None
        item.prepared = None
        if item.sent is not None and not item.sent.done():
            item.sent.set_result(None)
        return 0


Drops = collections.namedtuple("Drops", "newest oldest replaced unsent")
Drops.__doc__ = """Messages of one connection that were let go instead of being sent.

Attributes:
    newest: found no room (``"drop_newest"``).
    oldest: made room for others (``"drop_oldest"``).
    replaced: gave their place to a newer one of the same key.
    unsent: waited when the connection ended.
"""


cdef object drops_of(Outbox outbox):
    """What an outbox has let go so far."""
    return Drops(outbox.newest, outbox.oldest, outbox.replaced, outbox.unsent)
