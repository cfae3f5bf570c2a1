/* bindings/ltask.c - tasks: spawn, first turn, end, and what Lua sees of them.
 *
 * A task's body runs under task_main, inside its own coroutine, under lua_pcallk: an error or a
 * cancel unwinds through <close> handlers that may wait, and the handler sees the whole stack.
 * task_main then joins the children, decides the outcome and stores it; it does so in the
 * coroutine because all that can raise (out of memory). Until the join is over it allocates
 * nothing, so that it cannot fail with children alive. Only then does the core learn of the end.
 */
#include <string.h>

#include "context.h"

/* --- names, sites, extras -------------------------------------------------------------- */

void ltask_push(lua_State *L, ltask *t)
{
    lcontext_push_slot(L, t->ctx, t->slot);
}

static void push_container(lua_State *L, lcontext *ctx, weir_scope *s)
{
    lcontext_push_slot(L, ctx, (s->flags & WEIR_SCOPE_TASK) ? ((ltask *)(void *)s)->slot
                                                            : ((lscope *)(void *)s)->slot);
}

/* The extra table of the task at the top of the stack (stays); made if missing. */
static void push_task_extra(lua_State *L, ltask *t)
{
    if (t->has_extra) {
        lua_getiuservalue(L, -1, LTASK_EXTRA);
        return;
    }
    lua_createtable(L, 0, 2);
    lua_getiuservalue(L, -2, LTASK_EXTRA);
    lua_setfield(L, -2, "site");
    lua_pushvalue(L, -1);
    lua_setiuservalue(L, -3, LTASK_EXTRA);
    t->has_extra = 1;
}

void lscope_push_extra(lua_State *L, lcontext *ctx, weir_scope *s)
{
    luaL_checkstack(L, 8, "scope");
    push_container(L, ctx, s);
    if (s->flags & WEIR_SCOPE_TASK) {
        push_task_extra(L, (ltask *)(void *)s);
    } else if (lua_getiuservalue(L, -1, LSCOPE_EXTRA) == LUA_TNIL) {
        lua_pop(L, 1);
        lua_newtable(L);
        lua_pushvalue(L, -1);
        lua_setiuservalue(L, -3, LSCOPE_EXTRA);
    }
    lua_remove(L, -2);
}

/* Push field `key` of the task's extra table, nil if there is none. The task is at `index`. */
static int push_extra_field(lua_State *L, int index, ltask *t, const char *key)
{
    if (!t->has_extra) {
        lua_pushnil(L);
        return LUA_TNIL;
    }
    lua_getiuservalue(L, index, LTASK_EXTRA);
    int type = lua_getfield(L, -1, key);
    lua_remove(L, -2);
    return type;
}

static void push_default_name(lua_State *L, ltask *t)
{
    if (t->is_main)
        lua_pushliteral(L, "the main task");
    else
        lua_pushfstring(L, "task %I", (lua_Integer)t->task.id);
}

void ltask_push_name(lua_State *L, ltask *t)
{
    ltask_push(L, t);
    if (push_extra_field(L, lua_gettop(L), t, "name") == LUA_TSTRING)
        lua_pushfstring(L, "task '%s'", lua_tostring(L, -1));
    else
        push_default_name(L, t);
    lua_replace(L, -3);
    lua_pop(L, 1);
}

void ltask_push_site(lua_State *L, ltask *t)
{
    lua_Debug ar;
    ltask_push(L, t);
    int index = lua_gettop(L);
    if (!t->has_extra)
        lua_getiuservalue(L, index, LTASK_EXTRA);
    else
        push_extra_field(L, index, t, "site");
    if (lua_isfunction(L, -1) && lua_getinfo(L, ">S", &ar) && t->line > 0) {
        lua_pushfstring(L, "%s:%d", ar.short_src, t->line);
    } else {
        lua_settop(L, index);
        lua_pushliteral(L, "?");
    }
    lua_remove(L, index);
}

/* --- errors kept beside scopes ----------------------------------------------------------- */

