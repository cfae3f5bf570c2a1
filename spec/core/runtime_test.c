/* runtime_test.c - turns, counters, quiescence, several runtimes at once, determinism. */
#include <pthread.h>

#include "sched/internal.h"

#include "bed.h"
#include "programs.h"

static void forget(weir_runtime *rt, weir_waiter *w)
{
    (void)rt;
    (void)w;
}

static const weir_wait_ops parked = {"test:park", forget, NULL, NULL, NULL};

static void end_body(weir_runtime *rt, weir_task *t)
{
    weir_task_finish(rt, t, WEIR_TASK_DONE);
}

static void fire(weir_runtime *rt, weir_timer *timer)
{
    (void)rt;
    (void)timer;
}

static void quiesce_names_what_is_left(void **state)
{
    bed b = bed_new();
    weir_scope s;
    weir_timer timer;
    weir_waiter w;
    weir_task t;
    weir_semaphore sem;
    weir_permit *p;
    (void)state;
    CHECK_QUIET(b.rt);
    CHECK(weir_next_turn(b.rt) == WEIR_FOREVER);

    weir_scope_open(b.rt, &s, weir_root(b.rt), NULL, 0);
    CHECK_TEXT(weir_runtime_quiesce(b.rt), "scopes");
    weir_scope_end(b.rt, &s);

    weir_timer_init(&timer, fire);
    weir_timer_set(b.rt, &timer, 5);
    CHECK_TEXT(weir_runtime_quiesce(b.rt), "timers");
    weir_timer_unset(b.rt, &timer);

    weir_waiter_init(&w, forget);
    weir_waiter_begin(b.rt, &w, &parked, NULL, WEIR_FOREVER);
    CHECK_TEXT(weir_runtime_quiesce(b.rt), "pending");
    weir_waiter_settle(b.rt, &w, WEIR_GRANTED);
    CHECK_TEXT(weir_runtime_quiesce(b.rt), "ready");
    weir_turn(b.rt);

    CHECK_OK(weir_semaphore_init(b.rt, &sem, 1, NULL));
    CHECK_OK(weir_semaphore_try(&sem, NULL, 1, &p));
    CHECK_TEXT(weir_runtime_quiesce(b.rt), "permits");
    weir_permit_release(p);
    weir_semaphore_fini(&sem);

    CHECK_OK(weir_task_spawn(b.rt, &t, weir_root(b.rt), end_body, 0));
    CHECK_TEXT(weir_runtime_quiesce(b.rt), "tasks");
    weir_turn(b.rt);
    bed_free(&b);
}

static void validate_sees_what_is_broken(void **state)
{
    bed b = bed_new();
    weir_waiter w;
    weir_timer timer;
    weir_scope s, in;
    (void)state;
    weir_waiter_init(&w, forget);
    weir_waiter_enqueue(b.rt, &w, &parked);
    b.rt->n.ready++;
    CHECK(weir_runtime_validate(b.rt) != 0);
    b.rt->n.ready--;
    w.status = WEIR_PENDING; /* in the ready queue */
    CHECK(weir_runtime_validate(b.rt) != 0);
    w.status = WEIR_GRANTED;
    CHECK_VALID(b.rt);
    weir_turn(b.rt);

    weir_timer_init(&timer, fire);
    weir_timer_set(b.rt, &timer, 5000);
    timer.deadline = 6; /* in the wrong slot */
    CHECK(weir_runtime_validate(b.rt) != 0);
    timer.deadline = 5000;
    b.rt->n.timers = 0;
    CHECK(weir_runtime_validate(b.rt) != 0);
    b.rt->n.timers = 1;
    CHECK_VALID(b.rt);
    weir_timer_unset(b.rt, &timer);

    weir_scope_open(b.rt, &s, weir_root(b.rt), NULL, 0);
    weir_scope_open(b.rt, &in, &s, NULL, 0);
    s.n_children = 1;
    CHECK(weir_runtime_validate(b.rt) != 0);
    s.n_children = 0;
    weir_scope_cancel(b.rt, &s, (weir_reason){"x", 0});
    in.flags = 0; /* a mark that went missing */
    CHECK(weir_runtime_validate(b.rt) != 0);
    in.flags = WEIR_SCOPE_CANCELLED;
    in.cause = &in;
    s.cause = &in; /* caused from below */
    CHECK(weir_runtime_validate(b.rt) != 0);
    s.cause = &s;
    CHECK_VALID(b.rt);
    weir_scope_end(b.rt, &in);
    weir_scope_end(b.rt, &s);
    bed_free(&b);
}

