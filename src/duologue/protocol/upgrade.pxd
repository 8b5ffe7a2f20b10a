from libc.stdint cimport uint8_t

from duologue.wire.deflate cimport PerMessageDeflate


ctypedef struct Span:
    Py_ssize_t at
    Py_ssize_t size

# An ordinary handshake's head, by where its parts lie.
ctypedef struct Head:
    Py_ssize_t size
    Span host
    Span key
    Span version
    Span upgrade
    Span connection
    Span origin
    Span extensions
    Span subprotocols
    bint cookie


cdef class Offer:
    # What was agreed on; the extension is a pattern, each connection gets one of its own.
    cdef PerMessageDeflate deflate
    cdef bint uncounted
    cdef readonly object subprotocol
    cdef object extensions_value
    # The answer of one second: octets with room for the key's answer, and without it, to be kept.
    cdef long long second
    cdef bytes octets
    cdef Py_ssize_t accept_at
    cdef readonly bytes kept

    cdef list extensions(self)
    cdef int imitate(self, PerMessageDeflate extension) except -1


cdef class Upgrades:
    cdef object limits
    cdef object origins
    cdef object extensions
    cdef object subprotocols
    cdef object server_header
    cdef bint known_extensions
    cdef Py_ssize_t longest
    cdef Py_ssize_t most_headers
    cdef dict offers
    # Of the head that was judged last.
    cdef Head head
    # Somebody should be told of its origin, which is another site's, and has our cookies.
    cdef bint questionable

    cdef Offer judge(self, const uint8_t* data, Py_ssize_t size)
    cdef bint is_questionable(self, const uint8_t* data) noexcept
    cdef Offer find(self, const uint8_t* data)
    cdef Offer learn(self, bytes head)
    cdef int renew(self, Offer offer, long long second) except -1
    cdef object origin(self, const uint8_t* data)
