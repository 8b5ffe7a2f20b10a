from libc.stdint cimport uint8_t, uint64_t


cdef extern from "octets.h" nogil:
    ctypedef struct Utf8 "duologue_utf8":
        uint8_t need
        uint8_t low
        uint8_t high

    int mask_octets "duologue_mask"(
        uint8_t* dst, const uint8_t* src, size_t n, const uint8_t* key, size_t phase) noexcept
    ptrdiff_t read_utf8 "duologue_utf8_read"(
        Utf8* state, const uint8_t* p, size_t n) noexcept
    size_t write_head "duologue_head"(
        uint8_t* out, uint8_t first, uint64_t length, int masked) noexcept


cdef int draw_masking_key(uint8_t* key) except -1
