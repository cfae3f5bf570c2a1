/* schedules_test.c - every schedule of small programs, and many of random ones.
 *
 * A schedule is what the simulator's odometer answers each time the runtime asks who is next and
 * which of equal timers fires first. Programs whose schedules are too many are run under their
 * first ones and as many seeded ones.
 */
#include "check.h"
#include "programs.h"

static void print_world(const script_world *w)
{
    for (unsigned i = 0; i < SCRIPT_TASKS; i++)
        if (w->task[i].spawned)
            print_error("  task %u: state %u error %d (%s) caught %d pc %u ended %u at %llu\n", i,
                        w->task[i].task.state, w->task[i].error, weir_error_name(w->task[i].error),
                        w->task[i].caught, w->task[i].pc, w->task[i].ended,
                        (unsigned long long)w->task[i].ended_at);
    if (w->broken != NULL)
        print_error("%s (%s:%d)\n", w->broken, w->file, w->line);
    else
        print_error("not a legal outcome\n");
}

/* 0 if all that must hold did; prints otherwise when `loud`. */
static int run_once(const program *p, weir_simulator *sim, const script_world *setup, int loud)
{
    script_world *w = program_run(p, sim, setup);
    int failed;
    assert_non_null(w);
    failed = w->broken != NULL || (p->check != NULL && !p->check(w));
    if (failed && loud) {
        size_t n;
        const uint32_t *record = weir_simulator_record(sim, &n);
        script_print(&p->script);
        for (size_t i = 0; i < n; i++)
            print_error("%s%u", i == 0 ? "choices: " : " ", record[i]);
        print_error("\n");
        print_world(w);
    }
    free(w);
    return failed;
}

static void must_run(const program *p, weir_simulator *sim)
{
    if (run_once(p, sim, NULL, 1) != 0)
        fail();
}

static void every_schedule_of_small_programs(void **state)
{
    uint64_t exhausted = 0;
    (void)state;
    for (unsigned i = 0; i < n_programs; i++) {
        const program *p = &programs[i];
        weir_simulator *sim = weir_simulator_new(WEIR_PLAN_ODOMETER, 1);
        uint64_t n = 0, limit = p->max_schedules ? check_scaled(p->max_schedules) : UINT64_MAX;
        int more = 1;
        assert_non_null(sim);
        for (; more && n < limit; n++) {
            must_run(p, sim);
            more = weir_simulator_next(sim);
        }
        weir_simulator_free(sim);
        if (more) {
            sim = weir_simulator_new(WEIR_PLAN_SEED, check_seed(30 + i));
            assert_non_null(sim);
            for (uint64_t k = 0; k < limit; k++, n++)
                must_run(p, sim);
            weir_simulator_free(sim);
        }
        print_message("  %8llu %s  %s\n", (unsigned long long)n, more ? "some" : "all ",
                      p->script.name);
        exhausted += !more;
        check_figure("schedules", n);
    }
    check_figure("exhausted", exhausted);
}

enum { WORDS = 6, BODIES = WORDS * WORDS * WORDS };

/* Two tasks with every body of three ops of `words`, and a third that makes a pool (or not, SYIELD)
 * and cancels the first at any time. */
static void every_tiny_program(script_op pool, const script_op words[WORDS])
{
    uint64_t schedules = 0, tiny = 0;
    uint32_t percent = check_scaled(100), stride = percent < 100 ? 100 / percent : 1;
    for (uint32_t i = 0; i < BODIES * BODIES; i += stride, tiny++) {
        program p = {{"tiny", {1}, {{pool, SDETACH(1), SDETACH(2), SYIELD, SCANCEL(1)}}}, 0, NULL};
        weir_simulator *sim = weir_simulator_new(WEIR_PLAN_ODOMETER, 1);
        assert_non_null(sim);
        uint32_t bits = i;
        for (int k = 0; k < 6; k++, bits /= WORDS)
            p.script.body[1 + k / 3][k % 3] = words[bits % WORDS];
        do {
            must_run(&p, sim);
            schedules++;
        } while (weir_simulator_next(sim));
        weir_simulator_free(sim);
    }
    check_figure("schedules", schedules);
    check_figure("exhausted", tiny);
}

static void every_schedule_of_every_tiny_program(void **state)
{
    static const script_op words[WORDS] = {
        SACQUIRE(0, 1), SACQUIRE_IN(0, 1, 1), SRELEASE(0), SYIELD, SSLEEP(1), STRY(0, 1)};
    (void)state;
    every_tiny_program((script_op)SYIELD, words);
}

