/* graph_test.c - deadlocks: found when they close, with their cycle, and never where somebody
 * can still wake somebody.
 *
 * graph_model_test.c lets random programs hang and compares.
 */
#include <weir/graph.h>

#include "sched/internal.h"

#include "check.h"
#include "programs.h"

/* Run `p` and expect that `told` alone raises deadlock (-1: nobody), with a cycle of `n`. */
static void expect(const script_program *p, int told, unsigned n)
{
    script_world *w = script_world_new(p);
    while (script_step(w))
        ;
    for (int i = 0; i < SCRIPT_TASKS; i++) {
        int is = w->task[i].error == WEIR_EDEADLOCK || w->task[i].caught == WEIR_EDEADLOCK;
        if (is != (i == told))
            check_fail(__FILE__, __LINE__, "%s: task %d %s", p->name, i,
                       is ? "raised deadlock" : "did not raise deadlock");
    }
    if (w->n_cycle != n)
        check_fail(__FILE__, __LINE__, "%s: a cycle of %u, expected %u", p->name, w->n_cycle, n);
    for (unsigned i = 0; i < n; i++)
        for (unsigned k = 0; k < i; k++)
            CHECK(w->cycle[i] != w->cycle[k]);
    script_world_free(w);
}

static void cycles_are_found_when_they_close(void **state)
{
    static const struct {
        script_program p;
        int told;
        unsigned cycle;
    } cases[] = {
        {{"a permit it holds", {1}, {{SACQUIRE(0, 1), SACQUIRE(0, 1)}}}, 0, 1},
        {{"more than the rest", {3}, {{SACQUIRE(0, 2), SACQUIRE(0, 2)}}}, 0, 1},
        {{"itself", {0}, {{SJOIN(0)}}}, 0, 1},
        {{"the drain of what it holds", {1}, {{SACQUIRE(0, 1), SDRAIN(0)}}}, 0, 1},
        {{"two semaphores",
          {1, 1},
          {{SDETACH(1), SDETACH(2)},
           {SACQUIRE(0, 1), SYIELD, SACQUIRE(1, 1)},
           {SACQUIRE(1, 1), SYIELD, SACQUIRE(0, 1)}}},
         2,
         2},
        {{"two joins", {0}, {{SDETACH(1), SDETACH(2)}, {SJOIN(2)}, {SJOIN(1)}}}, 2, 2},
        {{"three joins",
          {0},
          {{SDETACH(1), SDETACH(2), SDETACH(3)}, {SJOIN(2)}, {SJOIN(3)}, {SJOIN(1)}}},
         3,
         3},
        {{"a join and a permit",
          {1},
          {{SACQUIRE(0, 1), SDETACH(1), SYIELD, SJOIN(1)}, {SACQUIRE(0, 1)}}},
         0,
         2},
        {{"a ring of three semaphores",
          {1, 1, 1},
          {{SDETACH(1), SDETACH(2), SDETACH(3)},
           {SACQUIRE(0, 1), SYIELD, SACQUIRE(1, 1)},
           {SACQUIRE(1, 1), SYIELD, SACQUIRE(2, 1)},
           {SACQUIRE(2, 1), SYIELD, SACQUIRE(0, 1)}}},
         3,
         3},
        {{"both holders of what it needs two of",
          {2, 1},
          {{SDETACH(1), SDETACH(2), SDETACH(3)},
           {SACQUIRE(1, 1), SYIELD, SYIELD, SACQUIRE(0, 2)},
           {SACQUIRE(0, 1), SYIELD, SACQUIRE(1, 1)},
           {SACQUIRE(0, 1), SYIELD, SYIELD, SYIELD}}},
         1,
         2},
        {{"a head that waits for who waits behind it",
          {3},
          {{SDETACH(1), SDETACH(2)},
           {SACQUIRE(0, 2), SYIELD, SYIELD, SACQUIRE(0, 1)},
           {SACQUIRE(0, 2)}}},
         1,
         2},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        expect(&cases[i].p, cases[i].told, cases[i].cycle);
    check_figure("cycles", sizeof cases / sizeof cases[0]);
}

static void nobody_is_told_while_somebody_can_act(void **state)
{
    static const script_program cases[] = {
        {"the holder sleeps",
         {1},
         {{SACQUIRE(0, 1), SSPAWN(1), SSLEEP(9), SRELEASE(0)}, {SACQUIRE(0, 1)}}},
        {"the holder is ready",
         {1},
         {{SACQUIRE(0, 1), SSPAWN(1), SYIELD, SYIELD, SRELEASE(0)}, {SACQUIRE(0, 1)}}},
        {"the waiter has a timeout", {1}, {{SCATCH, SACQUIRE(0, 1), SACQUIRE_IN(0, 1, 9), SCLOSE}}},
        {"one of the cycle has a timeout",
         {1, 1},
         {{SDETACH(1), SDETACH(2)},
          {SCATCH, SACQUIRE(0, 1), SYIELD, SACQUIRE_IN(1, 1, 9), SCLOSE},
          {SACQUIRE(1, 1), SYIELD, SACQUIRE(0, 1)}}},
        {"the holder waits for a sleeper",
         {1},
         {{SACQUIRE(0, 1), SSPAWN(1), SSPAWN(2), SJOIN(2), SRELEASE(0)},
          {SACQUIRE(0, 1)},
          {SSLEEP(5)}}},
        {"one of two holders is enough",
         {2, 1},
         {{SDETACH(1), SDETACH(2), SDETACH(3)},
          {SACQUIRE(1, 1), SYIELD, SYIELD, SACQUIRE(0, 1), SRELEASE(1)},
          {SACQUIRE(0, 1), SYIELD, SACQUIRE(1, 1)},
          {SACQUIRE(0, 1), SSLEEP(5)}}},
        {"join of a sleeper that is joined",
         {0},
         {{SSPAWN(1), SSPAWN(2), SJOIN(1)}, {SSLEEP(3)}, {SJOIN(1)}}},
        /* 0 needs both 1 and 2, 1 needs 2 or 3, 2 needs 0 or 1: what the search learns of 2 while
         * it looks at 1 must be forgotten once 3 gives 1 a way out. */
        {"a way out beside the way through a cycle",
         {2, 2},
         {{SACQUIRE(0, 1), SOPEN, SSPAWN(1), SSPAWN(2), SDETACH(3), SYIELD, SYIELD, SYIELD, SYIELD,
           SCLOSE},
          {SACQUIRE(0, 1), SYIELD, SYIELD, SACQUIRE(1, 1)},
          {SACQUIRE(1, 1), SYIELD, SYIELD, SACQUIRE(0, 1)},
          {SACQUIRE(1, 1), SSLEEP(5)}}},
        {"the head of the queue has a timeout",
         {3},
         {{SDETACH(1), SDETACH(2)},
          {SACQUIRE(0, 2), SYIELD, SYIELD, SACQUIRE(0, 1)},
          {SCATCH, SACQUIRE_IN(0, 2, 9), SCLOSE}}},
        {"the head of the queue can act",
         {2},
         {{SDETACH(1), SDETACH(2), SDETACH(3)},
          {SACQUIRE(0, 1), SYIELD, SYIELD, SSLEEP(4), SRELEASE(0)},
          {SACQUIRE(0, 2), SYIELD},
          {SYIELD, SACQUIRE(0, 1)}}},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        expect(&cases[i], -1, 0);
    check_figure("no_cycles", sizeof cases / sizeof cases[0]);
}

static void a_deadline_of_a_scope_does_not_count(void **state)
{
    static const script_program p = {
        "inherited", {1}, {{SOPEN_IN(50), SACQUIRE(0, 1), SACQUIRE(0, 1), SCLOSE}}};
    script_world *w = script_world_new(&p);
    (void)state;
    while (script_step(w))
        ;
    CHECK_INT(w->task[0].error, WEIR_EDEADLOCK);
    CHECK_INT(w->task[0].ended_at, 0);
    script_world_free(w);
}

/* Who stands behind others is asked again at the head: nobody parks then. In the first three, 2
 * waits for 1, which wants one, behind 4, which wants all and so also what 2 holds, behind 3; in
 * the others 3 gives what it holds to 2, who waits for 1 and 5, behind 4, which has a timeout. */
static void a_new_head_is_told_when_it_is_stuck(void **state)
{
    static const struct {
        script_program p;
        unsigned told[2];
    } cases[] = {
        {{"the head before it is served",
          {3},
          {{SDETACH(1), SDETACH(2), SDETACH(3), SDETACH(4), SDETACH(5)},
           {SYIELD, SYIELD, SYIELD, SACQUIRE(0, 1)},
           {SACQUIRE(0, 1), SYIELD, SYIELD, SYIELD, SYIELD, SPJOIN(1)},
           {SYIELD, SACQUIRE(0, 2), SSLEEP(3)},
           {SYIELD, SYIELD, SACQUIRE(0, 3)},
           {SACQUIRE(0, 2), SSLEEP(5), SRELEASE(0)}}},
         {4, 4}},
        {{"the head before it times out",
          {3},
          {{SDETACH(1), SDETACH(2), SDETACH(3), SDETACH(4), SDETACH(5)},
           {SYIELD, SYIELD, SYIELD, SACQUIRE(0, 1)},
           {SACQUIRE(0, 1), SYIELD, SYIELD, SYIELD, SYIELD, SPJOIN(1)},
           {SYIELD, SACQUIRE_IN(0, 2, 5)},
           {SYIELD, SYIELD, SACQUIRE(0, 3)},
           {SACQUIRE(0, 2), SSLEEP(9), SRELEASE(0)}}},
         {4, 4}},
        {{"and there are two of them",
          {3},
          {{SDETACH(1), SDETACH(2), SDETACH(3), SDETACH(4), SDETACH(5), SACQUIRE(0, 2), SSLEEP(9)},
           {SYIELD, SYIELD, SYIELD, SYIELD, SACQUIRE(0, 1)},
           {SACQUIRE(0, 1), SYIELD, SYIELD, SYIELD, SYIELD, SYIELD, SPJOIN(1)},
           {SYIELD, SACQUIRE_IN(0, 2, 5)},
           {SYIELD, SYIELD, SACQUIRE(0, 3)},
           {SYIELD, SYIELD, SYIELD, SACQUIRE(0, 3)}}},
         {4, 5}},
        {{"the holder gave it to who waits",
          {2},
          {{SDETACH(1), SDETACH(2), SDETACH(3), SDETACH(4), SACQUIRE(0, 1), SSLEEP(9), SRELEASE(0)},
           {SYIELD, SYIELD, SYIELD, SACQUIRE(0, 2)},
           {SYIELD, SPJOIN(1)},
           {SACQUIRE(0, 1), SSLEEP(3), STRANSFER(0, 2)},
           {SYIELD, SACQUIRE_IN(0, 2, 5)}}},
         {1, 1}},
        {{"to who waits for two of them",
          {2},
          {{SDETACH(2), SDETACH(3), SDETACH(4), SACQUIRE(0, 1), SSLEEP(9), SRELEASE(0)},
           {SYIELD, SYIELD, SYIELD, SACQUIRE(0, 2)},
           {SSPAWN(1), SSPAWN(5)},
           {SACQUIRE(0, 1), SSLEEP(3), STRANSFER(0, 2)},
           {SYIELD, SACQUIRE_IN(0, 2, 5)},
           {SYIELD, SYIELD, SYIELD, SACQUIRE(0, 2)}}},
         {1, 5}},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        script_world *w = script_world_new(&cases[i].p);
        while (script_step(w))
            ;
        for (unsigned k = 0; k < 2; k++) {
            CHECK_INT(w->task[cases[i].told[k]].error, WEIR_EDEADLOCK);
            CHECK_INT(w->task[cases[i].told[k]].ended_at, 5);
        }
        CHECK_INT(w->deadlocks, 0); /* it was not found by a task that parked */
        script_world_free(w);
    }
}

/* A transfer can take away the last hope: 1 waits for 3, who gives it to 2, who waits for 1. */
static void a_transfer_asks_too(void **state)
{
    static const script_program p = {"transfer",
                                     {1},
                                     {{SDETACH(1), SDETACH(2), SDETACH(3)},
                                      {SYIELD, SACQUIRE(0, 1)},
                                      {SYIELD, SYIELD, SPJOIN(1)},
                                      {SACQUIRE(0, 1), SSLEEP(5), STRANSFER(0, 2)}}};
    script_world *w = script_world_new(&p);
    (void)state;
    script_run_to(w, 9);
    CHECK_INT(w->task[1].error, WEIR_EDEADLOCK);
    CHECK_INT(w->task[1].ended_at, 5);
    CHECK_INT(w->task[2].task.state, WEIR_TASK_DONE);
    script_world_free(w);
}

/* --- large graphs, of bare tasks ----------------------------------------------------- */

#define CROWD 600

typedef struct crowd {
    weir_simulator *sim;
    weir_runtime *rt;
    weir_task t[CROWD];
    unsigned n;
} crowd;

static void forget(weir_runtime *rt, weir_waiter *w)
{
    (void)rt;
    (void)w;
}

static const weir_wait_ops parked = {"test:park", forget, NULL, NULL, NULL};

/* Parks once; ends when it is woken. */
static void idle_body(weir_runtime *rt, weir_task *t)
{
    if (t->started && t->wait.ops == &parked)
        weir_task_finish(rt, t, WEIR_TASK_DONE);
    else
        weir_waiter_begin(rt, &t->wait, &parked, NULL, WEIR_FOREVER);
}

/* Was woken by a join or an acquire. */
static void last_body(weir_runtime *rt, weir_task *t)
{
    weir_task_finish(rt, t, WEIR_TASK_DONE);
}

static crowd *crowd_new(unsigned n)
{
    crowd *c = calloc(1, sizeof *c);
    assert_non_null(c);
    c->n = n;
    c->sim = weir_simulator_new(WEIR_PLAN_FIFO, 1);
    c->rt = weir_runtime_new(weir_simulator_env(c->sim));
    assert_non_null(c->rt);
    for (unsigned i = 0; i < n; i++)
        CHECK_OK(weir_task_spawn(c->rt, &c->t[i], weir_root(c->rt), idle_body, 0));
    while (weir_turn(c->rt) > 0)
        ;
    return c;
}

/* Take task `i` out of its park, so that it can wait for something else. */
static weir_waiter *free_wait(crowd *c, unsigned i)
{
    weir_waiter_abandon(c->rt, &c->t[i].wait);
    c->t[i].wait.resume = last_body;
    return &c->t[i].wait;
}

static void crowd_free(crowd *c)
{
    for (unsigned i = 0; i < c->n; i++)
        if (!weir_task_has_ended(&c->t[i]))
            weir_scope_cancel(c->rt, &c->t[i].scope, (weir_reason){"end", 0});
    while (weir_turn(c->rt) > 0)
        ;
    CHECK_QUIET(c->rt);
    weir_runtime_free(c->rt);
    weir_simulator_free(c->sim);
    free(c);
}

/* The timeout of an object, which nobody asked for, ends the wait; but who waits for it is stuck.
 */
static void a_default_timeout_counts_for_nobody(void **state)
{
    (void)state;
    for (int is_default = 0; is_default < 2; is_default++) {
        crowd *c = crowd_new(2);
        weir_semaphore s;
        weir_permit *p;
        weir_graph g;
        CHECK_OK(weir_semaphore_init(c->rt, &s, 1, NULL));
        CHECK_OK(weir_semaphore_try(&s, &c->t[0], 1, &p));
        CHECK_OK(weir_semaphore_acquire(&s, &c->t[0], 1, free_wait(c, 0), 5, &p));
        if (is_default)
            c->t[0].wait.flags |= WEIR_WAITER_DEFAULT;
        weir_task_join(c->rt, &c->t[0], free_wait(c, 1), 1, WEIR_FOREVER);
        CHECK_INT(weir_graph_is_stuck(c->rt, &c->t[0], &g), is_default);
        CHECK_INT(weir_graph_is_stuck(c->rt, &c->t[1], &g), is_default);
        CHECK(!is_default || (g.n_cycle == 1 && g.cycle[0] == &c->t[0]));
        c->t[0].wait.resume = idle_body; /* it goes on, to a wait of another kind */
        weir_simulator_advance(c->sim, 5);
        weir_turn(c->rt);
        CHECK_INT(s.stats.timeouts, 1);
        CHECK(c->t[0].wait.status == WEIR_PENDING && c->t[0].wait.ops == &parked);
        CHECK_INT(c->t[0].wait.flags, WEIR_WAITER_TASK); /* the next wait begins without it */
        crowd_free(c);
        weir_semaphore_fini(&s);
    }
}

/* A permit without a task belongs to the host, who can always give it back. */
static void a_holder_without_a_task_can_always_act(void **state)
{
    crowd *c = crowd_new(2);
    weir_semaphore s;
    weir_permit *p[2];
    weir_graph g;
    (void)state;
    CHECK_OK(weir_semaphore_init(c->rt, &s, 1, NULL));
    CHECK_OK(weir_semaphore_try(&s, NULL, 1, &p[0]));
    CHECK_OK(weir_semaphore_acquire(&s, &c->t[0], 1, free_wait(c, 0), WEIR_FOREVER, &p[1]));
    weir_semaphore_drain(&s, free_wait(c, 1), WEIR_FOREVER);
    CHECK_INT(weir_graph_is_stuck(c->rt, &c->t[0], &g), 0);
    CHECK_INT(weir_graph_is_stuck(c->rt, &c->t[1], &g), 0);
    weir_permit_release(p[0]);
    crowd_free(c);
    weir_semaphore_fini(&s);
}

/* Tails that lead into a cycle, of any length. */
static void a_deadlock_of_others_is_found_and_named(void **state)
{
    weir_graph g;
    (void)state;
    for (unsigned tail = 1; tail < 200; tail += 33) {
        crowd *c = crowd_new(tail + 3);
        for (unsigned i = 0; i < tail + 3; i++)
            weir_task_join(c->rt, &c->t[i == tail + 2 ? tail : i + 1], free_wait(c, i), 1,
                           WEIR_FOREVER);
        for (int again = 0; again < 3; again++) {
            CHECK_INT(weir_graph_is_stuck(c->rt, &c->t[0], &g), 1);
            CHECK_INT(g.n_cycle, 3);
            for (unsigned i = 0; i < 3; i++)
                CHECK(g.cycle[i] >= &c->t[tail]);
        }
        crowd_free(c);
    }
}

static void a_chain_too_long_to_prove_is_no_deadlock(void **state)
{
    weir_graph g;
    (void)state;
    for (unsigned n = 2; n <= CROWD; n = n < 200 ? n + 37 : n + 50) {
        crowd *c = crowd_new(n);
        for (unsigned i = 0; i < n; i++)
            weir_task_join(c->rt, &c->t[(i + 1) % n], free_wait(c, i), 1, WEIR_FOREVER);
        CHECK_INT(weir_graph_is_stuck(c->rt, &c->t[0], &g), n <= WEIR_GRAPH_DEPTH);
        if (n <= WEIR_GRAPH_DEPTH) {
            CHECK_INT(g.n_cycle, n);
            for (unsigned i = 0; i < n; i++)
                CHECK(g.cycle[i] == &c->t[i]);
        }
        crowd_free(c);
    }
}

/* Layers of holders, each waiting for all of the next: 10^18 paths, and a sleeper at the end. */
static void a_lattice_is_searched_in_bounded_steps(void **state)
{
    enum { WIDE = 8, DEEP = 20 };
    weir_semaphore s[DEEP];
    weir_graph g;
    weir_permit *p;
    crowd *c = crowd_new(WIDE * (DEEP + 1));
    (void)state;
    for (unsigned d = 0; d < DEEP; d++) {
        CHECK_OK(weir_semaphore_init(c->rt, &s[d], WIDE, NULL));
        for (unsigned i = 0; i < WIDE; i++)
            CHECK_OK(weir_semaphore_try(&s[d], &c->t[(d + 1) * WIDE + i], 1, &p));
    }
    for (unsigned d = 0; d < DEEP; d++)
        for (unsigned i = 0; i < WIDE; i++)
            CHECK_OK(weir_semaphore_acquire(&s[d], &c->t[d * WIDE + i], 1 + i % 2,
                                            free_wait(c, d * WIDE + i), WEIR_FOREVER, &p));
    /* The last layer is parked on a callback: it can always act. */
    CHECK_INT(weir_graph_is_stuck(c->rt, &c->t[0], &g), 0);
    CHECK(g.steps <= WEIR_GRAPH_STEPS);
    /* The last layer waits for the first. */
    for (unsigned i = 0; i < WIDE; i++)
        weir_task_join(c->rt, &c->t[i], free_wait(c, DEEP * WIDE + i), 1, WEIR_FOREVER);
    weir_graph_is_stuck(c->rt, &c->t[0], &g); /* either answer, but soon */
    CHECK(g.steps <= WEIR_GRAPH_STEPS + WIDE * DEEP * WIDE);
    crowd_free(c);
    for (unsigned d = 0; d < DEEP; d++)
        weir_semaphore_fini(&s[d]);
}

/* --- random graphs ------------------------------------------------------------------- */

/* A wait of the test's own: at least `need` of the tasks in `from` (bits) must be able to act. */
typedef struct some_of {
    crowd *c;
    uint32_t from;
    int need;
} some_of;

static int some_can_wake(weir_graph *g, weir_waiter *w)
{
    const some_of *s = w->object;
    int n = 0;
    for (unsigned i = 0; i < s->c->n && n < s->need; i++)
        if (s->from >> i & 1)
            n += weir_graph_can_act(g, &s->c->t[i]);
    return n >= s->need;
}

static const weir_wait_ops some_ops = {"test:some", forget, NULL, some_can_wake, NULL};

static uint32_t acting(const some_of *s, unsigned n)
{
    uint32_t acts = 0, before;
    do {
        before = acts;
        for (unsigned i = 0; i < n; i++)
            if (__builtin_popcount(s[i].from & acts) >= s[i].need)
                acts |= UINT32_C(1) << i;
    } while (acts != before);
    return acts;
}

/* Does a way lead from `i` over those who cannot act back to `i`? */
static int is_in_a_cycle(const some_of *s, unsigned n, uint32_t acts, unsigned i)
{
    uint32_t reach = s[i].from & ~acts, before;
    do {
        before = reach;
        for (unsigned k = 0; k < n; k++)
            if (reach >> k & 1)
                reach |= s[k].from & ~acts;
    } while (reach != before);
    return (int)(reach >> i & 1);
}

static void random_graphs_match_a_fixed_point(void **state)
{
    check_random r = {check_seed(41)};
    uint32_t graphs = check_scaled(20000), stuck = 0;
    (void)state;
    for (uint32_t k = 0; k < graphs; k++) {
        unsigned n = 3 + check_below(&r, k % 4 ? 10 : 28), density = 1 + check_below(&r, 6);
        crowd *c = crowd_new(n);
        some_of s[32];
        for (unsigned i = 0; i < n; i++) {
            s[i] = (some_of){c, 0, 0};
            for (unsigned m = 0; m < density; m++)
                s[i].from |= UINT32_C(1) << check_below(&r, n);
            s[i].need = 1 + (int)check_below(&r, (uint32_t)__builtin_popcount(s[i].from));
            if (check_below(&r, n) == 0)
                s[i].need = 0; /* it can act, whatever the others do */
            weir_waiter_begin(c->rt, free_wait(c, i), &some_ops, &s[i], WEIR_FOREVER);
        }
        uint32_t acts = acting(s, n);
        for (unsigned i = 0; i < n; i++) {
            weir_graph g;
            CHECK_INT(weir_graph_is_stuck(c->rt, &c->t[i], &g), !(acts >> i & 1));
            CHECK(g.n_cycle > 0 || (acts >> i & 1));
            if (!(acts >> i & 1) && is_in_a_cycle(s, n, acts, i)) /* its own before others' */
                CHECK(g.cycle[0] == &c->t[i]);
            CHECK(g.steps <= n * n); /* a round for each at most */
            stuck += !(acts >> i & 1);
            for (uint32_t m = 0; m < g.n_cycle && !(acts >> i & 1); m++) { /* a cycle it is */
                ptrdiff_t from = g.cycle[m] - c->t, to = g.cycle[(m + 1) % g.n_cycle] - c->t;
                CHECK(!(acts >> from & 1) && (s[from].from >> to & 1));
            }
        }
        crowd_free(c);
    }
    check_figure("sequences", graphs);
    check_figure("stuck", stuck);
}

int main(void)
{
    const struct CMUnitTest graph[] = {
        cmocka_unit_test(cycles_are_found_when_they_close),
        cmocka_unit_test(nobody_is_told_while_somebody_can_act),
        cmocka_unit_test(a_deadline_of_a_scope_does_not_count),
        cmocka_unit_test(a_new_head_is_told_when_it_is_stuck),
        cmocka_unit_test(a_transfer_asks_too),
        cmocka_unit_test(a_default_timeout_counts_for_nobody),
        cmocka_unit_test(a_holder_without_a_task_can_always_act),
        cmocka_unit_test(a_deadlock_of_others_is_found_and_named),
        cmocka_unit_test(a_chain_too_long_to_prove_is_no_deadlock),
        cmocka_unit_test(a_lattice_is_searched_in_bounded_steps),
        cmocka_unit_test(random_graphs_match_a_fixed_point),
    };
    return CHECK_MAIN(graph);
}
