/* bindings/lrun.c - weir.run: drive the runtime until the main task, and what it left, has ended.
 *
 * Order of an end: the main task (and with it everything structured), then the detached tasks,
 * then the daemons, which are cancelled, then what pools have, which is destroyed. When nothing can
 * happen any more and tasks are left, the main task's wait raises `deadlock`; if that cannot be
 * given up (a join at a scope's end) the scope it ends is cancelled and fails with the deadlock.
 */
#include <string.h>

#include "context.h"

enum { MAX_LISTED = 20 };

/* Protected. Push "who waits in what" for the waiting tasks below the root. */
static int list_waiting(lua_State *L)
{
    lcontext *ctx = lua_touserdata(L, 1);
    weir_scope *root = weir_root(ctx->rt), *s = root;
    luaL_Buffer b;
    int n = 0;
    luaL_buffinit(L, &b);
    for (;;) { /* a walk by the links, as deep as the tree is */
        weir_link *k = weir_list_first(&s->children);
        while (k == NULL) {
            if (s == root)
                goto end;
            k = weir_list_next(&s->parent->children, &s->link);
            s = s->parent;
        }
        s = weir_container(k, weir_scope, link);
        weir_task *t = weir_scope_task(s);
        if (t == NULL || t->wait.status != WEIR_PENDING || ++n > MAX_LISTED)
            continue;
        lwait_push_waits(L, (ltask *)(void *)t);
        luaL_addvalue(&b);
    }
end:
    if (n > MAX_LISTED) {
        lua_pushfstring(L, "\n  ... and %d more", n - MAX_LISTED);
        luaL_addvalue(&b);
    }
    luaL_pushresult(&b);
    return 1;
}

static ltask *child(weir_link *k)
{
    return (ltask *)(void *)weir_scope_task(weir_container(k, weir_scope, link));
}

/* What pools do goes on until they have been closed, which is `at_last`. */
static void cancel_all(lcontext *ctx, const char *why, int at_last)
{
    weir_scope *root = weir_root(ctx->rt);
    for (weir_link *k = weir_list_first(&root->children); k; k = weir_list_next(&root->children, k))
        if (at_last || child(k)->work != LWORK_POOL)
            weir_scope_cancel(ctx->rt, &child(k)->task.scope, (weir_reason){why, 0});
}

/* The time of a run on virtual time is over: say who waits, and cancel them. */
static void end_time(lcontext *ctx)
{
    lua_State *L = ctx->from;
    ctx->until = WEIR_FOREVER;
    lua_pushcfunction(L, list_waiting);
    lua_pushlightuserdata(L, ctx);
    lua_pcall(L, 1, 1, 0); /* an error is as good a text */
    lerror_report(L, ctx, "timeout", 1);
    cancel_all(ctx, "the time of the run is over", 0);
    weir_scope_open_shields(ctx->rt, weir_root(ctx->rt));
}

/* Let something happen: 0 if nothing can any more. */
static int step(lcontext *ctx)
{
    if (ctx->simulator != NULL) {
        if (lpool_is_all(ctx))
            return 0;
        uint64_t next = weir_next_turn(ctx->rt);
        if (next > ctx->until && next != WEIR_FOREVER)
            end_time(ctx);
        return weir_simulator_step(ctx->simulator, ctx->rt);
    }
    if (ctx->guest != NULL)
        lguest_step(ctx->from, ctx);
    /* Garbage is collected in the loop's idle time, in small steps, so that less is left to be
     * collected while tasks run. */
    if (weir_next_turn(ctx->rt) != 0) {
        lcontext_trim(ctx);
        if (ctx->box->idle_gc)
            lua_gc(ctx->from, LUA_GCSTEP, ctx->box->idle_gc);
        if (lpool_is_all(ctx))
            return 0;
    }
    if (weir_loop_once(ctx->loop, 1))
        return 1;
    return ctx->guest != NULL && lguest_step(ctx->from, ctx); /* the turn may have woken it */
}

/* Protected. Keep the list for the error that the main task's wait is about to raise. */
static int keep_list(lua_State *L)
{
    lcontext *ctx = lua_touserdata(L, 1);
    list_waiting(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &ctx->main_task);
    return 0;
}

/* Protected. Keep the deadlock as an error of the scope that the main task ends. */
static int keep_deadlock(lua_State *L)
{
    lcontext *ctx = lua_touserdata(L, 1);
    weir_scope *s = lua_touserdata(L, 2);
    lua_pushcfunction(L, list_waiting);
    lua_pushvalue(L, 1);
    lua_call(L, 1, 1);
    lerror_push(L, "deadlock", "weir.run", "deadlock: nothing can wake any task; waiting:%s",
                lua_tostring(L, -1));
    lscope_add_error(L, ctx, s, -1, NULL);
    return 0;
}

