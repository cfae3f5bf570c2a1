/* semaphore_test.c - the single promises of the semaphore; semaphore_model_test.c has the rest.
 *
 * The waiters are bare: no task, no script, so that each promise can be read off one status.
 */
#include <weir/semaphore.h>

#include "check.h"

#define BARE 6

typedef struct bare {
    weir_simulator *sim;
    weir_runtime *rt;
    weir_semaphore s;
    weir_waiter w[BARE];
    weir_permit *p[BARE];
} bare;

static unsigned turns; /* of note_turn, in the order of their turns */
static weir_waiter *turned[32];

static void note_turn(weir_runtime *rt, weir_waiter *w)
{
    (void)rt;
    assert_true(turns < 32);
    turned[turns++] = w;
}

static bare *bare_new(int64_t capacity)
{
    bare *b = calloc(1, sizeof *b);
    assert_non_null(b);
    b->sim = weir_simulator_new(WEIR_PLAN_FIFO, 1);
    b->rt = weir_runtime_new(weir_simulator_env(b->sim));
    assert_non_null(b->rt);
    CHECK_OK(weir_semaphore_init(b->rt, &b->s, capacity, "pool"));
    for (int i = 0; i < BARE; i++)
        weir_waiter_init(&b->w[i], note_turn);
    turns = 0;
    return b;
}

static void bare_free(bare *b)
{
    while (weir_turn(b->rt) > 0)
        ;
    CHECK_INT(weir_semaphore_validate(&b->s), 0);
    CHECK_VALID(b->rt);
    CHECK_QUIET(b->rt);
    CHECK_INT(b->s.available, b->s.capacity);
    weir_semaphore_fini(&b->s);
    weir_runtime_free(b->rt);
    CHECK_INT(weir_simulator_bytes(b->sim), 0);
    weir_simulator_free(b->sim);
    free(b);
}

static void queue_up(bare *b, int i, uint32_t n, uint64_t timeout)
{
    CHECK_OK(
        weir_semaphore_acquire(&b->s, NULL, n, &b->w[i], weir_after(b->rt, timeout), &b->p[i]));
}

static void bad_capacities_are_misuse(void **state)
{
    bare *b = bare_new(1);
    weir_semaphore s;
    (void)state;
    CHECK_ERR(weir_semaphore_init(b->rt, &s, 0, NULL), WEIR_EINVAL);
    CHECK_ERR(weir_semaphore_init(b->rt, &s, -1, NULL), WEIR_EINVAL);
    CHECK_ERR(weir_semaphore_init(b->rt, &s, INT64_MAX, NULL), WEIR_EINVAL);
    CHECK_OK(weir_semaphore_init(b->rt, &s, UINT32_MAX, NULL));
    CHECK_OK(weir_semaphore_try(&s, NULL, UINT32_MAX, &b->p[0]));
    CHECK_ERR(weir_semaphore_try(&s, NULL, 1, &b->p[1]), WEIR_EBUSY);
    weir_permit_release(b->p[0]);
    weir_semaphore_fini(&s);
    bare_free(b);
}

static void nobody_barges_past_a_waiter(void **state)
{
    bare *b = bare_new(3);
    weir_permit *p = NULL;
    (void)state;
    CHECK_OK(weir_semaphore_try(&b->s, NULL, 2, &b->p[0]));
    queue_up(b, 1, 3, WEIR_FOREVER);
    CHECK_ERR(weir_semaphore_try(&b->s, NULL, 1, &p), WEIR_EBUSY); /* one is free */
    queue_up(b, 2, 1, WEIR_FOREVER);
    CHECK_INT(b->w[2].status, WEIR_PENDING);
    weir_permit_release(b->p[0]);
    CHECK_INT(b->w[1].status, WEIR_GRANTED);
    CHECK_INT(b->w[2].status, WEIR_PENDING);
    weir_permit_release(b->p[1]);
    CHECK_INT(b->w[2].status, WEIR_GRANTED);
    weir_turn(b->rt);
    CHECK(turns == 2 && turned[0] == &b->w[1] && turned[1] == &b->w[2]);
    weir_permit_release(b->p[2]);
    bare_free(b);
}

