/* flight_test.c - one piece of work that many wait for: who gets what, who may leave, who stops it.
 *
 * The flights here are plain records whose hooks count; everybody who waits is a waiter that writes
 * down how it ended and what it saw. Deadlocks are looked for among real tasks.
 */
#include <weir/flight.h>
#include <weir/graph.h>

#include "check.h"

#define SEATS 6

typedef struct trip {
    weir_flight flight; /* first */
    weir_runtime *rt;
    int abandoned, freed, ended, lands_in_abandon;
    int pending; /* as the keeper counts it */
    intptr_t freed_with;
    char told[32]; /* e: keeper, a: abandon, f: free; in order */
} trip;

static trip *trip_of(const weir_flight *f)
{
    return (trip *)(void *)(uintptr_t)f;
}

static void tell(trip *t, const char *what)
{
    assert_true(strlen(t->told) + 2 < sizeof t->told);
    strcat(t->told, what);
}

static void on_abandon(weir_flight *f)
{
    trip *t = trip_of(f);
    t->abandoned++;
    tell(t, "a");
    CHECK_INT(f->state, WEIR_FLIGHT_ABANDONED);
    CHECK_INT(f->interested, 0);
    if (t->lands_in_abandon)
        weir_flight_land(t->rt, f, WEIR_FLIGHT_FAILED, 99);
}

static void on_free(weir_flight *f)
{
    trip *t = trip_of(f);
    CHECK_INT(t->freed, 0);
    t->freed++;
    t->freed_with = f->value;
    tell(t, "f");
}

static void on_ended(weir_runtime *rt, weir_flight *f)
{
    trip *t = trip_of(f);
    CHECK(t->rt == rt && f->state != WEIR_FLIGHT_FLYING);
    t->ended++;
    tell(t, "e");
}

static void on_left(weir_flight *f, weir_status status)
{
    CHECK(status != WEIR_PENDING && status != WEIR_IDLE);
    trip_of(f)->pending--;
}

static void on_waits(weir_flight *f)
{
    trip_of(f)->pending++;
}

static const char *trip_name(const weir_flight *f)
{
    (void)f;
    return "the trip";
}

static const weir_wait_ops trip_wait = WEIR_FLIGHT_WAIT("test:trip");
static const weir_flight_ops trip_ops = {on_abandon, on_free, NULL, trip_name, &trip_wait};
static const weir_flight_keeper trip_keeper = {on_ended, on_left, on_waits, NULL};

typedef struct seat {
    weir_waiter wait;
    trip *on;
    int runs;
    weir_status status;
    intptr_t saw;
} seat;

static struct {
    weir_simulator *sim;
    weir_runtime *rt;
    trip trip;
    seat seat[SEATS];
    int order[SEATS], n_order;
} bed;

static void on_turn(weir_runtime *rt, weir_waiter *w)
{
    seat *s = weir_container(w, seat, wait);
    s->runs++;
    s->status = (weir_status)w->status;
    bed.order[bed.n_order++] = (int)(s - bed.seat);
    if (s->status == WEIR_GRANTED || s->status == WEIR_FAILED) {
        CHECK_INT(s->on->freed, 0);
        s->saw = s->on->flight.value;
        weir_flight_leave(rt, &s->on->flight);
    }
}

static void trip_init(trip *t)
{
    *t = (trip){.rt = bed.rt};
    weir_flight_init(bed.rt, &t->flight, &trip_ops);
    t->flight.keeper = &trip_keeper;
}

static void bed_open(weir_plan plan)
{
    memset(&bed, 0, sizeof bed);
    bed.sim = weir_simulator_new(plan, 1);
    assert_non_null(bed.sim);
    bed.rt = weir_runtime_new(weir_simulator_env(bed.sim));
    assert_non_null(bed.rt);
    trip_init(&bed.trip);
    for (int i = 0; i < SEATS; i++)
        weir_waiter_init(&bed.seat[i].wait, on_turn);
}

static void bed_shut(void)
{
    CHECK_VALID(bed.rt);
    CHECK_QUIET(bed.rt);
    weir_runtime_free(bed.rt);
    CHECK_INT(weir_simulator_bytes(bed.sim), 0);
    weir_simulator_free(bed.sim);
}

static void valid(void)
{
    if (bed.trip.freed == 0) {
        CHECK_INT(weir_flight_validate(&bed.trip.flight), 0);
        if (bed.trip.flight.state != WEIR_FLIGHT_FLYING)
            CHECK_INT(bed.trip.pending, 0);
    }
    CHECK_VALID(bed.rt);
}

static void board(int i, uint64_t deadline)
{
    bed.seat[i].on = &bed.trip;
    weir_flight_wait(bed.rt, &bed.trip.flight, &bed.seat[i].wait, deadline);
    valid();
}

static void leave(int i, weir_status how)
{
    weir_waiter_give_up(bed.rt, &bed.seat[i].wait, how);
    valid();
}

static void land(weir_flight_state how, intptr_t value)
{
    weir_flight_land(bed.rt, &bed.trip.flight, how, value);
    valid();
}

static void turn(void)
{
    weir_turn(bed.rt);
    valid();
}

static void ended(int i, weir_status status, intptr_t saw)
{
    CHECK_INT(bed.seat[i].runs, 1);
    CHECK_INT(bed.seat[i].status, status);
    CHECK_INT(bed.seat[i].saw, saw);
}

/* --- landing ------------------------------------------------------------------------------- */

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

/* --- leaving ------------------------------------------------------------------------------- */

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

/* --- deadlocks ------------------------------------------------------------------------------ */

typedef struct loader {
    weir_task task; /* first */
    trip *waits_for;
    int stuck;
    uint32_t n_cycle;
    weir_task *cycle[4];
    uint64_t timeout;
} loader;