static void break_deadlock(lua_State *L, lcontext *ctx, ltask *t)
{
    weir_scope *s = t != NULL ? t->task.current : weir_root(ctx->rt);
    if (t != NULL && t->task.wait.status == WEIR_PENDING && t->task.wait.ops->leave != NULL) {
        lua_pushcfunction(L, keep_list); /* the error is plainer where memory is short */
        lua_pushlightuserdata(L, ctx);
        if (lua_pcall(L, 1, 0, 0) != LUA_OK)
            lua_pop(L, 1);
        weir_waiter_give_up(ctx->rt, &t->task.wait, WEIR_STUCK);
        return;
    }
    if (t != NULL) {
        lua_pushcfunction(L, keep_deadlock);
        lua_pushlightuserdata(L, ctx);
        lua_pushlightuserdata(L, s);
        if (lua_pcall(L, 2, 0, 0) != LUA_OK)
            lua_pop(L, 1);
        s->flags |= WEIR_SCOPE_FAILED;
        weir_scope_cancel(ctx->rt, s, (weir_reason){"deadlock", 0});
        weir_scope_open_shields(ctx->rt, s);
        return;
    }
    /* Detached tasks are left, and they wait for each other or for nothing. */
    ctx->deadlocked = 1;
    lua_pushcfunction(L, list_waiting);
    lua_pushlightuserdata(L, ctx);
    if (lua_pcall(L, 1, 1, 0) != LUA_OK)
        lua_pop(L, 1);
    else
        lerror_report(L, ctx, "deadlock: nothing can wake any detached task; waiting", 1);
    for (weir_link *k = weir_list_first(&s->children); k; k = weir_list_next(&s->children, k))
        weir_scope_cancel(ctx->rt, weir_container(k, weir_scope, link),
                          (weir_reason){"deadlock", 0});
    weir_scope_open_shields(ctx->rt, s);
}

static const char ENDS[] = "the program ends"; /* the reason of what is cancelled then */

static int has_daemons(lcontext *ctx)
{
    weir_scope *root = weir_root(ctx->rt);
    for (weir_link *k = weir_list_first(&root->children); k; k = weir_list_next(&root->children, k))
        if (child(k)->work != LWORK_POOL)
            return 1;
    return 0;
}

/* Pools outlive a run, but empty: what they have may be connected to what ends with the program. */
static void empty_pools(lcontext *ctx)
{
    lpool_stop_all(ctx);
    while (!lpool_all_stopped(ctx)) {
        if (step(ctx) || lpool_all_stopped(ctx))
            continue;
        if (weir_runtime_counters(ctx->rt)->tasks == 0)
            break; /* there was no memory to go on */
        cancel_all(ctx, ENDS, 1);
        weir_scope_open_shields(ctx->rt, weir_root(ctx->rt));
    }
}

/* `t` may be NULL: then there is no main task. */
static void drive(lua_State *L, lcontext *ctx, ltask *t)
{
    weir_scope *root = weir_root(ctx->rt);
    /* A step may say "nothing more" having just run what was the last. */
    while (t != NULL && !weir_task_has_ended(&t->task))
        if (!step(ctx) && !weir_task_has_ended(&t->task))
            break_deadlock(L, ctx, t);
    while (root->n_children > 0)
        if (!step(ctx) && root->n_children > 0)
            break_deadlock(L, ctx, NULL);
    cancel_all(ctx, ENDS, 0);
    while (has_daemons(ctx))
        if (!step(ctx) && has_daemons(ctx))
            weir_scope_open_shields(ctx->rt, root);
    empty_pools(ctx);
    cancel_all(ctx, ENDS, 1);
    while (weir_runtime_counters(ctx->rt)->tasks > 0)
        if (!step(ctx) && weir_runtime_counters(ctx->rt)->tasks > 0)
            weir_scope_open_shields(ctx->rt, root);
    while (weir_next_turn(ctx->rt) == 0 && step(ctx)) /* what was put off until all is quiet */
        continue;
}

/* What is closing on a loop that we share gets its callback while there is a state for it. */
static void settle_loop(lua_State *L, lcontext *ctx)
{
    if (ctx->guest != NULL)
        lguest_step(L, ctx);
    else if (ctx->loop != NULL)
        weir_loop_once(ctx->loop, 0);
}

static void end_grace(weir_runtime *rt, weir_timer *timer)
{
    (void)timer;
    weir_scope_open_shields(rt, weir_root(rt));
}

/* Protected. The reason at 2. */
static int cancel_root(lua_State *L)
{
    lcontext *ctx = lua_touserdata(L, 1);
    lscope_cancel(L, ctx, weir_root(ctx->rt), 2);
    return 0;
}

void lrun_end(lua_State *L, lcontext *ctx, uint64_t grace)
{
    lua_State *from = ctx->from;
    weir_timer timer;
    weir_timer_init(&timer, end_grace);
    weir_now_update(ctx->rt); /* the host may have done other things since the last turn */
    lua_pushcfunction(L, cancel_root);
    lua_pushlightuserdata(L, ctx);
    lua_rotate(L, -3, -1);
    if (lua_pcall(L, 2, 0, 0) != LUA_OK) { /* no memory for the words */
        lua_pop(L, 1);
        weir_scope_cancel(ctx->rt, weir_root(ctx->rt), (weir_reason){ENDS, 0});
    }
    weir_timer_set(ctx->rt, &timer, weir_after(ctx->rt, grace));
    ctx->from = L;
    ctx->running = 1;
    drive(L, ctx, NULL);
    weir_timer_unset(ctx->rt, &timer);
    settle_loop(L, ctx);
    ctx->running = 0;
    ctx->from = from;
}

