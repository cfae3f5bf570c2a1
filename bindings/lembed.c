/* bindings/lembed.c - tasks that a C host starts, while it runs a loop of its own; and their end.
 *
 * A start is core memory: a waiter that joins the task, and a slot that holds the task's object
 * until the host was told. The join claims the failure, which is the host's then. Its turn comes in
 * the ready queue like any other, so `done` is called from the loop and never from inside a call of
 * the host's. A state that is closed with starts open frees them in the order of lcontext_free.
 */
#include <string.h>
#include <weir/lua.h>

#include "lembed.h"

typedef struct lstart {
    lobject object; /* first */
    weir_waiter wait;
    lcontext *ctx;
    ltask *task;
    int slot; /* holds the task's object */
    int told;
    weir_lua_done_fn done;
    void *data;
} lstart;

struct uv_loop_s *lembed_loop(lua_State *L)
{
    const void *run;
    lua_getfield(L, LUA_REGISTRYINDEX, WEIR_LUA_LOOP_KEY);
    const weir_lua_loop *host = lua_touserdata(L, -1);
    lua_pop(L, 1);
    if (host == NULL)
        return NULL;
    memcpy(&run, &host->run, sizeof run);
    if (!weir_loop_is_from(run))
        luaL_error(L,
                   "weir_lua_set_loop: the host's loop is of another libuv than the one (%s) that "
                   "weir.core runs on; link both with the same shared library",
                   weir_loop_backend());
    return host->uv;
}

static void free_start(lobject *o)
{
    lstart *s = (lstart *)(void *)o;
    if (s->wait.status != WEIR_IDLE) /* the state is being closed */
        weir_waiter_abandon(s->ctx->rt, &s->wait);
    weir_link_remove(&o->link);
    weir_alloc(s->ctx->rt, s, sizeof *s, 0);
}

/* --- the end of a task ------------------------------------------------------------------------ */

static weir_task_state state_of(const lstart *s)
{
    return (weir_task_state)s->task->task.state;
}

/* Protected. */
static int tell(lua_State *L)
{
    lstart *s = lua_touserdata(L, 1);
    lcontext_push_slot(L, s->ctx, s->slot);
    lua_replace(L, 1);
    ltask_push_values(L, 1, s->task);
    luaL_checkstack(L, LUA_MINSTACK, NULL);
    s->told = 1;
    s->done(L, state_of(s), s->data);
    return 0;
}

/* Protected. There was no memory for the results: they are lost, the end is not. Stack: the start,
 * the error that says so. */
static int tell_plainly(lua_State *L)
{
    lstart *s = lua_touserdata(L, 1);
    lcontext_push_slot(L, s->ctx, s->slot);
    lua_replace(L, 1);
    s->told = 1;
    s->done(L, WEIR_TASK_FAILED, s->data);
    return 0;
}

/* Call `f` with the start and what is above `base` (popped). 0, or the error is at the top. */
static int call(lua_State *L, lstart *s, lua_CFunction f, int base)
{
    lua_pushcfunction(L, lerror_callback_handler);
    lua_insert(L, base + 1);
    lua_pushcfunction(L, f);
    lua_insert(L, base + 2);
    lua_pushlightuserdata(L, s);
    lua_insert(L, base + 3);
    int rc = lua_pcall(L, lua_gettop(L) - base - 2, 0, base + 1);
    lua_remove(L, base + 1);
    return rc;
}

static void on_end(weir_runtime *rt, weir_waiter *w)
{
    lstart *s = weir_container(w, lstart, wait);
    lcontext *ctx = s->ctx;
    lua_State *L = ctx->main;
    int running = ctx->running, base = lua_gettop(L);
    (void)rt;
    ctx->running = 1; /* the loop is: `done` can drive nothing */
    int rc = call(L, s, tell, base);
    if (rc != LUA_OK && !s->told)
        rc = call(L, s, tell_plainly, base);
    if (rc != LUA_OK)
        lerror_report(L, ctx, "error in the host's callback", 1);
    ctx->running = running;
    lcontext_unanchor(L, ctx, s->slot);
    free_start(&s->object);
    lcontext_trim(ctx); /* nobody else does while the host drives */
}

/* --- the start -------------------------------------------------------------------------------- */

/* Protected: spawn, with a slot beside the task's own. Stack: the start, function, arguments. */
static int spawn(lua_State *L)
{
    lstart *s = lua_touserdata(L, 1);
    lua_pushvalue(L, 2);
    s->slot = lcontext_anchor(L, s->ctx);
    lua_pop(L, 1);
    int rc = ltask_spawn(L, s->ctx, lua_gettop(L) - 2, weir_root(s->ctx->rt), 0, NULL);
    if (rc == 0) {
        s->task = lua_touserdata(L, -1);
        s->task->line = LTASK_BY_HOST;
        lua_rawgeti(L, LUA_REGISTRYINDEX, s->ctx->tasks);
        lua_insert(L, -2);
        lua_rawseti(L, -2, s->slot); /* it is there: nothing can raise */
    }
    lua_pushinteger(L, rc);
    return 1;
}

int lembed_start(lua_State *L, lcontext *ctx, int nargs, weir_lua_done_fn done, void *data,
                 weir_task **task)
{
    int fn = lua_gettop(L) - nargs;
    lcheck_function(L, fn, "start", "fn");
    lstart *s = NULL;
    if (lua_checkstack(L, 4) && lua_checkstack(ctx->main, LUA_MINSTACK))
        s = weir_alloc(ctx->rt, NULL, 0, sizeof *s);
    if (s == NULL) {
        lua_settop(L, fn - 1);
        return WEIR_ENOMEM;
    }
    memset(s, 0, sizeof *s);
    s->object.free = free_start;
    s->ctx = ctx;
    s->done = done;
    s->data = data;
    weir_waiter_init(&s->wait, on_end);
    weir_list_push(&ctx->objects, &s->object.link);
    lua_pushcfunction(L, spawn);
    lua_insert(L, fn);
    lua_pushlightuserdata(L, s);
    lua_insert(L, fn + 1);
    int raised = lua_pcall(L, nargs + 2, 1, 0), rc = (int)lua_tointeger(L, -1);
    if (raised != LUA_OK || rc != 0) {
        if (s->slot != 0)
            lcontext_unanchor(L, ctx, s->slot);
        free_start(&s->object);
        if (raised != LUA_OK)
            lua_error(L);
    } else {
        weir_task_join(ctx->rt, &s->task->task, &s->wait, 1, WEIR_FOREVER);
        if (task != NULL)
            *task = &s->task->task;
    }
    lua_pop(L, 1);
    return rc;
}
