/* cache_forget_test.c - what invalidates: after it nothing older becomes visible, and who waits
 * still gets what he waited for. With the bugs of peers in it.
 */
#include "cache_bed.h"

/* --- invalidation ----------------------------------------------------------------------------- */

/* Caffeine 193, dataloader, lru-cache: what was loading when it was invalidated must not appear;
 * and who waited still gets it, who comes later begins anew. */
static void what_loads_during_an_invalidation_is_not_kept(void **state)
{
    (void)state;
    for (int how = 0; how < 5; how++) {
        weir_waiter w;
        open_bed(&plain);
        weir_load *load = begin("k", 0);
        wait_for(load, &w, WEIR_FOREVER);
        CHECK_OK(tag("k", "t"));
        if (how == 0)
            CHECK_INT(forget("k"), 1);
        else if (how == 1)
            weir_cache_clear(bed.c);
        else if (how == 2)
            CHECK_INT(delete_tag("t"), 0);
        else if (how == 3)
            set("k", 9, 100);
        else
            CHECK_ERR(set_sized("k", 9, 10, 0), WEIR_EOVERLOAD); /* a set to nothing */
        CHECK_INT(bed.abandoned, 0);
        weir_load *second = NULL;
        if (how != 3) {
            CHECK_INT(look("k").found, WEIR_FOUND_NOTHING);
            second = begin("k", 0);
            CHECK(look("k").load == second);
        }
        CHECK_INT(store(load, 1, 100, 0), 0);
        land(load, WEIR_FLIGHT_LANDED, 77);
        pass(0);
        CHECK_INT(bed.saw, 77);
        if (how == 3) {
            finds("k", WEIR_FOUND_FRESH, 9);
        } else {
            CHECK_INT(look("k").found, WEIR_FOUND_FLIGHT);
            CHECK_INT(store(second, 2, 100, 0), 1);
            land(second, WEIR_FLIGHT_LANDED, 2);
            finds("k", WEIR_FOUND_FRESH, 2);
        }
        CHECK_INT(stats()->discarded, 1);
        CHECK_INT(stats()->abandoned, 0);
        shut_bed();
    }
}

static void a_refresh_that_nobody_needs_any_more_is_told_to_stop(void **state)
{
    weir_waiter w;
    (void)state;
    open_bed(&plain);
    weir_load *a = begin("a", 1), *b = begin("b", 1);
    wait_for(b, &w, WEIR_FOREVER);
    weir_cache_clear(bed.c);
    CHECK_INT(bed.abandoned, 1); /* of b somebody waits for the value */
    CHECK_INT(a->flight.state, WEIR_FLIGHT_ABANDONED);
    land(a, WEIR_FLIGHT_LANDED, 1);
    land(b, WEIR_FLIGHT_LANDED, 2);
    pass(0);
    CHECK_INT(bed.saw, 2);
    CHECK_INT(stats()->discarded, 2);
    shut_bed();
}

/* janos/singleflight 4: after the last one left, a joiner must not join what is doomed; and while
 * somebody waits, one that leaves must not make room for a second load. */
static void a_doomed_load_is_out_of_reach_at_once(void **state)
{
    weir_waiter w[3];
    (void)state;
    open_bed(&plain);
    weir_load *load = begin("k", 0);
    wait_for(load, &w[0], WEIR_FOREVER);
    wait_for(load, &w[1], WEIR_FOREVER);
    weir_waiter_give_up(bed.rt, &w[0], WEIR_CANCELED);
    CHECK(look("k").load == load);
    weir_waiter_give_up(bed.rt, &w[1], WEIR_CANCELED);
    CHECK_INT(bed.abandoned, 1);
    CHECK_INT(look("k").found, WEIR_FOUND_NOTHING);
    weir_load *second = begin("k", 0);
    wait_for(second, &w[2], WEIR_FOREVER);
    CHECK_INT(store(load, 1, 100, 0), 0); /* its worker was too far to stop */
    land(load, WEIR_FLIGHT_LANDED, 1);
    CHECK_INT(store(second, 2, 100, 0), 1);
    land(second, WEIR_FLIGHT_LANDED, 2);
    pass(0);
    CHECK_INT(bed.granted, 1);
    CHECK_INT(bed.saw, 2);
    CHECK_INT(stats()->abandoned, 1);
    CHECK_INT(stats()->cancels, 2);
    shut_bed();
}

