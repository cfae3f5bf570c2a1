/* pool_failure_test.c - creates that fail, hang or come late, and what becomes of who waits. */
#include "pool_bed.h"

static weir_pool_options options(uint32_t min, uint32_t max)
{
    weir_pool_options o = weir_pool_defaults();
    o.min = min;
    o.max = max;
    return o;
}

/* HikariCP #2197, pgx #1164: drained by a burst of failures it stays empty until somebody asks. */
static void min_comes_back_after_any_burst_of_failures(void **state)
{
    (void)state;
    for (int how = 0; how < 3; how++) {
        weir_pool_options o = options(3, 10);
        pool_bed *b = pool_bed_with(&o, 0);
        pool_bed_run(b, 0);
        b->create_ns = how == 0 ? 0 : how == 1 ? 5 * MS : WEIR_FOREVER; /* fails, or hangs */
        b->fails = how < 2;
        weir_pool_evict(&b->p);
        CHECK_POOL(b);
        CHECK_INT(b->p.n_idle, 0);
        pool_bed_run(b, 300 * WEIR_SECOND);
        CHECK(b->p.open);
        CHECK_INT(b->p.n_idle, 0);
        b->fails = 0;
        b->create_ns = 5 * MS;
        pool_bed_run(b,
                     22 * WEIR_SECOND); /* max_backoff, and a dial that hangs until its timeout */
        CHECK_INT(b->p.n_idle, 3);
        CHECK(!b->p.open);
        CHECK_INT(b->p.stats.grants + b->p.stats.queued, 0);
        pool_bed_free(b);
    }
}

static void a_failed_create_fails_the_head_and_the_next_gets_a_dial(void **state)
{
    weir_pool_options o = options(0, 1);
    pool_bed *b = pool_bed_new();
    (void)state;
    b->create_ns = 5 * MS;
    b->fails = 1;
    pool_bed_open(b, &o);
    for (unsigned i = 0; i < 3; i++)
        pool_bed_acquire(b, i, WEIR_FOREVER);
    pool_bed_run(b, 5 * MS);
    CHECK_INT(pool_bed_status(b, 0), WEIR_FAILED);
    CHECK_INT(b->w[0].lease->rc, -1);
    CHECK_INT(b->w[0].lease->failure, 1);
    CHECK_INT(b->p.cause, 2); /* a second handle of it */
    CHECK_INT(pool_bed_status(b, 1), WEIR_PENDING);
    CHECK_INT(b->creates, 1); /* a dial of its own, after the backoff */
    uint64_t wait = b->p.dial_after - weir_now(b->rt);
    CHECK(wait >= 50 * MS && wait <= 100 * MS);
    b->fails = 0;
    pool_bed_run(b, wait + 5 * MS);
    CHECK_INT(b->creates, 2);
    CHECK_INT(pool_bed_status(b, 1), WEIR_GRANTED);
    CHECK_INT(pool_bed_status(b, 2), WEIR_PENDING);
    CHECK_INT(b->p.failures, 0);
    CHECK_INT(b->p.stats.failed, 1);
    pool_bed_forget(b, 0);
    CHECK(!b->out[1] && b->out[2]);
    pool_bed_free(b);
}

static void a_failure_that_cannot_be_shared_is_the_waiters(void **state)
{
    weir_pool_options o = options(1, 1);
    pool_bed *b = pool_bed_new();
    (void)state;
    b->ops.share = NULL;
    b->fails = 1;
    pool_bed_open(b, &o);
    pool_bed_run(b, 0);
    CHECK_INT(b->p.cause, 1); /* nobody waits: the pool keeps it */
    b->p.dial_after = 0;
    pool_bed_acquire(b, 0, WEIR_FOREVER);
    CHECK_INT(b->w[0].lease->failure, 2);
    CHECK_INT(b->p.cause, 0);
    CHECK(!b->out[1]);
    pool_bed_free(b);
}

