/* bindings/lget.c - cache:get, get_with and refresh: hits, and waiting for what is not there.
 *
 * A hit is one look and one value pushed. Otherwise a load is begun (lload.c), or joined: who waits
 * has on the stack the cache, the key and the task that loads it.
 */
#include <string.h>

#include "lcache.h"
#include "lflight.h"

static const char get_op[] = "cache:get";

/* --- waiting for it ------------------------------------------------------------------- */

int lget_raise(lua_State *L, lcontext *ctx, weir_status status, const char *op)
{
    const lcache *c = lcache_at(L, 1);
    if (c == NULL || (status != WEIR_TIMEOUT && status != WEIR_CLOSED)) {
        lwait_outcome(L, ctx);
        return 0;
    }
    if (status == WEIR_CLOSED)
        lcache_raise_closed(L, c, op);
    lerror_push(L, "timeout", op, "timed out; %I loading, %I waiting",
                (lua_Integer)weir_cache_loading(c->cache),
                (lua_Integer)weir_cache_waiting(c->cache));
    lcache_set_name(L, c);
    return lua_error(L);
}

static int landed(lua_State *L, int status, lua_KContext kctx)
{
    weir_load *load = (weir_load *)kctx;
    lcontext *ctx = lcontext_here(L);
    const weir_waiter *w = &ltask_current(ctx)->task.wait;
    (void)status;
    if (w->status != WEIR_GRANTED && w->status != WEIR_FAILED)
        return lget_raise(L, ctx, (weir_status)w->status, get_op);
    int is_value = load->flight.state == WEIR_FLIGHT_LANDED;
    uint32_t part = (uint32_t)load->flight.value;
    lflight_leave(ctx, &load->flight);
    lflight_push(L, 3, part);
    return is_value ? 1 : lflight_raise(L, 3);
}

/* Wait for `load`, whose task is at the top. */
static int wait_for(lua_State *L, ltask *t, weir_load *load, uint64_t timeout)
{
    lua_insert(L, 3);
    lua_settop(L, 3);
    weir_flight_wait(t->ctx->rt, &load->flight, &t->task.wait, weir_after(t->ctx->rt, timeout));
    return lwait_park(L, t, landed, (lua_KContext)load);
}

/* --- beginning it --------------------------------------------------------------------- */

/* Begin the load of the key at 2 by the loader at `at` and the arguments after it: its task takes
 * their place. `behind`: nobody waits, and NULL if it cannot be begun. */
static weir_load *begin(lua_State *L, lcache *c, const lkey *key, int at, int behind)
{
    weir_runtime *rt = c->ctx->rt;
    lua_pushvalue(L, 2);
    lua_insert(L, at + 1);
    int rc = lflight_spawn(L, c->ctx, lua_gettop(L) - at, 1);
    if (rc != 0) {
        if (!behind)
            ltask_refused(L, get_op, rc, weir_root(rt));
        return NULL;
    }
    ltask *t = lua_touserdata(L, at);
    weir_load *load = weir_cache_load(c->cache, key->bytes, key->length);
    if (load == NULL && (load = weir_cache_begin(c->cache, key->bytes, key->length, behind))) {
        t->work = LWORK_LOAD;
        t->object = load;
        load->flight.worker = &t->task;
        load->data = t;
        return load;
    }
    weir_scope_cancel(rt, &t->task.scope, (weir_reason){"not needed", 0});
    if (load == NULL) {
        if (behind)
            return NULL;
        if (weir_cache_is_closed(c->cache)) /* by a finalizer that came between */
            lcache_raise_closed(L, c, get_op);
        luaL_error(L, "not enough memory");
    }
    ltask_push(L, load->data); /* begun by a finalizer */
    return load;
}

/* The loader at 3: that of the call (`given`), or the cache's is put there. */
static void put_loader(lua_State *L, int given)
{
    luaL_checkstack(L, 10, "too many arguments");
    if (given)
        return;
    lua_getiuservalue(L, 1, LCACHE_LOAD);
    lua_insert(L, 3);
}

int lget_refuse(lua_State *L, const lcache *c, const char *op)
{
    lerror_push(L, "overload", op, "%I are waiting already",
                (lua_Integer)weir_cache_waiting(c->cache));
    lcache_set_name(L, c);
    lua_pushnumber(L, lseconds(weir_cache_retry_after(c->cache)));
    lua_setfield(L, -2, "retry_after");
    return lua_error(L);
}

static int refuse_wait(lua_State *L, const lcache *c, const char *op)
{
    lerror_push(L, "timeout", op, "it is not there");
    lcache_set_name(L, c);
    return lua_error(L);
}

