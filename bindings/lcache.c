/* bindings/lcache.c - weir.cache: the object, its options, its end, what is seen of it.
 *
 * Entries and their values are in lentry.c and lvalues.c; get is in lget.c, loads in lload.c. The
 * cache is core memory, freed with its userdata or with the runtime, whichever goes first; a load's
 * task and who waits for it keep the userdata.
 */
#include <string.h>

#include "lcache.h"
#include "lflight.h"

/* --- the object ----------------------------------------------------------------------- */

static void free_cache(lobject *o)
{
    lcache *c = (lcache *)(void *)o;
    weir_runtime *rt = c->ctx->rt;
    c->owner->cache = NULL;
    weir_link_remove(&o->link);
    weir_cache_free(c->cache);
    lvalues_fini(rt, &c->values);
    weir_alloc(rt, c, c->size, 0);
}

static int cache_gc(lua_State *L)
{
    lcache_object *object = lcheck_object(L, 1, LTYPE_CACHE, "__gc");
    object->tag = NULL;
    if (object->cache != NULL)
        free_cache(&object->cache->object);
    return 0;
}

lcache *lcache_check(lua_State *L, const char *op)
{
    lcheck_object(L, 1, LTYPE_CACHE, op);
    lcache *c = lcache_at(L, 1);
    if (c == NULL || c->ctx != lcontext_here(L))
        lerror_raise(L, "misuse", op, "it belongs to another runtime, or to one that has ended");
    if (weir_current(c->ctx->rt) == NULL)
        weir_now_update(c->ctx->rt); /* no turn has read the clock */
#ifdef WEIR_STRESS
    assert(weir_cache_count(c->cache) > 500 || weir_cache_validate(c->cache) == 0);
#endif
    return c;
}

lcache *lcache_check_open(lua_State *L, const char *op)
{
    lcache *c = lcache_check(L, op);
    if (weir_cache_is_closed(c->cache))
        lcache_raise_closed(L, c, op);
    return c;
}

void lcache_set_name(lua_State *L, const lcache *c)
{
    lua_pushstring(L, weir_cache_name(c->cache));
    lua_setfield(L, -2, "name");
}

void lcache_raise_closed(lua_State *L, const lcache *c, const char *op)
{
    lerror_push(L, "closed", op, "closed");
    lcache_set_name(L, c);
    lua_getiuservalue(L, 1, LCACHE_REASON);
    lua_setfield(L, -2, "reason");
    lua_error(L);
}

static void drop(weir_cache *cache, intptr_t value)
{
    lcache *c = weir_cache_data(cache);
    lvalues_drop(&c->values, value);
}

static const weir_cache_ops ops = {drop, &lload_flight};

/* --- options -------------------------------------------------------------------------- */

static const char *const known[] = {
    "ttl",       "stale",       "stale_if_error", "negative_ttl", "jitter", "early", "max",
    "max_bytes", "max_waiting", "size",           "load",         "name",   NULL};

static const char new_op[] = "weir.cache";

/* Seconds of option `name` of the table at 1 in ns, or `none`. */
static uint64_t seconds(lua_State *L, const char *name, uint64_t none)
{
    if (lua_getfield(L, 1, name) != LUA_TNIL)
        none = lcheck_seconds(L, -1, new_op, name);
    lua_pop(L, 1);
    return none;
}

/* A number from 0 to `max`, 0 unless said. */
static double ratio(lua_State *L, const char *name, double max, const char *expected)
{
    double x = 0;
    if (lua_getfield(L, 1, name) != LUA_TNIL) {
        x = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : -1;
        if (!(x >= 0 && x <= max))
            lcheck_fail(L, new_op, name, expected, -1);
    }
    lua_pop(L, 1);
    return x;
}

/* A count, or math.huge for no bound; 0 too if `zero`. */
static uint64_t bound(lua_State *L, const char *name, uint64_t none, uint64_t most, int zero)
{
    uint64_t n = none;
    if (lua_getfield(L, 1, name) != LUA_TNIL) {
        int is = 0;
        double x = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : -1;
        lua_Integer i = lua_tointegerx(L, -1, &is);
        if (x == HUGE_VAL)
            n = most;
        else if (lua_type(L, -1) == LUA_TNUMBER && is && i >= !zero && (uint64_t)i < most)
            n = (uint64_t)i;
        else
            lcheck_fail(L, new_op, name,
                        zero ? "an integer >= 0, or math.huge" : "a positive integer, or math.huge",
                        -1);
    }
    lua_pop(L, 1);
    return n;
}

