# What compiled code may call directly; deflate.pyi says what Python sees.


cdef class PerMessageDeflate:
    cdef readonly bint remote_no_context_takeover
    cdef readonly bint local_no_context_takeover
    cdef readonly int remote_max_window_bits
    cdef readonly int local_max_window_bits
    cdef readonly dict compress_settings
    cdef public Py_ssize_t threshold

    cdef object encoder
    cdef object decoder
    cdef tuple encoder_key
    cdef bint sending  # between the first and the final fragment of a compressed message
    cdef bint receiving
    cdef bint decode_continuations
    cdef int streams  # ended by a final block in the current message

    # The compressed form of one fragment, without 00 00 ff ff when it is the final one.
    cdef bytes compress_message(self, object payload, bint fin)

    # The inflated form of one fragment, at most max_size octets (-1: any number).
    cdef object inflate(self, object payload, bint fin, Py_ssize_t max_size)

    # Gives back what can be made again; never in the middle of a message.
    cpdef void release(self) except *

    cdef object borrow_encoder(self)
    cdef int give_back_encoder(self, object encoder) except -1
    cdef bytes inflate_all(self, object data, Py_ssize_t room, Py_ssize_t max_size, bint completed)
    cdef bytes inflate_some(self, object data, Py_ssize_t room, Py_ssize_t max_size)
    cdef int end_stream(self) except -1
