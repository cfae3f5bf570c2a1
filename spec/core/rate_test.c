/* rate_test.c - the single promises of rate limits; rate_model_test.c has the rest.
 *
 * The waiters are bare: no task, so that each promise can be read off one status. Rates here are
 * also such that no interval is a whole number of ns.
 */
#include <weir/rate.h>

#include <math.h>

#include "check.h"

#define BARE 16
#define MS UINT64_C(1000000)

typedef struct bare {
    weir_simulator *sim;
    weir_runtime *rt;
    weir_rate r;
    weir_waiter w[BARE];
    weir_ticket *t[BARE];
    uint64_t at[BARE]; /* when its turn came */
    struct {
        uint64_t at;
        double n;
    } granted[512]; /* of the law's test: when it was charged */
    unsigned n_granted;
} bare;

static bare *bed; /* of the test that runs: on_turn has nothing else to go by */

static void note_grant(bare *b, uint64_t at, double n)
{
    unsigned i = b->n_granted;
    if (i == 512)
        return;
    for (b->n_granted++; i > 0 && b->granted[i - 1].at > at; i--)
        b->granted[i] = b->granted[i - 1];
    b->granted[i].at = at;
    b->granted[i].n = n;
}

static void on_turn(weir_runtime *rt, weir_waiter *w)
{
    int i = (int)(w - bed->w);
    bed->at[i] = weir_now(rt);
    if (w->status != WEIR_GRANTED || w->object == &bed->r) /* a drain */
        return;
    note_grant(bed, bed->t[i]->since, bed->t[i]->n);
    weir_ticket_free(bed->t[i]);
}

static bare *bare_new(const weir_rate_limit *limits, uint32_t n)
{
    bare *b = bed = calloc(1, sizeof *b);
    assert_non_null(b);
    b->sim = weir_simulator_new(WEIR_PLAN_FIFO, 1);
    b->rt = weir_runtime_new(weir_simulator_env(b->sim));
    assert_non_null(b->rt);
    CHECK_OK(weir_rate_init(b->rt, &b->r, limits, n, "api"));
    for (int i = 0; i < BARE; i++)
        weir_waiter_init(&b->w[i], on_turn);
    return b;
}

static bare *bucket_new(double rate, double burst)
{
    weir_rate_limit l = {.rate = rate, .burst = burst};
    return bare_new(&l, 1);
}

static void bare_free(bare *b)
{
    CHECK_INT(weir_rate_validate(&b->r), 0);
    while (weir_simulator_step(b->sim, b->rt))
        CHECK_INT(weir_rate_validate(&b->r), 0);
    CHECK_VALID(b->rt);
    CHECK_QUIET(b->rt);
    weir_rate_fini(&b->r);
    weir_runtime_free(b->rt);
    CHECK_INT(weir_simulator_bytes(b->sim), 0);
    weir_simulator_free(b->sim);
    free(b);
}

static void queue_up(bare *b, int i, double n, uint64_t timeout)
{
    CHECK_OK(weir_rate_wait(&b->r, n, &b->w[i], weir_after(b->rt, timeout), &b->t[i]));
}

/* Let `ns` pass in one turn. */
static void pass(bare *b, uint64_t ns)
{
    weir_simulator_advance(b->sim, ns);
    weir_turn(b->rt);
    CHECK_INT(weir_rate_validate(&b->r), 0);
}

static void set(bare *b, double rate, double burst)
{
    weir_rate_limit l = {.rate = rate, .burst = burst};
    CHECK_OK(weir_rate_set(&b->r, &l));
}

