from libc.stdint cimport uint8_t

from duologue.net.link cimport Link


cdef enum:
    # What reading and writing return besides a count of octets.
    ENDED = 0
    WAITS = -1


cdef class Records:
    cdef readonly object ssl_object
    cdef object incoming
    cdef object outgoing
    cdef const uint8_t* fed
    cdef Py_ssize_t fed_size

    cdef int feed(self, const uint8_t* records, Py_ssize_t size) except -1
    cdef Py_ssize_t left(self) except -1
    cdef bytes take_left(self)
    cdef bint handshake(self) except -1
    cdef Py_ssize_t read(self, uint8_t* place, Py_ssize_t size) except -2
    cdef Py_ssize_t write(self, const uint8_t* octets, Py_ssize_t size) except -2
    cdef int shut(self) except -1
    cdef Py_ssize_t made(self) except -1
    cdef int send(self, Link link) except -1
    cdef int supply(self) except -1


cdef Records records_of(object context, bint server_side, object server_hostname)