static void a_set_without_memory_changes_nothing(void **state)
{
    (void)state;
    open_bed(&plain);
    set("there", 1, 100);
    weir_load *load = begin("k", 0);
    weir_simulator_fail_alloc(bed.sim, 1, UINT64_MAX);
    CHECK_ERR(set_sized("k", 2, 10, 100), WEIR_ENOMEM);
    set("there", 3, 100); /* what is there needs no memory to be changed */
    CHECK(weir_cache_begin(bed.c, "x", 1, 0) == NULL);
    weir_simulator_fail_alloc(bed.sim, 0, 0);
    CHECK_INT(store(load, 4, 100, 0), 1); /* it may store: there was no set */
    land(load, WEIR_FLIGHT_LANDED, 4);
    finds("there", WEIR_FOUND_FRESH, 3);
    finds("k", WEIR_FOUND_FRESH, 4);
    shut_bed();
}

static void deletes_say_whether_there_was_something(void **state)
{
    (void)state;
    open_bed(&plain);
    CHECK_INT(forget("k"), 0);
    set("k", 1, 100);
    CHECK_INT(forget("k"), 1);
    CHECK_INT(forget("k"), 0);
    weir_load *load = begin("k", 0);
    CHECK_INT(forget("k"), 1);
    CHECK_INT(forget("k"), 0);
    land(load, WEIR_FLIGHT_LANDED, 0);
    CHECK_INT(stats()->deleted, 1);
    shut_bed();
}

/* --- tags ------------------------------------------------------------------------------------- */

static void a_tag_deletes_what_has_it_and_nothing_else(void **state)
{
    (void)state;
    open_bed(&plain);
    CHECK_OK(tag("nothing", "t")); /* no entry, no load */
    CHECK_INT(delete_tag("t"), 0);
    set("a", 1, 100);
    set("b", 2, 100);
    set("c", 3, 100);
    CHECK_OK(tag("a", "t"));
    CHECK_OK(tag("a", "t"));
    CHECK_OK(tag("a", "u"));
    CHECK_OK(tag("b", "t"));
    CHECK_OK(tag("c", "u"));
    CHECK_INT(delete_tag("t"), 2);
    CHECK_INT(delete_tag("t"), 0);
    CHECK_INT(look("a").found, WEIR_FOUND_NOTHING);
    CHECK_INT(look("b").found, WEIR_FOUND_NOTHING);
    finds("c", WEIR_FOUND_FRESH, 3);
    set("c", 4, 100); /* a set begins without tags */
    CHECK_INT(delete_tag("u"), 0);
    finds("c", WEIR_FOUND_FRESH, 4);
    CHECK_INT(stats()->deleted, 2);
    shut_bed();
}

static void what_a_load_is_tagged_with_its_value_has(void **state)
{
    weir_cache_options o = plain;
    (void)state;
    o.stale = 100;
    open_bed(&o);
    weir_load *load = begin("k", 0);
    CHECK_OK(tag("k", "t"));
    uint64_t allocs = weir_simulator_allocs(bed.sim);
    CHECK_OK(tag("k", "t")); /* it has it */
    CHECK_INT(weir_simulator_allocs(bed.sim), allocs);
    CHECK_INT(store(load, 1, 100, 0), 1);
    land(load, WEIR_FLIGHT_LANDED, 1);
    pass(150);
    load = begin("k", 1);
    CHECK_OK(tag("k", "u"));
    CHECK_INT(store(load, 2, 100, 0), 1);
    land(load, WEIR_FLIGHT_LANDED, 2);
    CHECK_INT(delete_tag("t"), 1); /* a refresh keeps them */
    CHECK_INT(look("k").found, WEIR_FOUND_NOTHING);
    load = begin("k", 0);
    CHECK_INT(store(load, 3, 100, 0), 1);
    land(load, WEIR_FLIGHT_LANDED, 3);
    CHECK_INT(delete_tag("u"), 0);
    finds("k", WEIR_FOUND_FRESH, 3);
    shut_bed();
}

