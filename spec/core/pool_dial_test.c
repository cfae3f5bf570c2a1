/* pool_dial_test.c - the pool's growth: spikes, staggers, patience, `min`, depth, no memory.
 *
 * The times of a spike are those of control-field.md 1.12: dials of 150 ms, uses of 2 ms.
 */
#include "pool_bed.h"

static weir_pool_options options(uint32_t min, uint32_t max)
{
    weir_pool_options o = weir_pool_defaults();
    o.min = min;
    o.max = max;
    return o;
}

static uint64_t last_turn(const pool_bed *b, unsigned from, unsigned n)
{
    uint64_t last = 0;
    for (unsigned i = from; i < from + n; i++)
        last = b->w[i].at > last ? b->w[i].at : last;
    return last;
}

/* `n` requests at once, each holds for `hold`; runs until all were served and gives the time. */
static uint64_t burst(pool_bed *b, unsigned n, uint64_t hold, uint64_t limit)
{
    uint64_t start = weir_now(b->rt);
    for (unsigned i = 0; i < n; i++) {
        b->w[i].hold = hold;
        pool_bed_acquire(b, i, WEIR_FOREVER);
    }
    for (uint64_t t = 0; t < limit && b->p.stats.grants - b->p.stats.hold.count + b->p.waiting > 0;
         t += MS)
        pool_bed_run(b, MS);
    for (unsigned i = 0; i < n; i++)
        CHECK_INT(pool_bed_status(b, i), WEIR_GRANTED);
    return last_turn(b, 0, n) - start;
}

/* --- the spike ----------------------------------------------------------------------- */

/* Five warm, fifty requests at once. Bound to dials of their own they would take 150 ms and end at
 * fifty; the ideal is 50 * 2 / 5 = 20 ms. */
static void a_spike_is_served_by_what_is_warm(void **state)
{
    (void)state;
    for (int has_history = 0; has_history < 2; has_history++) {
        weir_pool_options o = options(5, 50);
        pool_bed *b = pool_bed_with(&o, 0);
        pool_bed_run(b, 0);
        b->create_ns = 150 * MS;
        if (has_history) { /* it knows how long a dial and a use take */
            b->p.recent_create = 150 * MS;
            burst(b, 5, 2 * MS, 10 * MS);
            CHECK_INT(b->creates, 5);
            b->n_turned = 0;
        }
        uint64_t took = burst(b, 50, 2 * MS, WEIR_SECOND);
        print_message("  served in %llu us, %u resources, %llu dials elided\n",
                      (unsigned long long)took / 1000, pool_bed_total(b),
                      (unsigned long long)b->p.stats.elided);
        CHECK_INT(took, 18 * MS); /* the last five of ten rounds begin */
        CHECK_INT(b->most, has_history ? 5 : 6);
        CHECK_INT(b->p.stats.elided, has_history ? 45 : 44);
        for (unsigned i = 0; i < 50; i++)
            CHECK_INT(b->turned[i], i);
        pool_bed_run(b, 200 * MS);
        CHECK_INT(pool_bed_total(b), has_history ? 5 : 6); /* and no more come later */
        pool_bed_free(b);
    }
}

static void a_cold_burst_ramps_up(void **state)
{
    static const struct {
        uint64_t create, hold, within;
        unsigned most;
    } cases[] = {
        {150 * MS, 2 * MS, 230 * MS, 8}, /* quick uses: a few do */
        {150 * MS, WEIR_SECOND, 1650 * MS, 50},
        {MS, 2 * MS, 18 * MS, 16}, /* quick dials: the next when one has ended */
        {0, 2 * MS, 0, 50},
        {3 * WEIR_SECOND, 2 * MS, 3070 * MS, 10}, /* a slow server is not stormed */
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        weir_pool_options o = options(0, 50);
        pool_bed *b = pool_bed_with(&o, cases[i].create);
        uint64_t took = burst(b, 50, cases[i].hold, 100 * WEIR_SECOND);
        print_message("  dials of %llu us, uses of %llu us: served in %llu us, %u resources\n",
                      (unsigned long long)cases[i].create / 1000,
                      (unsigned long long)cases[i].hold / 1000, (unsigned long long)took / 1000,
                      b->most);
        CHECK(took <= cases[i].within);
        CHECK(b->most <= cases[i].most);
        pool_bed_free(b);
    }
}

/* --- how dials are spaced ------------------------------------------------------------ */

static void the_next_dial_waits_for_the_stagger_while_one_is_on_its_way(void **state)
{
    weir_pool_options o = options(0, 10);
    (void)state;
    o.max_dials = 3;
    pool_bed *b = pool_bed_with(&o, WEIR_SECOND);
    for (unsigned i = 0; i < 6; i++)
        pool_bed_acquire(b, i, WEIR_FOREVER);
    CHECK_INT(b->creates, 1);
    pool_bed_run(b, 30 * MS - 1);
    CHECK_INT(b->creates, 1);
    pool_bed_run(b, 1);
    CHECK_INT(b->creates, 2);
    pool_bed_run(b, 30 * MS);
    CHECK_INT(b->creates, 3);
    pool_bed_run(b, 500 * MS);
    CHECK_INT(b->creates, 3); /* max_dials are on their way */
    b->create_ns = 10 * MS;
    pool_bed_run(b, 440 * MS);
    CHECK_INT(b->p.stats.created, 1);
    CHECK_INT(b->creates, 4); /* as soon as one has ended */
    pool_bed_free(b);
}

