/* task_test.c - tasks: start, turns, end, and waiting for the end. */
#include <weir/task.h>

#include "check.h"
#include "script.h"

#define TASKS 5

typedef struct bed {
    weir_simulator *sim;
    weir_runtime *rt;
    weir_task t[TASKS];
    int order[32], n_order; /* which task had its turn */
    weir_status seen[32];
    weir_task_state ends_as[TASKS]; /* PENDING: it yields; WAITING: it parks */
} bed;

static bed *the_bed; /* of the running test: a body has nothing but its task */

static void forget(weir_runtime *rt, weir_waiter *w)
{
    (void)rt;
    (void)w;
}

static const weir_wait_ops parked = {"test:park", forget, NULL, NULL, NULL};

static void body(weir_runtime *rt, weir_task *t)
{
    bed *b = the_bed;
    int i = (int)(t - b->t);
    assert_true(b->n_order < 32);
    CHECK(weir_current(rt) == t);
    b->order[b->n_order] = i;
    b->seen[b->n_order++] = (weir_status)t->wait.status;
    if (t->wait.status == WEIR_CANCELED && !t->started) {
        CHECK_INT(t->state, WEIR_TASK_PENDING);
        weir_task_finish(rt, t, WEIR_TASK_CANCELLED);
        return;
    }
    CHECK_INT(t->state, WEIR_TASK_RUNNING);
    CHECK_INT(t->budget, WEIR_TASK_BUDGET);
    t->budget = 0; /* every turn brings a new one */
    if (b->ends_as[i] >= WEIR_TASK_DONE)
        weir_task_finish(rt, t, b->ends_as[i]);
    else if (b->ends_as[i] == WEIR_TASK_WAITING)
        weir_waiter_begin(rt, &t->wait, &parked, NULL, WEIR_FOREVER);
    else
        weir_yield(rt, &t->wait);
}

static bed *bed_new(void)
{
    bed *b = calloc(1, sizeof *b);
    assert_non_null(b);
    b->sim = weir_simulator_new(WEIR_PLAN_FIFO, 1);
    b->rt = weir_runtime_new(weir_simulator_env(b->sim));
    assert_non_null(b->rt);
    the_bed = b;
    return b;
}

static void spawn(bed *b, int i, weir_scope *parent, weir_task_state ends_as)
{
    b->ends_as[i] = ends_as;
    CHECK_OK(weir_task_spawn(b->rt, &b->t[i], parent, body, 0));
}

static void bed_free(bed *b)
{
    while (weir_turn(b->rt) > 0)
        ;
    CHECK(weir_current(b->rt) == NULL);
    CHECK_VALID(b->rt);
    CHECK_QUIET(b->rt);
    weir_runtime_free(b->rt);
    CHECK_INT(weir_simulator_bytes(b->sim), 0);
    weir_simulator_free(b->sim);
    free(b);
}

static void tasks_run_in_spawn_order(void **state)
{
    bed *b = bed_new();
    const weir_counters *n = weir_runtime_counters(b->rt);
    (void)state;
    for (int i = 0; i < 4; i++) {
        spawn(b, i, weir_root(b->rt), WEIR_TASK_DONE);
        CHECK_INT(b->t[i].state, WEIR_TASK_PENDING);
        CHECK_INT(b->t[i].id, i + 1);
    }
    CHECK(n->tasks == 4 && n->spawned == 4 && n->ready == 4 && b->n_order == 0);
    CHECK_INT(weir_root(b->rt)->n_children, 4);
    weir_turn(b->rt);
    for (int i = 0; i < 4; i++) {
        CHECK_INT(b->order[i], i);
        CHECK_INT(b->t[i].state, WEIR_TASK_DONE);
        CHECK(weir_task_has_ended(&b->t[i]));
    }
    CHECK(n->tasks == 0 && n->done == 4 && n->failed == 0 && n->cancelled == 0);
    bed_free(b);
}

