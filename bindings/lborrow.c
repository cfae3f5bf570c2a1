/* bindings/lborrow.c - pool:acquire, try_acquire and with: a resource on loan.
 *
 * As with permits: the handle (llease.c) is made before the core is asked, so that a grant always
 * has where to go; with() keeps its lease in the continuation's context and allocates nothing.
 * The deadline of a wait is that of the call, or the pool's own, which the deadlock search does not
 * count on.
 */
#include "lpool.h"

/* --- acquire ----------------------------------------------------------------------------- */

/* Stack: pool, timeout in ns, handle. */
static int acquired(lua_State *L, int status, lua_KContext kctx)
{
    weir_lease *lease = (weir_lease *)kctx;
    lpool *s = lpool_here(L);
    (void)status;
    if (ltask_current(lcontext_here(L))->task.wait.status != WEIR_GRANTED)
        lpool_outcome(L, s, lease, (uint64_t)lua_tointeger(L, 2), "pool:acquire");
    lpool_note_site(L, s, lease);
    return 1;
}

/* Stack: pool, options or nil. */
static int acquire_now(lua_State *L, lpool *s, uint64_t timeout, int is_default)
{
    static const char op[] = "pool:acquire";
    ltask *t = ltask_current(s->ctx);
    weir_lease *lease = NULL;
    lua_settop(L, 1);
    lua_pushinteger(L, (lua_Integer)timeout);
    llease *handle = llease_push(L, s->ctx->box);
    int rc = weir_pool_take(&s->pool, &t->task, 0, &lease);
    if (rc == 0) {
        llease_take(handle, s->ctx, lease);
        lpool_note_site(L, s, lease);
        return 1;
    }
    if (rc != WEIR_EBUSY)
        return lpool_refused(L, s, rc, op);
    lwait_enter(L, s->ctx, op);
    if (timeout == 0) {
        s->pool.stats.timeouts++;
        lpool_timed_out(L, s, 0, op, "none can be had at once");
    }
    rc = weir_pool_acquire(&s->pool, &t->task, &t->task.wait, weir_after(s->ctx->rt, timeout),
                           is_default, &lease);
    if (rc != 0)
        return lpool_refused(L, s, rc, op);
    llease_take(handle, s->ctx, lease);
    return lwait_park(L, t, acquired, (lua_KContext)lease);
}

/* The timeout at 2: a number, or a table that holds one; the pool's own if there is none. */
static uint64_t read_timeout(lua_State *L, const lpool *s, const char *op, int *is_default)
{
    static const char *const known[] = {"timeout", NULL};
    uint64_t timeout = s->acquire_timeout;
    *is_default = 1;
    if (lua_isnoneornil(L, 2))
        return timeout;
    lua_settop(L, 2);
    if (lua_type(L, 2) == LUA_TTABLE) {
        lcheck_options(L, 2, op, known);
        lua_getfield(L, 2, "timeout");
    }
    *is_default = lua_isnil(L, -1);
    if (!*is_default)
        timeout = lcheck_seconds(L, -1, op, "timeout");
    lua_settop(L, 2);
    return timeout;
}

/* After a checkpoint: pool and options may have changed meanwhile. */
static int acquire_then(lua_State *L, int status, lua_KContext kctx)
{
    int is_default = 0;
    (void)status;
    (void)kctx;
    lwait_outcome(L, lcontext_here(L));
    lpool *s = lpool_check(L, "pool:acquire");
    uint64_t timeout = read_timeout(L, s, "pool:acquire", &is_default);
    return acquire_now(L, s, timeout, is_default);
}

/* pool:acquire([{timeout=}]) -> lease: one that is idle, or waits for the first to come free or to
 * be made. */
int lpool_acquire(lua_State *L)
{
    static const char op[] = "pool:acquire";
    int is_default = 0;
    lpool *s = lpool_check(L, op);
    uint64_t timeout = read_timeout(L, s, op, &is_default);
    ltask *t = lwait_task(L, s->ctx, op);
    if (lwait_spend(L, t))
        return lwait_yield(L, t, op, acquire_then, 0);
    return acquire_now(L, s, timeout, is_default);
}

