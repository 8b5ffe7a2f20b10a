from libc.stdint cimport uint8_t, uint32_t

from duologue.net.link cimport Link
from duologue.net.poller cimport Poller


cdef class SocketLink(Link):
    # Flags, side by side: each is one octet.
    cdef uint8_t blocked
    cdef uint8_t end_wanted
    cdef uint8_t close_wanted
    cdef uint8_t eof
    cdef uint8_t gone
    cdef uint8_t watching

    cdef object __weakref__
    cdef Poller poller
    cdef int fd
    cdef uint32_t interest
    cdef object queue
    cdef Py_ssize_t offset
    cdef Py_ssize_t queued
    cdef Py_ssize_t high
    cdef Py_ssize_t low
    cdef tuple names

    cdef int start(self, Poller poller, int fd) except -1
    cdef int events(self, uint32_t events) except -1
    cdef int receive(self) except -1
    cdef int receive_into(self, object owner, uint8_t* place, Py_ssize_t size) except -1
    cdef ssize_t try_send(self, const uint8_t* octets, Py_ssize_t size) except -1
    cdef int enqueue(self, bytes octets, Py_ssize_t offset) except -1
    cdef int flush(self) except -1
    cdef int watch_for(self) except -1
    cdef int judge_ends(self) except -1
    cdef int drop(self, object exc) except -1
    cdef int judge_marks(self) except -1
