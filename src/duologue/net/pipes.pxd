from libc.stdint cimport uint8_t

from duologue.net.poller cimport Poller


cdef class Sink:
    cdef bint ready(self) except -1
    cdef Py_ssize_t take(self, const uint8_t* data, Py_ssize_t size) except -1


cdef class PipeReader:
    cdef object __weakref__
    cdef Poller poller
    cdef int fd
    cdef bint watching
    # Octets read that nobody has taken; empty once the stream has ended.
    cdef bytes chunk
    cdef object waiter
    cdef object failure
    cdef readonly bint stopped
    cdef public Sink sink
    cdef public object alert

    cdef int watch(self, bint yes) except -1
    cdef int readable(self) except -1
    cdef int receive(self, uint8_t* place) except -1
    cdef int wake(self) except -1
    cpdef close(self)


cdef class Watch:
    cdef object __weakref__
    cdef Poller poller
    cdef int fd
    cdef object callback


cdef class PipeWriter:
    cdef object __weakref__
    cdef Poller poller
    cdef int fd
    cdef bint watching
    cdef object waiter
    cdef readonly long long written

    cdef Py_ssize_t push(self, const uint8_t* data, Py_ssize_t size) except -1
    cdef int forget(self) except -1
    cdef int wake(self) except -1
    cpdef close(self)
