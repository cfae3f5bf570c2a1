/* bindings/lloads.c - cache:get_many: the keys that are not there, loaded by one call.
 *
 * Each key that is missing has a load of its own, so that others join it, leave it and invalidate
 * it one by one; one task does the work of all, and stops when nobody waits for any of them.
 * Keys that are stale and due ride along. Parts of the outcome are numbered from 1 on.
 */
#include <string.h>

#include "lcache.h"
#include "lflight.h"

static const char many_op[] = "cache:get_many";

/* What a task loads: core memory, freed when it has ended. */
typedef struct lloads {
    weir_runtime *rt;
    uint32_t n;      /* loads; 0 until all are begun */
    uint32_t wanted; /* of them, not abandoned */
    uint32_t room;
    struct {
        weir_load *load;
        int failed;
    } part[];
} lloads;

void lloads_abandon(ltask *t)
{
    lloads *all = t->object;
    if (--all->wanted == 0)
        lflight_stop(t->ctx, &t->task);
}

/* --- what the call brought -------------------------------------------------------------------- */

/* The outcome of part i, value or error, is at the top: keep it. If an old value is better than the
 * error it takes its place. */
static void keep_part(lua_State *L, lcache *c, int self, lloads *all, uint32_t i, int is_error,
                      const lkeep *keep)
{
    weir_load *load = all->part[i].load;
    all->part[i].failed = is_error;
    if (lload_cache(load) == NULL)
        return;
    if (!is_error)
        lload_keep(L, c, self, load, lua_gettop(L), keep);
    else if (lload_keep_error(L, c, self, load, lua_gettop(L)))
        all->part[i].failed = 0;
}

/* Stack from `first`: values, errors, what is said of all. */
static void keep_values(lua_State *L, lcache *c, int self, lloads *all, int first)
{
    lkeep keep;
    lkeep_read(L, first + 2, many_op, c, &keep);
    int top = lua_gettop(L);
    for (uint32_t i = 0; i < all->n; i++) {
        lua_rawgeti(L, first, (lua_Integer)i + 1);
        int is_error =
            lua_istable(L, first + 1) && lua_rawgeti(L, first + 1, (lua_Integer)i + 1) != LUA_TNIL;
        lua_settop(L, top + 1);
        keep_part(L, c, self, all, i, is_error, &keep);
        lua_rawseti(L, first, (lua_Integer)i + 1);
    }
}

/* The error at `first` is that of all, but for those with an old value that is good enough. */
static weir_task_state keep_failure(lua_State *L, lcache *c, int self, lloads *all, int first)
{
    int saved = 0;
    lua_createtable(L, (int)all->n, 0);
    int parts = lua_gettop(L);
    for (uint32_t i = 0; i < all->n; i++) {
        lua_pushvalue(L, first);
        keep_part(L, c, self, all, i, 1, NULL);
        saved |= !all->part[i].failed;
        lua_rawseti(L, parts, (lua_Integer)i + 1);
    }
    if (!saved)
        return WEIR_TASK_FAILED;
    lua_replace(L, first);
    return WEIR_TASK_DONE;
}

static weir_task_state conclude(lua_State *L, ltask *t, weir_task_state state, int first)
{
    lloads *all = t->object;
    luaL_checkstack(L, 24, "cache");
    if (all->wanted == 0 || state == WEIR_TASK_CANCELLED) {
        lua_settop(L, first);
        return state;
    }
    lua_settop(L, state == WEIR_TASK_DONE ? first + 2 : first);
    lua_getiuservalue(L, 1, t->keeps);
    int self = lua_gettop(L);
    lcache *c = lcache_at(L, self);
    const char *name = c != NULL ? weir_cache_name(c->cache) : NULL;
    if (state == WEIR_TASK_DONE) {
        lflight_check_parts(L, first, all->n, many_op, name);
        if (!lua_isnil(L, first + 2) && !lua_istable(L, first + 2))
            lflight_misuse(L, many_op, name, LCACHE_SAID("third"), first + 2);
        if (c != NULL)
            keep_values(L, c, self, all, first);
    } else if (c != NULL) {
        state = keep_failure(L, c, self, all, first);
    }
    lua_settop(L, first);
    return state;
}

