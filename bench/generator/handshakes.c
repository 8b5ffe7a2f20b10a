/* Connect, upgrade, closing handshake: over and over, on several slots at a time. */
#include "run.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>

typedef struct {
    Channel channel;
    int asked, upgraded; /* the request is sent; the answer is there */
    uint64_t began;
    size_t length;
    char data[HEAD_MAX];
} Slot;

typedef struct {
    Run *run;
    int epoll;
    unsigned serial;
    char head[HEAD_MAX];
    size_t head_length;
} Handshakes;

static void ask(Handshakes *all, Slot *slot) {
    int result = slot->channel.ssl ? SSL_do_handshake(slot->channel.ssl) : 1;
    if (result != 1) {
        if (SSL_get_error(slot->channel.ssl, result) != SSL_ERROR_WANT_READ)
            die("a TLS handshake failed");
        return;
    }
    if (channel_write(&slot->channel, all->head, all->head_length) != (ssize_t)all->head_length)
        die("no request could be sent");
    slot->asked = 1;
}

static void begin(Handshakes *all, Slot *slot) {
    Channel *channel = &slot->channel;
    slot->began = now_ns();
    slot->asked = slot->upgraded = 0;
    slot->length = 0;
    channel->fd = dial(&all->run->target, all->serial++);
    if (fcntl(channel->fd, F_SETFL, O_NONBLOCK) < 0)
        die("handshake %u cannot be started", all->serial);
    if (all->run->target.tls) {
        channel->ssl = SSL_new(all->run->target.tls);
        if (channel->ssl == NULL || SSL_set_fd(channel->ssl, channel->fd) != 1)
            die("no TLS connection");
        SSL_set_connect_state(channel->ssl);
    }
    ask(all, slot);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = slot};
    if (epoll_ctl(all->epoll, EPOLL_CTL_ADD, channel->fd, &event) < 0)
        die("epoll_ctl failed");
}

static void send_close(Slot *slot) {
    static const unsigned char frame[] = {0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8};
    if (channel_write(&slot->channel, frame, sizeof frame) != sizeof frame)
        die("no close frame could be sent");
}

/* Done when the server's close frame is there: 1000, or its own empty one. */
static int done(const Slot *slot) {
    if (slot->length < 2)
        return 0;
    if ((unsigned char)slot->data[0] != 0x88)
        die("a frame other than a close frame came");
    return slot->length >= 2u + (unsigned char)slot->data[1];
}

static void finish(Handshakes *all, Slot *slot) {
    channel_close(&slot->channel);
    latency_add(&all->run->latencies, now_ns() - slot->began, 1);
    all->run->count++;
    if (all->run->messages == 0 || all->serial < all->run->messages)
        begin(all, slot);
}

static void advance(Handshakes *all, Slot *slot) {
    if (!slot->asked) {
        ask(all, slot);
        return;
    }
    ssize_t got =
        channel_read(&slot->channel, slot->data + slot->length, HEAD_MAX - slot->length);
    if (got < 0)
        return;
    if (got == 0)
        die("the server hung up %s the upgrade", slot->upgraded ? "after" : "before");
    slot->length += (size_t)got;
    if (!slot->upgraded) {
        size_t head = response_head(&all->run->target, slot->data, slot->length);
        if (head == 0)
            return;
        if (head != slot->length)
            die("the server spoke first");
        slot->upgraded = 1;
        slot->length = 0;
        send_close(slot);
    } else if (done(slot)) {
        finish(all, slot);
    }
}

void run_handshakes(Run *run) {
    Handshakes all = {.run = run, .epoll = epoll_create1(EPOLL_CLOEXEC)};
    Slot *slots = calloc(run->connections, sizeof *slots);
    struct epoll_event events[64];
    Window window;
    int useful = 1;
    if (slots == NULL)
        die("out of memory");
    all.head_length = request_head(&run->target, all.head);
    window_open(&window, run);
    for (unsigned i = 0; i < run->connections; i++)
        begin(&all, &slots[i]);
    while (!window_tick(&window, run, now_ns(), useful)) {
        int count = epoll_wait(all.epoll, events, 64, 0);
        for (int i = 0; i < count; i++)
            advance(&all, events[i].data.ptr);
        useful = count > 0;
        if (run->messages && run->count == run->messages)
            break;
    }
    window_close(&window, run, now_ns());
}
