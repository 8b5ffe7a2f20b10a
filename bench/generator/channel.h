/* One connection's octets: a TCP or Unix socket, with or without TLS, and the opening handshake.
 *
 * Opening blocks (it is not what is measured, but for the handshake mode, which does its own);
 * afterwards the socket never blocks. Failures end the program: a benchmark with errors is void.
 */
#ifndef CHANNEL_H
#define CHANNEL_H

#include <openssl/ssl.h>
#include <stddef.h>
#include <sys/types.h>

/* Where to connect, and what to ask for. */
typedef struct {
    const char *unix_path; /* or NULL for 127.0.0.1:port */
    int port;
    const char *path; /* request target */
    int deflate;      /* offer permessage-deflate */
    SSL_CTX *tls;     /* or NULL */
} Target;

typedef struct {
    int fd;
    SSL *ssl; /* or NULL */
    BIO *out; /* records that are to be sent together, or NULL */
} Channel;

enum { HEAD_MAX = 8192 };

_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Returns a connected, still blocking socket. serial spreads TCP connections over the source
 * addresses 127.0.0.2 to 127.0.0.201, each with ports of its own. */
int dial(const Target *target, unsigned serial);

/* Writes the request head; returns its length. */
size_t request_head(const Target *target, char head[HEAD_MAX]);

/* Returns the length of the complete response head at the start of data, 0 if there is more to
 * come; ends the program if it is not a proper 101. */
size_t response_head(const Target *target, const char *data, size_t length);

/* Connects and does the opening handshake. What came behind the head is left in rest, and its
 * length returned. */
size_t channel_open(Channel *channel, const Target *target, unsigned serial, char rest[HEAD_MAX]);

/* Like recv and send on a socket that does not block: -1 means "not now", 0 the end. */
ssize_t channel_read(Channel *channel, void *data, size_t length);
ssize_t channel_write(Channel *channel, const void *data, size_t length);

/* Sends what channel_write took and the socket did not; returns whether all is sent. */
int channel_flush(Channel *channel);

/* Whether TLS holds octets that epoll knows nothing of. */
int channel_pending(const Channel *channel);

void channel_close(Channel *channel);

#endif
