/* bindings/lflight.c - what tasks do for many: their outcome, and waits for several flights.
 *
 * A weir.flight is what one call of get_many or load_many waits for: it is interested in each of
 * its flights until it is closed. The Lua half closes it whatever comes (`<close>`); the collector
 * does where a coroutine died, and the runtime at its end.
 */
#include <string.h>

#include "lflight.h"

int lflight_spawn(lua_State *L, lcontext *ctx, int nargs, int keeps)
{
    const ljob job = {.keeps = keeps};
    int rc =
        ltask_spawn(L, ctx, nargs, weir_root(ctx->rt), WEIR_SCOPE_DAEMON | WEIR_SCOPE_SHIELD, &job);
    if (rc == 0)
        ((ltask *)lua_touserdata(L, -1))->task.scope.flags |= WEIR_SCOPE_CLAIMED;
    return rc;
}

void lflight_stop(lcontext *ctx, weir_task *t)
{
    t->scope.flags &= ~(uint32_t)WEIR_SCOPE_CLAIMED;
    weir_scope_cancel(ctx->rt, &t->scope, (weir_reason){"nobody waits for it any more", 0});
}

void lflight_abandon(weir_runtime *rt, weir_waiter *w)
{
    if (w->object != NULL && w->ops->leave == weir__flight_leave &&
        (w->status == WEIR_GRANTED || w->status == WEIR_FAILED))
        weir_flight_leave(rt, w->object);
}

/* --- outcomes ------------------------------------------------------------------------- */

void lflight_push(lua_State *L, int index, uint32_t part)
{
    ltask *t = lua_touserdata(L, index);
    if (ltask_push_values(L, index, t) == 0)
        lua_pushnil(L);
    if (part != 0 && t->task.state == WEIR_TASK_DONE) {
        lua_rawgeti(L, -1, part);
        lua_remove(L, -2);
    }
}

void lflight_push_refusal(lua_State *L, const char *op, intptr_t code)
{
    if (code == WEIR_ENOMEM)
        lua_pushliteral(L, "not enough memory");
    else if (code == WEIR_ECANCELED)
        lerror_push_cancelled(L, op, weir_root(lcontext_here(L)->rt));
    else
        lerror_push(L, "closed", op, "closed");
}

int lflight_raise(lua_State *L, int index)
{
    ltask_push_field(L, index, lua_touserdata(L, index), "traceback");
    lerror_keep_origin(L, lcontext_here(L), -2, -1);
    lua_pop(L, 1);
    return lua_error(L);
}

/* The values are at `first`: how many there are, as far as that can be said. */
static int count_is_wrong(lua_State *L, int first, uint32_t n, lua_Integer *got)
{
    int is = 0;
    *got = 0;
    lua_pushliteral(L, "n");
    if (lua_rawget(L, first) != LUA_TNIL) {
        if (lua_type(L, -1) == LUA_TNUMBER)
            *got = lua_tointegerx(L, -1, &is);
        lua_pop(L, 1);
        return !is || *got != (lua_Integer)n;
    }
    lua_pop(L, 1);
    *got = (lua_Integer)lua_rawlen(L, first);
    if (*got >= (lua_Integer)n)
        return *got > (lua_Integer)n;
    /* It may be shorter where the rest failed. */
    for (uint32_t i = 1; i <= n; i++) {
        int there = lua_rawgeti(L, first, i) != LUA_TNIL;
        lua_pop(L, 1);
        if (!there && lua_istable(L, first + 1)) {
            there = lua_rawgeti(L, first + 1, i) != LUA_TNIL;
            lua_pop(L, 1);
        }
        if (!there)
            return 1;
    }
    return 0;
}

int lflight_misuse(lua_State *L, const char *op, const char *name, const char *fmt, int index)
{
    if (lua_type(L, index) == LUA_TSTRING)
        lua_pushfstring(L, "'%s'", lua_tostring(L, index));
    else
        lua_pushstring(L, luaL_typename(L, index));
    lerror_push(L, "misuse", op, fmt, lua_tostring(L, -1));
    lua_pushstring(L, name);
    lua_setfield(L, -2, "name");
    return lua_error(L);
}

