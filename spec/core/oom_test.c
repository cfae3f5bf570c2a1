/* oom_test.c - every allocation of every scenario failed in turn: alone, with its retry, and with
 * all that follow. A call that reports it changes nothing, byte for byte; a task that gets it
 * fails like with any other error; afterwards nothing is left.
 */
#include "check.h"
#include "programs.h"

#include <weir/pool.h>

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

static void create(weir_pool *p, weir_resource *r)
{
    weir_pool_created(p, r, 0, 0);
}

/* The same of a pool. A dial that finds no memory is no failure of the call: who waits is told as
 * of any failed create. */
static int use_a_pool(weir_simulator *sim)
{
    static const weir_pool_ops ops = {create, NULL, weir_pool_destroyed, NULL, NULL, NULL};
    weir_runtime *rt = weir_runtime_new(weir_simulator_env(sim));
    weir_pool_options o = weir_pool_defaults();
    weir_pool p, before;
    weir_counters counters;
    weir_lease *lease[4] = {NULL};
    weir_waiter w[4];
    int worst = 0, rc;
    if (rt == NULL)
        return WEIR_ENOMEM;
    o.min = 1;
    o.max = 2;
    CHECK_OK(weir_pool_init(rt, &p, &ops, &o, NULL));
    for (int i = 0; i < 4; i++) {
        weir_waiter_init(&w[i], note);
        weir_turn(rt);
        for (int again = 0; again < 2; again++) {
            before = p;
            counters = *weir_runtime_counters(rt);
            rc = weir_pool_take(&p, NULL, 0, &lease[i]);
            if (rc == WEIR_EBUSY)
                rc = weir_pool_acquire(&p, NULL, &w[i], WEIR_FOREVER, 0, &lease[i]);
            if (rc == 0)
                break;
            if (rc != WEIR_ENOMEM)
                return rc;
            worst = rc;
            CHECK(memcmp(&before, &p, sizeof p) == 0);
            CHECK(memcmp(&counters, weir_runtime_counters(rt), sizeof counters) == 0);
            CHECK_INT(w[i].status, WEIR_IDLE);
            CHECK_INT(weir_pool_validate(&p), 0);
        }
        lease[i] = rc == 0 ? lease[i] : NULL;
    }
    for (int k = 0; k < 100; k++) {
        weir_simulator_advance(sim, WEIR_SECOND / 10);
        weir_turn(rt);
        CHECK_INT(weir_pool_validate(&p), 0);
        for (int i = 0; i < 4; i++) {
            if (lease[i] == NULL || w[i].status == WEIR_PENDING)
                continue;
            if (w[i].status == WEIR_FAILED) {
                CHECK_INT(lease[i]->rc, WEIR_ENOMEM);
                worst = WEIR_ENOMEM;
                weir_lease_forget(lease[i]);
            } else {
                weir_lease_release(lease[i], 0);
            }
            lease[i] = NULL;
        }
    }
    weir_pool_close(&p);
    CHECK(weir_pool_is_gone(&p));
    weir_pool_fini(&p);
    CHECK_VALID(rt);
    CHECK_QUIET(rt);
    weir_runtime_free(rt);
    return worst;
}

static void single_calls_change_nothing(void **state)
{
    (void)state;
    CHECK_OOM(make_a_runtime);
    CHECK(CHECK_OOM(use_a_semaphore) >= 9); /* a runtime and two permits at least, three ways */
    CHECK(CHECK_OOM(use_a_pool) >= 15);     /* a runtime, two leases and two dials at least */
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
}

static void random_programs(uint64_t stream, uint32_t n,
                            void (*random)(script_program *p, uint64_t seed, unsigned tasks))
{
    check_random r = {check_seed(stream)};
    script_program p;
    scenario = &p;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t seed = check_random_next(&r);
        random(&p, seed, 2 + check_below(&r, 5));
        CHECK_OOM(run_the_scenario);
    }
    check_figure("programs", n);
}

static void random_programs_survive_every_failure(void **state)
{
    (void)state;
    random_programs(70, check_scaled(20000), program_random);
    random_programs(71, check_scaled(20000), program_random_pool);
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
