/* simulator_test.c - the env of tests: does it give each run the time, order and memory it says? */
#include "check.h"

#include <weir/loop.h>

/* A runtime in a simulator, and waiters that write their number down when they run. */
#define N_MARKS 8

typedef struct stage stage;
typedef struct mark {
    weir_waiter wait;
    stage *stage;
    int id;
    uint64_t at; /* when it ran last */
} mark;

struct stage {
    weir_simulator *sim;
    weir_runtime *rt;
    mark marks[N_MARKS];
    int order[4 * N_MARKS];
    int n;
};

static const weir_wait_ops mark_ops = {"mark", NULL, NULL, NULL, NULL};

static void mark_run(weir_runtime *rt, weir_waiter *w)
{
    mark *m = weir_container(w, mark, wait);
    m->at = weir_now(rt);
    m->stage->order[m->stage->n++] = m->id;
}

static void stage_runtime(stage *s)
{
    s->rt = weir_runtime_new(weir_simulator_env(s->sim));
    s->n = 0;
    CHECK(s->rt != NULL);
    for (int i = 0; i < N_MARKS; i++) {
        s->marks[i] = (mark){.stage = s, .id = i};
        weir_waiter_init(&s->marks[i].wait, mark_run);
    }
}

static void stage_open(stage *s, weir_plan plan, uint64_t seed)
{
    s->sim = weir_simulator_new(plan, seed);
    CHECK(s->sim != NULL);
    stage_runtime(s);
}

static void stage_close(stage *s)
{
    CHECK_QUIET(s->rt);
    weir_runtime_free(s->rt);
    CHECK_INT(weir_simulator_bytes(s->sim), 0);
    weir_simulator_free(s->sim);
}

static void enqueue(stage *s, int n)
{
    for (int i = 0; i < n; i++)
        weir_waiter_enqueue(s->rt, &s->marks[i].wait, &mark_ops);
}

/* --- time ---------------------------------------------------------------------------- */

static void stands_still_while_anything_is_ready(void **state)
{
    stage s;
    (void)state;
    stage_open(&s, WEIR_PLAN_FIFO, 0);
    weir_sleep_until(s.rt, &s.marks[3].wait, WEIR_SECOND);
    enqueue(&s, 3);
    CHECK_INT(weir_simulator_step(s.sim, s.rt), 1);
    CHECK_INT(s.n, 3);
    CHECK_INT(weir_now(s.rt), 0);
    CHECK(weir_simulator_run(s.sim, s.rt, 0) > 0);
    CHECK_INT(s.n, 4);
    CHECK_INT(weir_now(s.rt), WEIR_SECOND);
    CHECK_INT(weir_simulator_step(s.sim, s.rt), 0);
    stage_close(&s);
}

/* The wheel gives lower bounds: a jump may find nothing due and must go on, never beyond. */
static void jumps_to_each_deadline_exactly(void **state)
{
    static const uint64_t at[] = {1,
                                  63,
                                  64,
                                  1000003,
                                  WEIR_SECOND + 7,
                                  86400 * WEIR_SECOND + 1,
                                  400 * 86400 * WEIR_SECOND + 12345,
                                  WEIR_FOREVER - 1};
    stage s;
    (void)state;
    stage_open(&s, WEIR_PLAN_FIFO, 0);
    for (int i = N_MARKS - 1; i >= 0; i--)
        weir_sleep_until(s.rt, &s.marks[i].wait, at[i]);
    weir_simulator_run(s.sim, s.rt, 0);
    CHECK_INT(s.n, N_MARKS);
    for (int i = 0; i < N_MARKS; i++) {
        CHECK_INT(s.order[i], i);
        CHECK(s.marks[i].at == at[i]);
    }
    stage_close(&s);
}

static void advances_without_running(void **state)
{
    stage s;
    (void)state;
    stage_open(&s, WEIR_PLAN_FIFO, 0);
    weir_sleep_until(s.rt, &s.marks[0].wait, 10);
    weir_simulator_advance(s.sim, 25);
    CHECK_INT(s.n, 0);
    CHECK_INT(weir_simulator_step(s.sim, s.rt), 1);
    CHECK_INT(s.marks[0].at, 25);
    weir_simulator_advance(s.sim, UINT64_MAX);
    CHECK(weir_now_update(s.rt) == WEIR_FOREVER - 1);
    stage_close(&s);
}

static void again(weir_runtime *rt, weir_waiter *w)
{
    mark_run(rt, w);
    if (w->generation < 4)
        weir_sleep_until(rt, w, weir_after(rt, 1));
}

