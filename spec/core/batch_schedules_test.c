/* batch_schedules_test.c - every schedule of small programs over a batch; a cancel at every step;
 * every allocation failed.
 *
 * Tasks ask for keys; equal keys that have not landed are one request; a group is worked on by a
 * task that takes its time. At every step: no more groups out than may be, no request that waits
 * longer than the delay for want of a flush, each landed or dropped once; at the end nothing is
 * left.
 */
#include <weir/batch.h>
#include <weir/graph.h>

#include "check.h"

#define TASKS 4
#define STEPS 6
#define ALL 32 /* requests, workers */
#define KEYS 4

typedef enum code { END, ASK, NAP, CANCEL, FLUSH, CLOSE, DRAIN } code;

typedef struct step {
    code code;
    uint32_t n, ns;
} step;

typedef struct program {
    const char *name;
    weir_batch_options options;
    uint64_t work;   /* ns that a group takes */
    int worker_asks; /* a key that a worker asks for before it lands; -1: none */
    step body[TASKS][STEPS];
    uint32_t groups; /* in every schedule; 0: any number */
    uint32_t max_schedules;
} program;

struct world;
typedef struct actor {
    weir_task task; /* first */
    struct world *world;
    const step *step;
    weir_group *group; /* of a worker */
    int alive, works;
    weir_request *asked;
} actor;

typedef struct ask {
    weir_request request; /* first */
    struct world *world;
    int key, ended;
} ask;

typedef struct world {
    weir_runtime *rt;
    weir_batch b;
    const program *program;
    actor actor[TASKS], worker[ALL];
    ask ask[ALL];
    unsigned n_asks, n_workers, n_freed;
    ask *key[KEYS]; /* that can be joined */
    uint64_t steps, cancel_at, nomem, landed, failed, timeouts, cancelled, closed, stuck, drained;
    int victim; /* a task; below 0: worker -1 - victim */
    const char *broken;
    int line;
} world;

#define BREAK_UNLESS(w, cond)                                                                      \
    do {                                                                                           \
        if (!(cond) && (w)->broken == NULL) {                                                      \
            (w)->broken = #cond;                                                                   \
            (w)->line = __LINE__;                                                                  \
        }                                                                                          \
    } while (0)

/* --- the embedder ----------------------------------------------------------------------------- */

static void resume(weir_runtime *rt, weir_task *t);

static void forget_key(world *w, ask *a)
{
    if (w->key[a->key] == a)
        w->key[a->key] = NULL;
}

static void on_flush(weir_batch *b, weir_group *g)
{
    world *w = b->data;
    actor *a = &w->worker[w->n_workers++];
    *a = (actor){.world = w, .group = g, .alive = 1};
    g->worker = &a->task;
    g->data = a;
    BREAK_UNLESS(w, b->n_flying <= b->options.max_flying);
    weir_task_spawn(w->rt, &a->task, weir_root(w->rt), resume, 0);
}

static void on_abandon(weir_batch *b, weir_group *g)
{
    world *w = b->data;
    actor *a = g->data;
    BREAK_UNLESS(w, g->wanted == 0);
    weir_scope_cancel(w->rt, &a->task.scope, (weir_reason){"nobody waits", 0});
}

static void on_dropped(weir_batch *b, weir_request *r)
{
    world *w = b->data;
    ask *a = (ask *)(void *)r;
    forget_key(w, a);
    a->ended += r->group == NULL;
}

static void on_free(weir_flight *f)
{
    ((ask *)(void *)f)->world->n_freed++;
}

static const weir_wait_ops wait_ops = WEIR_FLIGHT_WAIT("world:ask");
static const weir_flight_ops flight_ops = {NULL, on_free, NULL, NULL, &wait_ops};
static const weir_batch_ops batch_ops = {on_flush, on_abandon, on_dropped, &flight_ops};

static void land_all(actor *a, int fails)
{
    weir_group *g = a->group;
    for (weir_link *k; (k = weir_list_first(&g->requests)) != NULL;) {
        ask *one = (ask *)(void *)weir_container(k, weir_request, link);
        one->ended++;
        forget_key(a->world, one);
        weir_request_land(&one->request, fails ? WEIR_FLIGHT_FAILED : WEIR_FLIGHT_LANDED, one->key);
    }
    weir_group_landed(g);
}

/* --- steps ------------------------------------------------------------------------------------ */

