/* sqlite/query.c - query, row, value, exec, prepare, backup: what has one answer.
 *
 *   query(connection, op, timeout, sql or handle, ...) -> rows, row or value; or BUSY
 *   exec(connection, op, timeout, sql, offset) -> affected; or BUSY, affected, offset
 *   prepare(connection, op, timeout, sql) -> handle; or BUSY
 *   backup(connection, op, timeout, path) -> nothing; or BUSY
 *
 * BUSY, a light userdata, is the answer where another connection has the lock and another try may
 * do better; when to try again is for Lua to decide. Rows come in batches, each made into Lua
 * tables on the loop while the pool thread is free for others.
 */
#include "sqlite.h"
#include <limits.h>
#include <string.h>

enum { INDEX_SQL = 4, INDEX_NAMES, INDEX_RESULT };

typedef struct handle {
    weir_statement *statement; /* pinned; NULL once given up */
} handle;                      /* user value 1: the connection */

static const weir_lua_api *api_of(lua_State *L) /* upvalue 1 */
{
    return lua_touserdata(L, lua_upvalueindex(1));
}

int weir__push_busy(lua_State *L)
{
    static const char busy = 0;
    lua_pushlightuserdata(L, (void *)(uintptr_t)&busy);
    return 1;
}

/* --- arguments -------------------------------------------------------------------------------- */
static const char *check_sql(lua_State *L, const weir_sqlite *c, int index, int op, size_t *size)
{
    const char *sql;
    if (lua_type(L, index) != LUA_TSTRING)
        c->api->raise(L, "misuse", weir__op_name(op), "'sql' must be a string, got %s",
                      luaL_typename(L, index));
    sql = lua_tolstring(L, index, size);
    if (strlen(sql) != *size)
        c->api->raise(L, "misuse", weir__op_name(op), "'sql' must have no NUL in it");
    if (*size >= INT_MAX)
        c->api->raise(L, "misuse", weir__op_name(op), "'sql' is too long");
    return sql;
}

static weir_statement *find_statement(lua_State *L, weir_sqlite *c, int index, int op)
{
    const handle *h = luaL_testudata(L, index, WEIR_SQLITE_STATEMENT);
    weir_statement *s;
    const char *sql;
    size_t size;
    if (h != NULL) {
        int is_ours;
        lua_getiuservalue(L, index, 1);
        is_ours = weir__check_connection(L, -1) == c;
        lua_pop(L, 1);
        if (h->statement == NULL || !is_ours)
            c->api->raise(L, "closed", weir__op_name(op), "the statement is closed");
        s = weir__statement_use(c, h->statement);
    } else {
        sql = check_sql(L, c, index, op, &size);
        s = weir__statement_get(c, sql, size);
    }
    if (s == NULL)
        luaL_error(L, "not enough memory");
    return s;
}

void weir__take_statement(lua_State *L, weir_sqlite *c, int index, int op)
{
    int n = lua_gettop(L) - index, is_named;
    weir_operation *o = &c->op;
    luaL_checkstack(L, 12, "sqlite");
    is_named = n == 1 && weir__has_names(L, index + 1);
    if (is_named)
        n = weir__encode_named(L, c->api, &o->text, index + 1, weir__op_name(op));
    else
        weir__encode(L, c->api, &o->text, index + 1, n, weir__op_name(op));
    o->statement = find_statement(L, c, index, op);
    weir__bytes_swap(&o->text, &o->statement->params);
    o->statement->n_params = o->n_params = n;
    o->statement->is_named = (uint8_t)is_named;
    o->op = op;
    o->offset = 0;
    o->kind = WORK_QUERY;
    o->is_single = 0;
    o->max_rows = WEIR_SQLITE_BATCH_ROWS;
}

/* --- query, row, value ------------------------------------------------------------------------ */
static void set_integer(lua_State *L, const char *name, int64_t value)
{
    lua_pushinteger(L, value);
    lua_setfield(L, -2, name);
}

/* Protected: the batch in c->op.out. (c, names, result) -> names, result */
static int collect(lua_State *L)
{
    const weir_sqlite *c = lua_touserdata(L, 1);
    const weir_operation *op = &c->op;
    const char *at = op->out.data;
    lua_Integer n;

    if (op->has_names) {
        weir__push_names(L, &at, op->n_columns);
        lua_replace(L, 2);
        lua_createtable(L, (int)op->n_rows, 4);
        lua_pushvalue(L, 2);
        lua_setfield(L, -2, "columns");
        lua_replace(L, 3);
    }
    n = (lua_Integer)lua_rawlen(L, 3);
    for (uint32_t i = 0; i < op->n_rows; i++) {
        weir__push_row(L, &at, op->n_columns, 2);
        lua_rawseti(L, 3, ++n);
    }
    set_integer(L, "n", n);
    if (op->is_change)
        set_integer(L, "affected", op->affected);
    if (op->is_counted)
        set_integer(L, "last_id", op->last_id);
    return 2;
}

