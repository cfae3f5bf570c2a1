/* bindings/lbatch.c - weir.batch: asking for one key, its ends, what is seen of it.
 *
 * A call puts its key into the group that gathers, or finds it there, and waits for its part of
 * what the function answers for the group (lgroup.c). Who waits has on the stack: the batch, the
 * key, its identity, the group. The Lua half reads the options and has load_many.
 */
#include <string.h>

#include "lbatch.h"

static const char op[] = "batch", many_op[] = "batch:load_many";

/* --- the object ----------------------------------------------------------------------- */

static void free_batch(lobject *o)
{
    lbatch *b = (lbatch *)(void *)o;
    b->owner->batch = NULL;
    weir_link_remove(&o->link);
    weir_batch_fini(&b->batch);
    weir_alloc(b->ctx->rt, b, b->size, 0);
}

/* A group that is out keeps the userdata: there are none, unless the process ends in a task. */
static int batch_gc(lua_State *L)
{
    lbatch_object *object = lcheck_object(L, 1, LTYPE_BATCH, "__gc");
    lbatch *b = object->batch;
    object->tag = NULL;
    if (b != NULL && b->batch.gathering == NULL && b->batch.n_queued + b->batch.n_flying == 0)
        free_batch(&b->object);
    return 0;
}

lbatch *lbatch_check(lua_State *L, const char *where)
{
    const lbox *box = lbox_here(L);
    const lbatch_object *object = ltest_tagged(L, 1, box, LTYPE_BATCH);
    if (object == NULL)
        object = lcheck_object(L, 1, LTYPE_BATCH, where);
    lbatch *b = object->batch;
    if (b == NULL || b->ctx != box->current)
        lerror_raise(L, "misuse", where, "it belongs to another runtime, or to one that has ended");
#ifdef WEIR_STRESS
    assert(weir_batch_validate(&b->batch) == 0);
#endif
    return b;
}

/* core.batch(fn, max, delay, quiet, limit, max_waiting, name, key); math.huge is no bound. */
static int core_batch(lua_State *L)
{
    lcontext *ctx = lcontext_here(L);
    lua_settop(L, 8);
    const char *name = lua_tostring(L, 7);
    weir_batch_options options = {.max = lcheck_bound_at(L, 2, op, "max", 1),
                                  .delay = lcheck_seconds(L, 3, op, "delay"),
                                  .quiet = (uint8_t)lua_toboolean(L, 4),
                                  .max_flying = lcheck_bound_at(L, 5, op, "limit", 1),
                                  .max_waiting = lcheck_bound_at(L, 6, op, "max_waiting", 1)};
    lbatch_object *owner = lua_newuserdatauv(L, sizeof *owner, LBATCH_USER - 1);
    *owner = (lbatch_object){ltag(ctx->box, LTYPE_BATCH), NULL};
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, LBATCH_FN);
    lua_pushvalue(L, 8);
    lua_setiuservalue(L, -2, LBATCH_KEY);
    lcontext_set_type(L, lbox_here(L), LTYPE_BATCH);
    size_t size = sizeof(lbatch) + (name != NULL ? strlen(name) + 1 : 0);
    lbatch *b = weir_alloc(ctx->rt, NULL, 0, size);
    if (b == NULL)
        return luaL_error(L, "not enough memory");
    *b = (lbatch){.object = {{NULL, NULL}, free_batch},
                  .ctx = ctx,
                  .owner = owner,
                  .has_key = !lua_isnil(L, 8),
                  .size = size};
    if (name != NULL)
        memcpy(b->name, name, strlen(name) + 1);
    weir_batch_init(ctx->rt, &b->batch, &lgroup_ops, &options, name != NULL ? b->name : NULL);
    b->batch.data = b;
    weir_list_push(&ctx->objects, &b->object.link);
    owner->batch = b;
    return 1;
}

/* --- failures ------------------------------------------------------------------------- */

