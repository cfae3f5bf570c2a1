/* bindings/lbucket.c - weir.bucket; its reservations are in lreservation.c.
 *
 * A take that need not wait allocates nothing; one that waits keeps its ticket, which is the
 * core's, in the continuation's context. A bucket is core memory: reservations and waiters may
 * outlive its userdata. A reservation keeps the userdata of its bucket alive, which says whether
 * the runtime is still there.
 */
#include <math.h>
#include <string.h>

#include "context.h"

/* --- the object ----------------------------------------------------------------------- */

static void bucket_free(lbucket *b)
{
    if (b->owner != NULL)
        *b->owner = NULL;
    weir_link_remove(&b->link);
    weir_rate_fini(&b->rate);
    weir_alloc(b->ctx->rt, b, b->size, 0);
}

void lbucket_free_all(lcontext *ctx)
{
    for (weir_link *k; (k = weir_list_first(&ctx->buckets)) != NULL;)
        bucket_free(weir_container(k, lbucket, link));
}

/* Out of reach for Lua; a task that waits for it can still get what it waits for, and then it
 * stays until the end of the runtime. */
static int bucket_gc(lua_State *L)
{
    lbucket *b = *(lbucket **)lcheck_object(L, 1, LTYPE_BUCKET, "__gc");
    if (b == NULL)
        return 0;
    if (b->rate.waiting == 0 && weir_list_is_empty(&b->rate.granted) &&
        weir_list_is_empty(&b->rate.ended) && weir_list_is_empty(&b->rate.idle)) {
        bucket_free(b);
    } else {
        *b->owner = NULL; /* other finalizers may still look at the userdata */
        b->owner = NULL;
    }
    return 0;
}

lbucket *lbucket_of(lua_State *L, int index, const char *op)
{
    lbucket *b = *(lbucket **)lua_touserdata(L, index);
    if (b == NULL || b->ctx != lcontext_here(L))
        lerror_raise(L, "misuse", op, "it belongs to another runtime, or to one that has ended");
    if (weir_current(b->ctx->rt) == NULL)
        weir_now_update(b->ctx->rt); /* no turn has read the clock */
    return b;
}

lbucket *lbucket_check(lua_State *L, const char *op)
{
    lcheck_object(L, 1, LTYPE_BUCKET, op);
    return lbucket_of(L, 1, op);
}

double lbucket_amount(lua_State *L, int index, const lbucket *b, const char *op)
{
    double n = lua_isnoneornil(L, index) ? 1 : -1;
    if (lua_type(L, index) == LUA_TNUMBER)
        n = lua_tonumber(L, index);
    if (!(n > 0))
        lcheck_fail(L, op, "n", "a number > 0", index);
    for (uint32_t i = 0; i < b->rate.parts; i++)
        if (b->limit[i].per > 0 && n != floor(n))
            lcheck_fail(L, op, "n", "a whole number > 0, since the bucket has a window", index);
    return n;
}

/* --- failures ------------------------------------------------------------------------- */

static void set_number(lua_State *L, const char *name, double value)
{
    lua_pushnumber(L, value);
    lua_setfield(L, -2, name);
}

/* [-0, +1, m] A number as text, whole ones without a fraction. */
static const char *push_amount(lua_State *L, double n)
{
    if (n == floor(n) && fabs(n) < 0x1p53)
        return lua_pushfstring(L, "%I", (lua_Integer)n);
    return lua_pushfstring(L, "%f", (lua_Number)n);
}

