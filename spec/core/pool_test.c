/* pool_test.c - the pool's promises to those who ask: hand-off, order, limits, leases, ends.
 *
 * pool_dial_test.c has growth and failures, pool_rest_test.c checks and the end of resources,
 * pool_model_test.c random sequences of all of it.
 */
#include "pool_bed.h"

#include <weir/graph.h>

#include <math.h>

static weir_pool_options options(uint32_t min, uint32_t max)
{
    weir_pool_options o = weir_pool_defaults();
    o.min = min;
    o.max = max;
    return o;
}

static void bad_options_are_misuse(void **state)
{
    pool_bed *b = pool_bed_new();
    weir_pool_options good = weir_pool_defaults(), bad[10];
    weir_pool_ops none = {NULL, NULL, b->ops.destroy, NULL, NULL, NULL};
    (void)state;
    for (int i = 0; i < 10; i++)
        bad[i] = good;
    bad[0].max = 0;
    bad[1].min = 11;
    bad[2].max_dials = 0;
    bad[3].backoff = 0;
    bad[4].backoff = 2 * good.max_backoff;
    bad[5].shed = 1.5;
    bad[6].shed = NAN;
    bad[7].jitter = -0.1;
    bad[8].jitter = NAN;
    bad[9].shed = -1;
    for (int i = 0; i < 10; i++)
        CHECK_ERR(weir_pool_init(b->rt, &b->p, &b->ops, &bad[i], NULL), WEIR_EINVAL);
    CHECK_ERR(weir_pool_init(b->rt, &b->p, &none, &good, NULL), WEIR_EINVAL);
    none = (weir_pool_ops){b->ops.create, NULL, NULL, NULL, NULL, NULL};
    CHECK_ERR(weir_pool_init(b->rt, &b->p, &none, &good, NULL), WEIR_EINVAL);
    pool_bed_open(b, &good);
    CHECK_ERR(weir_pool_resize(&b->p, 0, 0), WEIR_EINVAL);
    CHECK_ERR(weir_pool_resize(&b->p, 3, 2), WEIR_EINVAL);
    CHECK_INT(b->p.options.max, 10);
    pool_bed_free(b);
}

/* --- hand-off ------------------------------------------------------------------------ */

static void what_comes_back_goes_to_the_head_while_its_dial_is_pending(void **state)
{
    weir_pool_options o = options(1, 3);
    pool_bed *b = pool_bed_with(&o, 0);
    (void)state;
    pool_bed_run(b, 0);
    b->create_ns = 150 * MS;
    CHECK_OK(pool_bed_take(b, 0));
    pool_bed_acquire(b, 1, WEIR_FOREVER);
    pool_bed_acquire(b, 2, WEIR_FOREVER);
    CHECK_INT(b->p.n_connecting, 1);
    pool_bed_run(b, 5 * MS);
    pool_bed_release(b, 0);
    CHECK_INT(pool_bed_status(b, 1), WEIR_GRANTED);
    CHECK_INT(pool_bed_status(b, 2), WEIR_PENDING);
    pool_bed_run(b, 5 * MS);
    pool_bed_release(b, 1);
    CHECK_INT(pool_bed_status(b, 2), WEIR_GRANTED);
    CHECK_INT(b->p.n_connecting, 1); /* it goes on, and is kept */
    pool_bed_run(b, 200 * MS);
    CHECK_INT(b->p.n_idle, 1);
    CHECK_INT(b->creates, 2);
    pool_bed_free(b);
}

