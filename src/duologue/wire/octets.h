/*
 * Loops over octets: masking (RFC 6455 section 5.3), UTF-8 (RFC 3629, as section 8.1 of RFC 6455
 * demands it) and frame heads (section 5.2). Plain portable C that knows nothing of Python.
 */
#ifndef DUOLOGUE_OCTETS_H
#define DUOLOGUE_OCTETS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define DUOLOGUE_HIGH_BITS UINT64_C(0x8080808080808080)

/*
 * x86 processors of the last ten years XOR 32 octets at a time; whether this one does is asked as
 * the program runs, since wheels are built for all of them.
 */
#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define DUOLOGUE_AVX2 1
#define DUOLOGUE_AVX2_LEAST 512

/* Does what duologue_mask() does for the whole blocks of 128 octets in n; returns how many octets
 * those are. */
__attribute__((target("avx2"), noinline, unused)) static size_t
duologue_mask_avx2(uint8_t *dst, const uint8_t *src, size_t n, uint64_t wide, uint64_t *seen)
{
    const __m256i key = _mm256_set1_epi64x((long long)wide);
    __m256i seen0 = _mm256_setzero_si256(), seen1 = seen0;
    size_t i = 0;

    for (; i + 128 <= n; i += 128) {
        __m256i a = _mm256_loadu_si256((const __m256i *)(src + i));
        __m256i b = _mm256_loadu_si256((const __m256i *)(src + i + 32));
        __m256i c = _mm256_loadu_si256((const __m256i *)(src + i + 64));
        __m256i d = _mm256_loadu_si256((const __m256i *)(src + i + 96));
        a = _mm256_xor_si256(a, key);
        b = _mm256_xor_si256(b, key);
        c = _mm256_xor_si256(c, key);
        d = _mm256_xor_si256(d, key);
        seen0 = _mm256_or_si256(seen0, _mm256_or_si256(a, b));
        seen1 = _mm256_or_si256(seen1, _mm256_or_si256(c, d));
        _mm256_storeu_si256((__m256i *)(dst + i), a);
        _mm256_storeu_si256((__m256i *)(dst + i + 32), b);
        _mm256_storeu_si256((__m256i *)(dst + i + 64), c);
        _mm256_storeu_si256((__m256i *)(dst + i + 96), d);
    }
    if (_mm256_movemask_epi8(_mm256_or_si256(seen0, seen1)) != 0)
        *seen = DUOLOGUE_HIGH_BITS;
    return i;
}
#else
#define DUOLOGUE_AVX2 0
#endif

/*
 * Copies n octets from src to dst, each XORed with the masking key octet that its position in the
 * payload selects; `phase` is the position of the first. dst may be src. Returns nonzero when any
 * result has its high bit set, so that a text known to be ASCII needs no second pass.
 */
static inline int duologue_mask(uint8_t *dst, const uint8_t *src, size_t n, const uint8_t key[4],
                         size_t phase)
{
    uint8_t turned[8];
    uint64_t wide, word, seen0 = 0, seen1 = 0;
    uint32_t narrow;
    uint8_t seen = 0;
    size_t i = 0;

    memcpy(turned, key, 4);
    memcpy(turned + 4, key, 4);
    /* Four octets of a key that repeats, read from any of them on, are the turned key. */
    memcpy(&narrow, turned + (phase & 3), 4);
    wide = (uint64_t)narrow << 32 | narrow;
#if DUOLOGUE_AVX2
    if (n >= DUOLOGUE_AVX2_LEAST && __builtin_cpu_supports("avx2"))
        i = duologue_mask_avx2(dst, src, n, wide, &seen0);
#endif
    for (; i + 16 <= n; i += 16) {
        uint64_t a, b;
        memcpy(&a, src + i, 8);
        memcpy(&b, src + i + 8, 8);
        a ^= wide;
        b ^= wide;
        seen0 |= a;
        seen1 |= b;
        memcpy(dst + i, &a, 8);
        memcpy(dst + i + 8, &b, 8);
    }
    if (i + 8 <= n) {
        memcpy(&word, src + i, 8);
        word ^= wide;
        seen0 |= word;
        memcpy(dst + i, &word, 8);
        i += 8;
    }
    if (i < n) {
        memcpy(turned, &wide, 8);
        for (size_t k = 0; i < n; i++, k++) {
            uint8_t octet = (uint8_t)(src[i] ^ turned[k]);
            seen |= octet;
            dst[i] = octet;
        }
    }
    return ((seen0 | seen1) & DUOLOGUE_HIGH_BITS) != 0 || (seen & 0x80) != 0;
}

/* Where a UTF-8 reader stands between two octets; all zero at a character's beginning. */
typedef struct {
    uint8_t need; /* continuation octets still to come */
    uint8_t low;  /* least value the next one may have */
    uint8_t high; /* greatest value the next one may have */
} duologue_utf8;

/*
 * Reads n octets on from `state`. Returns -1 when they can go on as UTF-8, else the index of the
 * first octet that cannot: overlong forms, surrogates and values above U+10FFFF are refused at
 * their second octet, as early as can be.
 */
static inline ptrdiff_t duologue_utf8_read(duologue_utf8 *state, const uint8_t *p, size_t n)
{
    size_t i = 0;
    uint8_t need = state->need, low = state->low, high = state->high;

    while (i < n) {
        uint8_t octet = p[i];
        if (need) {
            if (octet < low || octet > high)
                return (ptrdiff_t)i;
            need--;
            low = 0x80;
            high = 0xBF;
            i++;
        } else if (octet < 0x80) {
            i++;
            while (i + 8 <= n) {
                uint64_t word;
                memcpy(&word, p + i, 8);
                if (word & DUOLOGUE_HIGH_BITS)
                    break;
                i += 8;
            }
        } else {
            low = 0x80;
            high = 0xBF;
            if (octet < 0xC2)
                return (ptrdiff_t)i;
            else if (octet < 0xE0)
                need = 1;
            else if (octet < 0xF0) {
                need = 2;
                if (octet == 0xE0)
                    low = 0xA0;
                else if (octet == 0xED)
                    high = 0x9F;
            } else if (octet < 0xF5) {
                need = 3;
                if (octet == 0xF0)
                    low = 0x90;
                else if (octet == 0xF4)
                    high = 0x8F;
            } else
                return (ptrdiff_t)i;
            i++;
        }
    }
    state->need = need;
    state->low = low;
    state->high = high;
    return -1;
}

/*
 * Writes a frame head's first octet and payload length (minimal encoding) and returns how many
 * octets it took: 2, 4 or 10. The masking key, if any, is the caller's to append.
 */
static inline size_t duologue_head(uint8_t *out, uint8_t first, uint64_t length, int masked)
{
    uint8_t mask_bit = masked ? 0x80 : 0;

    out[0] = first;
    if (length < 126) {
        out[1] = (uint8_t)(mask_bit | length);
        return 2;
    }
    if (length < 65536) {
        out[1] = mask_bit | 126;
        out[2] = (uint8_t)(length >> 8);
        out[3] = (uint8_t)length;
        return 4;
    }
    out[1] = mask_bit | 127;
    for (int i = 0; i < 8; i++)
        out[2 + i] = (uint8_t)(length >> (56 - 8 * i));
    return 10;
}

#endif
