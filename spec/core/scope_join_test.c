/* scope_join_test.c - joins, failures and who is blamed, the one deadline: scopes with tasks in
 * them. */
#include <weir/scope.h>

#include "bed.h"
#include "script.h"

static const weir_reason why = {"why", 7};

/* --- joins ---------------------------------------------------------------------------------- */

static void a_join_of_nothing_is_granted_through_the_queue(void **state)
{
    static const script_program p = {"join of nothing", {0}, {{SSLEEP(1)}}};
    (void)state;
    for (int can_cancel = 0; can_cancel < 2; can_cancel++) {
        script_world *w = script_world_new(&p);
        weir_waiter wait;
        weir_scope s;
        weir_waiter_init(&wait, NULL);
        weir_scope_open(w->rt, &s, weir_root(w->rt), NULL, 0);
        weir_scope_join(w->rt, &s, &wait, can_cancel, WEIR_FOREVER);
        CHECK_INT(wait.status, WEIR_GRANTED);
        CHECK(weir_link_is_linked(&wait.link));
        weir_waiter_abandon(w->rt, &wait);
        weir_scope_end(w->rt, &s);
        script_world_free(w);
    }
}

static unsigned ran;
static void note(weir_runtime *rt, weir_waiter *w)
{
    (void)rt;
    (void)w;
    ran++;
}

/* One join that a cancel ends, one with a timeout, one that nothing ends but the last child. */
static void joins_end_each_in_its_way(void **state)
{
    static const script_program p = {
        "joins", {0}, {{SDAEMON(2), SSPAWN(1), SSLEEP(10)}, {SSLEEP(20)}, {SPARK}}};
    script_world *w = script_world_new(&p);
    weir_waiter wait[4];
    (void)state;
    ran = 0;
    script_run_to(w, 1);
    for (int i = 0; i < 4; i++) {
        weir_waiter_init(&wait[i], note);
        weir_scope_join(w->rt, &w->task[0].task.scope, &wait[i], i != 3, i == 1 ? 5 : WEIR_FOREVER);
        CHECK_INT(wait[i].status, WEIR_PENDING);
    }
    CHECK_INT(weir_waiter_give_up(w->rt, &wait[0], WEIR_CANCELED), 1);
    CHECK_INT(weir_waiter_give_up(w->rt, &wait[3], WEIR_CANCELED), 0);
    script_run_to(w, 15);
    CHECK_INT(wait[1].status, WEIR_TIMEOUT);
    CHECK(wait[2].status == WEIR_PENDING && wait[3].status == WEIR_PENDING);
    script_run_to(w, 20);
    CHECK(wait[2].status == WEIR_GRANTED && wait[3].status == WEIR_GRANTED);
    CHECK_INT(ran, 4);
    CHECK_INT(w->task[0].task.state, WEIR_TASK_DONE);
    script_world_free(w);
}

static void a_failed_child_cancels_its_siblings(void **state)
{
    static const script_program p = {"failed child",
                                     {0},
                                     {{SCATCH, SSPAWN(1), SSPAWN(2), SDETACH(3), SSLEEP(9), SCLOSE},
                                      {SSLEEP(1), SFAIL},
                                      {SCATCH, SSLEEP(7), SCLOSE, SMARK(1), SYIELD, SMARK(2)},
                                      {SSLEEP(5)}}};
    script_world *w = script_world_new(&p);
    (void)state;
    script_run_to(w, 0);
    CHECK(w->task[0].task.current == &w->task[0].frame[0].scope);
    script_run_to(w, 1);
    CHECK(w->task[0].frame[0].scope.flags & WEIR_SCOPE_FAILED);
    CHECK_INT(w->task[0].caught, SCRIPT_EFAILED);
    CHECK_INT(w->task[0].task.state, WEIR_TASK_DONE);
    CHECK_INT(w->task[2].task.state, WEIR_TASK_CANCELLED); /* though it swallowed the first */
    CHECK(w->n_log == 1 && w->log[0] == 1);
    CHECK_INT(w->task[3].ended, 0); /* it is not a child */
    script_world_free(w);
}