void lscope_add_error(lua_State *L, lcontext *ctx, weir_scope *blamed, int index, ltask *t)
{
    index = lua_absindex(L, index);
    lscope_push_extra(L, ctx, blamed);
    if (lua_getfield(L, -1, "errors") == LUA_TNIL) {
        lua_pop(L, 1);
        lua_newtable(L);
        lua_pushvalue(L, -1);
        lua_setfield(L, -3, "errors");
    }
    lua_createtable(L, 0, 3);
    lua_pushvalue(L, index);
    lua_setfield(L, -2, "error");
    if (t != NULL) {
        ltask_push(L, t);
        push_extra_field(L, lua_gettop(L), t, "traceback");
        lua_setfield(L, -3, "traceback");
        if (push_extra_field(L, lua_gettop(L), t, "name") == LUA_TNIL) {
            lua_pop(L, 1);
            push_default_name(L, t);
        }
        lua_setfield(L, -3, "name");
        lua_pop(L, 1);
    }
    lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
    lua_pop(L, 2);
}

int lscope_push_first_error(lua_State *L, lcontext *ctx, weir_scope *s)
{
    lscope_push_extra(L, ctx, s);
    if (lua_getfield(L, -1, "errors") != LUA_TTABLE) {
        lua_pop(L, 2);
        return 0;
    }
    lua_rawgeti(L, -1, 1);
    lua_getfield(L, -1, "error");
    lua_replace(L, -4);
    lua_pop(L, 2);
    return 1;
}

/* Append the text of the error and the traceback at the top (both popped) to the text below. */
static void append_failure(lua_State *L, const char *before)
{
    luaL_tolstring(L, -2, NULL);
    if (lua_isstring(L, -2))
        lua_pushfstring(L, "%s%s%s\n%s", lua_tostring(L, -4), before, lua_tostring(L, -1),
                        lua_tostring(L, -2));
    else
        lua_pushfstring(L, "%s%s%s", lua_tostring(L, -4), before, lua_tostring(L, -1));
    lua_replace(L, -5);
    lua_pop(L, 3);
}

void ltask_push_story(lua_State *L, ltask *t, int index)
{
    index = lua_absindex(L, index);
    luaL_checkstack(L, 12, "report");
    lua_pushliteral(L, "");
    ltask_push(L, t);
    int task = lua_gettop(L), of_body;
    lua_pushvalue(L, task - 1);
    lua_pushvalue(L, index);
    of_body = push_extra_field(L, task, t, "traceback") == LUA_TSTRING;
    if (!of_body) { /* it came from a child */
        lua_pop(L, 1);
        if (push_extra_field(L, task, t, "errors") == LUA_TTABLE &&
            lua_rawgeti(L, -1, 1) == LUA_TTABLE) {
            lua_getfield(L, -1, "traceback");
            lua_replace(L, -3);
            lua_pop(L, 1);
        }
    }
    append_failure(L, "");
    if (push_extra_field(L, task, t, "errors") == LUA_TTABLE) {
        lua_Integer n = (lua_Integer)lua_rawlen(L, -1);
        for (lua_Integer i = 1; i <= n; i++) {
            lua_rawgeti(L, task + 2, i);
            lua_getfield(L, -1, "error");
            lua_getfield(L, -2, "traceback");
            lua_remove(L, -3);
            if (lua_rawequal(L, -2, index)) {
                lua_pop(L, 2);
                continue;
            }
            lua_pushvalue(L, task + 1);
            lua_insert(L, -3);
            append_failure(L, "\nand beside it: ");
            lua_replace(L, task + 1);
        }
    }
    lua_settop(L, task + 1);
    lua_replace(L, task - 1);
    lua_settop(L, task - 1);
}

/* The error at `index` ended a task that nobody awaits: report it, or let the hook do so. */
static void unhandled(lua_State *L, lcontext *ctx, ltask *t, int index)
{
    index = lua_absindex(L, index);
    if (ctx->on_unhandled != LUA_NOREF) {
        lua_rawgeti(L, LUA_REGISTRYINDEX, ctx->on_unhandled);
        lua_pushvalue(L, index);
        ltask_push(L, t);
        if (lua_pcall(L, 2, 1, 0) == LUA_OK) {
            ctx->n_unhandled += !lua_toboolean(L, -1);
            lua_pop(L, 1);
            return;
        }
        lerror_report(L, ctx, "error in the on_unhandled hook", 1);
    }
    ltask_push_story(L, t, index);
    ltask_push_name(L, t);
    lua_pushfstring(L, "unhandled error in %s", lua_tostring(L, -1));
    const char *what = lua_tostring(L, -1);
    lua_pushvalue(L, -3);
    lerror_report(L, ctx, what, 1);
}