/* Protected: the one row of the batch, or its first value. (c, is_value) -> nil, row or value */
static int collect_one(lua_State *L)
{
    const weir_sqlite *c = lua_touserdata(L, 1);
    const weir_operation *op = &c->op;
    const char *at = op->out.data;
    int is_value = lua_toboolean(L, 2);

    lua_pushnil(L);
    if (op->n_rows == 0 || op->n_columns == 0) {
        lua_pushnil(L);
        return 2;
    }
    weir__push_names(L, &at, op->n_columns);
    if (is_value)
        weir__push_value(L, &at);
    else
        weir__push_row(L, &at, op->n_columns, 4);
    lua_remove(L, 4);
    return 2;
}

static int queried(lua_State *L, int status, lua_KContext ctx)
{
    weir_waiter *w = (weir_waiter *)ctx;
    weir_sqlite *c = w->object;
    weir_operation *op = &c->op;
    int rc;
    (void)status;

    if (weir__is_given_up(w))
        return weir__give_up(L, w);
    if (op->may_retry)
        return weir__push_busy(L);
    if (op->rc != SQLITE_OK || op->fault != FAULT_NONE) {
        weir__push_error(L, c);
        return weir__fail(L, w);
    }
    if (op->is_single) {
        lua_pushcfunction(L, collect_one);
        lua_pushlightuserdata(L, c);
        lua_pushboolean(L, op->is_single == 2);
        rc = lua_pcall(L, 2, 2, 0);
    } else {
        lua_pushcfunction(L, collect);
        lua_pushlightuserdata(L, c);
        lua_pushvalue(L, INDEX_NAMES);
        lua_pushvalue(L, INDEX_RESULT);
        rc = lua_pcall(L, 3, 2, 0);
    }
    if (rc != LUA_OK)
        return weir__fail(L, w);
    lua_replace(L, INDEX_RESULT);
    lua_replace(L, INDEX_NAMES);
    if (op->has_more)
        return weir__run_next(L, c, w, queried);
    return 1;
}

int weir__query(lua_State *L)
{
    const weir_lua_api *api = api_of(L);
    weir_sqlite *c = weir__check_connection(L, 1);
    int op = weir__check_op(L, 2);
    const char *name = lua_tostring(L, 2);
    uint64_t deadline;
    weir_waiter *w;

    weir__check_ready(L, api, c, op);
    deadline = api->check_timeout(L, 3, weir__op_name(op), "timeout");
    w = api->enter(L, weir__op_name(op));
    weir__take_statement(L, c, INDEX_SQL, op);
    c->op.deadline = deadline;
    c->op.is_single = strcmp(name, "row") == 0 ? 1 : strcmp(name, "value") == 0 ? 2 : 0;
    lua_settop(L, INDEX_RESULT);
    lua_pushnil(L);
    lua_replace(L, INDEX_NAMES);
    lua_pushnil(L);
    lua_replace(L, INDEX_RESULT);
    return weir__run(L, c, w, queried);
}

/* --- exec ------------------------------------------------------------------------------------- */
static int executed(lua_State *L, int status, lua_KContext ctx)
{
    weir_waiter *w = (weir_waiter *)ctx;
    weir_sqlite *c = w->object;
    const weir_operation *op = &c->op;
    (void)status;

    if (weir__is_given_up(w))
        return weir__give_up(L, w);
    if (!op->may_retry && (op->rc != SQLITE_OK || op->fault != FAULT_NONE)) {
        weir__push_error(L, c);
        return weir__fail(L, w);
    }
    if (op->may_retry)
        weir__push_busy(L);
    if (op->is_change)
        lua_pushinteger(L, op->affected);
    else
        lua_pushnil(L);
    if (!op->may_retry)
        return 1;
    lua_pushinteger(L, (lua_Integer)op->offset);
    return 3;
}