/* Whatever is given to the pool is its own. */
static void a_failure_beside_a_success_is_dropped(void **state)
{
    weir_pool_options o = options(1, 1);
    pool_bed *b = pool_bed_new();
    (void)state;
    b->is_confused = 1;
    pool_bed_open(b, &o);
    pool_bed_run(b, 0);
    CHECK_INT(b->p.n_idle, 1);
    CHECK_INT(b->handle, 1);
    CHECK_INT(b->n_out, 0);
    pool_bed_free(b);
}

static void after_failures_in_a_row_it_is_open_until_a_probe_succeeds(void **state)
{
    weir_pool_options o = options(0, 8);
    weir_lease *lease = NULL;
    pool_bed *b = pool_bed_new();
    (void)state;
    b->create_ns = 5 * MS;
    b->fails = 1;
    pool_bed_open(b, &o);
    for (unsigned i = 0; i < 6; i++)
        pool_bed_acquire(b, i, WEIR_FOREVER);
    pool_bed_run(b, 350 * MS);
    CHECK_INT(b->p.failures, 3);
    CHECK(b->p.open);
    for (unsigned i = 0; i < 6;
         i++) { /* three had a dial of their own; the others share the third */
        CHECK_INT(pool_bed_status(b, i), WEIR_FAILED);
        CHECK_INT(b->w[i].lease->rc, i < 3 ? -1 : WEIR_EOPEN);
        CHECK((b->w[i].lease->failure != 0) == (i < 3));
    }
    for (unsigned i = 0; i < 6; i++)
        CHECK_INT(b->turned[i], i); /* in the order in which they came */
    CHECK(b->out[b->p.cause]);
    CHECK_ERR(weir_pool_take(&b->p, NULL, 1, &lease), WEIR_EOPEN);
    CHECK_ERR(weir_pool_acquire(&b->p, NULL, &b->w[6].wait, WEIR_FOREVER, 0, &lease), WEIR_EOPEN);
    CHECK_INT(b->p.stats.open, 5);
    CHECK_INT(weir_pool_retry_after(&b->p), b->p.dial_after - weir_now(b->rt));
    unsigned before = b->creates;
    pool_bed_run(b, 200 * WEIR_SECOND); /* probed all the time, ever more seldom */
    CHECK(b->creates - before >= 20 && b->creates - before <= 50);
    CHECK(b->p.open);
    b->fails = 0;
    pool_bed_run(b, 11 * WEIR_SECOND);
    CHECK(!b->p.open);
    CHECK_INT(b->p.n_idle, 1);
    pool_bed_acquire(b, 6, WEIR_FOREVER);
    CHECK_INT(pool_bed_status(b, 6), WEIR_GRANTED);
    CHECK(b->p.cause != 0); /* who FAILED with WEIR_EOPEN may look at it later */
    pool_bed_free(b);
}

static void what_is_idle_or_comes_back_is_lent_while_open(void **state)
{
    weir_pool_options o = options(0, 8);
    weir_lease *lease = NULL;
    (void)state;
    o.check_idle = WEIR_SECOND;
    pool_bed *b = pool_bed_with(&o, 0);
    pool_bed_acquire(b, 0, WEIR_FOREVER);
    pool_bed_acquire(b, 1, WEIR_FOREVER);
    pool_bed_run(b, 0);
    b->fails = 1;
    for (unsigned i = 2; i < 5; i++) {
        pool_bed_acquire(b, i, WEIR_FOREVER);
        pool_bed_run(b, WEIR_SECOND);
        CHECK_INT(pool_bed_status(b, i), WEIR_FAILED);
    }
    CHECK(b->p.open);
    CHECK_ERR(pool_bed_take(b, 5), WEIR_EOPEN);
    pool_bed_release(b, 0);
    CHECK_OK(pool_bed_take(b, 5));
    CHECK_ERR(pool_bed_take(b, 6), WEIR_EOPEN);
    pool_bed_release(b, 5);
    pool_bed_run(b, WEIR_SECOND + 1); /* it must be checked: that can be waited for */
    b->check_ns = 7;
    pool_bed_acquire(b, 6, WEIR_FOREVER);
    CHECK_ERR(weir_pool_acquire(&b->p, NULL, &b->w[7].wait, WEIR_FOREVER, 0, &lease), WEIR_EOPEN);
    pool_bed_run(b, 7);
    CHECK_INT(pool_bed_status(b, 6), WEIR_GRANTED);
    pool_bed_release(b, 6);
    pool_bed_run(b, WEIR_SECOND + 1);
    b->sick = 1; /* and if that fails there is nothing to wait for */
    pool_bed_acquire(b, 7, WEIR_FOREVER);
    pool_bed_run(b, 7);
    CHECK_INT(pool_bed_status(b, 7), WEIR_FAILED);
    CHECK_INT(b->w[7].lease->rc, WEIR_EOPEN);
    CHECK(b->p.open);
    pool_bed_free(b);
}