static void a_head_that_leaves_lets_smaller_ones_through(void **state)
{
    static const weir_status ways[] = {WEIR_CANCELED, WEIR_TIMEOUT, WEIR_STUCK};
    (void)state;
    for (int way = 0; way < 3; way++) {
        bare *b = bare_new(3);
        CHECK_OK(weir_semaphore_try(&b->s, NULL, 1, &b->p[0]));
        queue_up(b, 1, 3, ways[way] == WEIR_TIMEOUT ? 10 : WEIR_FOREVER);
        queue_up(b, 2, 1, WEIR_FOREVER);
        queue_up(b, 3, 1, WEIR_FOREVER);
        queue_up(b, 4, 1, WEIR_FOREVER);
        if (ways[way] == WEIR_TIMEOUT) {
            weir_simulator_advance(b->sim, 10);
            weir_turn(b->rt);
            CHECK_INT(turns, 3);
        } else {
            CHECK_INT(weir_waiter_give_up(b->rt, &b->w[1], ways[way]), 1);
        }
        CHECK_INT(b->w[1].status, ways[way]);
        CHECK(b->w[2].status == WEIR_GRANTED && b->w[3].status == WEIR_GRANTED);
        CHECK_INT(b->w[4].status, WEIR_PENDING);
        CHECK_INT(weir_semaphore_validate(&b->s), 0);
        weir_permit_release(b->p[0]);
        for (int i = 2; i < 5; i++)
            weir_permit_release(b->p[i]);
        bare_free(b);
    }
}

static void cancel_wins_over_a_grant_not_yet_seen(void **state)
{
    bare *b = bare_new(1);
    (void)state;
    CHECK_OK(weir_semaphore_try(&b->s, NULL, 1, &b->p[0]));
    queue_up(b, 1, 1, WEIR_FOREVER);
    queue_up(b, 2, 1, WEIR_FOREVER);
    weir_permit_release(b->p[0]);
    CHECK_INT(b->w[1].status, WEIR_GRANTED);
    CHECK_INT(weir_waiter_give_up(b->rt, &b->w[1], WEIR_CANCELED), 1);
    CHECK_INT(b->w[1].status, WEIR_CANCELED);
    CHECK_INT(b->w[2].status, WEIR_GRANTED); /* at once */
    CHECK_INT(weir_waiter_give_up(b->rt, &b->w[1], WEIR_CANCELED), 0);
    weir_turn(b->rt);
    CHECK_INT(turns, 2);
    CHECK_INT(weir_waiter_give_up(b->rt, &b->w[2], WEIR_CANCELED), 0); /* it has had its turn */
    weir_permit_release(b->p[2]);
    bare_free(b);
}

static void a_grant_before_the_timeout_stands(void **state)
{
    bare *b = bare_new(1);
    (void)state;
    CHECK_OK(weir_semaphore_try(&b->s, NULL, 1, &b->p[0]));
    queue_up(b, 1, 1, 5);
    weir_simulator_advance(b->sim, 5); /* due, but no turn yet */
    weir_permit_release(b->p[0]);
    CHECK_INT(weir_runtime_counters(b->rt)->timers, 0);
    weir_turn(b->rt);
    CHECK_INT(b->w[1].status, WEIR_GRANTED);
    CHECK_INT(weir_waiter_give_up(b->rt, &b->w[1], WEIR_TIMEOUT), 0);
    weir_permit_release(b->p[1]);
    bare_free(b);
}

static void close_fails_waiters_and_lets_permits_back(void **state)
{
    bare *b = bare_new(2);
    weir_permit *p = NULL;
    (void)state;
    CHECK_OK(weir_semaphore_try(&b->s, NULL, 2, &b->p[0]));
    for (int i = 1; i < 4; i++)
        queue_up(b, i, (uint32_t)(1 + i % 2), 100);
    weir_semaphore_close(&b->s);
    weir_semaphore_close(&b->s);
    CHECK_INT(b->s.waiting, 0);
    CHECK_INT(b->s.stats.closes, 3);
    CHECK_INT(weir_runtime_counters(b->rt)->timers, 0);
    for (int i = 1; i < 4; i++)
        CHECK_INT(b->w[i].status, WEIR_CLOSED);
    CHECK_ERR(weir_semaphore_try(&b->s, NULL, 1, &p), WEIR_ECLOSED);
    CHECK_ERR(weir_semaphore_acquire(&b->s, NULL, 1, &b->w[4], WEIR_FOREVER, &p), WEIR_ECLOSED);
    CHECK_INT(b->w[4].status, WEIR_IDLE);
    weir_permit_release(b->p[0]);
    CHECK_ERR(weir_semaphore_try(&b->s, NULL, 1, &p), WEIR_ECLOSED);
    bare_free(b);
}

