/* cache_bed.h - for the tests of the cache: one cache on virtual time, whose values are numbers.
 *
 * Each value that is given to it must be dropped once; every call is followed by the validator.
 */
#ifndef WEIR_CACHE_BED_H
#define WEIR_CACHE_BED_H
#include "sync/cache.h"

#include "check.h"

#define GIVEN 4096

static struct {
    weir_simulator *sim;
    weir_runtime *rt;
    weir_cache *c;
    unsigned char alive[GIVEN]; /* values the cache has */
    int n_alive, abandoned, freed, granted;
    intptr_t saw;
} bed;

static inline void on_drop(weir_cache *c, intptr_t value)
{
    CHECK(c == bed.c && value > 0 && value < GIVEN);
    CHECK_INT(bed.alive[value], 1);
    bed.alive[value] = 0;
    bed.n_alive--;
}

static inline void on_abandon(weir_flight *f)
{
    (void)f;
    bed.abandoned++;
}

static inline void on_free(weir_flight *f)
{
    bed.freed++;
    weir_load_free((weir_load *)(void *)f);
}

static const weir_wait_ops wait_ops = WEIR_FLIGHT_WAIT("test:get");
static const weir_flight_ops flight_ops = {on_abandon, on_free, NULL, NULL, &wait_ops};
static const weir_cache_ops cache_ops = {on_drop, &flight_ops};

static inline void on_turn(weir_runtime *rt, weir_waiter *w)
{
    weir_flight *f = w->object;
    if (w->status == WEIR_GRANTED || w->status == WEIR_FAILED) {
        bed.granted++;
        bed.saw = f->value;
        weir_flight_leave(rt, f);
    }
}

static const weir_cache_options plain = {
    .ttl = 100, .max = UINT32_MAX, .max_bytes = UINT64_MAX, .max_waiting = UINT32_MAX};

static inline void open_bed(const weir_cache_options *o)
{
    memset(&bed, 0, sizeof bed);
    bed.sim = weir_simulator_new(WEIR_PLAN_FIFO, check_seed(240));
    assert_non_null(bed.sim);
    bed.rt = weir_runtime_new(weir_simulator_env(bed.sim));
    assert_non_null(bed.rt);
    CHECK_OK(weir_cache_new(bed.rt, &cache_ops, o, "pages", &bed.c));
}

static inline void shut_bed(void)
{
    if (bed.c != NULL)
        weir_cache_free(bed.c);
    CHECK_INT(bed.n_alive, 0);
    CHECK_VALID(bed.rt);
    CHECK_QUIET(bed.rt);
    weir_runtime_free(bed.rt);
    CHECK_INT(weir_simulator_bytes(bed.sim), 0);
    weir_simulator_free(bed.sim);
}

static inline void pass(uint64_t ns)
{
    weir_simulator_advance(bed.sim, ns);
    weir_turn(bed.rt);
    CHECK_INT(weir_cache_validate(bed.c), 0);
}

static inline intptr_t give(intptr_t value)
{
    CHECK_INT(bed.alive[value], 0);
    bed.alive[value] = 1;
    bed.n_alive++;
    return value;
}

static inline int set_sized(const char *key, intptr_t value, size_t size, uint64_t ttl)
{
    int rc = weir_cache_set(bed.c, key, strlen(key), give(value), size, ttl);
    CHECK_INT(weir_cache_validate(bed.c), 0);
    return rc;
}

static inline void set(const char *key, intptr_t value, uint64_t ttl)
{
    CHECK_OK(set_sized(key, value, 10, ttl));
}

static inline weir_answer look(const char *key)
{
    weir_answer a = weir_cache_look(bed.c, key, strlen(key));
    CHECK_INT(weir_cache_validate(bed.c), 0);
    return a;
}

static inline void finds(const char *key, weir_found found, intptr_t value)
{
    weir_answer a = look(key);
    CHECK_INT(a.found, found);
    CHECK_INT(a.value, value);
}

static inline weir_load *begin(const char *key, int behind)
{
    weir_load *load = weir_cache_begin(bed.c, key, strlen(key), behind);
    assert_non_null(load);
    CHECK_INT(weir_cache_validate(bed.c), 0);
    return load;
}

static inline void wait_for(weir_load *load, weir_waiter *w, uint64_t deadline)
{
    weir_waiter_init(w, on_turn);
    weir_flight_wait(bed.rt, &load->flight, w, deadline);
}

static inline int store(weir_load *load, intptr_t value, uint64_t ttl, int negative)
{
    int kept = weir_cache_store(bed.c, load, give(value), 10, ttl, negative);
    CHECK_INT(weir_cache_validate(bed.c), 0);
    return kept;
}

static inline void land(weir_load *load, weir_flight_state state, intptr_t value)
{
    weir_flight_land(bed.rt, &load->flight, state, value);
    if (bed.c != NULL)
        CHECK_INT(weir_cache_validate(bed.c), 0);
}

static inline int forget(const char *key)
{
    int was = weir_cache_delete(bed.c, key, strlen(key));
    CHECK_INT(weir_cache_validate(bed.c), 0);
    return was;
}

static inline int tag(const char *key, const char *name)
{
    int rc = weir_cache_tag(bed.c, key, strlen(key), name, strlen(name));
    CHECK_INT(weir_cache_validate(bed.c), 0);
    return rc;
}

static inline uint32_t delete_tag(const char *name)
{
    uint32_t n = weir_cache_delete_tag(bed.c, name, strlen(name));
    CHECK_INT(weir_cache_validate(bed.c), 0);
    return n;
}

static inline const weir_cache_stats *stats(void)
{
    return weir_cache_get_stats(bed.c);
}

#endif
