"""All time-outs of an event loop behind one of its timers.

A connection has several deadlines and moves them far more often than they pass (each answered ping
moves one). A :class:`Timer` is therefore an object that lives as long as its user and can be set
again for nothing: setting it later only writes the new time down, and its old place in the queue
turns out to be too early when its turn comes. Setting it earlier moves the place. One
``loop.call_at`` serves the earliest place of all timers of a loop; it is moved only for an earlier
one.

The queue is a heap in C in which each timer knows its place. A place takes 24 octets and holds
nothing: a timer that is dropped, or that nobody holds any more, takes its place along. What every
connection has is no object even: a :c:type:`Deadline` is part of its owner.

Deadlines are exact to the loop's clock, never early; timers of one moment run in the order in which
they were queued. Knows nothing of connections.
"""

import asyncio
import time
import weakref

cimport cython
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from libc.math cimport NAN, isnan


# Its place in the queue has to be found when it goes, so the garbage collector may not clear it;
# whatever its callback leads to can be cleared instead.
@cython.no_gc_clear
@cython.final
cdef class Timer:
    """One deadline that can be set, moved and cleared.

    Args:
        timers: the loop's timers, from :func:`timers_of`.
        callback: called with no arguments when the deadline passes; it may set the timer again.
            ``None`` for nothing.
    """

    def __cinit__(self, Timers timers not None, callback=None):
        self.timers = timers
        self.callback = callback
        begin_deadline(&self.deadline, <void*>self, timer_due)

    def __dealloc__(self):
        forget_deadline(&self.deadline)

    def __repr__(self):
        return f"<Timer when={self.when} {self.callback!r}>"

    @property
    def when(self):
        """When it is due, in seconds of the loop's clock; ``None`` while it is not set."""
        return None if isnan(self.deadline.when) else self.deadline.when

    cpdef int set(self, double when) except -1:
        """Make the timer due at ``when`` (seconds of the loop's clock) instead of before."""
        return self.timers.set(&self.deadline, when)

    cpdef int clear(self) except -1:
        """Make the timer not due at all."""
        self.deadline.when = NAN
        return 0

    cpdef int drop(self) except -1:
        """Clear the timer for good and let its callback go."""
        self.callback = None
        return drop_deadline(&self.deadline)


# Seconds: a loop that is later than this was blocked, and that is of interest for so long after.
cdef double LATE = 0.5
cdef double LATELY = 5.0