static void nobody_barges_past_a_waiter(void **state)
{
    weir_pool_options o = options(0, 1);
    pool_bed *b = pool_bed_with(&o, 0);
    weir_lease *lease = NULL;
    (void)state;
    pool_bed_acquire(b, 0, WEIR_FOREVER);
    CHECK_INT(pool_bed_status(b, 0), WEIR_GRANTED); /* through the ready queue all the same */
    CHECK_INT(b->n_turned, 0);
    pool_bed_acquire(b, 1, WEIR_FOREVER);
    pool_bed_acquire(b, 2, WEIR_FOREVER);
    CHECK_ERR(weir_pool_take(&b->p, NULL, 1, &lease), WEIR_EBUSY);
    pool_bed_run(b, 0);
    pool_bed_release(b, 0); /* to 1, which has not had its turn yet */
    CHECK_ERR(weir_pool_take(&b->p, NULL, 0, &lease), WEIR_EBUSY);
    CHECK_INT(b->p.stats.busy, 1); /* the second was the first half of a wait */
    CHECK_INT(weir_waiter_give_up(b->rt, &b->w[1].wait, WEIR_CANCELED), 1);
    CHECK_INT(pool_bed_status(b, 2), WEIR_GRANTED);
    CHECK_INT(b->p.stats.grants, 3);
    pool_bed_run(b, 0);
    CHECK_INT(b->n_turned, 3);
    CHECK(b->turned[1] == 1 && b->turned[2] == 2); /* its place in the ready queue stays */
    CHECK_INT(b->checks, 0);                       /* a refund is not suspect */
    CHECK_INT(b->creates, 1);
    pool_bed_free(b);
}

static void a_timeout_and_a_cancel_leave_the_queue(void **state)
{
    weir_pool_options o = options(0, 1);
    pool_bed *b = pool_bed_with(&o, 0);
    (void)state;
    CHECK_ERR(pool_bed_take(b, 0), WEIR_EBUSY); /* take dials for nobody */
    CHECK_INT(b->creates, 0);
    pool_bed_acquire(b, 0, WEIR_FOREVER);
    pool_bed_acquire(b, 1, 10);
    pool_bed_acquire(b, 2, WEIR_FOREVER);
    pool_bed_acquire(b, 3, WEIR_FOREVER);
    CHECK_INT(weir_waiter_give_up(b->rt, &b->w[2].wait, WEIR_CANCELED), 1);
    pool_bed_run(b, 10);
    CHECK_INT(pool_bed_status(b, 1), WEIR_TIMEOUT);
    CHECK_INT(b->w[1].at, 10);
    CHECK_INT(b->p.stats.timeouts, 1);
    CHECK_INT(b->p.stats.cancels, 1);
    pool_bed_release(b, 0);
    CHECK_INT(pool_bed_status(b, 3), WEIR_GRANTED);
    CHECK_INT(b->p.stats.wait.count, 4);
    CHECK_INT(b->p.stats.queued, 4);
    pool_bed_free(b);
}

static void the_last_one_used_is_lent_first_or_the_one_idle_longest(void **state)
{
    (void)state;
    for (int lifo = 0; lifo < 2; lifo++) {
        weir_pool_options o = options(3, 3);
        weir_resource *r[3];
        o.lifo = (uint8_t)lifo;
        pool_bed *b = pool_bed_with(&o, 0);
        pool_bed_run(b, 0);
        for (unsigned i = 0; i < 3; i++) {
            CHECK_OK(pool_bed_take(b, i));
            r[i] = b->w[i].lease->resource;
        }
        for (unsigned i = 0; i < 3; i++) {
            pool_bed_run(b, 1);
            pool_bed_release(b, i);
        }
        CHECK_OK(pool_bed_take(b, 0));
        CHECK(b->w[0].lease->resource == (lifo ? r[2] : r[0]));
        pool_bed_free(b);
    }
}

/* --- limits -------------------------------------------------------------------------- */

static void every_state_counts_against_max(void **state)
{
    weir_pool_options o = options(0, 1);
    pool_bed *b = pool_bed_new();
    (void)state;
    b->create_ns = b->destroy_ns = b->check_ns = 10 * MS;
    pool_bed_open(b, &o);
    pool_bed_acquire(b, 0, WEIR_FOREVER);
    pool_bed_acquire(b, 1, WEIR_FOREVER);
    pool_bed_run(b, 5 * MS);
    CHECK_INT(b->creates, 1); /* one connects, two wait */
    pool_bed_run(b, 5 * MS);
    weir_lease *lease = b->w[0].lease;
    b->w[0].lease = NULL;
    weir_lease_discard(lease);
    CHECK_POOL(b);
    CHECK_INT(b->p.n_closing, 1);
    pool_bed_run(b, 9 * MS);
    CHECK_INT(b->creates, 1); /* one is being destroyed */
    pool_bed_run(b, 1 * MS);
    CHECK_INT(b->creates, 2);
    pool_bed_run(b, 10 * MS);
    CHECK_INT(pool_bed_status(b, 1), WEIR_GRANTED);
    lease = b->w[1].lease;
    b->w[1].lease = NULL;
    weir_lease_release(lease, 1);
    pool_bed_acquire(b, 2, WEIR_FOREVER);
    CHECK_INT(b->p.n_checking, 1);
    pool_bed_run(b, 9 * MS);
    CHECK_INT(b->creates, 2); /* one is being checked */
    pool_bed_run(b, 1 * MS);
    CHECK_INT(pool_bed_status(b, 2), WEIR_GRANTED);
    CHECK_INT(b->most, 1);
    pool_bed_free(b);
}

