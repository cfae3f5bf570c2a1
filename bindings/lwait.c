/* bindings/lwait.c - waiting: the way into a wait, out of it, and the waits without an object.
 *
 * A waiting function: lwait_enter (may this wait here, is it cancelled), whatever can raise,
 * arm the core's waiter, lwait_park as the last statement; lwait_outcome first in its
 * continuation. A cancelled wait raises there, inside the task, so that every pcall and <close>
 * on the way out runs as ordinary code and may itself wait.
 */
#include <string.h>

#include "context.h"

/* Push " at FILE:LINE" of `of`, and 1: where its own code called the library, or where the library
 * is if it is a task of the library's. 0: nothing is known. */
static int push_line(lua_State *L, lua_State *of)
{
    const char *folder = lbox_of(L)->folder;
    size_t n = folder != NULL ? strlen(folder) : 0;
    int first = -1;
    lua_Debug ar;
    for (int level = 0; of != NULL && lua_getstack(of, level, &ar); level++) {
        if (!lua_getinfo(of, "Sl", &ar) || ar.currentline <= 0)
            continue;
        if (first < 0)
            first = level;
        if (n == 0 || strncmp(ar.source, folder, n) != 0) {
            first = level;
            break;
        }
    }
    if (first < 0 || !lua_getstack(of, first, &ar) || !lua_getinfo(of, "Sl", &ar))
        return 0;
    lua_pushfstring(L, " at %s:%d", ar.short_src, ar.currentline);
    return 1;
}

int lwait_refuse_outside(lua_State *L, const char *op, const char *hint)
{
    /* Plain Lua shows no stack of an error object: its text has to say where. */
    if (!push_line(L, L))
        lua_pushliteral(L, "");
    return lerror_raise(L, "misuse", op, "must be called inside a task (%s)%s%s", hint,
                        *lua_tostring(L, -1) != '\0' ? ", is called" : "", lua_tostring(L, -1));
}

ltask *lwait_refuse_task(lua_State *L, const ltask *t, const char *op)
{
    if (t == NULL || t->co == NULL)
        lwait_refuse_outside(L, op, "in weir.run, or in a script of the weir program");
    lerror_raise(L, "misuse", op,
                 "called in a coroutine of your own: a wait there would stop the task, not the "
                 "coroutine; use weir.spawn instead of coroutine.create or wrap");
    return NULL; /* not reached */
}

void lwait_refuse(lua_State *L, const ltask *t, const char *op)
{
    lwait_check_yieldable(L, op);
    if (!weir_scope_is_cancelled(t->task.current))
        weir_scope_expire(t->ctx->rt, t->task.current);
    lerror_push_cancelled(L, op, t->task.current);
    lua_error(L);
}

void lwait_check_yieldable(lua_State *L, const char *op)
{
    if (!lua_isyieldable(L))
        lerror_raise(L, "misuse", op,
                     "cannot wait here: Lua cannot yield across require, table.sort, "
                     "string.gsub, __tostring, __gc or another C function");
}

/* Tests ask for a cancel at the k-th park of a run. */
static void count_park(lcontext *ctx, ltask *t)
{
    if (++ctx->parks == ctx->cancel_at) {
        ltask *victim = ctx->cancel_self ? t : ctx->main_task;
        if (victim != NULL)
            weir_scope_cancel(ctx->rt, &victim->task.scope, (weir_reason){"injected", 0});
    }
}

/* Where a parked task wakes up. Somebody with a hand on its coroutine may have resumed it, not
 * the runtime: then it goes on waiting, and what was passed to it is dropped. */
static int woken(lua_State *L, int status, lua_KContext kctx)
{
    ltask *t = (ltask *)kctx;
    if (lua_gettop(L) != t->top)
        lua_settop(L, t->top);
    if (weir_current(t->ctx->rt) != &t->task || t->task.state != WEIR_TASK_RUNNING)
        return lua_yieldk(L, 0, kctx, woken);
    return t->k(L, status, t->kctx);
}

static int yield_task(lua_State *L, ltask *t, lua_KFunction k, lua_KContext kctx)
{
    count_park(t->ctx, t);
    t->k = k;
    t->kctx = kctx;
    t->top = lua_gettop(L);
    t->parked = 1;
    return lua_yieldk(L, 0, (lua_KContext)t, woken);
}

int lwait_park(lua_State *L, ltask *t, lua_KFunction k, lua_KContext kctx)
{
    weir_waiter *w = &t->task.wait;
    weir_graph g;
    if (w->status == WEIR_PENDING && !(w->flags & WEIR_WAITER_SURE) && w->ops->can_wake != NULL &&
        w->ops->leave != NULL && weir_graph_is_stuck(t->ctx->rt, &t->task, &g)) {
        return lwait_raise_stuck(L, t->ctx, &g);
    }
    return yield_task(L, t, k, kctx);
}