/* --- the end ------------------------------------------------------------------------------ */

/* The results, or the error, from `first` to the top become user value 1 of the task at 1. */
static void store_values(lua_State *L, ltask *t, int first)
{
    int n = lua_gettop(L) - first + 1;
    if (n > 1) {
        lua_createtable(L, n, 0);
        lua_insert(L, first);
        for (int i = n; i >= 1; i--)
            lua_rawseti(L, first, i);
    } else if (n == 0) {
        lua_pushnil(L);
    }
    lua_setiuservalue(L, 1, LTASK_VALUES);
    t->n_values = n;
}

/* All that can raise at the end of a task. Task at 1, results or error from `first`. */
static void conclude(lua_State *L, ltask *t, weir_task_state state, int first)
{
    lcontext *ctx = t->ctx;
    weir_scope *parent = t->task.scope.parent;
    t->outcome = WEIR_TASK_FAILED; /* should something below raise */
    if (state == WEIR_TASK_FAILED) {
        weir_scope *blamed = weir_task_blames(&t->task);
        if (blamed != NULL)
            lscope_add_error(L, ctx, blamed, first, t);
        else if (parent == weir_root(ctx->rt) && !t->is_main &&
                 !(t->task.scope.flags & WEIR_SCOPE_CLAIMED) &&
                 weir_list_is_empty(&t->task.scope.joiners))
            unhandled(L, ctx, t, first);
    }
    if (!weir_list_is_empty(&t->task.held)) {
        ltask_push_name(L, t);
        ltask_push_site(L, t);
        weir_hold *h = weir_container(weir_list_first(&t->task.held), weir_hold, link);
        const char *name = h->ops->name(h);
        lua_pushfstring(L, "%s (spawned at %s) ended and still held a %s%s%s%s, which was released",
                        lua_tostring(L, -2), lua_tostring(L, -1), h->ops->kind,
                        name ? " of '" : "", name ? name : "", name ? "'" : "");
        lerror_report(L, ctx, "leak", 0);
        lua_pop(L, 2);
    }
    if (!(parent->flags & WEIR_SCOPE_TASK) && parent != weir_root(ctx->rt) &&
        ((lscope *)(void *)parent)->collect)
        lscope_collect(L, (lscope *)(void *)parent, 1);
    store_values(L, t, first);
    lscope_drop_reason(L, &t->task.scope);
    t->outcome = (uint8_t)state;
}

/* What the continuation needs to know of the body, in its KContext. */
enum { BODY_FAILED = 1, BODY_FAILED_FIRST = 2 };

static int children_ended(lua_State *L, int status, lua_KContext body)
{
    ltask *t = lua_touserdata(L, 1);
    weir_scope *s = &t->task.scope;
    weir_task_state state = WEIR_TASK_DONE;
    int failed = (body & BODY_FAILED) != 0, cancelled = 0;
    (void)status;
    if (t->raw_yield && !failed) {
        lua_settop(L, 2);
        lerror_push(L, "misuse", "coroutine.yield", "a task cannot yield by itself");
        failed = 1;
    }
    if (failed) {
        cancelled = weir_scope_is_cancelled(s) && lerror_is_cancelled(L, 3);
        state = cancelled ? WEIR_TASK_CANCELLED : WEIR_TASK_FAILED;
    }
    if ((s->flags & WEIR_SCOPE_FAILED) && (cancelled || !(body & BODY_FAILED_FIRST)) &&
        lscope_push_first_error(L, t->ctx, s)) {
        lua_insert(L, 3);
        lua_settop(L, 3);
        state = WEIR_TASK_FAILED;
    }
    conclude(L, t, state, 3);
    return 0;
}

static int body_ended(lua_State *L, int status, lua_KContext kctx)
{
    ltask *t = lua_touserdata(L, 1);
    weir_scope *s = &t->task.scope;
    int body = 0;
    (void)kctx;
    if (status != LUA_OK && status != LUA_YIELD)
        body = BODY_FAILED | (s->flags & WEIR_SCOPE_FAILED ? 0 : BODY_FAILED_FIRST);
    if (t->permit != NULL) { /* the limit's slot: free for the next job when fn returns */
        weir_permit_release(t->permit);
        t->permit = NULL;
    }
    if (s->n_children == 0)
        return children_ended(L, LUA_OK, body);
    if (body & BODY_FAILED)
        weir_scope_cancel(t->ctx->rt, s, (weir_reason){"the task failed", 0});
    return lwait_join_end(L, t, s, children_ended, body);
}

