"""The engine's own epoll set: readiness of its sockets, in C, under any event loop.

Kernel facts, and what follows from each:

* **An epoll set is itself a descriptor** that is readable while any of its members is. So all our
  sockets live in one set, and that set is registered once in whichever loop runs
  (``loop.add_reader``: stock asyncio, uvloop). The loop pays for one descriptor; a wake-up takes up
  to 256 events a batch, 4 batches, and goes back, so that timers and other people's sockets have
  their turn. What is left keeps the set readable and is taken in the loop's next turn.
* **Level-triggered** is what we ask for. One ``recv`` a readiness is then enough: what is left is
  reported again, a connection that floods gets one buffer a round like any other, and pausing is
  taking ``EPOLLIN`` out of the interest. Edge-triggered would save nothing (the read that returns
  less than was asked for ends the round in both) and loses the connection whose last edge was
  overlooked.
* **EPOLLHUP and EPOLLERR are always reported**, wanted or not. A paused connection that is reset
  would therefore be reported for ever; it is read, which ends it.
* **A closed descriptor leaves the set by itself, its number is given out again at once**, and an
  event of the old one may still lie in the batch being handled. Each event carries the descriptor
  and a generation that every :meth:`Poller.watch` counts up; an event whose generation isn't the
  current one is dropped.
* **A forked child shares the set** with its parent: closing it there is harmless, changing it is
  not, so a child's poller leaves the set alone whatever the child closes. Loops don't survive a
  fork, and neither does a poller: the child has to make its own.

What a wake-up may do: anything. Watched objects call their owners, these call applications, and
those may close any connection, open new ones, or drain the poller again through a nested loop. So
nothing is remembered across a callback but the batch itself (each event is checked again before it
is used), and a nested drain uses events of its own.

A poller lives as long as its loop or something it watches: what it watches it holds where the
garbage collector sees it, and the table of pollers holds nothing. So a loop that was closed with
live connections goes with them, and their descriptors are closed.

Other systems have the same in other names; the seven functions a backend needs are at the end of
this file's C part: make, close, add, change, remove, wait, and what an event says. Linux only;
elsewhere :func:`poller_of` raises and asyncio's transports carry the links.

Must never know links, HTTP or WebSocket: it watches objects with a descriptor.
"""

import os
import weakref

from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from libc.errno cimport EINTR, errno
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memset, strerror


cdef extern from "sys/epoll.h" nogil:
    enum:
        EPOLL_CLOEXEC
        EPOLL_CTL_ADD
        EPOLL_CTL_MOD
        EPOLL_CTL_DEL
        EPOLLIN
        EPOLLOUT
        EPOLLERR
        EPOLLHUP
    ctypedef union epoll_data_t:
        uint64_t u64
    struct epoll_event:
        uint32_t events
        epoll_data_t data
    int epoll_create1(int flags)
    int epoll_ctl(int epoll, int operation, int fd, epoll_event* event)
    int epoll_wait(int epoll, epoll_event* events, int maximum, int milliseconds)

cdef extern from "unistd.h" nogil:
    int close(int fd)


cdef uint32_t READABLE = EPOLLIN
cdef uint32_t WRITABLE = EPOLLOUT
cdef uint32_t BROKEN = EPOLLERR | EPOLLHUP

cdef enum:
    BATCH = 256
    BATCHES = 4

# The generation of descriptors that belong to the loop and not to us.
cdef uint32_t FOREIGN = 0xFFFFFFFF

BUFFER_SIZE = 262144

