from libc.stdint cimport uint8_t, uint32_t

from duologue.net.link cimport Link
from duologue.net.poller cimport Poller


cdef class SocketLink(Link):
    cdef object __weakref__
    cdef Poller poller
    cdef int fd
    cdef uint32_t interest
    cdef object queue
    cdef Py_ssize_t offset
    cdef Py_ssize_t queued
    cdef Py_ssize_t high
    cdef Py_ssize_t low
    cdef bint blocked
    cdef bint end_wanted
    cdef bint close_wanted
    cdef bint eof
    cdef bint gone
    cdef bint watching
    cdef tuple names

    cdef int start(self, Poller poller, int fd) except -1
    cdef int events(self, uint32_t events) except -1
    cdef int receive(self) except -1
    cdef int receive_into(self, object owner, uint8_t* place, Py_ssize_t size) except -1
    cdef int flush(self) except -1
    cdef int watch_for(self) except -1
    cdef int drop(self, object exc) except -1
    cdef int judge_marks(self) except -1