void lflight_check_parts(lua_State *L, int first, uint32_t n, const char *op, const char *name)
{
    lua_Integer got;
    if (!lua_istable(L, first))
        lflight_misuse(L, op, name,
                       "the function must return a table with a value for each key, "
                       "got %s",
                       first);
    if (!lua_isnoneornil(L, first + 1) && !lua_istable(L, first + 1))
        lflight_misuse(L, op, name,
                       "what the function returns second must be a table of errors by "
                       "index, got %s",
                       first + 1);
    if (count_is_wrong(L, first, n, &got)) {
        lerror_push(L, "misuse", op,
                    "the function returned %I values for %I keys (say n=%I where a value may be "
                    "nil)",
                    got, (lua_Integer)n, (lua_Integer)n);
        lua_pushstring(L, name);
        lua_setfield(L, -2, "name");
        lua_error(L);
    }
    lua_createtable(L, (int)n, 0); /* a copy: the function may use its table again */
    for (uint32_t i = 1; i <= n; i++) {
        if (!lua_istable(L, first + 1) || lua_rawgeti(L, first + 1, i) == LUA_TNIL) {
            if (lua_istable(L, first + 1))
                lua_pop(L, 1);
            lua_rawgeti(L, first, i);
        }
        lua_rawseti(L, -2, i);
    }
    lua_replace(L, first);
}

/* --- several -------------------------------------------------------------------------- */

/* User values: the object they are of; results and errors by place; sources by number. */
enum { LFLIGHTS_OWNER = 1, LFLIGHTS_RESULTS, LFLIGHTS_ERRORS, LFLIGHTS_SOURCES, LFLIGHTS_USER };

typedef struct lflights {
    lobject object; /* first; linked while it is interested in any */
    lcontext *ctx;
    const lflights_ops *ops;
    uint64_t deadline;
    uint32_t n, room, next;  /* `next`: the one to wait for */
    uint8_t collect, is_now; /* is_now: nothing may be waited for */
    struct {
        weir_flight *f;
        uint32_t place;
    } item[];
} lflights;

uint32_t lflights_check_keys(lua_State *L, int index, const char *op)
{
    if (!lua_istable(L, index))
        lcheck_fail(L, op, "keys", "an array of keys", index);
    lua_Integer n = (lua_Integer)lua_rawlen(L, index);
    lua_pushliteral(L, "n");
    if (lua_rawget(L, index) != LUA_TNIL) {
        int is = 0;
        n = lua_type(L, -1) == LUA_TNUMBER ? lua_tointegerx(L, -1, &is) : 0;
        if (!is || n < 0 || n > INT32_MAX)
            lcheck_fail(L, op, "keys.n", "an integer >= 0", -1);
    }
    lua_pop(L, 1);
    return (uint32_t)n;
}

static void leave_all(lobject *o)
{
    lflights *s = (lflights *)(void *)o;
    if (s->n > 0)
        weir_link_remove(&o->link);
    while (s->n > 0)
        weir_flight_leave(s->ctx->rt, s->item[--s->n].f);
}

void lflights_leave(lua_State *L, int index)
{
    leave_all(lua_touserdata(L, index));
}

void lflights_push(lua_State *L, lcontext *ctx, uint32_t n, int collect, const lflights_ops *ops)
{
    lflights *s = lua_newuserdatauv(L, sizeof *s + n * sizeof s->item[0], LFLIGHTS_USER - 1);
    *s = (lflights){.object = {{NULL, NULL}, leave_all},
                    .ctx = ctx,
                    .ops = ops,
                    .room = n,
                    .collect = collect != 0};
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, LFLIGHTS_OWNER);
    lua_createtable(L, (int)n, 1);
    lua_pushinteger(L, n);
    lua_setfield(L, -2, "n");
    lua_setiuservalue(L, -2, LFLIGHTS_RESULTS);
    lua_createtable(L, (int)n, 0); /* room for all: lflights_add cannot fail */
    lua_setiuservalue(L, -2, LFLIGHTS_SOURCES);
    lcontext_set_type(L, ctx->box, LTYPE_FLIGHT);
}

void lflights_add(lua_State *L, int index, weir_flight *f, uint32_t place)
{
    lflights *s = lua_touserdata(L, index);
    assert(s->n < s->room);
    lua_getiuservalue(L, index, LFLIGHTS_SOURCES);
    lua_insert(L, -2);
    lua_rawseti(L, -2, (lua_Integer)s->n + 1);
    lua_pop(L, 1);
    if (s->n == 0)
        weir_list_push_front(&s->ctx->objects, &s->object.link); /* before what it is of */
    weir_flight_join(f);
    s->item[s->n].f = f;
    s->item[s->n].place = place;
    s->n++;
}

