/* sieve.c - hit ratios of weir's cache beside LRU, FIFO and SIEVE as published: sieve [REQUESTS]
 * [SEED]
 *
 * Every trace is made from the seed and run through each policy at three sizes; a miss inserts.
 * weir's is the cache itself, by its API; the others are arrays and a list, written here. Traces:
 * Zipf of several skews; the same polluted by scans of keys that are asked for once; a mix that
 * drifts.
 *
 *   cc -O2 -Icore/include bench/sieve.c build/lib/libweir.a -luv -lm -lpthread -o sieve && ./sieve
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <weir/cache.h>
#include <weir/simulator.h>

#define KEYS 200000 /* that are asked for again */

/* --- chance ------------------------------------------------------------------------------- */

static uint64_t state;

static uint64_t next(void)
{
    uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static double unit(void)
{
    return (double)(next() >> 11) * 0x1p-53;
}

static double *zipf_table(double skew)
{
    double *sum = malloc(KEYS * sizeof *sum), total = 0;
    for (int i = 0; i < KEYS; i++)
        sum[i] = total += pow(i + 1, -skew);
    return sum;
}

static uint32_t zipf(const double *sum)
{
    double u = unit() * sum[KEYS - 1];
    uint32_t low = 0, high = KEYS - 1;
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        if (sum[mid] < u)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* --- traces ------------------------------------------------------------------------------- */

/* `scan`: of 100 requests as many are part of scans, 1000 fresh keys in a row. `drift`: after so
 * many requests the ranks move on by one key. */
static uint32_t make(uint32_t *trace, uint32_t n, double skew, int scan, uint32_t drift)
{
    double *sum = zipf_table(skew);
    uint32_t fresh = KEYS, scanning = 0, shift = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (scanning == 0 && scan > 0 && unit() < scan / 100.0 / 1000 / (1 - scan / 100.0))
            scanning = 1000;
        if (drift > 0 && i % drift == 0)
            shift++;
        if (scanning > 0) {
            scanning--;
            trace[i] = fresh++;
        } else {
            trace[i] = (zipf(sum) * 7919u + shift) % KEYS; /* ranks are spread over the keys */
        }
    }
    free(sum);
    return fresh;
}

/* --- policies ------------------------------------------------------------------------------ */

typedef struct node {
    uint32_t prev, next; /* towards older, newer; ring through `keys` */
    uint8_t in, visited;
} node;

typedef enum policy { FIFO, LRU, SIEVE } policy;

static void unlink_node(node *a, uint32_t i)
{
    a[a[i].prev].next = a[i].next;
    a[a[i].next].prev = a[i].prev;
}

static void push(node *a, uint32_t head, uint32_t i)
{
    a[i].prev = a[head].prev;
    a[i].next = head;
    a[a[head].prev].next = i;
    a[head].prev = i;
}

static double run_policy(policy p, const uint32_t *trace, uint32_t n, uint32_t keys, uint32_t max)
{
    node *a = calloc(keys + 1, sizeof *a);
    uint32_t head = keys, count = 0, hits = 0, hand = keys;
    a[head].prev = a[head].next = head;
    for (uint32_t t = 0; t < n; t++) {
        uint32_t i = trace[t];
        if (a[i].in) {
            hits++;
            a[i].visited = 1;
            if (p == LRU) {
                unlink_node(a, i);
                push(a, head, i);
            }
            continue;
        }
        if (count == max) {
            uint32_t out = a[head].next;
            if (p == SIEVE) {
                for (out = hand;; out = a[out].next) {
                    if (out == head)
                        out = a[head].next;
                    if (!a[out].visited)
                        break;
                    a[out].visited = 0;
                }
                hand = a[out].next;
            }
            unlink_node(a, out);
            a[out].in = 0;
            count--;
        }
        a[i].in = 1;
        a[i].visited = 0;
        push(a, head, i);
        count++;
    }
    free(a);
    return 100.0 * hits / n;
}

static void drop(weir_cache *c, intptr_t value)
{
    (void)c;
    (void)value;
}

static const weir_wait_ops wait_ops = WEIR_FLIGHT_WAIT("bench");
static const weir_flight_ops flight_ops = {.wait = &wait_ops};
static const weir_cache_ops cache_ops = {drop, &flight_ops};

static double run_weir(const uint32_t *trace, uint32_t n, uint32_t max)
{
    weir_simulator *sim = weir_simulator_new(WEIR_PLAN_FIFO, 1);
    weir_runtime *rt = weir_runtime_new(weir_simulator_env(sim));
    weir_cache_options o = {.max = max, .max_bytes = UINT64_MAX, .max_waiting = UINT32_MAX};
    weir_cache *c;
    uint32_t hits = 0;
    if (weir_cache_new(rt, &cache_ops, &o, NULL, &c) != 0)
        abort();
    for (uint32_t t = 0; t < n; t++) {
        if (weir_cache_look(c, &trace[t], sizeof trace[t]).found == WEIR_FOUND_FRESH)
            hits++;
        else if (weir_cache_set(c, &trace[t], sizeof trace[t], 0, 0, WEIR_FOREVER) != 0)
            abort();
    }
    weir_cache_free(c);
    weir_runtime_free(rt);
    weir_simulator_free(sim);
    return 100.0 * hits / n;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        double skew;
        int scan;
        uint32_t drift;
    } traces[] = {
        {"zipf 0.6", 0.6, 0, 0},
        {"zipf 0.8", 0.8, 0, 0},
        {"zipf 1.0", 1.0, 0, 0},
        {"zipf 1.2", 1.2, 0, 0},
        {"zipf 0.8, 20% scan", 0.8, 20, 0},
        {"zipf 1.0, 20% scan", 1.0, 20, 0},
        {"zipf 1.0, 50% scan", 1.0, 50, 0},
        {"zipf 1.0, drifting", 1.0, 0, 100},
    };
    static const double sizes[] = {0.1, 1, 10};
    uint32_t n = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 0) : 2000000;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
    uint32_t *trace = malloc(n * sizeof *trace);
    if (trace == NULL)
        return 1;
    printf("%u requests, %d keys; hit ratio in percent\n", n, KEYS);
    printf("%-20s %7s %8s %8s %8s %8s\n", "trace", "size", "weir", "SIEVE", "LRU", "FIFO");
    for (size_t i = 0; i < sizeof traces / sizeof *traces; i++) {
        state = seed;
        uint32_t keys = make(trace, n, traces[i].skew, traces[i].scan, traces[i].drift);
        for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
            uint32_t max = (uint32_t)(KEYS * sizes[k] / 100);
            printf("%-20s %6.1f%% %8.2f %8.2f %8.2f %8.2f\n", traces[i].name, sizes[k],
                   run_weir(trace, n, max), run_policy(SIEVE, trace, n, keys, max),
                   run_policy(LRU, trace, n, keys, max), run_policy(FIFO, trace, n, keys, max));
            fflush(stdout);
        }
    }
    free(trace);
    return 0;
}
