/* cache_test.c - how long what is loaded is had: fresh, stale, remembered failures, early
 * refreshes; and the options and the hit.
 */
#include <math.h>

#include "cache_bed.h"

/* --- options ---------------------------------------------------------------------------------- */

static void bad_options_are_refused(void **state)
{
    weir_cache *c;
    (void)state;
    open_bed(&plain);
    for (int i = 0; i < 8; i++) {
        weir_cache_options o = plain;
        o.jitter = i == 0 ? -0.1 : i == 1 ? 1.1 : i == 2 ? (double)NAN : 0;
        o.early = i == 3 ? -1 : i == 4 ? (double)NAN : i == 5 ? (double)INFINITY : 0;
        o.max = i == 6 ? 0 : o.max;
        o.max_bytes = i == 7 ? 0 : o.max_bytes;
        CHECK_ERR(weir_cache_new(bed.rt, &cache_ops, &o, NULL, &c), WEIR_EINVAL);
    }
    CHECK_TEXT(weir_cache_name(bed.c), "pages");
    shut_bed();
}

/* --- time ------------------------------------------------------------------------------------- */

static void a_value_is_fresh_to_the_nanosecond(void **state)
{
    (void)state;
    open_bed(&plain);
    set("k", 1, 100);
    pass(99);
    finds("k", WEIR_FOUND_FRESH, 1);
    pass(1);
    finds("k", WEIR_FOUND_NOTHING, 0);
    CHECK_INT(bed.n_alive, 0); /* a look-up lets go of what it finds expired */
    CHECK_INT(stats()->expired, 1);
    set("k", 2, WEIR_FOREVER);
    pass(WEIR_SECOND * 1000000);
    finds("k", WEIR_FOUND_FRESH, 2);
    shut_bed();
}

/* Caffeine 1623 and others: a slow load is not stale when it arrives. */
static void the_ttl_counts_from_the_end_of_the_load(void **state)
{
    (void)state;
    open_bed(&plain);
    weir_load *load = begin("k", 0);
    pass(1000);
    CHECK_INT(store(load, 1, 100, 0), 1);
    land(load, WEIR_FLIGHT_LANDED, 1);
    pass(99);
    finds("k", WEIR_FOUND_FRESH, 1);
    pass(1);
    finds("k", WEIR_FOUND_NOTHING, 0);
    CHECK_INT(stats()->load.max, 1000);
    shut_bed();
}

static void jitter_shortens_and_spreads(void **state)
{
    weir_cache_options o = plain;
    int alive = 0, ends[3] = {0};
    char key[16];
    (void)state;
    o.jitter = 0.5;
    open_bed(&o);
    for (int i = 1; i <= 300; i++) {
        sprintf(key, "k%d", i);
        set(key, i, 1000);
    }
    for (int at = 0; at < 3; at++) {
        pass(at == 0 ? 499 : 250);
        alive = 0;
        for (int i = 1; i <= 300; i++) {
            sprintf(key, "k%d", i);
            alive += weir_cache_peek(bed.c, key, strlen(key)).found == WEIR_FOUND_FRESH;
        }
        ends[at] = alive;
    }
    CHECK_INT(ends[0], 300);              /* never by more than the share */
    CHECK(ends[1] > 90 && ends[1] < 210); /* half of them at half of it */
    CHECK(ends[2] <= 5);                  /* none later than the ttl, hardly one at it */
    shut_bed();
}

static void stale_is_answered_at_once_and_refreshed_once(void **state)
{
    weir_cache_options o = plain;
    (void)state;
    o.stale = 50;
    open_bed(&o);
    set("k", 1, 100);
    pass(100);
    weir_answer a = look("k");
    CHECK(a.found == WEIR_FOUND_STALE && a.value == 1 && a.refresh == 1);
    a = look("k");
    CHECK(a.found == WEIR_FOUND_STALE && a.refresh == 1); /* nobody has begun one */
    weir_load *load = begin("k", 1);
    a = look("k");
    CHECK(a.found == WEIR_FOUND_STALE && a.refresh == 0);
    CHECK_INT(weir_cache_peek(bed.c, "k", 1).found, WEIR_FOUND_NOTHING);
    CHECK_INT(store(load, 2, 100, 0), 1);
    land(load, WEIR_FLIGHT_LANDED, 2);
    finds("k", WEIR_FOUND_FRESH, 2);
    CHECK_INT(stats()->stale, 3);
    CHECK_INT(stats()->refreshes, 1);
    shut_bed();
}

