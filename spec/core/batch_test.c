/* batch_test.c - when a batch flushes, how many fly, and who gets what. With the bugs of peers in
 * it.
 */
#include "batch_bed.h"

/* --- when it is flushed ----------------------------------------------------------------------- */

static void bad_options_are_refused(void **state)
{
    weir_batch b;
    (void)state;
    open_bed(1, 1, 0, 0);
    for (int i = 0; i < 3; i++) {
        weir_batch_options o = {.max = i != 0, .max_flying = i != 1, .max_waiting = i != 2};
        CHECK_ERR(weir_batch_init(bed.rt, &b, &batch_ops, &o, NULL), WEIR_EINVAL);
    }
    shut_bed();
}

/* DataLoader waits for its window although the batch is full. */
static void a_full_group_flies_in_the_same_turn(void **state)
{
    (void)state;
    open_bed(2, UINT32_MAX, WEIR_SECOND, 0);
    ask(0);
    turn(0);
    CHECK_INT(bed.n_flushed, 0);
    ask(1);
    CHECK_INT(bed.n_flushed, 0); /* not inside the call of who filled it */
    turn(0);
    CHECK_INT(bed.n_flushed, 1);
    CHECK_INT(bed.flying[0]->n, 2);
    CHECK_INT(bed.b.stats.by_size, 1);
    land(0);
    turn(0);
    got(0, WEIR_GRANTED, 100);
    got(1, WEIR_GRANTED, 101);
    shut_bed();
}

static void the_oldest_waits_no_longer_than_the_delay(void **state)
{
    (void)state;
    open_bed(10, UINT32_MAX, 50, 0);
    turn(7);
    ask(0);
    turn(30);
    ask(1);
    turn(19);
    CHECK_INT(bed.n_flushed, 0);
    turn(1);
    CHECK_INT(bed.n_flushed, 1);
    CHECK_INT(bed.flushed_at[0], 57);
    CHECK_INT(bed.flying[0]->n, 2);
    CHECK_INT(bed.b.stats.by_delay, 1);
    CHECK_INT(bed.b.stats.wait.max, 50);
    land(0);
    turn(0);
    shut_bed();
}

static void in_the_quiet_it_flies_at_once(void **state)
{
    (void)state;
    for (int with_delay = 0; with_delay < 2; with_delay++) {
        open_bed(10, UINT32_MAX, with_delay ? WEIR_SECOND : 0, with_delay);
        ask(0);
        ask(1);
        weir_turn(bed.rt);
        CHECK_INT(bed.n_flushed, 1);
        CHECK_INT(bed.flying[0]->n, 2);
        CHECK_INT(bed.b.stats.by_quiet + bed.b.stats.by_delay, 1);
        land(0);
        turn(0);
        shut_bed();
    }
}

static int yields;

/* Somebody who is ready again and again, and asks once more in his third turn. */
static void busy(weir_runtime *rt, weir_waiter *w)
{
    if (++yields == 3)
        ask(1);
    if (yields < 5)
        weir_yield(rt, w);
}

/* Loads that come one turn of a task apart are one group: nobody else knows when all have asked. */
static void the_quiet_waits_for_who_is_ready(void **state)
{
    weir_waiter w;
    (void)state;
    open_bed(10, UINT32_MAX, WEIR_SECOND, 1);
    yields = 0;
    weir_waiter_init(&w, busy);
    weir_yield(bed.rt, &w);
    ask(0);
    turn(0);
    CHECK_INT(yields, 5);
    CHECK_INT(bed.n_flushed, 1);
    CHECK_INT(bed.flying[0]->n, 2);
    CHECK_INT(bed.b.stats.by_quiet, 1);
    land(0);
    turn(0);
    shut_bed();
}

static void forever(weir_runtime *rt, weir_waiter *w)
{
    if (++yields < 100000)
        weir_yield(rt, w);
}

/* A program that is never quiet: the delay, and with none the next turn. */
static void one_who_never_waits_holds_nobody_up(void **state)
{
    (void)state;
    for (int delay = 0; delay < 2; delay++) {
        weir_waiter w;
        open_bed(10, UINT32_MAX, delay ? 20 : 0, 1);
        yields = 0;
        weir_waiter_init(&w, forever);
        weir_yield(bed.rt, &w);
        turn(0);
        ask(0);
        turn(delay ? 20 : 0);
        CHECK_INT(bed.n_flushed, 1);
        CHECK_INT(bed.b.stats.by_delay, 1);
        land(0);
        while (weir_turn(bed.rt) > 0)
            ;
        got(0, WEIR_GRANTED, 100);
        shut_bed();
    }
}

