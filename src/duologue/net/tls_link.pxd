from libc.stdint cimport uint8_t

from duologue.net.link cimport Link
from duologue.net.records cimport Records


cdef class Scratch:
    cdef object __weakref__
    cdef object home
    cdef uint8_t* plain
    cdef bint lent


cdef class TlsLink(Link):
    cdef object __weakref__
    cdef Link inner
    cdef Records records
    cdef Scratch scratch
    cdef object opened
    cdef object failed
    cdef object timer
    cdef double handshake_timeout
    cdef double shutdown_timeout

    # Reading: records that came while nothing was read, and how far the peer's stream has ended.
    cdef bytes kept
    cdef bint busy
    cdef bint paused
    cdef bint partial
    cdef bint inner_ended
    cdef bint ended
    cdef bint told_end

    # Writing: plain octets that wait until the inner link has taken the records before them.
    cdef object queue
    cdef Py_ssize_t offset
    cdef Py_ssize_t queued
    # What was queued when everything was let go.
    cdef Py_ssize_t let_go
    cdef Py_ssize_t high
    cdef Py_ssize_t low
    cdef bint blocked
    cdef bint stuck

    cdef bint open
    cdef bint end_wanted
    cdef bint close_wanted
    cdef bint gone

    cdef int received(self, const uint8_t* data, Py_ssize_t size) except -1
    cdef int take(self, const uint8_t* data, Py_ssize_t size) except -1
    cdef int keep(self, const uint8_t* data, Py_ssize_t size) except -1
    cdef int shake_hands(self) except -1
    cdef int handshake_failed(self, object exc) except -1
    cdef int read_on(self) except -1
    cdef Py_ssize_t hand_on(self) except -2
    cdef Py_ssize_t gather(self, uint8_t* place) except -2
    cdef int inner_end(self) except -1
    cdef int tell_end(self) except -1
    cdef int inner_writable(self, bint yes) except -1
    cdef int inner_closed(self, object exc) except -1
    cdef bint may_write(self) noexcept
    cdef Py_ssize_t encrypt(self, const uint8_t* octets, Py_ssize_t size) except -1
    cdef int enqueue(self, bytes octets, Py_ssize_t offset) except -1
    cdef int write_on(self) except -1
    cdef int written(self) except -1
    cdef int account_all(self) except -1
    cdef int finish(self) except -1
    cdef int forget(self) except -1
    cdef int judge_marks(self) except -1
    cdef int set_deadline(self, double seconds, object callback) except -1
    cdef int clear_deadline(self) except -1
