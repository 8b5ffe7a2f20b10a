/* What one system's sockets have and another's don't, behind one name each. */
#ifndef DUOLOGUE_SOCKETS_H
#define DUOLOGUE_SOCKETS_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <unistd.h>
#include <sys/types.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

/* macOS has no accept4; all others that have the flag for it do. */
#ifndef DUOLOGUE_ACCEPT4
#if defined(SOCK_NONBLOCK) && !defined(__APPLE__)
#define DUOLOGUE_ACCEPT4 1
#else
#define DUOLOGUE_ACCEPT4 0
#endif
#endif

/* A write after the peer is gone is an error, never a signal: asked for by each call, or once. */
#ifdef MSG_NOSIGNAL
#define DUOLOGUE_SEND_FLAGS (MSG_DONTWAIT | MSG_NOSIGNAL)
#else
#define DUOLOGUE_SEND_FLAGS MSG_DONTWAIT
#endif

static inline void duologue_no_signal(int fd)
{
#if !defined(MSG_NOSIGNAL) && defined(SO_NOSIGPIPE)
    int one = 1;

    setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &one, sizeof(one));
#else
    (void)fd;
#endif
}

static inline void duologue_no_delay(int fd)
{
    int one = 1;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

static inline int duologue_is_without_delay(int fd)
{
    int without = 0;
    socklen_t length = sizeof(without);

    return getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &without, &length) == 0 && without != 0;
}

/* Returns a connection that neither blocks nor is passed on to other programs; -1 sets errno. */
static inline int duologue_accept(int listener)
{
#if DUOLOGUE_ACCEPT4
    return accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
#else
    int fd = accept(listener, NULL, NULL);
    int flags, saved;

    if (fd < 0)
        return fd;
    flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0
        || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
        saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    return fd;
#endif
}

/* Writes a socket's own address or its peer's; returns its length, 0 if there is none. */
static inline size_t duologue_address(int fd, int of_peer, struct sockaddr_storage *address)
{
    socklen_t length = sizeof(*address);
    int failed = of_peer ? getpeername(fd, (struct sockaddr *)address, &length)
                         : getsockname(fd, (struct sockaddr *)address, &length);

    return failed || length > sizeof(*address) ? 0 : length;
}

#endif