/* [-0, +1, m] The limits as text: "10/s, burst 5; at most 300 in 60 s". */
static const char *push_limits(lua_State *L, const lbucket *b)
{
    lua_pushliteral(L, "");
    for (uint32_t i = 0; i < b->rate.parts; i++) {
        const weir_rate_limit *l = &b->limit[i];
        const char *first = push_amount(L, l->per > 0 ? l->n : l->rate);
        const char *second = push_amount(L, l->per > 0 ? lseconds(l->per) : l->burst);
        lua_pushfstring(L, l->per > 0 ? "%s%sat most %s in %s s" : "%s%s%s/s, burst %s",
                        lua_tostring(L, -3), i > 0 ? "; " : "", first, second);
        lua_replace(L, -4);
        lua_pop(L, 2);
    }
    return lua_tostring(L, -1);
}

int lbucket_refused(lua_State *L, lbucket *b, int rc, double n, const char *op)
{
    const char *limits = push_limits(L, b);
    if (rc == WEIR_EIMPOSSIBLE)
        lerror_push(L, "impossible", op, "%s tokens can never be had (%s)", push_amount(L, n),
                    limits);
    else if (rc == WEIR_ECLOSED)
        lerror_push(L, "closed", op, "closed");
    else if (rc == WEIR_ETIMEOUT)
        lerror_push(L, "timeout", op, "not in time; %I waiting (%s)", (lua_Integer)b->rate.waiting,
                    limits);
    else if (rc == WEIR_EOVERLOAD)
        lerror_push(L, "overload", op, "%I are waiting already",
                    (lua_Integer)(b->rate.waiting + b->rate.reserved));
    else
        return luaL_error(L, "not enough memory");
    lua_pushstring(L, b->rate.name);
    lua_setfield(L, -2, "name");
    if (rc == WEIR_EOVERLOAD || rc == WEIR_ETIMEOUT)
        set_number(L, "retry_after", lbucket_seconds(weir_rate_retry_after(&b->rate, n)));
    if (rc == WEIR_ECLOSED) {
        lua_getiuservalue(L, 1, 1);
        lua_setfield(L, -2, "reason");
    }
    return lua_error(L);
}

/* --- take ----------------------------------------------------------------------------- */

/* Stack: bucket, n, options. */
static int taken(lua_State *L, int status, lua_KContext ticket)
{
    static const char op[] = "bucket:take";
    lcontext *ctx = lcontext_here(L);
    lbucket *b = *(lbucket **)lua_touserdata(L, 1);
    double n = lua_tonumber(L, 2);
    (void)status;
    switch ((weir_status)ltask_current(ctx)->task.wait.status) {
    case WEIR_GRANTED:
        weir_ticket_free((weir_ticket *)ticket);
        lua_pushboolean(L, 1);
        return 1;
    case WEIR_CLOSED:
        return lbucket_refused(L, b, WEIR_ECLOSED, n, op);
    case WEIR_TIMEOUT:
        return lbucket_refused(L, b, WEIR_ETIMEOUT, n, op);
    case WEIR_IMPOSSIBLE:
        return lbucket_refused(L, b, WEIR_EIMPOSSIBLE, n, op);
    default:
        lwait_outcome(L, ctx);
        return 0; /* not reached */
    }
}

static int take_now(lua_State *L, int status, lua_KContext kctx)
{
    static const char op[] = "bucket:take";
    lcontext *ctx = lcontext_here(L);
    weir_ticket *ticket = NULL;
    (void)kctx;
    if (status == LUA_YIELD)
        lwait_outcome(L, ctx);
    lbucket *b = lbucket_of(L, 1, op);
    double n = lua_tonumber(L, 2);
    int rc = weir_rate_take(&b->rate, n);
    if (rc == 0) {
        lua_pushboolean(L, 1);
        return 1;
    }
    if (rc != WEIR_EBUSY)
        return lbucket_refused(L, b, rc, n, op);
    ltask *t = lwait_enter(L, ctx, op);
    uint64_t timeout = lcheck_timeout(L, 3, op, "timeout");
    rc = weir_rate_wait(&b->rate, n, &t->task.wait, weir_after(ctx->rt, timeout), &ticket);
    if (rc != 0)
        return lbucket_refused(L, b, rc, n, op);
    return lwait_park(L, t, taken, (lua_KContext)ticket);
}