static void drain_serves_the_queue_and_waits_for_all(void **state)
{
    bare *b = bare_new(1);
    weir_permit *p = NULL;
    (void)state;
    CHECK_OK(weir_semaphore_try(&b->s, NULL, 1, &b->p[0]));
    queue_up(b, 1, 1, WEIR_FOREVER);
    weir_semaphore_drain(&b->s, &b->w[2], WEIR_FOREVER);
    weir_semaphore_drain(&b->s, &b->w[3], weir_after(b->rt, 7)); /* any number may wait */
    CHECK_ERR(weir_semaphore_try(&b->s, NULL, 1, &p), WEIR_ECLOSED);
    weir_permit_release(b->p[0]);
    CHECK_INT(b->w[1].status, WEIR_GRANTED);
    CHECK_INT(b->w[2].status, WEIR_PENDING);
    weir_simulator_advance(b->sim, 7);
    weir_turn(b->rt);
    CHECK_INT(b->w[3].status, WEIR_TIMEOUT);
    weir_permit_release(b->p[1]);
    CHECK_INT(b->w[2].status, WEIR_GRANTED);
    weir_semaphore_drain(&b->s, &b->w[4], WEIR_FOREVER); /* all is back already */
    CHECK_INT(b->w[4].status, WEIR_GRANTED);
    weir_semaphore_close(&b->s);
    bare_free(b);
}

static void close_ends_a_drain_when_all_is_back(void **state)
{
    bare *b = bare_new(1);
    (void)state;
    CHECK_OK(weir_semaphore_try(&b->s, NULL, 1, &b->p[0]));
    queue_up(b, 1, 1, WEIR_FOREVER);
    weir_semaphore_drain(&b->s, &b->w[2], WEIR_FOREVER);
    weir_semaphore_close(&b->s);
    CHECK_INT(b->w[1].status, WEIR_CLOSED);
    CHECK_INT(b->w[2].status, WEIR_PENDING);
    weir_permit_release(b->p[0]);
    CHECK_INT(b->w[2].status, WEIR_GRANTED);
    bare_free(b);
}

static void impossible_and_overload_are_told_at_once(void **state)
{
    bare *b = bare_new(2);
    (void)state;
    CHECK_ERR(weir_semaphore_try(&b->s, NULL, 3, &b->p[0]), WEIR_EIMPOSSIBLE);
    CHECK_ERR(weir_semaphore_try(&b->s, NULL, UINT32_MAX, &b->p[0]), WEIR_EIMPOSSIBLE);
    CHECK_ERR(weir_semaphore_try(&b->s, NULL, 0, &b->p[0]), WEIR_EINVAL);
    CHECK_ERR(weir_semaphore_acquire(&b->s, NULL, 3, &b->w[0], WEIR_FOREVER, &b->p[0]),
              WEIR_EIMPOSSIBLE);
    CHECK_OK(weir_semaphore_try(&b->s, NULL, 2, &b->p[0]));
    b->s.max_waiting = 1;
    queue_up(b, 1, 1, WEIR_FOREVER);
    CHECK_ERR(weir_semaphore_acquire(&b->s, NULL, 1, &b->w[2], WEIR_FOREVER, &b->p[2]),
              WEIR_EOVERLOAD);
    b->s.max_waiting = 0;
    CHECK_ERR(weir_semaphore_acquire(&b->s, NULL, 1, &b->w[2], WEIR_FOREVER, &b->p[2]),
              WEIR_EOVERLOAD);
    CHECK_INT(b->w[2].status, WEIR_IDLE);
    CHECK_INT(b->s.stats.overload, 2);
    weir_permit_release(b->p[0]);
    weir_permit_release(b->p[1]);
    bare_free(b);
}

