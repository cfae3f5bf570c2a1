/* cache_core.c - the cache without Lua: the cost of a hit, memory under a bound, the longest pause.
 *
 *   cache_core hit [KEYS]            ns a hit, over keys of 16 bytes
 *   cache_core memory [MB] [INSERTS] resident memory beside the bound, while that many entries with
 *                                    values of 8 to 512 bytes are put in and evicted
 *   cache_core pause [KEYS]          the longest single call while so many are put in, and after a
 * clear
 *
 *   cc -O2 -Icore/include bench/cache_core.c build/lib/libweir.a -luv -lm -lpthread -o cache_core
 *   valgrind --tool=callgrind --toggle-collect=weir_cache_look ./cache_core hit 1000
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <weir/cache.h>
#include <weir/simulator.h>

static void *env_alloc(void *ctx, void *ptr, size_t old, size_t size)
{
    (void)ctx;
    (void)old;
    if (size > 0)
        return realloc(ptr, size);
    free(ptr);
    return NULL;
}

static uint64_t state = 1;

static uint64_t next(void)
{
    uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static uint64_t env_random(void *ctx)
{
    (void)ctx;
    return next();
}

static uint64_t clock_ns(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * WEIR_SECOND + (uint64_t)t.tv_nsec;
}

static uint64_t env_now(void *ctx)
{
    (void)ctx;
    return clock_ns(CLOCK_MONOTONIC);
}

/* Of this thread: what others do on the machine is no pause of ours. */
static uint64_t used(void)
{
    return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

static void drop(weir_cache *c, intptr_t value)
{
    (void)c;
    free((void *)value);
}

static const weir_wait_ops wait_ops = WEIR_FLIGHT_WAIT("bench");
static const weir_flight_ops flight_ops = {.wait = &wait_ops};
static const weir_cache_ops cache_ops = {drop, &flight_ops};

static weir_cache *make(weir_runtime *rt, uint64_t max_bytes)
{
    weir_cache_options o = {.max = UINT32_MAX, .max_bytes = max_bytes, .max_waiting = UINT32_MAX};
    weir_cache *c;
    if (weir_cache_new(rt, &cache_ops, &o, NULL, &c) != 0)
        abort();
    return c;
}

static size_t key_of(char *key, uint64_t i)
{
    return (size_t)snprintf(key, 32, "key:%012llu", (unsigned long long)i);
}

static void put(weir_cache *c, uint64_t i, size_t size)
{
    char key[32], *value = malloc(size);
    size_t n = key_of(key, i);
    memset(value, 1, size);
    /* what malloc took for it, its own word before it included */
    if (weir_cache_set(c, key, n, (intptr_t)value, malloc_usable_size(value) + sizeof(void *),
                       WEIR_FOREVER) != 0)
        abort();
}

static double resident(void)
{
    long pages = 0, ignored;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f == NULL || fscanf(f, "%ld %ld", &ignored, &pages) != 2)
        abort();
    fclose(f);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static int hit(weir_runtime *rt, uint64_t keys)
{
    weir_cache *c = make(rt, UINT64_MAX);
    uint64_t rounds = 5000000 / keys + 1, hits = 0, since;
    char(*key)[32] = malloc(keys * sizeof *key);
    for (uint64_t i = 0; i < keys; i++) {
        put(c, i, 8);
        key_of(key[i], i);
    }
    since = env_now(NULL);
    for (uint64_t r = 0; r < rounds; r++)
        for (uint64_t i = 0; i < keys; i++)
            hits += weir_cache_look(c, key[i], 16).found == WEIR_FOUND_FRESH;
    printf("hit: %.1f ns, %llu keys of 16 bytes\n", (double)(env_now(NULL) - since) / (double)hits,
           (unsigned long long)keys);
    free(key);
    weir_cache_free(c);
    return hits != rounds * keys;
}

static int memory(weir_runtime *rt, uint64_t mb, uint64_t inserts)
{
    double before = resident(), bound = (double)mb * 1048576, most = 0;
    weir_cache *c = make(rt, mb * 1048576);
    for (uint64_t i = 0; i < inserts; i++) {
        put(c, i, 8 + next() % 505);
        if (next() % 4 == 0) { /* and what is asked for again */
            char key[32];
            weir_cache_look(c, key, key_of(key, i - next() % (i + 1 < 100000 ? i + 1 : 100000)));
        }
        if (i % 65536 == 0 || i + 1 == inserts)
            most = resident() - before > most ? resident() - before : most;
    }
    printf("memory: %u entries, bound %.1f MB, counted %.1f MB, resident %.1f MB (most %.1f): "
           "%+.1f%% of the bound\n",
           weir_cache_count(c), bound / 1e6, (double)weir_cache_bytes(c) / 1e6,
           (resident() - before) / 1e6, most / 1e6, 100 * (most / bound - 1));
    weir_cache_free(c);
    return 0;
}

static int pause_of(weir_runtime *rt, uint64_t keys)
{
    weir_cache *c = make(rt, UINT64_MAX);
    uint64_t longest = 0, began, took, turns = 0;
    for (uint64_t i = 0; i < keys; i++) {
        began = used();
        put(c, i, 64);
        took = used() - began;
        longest = took > longest ? took : longest;
    }
    printf("pause: %llu keys put in, the longest %.3f ms\n", (unsigned long long)keys,
           (double)longest / 1e6);
    began = used();
    weir_cache_clear(c);
    took = used() - began;
    longest = 0;
    for (; weir_cache_bytes(c) > 0; turns++) {
        uint64_t turn = used();
        weir_turn(rt);
        turn = used() - turn;
        longest = turn > longest ? turn : longest;
    }
    printf("pause: cleared in %.3f ms, freed in %llu turns, the longest %.3f ms\n",
           (double)took / 1e6, (unsigned long long)turns, (double)longest / 1e6);
    weir_cache_free(c);
    return 0;
}

int main(int argc, char **argv)
{
    weir_env env = {NULL, env_now, env_alloc, env_random, NULL, NULL};
    weir_runtime *rt = weir_runtime_new(&env);
    uint64_t a = argc > 2 ? strtoull(argv[2], NULL, 0) : 0;
    uint64_t b = argc > 3 ? strtoull(argv[3], NULL, 0) : 0;
    int rc = 2;
    if (rt == NULL)
        return 1;
    if (argc > 1 && strcmp(argv[1], "hit") == 0)
        rc = hit(rt, a != 0 ? a : 1000);
    else if (argc > 1 && strcmp(argv[1], "memory") == 0)
        rc = memory(rt, a != 0 ? a : 400, b != 0 ? b : 5000000);
    else if (argc > 1 && strcmp(argv[1], "pause") == 0)
        rc = pause_of(rt, a != 0 ? a : 1000000);
    else
        fprintf(stderr, "usage: cache_core hit [KEYS] | memory [MB] [INSERTS] | pause [KEYS]\n");
    weir_runtime_free(rt);
    return rc;
}
