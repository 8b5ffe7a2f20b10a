/* The messages to send: a ring of ready-made, masked frames, and their payloads to verify replies.
 *
 * Frames lie one behind the other in memory, twice over, so that any run of up to `count` messages
 * is one contiguous piece: sending costs the generator one system call and no masking. Every
 * payload of a pool is different, so a reply out of order or of another message is noticed.
 */
#ifndef POOL_H
#define POOL_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    unsigned count; /* a power of two */
    int deflate;    /* frames are compressed */
    uint8_t opcode;
    size_t *payload_size; /* [count] */
    uint8_t **payload;    /* [count], before compression and masking */
    uint8_t *frames;
    size_t *start;      /* [2 * count + 1], where frames begin in `frames` */
    size_t wire_octets; /* of `count` frames */
} Pool;

/* Makes a pool of messages of `size` octets; with json, of JSON documents of about that size. */
void pool_make(Pool *pool, size_t size, int text, int json, int deflate);

/* Writes the head of a masked client frame; returns its length (at most 14). */
size_t client_frame_head(uint8_t *head, uint8_t first, size_t length, uint32_t key);

void mask_octets(uint8_t *data, size_t length, uint32_t key);

#endif
