/* pool_rest_test.c - the life of a resource in the pool: checked on borrow, kept alive, let go. */
#include "pool_bed.h"

static weir_pool_options options(uint32_t min, uint32_t max)
{
    weir_pool_options o = weir_pool_defaults();
    o.min = min;
    o.max = max;
    return o;
}

/* `n` resources that have been idle for a second, and checks of 10 ms from now on. */
static pool_bed *stale_bed(uint32_t n, uint32_t max, int lifo)
{
    weir_pool_options o = options(0, max);
    o.lifo = (uint8_t)lifo;
    pool_bed *b = pool_bed_with(&o, 0);
    for (unsigned i = 0; i < n; i++)
        pool_bed_acquire(b, i, WEIR_FOREVER);
    pool_bed_run(b, 0);
    for (unsigned i = 0; i < n; i++) {
        pool_bed_release(b, i);
        pool_bed_run(b, 1);
    }
    pool_bed_run(b, WEIR_SECOND);
    b->check_ns = 10 * MS;
    b->create_ns = 150 * MS;
    b->n_turned = 0;
    return b;
}

static weir_resource *resource(weir_link *k)
{
    return weir_container(k, weir_resource, link);
}

/* --- on borrow ----------------------------------------------------------------------- */

static void what_was_idle_for_long_is_checked_first(void **state)
{
    pool_bed *b = stale_bed(1, 4, 1);
    (void)state;
    CHECK_ERR(pool_bed_take(b, 0), WEIR_EBUSY);
    CHECK_INT(b->checks, 0); /* take begins nothing */
    pool_bed_acquire(b, 0, WEIR_FOREVER);
    CHECK_INT(b->checks, 1);
    CHECK_INT(b->creates, 1); /* and no dial beside it */
    pool_bed_run(b, 10 * MS);
    CHECK_INT(pool_bed_status(b, 0), WEIR_GRANTED);
    pool_bed_release(b, 0);
    pool_bed_run(b, WEIR_SECOND / 2);
    CHECK_OK(pool_bed_take(b, 0)); /* not longer than that */
    CHECK_INT(b->checks, 1);
    pool_bed_free(b);
}

static void a_check_that_fails_costs_the_waiter_nothing_but_time(void **state)
{
    (void)state;
    for (int lifo = 0; lifo < 2; lifo++) {
        pool_bed *b = stale_bed(3, 3, lifo);
        weir_resource *last = resource(lifo ? b->p.idle.head.next : b->p.idle.head.prev);
        b->sick = 2;
        b->destroy_ns = WEIR_SECOND; /* the pool is full all the time: no dial */
        pool_bed_acquire(b, 0, WEIR_FOREVER);
        pool_bed_run(b, 10 * MS);
        CHECK_INT(b->checks, 2); /* the next one is tried */
        pool_bed_acquire(b, 1, WEIR_FOREVER);
        CHECK_INT(b->checks, 3); /* for who came later, beside it */
        pool_bed_run(b, 10 * MS);
        CHECK_INT(pool_bed_status(b, 0), WEIR_GRANTED);
        CHECK(b->w[0].lease->resource == last);
        CHECK_INT(pool_bed_status(b, 1), WEIR_PENDING);
        CHECK_INT(b->p.stats.check_failures, 2);
        CHECK_INT(b->p.stats.evicted[WEIR_EVICTED_CHECK], 2);
        pool_bed_free(b);
    }
}

/* After a restart of the server all that is idle is dead: nobody waits for one check after the
 * other. */
static void a_failed_check_begins_a_dial_beside_the_next(void **state)
{
    pool_bed *b = stale_bed(8, 9, 1);
    (void)state;
    b->sick = -1;
    b->check_ns = 5 * WEIR_SECOND; /* each would take that long, and times out */
    pool_bed_acquire(b, 0, WEIR_FOREVER);
    CHECK_INT(b->creates, 8);
    pool_bed_run(b, 5 * WEIR_SECOND);
    CHECK_INT(b->p.stats.check_failures, 1);
    CHECK_INT(b->checks, 2);
    CHECK_INT(b->creates, 9);
    pool_bed_run(b, 150 * MS);
    CHECK_INT(pool_bed_status(b, 0), WEIR_GRANTED);
    pool_bed_free(b);
}

