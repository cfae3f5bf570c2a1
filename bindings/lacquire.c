/* bindings/lacquire.c - semaphore:acquire and try_acquire: a permit in hand.
 *
 * The permit's userdata (lpermit.c) is made before the core is asked, so that a grant always has
 * where to go. A hand-off from task to task is measured here (bench/semaphore.lua): no look-up
 * is done twice, options are read in one pass, and again only after a checkpoint.
 */
#include <string.h>

#include "lsemaphore.h"

static const char op[] = "semaphore:acquire";

typedef struct acquire_options {
    uint64_t timeout;
    int32_t priority;
} acquire_options;

/* Those that are inherited by a metatable, or wrong. */
static void read_other_options(lua_State *L, int index, const weir_semaphore *s,
                               acquire_options *out)
{
    static const char *const known[] = {"timeout", "priority", NULL};
    lcheck_options(L, index, op, known);
    out->timeout = lcheck_timeout(L, index, op, "timeout");
    lua_getfield(L, index, "priority");
    out->priority = lsem_check_priority(L, -1, s, op);
    lua_settop(L, index);
}

/* The options at `index`, the last one. */
static void read_options(lua_State *L, int index, const weir_semaphore *s, acquire_options *out)
{
    size_t n;
    if (lua_getmetatable(L, index)) {
        read_other_options(L, index, s, out);
        return;
    }
    lua_pushnil(L);
    while (lua_next(L, index) != 0) {
        const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tolstring(L, -2, &n) : NULL;
        if (key != NULL && n == 7 && memcmp(key, "timeout", 7) == 0) {
            out->timeout = lcheck_seconds(L, -1, op, "timeout");
        } else if (key != NULL && n == 8 && memcmp(key, "priority", 8) == 0) {
            out->priority = lsem_check_priority(L, -1, s, op);
        } else {
            read_other_options(L, index, s, out); /* raises */
        }
        lua_pop(L, 1);
    }
}

static int acquired(lua_State *L, int status, lua_KContext task)
{
    const ltask *t = (ltask *)task;
    (void)status;
    if (t->task.wait.status != WEIR_GRANTED)
        lsem_outcome(L, t->ctx);
    return 1; /* the permit, on top since before the wait */
}

static int acquire_now(lua_State *L, const lbox *box, ltask *t, lsem *s, uint32_t n,
                       const acquire_options *options)
{
    weir_permit *permit = NULL;
    lpermit *p = lpermit_push(L, box);
    int rc = weir_semaphore_take_ranked(&s->sem, &t->task, n, options->priority, &permit);
    if (rc == 0) {
        lpermit_take(p, s->ctx, permit);
        return 1;
    }
    if (rc != WEIR_EBUSY)
        return lsem_refused(L, &s->sem, rc, n, op);
    lwait_check(L, t, op);
    if (options->timeout == 0) {
        s->sem.stats.timeouts++;
        lerror_push(L, "timeout", op, "no permit is free");
        lua_pushstring(L, s->sem.name);
        lua_setfield(L, -2, "name");
        return lua_error(L);
    }
    rc = weir_semaphore_acquire_ranked(&s->sem, &t->task, n, options->priority, &t->task.wait,
                                       weir_after(s->ctx->rt, options->timeout), &permit);
    if (rc != 0)
        return lsem_refused(L, &s->sem, rc, n, op);
    lpermit_take(p, s->ctx, permit);
    return lwait_park(L, t, acquired, (lua_KContext)t);
}

/* The semaphore at 1, of this runtime, or misuse. */
static inline lsem *check_self(lua_State *L, const lbox *box, const char *name)
{
    const lsem_object *object = ltest_tagged(L, 1, box, LTYPE_SEMAPHORE);
    if (object == NULL || object->sem == NULL || object->sem->ctx != box->current)
        return lsem_check(L, LTYPE_SEMAPHORE, name); /* raises */
    return object->sem;
}

static int acquire_then(lua_State *L, int status, lua_KContext kctx);

/* `then`: after a checkpoint, for which the budget is not asked again. */
static inline int acquire(lua_State *L, int then)
{
    const lbox *box = lbox_here(L);
    acquire_options options = {WEIR_FOREVER, 0};
    lsem *s = check_self(L, box, op);
    ltask *t = lwait_task(L, s->ctx, op);
    uint32_t n = 1;
    int top = lua_gettop(L); /* [n,] [options] */
    int second = top > 1 ? lua_type(L, 2) : LUA_TNONE, third = top > 2 ? lua_type(L, 3) : LUA_TNONE;
    if (second == LUA_TTABLE) {
        lua_settop(L, 2);
        read_options(L, 2, &s->sem, &options);
    } else {
        if (second > LUA_TNIL)
            n = lcheck_count(L, 2, op, "n");
        if (third == LUA_TTABLE) {
            lua_settop(L, 3);
            read_options(L, 3, &s->sem, &options);
        } else if (third > LUA_TNIL) {
            read_other_options(L, 3, &s->sem, &options); /* raises */
        }
    }
    if (!then && lwait_spend(L, t))
        return lwait_yield(L, t, op, acquire_then, 0);
    return acquire_now(L, box, t, s, n, &options);
}

/* Semaphore and options may have changed meanwhile: they are looked at again. */
static int acquire_then(lua_State *L, int status, lua_KContext kctx)
{
    (void)status;
    (void)kctx;
    lwait_outcome(L, lcontext_here(L));
    return acquire(L, 1);
}

/* semaphore:acquire([n,] [{timeout=, priority=}]) -> permit */
int lsem_acquire(lua_State *L)
{
    return acquire(L, 0);
}

/* semaphore:try_acquire([n]) -> permit, or false and "busy", "impossible" or "closed". It never
 * waits, so any coroutine of a task will do. */
int lsem_try_acquire(lua_State *L)
{
    static const char name[] = "semaphore:try_acquire";
    const lbox *box = lbox_here(L);
    lsem *s = check_self(L, box, name);
    uint32_t n = lua_isnoneornil(L, 2) ? 1 : lcheck_count(L, 2, name, "n");
    ltask *t = ltask_current(s->ctx);
    if (t == NULL)
        lwait_task(L, s->ctx, name); /* raises */
    weir_permit *permit = NULL;
    lpermit *p = lpermit_push(L, box);
    int rc = weir_semaphore_try(&s->sem, &t->task, n, &permit);
    if (rc == 0) {
        lpermit_take(p, s->ctx, permit);
        return 1;
    }
    if (rc == WEIR_ENOMEM)
        return luaL_error(L, "not enough memory");
    lua_pushboolean(L, 0);
    lua_pushstring(L, weir_error_name(rc));
    return 2;
}
