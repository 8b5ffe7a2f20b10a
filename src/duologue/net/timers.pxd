# Called with the owner of a deadline that has passed.
ctypedef int (*Fired)(void* owner) except -1

# A deadline that is part of its owner, an object, which has to forget it before it goes.
ctypedef struct Deadline:
    # Seconds of the loop's clock; NaN while there is none.
    double when
    Fired fired
    # A Timers, borrowed; of use while the deadline has a place there.
    void* timers
    int index
    # Octets from the owner's beginning to here.
    int offset

ctypedef struct Place:
    double when
    unsigned long long order
    # Borrowed: what goes takes its place out of the queue.
    Deadline* deadline


cdef class Timers:
    cdef object __weakref__
    cdef object home
    cdef object handle
    cdef object clock
    cdef readonly set held
    cdef Place* places
    cdef Py_ssize_t count
    cdef Py_ssize_t room
    cdef unsigned long long order
    cdef bint running
    # By how much the loop was late, in seconds, and when that was seen.
    cdef double late
    cdef double late_at

    cdef int set(self, Deadline* deadline, double when) except -1
    cdef void put(self, Py_ssize_t index, const Place* place) noexcept
    cdef void up(self, Py_ssize_t index) noexcept
    cdef void down(self, Py_ssize_t index) noexcept
    cdef int move(self, Py_ssize_t index, double when) except -1
    cdef int push(self, Deadline* deadline) except -1
    cdef void remove(self, Py_ssize_t index) noexcept
    cdef int rest(self) except -1
    cdef int arm(self) except -1
    cdef double now(self) except -1
    cdef double blocked(self) except -1
    cdef int note_lateness(self, double now) except -1


cdef class Timer:
    cdef readonly Timers timers
    cdef readonly object callback
    cdef Deadline deadline

    cpdef int set(self, double when) except -1
    cpdef int clear(self) except -1
    cpdef int drop(self) except -1


cpdef Timers timers_of(object loop)
cdef void begin_deadline(Deadline* deadline, void* owner, Fired fired) noexcept
cdef int drop_deadline(Deadline* deadline) except -1
cdef void forget_deadline(Deadline* deadline) noexcept