static void bad_limits_are_misuse(void **state)
{
    static const weir_rate_limit bad[] = {{.rate = -1, .burst = 1},
                                          {.rate = NAN, .burst = 1},
                                          {.rate = 1, .burst = 0},
                                          {.per = 1, .n = 0},
                                          {.per = 1, .n = WEIR_WINDOW_MOST + 1}};
    weir_rate_limit window = {.per = MS, .n = 3};
    bare *b = bare_new(&window, 1);
    weir_rate r;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK_ERR(weir_rate_init(b->rt, &r, &bad[i], 1, NULL), WEIR_EINVAL);
        CHECK_ERR(weir_rate_set(&b->r, &bad[i]), WEIR_EINVAL);
    }
    CHECK_ERR(weir_rate_init(b->rt, &r, bad, 0, NULL), WEIR_EINVAL);
    CHECK_ERR(weir_rate_try(&b->r, 1.5), WEIR_EINVAL);
    CHECK_ERR(weir_rate_try(&b->r, 0), WEIR_EINVAL);
    CHECK_ERR(weir_rate_try(&b->r, NAN), WEIR_EINVAL);
    CHECK_ERR(weir_rate_try(&b->r, INFINITY), WEIR_EIMPOSSIBLE);
    bare_free(b);
}

static void nobody_barges_past_a_waiter(void **state)
{
    bare *b = bucket_new(1000, 10);
    weir_ticket *t;
    (void)state;
    CHECK_OK(weir_rate_try(&b->r, 8));
    queue_up(b, 0, 5, WEIR_FOREVER); /* in 3 ms; 2 are there */
    CHECK_ERR(weir_rate_try(&b->r, 1), WEIR_EBUSY);
    CHECK_ERR(weir_rate_try(&b->r, 0.001), WEIR_EBUSY);
    queue_up(b, 1, 1, WEIR_FOREVER);
    CHECK_OK(weir_rate_reserve(&b->r, 1, &t));
    CHECK_INT(weir_ticket_delay(t), 5 * MS);
    CHECK_INT(weir_rate_retry_after(&b->r, 2), 7 * MS);
    pass(b, 3 * MS - 1);
    CHECK_INT(b->w[0].status, WEIR_PENDING);
    pass(b, 1);
    CHECK_INT(b->w[0].status, WEIR_GRANTED);
    CHECK_INT(b->w[1].status, WEIR_PENDING);
    pass(b, MS);
    CHECK_INT(b->w[1].status, WEIR_GRANTED);
    CHECK_INT(weir_ticket_delay(t), MS);
    weir_ticket_free(t);
    bare_free(b);
}

static void a_million_waits_at_three_a_second_keep_the_beat(void **state)
{
    bare *b = bucket_new(3, 1);
    uint64_t n = check_scaled(1000000), start = weir_now(b->rt);
    (void)state;
    CHECK_OK(weir_rate_try(&b->r, 1));
    for (uint64_t k = 1; k <= n; k++) {
        queue_up(b, 0, 1, WEIR_FOREVER);
        while (b->w[0].status == WEIR_PENDING)
            weir_simulator_step(b->sim, b->rt);
        uint64_t want = start + (k * WEIR_SECOND + 2) / 3;
        if (b->at[0] != want)
            check_fail(__FILE__, __LINE__, "grant %llu is off by %lld ns", (unsigned long long)k,
                       (long long)(b->at[0] - want));
    }
    check_figure("grants", n);
    bare_free(b);
}

/* Ten queued reservations, a subset of them cancelled in any order and at any time: the rest are
 * due as if those had never been. (Go's Reservation.Cancel gives back 1 of 10 in this.) */
