/* The clock and a histogram of latencies.
 *
 * Buckets are log-linear, as in HdrHistogram: 64 per octave, so a percentile is read to within
 * 1.6 %. One addition per value, no allocation, values up to 2^40 ns (18 minutes).
 */
#ifndef LATENCY_H
#define LATENCY_H

#include <stdint.h>
#include <string.h>
#include <time.h>

enum { SUB_BITS = 6, SUB = 1 << SUB_BITS, OCTAVES = 40 - SUB_BITS };

typedef struct {
    uint64_t count, largest;
    uint64_t buckets[(OCTAVES + 1) * SUB];
} Latencies;

static inline uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline unsigned latency_bucket(uint64_t ns) {
    if (ns < SUB)
        return (unsigned)ns;
    unsigned octave = 63u - (unsigned)__builtin_clzll(ns) - SUB_BITS;
    if (octave >= OCTAVES)
        return (OCTAVES + 1) * SUB - 1;
    return (octave + 1) * SUB + (unsigned)((ns >> octave) & (SUB - 1));
}

static inline void latency_add(Latencies *all, uint64_t ns, uint64_t times) {
    all->buckets[latency_bucket(ns)] += times;
    all->count += times;
    if (ns > all->largest)
        all->largest = ns;
}

/* The value, in ns, that the given share (0..1) of all values does not exceed. */
static inline double latency_at(const Latencies *all, double share) {
    uint64_t seen = 0, wanted = (uint64_t)(share * (double)all->count);
    if (wanted >= all->count)
        return (double)all->largest;
    for (unsigned i = 0; i < (OCTAVES + 1) * SUB; i++) {
        seen += all->buckets[i];
        if (seen > wanted) {
            if (i < SUB)
                return i;
            unsigned octave = i / SUB - 1;
            /* The middle of the bucket. */
            return ((double)(SUB + i % SUB) + 0.5) * (double)(1ull << octave);
        }
    }
    return (double)all->largest;
}

#endif
