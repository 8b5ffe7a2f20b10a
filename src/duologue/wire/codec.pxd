# What compiled code may call directly; codec.pyi says what Python sees.
from libc.stdint cimport uint8_t, uint32_t


cdef extern from "zlib_ng.h":
    ctypedef struct duologue_zstream:
        const uint8_t* next_in
        uint32_t avail_in
        uint8_t* next_out
        uint32_t avail_out
        const char* msg


cdef class Deflater:
    cdef duologue_zstream stream
    cdef object other  # the package's object where its functions can't be called
    cdef bint begun
    cdef bint used

    cdef int lend(self, const uint8_t* past, Py_ssize_t size) except -1
    cdef bytes squeeze(self, object payload, bint forget)
    cdef bytes squeeze_octets(self, const uint8_t* octets, Py_ssize_t size)
    cdef bytes squeeze_much(self, const uint8_t* octets, Py_ssize_t size)


cdef class Inflater:
    cdef duologue_zstream stream
    cdef object other
    cdef bint begun
    cdef bint eof  # a final block was read
    cdef bytes unused  # what follows it

    cdef bytes inflate(self, object data, Py_ssize_t limit)
    cdef bytes inflate_octets(self, const uint8_t* octets, Py_ssize_t size, Py_ssize_t limit)
    cdef bytes inflate_much(self, Py_ssize_t used, Py_ssize_t left, Py_ssize_t limit)
    cdef int outcome(self, int result, Py_ssize_t left) except -1


cdef bint is_wanted() noexcept
cdef bint is_direct() except -1
cdef object codec_error()
cdef Deflater new_deflater(int window_bits, dict settings, bytes history)
cdef Inflater new_inflater(bytes history)