static void counts_and_bounds_turns(void **state)
{
    stage s;
    (void)state;
    stage_open(&s, WEIR_PLAN_FIFO, 0);
    weir_waiter_init(&s.marks[0].wait, again);
    weir_sleep_until(s.rt, &s.marks[0].wait, 1);
    CHECK_INT(weir_simulator_run(s.sim, s.rt, 2), 2);
    CHECK_INT(s.n, 2);
    CHECK_INT(weir_simulator_run(s.sim, s.rt, 0), 2);
    CHECK_INT(s.n, 4);
    CHECK_INT(weir_simulator_run(s.sim, s.rt, 0), 0);
    stage_close(&s);
}

/* --- order --------------------------------------------------------------------------- */

static void is_first_in_first_out_without_a_plan(void **state)
{
    stage s;
    size_t n;
    (void)state;
    stage_open(&s, WEIR_PLAN_FIFO, 99);
    enqueue(&s, N_MARKS);
    weir_simulator_run(s.sim, s.rt, 0);
    for (int i = 0; i < N_MARKS; i++)
        CHECK_INT(s.order[i], i);
    weir_simulator_record(s.sim, &n);
    CHECK_INT(n, 0); /* an empty record is its own replay */
    stage_close(&s);
}

typedef struct outcome {
    int order[4 * N_MARKS];
    uint64_t hash;
    size_t n_record;
    uint32_t record[64];
} outcome;

/* Eight ready ones, eight timers of one deadline after them; what came of it. */
static void play(weir_plan plan, uint64_t seed, const outcome *replay, outcome *out)
{
    stage s;
    const uint32_t *record;
    stage_open(&s, plan, seed);
    if (replay != NULL)
        weir_simulator_replay(s.sim, replay->record, replay->n_record);
    enqueue(&s, N_MARKS);
    weir_simulator_run(s.sim, s.rt, 0);
    for (int i = 0; i < N_MARKS; i++)
        weir_sleep_until(s.rt, &s.marks[i].wait, WEIR_SECOND);
    weir_simulator_run(s.sim, s.rt, 0);
    CHECK_INT(s.n, 2 * N_MARKS);
    memcpy(out->order, s.order, sizeof out->order);
    out->hash = weir_simulator_hash(s.sim);
    record = weir_simulator_record(s.sim, &out->n_record);
    CHECK(out->n_record <= 64);
    memcpy(out->record, record, out->n_record * sizeof *record);
    stage_close(&s);
}

static int same_order(const outcome *a, const outcome *b)
{
    return memcmp(a->order, b->order, 2 * N_MARKS * sizeof a->order[0]) == 0;
}

static void gives_the_same_run_for_the_same_seed(void **state)
{
    int n_other = 0;
    (void)state;
    for (uint64_t seed = 0; seed < 50; seed++) {
        outcome a, b, c;
        memset(&a, 0, sizeof a);
        memset(&b, 0, sizeof b);
        memset(&c, 0, sizeof c);
        play(WEIR_PLAN_SEED, seed, NULL, &a);
        play(WEIR_PLAN_SEED, seed, NULL, &b);
        CHECK(same_order(&a, &b));
        CHECK(a.hash == b.hash);
        play(WEIR_PLAN_SEED, seed + 1, NULL, &c);
        CHECK(a.hash != c.hash);
        n_other += !same_order(&a, &c);
    }
    CHECK(n_other > 45); /* of 8! * 8! * 8! orders or so */
}

static void replays_a_record(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 50; seed++) {
        outcome a, b;
        memset(&a, 0, sizeof a);
        memset(&b, 0, sizeof b);
        play(WEIR_PLAN_SEED, seed, NULL, &a);
        play(WEIR_PLAN_REPLAY, seed, &a, &b);
        CHECK(same_order(&a, &b));
        CHECK(a.hash == b.hash);
        CHECK_INT(a.n_record, b.n_record);
    }
}

/* A shrunk or foreign list is a run too: what is too large is cut, what is missing is 0. */
static void replays_any_list(void **state)
{
    static const uint32_t list[] = {1000, 0, 1};
    size_t n;
    const uint32_t *record;
    stage s;
    (void)state;
    stage_open(&s, WEIR_PLAN_REPLAY, 0);
    weir_simulator_replay(s.sim, list, 3);
    enqueue(&s, 5);
    weir_simulator_run(s.sim, s.rt, 0);
    CHECK_INT(s.order[0], 4);
    CHECK_INT(s.order[1], 0);
    CHECK_INT(s.order[2], 2);
    CHECK_INT(s.order[3], 1);
    CHECK_INT(s.order[4], 3);
    record = weir_simulator_record(s.sim, &n);
    CHECK_INT(n, 4);
    CHECK_INT(record[0], 4);
    CHECK_INT(record[3], 0);
    stage_close(&s);
}