ltask *lrun_main(lua_State *L, lcontext *ctx, int nargs)
{
    lua_State *from = ctx->from;
    luaL_checkstack(L, 16, "run");
    int rc = ltask_spawn(L, ctx, nargs, weir_root(ctx->rt), 0, NULL);
    if (rc != 0)
        ltask_refused(L, "weir.run", rc, weir_root(ctx->rt));
    ltask *t = lua_touserdata(L, -1);
    t->is_main = 1;
    ctx->main_task = t;
    ctx->from = L;
    ctx->running = 1;
    drive(L, ctx, t);
    settle_loop(L, ctx);
    lpool_restart_all(ctx); /* after the last turn: with the next run, not before */
    ctx->running = 0;
    ctx->from = from;
    ctx->main_task = NULL;
    return t;
}

/* weir.run(fn, ...) -> what fn returns, once everything it started has ended. In a task: a scope,
 * so that one script runs under the weir program and under plain Lua. */
static int core_run(lua_State *L)
{
    lcontext *ctx = lcontext_here(L);
    lcheck_function(L, 1, "weir.run", "fn");
    if (ltask_current(ctx) != NULL)
        return lscope_run(L);
    if (ctx->running)
        return lerror_raise(L, "misuse", "weir.run",
                            "the runtime runs already, and this is a callback, not a task; "
                            "weir.detach starts one");
    ltask *t = lrun_main(L, ctx, lua_gettop(L) - 1);
    int n = ltask_push_values(L, -1, t);
    return t->task.state == WEIR_TASK_DONE ? n : lua_error(L);
}

/* weir.on_unhandled(fn or nil): fn(err, task) instead of the report on stderr; true from it also
 * takes the failure off the exit code. */
static int core_on_unhandled(lua_State *L)
{
    lcontext *ctx = lcontext_here(L);
    lua_settop(L, 1);
    if (!lua_isnil(L, 1))
        lcheck_function(L, 1, "weir.on_unhandled", "fn");
    int ref = lua_isnil(L, 1) ? LUA_NOREF : luaL_ref(L, LUA_REGISTRYINDEX);
    luaL_unref(L, LUA_REGISTRYINDEX, ctx->on_unhandled);
    ctx->on_unhandled = ref;
    return 0;
}

/* core.unhandled() -> how many failures nobody could get. */
static int core_unhandled(lua_State *L)
{
    lua_pushinteger(L, lcontext_here(L)->n_unhandled);
    return 1;
}

/* core.idle_gc(size): 0 is off; otherwise the size of a collector step (see collectgarbage) done
 * each time the loop is about to sleep. -> the setting before. */
static int core_idle_gc(lua_State *L)
{
    lbox *box = lbox_of(L);
    lua_Integer size = luaL_checkinteger(L, 1);
    luaL_argcheck(L, size >= 0 && size < 1 << 20, 1, "expected 0 .. 2^20");
    lua_pushinteger(L, box->idle_gc);
    box->idle_gc = (int)size;
    return 1;
}

/* core.counters() -> the runtime's counters as a table. */
static int core_counters(lua_State *L)
{
    const weir_counters *n = weir_runtime_counters(lcontext_here(L)->rt);
    const struct {
        const char *name;
        uint64_t value;
    } fields[] = {{"turns", n->turns},
                  {"runs", n->runs},
                  {"spawned", n->spawned},
                  {"done", n->done},
                  {"failed", n->failed},
                  {"cancelled", n->cancelled},
                  {"waits", n->waits},
                  {"grants", n->grants},
                  {"timeouts", n->timeouts},
                  {"cancels", n->cancels},
                  {"leaks", n->leaks},
                  {"tasks", n->tasks},
                  {"scopes", n->scopes},
                  {"timers", n->timers},
                  {"pending", n->pending},
                  {"ready", n->ready},
                  {"permits", n->permits},
                  {"io", n->io},
                  {"bytes", n->bytes},
                  {"coroutines", lcontext_here(L)->n_threads},
                  {"idle_coroutines", lcontext_here(L)->n_idle}};
    lua_createtable(L, 0, (int)(sizeof fields / sizeof *fields));
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        lua_pushinteger(L, (lua_Integer)fields[i].value);
        lua_setfield(L, -2, fields[i].name);
    }
    return 1;
}

static const luaL_Reg functions[] = {
    {"run", core_run},         {"on_unhandled", core_on_unhandled}, {"unhandled", core_unhandled},
    {"idle_gc", core_idle_gc}, {"counters", core_counters},         {NULL, NULL}};

void lrun_open(lua_State *L)
{
    lcontext_set_functions(L, functions);
}