static void cancelled_reservations_leave_no_trace(void **state)
{
    check_random r = {check_seed(82)};
    uint32_t rounds = check_scaled(20000);
    (void)state;
    for (uint32_t round = 0; round < rounds; round++) {
        double rate = 1 + check_below(&r, 5000) / 7.0, n[10];
        weir_ticket *t[10];
        int alive[10];
        bare *b = bucket_new(rate, 10);
        CHECK_OK(weir_rate_try(&b->r, 10));
        for (int i = 0; i < 10; i++) {
            n[i] = (1 + check_below(&r, 40)) / 4.0;
            alive[i] = 1;
            CHECK_OK(weir_rate_reserve(&b->r, n[i], &t[i]));
        }
        for (int k = 0; k < 8; k++) {
            int i = (int)check_below(&r, 10);
            uint64_t delay = weir_ticket_delay(t[i]);
            CHECK_INT(weir_ticket_cancel(t[i]), alive[i] && delay > 0);
            alive[i] = alive[i] && delay == 0;
            CHECK_INT(weir_rate_validate(&b->r), 0);
        }
        double sum = 0;
        for (int i = 0; i < 10; i++)
            if (alive[i]) {
                sum += n[i];
                double want = ceil(sum / rate * 1e9 - 1e-4);
                if (fabs((double)weir_ticket_delay(t[i]) - want) > 1)
                    check_fail(__FILE__, __LINE__, "rate %g: due in %llu, expected %g", rate,
                               (unsigned long long)weir_ticket_delay(t[i]), want);
            }
        for (int i = 0; i < 10; i++) {
            weir_ticket_cancel(t[i]);
            weir_ticket_free(t[i]);
        }
        CHECK(weir_rate_available(&b->r) == 0); /* not -9, and not 9 */
        pass(b, WEIR_SECOND * 20);
        CHECK(weir_rate_available(&b->r) == 10);
        bare_free(b);
    }
    check_figure("sequences", rounds);
}

static void a_cancelled_waiter_retimes_those_behind(void **state)
{
    bare *b = bucket_new(1000, 10);
    (void)state;
    CHECK_OK(weir_rate_try(&b->r, 10));
    queue_up(b, 0, 10, WEIR_FOREVER);
    queue_up(b, 1, 2, WEIR_FOREVER);
    queue_up(b, 2, 2, WEIR_FOREVER);
    pass(b, MS);
    CHECK_INT(weir_waiter_give_up(b->rt, &b->w[0], WEIR_CANCELED), 1);
    CHECK_INT(b->r.timer.deadline, weir_now(b->rt) + MS);
    pass(b, MS);
    CHECK_INT(b->w[1].status, WEIR_GRANTED);
    CHECK_INT(b->w[2].status, WEIR_PENDING);
    pass(b, 2 * MS);
    CHECK_INT(b->w[2].status, WEIR_GRANTED);
    CHECK(weir_rate_available(&b->r) == 0);
    bare_free(b);
}

static void cancel_wins_over_a_grant_and_refunds_it(void **state)
{
    bare *b = bucket_new(1000, 1);
    (void)state;
    CHECK_OK(weir_rate_try(&b->r, 1));
    queue_up(b, 0, 1, WEIR_FOREVER);
    queue_up(b, 1, 1, WEIR_FOREVER);
    weir_simulator_advance(b->sim, MS);
    weir_now_update(b->rt);
    CHECK_ERR(weir_rate_try(&b->r, 1), WEIR_EBUSY); /* looks: the head is granted, not run yet */
    CHECK_INT(b->w[0].status, WEIR_GRANTED);
    CHECK_INT(weir_waiter_give_up(b->rt, &b->w[0], WEIR_CANCELED), 1);
    CHECK_INT(b->w[1].status, WEIR_GRANTED); /* the next has it at once */
    CHECK_INT(b->r.stats.refunds, 1);
    weir_turn(b->rt);
    CHECK_INT(weir_rate_retry_after(&b->r, 1), MS);
    bare_free(b);
}

