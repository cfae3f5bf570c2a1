/* cache_bounds_test.c - how much is kept, who goes, and that no call is a long one. */
#include "cache_bed.h"

/* --- bounds ----------------------------------------------------------------------------------- */

static void what_was_hit_is_spared_once(void **state)
{
    weir_cache_options o = plain;
    (void)state;
    o.max = 3;
    open_bed(&o);
    set("a", 1, 100);
    set("b", 2, 100);
    set("c", 3, 100);
    finds("a", WEIR_FOUND_FRESH, 1);
    set("d", 4, 100); /* the hand spares a, takes b */
    CHECK_INT(weir_cache_peek(bed.c, "b", 1).found, WEIR_FOUND_NOTHING);
    set("e", 5, 100); /* goes on at c */
    CHECK_INT(weir_cache_peek(bed.c, "c", 1).found, WEIR_FOUND_NOTHING);
    set("f", 6, 100); /* d; a peek does not spare */
    CHECK_INT(weir_cache_peek(bed.c, "d", 1).found, WEIR_FOUND_NOTHING);
    finds("a", WEIR_FOUND_FRESH, 1);
    CHECK_INT(stats()->evicted, 3);
    CHECK_INT(weir_cache_count(bed.c), 3);
    shut_bed();
}

static void a_scan_leaves_what_is_in_use(void **state)
{
    enum { HOT = WEIR_CACHE_HAND > 10 ? 10 : 3 };
    weir_cache_options o = plain;
    char key[16];
    (void)state;
    o.max = 20;
    open_bed(&o);
    for (int i = 1; i <= HOT; i++) {
        sprintf(key, "hot%d", i);
        set(key, i, WEIR_FOREVER);
    }
    for (int i = 0; i < 1000; i++) {
        sprintf(key, "scan%d", i);
        set(key, 100 + i, WEIR_FOREVER);
        sprintf(key, "hot%d", i % HOT + 1);
        finds(key, WEIR_FOUND_FRESH, i % HOT + 1);
    }
    shut_bed();
}

/* lru-cache 320: eviction aborted what was loading. */
static void loads_are_no_entries_and_stay(void **state)
{
    weir_cache_options o = plain;
    weir_waiter w;
    (void)state;
    o.max = 1;
    open_bed(&o);
    weir_load *load = begin("k", 0);
    wait_for(load, &w, WEIR_FOREVER);
    for (int i = 1; i < 50; i++) {
        char key[16];
        sprintf(key, "x%d", i);
        set(key, i, 100);
    }
    CHECK(look("k").load == load);
    CHECK_INT(bed.abandoned, 0);
    CHECK_INT(store(load, 99, 100, 0), 1);
    land(load, WEIR_FLIGHT_LANDED, 99);
    finds("k", WEIR_FOUND_FRESH, 99);
    CHECK_INT(weir_cache_count(bed.c), 1);
    pass(0);
    shut_bed();
}

static void bytes_are_those_of_malloc(void **state)
{
    (void)state;
    open_bed(&plain);
    size_t before = weir_simulator_bytes(bed.sim);
    set_sized("0123456789abcdef", 1, 1000, 100);
    size_t index = weir_simulator_bytes(bed.sim) - before;
    CHECK_OK(set_sized("0123456789abcdeX", 2, 1000, 100));
    size_t record = weir_simulator_bytes(bed.sim) - before - index;
    /* its record with malloc's own eight bytes in steps of sixteen, a pointer of the index */
    CHECK_INT(weir_cache_bytes(bed.c), 2 * ((record + 8 + 15) / 16 * 16 + 8 + 1000));
    CHECK_OK(set_sized("0123456789abcdeX", 3, 10, 100));
    CHECK_INT(weir_cache_bytes(bed.c), 2 * ((record + 8 + 15) / 16 * 16 + 8) + 1010);
    forget("0123456789abcdef");
    forget("0123456789abcdeX");
    CHECK_INT(weir_cache_bytes(bed.c), 0);
    shut_bed();
}

