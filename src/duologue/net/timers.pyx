"""All time-outs of an event loop behind one of its timers.

A connection has several deadlines and moves them far more often than they pass (each answered ping
moves one). A :class:`Timer` is therefore an object that lives as long as its user and can be set
again for nothing: setting it later only writes the new time down, and its old place in the queue
turns out to be too early when its turn comes. Setting it earlier moves the place. One
``loop.call_at`` serves the earliest place of all timers of a loop; it is moved only for an earlier
one.

The queue is a heap in C in which each timer knows its place. A place takes 24 octets and holds
nothing: a timer that is dropped, or that nobody holds any more, takes its place along.

Deadlines are exact to the loop's clock, never early; timers of one moment run in the order in which
they were queued. Knows nothing of connections.
"""

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
        self.due = NAN
        self.index = -1

    def __dealloc__(self):
        if self.index >= 0:
            self.timers.remove(self.index)

    def __repr__(self):
        return f"<Timer when={self.when} {self.callback!r}>"

    @property
    def when(self):
        """When it is due, in seconds of the loop's clock; ``None`` while it is not set."""
        return None if isnan(self.due) else self.due

    cpdef int set(self, double when) except -1:
        """Make the timer due at ``when`` (seconds of the loop's clock) instead of before."""
        if isnan(when):
            raise ValueError("a timer can't be due at NaN")
        self.due = when
        if self.index < 0:
            return self.timers.push(self)
        if when < self.timers.places[self.index].when:
            return self.timers.move(self.index, when)
        return 0

    cpdef int clear(self) except -1:
        """Make the timer not due at all."""
        self.due = NAN
        return 0

    cpdef int drop(self) except -1:
        """Clear the timer for good and let its callback go."""
        self.due = NAN
        self.callback = None
        self.fired = NULL
        if self.index >= 0:
            self.timers.remove(self.index)
            self.timers.rest()
        return 0

    cdef int run(self) except -1:
        cdef object owner
        self.due = NAN
        if self.fired != NULL:
            # Held: what is called may let it go.
            owner = <object>self.owner
            return self.fired(<void*>owner)
        if self.callback is not None:
            self.callback()
        return 0


@cython.final
cdef class Timers:
    """The timers of one event loop.

    Args:
        loop: whose clock and ``call_at`` they use.
    """

    def __cinit__(self, loop):
        self.home = weakref.ref(loop)
        # What has to live until its time has come although nobody else holds it.
        self.held = set()

    def __dealloc__(self):
        PyMem_Free(self.places)

    def __len__(self):
        """How many places the queue has, those of cleared timers among them."""
        return self.count

    def pending(self):
        """Return the timers that are set, in no order."""
        cdef Py_ssize_t index
        cdef list found = []
        for index in range(self.count):
            if not isnan((<Timer>self.places[index].timer).due):
                found.append(<Timer>self.places[index].timer)
        return found

    # -- the heap

    cdef void put(self, Py_ssize_t index, const Place* place) noexcept:
        self.places[index] = place[0]
        (<Timer>place.timer).index = index

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

    cdef int push(self, Timer timer) except -1:
        """Give a timer without a place one."""
        cdef Py_ssize_t room = self.room
        cdef Place* places
        if self.count == room:
            room = max(2 * room, 16)
            places = <Place*>PyMem_Realloc(self.places, room * sizeof(Place))
            if places == NULL:
                timer.due = NAN
                raise MemoryError(f"no memory for {room} timers")
            self.places = places
            self.room = room
        self.places[self.count].timer = <void*>timer
        timer.index = self.count
        self.count += 1
        return self.move(timer.index, timer.due)

    cdef int move(self, Py_ssize_t index, double when) except -1:
        """Move a place to an earlier time than it had, or than all after it."""
        cdef Timer timer = <Timer>self.places[index].timer
        self.order += 1
        self.places[index].when = when
        self.places[index].order = self.order
        self.up(index)
        return self.arm() if timer.index == 0 and not self.running else 0

    cdef void remove(self, Py_ssize_t index) noexcept:
        """Take a place out, and its timer with it."""
        cdef Timer other
        (<Timer>self.places[index].timer).index = -1
        self.count -= 1
        if index < self.count:
            self.put(index, &self.places[self.count])
            other = <Timer>self.places[index].timer
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
        cdef Timer timer
        cdef double now
        self.handle = None
        loop = self.home()
        now = loop.time()
        self.running = True
        try:
            while self.count and self.places[0].when <= now:
                timer = <Timer>self.places[0].timer
                if timer.due > now:
                    self.order += 1
                    self.places[0].when = timer.due
                    self.places[0].order = self.order
                    self.down(0)
                    continue
                self.remove(0)
                if not isnan(timer.due):
                    timer.run()
        finally:
            self.running = False
            self.arm()


cdef inline bint before(const Place* one, const Place* other) noexcept:
    return one.when < other.when or (one.when == other.when and one.order < other.order)


# Weak on both sides, since a timer's callback leads to the loop. Timers are held by what needs
# them: each Timer, and the loop while one is set.
cdef object known = weakref.WeakKeyDictionary()


cpdef Timers timers_of(object loop):
    """Return the timers of ``loop``, made at the first call."""
    reference = known.get(loop)
    timers = None if reference is None else reference()
    if timers is None:
        timers = Timers(loop)
        known[loop] = weakref.ref(timers)
    return timers


cdef Timer owned_timer(object loop, void* owner, Fired fired):
    """Return a timer that calls ``fired(owner)``.

    ``owner`` is borrowed: it has to hold the timer, alone, or drop it before it goes. Costs no
    bound method and makes no cycle.
    """
    cdef Timer timer = Timer(timers_of(loop))
    timer.owner = owner
    timer.fired = fired
    return timer
