#include "channel.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

/* Octets of records that are sent with one call. */
enum { TOGETHER = 65536 };

/* The key of RFC 6455 section 1.3: a fixed key saves computing its answer. */
#define KEY "dGhlIHNhbXBsZSBub25jZQ=="
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

void die(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("generator: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

static int dial_unix(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        die("path of the Unix socket is too long: %s", path);
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
        die("cannot connect to %s: %s", path, strerror(errno));
    return fd;
}

static int dial_tcp(int port, unsigned serial) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        die("no socket: %s", strerror(errno));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    /* Without this, closed connections that linger use up the ports of one source address. */
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + serial % 200);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0)
        die("cannot bind to 127.0.0.%u: %s", 2 + serial % 200, strerror(errno));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons((uint16_t)port);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
        die("cannot connect to 127.0.0.1:%d: %s", port, strerror(errno));
    return fd;
}

int dial(const Target *target, unsigned serial) {
    int fd = target->unix_path ? dial_unix(target->unix_path) : dial_tcp(target->port, serial);
    struct timeval patience = {.tv_sec = 20};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return fd;
}

size_t request_head(const Target *target, char head[HEAD_MAX]) {
    int length = snprintf(head, HEAD_MAX,
                          "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
                          "Connection: Upgrade\r\nSec-WebSocket-Key: " KEY
                          "\r\nSec-WebSocket-Version: 13\r\n%s\r\n",
                          target->path,
                          target->deflate ? "Sec-WebSocket-Extensions: permessage-deflate\r\n"
                                          : "");
    if (length >= HEAD_MAX)
        die("request target is too long");
    return (size_t)length;
}


size_t response_head(const Target *target, const char *data, size_t length) {
    const char *end = memmem(data, length, "\r\n\r\n", 4);
    if (end == NULL) {
        if (length >= HEAD_MAX)
            die("the response head is longer than %d octets", HEAD_MAX);
        return 0;
    }
    size_t head_length = (size_t)(end - data) + 4;
    char head[HEAD_MAX + 1];
    memcpy(head, data, head_length);
    head[head_length] = 0;
    if (strncmp(head, "HTTP/1.1 101 ", 13) != 0)
        die("the upgrade was refused:\n%s", head);
    if (strcasestr(head, "Sec-WebSocket-Accept: " ACCEPT "\r\n") == NULL)
        die("wrong or no Sec-WebSocket-Accept:\n%s", head);
    if (target->deflate != (strcasestr(head, "permessage-deflate") != NULL))
        die("permessage-deflate %s:\n%s",
            target->deflate ? "was not agreed to" : "was not asked for", head);
    return head_length;
}

static void write_all(Channel *channel, const char *data, size_t length) {
    while (length > 0) {
        ssize_t done = channel->ssl ? SSL_write(channel->ssl, data, (int)length)
                                    : send(channel->fd, data, length, MSG_NOSIGNAL);
        if (done <= 0)
            die("the connection broke during the opening handshake");
        data += done;
        length -= (size_t)done;
    }
}

static void start_tls(Channel *channel, const Target *target) {
    channel->ssl = SSL_new(target->tls);
    if (channel->ssl == NULL || SSL_set_fd(channel->ssl, channel->fd) != 1 ||
        SSL_connect(channel->ssl) != 1)
        die("the TLS handshake failed");
    SSL_set_mode(channel->ssl,
                 SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
}

/* Left alone OpenSSL calls the system once for each record that it writes, and twice for each that
 * it reads. A generator must cost less than a server. */
static void spare_calls(Channel *channel) {
    if ((channel->out = BIO_new(BIO_s_mem())) == NULL)
        die("out of memory");
    SSL_set0_wbio(channel->ssl, channel->out);
    SSL_set_read_ahead(channel->ssl, 1);
    SSL_set_default_read_buffer_len(channel->ssl, 2 * SSL3_RT_MAX_PACKET_SIZE);
}

size_t channel_open(Channel *channel, const Target *target, unsigned serial, char rest[HEAD_MAX]) {
    char data[HEAD_MAX];
    size_t length = request_head(target, data), head = 0;
    channel->fd = dial(target, serial);
    channel->ssl = NULL;
    channel->out = NULL;
    if (target->tls)
        start_tls(channel, target);
    write_all(channel, data, length);
    for (length = 0; head == 0; head = response_head(target, data, length)) {
        ssize_t got = channel->ssl
                          ? SSL_read(channel->ssl, data + length, (int)(HEAD_MAX - length))
                          : recv(channel->fd, data + length, HEAD_MAX - length, 0);
        if (got <= 0)
            die("no answer to the upgrade of connection %u", serial);
        length += (size_t)got;
    }
    memcpy(rest, data + head, length - head);
    if (channel->ssl)
        spare_calls(channel);
    if (fcntl(channel->fd, F_SETFL, O_NONBLOCK) < 0)
        die("fcntl: %s", strerror(errno));
    return length - head;
}

/* What an unsuccessful SSL_read or SSL_write means. */
static ssize_t tls_verdict(Channel *channel, int result) {
    switch (SSL_get_error(channel->ssl, result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return -1;
    default:
        return 0;
    }
}

static ssize_t socket_verdict(ssize_t result) {
    if (result >= 0)
        return result;
    return errno == EAGAIN || errno == EINTR ? -1 : 0;
}

ssize_t channel_read(Channel *channel, void *data, size_t length) {
    if (channel->ssl == NULL)
        return socket_verdict(recv(channel->fd, data, length, 0));
    int result = SSL_read(channel->ssl, data, (int)length);
    return result > 0 ? result : tls_verdict(channel, result);
}

ssize_t channel_write(Channel *channel, const void *data, size_t length) {
    if (channel->ssl == NULL)
        return socket_verdict(send(channel->fd, data, length, MSG_NOSIGNAL));
    if (channel->out == NULL) {
        int result = SSL_write(channel->ssl, data, (int)length);
        return result > 0 ? result : tls_verdict(channel, result);
    }
    if (!channel_flush(channel))
        return -1;
    size_t took = 0;
    while (took < length && BIO_pending(channel->out) < TOGETHER) {
        int result = SSL_write(channel->ssl, (const char *)data + took, (int)(length - took));
        if (result <= 0)
            return took ? (ssize_t)took : tls_verdict(channel, result);
        took += (size_t)result;
    }
    channel_flush(channel);
    return (ssize_t)took;
}

int channel_flush(Channel *channel) {
    char *records, sent[TOGETHER];
    long size;
    while (channel->out && (size = BIO_get_mem_data(channel->out, &records)) > 0) {
        if (size > TOGETHER)
            size = TOGETHER;
        ssize_t done = socket_verdict(send(channel->fd, records, (size_t)size, MSG_NOSIGNAL));
        if (done == 0)
            die("a connection broke while sending");
        if (done < 0)
            return 0;
        if (done == (ssize_t)BIO_pending(channel->out))
            (void)BIO_reset(channel->out);
        else
            BIO_read(channel->out, sent, (int)done);
    }
    return 1;
}

int channel_pending(const Channel *channel) {
    return channel->ssl != NULL && SSL_has_pending(channel->ssl);
}

void channel_close(Channel *channel) {
    if (channel->ssl)
        SSL_free(channel->ssl);
    close(channel->fd);
}