void lwait_push_waits(lua_State *L, ltask *t)
{
    const weir_waiter *w = &t->task.wait;
    const char *name = w->ops->name != NULL ? w->ops->name(w) : NULL;
    int n = 4;
    luaL_checkstack(L, 12, "report");
    lua_pushliteral(L, "\n  ");
    ltask_push_name(L, t);
    if (t->is_main) {
        lua_pushliteral(L, "");
    } else {
        ltask_push_site(L, t);
        lua_pushfstring(L, " (spawned %s)", lua_tostring(L, -1));
        lua_remove(L, -2);
    }
    if (name != NULL)
        lua_pushfstring(L, " waits in %s '%s'", w->ops->op, name);
    else
        lua_pushfstring(L, " waits in %s", w->ops->op);
    n += push_line(L, t->co);
    lua_concat(L, n);
}

/* The running task's wait, armed and not parked, is hopeless: describe, undo, raise. The text is
 * made under protection, since a wait is armed; if memory is short the error is plainer. */
static int describe_cycle(lua_State *L)
{
    weir_graph *g = lua_touserdata(L, 1);
    int n = 1;
    lua_pushliteral(L, "");
    for (uint32_t i = 0; i < g->n_cycle; i++, n++) {
        luaL_checkstack(L, 8, "deadlock report");
        lwait_push_waits(L, (ltask *)(void *)g->cycle[i]);
    }
    lua_concat(L, n);
    return 1;
}

int lwait_raise_stuck(lua_State *L, lcontext *ctx, weir_graph *g)
{
    ltask *t = ltask_current(ctx);
    weir_waiter *w = &t->task.wait;
    const char *op = w->ops->op;
    lua_pushcfunction(L, describe_cycle);
    lua_pushlightuserdata(L, g);
    if (lua_pcall(L, 1, 1, 0) != LUA_OK) {
        lua_pop(L, 1);
        lua_pushnil(L);
    }
    const char *name = w->ops->name != NULL ? w->ops->name(w) : NULL;
    lua_pushstring(L, name); /* still there until the wait is undone */
    weir_waiter_abandon(ctx->rt, w);
    lerror_push(L, "deadlock", op, "deadlock: nobody can wake this wait%s%s%s; the cycle:%s",
                name ? " on '" : "", lua_isnil(L, -1) ? "" : lua_tostring(L, -1), name ? "'" : "",
                lua_isnil(L, -2) ? " (out of memory)" : lua_tostring(L, -2));
    lua_pushvalue(L, -2);
    lua_setfield(L, -2, "name");
    return lua_error(L);
}

/* Protected: keep a deadlock error for the scope that ends. Arguments: graph, scope. */
static int keep_stuck(lua_State *L)
{
    weir_scope *s = lua_touserdata(L, 2);
    lcontext *ctx = lbox_of(L)->current;
    lua_pushcfunction(L, describe_cycle);
    lua_pushvalue(L, 1);
    lua_call(L, 1, 1);
    lerror_push(L, "deadlock", "scope end",
                "deadlock: a child waits for what waits for its end; the cycle:%s",
                lua_tostring(L, -1));
    lscope_add_error(L, ctx, s, -1, NULL);
    return 0;
}

int lwait_join_end(lua_State *L, ltask *t, weir_scope *s, lua_KFunction k, lua_KContext kctx)
{
    weir_runtime *rt = t->ctx->rt;
    weir_graph g;
    weir_scope_join(rt, s, &t->task.wait, 0, WEIR_FOREVER);
    if (t->task.wait.status == WEIR_PENDING && weir_graph_is_stuck(rt, &t->task, &g)) {
        /* The join itself cannot be given up; its children can. */
        lua_pushcfunction(L, keep_stuck);
        lua_pushlightuserdata(L, &g);
        lua_pushlightuserdata(L, s);
        if (lua_pcall(L, 2, 0, 0) != LUA_OK)
            lua_pop(L, 1);
        s->flags |= WEIR_SCOPE_FAILED;
        weir_scope_cancel(rt, s, (weir_reason){"deadlock", 0});
    }
    return yield_task(L, t, k, kctx);
}

void lwait_outcome(lua_State *L, lcontext *ctx)
{
    lwait_outcome_of(L, ctx, ltask_current(ctx)->task.wait.ops->op);
}

