/* bindings/lpool_error.c - what is said of a pool: its errors in one line, its stats.
 *
 * An error of a pool begins with its name and ends with what the last create failed with, since a
 * caller that waited in vain most often waited for something that cannot be made.
 */
#include <string.h>

#include "lpool.h"

/* [-0, +1, m] What the last create that failed did fail with, as a value; nil if there is none. */
static void push_cause(lua_State *L, const lpool *s)
{
    if (s->pool.cause == 0) {
        lua_pushnil(L);
        return;
    }
    lua_rawgeti(L, LUA_REGISTRYINDEX, (lua_Integer)s->pool.cause);
    lua_rawgeti(L, -1, 1);
    lua_remove(L, -2);
}

/* [-0, +1, m] The same as one line of text, `before` before it; "" if the last one did not fail. */
static void push_last_failure(lua_State *L, const lpool *s, const char *before)
{
    if (s->pool.failures == 0) {
        lua_pushliteral(L, "");
        return;
    }
    if (s->pool.cause == 0) {
        if (s->pool.cause_rc == WEIR_ETIMEOUT)
            lua_pushfstring(L, "%stimed out after %f s", before,
                            (lua_Number)lseconds(s->pool.options.create_timeout));
        else
            lua_pushfstring(L, "%snot enough memory", before);
        return;
    }
    push_cause(L, s);
    lerror_push_text(L, -1);
    const char *text = lua_tostring(L, -1);
    lua_pushstring(L, before);
    lua_pushlstring(L, text, strcspn(text, "\n"));
    lua_concat(L, 2);
    lua_replace(L, -3);
    lua_pop(L, 1);
}

void lpool_push_error(lua_State *L, const lpool *s, const char *kind, const char *op,
                      const char *fmt, ...)
{
    va_list ap;
    luaL_checkstack(L, 10, "error");
    if (s->pool.name != NULL)
        lua_pushfstring(L, "pool '%s': ", s->pool.name);
    else
        lua_pushliteral(L, "pool: ");
    va_start(ap, fmt);
    lua_pushvfstring(L, fmt, ap);
    va_end(ap);
    lua_concat(L, 2);
    lerror_push(L, kind, NULL, "%s", lua_tostring(L, -1));
    lua_remove(L, -2);
    lua_pushstring(L, op);
    lua_setfield(L, -2, "op");
    lua_pushstring(L, s->pool.name);
    lua_setfield(L, -2, "name");
}

static void set_retry_after(lua_State *L, const lpool *s)
{
    lua_pushnumber(L, lseconds(weir_pool_retry_after(&s->pool)));
    lua_setfield(L, -2, "retry_after");
}

static int raise_open(lua_State *L, lpool *s, const char *op)
{
    push_last_failure(L, s, "; the last: ");
    lpool_push_error(L, s, "open", op, "refused, since %I creates in a row failed%s",
                     (lua_Integer)s->pool.failures, lua_tostring(L, -1));
    push_cause(L, s);
    lua_setfield(L, -2, "cause");
    set_retry_after(L, s);
    return lua_error(L);
}

int lpool_refused(lua_State *L, lpool *s, int rc, const char *op)
{
    const weir_pool *p = &s->pool;
    if (rc == WEIR_EOPEN)
        return raise_open(L, s, op);
    if (rc == WEIR_ECLOSED) {
        lpool_push_error(L, s, "closed", op, "closed");
        lua_getiuservalue(L, 1, LPOOL_REASON);
        lua_setfield(L, -2, "reason");
        return lua_error(L);
    }
    if (rc != WEIR_EOVERLOAD)
        return luaL_error(L, "not enough memory");
    if (p->n_leased >= p->shed_at)
        lpool_push_error(L, s, "overload", op, "%I of %I leased, which is above shed",
                         (lua_Integer)p->n_leased, (lua_Integer)p->options.max);
    else if (p->options.max_waiting == 0)
        lpool_push_error(L, s, "overload", op, "none is free, and max_waiting is 0");
    else
        lpool_push_error(L, s, "overload", op, "%I are waiting already", (lua_Integer)p->waiting);
    set_retry_after(L, s);
    return lua_error(L);
}

void lpool_timed_out(lua_State *L, lpool *s, uint64_t timeout, const char *op, const char *what)
{
    const weir_pool *p = &s->pool;
    lua_pushstring(L, what);
    if (timeout > 0)
        lua_pushfstring(L, " after %f s", (lua_Number)lseconds(timeout));
    else
        lua_pushliteral(L, "");
    if (p->n_checking > 0)
        lua_pushfstring(L, ", %I checking", (lua_Integer)p->n_checking);
    else
        lua_pushliteral(L, "");
    if (p->n_closing > 0)
        lua_pushfstring(L, ", %I closing", (lua_Integer)p->n_closing);
    else
        lua_pushliteral(L, "");
    push_last_failure(L, s, "; last create failed: ");
    lpool_push_error(
        L, s, "timeout", op, "%s%s: %I of %I leased, %I idle, %I connecting, %I waiting%s%s%s",
        lua_tostring(L, -5), lua_tostring(L, -4), (lua_Integer)p->n_leased,
        (lua_Integer)p->options.max, (lua_Integer)p->n_idle, (lua_Integer)p->n_connecting,
        (lua_Integer)p->waiting, lua_tostring(L, -3), lua_tostring(L, -2), lua_tostring(L, -1));
    if (p->failures > 0) { /* an older one is not why this one waited */
        push_cause(L, s);
        lua_setfield(L, -2, "cause");
    }
    lua_error(L);
}