static void a_full_queue_and_a_busy_pool_refuse(void **state)
{
    weir_pool_options o = options(0, 4);
    weir_lease *lease = NULL;
    weir_waiter w;
    (void)state;
    o.max_waiting = 1;
    pool_bed *b = pool_bed_with(&o, 10);
    pool_bed_acquire(b, 0, WEIR_FOREVER);
    CHECK_ERR(weir_pool_acquire(&b->p, NULL, &b->w[1].wait, WEIR_FOREVER, 0, &lease),
              WEIR_EOVERLOAD);
    CHECK_INT(b->w[1].wait.status, WEIR_IDLE);
    CHECK_INT(b->p.stats.overload, 1);
    pool_bed_free(b);

    o = options(4, 4);
    o.shed = 0.7; /* three of four are more */
    o.max_waiting = 0;
    b = pool_bed_with(&o, 0);
    pool_bed_run(b, 0);
    for (unsigned i = 0; i < 2; i++)
        CHECK_OK(pool_bed_take(b, i));
    pool_bed_acquire(b, 2, WEIR_FOREVER); /* a queue of nobody is not needed */
    CHECK_INT(pool_bed_status(b, 2), WEIR_GRANTED);
    pool_bed_run(b, 0);
    CHECK_ERR(pool_bed_take(b, 3), WEIR_EOVERLOAD);
    weir_waiter_init(&w, b->w[0].wait.run);
    CHECK_ERR(weir_pool_acquire(&b->p, NULL, &w, WEIR_FOREVER, 0, &lease), WEIR_EOVERLOAD);
    CHECK_INT(b->p.stats.shed, 2);
    pool_bed_release(b, 0);
    CHECK_OK(pool_bed_take(b, 0));
    CHECK_OK(weir_pool_resize(&b->p, 0, 5));
    CHECK_OK(pool_bed_take(b, 3)); /* three of five are not */
    pool_bed_free(b);
}

/* They rest, and all have to be checked first: nobody is refused for that. */
static void a_full_queue_does_not_refuse_what_is_idle(void **state)
{
    weir_pool_options o = options(2, 2);
    weir_lease *lease = NULL;
    (void)state;
    o.max_waiting = 0;
    o.check_idle = 0;
    pool_bed *b = pool_bed_with(&o, 0);
    pool_bed_run(b, 0);
    b->check_ns = 10;
    for (unsigned i = 0; i < 2; i++)
        pool_bed_acquire(b, i, WEIR_FOREVER);
    CHECK_ERR(weir_pool_acquire(&b->p, NULL, &b->w[2].wait, WEIR_FOREVER, 0, &lease),
              WEIR_EOVERLOAD);
    pool_bed_run(b, 10);
    for (unsigned i = 0; i < 2; i++)
        CHECK_INT(pool_bed_status(b, i), WEIR_GRANTED);
    pool_bed_free(b);
}