static const char *const take_options[] = {"timeout", NULL};

/* bucket:take([n,] [{timeout=}]) -> true: waits until n tokens are due. */
static int bucket_take(lua_State *L)
{
    static const char op[] = "bucket:take";
    lbucket *b = lbucket_check(L, op);
    if (lua_type(L, 2) == LUA_TTABLE) {
        lua_pushinteger(L, 1);
        lua_insert(L, 2);
    }
    lua_settop(L, 3);
    lua_pushnumber(L, lbucket_amount(L, 2, b, op));
    lua_replace(L, 2);
    if (!lua_isnil(L, 3)) {
        lcheck_options(L, 3, op, take_options);
        lcheck_timeout(L, 3, op, "timeout");
    }
    ltask *t = lwait_task(L, b->ctx, op);
    if (lwait_spend(L, t))
        return lwait_yield(L, t, op, take_now, 0);
    return take_now(L, LUA_OK, 0);
}

/* bucket:try_take([n]) -> true, or false and "busy" (and the seconds until it would be had),
 * "impossible" or "closed" */
static int bucket_try_take(lua_State *L)
{
    lbucket *b = lbucket_check(L, "bucket:try_take");
    double n = lbucket_amount(L, 2, b, "bucket:try_take");
    int rc = weir_rate_try(&b->rate, n);
    lua_pushboolean(L, rc == 0);
    if (rc == 0)
        return 1;
    lua_pushstring(L, weir_error_name(rc));
    if (rc != WEIR_EBUSY)
        return 2;
    lua_pushnumber(L, lbucket_seconds(weir_rate_retry_after(&b->rate, n)));
    return 3;
}

/* --- limits --------------------------------------------------------------------------- */

static void read_number(lua_State *L, int table, const char *name, double *value, int zero,
                        const char *op)
{
    int type = lua_getfield(L, table, name);
    double n = type == LUA_TNUMBER ? (double)lua_tonumber(L, -1) : -1;
    if (type != LUA_TNIL && !(n > 0 || (zero && n == 0)))
        lcheck_fail(L, op, name, zero ? "a number >= 0" : "a number > 0", -1);
    if (type != LUA_TNIL)
        *value = n;
    lua_pop(L, 1);
}

static void read_window(lua_State *L, int table, weir_rate_limit *l, const char *op)
{
    static const char *const options[] = {"n", "per", NULL};
    lcheck_options(L, table, op, options);
    if (lua_getfield(L, table, "n") != LUA_TNIL || l->n == 0) {
        l->n = lcheck_count(L, -1, op, "n");
        if (l->n > WEIR_WINDOW_MOST)
            lcheck_fail(L, op, "n", "at most 1048576", -1);
    }
    if (lua_getfield(L, table, "per") != LUA_TNIL || l->per == 0) {
        l->per = lua_type(L, -1) == LUA_TNUMBER ? lcheck_seconds(L, -1, op, "per") : 0;
        if (l->per == 0 || l->per == WEIR_FOREVER)
            lcheck_fail(L, op, "per", "a number of seconds > 0", -1);
    }
    lua_pop(L, 2);
}

/* One of the list: {rate=, burst=} or {n=, per=}. */
static void read_listed(lua_State *L, int table, weir_rate_limit *l, const char *op)
{
    static const char *const options[] = {"rate", "burst", NULL};
    if (lua_type(L, table) != LUA_TTABLE)
        lcheck_fail(L, op, "limits", "a list of {rate=, burst=} and {n=, per=}", table);
    int is_window = lua_getfield(L, table, "per") != LUA_TNIL;
    is_window |= lua_getfield(L, table, "n") != LUA_TNIL;
    lua_pop(L, 2);
    if (l->per > 0 || (l->burst == 0 && is_window)) {
        read_window(L, table, l, op);
        return;
    }
    lcheck_options(L, table, op, options);
    if (l->burst == 0) {
        l->burst = 1;
        if (lua_getfield(L, table, "rate") == LUA_TNIL)
            lcheck_fail(L, op, "rate", "a number >= 0", -1);
        lua_pop(L, 1);
    }
    read_number(L, table, "rate", &l->rate, 1, op);
    read_number(L, table, "burst", &l->burst, 0, op);
}

