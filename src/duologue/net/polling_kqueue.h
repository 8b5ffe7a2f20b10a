/*
 * The seven functions of polling.h, over kqueue: macOS, FreeBSD, NetBSD, OpenBSD, DragonFly.
 *
 * Each direction of a descriptor is a filter of its own, added and deleted by itself, and an event
 * of its own: a descriptor that is readable and writable is reported twice. Without EV_CLEAR a
 * filter is level-triggered. EV_EOF comes with a filter that is there, so a descriptor that nothing
 * is waited for reports no end either. A closed descriptor takes its filters along. A child doesn't
 * inherit the queue.
 */
#ifndef DUOLOGUE_POLLING_KQUEUE_H
#define DUOLOGUE_POLLING_KQUEUE_H

#include <sys/types.h>
#include <sys/event.h>
#include <sys/time.h>
#include <fcntl.h>
#include <stddef.h>
#include <time.h>
#ifdef __NetBSD__
#include <sys/param.h>
#endif

#define DUOLOGUE_BACKEND "kqueue"

/* What rides along with a filter was an integer in NetBSD before 10, and is a pointer elsewhere. */
#ifndef DUOLOGUE_UDATA
#if defined(__NetBSD__) && __NetBSD_Version__ < 999001500
#define DUOLOGUE_UDATA intptr_t
#else
#define DUOLOGUE_UDATA void *
#endif
#endif

typedef struct kevent duologue_event;

static inline int duologue_poll_make(void)
{
    int set = kqueue();

    if (set >= 0)
        fcntl(set, F_SETFD, FD_CLOEXEC);
    return set;
}

/* In a child the number is free, or somebody else's. */
static inline void duologue_poll_close(int set, int forked)
{
    if (!forked)
        close(set);
}

/* Adds filters that are wanted and were not there, deletes those that were and aren't wanted. */
static inline int duologue_poll_change(int set, int fd, uint32_t generation, uint32_t before,
                                       uint32_t interest)
{
    static const struct {
        uint32_t direction;
        short filter;
    } filters[2] = {{DUOLOGUE_READABLE, EVFILT_READ}, {DUOLOGUE_WRITABLE, EVFILT_WRITE}};
    struct kevent changes[2];
    int count = 0;

    for (int i = 0; i < 2; i++) {
        if (!((before ^ interest) & filters[i].direction))
            continue;
        EV_SET(&changes[count], (uintptr_t)fd, filters[i].filter,
               interest & filters[i].direction ? EV_ADD : EV_DELETE, 0, 0,
               (DUOLOGUE_UDATA)(uintptr_t)generation);
        count++;
    }
    return count ? kevent(set, changes, count, NULL, 0, NULL) : 0;
}

static inline int duologue_poll_add(int set, int fd, uint32_t generation, uint32_t interest)
{
    return duologue_poll_change(set, fd, generation, 0, interest);
}

static inline int duologue_poll_remove(int set, int fd, uint32_t before)
{
    return duologue_poll_change(set, fd, 0, before, 0);
}

/* milliseconds: -1 waits for any time. */
static inline int duologue_poll_wait(int set, duologue_event *events, int maximum,
                                     int milliseconds)
{
    struct timespec timeout;

    timeout.tv_sec = milliseconds / 1000;
    timeout.tv_nsec = (long)(milliseconds % 1000) * 1000000;
    return kevent(set, NULL, 0, events, maximum, milliseconds < 0 ? NULL : &timeout);
}

/*
 * An end of what can be read is told by reading, as everywhere. fflags is the socket's error, which
 * ends both directions.
 */
static inline duologue_ready duologue_poll_says(const duologue_event *event)
{
    duologue_ready ready;

    ready.fd = (int)event->ident;
    ready.generation = (uint32_t)(uintptr_t)event->udata;
    ready.events = event->filter == EVFILT_WRITE ? DUOLOGUE_WRITABLE : DUOLOGUE_READABLE;
    if ((event->flags & EV_EOF) && event->fflags)
        ready.events |= DUOLOGUE_BROKEN;
    return ready;
}

#endif