static void states_follow_the_life(void **state)
{
    bed *b = bed_new();
    (void)state;
    spawn(b, 0, weir_root(b->rt), WEIR_TASK_WAITING);
    CHECK(b->t[0].state == WEIR_TASK_PENDING && !b->t[0].started);
    weir_turn(b->rt);
    CHECK(b->t[0].state == WEIR_TASK_WAITING && b->t[0].started);
    b->ends_as[0] = WEIR_TASK_FAILED;
    weir_waiter_settle(b->rt, &b->t[0].wait, WEIR_CLOSED);
    CHECK_INT(b->t[0].state, WEIR_TASK_WAITING);
    weir_turn(b->rt);
    CHECK_INT(b->t[0].state, WEIR_TASK_FAILED);
    CHECK_INT(b->seen[1], WEIR_CLOSED);
    CHECK_INT(weir_runtime_counters(b->rt)->failed, 1);
    CHECK_INT(weir_scope_cancel(b->rt, &b->t[0].scope, (weir_reason){"late", 0}), 0);
    bed_free(b);
}

static void a_task_cancelled_before_its_start_never_runs(void **state)
{
    bed *b = bed_new();
    (void)state;
    spawn(b, 0, weir_root(b->rt), WEIR_TASK_DONE);
    spawn(b, 1, weir_root(b->rt), WEIR_TASK_DONE);
    CHECK_INT(weir_scope_cancel(b->rt, &b->t[0].scope, (weir_reason){"no", 0}), 1);
    CHECK_INT(b->t[0].wait.status, WEIR_CANCELED);
    weir_turn(b->rt);
    CHECK(b->t[0].state == WEIR_TASK_CANCELLED && !b->t[0].started);
    CHECK(b->order[0] == 0 && b->order[1] == 1); /* its place in the queue is kept */
    CHECK_INT(b->t[1].state, WEIR_TASK_DONE);
    CHECK_INT(weir_runtime_counters(b->rt)->cancelled, 1);
    bed_free(b);
}

static void a_prepared_task_starts_by_a_grant(void **state)
{
    (void)state;
    for (int cancelled = 0; cancelled < 2; cancelled++) {
        bed *b = bed_new();
        weir_semaphore s;
        weir_permit *held, *p;
        CHECK_OK(weir_semaphore_init(b->rt, &s, 1, NULL));
        CHECK_OK(weir_semaphore_try(&s, NULL, 1, &held));
        b->ends_as[0] = WEIR_TASK_WAITING;
        CHECK_OK(weir_task_prepare(b->rt, &b->t[0], weir_root(b->rt), body, 0));
        CHECK_INT(weir_runtime_counters(b->rt)->ready, 0);
        CHECK_OK(weir_semaphore_acquire(&s, &b->t[0], 1, &b->t[0].wait, WEIR_FOREVER, &p));
        weir_turn(b->rt);
        CHECK(b->n_order == 0 && b->t[0].state == WEIR_TASK_PENDING);
        if (cancelled)
            weir_scope_cancel(b->rt, &b->t[0].scope, (weir_reason){"no", 0});
        weir_permit_release(held);
        CHECK_INT(b->t[0].wait.status, cancelled ? WEIR_CANCELED : WEIR_GRANTED);
        weir_turn(b->rt);
        CHECK_INT(b->t[0].started, !cancelled);
        CHECK_INT(s.available, cancelled);
        if (!cancelled) {
            b->ends_as[0] = WEIR_TASK_DONE;
            weir_permit_release(p);
            weir_waiter_settle(b->rt, &b->t[0].wait, WEIR_GRANTED);
        }
        bed_free(b);
        weir_semaphore_fini(&s);
    }
}

static void everybody_who_awaits_gets_the_outcome(void **state)
{
    bed *b = bed_new();
    weir_waiter w[4];
    (void)state;
    spawn(b, 0, weir_root(b->rt), WEIR_TASK_WAITING);
    weir_turn(b->rt);
    for (int i = 0; i < 4; i++) {
        weir_waiter_init(&w[i], forget);
        if (i < 3)
            weir_task_join(b->rt, &b->t[0], &w[i], i == 1, i == 2 ? 0 : WEIR_FOREVER);
    }
    weir_turn(b->rt);
    CHECK_INT(w[2].status, WEIR_TIMEOUT);
    CHECK(w[0].status == WEIR_PENDING && w[1].status == WEIR_PENDING);
    CHECK_INT(weir_waiter_give_up(b->rt, &w[0], WEIR_CANCELED), 1);
    b->ends_as[0] = WEIR_TASK_FAILED;
    weir_waiter_settle(b->rt, &b->t[0].wait, WEIR_GRANTED);
    weir_turn(b->rt);
    CHECK_INT(w[1].status, WEIR_GRANTED);
    weir_task_join(b->rt, &b->t[0], &w[3], 0, WEIR_FOREVER); /* again, after the end */
    CHECK_INT(w[3].status, WEIR_GRANTED);
    bed_free(b);
}

