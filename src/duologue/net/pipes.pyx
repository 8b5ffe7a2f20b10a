"""The ends of pipes on the engine's poller, without a buffer of more than one read or write.

A pipe that isn't read fills, and then the program at its other end waits: that is the
back-pressure. So a reader holds one chunk at the most, and a writer what its caller waits for.

Who reads waits in a coroutine, and may besides name a :class:`Sink`, which is given octets straight
from where they were read. It takes what it can at once; the rest is for the coroutine. So in the
usual case no turn of the event loop takes place.

Invariants: the sink is asked only while the coroutine waits, so that octets keep their order; a
reader with a chunk isn't watched, since the end of a pipe is reported for as long as it is.

POSIX only. Knows nothing of programs, HTTP or WebSocket.
"""

cimport cython

import os

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport uint8_t, uint32_t

from duologue.net.poller cimport READABLE, WRITABLE, poller_of

from asyncio import get_running_loop


cdef extern from "unistd.h" nogil:
    ssize_t read_descriptor "read"(int fd, void* buffer, size_t size)
    ssize_t write_descriptor "write"(int fd, const void* buffer, size_t size)
    int close_descriptor "close"(int fd)

cdef enum:
    # What a pipe of Linux holds; a sink gets less, so that others have their turn.
    CHUNK = 65536
    SINK_CHUNK = 16384


cdef class Sink:
    """Who takes octets at once."""

    cdef bint ready(self) except -1:
        """Whether to read for it."""
        return False

    cdef Py_ssize_t take(self, const uint8_t* data, Py_ssize_t size) except -1:
        """Take octets, borrowed for the call; return how many."""
        return 0


@cython.final
cdef class PipeReader:
    """The reading end of a pipe.

    Args:
        fd: its descriptor, which is closed at the end of the stream or by :meth:`close`.

    Attributes:
        sink: takes octets at once while somebody waits for them; ``None`` for nobody.
        alert: called once when there is something, or the end, and nobody waits.
        stopped: whether :meth:`stop` was called.
    """

    def __cinit__(self, int fd):
        self.fd = -1

    def __init__(self, int fd):
        os.set_blocking(fd, False)
        self.poller = poller_of(get_running_loop())
        self.fd = fd
        self.watch(True)

    def __dealloc__(self):
        if self.fd >= 0:
            close_descriptor(self.fd)

    cdef int watch(self, bint yes) except -1:
        if yes != self.watching and self.fd >= 0:
            self.watching = yes
            if yes:
                self.poller.watch(self.fd, self, reader_ready, READABLE)
            else:
                self.poller.forget(self.fd)
        return 0

    cdef int readable(self) except -1:
        cdef uint8_t* place
        if self.chunk is not None:
            # Not taken yet: what follows waits in the pipe.
            return self.watch(False)
        if not self.poller.lent:
            self.poller.lent = True
            try:
                return self.receive(self.poller.buffer)
            finally:
                self.poller.lent = False
        # Inside a call that is still looking at the shared buffer: a nested loop runs.
        place = <uint8_t*>PyMem_Malloc(CHUNK)
        if place == NULL:
            raise MemoryError
        try:
            return self.receive(place)
        finally:
            PyMem_Free(place)

    cdef int receive(self, uint8_t* place) except -1:
        """Read once, and hand on what came."""
        cdef bint waited = self.waiter is not None and not self.waiter.done()
        cdef bint direct = waited and self.sink is not None and self.sink.ready()
        cdef ssize_t count = read_descriptor(self.fd, place, SINK_CHUNK if direct else CHUNK)
        cdef Py_ssize_t taken = 0
        if count < 0 and (errno == EAGAIN or errno == EINTR):
            return 0
        if count <= 0:
            self.close()
            return 0
        if direct:
            try:
                taken = self.sink.take(place, count)
            except Exception as exc:
                self.failure = exc
        if taken == count:
            return 0
        self.chunk = PyBytes_FromStringAndSize(<const char*>place + taken, count - taken)
        return self.wake()

    cdef int wake(self) except -1:
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)
        elif self.alert is not None:
            alert, self.alert = self.alert, None
            alert()
        return 0

    @property
    def ended(self):
        """Whether there is nothing any more to be read."""
        return self.fd < 0 and self.chunk is None

    async def read(self):
        """Wait for octets that the sink didn't take.

        Returns:
            The next octets; none at the end of the stream, or when it was closed or stopped.

        Raises:
            Exception: What the sink raised.
        """
        while self.chunk is None and self.fd >= 0 and self.failure is None and not self.stopped:
            self.watch(True)
            self.waiter = self.poller.loop().create_future()
            try:
                await self.waiter
            finally:
                self.waiter = None
        if self.failure is not None:
            raise self.failure
        chunk, self.chunk = self.chunk or b"", None
        self.watch(not self.stopped)
        return chunk

    def stop(self):
        """Read no more, and leave the pipe open: who writes waits when it is full."""
        self.stopped = True
        self.watch(False)
        self.wake()

    cpdef close(self):
        """Close the pipe; what was not read is lost."""
        if self.fd >= 0:
            self.watch(False)
            close_descriptor(self.fd)
            self.fd = -1
            self.wake()

    def fail(self, exc):
        """Close the pipe: the loop is closed, or handling it failed."""
        self.close()


