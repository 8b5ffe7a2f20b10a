/* Blocking recv and send by a file descriptor; where sockets have none, Python's own do it. */
#ifndef DUOLOGUE_WAITING_H
#define DUOLOGUE_WAITING_H

#include <errno.h>
#include <stddef.h>

#ifdef _WIN32
#define DUOLOGUE_WAITS 0

static inline ptrdiff_t duologue_recv(int fd, void *octets, size_t size)
{
    (void)fd, (void)octets, (void)size;
    return -ENOSYS;
}

static inline ptrdiff_t duologue_send(int fd, const void *octets, size_t size)
{
    (void)fd, (void)octets, (void)size;
    return -ENOSYS;
}
#else
#include <sys/types.h>
#include <sys/socket.h>

#define DUOLOGUE_WAITS 1

/* Both return how many octets, or the error's number negated: errno is as good as lost when the
 * interpreter's lock has been taken again. */
static inline ptrdiff_t duologue_recv(int fd, void *octets, size_t size)
{
    ssize_t done = recv(fd, octets, size, 0);

    return done < 0 ? -errno : done;
}

static inline ptrdiff_t duologue_send(int fd, const void *octets, size_t size)
{
#ifdef MSG_NOSIGNAL
    ssize_t done = send(fd, octets, size, MSG_NOSIGNAL);
#else
    ssize_t done = send(fd, octets, size, 0);
#endif

    return done < 0 ? -errno : done;
}
#endif

#endif