static void by_hand_it_flies_when_the_turn_is_over(void **state)
{
    (void)state;
    open_bed(10, UINT32_MAX, WEIR_FOREVER, 0);
    weir_batch_flush(&bed.b); /* nothing has gathered */
    ask(0);
    weir_batch_flush(&bed.b);
    CHECK_INT(bed.n_flushed, 0);
    ask(1); /* joins it all the same */
    turn(0);
    CHECK_INT(bed.n_flushed, 1);
    CHECK_INT(bed.flying[0]->n, 2);
    CHECK_INT(bed.b.stats.by_flush, 1);
    land(0);
    turn(WEIR_SECOND);
    ask(2);
    turn(1000 * WEIR_SECOND);
    CHECK_INT(bed.n_flushed, 1); /* without a delay by hand alone */
    weir_batch_flush(&bed.b);
    turn(0);
    land(1);
    turn(0);
    shut_bed();
}

/* --- how many fly ----------------------------------------------------------------------------- */

static void no_more_fly_than_may(void **state)
{
    (void)state;
    open_bed(2, 1, 10, 0);
    for (int i = 0; i < 5; i++)
        ask(i);
    turn(0);
    CHECK_INT(bed.n_flushed, 1);
    CHECK_INT(bed.b.n_queued, 1);
    turn(10); /* the third group is due and gathers on */
    CHECK_INT(bed.n_flushed, 1);
    ask(5);
    CHECK_INT(bed.b.n_queued, 2);
    ask(6);
    turn(10);
    CHECK_INT(bed.n_flushed, 1);
    land(0);
    CHECK_INT(bed.n_flushed, 1);
    turn(0);
    CHECK_INT(bed.n_flushed, 2); /* in the order they were filled */
    CHECK_INT(call_at(weir_list_first(&bed.flying[1]->requests))->id, 2);
    land(1);
    turn(0);
    CHECK_INT(call_at(weir_list_first(&bed.flying[2]->requests))->id, 4);
    land(2);
    turn(0);
    CHECK_INT(bed.n_flushed, 4); /* the one that was due */
    CHECK_INT(bed.flying[3]->n, 1);
    land(3);
    turn(0);
    CHECK_INT(bed.b.stats.by_size, 3);
    CHECK_INT(bed.b.stats.by_delay, 1);
    shut_bed();
}

/* A worker that answers from inside the flush, again and again, is no recursion and no surprise to
 * who asks. */
static void a_worker_may_land_at_once(void **state)
{
    (void)state;
    open_bed(1, 1, 10, 0);
    bed.lands_at_once = 1;
    for (int i = 0; i < CALLS; i++)
        ask(i);
    CHECK_INT(bed.n_flushed, 0);
    turn(0);
    CHECK_INT(bed.n_flushed, CALLS);
    for (int i = 0; i < CALLS; i++)
        got(i, WEIR_GRANTED, 100 + i);
    shut_bed();
}

static void more_than_may_wait_are_told(void **state)
{
    (void)state;
    open_bed(2, 1, 20, 0);
    bed.b.options.max_waiting = 3;
    for (int i = 0; i < 3; i++)
        ask(i);
    CHECK_ERR(try_ask(3, WEIR_FOREVER), WEIR_EOVERLOAD);
    CHECK_INT(weir_batch_retry_after(&bed.b), 20); /* of what gathers, when it is due */
    turn(0);
    CHECK_INT(weir_batch_retry_after(&bed.b), 0);
    ask(3);
    turn(5);
    ask(4);
    CHECK_ERR(try_ask(5, WEIR_FOREVER), WEIR_EOVERLOAD);
    land(0);
    turn(0); /* a flight of 5 is known */
    ask(5);
    ask(6);
    turn(2);
    CHECK_ERR(try_ask(7, WEIR_FOREVER), WEIR_EOVERLOAD);
    CHECK_INT(weir_batch_retry_after(&bed.b), 3);
    turn(10);
    CHECK_INT(weir_batch_retry_after(&bed.b), 0);
    CHECK_INT(bed.b.stats.overload, 3);
    bed.lands_at_once = 1;
    land(1);
    turn(20);
    turn(20);
    shut_bed();
}

/* --- who gets what ---------------------------------------------------------------------------- */

static void a_key_that_is_asked_for_again_joins(void **state)
{
    (void)state;
    open_bed(10, UINT32_MAX, 10, 0);
    ask(0);
    weir_batch_joined(&bed.b, &bed.call[0].request);
    weir_waiter_init(&bed.call[1].wait, on_turn);
    weir_flight_wait(bed.rt, &bed.call[0].request.flight, &bed.call[1].wait, WEIR_FOREVER);
    turn(10);
    CHECK_INT(bed.flying[0]->n, 1);
    weir_batch_joined(&bed.b, &bed.call[0].request); /* also while it flies */
    weir_waiter_init(&bed.call[2].wait, on_turn);
    weir_flight_wait(bed.rt, &bed.call[0].request.flight, &bed.call[2].wait, WEIR_FOREVER);
    land(0);
    turn(0);
    for (int i = 0; i < 3; i++)
        got(i, WEIR_GRANTED, 100);
    CHECK_INT(bed.b.stats.requests, 1);
    CHECK_INT(bed.b.stats.joined, 2);
    shut_bed();
}