static void walks_every_order_once(void **state)
{
    stage s;
    int seen[5 * 5 * 5 * 5] = {0}, runs = 0;
    uint64_t last = 0;
    (void)state;
    stage_open(&s, WEIR_PLAN_ODOMETER, 0);
    do {
        int key = 0;
        if (runs > 0)
            stage_runtime(&s);
        enqueue(&s, 4);
        weir_simulator_run(s.sim, s.rt, 0);
        CHECK_INT(s.n, 4);
        for (int i = 0; i < 4; i++)
            key = key * 5 + s.order[i];
        CHECK_INT(seen[key]++, 0);
        CHECK(weir_simulator_hash(s.sim) != last);
        last = weir_simulator_hash(s.sim);
        CHECK_QUIET(s.rt);
        weir_runtime_free(s.rt);
        runs++;
    } while (weir_simulator_next(s.sim));
    CHECK_INT(runs, 24);
    CHECK_INT(weir_simulator_next(s.sim), 0); /* and it stays at the end */
    weir_simulator_free(s.sim);
}

/* A tree whose shape depends on the choices: the first says how many more there are. */
static void walks_trees_of_any_shape(void **state)
{
    weir_simulator *sim = weir_simulator_new(WEIR_PLAN_ODOMETER, 0);
    const weir_env *env = weir_simulator_env(sim);
    int runs = 0;
    (void)state;
    do {
        size_t n;
        uint32_t more = env->choose(env->ctx, 4, WEIR_CHOICE_FAULT);
        for (uint32_t i = 0; i < more; i++)
            env->choose(env->ctx, 2 + i, WEIR_CHOICE_IO);
        weir_simulator_record(sim, &n);
        CHECK_INT(n, 1 + more);
        runs++;
    } while (weir_simulator_next(sim));
    CHECK_INT(runs, 1 + 2 + 2 * 3 + 2 * 3 * 4);
    weir_simulator_free(sim);
}

static void has_a_next_under_the_odometer_alone(void **state)
{
    static const weir_plan others[] = {WEIR_PLAN_FIFO, WEIR_PLAN_SEED, WEIR_PLAN_REPLAY};
    (void)state;
    for (int i = 0; i < 3; i++) {
        weir_simulator *sim = weir_simulator_new(others[i], 0);
        CHECK_INT(weir_simulator_next(sim), 0);
        weir_simulator_free(sim);
    }
}

/* --- chance -------------------------------------------------------------------------- */

static void keeps_chance_and_order_apart(void **state)
{
    weir_simulator *a = weir_simulator_new(WEIR_PLAN_SEED, 7);
    weir_simulator *b = weir_simulator_new(WEIR_PLAN_SEED, 7);
    const weir_env *x = weir_simulator_env(a), *y = weir_simulator_env(b);
    uint64_t first = x->random(x->ctx);
    (void)state;
    x->random(x->ctx); /* one more than b */
    for (int i = 0; i < 100; i++)
        CHECK_INT(x->choose(x->ctx, 10, WEIR_CHOICE_IO), y->choose(y->ctx, 10, WEIR_CHOICE_IO));
    CHECK(y->random(y->ctx) == first);
    weir_simulator_free(a);
    weir_simulator_free(b);
}

static void chooses_evenly(void **state)
{
    weir_simulator *sim = weir_simulator_new(WEIR_PLAN_SEED, 3);
    const weir_env *env = weir_simulator_env(sim);
    int count[5] = {0};
    (void)state;
    for (int i = 0; i < 5000; i++)
        count[env->choose(env->ctx, 5, WEIR_CHOICE_READY)]++;
    for (int i = 0; i < 5; i++)
        CHECK(count[i] > 850 && count[i] < 1150); /* five sigma of a fixed seed */
    weir_simulator_free(sim);
}

/* --- memory -------------------------------------------------------------------------- */

static void fails_the_allocations_asked_for(void **state)
{
    weir_simulator *sim = weir_simulator_new(WEIR_PLAN_FIFO, 0);
    const weir_env *env = weir_simulator_env(sim);
    void *p[6];
    (void)state;
    weir_simulator_fail_alloc(sim, 2, 1);
    for (int i = 0; i < 6; i++)
        p[i] = env->alloc(env->ctx, NULL, 0, 10);
    CHECK(p[0] && !p[1] && !p[2] && p[3] && p[4] && p[5]);
    CHECK_INT(weir_simulator_allocs(sim), 6);
    CHECK_INT(weir_simulator_bytes(sim), 40);

    weir_simulator_fail_alloc(sim, 1, UINT64_MAX);
    CHECK(env->alloc(env->ctx, NULL, 0, 1) == NULL);
    CHECK(env->alloc(env->ctx, p[0], 10, 20) == NULL); /* the old block stays */
    CHECK(env->alloc(env->ctx, p[0], 10, 5) == NULL);  /* and shrinking may fail */
    env->alloc(env->ctx, p[0], 10, 0);                 /* freeing never does */
    weir_simulator_fail_alloc(sim, 0, 0);
    p[1] = env->alloc(env->ctx, NULL, 0, 1);
    CHECK(p[1] != NULL);
    CHECK_INT(weir_simulator_allocs(sim), 10);
    env->alloc(env->ctx, p[1], 1, 0);
    for (int i = 3; i < 6; i++)
        env->alloc(env->ctx, p[i], 10, 0);
    CHECK_INT(weir_simulator_bytes(sim), 0);
    weir_simulator_free(sim);
}