/* Caffeine 373: a refresh that never ends must not keep the old value for ever. */
static void a_refresh_that_hangs_pins_nothing(void **state)
{
    weir_cache_options o = plain;
    (void)state;
    o.stale = 50;
    open_bed(&o);
    set("k", 1, 100);
    pass(100);
    weir_load *load = begin("k", 1);
    pass(49);
    finds("k", WEIR_FOUND_STALE, 1);
    pass(1);
    weir_answer a = look("k");
    CHECK(a.found == WEIR_FOUND_FLIGHT && a.load == load);
    CHECK_INT(bed.n_alive, 0);
    weir_waiter w;
    wait_for(load, &w, weir_after(bed.rt, 10));
    pass(10);
    CHECK_INT(w.status, WEIR_TIMEOUT);
    CHECK_INT(bed.abandoned, 0); /* a refresh goes on by itself */
    land(load, WEIR_FLIGHT_FAILED, 0);
    shut_bed();
}

static void a_failed_refresh_keeps_the_old_value(void **state)
{
    weir_cache_options o = plain;
    intptr_t old = 0;
    (void)state;
    o.stale = 50;
    o.negative_ttl = 10;
    open_bed(&o);
    set("k", 1, 100);
    pass(110);
    weir_load *load = begin("k", 1);
    CHECK_INT(weir_cache_failed(bed.c, load, &old), 1);
    CHECK_INT(old, 1);
    CHECK_INT(store(load, 2, 10, 1), 0); /* that load is over */
    land(load, WEIR_FLIGHT_LANDED, old);
    weir_answer a = look("k");
    CHECK(a.found == WEIR_FOUND_STALE && a.value == 1);
    CHECK_INT(a.refresh, 0); /* not again before negative_ttl: 5 failures are not 5 calls */
    pass(9);
    CHECK_INT(look("k").refresh, 0);
    pass(1);
    CHECK_INT(look("k").refresh, 1);
    CHECK_INT(stats()->refresh_failures, 1);
    pass(30);
    finds("k", WEIR_FOUND_NOTHING, 0);
    shut_bed();
}

static void without_a_negative_ttl_a_failed_refresh_is_tried_again(void **state)
{
    weir_cache_options o = plain;
    intptr_t old;
    (void)state;
    o.stale = 50;
    open_bed(&o);
    set("k", 1, 100);
    pass(110);
    weir_load *load = begin("k", 1);
    CHECK_INT(weir_cache_failed(bed.c, load, &old), 1);
    land(load, WEIR_FLIGHT_LANDED, old);
    CHECK_INT(look("k").refresh, 1);
    shut_bed();
}

static void stale_if_error_is_for_failures_alone(void **state)
{
    weir_cache_options o = plain;
    weir_waiter w;
    intptr_t old = 0;
    (void)state;
    o.stale = 10;
    o.stale_if_error = 100;
    o.negative_ttl = 5;
    open_bed(&o);
    set("k", 1, 100);
    pass(150); /* past stale, within stale_if_error */
    finds("k", WEIR_FOUND_NOTHING, 0);
    CHECK_INT(bed.n_alive, 1);
    weir_load *load = begin("k", 0);
    wait_for(load, &w, WEIR_FOREVER);
    CHECK_INT(look("k").found, WEIR_FOUND_FLIGHT);
    CHECK_INT(weir_cache_failed(bed.c, load, &old), 1);
    land(load, WEIR_FLIGHT_LANDED, old);
    pass(0);
    CHECK_INT(bed.saw, 1);
    finds("k", WEIR_FOUND_STALE, 1); /* while the failure is remembered nobody waits for another */
    pass(5);
    finds("k", WEIR_FOUND_NOTHING, 0);
    pass(45); /* 200: it has served */
    load = begin("k", 0);
    CHECK_INT(weir_cache_failed(bed.c, load, &old), 0);
    land(load, WEIR_FLIGHT_FAILED, 0);
    finds("k", WEIR_FOUND_NOTHING, 0);
    CHECK_INT(bed.n_alive, 0);
    CHECK_INT(stats()->failures, 2);
    shut_bed();
}