/* Raise for a refusal, or a wait that was closed. The batch is at 1. */
static int refuse(lua_State *L, const lbatch *b, int rc)
{
    if (rc == WEIR_ENOMEM)
        return luaL_error(L, "not enough memory");
    if (rc == WEIR_EOVERLOAD)
        lerror_push(L, "overload", op, "%I are waiting already", (lua_Integer)b->batch.n_unflushed);
    else
        lerror_push(L, "closed", op, "closed");
    lua_pushstring(L, b->batch.name);
    lua_setfield(L, -2, "name");
    if (rc == WEIR_EOVERLOAD) {
        lua_pushnumber(L, lseconds(weir_batch_retry_after(&b->batch)));
        lua_setfield(L, -2, "retry_after");
    } else {
        lua_getiuservalue(L, 1, LBATCH_REASON);
        lua_setfield(L, -2, "reason");
    }
    return lua_error(L);
}

static int raise(lua_State *L, lcontext *ctx, weir_status status)
{
    const lbatch *b = lbatch_at(L);
    if (b == NULL || (status != WEIR_TIMEOUT && status != WEIR_CLOSED)) {
        lwait_outcome(L, ctx);
        return 0;
    }
    if (status == WEIR_CLOSED)
        return refuse(L, b, WEIR_ECLOSED);
    lerror_push(L, "timeout", many_op, "timed out; %I waiting, %I groups flying",
                (lua_Integer)b->batch.n_unflushed, (lua_Integer)b->batch.n_flying);
    lua_pushstring(L, b->batch.name);
    lua_setfield(L, -2, "name");
    return lua_error(L);
}

/* --- asking --------------------------------------------------------------------------- */

static void check_key(lua_State *L, int index, const char *what, const char *expected)
{
    if (lua_isnoneornil(L, index) || lua_compare(L, index, index, LUA_OPEQ) == 0)
        lcheck_fail(L, op, what, expected, index);
}

/* Push the identity of the key at `key`. */
static void push_identity(lua_State *L, const lbatch *b, int key)
{
    if (!b->has_key) {
        lua_pushvalue(L, key);
        return;
    }
    lua_getiuservalue(L, 1, LBATCH_KEY);
    lua_pushvalue(L, key);
    lua_call(L, 1, 1);
    check_key(L, -1, "key", "a function that returns a value other than nil and NaN");
}

/* The request for the key at `key`, which joins a group: pushes its identity, then the group. */
static lrequest *ask(lua_State *L, lbatch *b, int key)
{
    lrequest *r = NULL;
    push_identity(L, b, key);
    int id = lua_gettop(L), rc = WEIR_ECLOSED;
    if (b->batch.closed || b->batch.draining)
        refuse(L, b, rc);
    lgroup_push(L, b);
    r = lgroup_find(L, id + 1, id);
    if (r != NULL) {
        weir_batch_joined(&b->batch, &r->request);
        return r;
    }
    rc = lgroup_add(L, b, id + 1, key, id, &r);
    if (rc != 0)
        refuse(L, b, rc);
    return r;
}

static int landed(lua_State *L, int status, lua_KContext kctx)
{
    lrequest *r = (lrequest *)kctx;
    lcontext *ctx = lcontext_here(L);
    const weir_waiter *w = &ltask_current(ctx)->task.wait;
    (void)status;
    if (w->status != WEIR_GRANTED && w->status != WEIR_FAILED)
        return raise(L, ctx, (weir_status)w->status);
    weir_flight *f = &r->request.flight;
    int is_value = f->state == WEIR_FLIGHT_LANDED;
    intptr_t part = f->value;
    lflight_leave(ctx, f);
    lgroup_push_task(L, 4);
    if (lua_isnil(L, 5)) {
        lflight_push_refusal(L, op, part);
        return lua_error(L);
    }
    lflight_push(L, 5, (uint32_t)part);
    return is_value ? 1 : lflight_raise(L, 5);
}

/* batch(key) -> the value that the function gives for it. */
static int batch_call(lua_State *L)
{
    lbatch *b = lbatch_check(L, op);
    lua_settop(L, 2);
    check_key(L, 2, "key", "a value other than nil and NaN");
    ltask *t = lwait_enter(L, b->ctx, op);
    if (lwait_spend(L, t))
        return lwait_again(L, t, op, batch_call);
    lrequest *r = ask(L, b, 2); /* 3 the identity, 4 the group */
    weir_flight_wait(b->ctx->rt, &r->request.flight, &t->task.wait, WEIR_FOREVER);
    return lwait_park(L, t, landed, (lua_KContext)r);
}