/* A grant that comes back late, when the bucket would have been full without it, mints nothing. */
static void a_late_refund_mints_nothing(void **state)
{
    bare *b = bucket_new(1000, 4);
    (void)state;
    queue_up(b, 0, 3, WEIR_FOREVER); /* granted, not run */
    weir_simulator_advance(b->sim, 2 * MS);
    weir_now_update(b->rt);
    CHECK_OK(weir_rate_try(&b->r, 3)); /* without the first it would have been taken from 4 */
    CHECK_INT(weir_waiter_give_up(b->rt, &b->w[0], WEIR_CANCELED), 1);
    CHECK(weir_rate_available(&b->r) == 1);
    /* Between the marked era and the last: too little, never too much. */
    pass(b, 10 * MS);
    queue_up(b, 0, 1, WEIR_FOREVER);
    set(b, 1000, 3);
    queue_up(b, 1, 1, WEIR_FOREVER);
    set(b, 1000, 2);
    CHECK(weir_rate_available(&b->r) == 2);
    CHECK_INT(weir_waiter_give_up(b->rt, &b->w[1], WEIR_CANCELED), 1);
    CHECK(weir_rate_available(&b->r) == 2);
    bare_free(b);
}

static void a_new_rate_retimes_those_who_wait(void **state)
{
    bare *b = bucket_new(1, 2);
    (void)state;
    CHECK_OK(weir_rate_try(&b->r, 2));
    queue_up(b, 0, 1, WEIR_FOREVER); /* in 1 s */
    queue_up(b, 1, 2, WEIR_FOREVER); /* in 3 s */
    pass(b, WEIR_SECOND / 2);
    set(b, 1000, 2); /* half of it is there */
    CHECK_INT(b->r.timer.deadline, weir_now(b->rt) + MS / 2);
    pass(b, MS / 2);
    CHECK_INT(b->w[0].status, WEIR_GRANTED);
    set(b, 0, 2); /* nobody knows when */
    CHECK_INT(weir_timer_is_set(&b->r.timer), 0);
    pass(b, 100 * WEIR_SECOND);
    CHECK_INT(b->w[1].status, WEIR_PENDING);
    set(b, 0, 1); /* never */
    CHECK_INT(b->w[1].status, WEIR_IMPOSSIBLE);
    CHECK_INT(b->r.stats.impossible, 1);
    set(b, INFINITY, 1);
    CHECK_OK(weir_rate_try(&b->r, 1e9));
    bare_free(b);
}

static void a_hopeless_timeout_fails_at_once(void **state)
{
    bare *b = bucket_new(10, 1);
    (void)state;
    CHECK_OK(weir_rate_try(&b->r, 1));
    queue_up(b, 0, 1, WEIR_FOREVER);
    CHECK_ERR(weir_rate_wait(&b->r, 1, &b->w[1], weir_after(b->rt, 200 * MS - 1), &b->t[1]),
              WEIR_ETIMEOUT);
    CHECK_INT(b->w[1].status, WEIR_IDLE);
    queue_up(b, 1, 1, 200 * MS); /* just in time */
    set(b, 5, 1);                /* and now it is not */
    pass(b, 200 * MS);
    CHECK_INT(b->w[0].status, WEIR_GRANTED);
    pass(b, 1);
    CHECK_INT(b->w[1].status, WEIR_TIMEOUT);
    CHECK_INT(b->r.stats.timeouts, 2);
    bare_free(b);
}

static void due_and_timed_out_in_one_ns_is_granted(void **state)
{
    bare *b = bucket_new(3, 1);
    (void)state;
    CHECK_OK(weir_rate_try(&b->r, 1));
    for (int i = 0; i < 6; i++)
        queue_up(b, i, 1, (uint64_t)(i + 1) * WEIR_SECOND / 3 + 1);
    while (weir_simulator_step(b->sim, b->rt))
        ;
    for (int i = 0; i < 6; i++)
        CHECK_INT(b->w[i].status, WEIR_GRANTED);
    bare_free(b);
}

