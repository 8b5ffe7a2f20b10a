/* The seven functions of polling.h, over Linux's epoll. */
#ifndef DUOLOGUE_POLLING_EPOLL_H
#define DUOLOGUE_POLLING_EPOLL_H

#include <sys/epoll.h>

#define DUOLOGUE_BACKEND "epoll"

_Static_assert((int)DUOLOGUE_READABLE == (int)EPOLLIN && (int)DUOLOGUE_WRITABLE == (int)EPOLLOUT
                   && (int)DUOLOGUE_LEFT == (int)EPOLLRDHUP
               && (int)DUOLOGUE_BROKEN == ((int)EPOLLERR | (int)EPOLLHUP),
               "events are passed on as they come");

typedef struct epoll_event duologue_event;

static inline int duologue_poll_make(void)
{
    return epoll_create1(EPOLL_CLOEXEC);
}

/* A child has the set too, and must close its copy. */
static inline void duologue_poll_close(int set, int forked)
{
    (void)forked;
    close(set);
}

static inline int duologue_poll_control(int set, int operation, int fd, uint32_t generation,
                                        uint32_t interest)
{
    struct epoll_event event;

    event.events = interest;
    event.data.u64 = (uint64_t)generation << 32 | (uint32_t)fd;
    return epoll_ctl(set, operation, fd, &event);
}

static inline int duologue_poll_add(int set, int fd, uint32_t generation, uint32_t interest)
{
    return duologue_poll_control(set, EPOLL_CTL_ADD, fd, generation, interest);
}

static inline int duologue_poll_change(int set, int fd, uint32_t generation, uint32_t before,
                                       uint32_t interest)
{
    (void)before;
    return duologue_poll_control(set, EPOLL_CTL_MOD, fd, generation, interest);
}

static inline int duologue_poll_remove(int set, int fd, uint32_t before)
{
    (void)before;
    return duologue_poll_control(set, EPOLL_CTL_DEL, fd, 0, 0);
}

/* milliseconds: -1 waits for any time. */
static inline int duologue_poll_wait(int set, duologue_event *events, int maximum,
                                     int milliseconds)
{
    return epoll_wait(set, events, maximum, milliseconds);
}

static inline duologue_ready duologue_poll_says(const duologue_event *event)
{
    duologue_ready ready;

    ready.fd = (int)(uint32_t)event->data.u64;
    ready.generation = (uint32_t)(event->data.u64 >> 32);
    ready.events = event->events;
    return ready;
}

#endif
