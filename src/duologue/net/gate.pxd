from cpython.pythread cimport PyThread_type_lock


cdef class Gate:
    cdef PyThread_type_lock lock
    cdef PyThread_type_lock queue
    cdef unsigned long owner
    cdef int waiting

    cdef int enter(self) except -1
    cdef void leave(self) noexcept
