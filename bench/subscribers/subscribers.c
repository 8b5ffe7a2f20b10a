/*
 * Subscribers of topics, and the one who says how many messages a server is to publish.
 *
 * usage: subscribers --port P --connections N --groups G --subscribers S --depth D
 *                    [--settle MILLISECONDS] [--socketio]
 *
 * Each connection says which group it belongs to, and the server subscribes it to that group's
 * topics. A further one, the control, sends D as a message; the server publishes so many messages,
 * each to S subscribers, and is told again when all have arrived everywhere. So every server is
 * driven in the same way, none is ever too slow, and none has more of it than another one.
 *
 * Prints "ready" when all are connected. Then each line "SECONDS" of standard input is one
 * measurement, answered by one line of JSON. A message that differs, or comes once too often, ends
 * it all; for the latter it goes on listening for a while (--settle).
 *
 * With --socketio the connections speak Engine.IO 4 and Socket.IO over WebSocket: the group is
 * a parameter of the URL, and messages are events.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { REST = 512, BATCH = 512, READ_SIZE = 262144, PATIENCE_MS = 10000 };

typedef struct {
    int fd;
    unsigned rest; /* octets of a frame that has not come whole */
    uint8_t octets[REST];
} Connection;

static struct {
    unsigned port, connections, groups, subscribers, depth, settle;
    int socketio;
} options = {.settle = 50};

static Connection *all; /* the last one is the control */
static int set;
static uint64_t deliveries;
static char expected[64];
static size_t expected_size;

static void die(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* -- writing and reading of frames */

static void send_text(Connection *one, const char *text) {
    size_t size = strlen(text);
    uint8_t frame[256] = {0x81, (uint8_t)(0x80 | size)}; /* the mask is zero */
    if (size > 125)
        die("too long: %s", text);
    memcpy(frame + 6, text, size);
    if (send(one->fd, frame, size + 6, 0) != (ssize_t)(size + 6))
        die("cannot send: %s", strerror(errno));
}

/* Length of the frame's head and payload, 0 if they have not all come. */
static size_t frame_size(const uint8_t *at, size_t size, size_t *head) {
    *head = 2;
    if (size < 2)
        return 0;
    size_t length = at[1] & 0x7f;
    if (length == 127 || at[1] & 0x80)
        die("a frame that no server here sends");
    if (length == 126) {
        *head = 4;
        if (size < 4)
            return 0;
        length = (size_t)at[2] << 8 | at[3];
    }
    return size < *head + length ? 0 : *head + length;
}

static void take(Connection *one, const uint8_t *payload, size_t size) {
    if (size == expected_size && memcmp(payload, expected, size) == 0)
        deliveries++;
    else if (options.socketio && size == 1 && *payload == '2')
        send_text(one, "3"); /* Engine.IO's ping and pong */
    else
        die("a message differs: %.*s", (int)size, (const char *)payload);
}

/* Take all whole frames; return what they came to. */
static size_t parse(Connection *one, const uint8_t *data, size_t size) {
    size_t at = 0, head, whole;
    while ((whole = frame_size(data + at, size - at, &head)) != 0) {
        unsigned opcode = data[at] & 0x0f;
        if (opcode == 8)
            die("the server closes a connection");
        if (opcode == 1)
            take(one, data + at + head, whole - head);
        at += whole;
    }
    return at;
}

static void receive(Connection *one) {
    static uint8_t buffer[READ_SIZE + REST];
    memcpy(buffer, one->octets, one->rest);
    ssize_t got = recv(one->fd, buffer + one->rest, READ_SIZE, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0)
        die("a connection ended: %s", got ? strerror(errno) : "by the server");
    size_t size = one->rest + (size_t)got, done = parse(one, buffer, size);
    if (size - done > REST)
        die("a frame that no server here sends");
    one->rest = (unsigned)(size - done);
    memcpy(one->octets, buffer + done, one->rest);
}

/* -- connecting, one after the other, blocking */

static size_t read_some(Connection *one, uint8_t *place, size_t room) {
    ssize_t got = recv(one->fd, place, room, 0);
    if (got <= 0)
        die("no answer: %s", got ? strerror(errno) : "the server ended the connection");
    return (size_t)got;
}

static void read_response(Connection *one) {
    uint8_t head[2048];
    size_t have = 0;
    /* One by one: what follows is frames. */
    while (have < 4 || memcmp(head + have - 4, "\r\n\r\n", 4) != 0) {
        if (have == sizeof head - 1)
            die("a response that does not end");
        have += read_some(one, head + have, 1);
    }
    head[have] = 0;
    if (strncmp((char *)head, "HTTP/1.1 101", 12) != 0)
        die("no WebSocket: %.40s", (char *)head);
}

/* Read one frame that begins with a text. */
static void await(Connection *one, const char *text) {
    uint8_t frame[REST];
    size_t have = 0, head;
    while (have == 0 || frame_size(frame, have, &head) == 0)
        have += read_some(one, frame + have, 1);
    if (memcmp(frame + head, text, strlen(text)) != 0)
        die("not %s: %.*s", text, (int)(have - head), (char *)frame + head);
}

static void dial(Connection *one, const char *group) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)options.port)};
    struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};
    char request[512], path[128];
    int yes = 1;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    one->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (one->fd < 0 || connect(one->fd, (struct sockaddr *)&address, sizeof address) != 0)
        die("cannot connect: %s", strerror(errno));
    setsockopt(one->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    setsockopt(one->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    snprintf(path, sizeof path,
             options.socketio ? "/socket.io/?EIO=4&transport=websocket&group=%s" : "/%s", group);
    snprintf(request, sizeof request,
             "GET %s HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
             path);
    if (send(one->fd, request, strlen(request), 0) < 0)
        die("cannot send: %s", strerror(errno));
    read_response(one);
    if (options.socketio) {
        await(one, "0{");
        send_text(one, "40");
        await(one, "40{");
    }
    fcntl(one->fd, F_SETFL, O_NONBLOCK);
}

static void dial_all(void) {
    char group[16];
    all = calloc(options.connections + 1, sizeof *all);
    if (all == NULL)
        die("no memory");
    for (unsigned number = 0; number <= options.connections; number++) {
        snprintf(group, sizeof group, number < options.connections ? "%u" : "control",
                 number % options.groups);
        dial(&all[number], group);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &all[number]};
        if (epoll_ctl(set, EPOLL_CTL_ADD, all[number].fd, &event) != 0)
            die("epoll_ctl: %s", strerror(errno));
    }
}

