from libc.stdint cimport uint8_t, uint32_t

from duologue.net.link cimport Link
from duologue.net.poller cimport Poller


cdef class Backlog:
    cdef object queue
    # Octets of its first object that are sent already.
    cdef Py_ssize_t offset
    cdef Py_ssize_t queued
    # What was queued when the link failed or was dropped.
    cdef Py_ssize_t dropped
    # Addresses, once there is no socket to ask.
    cdef tuple names
    # How long it was silent when it failed.
    cdef object silence
    # Why nothing can be sent any more, while there may be something to read.
    cdef object failure


cdef class SocketLink(Link):
    # Flags, side by side: each is one octet.
    cdef uint8_t blocked
    cdef uint8_t broken
    cdef uint8_t end_wanted
    cdef uint8_t close_wanted
    cdef uint8_t eof
    cdef uint8_t gone
    cdef uint8_t watching

    cdef uint8_t interest
    cdef int fd
    # Octets.
    cdef uint32_t high
    cdef uint32_t low

    cdef object __weakref__
    cdef Poller poller
    cdef Backlog backlog

    cdef Py_ssize_t queued(self) noexcept
    cdef int start(self, Poller poller, int fd) except -1
    cdef int events(self, uint32_t events) except -1
    cdef int receive(self) except -1
    cdef int receive_into(self, object owner, uint8_t* place, Py_ssize_t size) except -1
    cdef ssize_t try_send(self, const uint8_t* octets, Py_ssize_t size) except -1
    cdef int enqueue(self, bytes octets, Py_ssize_t offset) except -1
    cdef int flush(self) except -1
    cdef int watch_for(self) except -1
    cdef int judge_ends(self) except -1
    cdef bint may_write(self) noexcept
    cdef int writing_failed(self, int number) except -1
    cdef int drop(self, object exc) except -1
    cdef int judge_marks(self) except -1
