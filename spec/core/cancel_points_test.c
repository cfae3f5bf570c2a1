/* cancel_points_test.c - a cancel at every step of every program, then everything is back.
 *
 * A step is a resume of any task. At each one, each task in turn is cancelled, or the scope it
 * stands in, or everything; then a second cancel at every later step, so that it also hits cleanup.
 * What must hold afterwards is what script_run checks: nobody hangs, no permit, timer, waiter,
 * scope or byte is left, no weight was ever given twice.
 */
#include "check.h"
#include "programs.h"

typedef struct tally {
    uint64_t runs, awaits;
} tally;

/* One run with what `setup` injects. Returns its number of steps; w->awaits are counted. */
static uint64_t run(const program *p, weir_plan plan, uint64_t seed, const script_world *setup,
                    tally *n)
{
    weir_simulator *sim = weir_simulator_new(plan, seed);
    script_world *w;
    uint64_t steps;
    assert_non_null(sim);
    w = program_run(p, sim, setup);
    assert_non_null(w);
    if (w->broken != NULL) {
        script_print(&p->script);
        for (int i = 0; i < 2; i++)
            print_error("  cancel target %u of task %u at step %llu\n", setup->inject[i].target,
                        setup->inject[i].task, (unsigned long long)setup->inject[i].step);
        check_fail(w->file, w->line, "%s (seed %llu)", w->broken, (unsigned long long)seed);
    }
    if (weir_simulator_bytes(sim) != 0)
        check_fail(__FILE__, __LINE__, "%s: %zu bytes left", p->script.name,
                   weir_simulator_bytes(sim));
    steps = w->steps;
    n->runs++;
    n->awaits += w->awaits;
    free(w);
    weir_simulator_free(sim);
    return steps;
}

static unsigned tasks_of(const program *p)
{
    unsigned n = 0;
    while (n < SCRIPT_TASKS && p->script.body[n][0].code != SCRIPT_END)
        n++;
    return n;
}

static void second_cancels(const program *p, script_world *setup, uint64_t steps, tally *n)
{
    unsigned tasks = tasks_of(p);
    for (uint64_t step = setup->inject[0].step + 1; step <= steps; step++)
        for (unsigned t = 0; t < tasks; t++) {
            setup->inject[1] = (script_injection){step, (uint8_t)t, SCRIPT_THE_TASK};
            run(p, WEIR_PLAN_FIFO, 1, setup, n);
        }
    setup->inject[1].step = 0;
}

/* Every single cancel; `pairs`: each followed by every second one. */
static void sweep(const program *p, weir_plan plan, uint64_t seed, int pairs, tally *n)
{
    script_world *setup = calloc(1, sizeof *setup);
    unsigned tasks = tasks_of(p);
    assert_non_null(setup);
    uint64_t steps = run(p, plan, seed, setup, n);
    for (uint64_t step = 1; step <= steps; step++)
        for (unsigned t = 0; t < tasks; t++)
            for (unsigned target = 0; target <= SCRIPT_THE_ROOT; target++) {
                if (target == SCRIPT_THE_ROOT && t > 0)
                    continue;
                setup->inject[0] = (script_injection){step, (uint8_t)t, (uint8_t)target};
                uint64_t then = run(p, plan, seed, setup, n);
                if (pairs)
                    second_cancels(p, setup, then, n);
            }
    free(setup);
}

static void every_program_survives_one_and_two_cancels(void **state)
{
    tally n = {0};
    (void)state;
    for (unsigned i = 0; i < n_programs; i++)
        sweep(&programs[i], WEIR_PLAN_FIFO, 1, 1, &n);
    check_figure("cancel_points", n.runs);
    check_figure("awaits", n.awaits);
}

static void every_program_survives_a_cancel_under_any_order(void **state)
{
    check_random r = {check_seed(60)};
    tally n = {0};
    uint32_t rounds = check_scaled(60);
    (void)state;
    for (uint32_t k = 0; k < rounds; k++)
        for (unsigned i = 0; i < n_programs; i++)
            sweep(&programs[i], WEIR_PLAN_SEED, check_random_next(&r), 0, &n);
    check_figure("cancel_points", n.runs);
    check_figure("awaits", n.awaits);
}

static void random_programs(uint64_t stream, uint32_t rounds,
                            void (*random)(script_program *p, uint64_t seed, unsigned tasks))
{
    check_random r = {check_seed(stream)};
    tally n = {0};
    for (uint32_t k = 0; k < rounds; k++) {
        uint64_t seed = check_random_next(&r);
        program p = {{0}, 0, NULL};
        random(&p.script, seed, 2 + check_below(&r, 4));
        sweep(&p, WEIR_PLAN_SEED, seed, 0, &n);
    }
    check_figure("cancel_points", n.runs);
    check_figure("awaits", n.awaits);
}

static void random_programs_survive_a_cancel_anywhere(void **state)
{
    (void)state;
    random_programs(61, check_scaled(4000), program_random);
    random_programs(62, check_scaled(4000), program_random_pool);
}

int main(void)
{
    const struct CMUnitTest cancel_points[] = {
        cmocka_unit_test(every_program_survives_one_and_two_cancels),
        cmocka_unit_test(every_program_survives_a_cancel_under_any_order),
        cmocka_unit_test(random_programs_survive_a_cancel_anywhere),
    };
    return CHECK_MAIN(cancel_points);
}