static unsigned runs;
static void again(weir_runtime *rt, weir_waiter *w)
{
    runs++;
    weir_yield(rt, w);
}

static void a_turn_runs_a_bounded_number_of_waiters(void **state)
{
    bed b = bed_new();
    weir_waiter w[3];
    (void)state;
    runs = 0;
    for (int i = 0; i < 3; i++) {
        weir_waiter_init(&w[i], again);
        weir_waiter_enqueue(b.rt, &w[i], &parked);
    }
    CHECK_INT(weir_next_turn(b.rt), 0);
    CHECK_INT(weir_turn(b.rt), 3); /* still ready: they ask for it again and again */
    CHECK_INT(runs, WEIR_TURN_BUDGET);
    CHECK_INT(weir_runtime_counters(b.rt)->turns, 1);
    CHECK_INT(weir_runtime_counters(b.rt)->runs, WEIR_TURN_BUDGET);
    for (int i = 0; i < 3; i++)
        w[i].run = forget;
    CHECK_INT(weir_turn(b.rt), 0);
    bed_free(&b);
}

static weir_simulator *slow_clock;
static void work(weir_runtime *rt, weir_waiter *w)
{
    weir_simulator_advance(slow_clock, WEIR_TURN_TIME / 8);
    again(rt, w);
}

/* Waiters that work long each do not keep the loop from its descriptors for a whole budget. */
static void a_turn_ends_when_it_took_long(void **state)
{
    bed b = bed_new();
    weir_waiter w;
    (void)state;
    runs = 0;
    slow_clock = b.sim;
    weir_waiter_init(&w, work);
    weir_waiter_enqueue(b.rt, &w, &parked);
    uint64_t start = weir_now_update(b.rt);
    CHECK_INT(weir_turn(b.rt), 1);
    CHECK(runs >= 8 && runs <= 32);
    CHECK(weir_now(b.rt) - start ==
          runs * (WEIR_TURN_TIME / 8)); /* what is set now counts from now */
    w.run = forget;
    CHECK_INT(weir_turn(b.rt), 0);
    bed_free(&b);
}

/* The simulator's clock cut to "ticks" of 4 ms, as a system's coarse clock is. */
static uint64_t ticks(void *ctx)
{
    uint64_t now = weir_simulator_env(ctx)->now(ctx);
    return now - now % 4000000;
}

static void a_delay_does_not_count_from_before_long_work(void **state)
{
    weir_simulator *sim = weir_simulator_new(WEIR_PLAN_FIFO, 1);
    weir_env env = *weir_simulator_env(sim);
    bed b = {sim, NULL};
    (void)state;
    env.coarse = ticks;
    b.rt = weir_runtime_new(&env);
    assert_non_null(b.rt);

    weir_simulator_advance(sim, 3999999); /* no tick yet: the clock is not read */
    CHECK(weir_after(b.rt, 5) == 5 && weir_now(b.rt) == 0);
    weir_simulator_advance(sim, 50000000); /* 50 ms of work, and then a timeout of 10 */
    CHECK(weir_after(b.rt, WEIR_FOREVER) == WEIR_FOREVER && weir_now(b.rt) == 0);
    CHECK(weir_after(b.rt, 10000000) == 63999999);
    CHECK(weir_now(b.rt) == 53999999); /* exact, not the tick */
    CHECK(weir_after(b.rt, WEIR_FOREVER - 1) == WEIR_FOREVER);
    bed_free(&b);
}

static unsigned fired_before_run;
static void fire_first(weir_runtime *rt, weir_timer *timer)
{
    (void)timer;
    fired_before_run = weir_runtime_counters(rt)->runs == 0;
}

static void a_turn_reads_the_clock_once_and_fires_first(void **state)
{
    bed b = bed_new();
    weir_timer timer;
    weir_waiter w;
    (void)state;
    fired_before_run = 0;
    weir_timer_init(&timer, fire_first);
    weir_timer_set(b.rt, &timer, 10);
    weir_waiter_init(&w, forget);
    weir_waiter_enqueue(b.rt, &w, &parked);
    weir_simulator_advance(b.sim, 10);
    CHECK(weir_now(b.rt) == 0); /* until a turn */
    weir_turn(b.rt);
    CHECK(weir_now(b.rt) == 10 && fired_before_run);
    weir_simulator_advance(b.sim, 5);
    CHECK(weir_now(b.rt) == 10 && weir_now_update(b.rt) == 15 && weir_now(b.rt) == 15);
    CHECK(weir_after(b.rt, 5) == 20);
    bed_free(&b);
}