/* The value was read before the tag was deleted, and the loader says its tag only afterwards. */
static void a_tag_that_was_deleted_while_it_loaded_comes_too_late(void **state)
{
    (void)state;
    open_bed(&plain);
    weir_load *old = begin("old", 0);
    CHECK_INT(delete_tag("t"), 0);
    weir_load *young = begin("young", 0);
    CHECK_OK(tag("old", "t"));
    CHECK_OK(tag("young", "t"));
    CHECK_INT(store(old, 1, 100, 0), 0);
    CHECK_INT(store(young, 2, 100, 0), 1);
    land(old, WEIR_FLIGHT_LANDED, 0);
    land(young, WEIR_FLIGHT_LANDED, 0);
    CHECK_INT(look("old").found, WEIR_FOUND_NOTHING);
    finds("young", WEIR_FOUND_FRESH, 2);
    CHECK_INT(delete_tag("t"), 1);
    shut_bed();
}

/* The refresh of a tagged entry has not said anything yet: it is older than the deletion too. */
static void the_refresh_of_a_tagged_entry_is_discarded_with_it(void **state)
{
    (void)state;
    open_bed(&plain);
    set("k", 1, 100);
    CHECK_OK(tag("k", "t"));
    weir_load *load = begin("k", 1);
    CHECK_INT(delete_tag("t"), 1);
    CHECK_INT(bed.abandoned, 1);
    CHECK_INT(store(load, 2, 100, 0), 0);
    land(load, WEIR_FLIGHT_LANDED, 0);
    CHECK_INT(look("k").found, WEIR_FOUND_NOTHING);
    shut_bed();
}

/* A tag that is deleted again while it is remembered: the later one counts. */
static void the_last_deletion_of_a_tag_counts(void **state)
{
    (void)state;
    open_bed(&plain);
    weir_load *a = begin("a", 0);
    CHECK_INT(delete_tag("t"), 0);
    weir_load *b = begin("b", 0);
    CHECK_INT(delete_tag("u"), 0);
    CHECK_INT(delete_tag("t"), 0);
    CHECK_OK(tag("b", "t"));
    CHECK_INT(store(b, 1, 100, 0), 0);
    land(b, WEIR_FLIGHT_LANDED, 0);
    land(a, WEIR_FLIGHT_LANDED, 0);
    shut_bed();
}

/* What is remembered of deleted tags is bounded: past that, or without memory, too much is
 * discarded, never too little; and when the loads are over nothing is remembered. */
static void deleted_tags_are_remembered_within_bounds(void **state)
{
    char name[16];
    (void)state;
    for (int short_of_memory = 0; short_of_memory < 2; short_of_memory++) {
        open_bed(&plain);
        weir_load *a = begin("a", 0), *b = begin("b", 0);
        size_t before = weir_simulator_bytes(bed.sim);
        if (short_of_memory)
            weir_simulator_fail_alloc(bed.sim, 1, UINT64_MAX);
        for (int i = 0; i < 3 * WEIR_CACHE_TAGS; i++) {
            sprintf(name, "t%d", i);
            CHECK_INT(weir_cache_delete_tag(bed.c, name, strlen(name)), 0);
        }
        CHECK_INT(weir_cache_validate(bed.c), 0);
        weir_simulator_fail_alloc(bed.sim, 0, 0);
        CHECK(weir_simulator_bytes(bed.sim) - before < (size_t)WEIR_CACHE_TAGS * 200 + 4096);
        CHECK_OK(tag("a", "t0"));
        CHECK_INT(store(a, 1, 100, 0), 0);
        CHECK_OK(tag("b", "never deleted"));
        CHECK_INT(store(b, 2, 100, 0), 0); /* it might have been */
        land(a, WEIR_FLIGHT_LANDED, 0);
        land(b, WEIR_FLIGHT_LANDED, 0);
        weir_load *c = begin("c", 0);
        CHECK_OK(tag("c", "t0"));
        CHECK_INT(store(c, 3, 100, 0), 1);
        land(c, WEIR_FLIGHT_LANDED, 0);
        CHECK_INT(bed.c->n_deleted_tags, 0);
        shut_bed();
    }
}

