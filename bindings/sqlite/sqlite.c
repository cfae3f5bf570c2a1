/* sqlite/sqlite.c - weir.sqlite.sqlite3: the module, and a connection as Lua sees it.
 *
 *   open(path, is_readonly, may_create, timeout, statements) -> connection     waits
 *   close(connection)    waits: ends what runs        kill(connection)         never waits
 *   query, exec, prepare, backup, rows                see query.c, cursor.c
 *   is_open, in_transaction, is_writing, changes, file (connection)
 *   raise(connection)    the last error
 *   busy, null, version, memory_used()
 *
 * What to do with a lock that another has, transactions, and all sugar are Lua's: weir.sqlite.
 */
#include "sqlite.h"
#include <string.h>

static const weir_lua_api *api_of(lua_State *L) /* upvalue 1 */
{
    return lua_touserdata(L, lua_upvalueindex(1));
}

/* --- open ------------------------------------------------------------------------------------- */
static int opened(lua_State *L, int status, lua_KContext ctx)
{
    weir_waiter *w = (weir_waiter *)ctx;
    weir_sqlite *c = w->object;
    (void)status;

    if (weir__is_given_up(w)) {
        weir__connection_close(c); /* at once, or by the thread when it gets that far */
        return weir__give_up(L, w);
    }
    if (c->op.rc != SQLITE_OK || c->op.fault != FAULT_NONE) {
        weir__push_error(L, c);
        weir__connection_close(c);
        return lua_error(L);
    }
    return 1; /* the userdata, on top since before the wait */
}

static int sqlite_open(lua_State *L)
{
    const weir_lua_api *api = api_of(L);
    weir_runtime *rt = api->runtime(L);
    size_t size;
    const char *path = luaL_checklstring(L, 1, &size);
    int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_URI | SQLITE_OPEN_EXRESCODE;
    lua_Integer statements = luaL_checkinteger(L, 5);
    uint64_t deadline = api->check_timeout(L, 4, "sqlite:open", "timeout");
    weir_waiter *w;
    weir_sqlite **box, *c;

    flags |= lua_toboolean(L, 2) ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
    if (lua_toboolean(L, 3))
        flags |= SQLITE_OPEN_CREATE;
    w = api->enter(L, "sqlite:open");
    lua_settop(L, 1);
    lua_pushliteral(L, "open");
    box = lua_newuserdatauv(L, sizeof *box, 0);
    *box = NULL;
    luaL_setmetatable(L, WEIR_SQLITE_CONNECTION);
    c = weir__connection_new(api, rt, (uint32_t)statements);
    if (c == NULL)
        return luaL_error(L, "not enough memory");
    *box = c;
    api->at_end(L, rt, weir__connection_ended, c);
    c->rt = rt;
    if (weir__bytes_append(&c->op.text, path, size + 1) != 0)
        return luaL_error(L, "not enough memory");
    c->op.kind = WORK_OPEN;
    c->op.op = weir__check_op(L, 2);
    c->op.flags = flags;
    c->op.deadline = deadline;
    return weir__run(L, c, w, opened);
}

/* --- ends ------------------------------------------------------------------------------------- */
static int connection_gc(lua_State *L)
{
    weir_sqlite **box = luaL_checkudata(L, 1, WEIR_SQLITE_CONNECTION), *c = *box;
    *box = NULL;
    if (c == NULL)
        return 0;
    if (c->rt != NULL)
        c->api->at_end(L, c->rt, NULL, c);
    weir__connection_orphan(c);
    return 0;
}

static int sqlite_kill(lua_State *L)
{
    weir_sqlite *c = weir__check_connection(L, 1);
    if (c != NULL)
        weir__connection_close(c);
    return 0;
}

static int closed(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    (void)ctx;
    api_of(L)->outcome(L);
    return 0;
}