static void a_check_whose_waiter_left_keeps_its_resource(void **state)
{
    pool_bed *b = stale_bed(1, 4, 1);
    (void)state;
    pool_bed_acquire(b, 0, 4 * MS);
    pool_bed_run(b, 4 * MS);
    CHECK_INT(pool_bed_status(b, 0), WEIR_TIMEOUT);
    pool_bed_acquire(b, 1, WEIR_FOREVER); /* it is for him now */
    CHECK_INT(b->checks, 1);
    CHECK_INT(b->creates, 1);
    pool_bed_run(b, 6 * MS);
    CHECK_INT(pool_bed_status(b, 1), WEIR_GRANTED);
    pool_bed_release(b, 1);
    pool_bed_run(b, WEIR_SECOND);
    pool_bed_acquire(b, 0, WEIR_FOREVER);
    CHECK_INT(weir_waiter_give_up(b->rt, &b->w[0].wait, WEIR_CANCELED), 1);
    pool_bed_run(b, 10 * MS);
    CHECK_INT(b->p.n_idle, 1);
    CHECK_OK(pool_bed_take(b, 0)); /* it is known to be good */
    pool_bed_free(b);
}

static void what_comes_back_goes_to_the_head_while_its_check_is_pending(void **state)
{
    pool_bed *b = stale_bed(2, 2, 1);
    (void)state;
    pool_bed_acquire(b, 0, WEIR_FOREVER);
    pool_bed_run(b, 10 * MS);
    pool_bed_acquire(b, 1, WEIR_FOREVER); /* the other one, checked for him */
    pool_bed_acquire(b, 2, WEIR_FOREVER);
    CHECK_INT(b->p.n_checking, 1);
    pool_bed_run(b, 2 * MS);
    pool_bed_release(b, 0);
    CHECK_INT(pool_bed_status(b, 1), WEIR_GRANTED);
    CHECK_INT(pool_bed_status(b, 2), WEIR_PENDING);
    pool_bed_run(b, 8 * MS);
    CHECK_INT(pool_bed_status(b, 2), WEIR_GRANTED);
    pool_bed_free(b);
}

static void a_check_that_takes_too_long_is_a_failed_one(void **state)
{
    weir_pool_options o = options(1, 1);
    pool_bed *b = pool_bed_new();
    (void)state;
    b->abort_ns = 2 * WEIR_SECOND;
    pool_bed_open(b, &o);
    pool_bed_run(b, WEIR_SECOND);
    b->check_ns = WEIR_FOREVER;
    pool_bed_acquire(b, 0, WEIR_FOREVER);
    pool_bed_run(b, 5 * WEIR_SECOND);
    CHECK_INT(b->aborts, 1);
    CHECK_INT(b->p.checks, 0);
    CHECK_INT(b->p.n_checking, 1); /* it counts until it answers; that it is good is too late */
    CHECK_INT(b->creates, 1);
    pool_bed_run(b, 2 * WEIR_SECOND);
    CHECK_INT(b->p.stats.evicted[WEIR_EVICTED_CHECK], 1);
    CHECK_INT(b->creates, 2);
    CHECK_INT(pool_bed_status(b, 0), WEIR_GRANTED);
    pool_bed_free(b);
}

static void a_check_idle_of_nothing_checks_always(void **state)
{
    weir_pool_options o = options(0, 1);
    (void)state;
    o.check_idle = 0;
    pool_bed *b = pool_bed_with(&o, 0);
    pool_bed_acquire(b, 0, WEIR_FOREVER);
    CHECK_INT(pool_bed_status(b, 0), WEIR_GRANTED); /* it was just made */
    pool_bed_run(b, 0);
    pool_bed_acquire(b, 1, WEIR_FOREVER);
    b->check_ns = 3;
    pool_bed_release(b, 0);
    CHECK_INT(pool_bed_status(b, 1), WEIR_PENDING); /* from hand to hand, too */
    pool_bed_run(b, 3);
    CHECK_INT(pool_bed_status(b, 1), WEIR_GRANTED);
    pool_bed_release(b, 1);
    CHECK_ERR(pool_bed_take(b, 0), WEIR_EBUSY);
    pool_bed_acquire(b, 0, WEIR_FOREVER);
    pool_bed_run(b, 3);
    CHECK_INT(pool_bed_status(b, 0), WEIR_GRANTED);
    CHECK_INT(b->checks, 2);
    pool_bed_free(b);

    o.check_idle = WEIR_FOREVER;
    b = pool_bed_with(&o, 0);
    pool_bed_acquire(b, 0, WEIR_FOREVER);
    pool_bed_run(b, 0);
    pool_bed_release(b, 0);
    pool_bed_run(b, 59 * WEIR_SECOND);
    CHECK_OK(pool_bed_take(b, 0));
    pool_bed_free(b);
}

