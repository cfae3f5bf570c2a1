/* postgres/pg_rows.c - rows one at a time, read from the socket when they are asked for.
 *
 *   next(cursor) -> row or nil      finish(cursor)  give up the rest; never waits
 *
 * libpq's single-row mode makes a result of each row. Between two calls nothing is read, so the
 * server stops when the socket's buffers are full, and what is in memory is one such buffer. Most
 * calls find their row in it and wait for nothing; they spend the task's budget instead.
 */
#include "pg.h"
#include <string.h>

typedef struct cursor {
    weir_pg *c;      /* alive: user value 1 is its userdata, 2 the names, 3 the statement */
    uint32_t serial; /* of the command */
    uint8_t is_over; /* all rows were read, or it was given up */
} cursor;

enum { VALUE_CONNECTION = 1, VALUE_NAMES = 2, VALUE_SQL = 3 };

static cursor *check_cursor(lua_State *L)
{
    return luaL_checkudata(L, 1, WEIR_PG_CURSOR);
}

/* Protected: the connection, its address, the statement. */
static int make_cursor(lua_State *L)
{
    weir_pg *c = lua_touserdata(L, 2);
    cursor *k = lua_newuserdatauv(L, sizeof *k, 3);
    k->c = c;
    k->serial = c->serial;
    k->is_over = 1; /* until nothing can raise any more */
    luaL_setmetatable(L, WEIR_PG_CURSOR);
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, VALUE_CONNECTION);
    weir__pg_push_names(L, c->result);
    lua_setiuservalue(L, -2, VALUE_NAMES);
    lua_pushvalue(L, 3);
    lua_setiuservalue(L, -2, VALUE_SQL);
    k->is_over = 0;
    return 1;
}

int weir__pg_push_cursor(lua_State *L, weir_pg *c, int sql)
{
    lua_pushcfunction(L, make_cursor);
    lua_pushvalue(L, 1);
    lua_pushlightuserdata(L, c);
    lua_pushvalue(L, sql);
    if (lua_pcall(L, 3, 1, 0) == LUA_OK)
        return 1;
    weir__pg_abandon(c); /* nobody will read the rows */
    return lua_error(L);
}

/* Does the cursor's command still run? */
static int is_running(const cursor *k)
{
    return !k->is_over && k->c->serial == k->serial && k->c->state == PG_BUSY;
}

static int finish(lua_State *L)
{
    cursor *k = check_cursor(L);
    if (is_running(k))
        weir__pg_abandon(k->c);
    k->is_over = 1;
    return 0;
}

/* All results were read. Stack: cursor. */
static int end(lua_State *L, cursor *k)
{
    weir_pg *c = k->c;
    k->is_over = 1;
    weir__pg_tell_notices_in(L, c);
    if (c->error != NULL) {
        lua_getiuservalue(L, 1, VALUE_SQL);
        weir__pg_push_error(L, c, weir__pg_ops[OP_ROWS].op, c->error, lua_gettop(L));
        weir__pg_clear(c);
        return lua_error(L);
    }
    weir__pg_clear(c);
    lua_pushnil(L);
    return 1;
}

static int nextk(lua_State *L, int status, lua_KContext ctx);

static int wait(lua_State *L, weir_pg *c, int wants)
{
    weir_waiter *w = weir__pg_enter(L, c, weir__pg_ops[OP_ROWS].op);
    weir__pg_begin(c, w, wants);
    return c->api->park(L, nextk, 0);
}

/* The result that is next, or NULL if it has to be waited for. */
static PGresult *take(weir_pg *c)
{
    PGresult *r = c->result;
    if (r == NULL && !PQisBusy(c->pg))
        r = PQgetResult(c->pg);
    c->result = r; /* owned while what follows may raise */
    return r;
}

static int next_row(lua_State *L, cursor *k)
{
    weir_pg *c = k->c;
    PGresult *r;
    if (k->is_over || c->serial != k->serial || c->state == PG_RECOVERING) {
        lua_pushnil(L);
        return 1;
    }
    if (c->state >= PG_LOST)
        return weir__pg_raise_fault(L, c, weir__pg_ops[OP_ROWS].op);
    if (c->state == PG_READY) /* the command has ended, and with it went the rest */
        return end(L, k);
    if (c->mode != MODE_ROWS) /* its end is awaited */
        return wait(L, c, WANT_END);
    r = take(c);
    if (r == NULL && c->is_buffered && weir__pg_read(c))
        r = take(c);
    if (r == NULL)
        return c->state == PG_BUSY ? wait(L, c, WANT_ROW)
                                   : weir__pg_raise_fault(L, c, weir__pg_ops[OP_ROWS].op);
    if (PQresultStatus(r) == PGRES_SINGLE_TUPLE) {
        lua_getiuservalue(L, 1, VALUE_NAMES);
        weir__pg_push_row(L, c, r, 0, -1);
        c->result = NULL;
        PQclear(r);
        return 1;
    }
    c->result = NULL; /* the end of the rows, or an error: read up to the end of the command */
    if (PQresultStatus(r) == PGRES_FATAL_ERROR)
        c->error = r;
    else
        PQclear(r);
    c->mode = MODE_RESULT;
    weir__pg_pump(c);
    return next_row(L, k);
}

static int nextk(lua_State *L, int status, lua_KContext ctx)
{
    cursor *k = check_cursor(L);
    (void)status;
    (void)ctx;
    lua_getiuservalue(L, 1, VALUE_SQL);
    weir__pg_resumed(L, k->c, lua_gettop(L));
    lua_settop(L, 1);
    weir__pg_tell_notices_in(L, k->c);
    return next_row(L, k);
}

static int yieldk(lua_State *L, int status, lua_KContext ctx)
{
    cursor *k = check_cursor(L);
    (void)status;
    (void)ctx;
    k->c->api->outcome(L);
    return next_row(L, k);
}

static int next(lua_State *L)
{
    cursor *k = check_cursor(L);
    weir_pg *c = k->c;
    lua_settop(L, 1);
    luaL_checkstack(L, 12, "row");
    if (is_running(k) && c->api->runtime(L) != c->rt)
        return c->api->raise(L, "misuse", weir__pg_ops[OP_ROWS].op,
                             "the connection belongs to another runtime");
    if (is_running(k) && c->deadline != WEIR_FOREVER && c->api->now(c->rt) >= c->deadline) {
        lua_getiuservalue(L, 1, VALUE_SQL);
        return weir__pg_raise_timeout(L, c, weir__pg_ops[OP_ROWS].op, "reading rows", 2);
    }
    if (is_running(k) && c->api->spend(L))
        return c->api->yield(L, yieldk, 0);
    return next_row(L, k);
}

void weir__pg_rows_open(lua_State *L)
{
    luaL_newmetatable(L, WEIR_PG_CURSOR);
    lua_pushcfunction(L, finish);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
}

const luaL_Reg weir__pg_rows_calls[] = {{"next", next}, {"finish", finish}, {NULL, NULL}};