/* What create failed with, as it was raised; the stack of that goes with it. Pool at 1. */
static int raise_failure(lua_State *L, lpool *s, weir_lease *lease, const char *op)
{
    int rc = lease->rc;
    if (lease->failure != 0)
        lua_rawgeti(L, LUA_REGISTRYINDEX, (lua_Integer)lease->failure);
    else
        lua_pushnil(L);
    weir_lease_forget(lease);
    if (rc == WEIR_ETIMEOUT) {
        lpool_push_error(L, s, "timeout", op, "create timed out after %f s",
                         (lua_Number)lseconds(s->pool.options.create_timeout));
        return lua_error(L);
    }
    if (lua_isnil(L, -1))
        return lpool_refused(L, s, rc, op);
    lua_rawgeti(L, -1, 2);
    lua_rawgeti(L, -2, 1);
    lerror_keep_origin(L, s->ctx, -1, -2);
    return lua_error(L);
}

void lpool_outcome(lua_State *L, lpool *s, weir_lease *lease, uint64_t timeout, const char *op)
{
    weir_status status = (weir_status)ltask_current(s->ctx)->task.wait.status;
    if (status == WEIR_TIMEOUT)
        lpool_timed_out(L, s, timeout, op, "timed out");
    if (status == WEIR_CLOSED)
        lpool_refused(L, s, WEIR_ECLOSED, op);
    if (status == WEIR_FAILED)
        raise_failure(L, s, lease, op);
    lwait_outcome(L, s->ctx);
}

/* --- stats ------------------------------------------------------------------------------- */

static void set_count(lua_State *L, const char *name, uint64_t value)
{
    lua_pushinteger(L, (lua_Integer)value);
    lua_setfield(L, -2, name);
}

static void set_histogram(lua_State *L, const char *name, const weir_histogram *h)
{
    lsem_push_histogram(L, h);
    lua_setfield(L, -2, name);
}

static void push_rejects(lua_State *L, const weir_pool_stats *n)
{
    lua_createtable(L, 0, 8);
    set_count(L, "timeout", n->timeouts);
    set_count(L, "cancelled", n->cancels);
    set_count(L, "closed", n->closes);
    set_count(L, "busy", n->busy);
    set_count(L, "overload", n->overload);
    set_count(L, "shed", n->shed);
    set_count(L, "open", n->open);
    set_count(L, "failed", n->failed);
}

static void push_evicted(lua_State *L, const weir_pool_stats *n)
{
    static const char *const causes[WEIR_EVICTED_CAUSES] = {
        "idle", "lifetime", "uses", "check", "discarded", "shrunk", "closed"};
    lua_createtable(L, 0, WEIR_EVICTED_CAUSES);
    for (int i = 0; i < WEIR_EVICTED_CAUSES; i++)
        set_count(L, causes[i], n->evicted[i]);
}

void lpool_push_stats(lua_State *L, lpool *s)
{
    const weir_pool *p = &s->pool;
    const weir_pool_stats *n = &p->stats;
    lua_createtable(L, 0, 32);
    if (p->name != NULL) {
        lua_pushstring(L, p->name);
        lua_setfield(L, -2, "name");
    }
    set_count(L, "max", p->options.max);
    set_count(L, "min", p->options.min);
    set_count(L, "idle", p->n_idle);
    set_count(L, "active", p->n_leased);
    set_count(L, "held", p->n_leased);
    set_count(L, "connecting", p->n_connecting);
    set_count(L, "checking", p->n_checking);
    set_count(L, "closing", p->n_closing);
    set_count(L, "total", p->n_idle + p->n_leased + p->n_connecting + p->n_checking + p->n_closing);
    set_count(L, "waiting", p->waiting);
    set_count(L, "grants", n->grants);
    set_count(L, "queued", n->queued);
    set_count(L, "created", n->created);
    set_count(L, "create_failures", n->create_failures);
    set_count(L, "create_timeouts", n->create_timeouts);
    set_count(L, "checks", n->checks);
    set_count(L, "check_failures", n->check_failures);
    set_count(L, "destroyed", n->destroyed);
    set_count(L, "elided", n->elided);
    set_count(L, "leaks", n->leaks);
    push_rejects(L, n);
    lua_setfield(L, -2, "rejects");
    push_evicted(L, n);
    lua_setfield(L, -2, "evicted");
    set_histogram(L, "wait", &n->wait);
    set_histogram(L, "hold", &n->hold);
    set_histogram(L, "create", &n->create);
    lua_pushboolean(L, p->open);
    lua_setfield(L, -2, "open");
    lua_pushnumber(L, lseconds(weir_now(s->ctx->rt) - s->made));
    lua_setfield(L, -2, "age");
}