static void bytes_bound_what_is_kept(void **state)
{
    weir_cache_options o = plain;
    (void)state;
    o.max_bytes = 2 * weir__entry_cost(1, 100);
    open_bed(&o);
    CHECK_OK(set_sized("a", 1, 100, 100));
    CHECK_OK(set_sized("b", 2, 100, 100));
    CHECK_INT(weir_cache_bytes(bed.c), o.max_bytes);
    CHECK_OK(set_sized("c", 3, 100, 100));
    CHECK_INT(weir_cache_count(bed.c), 2);
    CHECK_OK(set_sized("c", 4, 101, 100)); /* one byte more: the other one goes, not itself */
    CHECK_INT(weir_cache_count(bed.c), 1);
    finds("c", WEIR_FOUND_FRESH, 4);
    shut_bed();
}

/* Neither is it kept nor may what it was to replace be seen: that is older. */
static void an_entry_that_is_too_large_alone_is_not_kept(void **state)
{
    weir_cache_options o = plain;
    (void)state;
    o.max_bytes = weir__entry_cost(1, 100);
    open_bed(&o);
    CHECK_OK(set_sized("k", 1, 100, 100));
    CHECK_ERR(set_sized("k", 2, 101, 100), WEIR_EOVERLOAD);
    CHECK_INT(look("k").found, WEIR_FOUND_NOTHING);
    CHECK_INT(bed.n_alive, 0);
    CHECK_OK(set_sized("k", 3, 100, 100));
    weir_load *load = begin("k", 1);
    CHECK_INT(weir_cache_store(bed.c, load, give(4), SIZE_MAX, 100, 0), 0);
    land(load, WEIR_FLIGHT_LANDED, 4);
    CHECK_INT(look("k").found, WEIR_FOUND_NOTHING);
    CHECK_INT(weir_cache_count(bed.c), 0);
    CHECK_INT(stats()->evicted, 2);
    shut_bed();
}

/* Nobody asks for them any more and there is no tick: insertions find them. */
static void what_has_expired_takes_no_room_for_ever(void **state)
{
    char key[16];
    (void)state;
    open_bed(&plain);
    for (int i = 1; i <= 1000; i++) {
        sprintf(key, "old%d", i);
        set(key, i, 10);
    }
    pass(10);
    CHECK_INT(weir_cache_count(bed.c), 1000);
    for (int i = 1; i <= 750; i++) { /* two looks each; the first ones met are those before */
        sprintf(key, "new%d", i);
        set(key, 1000 + i, 100);
    }
    CHECK_INT(weir_cache_count(bed.c), 750);
    CHECK_INT(stats()->expired, 1000);
    CHECK_INT(stats()->evicted, 0);
    shut_bed();
}

static void what_has_expired_goes_before_what_is_fresh(void **state)
{
    weir_cache_options o = plain;
    (void)state;
    o.max = 3;
    open_bed(&o);
    set("a", 1, 10);
    set("b", 2, 100);
    set("c", 3, 100);
    finds("a", WEIR_FOUND_FRESH, 1); /* it was hit */
    pass(10);
    set("d", 4, 100);
    finds("b", WEIR_FOUND_FRESH, 2);
    finds("c", WEIR_FOUND_FRESH, 3);
    CHECK_INT(stats()->expired, 1);
    CHECK_INT(stats()->evicted, 0);
    shut_bed();
}

static void more_waiters_than_allowed_are_told(void **state)
{
    weir_cache_options o = plain;
    weir_waiter w[2];
    (void)state;
    o.max_waiting = 2;
    open_bed(&o);
    weir_load *a = begin("a", 0);
    wait_for(a, &w[0], WEIR_FOREVER);
    wait_for(a, &w[1], WEIR_FOREVER);
    CHECK_INT(weir_cache_waiting(bed.c), 2);
    CHECK_INT(look("a").found, WEIR_FOUND_FULL);
    CHECK_INT(look("b").found, WEIR_FOUND_FULL);
    set("c", 1, 100);
    finds("c", WEIR_FOUND_FRESH, 1); /* who need not wait is not turned away */
    CHECK_INT(stats()->overload, 2);
    CHECK_INT(stats()->misses, 0);
    weir_waiter_give_up(bed.rt, &w[0], WEIR_TIMEOUT);
    CHECK_INT(look("b").found, WEIR_FOUND_NOTHING);
    pass(30);
    land(a, WEIR_FLIGHT_LANDED, 0);
    CHECK_INT(weir_cache_waiting(bed.c), 0);
    pass(0);
    /* one load of 30 is known; one that began 10 ago may take 20 more */
    a = begin("a", 0);
    pass(10);
    CHECK_INT(weir_cache_retry_after(bed.c), 20);
    pass(40);
    CHECK_INT(weir_cache_retry_after(bed.c), 0);
    land(a, WEIR_FLIGHT_LANDED, 0);
    shut_bed();
}

