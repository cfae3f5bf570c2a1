/* flight_test.c - one piece of work that many wait for: who gets what, who may leave, who stops it;
 * and every order of what happens in one moment.
 */
#include "flight_bed.h"

/* --- landing ---------------------------------------------------------------------------------- */

static void who_waits_gets_it_in_order(void **state)
{
    (void)state;
    bed_open(WEIR_PLAN_FIFO);
    for (int i = 0; i < 3; i++)
        board(i, WEIR_FOREVER);
    CHECK_INT(bed.trip.pending, 3);
    turn();
    CHECK_INT(bed.n_order, 0);
    land(WEIR_FLIGHT_LANDED, 42);
    CHECK_INT(bed.n_order, 0); /* a wake only enqueues */
    turn();
    for (int i = 0; i < 3; i++) {
        ended(i, WEIR_GRANTED, 42);
        CHECK_INT(bed.order[i], i);
    }
    CHECK_TEXT(bed.trip.told, "ef");
    CHECK_INT(bed.trip.freed_with, 42);
    bed_shut();
}

static void a_failure_is_everybodys(void **state)
{
    (void)state;
    bed_open(WEIR_PLAN_FIFO);
    board(0, WEIR_FOREVER);
    board(1, WEIR_FOREVER);
    land(WEIR_FLIGHT_FAILED, -7);
    leave(1, WEIR_CANCELED); /* a failure that has come is not taken back */
    turn();
    ended(0, WEIR_FAILED, -7);
    ended(1, WEIR_FAILED, -7);
    CHECK_TEXT(bed.trip.told, "ef");
    bed_shut();
}

static void nobody_waits_and_it_lands(void **state)
{
    (void)state;
    bed_open(WEIR_PLAN_FIFO);
    land(WEIR_FLIGHT_LANDED, 1);
    CHECK_TEXT(bed.trip.told, "ef");
    bed_shut();
}

static void who_comes_after_the_landing_gets_it_at_once(void **state)
{
    (void)state;
    bed_open(WEIR_PLAN_FIFO);
    board(0, WEIR_FOREVER);
    weir_flight_join(&bed.trip.flight);
    land(WEIR_FLIGHT_LANDED, 5);
    turn();
    board(1, WEIR_FOREVER);
    CHECK_INT(bed.seat[1].wait.status, WEIR_GRANTED);
    CHECK_INT(bed.seat[1].runs, 0);
    turn();
    ended(1, WEIR_GRANTED, 5);
    CHECK_INT(bed.trip.freed, 0);
    weir_flight_leave(bed.rt, &bed.trip.flight);
    CHECK_TEXT(bed.trip.told, "ef");
    bed_shut();
}

static void the_outcome_is_there_until_the_last_has_seen_it(void **state)
{
    (void)state;
    bed_open(WEIR_PLAN_FIFO);
    board(0, WEIR_FOREVER);
    board(1, WEIR_FOREVER);
    land(WEIR_FLIGHT_LANDED, 8);
    board(2, WEIR_FOREVER); /* in the same turn, behind them */
    leave(1, WEIR_CANCELED);
    CHECK_INT(bed.trip.freed, 0);
    turn();
    ended(0, WEIR_GRANTED, 8);
    ended(1, WEIR_CANCELED, 0);
    ended(2, WEIR_GRANTED, 8);
    CHECK_INT(bed.trip.freed, 1);
    bed_shut();
}

/* --- leaving ---------------------------------------------------------------------------------- */

/* Whoever asked first is one like the others: cancelled, out of time, it does not matter. */
static void who_leaves_concerns_himself(void **state)
{
    static const weir_status hows[] = {WEIR_CANCELED, WEIR_TIMEOUT, WEIR_CLOSED, WEIR_STUCK};
    (void)state;
    for (size_t k = 0; k < sizeof hows / sizeof *hows; k++) {
        for (int who = 0; who < 3; who++) {
            bed_open(WEIR_PLAN_FIFO);
            for (int i = 0; i < 3; i++)
                board(i, WEIR_FOREVER);
            leave(who, hows[k]);
            turn();
            ended(who, hows[k], 0);
            CHECK_INT(bed.trip.abandoned, 0);
            CHECK_INT(bed.trip.flight.interested, 2);
            land(WEIR_FLIGHT_LANDED, 3);
            turn();
            for (int i = 0; i < 3; i++)
                if (i != who)
                    ended(i, WEIR_GRANTED, 3);
            CHECK_TEXT(bed.trip.told, "ef");
            bed_shut();
        }
    }
}

