/* pool_task_test.c - the pool among tasks: what an ended one leaves, who is stuck, who calls whom.
 *
 * schedules_test, cancel_points_test and graph_model_test have the pool in random programs; here
 * are the single cases.
 */
#include "pool_bed.h"
#include "programs.h"

#include <weir/graph.h>

/* Run `p`; `told` alone raises deadlock, at `at` (-1: nobody). `parked`: found by who parked. */
static void expect(const script_program *p, int told, uint64_t at, int parked)
{
    script_world *w = script_world_new(p);
    while (script_step(w))
        ;
    for (int i = 0; i < SCRIPT_TASKS; i++) {
        int is = w->task[i].error == WEIR_EDEADLOCK;
        if (is != (i == told))
            check_fail(__FILE__, __LINE__, "%s: task %d %s", p->name, i,
                       is ? "raised deadlock" : "did not raise deadlock");
    }
    if (told >= 0)
        CHECK_INT(w->task[told].ended_at, at);
    CHECK_INT(w->deadlocks, parked);
    script_world_free(w);
}

static void cycles_through_a_pool_are_found(void **state)
{
    static const struct {
        script_program p;
        int told;
        uint64_t at;
        int parked;
    } cases[] = {
        {{"a lease and a join",
          {0},
          {{SPOOL(1, 0, 0), SLEASE, SDETACH(1), SYIELD, SJOIN(1)}, {SLEASE}}},
         0,
         0,
         1},
        {{"all leases but one",
          {0},
          {{SPOOL(2, 0, 0), SLEASE, SLEASE, SDETACH(1), SYIELD, SJOIN(1)}, {SLEASE}}},
         0,
         0,
         1},
        /* 1 waits for 3, who gives it to 2, who waits for 1. */
        {{"a transfer takes away the last hope",
          {0},
          {{SPOOL(1, 0, 0), SDETACH(1), SDETACH(2), SDETACH(3)},
           {SYIELD, SLEASE},
           {SYIELD, SYIELD, SPJOIN(1)},
           {SLEASE, SSLEEP(5), SLEND(2)}}},
         1,
         5,
         0},
        /* What 3 gives back pays a debt; the rest is with 2, who waits for 1. */
        {{"a lease that came back is destroyed",
          {0},
          {{SPOOL(2, 0, 1), SDETACH(1), SDETACH(2), SDETACH(3), SSLEEP(6), SRESIZE_POOL(1),
            SSLEEP(9)},
           {SSLEEP(5), SLEASE},
           {SLEASE, SSLEEP(6), SPJOIN(1)},
           {SLEASE, SSLEEP(8), SGIVE}}},
         1,
         0,
         0},
    };
    (void)state;
    for (size_t i = 0; i + 1 < sizeof cases / sizeof cases[0]; i++)
        expect(&cases[i].p, cases[i].told, cases[i].at, cases[i].parked);

    script_world *w = script_world_new(&cases[3].p);
    while (script_step(w))
        ;
    CHECK_INT(w->task[1].error, WEIR_EDEADLOCK);
    CHECK_INT(w->task[1].ended_at, w->task[3].ended_at + 1); /* when it is gone */
    CHECK_INT(w->deadlocks, 0);
    CHECK_INT(w->task[2].error, 0);
    script_world_free(w);
}