/* --- rest and end -------------------------------------------------------------------- */

static void an_idle_one_beyond_min_goes_when_its_time_is_over(void **state)
{
    weir_pool_options o = options(2, 5);
    pool_bed *b = pool_bed_with(&o, 0);
    (void)state;
    for (unsigned i = 0; i < 4; i++)
        pool_bed_acquire(b, i, WEIR_FOREVER);
    pool_bed_run(b, 0);
    for (unsigned i = 0; i < 4; i++) {
        pool_bed_run(b, 10 * WEIR_SECOND);
        pool_bed_release(b, i); /* at 10, 20, 30 and 40 s */
    }
    pool_bed_run(b, 30 * WEIR_SECOND - 1);
    CHECK_INT(b->p.n_idle, 4);
    pool_bed_run(b, 1);
    CHECK_INT(b->p.n_idle, 3);
    pool_bed_run(b, 10 * WEIR_SECOND);
    CHECK_INT(b->p.n_idle, 2);
    pool_bed_run(b, 300 * WEIR_SECOND);
    CHECK_INT(b->p.n_idle, 2);
    CHECK_INT(b->p.stats.evicted[WEIR_EVICTED_IDLE], 2);
    CHECK_OK(weir_pool_resize(&b->p, 1, 5)); /* it stayed for the sake of min alone */
    CHECK_POOL(b);
    CHECK_INT(b->p.n_idle, 1);
    pool_bed_run(b, 300 * WEIR_SECOND);
    pool_bed_acquire(b, 0, WEIR_FOREVER); /* used again it has its time again, also without `min` */
    pool_bed_run(b, 0);
    pool_bed_release(b, 0);
    CHECK_OK(weir_pool_resize(&b->p, 0, 5));
    pool_bed_run(b, 60 * WEIR_SECOND - 1);
    CHECK_INT(b->p.n_idle, 1);
    pool_bed_run(b, 1);
    CHECK_INT(b->p.n_idle, 0);
    pool_bed_free(b);
}

/* Many made at one time do not go at one time. */
static void a_lifetime_ends_with_jitter(void **state)
{
    weir_pool_options o = options(40, 40);
    uint64_t first = 0, last = 0;
    unsigned most = 0;
    (void)state;
    pool_bed *b = pool_bed_with(&o, 0);
    pool_bed_run(b, 0);
    CHECK_INT(b->p.n_idle, 40);
    pool_bed_run(b, 3500 * WEIR_SECOND);
    for (int s = 3500; s < 3600; s++) {
        unsigned before = b->destroys;
        pool_bed_run(b, WEIR_SECOND);
        if (b->destroys == before)
            continue;
        first = first == 0 ? weir_now(b->rt) : first;
        last = weir_now(b->rt);
        most = b->destroys - before > most ? b->destroys - before : most;
        CHECK_INT(b->p.n_idle, 40); /* and each is made anew */
    }
    CHECK_INT(b->destroys, 40);
    CHECK(first >= 3510 * WEIR_SECOND && last <= 3600 * WEIR_SECOND);
    CHECK(last - first > 45 * WEIR_SECOND);
    CHECK(most <= 6);
    CHECK_INT(b->p.stats.evicted[WEIR_EVICTED_LIFETIME], 40);
    pool_bed_free(b);
}