static void everybody_has_a_deadline_of_his_own(void **state)
{
    (void)state;
    bed_open(WEIR_PLAN_FIFO);
    board(0, weir_after(bed.rt, 10));
    board(1, weir_after(bed.rt, 20));
    board(2, WEIR_FOREVER);
    weir_simulator_advance(bed.sim, 10);
    turn();
    ended(0, WEIR_TIMEOUT, 0);
    CHECK_INT(bed.seat[1].runs, 0);
    weir_simulator_advance(bed.sim, 5);
    turn();
    land(WEIR_FLIGHT_LANDED, 4);
    weir_simulator_advance(bed.sim, 100);
    turn();
    ended(1, WEIR_GRANTED, 4); /* the grant disarmed the timer */
    ended(2, WEIR_GRANTED, 4);
    bed_shut();
}

static void the_last_one_to_leave_stops_the_work(void **state)
{
    (void)state;
    bed_open(WEIR_PLAN_FIFO);
    board(0, weir_after(bed.rt, 10));
    board(1, WEIR_FOREVER);
    leave(1, WEIR_CANCELED);
    CHECK_TEXT(bed.trip.told, "");
    weir_simulator_advance(bed.sim, 10);
    weir_turn(bed.rt);
    CHECK_TEXT(bed.trip.told, "ea"); /* out of the index first, then told to stop */
    valid();
    ended(0, WEIR_TIMEOUT, 0);
    land(WEIR_FLIGHT_LANDED, 6); /* it took a while; nobody sees it */
    CHECK_TEXT(bed.trip.told, "eaf");
    CHECK_INT(bed.trip.freed_with, 6);
    bed_shut();
}

static void work_that_stops_at_once_is_freed_once(void **state)
{
    (void)state;
    bed_open(WEIR_PLAN_FIFO);
    bed.trip.lands_in_abandon = 1;
    board(0, WEIR_FOREVER);
    leave(0, WEIR_CANCELED);
    CHECK_TEXT(bed.trip.told, "eaf");
    CHECK_INT(bed.trip.freed_with, 99);
    turn();
    ended(0, WEIR_CANCELED, 0);
    bed_shut();
}

/* A grant that raced with a cancel: it leaves, and is not the one that stops anything. */
static void a_granted_one_that_is_cancelled_leaves(void **state)
{
    (void)state;
    bed_open(WEIR_PLAN_FIFO);
    board(0, WEIR_FOREVER);
    land(WEIR_FLIGHT_LANDED, 2);
    leave(0, WEIR_CANCELED);
    CHECK_TEXT(bed.trip.told, "ef");
    turn();
    ended(0, WEIR_CANCELED, 0);
    bed_shut();
}

static void an_interest_without_a_wait_keeps_it_up(void **state)
{
    (void)state;
    bed_open(WEIR_PLAN_FIFO);
    weir_flight_join(&bed.trip.flight);
    board(0, WEIR_FOREVER);
    leave(0, WEIR_CANCELED);
    CHECK_TEXT(bed.trip.told, "");
    weir_flight_leave(bed.rt, &bed.trip.flight);
    CHECK_TEXT(bed.trip.told, "ea");
    land(WEIR_FLIGHT_FAILED, 0);
    turn();
    bed_shut();
}

static void what_is_lasting_goes_on_without_anybody(void **state)
{
    (void)state;
    bed_open(WEIR_PLAN_FIFO);
    weir_flight_set_lasting(bed.rt, &bed.trip.flight, 1);
    board(0, WEIR_FOREVER);
    leave(0, WEIR_CANCELED);
    CHECK_TEXT(bed.trip.told, "");
    board(1, WEIR_FOREVER);
    weir_flight_set_lasting(bed.rt, &bed.trip.flight, 0); /* somebody is interested */
    CHECK_TEXT(bed.trip.told, "");
    weir_flight_set_lasting(bed.rt, &bed.trip.flight, 1);
    leave(1, WEIR_CANCELED);
    CHECK_TEXT(bed.trip.told, "");
    bed.trip.lands_in_abandon = 1;
    weir_flight_set_lasting(bed.rt, &bed.trip.flight, 0); /* nobody is */
    CHECK_TEXT(bed.trip.told, "eaf");
    turn();
    bed_shut();
}

