/* bindings/context.c - the context of a runtime: what anchors tasks, the pool of coroutines.
 *
 * A coroutine is anchored in the table `threads` from its making until the pool gives it up, a
 * task in the table `tasks` from its spawn until its end; neither costs the registry anything
 * per wait. A coroutine whose body ended normally is used again as it is (its stack keeps its
 * size); one that died in an error cannot be and goes to the collector.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "context.h"

/* Every finished coroutine is kept, since the next burst of tasks would pay four times as much for
 * new ones; those that are left over are given up little by little while the loop sleeps. */
#define MIN_IDLE 64

static const char box_key = 0;

lbox *lbox_of(lua_State *L)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &box_key);
    lbox *box = lua_touserdata(L, -1);
    lua_pop(L, 1);
    return box;
}

static lua_State *main_thread(lua_State *L)
{
    lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
    lua_State *main = lua_tothread(L, -1);
    lua_pop(L, 1);
    return main;
}

lcontext *lcontext_new(lua_State *L, lbox *box, weir_simulator *simulator)
{
    int rc = 0;
    struct uv_loop_s *uv = simulator == NULL ? lembed_loop(L) : NULL;
    lua_newtable(L);
    int tasks = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_newtable(L);
    int threads = luaL_ref(L, LUA_REGISTRYINDEX);
    lcontext *ctx = calloc(1, sizeof *ctx);
    if (ctx == NULL)
        luaL_error(L, "not enough memory");
    ctx->box = box;
    ctx->outer = box->current;
    ctx->number = ++box->n_contexts;
    ctx->main = main_thread(L);
    ctx->from = ctx->main;
    ctx->on_unhandled = ctx->reports = LUA_NOREF;
    ctx->until = WEIR_FOREVER;
    ctx->tasks = tasks;
    ctx->threads = threads;
    ctx->simulator = simulator;
    weir_list_init(&ctx->semaphores);
    weir_list_init(&ctx->orphans);
    weir_list_init(&ctx->buckets);
    weir_list_init(&ctx->objects);
    weir_list_init(&ctx->pools);
    weir_list_init(&ctx->endings);
    if (simulator != NULL) {
        ctx->rt = weir_runtime_new(weir_simulator_env(simulator));
        rc = ctx->rt == NULL ? WEIR_ENOMEM : 0;
    } else {
        rc = weir_loop_new(uv, &ctx->loop);
        if (rc == 0)
            ctx->rt = weir_loop_runtime(ctx->loop);
    }
    if (rc != 0) {
        luaL_unref(L, LUA_REGISTRYINDEX, tasks);
        luaL_unref(L, LUA_REGISTRYINDEX, threads);
        free(ctx);
        luaL_error(L, "weir: cannot make a runtime: %s", weir_error_text(rc));
        return NULL; /* not reached */
    }
    weir_runtime_set_user(ctx->rt, ctx);
    return ctx;
}

/* Tasks are left only where nobody drove the runtime any more (a task that was detached and no
 * weir.run came): they, and what they point at, stay as they are, and the process is ending. */
void lcontext_free(lua_State *L, lcontext *ctx)
{
    weir_link *k;
    uint32_t left = weir_runtime_counters(ctx->rt)->tasks;
    if (left > 0) {
        if (ctx->loop != NULL)
            fprintf(stderr, "weir: %u task%s never ended: nobody called weir.run\n", left,
                    left == 1 ? "" : "s");
        return;
    }
    weir_runtime_set_user(ctx->rt, NULL);
    while ((k = weir_list_pop(&ctx->endings)) != NULL) {
        lending *e = weir_container(k, lending, link);
        e->close(e->data);
        free(e);
    }
    if (ctx->guest != NULL)
        lguest_free(ctx);
    weir_list_append(&ctx->semaphores, &ctx->orphans);
    while ((k = weir_list_first(&ctx->semaphores)) != NULL)
        lsem_free(weir_container(k, lsem, link));
    lbucket_free_all(ctx);
    while ((k = weir_list_first(&ctx->objects)) != NULL) {
        lobject *o = weir_container(k, lobject, link);
        o->free(o);
    }
    luaL_unref(L, LUA_REGISTRYINDEX, ctx->tasks);
    luaL_unref(L, LUA_REGISTRYINDEX, ctx->threads);
    luaL_unref(L, LUA_REGISTRYINDEX, ctx->on_unhandled);
    luaL_unref(L, LUA_REGISTRYINDEX, ctx->reports);
    weir_alloc(ctx->rt, ctx->idle, ctx->cap_idle * sizeof *ctx->idle, 0);
    weir_alloc(ctx->rt, ctx->free_slots, ctx->cap_free * sizeof *ctx->free_slots, 0);
    if (ctx->loop != NULL)
        weir_loop_free(ctx->loop);
    else if (weir_runtime_quiesce(ctx->rt) == NULL)
        weir_runtime_free(ctx->rt);
    free(ctx);
}