/* 1: it waits now; -1: it must end as cancelled. */
static int ask_for(actor *a, int key, uint32_t ns)
{
    world *w = a->world;
    ask *one = w->key[key];
    weir_graph g;
    if (weir_scope_is_cancelled(a->task.current))
        return -1;
    if (one != NULL) {
        weir_batch_joined(&w->b, &one->request);
    } else {
        if (w->n_asks == ALL)
            return 0;
        one = &w->ask[w->n_asks];
        *one = (ask){.world = w, .key = key};
        int rc = weir_batch_add(&w->b, &one->request);
        w->nomem += rc == WEIR_ENOMEM;
        w->closed += rc == WEIR_ECLOSED;
        if (rc != 0)
            return 0;
        w->n_asks++;
        w->key[key] = one;
    }
    weir_flight_wait(w->rt, &one->request.flight, &a->task.wait,
                     ns == 0 ? WEIR_FOREVER : weir_after(w->rt, ns));
    if (!weir_graph_is_stuck(w->rt, &a->task, &g))
        return 1;
    w->stuck++;
    weir_waiter_abandon(w->rt, &a->task.wait);
    return 0;
}

static void asked(actor *a)
{
    world *w = a->world;
    weir_waiter *wait = &a->task.wait;
    weir_flight *f = wait->object;
    w->landed += wait->status == WEIR_GRANTED;
    w->failed += wait->status == WEIR_FAILED;
    w->timeouts += wait->status == WEIR_TIMEOUT;
    w->cancelled += wait->status == WEIR_CANCELED;
    w->closed += wait->status == WEIR_CLOSED;
    if (wait->status == WEIR_GRANTED)
        BREAK_UNLESS(w, f->value == ((ask *)(void *)f)->key);
    if (wait->status == WEIR_GRANTED || wait->status == WEIR_FAILED)
        weir_flight_leave(w->rt, f);
}

static int take_step(actor *a, const step *s)
{
    world *w = a->world;
    switch (s->code) {
    case ASK:
        return ask_for(a, (int)s->n, s->ns);
    case NAP:
        if (weir_scope_is_cancelled(a->task.current))
            return -1;
        weir_sleep_until(w->rt, &a->task.wait, weir_after(w->rt, s->ns));
        return 1;
    case CANCEL:
        if (w->actor[s->n].alive)
            weir_scope_cancel(w->rt, &w->actor[s->n].task.scope, (weir_reason){"asked to", 0});
        break;
    case FLUSH:
        weir_batch_flush(&w->b);
        break;
    case CLOSE:
        weir_batch_close(&w->b);
        break;
    case DRAIN:
        if (weir_scope_is_cancelled(a->task.current))
            return -1;
        weir_batch_drain(&w->b, &a->task.wait, WEIR_FOREVER);
        return 1;
    case END:
        break;
    }
    return 0;
}

/* A worker asks if it is told to, naps, lands. */
static int work(actor *a)
{
    world *w = a->world;
    a->works++;
    if (a->works == 1 && w->program->worker_asks >= 0)
        return ask_for(a, w->program->worker_asks, 0);
    if (a->works <= 2) {
        a->works = 2;
        weir_sleep_until(w->rt, &a->task.wait, weir_after(w->rt, w->program->work));
        return 1;
    }
    return 0;
}

static void check_world(world *w)
{
    uint64_t delay = w->program->options.delay;
    BREAK_UNLESS(w, weir_batch_validate(&w->b) == 0);
    BREAK_UNLESS(w, weir_runtime_validate(w->rt) == 0);
    if (w->b.gathering != NULL && delay != 0)
        BREAK_UNLESS(w, w->b.n_flying == w->b.options.max_flying || w->b.due ||
                            weir_now(w->rt) - w->b.gathering->since <= delay);
}

static void inject(world *w)
{
    actor *a = w->victim >= 0 ? &w->actor[w->victim] : &w->worker[-1 - w->victim];
    if (++w->steps == w->cancel_at && a->alive)
        weir_scope_cancel(w->rt, &a->task.scope, (weir_reason){"injected", 0});
}

static void resume(weir_runtime *rt, weir_task *t)
{
    actor *a = (actor *)(void *)t;
    world *w = a->world;
    int waits = 0, cancelled = t->wait.status == WEIR_CANCELED;
    if (t->wait.ops == &wait_ops)
        asked(a);
    w->drained += t->wait.status == WEIR_GRANTED && strcmp(t->wait.ops->op, "batch:drain") == 0;
    inject(w);
    if (a->group != NULL && !cancelled) {
        do
            waits = work(a);
        while (waits == 0 && a->works <= 2);
    }
    while (a->group == NULL && !cancelled && waits == 0 && a->step->code != END)
        waits = take_step(a, a->step++);
    if (cancelled || waits <= 0) {
        cancelled |= waits < 0;
        if (a->group != NULL)
            land_all(a, cancelled);
        a->alive = 0;
        weir_task_finish(rt, t, cancelled ? WEIR_TASK_CANCELLED : WEIR_TASK_DONE);
    }
    check_world(w);
}

