/* waiter_test.c - the life of a wait: every state against every way to end it.
 *
 * The primitive under the waits is a gate of the test's own: a list, and hooks that count.
 */
#include <weir/runtime.h>

#include "check.h"

#define WAITERS 4

typedef struct gate {
    weir_simulator *sim;
    weir_runtime *rt;
    weir_list queue;
    weir_waiter w[WAITERS];
    unsigned left, refunded, turns;
    weir_waiter *turned[16];
    weir_status seen[16];
    weir_waiter *serve_on_leave; /* granted by the leave of another */
} gate;

static gate *the_gate(weir_waiter *w)
{
    return w->object;
}

static void gate_leave(weir_runtime *rt, weir_waiter *w)
{
    gate *g = the_gate(w);
    g->left++;
    weir_link_remove(&w->link);
    if (g->serve_on_leave != NULL) {
        weir_waiter *next = g->serve_on_leave;
        g->serve_on_leave = NULL;
        weir_link_remove(&next->link);
        weir_waiter_settle(rt, next, WEIR_GRANTED);
    }
}

static void gate_refund(weir_runtime *rt, weir_waiter *w)
{
    (void)rt;
    the_gate(w)->refunded++;
}

static const weir_wait_ops kinds[4] = {
    {"gate", NULL, NULL, NULL, NULL},
    {"gate", gate_leave, NULL, NULL, NULL},
    {"gate", NULL, gate_refund, NULL, NULL},
    {"gate", gate_leave, gate_refund, NULL, NULL},
};
#define BOTH (&kinds[3])

static void on_turn(weir_runtime *rt, weir_waiter *w)
{
    gate *g = w->object;
    (void)rt;
    if (g == NULL)
        return;
    assert_true(g->turns < 16);
    g->turned[g->turns] = w;
    g->seen[g->turns++] = (weir_status)w->status;
}

static gate *gate_new(void)
{
    gate *g = calloc(1, sizeof *g);
    assert_non_null(g);
    g->sim = weir_simulator_new(WEIR_PLAN_FIFO, 1);
    g->rt = weir_runtime_new(weir_simulator_env(g->sim));
    assert_non_null(g->rt);
    weir_list_init(&g->queue);
    for (int i = 0; i < WAITERS; i++)
        weir_waiter_init(&g->w[i], on_turn);
    return g;
}

static void gate_free(gate *g)
{
    weir_simulator_run(g->sim, g->rt, 0);
    CHECK(weir_list_is_empty(&g->queue));
    CHECK_VALID(g->rt);
    CHECK_QUIET(g->rt);
    weir_runtime_free(g->rt);
    CHECK_INT(weir_simulator_bytes(g->sim), 0);
    weir_simulator_free(g->sim);
    free(g);
}

static void enter(gate *g, int i, const weir_wait_ops *ops, uint64_t timeout)
{
    weir_waiter_begin(g->rt, &g->w[i], ops, g, weir_after(g->rt, timeout));
    weir_list_push(&g->queue, &g->w[i].link);
}

static void grant(gate *g, int i)
{
    weir_link_remove(&g->w[i].link);
    weir_waiter_settle(g->rt, &g->w[i], WEIR_GRANTED);
}

/* Bring waiter 0 into `status`, not yet run. */
static void bring(gate *g, const weir_wait_ops *ops, weir_status status)
{
    if (status == WEIR_IDLE)
        return;
    enter(g, 0, ops, WEIR_FOREVER);
    if (status == WEIR_PENDING)
        return;
    weir_link_remove(&g->w[0].link);
    weir_waiter_settle(g->rt, &g->w[0], status);
}

