/* What one run of the generator was asked to do, and what it found. */
#ifndef RUN_H
#define RUN_H

#include "latency.h"
#include "peer.h"

enum { PIDS_MAX = 64 };

typedef enum { ECHO, OPEN_LOOP, BROADCAST, FEED, IDLE, HANDSHAKE } Mode;

typedef struct {
    Mode mode;
    Target target;
    unsigned connections;
    unsigned depth;     /* messages in flight: per connection, or broadcasts in all */
    int wait;           /* sleep until there is something to read, instead of spinning */
    int burst;          /* the next `depth` messages only when all replies are there */
    double rate;        /* open loop: messages per second over all connections */
    double warmup;      /* seconds */
    double duration;    /* seconds */
    uint64_t messages;  /* per connection, instead of a duration; 0: unlimited */
    pid_t pids[PIDS_MAX]; /* processes whose CPU time is read */
    unsigned pid_count;

    Pool pool;
    Peer *peers;
    Latencies latencies;
    uint64_t count;      /* messages (or handshakes) of the measured time */
    double seconds;      /* the measured time */
    double cpu_seconds;  /* of the processes in pids, meanwhile */
    double spare;        /* share of the time in which the generator found nothing to do */
    uint64_t octets_in;  /* received, meanwhile */
} Run;

/* The measured time of a run: begins after the warm-up and ends by the clock or by the caller. */
typedef struct {
    uint64_t begin_at, end_at, began, last;
    uint64_t spare_ns, count_before;
    double cpu_before;
    int measuring;
} Window;

void window_open(Window *window, const Run *run);

/* Takes note of the time; returns 1 when the run is over. `useful` says whether there was
 * something to do since the last call. */
int window_tick(Window *window, Run *run, uint64_t now, int useful);

void window_close(Window *window, Run *run, uint64_t now);

/* Modes ECHO, OPEN_LOOP, BROADCAST and FEED. */
void run_load(Run *run);

/* Opens the connections, exchanges `messages` on each, prints "ready", and holds them until
 * standard input ends; every line of it asks for another exchange, and another "ready". */
void run_idle(Run *run);

/* Connects, upgrades and closes, over and over, on `connections` slots at a time. */
void run_handshakes(Run *run);

#endif
