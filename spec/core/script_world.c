/* script_world.c - worlds: a runtime, its semaphores and its scripted tasks from begin to end.
 *
 * What must hold for every program under every schedule stands in script_finish.
 */
#include "check.h"
#include "script.h"

int script_begin(script_world *w, const script_program *program)
{
    w->program = program;
    w->rt = weir_runtime_new(weir_simulator_env(w->sim));
    if (w->rt == NULL) {
        w->nomem++;
        return 0;
    }
    for (unsigned s = 0; s < SCRIPT_SEMAPHORES; s++)
        if ((w->most[s] = program->capacity[s]) > 0)
            SCRIPT_CHECK(w,
                         weir_semaphore_init(w->rt, &w->sem[s], program->capacity[s], NULL) == 0);
    for (unsigned s = 0; s < SCRIPT_SEMAPHORES; s++) {
        w->sem[s].bypass = w->bypass[s];
        if (w->most[s] > 0 && w->aging[s] > 0)
            SCRIPT_CHECK(
                w, weir_semaphore_set_order(&w->sem[s], WEIR_ORDER_PRIORITY, w->aging[s]) == 0);
    }
    for (unsigned i = 0; i < SCRIPT_TASKS; i++) {
        w->task[i].world = w;
        w->task[i].body = program->body[i];
        w->task[i].doing = SCRIPT_MARK;
    }
    w->task[0].spawned = 1;
    SCRIPT_CHECK(w,
                 weir_task_spawn(w->rt, &w->task[0].task, weir_root(w->rt), script_resume, 0) == 0);
    return 1;
}

static void script_validate(script_world *w)
{
    SCRIPT_CHECK(w, weir_runtime_validate(w->rt) == 0);
    for (unsigned s = 0; s < SCRIPT_SEMAPHORES; s++)
        if (w->program->capacity[s] > 0)
            SCRIPT_CHECK(w, weir_semaphore_validate(&w->sem[s]) == 0);
    script_pool_validate(w);
}

int script_step(script_world *w)
{
    if (!weir_simulator_step(w->sim, w->rt)) {
        int cancelled = 0; /* the program is over: its daemons go with it */
        for (unsigned i = 0; i < SCRIPT_TASKS && weir_root(w->rt)->n_children == 0; i++)
            if (w->task[i].spawned && !w->task[i].ended)
                cancelled |=
                    weir_scope_cancel(w->rt, &w->task[i].task.scope, (weir_reason){"the end", 0});
        return cancelled;
    }
    if (weir_root(w->rt)->n_children == 0)
        script_pool_end(w);
    if (!w->lazy)
        script_validate(w);
    SCRIPT_CHECK(w, w->steps < 100000);
    return w->broken == NULL;
}

void script_cancel_all(script_world *w)
{
    for (unsigned i = 0; i < SCRIPT_TASKS; i++)
        if (w->task[i].spawned && !w->task[i].ended)
            weir_scope_cancel(w->rt, &w->task[i].task.scope, (weir_reason){"all", 0});
}

int script_finish(script_world *w)
{
    const weir_counters *n = weir_runtime_counters(w->rt);
    script_validate(w);
    for (unsigned i = 0; i < SCRIPT_TASKS; i++)
        SCRIPT_CHECK(w, w->task[i].spawned == w->task[i].ended); /* or it hangs */
    SCRIPT_CHECK(w, weir_runtime_quiesce(w->rt) == NULL);
    SCRIPT_CHECK(w, n->done + n->failed + n->cancelled == n->spawned);
    SCRIPT_CHECK(w, n->leaks == w->leaked);
    for (unsigned s = 0; s < SCRIPT_SEMAPHORES; s++) {
        if (w->program->capacity[s] == 0)
            continue;
        SCRIPT_CHECK(w, w->inside[s] == 0);
        SCRIPT_CHECK(w, w->sem[s].available == w->sem[s].capacity);
        SCRIPT_CHECK(w, w->sem[s].waiting == 0);
        if (w->broken == NULL)
            weir_semaphore_fini(&w->sem[s]);
    }
    script_pool_finish(w);
    if (w->broken == NULL) /* a broken world stays for the debugger */
        weir_runtime_free(w->rt);
    return w->broken == NULL;
}

int script_run(script_world *w, const script_program *program)
{
    if (!script_begin(w, program))
        return w->broken == NULL;
    while (script_step(w))
        ;
    return script_finish(w);
}

script_world *script_world_new(const script_program *program)
{
    script_world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    w->sim = weir_simulator_new(WEIR_PLAN_FIFO, 1);
    assert_non_null(w->sim);
    assert_true(script_begin(w, program));
    return w;
}

void script_world_free(script_world *w)
{
    while (script_step(w))
        ;
    if (!script_finish(w)) {
        script_print(w->program);
        check_fail(w->file, w->line, "%s", w->broken);
    }
    CHECK_INT(weir_simulator_bytes(w->sim), 0);
    weir_simulator_free(w->sim);
    free(w);
}

void script_run_to(script_world *w, uint64_t at)
{
    while (weir_next_turn(w->rt) <= at && script_step(w))
        ;
}

void script_print(const script_program *p)
{
    static const char *const words[] = {"END",
                                        "FAIL",
                                        "MARK",
                                        "ACQUIRE",
                                        "TRY",
                                        "RELEASE",
                                        "TRANSFER",
                                        "FORGET",
                                        "SLEEP",
                                        "YIELD",
                                        "PARK",
                                        "SPAWN",
                                        "DETACH",
                                        "DAEMON",
                                        "JOIN",
                                        "PJOIN",
                                        "CANCEL",
                                        "CANCEL_SCOPE",
                                        "OPEN",
                                        "CATCH",
                                        "SHIELD",
                                        "CLOSE",
                                        "CLOSE_SEMAPHORE",
                                        "DRAIN",
                                        "RESIZE",
                                        "POOL",
                                        "LEASE",
                                        "TAKE",
                                        "GIVE",
                                        "DISCARD",
                                        "LEND",
                                        "LOSE",
                                        "CLOSE_POOL",
                                        "DRAIN_POOL",
                                        "RESIZE_POOL",
                                        "EVICT_POOL"};
    print_error("%s, capacities %u %u %u\n", p->name, p->capacity[0], p->capacity[1],
                p->capacity[2]);
    for (unsigned i = 0; i < SCRIPT_TASKS; i++) {
        if (p->body[i][0].code == SCRIPT_END)
            continue;
        print_error("  task %u:", i);
        for (const script_op *op = p->body[i]; op->code != SCRIPT_END; op++)
            print_error(" S%s(%u, %u, %u)", words[op->code], op->a, op->n, op->t);
        print_error("\n");
    }
}