/* The body of every coroutine. Stack: task, function, arguments. */
static int task_main(lua_State *L)
{
    lua_pushcfunction(L, lerror_handler);
    lua_insert(L, 2);
    return body_ended(L, lua_pcallk(L, lua_gettop(L) - 3, LUA_MULTRET, 2, 0, body_ended), 0);
}

/* Protected: a task that ends without its coroutine: it never ran (cancelled, or no memory for
 * one), or the coroutine died under it and left the error in its values. */
static int conclude_outside(lua_State *L)
{
    ltask *t = lua_touserdata(L, 1);
    ltask_push(L, t);
    lua_replace(L, 1);
    if (t->buried) {
        lua_getiuservalue(L, 1, LTASK_VALUES);
        conclude(L, t, WEIR_TASK_FAILED, 2);
    } else if (weir_scope_is_cancelled(&t->task.scope)) {
        lerror_push_cancelled(L, "task", &t->task.scope);
        conclude(L, t, WEIR_TASK_CANCELLED, 2);
    } else {
        lua_pushliteral(L, "not enough memory");
        conclude(L, t, WEIR_TASK_FAILED, 2);
    }
    return 0;
}

static void finish(lcontext *ctx, ltask *t)
{
    lua_State *L = ctx->from;
    int slot = t->slot;
    t->slot = 0;
    weir_task_finish(ctx->rt, &t->task, (weir_task_state)t->outcome);
    lcontext_unanchor(L, ctx, slot); /* `t` may be collected from here on */
}

static void finish_outside(lcontext *ctx, ltask *t)
{
    lua_State *L = ctx->from;
    t->outcome = WEIR_TASK_FAILED;
    lua_pushcfunction(L, conclude_outside);
    lua_pushlightuserdata(L, t);
    if (lua_pcall(L, 1, 0, 0) != LUA_OK)
        lua_pop(L, 1);
    finish(ctx, t);
}

/* The coroutine is dead: closed by somebody with a hand on it, or out of memory in task_main.
 * Its scopes are still open; end them from the inside out, each once its children have ended. */
static void bury(lcontext *ctx, ltask *t)
{
    t->buried = 1;
    for (;;) {
        weir_scope *s = t->task.current;
        if (s->n_children > 0) {
            weir_scope_cancel(ctx->rt, s, (weir_reason){"the coroutine of the task died", 0});
            weir_scope_join(ctx->rt, s, &t->task.wait, 0, WEIR_FOREVER);
            return; /* and here again when they have ended */
        }
        if (s == &t->task.scope)
            break;
        lscope_abandon(ctx->from, (lscope *)(void *)s);
    }
    finish_outside(ctx, t);
}

/* --- turns -------------------------------------------------------------------------------- */

/* A task yielded by coroutine.yield: nobody would resume it. The hook raises in it, at the
 * first instruction after the yield. */
static void raise_in_task(lua_State *L, lua_Debug *ar)
{
    (void)ar;
    lua_sethook(L, NULL, 0, 0);
    ltask *t = ltask_current(lbox_of(L)->current);
    if (t != NULL)
        t->raw_yield = 0;
    lerror_raise(L, "misuse", "coroutine.yield",
                 "a task cannot yield by itself (use weir.checkpoint, or a wait)");
}

/* Fill the coroutine of a task that starts. Nothing here allocates but the stack, which was
 * asked for. Returns the number of arguments of task_main, or -1. */
static int load(lcontext *ctx, ltask *t)
{
    lua_State *co = t->co;
    int n = t->n_values;
    lua_settop(co, 0);
    if (!lua_checkstack(co, n + 8))
        return -1;
    lua_pushcfunction(co, task_main);
    lcontext_push_slot(co, ctx, t->slot);
    lua_getiuservalue(co, 2, LTASK_VALUES);
    if (n > 0) {
        for (int i = 1; i <= n + 1; i++)
            lua_rawgeti(co, 3, i);
        lua_remove(co, 3);
    }
    t->n_values = 0;
    return n + 2;
}

