from libc.stdint cimport uint8_t, uint32_t


# Called with what was watched and what was reported of it.
ctypedef int (*Ready)(void* who, uint32_t events) except -1

ctypedef struct Slot:
    void* who
    Ready ready
    uint32_t interest
    uint32_t generation

cdef extern from "polling.h":
    enum:
        READABLE "DUOLOGUE_READABLE"
        WRITABLE "DUOLOGUE_WRITABLE"
        LEFT "DUOLOGUE_LEFT"
        BROKEN "DUOLOGUE_BROKEN"

cdef class Poller:
    cdef object __weakref__
    cdef object home
    cdef int set
    # By descriptor; beside the slots, for the garbage collector to see.
    cdef list watched
    cdef Slot* slots
    cdef Py_ssize_t room
    cdef readonly Py_ssize_t count
    cdef uint8_t* buffer
    cdef bint lent
    cdef bint hurried
    cdef int process
    # What is put off to the end of a batch; None while nothing is.
    cdef list waiting
    # How a wait begins: see wait_awake().
    cdef double busy_poll
    cdef readonly long vain_looks
    cdef int trust
    cdef int debt
    # Batches being handled: more than one where a callback drains the set.
    cdef int inside

    cdef object loop(self)
    cdef int watch(self, int fd, object who, Ready ready, uint32_t interest) except -1
    cdef int change(self, int fd, uint32_t interest) except -1
    cdef int forget(self, int fd) except -1
    cdef int add(self, int fd, uint32_t generation, uint32_t interest) except -1
    cdef int alter(self, int fd, uint32_t generation, uint32_t before, uint32_t interest) except -1
    cdef void remove(self, int fd, uint32_t before) noexcept
    cdef int call(self, object who, Ready ready, uint32_t events, int fd) except -1
    cdef int wait(self, int milliseconds, dict foreign, list found) except -1
    cdef int wait_awake(self, void* events, int milliseconds) noexcept nogil
    cdef int put_off(self, object who, object exc) except -1
    cdef int go_on_later(self) except -1


cpdef Poller poller_of(object loop)
