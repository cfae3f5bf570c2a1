/* sqlite/cursor.c - rows one by one: a statement that stays active between the fetches of its
 * batches.
 *
 *   rows(connection, op, timeout, sql or handle, ...) -> cursor, with its first batch; or BUSY
 *   cursor:next() -> row or nil    cursor:finish() gives up what was not read; waits, and so
 *                                  belongs in a shield
 *
 * Backpressure: the next batch is fetched when the last one is used up. A cursor holds the batch,
 * the statement and, while that is active, its read lock. One that is collected unfinished leaves
 * the statement to the connection's next operation.
 */
#include "sqlite.h"
#include <string.h>

enum { VALUE_CONNECTION = 1, VALUE_NAMES = 2 }; /* user values */

typedef struct cursor {
    weir_statement *statement; /* active, CURSOR; NULL once all was read or given up */
    weir_bytes rows;           /* the batch */
    size_t at;                 /* what was taken of it */
    uint32_t n_left;           /* rows in it */
    uint32_t max_rows;
    int n_columns;
    uint64_t deadline; /* of all of it */
} cursor;

static const weir_lua_api *api_of(lua_State *L) /* upvalue 1 */
{
    return lua_touserdata(L, lua_upvalueindex(1));
}

static cursor *check_cursor(lua_State *L)
{
    return luaL_checkudata(L, 1, WEIR_SQLITE_CURSOR);
}

static weir_sqlite *connection_of(lua_State *L, int index)
{
    weir_sqlite *c;
    lua_getiuservalue(L, index, VALUE_CONNECTION);
    c = weir__check_connection(L, -1);
    lua_pop(L, 1);
    return c;
}

/* The statement is the operation's from here on, or went with its connection. */
static weir_statement *detach(weir_sqlite *c, cursor *k)
{
    weir_statement *s = k->statement;
    k->statement = NULL;
    if (s == NULL || !weir__is_live(c))
        return NULL;
    c->n_cursors--;
    s->state = STATEMENT_RUNNING;
    return s;
}

/* A batch has come. */
static void take_batch(weir_sqlite *c, cursor *k)
{
    weir_operation *op = &c->op;
    weir__bytes_swap(&k->rows, &op->out);
    k->at = 0;
    k->n_left = op->n_rows;
    if (k->max_rows < WEIR_SQLITE_BATCH_ROWS)
        k->max_rows *= 2;
}

/* --- rows ------------------------------------------------------------------------------------- */
/* Protected: (cursor): keep the names. */
static int keep_names(lua_State *L)
{
    cursor *k = lua_touserdata(L, 1);
    const char *at = k->rows.data;
    weir__push_names(L, &at, k->n_columns);
    lua_setiuservalue(L, 1, VALUE_NAMES);
    k->at = (size_t)(at - k->rows.data);
    return 0;
}

static int opened(lua_State *L, int status, lua_KContext ctx)
{
    weir_waiter *w = (weir_waiter *)ctx;
    weir_sqlite *c = w->object;
    weir_operation *op = &c->op;
    cursor *k = lua_touserdata(L, -1);
    (void)status;

    if (weir__is_given_up(w))
        return weir__give_up(L, w);
    if (op->may_retry)
        return weir__push_busy(L);
    if (op->rc != SQLITE_OK || op->fault != FAULT_NONE) {
        weir__push_error(L, c);
        return weir__fail(L, w);
    }
    k->n_columns = op->n_columns;
    take_batch(c, k);
    lua_pushcfunction(L, keep_names);
    lua_pushvalue(L, -2);
    if (lua_pcall(L, 1, 0, 0) != LUA_OK)
        return weir__fail(L, w);
    if (op->has_more) {
        k->statement = op->statement;
        k->statement->state = STATEMENT_CURSOR;
        c->n_cursors++;
    }
    op->statement = NULL;
    return 1;
}

int weir__rows(lua_State *L)
{
    const weir_lua_api *api = api_of(L);
    weir_sqlite *c = weir__check_connection(L, 1);
    int op = weir__check_op(L, 2);
    uint64_t deadline;
    weir_waiter *w;
    cursor *k;

    weir__check_ready(L, api, c, op);
    deadline = api->check_timeout(L, 3, weir__op_name(op), "timeout");
    w = api->enter(L, weir__op_name(op));
    weir__take_statement(L, c, 4, op);
    lua_settop(L, 4);
    k = lua_newuserdatauv(L, sizeof *k, 2);
    memset(k, 0, sizeof *k);
    luaL_setmetatable(L, WEIR_SQLITE_CURSOR);
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, VALUE_CONNECTION);
    k->deadline = c->op.deadline = deadline;
    k->max_rows = c->op.max_rows = WEIR_SQLITE_FIRST_ROWS;
    return weir__run(L, c, w, opened);
}