static int sqlite_close(lua_State *L)
{
    const weir_lua_api *api = api_of(L);
    weir_sqlite *c = weir__check_connection(L, 1);
    weir_waiter *w = api->enter(L, "sqlite:close");
    if (c == NULL || c->rt == NULL)
        return 0;
    if (api->runtime(L) != c->rt)
        return api->raise(L, "misuse", "sqlite:close", "the connection belongs to another runtime");
    weir__connection_close(c);
    if (!c->is_busy || c->closer != NULL)
        return 0;
    return weir__wait_closed(L, c, w, closed);
}

/* --- what is known of it ---------------------------------------------------------------------- */
static int sqlite_is_open(lua_State *L)
{
    lua_pushboolean(L, weir__is_live(weir__check_connection(L, 1)));
    return 1;
}

static int sqlite_in_transaction(lua_State *L)
{
    const weir_sqlite *c = weir__check_connection(L, 1);
    lua_pushboolean(L, c != NULL && c->in_transaction);
    return 1;
}

static int sqlite_is_writing(lua_State *L)
{
    const weir_sqlite *c = weir__check_connection(L, 1);
    lua_pushboolean(L, c != NULL && c->is_writing);
    return 1;
}

static int sqlite_changes(lua_State *L)
{
    const weir_sqlite *c = weir__check_connection(L, 1);
    lua_pushinteger(L, c != NULL ? c->changes : 0);
    return 1;
}

/* The name of its file with all links resolved, "" if it has none. */
static int sqlite_file(lua_State *L)
{
    weir_sqlite *c = weir__check_connection(L, 1);
    const char *name;
    lua_pushliteral(L, "open");
    weir__check_ready(L, api_of(L), c, weir__check_op(L, -1));
    name = sqlite3_db_filename(c->db, "main");
    lua_pushstring(L, name != NULL ? name : "");
    return 1;
}

/* Raise what ended the last operation, for one that is not tried again. */
static int sqlite_raise(lua_State *L)
{
    const weir_sqlite *c = weir__check_connection(L, 1);
    if (c == NULL)
        return luaL_error(L, "the connection is gone");
    weir__push_error(L, c);
    return lua_error(L);
}

static int sqlite_memory_used(lua_State *L)
{
    lua_pushinteger(L, sqlite3_memory_used());
    return 1;
}

/* --- the module ------------------------------------------------------------------------------- */
int luaopen_weir_sqlite_sqlite3(lua_State *L);

LUAMOD_API int luaopen_weir_sqlite_sqlite3(lua_State *L)
{
    static const luaL_Reg functions[] = {{"open", sqlite_open},
                                         {"close", sqlite_close},
                                         {"kill", sqlite_kill},
                                         {"query", weir__query},
                                         {"exec", weir__exec},
                                         {"prepare", weir__prepare},
                                         {"backup", weir__backup},
                                         {"rows", weir__rows},
                                         {"is_open", sqlite_is_open},
                                         {"in_transaction", sqlite_in_transaction},
                                         {"is_writing", sqlite_is_writing},
                                         {"changes", sqlite_changes},
                                         {"file", sqlite_file},
                                         {"raise", sqlite_raise},
                                         {"memory_used", sqlite_memory_used},
                                         {NULL, NULL}};
    const weir_lua_api *api = weir_lua_open(L);

    if (!sqlite3_threadsafe())
        return luaL_error(L, "this SQLite was built without threads");
    luaL_newmetatable(L, WEIR_SQLITE_CONNECTION);
    lua_pushcfunction(L, connection_gc);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
    weir__cursor_open(L, api);
    weir__handle_open(L);

    luaL_newlibtable(L, functions);
    lua_pushlightuserdata(L, (void *)(uintptr_t)api);
    luaL_setfuncs(L, functions, 1);
    weir__push_busy(L);
    lua_setfield(L, -2, "busy");
    lua_pushlightuserdata(L, NULL);
    lua_setfield(L, -2, "null");
    lua_pushstring(L, sqlite3_libversion());
    lua_setfield(L, -2, "version");
    return 1;
}