static void resume(weir_runtime *rt, weir_task *task)
{
    ltask *t = (ltask *)(void *)task;
    lcontext *ctx = t->ctx;
    int n_args = 0, n_results, rc;
    (void)rt;

    if (t->buried) {
        bury(ctx, t);
        return;
    }
    if (t->co == NULL) {
        if (task->wait.status != WEIR_GRANTED || lcontext_take_thread(ctx, t) != 0) {
            if (task->wait.status != WEIR_GRANTED)
                t->permit = NULL; /* given up or refunded by the core */
            finish_outside(ctx, t);
            return;
        }
        n_args = load(ctx, t);
        if (n_args < 0) {
            lcontext_give_thread(ctx, t, 1);
            finish_outside(ctx, t);
            return;
        }
    }
    for (;;) {
        t->parked = 0;
        rc = lua_resume(t->co, ctx->from, n_args, &n_results);
        if (rc != LUA_YIELD || t->parked)
            break;
        lua_pop(t->co, n_results);
        t->raw_yield = 1;
        lua_sethook(t->co, raise_in_task, LUA_MASKCOUNT, 1);
        n_args = 0;
    }
    if (rc == LUA_YIELD)
        return;
    if (t->raw_yield)
        lua_sethook(t->co, NULL, 0, 0);
    if (rc != LUA_OK) {
        lua_State *L = ctx->from;
        ltask_push(L, t);
        lua_xmove(t->co, L, 1);
        lua_setiuservalue(L, -2, LTASK_VALUES);
        lua_pop(L, 1);
        t->n_values = 1;
        lcontext_give_thread(ctx, t, 0);
        bury(ctx, t);
        return;
    }
    lcontext_give_thread(ctx, t, 1);
    finish(ctx, t);
}

int ltask_spawn(lua_State *L, lcontext *ctx, int nargs, weir_scope *parent, uint32_t flags,
                weir_semaphore *on)
{
    lua_Debug ar;
    int fn = lua_gettop(L) - nargs, rc;
    luaL_checkstack(L, nargs + 6, "too many arguments");
    ltask *t = lua_newuserdatauv(L, sizeof *t, 2);
    memset((char *)t + sizeof(weir_task), 0, sizeof *t - sizeof(weir_task));
    t->task.state = WEIR_TASK_CANCELLED; /* harmless until it is spawned */
    t->ctx = ctx;
    lcontext_set_type(L, ctx->box, LTYPE_TASK);
    if (nargs > 0) {
        lua_createtable(L, nargs + 1, 0);
        for (int i = 0; i <= nargs; i++) {
            lua_pushvalue(L, fn + i);
            lua_rawseti(L, -2, i + 1);
        }
    } else {
        lua_pushvalue(L, fn);
    }
    lua_setiuservalue(L, -2, LTASK_VALUES);
    t->n_values = nargs;
    t->line = -1;
    if (lua_getstack(L, 1, &ar) && lua_getinfo(L, "lf", &ar)) {
        t->line = ar.currentline;
        lua_setiuservalue(L, -2, LTASK_EXTRA);
    }
    lua_replace(L, fn);
    lua_settop(L, fn);
    t->slot = lcontext_anchor(L, ctx);

    /* From here nothing raises. */
    if (on == NULL) {
        rc = weir_task_spawn(ctx->rt, &t->task, parent, resume, flags);
    } else {
        rc = weir_task_prepare(ctx->rt, &t->task, parent, resume, flags);
        if (rc == 0) {
            rc = weir_semaphore_acquire(on, &t->task, 1, &t->task.wait, WEIR_FOREVER, &t->permit);
            if (rc != 0)
                weir_task_finish(ctx->rt, &t->task, WEIR_TASK_CANCELLED);
        }
    }
    if (rc != 0) {
        lcontext_unanchor(L, ctx, t->slot);
        t->slot = 0;
        t->task.state = WEIR_TASK_CANCELLED;
        lua_pop(L, 1);
    }
    return rc;
}

int ltask_refused(lua_State *L, const char *op, int code, const weir_scope *parent)
{
    if (code == WEIR_ECANCELED) {
        lerror_push_cancelled(L, op, parent);
        return lua_error(L);
    }
    if (code == WEIR_ENOMEM)
        return luaL_error(L, "not enough memory");
    return lerror_raise(L, weir_error_name(code), op, "the scope has ended");
}