static void who_expects_failures_is_not_failed(void **state)
{
    static const script_program p = {
        "supervised",
        {0},
        {{SOPEN, SSPAWN(1), SSPAWN(2), SSLEEP(3), SCLOSE}, {SSLEEP(1), SFAIL}, {SSLEEP(2)}}};
    static const uint32_t flags[] = {WEIR_SCOPE_SUPERVISOR, WEIR_SCOPE_SETTLING, 0};
    (void)state;
    for (int i = 0; i < 3; i++) {
        script_world *w = script_world_new(&p);
        script_run_to(w, 0);
        CHECK(weir_task_blames(&w->task[1].task) == &w->task[0].frame[0].scope);
        w->task[0].frame[0].scope.flags |= flags[i];
        if (flags[i] == 0)
            w->task[1].task.scope.flags |= WEIR_SCOPE_CLAIMED;
        CHECK(weir_task_blames(&w->task[1].task) == NULL);
        script_run_to(w, 9);
        for (int k = 0; k < 3; k++)
            CHECK_INT(w->task[k].task.state, k == 1 ? WEIR_TASK_FAILED : WEIR_TASK_DONE);
        script_world_free(w);
    }
}

static void a_claim_counts_only_while_it_waits(void **state)
{
    static const script_program p = {
        "claim", {0}, {{SSPAWN(1), SSPAWN(2), SSLEEP(9)}, {SSLEEP(5), SFAIL}, {SSLEEP(9)}}};
    (void)state;
    for (int claims = 0; claims < 3; claims++) {
        script_world *w = script_world_new(&p);
        weir_waiter wait;
        weir_waiter_init(&wait, note);
        script_run_to(w, 0);
        if (claims > 0)
            weir_task_join(w->rt, &w->task[1].task, &wait, 1, claims == 1 ? 3 : WEIR_FOREVER);
        CHECK((weir_task_blames(&w->task[1].task) == NULL) == (claims > 0));
        script_run_to(w, 20);
        CHECK_INT(w->task[0].task.state, claims == 2 ? WEIR_TASK_DONE : WEIR_TASK_FAILED);
        CHECK_INT(w->task[2].task.state, claims == 2 ? WEIR_TASK_DONE : WEIR_TASK_CANCELLED);
        CHECK(claims == 0 || wait.status == (claims == 1 ? WEIR_TIMEOUT : WEIR_GRANTED));
        script_world_free(w);
    }
}

static void no_children_for_an_ended_or_cancelled_scope(void **state)
{
    bed b = bed_new();
    weir_scope s;
    weir_task t;
    const weir_counters *n = weir_runtime_counters(b.rt);
    (void)state;
    weir_scope_open(b.rt, &s, weir_root(b.rt), NULL, 0);
    weir_scope_cancel(b.rt, &s, why);
    CHECK_ERR(weir_task_spawn(b.rt, &t, &s, NULL, 0), WEIR_ECANCELED);
    CHECK_ERR(weir_task_prepare(b.rt, &t, &s, NULL, 0), WEIR_ECANCELED);
    weir_scope_end(b.rt, &s);
    CHECK_ERR(weir_task_spawn(b.rt, &t, &s, NULL, 0), WEIR_ECLOSED);
    CHECK_ERR(weir_task_prepare(b.rt, &t, &s, NULL, WEIR_SCOPE_DAEMON), WEIR_ECLOSED);
    CHECK(n->tasks == 0 && n->spawned == 0 && n->ready == 0 && s.n_children == 0);
    bed_free(&b);
}

/* A cancel reaches the task that stands in the marked scope, not one whose body stands in a shield
 * or further out. */
