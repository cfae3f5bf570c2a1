/* bindings/lluv.c - luv beside weir: on our loop where both use one libuv, else driven by ours.
 *
 * luv takes a loop from its embedder before it is opened. That is only right if luv's libuv and
 * ours are the same library: in the module they are, in the binary ours is linked in. There
 * luv keeps its own loop, and each of our iterations gives it one of its own that does not
 * block; a watch on its descriptor and a timer say when ours must not sleep on.
 */
#include <dlfcn.h>

#include "context.h"

typedef struct lguest {
    weir_poll *poll;
    weir_timer timer;
    int step; /* registry reference: () -> milliseconds until it is due, nil for nothing alive */
} lguest;

/* How luv calls back: an error is reported as that of a detached task is, and the process goes on
 * (by itself luv would end it). Stack: function, arguments. The number of results, or -1. */
static int call_back(lua_State *L, int n_args, int n_results, int flags)
{
    int fn = lua_gettop(L) - n_args;
    (void)flags;
    lua_pushcfunction(L, lerror_callback_handler);
    lua_insert(L, fn);
    int rc = lua_pcall(L, n_args, n_results, fn);
    lua_remove(L, fn);
    if (rc == LUA_OK)
        return lua_gettop(L) - fn + 1;
    lerror_report(L, lbox_of(L)->own, "error in a callback of luv", 1);
    return -rc;
}

/* core.luv_share(path) -> true if luv, to be loaded from `path`, will run on our loop. */
static int core_luv_share(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    lcontext *ctx = lbox_here(L)->own;
    void (*set_loop)(lua_State *, struct uv_loop_s *);
    void (*set_callback)(lua_State *, int (*)(lua_State *, int, int, int));
    /* Not closed: Lua is about to load the same file, which is then the same object. */
    void *lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (lib == NULL)
        return luaL_error(L, "%s", dlerror());
    void *run = dlsym(lib, "uv_run"), *set = dlsym(lib, "luv_set_loop");
    void *call = dlsym(lib, "luv_set_callback");
    int shared = run != NULL && set != NULL && weir_loop_is_from(run);
    if (call != NULL) {
        *(void **)&set_callback = call; /* ISO C has no other way from void * to a function */
        set_callback(L, call_back);
    }
    if (shared) {
        *(void **)&set_loop = set;
        set_loop(L, weir_loop_uv(ctx->loop));
    }
    lua_pushboolean(L, shared);
    return 1;
}

/* The descriptor or the timer only have to end our sleep: the guest is stepped before the next. */
static void woken_by_poll(weir_poll *poll, int status, int events, void *data)
{
    (void)poll;
    (void)status;
    (void)events;
    (void)data;
}

static void woken_by_timer(weir_runtime *rt, weir_timer *timer)
{
    (void)rt;
    (void)timer;
}

/* core.luv_guest(descriptor, step): call step() before each of our iterations. */
static int core_luv_guest(lua_State *L)
{
    lcontext *ctx = lbox_here(L)->own;
    int fd = (int)luaL_checkinteger(L, 1);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    if (ctx->guest != NULL)
        return luaL_error(L, "there is a guest already");
    lguest *g = lua_newuserdatauv(L, sizeof *g, 0);
    g->poll = NULL;
    weir_timer_init(&g->timer, woken_by_timer);
    lua_rawsetp(L, LUA_REGISTRYINDEX, g); /* for as long as the state lives */
    lua_settop(L, 2);
    g->step = luaL_ref(L, LUA_REGISTRYINDEX);
    int rc = weir_poll_new(ctx->rt, fd, woken_by_poll, NULL, &g->poll);
    if (rc != 0)
        return luaL_error(L, "cannot watch the loop of luv: %s", weir_loop_error_text(rc));
    ctx->guest = g;
    return 0;
}

int lguest_step(lua_State *L, lcontext *ctx)
{
    lguest *g = ctx->guest;
    lua_rawgeti(L, LUA_REGISTRYINDEX, g->step);
    if (lua_pcall(L, 0, 1, 0) != LUA_OK) {
        lerror_report(L, ctx, "error in a callback of luv", 1);
        return 1;
    }
    int alive = !lua_isnil(L, -1);
    lua_Number ms = alive ? lua_tonumber(L, -1) : -1;
    lua_pop(L, 1);
    weir_poll_set(g->poll, alive ? WEIR_READABLE : 0);
    if (ms < 0)
        weir_timer_unset(ctx->rt, &g->timer);
    else
        weir_timer_set(ctx->rt, &g->timer, weir_after(ctx->rt, (uint64_t)(ms * 1e6)));
    return alive ||
           weir_next_turn(ctx->rt) != WEIR_FOREVER; /* its callbacks may have woken a task */
}

void lguest_free(lcontext *ctx)
{
    lguest *g = ctx->guest;
    weir_timer_unset(ctx->rt, &g->timer);
    weir_poll_free(g->poll);
    ctx->guest = NULL;
}

static const luaL_Reg functions[] = {
    {"luv_share", core_luv_share}, {"luv_guest", core_luv_guest}, {NULL, NULL}};

void lluv_open(lua_State *L)
{
    lcontext_set_functions(L, functions);
}