int weir__exec(lua_State *L)
{
    const weir_lua_api *api = api_of(L);
    weir_sqlite *c = weir__check_connection(L, 1);
    int op = weir__check_op(L, 2);
    size_t size;
    const char *sql;
    lua_Integer offset = luaL_optinteger(L, 5, 0);
    uint64_t deadline;
    weir_waiter *w;

    lua_settop(L, INDEX_SQL);
    weir__check_ready(L, api, c, op);
    deadline = api->check_timeout(L, 3, weir__op_name(op), "timeout");
    sql = check_sql(L, c, INDEX_SQL, op, &size);
    luaL_argcheck(L, offset >= 0 && (size_t)offset <= size, 5, "no offset in the text");
    w = api->enter(L, weir__op_name(op));
    weir__bytes_clear(&c->op.text);
    if (weir__bytes_append(&c->op.text, sql, size + 1) != 0)
        return luaL_error(L, "not enough memory");
    c->op.kind = WORK_EXEC;
    c->op.op = op;
    c->op.offset = (size_t)offset;
    c->op.deadline = deadline;
    return weir__run(L, c, w, executed);
}

/* --- backup ----------------------------------------------------------------------------------- */
static int copied(lua_State *L, int status, lua_KContext ctx)
{
    weir_waiter *w = (weir_waiter *)ctx;
    weir_sqlite *c = w->object;
    (void)status;

    if (weir__is_given_up(w))
        return weir__give_up(L, w);
    if (c->op.may_retry)
        return weir__push_busy(L);
    if (c->op.rc != SQLITE_OK || c->op.fault != FAULT_NONE) {
        weir__push_error(L, c);
        return weir__fail(L, w);
    }
    return 0;
}

int weir__backup(lua_State *L)
{
    const weir_lua_api *api = api_of(L);
    weir_sqlite *c = weir__check_connection(L, 1);
    int op = weir__check_op(L, 2);
    size_t size;
    const char *path = luaL_checklstring(L, 4, &size);
    uint64_t deadline;
    weir_waiter *w;

    weir__check_ready(L, api, c, op);
    deadline = api->check_timeout(L, 3, weir__op_name(op), "timeout");
    w = api->enter(L, weir__op_name(op));
    weir__bytes_clear(&c->op.text);
    if (weir__bytes_append(&c->op.text, path, size + 1) != 0)
        return luaL_error(L, "not enough memory");
    c->op.kind = WORK_BACKUP;
    c->op.op = op;
    c->op.offset = 0;
    c->op.deadline = deadline;
    return weir__run(L, c, w, copied);
}

/* --- prepare ---------------------------------------------------------------------------------- */
static int prepared(lua_State *L, int status, lua_KContext ctx)
{
    weir_waiter *w = (weir_waiter *)ctx;
    weir_sqlite *c = w->object;
    (void)status;

    if (weir__is_given_up(w))
        return weir__give_up(L, w);
    if (c->op.may_retry)
        return weir__push_busy(L);
    if (c->op.rc != SQLITE_OK || c->op.fault != FAULT_NONE) {
        weir__push_error(L, c);
        return weir__fail(L, w); /* the handle is garbage, and gives up its statement so */
    }
    return 1; /* the handle, on top since before the wait */
}

int weir__prepare(lua_State *L)
{
    const weir_lua_api *api = api_of(L);
    weir_sqlite *c = weir__check_connection(L, 1);
    int op = weir__check_op(L, 2);
    uint64_t deadline;
    weir_waiter *w;
    handle *h;

    lua_settop(L, INDEX_SQL);
    weir__check_ready(L, api, c, op);
    deadline = api->check_timeout(L, 3, weir__op_name(op), "timeout");
    w = api->enter(L, weir__op_name(op));
    h = lua_newuserdatauv(L, sizeof *h, 1);
    h->statement = NULL;
    luaL_setmetatable(L, WEIR_SQLITE_STATEMENT);
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, 1);
    c->op.statement = h->statement = find_statement(L, c, INDEX_SQL, op);
    h->statement->pins++;
    h->statement->is_kept = 1;
    c->op.kind = WORK_PREPARE;
    c->op.op = op;
    c->op.offset = 0;
    c->op.deadline = deadline;
    return weir__run(L, c, w, prepared);
}

/* handle:close(): never waits. */
static int handle_close(lua_State *L)
{
    handle *h = luaL_checkudata(L, 1, WEIR_SQLITE_STATEMENT);
    weir_statement *s = h->statement;
    weir_sqlite *c;
    h->statement = NULL;
    if (s == NULL)
        return 0;
    lua_getiuservalue(L, 1, 1);
    c = weir__check_connection(L, -1);
    if (weir__is_live(c)) /* else it went with its connection */
        weir__statement_unpin(c, s);
    return 0;
}

void weir__handle_open(lua_State *L)
{
    static const luaL_Reg methods[] = {{"close", handle_close}, {NULL, NULL}};
    luaL_newmetatable(L, WEIR_SQLITE_STATEMENT);
    lua_pushcfunction(L, handle_close);
    lua_setfield(L, -2, "__gc");
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
}