/* Leave option `name`, a function or nil, on the stack. */
static int function(lua_State *L, const char *name)
{
    if (lua_getfield(L, 1, name) == LUA_TNIL)
        return 0;
    lcheck_function(L, -1, new_op, name);
    return 1;
}

static weir_cache_options check_options(lua_State *L)
{
    return (weir_cache_options){
        .ttl = seconds(L, "ttl", 60 * WEIR_SECOND),
        .stale = seconds(L, "stale", 0),
        .stale_if_error = seconds(L, "stale_if_error", 0),
        .negative_ttl = seconds(L, "negative_ttl", 0),
        .jitter = ratio(L, "jitter", 1, "a number from 0 to 1"),
        .early = ratio(L, "early", 1e6, "a number from 0 (never) on; 1 is usual"),
        .max = (uint32_t)bound(L, "max", 10000, UINT32_MAX, 0),
        .max_bytes = bound(L, "max_bytes", UINT64_MAX, UINT64_MAX, 0),
        .max_waiting = (uint32_t)bound(L, "max_waiting", UINT32_MAX, UINT32_MAX, 1),
    };
}

/* weir.cache{ttl=, max= ...} -> cache */
static int core_cache(lua_State *L)
{
    lcontext *ctx = lcontext_here(L);
    const char *name = NULL;
    lua_settop(L, 1);
    if (lua_isnil(L, 1)) {
        lua_newtable(L);
        lua_replace(L, 1);
    }
    lcheck_options(L, 1, new_op, known);
    weir_cache_options options = check_options(L);
    if (lua_getfield(L, 1, "name") != LUA_TNIL) {
        if (lua_type(L, -1) != LUA_TSTRING)
            return lcheck_fail(L, new_op, "name", "a string", -1);
        name = lua_tostring(L, -1);
    }
    size_t size = sizeof(lcache) + (name != NULL ? strlen(name) + 1 : 0);
    lcache_object *owner = lua_newuserdatauv(L, sizeof *owner, LCACHE_N_USER);
    *owner = (lcache_object){ltag(lbox_here(L), LTYPE_CACHE), NULL};
    int self = lua_gettop(L);
    int has_load = function(L, "load");
    lua_setiuservalue(L, self, LCACHE_LOAD);
    int has_size = function(L, "size");
    lua_setiuservalue(L, self, LCACHE_SIZE);
    lvalues_push_table(L);
    lua_setiuservalue(L, self, LCACHE_VALUES);
    lcontext_set_type(L, lbox_here(L), LTYPE_CACHE);

    lcache *c = weir_alloc(ctx->rt, NULL, 0, size);
    if (c == NULL)
        return luaL_error(L, "not enough memory");
    *c = (lcache){.ctx = ctx,
                  .owner = owner,
                  .object = {{NULL, NULL}, free_cache},
                  .ttl = options.ttl,
                  .negative_ttl = options.negative_ttl,
                  .is_bounded = options.max_bytes != UINT64_MAX,
                  .has_load = has_load != 0,
                  .has_size = has_size != 0,
                  .stale_if_error = options.stale_if_error > 0,
                  .size = size};
    if (name != NULL)
        memcpy(c->name, name, strlen(name) + 1);
    if (weir_cache_new(ctx->rt, &ops, &options, name != NULL ? c->name : NULL, &c->cache) != 0) {
        weir_alloc(ctx->rt, c, size, 0);
        return luaL_error(L, "not enough memory"); /* the options were checked */
    }
    weir_cache_set_data(c->cache, c);
    weir_list_push(&ctx->objects, &c->object.link);
    owner->cache = c;
    return 1;
}

/* --- its end -------------------------------------------------------------------------- */

/* cache:close([reason]): drops all, cancels the loads; who waits and who comes gets `closed`. */
static int cache_close(lua_State *L)
{
    lcache *c = lcache_check(L, "cache:close");
    lua_settop(L, 2);
    lvalues_push_table(L);
    lua_insert(L, 2);
    if (!weir_cache_is_closed(c->cache))
        lua_setiuservalue(L, 1, LCACHE_REASON);
    weir_cache_close(c->cache);
    lua_settop(L, 2);
    lua_setiuservalue(L, 1, LCACHE_VALUES);
    lua_pushnil(L);
    lua_setiuservalue(L, 1, LCACHE_ERROR);
    return 0;
}

/* local cache <close> = weir.cache{} */
static int cache_end(lua_State *L)
{
    lcheck_object(L, 1, LTYPE_CACHE, "cache:close");
    lua_settop(L, 1);
    return lcache_at(L, 1) != NULL ? cache_close(L) : 0;
}

