"""Accepting connections in C.

Up to 64 connections a readiness, then the rest of the batch has its turn. When the process runs out
of descriptors or the kernel out of memory, or whatever else fails, accepting pauses for a second:
the connections stay in the kernel's queue, and an error that repeats for each of them would only
burn the processor.
"""

import os
import socket

from libc.errno cimport EAGAIN, ECONNABORTED, EINTR, errno
from libc.stdint cimport uint32_t

from duologue.base.accounts cimport totals
from duologue.net.poller cimport READABLE, poller_of
from duologue.net.socket_link cimport SocketLink


cdef extern from "sockets.h" nogil:
    int accept "duologue_accept"(int listener)
    void no_delay "duologue_no_delay"(int fd)
    bint is_without_delay "duologue_is_without_delay"(int fd)

cdef enum:
    AT_ONCE = 64

ACCEPT_PAUSE = 1.0
"""Seconds without accepting after an error, such as having run out of descriptors."""


cdef class Listener:
    """A socket that accepts connections.

    Args:
        loop: the event loop.
        sock: a bound, non-blocking stream socket; stays the caller's.
        opened: called with each new :class:`SocketLink`; must give it an owner.
    """

    def __cinit__(self, *args):
        totals.listeners += 1

    def __dealloc__(self):
        totals.listeners -= 1

    def __init__(self, loop, sock, opened):
        self.poller = poller_of(loop)
        self.sock = sock
        self.fd = sock.fileno()
        self.tcp = sock.family in (socket.AF_INET, socket.AF_INET6)
        if self.tcp:
            no_delay(self.fd)
        self.opened = opened

    def start(self):
        """Begin to accept; the socket must listen."""
        self.pause = None
        if not self.watching and self.opened is not None:
            self.watching = True
            self.poller.watch(self.fd, self, listener_ready, READABLE)

    def stop(self):
        """Accept no more."""
        if self.pause is not None:
            self.pause.cancel()
            self.pause = None
        if self.watching:
            self.watching = False
            self.poller.forget(self.fd)

    def close(self):
        """Accept no more, for good."""
        self.stop()
        self.opened = None

    cdef int accept(self) except -1:
        cdef int fd, _index
        cdef SocketLink link
        for _index in range(AT_ONCE):
            if not self.watching:
                return 0
            fd = accept(self.fd)
            if fd < 0:
                if errno == EINTR or errno == ECONNABORTED:
                    continue
                if errno == EAGAIN:
                    return 0
                return self.failed(errno)
            if self.tcp:
                # What the listener has accepted sockets have too: so on Linux, macOS and the BSDs,
                # which the first one shows.
                self.tcp = not is_without_delay(fd)
                no_delay(fd)
            link = SocketLink.__new__(SocketLink)
            link.start(self.poller, fd)
            try:
                self.opened(link)
                link.begin()
            except BaseException:
                link.abort()
                raise
        return 0

    cdef int failed(self, int code) except -1:
        exc = OSError(code, os.strerror(code))
        loop = self.poller.loop()
        self.stop()
        if loop is not None:
            loop.call_exception_handler(
                {
                    "message": f"accepting connections pauses for {ACCEPT_PAUSE} s",
                    "exception": exc,
                }
            )
            self.pause = loop.call_later(ACCEPT_PAUSE, self.start)
        return 0

    def fail(self, exc):
        """Give up if the loop is closed; one connection's failure concerns no other."""
        if exc is None:
            self.close()


cdef int listener_ready(void* who, uint32_t events) except -1:
    return (<Listener>who).accept()