static void nobody_is_told_while_something_is_on_its_way(void **state)
{
    static const script_program cases[] = {
        {"a dial", {0}, {{SPOOL(2, 0, 4), SLEASE, SLEASE}}},
        {"the time of a dial",
         {0},
         {{SPOOL(3, 0, 4), SLEASE, SSPAWN(1), SLEASE, SLEASE}, {SYIELD, SLEASE, SGIVE}}},
        {"a destroy", {0}, {{SPOOL(1, 0, 4), SLEASE, SDISCARD, SLEASE}}},
        {"a check", {0}, {{SPOOL(1, SCRIPT_POOL_CHECKS, 4), SLEASE, SGIVE, SSLEEP(4), SLEASE}}},
        {"one holder of two",
         {0},
         {{SPOOL(2, 0, 0), SLEASE, SSPAWN(1), SYIELD, SLEASE}, {SLEASE, SSLEEP(5)}}},
        {"a timeout of its own", {0}, {{SPOOL(1, 0, 0), SLEASE, SCATCH, SLEASE_IN(3), SCLOSE}}},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        expect(&cases[i], -1, 0, 0);
}

/* The loss is the task's; the next holder gets a resource that was looked at. */
static void a_lease_of_an_ended_task_comes_back_suspect(void **state)
{
    static const script_program p = {
        "lost",
        {0},
        {{SPOOL(1, SCRIPT_POOL_CHECKS, 1), SSPAWN(1), SSLEEP(2), SLEASE}, {SLEASE, SLOSE}}};
    script_world *w = script_world_new(&p);
    (void)state;
    while (script_step(w))
        ;
    CHECK_INT(w->leaked, 1);
    CHECK_INT(w->pool.stats.checks, 1);
    CHECK_INT(w->pool.stats.created, 1);
    CHECK_INT(w->pool.stats.grants, 2);
    CHECK_INT(w->task[0].error, 0);
    script_world_free(w);
}

/* --- bare tasks ---------------------------------------------------------------------- */

static void forget(weir_runtime *rt, weir_waiter *w)
{
    (void)rt;
    (void)w;
}

static const weir_wait_ops parked = {"test:park", forget, NULL, NULL, NULL};

static void body(weir_runtime *rt, weir_task *t)
{
    if (t->wait.ops == NULL || t->wait.ops != &parked)
        weir_waiter_begin(rt, &t->wait, &parked, NULL, WEIR_FOREVER);
    else
        weir_task_finish(rt, t, WEIR_TASK_DONE);
}

static void the_pools_own_timeout_wakes_nobody_in_the_eyes_of_the_search(void **state)
{
    weir_pool_options o = weir_pool_defaults();
    (void)state;
    o.max = 1;
    for (int how = 0; how < 4; how++) { /* a deadline of the pool's, or of its own; a C holder */
        int is_default = how % 2 == 0, has_holder = how < 2;
        pool_bed *b = pool_bed_with(&o, 0);
        weir_task t;
        weir_lease *held = NULL, *asked = NULL;
        weir_graph g;
        CHECK_OK(weir_task_spawn(b->rt, &t, weir_root(b->rt), body, 0));
        pool_bed_acquire(b, 0, WEIR_FOREVER);
        pool_bed_run(b, 0);
        pool_bed_release(b, 0);
        CHECK_OK(weir_pool_take(&b->p, has_holder ? &t : NULL, 0, &held));
        weir_waiter_abandon(b->rt, &t.wait);
        CHECK_OK(weir_pool_acquire(&b->p, &t, &t.wait, 7, is_default, &asked));
        CHECK_INT(weir_graph_is_stuck(b->rt, &t, &g), is_default && has_holder);
        pool_bed_run(b, 7);
        CHECK_INT(b->p.stats.timeouts, 1); /* it ends the wait all the same */
        if (!has_holder)
            weir_lease_release(held, 0);
        CHECK(t.wait.ops == &parked);
        weir_waiter_settle(b->rt, &t.wait, WEIR_GRANTED);
        pool_bed_run(b, 0);
        CHECK_INT(weir_runtime_counters(b->rt)->leaks, has_holder);
        pool_bed_free(b);
    }
}

/* --- calls from inside calls --------------------------------------------------------- */

static void take_inside(pool_bed *b, weir_resource *r)
{
    weir_lease *lease = NULL;
    if (r->state != WEIR_RESOURCE_CHECKING)
        return;
    CHECK_INT(b->p.n_idle, 1);
    CHECK_ERR(weir_pool_take(&b->p, NULL, 1, &lease), WEIR_EBUSY);
}

/* In the middle of serving one that is fit is idle, and somebody waits for it. */
static void nobody_barges_from_inside_a_call(void **state)
{
    weir_pool_options o = weir_pool_defaults();
    (void)state;
    o.lifo = 0;
    pool_bed *b = pool_bed_with(&o, 0);
    for (unsigned i = 0; i < 2; i++)
        pool_bed_acquire(b, i, WEIR_FOREVER);
    pool_bed_run(b, 0);
    pool_bed_release(b, 0);
    pool_bed_run(b, WEIR_SECOND);
    pool_bed_release(b, 1); /* the older one must be checked, this one need not */
    b->check_ns = 5;
    b->inside = take_inside;
    pool_bed_acquire(b, 0, WEIR_FOREVER);
    CHECK_INT(b->checks, 1);
    CHECK_INT(pool_bed_status(b, 0), WEIR_GRANTED); /* with the fit one, at once */
    b->inside = NULL;
    pool_bed_free(b);
}

static void close_inside(pool_bed *b, weir_resource *r)
{
    (void)r;
    weir_pool_close(&b->p);
}

static void release_inside(pool_bed *b, weir_resource *r)
{
    weir_lease *lease = b->w[1].lease;
    (void)r;
    b->w[1].lease = NULL;
    if (lease != NULL && lease->resource != NULL)
        weir_lease_release(lease, 0);
}

static void shrink_inside(pool_bed *b, weir_resource *r)
{
    (void)r;
    CHECK_OK(weir_pool_resize(&b->p, 0, 1));
}

static void evict_inside(pool_bed *b, weir_resource *r)
{
    (void)r;
    b->inside = NULL; /* what it begins would be evicted too, and so on */
    weir_pool_evict(&b->p);
}

/* Whatever an operation calls: it is begun when all is consistent, and nothing is lost after it. */
static void any_call_may_come_from_inside_an_operation(void **state)
{
    static void (*const calls[])(pool_bed * b, weir_resource * r) = {close_inside, release_inside,
                                                                     shrink_inside, evict_inside};
    (void)state;
    for (unsigned what = 0; what < 3; what++) /* in a create, a check, a destroy */
        for (unsigned k = 0; k < sizeof calls / sizeof calls[0]; k++)
            for (uint64_t ns = 0; ns < 6; ns += 5) {
                weir_pool_options o = weir_pool_defaults();
                o.max = 4;
                pool_bed *b = pool_bed_with(&o, 0);
                for (unsigned i = 0; i < 3; i++)
                    pool_bed_acquire(b, i, WEIR_FOREVER);
                pool_bed_run(b, 0);
                pool_bed_release(b, 0);
                pool_bed_run(b, what == 1 ? WEIR_SECOND : 0);
                b->create_ns = b->check_ns = b->destroy_ns = ns;
                b->inside = calls[k];
                weir_lease *lease = b->w[2].lease;
                b->w[2].lease = NULL;
                if (what == 2)
                    weir_lease_discard(lease);
                else
                    weir_lease_release(lease, what == 1);
                CHECK_POOL(b);
                for (unsigned i = 10; i < 14 && !b->p.closed; i++)
                    pool_bed_acquire(b, i, WEIR_FOREVER);
                pool_bed_run(b, WEIR_SECOND);
                unsigned served = 0;
                for (unsigned i = 10; i < 14; i++)
                    served += pool_bed_status(b, i) == WEIR_GRANTED;
                CHECK(b->p.closed || calls[k] == shrink_inside || served >= 3);
                b->inside = NULL;
                pool_bed_free(b);
            }
}

int main(void)
{
    const struct CMUnitTest pool_task[] = {
        cmocka_unit_test(cycles_through_a_pool_are_found),
        cmocka_unit_test(nobody_is_told_while_something_is_on_its_way),
        cmocka_unit_test(a_lease_of_an_ended_task_comes_back_suspect),
        cmocka_unit_test(the_pools_own_timeout_wakes_nobody_in_the_eyes_of_the_search),
        cmocka_unit_test(nobody_barges_from_inside_a_call),
        cmocka_unit_test(any_call_may_come_from_inside_an_operation),
    };
    return CHECK_MAIN(pool_task);
}