static void every_state_against_every_end(void **state)
{
    static const weir_status ends[] = {WEIR_TIMEOUT, WEIR_CANCELED, WEIR_CLOSED, WEIR_STUCK};
    unsigned pairs = 0;
    (void)state;
    for (weir_status from = WEIR_IDLE; from <= WEIR_STUCK; from++) {
        for (int k = 0; k < 4; k++) {
            for (int e = 0; e < 4; e++, pairs++) {
                gate *g = gate_new();
                int leaves = from == WEIR_PENDING && kinds[k].leave != NULL;
                int refunds =
                    from == WEIR_GRANTED && ends[e] == WEIR_CANCELED && kinds[k].refund != NULL;
                bring(g, &kinds[k], from);
                CHECK_INT(weir_waiter_give_up(g->rt, &g->w[0], ends[e]), leaves || refunds);
                CHECK_INT(g->w[0].status, leaves || refunds ? ends[e] : from);
                CHECK_INT(g->left, leaves);
                CHECK_INT(g->refunded, refunds);
                CHECK_INT(g->turns, 0); /* nothing runs inside */
                CHECK_VALID(g->rt);
                if (g->w[0].status == WEIR_PENDING)
                    grant(g, 0);
                CHECK_INT(weir_runtime_counters(g->rt)->ready, from != WEIR_IDLE);
                CHECK_INT(weir_runtime_counters(g->rt)->pending, 0);
                weir_turn(g->rt);
                CHECK_INT(g->turns, from != WEIR_IDLE);
                /* After its turn nothing can be given up any more. */
                CHECK_INT(weir_waiter_give_up(g->rt, &g->w[0], ends[e]), 0);
                CHECK_INT(g->left + g->refunded, (unsigned)(leaves || refunds));
                gate_free(g);
            }
        }
    }
    check_figure("transitions", pairs);
}

static void a_wait_is_settled_once_and_runs_once(void **state)
{
    gate *g = gate_new();
    const weir_counters *n = weir_runtime_counters(g->rt);
    (void)state;
    enter(g, 0, BOTH, 10);
    CHECK(n->pending == 1 && n->timers == 1 && n->waits == 1 && n->ready == 0);
    CHECK(weir_timer_is_set(&g->w[0].timer));
    grant(g, 0);
    CHECK(n->pending == 0 && n->timers == 0 && n->grants == 1 && n->ready == 1);
    weir_simulator_advance(g->sim, 100); /* its timeout passed long ago */
    weir_turn(g->rt);
    CHECK_INT(g->turns, 1);
    CHECK_INT(g->seen[0], WEIR_GRANTED);
    weir_turn(g->rt);
    CHECK_INT(g->turns, 1);
    gate_free(g);
}

static void a_timeout_leaves_through_the_hook(void **state)
{
    gate *g = gate_new();
    (void)state;
    enter(g, 0, BOTH, 10);
    weir_simulator_advance(g->sim, 9);
    weir_turn(g->rt);
    CHECK_INT(g->turns, 0);
    weir_simulator_advance(g->sim, 1);
    weir_turn(g->rt);
    CHECK(g->turns == 1 && g->seen[0] == WEIR_TIMEOUT && g->left == 1);
    CHECK(weir_runtime_counters(g->rt)->timeouts == 1);
    gate_free(g);
}

static void a_timeout_of_zero_waits_for_the_next_turn(void **state)
{
    gate *g = gate_new();
    (void)state;
    weir_turn(g->rt);
    enter(g, 0, BOTH, 0);
    CHECK_INT(g->w[0].status, WEIR_PENDING);
    weir_turn(g->rt);
    CHECK(g->turns == 1 && g->seen[0] == WEIR_TIMEOUT);
    gate_free(g);
}

static void a_wait_that_cannot_be_left_outlives_its_timeout(void **state)
{
    gate *g = gate_new();
    (void)state;
    enter(g, 0, &kinds[2], 10);
    weir_simulator_advance(g->sim, 20);
    weir_turn(g->rt);
    CHECK_INT(g->w[0].status, WEIR_PENDING);
    CHECK_INT(g->turns, 0);
    grant(g, 0);
    weir_turn(g->rt);
    CHECK(g->turns == 1 && g->seen[0] == WEIR_GRANTED);
    gate_free(g);
}

static void whom_a_leaver_serves_runs_before_it(void **state)
{
    gate *g = gate_new();
    (void)state;
    enter(g, 0, BOTH, WEIR_FOREVER);
    enter(g, 1, BOTH, WEIR_FOREVER);
    g->serve_on_leave = &g->w[1];
    CHECK_INT(weir_waiter_give_up(g->rt, &g->w[0], WEIR_CANCELED), 1);
    weir_turn(g->rt);
    CHECK(g->turned[0] == &g->w[1] && g->seen[0] == WEIR_GRANTED);
    CHECK(g->turned[1] == &g->w[0] && g->seen[1] == WEIR_CANCELED);
    gate_free(g);
}

