/* bindings/lload.c - the load of a key: a flight that a task flies, and what comes of it.
 *
 * The task is a daemon of the root scope whose function is the loader: no scope, deadline or cancel
 * of who asked reaches it, and it is cancelled when nobody waits for it any more. Its outcome is
 * kept in `conclude`, while it can still fail, and the flight lands in `ended`, whatever came.
 */
#include <string.h>

#include "lcache.h"
#include "lflight.h"

static const char get_op[] = "cache:get";

/* --- the flight ----------------------------------------------------------------------- */

static void abandon(weir_flight *f)
{
    ltask *t = (ltask *)(void *)f->worker;
    if (t == NULL)
        return;
    if (t->work == LWORK_LOADS)
        lloads_abandon(t);
    else
        lflight_stop(t->ctx, f->worker);
}

static void free_load(weir_flight *f)
{
    weir_load_free((weir_load *)(void *)f);
}

static const char *name(const weir_flight *f)
{
    const weir_load *load = (const weir_load *)(const void *)f;
    return load->of != NULL ? weir_cache_name(load->of) : NULL;
}

static const weir_wait_ops wait_ops = WEIR_FLIGHT_WAIT(get_op);
const weir_flight_ops lload_flight = {abandon, free_load, NULL, name, &wait_ops};

/* --- what a load brought -------------------------------------------------------------- */

lcache *lload_cache(const weir_load *load)
{
    if (load->of == NULL || load->flight.state != WEIR_FLIGHT_FLYING)
        return NULL;
    return weir_cache_data(load->of);
}

void lload_keep(lua_State *L, lcache *c, int self, weir_load *load, int index, const lkeep *keep)
{
    int negative = lua_isnil(L, index);
    uint64_t ttl = negative && !keep->has_ttl ? c->negative_ttl : keep->ttl;
    if (!load->indexed) /* nobody may have it: it need not be measured */
        return;
    index = lua_absindex(L, index);
    lkey_push(L, load->key, load->length);
    size_t size = lcache_measure(L, c, self, index, lua_gettop(L), keep, get_op);
    lua_pop(L, 1);
    intptr_t value = lcache_put(L, c, self, index, 0);
    if (load->indexed && lcache_tag(L, c, load->key, load->length, keep) != 0)
        ttl = 0; /* without its tags it must not stay */
    if (weir_cache_store(c->cache, load, value, size, ttl, negative) && keep->strict)
        weir_cache_forbid_stale(c->cache, load->key, load->length);
    lcache_sweep(L, c, self);
}

int lload_keep_error(lua_State *L, lcache *c, int self, weir_load *load, int index)
{
    intptr_t value;
    index = lua_absindex(L, index);
    lua_pushvalue(L, index);
    lua_setiuservalue(L, self, LCACHE_ERROR);
    int is_kept = c->negative_ttl > 0 && !lerror_is_cancelled(L, index);
    if (is_kept) /* what can raise comes first */
        lcache_reserve(L, c, self);
    if (weir_cache_failed(c->cache, load, &value)) {
        if (!c->stale_if_error) /* what is there stays; who wanted a new one gets the error */
            return 0;
        int top = lua_gettop(L);
        lcache_push_value(L, self, value);
        lua_replace(L, index);
        lua_settop(L, top);
        return 1;
    }
    if (is_kept) {
        value = lcache_put(L, c, self, index, 1);
        weir_cache_store(c->cache, load, value, lcache_measure_error(L, index), c->negative_ttl, 1);
        lcache_sweep(L, c, self);
    }
    return 0;
}

static weir_task_state conclude(lua_State *L, ltask *t, weir_task_state state, int first)
{
    weir_load *load = t->object;
    lcache *c = lload_cache(load);
    luaL_checkstack(L, 20, "cache");
    if (state == WEIR_TASK_DONE)
        lua_settop(L, first + 1); /* the value, and what is said of it */
    if (c != NULL && state != WEIR_TASK_CANCELLED) {
        lua_getiuservalue(L, 1, t->keeps);
        int self = lua_gettop(L);
        if (state == WEIR_TASK_DONE) {
            lkeep keep;
            if (!lua_isnil(L, first + 1) && !lua_istable(L, first + 1))
                lflight_misuse(L, get_op, weir_cache_name(c->cache), LCACHE_SAID("second"),
                               first + 1);
            lkeep_read(L, first + 1, get_op, c, &keep);
            lload_keep(L, c, self, load, first, &keep);
        } else if (lload_keep_error(L, c, self, load, first)) {
            state = WEIR_TASK_DONE;
        }
    }
    lua_settop(L, first);
    return state;
}

static void ended(ltask *t)
{
    weir_load *load = t->object;
    weir_flight_land(t->ctx->rt, &load->flight,
                     t->outcome == WEIR_TASK_DONE ? WEIR_FLIGHT_LANDED : WEIR_FLIGHT_FAILED, 0);
}

static void push_name(lua_State *L, const ltask *t)
{
    enum { MOST = 40 };
    const weir_load *load = t->object;
    const char *of = name(&load->flight);
    size_t n;
    lkey_push(L, load->key, load->length);
    const char *key = luaL_tolstring(L, -1, &n);
    lua_pushlstring(L, key, n < MOST ? n : MOST);
    lua_pushfstring(L, "%s: load of %s%s", of != NULL ? of : "cache", lua_tostring(L, -1),
                    n > MOST ? "..." : "");
    lua_replace(L, -4);
    lua_pop(L, 2);
}

const lwork lload_work = {conclude, ended, push_name};