/* --- clears ----------------------------------------------------------------------------------- */

/* k00001 and on, with values from `value` on; without a look at the whole cache each time. */
static void fill(intptr_t value, int n)
{
    for (int i = 1; i <= n; i++) {
        char key[16];
        sprintf(key, "k%05d", i);
        CHECK_OK(weir_cache_set(bed.c, key, 6, give(value++), 10, 100));
    }
    CHECK_INT(weir_cache_validate(bed.c), 0);
}

static void a_large_clear_is_done_at_once_and_freed_in_slices(void **state)
{
    enum { N = 4000 };
    weir_cache_options o = plain;
    uint64_t turns = 0;
    (void)state;
    o.max_bytes = N * weir__entry_cost(6, 10);
    open_bed(&o);
    fill(1, N - 1);
    for (int i = 1; i < N; i += 2) {
        char key[16];
        sprintf(key, "k%05d", i);
        CHECK_OK(weir_cache_tag(bed.c, key, 6, i % 4 == 1 ? "t" : "u", 1));
    }
    int before = bed.n_alive;
    weir_cache_clear(bed.c);
    CHECK_INT(weir_cache_validate(bed.c), 0);
    CHECK_INT(weir_cache_count(bed.c), 0);
    CHECK_INT(bed.n_alive, before - WEIR_CACHE_SLICE);
    CHECK_INT(weir_cache_peek(bed.c, "k00001", 6).found, WEIR_FOUND_NOTHING);
    CHECK_INT(delete_tag("t"), 0);
    CHECK(weir_cache_bytes(bed.c) > 0); /* it is still memory, and bounds what comes */
    set("k00001", N + 1, 100);
    CHECK_OK(tag("k00001", "t"));
    for (; weir_cache_count(bed.c) == 1 && bed.n_alive > 1; turns++) {
        int alive = bed.n_alive;
        pass(0);
        CHECK(bed.n_alive >= alive - WEIR_CACHE_SLICE);
        CHECK(weir_next_turn(bed.rt) == 0 || bed.n_alive == 1);
    }
    CHECK(turns > 1 && turns < N);
    finds("k00001", WEIR_FOUND_FRESH, N + 1);
    CHECK_INT(delete_tag("t"), 1);
    CHECK_QUIET(bed.rt);
    shut_bed();
}

/* Somebody is always ready, it is never quiet: then those who put something in do it. */
static void insertions_free_what_a_clear_left(void **state)
{
    enum { N = 2000 };
    (void)state;
    open_bed(&plain);
    fill(1, N);
    weir_cache_clear(bed.c);
    for (int i = 1; i <= N; i++)
        set("k", N + i % 2 + 1, 100);
    CHECK_INT(bed.n_alive, 1);
    CHECK_QUIET(bed.rt); /* nothing is left to do */
    shut_bed();
}

static void what_a_clear_left_goes_before_anything_is_evicted(void **state)
{
    enum { N = 1000 };
    weir_cache_options o = plain;
    char key[16];
    (void)state;
    o.max_bytes = N * weir__entry_cost(6, 10);
    open_bed(&o);
    for (int round = 0; round < 2; round++) {
        for (int i = 1; i <= N; i++) {
            sprintf(key, "k%05d", i);
            set(key, N * round + i, 100);
            CHECK(weir_cache_bytes(bed.c) <= o.max_bytes);
        }
        CHECK_INT(weir_cache_count(bed.c), N);
        CHECK_INT(stats()->evicted, 0);
        if (round == 0)
            weir_cache_clear(bed.c);
    }
    shut_bed();
}

