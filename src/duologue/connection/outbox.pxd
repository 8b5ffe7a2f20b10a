from duologue.connection.prepared cimport Prepared

# The policies, in the order of policies.NAMES.
cdef enum:
    WAIT = 0
    DROP_NEWEST = 1
    DROP_OLDEST = 2
    NEWEST_PER_KEY = 3
    CLOSE = 4

# About what a message in the outbox takes besides its octets.
cdef enum:
    QUEUED_COST = 144

# What has become of a message.
cdef enum:
    WAITING = 0
    FRAMED = 1
    # Let go: its connection has ended, or whoever sent it has cancelled that.
    DROPPED = 2
    # Let go by a policy: who awaits it goes on.
    SPARED = 3


cdef class Queued:
    cdef int opcode
    cdef int compress
    cdef bytes message
    cdef Prepared prepared
    cdef int fate
    cdef bint awaited
    # Whether a policy may drop it for others.
    cdef bint spare
    # Whether it is in Outbox.spares.
    cdef bint listed
    cdef object key
    # The message that has taken this one's place.
    cdef Queued successor
    cdef object sent
    cdef object exc


cdef class Outbox:
    # Messages not framed yet; framed ones are in Machine.out and the link.
    cdef object queue
    cdef Py_ssize_t unawaited
    cdef Py_ssize_t shared
    cdef Py_ssize_t waiting
    # Whether somebody is about to look whether too much waits.
    cdef bint check_due
    # Of the queue, how many were let go and only keep their places.
    cdef Py_ssize_t dead
    # Places of messages that may be dropped, oldest first; and of those with a key.
    cdef object spares
    cdef dict keyed
    # -1 for that of the settings.
    cdef int policy
    # Messages that were let go, by cause.
    cdef long long newest
    cdef long long oldest
    cdef long long replaced
    cdef long long unsent
    cdef dict drain_waiters
    cdef bytes owed_pong
    # What the link was given since the first time it was full.
    cdef object write_timer
    cdef long long passed
    cdef long long taken_then
    # For count_unsent(): whether it counts, and what it has found while there was a link.
    cdef bint counting
    cdef long long taken
    cdef Py_ssize_t unframed
    # Octets of messages that were let go before they were framed.
    cdef Py_ssize_t dropped
    cdef object codec_timer
    cdef unsigned long codec_uses

    cdef Py_ssize_t count(self) except -1
    cdef Queued put(
        self, int opcode, bytes message, int compress, Prepared prepared, object key, bint spare
    )
    cdef bint refuses(self, Py_ssize_t size, object key, Py_ssize_t limit) except -1
    cdef bint make_room(self, Py_ssize_t limit) except -1
    cdef Queued take(self)
    cdef int note_awaited(self, Queued item) except -1
    cdef int take_back(self, Queued item) except -1
    cdef int clear(self) except -1
    cdef int let_go(self, Queued item, int fate) except -1
    cdef int replace(self, Queued place, Queued item) except -1
    cdef int bury(self) except -1


cdef object drops_of(Outbox outbox)