static void all_limits_or_none_are_charged(void **state)
{
    static const weir_rate_limit limits[] = {
        {.rate = 10, .burst = 10}, {.rate = 5, .burst = 30}, {.n = 40, .per = 60 * WEIR_SECOND}};
    bare *b = bare_new(limits, 3);
    (void)state;
    CHECK_OK(weir_rate_try(&b->r, 10));
    CHECK_ERR(weir_rate_try(&b->r, 1), WEIR_EBUSY);
    CHECK(weir_bucket_available(&b->r.part[1].rule, &b->r.part[1].bucket, weir_now(b->rt)) == 20);
    CHECK_INT(weir_window_available(&b->r.part[2].window, weir_now(b->rt)), 30);
    CHECK_INT(weir_rate_retry_after(&b->r, 1), 100 * MS);
    CHECK_ERR(weir_rate_try(&b->r, 11), WEIR_EIMPOSSIBLE);
    for (int i = 0; i < 4; i++)
        queue_up(b, i, 10, WEIR_FOREVER);
    while (b->w[2].status == WEIR_PENDING)
        weir_simulator_step(b->sim, b->rt);
    /* 10 at 0, 1 and 2 s; at 3 s the second bucket has 15 of 30 left, the window nothing at 4. */
    CHECK_INT(b->at[0], WEIR_SECOND);
    CHECK_INT(b->at[1], 2 * WEIR_SECOND);
    CHECK_INT(b->at[2], 3 * WEIR_SECOND);
    while (weir_simulator_step(b->sim, b->rt))
        ;
    CHECK_INT(b->at[3], 60 * WEIR_SECOND);
    bare_free(b);
}

static void it_is_as_new_when_every_limit_is(void **state)
{
    static const weir_rate_limit limits[] = {
        {.rate = 10, .burst = 10}, {.rate = 1, .burst = 5}, {.n = 40, .per = 3 * WEIR_SECOND}};
    weir_ticket *t;
    (void)state;
    for (uint32_t n = 1; n <= 3; n++) {
        bare *b = bare_new(limits, n);
        CHECK_INT(weir_rate_full_in(&b->r), 0);
        CHECK_OK(weir_rate_try(&b->r, 2));
        CHECK_INT(weir_rate_full_in(&b->r), n == 1   ? 200 * MS
                                            : n == 2 ? 2 * WEIR_SECOND
                                                     : 3 * WEIR_SECOND);
        pass(b, weir_rate_full_in(&b->r) - 1);
        CHECK_INT(weir_rate_full_in(&b->r), 1);
        pass(b, 1);
        CHECK_INT(weir_rate_full_in(&b->r), 0);
        CHECK_OK(weir_rate_try(&b->r, 5));
        CHECK_OK(weir_rate_reserve(&b->r, n == 1 ? 10 : 1, &t));
        CHECK(weir_rate_full_in(&b->r) == WEIR_FOREVER); /* somebody will take when it is due */
        CHECK_INT(weir_ticket_cancel(t), 1);
        CHECK(weir_rate_full_in(&b->r) < 6 * WEIR_SECOND);
        weir_ticket_free(t);
        bare_free(b);
    }
    bare *b = bucket_new(0, 3);
    CHECK_INT(weir_rate_full_in(&b->r), 0);
    CHECK_OK(weir_rate_try(&b->r, 1));
    CHECK(weir_rate_full_in(&b->r) == WEIR_FOREVER);
    set(b, INFINITY, 3);
    CHECK_OK(weir_rate_try(&b->r, 1));
    CHECK_INT(weir_rate_full_in(&b->r), 0);
    bare_free(b);
}

/* In a loop that stands still for 10 s, 100 waiters at 10 a second are not let out at once. */
static void a_stalled_loop_makes_no_burst(void **state)
{
    bare *b = bucket_new(10, 2);
    (void)state;
    CHECK_OK(weir_rate_try(&b->r, 2));
    for (int i = 0; i < 6; i++)
        queue_up(b, i, 1, WEIR_FOREVER);
    pass(b, 10 * WEIR_SECOND);
    CHECK(b->w[1].status == WEIR_GRANTED && b->w[2].status == WEIR_PENDING);
    bare_free(b);
}