/* --- next ------------------------------------------------------------------------------------- */
static int push_next(lua_State *L, cursor *k)
{
    const char *at = k->rows.data + k->at;
    if (k->n_left == 0) {
        lua_pushnil(L);
        return 1;
    }
    lua_getiuservalue(L, 1, VALUE_NAMES);
    weir__push_row(L, &at, k->n_columns, lua_gettop(L)); /* may raise: nothing was taken yet */
    k->at = (size_t)(at - k->rows.data);
    k->n_left--;
    return 1;
}

static int fetched(lua_State *L, int status, lua_KContext ctx)
{
    weir_waiter *w = (weir_waiter *)ctx;
    weir_sqlite *c = w->object;
    weir_operation *op = &c->op;
    cursor *k = lua_touserdata(L, 1);
    weir_statement *s;
    (void)status;

    if (weir__is_given_up(w)) {
        detach(c, k); /* it is the operation's, which resets it */
        return weir__give_up(L, w);
    }
    if (!op->has_more) {
        s = detach(c, k);
        op->statement = NULL;
        if (s != NULL)
            weir__statement_put(c, s);
    }
    if (op->rc != SQLITE_OK || op->fault != FAULT_NONE) {
        weir__push_error(L, c);
        return weir__fail(L, w);
    }
    take_batch(c, k);
    return push_next(L, k);
}

static int yielded(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    (void)ctx;
    api_of(L)->outcome(L);
    return push_next(L, check_cursor(L));
}

static int cursor_next(lua_State *L)
{
    const weir_lua_api *api = api_of(L);
    cursor *k = check_cursor(L);
    weir_sqlite *c;
    weir_waiter *w;
    int op;

    if (k->n_left > 0 || k->statement == NULL) {
        if (k->n_left > 0 && api->spend(L))
            return api->yield(L, yielded, 0);
        return push_next(L, k);
    }
    lua_settop(L, 1);
    lua_pushliteral(L, "rows");
    op = weir__check_op(L, 2);
    c = connection_of(L, 1);
    weir__check_ready(L, api, c, op);
    w = api->enter(L, weir__op_name(op));
    if (k->statement->is_over) { /* somebody was killed in the middle of the last fetch */
        weir__statement_put(c, detach(c, k));
        lua_pushnil(L);
        return 1;
    }
    c->op.kind = WORK_NEXT;
    c->op.op = op;
    c->op.statement = k->statement;
    c->op.n_columns = k->n_columns;
    c->op.deadline = k->deadline;
    c->op.max_rows = k->max_rows;
    c->op.is_single = 0;
    return weir__run(L, c, w, fetched);
}

/* --- ends ------------------------------------------------------------------------------------- */
static int finished(lua_State *L, int status, lua_KContext ctx)
{
    (void)L;
    (void)status;
    (void)ctx;
    return 0;
}

static int cursor_finish(lua_State *L)
{
    const weir_lua_api *api = api_of(L);
    cursor *k = check_cursor(L);
    weir_sqlite *c = connection_of(L, 1);
    weir_waiter *w;
    int op;

    lua_settop(L, 1);
    k->n_left = 0;
    weir__bytes_free(&k->rows);
    if (k->statement == NULL || !weir__is_live(c)) {
        k->statement = NULL;
        return 0;
    }
    lua_pushliteral(L, "rows");
    op = weir__check_op(L, 2);
    weir__check_ready(L, api, c, op);
    w = api->enter(L, weir__op_name(op));
    c->op.kind = WORK_RESET;
    c->op.op = op;
    c->op.statement = detach(c, k);
    return weir__run_to_end(L, c, w, finished);
}

static int cursor_gc(lua_State *L)
{
    cursor *k = check_cursor(L);
    weir_sqlite *c = connection_of(L, 1);
    weir_statement *s = detach(c, k);
    if (s != NULL)
        weir__statement_abandon(c, s);
    weir__bytes_free(&k->rows);
    return 0;
}

void weir__cursor_open(lua_State *L, const weir_lua_api *api)
{
    static const luaL_Reg methods[] = {
        {"next", cursor_next}, {"finish", cursor_finish}, {NULL, NULL}};
    luaL_newmetatable(L, WEIR_SQLITE_CURSOR);
    lua_pushcfunction(L, cursor_gc);
    lua_setfield(L, -2, "__gc");
    luaL_newlibtable(L, methods);
    lua_pushlightuserdata(L, (void *)(uintptr_t)api);
    luaL_setfuncs(L, methods, 1);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
}
