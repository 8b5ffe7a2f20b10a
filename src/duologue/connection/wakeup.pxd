from libc.stdint cimport uint8_t


cdef class Wakeable:
    # The task's callback; where that is a function in C, what it is bound to.
    cdef object callback
    # The callback's; after a cancellation its message.
    cdef object context
    cdef uint8_t direct
    cdef uint8_t settled
    cdef uint8_t was_cancelled
    cdef uint8_t blocking
    # Theirs who derive from this, here where there is room.
    cdef uint8_t begun
    cdef uint8_t waiting
    cdef uint8_t iterating
    cdef uint8_t decoding

    cdef object home(self)
    cdef object let_callback_go(self)
    cdef object prepare(self)
    cdef int wake(self, bint at_once) except -1
    cdef int enter(self, object callback, object context) except -1


cdef class Wakeup(Wakeable):
    cdef object loop
