"""The engine's own set of descriptors: readiness of its sockets, in C, under any event loop.

The set is epoll's on Linux and kqueue's on macOS and the BSDs.

Kernel facts, and what follows from each:

* **The set is itself a descriptor** that is readable while any of its members is. So all our
  sockets live in one set, and that set is registered once in whichever loop runs
  (``loop.add_reader``: stock asyncio, uvloop). The loop pays for one descriptor; a wake-up takes up
  to 256 events a batch, 4 batches, and goes back, so that timers and other people's sockets have
  their turn. What is left keeps the set readable and is taken in the loop's next turn.
* **Level-triggered** is what we ask for. One ``recv`` a readiness is then enough: what is left is
  reported again, a connection that floods gets one buffer a round like any other, and pausing is
  taking ``EPOLLIN`` out of the interest. Edge-triggered would save nothing (the read that returns
  less than was asked for ends the round in both) and loses the connection whose last edge was
  overlooked. kqueue is level-triggered too unless a filter is added with ``EV_CLEAR``.
* **kqueue has a filter for each direction**, added and deleted by itself and reported by itself. So
  changing the interest means telling the difference, and a descriptor may be in a batch twice.
* **EPOLLHUP and EPOLLERR are always reported**, wanted or not. A paused connection that is reset
  would therefore be reported for ever; it is read, which ends it. kqueue reports an end
  (``EV_EOF``) with a filter that is there: a paused connection with nothing to write learns of a
  reset when it reads or writes again.
* **A closed descriptor leaves the set by itself, its number is given out again at once**, and an
  event of the old one may still lie in the batch being handled. Each event carries the descriptor
  and a generation that every :meth:`Poller.watch` counts up; an event whose generation isn't the
  current one is dropped.
* **A forked child shares an epoll set** with its parent: closing it there is harmless, changing it
  is not, so a child's poller leaves the set alone whatever the child closes. **It has no kqueue**:
  the number may be another file's by then, so it isn't even closed. Loops don't survive a fork, and
  neither does a poller: the child has to make its own.

Falling asleep and being woken takes longer than a message: 5 to 10 µs of the processor's time, and
more of everybody's until the wake-up arrives. A loop whose selector this is may therefore look a few
more times before it sleeps (:meth:`Poller.poll_busily`), as the kernel does with network cards.
It does so only while waits are short anyway: after TRUSTED of them in a row, and after looking in
vain not until ever more of them were short. So a loop that waits for long never does, and one whose
peer needs this very processor hardly ever.

What a wake-up may do: anything. Watched objects call their owners, these call applications, and
those may close any connection, open new ones, or drain the poller again through a nested loop. So
nothing is remembered across a callback but the batch itself (each event is checked again before it
is used), and a nested drain uses events of its own.

A poller lives as long as its loop or something it watches: what it watches it holds where the
garbage collector sees it, and the table of pollers holds nothing. So a loop that was closed with
live connections goes with them, and their descriptors are closed.

The seven functions that a system has to give are named in ``polling.h``; ``polling_epoll.h`` and
``polling_kqueue.h`` have them. kqueue was not run by us but over libkqueue, which emulates it. On
Windows this module isn't built, and asyncio's transports carry the links.

Must never know links, HTTP or WebSocket: it watches objects with a descriptor.
"""

import os
import weakref

from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from cpython.exc cimport PyErr_CheckSignals
from libc.errno cimport EINTR, errno
from libc.math cimport ceil
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memset, strerror
from libc.time cimport time_t


cdef extern from "polling.h" nogil:
    const char* DUOLOGUE_BACKEND
    ctypedef struct Event "duologue_event":
        pass
    ctypedef struct Told "duologue_ready":
        int fd
        uint32_t generation
        uint32_t events
    int poll_make "duologue_poll_make"()
    void poll_close "duologue_poll_close"(int set, bint forked)
    int poll_add "duologue_poll_add"(int set, int fd, uint32_t generation, uint32_t interest)
    int poll_change "duologue_poll_change"(
        int set, int fd, uint32_t generation, uint32_t before, uint32_t interest
    )
    int poll_remove "duologue_poll_remove"(int set, int fd, uint32_t before)
    int poll_wait "duologue_poll_wait"(int set, Event* events, int maximum, int milliseconds)
    Told poll_says "duologue_poll_says"(const Event* event)