static world *run(const program *p, weir_simulator *sim, uint64_t cancel_at, int victim)
{
    world *w = calloc(1, sizeof *w);
    weir_batch_options o = p->options;
    assert_non_null(w);
    o.max_flying = o.max_flying == 0 ? UINT32_MAX : o.max_flying;
    o.max_waiting = UINT32_MAX;
    w->program = p;
    w->cancel_at = cancel_at;
    w->victim = victim;
    w->rt = weir_runtime_new(weir_simulator_env(sim));
    if (w->rt == NULL) {
        w->nomem++;
        return w;
    }
    CHECK_OK(weir_batch_init(w->rt, &w->b, &batch_ops, &o, p->name));
    w->b.data = w;
    for (int i = 0; i < TASKS && p->body[i][0].code != END; i++) {
        actor *a = &w->actor[i];
        *a = (actor){.world = w, .step = p->body[i], .alive = 1};
        weir_task_spawn(w->rt, &a->task, weir_root(w->rt), resume, 0);
    }
    BREAK_UNLESS(w, weir_simulator_run(sim, w->rt, 5000) < 5000);
    for (int i = 0; i < TASKS; i++)
        BREAK_UNLESS(w, !w->actor[i].alive);
    for (unsigned i = 0; i < w->n_workers; i++)
        BREAK_UNLESS(w, !w->worker[i].alive);
    for (unsigned i = 0; i < w->n_asks; i++)
        BREAK_UNLESS(w, w->ask[i].ended == 1);
    BREAK_UNLESS(w, w->n_freed == w->n_asks);
    if (w->broken == NULL) {
        weir_batch_fini(&w->b);
        BREAK_UNLESS(w, weir_runtime_quiesce(w->rt) == NULL);
        weir_runtime_free(w->rt);
        BREAK_UNLESS(w, weir_simulator_bytes(sim) == 0);
    }
    return w;
}

#define IN(group, out, ns, when_quiet)                                                             \
    {                                                                                              \
        .max = (group), .max_flying = (out), .delay = (ns), .quiet = (when_quiet)                  \
    }

static const program programs[] = {
    {"three keys in the quiet",
     IN(10, 0, 0, 1),
     5,
     -1,
     {{{ASK, 0, 0}}, {{ASK, 1, 0}}, {{ASK, 2, 0}}},
     1,
     0},
    {"one key for all",
     IN(10, 0, 5, 0),
     5,
     -1,
     {{{ASK, 0, 0}}, {{ASK, 0, 0}}, {{NAP, 0, 5}, {ASK, 0, 0}}, {{NAP, 0, 10}, {ASK, 0, 0}}},
     0,
     0},
    {"full, due and quiet in one moment",
     IN(2, 0, 5, 1),
     5,
     -1,
     {{{ASK, 0, 0}, {ASK, 1, 0}}, {{NAP, 0, 5}, {ASK, 2, 0}}, {{NAP, 0, 5}, {ASK, 3, 0}}},
     0,
     20000},
    {"one place for all groups",
     IN(1, 1, 5, 0),
     5,
     -1,
     {{{ASK, 0, 0}}, {{ASK, 1, 0}}, {{ASK, 2, 0}}, {{ASK, 3, 0}}},
     4,
     20000},
    {"due while all places are taken",
     IN(2, 1, 3, 0),
     10,
     -1,
     {{{ASK, 0, 0}}, {{ASK, 1, 0}}, {{NAP, 0, 3}, {ASK, 2, 0}}, {{NAP, 0, 6}, {ASK, 3, 0}}},
     2,
     20000},
    {"some leave at the moment of the flush",
     IN(10, 0, 5, 0),
     5,
     -1,
     {{{ASK, 0, 5}}, {{ASK, 1, 5}}, {{ASK, 2, 0}}, {{NAP, 0, 5}, {ASK, 0, 0}}},
     0,
     20000},
    {"all leave while it flies, at the moment it lands",
     IN(2, 0, 5, 0),
     5,
     -1,
     {{{ASK, 0, 5}}, {{ASK, 1, 5}}, {{NAP, 0, 5}, {ASK, 0, 0}}},
     0,
     0},
    {"cancelled by each other",
     IN(3, 0, 5, 1),
     5,
     -1,
     {{{ASK, 0, 0}}, {{ASK, 1, 0}, {CANCEL, 0, 0}}, {{CANCEL, 1, 0}, {ASK, 1, 0}}},
     0,
     0},
    {"flushed by hand",
     IN(10, 1, 100, 0),
     5,
     -1,
     {{{ASK, 0, 0}}, {{ASK, 1, 0}}, {{FLUSH, 0, 0}, {NAP, 0, 5}, {FLUSH, 0, 0}}},
     0,
     0},
    {"closed at the moment of the flush",
     IN(10, 0, 5, 0),
     5,
     -1,
     {{{ASK, 0, 0}}, {{ASK, 1, 0}}, {{NAP, 0, 5}, {CLOSE, 0, 0}, {ASK, 2, 0}}},
     0,
     0},
    {"drained while groups queue",
     IN(1, 1, 5, 0),
     5,
     -1,
     {{{ASK, 0, 0}}, {{ASK, 1, 0}}, {{DRAIN, 0, 0}, {ASK, 2, 0}}},
     0,
     0},
    {"a worker asks for what only its own place could bring",
     IN(1, 1, 5, 0),
     5,
     3,
     {{{ASK, 0, 0}}, {{ASK, 1, 0}}},
     0,
     0},
};

