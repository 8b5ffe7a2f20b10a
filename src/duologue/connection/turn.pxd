ctypedef int (*Act)(object who) except -1


cdef class Turn:
    cdef object __weakref__
    cdef object loop
    cdef list waiting
    cdef bint due
    cdef Act act

    cdef int add(self, object who) except -1


cdef Turn turn_of(object loop, Act act)
