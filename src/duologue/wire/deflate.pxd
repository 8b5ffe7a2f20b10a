# What compiled code may call directly; deflate.pyi says what Python sees.


from libc.stdint cimport uint8_t

from duologue.wire.codec cimport Deflater, Inflater


cdef class EncoderKind:
    cdef object __weakref__
    cdef int window_bits
    cdef dict settings
    cdef list idle
    cdef bint primed  # with a dictionary, to which a compressor made later must not refer

    cdef Deflater make(self, bytes history)
    cdef Deflater borrow(self, const uint8_t* past, Py_ssize_t size)
    cdef int give_back(self, Deflater encoder) except -1
    cdef bint lends(self) except -1


cdef class PerMessageDeflate:
    cdef readonly bint remote_no_context_takeover
    cdef readonly bint local_no_context_takeover
    cdef readonly int remote_max_window_bits
    cdef readonly int local_max_window_bits
    cdef public Py_ssize_t threshold

    cdef EncoderKind kind
    cdef Deflater encoder
    cdef Inflater decoder
    cdef bytes said  # the message that a shared compressor compressed, or its end
    cdef bint said_packed
    cdef uint8_t* past  # the last octets sent, for a shared compressor
    cdef Py_ssize_t past_size
    cdef list seen  # what the peer may refer to, in pieces
    cdef Py_ssize_t seen_octets
    cdef bytes packed  # the same, compressed
    cdef unsigned long uses  # of either codec
    cdef bint counted_encoder
    cdef bint counted_decoder
    cdef bint sent  # a message was compressed since the last release
    cdef bint received
    cdef bint apart  # the message being sent has no history and leaves none
    cdef bint sending  # between the first and the final fragment of a compressed message
    cdef bint receiving
    cdef bint decode_continuations
    cdef int streams  # ended by a final block in the current message

    # The compressed form of one fragment, without 00 00 ff ff when it is the final one.
    cdef bytes compress_message(self, object payload, bint fin)

    # The inflated form of one fragment, at most max_size octets (-1: any number).
    cdef object inflate(self, object payload, bint fin, Py_ssize_t max_size)

    # A whole message compressed by itself, which any connection of the same kind may send that
    # may_share().
    cdef bytes compress_apart(self, object payload)
    cdef bint may_share(self) noexcept

    # Note that a message made by compress_apart() is sent.
    cdef int sent_apart(self) except -1

    # Whether there is anything for release() to free.
    cdef bint holds(self) noexcept

    # Gives back what can be made again; never in the middle of a message.
    cpdef void release(self) except *

    # Gives back everything: there will be no more messages.
    cdef int end(self) except -1

    cdef int hold_encoder(self, Deflater encoder) except -1
    cdef int hold_decoder(self, Inflater decoder) except -1
    cdef bint wants_encoder(self) noexcept
    cdef int remember(self, bytes out) except -1
    cdef bytes history(self)
    cdef bytes sent_before(self)
    cdef bytes compress_lent(self, object payload, bint fin)
    cdef int remember_sent(self, const uint8_t* octets, Py_ssize_t size) except -1
    cdef int forget_sent(self) except -1
    cdef int message_inflated(self) except -1
    cdef bytes inflate_all(self, object data, Py_ssize_t room, Py_ssize_t max_size, bint completed)
    cdef bytes inflate_some(self, object data, Py_ssize_t room, Py_ssize_t max_size)
    cdef int end_stream(self) except -1