static void memory_through_the_runtime_is_counted(void **state)
{
    bed b = bed_new();
    uint64_t before = weir_runtime_counters(b.rt)->bytes;
    void *p = weir_alloc(b.rt, NULL, 0, 100);
    (void)state;
    CHECK_INT(weir_runtime_counters(b.rt)->bytes, before + 100);
    p = weir_alloc(b.rt, p, 100, 30);
    CHECK_INT(weir_runtime_counters(b.rt)->bytes, before + 30);
    weir_simulator_fail_alloc(b.sim, 1, UINT64_MAX);
    CHECK(weir_alloc(b.rt, p, 30, 300) == NULL);
    CHECK_INT(weir_runtime_counters(b.rt)->bytes, before + 30);
    weir_simulator_fail_alloc(b.sim, 0, 0);
    CHECK(weir_alloc(b.rt, p, 30, 0) == NULL);
    CHECK_INT(weir_runtime_counters(b.rt)->bytes, before);
    bed_free(&b);
}

static void the_embedder_keeps_a_pointer(void **state)
{
    bed b = bed_new();
    (void)state;
    CHECK(weir_runtime_user(b.rt) == NULL);
    weir_runtime_set_user(b.rt, &b);
    CHECK(weir_runtime_user(b.rt) == &b);
    bed_free(&b);
    weir_runtime_free(NULL); /* nothing */
}

static void chance_comes_from_the_env(void **state)
{
    (void)state;
    bed a = bed_new(), b = bed_new();
    for (int i = 0; i < 100; i++)
        CHECK(weir_random(a.rt) == weir_random(b.rt));
    CHECK(weir_random(a.rt) != weir_random(a.rt));
    CHECK_INT(weir_choose(a.rt, 5, WEIR_CHOICE_IO), 0); /* nobody answers: the oldest */
    bed_free(&a);
    bed_free(&b);
}

/* --- when all is quiet --------------------------------------------------------------- */

typedef struct hush {
    weir_quiet quiet;
    struct hush *then;  /* set in its turn; itself to come again */
    weir_waiter *wakes; /* made ready in its turn */
    unsigned n;         /* how often it fired */
    uint64_t at;        /* in which turn, the last time */
} hush;

static unsigned hushed; /* fired ones, in all */

static void hush_fire(weir_runtime *rt, weir_quiet *quiet)
{
    hush *h = weir_container(quiet, hush, quiet);
    CHECK(!weir_link_is_linked(&quiet->link));
    CHECK_INT(weir_runtime_counters(rt)->ready, 0);
    h->n++;
    h->at = weir_runtime_counters(rt)->turns;
    hushed++;
    if (h->then != NULL)
        weir_quiet_set(rt, &h->then->quiet);
    if (h->wakes != NULL)
        weir_waiter_enqueue(rt, h->wakes, &parked);
}

static hush hush_new(void)
{
    hush h = {.n = 0};
    weir_quiet_init(&h.quiet, hush_fire);
    return h;
}

static unsigned ran_when; /* hushed, when the last waiter ran */

static void note_run(weir_runtime *rt, weir_waiter *w)
{
    (void)rt;
    (void)w;
    ran_when = hushed;
}

static void quiet_comes_when_nobody_is_ready(void **state)
{
    bed b = bed_new();
    hush first = hush_new(), second = hush_new(), third = hush_new();
    weir_waiter w, woken;
    (void)state;
    hushed = 0;
    weir_waiter_init(&w, note_run);
    weir_waiter_init(&woken, note_run);
    weir_quiet_set(b.rt, &first.quiet);
    weir_quiet_set(b.rt, &second.quiet);
    weir_quiet_set(b.rt, &third.quiet);
    weir_quiet_set(b.rt, &first.quiet); /* once is enough, and its place stays */
    first.wakes = &woken;
    CHECK_TEXT(weir_runtime_quiesce(b.rt), "quiet");
    CHECK_INT(weir_next_turn(b.rt), 0);
    weir_waiter_enqueue(b.rt, &w, &parked);
    CHECK_INT(weir_turn(b.rt), 1); /* whom the first one woke */
    CHECK_INT(ran_when, 0);
    CHECK(first.n == 1 && second.n == 0 && third.n == 0); /* one a turn, in order */
    weir_quiet_unset(&third.quiet);
    weir_quiet_unset(&third.quiet);
    weir_turn(b.rt);
    CHECK_INT(ran_when, 1); /* comes before the second */
    CHECK_INT(second.n, 1);
    CHECK(second.at == first.at + 1);
    CHECK_INT(third.n, 0);
    CHECK(weir_next_turn(b.rt) == WEIR_FOREVER);
    bed_free(&b);
}