/* Read the limits of the table at `table` over what is in `limit`: zeros, or those to change. */
static uint32_t read_limits(lua_State *L, int table, weir_rate_limit *limit, uint32_t *first,
                            uint32_t *listed, int is_new, const char *op)
{
    int type = lua_getfield(L, table, "rate");
    if (lua_getfield(L, table, "burst") != LUA_TNIL || type != LUA_TNIL) {
        weir_rate_limit *l = &limit[0];
        if (is_new && type == LUA_TNIL)
            lcheck_fail(L, op, "rate", "a number >= 0", -2);
        if (!is_new && *first == 0)
            lerror_raise(L, "misuse", op, "the bucket has no 'rate' of its own to set, only %s",
                         *listed > 0 ? "'limits'" : "a 'window'");
        if (is_new) {
            l->burst = 1;
            *first = 1;
        }
        read_number(L, table, "rate", &l->rate, 1, op);
        read_number(L, table, "burst", &l->burst, 0, op);
    }
    lua_pop(L, 2);
    if (lua_getfield(L, table, "limits") != LUA_TNIL) {
        if (!lua_istable(L, -1))
            lcheck_fail(L, op, "limits", "a list", -1);
        uint32_t n = (uint32_t)lua_rawlen(L, -1);
        if (is_new && (n == 0 || n > LBUCKET_LIMITS - 2))
            lerror_raise(L, "misuse", op, "'limits' must have 1 to %d entries, got %d",
                         LBUCKET_LIMITS - 2, (int)n);
        if (!is_new && n != *listed)
            lerror_raise(L, "misuse", op, "'limits' must have %d entries as before, got %d",
                         (int)*listed, (int)n);
        *listed = n;
        for (uint32_t i = 0; i < n; i++) {
            lua_rawgeti(L, -1, (lua_Integer)i + 1);
            read_listed(L, lua_gettop(L), &limit[*first + i], op);
            lua_pop(L, 1);
        }
    }
    uint32_t n = *first + *listed;
    if (lua_getfield(L, table, "window") != LUA_TNIL) {
        if (!is_new && limit[n].per == 0)
            lerror_raise(L, "misuse", op, "the bucket has no 'window' to set");
        read_window(L, lua_gettop(L), &limit[n], op);
    }
    lua_pop(L, 2);
    return n + (limit[n].per > 0);
}

/* bucket:set{rate=, burst=, limits=, window=}: those who wait are timed anew. */
static int bucket_set(lua_State *L)
{
    static const char op[] = "bucket:set";
    static const char *const options[] = {"rate", "burst", "limits", "window", NULL};
    weir_rate_limit limit[LBUCKET_LIMITS];
    lbucket *b = lbucket_check(L, op);
    lcheck_options(L, 2, op, options);
    memcpy(limit, b->limit, sizeof limit);
    read_limits(L, 2, limit, &b->first, &b->listed, 0, op);
    if (weir_rate_set(&b->rate, limit) != 0)
        return luaL_error(L, "not enough memory");
    memcpy(b->limit, limit, sizeof limit);
    return 0;
}

/* --- ends ----------------------------------------------------------------------------- */

/* bucket:close([reason]): waiters and later calls get `closed`; reservations stand. */
static int bucket_close(lua_State *L)
{
    lbucket *b = lbucket_check(L, "bucket:close");
    lua_settop(L, 2);
    if (!b->rate.closed)
        lua_setiuservalue(L, 1, 1);
    weir_rate_close(&b->rate);
    return 0;
}