/* --- every order ------------------------------------------------------------------------------ */

static uint64_t land_at;

static void land_on_time(weir_runtime *rt, weir_timer *timer)
{
    (void)rt;
    (void)timer;
    weir_flight_land(bed.rt, &bed.trip.flight, WEIR_FLIGHT_LANDED, 77);
}

static void cancel_in_turn(weir_runtime *rt, weir_waiter *w)
{
    (void)w;
    weir_waiter_give_up(rt, &bed.seat[1].wait, WEIR_CANCELED);
}

/* Two deadlines and the landing at one moment, and a cancel from somebody's turn: in every order
 * each gets one end, those who got the value saw it, and the work was stopped if and only if nobody
 * did when it had not landed. */
static void every_order_of_one_moment_is_legal(void **state)
{
    static const int seats_of[] = {1, 2, 3};
    uint64_t n = 0, stopped = 0;
    (void)state;
    for (size_t k = 0; k < 3; k++) {
        weir_simulator *sim = weir_simulator_new(WEIR_PLAN_ODOMETER, 1);
        assert_non_null(sim);
        do {
            weir_timer timer;
            weir_waiter canceller;
            int seats = seats_of[k], granted = 0;
            memset(&bed, 0, sizeof bed);
            bed.sim = sim;
            bed.rt = weir_runtime_new(weir_simulator_env(sim));
            trip_init(&bed.trip);
            land_at = weir_after(bed.rt, 10);
            for (int i = 0; i < SEATS; i++)
                weir_waiter_init(&bed.seat[i].wait, on_turn);
            for (int i = 0; i < seats; i++)
                board(i, land_at);
            weir_timer_init(&timer, land_on_time);
            weir_timer_set(bed.rt, &timer, land_at);
            weir_waiter_init(&canceller, cancel_in_turn);
            weir_sleep_until(bed.rt, &canceller, land_at);
            weir_simulator_run(sim, bed.rt, 0);
            for (int i = 0; i < seats; i++) {
                CHECK_INT(bed.seat[i].runs, 1);
                granted += bed.seat[i].status == WEIR_GRANTED;
                CHECK_INT(bed.seat[i].saw, bed.seat[i].status == WEIR_GRANTED ? 77 : 0);
            }
            CHECK_INT(bed.trip.freed, 1);
            CHECK_INT(bed.trip.ended, 1);
            CHECK(!(bed.trip.abandoned && granted > 0));
            stopped += (unsigned)bed.trip.abandoned;
            CHECK_QUIET(bed.rt);
            weir_runtime_free(bed.rt);
            CHECK_INT(weir_simulator_bytes(sim), 0);
            n++;
        } while (weir_simulator_next(sim));
        weir_simulator_free(sim);
    }
    CHECK(n > 100 && stopped > 0 && stopped < n);
    check_figure("schedules", n);
    check_figure("exhausted", sizeof seats_of / sizeof seats_of[0]);
}

int main(void)
{
    const struct CMUnitTest flight[] = {
        cmocka_unit_test(who_waits_gets_it_in_order),
        cmocka_unit_test(a_failure_is_everybodys),
        cmocka_unit_test(nobody_waits_and_it_lands),
        cmocka_unit_test(who_comes_after_the_landing_gets_it_at_once),
        cmocka_unit_test(the_outcome_is_there_until_the_last_has_seen_it),
        cmocka_unit_test(who_leaves_concerns_himself),
        cmocka_unit_test(everybody_has_a_deadline_of_his_own),
        cmocka_unit_test(the_last_one_to_leave_stops_the_work),
        cmocka_unit_test(work_that_stops_at_once_is_freed_once),
        cmocka_unit_test(a_granted_one_that_is_cancelled_leaves),
        cmocka_unit_test(an_interest_without_a_wait_keeps_it_up),
        cmocka_unit_test(what_is_lasting_goes_on_without_anybody),
        cmocka_unit_test(every_order_of_one_moment_is_legal),
    };
    return CHECK_MAIN(flight);
}