cdef int reader_ready(void* who, uint32_t events) except -1:
    return (<PipeReader>who).readable()


@cython.final
cdef class Watch:
    """Waits for a descriptor to become readable.

    Args:
        fd: the descriptor, which is closed by :meth:`close`.
        callback: called without arguments whenever it is readable.
    """

    def __cinit__(self, int fd, callback):
        self.fd = -1

    def __init__(self, int fd, callback):
        self.poller = poller_of(get_running_loop())
        self.callback = callback
        self.poller.watch(fd, self, watch_ready, READABLE)
        self.fd = fd

    def __dealloc__(self):
        if self.fd >= 0:
            close_descriptor(self.fd)

    def close(self):
        """Watch no more, and close the descriptor."""
        self.callback = None
        if self.fd >= 0:
            self.poller.forget(self.fd)
            close_descriptor(self.fd)
            self.fd = -1

    def fail(self, exc):
        """Close the descriptor: the loop is closed, or the callback failed."""
        self.close()


cdef int watch_ready(void* who, uint32_t events) except -1:
    (<Watch>who).callback()
    return 0


@cython.final
cdef class PipeWriter:
    """The writing end of a pipe.

    Args:
        fd: its descriptor, which is closed when nobody reads any more or by :meth:`close`.

    Attributes:
        written: octets that the pipe has taken so far.
    """

    def __cinit__(self, int fd):
        self.fd = -1

    def __init__(self, int fd):
        os.set_blocking(fd, False)
        self.poller = poller_of(get_running_loop())
        self.fd = fd

    def __dealloc__(self):
        if self.fd >= 0:
            close_descriptor(self.fd)

    def fileno(self):
        """Its descriptor, -1 once it is closed."""
        return self.fd

    cdef Py_ssize_t push(self, const uint8_t* data, Py_ssize_t size) except -1:
        """Write what the pipe takes at once; return how much that is."""
        cdef ssize_t count
        if self.fd < 0 or size == 0:
            return 0
        count = write_descriptor(self.fd, data, size)
        if count < 0:
            if errno != EAGAIN and errno != EINTR:
                self.close()
            return 0
        self.written += count
        return count

    def write_now(self, const uint8_t[::1] octets):
        """Write what the pipe takes at once.

        Returns:
            How many octets it took.
        """
        return self.push(&octets[0], octets.shape[0]) if octets.shape[0] else 0

    async def write(self, octets):
        """Write octets, and wait until the pipe has taken them.

        Returns:
            False if nobody reads the pipe any more, or it was closed.
        """
        view = memoryview(octets)
        while True:
            view = view[self.write_now(view):]
            if not view or self.fd < 0:
                return not view
            self.waiter = self.poller.loop().create_future()
            self.watching = True
            self.poller.watch(self.fd, self, writer_ready, WRITABLE)
            try:
                await self.waiter
            finally:
                self.forget()
                self.waiter = None

    cdef int forget(self) except -1:
        if self.watching:
            self.watching = False
            self.poller.forget(self.fd)
        return 0

    cdef int wake(self) except -1:
        self.forget()
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)
        return 0

    cpdef close(self):
        """Close the pipe: its reader sees the end of the stream."""
        if self.fd >= 0:
            self.wake()
            close_descriptor(self.fd)
            self.fd = -1

    def fail(self, exc):
        """Close the pipe: the loop is closed, or handling it failed."""
        self.close()


cdef int writer_ready(void* who, uint32_t events) except -1:
    return (<PipeWriter>who).wake()