static void every_schedule_of_every_tiny_program_with_a_pool(void **state)
{
    static const script_op words[WORDS] = {SLEASE, SLEASE_IN(1), SGIVE,
                                           SYIELD, SSLEEP(1),    SDISCARD};
    (void)state;
    every_tiny_program((script_op)SPOOL(1, 0, 1), words);
    every_tiny_program((script_op)SPOOL(2, 1 | SCRIPT_POOL_CHECKS, 0), words);
}

/* A program as one list, so that it can be shrunk by deleting ops. */
typedef struct line {
    unsigned task;
    script_op op;
} line;

typedef struct setting {
    script_program base; /* its capacities */
    const script_world *world;
    uint64_t seed;
} setting;

static int run_lines(const void *ops, size_t n, void *ctx)
{
    const setting *set = ctx;
    const line *lines = ops;
    program p = {{0}, 0, NULL};
    unsigned at[SCRIPT_TASKS] = {0};
    weir_simulator *sim = weir_simulator_new(WEIR_PLAN_SEED, set->seed);
    int failed;
    assert_non_null(sim);
    memcpy(p.script.capacity, set->base.capacity, sizeof p.script.capacity);
    p.script.name = set->base.name;
    for (size_t i = 0; i < n; i++)
        p.script.body[lines[i].task][at[lines[i].task]++] = lines[i].op;
    failed = run_once(&p, sim, set->world, set->base.name != NULL);
    weir_simulator_free(sim);
    return failed;
}

static void shrink_and_fail(const script_program *p, const script_world *world, uint64_t seed)
{
    setting set = {*p, world, seed};
    line lines[SCRIPT_TASKS * SCRIPT_OPS];
    size_t n = 0;
    for (unsigned i = 0; i < SCRIPT_TASKS; i++)
        for (const script_op *op = p->body[i]; op->code != SCRIPT_END; op++)
            lines[n++] = (line){i, *op};
    set.base.name = NULL;
    n = check_shrink(lines, n, sizeof lines[0], run_lines, &set);
    set.base.name = "shrunk";
    run_lines(lines, n, &set);
    check_fail(__FILE__, __LINE__, "seed %llu", (unsigned long long)seed);
}

/* Bypass and order by chance as well if `options`; drawn by `random`. */
static void random_programs(uint64_t stream, uint32_t n, int options,
                            void (*random)(script_program *p, uint64_t seed, unsigned tasks))
{
    check_random r = {check_seed(stream)};
    script_world *setup = calloc(1, sizeof *setup);
    assert_non_null(setup);
    for (uint32_t i = 0; i < n; i++) {
        uint64_t seed = check_random_next(&r);
        weir_simulator *sim = weir_simulator_new(WEIR_PLAN_SEED, seed);
        program p = {{0}, 0, NULL};
        assert_non_null(sim);
        random(&p.script, seed, 2 + check_below(&r, 4));
        for (unsigned k = 0; k < SCRIPT_SEMAPHORES && options; k++) {
            setup->bypass[k] = (uint8_t)check_below(&r, 3);
            setup->aging[k] = check_below(&r, 2) ? check_below(&r, 5) : 0;
        }
        if (run_once(&p, sim, setup, 0) != 0)
            shrink_and_fail(&p.script, setup, seed);
        weir_simulator_free(sim);
    }
    free(setup);
    check_figure("programs", n);
}

static void random_programs_under_random_schedules(void **state)
{
    (void)state;
    random_programs(31, check_scaled(400000), 0, program_random);
}

static void random_programs_with_bypass_and_priority(void **state)
{
    (void)state;
    random_programs(32, check_scaled(200000), 1, program_random);
}

static void random_programs_with_a_pool(void **state)
{
    (void)state;
    random_programs(33, check_scaled(150000), 0, program_random_pool);
}

int main(void)
{
    const struct CMUnitTest schedules[] = {
        cmocka_unit_test(every_schedule_of_small_programs),
        cmocka_unit_test(every_schedule_of_every_tiny_program),
        cmocka_unit_test(every_schedule_of_every_tiny_program_with_a_pool),
        cmocka_unit_test(random_programs_under_random_schedules),
        cmocka_unit_test(random_programs_with_bypass_and_priority),
        cmocka_unit_test(random_programs_with_a_pool),
    };
    return CHECK_MAIN(schedules);
}
