from duologue.wire.deflate cimport PerMessageDeflate


cdef class Prepared:
    cdef readonly int opcode
    cdef readonly bytes payload
    cdef readonly int frames
    # How it may wait: a policy's number, -1 for the connection's; and of which it is the newest.
    cdef readonly int policy
    cdef readonly object key
    cdef readonly object subject
    cdef bytes plain
    cdef dict deflated
    cdef object recent_key
    cdef bytes recent
    cdef bytes before
    cdef bytes after
    cdef bytes joined
    cdef Py_ssize_t held

    cdef bytes frame_for(self, PerMessageDeflate deflate)
    cdef bytes join(self, bytes before, bytes frame)
    cdef int forget_joined(self) except -1
    cdef bytes make(self, int first, bytes payload)
    cdef int account(self, Py_ssize_t octets) noexcept
