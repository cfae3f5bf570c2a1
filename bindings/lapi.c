/* bindings/lapi.c - the table of functions for connectors: see weir/lua.h.
 *
 * Every entry finds the context through the registry, since the upvalues in reach are the
 * connector's own. No logic here: each entry is the function that weir.core itself uses.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weir/lua.h>

#include "lembed.h"

static lcontext *here(lua_State *L)
{
    lcontext *ctx = lbox_of(L)->current;
    if (ctx == NULL)
        lcontext_is_gone(L);
    return ctx;
}

static weir_runtime *api_runtime(lua_State *L)
{
    return here(L)->rt;
}

static lcontext *of_runtime(weir_runtime *rt)
{
    return weir_runtime_user(rt);
}

/* --- protect: the one way from a callback of the loop into Lua ----------------------------- */

static int api_protect(weir_runtime *rt, lua_CFunction f, void *data)
{
    lcontext *ctx = of_runtime(rt);
    if (ctx == NULL)
        return WEIR_ECLOSED;
    lua_State *L = ctx->main;
    if (!lua_checkstack(L, 8))
        return WEIR_ENOMEM;
    lua_pushcfunction(L, lerror_callback_handler);
    lua_pushcfunction(L, f);
    lua_pushlightuserdata(L, data);
    int top = lua_gettop(L) - 2, rc = lua_pcall(L, 1, 0, top);
    if (rc != LUA_OK)
        lerror_report(L, ctx, "error in a callback", 1);
    lua_pop(L, 1);
    return rc == LUA_OK ? 0 : rc == LUA_ERRMEM ? WEIR_ENOMEM : WEIR_EINVAL;
}

/* --- waiting --------------------------------------------------------------------------------- */

static weir_waiter *api_enter(lua_State *L, const char *op)
{
    return &lwait_enter(L, here(L), op)->task.wait;
}

static int api_park(lua_State *L, lua_KFunction k, lua_KContext ctx)
{
    return lwait_park(L, ltask_current(here(L)), k, ctx);
}

static void api_outcome(lua_State *L)
{
    lwait_outcome(L, here(L));
}

static int api_spend(lua_State *L)
{
    ltask *t = ltask_current(here(L));
    return t != NULL && lwait_spend(L, t);
}

static int api_yield(lua_State *L, lua_KFunction k, lua_KContext ctx)
{
    ltask *t = ltask_current(here(L));
    lwait_enter(L, here(L), "checkpoint");
    weir_yield(t->ctx->rt, &t->task.wait);
    return lwait_park(L, t, k, ctx);
}

/* --- tasks ------------------------------------------------------------------------------------ */

static weir_scope *api_scope(lua_State *L)
{
    lcontext *ctx = here(L);
    ltask *t = ltask_current(ctx);
    return t != NULL ? t->task.current : weir_root(ctx->rt);
}

static int api_spawn(lua_State *L, int nargs, weir_scope *parent, uint32_t flags)
{
    return ltask_spawn(L, here(L), nargs, parent != NULL ? parent : api_scope(L), flags, NULL);
}

static weir_task *api_check_task(lua_State *L, int index)
{
    ltask *t = ltest_object(L, index, lbox_of(L), LTYPE_TASK);
    if (t == NULL)
        lcheck_fail(L, "task", "task", ltype_names[LTYPE_TASK], index);
    return &t->task;
}

/* Protected: the reason becomes a Lua string, which the scope owns as any other reason. */
struct cancel {
    lcontext *ctx;
    weir_scope *scope;
    const char *reason;
};

static int cancel(lua_State *L)
{
    struct cancel *c = lua_touserdata(L, 1);
    lua_pushstring(L, c->reason);
    lscope_cancel(L, c->ctx, c->scope, 2);
    return 0;
}

static void api_cancel(weir_runtime *rt, weir_scope *scope, const char *reason)
{
    struct cancel c = {of_runtime(rt), scope, reason};
    if (api_protect(rt, cancel, &c) != 0) /* no memory for the words */
        weir_scope_cancel(rt, scope, (weir_reason){"cancelled", 0});
}

/* --- errors ----------------------------------------------------------------------------------- */

