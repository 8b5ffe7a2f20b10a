/* Counts what a program asks of the allocator and of the kernel: LD_PRELOAD it, name a file in
 * COUNTER_FILE, and find both totals there when the program has ended. At SIGUSR2 it writes which
 * blocks are alive, by their size. Needs glibc.
 *
 * Allocations are calls of malloc, calloc and realloc (PYTHONMALLOC=malloc sends Python's own
 * there); system calls are those that a server makes for a message, by their functions in libc.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

/* Blocks by size in steps of 16 octets; all that are larger share the last. */
enum { STEP = 16, SIZES = 513 };

static atomic_ulong allocations, calls;
static atomic_long alive[SIZES], octets_alive;

static void count(atomic_ulong *counter) {
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

static void change(void *memory, long sign) {
    if (memory == NULL)
        return;
    size_t size = malloc_usable_size(memory), at = size / STEP;
    atomic_fetch_add_explicit(&alive[at < SIZES ? at : SIZES - 1], sign, memory_order_relaxed);
    atomic_fetch_add_explicit(&octets_alive, sign * (long)size, memory_order_relaxed);
}

static void *counted(void *memory) {
    count(&allocations);
    change(memory, 1);
    return memory;
}

void *malloc(size_t size) {
    return counted(__libc_malloc(size));
}

void *calloc(size_t number, size_t size) {
    return counted(__libc_calloc(number, size));
}

void *realloc(void *memory, size_t size) {
    change(memory, -1);
    return counted(__libc_realloc(memory, size));
}

void *memalign(size_t alignment, size_t size) {
    return counted(__libc_memalign(alignment, size));
}

void *aligned_alloc(size_t alignment, size_t size) {
    return counted(__libc_memalign(alignment, size));
}

int posix_memalign(void **memory, size_t alignment, size_t size) {
    *memory = counted(__libc_memalign(alignment, size));
    return *memory == NULL ? ENOMEM : 0;
}

void free(void *memory) {
    change(memory, -1);
    __libc_free(memory);
}

#define COUNTED(result, name, parameters, arguments)                  \
    result name parameters {                                          \
        static result(*next) parameters;                              \
        if (next == NULL)                                             \
            next = (result(*) parameters)dlsym(RTLD_NEXT, #name);     \
        count(&calls);                                                \
        return next arguments;                                        \
    }

COUNTED(ssize_t, recv, (int fd, void *data, size_t length, int flags), (fd, data, length, flags))
COUNTED(ssize_t, send, (int fd, const void *data, size_t length, int flags),
        (fd, data, length, flags))
COUNTED(ssize_t, recvmsg, (int fd, struct msghdr *message, int flags), (fd, message, flags))
COUNTED(ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags), (fd, message, flags))
COUNTED(ssize_t, read, (int fd, void *data, size_t length), (fd, data, length))
COUNTED(ssize_t, write, (int fd, const void *data, size_t length), (fd, data, length))
COUNTED(ssize_t, readv, (int fd, const struct iovec *pieces, int number), (fd, pieces, number))
COUNTED(ssize_t, writev, (int fd, const struct iovec *pieces, int number), (fd, pieces, number))
COUNTED(int, epoll_ctl, (int epoll, int operation, int fd, struct epoll_event *event),
        (epoll, operation, fd, event))
COUNTED(int, epoll_wait, (int epoll, struct epoll_event *events, int number, int timeout),
        (epoll, events, number, timeout))
COUNTED(int, epoll_pwait,
        (int epoll, struct epoll_event *events, int number, int timeout, const sigset_t *mask),
        (epoll, events, number, timeout, mask))

static FILE *result(void) {
    const char *path = getenv("COUNTER_FILE");
    return path == NULL ? NULL : fopen(path, "w");
}

/* Not safe in a signal handler by the letter; the process is idle when it is asked. */
static void tell_alive(int number) {
    FILE *file = result();
    (void)number;
    if (file == NULL)
        return;
    fprintf(file, "octets: %ld\n", octets_alive);
    for (int i = 0; i < SIZES; i++)
        if (alive[i] != 0)
            fprintf(file, "%d: %ld\n", i * STEP, alive[i]);
    fclose(file);
}

__attribute__((constructor)) static void listen_for_orders(void) {
    if (getenv("COUNTER_ALIVE") != NULL)
        signal(SIGUSR2, tell_alive);
}

__attribute__((destructor)) static void tell(void) {
    FILE *file = result();
    if (file == NULL)
        return;
    fprintf(file, "allocations: %lu\ncalls: %lu\n", allocations, calls);
    fclose(file);
}
