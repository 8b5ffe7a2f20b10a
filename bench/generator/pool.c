#include "pool.h"

#include "channel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

/* As many different messages as stay in the cache with the sockets' buffers, but never fewer
 * than four nor more than there are letters to begin with. */
enum { POOL_OCTETS = 131072, COUNT_MIN = 4, COUNT_MAX = 64 };

static const char LETTERS[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";

static uint32_t next_random(void) {
    /* xorshift: masks need not be secret here, and runs shall be repeatable. */
    static uint32_t state = 0x9e3779b9u;
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state;
}

size_t client_frame_head(uint8_t *head, uint8_t first, size_t length, uint32_t key) {
    size_t at = 2;
    head[0] = first;
    if (length < 126) {
        head[1] = 0x80 | (uint8_t)length;
    } else {
        int octets = length < 65536 ? 2 : 8;
        head[1] = octets == 2 ? 0x80 | 126 : 0x80 | 127;
        for (int i = octets - 1; i >= 0; i--)
            head[at++] = (uint8_t)((uint64_t)length >> (8 * i));
    }
    memcpy(head + at, &key, 4);
    return at + 4;
}

void mask_octets(uint8_t *data, size_t length, uint32_t key) {
    uint8_t mask[4];
    memcpy(mask, &key, 4);
    for (size_t i = 0; i < length; i++)
        data[i] ^= mask[i & 3];
}

static void *reserve(size_t octets) {
    void *memory = malloc(octets);
    if (memory == NULL)
        die("out of memory");
    return memory;
}

static void fill_plain(uint8_t *payload, size_t size, unsigned number) {
    for (size_t i = 0; i < size; i++)
        payload[i] = (uint8_t)LETTERS[(number + i) & 63];
}

/* A list of orders, as an exchange's feed might carry it: half structure, half numbers. */
static size_t fill_json(char *payload, size_t size, unsigned number) {
    static const char *const names[] = {"BTC-USD", "ETH-EUR", "SOL-USDT", "XRP-GBP"};
    size_t at = (size_t)sprintf(payload, "{\"type\":\"update\",\"sequence\":%u,\"orders\":[", number);
    do {
        at += (size_t)sprintf(payload + at,
                              "{\"id\":%u,\"product\":\"%s\",\"side\":\"%s\",\"price\":%u.%02u,"
                              "\"size\":0.%06u,\"maker\":%s},",
                              next_random(), names[next_random() % 4],
                              next_random() % 2 ? "buy" : "sell", next_random() % 90000,
                              next_random() % 100, next_random() % 1000000,
                              next_random() % 2 ? "true" : "false");
    } while (at + 1 < size);
    at--; /* the last comma */
    at += (size_t)sprintf(payload + at, "]}");
    return at;
}

/* RFC 7692 section 7.2.1, without context takeover. Returns the compressed length. */
static size_t compress_message(const uint8_t *payload, size_t size, uint8_t *out, size_t room) {
    z_stream stream = {0};
    if (deflateInit2(&stream, 6, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        die("deflateInit2 failed");
    stream.next_in = (uint8_t *)payload;
    stream.avail_in = (unsigned)size;
    stream.next_out = out;
    stream.avail_out = (unsigned)room;
    if (deflate(&stream, Z_SYNC_FLUSH) != Z_OK || stream.avail_in || stream.total_out < 4)
        die("deflate failed");
    size_t length = stream.total_out - 4;
    deflateEnd(&stream);
    return length;
}

void pool_make(Pool *pool, size_t size, int text, int json, int compressed) {
    size_t largest = size + 256, room = largest + largest / 1000 + 64;
    unsigned count = COUNT_MAX;
    while (count > COUNT_MIN && count * size > POOL_OCTETS)
        count /= 2;
    pool->count = count;
    pool->deflate = compressed;
    pool->opcode = text || json ? 1 : 2;
    pool->payload_size = reserve(count * sizeof *pool->payload_size);
    pool->payload = reserve(count * sizeof *pool->payload);
    pool->start = reserve((2 * count + 1) * sizeof *pool->start);
    uint8_t *frames = reserve(2 * count * room), *scratch = reserve(room);
    size_t at = 0;
    for (unsigned i = 0; i < count; i++) {
        uint8_t *payload = pool->payload[i] = reserve(largest);
        size_t length = size;
        if (json)
            length = fill_json((char *)payload, size, i);
        else
            fill_plain(payload, size, i);
        pool->payload_size[i] = length;
        memcpy(scratch, payload, length);
        if (compressed)
            length = compress_message(payload, length, scratch, room);
        uint32_t key = next_random();
        pool->start[i] = at;
        at += client_frame_head(frames + at, (uint8_t)(0x80 | pool->opcode | (compressed ? 0x40 : 0)),
                                length, key);
        memcpy(frames + at, scratch, length);
        mask_octets(frames + at, length, key);
        at += length;
    }
    memcpy(frames + at, frames, at);
    for (unsigned i = 0; i <= count; i++)
        pool->start[count + i] = at + (i < count ? pool->start[i] : at);
    pool->frames = frames;
    pool->wire_octets = at;
    free(scratch);
}
