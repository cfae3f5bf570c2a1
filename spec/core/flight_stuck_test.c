/* flight_stuck_test.c - deadlocks through flights: a loader that waits for its own key is one, and
 * is named; what I/O or a timeout will end is none.
 */
#include <weir/graph.h>

#include "flight_bed.h"

/* --- deadlocks -------------------------------------------------------------------------------- */

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

int main(void)
{
    const struct CMUnitTest flight_stuck[] = {
        cmocka_unit_test(a_loader_that_waits_for_its_own_key_is_a_deadlock),
        cmocka_unit_test(its_own_timeout_would_wake_it),
        cmocka_unit_test(two_loaders_that_wait_for_each_other_are_a_cycle),
        cmocka_unit_test(what_io_will_land_is_no_deadlock),
        cmocka_unit_test(hooks_say_whether_it_can_land),
    };
    return CHECK_MAIN(flight_stuck);
}
