"""The one seam between octets that move and what they mean.

A :class:`Link` is one stream connection, whatever carries it: an asyncio transport today, the
engine's own sockets, or a network that exists in memory only. Its owner is called through four C
functions (:c:type:`LinkCalls`), because an extension type has one base and the owner has another:

``received``
    octets, in order, borrowed for the call; none at all means that the peer has ended its stream.
``space_wanted``
    where the next octets should be put, so that a large payload is received into its final place.
    Octets that were put there are reported by ``received`` with that very address.
``writable``
    back-pressure: 0 when the link's own buffer is above its high mark, 1 below the low one.
``closed``
    the last call, made exactly once.

An owner may be replaced (an HTTP exchange hands its link to a WebSocket connection) but from
inside a call only as its last act. A link holds its owner and lets it go when it is closed.

Knows nothing of HTTP or WebSocket.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize

from duologue.base.accounts cimport totals


cdef class Link:
    """One stream connection; a subclass for each thing that carries one."""

    def __cinit__(self, *args, **kwargs):
        totals.links += 1

    def __dealloc__(self):
        self.account(0)
        totals.links -= 1

    cdef int account(self, Py_ssize_t held) noexcept:
        """Tell the process-wide accounts what waits here; a link calls it when that changes."""
        if held > self.held:
            totals.taken += held - self.held
        totals.octets += held - self.held
        self.held = held
        return 0

    cdef int recount(self) except -1:
        """Call :meth:`account` if less may wait now than when it was called last."""
        return 0

    cdef int own(self, object owner, const LinkCalls* calls) except -1:
        """Hand the link to ``owner``, whose calls are ``calls``."""
        self.owner = owner
        self.calls = calls
        return 0

    cdef int write(self, bytes octets) except -1:
        """Queue octets; never blocks, never fails for a link that is gone."""
        raise NotImplementedError

    cdef int write_memory(self, const uint8_t* octets, Py_ssize_t size) except -1:
        """Queue octets borrowed for the call: what isn't sent at once is copied before any call
        to the owner."""
        return self.write(PyBytes_FromStringAndSize(<const char*>octets, size))

    cdef int write_all(self, list pieces) except -1:
        """Queue several ``bytes``, which a link that can sends with one call of the system."""
        for octets in pieces:
            self.write(octets)
        return 0

    cdef int pause_reading(self) except -1:
        raise NotImplementedError

    cdef int resume_reading(self) except -1:
        raise NotImplementedError

    cdef Py_ssize_t unsent(self) except -1:
        """Octets queued that the operating system has not taken yet."""
        raise NotImplementedError

    cdef Py_ssize_t lost_octets(self) except? -2:
        """Octets that were queued when the link failed or was dropped; -1 if it can't tell."""
        return 0

    cdef object silence(self):
        """Seconds since octets last came or went, also once the link is lost; None if unknown."""
        return None

    cdef object arrival(self):
        """Seconds since octets last arrived, whether they were read or not; None if unknown."""
        return None

    cdef int call_when_left(self, object callback) except -1:
        """Call back once, when the peer has ended its stream while reading is paused.

        It is a hint: what came before may still be read, and the end itself is told as ever. Links
        that can't know leave it. ``None`` takes it back.
        """
        return 0

    cdef int end(self) except -1:
        """End our stream after what is queued, and go on reading where the link can do that."""
        raise NotImplementedError

    cdef int close(self) except -1:
        """Close after what is queued has gone out."""
        raise NotImplementedError

    cdef int abort(self) except -1:
        """Close at once and drop what is queued."""
        raise NotImplementedError

    cdef int set_write_limits(self, Py_ssize_t high, Py_ssize_t low) except -1:
        raise NotImplementedError

    cdef object info(self, str name):
        """``transport.get_extra_info``'s names: "peername", "sockname", "ssl_object", "socket"."""
        raise NotImplementedError

    # The same for owners written in Python.

    def attach(self, owner):
        """Hand the link to a Python object.

        It must have ``data_received(bytes)``, ``eof_received()``, ``writable(bool)`` and
        ``connection_lost(exc)``.
        """
        self.own(owner, &PYTHON_CALLS)

    def write_octets(self, bytes octets):
        """Queue octets to be sent."""
        self.write(octets)

    def write_eof(self):
        """End our stream after what is queued."""
        self.end()

    def close_link(self):
        """Close after what is queued has gone out."""
        self.close()

    def abort_link(self):
        """Close at once and drop what is queued."""
        self.abort()

    def pause(self):
        """Read no more for now."""
        self.pause_reading()

    def resume(self):
        """Read again."""
        self.resume_reading()

    def deliver(self, bytes octets):
        """Give octets to the owner as if they came now: for who read them in its place."""
        owner = self.owner
        if owner is not None:
            self.calls.received(
                <void*>owner, <const uint8_t*>PyBytes_AS_STRING(octets), len(octets)
            )

    def unsent_octets(self):
        """Octets queued that the operating system has not taken yet."""
        return self.unsent()

    def get_extra_info(self, str name):
        """What asyncio's transports tell under the same names, ``None`` if unknown."""
        return self.info(name)


cdef int python_received(void* owner, const uint8_t* data, Py_ssize_t size) except -1:
    if size:
        (<object>owner).data_received(PyBytes_FromStringAndSize(<const char*>data, size))
    else:
        (<object>owner).eof_received()
    return 0


cdef uint8_t* python_space_wanted(void* owner, Py_ssize_t* size) except? NULL:
    return NULL


cdef int python_writable(void* owner, bint yes) except -1:
    (<object>owner).writable(yes)
    return 0


cdef int python_closed(void* owner, object exc) except -1:
    (<object>owner).connection_lost(exc)
    return 0


cdef LinkCalls PYTHON_CALLS = LinkCalls(
    python_received, python_space_wanted, python_writable, python_closed
)