void lwait_outcome_of(lua_State *L, lcontext *ctx, const char *op)
{
    ltask *t = ltask_current(ctx);
    const weir_waiter *w = &t->task.wait;
    switch ((weir_status)w->status) {
    case WEIR_CANCELED:
        lerror_push_cancelled(L, op, t->task.current);
        break;
    case WEIR_TIMEOUT:
        lerror_push(L, "timeout", op, "timed out");
        break;
    case WEIR_CLOSED:
        lerror_push(L, "closed", op, "closed");
        break;
    case WEIR_STUCK: /* the driver left the list of who waits, if it was the one to say so */
        lua_rawgetp(L, LUA_REGISTRYINDEX, &ctx->main_task);
        lua_pushnil(L);
        lua_rawsetp(L, LUA_REGISTRYINDEX, &ctx->main_task);
        lerror_push(L, "deadlock", op, "deadlock: nobody can wake this wait any more%s%s",
                    lua_isstring(L, -1) ? "; waiting:" : "",
                    lua_isstring(L, -1) ? lua_tostring(L, -1) : "");
        break;
    case WEIR_IMPOSSIBLE:
        lerror_push(L, "impossible", op, "can never be granted any more: the capacity shrank");
        break;
    default:
        return;
    }
    lua_error(L);
}

int lwait_yield(lua_State *L, ltask *t, const char *op, lua_KFunction k, lua_KContext kctx)
{
    lwait_enter(L, t->ctx, op);
    weir_yield(t->ctx->rt, &t->task.wait);
    return lwait_park(L, t, k, kctx);
}

static int again(lua_State *L, int status, lua_KContext f)
{
    (void)status;
    lwait_outcome(L, lcontext_here(L));
    return ((lua_CFunction)f)(L);
}

int lwait_again(lua_State *L, ltask *t, const char *op, lua_CFunction f)
{
    return lwait_yield(L, t, op, again, (lua_KContext)f);
}

/* --- waits without an object ---------------------------------------------------------- */

static int done(lua_State *L, int status, lua_KContext kctx)
{
    (void)status;
    (void)kctx;
    lwait_outcome(L, lcontext_here(L));
    return 0;
}

/* weir.sleep(seconds): waits; 0 lets the others run. */
static int core_sleep(lua_State *L)
{
    lcontext *ctx = lcontext_here(L);
    uint64_t ns = lcheck_seconds(L, 1, "weir.sleep", "seconds");
    ltask *t = lwait_enter(L, ctx, "weir.sleep");
    if (ns == 0)
        weir_yield(ctx->rt, &t->task.wait);
    else
        weir_sleep_until(ctx->rt, &t->task.wait, weir_after(ctx->rt, ns));
    return lwait_park(L, t, done, 0);
}

/* weir.checkpoint(): raise if cancelled, let the others run. */
static int core_checkpoint(lua_State *L)
{
    lcontext *ctx = lcontext_here(L);
    ltask *t = lwait_enter(L, ctx, "weir.checkpoint");
    weir_yield(ctx->rt, &t->task.wait);
    return lwait_park(L, t, done, 0);
}

/* weir.now() -> seconds of the runtime's monotonic clock, read once per turn */
static int core_now(lua_State *L)
{
    lua_pushnumber(L, lseconds(weir_now(lcontext_here(L)->rt)));
    return 1;
}

/* --- weir.await: any callback API ------------------------------------------------------ */

/* What `resume` and the waiting task share: userdata, upvalue of `resume`, on the task's stack.
 * User values: the packed values of resume; the task while it waits, which may die there. */
typedef struct ltoken {
    lcontext *ctx;
    ltask *task;         /* who waits; NULL before it parks and once it went on */
    uint32_t generation; /* of its wait */
    int n;               /* values, -1 while resume was not called */
} ltoken;

static void leave_await(weir_runtime *rt, weir_waiter *w)
{
    (void)rt;
    (void)w;
}

static const weir_wait_ops await_ops = {"weir.await", leave_await, leave_await, NULL, NULL};

/* resume(...): the first call counts, from anywhere; it runs nothing. */
static int await_resume(lua_State *L)
{
    ltoken *k = lua_touserdata(L, lua_upvalueindex(1));
    int n = lua_gettop(L);
    if (k->n >= 0)
        return 0;
    lua_createtable(L, n, 0);
    lua_insert(L, 1);
    for (int i = n; i >= 1; i--)
        lua_rawseti(L, 1, i);
    lua_setiuservalue(L, lua_upvalueindex(1), 1);
    k->n = n;
    if (k->task != NULL && k->task->task.wait.status == WEIR_PENDING &&
        k->task->task.wait.generation == k->generation)
        weir_waiter_settle(k->ctx->rt, &k->task->task.wait, WEIR_GRANTED);
    return 0;
}

static int push_values(lua_State *L, int token)
{
    ltoken *k = lua_touserdata(L, token);
    int n = k->n;
    luaL_checkstack(L, n + 2, "too many values");
    lua_getiuservalue(L, token, 1);
    int table = lua_gettop(L);
    for (int i = 1; i <= n; i++)
        lua_rawgeti(L, table, i);
    return n;
}