@cython.final
cdef class Timers:
    """The timers of one event loop.

    Args:
        loop: whose clock and ``call_at`` they use.
    """

    def __cinit__(self, loop):
        self.home = weakref.ref(loop)
        # asyncio's own clock, asked without a call of Python.
        if getattr(type(loop), "time", None) is asyncio.BaseEventLoop.time:
            self.clock = time.monotonic
        # What has to live until its time has come although nobody else holds it.
        self.held = set()

    def __dealloc__(self):
        cdef Py_ssize_t index
        for index in range(self.count):
            self.places[index].deadline.index = -1
        PyMem_Free(self.places)

    def __len__(self):
        """How many places the queue has, those of cleared timers among them."""
        return self.count

    cdef double now(self) except -1:
        """Return the time of the loop's clock, in seconds."""
        return self.clock() if self.clock is not None else self.home().time()

    cdef double blocked(self) except -1:
        """Seconds for which the loop was blocked until now or lately: at least, as far as is seen.

        A loop that runs calls what is due; how late it did so tells. So nothing is seen while no
        timer is set.
        """
        cdef double now = self.now(), late = 0.0
        if self.count and not self.running:
            late = now - self.places[0].when
        if now - self.late_at <= LATELY and self.late > late:
            late = self.late
        return max(late, 0.0)

    cdef int note_lateness(self, double now) except -1:
        """Note by how much the loop is late; the most of the last seconds counts."""
        cdef double late = now - self.places[0].when if self.count else 0.0
        if late > LATE and (late > self.late or now - self.late_at > LATELY):
            self.late = late
            self.late_at = now
        return 0

    def pending(self):
        """Return the timers that are set, and the owners of other deadlines, in no order."""
        cdef Py_ssize_t index
        cdef list found = []
        for index in range(self.count):
            if not isnan(self.places[index].deadline.when):
                found.append(<object>owner_of(self.places[index].deadline))
        return found

    cdef int set(self, Deadline* deadline, double when) except -1:
        """Make a deadline due at ``when`` instead of before."""
        if isnan(when):
            raise ValueError("a timer can't be due at NaN")
        deadline.when = when
        if deadline.index < 0:
            return self.push(deadline)
        if when < self.places[deadline.index].when:
            return self.move(deadline.index, when)
        return 0

    # -- the heap

    cdef void put(self, Py_ssize_t index, const Place* place) noexcept:
        self.places[index] = place[0]
        place.deadline.index = index

    cdef void up(self, Py_ssize_t index) noexcept:
        cdef Place place = self.places[index]
        cdef Py_ssize_t parent
        while index:
            parent = (index - 1) >> 1
            if not before(&place, &self.places[parent]):
                break
            self.put(index, &self.places[parent])
            index = parent
        self.put(index, &place)

    cdef void down(self, Py_ssize_t index) noexcept:
        cdef Place place = self.places[index]
        cdef Py_ssize_t child
        while True:
            child = 2 * index + 1
            if child >= self.count:
                break
            if child + 1 < self.count and before(&self.places[child + 1], &self.places[child]):
                child += 1
            if not before(&self.places[child], &place):
                break
            self.put(index, &self.places[child])
            index = child
        self.put(index, &place)

    cdef int push(self, Deadline* deadline) except -1:
        """Give a deadline without a place one."""
        cdef Py_ssize_t room = self.room
        cdef Place* places
        if self.count == room:
            room = max(2 * room, 16)
            places = <Place*>PyMem_Realloc(self.places, room * sizeof(Place))
            if places == NULL:
                deadline.when = NAN
                raise MemoryError(f"no memory for {room} timers")
            self.places = places
            self.room = room
        self.places[self.count].deadline = deadline
        deadline.timers = <void*>self
        deadline.index = self.count
        self.count += 1
        return self.move(deadline.index, deadline.when)

    cdef int move(self, Py_ssize_t index, double when) except -1:
        """Move a place to an earlier time than it had, or than all after it."""
        cdef Deadline* deadline = self.places[index].deadline
        self.order += 1
        self.places[index].when = when
        self.places[index].order = self.order
        self.up(index)
        return self.arm() if deadline.index == 0 and not self.running else 0

    cdef void remove(self, Py_ssize_t index) noexcept:
        """Take a place out, and its deadline with it."""
        cdef Deadline* other
        self.places[index].deadline.index = -1
        self.count -= 1
        if index < self.count:
            self.put(index, &self.places[self.count])
            other = self.places[index].deadline
            self.up(index)
            self.down(other.index)

    # -- the loop's timer

    cdef int rest(self) except -1:
        """Give up the loop's timer when there is nothing to wait for."""
        if self.count == 0 and not self.running:
            return self.arm()
        return 0

    cdef int arm(self) except -1:
        if self.handle is not None:
            self.handle.cancel()
            self.handle = None
        loop = self.home()
        if self.count and loop is not None and not loop.is_closed():
            self.handle = loop.call_at(self.places[0].when, self._run)
        return 0

    def _run(self):
        cdef Deadline* deadline
        cdef object owner
        cdef double now
        self.handle = None
        now = self.now()
        self.note_lateness(now)
        self.running = True
        try:
            while self.count and self.places[0].when <= now:
                deadline = self.places[0].deadline
                if deadline.when > now:
                    self.order += 1
                    self.places[0].when = deadline.when
                    self.places[0].order = self.order
                    self.down(0)
                    continue
                self.remove(0)
                if not isnan(deadline.when):
                    deadline.when = NAN
                    # Held: what is called may let it go.
                    owner = <object>owner_of(deadline)
                    deadline.fired(<void*>owner)
        finally:
            self.running = False
            self.arm()


cdef inline bint before(const Place* one, const Place* other) noexcept:
    return one.when < other.when or (one.when == other.when and one.order < other.order)


# Weak on both sides, since a timer's callback leads to the loop. Timers are held by what needs
# them: each Timer, and the loop while one is set.
cdef object known = weakref.WeakKeyDictionary()
# The reference that was asked for last.
cdef object latest = None


cpdef Timers timers_of(object loop):
    """Return the timers of ``loop``, made at the first call."""
    global latest
    cdef Timers timers = None if latest is None else latest()
    if timers is not None and timers.home() is loop:
        return timers
    reference = known.get(loop)
    timers = None if reference is None else reference()
    if timers is None:
        timers = Timers(loop)
        known[loop] = weakref.ref(timers)
    latest = known[loop]
    return timers


cdef void begin_deadline(Deadline* deadline, void* owner, Fired fired) noexcept:
    """Make a deadline ready for :meth:`Timers.set`; it has to be part of ``owner``."""
    deadline.when = NAN
    deadline.index = -1
    deadline.fired = fired
    deadline.offset = <int>(<char*>deadline - <char*>owner)


cdef int drop_deadline(Deadline* deadline) except -1:
    """Give a deadline up together with its place."""
    cdef Timers timers
    deadline.when = NAN
    if deadline.index >= 0:
        timers = <Timers>deadline.timers
        timers.remove(deadline.index)
        timers.rest()
    return 0


cdef void forget_deadline(Deadline* deadline) noexcept:
    """Take a deadline's place out, and nothing else: its owner goes."""
    if deadline.index >= 0:
        (<Timers>deadline.timers).remove(deadline.index)


cdef inline void* owner_of(const Deadline* deadline) noexcept:
    return <char*>deadline - deadline.offset


cdef int timer_due(void* owner) except -1:
    callback = (<Timer>owner).callback
    if callback is not None:
        callback()
    return 0