static void quiet_may_be_set_again_in_its_turn(void **state)
{
    bed b = bed_new();
    hush h = hush_new();
    (void)state;
    h.then = &h;
    weir_quiet_set(b.rt, &h.quiet);
    for (unsigned i = 1; i < 5; i++) {
        weir_turn(b.rt);
        CHECK_INT(h.n, i); /* and not twice */
    }
    h.then = NULL;
    weir_turn(b.rt);
    weir_turn(b.rt);
    CHECK_INT(h.n, 5);
    bed_free(&b);
}

static void quiet_waits_for_all_who_are_ready(void **state)
{
    enum { MANY = WEIR_TURN_BUDGET + 1 };
    static weir_waiter w[MANY];
    bed b = bed_new();
    hush h = hush_new();
    (void)state;
    hushed = 0;
    for (unsigned i = 0; i < MANY; i++) {
        weir_waiter_init(&w[i], note_run);
        weir_waiter_enqueue(b.rt, &w[i], &parked);
    }
    weir_quiet_set(b.rt, &h.quiet);
    CHECK_INT(weir_turn(b.rt), 1);
    CHECK_INT(h.n, 0); /* one is over the turn's budget */
    CHECK_INT(weir_turn(b.rt), 0);
    CHECK(h.n == 1 && ran_when == 0);
    bed_free(&b);
}

/* --- determinism --------------------------------------------------------------------- */

/* Run a random program; returns the hash of the run. */
static uint64_t hash_of(uint64_t program_seed, weir_simulator *sim)
{
    program p = {{0}, 0, NULL};
    script_world *w;
    program_random(&p.script, program_seed, 5);
    w = program_run(&p, sim, NULL);
    assert_non_null(w);
    if (w->broken != NULL)
        check_fail(w->file, w->line, "%s", w->broken);
    free(w);
    return weir_simulator_hash(sim);
}

static void equal_seeds_give_equal_runs(void **state)
{
    check_random r = {check_seed(80)};
    uint32_t n = check_scaled(5000), differ = 0;
    (void)state;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t program_seed = check_random_next(&r), seed = check_random_next(&r), hash[4];
        weir_simulator *sim[3];
        for (int k = 0; k < 3; k++) {
            sim[k] = weir_simulator_new(WEIR_PLAN_SEED, k < 2 ? seed : seed + 1);
            assert_non_null(sim[k]);
            hash[k] = hash_of(program_seed, sim[k]);
        }
        CHECK(hash[0] == hash[1]);
        differ += hash[0] != hash[2];
        /* What was recorded plays back. */
        size_t n_record;
        const uint32_t *record = weir_simulator_record(sim[0], &n_record);
        weir_simulator *replay = weir_simulator_new(WEIR_PLAN_REPLAY, seed);
        assert_non_null(replay);
        weir_simulator_replay(replay, record, n_record);
        hash[3] = hash_of(program_seed, replay);
        CHECK(hash[3] == hash[0]);
        weir_simulator_free(replay);
        for (int k = 0; k < 3; k++)
            weir_simulator_free(sim[k]);
    }
    CHECK(differ > n / 2);
    check_figure("replays", n);
}

/* --- several runtimes ------------------------------------------------------------------------- */

#define AT_ONCE 4