static void one_large_entry_takes_the_place_of_what_a_clear_left(void **state)
{
    enum { N = 2000 };
    weir_cache_options o = plain;
    (void)state;
    o.max_bytes = N * weir__entry_cost(6, 10);
    open_bed(&o);
    fill(1, N);
    weir_cache_clear(bed.c);
    CHECK_OK(set_sized("k", N + 1, o.max_bytes - weir__entry_cost(1, 0), 100));
    CHECK_INT(weir_cache_bytes(bed.c), o.max_bytes);
    CHECK_INT(bed.n_alive, 1);
    shut_bed();
}

static void a_freed_cache_leaves_its_flights_good(void **state)
{
    weir_waiter w;
    (void)state;
    open_bed(&plain);
    set("x", 1, 100);
    weir_load *wanted = begin("k", 0), *behind = begin("b", 1);
    CHECK_OK(tag("k", "t"));
    wait_for(wanted, &w, WEIR_FOREVER);
    weir_cache_free(bed.c);
    bed.c = NULL;
    CHECK_INT(bed.n_alive, 0);
    CHECK_INT(bed.abandoned, 1); /* the refresh */
    CHECK(wanted->of == NULL && behind->of == NULL);
    weir_flight_land(bed.rt, &behind->flight, WEIR_FLIGHT_FAILED, 0);
    weir_flight_land(bed.rt, &wanted->flight, WEIR_FLIGHT_LANDED, 5);
    weir_turn(bed.rt);
    CHECK_INT(bed.saw, 5);
    CHECK_INT(bed.freed, 2);
    shut_bed();
}

static void a_closed_cache_settles_everybody(void **state)
{
    weir_waiter w[3];
    (void)state;
    open_bed(&plain);
    set("x", 1, 100);
    weir_load *a = begin("a", 0), *b = begin("b", 1), *stray = begin("s", 0);
    wait_for(a, &w[0], WEIR_FOREVER);
    wait_for(a, &w[1], WEIR_FOREVER);
    wait_for(stray, &w[2], WEIR_FOREVER);
    forget("s");
    weir_cache_close(bed.c);
    weir_cache_close(bed.c);
    CHECK_INT(weir_cache_validate(bed.c), 0);
    for (int i = 0; i < 3; i++)
        CHECK_INT(w[i].status, WEIR_CLOSED);
    CHECK_INT(bed.abandoned, 3);
    CHECK_INT(stats()->closes, 3);
    CHECK_INT(weir_cache_is_closed(bed.c), 1);
    CHECK_INT(look("x").found, WEIR_FOUND_NOTHING);
    CHECK(weir_cache_begin(bed.c, "x", 1, 0) == NULL);
    CHECK_ERR(set_sized("x", 2, 10, 100), WEIR_ECLOSED);
    CHECK_INT(bed.n_alive, 0);
    land(a, WEIR_FLIGHT_LANDED, 0);
    land(b, WEIR_FLIGHT_LANDED, 0);
    land(stray, WEIR_FLIGHT_LANDED, 0);
    pass(0);
    CHECK_INT(bed.freed, 3);
    shut_bed();
}

int main(void)
{
    const struct CMUnitTest cache_bounds[] = {
        cmocka_unit_test(what_was_hit_is_spared_once),
        cmocka_unit_test(a_scan_leaves_what_is_in_use),
        cmocka_unit_test(loads_are_no_entries_and_stay),
        cmocka_unit_test(bytes_are_those_of_malloc),
        cmocka_unit_test(bytes_bound_what_is_kept),
        cmocka_unit_test(an_entry_that_is_too_large_alone_is_not_kept),
        cmocka_unit_test(what_has_expired_takes_no_room_for_ever),
        cmocka_unit_test(what_has_expired_goes_before_what_is_fresh),
        cmocka_unit_test(more_waiters_than_allowed_are_told),
        cmocka_unit_test(a_large_clear_is_done_at_once_and_freed_in_slices),
        cmocka_unit_test(insertions_free_what_a_clear_left),
        cmocka_unit_test(what_a_clear_left_goes_before_anything_is_evicted),
        cmocka_unit_test(one_large_entry_takes_the_place_of_what_a_clear_left),
        cmocka_unit_test(a_freed_cache_leaves_its_flights_good),
        cmocka_unit_test(a_closed_cache_settles_everybody),
    };
    return CHECK_MAIN(cache_bounds);
}