static void an_entry_may_forbid_to_be_answered_past_its_ttl(void **state)
{
    weir_cache_options o = plain;
    intptr_t old;
    (void)state;
    o.stale = o.stale_if_error = 50;
    open_bed(&o);
    CHECK_INT(weir_cache_forbid_stale(bed.c, "k", 1), 0);
    set("k", 1, 100);
    CHECK_INT(weir_cache_forbid_stale(bed.c, "k", 1), 1);
    pass(99);
    finds("k", WEIR_FOUND_FRESH, 1);
    weir_load *load = begin("k", 1);
    pass(1);
    CHECK_INT(weir_cache_failed(bed.c, load, &old), 0);
    land(load, WEIR_FLIGHT_FAILED, 0);
    finds("k", WEIR_FOUND_NOTHING, 0);
    set("k", 2, 100); /* what replaces it does not */
    pass(100);
    finds("k", WEIR_FOUND_STALE, 2);
    shut_bed();
}

static void who_wants_a_new_value_joins_or_begins_a_load(void **state)
{
    (void)state;
    open_bed(&plain);
    set("k", 1, 100);
    CHECK_INT(weir_cache_look_load(bed.c, "k", 1).found, WEIR_FOUND_NOTHING);
    CHECK(weir_cache_load(bed.c, "k", 1) == NULL);
    weir_load *load = begin("k", 0);
    weir_answer a = weir_cache_look_load(bed.c, "k", 1);
    CHECK(a.found == WEIR_FOUND_FLIGHT && a.load == load);
    CHECK(weir_cache_load(bed.c, "k", 1) == load);
    CHECK_INT(stats()->misses, 2);
    CHECK_INT(stats()->hits, 0);
    land(load, WEIR_FLIGHT_FAILED, 0);
    shut_bed();
}

static void failures_and_nothing_are_remembered_for_their_own_time(void **state)
{
    weir_cache_options o = plain;
    intptr_t old;
    (void)state;
    o.stale = 50;
    o.negative_ttl = 10;
    open_bed(&o);
    weir_load *load = begin("k", 0);
    CHECK_INT(weir_cache_failed(bed.c, load, &old), 0);
    CHECK_INT(store(load, 1, 10, 1), 1);
    land(load, WEIR_FLIGHT_FAILED, 1);
    finds("k", WEIR_FOUND_NEGATIVE, 1);
    CHECK_INT(weir_cache_peek(bed.c, "k", 1).found, WEIR_FOUND_NEGATIVE);
    pass(9);
    finds("k", WEIR_FOUND_NEGATIVE, 1);
    pass(1);
    finds("k", WEIR_FOUND_NOTHING, 0); /* never stale */
    CHECK_INT(stats()->negative, 2);
    shut_bed();
}

/* "Nothing" is an answer: what was there before is older than it. */
static void nothing_replaces_the_old_value(void **state)
{
    weir_cache_options o = plain;
    (void)state;
    o.stale = 50;
    open_bed(&o);
    set("k", 1, 100);
    pass(120);
    weir_load *load = begin("k", 1);
    CHECK_INT(store(load, 2, 0, 1), 0); /* negative_ttl 0: it is not kept itself */
    land(load, WEIR_FLIGHT_LANDED, 0);
    finds("k", WEIR_FOUND_NOTHING, 0);
    CHECK_INT(bed.n_alive, 0);
    shut_bed();
}

