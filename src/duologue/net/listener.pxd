from libc.stdint cimport uint32_t

from duologue.net.poller cimport Poller


cdef class Listener:
    cdef Poller poller
    cdef object opened
    cdef object sock
    cdef int fd
    cdef bint tcp
    cdef bint watching
    cdef object pause

    cdef int accept(self) except -1
    cdef int failed(self, int code) except -1