static int drained(lua_State *L, int status, lua_KContext kctx)
{
    (void)status;
    (void)kctx;
    lwait_outcome(L, lcontext_here(L));
    return 0;
}

/* bucket:drain([timeout]): refuses new requests, waits until those queued are served. */
static int bucket_drain(lua_State *L)
{
    lbucket *b = lbucket_check(L, "bucket:drain");
    uint64_t timeout = lcheck_only_timeout(L, 2, "bucket:drain");
    ltask *t = lwait_enter(L, b->ctx, "bucket:drain");
    weir_rate_drain(&b->rate, &t->task.wait, weir_after(b->ctx->rt, timeout));
    return lwait_park(L, t, drained, 0);
}

/* --- what can be seen ----------------------------------------------------------------- */

/* bucket:is_idle() -> true if it is as when it was made and nobody waits; or false and, if time
 * alone will do, the seconds until it is. */
static int bucket_is_idle(lua_State *L)
{
    uint64_t ns = weir_rate_full_in(&lbucket_check(L, "bucket:is_idle")->rate);
    lua_pushboolean(L, ns == 0);
    if (ns == 0 || ns == WEIR_FOREVER)
        return 1;
    lua_pushnumber(L, lbucket_seconds(ns));
    return 2;
}

static void set_count(lua_State *L, const char *name, uint64_t value)
{
    lua_pushinteger(L, (lua_Integer)value);
    lua_setfield(L, -2, name);
}

static double rate_of(const weir_rate_limit *l)
{
    return l->per > 0 ? l->n / lseconds(l->per) : l->rate;
}

static double burst_of(const weir_rate_limit *l)
{
    return l->per > 0 ? l->n : l->burst;
}

static int bucket_stats(lua_State *L)
{
    lbucket *b = lbucket_check(L, "bucket:stats");
    weir_rate *r = &b->rate;
    const weir_rate_stats *s = &r->stats;
    static const weir_histogram
        nothing; /* a token is not held: the field is there for uniformity */
    lua_createtable(L, 0, 14);
    if (r->name != NULL) {
        lua_pushstring(L, r->name);
        lua_setfield(L, -2, "name");
    }
    set_number(L, "rate", rate_of(&b->limit[0]));
    set_number(L, "burst", burst_of(&b->limit[0]));
    set_number(L, "available", weir_rate_available(r));
    set_count(L, "held", 0);
    set_count(L, "waiting", r->waiting);
    set_count(L, "reserved", r->reserved);
    set_count(L, "grants", s->grants);
    set_count(L, "queued", s->queued);
    set_count(L, "refunds", s->refunds);
    set_count(L, "changes", s->changes);
    lua_createtable(L, 0, 6);
    set_count(L, "timeout", s->timeouts);
    set_count(L, "cancelled", s->cancels);
    set_count(L, "closed", s->closes);
    set_count(L, "busy", s->busy);
    set_count(L, "impossible", s->impossible);
    set_count(L, "overload", s->overload);
    lua_setfield(L, -2, "rejects");
    lsem_push_histogram(L, &s->wait);
    lua_setfield(L, -2, "wait");
    lsem_push_histogram(L, &nothing);
    lua_setfield(L, -2, "hold");
    return 1;
}

static int bucket_index(lua_State *L)
{
    if (lcontext_push_method(L) != LUA_TNIL)
        return 1;
    const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
    lbucket *b = lbucket_check(L, "bucket");
    if (strcmp(key, "rate") == 0)
        lua_pushnumber(L, rate_of(&b->limit[0]));
    else if (strcmp(key, "burst") == 0)
        lua_pushnumber(L, burst_of(&b->limit[0]));
    else if (strcmp(key, "available") == 0)
        lua_pushnumber(L, weir_rate_available(&b->rate));
    else if (strcmp(key, "waiting") == 0)
        lua_pushinteger(L, b->rate.waiting);
    else if (strcmp(key, "reserved") == 0)
        lua_pushinteger(L, b->rate.reserved);
    else if (strcmp(key, "name") == 0)
        lua_pushstring(L, b->rate.name);
    else
        return lerror_raise(L, "misuse", "bucket", "no field '%s'", key);
    return 1;
}