static void a_smaller_pool_lets_go_and_a_larger_one_dials(void **state)
{
    weir_pool_options o = options(4, 4);
    pool_bed *b = pool_bed_with(&o, 0);
    (void)state;
    pool_bed_run(b, 0);
    for (unsigned i = 0; i < 3; i++)
        CHECK_OK(pool_bed_take(b, i));
    CHECK_OK(weir_pool_resize(&b->p, 0, 2));
    CHECK_POOL(b);
    CHECK_INT(pool_bed_total(b), 3); /* the idle one went at once */
    pool_bed_acquire(b, 3, WEIR_FOREVER);
    pool_bed_release(b, 0);
    CHECK_INT(pool_bed_status(b, 3), WEIR_PENDING); /* that one paid the debt */
    CHECK_INT(pool_bed_total(b), 2);
    pool_bed_release(b, 1);
    CHECK_INT(pool_bed_status(b, 3), WEIR_GRANTED);
    CHECK_INT(b->p.stats.evicted[WEIR_EVICTED_SHRUNK], 2);
    pool_bed_acquire(b, 4, WEIR_FOREVER);
    CHECK_INT(pool_bed_status(b, 4), WEIR_PENDING);
    CHECK_OK(weir_pool_resize(&b->p, 0, 3));
    CHECK_INT(pool_bed_status(b, 4), WEIR_GRANTED);
    CHECK_OK(weir_pool_resize(&b->p, 5, 5));
    CHECK_INT(pool_bed_total(b), 5);
    pool_bed_free(b);
}

/* --- leases -------------------------------------------------------------------------- */

static void a_lease_bumps_its_generation_when_it_ends(void **state)
{
    weir_pool_options o = options(1, 1);
    pool_bed *b = pool_bed_with(&o, 0);
    (void)state;
    pool_bed_run(b, 0);
    CHECK_OK(pool_bed_take(b, 0));
    weir_lease *lease = b->w[0].lease;
    uint32_t generation = lease->generation;
    CHECK_INT(weir_runtime_counters(b->rt)->permits, 1);
    CHECK_TEXT(lease->hold.ops->kind, "lease");
    CHECK_TEXT(lease->hold.ops->name(&lease->hold), "db");
    pool_bed_run(b, 7);
    pool_bed_release(b, 0);
    CHECK(lease->generation != generation);
    CHECK_INT(weir_runtime_counters(b->rt)->permits, 0);
    CHECK_INT(b->p.stats.hold.sum, 7);
    CHECK_OK(pool_bed_take(b, 1));
    CHECK(b->w[1].lease == lease); /* the record is used again */
    pool_bed_acquire(b, 2, WEIR_FOREVER);
    CHECK_TEXT(b->w[2].wait.ops->op, "pool:acquire");
    CHECK_TEXT(b->w[2].wait.ops->name(&b->w[2].wait), "db");
    pool_bed_free(b);
}

/* A quick loan is a few moves of lists: no memory and no timer. */
static void a_loan_touches_no_timer(void **state)
{
    weir_pool_options o = options(1, 1);
    pool_bed *b = pool_bed_with(&o, 0);
    (void)state;
    pool_bed_run(b, 0);
    CHECK_OK(pool_bed_take(b, 0));
    weir_resource *r = b->w[0].lease->resource;
    pool_bed_release(b, 0);
    uint64_t deadline = r->timer.deadline, allocs = weir_simulator_allocs(b->sim);
    weir_link link = r->timer._link;
    for (int i = 0; i < 100; i++) {
        CHECK_OK(pool_bed_take(b, 0));
        pool_bed_release(b, 0);
        CHECK(memcmp(&r->timer._link, &link, sizeof link) == 0 && r->timer.deadline == deadline);
    }
    CHECK_INT(weir_simulator_allocs(b->sim), allocs);
    CHECK_INT(r->uses, 101);
    pool_bed_free(b);
}

static void a_suspect_lease_is_checked_or_goes(void **state)
{
    weir_pool_options o = options(1, 1);
    (void)state;
    for (int has_check = 0; has_check < 2; has_check++) {
        pool_bed *b = pool_bed_new();
        b->check_ns = 5;
        if (!has_check)
            b->ops.check = NULL;
        pool_bed_open(b, &o);
        pool_bed_run(b, 0);
        CHECK_OK(pool_bed_take(b, 0));
        weir_lease *lease = b->w[0].lease;
        b->w[0].lease = NULL;
        weir_lease_release(lease, 1);
        CHECK_POOL(b);
        CHECK_INT(b->p.n_checking, has_check);
        CHECK_INT(b->destroys, !has_check);
        pool_bed_run(b, 5);
        CHECK_INT(b->p.n_idle, 1); /* the same, or another: min is one */
        CHECK_INT(b->creates, has_check ? 1 : 2);
        CHECK_INT(b->p.stats.evicted[WEIR_EVICTED_DISCARDED], !has_check);
        pool_bed_free(b);
    }
}

