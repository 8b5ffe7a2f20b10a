/* What the kernel allows: an echo that does as little as one can around epoll, recv and send.
 *
 * It reads frames of well-behaved clients, unmasks them in place and sends them back; it has no
 * limits, no time-outs, no fragments' reassembly and no UTF-8 check, and must never be used for
 * anything but to measure against.
 *
 * usage: raw_epoll --port N | --unix PATH [--spin]     --spin: never sleep, to measure clients
 * paths: /broadcast sends every message to every connection of that path; /feed sends the first
 * message of a connection back for ever; anything else echoes.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { BATCH = 256, SHARED_SIZE = 262144, HEAD_MAX = 8192, FEED_OCTETS = 65536 };

typedef enum { OPENING, ECHO, BROADCAST, FEED_WAITS, FEED } Stage;

typedef struct {
    uint8_t *data;
    size_t length, room;
} Octets;

typedef struct Connection {
    int fd, closing, writable_wanted;
    Stage stage;
    Octets held;   /* received: an incomplete frame or head */
    Octets unsent; /* what the socket did not take; a feed's frames */
    size_t sent;   /* of unsent */
    struct Connection *previous, *next;
} Connection;

static int epoll_fd;
static Connection *broadcast_list;
static uint8_t shared[SHARED_SIZE];

static _Noreturn void die(const char *what) {
    perror(what);
    exit(1);
}

static void reserve(Octets *octets, size_t room) {
    if (octets->room >= room)
        return;
    octets->data = realloc(octets->data, room);
    if (octets->data == NULL)
        die("realloc");
    octets->room = room;
}

static void append(Octets *octets, const uint8_t *data, size_t length) {
    reserve(octets, octets->length + length);
    memcpy(octets->data + octets->length, data, length);
    octets->length += length;
}

static void release(Octets *octets) {
    free(octets->data);
    *octets = (Octets){0};
}

static void watch(Connection *connection, int operation, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = connection};
    if (epoll_ctl(epoll_fd, operation, connection->fd, &event) < 0)
        die("epoll_ctl");
}

static void end(Connection *connection) {
    if (connection->stage == BROADCAST) {
        if (connection->next)
            connection->next->previous = connection->previous;
        if (connection->previous)
            connection->previous->next = connection->next;
        else
            broadcast_list = connection->next;
    }
    close(connection->fd);
    release(&connection->held);
    release(&connection->unsent);
    free(connection);
}

/* -- sending */

static void want_writable(Connection *connection, int wanted) {
    if (connection->writable_wanted == wanted)
        return;
    connection->writable_wanted = wanted;
    /* While the peer does not take what it is owed, nothing more is read from it; a feed reads
     * on, to see it leave. */
    watch(connection, EPOLL_CTL_MOD,
          !wanted ? EPOLLIN : connection->stage == FEED ? EPOLLIN | EPOLLOUT : EPOLLOUT);
}

static void transmit(Connection *connection, const uint8_t *data, size_t length) {
    if (connection->unsent.length == 0) {
        ssize_t done = send(connection->fd, data, length, MSG_NOSIGNAL);
        if (done == (ssize_t)length)
            return;
        if (done > 0) {
            data += done;
            length -= (size_t)done;
        }
        connection->sent = 0;
    }
    append(&connection->unsent, data, length);
    want_writable(connection, 1);
}

/* Returns 0 when the connection is gone. */
static int writable(Connection *connection) {
    Octets *unsent = &connection->unsent;
    ssize_t done = send(connection->fd, unsent->data + connection->sent,
                        unsent->length - connection->sent, MSG_NOSIGNAL);
    if (done < 0)
        return errno == EAGAIN;
    connection->sent += (size_t)done;
    if (connection->sent < unsent->length)
        return 1;
    connection->sent = 0;
    if (connection->stage == FEED)
        return 1;
    release(unsent);
    want_writable(connection, 0);
    return !connection->closing;
}

/* -- frames */