/* The server has a limit below ours: every growth fails, and what there is serves all the same. */
static void a_failed_growth_fails_nobody_while_leases_come_back(void **state)
{
    weir_pool_options o = options(5, 50);
    pool_bed *b = pool_bed_with(&o, 0);
    (void)state;
    pool_bed_run(b, 0);
    b->create_ns = 5 * MS;
    b->fails = 1;
    for (uint64_t t = 0; t < 2000; t++) { /* eight that come again all the time, for five */
        for (unsigned i = 0; i < 8; i++)
            if (b->w[i].lease == NULL) {
                b->w[i].hold = (2 + i % 3) * MS;
                pool_bed_acquire(b, i, WEIR_FOREVER);
            }
        b->n_turned = 0;
        pool_bed_run(b, MS);
    }
    CHECK(b->p.stats.create_failures >= 5);
    CHECK_INT(b->p.stats.failed + b->p.stats.open, 0);
    CHECK(b->p.stats.grants > 3000);
    CHECK(b->p.cause != 0);
    pool_bed_free(b);
}

/* The first growth of a burst comes before anything came back: it may fail one, and opens nothing.
 */
static void a_lease_that_comes_back_between_failures_keeps_the_pool_from_opening(void **state)
{
    weir_pool_options o = options(0, 50);
    (void)state;
    o.max_backoff = 200 * MS;
    pool_bed *b = pool_bed_with(&o, 0);
    pool_bed_acquire(b, 0, WEIR_FOREVER);
    pool_bed_run(b, 0);
    pool_bed_release(b, 0);
    b->fails = 1;
    for (uint64_t k = 1; k < 20; k++) {
        CHECK_OK(pool_bed_take(b, 0));
        pool_bed_acquire(b, 1, WEIR_FOREVER);
        pool_bed_acquire(b, 2, WEIR_FOREVER);
        for (unsigned i = 0; i < 3; i++) {
            pool_bed_run(b, 10 * MS);
            if (i == 0)
                CHECK(!b->p.open);
            if (b->w[i].lease != NULL && b->w[i].lease->resource != NULL)
                pool_bed_release(b, i);
            else if (b->w[i].lease != NULL)
                pool_bed_forget(b, i);
        }
        pool_bed_run(b, 400 * MS);
        CHECK_INT(b->p.stats.open, 0);
        CHECK(b->p.stats.failed <= k);
        b->n_turned = 0;
    }
    CHECK(b->p.stats.create_failures >= 10);
    pool_bed_free(b);
}