static void reservations_stand_through_close_and_hold_up_a_drain(void **state)
{
    bare *b = bucket_new(10, 1);
    weir_ticket *t, *u;
    (void)state;
    CHECK_OK(weir_rate_try(&b->r, 1));
    CHECK_OK(weir_rate_reserve(&b->r, 1, &t));
    CHECK_OK(weir_rate_reserve(&b->r, 1, &u));
    CHECK_QUIET(b->rt);  /* a reservation alone keeps nothing alive */
    weir_ticket_free(u); /* and stays, forgotten */
    queue_up(b, 0, 1, WEIR_FOREVER);
    weir_rate_close(&b->r);
    weir_rate_close(&b->r);
    CHECK_INT(b->w[0].status, WEIR_CLOSED);
    CHECK_ERR(weir_rate_try(&b->r, 1), WEIR_ECLOSED);
    CHECK_ERR(weir_rate_reserve(&b->r, 1, &u), WEIR_ECLOSED);
    CHECK_INT(weir_ticket_delay(t), 100 * MS);
    weir_rate_drain(&b->r, &b->w[1], WEIR_FOREVER);
    weir_rate_drain(&b->r, &b->w[2], weir_after(b->rt, MS));
    pass(b, 100 * MS);
    CHECK_INT(b->w[2].status, WEIR_TIMEOUT);
    CHECK_INT(b->w[1].status, WEIR_PENDING);
    CHECK_INT(weir_ticket_delay(t), 0);
    CHECK_INT(weir_ticket_cancel(t), 0);
    pass(b, 100 * MS);
    CHECK_INT(b->w[1].status, WEIR_GRANTED);
    weir_ticket_free(t);
    bare_free(b);
}

static void the_queue_is_bounded_by_max_waiting(void **state)
{
    bare *b = bucket_new(10, 1);
    weir_ticket *t;
    (void)state;
    b->r.max_waiting = 2;
    CHECK_OK(weir_rate_try(&b->r, 1));
    queue_up(b, 0, 1, WEIR_FOREVER);
    CHECK_OK(weir_rate_reserve(&b->r, 1, &t));
    CHECK_ERR(weir_rate_wait(&b->r, 1, &b->w[1], WEIR_FOREVER, &b->t[1]), WEIR_EOVERLOAD);
    CHECK_ERR(weir_rate_reserve(&b->r, 1, &b->t[1]), WEIR_EOVERLOAD);
    CHECK_INT(weir_waiter_give_up(b->rt, &b->w[0], WEIR_CANCELED), 1); /* counts no more */
    queue_up(b, 1, 1, WEIR_FOREVER);
    CHECK_INT(b->r.stats.overload, 2);
    weir_ticket_free(t);
    bare_free(b);
}

/* Over any window w: granted <= burst + rate * (w + 1 ns). For each grant, `least` knows the
 * window that has least room for it. */
static void check_law(const bare *b, double rate, double burst)
{
    double taken = 0, least = INFINITY, per_ns = rate / 1e9;
    for (unsigned i = 0; i < b->n_granted; i++) {
        double now = (double)b->granted[i].at;
        least = fmin(least, taken - per_ns * now);
        taken += b->granted[i].n;
        double room = least + burst + per_ns * (now + 1);
        if (taken > room + 1e-9 * (burst + taken))
            check_fail(__FILE__, __LINE__, "rate %g burst %g: %g too many", rate, burst,
                       taken - room);
    }
}

/* Whatever waits, cancels, reserves, and however late the loop is. */
static void no_window_holds_more_than_the_law_allows(void **state)
{
    check_random r = {check_seed(83)};
    uint32_t rounds = check_scaled(4000);
    (void)state;
    for (uint32_t round = 0; round < rounds; round++) {
        double rate = (1 + check_below(&r, 100000)) / 7.0, burst = 1 + check_below(&r, 6);
        bare *b = bucket_new(rate, burst);
        for (int i = 0; i < 200; i++) {
            weir_waiter *w = &b->w[check_below(&r, BARE)];
            double amount = (1 + check_below(&r, (uint32_t)burst * 4)) / 4.0;
            if (w->status != WEIR_PENDING && !weir_link_is_linked(&w->link))
                queue_up(b, (int)(w - b->w), amount, WEIR_FOREVER);
            else if (check_below(&r, 3) == 0)
                weir_waiter_give_up(b->rt, w, WEIR_CANCELED);
            if (weir_rate_try(&b->r, amount) == 0)
                note_grant(b, weir_now(b->rt), amount);
            if (check_below(&r, 4) == 0)
                pass(b, (uint64_t)(check_below(&r, 3000) * 1e6 / rate)); /* late */
            else
                weir_simulator_step(b->sim, b->rt);
        }
        check_law(b, rate, burst);
        bare_free(b);
    }
    check_figure("sequences", rounds);
}

