/* weir/lua.h - the table of functions by which C modules bring their own waiting functions.
 *
 * A connector (http, postgres ...) is a loadable module of its own: it links neither libweir
 * nor libuv nor liblua, and reaches the runtime through this table alone:
 *
 *     static const weir_lua_api *api;
 *     int luaopen_my_module(lua_State *L) { api = weir_lua_open(L); ... }
 *
 * A waiting function, in this order, so that nothing that can raise stands between arm and yield:
 *
 *     static int thing_wait(lua_State *L)
 *     {
 *         thing *t = check_thing(L, 1);                          check arguments
 *         uint64_t deadline = api->check_timeout(L, 2, "thing:wait", "timeout");
 *         weir_waiter *w = api->enter(L, "thing:wait");          may raise misuse, cancelled
 *         thing_prepare(L, t);                                   whatever else can raise
 *         api->waiter_begin(t->rt, w, &thing_ops, t, deadline);  arm: cannot fail
 *         t->waiter = w;
 *         return api->park(L, thing_waitk, 1);                   the last statement
 *     }
 *     static int thing_waitk(lua_State *L, int status, lua_KContext ctx)
 *     {
 *         api->outcome(L);                                       raises unless granted
 *         ...push results; the stack is as it was before park
 *     }
 *
 * Callbacks of polls, timers, works and resolves come from the loop, outside tasks and outside
 * Lua: they may settle waiters and set timers. To touch Lua there, go through `protect`.
 * Thread rule: everything on the runtime's thread, but for the `work` half of weir_work_new.
 */
#ifndef WEIR_LUA_H
#define WEIR_LUA_H
#include <lauxlib.h>
#include <lua.h>
#include <weir/error.h>
#include <weir/loop.h>
#include <weir/runtime.h>

#define WEIR_LUA_API_VERSION 1
#define WEIR_LUA_API_KEY "weir.api"

typedef struct weir_lua_api {
    uint32_t version; /* WEIR_LUA_API_VERSION */
    uint32_t size;    /* sizeof this struct where it was built: fields only ever join at the end */

    /* --- context ---------------------------------------------------------------------- */
    /* The runtime that is current in this Lua state. Lends. Never NULL. */
    weir_runtime *(*runtime)(lua_State *L);
    /* Call `f` with `data` as light userdata at index 1, protected, on the state's main thread,
     * outside tasks. 0, or a negative code after the error was reported on stderr. */
    int (*protect)(weir_runtime *rt, lua_CFunction f, void *data);

    /* --- waiting: see the head of this file --------------------------------------------- */
    /* The running task's waiter, idle. Raises `misuse` (no task, foreign coroutine, cannot
     * yield here) or `cancelled`. Spends nothing. */
    weir_waiter *(*enter)(lua_State *L, const char *op);
    /* Yield the running task, whose waiter is armed; `k` runs when it is settled. */
    int (*park)(lua_State *L, lua_KFunction k, lua_KContext ctx);
    /* In `k`: return if the wait was GRANTED, otherwise raise timeout, cancelled or closed. */
    void (*outcome)(lua_State *L);
    /* For an operation that was answered without waiting: spend one unit of the task's budget.
     * 1 if the caller should return api->yield(L, k, ctx) instead of going on. */
    int (*spend)(lua_State *L);
    /* A checkpoint: raise `cancelled` if so, let the others run, then continue in `k`. */
    int (*yield)(lua_State *L, lua_KFunction k, lua_KContext ctx);
    void (*waiter_begin)(weir_runtime *rt, weir_waiter *w, const weir_wait_ops *ops, void *object,
                         uint64_t deadline);
    void (*waiter_settle)(weir_runtime *rt, weir_waiter *w, weir_status status);
    int (*waiter_give_up)(weir_runtime *rt, weir_waiter *w, weir_status status);

    /* --- tasks ------------------------------------------------------------------------ */
    /* Spawn a task from the function and `nargs` arguments on top of the stack (popped) in
     * `parent` (NULL: the running task's innermost scope; outside tasks the root) and push the
     * task object. 0 or WEIR_ECLOSED, WEIR_ECANCELED (nothing pushed). May raise (memory).
     * `flags`: 0 or WEIR_SCOPE_DAEMON. */
    int (*spawn)(lua_State *L, int nargs, weir_scope *parent, uint32_t flags);
    /* The task at `index`, or raise. Lends while the task lives. */
    weir_task *(*check_task)(lua_State *L, int index);
    /* Cancel a task or scope with a text as its reason (copied). */
    void (*cancel)(weir_runtime *rt, weir_scope *scope, const char *reason);
    /* The innermost scope of the running task; the root outside tasks. Lends. */
    weir_scope *(*scope)(lua_State *L);

    /* --- errors ----------------------------------------------------------------------- */
    /* Raise an error object of `kind` ("network", "protocol", "misuse" ...). */
    int (*raise)(lua_State *L, const char *kind, const char *op, const char *fmt, ...);
    /* The same, pushed instead of raised. */
    void (*push_error)(lua_State *L, const char *kind, const char *op, const char *fmt, ...);
    /* Print an error that nobody can get, as the report of a failed detached task is printed;
     * the value is at the top of the stack and popped. `fatal` makes the exit code 1. */
    void (*report)(lua_State *L, const char *what, int fatal);
    /* Seconds at `index` (a number, nil for none, or a table whose field `field` holds it) to a
     * deadline; raises `misuse` naming `op` for a wrong type, NaN or a negative one. */
    uint64_t (*check_timeout)(lua_State *L, int index, const char *op, const char *field);

    /* --- the core, as in weir/timer.h and weir/loop.h ------------------------------------- */
    uint64_t (*now)(const weir_runtime *rt);
    uint64_t (*after)(weir_runtime *rt, uint64_t delay);
    void (*timer_init)(weir_timer *timer, weir_timer_fn fire);
    void (*timer_set)(weir_runtime *rt, weir_timer *timer, uint64_t deadline);
    void (*timer_unset)(weir_runtime *rt, weir_timer *timer);
    int (*poll_new)(weir_runtime *rt, int fd, weir_poll_fn fn, void *data, weir_poll **out);
    int (*poll_set)(weir_poll *poll, int events);
    void (*poll_free)(weir_poll *poll);
    int (*work_new)(weir_runtime *rt, weir_work_fn work, weir_done_fn done, void *data,
                    weir_work **out);
    void (*work_cancel)(weir_work *work);
    int (*resolve_new)(weir_runtime *rt, const char *host, weir_resolve_fn fn, void *data,
                       weir_resolve **out);
    void (*resolve_cancel)(weir_resolve *r);
    const char *(*error_text)(int code); /* weir's codes and libuv's */

    /* Call `close(data)` when the runtime ends, before its loop goes: a connector frees its
     * polls, timers and sockets there. NULL `close` forgets `data`. Raises on no memory. */
    void (*at_end)(lua_State *L, weir_runtime *rt, void (*close)(void *data), void *data);
} weir_lua_api;

/* The table, loading weir.core first. Raises if it is of another version. */
static inline const weir_lua_api *weir_lua_open(lua_State *L)
{
    const weir_lua_api *api;
    lua_getglobal(L, "require");
    lua_pushliteral(L, "weir.core");
    lua_call(L, 1, 0);
    lua_getfield(L, LUA_REGISTRYINDEX, WEIR_LUA_API_KEY);
    api = (const weir_lua_api *)lua_touserdata(L, -1);
    lua_pop(L, 1);
    if (api == NULL || api->version != WEIR_LUA_API_VERSION || api->size < sizeof *api)
        luaL_error(L, "this module was built for another version of weir");
    return api;
}

#endif
