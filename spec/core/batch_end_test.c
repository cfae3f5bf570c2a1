/* batch_end_test.c - the ends of a batch: closed, drained, without memory, and stuck for good.
 */
#include <weir/graph.h>

#include "batch_bed.h"

/* --- ends ------------------------------------------------------------------------------------- */

static void a_close_ends_what_was_not_flushed(void **state)
{
    (void)state;
    open_bed(2, 1, 10, 0);
    for (int i = 0; i < 5; i++)
        ask(i);
    turn(0);
    weir_flight_join(&bed.call[4].request.flight); /* without a wait */
    weir_batch_close(&bed.b);
    weir_batch_close(&bed.b);
    valid();
    turn(0);
    for (int i = 2; i < 5; i++)
        got(i, WEIR_CLOSED, 0);
    CHECK_INT(bed.call[4].request.flight.state, WEIR_FLIGHT_FAILED);
    weir_flight_leave(bed.rt, &bed.call[4].request.flight);
    CHECK_ERR(try_ask(5, WEIR_FOREVER), WEIR_ECLOSED);
    CHECK_INT(bed.b.stats.closes, 4);
    land(0); /* what flies lands */
    turn(0);
    got(0, WEIR_GRANTED, 100);
    got(1, WEIR_GRANTED, 101);
    shut_bed();
}

static void a_drain_waits_for_all(void **state)
{
    (void)state;
    open_bed(2, 1, WEIR_SECOND, 0);
    for (int i = 0; i < 3; i++)
        ask(i);
    weir_batch_drain(&bed.b, &bed.drain, WEIR_FOREVER);
    valid();
    CHECK_ERR(try_ask(3, WEIR_FOREVER), WEIR_ECLOSED);
    turn(0);
    CHECK_INT(bed.n_flushed, 1);
    land(0);
    turn(0);
    CHECK_INT(bed.n_flushed, 2); /* without waiting for its delay */
    CHECK_INT(bed.drained, 0);
    land(1);
    turn(0);
    CHECK_INT(bed.drained, 1);
    weir_batch_drain(&bed.b, &bed.drain, WEIR_FOREVER); /* and again, with nothing left */
    turn(0);
    CHECK_INT(bed.drained, 2);
    shut_bed();
}

static void a_drain_ends_with_the_last_who_leaves(void **state)
{
    (void)state;
    open_bed(1, 1, WEIR_SECOND, 0);
    ask(0);
    ask(1);
    turn(0);
    weir_batch_drain(&bed.b, &bed.drain, WEIR_FOREVER);
    land(0);
    leave(1); /* before its group flew */
    turn(0);
    CHECK_INT(bed.n_flushed, 1);
    CHECK_INT(bed.drained, 1);
    shut_bed();
}

static void without_memory_nothing_changes(void **state)
{
    (void)state;
    open_bed(2, 1, 10, 1);
    weir_simulator_fail_alloc(bed.sim, 1, UINT64_MAX);
    weir_batch before = bed.b;
    CHECK_ERR(try_ask(0, WEIR_FOREVER), WEIR_ENOMEM);
    CHECK(memcmp(&before, &bed.b, sizeof before) == 0);
    CHECK_QUIET(bed.rt);
    weir_simulator_fail_alloc(bed.sim, 0, 0);
    ask(0);
    weir_simulator_fail_alloc(bed.sim, 1, UINT64_MAX);
    ask(1); /* a group that is there has room */
    turn(0);
    land(0);
    turn(0);
    got(0, WEIR_GRANTED, 100);
    weir_simulator_fail_alloc(bed.sim, 0, 0);
    shut_bed();
}

/* --- deadlocks -------------------------------------------------------------------------------- */

typedef struct actor {
    weir_task task; /* first */
    int asks;       /* the call it makes; -1: it drains */
    int stuck;
} actor;

/* Ask, or drain, and see whether that can ever end; if not, undo it. */
static void act(weir_runtime *rt, weir_task *t)
{
    actor *a = (actor *)(void *)t;
    weir_waiter *w = &t->wait;
    weir_graph g;
    call *c = a->asks < 0 ? NULL : &bed.call[a->asks];
    if (strcmp(w->ops->op, "start") != 0) {
        if (w->status == WEIR_GRANTED && c != NULL)
            weir_flight_leave(rt, &c->request.flight);
        weir_task_finish(rt, t, WEIR_TASK_DONE);
        return;
    }
    if (c != NULL) {
        c->used = 1;
        CHECK_OK(weir_batch_add(&bed.b, &c->request));
        weir_flight_wait(rt, &c->request.flight, w, WEIR_FOREVER);
    } else {
        weir_batch_drain(&bed.b, w, WEIR_FOREVER);
    }
    CHECK_TEXT(w->ops->name(w), "users");
    a->stuck = weir_graph_is_stuck(rt, t, &g);
    if (a->stuck) {
        weir_waiter_abandon(rt, w);
        weir_task_finish(rt, t, WEIR_TASK_DONE);
    }
}

static void start(actor *a, int asks)
{
    a->asks = asks;
    CHECK_OK(weir_task_spawn(bed.rt, &a->task, weir_root(bed.rt), act, 0));
}

/* A worker that asks its own batch: with one group out at most nobody will ever flush it. */
static void a_worker_that_fills_all_places_and_asks_is_a_deadlock(void **state)
{
    (void)state;
    for (uint32_t places = 1; places < 3; places++) {
        actor worker = {.asks = 0};
        open_bed(1, places, 10, 0);
        ask(0);
        turn(0);
        start(&worker, 1);
        bed.flying[0]->worker = &worker.task;
        turn(0);
        CHECK_INT(worker.stuck, places == 1);
        if (places == 2)
            land(1);
        turn(0);
        bed.flying[0]->worker = NULL;
        land(0);
        turn(0);
        shut_bed();
    }
}

static void a_worker_that_drains_what_it_works_for_is_a_deadlock(void **state)
{
    actor worker = {.asks = -1};
    (void)state;
    open_bed(1, 2, 10, 0);
    ask(0);
    turn(0);
    start(&worker, -1);
    bed.flying[0]->worker = &worker.task;
    turn(0);
    CHECK_INT(worker.stuck, 1);
    land(0);
    turn(0);
    shut_bed();
}

static void who_waits_for_a_worker_that_waits_is_found(void **state)
{
    actor worker = {.asks = 1}, asker = {.asks = 0};
    (void)state;
    open_bed(1, 2, 10, 0);
    start(&asker, 0);
    turn(0);
    CHECK_INT(asker.stuck, 0);
    CHECK_INT(bed.n_flushed, 1);
    start(&worker, 1); /* of the first group; its own request flies beside it, done by I/O */
    bed.flying[0]->worker = &worker.task;
    turn(0);
    CHECK_INT(worker.stuck, 0);
    land(1);
    turn(0);
    land(0);
    turn(0);
    shut_bed();
}

int main(void)
{
    const struct CMUnitTest batch_end[] = {
        cmocka_unit_test(a_close_ends_what_was_not_flushed),
        cmocka_unit_test(a_drain_waits_for_all),
        cmocka_unit_test(a_drain_ends_with_the_last_who_leaves),
        cmocka_unit_test(without_memory_nothing_changes),
        cmocka_unit_test(a_worker_that_fills_all_places_and_asks_is_a_deadlock),
        cmocka_unit_test(a_worker_that_drains_what_it_works_for_is_a_deadlock),
        cmocka_unit_test(who_waits_for_a_worker_that_waits_is_found),
    };
    return CHECK_MAIN(batch_end);
}