static void a_load_from_before_is_let_go_with_its_tags(void **state)
{
    (void)state;
    open_bed(&plain);
    set("k", 1, 100);
    weir_load *load = begin("k", 1);
    CHECK_INT(delete_tag("t"), 0); /* remembered for the load alone */
    CHECK_OK(tag("k", "t"));       /* discards it; the tag is then forgotten, and made anew */
    CHECK_INT(load->indexed, 0);
    land(load, WEIR_FLIGHT_LANDED, 0);
    finds("k", WEIR_FOUND_FRESH, 1);
    CHECK_INT(delete_tag("t"), 1);
    shut_bed();
}

static void tags_weigh_and_are_bounded(void **state)
{
    weir_cache_options o = plain;
    (void)state;
    o.max_bytes = 2 * weir__entry_cost(1, 200) + 200;
    open_bed(&o);
    CHECK_OK(set_sized("a", 1, 200, 100));
    CHECK_OK(set_sized("b", 2, 200, 100));
    uint64_t without = weir_cache_bytes(bed.c);
    CHECK_OK(tag("a", "t"));
    CHECK(weir_cache_bytes(bed.c) > without && weir_cache_bytes(bed.c) <= o.max_bytes);
    CHECK_OK(tag("a", "a tag with so long a name that one entry has to go for it"));
    CHECK_INT(weir_cache_count(bed.c), 1);
    finds("a", WEIR_FOUND_FRESH, 1);
    char huge[800];
    memset(huge, 'x', sizeof huge);
    CHECK_OK(weir_cache_tag(bed.c, "a", 1, huge, sizeof huge)); /* and this one not even alone */
    CHECK_INT(weir_cache_validate(bed.c), 0);
    CHECK_INT(weir_cache_count(bed.c), 0);
    CHECK_INT(weir_cache_bytes(bed.c), 0);
    shut_bed();
}

int main(void)
{
    const struct CMUnitTest cache_forget[] = {
        cmocka_unit_test(what_loads_during_an_invalidation_is_not_kept),
        cmocka_unit_test(a_refresh_that_nobody_needs_any_more_is_told_to_stop),
        cmocka_unit_test(a_doomed_load_is_out_of_reach_at_once),
        cmocka_unit_test(a_set_without_memory_changes_nothing),
        cmocka_unit_test(deletes_say_whether_there_was_something),
        cmocka_unit_test(a_tag_deletes_what_has_it_and_nothing_else),
        cmocka_unit_test(what_a_load_is_tagged_with_its_value_has),
        cmocka_unit_test(a_tag_that_was_deleted_while_it_loaded_comes_too_late),
        cmocka_unit_test(the_refresh_of_a_tagged_entry_is_discarded_with_it),
        cmocka_unit_test(the_last_deletion_of_a_tag_counts),
        cmocka_unit_test(deleted_tags_are_remembered_within_bounds),
        cmocka_unit_test(a_load_from_before_is_let_go_with_its_tags),
        cmocka_unit_test(tags_weigh_and_are_bounded),
    };
    return CHECK_MAIN(cache_forget);
}
