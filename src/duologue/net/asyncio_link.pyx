"""A link carried by an asyncio transport: any event loop, any platform, TCP, Unix sockets, TLS.

asyncio hands received octets to a ``BufferedProtocol`` by filling a buffer that the protocol names,
and fills and reports it without anything running between, so one buffer serves every link of a
process. The proactor loop of Windows is the exception: it keeps the buffer while it waits, so there
each link has one of its own and octets are never received into place.
"""

import asyncio
import sys

from cpython.bytearray cimport PyByteArray_AS_STRING
from cpython.memoryview cimport PyMemoryView_FromMemory
from libc.stdint cimport uint8_t

from duologue.base.traffic cimport counted
from duologue.net.link cimport Link

from duologue.net.silence import arrival_of, silence_of


cdef extern from "Python.h":
    int PyBUF_WRITE

cdef Py_ssize_t BUFFER_SIZE = 262144
cdef bint SHARED = sys.platform != "win32"
cdef bytearray shared_buffer = bytearray(BUFFER_SIZE)
cdef object shared_view = memoryview(shared_buffer)


cdef class _AsyncioLink(Link):
    """The compiled part of :class:`AsyncioLink`."""

    cdef object opened
    cdef readonly object transport
    cdef bint reading_paused
    cdef bint gone
    # Above its high mark; only then the accounts hear of what the transport holds, since nothing
    # tells when the rest has gone out.
    cdef bint full
    cdef uint8_t* place
    cdef bytearray own_buffer

    def __init__(self, opened):
        self.opened = opened

    # -- asyncio.BufferedProtocol

    def connection_made(self, transport):
        self.transport = transport
        opened, self.opened = self.opened, None
        try:
            opened(self)
        except BaseException:
            transport.abort()
            raise

    def get_buffer(self, Py_ssize_t sizehint):
        cdef Py_ssize_t size = 0
        if SHARED and self.owner is not None:
            self.place = self.calls.space_wanted(<void*>self.owner, &size)
            if self.place != NULL:
                return PyMemoryView_FromMemory(<char*>self.place, size, PyBUF_WRITE)
        if SHARED:
            self.place = <uint8_t*>PyByteArray_AS_STRING(shared_buffer)
            return shared_view
        if self.own_buffer is None:
            self.own_buffer = bytearray(65536)
        self.place = <uint8_t*>PyByteArray_AS_STRING(self.own_buffer)
        return self.own_buffer

    def buffer_updated(self, Py_ssize_t size):
        # Held: it may hand the link to another owner inside the call.
        counted.octets_received += size
        owner = self.owner
        if owner is not None:
            self.calls.received(<void*>owner, self.place, size)

    def eof_received(self):
        owner = self.owner
        if owner is not None:
            self.calls.received(<void*>owner, NULL, 0)

    def pause_writing(self):
        self.full = True
        if self.owner is not None:
            self.account(self.unsent())
            self.calls.writable(<void*>self.owner, False)

    def resume_writing(self):
        self.full = False
        self.account(0)
        if self.owner is not None:
            self.calls.writable(<void*>self.owner, True)

    def connection_lost(self, exc):
        self.gone = True
        self.account(0)
        owner, self.owner = self.owner, None
        if owner is not None:
            self.calls.closed(<void*>owner, exc)

    # -- Link

    cdef bint ending(self) except -1:
        """Whether the transport is closing: uvloop's refuses to pause and to resume then."""
        return self.gone or self.transport.is_closing()

    cdef int write(self, bytes octets) except -1:
        if not self.gone:
            counted.octets_sent += len(octets)
            self.transport.write(octets)
            if self.full:
                self.account(self.unsent())
            elif self.transport.is_closing() and self.owner is not None:
                # It has failed, takes whatever it is given and says so from the loop, to which
                # an owner that goes on writing would never come.
                self.full = True
                self.calls.writable(<void*>self.owner, False)
        return 0

    cdef int recount(self) except -1:
        self.account(self.unsent() if self.full else 0)
        return 0

    cdef int pause_reading(self) except -1:
        if not (self.reading_paused or self.ending()):
            self.reading_paused = True
            self.transport.pause_reading()
        return 0

    cdef int resume_reading(self) except -1:
        if self.reading_paused:
            self.reading_paused = False
            if not self.ending():
                self.transport.resume_reading()
        return 0

    cdef Py_ssize_t unsent(self) except -1:
        return 0 if self.gone else self.transport.get_write_buffer_size()

    cdef Py_ssize_t lost_octets(self) except? -2:
        # A transport that fails empties its buffer before it says so.
        return -1 if self.ending() else 0

    cdef object silence(self):
        return silence_of(self.transport.get_extra_info("socket"))

    cdef object arrival(self):
        return arrival_of(self.transport.get_extra_info("socket"))

    cdef int end(self) except -1:
        if self.ending():
            return 0
        if not self.transport.can_write_eof():
            self.transport.close()
            return 0
        try:
            self.transport.write_eof()
        except (OSError, RuntimeError):
            # The socket was reset, or uvloop has begun to close it: what follows is closed().
            pass
        return 0

    cdef int close(self) except -1:
        if not self.gone:
            self.transport.close()
        return 0

    cdef int abort(self) except -1:
        if not self.gone:
            self.transport.abort()
            self.full = False
            self.account(0)
        return 0

    cdef int set_write_limits(self, Py_ssize_t high, Py_ssize_t low) except -1:
        self.transport.set_write_buffer_limits(high, low)
        return 0

    cdef object info(self, str name):
        return self.transport.get_extra_info(name)


class AsyncioLink(_AsyncioLink, asyncio.BufferedProtocol):
    """A link over an asyncio transport; give it to ``create_connection`` as the protocol.

    Args:
        opened: called with the link when the transport is ready; must give the link an owner.
    """

    __slots__ = ()
