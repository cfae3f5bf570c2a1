/* cache_schedules_test.c - every schedule of small programs over a cache; a cancel at every step;
 * every allocation failed.
 *
 * What must hold is checked by cache_world.c at every step: at most one load a key, nothing older
 * than an invalidation, nobody hangs, and at the end no value, waiter, task or byte is left.
 */
#include "cache_world.h"

static void print_run(const world_program *p, const world *w, weir_simulator *sim)
{
    size_t n;
    const uint32_t *record = weir_simulator_record(sim, &n);
    print_error("%s: %s (cache_world.c:%d), %u loads\n", p->name,
                w->broken != NULL ? w->broken : "not a legal outcome", w->line, w->n_loads);
    for (int i = 0; i < WORLD_TASKS; i++)
        for (int k = 0; k < w->actor[i].n_asked; k++)
            print_error("  task %d: outcome %d value %ld\n", i, w->actor[i].outcome[k],
                        (long)w->actor[i].got[k]);
    for (size_t i = 0; i < n; i++)
        print_error("%s%u", i == 0 ? "choices: " : " ", record[i]);
    print_error("\n");
}

/* Returns the number of steps. */
static uint64_t must_run(const world_program *p, weir_simulator *sim, const world *setup)
{
    world *w = world_run(p, sim, setup);
    uint64_t steps = w->steps;
    if (w->broken != NULL || (setup == NULL && p->check != NULL && !p->check(w))) {
        print_run(p, w, sim);
        if (setup != NULL)
            print_error("  a cancel of %d at step %llu\n", setup->victim,
                        (unsigned long long)setup->cancel_at);
        fail();
    }
    free(w);
    return steps;
}

static void every_schedule_is_legal(void **state)
{
    (void)state;
    for (unsigned i = 0; i < n_world_programs; i++) {
        const world_program *p = &world_programs[i];
        weir_simulator *sim = weir_simulator_new(WEIR_PLAN_ODOMETER, 1);
        uint64_t n = 0, limit = p->max_schedules ? check_scaled(p->max_schedules) : UINT64_MAX;
        int more = 1;
        assert_non_null(sim);
        for (; more && n < limit; n++) {
            must_run(p, sim, NULL);
            more = weir_simulator_next(sim);
        }
        weir_simulator_free(sim);
        if (more) {
            sim = weir_simulator_new(WEIR_PLAN_SEED, check_seed(230 + i));
            assert_non_null(sim);
            for (uint64_t k = 0; k < limit; k++, n++)
                must_run(p, sim, NULL);
            weir_simulator_free(sim);
        }
        print_message("  %8llu %s  %s\n", (unsigned long long)n, more ? "some" : "all ", p->name);
        check_figure("schedules", n);
        check_figure("exhausted", !more);
    }
}

static weir_plan plans[] = {WEIR_PLAN_FIFO, WEIR_PLAN_SEED};

/* Each task, and each load by its number, at each step; under production's order and others. */
static void a_cancel_at_every_step_leaves_nothing(void **state)
{
    uint32_t seeds = check_scaled(12);
    uint64_t n = 0;
    (void)state;
    for (unsigned i = 0; i < n_world_programs; i++) {
        for (uint32_t seed = 0; seed < seeds; seed++) {
            weir_plan plan = plans[seed > 0];
            for (int victim = -4; victim < WORLD_TASKS; victim++) {
                world setup = {.victim = victim};
                for (uint64_t at = 1, steps = 1; at <= steps; at++, n++) {
                    weir_simulator *sim = weir_simulator_new(plan, check_seed(260) + seed);
                    assert_non_null(sim);
                    setup.cancel_at = at;
                    steps = must_run(&world_programs[i], sim, &setup);
                    weir_simulator_free(sim);
                }
            }
        }
    }
    check_figure("cancel_points", n);
}

static const world_program *scenario;

static int run_the_scenario(weir_simulator *sim)
{
    world none = {.cancel_at = 0};
    world *w = world_run(scenario, sim, &none);
    int rc = w->nomem > 0 ? WEIR_ENOMEM : 0;
    if (w->broken != NULL)
        check_fail(__FILE__, w->line, "%s: %s", scenario->name, w->broken);
    free(w);
    return rc;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    for (unsigned i = 0; i < n_world_programs; i++) {
        scenario = &world_programs[i];
        CHECK_OOM(run_the_scenario);
    }
}

int main(void)
{
    const struct CMUnitTest cache_schedules[] = {
        cmocka_unit_test(every_schedule_is_legal),
        cmocka_unit_test(a_cancel_at_every_step_leaves_nothing),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return CHECK_MAIN(cache_schedules);
}
