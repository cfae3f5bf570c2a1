/* bindings/llimit.c - weir.limit: a semaphore that starts jobs.
 *
 * limit(fn, ...) makes a task whose start waits in the queue of the limit's semaphore: until
 * its turn a job is its userdata alone, no coroutine. The slot goes back when fn and what it
 * spawned have ended (ltask.c). map and each are added by the Lua half.
 */
#include <string.h>

#include "lsemaphore.h"

/* Start a job: function and arguments from index `fn` to the top. */
static int start(lua_State *L, const char *op, lsem *s, int fn, const ljob *job)
{
    lcheck_function(L, fn, op, "fn");
    ltask *t = ltask_current(s->ctx);
    if (t == NULL)
        return lwait_refuse_outside(L, op, "in weir.run, or in a script of the weir program");
    weir_scope *parent = t->task.current;
    int rc = ltask_spawn(L, s->ctx, lua_gettop(L) - fn, parent, 0, job);
    if (rc == 0)
        return 1;
    if (rc == WEIR_EOVERLOAD || rc == WEIR_EIMPOSSIBLE)
        return lsem_refused(L, &s->sem, rc, job->n, op);
    return ltask_refused(L, op, rc, parent);
}

/* limit(fn, ...) -> task, in the innermost scope of the caller. */
static int limit_call(lua_State *L)
{
    lsem *s = lsem_check(L, LTYPE_LIMIT, "limit");
    const ljob job = {.on = &s->sem, .n = 1};
    return start(L, "limit", s, 2, &job);
}

/* limit:submit({priority=, weight=, name=}, fn, ...) -> task */
static int limit_submit(lua_State *L)
{
    static const char op[] = "limit:submit";
    static const char *const known[] = {"priority", "weight", "name", NULL};
    lsem *s = lsem_check(L, LTYPE_LIMIT, op);
    ljob job = {.on = &s->sem, .n = 1};
    lcheck_options(L, 2, op, known);
    if (lua_getfield(L, 2, "weight") != LUA_TNIL)
        job.n = lcheck_count(L, -1, op, "weight");
    lua_getfield(L, 2, "priority");
    job.priority = lsem_check_priority(L, -1, &s->sem, op);
    if (lua_getfield(L, 2, "name") != LUA_TNIL) {
        if (lua_type(L, -1) != LUA_TSTRING)
            return lcheck_fail(L, op, "name", "a string", -1);
        job.name = 2; /* it takes the place of the options */
    }
    lua_replace(L, 2);
    lua_pop(L, 2);
    return start(L, op, s, 3, &job);
}

/* limit:resize(n): growing starts queued jobs, shrinking lets the running ones end. */
static int limit_resize(lua_State *L)
{
    lsem *s = lsem_check(L, LTYPE_LIMIT, "limit:resize");
    weir_semaphore_resize(&s->sem, lcheck_count(L, 2, "limit:resize", "n"));
    return 0;
}

/* Cancel the jobs in the queue. One that leaves may let the next in, or one behind: then the place
 * in the list is lost. A running task that waits here (in limit:map) is not a job. */
static lua_Integer clear_queue(lua_State *L, lsem *s)
{
    lua_Integer n = 0;
    for (weir_link *k = weir_list_first(&s->sem.queue), *next; k != NULL; k = next) {
        weir_task *t = weir_waiter_task(weir_container(k, weir_waiter, link));
        uint64_t grants = s->sem.stats.grants;
        next = weir_list_next(&s->sem.queue, k);
        if (t == NULL || t->started)
            continue;
        n += lscope_cancel(L, s->ctx, &t->scope, 2);
        if (s->sem.stats.grants != grants ||
            (next != NULL && weir_container(next, weir_waiter, link)->status != WEIR_PENDING))
            next = weir_list_first(&s->sem.queue);
    }
    return n;
}

/* limit:clear([reason]) -> how many: cancel the jobs that have not started, also those that only
 * get a slot because others are cleared. */
