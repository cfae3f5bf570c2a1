/* bindings/lacquire.c - semaphore:acquire and try_acquire: a permit in hand.
 *
 * The permit's userdata (lpermit.c) is made before the core is asked, so that a grant always has
 * where to go. A hand-off from task to task is measured here (bench/semaphore.lua): no look-up
 * is done twice, options are read in one pass, and again only after a checkpoint.
 */
#include <string.h>

#include "lsemaphore.h"

typedef struct acquire_options {
    uint64_t timeout;
    int32_t priority;
} acquire_options;

/* The options at 3, in one pass unless they are inherited by a metatable, or wrong. */
static void read_options(lua_State *L, const weir_semaphore *s, const char *op,
                         acquire_options *out)
{
    static const char *const known[] = {"timeout", "priority", NULL};
    if (lua_type(L, 3) != LUA_TTABLE || lua_getmetatable(L, 3)) {
        lcheck_options(L, 3, op, known);
        out->timeout = lcheck_timeout(L, 3, op, "timeout");
        lua_getfield(L, 3, "priority");
        out->priority = lsem_check_priority(L, -1, s, op);
        lua_settop(L, 3);
        return;
    }
    lua_pushnil(L);
    while (lua_next(L, 3) != 0) {
        const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";
        if (strcmp(key, "timeout") == 0)
            out->timeout = lcheck_seconds(L, -1, op, "timeout");
        else if (strcmp(key, "priority") == 0)
            out->priority = lsem_check_priority(L, -1, s, op);
        else
            lcheck_options(L, 3, op, known); /* raises */
        lua_pop(L, 1);
    }
}

static int acquired(lua_State *L, int status, lua_KContext task)
{
    ltask *t = (ltask *)task;
    (void)status;
    if (t->task.wait.status != WEIR_GRANTED)
        lsem_outcome(L, t->ctx);
    lua_settop(L, 4);
    return 1; /* the permit, on top since before the wait */
}

/* Stack: semaphore, n or whatever, options. */
static int acquire_now(lua_State *L, const lbox *box, lsem *s, uint32_t n,
                       const acquire_options *options)
{
    static const char op[] = "semaphore:acquire";
    ltask *t = ltask_current(s->ctx);
    weir_permit *permit = NULL;
    lpermit *p = lpermit_push(L, box, 1, n);
    int rc = weir_semaphore_take_ranked(&s->sem, &t->task, n, options->priority, &permit);
    if (rc == 0) {
        lpermit_take(p, permit);
        return 1;
    }
    if (rc != WEIR_EBUSY)
        return lsem_refused(L, &s->sem, rc, n, op);
    lwait_enter(L, s->ctx, op);
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
    lpermit_take(p, permit);
    return lwait_park(L, t, acquired, (lua_KContext)t);
}

/* The semaphore at 1, of this runtime, or misuse. */
static lsem *check_self(lua_State *L, const lbox *box, const char *op)
{
    lsem **object = ltest_object(L, 1, box, LTYPE_SEMAPHORE);
    if (object == NULL || *object == NULL || (*object)->ctx != box->current)
        return lsem_check(L, LTYPE_SEMAPHORE, op); /* raises */
    return *object;
}

/* After a checkpoint: semaphore and options may have changed meanwhile. */
static int acquire_then(lua_State *L, int status, lua_KContext n)
{
    static const char op[] = "semaphore:acquire";
    const lbox *box = lbox_here(L);
    acquire_options options = {WEIR_FOREVER, 0};
    (void)status;
    lwait_outcome(L, box->current);
    lsem *s = check_self(L, box, op);
    if (!lua_isnil(L, 3))
        read_options(L, &s->sem, op, &options);
    return acquire_now(L, box, s, (uint32_t)n, &options);
}

/* semaphore:acquire([n,] [{timeout=, priority=}]) -> permit */
int lsem_acquire(lua_State *L)
{
    static const char op[] = "semaphore:acquire";
    const lbox *box = lbox_here(L);
    acquire_options options = {WEIR_FOREVER, 0};
    uint32_t n = 1;
    lsem *s = check_self(L, box, op);
    if (lua_type(L, 2) == LUA_TTABLE) { /* no n */
        lua_settop(L, 2);
        lua_pushvalue(L, 2);
    } else {
        lua_settop(L, 3);
        if (!lua_isnil(L, 2))
            n = lcheck_count(L, 2, op, "n");
    }
    if (!lua_isnil(L, 3))
        read_options(L, &s->sem, op, &options);
    ltask *t = lwait_task(L, s->ctx, op);
    if (lwait_spend(L, t))
        return lwait_yield(L, t, op, acquire_then, n);
    return acquire_now(L, box, s, n, &options);
}

/* semaphore:try_acquire([n]) -> permit, or false and "busy", "impossible" or "closed". It never
 * waits, so any coroutine of a task will do. */
int lsem_try_acquire(lua_State *L)
{
    static const char op[] = "semaphore:try_acquire";
    const lbox *box = lbox_here(L);
    lsem *s = check_self(L, box, op);
    uint32_t n = lua_isnoneornil(L, 2) ? 1 : lcheck_count(L, 2, op, "n");
    ltask *t = ltask_current(s->ctx);
    if (t == NULL)
        lwait_task(L, s->ctx, op); /* raises */
    weir_permit *permit = NULL;
    lpermit *p = lpermit_push(L, box, 1, n);
    int rc = weir_semaphore_try(&s->sem, &t->task, n, &permit);
    if (rc == 0) {
        lpermit_take(p, permit);
        return 1;
    }
    if (rc == WEIR_ENOMEM)
        return luaL_error(L, "not enough memory");
    lua_pushboolean(L, 0);
    lua_pushstring(L, weir_error_name(rc));
    return 2;
}