static void a_dial_for_which_the_need_is_gone_is_not_begun(void **state)
{
    weir_pool_options o = options(0, 10);
    pool_bed *b = pool_bed_with(&o, 50 * MS);
    (void)state;
    for (unsigned i = 0; i < 3; i++)
        pool_bed_acquire(b, i, i == 0 ? WEIR_FOREVER : 20 * MS);
    pool_bed_run(b, 20 * MS);
    CHECK_INT(pool_bed_status(b, 1), WEIR_TIMEOUT);
    CHECK_INT(b->p.stats.elided, 2);
    CHECK(!weir_timer_is_set(&b->p.dial));
    pool_bed_run(b, 100 * MS);
    CHECK_INT(b->creates, 1);
    pool_bed_acquire(b, 1, 10 * MS); /* its dial is kept when it leaves */
    pool_bed_run(b, 100 * MS);
    CHECK_INT(b->p.n_idle, 1);
    pool_bed_free(b);
}

/* It waits no longer than foreseen, nor than the stagger: whoever waits gets a dial. */
static void patience_has_an_end(void **state)
{
    weir_pool_options o = options(1, 10);
    (void)state;
    pool_bed *b = pool_bed_with(&o, 0);
    pool_bed_run(b, 0);
    b->create_ns = 150 * MS;
    b->p.recent_create = 150 * MS;
    CHECK_OK(pool_bed_take(b, 0));
    pool_bed_run(b, 2 * MS);
    pool_bed_release(b, 0); /* uses take 2 ms */
    CHECK_OK(pool_bed_take(b, 0));
    pool_bed_acquire(b, 1, WEIR_FOREVER);
    CHECK_INT(b->creates, 1);
    pool_bed_run(b, 4 * MS - 1);
    CHECK_INT(b->creates, 1);
    pool_bed_run(b, 1);
    CHECK_INT(b->creates, 2); /* this one takes longer */
    pool_bed_run(b, 200 * MS);
    CHECK_INT(pool_bed_status(b, 1), WEIR_GRANTED);
    pool_bed_acquire(b, 2, WEIR_FOREVER); /* both are out longer than usual */
    CHECK_INT(b->creates, 3);
    pool_bed_free(b);

    o.max = 50; /* a queue that others lengthen all the time */
    b = pool_bed_with(&o, 0);
    pool_bed_run(b, 0);
    b->create_ns = 150 * MS;
    b->p.recent_create = 150 * MS;
    CHECK_OK(pool_bed_take(b, 0));
    pool_bed_run(b, MS);
    pool_bed_release(b, 0);
    b->w[0].hold = MS;
    pool_bed_acquire(b, 0, WEIR_FOREVER);
    for (unsigned i = 1; i < 45; i++) {
        b->w[i].hold = MS;
        pool_bed_acquire(b, i, WEIR_FOREVER);
        if (i % 2 == 0)
            pool_bed_run(b, MS);
        CHECK(b->creates == 1 || weir_now(b->rt) > 3 * MS);
    }
    CHECK_INT(b->creates, 2);
    CHECK(weir_now(b->rt) <= MS + 30 * MS);
    pool_bed_free(b);
}

/* --- min ----------------------------------------------------------------------------- */

static void min_is_kept_by_the_changes_themselves(void **state)
{
    weir_pool_options o = options(3, 10);
    weir_lease *lease;
    pool_bed *b = pool_bed_with(&o, 0);
    (void)state;
    CHECK_INT(b->creates, 0); /* not before its first turn */
    pool_bed_run(b, 0);
    CHECK_INT(b->p.n_idle, 3);
    for (unsigned i = 0; i < 3; i++)
        CHECK_OK(pool_bed_take(b, i));
    b->create_ns = 40 * MS;
    for (unsigned i = 0; i < 3; i++) {
        lease = b->w[i].lease;
        b->w[i].lease = NULL;
        weir_lease_discard(lease);
        CHECK_POOL(b);
    }
    CHECK_INT(b->p.n_connecting, 1);
    pool_bed_run(b, 100 * MS);
    CHECK_INT(b->p.n_idle, 3);
    CHECK_INT(b->p.n_connecting, 0);
    pool_bed_free(b);
}

/* --- depth and memory ---------------------------------------------------------------- */

static void note(weir_runtime *rt, weir_waiter *w)
{
    (void)rt;
    (void)w;
}

/* A queue of many, settled by answers from inside the calls: one after the other, not one inside
 * the other. */
