/* postgres/pg_copy.c - the data of a COPY, in and out, no faster than the other side takes it.
 *
 *   copy_write(c, chunk)   copy_end(c [, message]) -> affected      after copy_in
 *   copy_read(c) -> chunk or nil                                   after copy_out
 *
 * libpq would queue any amount: what goes in is given to it in pieces, and while more than
 * WEIR_PG_UNSENT waits to be sent the writer waits too. An error of the server shows at the end;
 * libpq looks no sooner. With a `message` copy_end makes the server undo the copy, with that as
 * error.
 */
#include "pg.h"
#include <string.h>

#define PIECE (64 * 1024)

static weir_pg *check_copying(lua_State *L, int mode)
{
    weir_pg *c = weir__pg_check(L, 1);
    const char *op = weir__pg_ops[mode == MODE_COPY_IN ? OP_COPY_IN : OP_COPY_OUT].op;
    if (c->rt == NULL || c->state >= PG_LOST)
        weir__pg_raise_fault(L, c, op);
    if (c->api->runtime(L) != c->rt)
        c->api->raise(L, "misuse", op, "the connection belongs to another runtime");
    if (c->state != PG_BUSY || c->mode != mode || !c->is_copying)
        c->api->raise(L, "closed", op, "the copy has ended");
    return c;
}

/* --- in -------------------------------------------------------------------------------------- */
static int writek(lua_State *L, int status, lua_KContext ctx);

static int write_on(lua_State *L, weir_pg *c)
{
    size_t size;
    const char *chunk = lua_tolstring(L, 2, &size);
    while (c->taken < size) {
        size_t n = size - c->taken < PIECE ? size - c->taken : PIECE;
        if (c->unsent >= WEIR_PG_UNSENT) {
            weir_waiter *w = weir__pg_enter(L, c, weir__pg_ops[OP_COPY_IN].op);
            weir__pg_begin(c, w, WANT_ROOM);
            return c->api->park(L, writek, 0);
        }
        c->taken += n;
        weir__pg_sent_some(c, PQputCopyData(c->pg, chunk + c->taken - n, (int)n) > 0, n);
        if (c->state >= PG_LOST)
            return weir__pg_raise_fault(L, c, weir__pg_ops[OP_COPY_IN].op);
    }
    weir__pg_watch(c);
    return 0;
}

static int writek(lua_State *L, int status, lua_KContext ctx)
{
    weir_pg *c = lua_touserdata(L, 1);
    (void)status;
    (void)ctx;
    weir__pg_resumed(L, c, 0);
    return write_on(L, c);
}

static int write_yieldk(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    (void)ctx;
    weir__pg_check(L, 1)->api->outcome(L);
    return write_on(L, check_copying(L, MODE_COPY_IN));
}

static int copy_write(lua_State *L)
{
    weir_pg *c = check_copying(L, MODE_COPY_IN);
    if (lua_type(L, 2) != LUA_TSTRING)
        return c->api->raise(L, "misuse", weir__pg_ops[OP_COPY_IN].op,
                             "the data must come in strings, got %s", luaL_typename(L, 2));
    lua_settop(L, 2);
    c->taken = 0;
    if (c->api->spend(L))
        return c->api->yield(L, write_yieldk, 0);
    return write_on(L, c);
}

static int endedk(lua_State *L, int status, lua_KContext ctx)
{
    weir_pg *c = lua_touserdata(L, 1);
    (void)status;
    (void)ctx;
    weir__pg_resumed(L, c, 0);
    weir__pg_tell_notices_in(L, c);
    if (c->error != NULL) {
        weir__pg_push_error(L, c, weir__pg_ops[c->op].op, c->error, 0);
        weir__pg_clear(c);
        return lua_error(L);
    }
    weir__pg_clear(c);
    if (c->op == OP_COPY_IN)
        lua_pushinteger(L, c->affected < 0 ? 0 : c->affected);
    else
        lua_pushnil(L);
    return 1;
}

/* The end of the command is all that is left. */
static int await_end(lua_State *L, weir_pg *c, weir_waiter *w)
{
    c->mode = MODE_RESULT;
    weir__pg_pump(c);
    weir__pg_begin(c, w, WANT_END);
    if (c->state == PG_READY)
        weir__pg_wake(c, WEIR_GRANTED);
    return c->api->park(L, endedk, 0);
}

static int copy_end(lua_State *L)
{
    weir_pg *c = check_copying(L, MODE_COPY_IN);
    const char *message = luaL_optstring(L, 2, NULL);
    weir_waiter *w = weir__pg_enter(L, c, weir__pg_ops[OP_COPY_IN].op);
    if (!weir__pg_end_copy(c, message))
        return weir__pg_raise_fault(L, c, weir__pg_ops[OP_COPY_IN].op);
    return await_end(L, c, w);
}

/* --- out ------------------------------------------------------------------------------------- */
static int readk(lua_State *L, int status, lua_KContext ctx);

/* [-0, +1, m] of bytes that libpq gave us: freed also if there is no memory for the string. */
static int push_chunk(lua_State *L)
{
    lua_pushlstring(L, lua_touserdata(L, 1), (size_t)lua_tointeger(L, 2));
    return 1;
}

static int read_on(lua_State *L, weir_pg *c)
{
    char *chunk = NULL;
    const char *op = weir__pg_ops[OP_COPY_OUT].op;
    weir_waiter *w;
    int n, rc;
    n = PQgetCopyData(c->pg, &chunk, 1);
    if (n == 0 && c->is_buffered) {
        if (!weir__pg_read(c))
            return weir__pg_raise_fault(L, c, op);
        n = PQgetCopyData(c->pg, &chunk, 1);
    }
    if (n > 0) {
        lua_pushcfunction(L, push_chunk);
        lua_pushlightuserdata(L, chunk);
        lua_pushinteger(L, n);
        rc = lua_pcall(L, 2, 1, 0);
        PQfreemem(chunk);
        return rc == LUA_OK ? 1 : lua_error(L);
    }
    w = weir__pg_enter(L, c, op);
    if (n == 0) {
        weir__pg_begin(c, w, WANT_COPY);
        return c->api->park(L, readk, 0);
    }
    c->is_copying = 0; /* the end, or an error that the result has */
    return await_end(L, c, w);
}

static int readk(lua_State *L, int status, lua_KContext ctx)
{
    weir_pg *c = lua_touserdata(L, 1);
    (void)status;
    (void)ctx;
    weir__pg_resumed(L, c, 0);
    return read_on(L, c);
}

static int read_yieldk(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    (void)ctx;
    weir__pg_check(L, 1)->api->outcome(L);
    return read_on(L, check_copying(L, MODE_COPY_OUT));
}

static int copy_read(lua_State *L)
{
    weir_pg *c = check_copying(L, MODE_COPY_OUT);
    lua_settop(L, 1);
    if (c->api->spend(L))
        return c->api->yield(L, read_yieldk, 0);
    return read_on(L, c);
}

/* Give up what is under way: a copy, rows, a pipeline. Never waits. */
static int abandon(lua_State *L)
{
    weir_pg *c = weir__pg_check(L, 1);
    if (c->state == PG_BUSY && c->waiter == NULL)
        weir__pg_abandon(c);
    return 0;
}

const luaL_Reg weir__pg_copy_calls[] = {{"copy_write", copy_write},
                                        {"copy_end", copy_end},
                                        {"copy_read", copy_read},
                                        {"abandon", abandon},
                                        {NULL, NULL}};