void lflights_set(lua_State *L, int index, uint32_t place)
{
    lua_getiuservalue(L, index, LFLIGHTS_RESULTS);
    lua_insert(L, -2);
    lua_rawseti(L, -2, place);
    lua_pop(L, 1);
}

void lflights_set_error(lua_State *L, int index, uint32_t place)
{
    const lflights *s = lua_touserdata(L, index);
    if (!s->collect)
        lua_error(L);
    if (lua_getiuservalue(L, index, LFLIGHTS_ERRORS) == LUA_TNIL) {
        lua_pop(L, 1);
        lua_newtable(L);
        lua_pushvalue(L, -1);
        lua_setiuservalue(L, index, LFLIGHTS_ERRORS);
    }
    lua_insert(L, -2);
    lua_rawseti(L, -2, place);
    lua_pop(L, 1);
}

/* All have landed. Stack: owner, set. -> results, errors by place or nil */
static int results(lua_State *L, const lflights *s)
{
    for (uint32_t i = 0; i < s->n; i++) {
        const weir_flight *f = s->item[i].f;
        lua_settop(L, 2);
        lua_getiuservalue(L, 2, LFLIGHTS_SOURCES);
        lua_rawgeti(L, 3, (lua_Integer)i + 1);
        s->ops->push_task(L, 4);
        if (lua_isnil(L, 5))
            lflight_push_refusal(L, f->ops->wait->op, f->value);
        else
            lflight_push(L, 5, (uint32_t)f->value);
        if (f->state == WEIR_FLIGHT_LANDED)
            lflights_set(L, 2, s->item[i].place);
        else if (s->collect || lua_isnil(L, 5))
            lflights_set_error(L, 2, s->item[i].place);
        else
            return lflight_raise(L, 5);
    }
    lua_getiuservalue(L, 2, LFLIGHTS_RESULTS);
    lua_getiuservalue(L, 2, LFLIGHTS_ERRORS);
    return 2;
}

static int landed(lua_State *L, int status, lua_KContext kctx);

static int wait_on(lua_State *L, lflights *s)
{
    for (; s->next < s->n; s->next++) {
        weir_flight *f = s->item[s->next].f;
        if (f->state != WEIR_FLIGHT_FLYING)
            continue;
        ltask *t = lwait_enter(L, s->ctx, f->ops->wait->op);
        if (s->is_now) /* what this call had begun has not run yet: it ends with the set */
            return s->ops->raise(L, s->ctx, WEIR_TIMEOUT);
        weir_flight_wait(s->ctx->rt, f, &t->task.wait, s->deadline);
        return lwait_park(L, t, landed, (lua_KContext)s);
    }
    return results(L, s);
}

static int landed(lua_State *L, int status, lua_KContext kctx)
{
    lflights *s = (lflights *)kctx;
    const weir_waiter *w = &ltask_current(s->ctx)->task.wait;
    (void)status;
    if (w->status != WEIR_GRANTED && w->status != WEIR_FAILED)
        return s->ops->raise(L, s->ctx, (weir_status)w->status);
    lflight_leave(s->ctx, s->item[s->next].f);
    return wait_on(L, s);
}

/* flights:wait([timeout]) -> results, errors: once. */
static int flights_wait(lua_State *L)
{
    lflights *s = lcheck_object(L, 1, LTYPE_FLIGHT, "flights:wait");
    uint64_t timeout = lcheck_timeout(L, 2, "flights:wait", "timeout");
    s->deadline = weir_after(s->ctx->rt, timeout);
    s->is_now = timeout == 0;
    lua_settop(L, 1);
    lua_getiuservalue(L, 1, LFLIGHTS_OWNER);
    lua_insert(L, 1);
    return wait_on(L, s);
}

static int flights_close(lua_State *L)
{
    lcheck_object(L, 1, LTYPE_FLIGHT, "__close");
    lflights_leave(L, 1);
    return 0;
}

static const luaL_Reg methods[] = {{"wait", flights_wait}, {NULL, NULL}};
static const luaL_Reg meta[] = {{"__close", flights_close}, {"__gc", flights_close}, {NULL, NULL}};

void lflight_open(lua_State *L)
{
    lcontext_new_type(L, LTYPE_FLIGHT, methods, meta);
}