/* --- anchors -------------------------------------------------------------------------- */

int lcontext_anchor(lua_State *L, lcontext *ctx)
{
    int slot;
    if (ctx->n_free > 0) {
        slot = ctx->free_slots[ctx->n_free - 1];
    } else {
        slot = ctx->n_slots + 1;
        if ((unsigned)slot > ctx->cap_free) { /* room to free every slot without asking again */
            unsigned cap = ctx->cap_free ? ctx->cap_free * 2 : 64;
            int *p =
                weir_alloc(ctx->rt, ctx->free_slots, ctx->cap_free * sizeof *p, cap * sizeof *p);
            if (p == NULL)
                luaL_error(L, "not enough memory");
            ctx->free_slots = p;
            ctx->cap_free = cap;
        }
    }
    lua_rawgeti(L, LUA_REGISTRYINDEX, ctx->tasks);
    lua_pushvalue(L, -2);
    lua_rawseti(L, -2, slot); /* may raise: nothing is taken yet */
    lua_pop(L, 1);
    if (ctx->n_free > 0)
        ctx->n_free--;
    else
        ctx->n_slots++;
    return slot;
}

void lcontext_unanchor(lua_State *L, lcontext *ctx, int slot)
{
    lua_rawgeti(L, LUA_REGISTRYINDEX, ctx->tasks);
    lua_pushboolean(L, 0); /* not nil: the array part keeps its shape, and no rehash can raise */
    lua_rawseti(L, -2, slot);
    lua_pop(L, 1);
    ctx->free_slots[ctx->n_free++] = slot;
}

void lcontext_push_slot(lua_State *L, lcontext *ctx, int slot)
{
    lua_rawgeti(L, LUA_REGISTRYINDEX, ctx->tasks);
    lua_rawgeti(L, -1, slot);
    lua_remove(L, -2);
}

/* --- coroutines ------------------------------------------------------------------------ */

static int new_thread(lua_State *L)
{
    lcontext *ctx = lua_touserdata(L, 1);
    lthread *th = lua_touserdata(L, 2);
    lua_rawgeti(L, LUA_REGISTRYINDEX, ctx->threads);
    th->co = lua_newthread(L);
    th->index = luaL_ref(L, -2);
    ctx->n_threads++;
    return 0;
}

/* As a new coroutine does; whoever used this one before may have left another. */
static void inherit_hook(lua_State *co, lua_State *from)
{
    lua_Hook hook = lua_gethook(from);
    if (lua_gethook(co) != hook)
        lua_sethook(co, hook, lua_gethookmask(from), lua_gethookcount(from));
}

int lcontext_take_thread(lcontext *ctx, ltask *t)
{
    if (ctx->n_idle > 0) {
        lthread *th = &ctx->idle[--ctx->n_idle];
        t->co = th->co;
        t->thread = th->index;
        inherit_hook(t->co, ctx->from);
        return 0;
    }
    lua_State *L = ctx->from;
    lthread th = {NULL, 0};
    if (!lua_checkstack(L, 4))
        return WEIR_ENOMEM;
    lua_pushcfunction(L, new_thread);
    lua_pushlightuserdata(L, ctx);
    lua_pushlightuserdata(L, &th);
    if (lua_pcall(L, 2, 0, 0) != LUA_OK) {
        lua_pop(L, 1);
        return WEIR_ENOMEM;
    }
    t->co = th.co;
    t->thread = th.index;
    return 0;
}

static void drop_thread(lcontext *ctx, lthread th)
{
    lua_State *L = ctx->from;
    lua_rawgeti(L, LUA_REGISTRYINDEX, ctx->threads);
    luaL_unref(L, -1, th.index);
    lua_pop(L, 1);
    ctx->n_threads--;
}

