/* oom_test.c - every allocation of every scenario failed in turn: alone, with its retry, and with
 * all that follow. A call that reports it changes nothing, byte for byte; a task that gets it
 * fails like with any other error; afterwards nothing is left.
 */
#include "check.h"
#include "programs.h"

static int make_a_runtime(weir_simulator *sim)
{
    weir_runtime *rt = weir_runtime_new(weir_simulator_env(sim));
    if (rt == NULL)
        return WEIR_ENOMEM;
    CHECK_INT(weir_runtime_counters(rt)->bytes, weir_simulator_bytes(sim));
    CHECK_QUIET(rt);
    weir_runtime_free(rt);
    return 0;
}

static void note(weir_runtime *rt, weir_waiter *w)
{
    (void)rt;
    (void)w;
}

/* Try, acquire and drain; whatever fails is repeated once, and must then have changed nothing. */
static int use_a_semaphore(weir_simulator *sim)
{
    weir_runtime *rt = weir_runtime_new(weir_simulator_env(sim));
    weir_semaphore s, before;
    weir_counters counters;
    weir_permit *p[4] = {NULL};
    weir_waiter w[4];
    int worst = 0, rc;
    if (rt == NULL)
        return WEIR_ENOMEM;
    CHECK_OK(weir_semaphore_init(rt, &s, 2, NULL));
    for (int i = 0; i < 4; i++) {
        weir_waiter_init(&w[i], note);
        for (int again = 0; again < 2; again++) {
            before = s;
            counters = *weir_runtime_counters(rt);
            rc = i < 2 ? weir_semaphore_try(&s, NULL, 1, &p[i])
                       : weir_semaphore_acquire(&s, NULL, 1, &w[i], WEIR_FOREVER, &p[i]);
            if (rc == 0)
                break;
            if (rc == WEIR_EBUSY || rc == WEIR_EINVAL)
                return rc;
            worst = rc;
            CHECK(memcmp(&before, &s, sizeof s) == 0);
            CHECK(memcmp(&counters, weir_runtime_counters(rt), sizeof counters) == 0);
            CHECK(i < 2 || w[i].status == WEIR_IDLE);
            CHECK_INT(weir_semaphore_validate(&s), 0);
        }
        p[i] = rc == 0 ? p[i] : NULL;
    }
    for (int i = 0; i < 4; i++) {
        weir_turn(rt);
        if (p[i] != NULL)
            weir_permit_release(p[i]);
    }
    weir_turn(rt);
    CHECK_INT(s.available, 2);
    CHECK_VALID(rt);
    CHECK_QUIET(rt);
    weir_semaphore_fini(&s);
    weir_runtime_free(rt);
    return worst;
}

static void single_calls_change_nothing(void **state)
{
    (void)state;
    CHECK_OOM(make_a_runtime);
    CHECK(CHECK_OOM(use_a_semaphore) >= 9); /* a runtime and two permits at least, three ways */
}

static const script_program *scenario;

static int run_the_scenario(weir_simulator *sim)
{
    script_world *w = calloc(1, sizeof *w);
    int rc;
    assert_non_null(w);
    w->sim = sim;
    script_run(w, scenario);
    if (w->broken != NULL) {
        script_print(scenario);
        check_fail(w->file, w->line, "%s", w->broken);
    }
    rc = w->nomem > 0 ? WEIR_ENOMEM : 0;
    free(w);
    return rc;
}

static void every_program_survives_every_failure(void **state)
{
    (void)state;
    for (unsigned i = 0; i < n_programs; i++) {
        scenario = &programs[i].script;
        CHECK_OOM(run_the_scenario);
    }
    check_figure("programs", n_programs);
}

static void random_programs_survive_every_failure(void **state)
{
    check_random r = {check_seed(70)};
    uint32_t n = check_scaled(20000);
    script_program p;
    (void)state;
    scenario = &p;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t seed = check_random_next(&r);
        program_random(&p, seed, 2 + check_below(&r, 5));
        CHECK_OOM(run_the_scenario);
    }
    check_figure("programs", n);
}

int main(void)
{
    const struct CMUnitTest oom[] = {
        cmocka_unit_test(single_calls_change_nothing),
        cmocka_unit_test(every_program_survives_every_failure),
        cmocka_unit_test(random_programs_survive_every_failure),
    };
    return CHECK_MAIN(oom);
}
