from libc.stdint cimport uint8_t


ctypedef struct LinkCalls:
    # Octets have arrived; borrowed for the call. No octets (size 0): the peer ends its stream.
    int (*received)(void* owner, const uint8_t* data, Py_ssize_t size) except -1
    # Where the next octets should go, or NULL for the link's own buffer. Sets *size, to
    # -1 if the owner can take none now: it is inside of a call of the link's.
    uint8_t* (*space_wanted)(void* owner, Py_ssize_t* size) except? NULL
    # The link stopped taking octets gladly (1) or takes them again (0).
    int (*writable)(void* owner, bint yes) except -1
    # The link is gone, once and for all; exc is None or why.
    int (*closed)(void* owner, object exc) except -1


cdef class Link:
    cdef const LinkCalls* calls
    cdef object owner
    # What the accounts know that this link holds.
    cdef Py_ssize_t held

    cdef int own(self, object owner, const LinkCalls* calls) except -1
    cdef int account(self, Py_ssize_t held) noexcept
    cdef int recount(self) except -1
    cdef int write(self, bytes octets) except -1
    cdef int write_memory(self, const uint8_t* octets, Py_ssize_t size) except -1
    cdef int write_all(self, list pieces) except -1
    cdef int pause_reading(self) except -1
    cdef int resume_reading(self) except -1
    cdef Py_ssize_t unsent(self) except -1
    cdef Py_ssize_t lost_octets(self) except? -2
    cdef object silence(self)
    cdef object arrival(self)
    cdef int call_when_left(self, object callback) except -1
    cdef int end(self) except -1
    cdef int close(self) except -1
    cdef int abort(self) except -1
    cdef int set_write_limits(self, Py_ssize_t high, Py_ssize_t low) except -1
    cdef object info(self, str name)