static void a_cancel_wakes_whoever_stands_inside(void **state)
{
    static const script_program p = {
        "who stands where",
        {0},
        {{SSPAWN(1), SSPAWN(2), SSPAWN(3), SSLEEP(4), SCANCEL_SCOPE},
         {SCATCH, SSLEEP(20), SCLOSE},
         {SSHIELD(8), SSLEEP(6), SMARK(2), SCLOSE, SMARK(3), SYIELD, SMARK(4)},
         {SSHIELD(3), SSLEEP(9), SMARK(5), SCLOSE}}};
    script_world *w = script_world_new(&p);
    (void)state;
    script_run_to(w, 50);
    CHECK_INT(w->task[1].ended_at, 4);
    CHECK_INT(w->task[2].ended_at, 6);
    CHECK_INT(w->task[3].ended_at, 7);
    CHECK(w->n_log == 2 && w->log[0] == 2 && w->log[1] == 3);
    script_world_free(w);
}

static void one_deadline_holds_for_every_wait_inside(void **state)
{
    static const struct {
        script_program p;
    } cases[] = {
        {{"sleep", {1}, {{SCATCH_IN(5), SSLEEP(9), SCLOSE}}}},
        {{"acquire",
          {1},
          {{SCATCH_IN(5), SSPAWN(1), SYIELD, SACQUIRE(0, 1), SCLOSE},
           {SACQUIRE(0, 1), SSLEEP(9)}}}},
        {{"acquire with a longer timeout",
          {1},
          {{SCATCH_IN(5), SSPAWN(1), SYIELD, SACQUIRE_IN(0, 1, 7), SCLOSE},
           {SACQUIRE(0, 1), SSLEEP(9)}}}},
        {{"join", {0}, {{SCATCH_IN(5), SSPAWN(1), SJOIN(1), SCLOSE}, {SSLEEP(9)}}}},
        {{"the end of the scope", {0}, {{SCATCH_IN(5), SSPAWN(1), SCLOSE}, {SSLEEP(9)}}}},
        {{"a child's child", {0}, {{SCATCH_IN(5), SSPAWN(1), SCLOSE}, {SSPAWN(2)}, {SSLEEP(9)}}}},
        {{"a scope inside",
          {0},
          {{SCATCH_IN(5), SOPEN_IN(9), SOPEN, SPARK, SCLOSE, SCLOSE, SCLOSE}}}},
        {{"a body that swallowed it", {0}, {{SCATCH_IN(5), SCATCH, SPARK, SCLOSE, SCLOSE}}}},
        {{"drain",
          {1},
          {{SCATCH_IN(5), SSPAWN(1), SYIELD, SDRAIN(0), SCLOSE}, {SACQUIRE(0, 1), SSLEEP(9)}}}},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        script_world *w = script_world_new(&cases[i].p);
        script_run_to(w, 50);
        if (w->task[0].caught != WEIR_ETIMEOUT || w->task[0].ended_at != 5)
            check_fail(__FILE__, __LINE__, "%s: caught %s at %llu", cases[i].p.name,
                       weir_error_name(w->task[0].caught), (unsigned long long)w->task[0].ended_at);
        script_world_free(w);
    }
}

int main(void)
{
    const struct CMUnitTest scope[] = {
        cmocka_unit_test(a_join_of_nothing_is_granted_through_the_queue),
        cmocka_unit_test(joins_end_each_in_its_way),
        cmocka_unit_test(a_failed_child_cancels_its_siblings),
        cmocka_unit_test(who_expects_failures_is_not_failed),
        cmocka_unit_test(a_claim_counts_only_while_it_waits),
        cmocka_unit_test(no_children_for_an_ended_or_cancelled_scope),
        cmocka_unit_test(a_cancel_wakes_whoever_stands_inside),
        cmocka_unit_test(one_deadline_holds_for_every_wait_inside),
    };
    return CHECK_MAIN(scope);
}