#define N_PROGRAMS (sizeof programs / sizeof *programs)

static uint64_t must_run(const program *p, weir_simulator *sim, uint64_t cancel_at, int victim)
{
    world *w = run(p, sim, cancel_at, victim);
    uint64_t steps = w->steps;
    if (w->broken == NULL && cancel_at == 0 && p->groups != 0 && w->b.stats.groups != p->groups) {
        w->broken = "not the number of groups it must be";
        w->line = (int)w->b.stats.groups;
    }
    if (w->broken == NULL && p->worker_asks >= 0 && cancel_at == 0 && w->stuck == 0)
        w->broken = "nobody was told of the deadlock";
    if (w->broken != NULL) {
        size_t n;
        const uint32_t *record = weir_simulator_record(sim, &n);
        print_error("%s: %s (%d); cancel of %d at %llu\n", p->name, w->broken, w->line, victim,
                    (unsigned long long)cancel_at);
        for (size_t i = 0; i < n; i++)
            print_error("%s%u", i == 0 ? "choices: " : " ", record[i]);
        print_error("\n");
        fail();
    }
    free(w);
    return steps;
}

static void every_schedule_is_legal(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_PROGRAMS; i++) {
        const program *p = &programs[i];
        weir_simulator *sim = weir_simulator_new(WEIR_PLAN_ODOMETER, 1);
        uint64_t n = 0, limit = p->max_schedules ? check_scaled(p->max_schedules) : UINT64_MAX;
        int more = 1;
        assert_non_null(sim);
        for (; more && n < limit; n++) {
            must_run(p, sim, 0, 0);
            more = weir_simulator_next(sim);
        }
        weir_simulator_free(sim);
        if (more) {
            sim = weir_simulator_new(WEIR_PLAN_SEED, check_seed(270 + i));
            assert_non_null(sim);
            for (uint64_t k = 0; k < limit; k++, n++)
                must_run(p, sim, 0, 0);
            weir_simulator_free(sim);
        }
        print_message("  %8llu %s  %s\n", (unsigned long long)n, more ? "some" : "all ", p->name);
        check_figure("schedules", n);
        check_figure("exhausted", !more);
    }
}

static void a_cancel_at_every_step_leaves_nothing(void **state)
{
    uint32_t seeds = check_scaled(12);
    uint64_t n = 0;
    (void)state;
    for (size_t i = 0; i < N_PROGRAMS; i++)
        for (uint32_t seed = 0; seed < seeds; seed++)
            for (int victim = -3; victim < TASKS; victim++)
                for (uint64_t at = 1, steps = 1; at <= steps; at++, n++) {
                    weir_simulator *sim = weir_simulator_new(
                        seed > 0 ? WEIR_PLAN_SEED : WEIR_PLAN_FIFO, check_seed(290) + seed);
                    assert_non_null(sim);
                    steps = must_run(&programs[i], sim, at, victim);
                    weir_simulator_free(sim);
                }
    check_figure("cancel_points", n);
}

static const program *scenario;

static int run_the_scenario(weir_simulator *sim)
{
    world *w = run(scenario, sim, 0, 0);
    int rc = w->nomem > 0 ? WEIR_ENOMEM : 0;
    if (w->broken != NULL)
        check_fail(__FILE__, w->line, "%s: %s", scenario->name, w->broken);
    free(w);
    return rc;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_PROGRAMS; i++) {
        scenario = &programs[i];
        CHECK_OOM(run_the_scenario);
    }
}

int main(void)
{
    const struct CMUnitTest batch_schedules[] = {
        cmocka_unit_test(every_schedule_is_legal),
        cmocka_unit_test(a_cancel_at_every_step_leaves_nothing),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return CHECK_MAIN(batch_schedules);
}
