"""The lock of an event loop that several threads share: who is inside runs alone.

The thread of the loop is inside whenever it runs anything, and outside only while it waits for
descriptors. Any other thread that has something to do with the loop's objects goes inside for that
long. So what is made for one thread may be used by many, one after the other.

* **Fair.** Somebody who waits is next, whoever else comes: a thread that goes in and out all the
  time can't keep the loop out, nor the loop, busy without a pause, a thread. A waiting thread holds
  the queue until it is inside; nobody passes while somebody waits.
* **Nobody waits with the interpreter's lock**, so a thread inside can always go on.
* **Not reentrant.** Whoever is inside and goes in again (a signal handler, a finalizer, a log
  handler) finds things half done; that is an error, and told as one.
* **Never interrupted.** Signals are seen by bytecode, and there is none between going in and the
  ``try`` of compiled code: an interrupt leaves nobody inside.

Knows nothing of loops.
"""

from cpython.pythread cimport (
    NOWAIT_LOCK,
    WAIT_LOCK,
    PyThread_acquire_lock,
    PyThread_allocate_lock,
    PyThread_free_lock,
    PyThread_get_thread_ident,
    PyThread_release_lock,
)


cdef class Gate:
    """A fair lock that is no use to enter twice; see the module."""

    def __cinit__(self):
        self.lock = PyThread_allocate_lock()
        self.queue = PyThread_allocate_lock()
        if self.lock == NULL or self.queue == NULL:
            raise MemoryError("no memory for a lock")

    def __dealloc__(self):
        if self.lock != NULL:
            PyThread_free_lock(self.lock)
        if self.queue != NULL:
            PyThread_free_lock(self.queue)

    cdef int enter(self) except -1:
        """Wait until nobody is inside, and go in."""
        cdef unsigned long here = PyThread_get_thread_ident()
        if self.owner == here:
            raise RuntimeError(
                "a connection of the threads API was called from inside itself: by a signal "
                "handler, a finalizer, a log handler, or on the thread that does its I/O; "
                "let another thread do that"
            )
        if self.waiting or not PyThread_acquire_lock(self.lock, NOWAIT_LOCK):
            self.waiting += 1
            with nogil:
                PyThread_acquire_lock(self.queue, WAIT_LOCK)
                PyThread_acquire_lock(self.lock, WAIT_LOCK)
                PyThread_release_lock(self.queue)
            self.waiting -= 1
        self.owner = here
        return 0

    cdef void leave(self) noexcept:
        """Go out."""
        self.owner = 0
        PyThread_release_lock(self.lock)

    def acquire(self):
        """Wait until nobody is inside, and go in.

        Raises:
            RuntimeError: If this thread is inside.
        """
        self.enter()

    def release(self):
        """Go out.

        Raises:
            RuntimeError: If this thread isn't inside.
        """
        if self.owner != PyThread_get_thread_ident():
            raise RuntimeError("this thread isn't inside")
        self.leave()

    def run(self, function, *args):
        """Return ``function(*args)``, called inside.

        Raises:
            RuntimeError: If this thread is inside.
        """
        self.enter()
        try:
            return function(*args)
        finally:
            self.leave()

    @property
    def inside(self):
        """Whether this thread is inside."""
        return self.owner == PyThread_get_thread_ident()

    @property
    def wanted(self):
        """How many threads wait to go in."""
        return self.waiting
