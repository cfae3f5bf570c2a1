/* bindings/lpool.c - weir.pool: the object, its bounds, what is seen of it.
 *
 * Borrowing is in lborrow.c, the lease in llease.c, what the pool does by itself in lpool_work.c.
 * The userdata holds the functions and the values of the resources, so that a pool nobody refers
 * to is garbage also when its functions refer to it; a weak table leads from the record to it.
 * A pool that is collected is closed first: its userdata lives on in its slot until everything
 * is destroyed. Invariant: while a task works for the pool, that task keeps the userdata.
 */
#include <string.h>

#include "lpool.h"

static const char weak_key = 0; /* registry key of the weak table: lpool.owner -> userdata */

/* --- the object -------------------------------------------------------------------------- */

int lpool_push(lua_State *L, const lpool *s)
{
    if (s->is_garbage) {
        lcontext_push_slot(L, s->ctx, s->slot);
        return 1;
    }
    lua_rawgetp(L, LUA_REGISTRYINDEX, &weak_key);
    int type = lua_rawgetp(L, -1, s->owner);
    lua_remove(L, -2);
    if (type == LUA_TUSERDATA)
        return 1;
    lua_pop(L, 1);
    return 0;
}

static void pool_free(lpool *s)
{
    weir_pool_fini(&s->pool);
    s->owner->pool = NULL;
    weir_link_remove(&s->head.link);
    weir_link_remove(&s->link);
    weir_alloc(s->ctx->rt, s, s->size, 0);
}

void lpool_settle(lpool *s)
{
    if (!s->is_garbage || weir_link_is_linked(&s->turn.link) || !weir_pool_is_gone(&s->pool))
        return;
    if (!lua_checkstack(s->ctx->main, 4))
        return; /* with the runtime, then */
    int slot = s->slot;
    lcontext *ctx = s->ctx;
    pool_free(s);
    lcontext_unanchor(ctx->main, ctx, slot);
}

/* With the runtime, in which nothing runs any more. */
void lpool_end(lobject *o)
{
    lpool *s = (lpool *)(void *)o;
    s->is_ending = 1;
    weir_waiter_abandon(s->ctx->rt, &s->turn);
    weir_pool_close(&s->pool);
    lpool_answer_all(s);
    pool_free(s);
}

/* Let the slot hold the userdata at the top (popped), or false. */
static void fill_slot(lua_State *L, const lpool *s)
{
    lua_rawgeti(L, LUA_REGISTRYINDEX, s->ctx->tasks);
    lua_insert(L, -2);
    lua_rawseti(L, -2, s->slot); /* it was filled before: there is room */
    lua_pop(L, 1);
}

static int pool_gc(lua_State *L)
{
    lpool_object *object = lcheck_object(L, 1, LTYPE_POOL, "__gc");
    lpool *s = object->pool;
    if (s != NULL && lpool_push(L, s)) /* the weak table has it: somebody called this by hand */
        return 0;
    object->tag = NULL;
    if (s == NULL)
        return 0;
    lua_settop(L, 1);
    fill_slot(L, s); /* what it still does may use it */
    s->is_garbage = 1;
    weir_pool_close(&s->pool);
    if (!weir_list_is_empty(&s->jobs))
        lpool_ask_turn(s);
    lpool_settle(s);
    return 0;
}

lpool *lpool_check(lua_State *L, const char *op)
{
    const lbox *box = lbox_here(L);
    const lpool_object *object = ltest_tagged(L, 1, box, LTYPE_POOL);
    if (object == NULL)
        object = lcheck_object(L, 1, LTYPE_POOL, op);
    lpool *s = object->pool;
    if (s == NULL || s->ctx != box->current)
        lerror_raise(L, "misuse", op, "it belongs to another runtime, or to one that has ended");
    if (weir_current(s->ctx->rt) == NULL)
        weir_now_update(s->ctx->rt); /* no turn has read the clock */
#ifdef WEIR_STRESS
    assert(weir_pool_validate(&s->pool) == 0);
#endif
    return s;
}

/* Push a userdata without a pool for the functions in the table at 1. */
static lpool_object *push_userdata(lua_State *L, int *line)
{
    static const char *const functions[] = {"create", "check", "destroy", "on_leak"};
    lua_Debug ar;
    lpool_object *object = lua_newuserdatauv(L, sizeof *object, LPOOL_USER_VALUES);
    object->tag = NULL; /* until there is a pool */
    object->pool = NULL;
    lcontext_set_type(L, lbox_here(L), LTYPE_POOL);
    for (int i = 0; i < 4; i++) {
        lua_getfield(L, 1, functions[i]);
        lua_setiuservalue(L, -2, LPOOL_CREATE_FN + i);
    }
    *line = -1;
    if (lua_getstack(L, 1, &ar) && lua_getinfo(L, "lf", &ar)) {
        *line = ar.currentline;
        lua_setiuservalue(L, -2, LPOOL_SITE);
    }
    lua_newtable(L);
    lua_setiuservalue(L, -2, LPOOL_VALUES);
    lua_newtable(L);
    lua_setiuservalue(L, -2, LPOOL_SITES);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &weak_key);
    lua_pushvalue(L, -2);
    lua_rawsetp(L, -2, object);
    lua_pop(L, 1);
    return object;
}