static int limit_clear(lua_State *L)
{
    lsem *s = lsem_check(L, LTYPE_LIMIT, "limit:clear");
    lua_settop(L, 2);
    weir_link *head = &s->sem.holders.head,
              *last = head->prev; /* those after it got in meanwhile */
    lua_Integer n = clear_queue(L, s);
    for (weir_link *k = last->next; k != head; k = last->next) {
        weir_task *t = weir_container(k, weir_permit, link)->hold.holder;
        if (t == NULL || t->started || !lscope_cancel(L, s->ctx, &t->scope, 2)) {
            last = k;
            continue;
        }
        n++;
        n += clear_queue(L, s);
    }
    lua_pushinteger(L, n);
    return 1;
}

/* limit:idle([timeout]): waits until nothing runs or waits. */
static int limit_idle(lua_State *L)
{
    lsem *s = lsem_check(L, LTYPE_LIMIT, "limit:idle");
    return lsem_wait(L, s, "limit:idle", limit_idle, s->sem.held == 0 && s->sem.waiting == 0,
                     weir_semaphore_idle);
}

static int limit_set_priority(lua_State *L)
{
    static const char op[] = "limit:set_priority";
    return lsem_set_priority(L, lsem_check(L, LTYPE_LIMIT, op), op);
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
        lua_pushinteger(L, s->held);
    else if (strcmp(key, "pending") == 0)
        lua_pushinteger(L, s->waiting);
    else if (strcmp(key, "limit") == 0)
        lua_pushinteger(L, s->capacity);
    else if (strcmp(key, "name") == 0)
        lua_pushstring(L, s->name);
    else
        return lerror_raise(L, "misuse", "limit", "no field '%s'", key);
    return 1;
}

static int limit_tostring(lua_State *L)
{
    const lsem *s = ((const lsem_object *)lcheck_object(L, 1, LTYPE_LIMIT, "limit"))->sem;
    if (s == NULL)
        lua_pushliteral(L, "weir.limit (ended)");
    else
        lua_pushfstring(L, "weir.limit %s (%I active of %I, %I pending)", s->sem.name,
                        (lua_Integer)s->sem.held, (lua_Integer)s->sem.capacity,
                        (lua_Integer)s->sem.waiting);
    return 1;
}

/* weir.limit(n) or weir.limit{n=, name=, max_waiting=, bypass=, order=, aging=} */
static int core_limit(lua_State *L)
{
    lsem_options options;
    lsem_check_options(L, "weir.limit", "n", &options);
    if (options.name == NULL)
        options.name = "limit";
    lsem_new(L, LTYPE_LIMIT, &options, "weir.limit");
    return 1;
}

/* core.limit_with(limit, fn, ...): run fn here and now, in the running task, in one slot. */
static int core_limit_with(lua_State *L)
{
    lcheck_object(L, 1, LTYPE_LIMIT, "limit");
    return lsem_with(L);
}

static const luaL_Reg functions[] = {{"limit", core_limit}, {NULL, NULL}};
static const luaL_Reg runners[] = {{"limit_with", core_limit_with}, {NULL, NULL}};
static const luaL_Reg methods[] = {{"submit", limit_submit},
                                   {"resize", limit_resize},
                                   {"clear", limit_clear},
                                   {"idle", limit_idle},
                                   {"set_priority", limit_set_priority},
                                   {"stats", limit_stats},
                                   {NULL, NULL}};
static const luaL_Reg meta[] = {{"__call", limit_call},
                                {"__index", limit_index},
                                {"__tostring", limit_tostring},
                                {"__gc", lsem_gc},
                                {NULL, NULL}};

void llimit_open(lua_State *L)
{
    lcontext_set_functions(L, functions);
    lcontext_set_runners(L, runners);
    lcontext_new_type(L, LTYPE_LIMIT, methods, meta);
}