static void moves_and_fills_memory(void **state)
{
    weir_simulator *sim = weir_simulator_new(WEIR_PLAN_FIFO, 0);
    const weir_env *env = weir_simulator_env(sim);
    unsigned char *p = env->alloc(env->ctx, NULL, 0, 4);
    (void)state;
    CHECK_INT((uintptr_t)p % _Alignof(max_align_t), 0);
    memcpy(p, "weir", 4);
    p = env->alloc(env->ctx, p, 4, 8);
    CHECK(memcmp(p, "weir", 4) == 0);
    CHECK_INT(p[4], 0xa5); /* what was never written is the same in each run */
    CHECK_INT(weir_simulator_bytes(sim), 8);
    p = env->alloc(env->ctx, p, 8, 2);
    CHECK(memcmp(p, "we", 2) == 0);
    CHECK_INT(weir_simulator_bytes(sim), 2);
    CHECK(env->alloc(env->ctx, NULL, 0, SIZE_MAX) == NULL);
    CHECK(env->alloc(env->ctx, NULL, 0, 0) == NULL);
    CHECK(env->alloc(env->ctx, p, 2, 0) == NULL);
    CHECK_INT(weir_simulator_bytes(sim), 0);
    weir_simulator_free(sim);
}

static void keeps_its_own_memory_out_of_the_plan(void **state)
{
    weir_simulator *sim = weir_simulator_new(WEIR_PLAN_SEED, 0);
    const weir_env *env = weir_simulator_env(sim);
    size_t n;
    (void)state;
    weir_simulator_fail_alloc(sim, 1, UINT64_MAX);
    for (int i = 0; i < 10000; i++)
        env->choose(env->ctx, 3, WEIR_CHOICE_READY);
    weir_simulator_record(sim, &n);
    CHECK_INT(n, 10000);
    CHECK_INT(weir_simulator_allocs(sim), 0);
    CHECK_INT(weir_simulator_bytes(sim), 0);
    weir_simulator_free(sim);
}

static void gives_no_runtime_without_memory(void **state)
{
    weir_simulator *sim = weir_simulator_new(WEIR_PLAN_FIFO, 0);
    (void)state;
    weir_simulator_fail_alloc(sim, 1, 0);
    CHECK(weir_runtime_new(weir_simulator_env(sim)) == NULL);
    CHECK_INT(weir_simulator_bytes(sim), 0);
    weir_simulator_free(sim);
}

/* --- no I/O -------------------------------------------------------------------------- */

static void has_no_io(void **state)
{
    stage s;
    weir_poll *poll;
    weir_work *work;
    weir_resolve *resolve;
    weir_signal *sig;
    (void)state;
    stage_open(&s, WEIR_PLAN_FIFO, 0);
    CHECK(weir_runtime_loop(s.rt) == NULL);
    CHECK_ERR(weir_poll_new(s.rt, 0, NULL, NULL, &poll), WEIR_ENOIO);
    CHECK_ERR(weir_work_new(s.rt, NULL, NULL, NULL, &work), WEIR_ENOIO);
    CHECK_ERR(weir_resolve_new(s.rt, "localhost", NULL, NULL, &resolve), WEIR_ENOIO);
    CHECK_ERR(weir_signal_new(s.rt, 10, NULL, NULL, &sig), WEIR_ENOIO);
    stage_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stands_still_while_anything_is_ready),
        cmocka_unit_test(jumps_to_each_deadline_exactly),
        cmocka_unit_test(advances_without_running),
        cmocka_unit_test(counts_and_bounds_turns),
        cmocka_unit_test(is_first_in_first_out_without_a_plan),
        cmocka_unit_test(gives_the_same_run_for_the_same_seed),
        cmocka_unit_test(replays_a_record),
        cmocka_unit_test(replays_any_list),
        cmocka_unit_test(walks_every_order_once),
        cmocka_unit_test(walks_trees_of_any_shape),
        cmocka_unit_test(has_a_next_under_the_odometer_alone),
        cmocka_unit_test(keeps_chance_and_order_apart),
        cmocka_unit_test(chooses_evenly),
        cmocka_unit_test(fails_the_allocations_asked_for),
        cmocka_unit_test(moves_and_fills_memory),
        cmocka_unit_test(keeps_its_own_memory_out_of_the_plan),
        cmocka_unit_test(gives_no_runtime_without_memory),
        cmocka_unit_test(has_no_io),
    };
    return CHECK_MAIN(tests);
}
