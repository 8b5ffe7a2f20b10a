from duologue.connection.connection cimport Connection as AsyncConnection
from duologue.net.gate cimport Gate


cdef class Waiting:
    cdef object loop
    cdef object coroutine
    cdef object future
    cdef object woken_up
    cdef object result
    cdef object exc
    cdef bint done

    cdef int step(self, object thrown) except -1
    cdef int wait(self, Gate gate, object seconds) except -1
    cdef int give_up(self, Gate gate) except -1


cdef class Connection(AsyncConnection):
    cdef readonly object thread
    cdef Gate gate
    cdef object kept
    cdef unsigned long ident

    cdef int enter(self) except -1
    cdef int leave(self) except -1
    cdef Waiting begin(self, object coroutine)
    cdef object run(self, object coroutine)