# How many forks lie behind this process.
cdef int forks = 0


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
        self.watched = {}
        self.process = forks
        self.epoll = epoll_create1(EPOLL_CLOEXEC)
        if self.epoll < 0:
            raise OSError(errno, f"epoll_create1: {strerror(errno).decode()}")
        self.buffer = <uint8_t*>PyMem_Malloc(BUFFER_SIZE)
        if self.buffer == NULL:
            raise MemoryError

    def __dealloc__(self):
        PyMem_Free(self.slots)
        PyMem_Free(self.buffer)
        if self.epoll >= 0:
            close(self.epoll)

    def fileno(self):
        """The set's own descriptor, readable while any member is ready."""
        return self.epoll

    cdef object loop(self):
        return self.home()

    cdef int control(self, int operation, int fd, uint32_t interest, uint64_t tag) except -1:
        cdef epoll_event event
        if self.process != forks:
            return 0
        event.events = interest
        event.data.u64 = tag
        if epoll_ctl(self.epoll, operation, fd, &event) < 0:
            raise OSError(errno, f"epoll_ctl: {strerror(errno).decode()}")
        return 0

    cdef int watch(self, int fd, object who, Ready ready, uint32_t interest) except -1:
        """Call ``ready(who, events)`` whenever ``fd`` is; holds ``who`` until forgotten."""
        cdef Py_ssize_t room = self.room
        cdef Slot* slots
        cdef Slot* slot
        if fd >= room:
            room = max(fd + 1, room * 2, 64)
            slots = <Slot*>PyMem_Realloc(self.slots, room * sizeof(Slot))
            if slots == NULL:
                raise MemoryError(f"no memory to watch {room} descriptors")
            memset(slots + self.room, 0, (room - self.room) * sizeof(Slot))
            self.slots = slots
            self.room = room
        slot = &self.slots[fd]
        slot.generation = (slot.generation + 1) & 0x7FFFFFFF
        self.control(EPOLL_CTL_ADD, fd, interest, <uint64_t>slot.generation << 32 | <uint32_t>fd)
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
            slot.interest = interest
            self.control(
                EPOLL_CTL_MOD, fd, interest, <uint64_t>slot.generation << 32 | <uint32_t>fd
            )
        return 0

    cdef int forget(self, int fd) except -1:
        """Watch ``fd`` no more; to be called before it is closed."""
        cdef Slot* slot = &self.slots[fd]
        slot.who = NULL
        slot.generation = (slot.generation + 1) & 0x7FFFFFFF
        self.count -= 1
        try:
            self.control(EPOLL_CTL_DEL, fd, 0, 0)
        except OSError:
            # Somebody else has closed the descriptor: it left the set by itself.
            pass
        del self.watched[fd]
        return 0

    def shut(self):
        """Give up everything that is watched: the loop is closed."""
        for who in list(self.watched.values()):
            who.fail(None)

    cdef int wait(self, int milliseconds, dict foreign, list found) except -1:
        """Wait for events and handle one batch of them; return how many there were.

        Args:
            milliseconds: as for ``epoll_wait``, -1 for any time.
            foreign: the loop's own descriptors and their keys; ``None`` if it isn't ours.
            found: gets ``(key, events)`` for each of those that is ready.
        """
        cdef epoll_event[BATCH] events
        cdef int count, index
        cdef uint32_t fd, generation
        cdef Slot* slot
        if milliseconds == 0:
            count = epoll_wait(self.epoll, events, BATCH, 0)
        else:
            with nogil:
                count = epoll_wait(self.epoll, events, BATCH, milliseconds)
        if count < 0:
            if errno == EINTR:
                return 0
            raise OSError(errno, f"epoll_wait: {strerror(errno).decode()}")
        for index in range(count):
            fd = <uint32_t>(events[index].data.u64 & 0xFFFFFFFF)
            generation = <uint32_t>(events[index].data.u64 >> 32)
            if generation == FOREIGN:
                if foreign is not None and fd in foreign:
                    found.append((foreign[fd], events[index].events))
                continue
            if fd >= self.room:
                continue
            slot = &self.slots[fd]
            if slot.who == NULL or slot.generation != generation:
                continue
            self.call(<object>slot.who, slot.ready, events[index].events, fd)
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
        self.control(EPOLL_CTL_ADD, fd, interest, <uint64_t>FOREIGN << 32 | <uint32_t>fd)

    def change_foreign(self, int fd, uint32_t interest):
        """Wait for other events of a descriptor of the loop itself."""
        self.control(EPOLL_CTL_MOD, fd, interest, <uint64_t>FOREIGN << 32 | <uint32_t>fd)

    def remove_foreign(self, int fd):
        """Watch a descriptor of the loop itself no more; one that was closed is gone already."""
        try:
            self.control(EPOLL_CTL_DEL, fd, 0, 0)
        except OSError:
            pass

    def select(self, int milliseconds, dict foreign):
        """Wait, handle our own descriptors, return ``(key, events)`` of the loop's.

        Returns after the first batch in which anything was ready: what ran may have made the
        loop's own time-out meaningless.
        """
        cdef list found = []
        cdef int batch
        for batch in range(BATCHES):
            if self.wait(milliseconds if batch == 0 else 0, foreign, found) < BATCH:
                break
        return found


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
        loop.add_reader(poller.epoll, poller.drain)
        pollers[loop] = weakref.ref(poller)
    return poller


def watched_by(loop):
    """Return the poller's descriptor and how many sockets it watches; ``None`` without one."""
    cdef Poller poller = registered(loop)
    return None if poller is None else (poller.epoll, poller.count)


def adopt(loop, Poller poller):
    """Note that the loop's selector is ``poller``, so that it needs no registering."""
    pollers[loop] = weakref.ref(poller)
    poller.home = weakref.ref(loop)
