/* Messages over open connections: echo (closed and open loop), broadcast and feed. */
#include "run.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* Up to this many connections are polled by reading: cheaper than asking epoll first. */
enum { SPIN_MAX = 4, BATCH = 256 };

/* Milliseconds between two looks at the clock by a generator that sleeps. */
enum { WAIT_MS = 50 };

typedef struct {
    Run *run;
    int epoll;
    unsigned ring;       /* size of each sent_at ring, a power of two */
    uint64_t finished;   /* connections that have had all their messages */
    uint64_t started;    /* open loop: when it began */
    uint64_t scheduled;  /* open loop: messages due so far */
    uint32_t *missing;   /* broadcast: ring, receivers that have not got message k yet */
    uint64_t complete;   /* broadcast: messages that everybody has got */
} Load;

static unsigned power_of_two(unsigned least) {
    unsigned size = 1;
    while (size < least)
        size *= 2;
    return size;
}

static void watch(Load *load, Peer *peer, int operation) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = peer};
    if (peer->wants_writable)
        event.events |= EPOLLOUT;
    if (epoll_ctl(load->epoll, operation, peer->channel.fd, &event) < 0)
        die("epoll_ctl failed");
}

static void flush(Load *load, Peer *peer) {
    peer_flush(peer, &load->run->pool);
    int blocked = !channel_flush(&peer->channel) || peer->sent < peer->wanted || peer->pong_sent < peer->pong_length;
    if (blocked != peer->wants_writable) {
        peer->wants_writable = blocked;
        watch(load, peer, EPOLL_CTL_MOD);
    }
}

/* -- closed loop */

static void want(Load *load, Peer *peer, uint64_t more, uint64_t now) {
    uint64_t limit = load->run->messages;
    if (limit && peer->wanted + more > limit)
        more = limit - peer->wanted;
    while (more-- > 0)
        peer->sent_at[peer->wanted++ & (load->ring - 1)] = now;
    flush(load, peer);
}

static void echoed(Load *load, Peer *peer, uint64_t before, uint64_t now) {
    Run *run = load->run;
    for (uint64_t k = before; k < peer->received; k++)
        latency_add(&run->latencies, now - peer->sent_at[k & (load->ring - 1)], 1);
    if (peer->received > peer->wanted)
        die("connection %u: more replies than messages", peer->index);
    if (!run->burst)
        want(load, peer, peer->received - before, now);
    else if (peer->received == peer->wanted)
        want(load, peer, run->depth, now);
}

/* -- open loop: message k is due at k / rate, on connection k % connections. Its latency counts
 * from when it was due, not from when it could be sent: nothing is omitted when things stall. */

static void send_due(Load *load, uint64_t now) {
    Run *run = load->run;
    uint64_t due = (uint64_t)((double)(now - load->started) * run->rate / 1e9);
    if (due - load->scheduled > run->connections * (uint64_t)1024)
        die("more than 1024 messages a connection are outstanding: the server is too slow");
    for (; load->scheduled < due; load->scheduled++) {
        Peer *peer = &run->peers[load->scheduled % run->connections];
        peer->wanted++;
        flush(load, peer);
        if (peer->wanted - peer->received > 65536)
            die("the server is too slow for this rate");
    }
}

static void answered(Load *load, Peer *peer, uint64_t before, uint64_t now) {
    Run *run = load->run;
    for (uint64_t k = before; k < peer->received; k++) {
        double due = (double)(k * run->connections + peer->index) / run->rate * 1e9;
        uint64_t at = load->started + (uint64_t)due;
        latency_add(&run->latencies, now > at ? now - at : 0, 1);
    }
}

/* -- broadcast: connection 0 sends, all receive; `depth` messages are on their way at once. */

static void start_broadcasts(Load *load, uint64_t now) {
    Peer *sender = load->run->peers;
    while (sender->wanted - load->complete < load->run->depth) {
        if (load->run->messages && sender->wanted == load->run->messages)
            break;
        unsigned at = (unsigned)(sender->wanted++ & (load->ring - 1));
        sender->sent_at[at] = now;
        load->missing[at] = load->run->connections;
    }
    flush(load, sender);
}

static void delivered(Load *load, Peer *peer, uint64_t before, uint64_t now) {
    Peer *sender = load->run->peers;
    unsigned mask = load->ring - 1;
    uint64_t complete = load->complete;
    if (peer->received > sender->wanted)
        die("connection %u: more messages than were sent", peer->index);
    for (uint64_t k = before; k < peer->received; k++)
        if (--load->missing[k & mask] == 0) {
            latency_add(&load->run->latencies, now - sender->sent_at[k & mask], 1);
            load->complete++;
        }
    if (load->complete > complete)
        start_broadcasts(load, now);
}

/* -- the loop */

static void progress(Load *load, Peer *peer, uint64_t before, uint64_t now) {
    Run *run = load->run;
    run->count += peer->received - before;
    if (run->mode == ECHO)
        echoed(load, peer, before, now);
    else if (run->mode == OPEN_LOOP)
        answered(load, peer, before, now);
    else if (run->mode == BROADCAST)
        delivered(load, peer, before, now);
    if (run->messages && before < run->messages && peer->received >= run->messages)
        load->finished++;
}

/* Reads what there is on one connection; returns whether there was anything. */
static int serve(Load *load, Peer *peer) {
    int useful = 0;
    do {
        uint64_t before = peer->received;
        if (!peer_read(peer, &load->run->pool))
            break;
        useful = 1;
        if (peer->received != before)
            progress(load, peer, before, now_ns());
        if (peer->pong_sent < peer->pong_length)
            flush(load, peer);
    } while (channel_pending(&peer->channel));
    return useful;
}

