#include "run.h"

#include <time.h>

/* CPU time that the server's processes have used so far, all their threads included. */
static double cpu_time(const Run *run) {
    double sum = 0;
    for (unsigned i = 0; i < run->pid_count; i++) {
        clockid_t clock;
        struct timespec t;
        if (clock_getcpuclockid(run->pids[i], &clock) != 0 || clock_gettime(clock, &t) != 0)
            die("cannot read the CPU time of process %d", (int)run->pids[i]);
        sum += (double)t.tv_sec + (double)t.tv_nsec / 1e9;
    }
    return sum;
}

static uint64_t octets_received(const Run *run) {
    uint64_t sum = 0;
    for (unsigned i = 0; run->peers != NULL && i < run->connections; i++)
        sum += run->peers[i].octets_in;
    return sum;
}

void window_open(Window *window, const Run *run) {
    uint64_t now = now_ns();
    *window = (Window){.last = now, .begin_at = now + (uint64_t)(run->warmup * 1e9)};
    window->end_at = window->begin_at + (uint64_t)(run->duration * 1e9);
}

static void begin(Window *window, Run *run, uint64_t now) {
    window->measuring = 1;
    window->began = now;
    window->end_at = now + (uint64_t)(run->duration * 1e9);
    window->spare_ns = 0;
    window->cpu_before = cpu_time(run);
    window->count_before = run->count;
    run->octets_in = octets_received(run);
    memset(&run->latencies, 0, sizeof run->latencies);
}

int window_tick(Window *window, Run *run, uint64_t now, int useful) {
    if (!useful)
        window->spare_ns += now - window->last;
    window->last = now;
    if (!window->measuring && now >= window->begin_at)
        begin(window, run, now);
    else if (window->measuring && run->messages == 0 && now >= window->end_at)
        return 1;
    return 0;
}

void window_close(Window *window, Run *run, uint64_t now) {
    run->cpu_seconds = cpu_time(run) - window->cpu_before;
    run->seconds = (double)(now - window->began) / 1e9;
    run->spare = (double)window->spare_ns / (double)(now - window->began);
    run->count -= window->count_before;
    run->octets_in = octets_received(run) - run->octets_in;
    if (run->count == 0)
        die("nothing came back within %.1f s", run->seconds);
}
