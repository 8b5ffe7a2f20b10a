from libc.stdint cimport uint8_t


cdef class Wakeup:
    cdef object loop
    cdef object callback
    cdef object context
    cdef object message
    cdef uint8_t settled
    cdef uint8_t was_cancelled
    cdef public bint _asyncio_future_blocking

    cdef object prepare(self)
    cdef bint wake(self, bint at_once) except -1