static void what_is_too_old_when_it_comes_back_goes(void **state)
{
    weir_pool_options o = options(0, 1);
    (void)state;
    o.jitter = 0;
    o.max_lifetime = WEIR_SECOND;
    o.max_uses = 3;
    pool_bed *b = pool_bed_with(&o, 0);
    pool_bed_acquire(b, 0, WEIR_FOREVER);
    pool_bed_run(b, 2 * WEIR_SECOND);
    CHECK_INT(b->p.n_leased, 1); /* nobody takes it from its holder */
    pool_bed_acquire(b, 1, WEIR_FOREVER);
    pool_bed_release(b, 0);
    CHECK_INT(b->p.stats.evicted[WEIR_EVICTED_LIFETIME], 1);
    CHECK_INT(pool_bed_status(b, 1), WEIR_GRANTED); /* with another */
    CHECK_INT(b->creates, 2);
    pool_bed_run(b, 0);
    pool_bed_release(b, 1);
    for (int i = 0; i < 2; i++) {
        CHECK_OK(pool_bed_take(b, 0));
        pool_bed_release(b, 0);
    }
    CHECK_INT(b->p.stats.evicted[WEIR_EVICTED_USES], 1);
    CHECK_INT(b->p.n_idle, 0);
    pool_bed_free(b);
}

/* What is kept alive is not the one used last, nor used at all. */
static void keep_alive_checks_what_rests_and_keeps_its_place(void **state)
{
    weir_pool_options o = options(0, 4);
    (void)state;
    o.keep_alive = 20 * WEIR_SECOND;
    o.jitter = 0;
    pool_bed *b = pool_bed_with(&o, 0);
    for (unsigned i = 0; i < 3; i++)
        pool_bed_acquire(b, i, WEIR_FOREVER);
    pool_bed_run(b, 0);
    for (unsigned i = 0; i < 3; i++)
        pool_bed_release(b, i);
    b->check_ns = MS;
    weir_resource *last = resource(b->p.idle.head.prev);
    for (int s = 0; s < 190; s++) { /* ten seconds, each with a use of the last one */
        pool_bed_run(b, 100 * MS);
        CHECK_OK(pool_bed_take(b, 0));
        CHECK(b->w[0].lease->resource == last);
        pool_bed_release(b, 0);
    }
    CHECK_INT(b->checks, 0);
    for (int s = 0; s < 220; s++) {
        pool_bed_run(b, 100 * MS);
        CHECK_OK(pool_bed_take(b, 0));
        CHECK(b->w[0].lease->resource == last);
        pool_bed_release(b, 0);
    }
    CHECK_INT(b->checks, 4); /* two, at 20 s and at 40 s */
    b->sick = 1;
    pool_bed_run(b,
                 20 * WEIR_SECOND); /* at 60 s the third is due for it, the others for their end */
    CHECK_INT(b->p.stats.evicted[WEIR_EVICTED_IDLE], 2);
    CHECK_INT(b->p.stats.evicted[WEIR_EVICTED_CHECK], 0);
    pool_bed_run(b, WEIR_SECOND + 100 * MS);
    CHECK_INT(b->p.stats.evicted[WEIR_EVICTED_CHECK], 1);
    CHECK_INT(pool_bed_total(b), 0);
    pool_bed_free(b);
}

/* Fit ones stand at both ends: the last one used, and the last one checked. */
static void one_that_was_just_checked_is_lent_before_a_stale_one(void **state)
{
    weir_pool_options o = options(2, 2);
    (void)state;
    o.keep_alive = 3 * WEIR_SECOND;
    o.jitter = 0;
    pool_bed *b = pool_bed_with(&o, 0);
    pool_bed_run(b, WEIR_SECOND);
    pool_bed_acquire(b, 0, WEIR_FOREVER); /* checked, at 1 s */
    pool_bed_run(b, 0);
    weir_resource *used = b->w[0].lease->resource;
    pool_bed_release(b, 0);
    pool_bed_run(b, 2 * WEIR_SECOND); /* the other one was kept alive, at 3 s */
    CHECK_INT(b->checks, 2);
    CHECK_OK(pool_bed_take(b, 0));
    CHECK(b->w[0].lease->resource != used);
    pool_bed_free(b);
}