static void each_request_has_an_outcome_of_its_own(void **state)
{
    (void)state;
    open_bed(3, UINT32_MAX, 10, 0);
    for (int i = 0; i < 3; i++)
        ask(i);
    turn(0);
    weir_request_land(&bed.call[1].request, WEIR_FLIGHT_FAILED, -5);
    valid();
    turn(0);
    got(1, WEIR_FAILED, -5);
    CHECK_INT(bed.call[0].runs, 0); /* it waits for nobody else's */
    weir_request_land(&bed.call[2].request, WEIR_FLIGHT_LANDED, 7);
    weir_group_landed(bed.flying[0]); /* forgotten: it fails, it does not hang */
    turn(0);
    got(2, WEIR_GRANTED, 7);
    got(0, WEIR_FAILED, 0);
    CHECK_INT(bed.b.stats.failures, 2);
    CHECK_INT(bed.b.stats.flight.count, 1);
    shut_bed();
}

static void a_request_that_everybody_left_is_not_flushed(void **state)
{
    (void)state;
    open_bed(4, UINT32_MAX, 10, 0);
    ask(0);
    CHECK_OK(try_ask(1, weir_after(bed.rt, 5)));
    ask(2);
    leave(0);
    CHECK_INT(bed.call[0].dropped, 1);
    CHECK_INT(bed.call[0].freed, 1);
    turn(0);
    got(0, WEIR_CANCELED, 0);
    turn(5);
    got(1, WEIR_TIMEOUT, 0);
    leave(2);
    turn(100);
    CHECK_INT(bed.n_flushed, 0); /* nobody is left: no group at all */
    CHECK_INT(bed.b.stats.dropped, 3);
    CHECK_INT(bed.b.stats.cancels, 2);
    CHECK_INT(bed.b.stats.timeouts, 1);
    ask(3);
    turn(9);
    CHECK_INT(bed.n_flushed, 0); /* its delay is its own */
    turn(1);
    CHECK_INT(bed.n_flushed, 1);
    land(0);
    turn(0);
    shut_bed();
}

static void a_full_group_may_shrink_while_it_queues(void **state)
{
    (void)state;
    open_bed(2, 1, 10, 0);
    for (int i = 0; i < 6; i++)
        ask(i);
    turn(0);
    leave(2);
    leave(4);
    leave(5);
    turn(0);
    CHECK_INT(bed.b.n_queued, 1);
    land(0);
    turn(0);
    CHECK_INT(bed.n_flushed, 2);
    CHECK_INT(bed.flying[1]->n, 1);
    CHECK_INT(call_at(weir_list_first(&bed.flying[1]->requests))->id, 3);
    land(1);
    turn(0);
    CHECK_INT(bed.n_flushed, 2);
    shut_bed();
}

static void work_that_nobody_waits_for_is_stopped_once(void **state)
{
    (void)state;
    open_bed(3, UINT32_MAX, 10, 0);
    for (int i = 0; i < 3; i++)
        ask(i);
    turn(0);
    leave(0);
    CHECK_INT(bed.abandons, 0);
    CHECK_INT(bed.call[0].dropped, 1); /* its key is to be forgotten: nobody joins it any more */
    CHECK_INT(bed.call[0].freed, 0);
    weir_request_land(&bed.call[1].request, WEIR_FLIGHT_LANDED, 1);
    leave(2);
    CHECK_INT(bed.abandons, 1);
    land(0);
    turn(0);
    CHECK_INT(bed.abandons, 1);
    CHECK_INT(bed.b.stats.dropped, 0);
    got(1, WEIR_GRANTED, 1);
    shut_bed();
}

static void what_landed_last_abandons_nothing(void **state)
{
    (void)state;
    open_bed(2, UINT32_MAX, 10, 0);
    ask(0);
    ask(1);
    turn(0);
    leave(0);
    weir_request_land(&bed.call[1].request, WEIR_FLIGHT_LANDED, 1);
    CHECK_INT(bed.abandons, 0);
    land(0);
    turn(0);
    shut_bed();
}

int main(void)
{
    const struct CMUnitTest batch[] = {
        cmocka_unit_test(bad_options_are_refused),
        cmocka_unit_test(a_full_group_flies_in_the_same_turn),
        cmocka_unit_test(the_oldest_waits_no_longer_than_the_delay),
        cmocka_unit_test(in_the_quiet_it_flies_at_once),
        cmocka_unit_test(the_quiet_waits_for_who_is_ready),
        cmocka_unit_test(one_who_never_waits_holds_nobody_up),
        cmocka_unit_test(by_hand_it_flies_when_the_turn_is_over),
        cmocka_unit_test(no_more_fly_than_may),
        cmocka_unit_test(a_worker_may_land_at_once),
        cmocka_unit_test(more_than_may_wait_are_told),
        cmocka_unit_test(a_key_that_is_asked_for_again_joins),
        cmocka_unit_test(each_request_has_an_outcome_of_its_own),
        cmocka_unit_test(a_request_that_everybody_left_is_not_flushed),
        cmocka_unit_test(a_full_group_may_shrink_while_it_queues),
        cmocka_unit_test(work_that_nobody_waits_for_is_stopped_once),
        cmocka_unit_test(what_landed_last_abandons_nothing),
    };
    return CHECK_MAIN(batch);
}