/* Unmasks from src to dst, which is the same or at least 4 octets before it. */
static void unmask(uint8_t *dst, const uint8_t *src, size_t length, uint32_t key) {
    uint64_t wide = (uint64_t)key << 32 | key, words[4];
    size_t i = 0;
    for (; i + sizeof words <= length; i += sizeof words) {
        memcpy(words, src + i, sizeof words);
        for (int j = 0; j < 4; j++)
            words[j] ^= wide;
        memcpy(dst + i, words, sizeof words);
    }
    for (; i < length; i++)
        dst[i] = src[i] ^ (uint8_t)(key >> (8 * (i & 3)));
}

/* Octets of the whole frame, or the least that must be there to tell. */
static size_t frame_size(const uint8_t *data, size_t have, size_t *head) {
    *head = 6;
    if (have < 2)
        return 6;
    size_t length = data[1] & 0x7f;
    if (length == 126) {
        *head = 8;
        length = have < 4 ? 0 : (size_t)data[2] << 8 | data[3];
    } else if (length == 127) {
        *head = 14;
        length = 0;
        for (int i = 2; have >= 10 && i < 10; i++)
            length = length << 8 | data[i];
    }
    return *head + length;
}

/* Turns the client's frames at the start of data into the server's, in place: the head is 4 octets
 * shorter, so the reply never overtakes what is still to be read. Returns octets consumed. */
static size_t answer(Connection *connection, uint8_t *data, size_t length, size_t *answered) {
    size_t at = 0, out = 0, head;
    for (;;) {
        size_t size = frame_size(data + at, length - at, &head);
        if (length - at < size || connection->closing)
            break;
        uint8_t *frame = data + at;
        uint32_t key;
        unsigned opcode = frame[0] & 0x0f;
        memcpy(&key, frame + head - 4, 4);
        at += size;
        if (opcode == 10)
            continue;
        if (opcode == 8)
            connection->closing = 1;
        frame[0] = opcode == 9 ? 0x8a : frame[0];
        frame[1] &= 0x7f;
        memmove(data + out, frame, head - 4);
        unmask(data + out + head - 4, frame + head, size - head, key);
        out += size - 4;
    }
    *answered = out;
    return at;
}

static void deliver(Connection *connection, const uint8_t *data, size_t length) {
    if (connection->stage == BROADCAST && !connection->closing) {
        for (Connection *each = broadcast_list; each != NULL; each = each->next)
            transmit(each, data, length);
    } else if (connection->stage == FEED_WAITS) {
        connection->stage = FEED;
        do
            append(&connection->unsent, data, length);
        while (connection->unsent.length + length <= FEED_OCTETS);
        want_writable(connection, 1);
    } else if (connection->stage != FEED) {
        transmit(connection, data, length);
    }
}

/* -- opening handshake */

static int upgrade(Connection *connection) {
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    char reply[256], accept[32], key[24 + sizeof guid], *found;
    unsigned char digest[SHA_DIGEST_LENGTH];
    connection->held.data[connection->held.length] = 0;
    char *head = (char *)connection->held.data;
    if (strstr(head, "\r\n\r\n") == NULL)
        return connection->held.length < HEAD_MAX;
    found = strcasestr(head, "\r\nSec-WebSocket-Key: ");
    if (found == NULL || strlen(found) < 21 + 24)
        return 0;
    memcpy(key, found + 21, 24);
    memcpy(key + 24, guid, sizeof guid);
    SHA1((unsigned char *)key, strlen(key), digest);
    EVP_EncodeBlock((unsigned char *)accept, digest, sizeof digest);
    int length = snprintf(reply, sizeof reply,
                          "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                          "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
                          accept);
    connection->stage = ECHO;
    if (strncmp(head, "GET /feed ", 10) == 0)
        connection->stage = FEED_WAITS;
    if (strncmp(head, "GET /broadcast ", 15) == 0) {
        connection->stage = BROADCAST;
        connection->next = broadcast_list;
        if (broadcast_list)
            broadcast_list->previous = connection;
        broadcast_list = connection;
    }
    /* A client waits for the answer before it sends frames: nothing is behind the head. */
    release(&connection->held);
    transmit(connection, (uint8_t *)reply, (size_t)length);
    return 1;
}