static void a_failure_over_a_remembered_failure_is_the_answer(void **state)
{
    weir_cache_options o = plain;
    intptr_t old = 7;
    (void)state;
    o.negative_ttl = 100;
    open_bed(&o);
    weir_load *load = begin("k", 0);
    CHECK_INT(store(load, 1, 100, 1), 1);
    land(load, WEIR_FLIGHT_FAILED, 1);
    load = begin("k", 1); /* by hand, nobody looked */
    CHECK_INT(weir_cache_failed(bed.c, load, &old), 0);
    CHECK_INT(old, 7);
    CHECK_INT(store(load, 2, 100, 1), 1);
    land(load, WEIR_FLIGHT_FAILED, 2);
    finds("k", WEIR_FOUND_NEGATIVE, 2);
    shut_bed();
}

static void a_ttl_of_nothing_is_single_flight_alone(void **state)
{
    weir_cache_options o = plain;
    weir_waiter w[2];
    (void)state;
    o.ttl = 0;
    open_bed(&o);
    weir_load *load = begin("k", 0);
    wait_for(load, &w[0], WEIR_FOREVER);
    CHECK(look("k").load == load);
    wait_for(load, &w[1], WEIR_FOREVER);
    CHECK_INT(store(load, 1, 0, 0), 0);
    land(load, WEIR_FLIGHT_LANDED, 42);
    pass(0);
    CHECK_INT(bed.granted, 2);
    CHECK_INT(bed.saw, 42);
    finds("k", WEIR_FOUND_NOTHING, 0);
    CHECK_INT(bed.n_alive, 0);
    shut_bed();
}

/* --- early refresh ---------------------------------------------------------------------------- */

/* Refreshes asked for by one look at each of `looks` caches' worth of time left. */
static int early_of(uint64_t load_time, uint64_t left, double beta, int looks)
{
    weir_cache_options o = plain;
    int n = 0;
    o.early = beta;
    open_bed(&o);
    weir_load *load = begin("k", 0);
    pass(load_time);
    CHECK_INT(store(load, 1, 100000, 0), 1);
    land(load, WEIR_FLIGHT_LANDED, 1);
    pass(100000 - left);
    for (int i = 0; i < looks; i++) {
        weir_answer a = look("k");
        CHECK_INT(a.found, WEIR_FOUND_FRESH);
        n += a.refresh;
    }
    CHECK_INT(stats()->early, n);
    shut_bed();
    return n;
}

/* The chance of one is exp(-left / (load_time * beta)). */
static void early_refreshes_come_with_the_chance_that_xfetch_gives(void **state)
{
    (void)state;
    CHECK_INT(early_of(1000, 1, 0, 500), 0);     /* none asked for */
    CHECK_INT(early_of(1000, 60000, 1, 500), 0); /* 60 load times away: no chance */
    int n = early_of(1000, 1000, 1, 2000);       /* 1/e: 736 */
    CHECK(n > 600 && n < 870);
    n = early_of(1000, 1000, 2, 2000); /* exp(-1/2): 1213 */
    CHECK(n > 1070 && n < 1350);
    n = early_of(500, 1000, 1, 2000); /* exp(-2): 271 */
    CHECK(n > 170 && n < 370);
    CHECK(early_of(1000, 1, 1, 200) > 190); /* at the end: nearly all */
}

static void an_early_refresh_is_one(void **state)
{
    weir_cache_options o = plain;
    intptr_t old;
    (void)state;
    o.early = 1e6; /* as good as always */
    open_bed(&o);
    weir_load *load = begin("k", 0);
    pass(50);
    CHECK_INT(store(load, 1, 100, 0), 1);
    land(load, WEIR_FLIGHT_LANDED, 1);
    CHECK_INT(look("k").refresh, 1);
    load = begin("k", 1);
    CHECK_INT(look("k").refresh, 0); /* one is under way */
    CHECK_INT(weir_cache_failed(bed.c, load, &old), 1);
    land(load, WEIR_FLIGHT_LANDED, old);
    CHECK_INT(look("k").refresh, 1);
    set("k", 2, WEIR_FOREVER);
    CHECK_INT(look("k").refresh, 0); /* it has no end */
    set("k", 3, 100);
    CHECK_INT(look("k").refresh, 0); /* and this was not loaded */
    shut_bed();
}

