# Called with the owner of a timer that is due.
ctypedef int (*Fired)(void* owner) except -1

ctypedef struct Place:
    double when
    unsigned long long order
    # Borrowed: a timer that goes takes its place out of the queue.
    void* timer


cdef class Timers:
    cdef object __weakref__
    cdef object home
    cdef object handle
    cdef readonly set held
    cdef Place* places
    cdef Py_ssize_t count
    cdef Py_ssize_t room
    cdef unsigned long long order
    cdef bint running

    cdef void put(self, Py_ssize_t index, const Place* place) noexcept
    cdef void up(self, Py_ssize_t index) noexcept
    cdef void down(self, Py_ssize_t index) noexcept
    cdef int move(self, Py_ssize_t index, double when) except -1
    cdef int push(self, Timer timer) except -1
    cdef void remove(self, Py_ssize_t index) noexcept
    cdef int rest(self) except -1
    cdef int arm(self) except -1


cdef class Timer:
    cdef readonly Timers timers
    cdef readonly object callback
    cdef Fired fired
    cdef void* owner
    cdef double due
    cdef Py_ssize_t index

    cpdef int set(self, double when) except -1
    cpdef int clear(self) except -1
    cpdef int drop(self) except -1
    cdef int run(self) except -1


cpdef Timers timers_of(object loop)
cdef Timer owned_timer(object loop, void* owner, Fired fired)
