"""A Unix socket between processes of one program, read and written in C for an asyncio protocol.

What :class:`~duologue.net.socket_link.SocketLink` is for a peer's connection this is for our own
processes: one ``recv`` a readiness into a buffer that all share, handled before the loop takes
a turn; writing tries the socket at once. Nothing of it counts as traffic or in the accounts, which
are about peers, and what waits is the protocol's to bound.

Streams of one owner may be a group, which is read as a whole: the owner is told that any of them is
readable, and reads what has come on all of them. So it can look once more before it acts on what it
has read, without a turn of the loop.

``connection_lost`` is never called from inside a call of the protocol's.
"""

cimport cython

import os

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport uint32_t

from duologue.net.poller cimport BROKEN, READABLE, WRITABLE, Poller, poller_of


cdef extern from "sockets.h" nogil:
    enum:
        MSG_DONTWAIT
        SEND_FLAGS "DUOLOGUE_SEND_FLAGS"
    void no_signal "duologue_no_signal"(int fd)
    ssize_t recv(int fd, void* buffer, size_t size, int flags)
    ssize_t send(int fd, const void* buffer, size_t size, int flags)

cdef enum:
    BUFFER = 262144

# Copied from before anything else runs, so one is enough for all.
cdef char[BUFFER] buffer


@cython.final
@cython.auto_pickle(False)
cdef class StreamGroup:
    """Streams that are read together.

    Args:
        loop: the event loop that serves them.
        readable: called when one of them can be read; it calls :meth:`read`, or is called again.
    """

    cdef Poller outer
    cdef Poller inner
    cdef object readable
    cdef bint watched

    def __init__(self, loop, readable):
        self.outer = poller_of(loop)
        self.inner = Poller(loop)
        self.readable = readable
        self.outer.watch(self.inner.set, self, group_ready, READABLE)
        self.watched = True

    def read(self):
        """Read each stream once that has something now."""
        self.inner.wait(0, None, None)

    def close(self):
        """Tell nobody any more; streams that are to be closed still write what is queued."""
        self.readable = None
        self.judge()

    cdef int judge(self) except -1:
        """Let go of the loop when nothing is left to do."""
        if self.readable is None and self.inner.count == 0 and self.watched:
            self.watched = False
            self.outer.forget(self.inner.set)
        return 0

    cdef int ready(self) except -1:
        if self.readable is None:
            self.inner.wait(0, None, None)
        else:
            self.readable()
        return 0

    def fail(self, exc):
        """Give up if the loop is closed; one call's failure concerns no other."""
        if exc is None:
            self.readable = None
            self.inner.shut()


cdef int group_ready(void* who, uint32_t events) except -1:
    return (<StreamGroup>who).ready()


@cython.final
@cython.auto_pickle(False)
cdef class UnixStream:
    """The part of :class:`asyncio.Transport` that such a protocol uses.

    Args:
        loop: the event loop that serves it.
        sock: a connected, non-blocking stream socket, which becomes the stream's.
        protocol: has ``connection_made``, called at once, ``data_received`` and
            ``connection_lost`` of :class:`asyncio.Protocol`. It is told nothing of the end of the
            peer's stream but that the connection is lost.
        group: to be read with, ``None`` to be read by itself.
    """

    cdef object __weakref__
    cdef Poller poller
    cdef StreamGroup group
    cdef object sock
    cdef object protocol
    # What the kernel has not taken yet.
    cdef bytearray unsent
    cdef int fd
    cdef bint closing
    cdef bint gone

    def __init__(self, loop, sock, protocol, StreamGroup group=None):
        self.poller = poller_of(loop) if group is None else group.inner
        self.group = group
        self.sock = sock
        self.protocol = protocol
        self.fd = sock.fileno()
        self.unsent = bytearray()
        no_signal(self.fd)
        self.poller.watch(self.fd, self, stream_ready, READABLE)
        protocol.connection_made(self)

    def __repr__(self):
        return f"<UnixStream fd={self.fd} unsent={len(self.unsent)}>"

    def get_extra_info(self, str name, default=None):
        """``"socket"``."""
        return self.sock if name == "socket" else default

    def is_closing(self):
        """Whether it is closed or about to be."""
        return bool(self.gone or self.closing)

    def get_write_buffer_size(self):
        """Octets that the operating system has not taken yet."""
        return len(self.unsent)

    def write(self, bytes octets not None):
        """Queue octets; never blocks, never fails for a stream that is gone."""
        cdef Py_ssize_t size = PyBytes_GET_SIZE(octets)
        cdef ssize_t sent = 0
        if self.gone or self.closing:
            return
        if not self.unsent:
            sent = send(self.fd, PyBytes_AS_STRING(octets), size, SEND_FLAGS)
            if sent == size:
                return
            if sent < 0:
                if errno != EAGAIN and errno != EINTR:
                    self.drop(OSError(errno, os.strerror(errno)))
                    return
                sent = 0
            self.poller.change(self.fd, READABLE | WRITABLE)
        self.unsent += octets[sent:]

    def close(self):
        """Close after what is queued has gone out; nothing is read any more."""
        if self.gone or self.closing:
            return
        if not self.unsent:
            self.drop(None)
            return
        self.closing = True
        self.poller.change(self.fd, WRITABLE)

    def abort(self):
        """Close at once and drop what is queued."""
        self.drop(None)

    def fail(self, exc):
        """Give the stream up after its protocol raised, or the loop was closed."""
        self.drop(exc)

    cdef int events(self, uint32_t events) except -1:
        if events & WRITABLE and self.unsent:
            self.flush()
        if events & (READABLE | BROKEN) and not self.gone:
            if self.closing:
                return self.drop(None) if events & BROKEN else 0
            self.receive()
        return 0

    cdef int receive(self) except -1:
        cdef ssize_t count = recv(self.fd, buffer, BUFFER, MSG_DONTWAIT)
        if count > 0:
            self.protocol.data_received(PyBytes_FromStringAndSize(buffer, count))
        elif count == 0:
            self.drop(None)
        elif errno != EAGAIN and errno != EINTR:
            self.drop(OSError(errno, os.strerror(errno)))
        return 0

    cdef int flush(self) except -1:
        cdef const char* octets = self.unsent
        cdef ssize_t sent = send(self.fd, octets, len(self.unsent), SEND_FLAGS)
        if sent < 0:
            if errno == EAGAIN or errno == EINTR:
                return 0
            return self.drop(OSError(errno, os.strerror(errno)))
        del self.unsent[:sent]
        if not self.unsent:
            if self.closing:
                return self.drop(None)
            self.poller.change(self.fd, READABLE)
        return 0

    cdef int drop(self, object exc) except -1:
        """Close the socket now and tell the protocol from the loop."""
        if self.gone:
            return 0
        self.gone = True
        self.unsent.clear()
        self.poller.forget(self.fd)
        self.sock.close()
        self.poller.put_off(self, exc)
        if self.group is not None:
            self.group.judge()
        return 0

    def _closed(self, exc):
        protocol, self.protocol = self.protocol, None
        protocol.connection_lost(exc)


cdef int stream_ready(void* who, uint32_t events) except -1:
    return (<UnixStream>who).events(events)
