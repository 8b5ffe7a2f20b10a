/* One open connection: sends messages of the pool in order, and reads and verifies what comes.
 *
 * It counts messages; it knows neither when to send nor how long things take.
 */
#ifndef PEER_H
#define PEER_H

#include "channel.h"
#include "pool.h"

#include <stdint.h>
#include <zlib.h>

typedef struct Peer {
    Channel channel;
    unsigned index;
    int wants_writable; /* epoll shall report EPOLLOUT */

    /* Sending. Message number k is pool message (first_out + k) % count. */
    unsigned first_out;
    uint64_t wanted;     /* messages to send in all */
    uint64_t sent;       /* messages wholly handed to the system */
    size_t sent_of_next; /* octets of the message after them */
    uint8_t pong[131];
    size_t pong_length, pong_sent;

    /* Receiving. Reply number k must be pool message (first_in + k) % count. */
    unsigned first_in;
    uint64_t received; /* whole messages */
    uint64_t octets_in;
    uint8_t head[14];
    size_t head_length;
    uint64_t frame_left; /* octets of the frame's payload still to come */
    int in_payload, in_message, message_compressed, closed;
    size_t verified; /* octets of the message compared so far, or inflated */
    uint8_t control[125];
    size_t control_length;
    z_stream *inflater;
    uint64_t *sent_at; /* ring of times, kept by the caller */
} Peer;

/* Opens connection number `index`. */
void peer_open(Peer *peer, const Target *target, const Pool *pool, unsigned index);

/* Sends what is wanted, as far as the socket takes it. */
void peer_flush(Peer *peer, const Pool *pool);

/* Reads once; updates received. Returns 0 when there was nothing. */
int peer_read(Peer *peer, const Pool *pool);

/* Sends a close frame and waits (for 20 s at most) for the other side to finish. */
void peer_close(Peer *peer, const Pool *pool);

#endif