/* Who awaits a task gets that task's error, not the cancel which the error causes. */
static void an_awaiter_sees_the_failure_before_the_cancel(void **state)
{
    static const script_program p = {
        "awaiter",
        {0},
        {{SCATCH, SSPAWN(1), SSPAWN(2), SPARK, SCLOSE}, {SSLEEP(1), SFAIL}, {SJOIN(1)}}};
    script_world *w = script_world_new(&p);
    (void)state;
    script_run_to(w, 9);
    CHECK(weir_scope_is_cancelled(&w->task[2].task.scope));
    CHECK_INT(w->task[2].error, SCRIPT_EFAILED);
    CHECK_INT(w->task[0].caught, SCRIPT_EFAILED);
    script_world_free(w);
}

static void a_task_does_not_end_before_its_children(void **state)
{
    static const script_program p = {
        "children",
        {1},
        {{SSPAWN(1), SMARK(0)}, {SMARK(1), SSPAWN(2), SMARK(2)}, {SMARK(3), SSLEEP(9), SMARK(4)}}};
    script_world *w = script_world_new(&p);
    (void)state;
    script_run_to(w, 5);
    CHECK(w->n_log == 4 && memcmp(w->log, "\0\1\2\3", 4) == 0); /* a child starts later */
    CHECK(!w->task[0].ended && !w->task[1].ended);
    script_run_to(w, 9);
    CHECK(w->task[0].ended_at == 9 && w->task[1].ended_at == 9);
    script_world_free(w);
}

static void what_a_task_forgets_is_given_back_and_counted(void **state)
{
    static const script_program p = {
        "forgets",
        {3},
        {{SACQUIRE(0, 1), SFORGET(0), SACQUIRE(0, 2), SFORGET(0), SDETACH(1), SYIELD, SYIELD},
         {SACQUIRE(0, 3)}}};
    script_world *w = script_world_new(&p);
    (void)state;
    script_run_to(w, 9);
    CHECK_INT(w->leaked, 2);
    CHECK_INT(weir_runtime_counters(w->rt)->leaks, 2);
    CHECK_INT(w->task[1].task.state, WEIR_TASK_DONE);
    script_world_free(w);
}

static void a_budget_is_spent_once_per_turn(void **state)
{
    bed *b = bed_new();
    (void)state;
    spawn(b, 0, weir_root(b->rt), WEIR_TASK_DONE);
    for (int i = 0; i < WEIR_TASK_BUDGET; i++)
        CHECK_INT(weir_task_spend(&b->t[0]), 0);
    CHECK_INT(weir_task_spend(&b->t[0]), 1);
    CHECK_INT(weir_task_spend(&b->t[0]), 1);
    weir_turn(b->rt); /* `body` checks that it is whole again */
    bed_free(b);
}

static void a_daemon_is_not_joined(void **state)
{
    static const script_program p = {
        "daemon", {0}, {{SDAEMON(1), SSPAWN(2)}, {SPARK}, {SSLEEP(3)}}};
    script_world *w = script_world_new(&p);
    (void)state;
    script_run_to(w, 0);
    CHECK_INT(weir_root(w->rt)->n_children, 1);
    CHECK_INT(weir_runtime_counters(w->rt)->tasks, 3);
    script_run_to(w, 3);
    CHECK_INT(weir_root(w->rt)->n_children, 0);
    CHECK_TEXT(weir_runtime_quiesce(w->rt), "tasks");
    script_world_free(w);
}

/* One that works for others goes on while they clean up; also if it is spawned then. Its own
 * cancel, and the end of the program, reach it. */
