/* A load generator for WebSocket servers. It spins: run it on a processor core of its own, or with
 * --wait, which is for servers that want all cores.
 *
 * usage: generator MODE --port N | --unix PATH [options]     (bench/README.md explains them)
 *
 * Every reply is compared with what was sent. Any error ends it with status 1 and a line on
 * standard error; otherwise it prints one JSON object.
 */
#include "run.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const MODES[] = {"echo", "open", "broadcast", "feed", "idle", "handshake"};

static const struct option OPTIONS[] = {
    {"port", required_argument, NULL, 'p'},     {"unix", required_argument, NULL, 'u'},
    {"path", required_argument, NULL, 'P'},     {"connections", required_argument, NULL, 'n'},
    {"size", required_argument, NULL, 's'},     {"depth", required_argument, NULL, 'd'},
    {"rate", required_argument, NULL, 'r'},     {"warmup", required_argument, NULL, 'w'},
    {"duration", required_argument, NULL, 't'}, {"messages", required_argument, NULL, 'm'},
    {"pid", required_argument, NULL, 'i'},      {"text", no_argument, NULL, 'x'},
    {"json", no_argument, NULL, 'j'},           {"deflate", no_argument, NULL, 'z'},
    {"tls", no_argument, NULL, 'T'},            {"burst", no_argument, NULL, 'b'},
    {"wait", no_argument, NULL, 'W'},
    {NULL, 0, NULL, 0}};

static double number(const char *text, double least) {
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end != 0 || !(value >= least))
        die("not a number of at least %g: %s", least, text);
    return value;
}

static Mode mode_named(const char *name) {
    for (unsigned i = 0; i < sizeof MODES / sizeof *MODES; i++)
        if (name != NULL && strcmp(name, MODES[i]) == 0)
            return (Mode)i;
    die("the mode must be echo, open, broadcast, feed, idle or handshake");
}

static void parse_arguments(Run *run, int argc, char **argv) {
    size_t size = 32;
    int option, text = 0, json = 0;
    run->mode = mode_named(argc > 1 ? argv[1] : NULL);
    optind = 2;
    while ((option = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1)
        switch (option) {
        case 'p': run->target.port = (int)number(optarg, 1); break;
        case 'u': run->target.unix_path = optarg; break;
        case 'P': run->target.path = optarg; break;
        case 'n': run->connections = (unsigned)number(optarg, 1); break;
        case 's': size = (size_t)number(optarg, 0); break;
        case 'd': run->depth = (unsigned)number(optarg, 1); break;
        case 'r': run->rate = number(optarg, 1e-3); break;
        case 'w': run->warmup = number(optarg, 0); break;
        case 't': run->duration = number(optarg, 1e-3); break;
        case 'm': run->messages = (uint64_t)number(optarg, 0); break;
        case 'i':
            if (run->pid_count == PIDS_MAX)
                die("more than %d processes", PIDS_MAX);
            run->pids[run->pid_count++] = (pid_t)number(optarg, 1);
            break;
        case 'x': text = 1; break;
        case 'j': json = 1; break;
        case 'z': run->target.deflate = 1; break;
        case 'T': run->target.tls = SSL_CTX_new(TLS_client_method()); break;
        case 'b': run->burst = 1; break;
        case 'W': run->wait = 1; break;
        default: exit(2);
        }
    if (optind != argc)
        die("what is %s?", argv[optind]);
    if ((run->target.port == 0) == (run->target.unix_path == NULL))
        die("give either --port or --unix");
    if ((run->mode == OPEN_LOOP) != (run->rate > 0))
        die("--rate belongs to the mode open");
    if (run->mode == OPEN_LOOP && run->messages > 0)
        die("the mode open runs for a time, not for a number of messages");
    if (run->wait && run->mode != ECHO)
        die("--wait belongs to the mode echo");
    pool_make(&run->pool, size, text, json, run->target.deflate);
}

static void print_results(const Run *run) {
    double count = (double)run->count;
    printf("{\"mode\": \"%s\", \"connections\": %u, \"count\": %llu, \"seconds\": %.6f, ",
           MODES[run->mode], run->connections, (unsigned long long)run->count, run->seconds);
    printf("\"per_second\": %.1f, \"cpu_us\": %.4f, \"spare\": %.4f, \"octets_in\": %.1f, ",
           run->seconds > 0 ? count / run->seconds : 0,
           count > 0 ? run->cpu_seconds * 1e6 / count : 0, run->spare,
           count > 0 ? (double)run->octets_in / count : 0);
    printf("\"octets_out\": %.1f, \"p50_us\": %.3f, \"p99_us\": %.3f, \"p999_us\": %.3f, "
           "\"max_us\": %.3f}\n",
           (double)run->pool.wire_octets / run->pool.count,
           latency_at(&run->latencies, 0.5) / 1e3, latency_at(&run->latencies, 0.99) / 1e3,
           latency_at(&run->latencies, 0.999) / 1e3, (double)run->latencies.largest / 1e3);
}

int main(int argc, char **argv) {
    static Run run = {.connections = 1, .depth = 1, .duration = 1, .target.path = "/"};
    parse_arguments(&run, argc, argv);
    if (run.mode == IDLE)
        run_idle(&run);
    else if (run.mode == HANDSHAKE)
        run_handshakes(&run);
    else
        run_load(&run);
    print_results(&run);
    return 0;
}