/* -- measuring */

static void turn(int milliseconds) {
    struct epoll_event events[BATCH];
    int count = epoll_wait(set, events, BATCH, milliseconds);
    if (count == 0 && milliseconds == PATIENCE_MS)
        die("messages are missing: %llu have come", (unsigned long long)deliveries);
    for (int at = 0; at < count; at++)
        receive(events[at].data.ptr);
}

static void measure(double seconds) {
    uint64_t published = 0, goal = 0;
    char words[64];
    double began = now(), end = began + seconds, ended;
    deliveries = 0;
    snprintf(words, sizeof words, options.socketio ? "42[\"publish\",%u]" : "%u", options.depth);
    do {
        send_text(&all[options.connections], words);
        published += options.depth;
        goal += (uint64_t)options.depth * options.subscribers;
        while (deliveries < goal)
            turn(PATIENCE_MS);
        ended = now();
    } while (ended < end);
    if (deliveries == goal)
        turn((int)options.settle);
    if (deliveries != goal)
        die("%llu deliveries, and not %llu", (unsigned long long)deliveries,
            (unsigned long long)goal);
    printf("{\"published\": %llu, \"deliveries\": %llu, \"seconds\": %.6f}\n",
           (unsigned long long)published, (unsigned long long)deliveries, ended - began);
    fflush(stdout);
}

int main(int count, char **words) {
    char line[64];
    for (int at = 1; at < count; at++) {
        const char *names[] = {"--port",        "--connections", "--groups",
                               "--subscribers", "--depth",       "--settle"};
        unsigned *places[] = {&options.port,        &options.connections, &options.groups,
                              &options.subscribers, &options.depth,       &options.settle};
        size_t known = 0, all_names = sizeof names / sizeof *names;
        if (strcmp(words[at], "--socketio") == 0) {
            options.socketio = 1;
            continue;
        }
        while (known < all_names && strcmp(words[at], names[known]) != 0)
            known++;
        if (known == all_names || at + 1 == count)
            die("unknown: %s", words[at]);
        *places[known] = (unsigned)strtoul(words[++at], NULL, 10);
    }
    if (!options.port || !options.connections || !options.groups || !options.subscribers ||
        !options.depth)
        die("something is missing; see the head of subscribers.c");
    snprintf(expected, sizeof expected, options.socketio ? "42[\"m\",\"%s\"]" : "%s",
             "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
    expected_size = strlen(expected);
    set = epoll_create1(0);
    dial_all();
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin) != NULL)
        measure(strtod(line, NULL));
    return 0;
}