static void a_lease_held_too_long_is_reported_once(void **state)
{
    weir_pool_options o = options(0, 3);
    (void)state;
    o.leak_after = 10;
    pool_bed *b = pool_bed_with(&o, 0);
    pool_bed_acquire(b, 0, WEIR_FOREVER);
    pool_bed_run(b, 4);
    pool_bed_acquire(b, 1, WEIR_FOREVER);
    pool_bed_run(b, 5);
    CHECK_INT(b->leaks, 0);
    pool_bed_run(b, 1);
    CHECK_INT(b->leaks, 1);
    CHECK(b->w[0].lease->reported && !b->w[1].lease->reported);
    pool_bed_release(b, 1);
    pool_bed_acquire(b, 1, WEIR_FOREVER); /* held anew */
    pool_bed_run(b, 9);
    CHECK_INT(b->leaks, 1);
    pool_bed_run(b, 1);
    CHECK_INT(b->leaks, 2);
    pool_bed_run(b, 1000);
    CHECK_INT(b->leaks, 2);
    CHECK_INT(b->p.stats.leaks, 2);
    pool_bed_release(b, 0); /* and is good for another, who is reported too */
    pool_bed_acquire(b, 0, WEIR_FOREVER);
    pool_bed_run(b, 10);
    CHECK_INT(b->leaks, 3);
    pool_bed_free(b);
}

/* --- ends ---------------------------------------------------------------------------- */

static void close_settles_everything(void **state)
{
    weir_pool_options o = options(0, 4);
    pool_bed *b = pool_bed_new();
    weir_waiter join;
    (void)state;
    pool_bed_open(b, &o);
    pool_bed_acquire(b, 0, WEIR_FOREVER);
    pool_bed_acquire(b, 1, WEIR_FOREVER);
    pool_bed_acquire(b, 5, WEIR_FOREVER);
    pool_bed_run(b, 0);
    b->check_ns = b->create_ns = WEIR_FOREVER; /* none ends before it is aborted */
    b->abort_ns = 7;
    weir_lease *lease = b->w[0].lease;
    b->w[0].lease = NULL;
    weir_lease_release(lease, 1);
    pool_bed_release(b, 5);
    pool_bed_acquire(b, 2, WEIR_FOREVER); /* the idle one */
    pool_bed_acquire(b, 3, WEIR_FOREVER); /* the one being checked */
    pool_bed_acquire(b, 4, WEIR_FOREVER); /* a dial */
    CHECK_INT(b->p.n_checking, 1);
    CHECK_INT(b->p.n_connecting, 1);
    pool_bed_run(b, 0);
    pool_bed_release(b, 2);
    CHECK_INT(pool_bed_status(b, 3), WEIR_GRANTED);
    pool_bed_run(b, 0);
    weir_pool_close(&b->p);
    weir_pool_close(&b->p);
    CHECK_POOL(b);
    CHECK_INT(pool_bed_status(b, 4), WEIR_CLOSED);
    CHECK_INT(b->aborts, 2);
    weir_waiter_init(&join, b->w[0].wait.run);
    CHECK_ERR(pool_bed_take(b, 6), WEIR_ECLOSED);
    CHECK_ERR(weir_pool_acquire(&b->p, NULL, &b->w[6].wait, WEIR_FOREVER, 0, &lease), WEIR_ECLOSED);
    CHECK_INT(b->p.stats.closes, 3);
    bed_waiter *end = &b->w[7];
    weir_pool_join(&b->p, &end->wait, WEIR_FOREVER);
    pool_bed_run(b, 6);
    CHECK_INT(pool_bed_total(b), 4); /* aborted ones count until they answer */
    pool_bed_run(b, 1);
    CHECK_INT(pool_bed_total(b), 2);
    pool_bed_release(b, 1);
    CHECK_INT(end->wait.status, WEIR_PENDING);
    pool_bed_release(b, 3);
    CHECK_INT(end->wait.status, WEIR_GRANTED);
    CHECK_INT(b->p.stats.evicted[WEIR_EVICTED_CLOSED], 3);
    CHECK_INT(b->p.stats.create_failures, 0);
    pool_bed_free(b);
}