static void forget(weir_runtime *rt, weir_waiter *w)
{
    (void)rt;
    (void)w;
}

static int a_life(weir_simulator *sim)
{
    static const weir_rate_limit limits[] = {{.rate = 10, .burst = 2}, {.n = 2, .per = 1000}};
    static const weir_rate_limit more[] = {{.rate = 20, .burst = 4}, {.n = 5, .per = 1000}};
    weir_runtime *rt = weir_runtime_new(weir_simulator_env(sim));
    weir_rate r;
    weir_waiter w;
    weir_ticket *t[2] = {NULL};
    int rc, worst = 0;
    if (rt == NULL)
        return WEIR_ENOMEM;
    rc = weir_rate_init(rt, &r, limits, 2, NULL);
    if (rc != 0) {
        weir_runtime_free(rt);
        return rc;
    }
    weir_waiter_init(&w, forget);
    CHECK_OK(weir_rate_try(&r, 2));
    for (int i = 0; i < 3; i++) {
        weir_rate before = r;
        rc = i == 0   ? weir_rate_wait(&r, 1, &w, WEIR_FOREVER, &t[0])
             : i == 1 ? weir_rate_reserve(&r, 1, &t[1])
                      : weir_rate_set(&r, more);
        CHECK_INT(weir_rate_validate(&r), 0);
        if (rc == 0)
            continue;
        worst = rc;
        CHECK(memcmp(&before, &r, sizeof r) == 0);
        CHECK(i > 0 || w.status == WEIR_IDLE);
    }
    weir_rate_close(&r);
    while (weir_turn(rt) > 0)
        ;
    CHECK_QUIET(rt);
    weir_rate_fini(&r);
    weir_runtime_free(rt);
    return worst;
}

static void memory_failures_change_nothing(void **state)
{
    (void)state;
    CHECK(CHECK_OOM(a_life) >= 20);
}

int main(void)
{
    const struct CMUnitTest rate[] = {
        cmocka_unit_test(bad_limits_are_misuse),
        cmocka_unit_test(nobody_barges_past_a_waiter),
        cmocka_unit_test(a_million_waits_at_three_a_second_keep_the_beat),
        cmocka_unit_test(cancelled_reservations_leave_no_trace),
        cmocka_unit_test(a_cancelled_waiter_retimes_those_behind),
        cmocka_unit_test(cancel_wins_over_a_grant_and_refunds_it),
        cmocka_unit_test(a_late_refund_mints_nothing),
        cmocka_unit_test(a_new_rate_retimes_those_who_wait),
        cmocka_unit_test(a_hopeless_timeout_fails_at_once),
        cmocka_unit_test(due_and_timed_out_in_one_ns_is_granted),
        cmocka_unit_test(all_limits_or_none_are_charged),
        cmocka_unit_test(it_is_as_new_when_every_limit_is),
        cmocka_unit_test(a_stalled_loop_makes_no_burst),
        cmocka_unit_test(reservations_stand_through_close_and_hold_up_a_drain),
        cmocka_unit_test(the_queue_is_bounded_by_max_waiting),
        cmocka_unit_test(no_window_holds_more_than_the_law_allows),
        cmocka_unit_test(memory_failures_change_nothing),
    };
    return CHECK_MAIN(rate);
}
