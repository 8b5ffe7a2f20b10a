cdef class Wakeup:
    cdef object loop
    cdef object callback
    cdef object context
    cdef object message
    cdef bint settled
    cdef bint was_cancelled
    cdef public bint _asyncio_future_blocking

    cdef object prepare(self)
    cdef bint wake(self, bint at_once) except -1