static void a_failed_early_refresh_rests(void **state)
{
    weir_cache_options o = plain;
    intptr_t old;
    (void)state;
    o.early = 1e6; /* as good as always */
    o.negative_ttl = 10;
    open_bed(&o);
    weir_load *load = begin("k", 0);
    pass(50);
    CHECK_INT(store(load, 1, 100, 0), 1);
    land(load, WEIR_FLIGHT_LANDED, 1);
    load = begin("k", 1);
    CHECK_INT(weir_cache_failed(bed.c, load, &old), 1);
    land(load, WEIR_FLIGHT_LANDED, old);
    CHECK_INT(look("k").refresh, 0);
    shut_bed();
}

/* --- the hit ---------------------------------------------------------------------------------- */

static void a_hit_allocates_nothing_and_moves_nothing(void **state)
{
    char key[16];
    (void)state;
    open_bed(&plain);
    for (int i = 1; i <= 100; i++) {
        sprintf(key, "k%d", i);
        set(key, i, 100);
    }
    uint64_t allocs = weir_simulator_allocs(bed.sim);
    weir_link *first = weir_list_first(&bed.c->order);
    for (int i = 1; i <= 100; i++) {
        sprintf(key, "k%d", i);
        CHECK_INT(weir_cache_look(bed.c, key, strlen(key)).value, i);
    }
    CHECK_INT(weir_simulator_allocs(bed.sim), allocs);
    CHECK(weir_list_first(&bed.c->order) == first);
    CHECK_INT(stats()->hits, 100);
    shut_bed();
}

static void keys_are_bytes_of_any_length(void **state)
{
    static const size_t lengths[] = {0, 1, 7, 8, 63, 64, 65, 100, 1000, 100000};
    char *key = calloc(1, 100000);
    (void)state;
    assert_non_null(key);
    open_bed(&plain);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        CHECK_OK(weir_cache_set(bed.c, key, lengths[i], give((intptr_t)i + 1), 1, 100));
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        CHECK_INT(weir_cache_look(bed.c, key, lengths[i]).value, i + 1);
    key[99999] = 1;
    CHECK_INT(weir_cache_look(bed.c, key, 100000).found, WEIR_FOUND_NOTHING);
    free(key);
    shut_bed();
}

int main(void)
{
    const struct CMUnitTest cache[] = {
        cmocka_unit_test(bad_options_are_refused),
        cmocka_unit_test(a_value_is_fresh_to_the_nanosecond),
        cmocka_unit_test(the_ttl_counts_from_the_end_of_the_load),
        cmocka_unit_test(jitter_shortens_and_spreads),
        cmocka_unit_test(stale_is_answered_at_once_and_refreshed_once),
        cmocka_unit_test(a_refresh_that_hangs_pins_nothing),
        cmocka_unit_test(a_failed_refresh_keeps_the_old_value),
        cmocka_unit_test(without_a_negative_ttl_a_failed_refresh_is_tried_again),
        cmocka_unit_test(stale_if_error_is_for_failures_alone),
        cmocka_unit_test(an_entry_may_forbid_to_be_answered_past_its_ttl),
        cmocka_unit_test(who_wants_a_new_value_joins_or_begins_a_load),
        cmocka_unit_test(failures_and_nothing_are_remembered_for_their_own_time),
        cmocka_unit_test(nothing_replaces_the_old_value),
        cmocka_unit_test(a_failure_over_a_remembered_failure_is_the_answer),
        cmocka_unit_test(a_ttl_of_nothing_is_single_flight_alone),
        cmocka_unit_test(early_refreshes_come_with_the_chance_that_xfetch_gives),
        cmocka_unit_test(an_early_refresh_is_one),
        cmocka_unit_test(a_failed_early_refresh_rests),
        cmocka_unit_test(a_hit_allocates_nothing_and_moves_nothing),
        cmocka_unit_test(keys_are_bytes_of_any_length),
    };
    return CHECK_MAIN(cache);
}