/* There is nothing to answer with. Stack: cache, key, loader if `given`, arguments. */
static int load_it(lua_State *L, lcache *c, const lkey *key, const weir_answer *a, int given,
                   uint64_t timeout, const char *op)
{
    if (weir_cache_is_closed(c->cache))
        lcache_raise_closed(L, c, op);
    if (a->found == WEIR_FOUND_FULL)
        return lget_refuse(L, c, op);
    ltask *t = lwait_enter(L, c->ctx, op);
    if (timeout == 0)
        return refuse_wait(L, c, op);
    if (a->found == WEIR_FOUND_FLIGHT) {
        lua_settop(L, 3);
        ltask_push(L, a->load->data);
        return wait_for(L, t, a->load, timeout);
    }
    put_loader(L, given);
    weir_load *load = begin(L, c, key, 3, 0);
    return wait_for(L, t, load, timeout);
}

/* All but a plain hit. */
static int answer(lua_State *L, lcache *c, const lkey *key, const weir_answer *a, int given,
                  uint64_t timeout, const char *op)
{
    int top = lua_gettop(L);
    if (a->found == WEIR_FOUND_NEGATIVE && a->value != LVALUE_NIL) {
        lcache_push_value(L, 1, a->value);
        return lua_error(L);
    }
    if (a->found != WEIR_FOUND_FRESH && a->found != WEIR_FOUND_STALE &&
        a->found != WEIR_FOUND_NEGATIVE) {
        lcache_sweep(L, c, 1);
        return load_it(L, c, key, a, given, timeout, op);
    }
    lcache_push_value(L, 1, a->value);
    if (!a->refresh)
        return 1;
    lua_insert(L, 3); /* cache, key, value, loader and arguments */
    lua_settop(L, top + 1);
    luaL_checkstack(L, 10, "too many arguments");
    if (!given) {
        lua_getiuservalue(L, 1, LCACHE_LOAD);
        lua_insert(L, 4);
    }
    begin(L, c, key, 4, 1);
    lua_settop(L, 3);
    return 1;
}

/* Is the loader at `index`? A function there is it; otherwise the cache must have one. */
static int check_loader(lua_State *L, const lcache *c, int index, const char *op)
{
    if (lua_isfunction(L, index))
        return 1;
    if (c->has_load)
        return 0;
    lcheck_function(L, index, op, "loader");
    return 1;
}

/* --- methods ---------------------------------------------------------------------------------- */

/* cache:get(key, [loader,] ...) -> the value; loader(key, ...) brings it if it is not there. */
int lget(lua_State *L)
{
    const lbox *box = lbox_here(L);
    const lcache_object *object = ltest_tagged(L, 1, box, LTYPE_CACHE);
    if (object == NULL || object->cache == NULL || object->cache->ctx != box->current)
        lcache_check(L, get_op); /* raises */
    lcache *c = object->cache;
#ifdef WEIR_STRESS
    lcache_check(L, get_op); /* validates */
#endif
    ltask *t = lwait_task(L, c->ctx, get_op);
    lkey key;
    lkey_check(L, 2, get_op, &key);
    if (!c->has_load)
        check_loader(L, c, 3, get_op);
    if (lwait_spend(L, t))
        return lwait_again(L, t, get_op, lget);
    weir_answer a = weir_cache_look(c->cache, key.bytes, key.length);
    if (a.found == WEIR_FOUND_FRESH && !a.refresh) {
        if (c->values.dirty > 0)
            lcache_sweep(L, c, 1);
        lcache_push_value(L, 1, a.value);
        return 1;
    }
    return answer(L, c, &key, &a, check_loader(L, c, 3, get_op), WEIR_FOREVER, get_op);
}

/* cache:refresh(key, [loader,] ...) -> the value of a new load, or of one that is under way. What
 * is there is answered meanwhile, and stays if the load fails. */
int lget_refresh(lua_State *L)
{
    static const char op[] = "cache:refresh";
    lcache *c = lcache_check_open(L, op);
    ltask *t = lwait_task(L, c->ctx, op);
    lkey key;
    lkey_check(L, 2, op, &key);
    int given = check_loader(L, c, 3, op);
    if (lwait_spend(L, t))
        return lwait_again(L, t, op, lget_refresh);
    weir_answer a = weir_cache_look_load(c->cache, key.bytes, key.length);
    return load_it(L, c, &key, &a, given, WEIR_FOREVER, op);
}

/* cache:get_with({timeout=}, key, [loader,] ...) -> as get */
int lget_with(lua_State *L)
{
    static const char op[] = "cache:get_with";
    lcache *c = lcache_check(L, op);
    ltask *t = lwait_task(L, c->ctx, op);
    lkey key;
    if (!lua_istable(L, 2))
        lcheck_fail(L, op, "options", "a table", 2);
    uint64_t timeout = lcheck_only_timeout(L, 2, op);
    lkey_check(L, 3, op, &key);
    int given = check_loader(L, c, 4, op);
    if (lwait_spend(L, t))
        return lwait_again(L, t, op, lget_with);
    lua_remove(L, 2);
    weir_answer a = weir_cache_look(c->cache, key.bytes, key.length);
    return answer(L, c, &key, &a, given, timeout, op);
}
