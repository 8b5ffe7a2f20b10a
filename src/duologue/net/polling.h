/*
 * Waiting for descriptors, in seven functions; each mechanism of an operating system is a file that
 * has all of them. Plain C that knows nothing of Python.
 *
 *   make     a set of descriptors to wait for, itself a descriptor
 *   close    the set, in the process that made it or in a child
 *   add      a descriptor, with a generation that comes back with each of its events
 *   change   what is waited for
 *   remove   a descriptor, before it is closed
 *   wait     for events, in the system's own records
 *   says     what one of those records means
 *
 * Those that fail return -1 and set errno. Readiness is level-triggered: reported again while it
 * lasts.
 */
#ifndef DUOLOGUE_POLLING_H
#define DUOLOGUE_POLLING_H

#include <errno.h>
#include <stdint.h>
#include <unistd.h>

/* What is waited for and reported: epoll's own values, so that nothing is translated there. */
enum {
    DUOLOGUE_READABLE = 0x001,
    DUOLOGUE_WRITABLE = 0x004,
    /* The peer has ended its stream, read to the end or not; kqueue never tells. */
    DUOLOGUE_LEFT = 0x2000,
    /* An error, or the end of both directions; reported, never waited for. */
    DUOLOGUE_BROKEN = 0x008 | 0x010
};

/* What one event says. */
typedef struct {
    int fd;
    uint32_t generation;
    uint32_t events;
} duologue_ready;

/* DUOLOGUE_KQUEUE: set by the build to have kqueue on a system that has both, by libkqueue. */
#if defined(__linux__) && !defined(DUOLOGUE_KQUEUE)
#include "polling_epoll.h"
#else
#include "polling_kqueue.h"
#endif

#endif