/* generic-pool: a create that answers at once with a failure spins for ever. */
static void a_create_that_fails_at_once_does_not_spin(void **state)
{
    weir_pool_options o = options(2, 4);
    (void)state;
    for (uint32_t open_after = 0; open_after < 2; open_after++) {
        pool_bed *b = pool_bed_new();
        b->fails = 1;
        o.open_after = open_after;
        pool_bed_open(b, &o);
        for (unsigned i = 0; i < BED_WAITERS && !b->p.open; i++)
            pool_bed_acquire(b, i, 2 * WEIR_SECOND);
        CHECK(b->creates <= 1);
        pool_bed_run(b, 60 * WEIR_SECOND);
        CHECK(b->creates >= 10 && b->creates <= 20);
        pool_bed_free(b);
    }
}

static void a_create_that_takes_too_long_fails_with_the_timeout(void **state)
{
    weir_pool_options o = options(0, 1);
    pool_bed *b = pool_bed_new();
    (void)state;
    b->create_ns = WEIR_FOREVER;
    b->abort_ns = 3 * WEIR_SECOND;
    pool_bed_open(b, &o);
    pool_bed_acquire(b, 0, WEIR_FOREVER);
    pool_bed_acquire(b, 1, WEIR_FOREVER);
    pool_bed_run(b, 10 * WEIR_SECOND - 1);
    CHECK_INT(b->aborts, 0);
    pool_bed_run(b, 1);
    CHECK_INT(pool_bed_status(b, 0), WEIR_FAILED);
    CHECK_INT(b->w[0].lease->rc, WEIR_ETIMEOUT);
    CHECK_INT(b->w[0].lease->failure, 0);
    CHECK_INT(b->aborts, 1);
    CHECK_INT(b->p.dials, 0);
    b->create_ns = 0;
    pool_bed_run(b, 3 * WEIR_SECOND - 1);
    CHECK_INT(b->creates, 1); /* the slot counts until the answer comes */
    pool_bed_run(b, 1);
    CHECK_INT(pool_bed_status(b, 1), WEIR_GRANTED);
    CHECK_INT(b->p.stats.create_timeouts, 1);
    CHECK_INT(b->p.stats.create_failures, 0); /* one failure, told once */
    pool_bed_free(b);
}

static void a_create_that_succeeds_after_its_timeout_is_kept(void **state)
{
    weir_pool_options o = options(0, 1);
    pool_bed *b = pool_bed_new();
    (void)state;
    b->create_ns = WEIR_FOREVER;
    b->is_late_good = 1;
    b->abort_ns = 1;
    pool_bed_open(b, &o);
    pool_bed_acquire(b, 0, WEIR_FOREVER);
    pool_bed_acquire(b, 1, WEIR_FOREVER);
    pool_bed_run(b, 10 * WEIR_SECOND + 1);
    CHECK_INT(pool_bed_status(b, 0), WEIR_FAILED);
    CHECK_INT(pool_bed_status(b, 1), WEIR_GRANTED);
    CHECK_INT(b->creates, 1);
    CHECK_INT(b->p.failures, 0);
    pool_bed_free(b);
}

int main(void)
{
    const struct CMUnitTest pool_failure[] = {
        cmocka_unit_test(min_comes_back_after_any_burst_of_failures),
        cmocka_unit_test(a_failed_create_fails_the_head_and_the_next_gets_a_dial),
        cmocka_unit_test(a_failure_that_cannot_be_shared_is_the_waiters),
        cmocka_unit_test(a_failure_beside_a_success_is_dropped),
        cmocka_unit_test(after_failures_in_a_row_it_is_open_until_a_probe_succeeds),
        cmocka_unit_test(what_is_idle_or_comes_back_is_lent_while_open),
        cmocka_unit_test(a_failed_growth_fails_nobody_while_leases_come_back),
        cmocka_unit_test(a_lease_that_comes_back_between_failures_keeps_the_pool_from_opening),
        cmocka_unit_test(a_create_that_fails_at_once_does_not_spin),
        cmocka_unit_test(a_create_that_takes_too_long_fails_with_the_timeout),
        cmocka_unit_test(a_create_that_succeeds_after_its_timeout_is_kept),
    };
    return CHECK_MAIN(pool_failure);
}
