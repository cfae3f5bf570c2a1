/* weir/lua.h - the table of functions for C that lives with Lua: connectors, and host programs.
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
#include <weir/inbox.h>
#include <weir/loop.h>
#include <weir/runtime.h>
#include <weir/version.h>

#include <weir/begin.h>

#define WEIR_LUA_API_VERSION 1
#define WEIR_LUA_API_KEY "weir.api"

/* The structs that both sides of the table look into, as the compiler laid them out. */
#define WEIR_LUA_LAYOUT                                                                            \
    ((uint64_t)sizeof(weir_timer) | (uint64_t)sizeof(weir_waiter) << 8 |                           \
     (uint64_t)offsetof(weir_waiter, object) << 16 |                                               \
     (uint64_t)offsetof(weir_waiter, status) << 24 | (uint64_t)sizeof(weir_letter) << 32 |         \
     (uint64_t)offsetof(weir_task, wait) << 40 | (uint64_t)sizeof(weir_wait_ops) << 56)

/* Where weir.core finds the host's loop; see weir_lua_set_loop. */
#define WEIR_LUA_LOOP_KEY "weir_loop"
typedef struct weir_lua_loop {
    struct uv_loop_s *uv;
    void (*run)(void);
} weir_lua_loop;

/* A task that `start` started has ended; `data` is what it was given. On `L`: the task at 1, from
 * 2 to the top its results (`state` is WEIR_TASK_DONE) or one error (FAILED, CANCELLED); what is
 * left there is dropped. From the loop, outside tasks: may start others, cannot wait, end or close
 * the state. An error raised here is reported. */
typedef void (*weir_lua_done_fn)(lua_State *L, weir_task_state state, void *data);

typedef struct weir_lua_api {
    /* What weir_lua_open compares: these four never move. */
    uint32_t version; /* WEIR_LUA_API_VERSION: another one is another table */
    uint32_t size;    /* sizeof this struct where it was built: fields only ever join at the end */
    const char *release; /* WEIR_VERSION of weir.core, for messages */
    uint64_t layout;     /* WEIR_LUA_LAYOUT */

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

    /* --- from other threads, as in weir/inbox.h -------------------------------------------- */
    int (*inbox_new)(weir_runtime *rt, weir_inbox **out);
    void (*inbox_post)(weir_inbox *inbox, weir_letter *letter); /* any thread */
    void (*inbox_keep_alive)(weir_inbox *inbox, int on);
    void (*inbox_free)(weir_inbox *inbox);

    /* --- for a host that has a loop of its own: docs/embedding.md -------------------------- */
    /* Start the function and `nargs` arguments on top of the stack (popped) as a task of the root
     * and return; it runs from the next turn on, and `done` is called once it has ended (not if the
     * state is closed before). 0 and *task (lends until `done` returns; may be NULL), or
     * WEIR_ECANCELED (`end` was called), WEIR_ENOMEM: then `done` is never called. May raise
     * (memory), with nothing started. Its failure is `done`'s to tell: it is not reported. Waits
     * never; callable anywhere. */
    int (*start)(lua_State *L, int nargs, weir_lua_done_fn done, void *data, weir_task **task);
    /* Cancel all tasks with a text as the reason (copied), let no more start, and run the loop
     * until all have ended, their `done`s were called and pools are empty. Cleanup behind a shield
     * is waited for, `grace` ns at most. Blocks. Outside tasks, and not inside a callback of the
     * loop: raises `misuse`. What a host calls before lua_close. */
    void (*end)(lua_State *L, const char *reason, uint64_t grace);
    /* The loop of the current runtime (NULL on virtual time) and, for a host whose loop is no
     * libuv, how to drive it: as in weir/loop.h. The main thread of the state must have
     * LUA_MINSTACK free slots in each step, as it has in a C function. */
    weir_loop *(*loop)(lua_State *L);
    int (*loop_fd)(weir_loop *loop);
    int (*loop_timeout)(weir_loop *loop);
    int (*loop_step)(weir_loop *loop);
    int (*loop_once)(weir_loop *loop, int block);

    /* --- more of weir/loop.h ---------------------------------------------------------------- */
    void (*poll_keep_alive)(weir_poll *poll, int on);
} weir_lua_api;

/* The table, loading weir.core first. Raises if this file is of another weir than the one that is
 * loaded, and they do not fit. */
static inline const weir_lua_api *weir_lua_open(lua_State *L)
{
    const weir_lua_api *api;
    lua_getglobal(L, "require");
    lua_pushliteral(L, "weir.core");
    lua_call(L, 1, 0);
    lua_getfield(L, LUA_REGISTRYINDEX, WEIR_LUA_API_KEY);
    api = (const weir_lua_api *)lua_touserdata(L, -1);
    lua_pop(L, 1);
    if (api == NULL)
        luaL_error(L, "weir.core is loaded, and has no table for C modules");
    if (api->version != WEIR_LUA_API_VERSION || api->size < sizeof *api ||
        api->layout != WEIR_LUA_LAYOUT)
        luaL_error(
            L,
            "this module was built with the headers of weir %s (table %d of %d bytes, layout "
            "%I), and weir %s is loaded (table %d of %d bytes, layout %I): build it with "
            "the headers of the weir that runs it",
            WEIR_VERSION, WEIR_LUA_API_VERSION, (int)sizeof *api, (LUAI_UACINT)WEIR_LUA_LAYOUT,
            api->release, (int)api->version, (int)api->size, (LUAI_UACINT)api->layout);
    return api;
}

/* For a host: make `require "weir"` find what is linked into the program (libweir-lua.a, pkg-config
 * weir-lua, CMake weir::lua) and not look for files; connectors stay files. Borrows nothing. Raises
 * (memory). */
void weir_lua_preload(lua_State *L);

/* For a host: let Lua's tasks run on `uv` (borrowed until lua_close), which the host drives with
 * its own uv_run; before anything of weir is loaded in this state. `run` is that `uv_run`, cast: a
 * weir that stands on another copy of libuv refuses to load. lua_close closes weir's handles, and
 * runs the loop for that. Raises. */
static inline void weir_lua_set_loop(lua_State *L, struct uv_loop_s *uv, void (*run)(void))
{
    weir_lua_loop *loop;
    if (lua_getfield(L, LUA_REGISTRYINDEX, WEIR_LUA_API_KEY) != LUA_TNIL)
        luaL_error(L, "weir_lua_set_loop: weir is loaded already, on a loop of its own");
    lua_pop(L, 1);
    loop = (weir_lua_loop *)lua_newuserdatauv(L, sizeof *loop, 0);
    loop->uv = uv;
    loop->run = run;
    lua_setfield(L, LUA_REGISTRYINDEX, WEIR_LUA_LOOP_KEY);
}

#include <weir/end.h>
#endif