cdef extern from "time.h" nogil:
    enum:
        CLOCK_MONOTONIC
    struct timespec:
        time_t tv_sec
        long tv_nsec
    int clock_gettime(int clock, timespec* now)


cdef double monotonic() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return now.tv_sec + now.tv_nsec * 1e-9


cdef enum:
    BATCH = 256
    BATCHES = 4

cdef enum:
    # Short waits in a row after which the next is looked through, and what one that was looked
    # through in vain costs: so many short waits more, twice as many each time.
    TRUSTED = 4
    LEAST_DEBT = 16
    MOST_DEBT = 4096

# The generation of descriptors that belong to the loop and not to us.
cdef uint32_t FOREIGN = 0xFFFFFFFF

BUFFER_SIZE = 262144

BACKEND = DUOLOGUE_BACKEND.decode()
"""Name of the operating system's mechanism: ``"epoll"`` or ``"kqueue"``."""

# How many forks lie behind this process.
cdef int forks = 0


cdef object failure():
    return OSError(errno, f"{BACKEND}: {strerror(errno).decode()}")


def _forked():
    global forks
    forks += 1


os.register_at_fork(after_in_child=_forked)


cdef class Poller:
    """The readiness of any number of descriptors of one event loop.

    Args:
        loop: the event loop that it serves.
    """

    def __cinit__(self, loop):
        self.home = weakref.ref(loop)
        self.watched = []
        self.process = forks
        self.debt = LEAST_DEBT
        self.set = poll_make()
        if self.set < 0:
            raise failure()
        self.buffer = <uint8_t*>PyMem_Malloc(BUFFER_SIZE)
        if self.buffer == NULL:
            raise MemoryError

    def __dealloc__(self):
        PyMem_Free(self.slots)
        PyMem_Free(self.buffer)
        if self.set >= 0:
            poll_close(self.set, self.process != forks)

    def fileno(self):
        """The set's own descriptor, readable while any member is ready."""
        return self.set

    cdef object loop(self):
        return self.home()

    cdef int add(self, int fd, uint32_t generation, uint32_t interest) except -1:
        if self.process == forks and poll_add(self.set, fd, generation, interest) < 0:
            raise failure()
        return 0

    cdef int alter(
        self, int fd, uint32_t generation, uint32_t before, uint32_t interest
    ) except -1:
        if self.process == forks and poll_change(self.set, fd, generation, before, interest) < 0:
            raise failure()
        return 0

    cdef void remove(self, int fd, uint32_t before) noexcept:
        # One that somebody else has closed left the set by itself: the error says nothing more.
        if self.process == forks:
            poll_remove(self.set, fd, before)

    cdef int watch(self, int fd, object who, Ready ready, uint32_t interest) except -1:
        """Call ``ready(who, events)`` whenever ``fd`` is; holds ``who`` until forgotten."""
        cdef Py_ssize_t room = self.room
        cdef Slot* slots
        cdef Slot* slot
        if fd >= room:
            # By a quarter only: it is one table for all, and often the largest there is.
            room = max(fd + 1, room + room // 4, 64)
            slots = <Slot*>PyMem_Realloc(self.slots, room * sizeof(Slot))
            if slots == NULL:
                raise MemoryError(f"no memory to watch {room} descriptors")
            memset(slots + self.room, 0, (room - self.room) * sizeof(Slot))
            self.slots = slots
            self.watched.extend([None] * (room - self.room))
            self.room = room
        slot = &self.slots[fd]
        slot.generation = (slot.generation + 1) & 0x7FFFFFFF
        self.add(fd, slot.generation, interest)
        self.watched[fd] = who
        slot.who = <void*>who
        slot.ready = ready
        slot.interest = interest
        self.count += 1
        return 0

    cdef int change(self, int fd, uint32_t interest) except -1:
        """Wait for other events of a watched descriptor."""
        cdef Slot* slot = &self.slots[fd]
        if interest != slot.interest:
            self.alter(fd, slot.generation, slot.interest, interest)
            slot.interest = interest
        return 0

    cdef int forget(self, int fd) except -1:
        """Watch ``fd`` no more; to be called before it is closed."""
        cdef Slot* slot = &self.slots[fd]
        slot.who = NULL
        slot.generation = (slot.generation + 1) & 0x7FFFFFFF
        self.count -= 1
        self.remove(fd, slot.interest)
        self.watched[fd] = None
        return 0

    cdef int put_off(self, object who, object exc) except -1:
        """Call ``who._closed(exc)`` after the batch that is being handled, or from the loop."""
        if self.waiting is None:
            self.waiting = []
            if not self.inside:
                self.go_on_later()
        if self.waiting is not None:
            self.waiting.append((who, exc))
        return 0

    cdef int go_on_later(self) except -1:
        loop = self.home()
        if loop is None or loop.is_closed():
            # Nobody is left to be told.
            self.waiting = None
        else:
            loop.call_soon(self._go_on)
        return 0

    def _go_on(self):
        """Do what was put off."""
        cdef list waiting
        while self.waiting is not None:
            waiting, self.waiting = self.waiting, None
            waiting.reverse()
            while waiting:
                who, exc = waiting.pop()
                try:
                    who._closed(exc)
                except (SystemExit, KeyboardInterrupt):
                    waiting.reverse()
                    self.waiting = waiting + (self.waiting or [])
                    self.go_on_later()
                    raise
                except BaseException as raised:
                    loop = self.home()
                    if loop is not None:
                        loop.call_exception_handler(
                            {"message": f"error while closing {who!r}", "exception": raised}
                        )

    def shut(self):
        """Give up everything that is watched: the loop is closed."""
        for who in list(self.watched):
            if who is not None:
                who.fail(None)

    cdef int wait(self, int milliseconds, dict foreign, list found) except -1:
        """Wait for events and handle one batch of them; return how many there were.

        Args:
            milliseconds: how long at most, -1 for any time.
            foreign: the loop's own descriptors and their keys; ``None`` if it isn't ours.
            found: gets ``(key, events)`` for each of those that is ready.
        """
        cdef Event[BATCH] events
        cdef int count, index
        cdef Told each
        cdef Slot* slot
        if milliseconds == 0:
            count = poll_wait(self.set, events, BATCH, 0)
        else:
            with nogil:
                count = self.wait_awake(events, milliseconds)
        if count < 0:
            if errno == EINTR:
                return 0
            raise failure()
        self.inside += 1
        try:
            for index in range(count):
                each = poll_says(&events[index])
                if each.generation == FOREIGN:
                    if foreign is not None and each.fd in foreign:
                        found.append((foreign[each.fd], each.events))
                    continue
                if each.fd >= self.room:
                    continue
                slot = &self.slots[each.fd]
                if slot.who == NULL or slot.generation != each.generation:
                    continue
                self.call(<object>slot.who, slot.ready, each.events, each.fd)
        finally:
            self.inside -= 1
            if self.waiting is not None:
                self._go_on()
        return count

    cdef int wait_awake(self, void* events, int milliseconds) noexcept nogil:
        """Wait for events; look for a while before sleeping, where that has paid lately.

        See the module's docstring. Nothing is lost by it: only how the wait begins differs.
        """
        cdef double began, until
        cdef int count
        if self.busy_poll == 0.0:
            return poll_wait(self.set, <Event*>events, BATCH, milliseconds)
        if self.trust >= TRUSTED:
            count = poll_wait(self.set, <Event*>events, BATCH, 0)
            if count != 0:
                return count
            until = monotonic() + self.busy_poll
            while count == 0 and monotonic() < until:
                count = poll_wait(self.set, <Event*>events, BATCH, 0)
            if count != 0:
                if self.debt > LEAST_DEBT:
                    self.debt = self.debt >> 1
                return count
            self.vain_looks += 1
            self.trust = -self.debt
            if self.debt < MOST_DEBT:
                self.debt = self.debt * 2
        began = monotonic()
        count = poll_wait(self.set, <Event*>events, BATCH, milliseconds)
        if count > 0 and monotonic() - began < 2 * self.busy_poll:
            self.trust = self.trust + 1
        elif self.trust > 0:
            self.trust = 0
        return count

    cdef int call(self, object who, Ready ready, uint32_t events, int fd) except -1:
        """Tell one watched object; what it raises concerns nobody else."""
        try:
            ready(<void*>who, events)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            loop = self.home()
            if loop is not None:
                loop.call_exception_handler(
                    {"message": f"error while handling events of {who!r}", "exception": exc}
                )
            who.fail(exc)
        return 0

    def drain(self):
        """Handle what is ready now, without waiting, in at most four batches."""
        cdef int _batch
        for _batch in range(BATCHES):
            if self.wait(0, None, None) < BATCH:
                break

    # -- for an event loop whose selector is this set

    def add_foreign(self, int fd, uint32_t interest):
        """Watch a descriptor of the loop itself."""
        self.add(fd, FOREIGN, interest)

    def change_foreign(self, int fd, uint32_t before, uint32_t interest):
        """Wait for other events of a descriptor of the loop itself."""
        self.alter(fd, FOREIGN, before, interest)

    def remove_foreign(self, int fd, uint32_t before):
        """Watch a descriptor of the loop itself no more; one that was closed is gone already."""
        self.remove(fd, before)

    def select(self, double seconds, dict foreign, due):
        """Wait, handle our own descriptors, return ``(key, events)`` of the loop's.

        A turn of the loop costs far more than a message. So this goes on waiting, as long as only
        descriptors of ours were ready and the loop has nothing else to do: nothing of its own is
        ready, no callback is due, :meth:`hurry` was not called, no signal came, and ``seconds``
        have not passed.

        Args:
            seconds: how long to wait at most, negative for any time.
            foreign: the loop's own descriptors and their keys.
            due: the loop's callbacks that are to run next, anything with a length; ``None`` if
                they can't be seen, which makes this return after each batch.
        """
        cdef list found = []
        cdef double left = seconds, end = 0.0
        self.hurried = False
        if seconds > 0:
            end = monotonic() + seconds
        while True:
            # Rounded up: a timer is never early, and none is waited for in a busy loop.
            count = self.wait(-1 if left < 0 else <int>min(ceil(left * 1000), 1e9), foreign, found)
            PyErr_CheckSignals()
            if count == 0 or found or self.hurried or due is None or len(due):
                break
            if seconds >= 0:
                left = end - monotonic() if seconds > 0 else 0.0
                if left < 0 or seconds == 0:
                    break
        # Whoever runs this inside of itself should look again at all it knew.
        self.hurried = True
        return found

    def poll_busily(self, double seconds):
        """Look for so long, in seconds, before sleeping in :meth:`select`; 0.0 for never."""
        if not 0.0 <= seconds <= 0.001:
            raise ValueError(f"busy_poll must be between 0 and 0.001 s, not {seconds!r}")
        self.busy_poll = seconds

    def hurry(self):
        """Let :meth:`select` return once the batch under way is handled: something is due."""
        self.hurried = True


# Weak on both sides: what is watched leads to the loop, which would never be let go otherwise.
cdef object pollers = weakref.WeakKeyDictionary()


cdef Poller registered(object loop):
    reference = pollers.get(loop)
    return None if reference is None else reference()


cpdef Poller poller_of(object loop):
    """Return the poller of ``loop``, made and registered in the loop at the first call."""
    cdef Poller poller = registered(loop)
    if poller is None:
        poller = Poller(loop)
        # The loop holds it from here on.
        loop.add_reader(poller.set, poller.drain)
        pollers[loop] = weakref.ref(poller)
    return poller


def watched_by(loop):
    """Return the poller's descriptor and how many sockets it watches; ``None`` without one."""
    cdef Poller poller = registered(loop)
    return None if poller is None else (poller.set, poller.count)


def adopt(loop, Poller poller):
    """Note that the loop's selector is ``poller``, so that it needs no registering."""
    pollers[loop] = weakref.ref(poller)
    poller.home = weakref.ref(loop)
