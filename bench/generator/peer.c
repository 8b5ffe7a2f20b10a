#include "peer.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

enum { READ_SIZE = 262144, INFLATE_SIZE = 65536 };

/* Shared by all connections: nothing in them outlives a call. */
static uint8_t read_buffer[READ_SIZE];
static uint8_t inflate_buffer[INFLATE_SIZE];

static unsigned slot(const Pool *pool, unsigned first, uint64_t number) {
    return (unsigned)((first + number) & (pool->count - 1));
}

/* -- receiving */

static void compare(Peer *peer, const Pool *pool, const uint8_t *data, size_t length) {
    unsigned i = slot(pool, peer->first_in, peer->received);
    if (peer->verified + length > pool->payload_size[i] ||
        memcmp(pool->payload[i] + peer->verified, data, length) != 0)
        die("connection %u: message %llu differs from what it should be", peer->index,
            (unsigned long long)peer->received);
    peer->verified += length;
}

static void inflate_and_compare(Peer *peer, const Pool *pool, const uint8_t *data, size_t length) {
    z_stream *stream = peer->inflater;
    if (stream == NULL) {
        stream = peer->inflater = calloc(1, sizeof *stream);
        if (stream == NULL || inflateInit2(stream, -15) != Z_OK)
            die("inflateInit2 failed");
    }
    stream->next_in = (uint8_t *)data;
    stream->avail_in = (unsigned)length;
    do {
        stream->next_out = inflate_buffer;
        stream->avail_out = INFLATE_SIZE;
        int result = inflate(stream, Z_SYNC_FLUSH);
        if (result != Z_OK && result != Z_BUF_ERROR)
            die("connection %u: a message cannot be inflated (%d)", peer->index, result);
        compare(peer, pool, inflate_buffer, INFLATE_SIZE - stream->avail_out);
    } while (stream->avail_in > 0 || stream->avail_out == 0);
}

static void message_octets(Peer *peer, const Pool *pool, const uint8_t *data, size_t length) {
    if (peer->message_compressed)
        inflate_and_compare(peer, pool, data, length);
    else
        compare(peer, pool, data, length);
}

static void message_ended(Peer *peer, const Pool *pool) {
    static const uint8_t tail[4] = {0, 0, 0xff, 0xff};
    if (peer->message_compressed)
        inflate_and_compare(peer, pool, tail, sizeof tail);
    if (peer->verified != pool->payload_size[slot(pool, peer->first_in, peer->received)])
        die("connection %u: message %llu is too short", peer->index,
            (unsigned long long)peer->received);
    peer->received++;
    peer->verified = 0;
    peer->in_message = 0;
}

static void frame_ended(Peer *peer, const Pool *pool) {
    unsigned opcode = peer->head[0] & 0x0f;
    if (opcode == 9) {
        peer->pong_length = client_frame_head(peer->pong, 0x8a, peer->control_length, 0);
        memcpy(peer->pong + peer->pong_length, peer->control, peer->control_length);
        peer->pong_length += peer->control_length;
        peer->pong_sent = 0;
    } else if (opcode == 8) {
        peer->closed = 1;
    } else if (opcode < 8 && peer->head[0] & 0x80) {
        message_ended(peer, pool);
    }
}

static void frame_began(Peer *peer, const Pool *pool) {
    unsigned first = peer->head[0], opcode = first & 0x0f;
    peer->control_length = 0;
    if (peer->head[1] & 0x80)
        die("connection %u: a server's frame is masked", peer->index);
    if (opcode >= 8) {
        if (peer->frame_left > 125 || opcode > 10 || !(first & 0x80))
            die("connection %u: bad control frame", peer->index);
        return;
    }
    if (opcode != (peer->in_message ? 0 : pool->opcode))
        die("connection %u: a frame of opcode %u came, not %u", peer->index, opcode,
            peer->in_message ? 0 : pool->opcode);
    if (first & 0x30 || (first & 0x40 && (peer->in_message || !pool->deflate)))
        die("connection %u: reserved bits are set", peer->index);
    if (!peer->in_message)
        peer->message_compressed = (first & 0x40) != 0;
    peer->in_message = 1;
}

/* Length of the whole head, as far as it can be told from what there is of it. */
static size_t head_size(const uint8_t *head, size_t have) {
    if (have < 2)
        return 2;
    unsigned length = head[1] & 0x7f;
    return length < 126 ? 2 : length == 126 ? 4 : 10;
}

static void read_head(Peer *peer, const Pool *pool) {
    uint64_t length = peer->head[1] & 0x7f;
    if (peer->head_length > 2) {
        length = 0;
        for (size_t i = 2; i < peer->head_length; i++)
            length = length << 8 | peer->head[i];
    }
    peer->frame_left = length;
    peer->in_payload = 1;
    frame_began(peer, pool);
}