static void ended(ltask *t)
{
    lloads *all = t->object;
    for (uint32_t i = 0; i < all->n; i++) {
        int landed = t->outcome == WEIR_TASK_DONE && !all->part[i].failed;
        weir_flight_land(all->rt, &all->part[i].load->flight,
                         landed ? WEIR_FLIGHT_LANDED : WEIR_FLIGHT_FAILED, (intptr_t)i + 1);
    }
    weir_alloc(all->rt, all, sizeof *all + all->room * sizeof all->part[0], 0);
}

static void push_name(lua_State *L, const ltask *t)
{
    const lloads *all = t->object;
    const weir_cache *of = all->n > 0 ? all->part[0].load->of : NULL;
    const char *name = of != NULL ? weir_cache_name(of) : NULL;
    lua_pushfstring(L, "%s: load of %I key%s", name != NULL ? name : "cache", (lua_Integer)all->n,
                    all->n == 1 ? "" : "s");
}

const lwork lloads_work = {conclude, ended, push_name};

/* --- the call --------------------------------------------------------------------------------- */

static void push_task(lua_State *L, int index)
{
    lua_pushvalue(L, index);
}

static int raise(lua_State *L, lcontext *ctx, weir_status status)
{
    return lget_raise(L, ctx, status, many_op);
}

static const lflights_ops many_ops = {raise, push_task};

/* Stack of `look_up`: 1 cache, 2 keys, 3 set, 4 missing keys, 5 their part by key, 6 the parts that
 * are stale by number, then loader and arguments. */
enum { KEYS = 2, SET, MISSING, PARTS, STALE, LOADER };

/* Have the key at the top (popped) loaded. */
static void add_missing(lua_State *L, lua_Integer *n, int stale)
{
    lua_pushvalue(L, -1);
    if (lua_rawget(L, PARTS) != LUA_TNIL) {
        lua_pop(L, 2);
        return;
    }
    lua_pop(L, 1);
    ++*n;
    lua_pushvalue(L, -1);
    lua_rawseti(L, MISSING, *n);
    lua_pushinteger(L, *n);
    lua_rawset(L, PARTS);
    if (stale) {
        lua_pushboolean(L, 1);
        lua_rawseti(L, STALE, *n);
    }
}

/* What is there, and what others load. Returns how many keys are to be loaded. */
static lua_Integer look_up(lua_State *L, lcache *c, uint32_t n)
{
    lua_Integer missing = 0;
    int top = lua_gettop(L);
    for (uint32_t i = 1; i <= n; i++) {
        lkey key;
        lua_settop(L, top);
        lua_rawgeti(L, KEYS, i);
        lkey_check(L, top + 1, many_op, &key);
        weir_answer a = weir_cache_look(c->cache, key.bytes, key.length);
        switch (a.found) {
        case WEIR_FOUND_NEGATIVE:
        case WEIR_FOUND_FRESH:
        case WEIR_FOUND_STALE:
            lcache_push_value(L, 1, a.value);
            if (a.found == WEIR_FOUND_NEGATIVE && a.value != LVALUE_NIL)
                lflights_set_error(L, SET, i);
            else
                lflights_set(L, SET, i);
            lua_settop(L, top + 1);
            if (a.refresh)
                add_missing(L, &missing, 1);
            break;
        case WEIR_FOUND_FLIGHT:
            ltask_push(L, a.load->data);
            lflights_add(L, SET, &a.load->flight, i);
            break;
        case WEIR_FOUND_FULL:
            lget_refuse(L, c, many_op);
            break;
        default:
            add_missing(L, &missing, 0);
        }
    }
    lua_settop(L, top);
    return missing;
}

/* A load for each of the missing keys, whose work the task at LOADER does. Raises if memory is
 * short: the task stops then, which ends those that are begun. */
