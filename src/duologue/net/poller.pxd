from libc.stdint cimport uint8_t, uint32_t, uint64_t


# Called with what was watched and what epoll says of it.
ctypedef int (*Ready)(void* who, uint32_t events) except -1

ctypedef struct Slot:
    void* who
    Ready ready
    uint32_t interest
    uint32_t generation

cdef uint32_t READABLE
cdef uint32_t WRITABLE
cdef uint32_t BROKEN

cdef class Poller:
    cdef object __weakref__
    cdef object home
    cdef int epoll
    cdef dict watched
    cdef Slot* slots
    cdef Py_ssize_t room
    cdef readonly Py_ssize_t count
    cdef uint8_t* buffer
    cdef bint lent
    cdef int process

    cdef object loop(self)
    cdef int watch(self, int fd, object who, Ready ready, uint32_t interest) except -1
    cdef int change(self, int fd, uint32_t interest) except -1
    cdef int forget(self, int fd) except -1
    cdef int control(self, int operation, int fd, uint32_t interest, uint64_t tag) except -1
    cdef int call(self, object who, Ready ready, uint32_t events, int fd) except -1
    cdef int wait(self, int milliseconds, dict foreign, list found) except -1


cpdef Poller poller_of(object loop)