static void evict_lets_go_of_all_that_was_made_before(void **state)
{
    weir_pool_options o = options(0, 8);
    pool_bed *b = pool_bed_with(&o, 0);
    (void)state;
    for (unsigned i = 0; i < 4; i++)
        pool_bed_acquire(b, i, WEIR_FOREVER);
    pool_bed_run(b, 0);
    pool_bed_release(b, 0);
    b->check_ns = b->create_ns = WEIR_FOREVER;
    b->abort_ns = 5;
    weir_lease *lease = b->w[1].lease;
    b->w[1].lease = NULL;
    weir_lease_release(lease, 1); /* one is idle, one being checked, two are lent */
    CHECK_OK(pool_bed_take(b, 0));
    pool_bed_acquire(b, 4, WEIR_FOREVER);
    pool_bed_acquire(b, 5, WEIR_FOREVER); /* and one is dialled */
    pool_bed_release(b, 0);
    CHECK_INT(pool_bed_status(b, 4), WEIR_GRANTED);
    CHECK_INT(b->p.n_connecting, 1);
    CHECK_INT(b->p.n_checking, 1);
    b->create_ns = 2;
    weir_pool_evict(&b->p);
    CHECK_POOL(b);
    CHECK_INT(b->aborts, 2);
    CHECK_INT(b->p.dials, 1); /* who waits has another on its way */
    pool_bed_run(b, 2);
    CHECK_INT(pool_bed_status(b, 5), WEIR_GRANTED);
    pool_bed_run(b, 3);
    CHECK_INT(pool_bed_total(b), 4);
    for (unsigned i = 2; i < 5; i++)
        pool_bed_release(b, i);
    CHECK_INT(pool_bed_total(b), 1);
    pool_bed_release(b, 5);
    CHECK_INT(b->p.n_idle, 1); /* made since */
    CHECK_INT(b->p.stats.evicted[WEIR_EVICTED_DISCARDED], 4);
    CHECK_INT(b->p.stats.check_failures + b->p.stats.create_failures, 0);
    weir_pool_evict(&b->p);
    CHECK_INT(pool_bed_total(b), 0);
    pool_bed_free(b);
}

static void a_destroy_that_takes_too_long_is_aborted_once(void **state)
{
    weir_pool_options o = options(0, 1);
    pool_bed *b = pool_bed_new();
    (void)state;
    b->destroy_ns = WEIR_FOREVER;
    b->abort_ns = 100 * WEIR_SECOND;
    pool_bed_open(b, &o);
    pool_bed_acquire(b, 0, WEIR_FOREVER);
    pool_bed_run(b, 0);
    pool_bed_release(b, 0);
    pool_bed_run(b, 60 * WEIR_SECOND);
    CHECK_INT(b->p.n_closing, 1);
    CHECK_INT(b->aborts, 0);
    pool_bed_run(b, 5 * WEIR_SECOND);
    CHECK_INT(b->aborts, 1);
    pool_bed_acquire(b, 1, WEIR_FOREVER);
    pool_bed_run(b, 100 * WEIR_SECOND - 1);
    CHECK_INT(pool_bed_status(b, 1), WEIR_PENDING);
    pool_bed_run(b, 1);
    CHECK_INT(pool_bed_status(b, 1), WEIR_GRANTED);
    CHECK_INT(b->aborts, 1);
    b->destroy_ns = 0;
    pool_bed_free(b);
}

int main(void)
{
    const struct CMUnitTest pool_rest[] = {
        cmocka_unit_test(what_was_idle_for_long_is_checked_first),
        cmocka_unit_test(a_check_that_fails_costs_the_waiter_nothing_but_time),
        cmocka_unit_test(a_failed_check_begins_a_dial_beside_the_next),
        cmocka_unit_test(a_check_whose_waiter_left_keeps_its_resource),
        cmocka_unit_test(what_comes_back_goes_to_the_head_while_its_check_is_pending),
        cmocka_unit_test(a_check_that_takes_too_long_is_a_failed_one),
        cmocka_unit_test(a_check_idle_of_nothing_checks_always),
        cmocka_unit_test(an_idle_one_beyond_min_goes_when_its_time_is_over),
        cmocka_unit_test(a_lifetime_ends_with_jitter),
        cmocka_unit_test(what_is_too_old_when_it_comes_back_goes),
        cmocka_unit_test(keep_alive_checks_what_rests_and_keeps_its_place),
        cmocka_unit_test(one_that_was_just_checked_is_lent_before_a_stale_one),
        cmocka_unit_test(evict_lets_go_of_all_that_was_made_before),
        cmocka_unit_test(a_destroy_that_takes_too_long_is_aborted_once),
    };
    return CHECK_MAIN(pool_rest);
}
