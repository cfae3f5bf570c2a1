/* bindings/llimit.c - weir.limit: a semaphore that starts jobs.
 *
 * limit(fn, ...) makes a task whose start waits in the queue of the limit's semaphore: until
 * its turn a job is its userdata alone, no coroutine. The slot goes back when fn and what it
 * spawned have ended (ltask.c). map and each are added by the Lua half.
 */
#include <string.h>

#include "context.h"

/* limit(fn, ...) -> task, in the innermost scope of the caller. */
static int limit_call(lua_State *L)
{
    static const char op[] = "limit";
    lsem *s = lsem_check(L, LTYPE_LIMIT, op);
    lcheck_function(L, 2, op, "fn");
    ltask *t = ltask_current(s->ctx);
    if (t == NULL)
        return lerror_raise(L, "misuse", op, "must be called inside a task");
    weir_scope *parent = t->task.current;
    int rc = ltask_spawn(L, s->ctx, lua_gettop(L) - 2, parent, 0, &s->sem);
    return rc == 0 ? 1 : ltask_refused(L, op, rc, parent);
}

/* limit:resize(n): growing starts queued jobs, shrinking lets the running ones end. */
static int limit_resize(lua_State *L)
{
    lsem *s = lsem_check(L, LTYPE_LIMIT, "limit:resize");
    weir_semaphore_resize(&s->sem, lcheck_count(L, 2, "limit:resize", "n"));
    return 0;
}

/* limit:clear([reason]) -> how many: cancel the jobs that have not started. */
static int limit_clear(lua_State *L)
{
    lsem *s = lsem_check(L, LTYPE_LIMIT, "limit:clear");
    lua_Integer n = 0;
    lua_settop(L, 2);
    for (weir_link *k = weir_list_first(&s->sem.queue), *next; k != NULL; k = next) {
        weir_task *t = weir_waiter_task(weir_container(k, weir_waiter, link));
        next = weir_list_next(&s->sem.queue, k);
        if (t != NULL && !t->started) /* a running task waits here in limit:map: not a job */
            n += lscope_cancel(L, s->ctx, &t->scope, 2);
    }
    lua_pushinteger(L, n);
    return 1;
}

static int limit_stats(lua_State *L)
{
    lsem_push_stats(L, &lsem_check(L, LTYPE_LIMIT, "limit:stats")->sem);
    return 1;
}

static int limit_index(lua_State *L)
{
    if (lcontext_push_method(L) != LUA_TNIL)
        return 1;
    const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
    const weir_semaphore *s = &lsem_check(L, LTYPE_LIMIT, "limit")->sem;
    if (strcmp(key, "active") == 0)
        lua_pushinteger(L, s->capacity - s->available);
    else if (strcmp(key, "pending") == 0)
        lua_pushinteger(L, s->waiting);
    else if (strcmp(key, "limit") == 0)
        lua_pushinteger(L, s->capacity);
    else
        return lerror_raise(L, "misuse", "limit", "no field '%s'", key);
    return 1;
}

static int limit_tostring(lua_State *L)
{
    lsem *s = *(lsem **)lcheck_object(L, 1, LTYPE_LIMIT, "limit");
    if (s == NULL)
        lua_pushliteral(L, "weir.limit (ended)");
    else
        lua_pushfstring(L, "weir.limit (%I of %I active, %I pending)",
                        (lua_Integer)(s->sem.capacity - s->sem.available),
                        (lua_Integer)s->sem.capacity, (lua_Integer)s->sem.waiting);
    return 1;
}

/* weir.limit(n) */
static int core_limit(lua_State *L)
{
    uint32_t n = lcheck_count(L, 1, "weir.limit", "n");
    lua_settop(L, 1);
    lsem_new(L, LTYPE_LIMIT, n, "limit", "weir.limit");
    return 1;
}

/* core.limit_with(limit, fn, ...): run fn here and now, in the running task, in one slot. */
static int core_limit_with(lua_State *L)
{
    lcheck_object(L, 1, LTYPE_LIMIT, "limit");
    return lsem_with(L);
}

static const luaL_Reg functions[] = {
    {"limit", core_limit}, {"limit_with", core_limit_with}, {NULL, NULL}};
static const luaL_Reg methods[] = {
    {"resize", limit_resize}, {"clear", limit_clear}, {"stats", limit_stats}, {NULL, NULL}};
static const luaL_Reg meta[] = {{"__call", limit_call},
                                {"__index", limit_index},
                                {"__tostring", limit_tostring},
                                {"__gc", lsem_gc},
                                {NULL, NULL}};

void llimit_open(lua_State *L)
{
    lcontext_set_functions(L, functions);
    lcontext_new_type(L, LTYPE_LIMIT, methods, meta);
}