/* -- receiving */

static int receive_head(Connection *connection) {
    Octets *held = &connection->held;
    reserve(held, HEAD_MAX + 1);
    ssize_t got = recv(connection->fd, held->data + held->length, HEAD_MAX - held->length, 0);
    if (got <= 0)
        return got < 0 && errno == EAGAIN;
    held->length += (size_t)got;
    return upgrade(connection);
}

static int receive_frames(Connection *connection) {
    Octets *held = &connection->held;
    size_t head, answered, length = 0, room = SHARED_SIZE;
    uint8_t *data = shared;
    if (held->length > 0) {
        size_t size = frame_size(held->data, held->length, &head);
        reserve(held, size > 14 ? size : 14);
        data = held->data;
        length = held->length;
        room = held->room;
    }
    ssize_t got = recv(connection->fd, data + length, room - length, 0);
    if (got <= 0)
        return got < 0 && errno == EAGAIN;
    length += (size_t)got;
    size_t used = answer(connection, data, length, &answered);
    if (answered > 0)
        deliver(connection, data, answered);
    if (data == shared && used < length) {
        append(held, data + used, length - used);
    } else if (data != shared) {
        memmove(data, data + used, length - used);
        held->length = length - used;
    }
    return !connection->closing || connection->unsent.length > 0;
}

static int readable(Connection *connection) {
    return connection->stage == OPENING ? receive_head(connection) : receive_frames(connection);
}

/* -- listening */

static int listen_on(const char *kind, const char *where) {
    struct sockaddr_in tcp = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    int one = 1, is_unix = strcmp(kind, "--unix") == 0;
    int fd = socket(is_unix ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    tcp.sin_port = htons((uint16_t)atoi(where));
    snprintf(local.sun_path, sizeof local.sun_path, "%s", where);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr *address = is_unix ? (struct sockaddr *)&local : (struct sockaddr *)&tcp;
    if (bind(fd, address, is_unix ? sizeof local : sizeof tcp) < 0 || listen(fd, 4096) < 0)
        die(where);
    return fd;
}

static void accept_all(int listener) {
    int fd, one = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        Connection *connection = calloc(1, sizeof *connection);
        if (connection == NULL)
            die("calloc");
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        connection->fd = fd;
        watch(connection, EPOLL_CTL_ADD, EPOLLIN);
    }
}

static volatile sig_atomic_t stopped;

static void stop(int number) {
    (void)number;
    stopped = 1;
}

int main(int argc, char **argv) {
    struct epoll_event events[BATCH], event = {.events = EPOLLIN};
    int timeout = argc == 4 && strcmp(argv[3], "--spin") == 0 ? 0 : -1;
    if (argc != (timeout ? 3 : 4) || (strcmp(argv[1], "--port") != 0 && strcmp(argv[1], "--unix") != 0)) {
        fputs("usage: raw_epoll --port N | --unix PATH [--spin]\n", stderr);
        return 2;
    }
    int listener = listen_on(argv[1], argv[2]);
    epoll_fd = epoll_create1(0);
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event);
    /* An end that lets tools which count tell what they have counted. */
    signal(SIGTERM, stop);
    while (!stopped) {
        int count = epoll_wait(epoll_fd, events, BATCH, timeout);
        for (int i = 0; i < count; i++) {
            Connection *connection = events[i].data.ptr;
            int alive = 1;
            if (connection == NULL)
                accept_all(listener);
            else if (events[i].events & EPOLLOUT)
                alive = writable(connection);
            if (connection != NULL && alive && events[i].events & ~(uint32_t)EPOLLOUT)
                alive = readable(connection);
            if (!alive)
                end(connection);
        }
    }
    return 0;
}