static void nothing_recurses_with_the_queue(void **state)
{
    enum { MANY = 200000 };
    weir_waiter *w = calloc(MANY, sizeof *w);
    weir_lease **lease = calloc(MANY, sizeof(weir_lease *));
    (void)state;
    assert_non_null(w);
    assert_non_null(lease);
    for (int fails = 0; fails < 2; fails++) {
        weir_pool_options o = options(0, MANY);
        pool_bed *b = pool_bed_new();
        b->create_ns = 5;
        b->fails = fails;
        o.open_after = 1;
        pool_bed_open(b, &o);
        for (int i = 0; i < MANY; i++) {
            weir_waiter_init(&w[i], note);
            CHECK_OK(weir_pool_acquire(&b->p, NULL, &w[i], WEIR_FOREVER, 0, &lease[i]));
        }
        CHECK_INT(b->creates, 1);
        b->create_ns = 0; /* all the others answer at once */
        weir_simulator_advance(b->sim, 5);
        while (weir_turn(b->rt) > 0)
            ;
        CHECK_POOL(b);
        CHECK_INT(b->p.stats.grants, fails ? 0 : MANY);
        CHECK_INT(b->p.stats.failed + b->p.stats.open, fails ? MANY : 0);
        CHECK_INT(b->creates, fails ? 1 : MANY);
        for (int i = 0; i < MANY; i++) {
            CHECK_INT(w[i].status, fails ? WEIR_FAILED : WEIR_GRANTED);
            if (fails)
                weir_lease_forget(lease[i]);
            else
                weir_lease_release(lease[i], 0);
        }
        pool_bed_free(b); /* closes them all, from inside one call */
    }
    free(w);
    free(lease);
}

/* The record of a dial is no part of a call that could report it: it fails as its create would. */
static void a_dial_without_memory_is_a_failed_one(void **state)
{
    weir_pool_options o = options(1, 2);
    pool_bed *b = pool_bed_with(&o, 0);
    (void)state;
    weir_simulator_fail_alloc(b->sim, 1, 1);
    pool_bed_run(b, 0);
    CHECK_INT(b->p.failures, 1);
    CHECK_INT(b->p.cause_rc, WEIR_ENOMEM);
    pool_bed_run(b, 300 * MS);
    CHECK_INT(b->creates, 1); /* what `min` lacks came later */
    CHECK_INT(b->p.n_idle, 1);
    CHECK_OK(pool_bed_take(b, 0));
    pool_bed_acquire(b, 1, WEIR_FOREVER);
    pool_bed_acquire(b, 2, WEIR_FOREVER);
    pool_bed_acquire(b, 3, WEIR_FOREVER);
    pool_bed_run(b, 0);
    weir_simulator_fail_alloc(b->sim, 1, 0);
    weir_lease *held = b->w[1].lease;
    b->w[1].lease = NULL;
    weir_lease_discard(held);
    CHECK_POOL(b);
    CHECK_INT(pool_bed_status(b, 2), WEIR_FAILED);
    CHECK_INT(b->w[2].lease->rc, WEIR_ENOMEM);
    CHECK_INT(pool_bed_status(b, 3), WEIR_PENDING);
    pool_bed_run(b, 100 * MS);
    CHECK_INT(pool_bed_status(b, 3), WEIR_GRANTED);
    pool_bed_free(b);
}

/* That leases came back counts once: a waiter who has nothing but dials without memory is told. */
static void dials_without_memory_do_not_go_on_for_ever(void **state)
{
    weir_pool_options o = options(0, 6);
    pool_bed *b = pool_bed_with(&o, 0);
    (void)state;
    pool_bed_acquire(b, 0, WEIR_FOREVER);
    pool_bed_run(b, MS);
    b->create_ns = WEIR_FOREVER;
    for (unsigned i = 1; i < 6; i++)
        pool_bed_acquire(b, i, WEIR_FOREVER);
    pool_bed_run(b, 10 * MS);
    pool_bed_release(b, 0);
    CHECK_INT(pool_bed_status(b, 1), WEIR_GRANTED);
    weir_simulator_fail_alloc(b->sim, 1, UINT64_MAX);
    pool_bed_run(b, 20 * MS);
    CHECK_INT(b->p.failures, 1);
    CHECK_INT(pool_bed_status(b, 2), WEIR_PENDING);
    pool_bed_run(b, 100 * MS);
    CHECK_INT(pool_bed_status(b, 2), WEIR_FAILED);
    CHECK_INT(b->w[2].lease->rc, WEIR_ENOMEM);
    weir_simulator_fail_alloc(b->sim, 0, 0);
    pool_bed_free(b);
}

int main(void)
{
    const struct CMUnitTest pool_dial[] = {
        cmocka_unit_test(a_spike_is_served_by_what_is_warm),
        cmocka_unit_test(a_cold_burst_ramps_up),
        cmocka_unit_test(the_next_dial_waits_for_the_stagger_while_one_is_on_its_way),
        cmocka_unit_test(a_dial_for_which_the_need_is_gone_is_not_begun),
        cmocka_unit_test(patience_has_an_end),
        cmocka_unit_test(min_is_kept_by_the_changes_themselves),
        cmocka_unit_test(nothing_recurses_with_the_queue),
        cmocka_unit_test(a_dial_without_memory_is_a_failed_one),
        cmocka_unit_test(dials_without_memory_do_not_go_on_for_ever),
    };
    return CHECK_MAIN(pool_dial);
}