/* --- what Lua sees -------------------------------------------------------------------------- */

int ltask_push_values(lua_State *L, int index, ltask *t)
{
    int n = t->n_values;
    index = lua_absindex(L, index);
    luaL_checkstack(L, n + 2, "too many results");
    if (n == 0)
        return 0;
    lua_getiuservalue(L, index, LTASK_VALUES);
    if (n == 1 || t->task.state != WEIR_TASK_DONE)
        return 1;
    int table = lua_gettop(L);
    for (int i = 1; i <= n; i++)
        lua_rawgeti(L, table, i);
    lua_remove(L, table);
    return n;
}

void ltask_push_settled(lua_State *L, int index, ltask *t)
{
    int done = t->task.state == WEIR_TASK_DONE;
    index = lua_absindex(L, index);
    lua_createtable(L, 0, 2);
    lua_pushboolean(L, done);
    lua_setfield(L, -2, "ok");
    int n = ltask_push_values(L, index, t);
    if (n == 0)
        lua_pushnil(L);
    else if (n > 1)
        lua_pop(L, n - 1);
    lua_setfield(L, -2, done ? "value" : "error");
}

/* Spawn from the function at `fn` and all after it; push the task or raise. */
static int spawn(lua_State *L, int fn, weir_scope *parent, uint32_t flags, const char *op)
{
    lcontext *ctx = lcontext_here(L);
    lcheck_function(L, fn, op, "fn");
    int rc = ltask_spawn(L, ctx, lua_gettop(L) - fn, parent, flags, NULL);
    return rc == 0 ? 1 : ltask_refused(L, op, rc, parent);
}

/* weir.spawn(fn, ...) -> task, in the innermost scope of the running task. */
static int core_spawn(lua_State *L)
{
    ltask *t = ltask_current(lcontext_here(L));
    if (t == NULL)
        return lerror_raise(L, "misuse", "weir.spawn",
                            "must be called inside a task; outside, weir.detach gives a task to "
                            "the root scope");
    return spawn(L, 1, t->task.current, 0, "weir.spawn");
}

/* weir.detach(fn, ...) -> task, in the root scope: joined when the program ends. */
static int core_detach(lua_State *L)
{
    return spawn(L, 1, weir_root(lcontext_here(L)->rt), 0, "weir.detach");
}

/* weir.daemon(fn, ...) -> task, in the root scope: cancelled when the program ends. */
static int core_daemon(lua_State *L)
{
    return spawn(L, 1, weir_root(lcontext_here(L)->rt), WEIR_SCOPE_DAEMON, "weir.daemon");
}

/* core.claim(task): the caller will see to its failure, which so fails no scope. */
static int core_claim(lua_State *L)
{
    ltask *t = lcheck_object(L, 1, LTYPE_TASK, "claim");
    if (!weir_task_has_ended(&t->task))
        t->task.scope.flags |= WEIR_SCOPE_CLAIMED;
    return 0;
}

static int core_is_task(lua_State *L)
{
    lua_pushboolean(L, ltest_object(L, 1, lbox_here(L), LTYPE_TASK) != NULL);
    return 1;
}

static int push_outcome(lua_State *L, ltask *t, int protect)
{
    int done = t->task.state == WEIR_TASK_DONE;
    if (protect)
        lua_pushboolean(L, done);
    int n = ltask_push_values(L, 1, t);
    if (!done && n == 0) {
        lua_pushnil(L);
        n = 1;
    }
    return done || protect ? n + protect : lua_error(L);
}

/* false and a `timeout` for pawait, or raise it. */
static int timed_out(lua_State *L, int protect)
{
    lua_pushboolean(L, 0);
    lerror_push(L, "timeout", "task:await", "timed out");
    return protect ? 2 : lua_error(L);
}

static int awaited(lua_State *L, int status, lua_KContext protect)
{
    lcontext *ctx = lcontext_here(L);
    (void)status;
    if (ltask_current(ctx)->task.wait.status == WEIR_TIMEOUT)
        return timed_out(L, (int)protect);
    lwait_outcome(L, ctx);
    return push_outcome(L, lua_touserdata(L, 1), (int)protect);
}