/* weir.pool{create=, check=, destroy=, max=, min=, ...} */
static int core_pool(lua_State *L)
{
    static const char op[] = "weir.pool";
    lcontext *ctx = lcontext_here(L);
    lpool_options options;
    int line = -1;
    lpool_check_options(L, &options);
    size_t length = options.name != NULL ? strlen(options.name) + 1 : 0;
    size_t size = sizeof(lpool) + length;
    lpool_object *object = push_userdata(L, &line);
    int slot = lcontext_anchor(L, ctx);
    lpool *s = weir_alloc(ctx->rt, NULL, 0, size);
    if (s == NULL) {
        lcontext_unanchor(L, ctx, slot);
        return luaL_error(L, "%s: not enough memory", op);
    }
    if (weir_current(ctx->rt) == NULL)
        weir_now_update(ctx->rt);
    memset(s, 0, sizeof *s);
    weir_link_init(&s->head.link);
    weir_link_init(&s->link);
    s->head.free = lpool_end;
    s->ctx = ctx;
    s->slot = slot;
    s->line = line;
    s->size = size;
    s->acquire_timeout = options.acquire_timeout;
    s->made = weir_now(ctx->rt);
    weir_waiter_init(&s->turn, lpool_run_jobs);
    weir_list_init(&s->jobs);
    if (length > 0)
        memcpy(s->name, options.name, length);
    lua_pushboolean(L, 0);
    fill_slot(L, s);
    weir_list_push(&ctx->objects, &s->head.link);
    weir_list_push(&ctx->pools, &s->link);
    s->owner = object;
    object->pool = s;
    object->tag = ltag(lbox_here(L), LTYPE_POOL);
    weir_pool_init(ctx->rt, &s->pool, options.has_check ? &lpool_ops : &lpool_ops_unchecked,
                   &options.core, length > 0 ? s->name : NULL);
    s->pool.leaked = lpool_leaked;
    return 1;
}

/* --- bounds ------------------------------------------------------------------------------ */

/* pool:resize{min=, max=}: growing makes more for those who wait, shrinking destroys what is idle
 * at once and the rest as it comes back. */
static int pool_resize(lua_State *L)
{
    static const char op[] = "pool:resize";
    lpool *s = lpool_check(L, op);
    uint32_t min = s->pool.options.min, max = s->pool.options.max;
    lpool_check_bounds(L, 2, op, &min, &max);
    weir_pool_resize(&s->pool, min, max);
    return 0;
}

/* pool:evict(): whatever was made before now is destroyed: what is idle at once, the rest when it
 * comes back. */
static int pool_evict(lua_State *L)
{
    weir_pool_evict(&lpool_check(L, "pool:evict")->pool);
    return 0;
}

/* --- what is seen ------------------------------------------------------------------------ */

/* pool:is_idle(): nothing is on loan and nobody waits. For weir.keyed. */
static int pool_is_idle(lua_State *L)
{
    const weir_pool *p = &lpool_check(L, "pool:is_idle")->pool;
    lua_pushboolean(L, p->n_leased == 0 && p->waiting == 0);
    return 1;
}

static int pool_stats(lua_State *L)
{
    lpool_push_stats(L, lpool_check(L, "pool:stats"));
    return 1;
}

static int pool_index(lua_State *L)
{
    if (lcontext_push_method(L) != LUA_TNIL)
        return 1;
    const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
    const weir_pool *p = &lpool_check(L, "pool")->pool;
    const struct {
        const char *name;
        uint32_t value;
    } fields[] = {
        {"max", p->options.max},
        {"min", p->options.min},
        {"idle", p->n_idle},
        {"active", p->n_leased},
        {"connecting", p->n_connecting},
        {"waiting", p->waiting},
        {"total", p->n_idle + p->n_leased + p->n_connecting + p->n_checking + p->n_closing}};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        if (strcmp(key, fields[i].name) == 0) {
            lua_pushinteger(L, fields[i].value);
            return 1;
        }
    }
    if (strcmp(key, "name") != 0)
        return lerror_raise(L, "misuse", "pool", "no field '%s'", key);
    lua_pushstring(L, p->name);
    return 1;
}

static int pool_tostring(lua_State *L)
{
    const lpool_object *object = lcheck_object(L, 1, LTYPE_POOL, "pool");
    const lpool *s = object->pool;
    if (s == NULL) {
        lua_pushliteral(L, "weir.pool (ended)");
        return 1;
    }
    const weir_pool *p = &s->pool;
    lua_pushfstring(L, "weir.pool %s(%I of %I leased, %I idle, %I connecting, %I waiting%s)",
                    p->name != NULL ? p->name : "", (lua_Integer)p->n_leased,
                    (lua_Integer)p->options.max, (lua_Integer)p->n_idle,
                    (lua_Integer)p->n_connecting, (lua_Integer)p->waiting,
                    p->closed ? ", closed"
                    : p->open ? ", open"
                              : "");
    return 1;
}

static const luaL_Reg functions[] = {{"pool", core_pool}, {NULL, NULL}};
static const luaL_Reg methods[] = {{"acquire", lpool_acquire}, {"try_acquire", lpool_try_acquire},
                                   {"with", lpool_with},       {"resize", pool_resize},
                                   {"evict", pool_evict},      {"close", lpool_close},
                                   {"drain", lpool_drain},     {"is_idle", pool_is_idle},
                                   {"stats", pool_stats},      {NULL, NULL}};
static const luaL_Reg meta[] = {{"__index", pool_index},
                                {"__close", lpool_end_of_block},
                                {"__tostring", pool_tostring},
                                {"__gc", pool_gc},
                                {NULL, NULL}};

void lpool_open(lua_State *L)
{
    lua_newtable(L);
    lua_createtable(L, 0, 1);
    lua_pushliteral(L, "v");
    lua_setfield(L, -2, "__mode");
    lua_setmetatable(L, -2);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &weak_key);
    lcontext_set_functions(L, functions);
    lcontext_new_type(L, LTYPE_POOL, methods, meta);
    llease_open(L);
}