static void drain_serves_the_queue_and_destroys_all(void **state)
{
    weir_pool_options o = options(2, 2);
    pool_bed *b = pool_bed_new();
    weir_lease *lease = NULL;
    (void)state;
    pool_bed_open(b, &o);
    pool_bed_run(b, 0);
    b->destroy_ns = 5;
    CHECK_OK(pool_bed_take(b, 0));
    CHECK_OK(pool_bed_take(b, 1));
    pool_bed_acquire(b, 2, WEIR_FOREVER);
    pool_bed_acquire(b, 3, WEIR_FOREVER);
    weir_pool_drain(&b->p, &b->w[7].wait, WEIR_FOREVER);
    CHECK_POOL(b);
    CHECK_ERR(weir_pool_acquire(&b->p, NULL, &b->w[4].wait, WEIR_FOREVER, 0, &lease), WEIR_ECLOSED);
    lease = b->w[0].lease;
    b->w[0].lease = NULL;
    weir_lease_discard(lease); /* another is made for who waits, none for `min` */
    pool_bed_run(b, 5);
    CHECK_INT(pool_bed_status(b, 2), WEIR_GRANTED);
    pool_bed_release(b, 1);
    CHECK_INT(pool_bed_status(b, 3), WEIR_GRANTED);
    pool_bed_run(b, 0);
    pool_bed_release(b, 2);
    pool_bed_release(b, 3);
    CHECK_INT(b->p.n_closing, 2);
    pool_bed_run(b, 4);
    CHECK_INT(b->w[7].wait.status, WEIR_PENDING);
    pool_bed_run(b, 1);
    CHECK_INT(b->w[7].wait.status, WEIR_GRANTED);
    CHECK_INT(b->creates, 3);
    CHECK(weir_pool_is_gone(&b->p));
    pool_bed_free(b);
}

static void a_drain_can_be_given_up_and_close_ends_one(void **state)
{
    weir_pool_options o = options(1, 1);
    pool_bed *b = pool_bed_with(&o, 0);
    (void)state;
    pool_bed_run(b, 0);
    CHECK_OK(pool_bed_take(b, 0));
    weir_pool_drain(&b->p, &b->w[6].wait, weir_after(b->rt, 3));
    weir_pool_drain(&b->p, &b->w[7].wait, WEIR_FOREVER);
    pool_bed_run(b, 3);
    CHECK_INT(b->w[6].wait.status, WEIR_TIMEOUT);
    weir_pool_close(&b->p);
    CHECK_INT(b->w[7].wait.status, WEIR_PENDING);
    pool_bed_release(b, 0);
    CHECK_INT(b->w[7].wait.status, WEIR_GRANTED);
    CHECK_TEXT(b->w[7].wait.ops->op, "pool:drain");
    CHECK_TEXT(b->w[7].wait.ops->name(&b->w[7].wait), "db");
    pool_bed_free(b);
}

static void retry_after_is_the_hold_by_the_queue(void **state)
{
    weir_pool_options o = options(2, 2);
    pool_bed *b = pool_bed_with(&o, 0);
    (void)state;
    pool_bed_run(b, 0);
    CHECK_OK(pool_bed_take(b, 0));
    pool_bed_run(b, 1000);
    pool_bed_release(b, 0);
    CHECK_OK(pool_bed_take(b, 0));
    CHECK_OK(pool_bed_take(b, 1));
    CHECK_INT(weir_pool_retry_after(&b->p), 500);
    pool_bed_acquire(b, 2, WEIR_FOREVER);
    CHECK_INT(weir_pool_retry_after(&b->p), 1000);
    pool_bed_free(b);
}