static int api_raise(lua_State *L, const char *kind, const char *op, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    lerror_pushv(L, kind, op, fmt, ap);
    va_end(ap);
    return lua_error(L);
}

static void api_push_error(lua_State *L, const char *kind, const char *op, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    lerror_pushv(L, kind, op, fmt, ap);
    va_end(ap);
}

static void api_report(lua_State *L, const char *what, int fatal)
{
    lerror_report(L, here(L), what, fatal);
}

static uint64_t api_check_timeout(lua_State *L, int index, const char *op, const char *field)
{
    return weir_after(here(L)->rt, lcheck_timeout(L, index, op, field));
}

/* --- ends --- */

static void api_at_end(lua_State *L, weir_runtime *rt, void (*close)(void *data), void *data)
{
    lcontext *ctx = of_runtime(rt);
    if (close == NULL) {
        for (weir_link *k = ctx ? weir_list_first(&ctx->endings) : NULL; k != NULL;
             k = weir_list_next(&ctx->endings, k)) {
            lending *e = weir_container(k, lending, link);
            if (e->data == data) {
                weir_link_remove(k);
                free(e);
                return;
            }
        }
        return;
    }
    lending *e = ctx != NULL ? malloc(sizeof *e) : NULL;
    if (e == NULL)
        luaL_error(L, "not enough memory");
    weir_link_init(&e->link);
    e->close = close;
    e->data = data;
    weir_list_push_front(&ctx->endings, &e->link);
}

/* --- hosts --- */

static int api_start(lua_State *L, int nargs, weir_lua_done_fn done, void *data, weir_task **task)
{
    return lembed_start(L, here(L), nargs, done, data, task);
}

static void api_end(lua_State *L, const char *reason, uint64_t grace)
{
    lcontext *ctx = here(L);
    if (ctx->running || ltask_current(ctx) != NULL)
        lerror_raise(L, "misuse", "end",
                     "the runtime runs: a task or a callback cannot wait for its end");
    luaL_checkstack(L, LUA_MINSTACK, "end");
    lua_pushstring(L, reason);
    lrun_end(L, ctx, grace);
}

static weir_loop *api_loop(lua_State *L)
{
    return here(L)->loop;
}

static const weir_lua_api api = {
    .version = WEIR_LUA_API_VERSION,
    .size = sizeof api,
    .release = WEIR_VERSION,
    .layout = WEIR_LUA_LAYOUT,
    .runtime = api_runtime,
    .protect = api_protect,
    .enter = api_enter,
    .park = api_park,
    .outcome = api_outcome,
    .spend = api_spend,
    .yield = api_yield,
    .waiter_begin = weir_waiter_begin,
    .waiter_settle = weir_waiter_settle,
    .waiter_give_up = weir_waiter_give_up,
    .spawn = api_spawn,
    .check_task = api_check_task,
    .cancel = api_cancel,
    .scope = api_scope,
    .raise = api_raise,
    .push_error = api_push_error,
    .report = api_report,
    .check_timeout = api_check_timeout,
    .now = weir_now,
    .after = weir_after,
    .timer_init = weir_timer_init,
    .timer_set = weir_timer_set,
    .timer_unset = weir_timer_unset,
    .poll_new = weir_poll_new,
    .poll_set = weir_poll_set,
    .poll_free = weir_poll_free,
    .work_new = weir_work_new,
    .work_cancel = weir_work_cancel,
    .resolve_new = weir_resolve_new,
    .resolve_cancel = weir_resolve_cancel,
    .error_text = weir_loop_error_text,
    .at_end = api_at_end,
    .inbox_new = weir_inbox_new,
    .inbox_post = weir_inbox_post,
    .inbox_keep_alive = weir_inbox_keep_alive,
    .inbox_free = weir_inbox_free,
    .start = api_start,
    .end = api_end,
    .loop = api_loop,
    .loop_fd = weir_loop_fd,
    .loop_timeout = weir_loop_timeout,
    .loop_step = weir_loop_step,
    .loop_once = weir_loop_once,
    .poll_keep_alive = weir_poll_keep_alive,
};

void lapi_open(lua_State *L)
{
    lua_pushlightuserdata(L, (void *)(uintptr_t)&api);
    lua_setfield(L, LUA_REGISTRYINDEX, WEIR_LUA_API_KEY);
}