static int poll_all(Load *load) {
    Run *run = load->run;
    int useful = 0;
    for (unsigned i = 0; i < run->connections; i++) {
        if (run->peers[i].wants_writable)
            flush(load, &run->peers[i]);
        useful |= serve(load, &run->peers[i]);
    }
    return useful;
}

static int poll_ready(Load *load) {
    struct epoll_event events[BATCH];
    int count = epoll_wait(load->epoll, events, BATCH, load->run->wait ? WAIT_MS : 0);
    if (count < 0 && errno != EINTR)
        die("epoll_wait failed");
    for (int i = 0; i < count; i++) {
        Peer *peer = events[i].data.ptr;
        if (events[i].events & EPOLLOUT)
            flush(load, peer);
        if (events[i].events & ~(uint32_t)EPOLLOUT)
            serve(load, peer);
    }
    return count > 0;
}

static void start(Load *load) {
    Run *run = load->run;
    uint64_t now = load->started = now_ns();
    if (run->mode == BROADCAST) {
        /* A server may list a connection a moment after it has answered the upgrade. */
        nanosleep(&(struct timespec){.tv_nsec = 300000000}, NULL);
        now = now_ns();
        load->missing = calloc(load->ring, sizeof *load->missing);
        if (load->missing == NULL)
            die("out of memory");
        start_broadcasts(load, now);
        return;
    }
    for (unsigned i = 0; i < run->connections; i++) {
        if (run->mode == ECHO)
            want(load, &run->peers[i], run->depth, now_ns());
        else if (run->mode == FEED)
            want(load, &run->peers[i], 1, now_ns());
    }
}

static void open_peers(Load *load) {
    Run *run = load->run;
    Pool *pool = &run->pool;
    /* Replies to a feed's one message are that message, over and over. */
    if (run->mode == FEED)
        pool->count = 1;
    run->peers = calloc(run->connections, sizeof *run->peers);
    for (unsigned i = 0; i < run->connections; i++) {
        Peer *peer = &run->peers[i];
        peer_open(peer, &run->target, pool, i);
        if (run->mode != BROADCAST)
            peer->first_out = peer->first_in = i & (pool->count - 1);
        peer->sent_at = calloc(load->ring, sizeof *peer->sent_at);
        if (peer->sent_at == NULL)
            die("out of memory");
        watch(load, peer, EPOLL_CTL_ADD);
    }
}

void run_load(Run *run) {
    Load load = {.run = run, .epoll = epoll_create1(EPOLL_CLOEXEC)};
    Window window;
    load.ring = power_of_two(run->depth);
    open_peers(&load);
    start(&load);
    window_open(&window, run);
    int useful = 1;
    while (!window_tick(&window, run, now_ns(), useful)) {
        if (run->mode == OPEN_LOOP)
            send_due(&load, now_ns());
        useful = run->connections <= SPIN_MAX ? poll_all(&load) : poll_ready(&load);
        if (run->messages && load.finished == run->connections)
            break;
    }
    window_close(&window, run, now_ns());
    /* With a number of messages everything has been answered: leave as the protocol wants it. */
    for (unsigned i = 0; run->messages && run->mode != FEED && i < run->connections; i++)
        peer_close(&run->peers[i], &run->pool);
}

/* One connection after the other: what a burst leaves behind is not memory of an idle one. */
static void exchange(Load *load, uint64_t messages) {
    Run *run = load->run;
    for (unsigned i = 0; i < run->connections; i++) {
        uint64_t end = run->peers[i].received + messages;
        want(load, &run->peers[i], messages, now_ns());
        while (run->peers[i].received < end)
            serve(load, &run->peers[i]);
    }
    puts("ready");
    fflush(stdout);
}

/* Sleeps until there is an order on standard input, and answers pings meanwhile: servers take a
 * silent connection for a dead one. Returns the order's octet, or EOF. */
static int await_order(Load *load) {
    struct pollfd descriptors[] = {{.fd = STDIN_FILENO, .events = POLLIN},
                                   {.fd = load->epoll, .events = POLLIN}};
    unsigned char order;
    for (;;) {
        if (poll(descriptors, 2, -1) < 0 && errno != EINTR)
            die("poll failed");
        if (descriptors[1].revents)
            poll_ready(load);
        if (descriptors[0].revents)
            return read(STDIN_FILENO, &order, 1) == 1 ? order : EOF;
    }
}

void run_idle(Run *run) {
    int order;
    uint64_t messages = run->messages;
    Load load = {.run = run, .epoll = epoll_create1(EPOLL_CLOEXEC)};
    run->mode = ECHO;
    /* Bounds the exchange, not the connection. */
    run->messages = 0;
    load.ring = power_of_two(messages > 1 ? (unsigned)messages : 1);
    open_peers(&load);
    run->depth = 0;
    run->burst = 1;
    exchange(&load, messages);
    while ((order = await_order(&load)) != EOF)
        if (order == '\n')
            exchange(&load, messages > 0 ? messages : 1);
    /* Reset rather than closed: tens of thousands in TIME_WAIT would be the next run's burden. */
    struct linger none = {.l_onoff = 1};
    for (unsigned i = 0; i < run->connections; i++)
        setsockopt(run->peers[i].channel.fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    run->mode = IDLE;
    run->count = run->connections;
}