/* --- many ----------------------------------------------------------------------------- */

static const lflights_ops many_ops = {raise, lgroup_push_task};

/* Protected: batch, keys, set, n. */
static int ask_all(lua_State *L)
{
    lbatch *b = lbatch_at(L);
    uint32_t n = (uint32_t)lua_tointeger(L, 4);
    for (uint32_t i = 1; i <= n; i++) {
        lua_settop(L, 4);
        lua_rawgeti(L, 2, i);
        lrequest *r = ask(L, b, 5);
        lflights_add(L, 3, &r->request.flight, i);
    }
    return 0;
}

/* core.batch_many(batch, keys, collect) -> set to wait for. Does not wait. */
static int core_batch_many(lua_State *L)
{
    lbatch *b = lbatch_check(L, many_op);
    uint32_t n = lflights_check_keys(L, 2, many_op);
    for (uint32_t i = 1; i <= n; i++) {
        lua_rawgeti(L, 2, i);
        check_key(L, -1, "key", "a value other than nil and NaN");
        lua_pop(L, 1);
    }
    ltask *t = lwait_enter(L, b->ctx, many_op);
    if (lwait_spend(L, t))
        return lwait_again(L, t, many_op, core_batch_many);
    lflights_push(L, b->ctx, n, lua_toboolean(L, 3), &many_ops);
    lua_replace(L, 3);
    lua_settop(L, 3);
    lua_pushcfunction(L, ask_all);
    for (int i = 1; i <= 3; i++)
        lua_pushvalue(L, i);
    lua_pushinteger(L, n);
    if (lua_pcall(L, 4, 0, 0) != LUA_OK) {
        lflights_leave(L, 3);
        return lua_error(L);
    }
    return 1;
}

/* --- ends ----------------------------------------------------------------------------- */

/* batch:flush(): do not wait for more. */
static int batch_flush(lua_State *L)
{
    weir_batch_flush(&lbatch_check(L, "batch:flush")->batch);
    return 0;
}

/* batch:close([reason]): who waits for what has not been flushed, and who comes, gets `closed`. */
static int batch_close(lua_State *L)
{
    lbatch *b = lbatch_check(L, "batch:close");
    lua_settop(L, 2);
    if (!b->batch.closed)
        lua_setiuservalue(L, 1, LBATCH_REASON);
    weir_batch_close(&b->batch);
    return 0;
}

/* local batch <close> = weir.batch(fn) */
static int batch_end(lua_State *L)
{
    lcheck_object(L, 1, LTYPE_BATCH, "batch:close");
    lua_settop(L, 1);
    return lbatch_at(L) != NULL ? batch_close(L) : 0;
}

static int drained(lua_State *L, int status, lua_KContext kctx)
{
    (void)status;
    (void)kctx;
    lwait_outcome(L, lcontext_here(L));
    return 0;
}

/* batch:drain([timeout]): refuses new keys, flushes what has gathered, waits until all is said. */
static int batch_drain(lua_State *L)
{
    static const char where[] = "batch:drain";
    lbatch *b = lbatch_check(L, where);
    uint64_t timeout = lcheck_only_timeout(L, 2, where);
    ltask *t = lwait_enter(L, b->ctx, where);
    weir_batch_drain(&b->batch, &t->task.wait, weir_after(b->ctx->rt, timeout));
    return lwait_park(L, t, drained, 0);
}

static const luaL_Reg functions[] = {
    {"batch", core_batch}, {"batch_many", core_batch_many}, {NULL, NULL}};
static const luaL_Reg methods[] = {{"flush", batch_flush},
                                   {"close", batch_close},
                                   {"drain", batch_drain},
                                   {"stats", lbatch_stats},
                                   {NULL, NULL}};
static const luaL_Reg meta[] = {
    {"__call", batch_call}, {"__index", lbatch_index}, {"__tostring", lbatch_tostring},
    {"__close", batch_end}, {"__gc", batch_gc},        {NULL, NULL}};

void lbatch_open(lua_State *L)
{
    lcontext_set_functions(L, functions);
    lcontext_new_type(L, LTYPE_BATCH, methods, meta);
}