/* Wait for another's flight; whoever is stuck in that undoes it and ends. */
static void load(weir_runtime *rt, weir_task *t)
{
    loader *l = (loader *)(void *)t;
    weir_graph g;
    if (l->waits_for == NULL || t->wait.ops == &trip_wait) {
        if (l->waits_for != NULL && t->wait.status != WEIR_TIMEOUT)
            weir_flight_leave(rt, &l->waits_for->flight);
        weir_task_finish(rt, t, WEIR_TASK_DONE);
        return;
    }
    weir_flight_wait(rt, &l->waits_for->flight, &t->wait,
                     l->timeout == 0 ? WEIR_FOREVER : weir_after(rt, l->timeout));
    if (!weir_graph_is_stuck(rt, t, &g))
        return;
    l->stuck = 1;
    l->n_cycle = g.n_cycle;
    memcpy(l->cycle, g.cycle, sizeof l->cycle);
    CHECK_TEXT(t->wait.ops->name(&t->wait), "the trip");
    CHECK_TEXT(t->wait.ops->op, "test:trip");
    weir_waiter_abandon(rt, &t->wait);
    weir_task_finish(rt, t, WEIR_TASK_DONE);
}

static void spawn(loader *l, trip *of, trip *waits_for)
{
    l->waits_for = waits_for;
    CHECK_OK(weir_task_spawn(bed.rt, &l->task, weir_root(bed.rt), load, 0));
    if (of != NULL)
        of->flight.worker = &l->task;
}

static void a_loader_that_waits_for_its_own_key_is_a_deadlock(void **state)
{
    loader l = {.timeout = 0};
    (void)state;
    bed_open(WEIR_PLAN_FIFO);
    board(0, WEIR_FOREVER);
    spawn(&l, &bed.trip, &bed.trip);
    turn();
    CHECK_INT(l.stuck, 1);
    CHECK_INT(l.n_cycle, 1);
    CHECK(l.cycle[0] == &l.task);
    CHECK_INT(bed.trip.abandoned, 0); /* seat 0 still waits */
    land(WEIR_FLIGHT_FAILED, 1);
    turn();
    ended(0, WEIR_FAILED, 1);
    bed_shut();
}

static void its_own_timeout_would_wake_it(void **state)
{
    loader l = {.timeout = 10};
    (void)state;
    bed_open(WEIR_PLAN_FIFO);
    spawn(&l, &bed.trip, &bed.trip);
    turn();
    CHECK_INT(l.stuck, 0);
    weir_simulator_advance(bed.sim, 10);
    turn();
    CHECK_TEXT(bed.trip.told, "ea"); /* it was the only one interested */
    bed.trip.flight.worker = NULL;
    land(WEIR_FLIGHT_FAILED, 0);
    bed_shut();
}

static void two_loaders_that_wait_for_each_other_are_a_cycle(void **state)
{
    loader a = {.timeout = 0}, b = {.timeout = 0};
    trip other;
    (void)state;
    bed_open(WEIR_PLAN_FIFO);
    trip_init(&other);
    spawn(&a, &bed.trip, &other);
    spawn(&b, &other, &bed.trip);
    turn();
    CHECK_INT(a.stuck, 0);
    CHECK_INT(b.stuck, 1); /* in whom the cycle closes */
    CHECK_INT(b.n_cycle, 2);
    CHECK(b.cycle[0] == &b.task && b.cycle[1] == &a.task);
    weir_flight_land(bed.rt, &other.flight, WEIR_FLIGHT_FAILED, 0);
    turn();
    bed.trip.flight.worker = NULL;
    land(WEIR_FLIGHT_FAILED, 0);
    turn();
    CHECK_INT(other.freed, 1);
    bed_shut();
}

static void what_io_will_land_is_no_deadlock(void **state)
{
    loader l = {.timeout = 0};
    (void)state;
    bed_open(WEIR_PLAN_FIFO);
    spawn(&l, NULL, &bed.trip);
    turn();
    CHECK_INT(l.stuck, 0);
    land(WEIR_FLIGHT_LANDED, 0);
    turn();
    bed_shut();
}

static int cannot(weir_graph *g, const weir_flight *f)
{
    (void)g;
    (void)f;
    return 0;
}

static void hooks_say_whether_it_can_land(void **state)
{
    static const weir_flight_ops ops = {on_abandon, on_free, cannot, trip_name, &trip_wait};
    static const weir_flight_keeper knows = {on_ended, on_left, on_waits, cannot};
    (void)state;
    for (int k = 0; k < 2; k++) {
        loader l = {.timeout = 0};
        bed_open(WEIR_PLAN_FIFO);
        weir_flight_join(&bed.trip.flight);
        if (k == 0)
            bed.trip.flight.ops = &ops;
        else
            bed.trip.flight.keeper = &knows;
        spawn(&l, NULL, &bed.trip);
        turn();
        CHECK_INT(l.stuck, 1);
        weir_flight_leave(bed.rt, &bed.trip.flight);
        land(WEIR_FLIGHT_LANDED, 0);
        bed_shut();
    }
}

/* --- every order -------------------------------------------------------------------------------
 */

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
        cmocka_unit_test(a_loader_that_waits_for_its_own_key_is_a_deadlock),
        cmocka_unit_test(its_own_timeout_would_wake_it),
        cmocka_unit_test(two_loaders_that_wait_for_each_other_are_a_cycle),
        cmocka_unit_test(what_io_will_land_is_no_deadlock),
        cmocka_unit_test(hooks_say_whether_it_can_land),
        cmocka_unit_test(every_order_of_one_moment_is_legal),
    };
    return CHECK_MAIN(flight);
}
