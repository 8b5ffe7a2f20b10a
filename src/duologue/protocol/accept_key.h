/* Sec-WebSocket-Accept (RFC 6455 section 4.2.2): SHA-1 (RFC 3174) of a key and a constant, base64.

   Of its own, and not OpenSSL's: what is hashed is always 60 octets, two blocks, and the address of
   nothing secret; a library's context costs more to set up than these blocks to hash, and would
   make this module link to it. It proves nothing about the peer but that it speaks WebSocket. */
#ifndef DUOLOGUE_ACCEPT_KEY_H
#define DUOLOGUE_ACCEPT_KEY_H

#include <stdint.h>
#include <string.h>

#define DUOLOGUE_KEY_LENGTH 24
#define DUOLOGUE_ACCEPT_LENGTH 28

static inline uint32_t duologue_rotated(uint32_t word, int bits)
{
    return word << bits | word >> (32 - bits);
}

static void duologue_sha1_block(uint32_t state[5], const uint8_t *block)
{
    uint32_t w[16], a = state[0], b = state[1], c = state[2], d = state[3], e = state[4], next;
    int i;

    for (i = 0; i < 16; i++)
        w[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16
             | (uint32_t)block[4 * i + 2] << 8 | block[4 * i + 3];
    /* Unrolled, the moves between a and e are none, and it takes half the time. */
#ifdef __GNUC__
#pragma GCC unroll 80
#endif
    for (i = 0; i < 80; i++) {
        if (i >= 16)
            w[i & 15] = duologue_rotated(
                w[(i + 13) & 15] ^ w[(i + 8) & 15] ^ w[(i + 2) & 15] ^ w[i & 15], 1);
        next = duologue_rotated(a, 5) + e + w[i & 15];
        if (i < 20)
            next += (d ^ (b & (c ^ d))) + 0x5A827999u;
        else if (i < 40)
            next += (b ^ c ^ d) + 0x6ED9EBA1u;
        else if (i < 60)
            next += ((b & c) | (d & (b | c))) + 0x8F1BBCDCu;
        else
            next += (b ^ c ^ d) + 0xCA62C1D6u;
        e = d;
        d = c;
        c = duologue_rotated(b, 30);
        b = a;
        a = next;
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
}

/* Writes DUOLOGUE_ACCEPT_LENGTH octets that answer the DUOLOGUE_KEY_LENGTH octets of a key. */
static void duologue_accept_key(const uint8_t *key, uint8_t *out)
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint32_t state[5] = {0x67452301u, 0xEFCDAB89u, 0x98BADCFEu, 0x10325476u, 0xC3D2E1F0u};
    uint8_t blocks[128] = {0}, hash[21] = {0};
    int i;

    memcpy(blocks, key, DUOLOGUE_KEY_LENGTH);
    memcpy(blocks + DUOLOGUE_KEY_LENGTH, guid, 36);
    /* Padding: one bit, zeros, and the length of 480 bits. */
    blocks[60] = 0x80;
    blocks[126] = 480 >> 8;
    blocks[127] = 480 & 255;
    duologue_sha1_block(state, blocks);
    duologue_sha1_block(state, blocks + 64);
    for (i = 0; i < 20; i++)
        hash[i] = (uint8_t)(state[i / 4] >> (24 - 8 * (i % 4)));
    for (i = 0; i < 7; i++) {
        uint32_t three = (uint32_t)hash[3 * i] << 16 | (uint32_t)hash[3 * i + 1] << 8
                       | hash[3 * i + 2];
        out[4 * i] = (uint8_t)digits[three >> 18];
        out[4 * i + 1] = (uint8_t)digits[three >> 12 & 63];
        out[4 * i + 2] = (uint8_t)digits[three >> 6 & 63];
        out[4 * i + 3] = (uint8_t)digits[three & 63];
    }
    out[27] = '=';
}

#endif