static void a_refund_keeps_the_place_in_the_ready_queue(void **state)
{
    gate *g = gate_new();
    (void)state;
    for (int i = 0; i < 3; i++)
        enter(g, i, BOTH, WEIR_FOREVER);
    for (int i = 0; i < 3; i++)
        grant(g, i);
    CHECK_INT(weir_waiter_give_up(g->rt, &g->w[1], WEIR_CANCELED), 1);
    CHECK_INT(weir_waiter_give_up(g->rt, &g->w[1], WEIR_CANCELED), 0);
    CHECK_INT(g->refunded, 1);
    weir_turn(g->rt);
    CHECK_INT(g->turns, 3);
    for (int i = 0; i < 3; i++)
        CHECK(g->turned[i] == &g->w[i] && g->seen[i] == (i == 1 ? WEIR_CANCELED : WEIR_GRANTED));
    gate_free(g);
}

static void every_wait_has_a_generation_of_its_own(void **state)
{
    gate *g = gate_new();
    uint32_t seen[4];
    (void)state;
    for (int i = 0; i < 4; i++) {
        if (i % 2)
            weir_waiter_enqueue(g->rt, &g->w[0], BOTH);
        else
            enter(g, 0, BOTH, WEIR_FOREVER);
        seen[i] = g->w[0].generation;
        for (int k = 0; k < i; k++)
            CHECK(seen[k] != seen[i]); /* a stale waker can tell */
        if (i % 2 == 0)
            grant(g, 0);
        CHECK_INT(g->w[0].generation, seen[i]);
        weir_turn(g->rt);
    }
    gate_free(g);
}

static void a_sleep_is_granted_by_its_alarm(void **state)
{
    gate *g = gate_new();
    weir_waiter *w = &g->w[0];
    (void)state;
    weir_sleep_until(g->rt, w, weir_after(g->rt, 50));
    CHECK_INT(w->status, WEIR_PENDING);
    weir_simulator_run(g->sim, g->rt, 0);
    CHECK_INT(w->status, WEIR_GRANTED);
    CHECK(weir_now(g->rt) == 50);
    weir_sleep_until(g->rt, w, 0); /* a past alarm: the next turn */
    CHECK_INT(w->status, WEIR_PENDING);
    weir_turn(g->rt);
    CHECK_INT(w->status, WEIR_GRANTED);
    weir_sleep_until(g->rt, w, weir_after(g->rt, 50));
    CHECK_INT(weir_waiter_give_up(g->rt, w, WEIR_CANCELED), 1);
    CHECK_INT(weir_runtime_counters(g->rt)->timers, 0);
    weir_turn(g->rt);
    CHECK_INT(w->status, WEIR_CANCELED);
    weir_sleep_until(g->rt, w, WEIR_FOREVER); /* only a cancel ends it */
    CHECK(weir_next_turn(g->rt) == WEIR_FOREVER);
    CHECK_INT(weir_waiter_give_up(g->rt, w, WEIR_CANCELED), 1);
    gate_free(g);
}

static weir_waiter *sleeper;
static void cancel_the_sleeper(weir_runtime *rt, weir_timer *timer)
{
    (void)timer;
    CHECK_INT(sleeper->status, WEIR_GRANTED);
    CHECK_INT(weir_waiter_give_up(rt, sleeper, WEIR_CANCELED), 1);
}

static void a_cancel_wins_over_an_alarm_of_the_same_instant(void **state)
{
    gate *g = gate_new();
    weir_timer timer;
    (void)state;
    sleeper = &g->w[0];
    weir_timer_init(&timer, cancel_the_sleeper);
    weir_sleep_until(g->rt, sleeper, 50);
    weir_timer_set(g->rt, &timer, 50);
    weir_simulator_run(g->sim, g->rt, 0);
    CHECK_INT(sleeper->status, WEIR_CANCELED);
    gate_free(g);
}

static unsigned order[8], n_order;
static weir_waiter *numbered;
static void note_order(weir_runtime *rt, weir_waiter *w)
{
    (void)rt;
    order[n_order++] = (unsigned)(w - numbered);
}

static void yield_again(weir_runtime *rt, weir_waiter *w)
{
    note_order(rt, w);
    if (n_order < 4)
        weir_yield(rt, w);
}

static void a_yield_lets_everybody_else_run_once(void **state)
{
    gate *g = gate_new();
    (void)state;
    numbered = g->w;
    n_order = 0;
    for (int i = 0; i < 3; i++) {
        weir_waiter_init(&g->w[i], i == 0 ? yield_again : note_order);
        weir_waiter_enqueue(g->rt, &g->w[i], BOTH);
    }
    CHECK_INT(weir_runtime_counters(g->rt)->ready, 3);
    weir_turn(g->rt);
    CHECK(n_order == 4 && order[0] == 0 && order[1] == 1 && order[2] == 2 && order[3] == 0);
    gate_free(g);
}