static int await_closed(lua_State *L, int status, lua_KContext kctx)
{
    (void)status;
    (void)kctx;
    lua_settop(L, 3); /* token, closable, error */
    return lua_error(L);
}

/* Given up: close what `start` returned, then raise. Stack: token, closable. */
static int await_give_up(lua_State *L)
{
    lua_settop(L, 3);
    int by_name = luaL_getmetafield(L, 2, "__close") == LUA_TNIL;
    if (by_name) {
        int type = lua_type(L, 2);
        if (type == LUA_TUSERDATA && luaL_getmetafield(L, 2, "__index") == LUA_TNIL)
            type = LUA_TNIL; /* nothing to ask it for */
        if (type != LUA_TTABLE && type != LUA_TUSERDATA)
            return await_closed(L, LUA_OK, 0);
        lua_settop(L, 3);
        if (lua_getfield(L, 2, "close") == LUA_TNIL)
            return await_closed(L, LUA_OK, 0);
    }
    lua_pushvalue(L, 2);
    if (by_name) {
        lua_callk(L, 1, 0, 0, await_closed);
    } else { /* __close(value, error) */
        lua_pushvalue(L, 3);
        lua_callk(L, 2, 0, 0, await_closed);
    }
    return await_closed(L, LUA_OK, 0);
}

static int raise_outcome(lua_State *L)
{
    lwait_outcome(L, lbox_of(L)->current);
    return 0;
}

static int awaited(lua_State *L, int status, lua_KContext kctx)
{
    ltoken *k = lua_touserdata(L, 1);
    lcontext *ctx = lcontext_here(L);
    (void)status;
    (void)kctx;
    k->task = NULL;
    lua_pushnil(L);
    lua_setiuservalue(L, 1, 2);
    if (ltask_current(ctx)->task.wait.status == WEIR_GRANTED)
        return push_values(L, 1);
    lua_settop(L, 2);
    lua_pushcfunction(L, raise_outcome);
    if (lua_pcall(L, 0, 0, 0) == LUA_OK)
        lua_pushnil(L);
    return await_give_up(L);
}

static int await_started(lua_State *L, int status, lua_KContext kctx)
{
    lcontext *ctx = lcontext_here(L);
    ltoken *k = lua_touserdata(L, 1);
    (void)status;
    (void)kctx;
    lua_settop(L, 2);
    if (k->n >= 0)
        return push_values(L, 1);
    ltask *t = lwait_task(L, ctx, "weir.await");
    if (weir_scope_is_cancelled(t->task.current)) {
        lerror_push_cancelled(L, "weir.await", t->task.current);
        return await_give_up(L);
    }
    ltask_push(L, t);
    lua_setiuservalue(L, 1, 2);
    weir_waiter_begin(ctx->rt, &t->task.wait, &await_ops, k, WEIR_FOREVER);
    k->task = t;
    k->generation = t->task.wait.generation;
    return lwait_park(L, t, awaited, 0);
}

/* weir.await(start) -> what resume was called with. start(resume) runs at once and may return
 * something closable, which is closed if the wait is given up. */
static int core_await(lua_State *L)
{
    lcontext *ctx = lcontext_here(L);
    lcheck_function(L, 1, "weir.await", "start");
    ltask *t = lwait_enter(L, ctx, "weir.await");
    lua_settop(L, 1);
    if (lwait_spend(L, t)) /* before the start, so that nothing it gives is lost */
        return lwait_again(L, t, "weir.await", core_await);
    ltoken *k = lua_newuserdatauv(L, sizeof *k, 2);
    *k = (ltoken){.ctx = ctx, .n = -1};
    lua_insert(L, 1); /* token, start */
    lua_pushvalue(L, 1);
    lua_pushcclosure(L, await_resume, 1);
    lua_callk(L, 1, 1, 0, await_started);
    return await_started(L, LUA_OK, 0);
}

/* core.own_folder(): the files in the caller's folder are the library's; reports name others. */
static int core_own_folder(lua_State *L)
{
    static const char key;
    lua_Debug ar;
    if (!lua_getstack(L, 1, &ar) || !lua_getinfo(L, "S", &ar))
        return 0;
    const char *slash = strrchr(ar.source, '/');
    if (*ar.source != '@' || slash == NULL)
        return 0;
    lua_pushlstring(L, ar.source, (size_t)(slash - ar.source) + 1);
    lbox_here(L)->folder = lua_tostring(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &key);
    return 0;
}

static const luaL_Reg functions[] = {{"own_folder", core_own_folder}, {"sleep", core_sleep},
                                     {"checkpoint", core_checkpoint}, {"now", core_now},
                                     {"await", core_await},           {NULL, NULL}};

void lwait_open(lua_State *L)
{
    lcontext_set_functions(L, functions);
}