static int bucket_tostring(lua_State *L)
{
    lbucket *b = *(lbucket **)lcheck_object(L, 1, LTYPE_BUCKET, "bucket");
    if (b == NULL) {
        lua_pushliteral(L, "weir.bucket (ended)");
        return 1;
    }
    lua_pushfstring(L, "weir.bucket %s(%s, %I waiting)", b->rate.name ? b->rate.name : "",
                    push_limits(L, b), (lua_Integer)b->rate.waiting);
    return 1;
}

/* weir.bucket{rate=, burst=, limits=, window=, name=, max_waiting=} */
static int core_bucket(lua_State *L)
{
    static const char op[] = "weir.bucket";
    static const char *const options[] = {"rate", "burst",       "limits", "window",
                                          "name", "max_waiting", NULL};
    lcontext *ctx = lcontext_here(L);
    weir_rate_limit limit[LBUCKET_LIMITS] = {{0}};
    uint32_t first = 0, listed = 0, max_waiting;
    const char *name = NULL;
    lua_settop(L, 1);
    lcheck_options(L, 1, op, options);
    uint32_t n = read_limits(L, 1, limit, &first, &listed, 1, op);
    if (n == 0)
        return lerror_raise(L, "misuse", op, "'rate', 'limits' or 'window' must be given");
    if (lua_getfield(L, 1, "name") != LUA_TNIL) {
        if (lua_type(L, -1) != LUA_TSTRING)
            return lcheck_fail(L, op, "name", "a string", -1);
        name = lua_tostring(L, -1);
    }
    max_waiting = lcheck_bound(L, 1, op, "max_waiting", UINT32_MAX);
    size_t size = sizeof(lbucket) + (name != NULL ? strlen(name) + 1 : 0);
    lbucket **box = lua_newuserdatauv(L, sizeof *box, 1);
    *box = NULL;
    lcontext_set_type(L, lbox_here(L), LTYPE_BUCKET);
    lbucket *b = weir_alloc(ctx->rt, NULL, 0, size);
    if (b == NULL)
        return luaL_error(L, "%s: not enough memory", op);
    if (weir_rate_init(ctx->rt, &b->rate, limit, n, name != NULL ? b->name : NULL) != 0) {
        weir_alloc(ctx->rt, b, size, 0);
        return luaL_error(L, "%s: not enough memory", op);
    }
    weir_link_init(&b->link);
    b->ctx = ctx;
    b->size = size;
    b->first = first;
    b->listed = listed;
    b->rate.max_waiting = max_waiting;
    memcpy(b->limit, limit, sizeof limit);
    if (name != NULL)
        memcpy(b->name, name, strlen(name) + 1);
    weir_list_push(&ctx->buckets, &b->link);
    b->owner = box;
    *box = b;
    return 1;
}

static const luaL_Reg functions[] = {{"bucket", core_bucket}, {NULL, NULL}};
static const luaL_Reg methods[] = {
    {"take", bucket_take},       {"try_take", bucket_try_take}, {"reserve", lbucket_reserve},
    {"set", bucket_set},         {"close", bucket_close},       {"drain", bucket_drain},
    {"is_idle", bucket_is_idle}, {"stats", bucket_stats},       {NULL, NULL}};
static const luaL_Reg meta[] = {
    {"__index", bucket_index}, {"__tostring", bucket_tostring}, {"__gc", bucket_gc}, {NULL, NULL}};
void lbucket_open(lua_State *L)
{
    lcontext_set_functions(L, functions);
    lcontext_new_type(L, LTYPE_BUCKET, methods, meta);
}