static void a_shrink_makes_a_debt_that_releases_pay(void **state)
{
    bare *b = bare_new(3);
    weir_permit *p = NULL;
    (void)state;
    CHECK_OK(weir_semaphore_try(&b->s, NULL, 2, &b->p[0]));
    CHECK_OK(weir_semaphore_try(&b->s, NULL, 1, &b->p[1]));
    queue_up(b, 2, 1, WEIR_FOREVER);
    queue_up(b, 3, 2, 50);
    queue_up(b, 4, 1, WEIR_FOREVER);
    CHECK_ERR(weir_semaphore_resize(&b->s, 0), WEIR_EINVAL);
    CHECK_ERR(weir_semaphore_resize(&b->s, -1), WEIR_EINVAL);
    CHECK_OK(weir_semaphore_resize(&b->s, 1));
    CHECK_INT(b->s.available, -2);
    CHECK_INT(b->w[3].status, WEIR_IMPOSSIBLE);
    CHECK_INT(b->s.stats.impossible, 1);
    CHECK_INT(weir_runtime_counters(b->rt)->timers, 0);
    CHECK_ERR(weir_semaphore_try(&b->s, NULL, 1, &p), WEIR_EBUSY);
    CHECK_ERR(weir_semaphore_try(&b->s, NULL, 2, &p), WEIR_EIMPOSSIBLE);
    weir_permit_release(b->p[1]);
    CHECK_INT(b->s.available, -1);
    CHECK_INT(b->w[2].status, WEIR_PENDING);
    weir_permit_release(b->p[0]);
    CHECK(b->w[2].status == WEIR_GRANTED && b->w[4].status == WEIR_PENDING);
    CHECK_OK(weir_semaphore_resize(&b->s, 5)); /* growing grants at once */
    CHECK_INT(b->w[4].status, WEIR_GRANTED);
    CHECK_INT(b->s.available, 3);
    weir_permit_release(b->p[2]);
    weir_permit_release(b->p[4]);
    bare_free(b);
}

static void a_permit_bumps_its_generation_when_it_ends(void **state)
{
    bare *b = bare_new(1);
    weir_permit *again;
    uint32_t generation;
    (void)state;
    CHECK_OK(weir_semaphore_try(&b->s, NULL, 1, &b->p[0]));
    generation = b->p[0]->generation;
    weir_permit_release(b->p[0]);
    CHECK(b->p[0]->generation != generation); /* the record is the runtime's until it ends */
    CHECK_OK(weir_semaphore_try(&b->s, NULL, 1, &again));
    CHECK(again != b->p[0] || again->generation != generation);
    weir_permit_release(again);
    bare_free(b);
}

static void times_are_measured_on_the_virtual_clock(void **state)
{
    bare *b = bare_new(1);
    (void)state;
    CHECK_OK(weir_semaphore_try(&b->s, NULL, 1, &b->p[0]));
    queue_up(b, 1, 1, WEIR_FOREVER);
    weir_simulator_advance(b->sim, 1000);
    weir_turn(b->rt);
    weir_permit_release(b->p[0]);
    weir_simulator_advance(b->sim, 500);
    weir_turn(b->rt);
    weir_permit_release(b->p[1]);
    CHECK_INT(b->s.stats.hold.count, 2);
    CHECK_INT(b->s.stats.hold.sum, 1500);
    CHECK_INT(b->s.stats.wait.count, 1);
    CHECK_INT(b->s.stats.wait.max, 1000);
    CHECK_INT(b->s.stats.grants, 2);
    CHECK_INT(b->s.stats.queued, 1);
    bare_free(b);
}

static void what_is_waited_for_and_held_has_a_name(void **state)
{
    bare *b = bare_new(1);
    (void)state;
    CHECK_OK(weir_semaphore_try(&b->s, NULL, 1, &b->p[0]));
    queue_up(b, 1, 1, WEIR_FOREVER);
    weir_semaphore_drain(&b->s, &b->w[2], WEIR_FOREVER);
    CHECK_TEXT(b->p[0]->hold.ops->kind, "permit");
    CHECK_TEXT(b->p[0]->hold.ops->name(&b->p[0]->hold), "pool");
    CHECK_TEXT(b->w[1].ops->name(&b->w[1]), "pool");
    CHECK_TEXT(b->w[2].ops->name(&b->w[2]), "pool");
    CHECK_TEXT(b->w[1].ops->op, "semaphore:acquire");
    CHECK_TEXT(b->w[2].ops->op, "semaphore:drain");
    weir_permit_release(b->p[0]);
    weir_permit_release(b->p[1]);
    bare_free(b);
}