static void an_abandoned_wait_is_as_if_it_had_not_begun(void **state)
{
    (void)state;
    for (int granted = 0; granted < 2; granted++) {
        gate *g = gate_new();
        enter(g, 0, BOTH, 10);
        if (granted)
            grant(g, 0);
        weir_waiter_abandon(g->rt, &g->w[0]);
        CHECK_INT(g->w[0].status, WEIR_IDLE);
        CHECK(g->left == (granted ? 0u : 1u) && g->refunded == (granted ? 1u : 0u));
        CHECK_QUIET(g->rt);
        weir_turn(g->rt);
        CHECK_INT(g->turns, 0);
        enter(g, 0, BOTH, WEIR_FOREVER); /* and it can wait again */
        grant(g, 0);
        weir_turn(g->rt);
        CHECK_INT(g->turns, 1);
        gate_free(g);
    }
}

/* Random lives of four waiters: each begun wait is settled once, with one turn, never two. */
static void random_lives_settle_exactly_once(void **state)
{
    check_random r = {check_seed(20)};
    uint32_t ops = check_scaled(300000), begun = 0, settled = 0;
    gate *g = gate_new();
    int live[WAITERS] = {0};
    (void)state;
    for (uint32_t i = 0; i < ops; i++) {
        int k = (int)check_below(&r, WAITERS);
        weir_waiter *w = &g->w[k];
        switch (check_below(&r, 6)) {
        case 0:
        case 1:
            if (!live[k]) {
                uint32_t timeout = check_below(&r, 40);
                enter(g, k, &kinds[1 + 2 * check_below(&r, 2)],
                      timeout < 20 ? timeout : WEIR_FOREVER);
                live[k] = 1;
                begun++;
            }
            break;
        case 2:
            if (w->status == WEIR_PENDING && live[k])
                grant(g, k);
            break;
        case 3:
            weir_waiter_give_up(g->rt, w, (weir_status)(WEIR_TIMEOUT + check_below(&r, 4)));
            break;
        case 4:
            weir_simulator_advance(g->sim, check_below(&r, 10));
            break;
        default:
            g->turns = 0;
            weir_turn(g->rt);
            settled += g->turns;
            for (unsigned t = 0; t < g->turns; t++) {
                CHECK_INT(live[g->turned[t] - g->w], 1);
                CHECK(g->seen[t] > WEIR_PENDING);
                live[g->turned[t] - g->w] = 0;
            }
            break;
        }
        if (i % 16 == 0)
            CHECK_VALID(g->rt);
    }
    for (int k = 0; k < WAITERS; k++)
        weir_waiter_give_up(g->rt, &g->w[k], WEIR_CANCELED);
    g->turns = 0;
    weir_turn(g->rt);
    CHECK_INT(settled + g->turns, begun);
    CHECK_INT(weir_runtime_counters(g->rt)->waits, begun);
    check_figure("ops", ops);
    check_figure("waits", begun);
    gate_free(g);
}

int main(void)
{
    const struct CMUnitTest waiter[] = {
        cmocka_unit_test(every_state_against_every_end),
        cmocka_unit_test(a_wait_is_settled_once_and_runs_once),
        cmocka_unit_test(a_timeout_leaves_through_the_hook),
        cmocka_unit_test(a_timeout_of_zero_waits_for_the_next_turn),
        cmocka_unit_test(a_wait_that_cannot_be_left_outlives_its_timeout),
        cmocka_unit_test(whom_a_leaver_serves_runs_before_it),
        cmocka_unit_test(a_refund_keeps_the_place_in_the_ready_queue),
        cmocka_unit_test(every_wait_has_a_generation_of_its_own),
        cmocka_unit_test(a_sleep_is_granted_by_its_alarm),
        cmocka_unit_test(a_cancel_wins_over_an_alarm_of_the_same_instant),
        cmocka_unit_test(a_yield_lets_everybody_else_run_once),
        cmocka_unit_test(an_abandoned_wait_is_as_if_it_had_not_begun),
        cmocka_unit_test(random_lives_settle_exactly_once),
    };
    return CHECK_MAIN(waiter);
}