static void runtimes_side_by_side_do_not_disturb_each_other(void **state)
{
    check_random r = {check_seed(81)};
    uint32_t n = check_scaled(1000);
    (void)state;
    for (uint32_t i = 0; i < n; i++) {
        script_world *w[AT_ONCE];
        script_program p[AT_ONCE];
        uint64_t seed[AT_ONCE], alone[AT_ONCE];
        int live = AT_ONCE, on[AT_ONCE];
        for (int k = 0; k < AT_ONCE; k++) {
            seed[k] = check_random_next(&r);
            weir_simulator *sim = weir_simulator_new(WEIR_PLAN_SEED, seed[k]);
            assert_non_null(sim);
            alone[k] = hash_of(seed[k], sim);
            weir_simulator_free(sim);
            w[k] = calloc(1, sizeof *w[k]);
            assert_non_null(w[k]);
            w[k]->sim = weir_simulator_new(WEIR_PLAN_SEED, seed[k]);
            program_random(&p[k], seed[k], 5);
            assert_true(script_begin(w[k], &p[k]));
            on[k] = 1;
        }
        while (live > 0) {
            uint32_t k = check_below(&r, AT_ONCE);
            if (on[k] && !script_step(w[k])) {
                on[k] = 0;
                live--;
            }
        }
        for (int k = 0; k < AT_ONCE; k++) {
            CHECK(script_finish(w[k]));
            CHECK(weir_simulator_hash(w[k]->sim) == alone[k]);
            CHECK_INT(weir_simulator_bytes(w[k]->sim), 0);
            weir_simulator_free(w[k]->sim);
            free(w[k]);
        }
    }
    check_figure("side_by_side", (uint64_t)n * AT_ONCE);
}

typedef struct thread_run {
    uint64_t first, sum;
    uint32_t n;
    int broken;
} thread_run;

/* Nothing here may jump: it is not the test's thread. */
static void *run_thread(void *arg)
{
    thread_run *t = arg;
    check_random r = {t->first};
    t->sum = 0;
    for (uint32_t i = 0; i < t->n; i++) {
        uint64_t seed = check_random_next(&r);
        weir_simulator *sim = weir_simulator_new(WEIR_PLAN_SEED, seed);
        program p = {{0}, 0, NULL};
        script_world *w;
        program_random(&p.script, seed, 5);
        w = sim == NULL ? NULL : program_run(&p, sim, NULL);
        t->broken |= w == NULL || w->broken != NULL;
        free(w);
        t->sum = t->sum * 31 + (sim == NULL ? 0 : weir_simulator_hash(sim));
        weir_simulator_free(sim);
    }
    return NULL;
}

static void a_runtime_for_each_thread(void **state)
{
    pthread_t id[AT_ONCE];
    thread_run at_once[AT_ONCE], alone;
    (void)state;
    for (uint32_t k = 0; k < AT_ONCE; k++) {
        at_once[k] = (thread_run){check_seed(82 + k), 0, check_scaled(1000), 0};
        assert_int_equal(pthread_create(&id[k], NULL, run_thread, &at_once[k]), 0);
    }
    for (uint32_t k = 0; k < AT_ONCE; k++)
        pthread_join(id[k], NULL);
    for (uint32_t k = 0; k < AT_ONCE; k++) {
        alone = (thread_run){check_seed(82 + k), 0, at_once[k].n, 0};
        run_thread(&alone);
        CHECK(!at_once[k].broken && at_once[k].sum == alone.sum);
    }
    check_figure("threads", AT_ONCE);
}

int main(void)
{
    const struct CMUnitTest runtime[] = {
        cmocka_unit_test(quiesce_names_what_is_left),
        cmocka_unit_test(validate_sees_what_is_broken),
        cmocka_unit_test(a_turn_runs_a_bounded_number_of_waiters),
        cmocka_unit_test(a_turn_ends_when_it_took_long),
        cmocka_unit_test(a_delay_does_not_count_from_before_long_work),
        cmocka_unit_test(a_turn_reads_the_clock_once_and_fires_first),
        cmocka_unit_test(memory_through_the_runtime_is_counted),
        cmocka_unit_test(the_embedder_keeps_a_pointer),
        cmocka_unit_test(chance_comes_from_the_env),
        cmocka_unit_test(quiet_comes_when_nobody_is_ready),
        cmocka_unit_test(quiet_may_be_set_again_in_its_turn),
        cmocka_unit_test(quiet_waits_for_all_who_are_ready),
        cmocka_unit_test(equal_seeds_give_equal_runs),
        cmocka_unit_test(runtimes_side_by_side_do_not_disturb_each_other),
        cmocka_unit_test(a_runtime_for_each_thread),
    };
    return CHECK_MAIN(runtime);
}