static void retry_after_is_the_mean_hold_by_the_queue(void **state)
{
    bare *b = bare_new(2);
    (void)state;
    CHECK_INT(weir_semaphore_retry_after(&b->s, 1), 0);
    for (int i = 0; i < 2; i++)
        CHECK_OK(weir_semaphore_try(&b->s, NULL, 1, &b->p[i]));
    weir_simulator_advance(b->sim, 1000);
    weir_turn(b->rt);
    weir_permit_release(b->p[0]);
    CHECK_INT(weir_semaphore_retry_after(&b->s, 1), 0); /* one is free */
    CHECK_OK(weir_semaphore_try(&b->s, NULL, 1, &b->p[0]));
    CHECK_INT(weir_semaphore_retry_after(&b->s, 1), 500); /* two at once */
    for (int i = 2; i < 5; i++)
        queue_up(b, i, 1, WEIR_FOREVER);
    CHECK_INT(weir_semaphore_retry_after(&b->s, 1), 2000);
    for (int i = 0; i < 5; i++)
        weir_permit_release(b->p[i]);
    bare_free(b);
}

static void validate_sees_what_is_broken(void **state)
{
    bare *b = bare_new(3);
    (void)state;
    CHECK_OK(weir_semaphore_try(&b->s, NULL, 2, &b->p[0]));
    queue_up(b, 1, 2, WEIR_FOREVER);
#define CHECK_BROKEN(field, wrong)                                                                 \
    do {                                                                                           \
        __typeof__(field) right_ = (field);                                                        \
        (field) = (wrong);                                                                         \
        if (weir_semaphore_validate(&b->s) == 0)                                                   \
            check_fail(__FILE__, __LINE__, "%s = %s is not noticed", #field, #wrong);              \
        (field) = right_;                                                                          \
        CHECK_INT(weir_semaphore_validate(&b->s), 0);                                              \
    } while (0)
    CHECK_BROKEN(b->s.available, 0);
    CHECK_BROKEN(b->s.waiting, 0);
    CHECK_BROKEN(b->s.closed, 1);
    CHECK_BROKEN(b->p[0]->n, 1);
    CHECK_BROKEN(b->p[0]->of, NULL);
    CHECK_BROKEN(b->p[0]->waiter, &b->w[0]);
    CHECK_BROKEN(b->p[0]->hold.holder, (weir_task *)(void *)&b->s);
    CHECK_BROKEN(b->p[1]->waiter, NULL);
    CHECK_BROKEN(b->p[1]->n, 1); /* a head that fits: a lost wake-up */
    CHECK_BROKEN(b->w[1].status, WEIR_GRANTED);
#undef CHECK_BROKEN
    weir_permit_release(b->p[0]);
    weir_permit_release(b->p[1]);
    bare_free(b);
}

int main(void)
{
    const struct CMUnitTest semaphore[] = {
        cmocka_unit_test(bad_capacities_are_misuse),
        cmocka_unit_test(nobody_barges_past_a_waiter),
        cmocka_unit_test(a_head_that_leaves_lets_smaller_ones_through),
        cmocka_unit_test(cancel_wins_over_a_grant_not_yet_seen),
        cmocka_unit_test(a_grant_before_the_timeout_stands),
        cmocka_unit_test(close_fails_waiters_and_lets_permits_back),
        cmocka_unit_test(drain_serves_the_queue_and_waits_for_all),
        cmocka_unit_test(close_ends_a_drain_when_all_is_back),
        cmocka_unit_test(impossible_and_overload_are_told_at_once),
        cmocka_unit_test(a_shrink_makes_a_debt_that_releases_pay),
        cmocka_unit_test(a_permit_bumps_its_generation_when_it_ends),
        cmocka_unit_test(times_are_measured_on_the_virtual_clock),
        cmocka_unit_test(what_is_waited_for_and_held_has_a_name),
        cmocka_unit_test(retry_after_is_the_mean_hold_by_the_queue),
        cmocka_unit_test(validate_sees_what_is_broken),
    };
    return CHECK_MAIN(semaphore);
}