static void parse(Peer *peer, const Pool *pool, const uint8_t *data, size_t length) {
    const uint8_t *end = data + length;
    peer->octets_in += length;
    for (;;) {
        while (!peer->in_payload) {
            if (data == end)
                return;
            peer->head[peer->head_length++] = *data++;
            if (peer->head_length == head_size(peer->head, peer->head_length))
                read_head(peer, pool);
        }
        size_t have = (size_t)(end - data);
        if (have > peer->frame_left)
            have = (size_t)peer->frame_left;
        if (have > 0 && (peer->head[0] & 0x0f) >= 8) {
            memcpy(peer->control + peer->control_length, data, have);
            peer->control_length += have;
        } else if (have > 0) {
            message_octets(peer, pool, data, have);
        }
        data += have;
        peer->frame_left -= have;
        if (peer->frame_left > 0)
            return;
        peer->in_payload = 0;
        peer->head_length = 0;
        frame_ended(peer, pool);
    }
}

int peer_read(Peer *peer, const Pool *pool) {
    ssize_t got = channel_read(&peer->channel, read_buffer, READ_SIZE);
    if (got < 0)
        return 0;
    if (got == 0)
        die("connection %u: the server hung up after %llu messages", peer->index,
            (unsigned long long)peer->received);
    parse(peer, pool, read_buffer, (size_t)got);
    if (peer->closed)
        die("connection %u: the server closed the connection with code %d", peer->index,
            peer->control_length < 2 ? 1005 : peer->control[0] << 8 | peer->control[1]);
    return 1;
}

/* -- sending */

static int flush_pong(Peer *peer) {
    while (peer->pong_sent < peer->pong_length) {
        ssize_t done = channel_write(&peer->channel, peer->pong + peer->pong_sent,
                                     peer->pong_length - peer->pong_sent);
        if (done <= 0)
            return 0;
        peer->pong_sent += (size_t)done;
    }
    return 1;
}

void peer_flush(Peer *peer, const Pool *pool) {
    if (!channel_flush(&peer->channel))
        return;
    /* A control frame may go between two frames only. */
    if (peer->pong_length > peer->pong_sent && peer->sent_of_next == 0 && !flush_pong(peer))
        return;
    while (peer->sent < peer->wanted) {
        unsigned i = slot(pool, peer->first_out, peer->sent);
        uint64_t run = peer->wanted - peer->sent;
        if (run > pool->count)
            run = pool->count;
        const uint8_t *from = pool->frames + pool->start[i] + peer->sent_of_next;
        const uint8_t *to = pool->frames + pool->start[i + run];
        ssize_t done = channel_write(&peer->channel, from, (size_t)(to - from));
        if (done == 0)
            die("connection %u broke while sending", peer->index);
        if (done < 0)
            return;
        peer->sent_of_next += (size_t)done;
        for (; run > 0 && peer->sent_of_next >= pool->start[i + 1] - pool->start[i]; i++, run--) {
            peer->sent_of_next -= pool->start[i + 1] - pool->start[i];
            peer->sent++;
        }
    }
}

/* -- beginning and end */

void peer_open(Peer *peer, const Target *target, const Pool *pool, unsigned index) {
    char rest[HEAD_MAX];
    memset(peer, 0, sizeof *peer);
    peer->index = index;
    size_t length = channel_open(&peer->channel, target, index, rest);
    parse(peer, pool, (const uint8_t *)rest, length);
}

static void wait_for(Peer *peer, short events) {
    struct pollfd descriptor = {.fd = peer->channel.fd, .events = events};
    if (!channel_pending(&peer->channel) && poll(&descriptor, 1, 20000) == 0)
        die("connection %u: the server does not finish the closing handshake", peer->index);
}

void peer_close(Peer *peer, const Pool *pool) {
    static const uint8_t frame[] = {0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8};
    ssize_t got = 1;
    while (peer->sent < peer->wanted) {
        wait_for(peer, POLLOUT);
        peer_flush(peer, pool);
    }
    if (channel_write(&peer->channel, frame, sizeof frame) != sizeof frame)
        die("connection %u: no room for a close frame", peer->index);
    while (!peer->closed && got != 0) {
        wait_for(peer, POLLIN);
        got = channel_read(&peer->channel, read_buffer, READ_SIZE);
        if (got > 0)
            parse(peer, pool, read_buffer, (size_t)got);
    }
    if (!peer->closed)
        die("connection %u: the server hung up without a close frame", peer->index);
    channel_close(&peer->channel);
}