static void validate_sees_what_is_broken(void **state)
{
    weir_pool_options o = options(0, 4);
    pool_bed *b = pool_bed_with(&o, 0);
    (void)state;
    for (unsigned i = 0; i < 3; i++)
        pool_bed_acquire(b, i, WEIR_FOREVER);
    pool_bed_run(b, 0);
    pool_bed_release(b, 0);
    weir_resource *idle = weir_container(weir_list_first(&b->p.idle), weir_resource, link);
    weir_lease *lease = b->w[1].lease;
#define CHECK_BROKEN(field, wrong)                                                                 \
    do {                                                                                           \
        __typeof__(field) right_ = (field);                                                        \
        (field) = (wrong);                                                                         \
        if (weir_pool_validate(&b->p) == 0)                                                        \
            check_fail(__FILE__, __LINE__, "%s = %s is not noticed", #field, #wrong);              \
        (field) = right_;                                                                          \
        CHECK_POOL(b);                                                                             \
    } while (0)
    CHECK_BROKEN(b->p.n_idle, 0);
    CHECK_BROKEN(b->p.n_leased, 3);
    CHECK_BROKEN(b->p.n_connecting, 1);
    CHECK_BROKEN(b->p.dials, 1);
    CHECK_BROKEN(b->p.checks, 1);
    CHECK_BROKEN(b->p.waiting, 1);
    CHECK_BROKEN(b->p.wanted, 1);
    CHECK_BROKEN(b->p.serving, 1);
    CHECK_BROKEN(b->p.closed, 1);
    CHECK_BROKEN(b->p.ended, 1);
    CHECK_BROKEN(b->p.draining, 1);
    CHECK_BROKEN(b->p.open, 1);
    CHECK_BROKEN(idle->of, NULL);
    CHECK_BROKEN(idle->state, WEIR_RESOURCE_LEASED);
    CHECK_BROKEN(idle->lease, lease);
    CHECK_BROKEN(idle->doomed, 1);
    CHECK_BROKEN(idle->aborted, 1);
    CHECK_BROKEN(idle->since, 1);
    CHECK_BROKEN(idle->retire, 1);
    CHECK_BROKEN(lease->of, NULL);
    CHECK_BROKEN(lease->resource, idle);
    CHECK_BROKEN(lease->waiter, &b->w[0].wait);
    CHECK_BROKEN(lease->hold.holder, (weir_task *)(void *)&b->p);
    CHECK_BROKEN(lease->reported, 1);
    for (unsigned i = 3; i < 7; i++)
        pool_bed_acquire(b, i, WEIR_FOREVER);
    CHECK_BROKEN(b->w[6].lease->waiter, NULL);
    CHECK_BROKEN(b->w[6].wait.status, WEIR_GRANTED);
    CHECK_BROKEN(b->p.options.max, 5); /* nobody dials for who waits */
#undef CHECK_BROKEN
    pool_bed_free(b);
}

int main(void)
{
    const struct CMUnitTest pool[] = {
        cmocka_unit_test(bad_options_are_misuse),
        cmocka_unit_test(what_comes_back_goes_to_the_head_while_its_dial_is_pending),
        cmocka_unit_test(nobody_barges_past_a_waiter),
        cmocka_unit_test(a_timeout_and_a_cancel_leave_the_queue),
        cmocka_unit_test(the_last_one_used_is_lent_first_or_the_one_idle_longest),
        cmocka_unit_test(every_state_counts_against_max),
        cmocka_unit_test(a_full_queue_and_a_busy_pool_refuse),
        cmocka_unit_test(a_full_queue_does_not_refuse_what_is_idle),
        cmocka_unit_test(a_smaller_pool_lets_go_and_a_larger_one_dials),
        cmocka_unit_test(a_lease_bumps_its_generation_when_it_ends),
        cmocka_unit_test(a_loan_touches_no_timer),
        cmocka_unit_test(a_suspect_lease_is_checked_or_goes),
        cmocka_unit_test(a_lease_held_too_long_is_reported_once),
        cmocka_unit_test(close_settles_everything),
        cmocka_unit_test(drain_serves_the_queue_and_destroys_all),
        cmocka_unit_test(a_drain_can_be_given_up_and_close_ends_one),
        cmocka_unit_test(retry_after_is_the_hold_by_the_queue),
        cmocka_unit_test(validate_sees_what_is_broken),
    };
    return CHECK_MAIN(pool);
}