/* pool:try_acquire() -> lease, or false and "busy", "closed", "open" or "overload". Never waits and
 * begins nothing, so any coroutine of a task will do. */
int lpool_try_acquire(lua_State *L)
{
    static const char op[] = "pool:try_acquire";
    lpool *s = lpool_check(L, op);
    ltask *t = ltask_current(s->ctx);
    weir_lease *lease = NULL;
    if (t == NULL)
        lwait_task(L, s->ctx, op); /* raises */
    llease *handle = llease_push(L, s->ctx->box);
    int rc = weir_pool_take(&s->pool, &t->task, 1, &lease);
    if (rc == 0) {
        llease_take(handle, s->ctx, lease);
        lpool_note_site(L, s, lease);
        return 1;
    }
    if (rc == WEIR_ENOMEM)
        return luaL_error(L, "not enough memory");
    lua_pushboolean(L, 0);
    lua_pushstring(L, weir_error_name(rc));
    return 2;
}

/* --- with -------------------------------------------------------------------------------- */

/* The body has ended. Stack: handler, results or error. */
static int with_ended(lua_State *L, int status, lua_KContext lease)
{
    int failed = status != LUA_OK && status != LUA_YIELD;
    weir_lease_release((weir_lease *)lease, failed);
    return failed ? lua_error(L) : lua_gettop(L) - 1;
}

/* Stack: pool, function, arguments. The handler takes the pool's place: what the lease needs of it
 * is the core's. */
static int with_body(lua_State *L, lpool *s, weir_lease *lease)
{
    lpool_note_site(L, s, lease);
    lua_getiuservalue(L, 1, LPOOL_VALUES);
    lua_rawgeti(L, -1, ((lresource *)lease->resource->value)->key);
    lua_remove(L, -2);
    lua_insert(L, 3);
    lua_pushcfunction(L, lerror_handler);
    lua_replace(L, 1);
    int rc = lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 1, (lua_KContext)lease, with_ended);
    return with_ended(L, rc, (lua_KContext)lease);
}

static int with_granted(lua_State *L, int status, lua_KContext kctx)
{
    weir_lease *lease = (weir_lease *)kctx;
    lpool *s = lpool_here(L);
    (void)status;
    if (ltask_current(lcontext_here(L))->task.wait.status != WEIR_GRANTED)
        lpool_outcome(L, s, lease, s->acquire_timeout, "pool:with");
    return with_body(L, s, lease);
}

static int with_now(lua_State *L, lpool *s)
{
    static const char op[] = "pool:with";
    ltask *t = ltask_current(s->ctx);
    weir_lease *lease = NULL;
    luaL_checkstack(L, 4, "too many arguments");
    int rc = weir_pool_take(&s->pool, &t->task, 0, &lease);
    if (rc == 0)
        return with_body(L, s, lease);
    if (rc != WEIR_EBUSY)
        return lpool_refused(L, s, rc, op);
    lwait_enter(L, s->ctx, op);
    rc = weir_pool_acquire(&s->pool, &t->task, &t->task.wait,
                           weir_after(s->ctx->rt, s->acquire_timeout), 1, &lease);
    if (rc != 0)
        return lpool_refused(L, s, rc, op);
    return lwait_park(L, t, with_granted, (lua_KContext)lease);
}

static int with_then(lua_State *L, int status, lua_KContext kctx)
{
    (void)status;
    (void)kctx;
    lwait_outcome(L, lcontext_here(L));
    return with_now(L, lpool_check(L, "pool:with"));
}

/* pool:with(fn, ...) -> what fn(value, ...) returns, called while the resource is on loan. If fn
 * ends by an error or a cancel, the resource is checked before anybody else gets it. */
int lpool_with(lua_State *L)
{
    static const char op[] = "pool:with";
    lpool *s = lpool_check(L, op);
    lcheck_function(L, 2, op, "fn");
    ltask *t = lwait_task(L, s->ctx, op);
    if (lwait_spend(L, t))
        return lwait_yield(L, t, op, with_then, 0);
    return with_now(L, s);
}