static lloads *begin(lua_State *L, lcache *c, uint32_t n)
{
    ltask *t = lua_touserdata(L, LOADER);
    weir_runtime *rt = c->ctx->rt;
    size_t size = sizeof(lloads) + n * sizeof(((lloads *)NULL)->part[0]);
    lloads *all = weir_alloc(rt, NULL, 0, size);
    if (all != NULL) {
        *all = (lloads){.rt = rt, .room = n};
        t->work = LWORK_LOADS;
        t->object = all;
    }
    for (uint32_t i = 0; all != NULL && i < n; i++) {
        lkey key;
        lua_rawgeti(L, MISSING, (lua_Integer)i + 1);
        lkey_check(L, -1, many_op, &key);
        int stale = lua_rawgeti(L, STALE, (lua_Integer)i + 1) != LUA_TNIL;
        weir_load *load = weir_cache_load(c->cache, key.bytes, key.length) == NULL
                              ? weir_cache_begin(c->cache, key.bytes, key.length, stale)
                              : NULL; /* begun by a finalizer that came between: not worth more */
        lua_pop(L, 2);
        if (load == NULL) {
            all = NULL;
            break;
        }
        load->flight.worker = &t->task;
        load->data = t;
        all->part[i].load = load;
        all->part[i].failed = 0;
        all->n++;
        all->wanted++;
    }
    if (all == NULL) {
        lflight_stop(c->ctx, &t->task);
        luaL_error(L, "not enough memory");
    }
    return all;
}

/* Protected: the stack as above, without what is made here. */
static int look_up_all(lua_State *L)
{
    lcache *c = lcache_at(L, 1);
    uint32_t n = (uint32_t)lua_tointeger(L, 4);
    lua_newtable(L);
    lua_replace(L, MISSING);
    lua_newtable(L);
    lua_insert(L, PARTS);
    lua_newtable(L);
    lua_insert(L, STALE);
    uint32_t missing = (uint32_t)look_up(L, c, n);
    if (missing == 0)
        return 0;
    lua_pushvalue(L, MISSING);
    lua_insert(L, LOADER + 1);
    c->ctx->for_caller = 1;
    int rc = lflight_spawn(L, c->ctx, lua_gettop(L) - LOADER, 1);
    if (rc != 0)
        return ltask_refused(L, many_op, rc, weir_root(c->ctx->rt));
    lloads *all = begin(L, c, missing);
    for (uint32_t i = 1; i <= n; i++) {
        lua_settop(L, LOADER);
        lua_rawgeti(L, KEYS, i);
        if (lua_rawget(L, PARTS) == LUA_TNIL)
            continue;
        lua_Integer part = lua_tointeger(L, -1);
        if (lua_rawgeti(L, STALE, part) != LUA_TNIL)
            continue; /* it was answered */
        lua_pushvalue(L, LOADER);
        lflights_add(L, SET, &all->part[part - 1].load->flight, i);
    }
    return 0;
}

/* core.cache_many(cache, keys, collect, loader, ...) -> set to wait for. Does not wait. */
static int core_cache_many(lua_State *L)
{
    lcache *c = lcache_check_open(L, many_op);
    uint32_t n = lflights_check_keys(L, 2, many_op);
    for (uint32_t i = 1; i <= n; i++) {
        lkey key;
        lua_rawgeti(L, 2, i);
        lkey_check(L, -1, many_op, &key);
        lua_pop(L, 1);
    }
    lcheck_function(L, 4, many_op, "loader");
    ltask *t = lwait_enter(L, c->ctx, many_op);
    if (lwait_spend(L, t))
        return lwait_again(L, t, many_op, core_cache_many);
    luaL_checkstack(L, lua_gettop(L) + 16, "too many arguments");
    int args = lua_gettop(L) - 3;
    lflights_push(L, c->ctx, n, lua_toboolean(L, 3), &many_ops);
    lua_replace(L, 3);
    lua_pushcfunction(L, look_up_all);
    lua_pushvalue(L, 1);
    lua_pushvalue(L, 2);
    lua_pushvalue(L, 3);
    lua_pushinteger(L, n);
    for (int i = 0; i < args; i++)
        lua_pushvalue(L, 4 + i);
    if (lua_pcall(L, 4 + args, 0, 0) != LUA_OK) {
        lflights_leave(L, 3);
        return lua_error(L);
    }
    lcache_sweep(L, c, 1);
    lua_settop(L, 3);
    return 1;
}

static const luaL_Reg functions[] = {{"cache_many", core_cache_many}, {NULL, NULL}};

void lloads_open(lua_State *L)
{
    lcontext_set_functions(L, functions);
}