/* --- what is seen --------------------------------------------------------------------- */

static void set_count(lua_State *L, const char *name, uint64_t value)
{
    lua_pushinteger(L, (lua_Integer)value);
    lua_setfield(L, -2, name);
}

/* cache:stats() -> a snapshot */
static int cache_stats(lua_State *L)
{
    lcache *c = lcache_check(L, "cache:stats");
    const weir_cache_stats *s = weir_cache_get_stats(c->cache);
    const struct {
        const char *name;
        uint64_t value;
    } counts[] = {{"count", weir_cache_count(c->cache)},
                  {"bytes", weir_cache_bytes(c->cache)},
                  {"loading", weir_cache_loading(c->cache)},
                  {"waiting", weir_cache_waiting(c->cache)},
                  {"hits", s->hits},
                  {"stale", s->stale},
                  {"negative", s->negative},
                  {"misses", s->misses},
                  {"joined", s->joined},
                  {"loads", s->loads},
                  {"refreshes", s->refreshes},
                  {"early", s->early},
                  {"failures", s->failures},
                  {"refresh_failures", s->refresh_failures},
                  {"abandoned", s->abandoned},
                  {"discarded", s->discarded},
                  {"evicted", s->evicted},
                  {"expired", s->expired},
                  {"deleted", s->deleted}};
    lua_createtable(L, 0, 24);
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        set_count(L, counts[i].name, counts[i].value);
    lcache_set_name(L, c);
    lua_createtable(L, 0, 4);
    set_count(L, "timeout", s->timeouts);
    set_count(L, "cancelled", s->cancels);
    set_count(L, "closed", s->closes);
    set_count(L, "overload", s->overload);
    lua_setfield(L, -2, "rejects");
    lsem_push_histogram(L, &s->load);
    lua_setfield(L, -2, "load");
    lua_getiuservalue(L, 1, LCACHE_ERROR);
    lua_setfield(L, -2, "last_error");
    return 1;
}

static int cache_index(lua_State *L)
{
    if (lcontext_push_method(L) != LUA_TNIL)
        return 1;
    const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
    const weir_cache *c = lcache_check(L, "cache")->cache;
    if (strcmp(key, "count") == 0)
        lua_pushinteger(L, weir_cache_count(c));
    else if (strcmp(key, "bytes") == 0)
        lua_pushinteger(L, (lua_Integer)weir_cache_bytes(c));
    else if (strcmp(key, "loading") == 0)
        lua_pushinteger(L, weir_cache_loading(c));
    else if (strcmp(key, "waiting") == 0)
        lua_pushinteger(L, weir_cache_waiting(c));
    else if (strcmp(key, "name") == 0)
        lua_pushstring(L, weir_cache_name(c));
    else
        return lerror_raise(L, "misuse", "cache", "no field '%s'", key);
    return 1;
}

static int cache_tostring(lua_State *L)
{
    lcheck_object(L, 1, LTYPE_CACHE, "cache");
    const lcache *c = lcache_at(L, 1);
    const char *name = c != NULL ? weir_cache_name(c->cache) : NULL;
    if (c == NULL)
        lua_pushliteral(L, "weir.cache (ended)");
    else
        lua_pushfstring(L, "weir.cache %s(%I entries, %I bytes, %I loading)", name ? name : "",
                        (lua_Integer)weir_cache_count(c->cache),
                        (lua_Integer)weir_cache_bytes(c->cache),
                        (lua_Integer)weir_cache_loading(c->cache));
    return 1;
}

static const luaL_Reg functions[] = {{"cache", core_cache}, {NULL, NULL}};
static const luaL_Reg methods[] = {{"get", lget},
                                   {"get_with", lget_with},
                                   {"refresh", lget_refresh},
                                   {"peek", lentry_peek},
                                   {"set", lentry_set},
                                   {"delete", lentry_delete},
                                   {"delete_tag", lentry_delete_tag},
                                   {"clear", lentry_clear},
                                   {"close", cache_close},
                                   {"stats", cache_stats},
                                   {NULL, NULL}};
static const luaL_Reg meta[] = {{"__index", cache_index},
                                {"__tostring", cache_tostring},
                                {"__close", cache_end},
                                {"__gc", cache_gc},
                                {NULL, NULL}};

void lcache_open(lua_State *L)
{
    lcontext_set_functions(L, functions);
    lcontext_new_type(L, LTYPE_CACHE, methods, meta);
    lflight_open(L);
    lloads_open(L);
}