void lcontext_give_thread(lcontext *ctx, ltask *t, int reusable)
{
    lthread th = {t->co, t->thread};
    t->co = NULL;
    if (reusable && ctx->n_idle == ctx->cap_idle) {
        unsigned cap = ctx->cap_idle ? ctx->cap_idle * 2 : 32;
        lthread *p = weir_alloc(ctx->rt, ctx->idle, ctx->cap_idle * sizeof *p, cap * sizeof *p);
        if (p != NULL) {
            ctx->idle = p;
            ctx->cap_idle = cap;
        }
    }
    if (reusable && ctx->n_idle < ctx->cap_idle)
        ctx->idle[ctx->n_idle++] = th;
    else
        drop_thread(ctx, th);
}

void lcontext_trim(lcontext *ctx)
{
    for (unsigned n = ctx->n_idle > MIN_IDLE ? ctx->n_idle / 256 + 1 : 0; n > 0; n--)
        drop_thread(ctx, ctx->idle[--ctx->n_idle]);
}

/* --- the box ----------------------------------------------------------------------------- */

int lcontext_is_gone(lua_State *L)
{
    return lerror_raise(L, "closed", NULL, "the Lua state is being closed");
}

static int box_gc(lua_State *L)
{
    lbox *box = lua_touserdata(L, 1);
    /* os.exit(code, true) inside a task closes the state under the feet of the driver: the
     * process ends, so what is alive stays as it is. */
    if (box->own != NULL && !box->own->running)
        lcontext_free(L, box->own);
    box->own = box->current = NULL;
    return 0;
}

/* Set functions with the box as upvalue 1 in the table at the top. */
void lcontext_set_functions(lua_State *L, const luaL_Reg *functions)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &box_key);
    luaL_setfuncs(L, functions, 1);
}

void lcontext_set_runners(lua_State *L, const luaL_Reg *functions)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &box_key);
    lua_pushcfunction(L, lerror_handler);
    luaL_setfuncs(L, functions, 2);
}

void lcontext_new_type(lua_State *L, ltype type, const luaL_Reg *methods, const luaL_Reg *meta)
{
    lbox *box = lbox_of(L);
    int n = 0;
    while (methods[n].name != NULL)
        n++;
    luaL_newmetatable(L, ltype_names[type]);
    box->meta[type] = lua_topointer(L, -1);
    lua_pushvalue(L, -1);
    box->meta_ref[type] = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_createtable(L, 0, 4 * n); /* sparse: a look-up seldom meets another name */
    lcontext_set_functions(L, methods);
    if (meta != NULL) { /* with the methods as upvalue 2 */
        lua_pushvalue(L, -2);
        lua_rawgetp(L, LUA_REGISTRYINDEX, &box_key);
        lua_pushvalue(L, -3);
        luaL_setfuncs(L, meta, 2);
        lua_pop(L, 1);
    }
    if (lua_getfield(L, -2, "__index") == LUA_TNIL) { /* types with fields have a function */
        lua_pushvalue(L, -2);
        lua_setfield(L, -4, "__index");
    }
    lua_pop(L, 1);
    /* core.methods[short name], for the Lua half to add to */
    lua_getfield(L, -3, "methods");
    lua_pushvalue(L, -2);
    lua_setfield(L, -2, strchr(ltype_names[type], '.') + 1);
    lua_pop(L, 3);
}

void lcontext_set_type(lua_State *L, const lbox *box, ltype type)
{
    lua_rawgeti(L, LUA_REGISTRYINDEX, box->meta_ref[type]);
    lua_setmetatable(L, -2);
}

static const luaL_Reg no_functions[] = {{NULL, NULL}};

LUAMOD_API int luaopen_weir_core(lua_State *L);

int luaopen_weir_core(lua_State *L)
{
    luaL_checkversion(L);
    lbox *box = lua_newuserdatauv(L, sizeof *box, 0);
    memset(box, 0, sizeof *box);
    lua_newtable(L);
    lua_pushcfunction(L, box_gc);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &box_key);
    box->own = box->current = lcontext_new(L, box, NULL);

    lua_newtable(L);
    lcontext_set_functions(L, no_functions);
    lua_newtable(L);
    lua_setfield(L, -2, "methods");
    lua_pushliteral(L, WEIR_VERSION);
    lua_setfield(L, -2, "version");
    lerror_open(L, box);
    lcheck_open(L);
    lwait_open(L);
    ltask_open(L);
    lscope_open(L);
    lrun_open(L);
    lsemaphore_open(L);
    llimit_open(L);
    lbucket_open(L);
    lreservation_open(L);
    lpool_open(L);
    lcache_open(L);
    lbatch_open(L);
    lsimulator_open(L);
    lluv_open(L);
    lapi_open(L);
    lqueueing_open(L);
    return 1;
}