static void a_shielded_daemon_is_not_cancelled_with_the_root(void **state)
{
    bed *b = bed_new();
    (void)state;
    for (int i = 0; i < 2; i++) {
        b->ends_as[i] = WEIR_TASK_WAITING;
        CHECK_OK(weir_task_spawn(b->rt, &b->t[i], weir_root(b->rt), body,
                                 WEIR_SCOPE_DAEMON | (i == 1 ? WEIR_SCOPE_SHIELD : 0)));
    }
    weir_turn(b->rt);
    weir_scope_cancel(b->rt, weir_root(b->rt), (weir_reason){"SIGINT", 0});
    CHECK_INT(b->t[0].wait.status, WEIR_CANCELED);
    CHECK_INT(b->t[1].wait.status, WEIR_PENDING);
    CHECK_INT(weir_task_spawn(b->rt, &b->t[2], weir_root(b->rt), body, WEIR_SCOPE_DAEMON),
              WEIR_ECANCELED);
    b->ends_as[2] = WEIR_TASK_WAITING;
    CHECK_OK(weir_task_spawn(b->rt, &b->t[2], weir_root(b->rt), body,
                             WEIR_SCOPE_DAEMON | WEIR_SCOPE_SHIELD));
    CHECK_VALID(b->rt);
    for (int i = 0; i < 3; i++)
        b->ends_as[i] = WEIR_TASK_CANCELLED;
    weir_turn(b->rt);
    CHECK_INT(b->t[2].state, WEIR_TASK_CANCELLED); /* it ran */
    weir_scope_cancel(b->rt, &b->t[1].scope, (weir_reason){"not needed", 0});
    CHECK_INT(b->t[1].wait.status, WEIR_CANCELED);
    weir_turn(b->rt);
    bed_free(b);
}

static void a_failed_detached_task_stops_nobody(void **state)
{
    static const script_program p = {
        "detached", {0}, {{SDETACH(1), SDETACH(2), SSLEEP(3)}, {SFAIL}, {SSLEEP(5)}}};
    script_world *w = script_world_new(&p);
    (void)state;
    script_run_to(w, 9);
    CHECK_INT(w->task[0].task.state, WEIR_TASK_DONE);
    CHECK_INT(w->task[1].task.state, WEIR_TASK_FAILED);
    CHECK_INT(w->task[2].task.state, WEIR_TASK_DONE);
    script_world_free(w);
}

static void counted_end(weir_runtime *rt, weir_task *t)
{
    weir_task_finish(rt, t, t->started ? WEIR_TASK_DONE : WEIR_TASK_CANCELLED);
}

static void many_tasks_leave_nothing(void **state)
{
    enum { MANY = 100000 };
    bed *b = bed_new();
    const weir_counters *n = weir_runtime_counters(b->rt);
    weir_task *t = calloc(MANY, sizeof *t);
    uint64_t bytes = n->bytes;
    (void)state;
    assert_non_null(t);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < MANY; i++)
            CHECK_OK(weir_task_spawn(b->rt, &t[i], weir_root(b->rt), counted_end, 0));
        for (int i = 0; i < MANY && round == 1; i += 2)
            weir_scope_cancel(b->rt, &t[i].scope, (weir_reason){"even", 0});
        while (weir_turn(b->rt) > 0)
            ;
    }
    CHECK(n->spawned == 2 * MANY && n->tasks == 0);
    CHECK(n->cancelled == MANY / 2 && n->done == 2 * MANY - MANY / 2);
    CHECK(n->bytes == bytes); /* a task needs nothing but its own struct */
    CHECK(n->turns >= 2 * MANY / WEIR_TURN_BUDGET);
    free(t);
    bed_free(b);
    check_figure("tasks", 2 * MANY);
}

int main(void)
{
    const struct CMUnitTest task[] = {
        cmocka_unit_test(tasks_run_in_spawn_order),
        cmocka_unit_test(states_follow_the_life),
        cmocka_unit_test(a_task_cancelled_before_its_start_never_runs),
        cmocka_unit_test(a_prepared_task_starts_by_a_grant),
        cmocka_unit_test(everybody_who_awaits_gets_the_outcome),
        cmocka_unit_test(an_awaiter_sees_the_failure_before_the_cancel),
        cmocka_unit_test(a_task_does_not_end_before_its_children),
        cmocka_unit_test(what_a_task_forgets_is_given_back_and_counted),
        cmocka_unit_test(a_budget_is_spent_once_per_turn),
        cmocka_unit_test(a_daemon_is_not_joined),
        cmocka_unit_test(a_shielded_daemon_is_not_cancelled_with_the_root),
        cmocka_unit_test(a_failed_detached_task_stops_nobody),
        cmocka_unit_test(many_tasks_leave_nothing),
    };
    return CHECK_MAIN(task);
}