static int await(lua_State *L, const char *op, int protect)
{
    lcontext *ctx = lcontext_here(L);
    ltask *t = lcheck_object(L, 1, LTYPE_TASK, op);
    uint64_t timeout = lcheck_timeout(L, 2, op, "timeout");
    ltask *self = lwait_task(L, ctx, op);
    lua_settop(L, 1);
    if (weir_task_has_ended(&t->task)) {
        if (weir_task_spend(&self->task))
            return lwait_yield(L, self, op, awaited, protect);
        return push_outcome(L, t, protect);
    }
    lwait_enter(L, ctx, op);
    if (t->ctx != ctx)
        return lerror_raise(L, "misuse", op, "the task belongs to another runtime");
    if (timeout == 0)
        return timed_out(L, protect);
    weir_task_join(ctx->rt, &t->task, &self->task.wait, protect, weir_after(ctx->rt, timeout));
    return lwait_park(L, self, awaited, protect);
}

static int task_await(lua_State *L)
{
    return await(L, "task:await", 0);
}

static int task_pawait(lua_State *L)
{
    return await(L, "task:pawait", 1);
}

/* task:cancel([reason]) -> true if this call cancelled it. */
static int task_cancel(lua_State *L)
{
    ltask *t = lcheck_object(L, 1, LTYPE_TASK, "task:cancel");
    if (weir_task_has_ended(&t->task)) {
        lua_pushboolean(L, 0);
        return 1;
    }
    lua_settop(L, 2);
    lua_pushboolean(L, lscope_cancel(L, t->ctx, &t->task.scope, 2));
    return 1;
}

static const char *const states[] = {"pending", "running", "waiting",
                                     "done",    "failed",  "cancelled"};

static int task_index(lua_State *L)
{
    ltask *t = lua_touserdata(L, 1);
    if (lcontext_push_method(L) != LUA_TNIL)
        return 1;
    const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
    if (strcmp(key, "status") == 0) {
        lua_pushstring(L, states[t->task.state]);
        return 1;
    }
    if (strcmp(key, "name") == 0 || strcmp(key, "traceback") == 0 || strcmp(key, "errors") == 0) {
        if (push_extra_field(L, 1, t, key) == LUA_TNIL && *key == 'n')
            push_default_name(L, t);
        return 1;
    }
    if (strcmp(key, "id") == 0) {
        lua_pushinteger(L, (lua_Integer)t->task.id);
        return 1;
    }
    return lerror_raise(L, "misuse", "task", "no field '%s'", key);
}

/* task.name = "text": the only field that can be set. */
static int task_newindex(lua_State *L)
{
    ltask *t = lcheck_object(L, 1, LTYPE_TASK, "task");
    if (lua_type(L, 2) != LUA_TSTRING || strcmp(lua_tostring(L, 2), "name") != 0)
        return lerror_raise(L, "misuse", "task", "only the field 'name' can be set");
    if (lua_type(L, 3) != LUA_TSTRING)
        return lcheck_fail(L, "task", "name", "a string", 3);
    lua_pushvalue(L, 1);
    push_task_extra(L, t);
    lua_pushvalue(L, 3);
    lua_setfield(L, -2, "name");
    return 0;
}

static int task_tostring(lua_State *L)
{
    ltask *t = lcheck_object(L, 1, LTYPE_TASK, "task");
    if (push_extra_field(L, 1, t, "name") == LUA_TSTRING)
        lua_pushfstring(L, "weir.task '%s' (%s)", lua_tostring(L, -1), states[t->task.state]);
    else
        lua_pushfstring(L, "weir.task %I (%s)", (lua_Integer)t->task.id, states[t->task.state]);
    return 1;
}

static const luaL_Reg functions[] = {{"spawn", core_spawn},
                                     {"detach", core_detach},
                                     {"daemon", core_daemon},
                                     {"is_task", core_is_task},
                                     {"claim", core_claim},
                                     {NULL, NULL}};
static const luaL_Reg methods[] = {
    {"await", task_await}, {"pawait", task_pawait}, {"cancel", task_cancel}, {NULL, NULL}};
static const luaL_Reg meta[] = {{"__index", task_index},
                                {"__newindex", task_newindex},
                                {"__tostring", task_tostring},
                                {NULL, NULL}};

void ltask_open(lua_State *L)
{
    lcontext_set_functions(L, functions);
    lcontext_new_type(L, LTYPE_TASK, methods, meta);
}
