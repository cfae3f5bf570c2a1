/* postgres/pg.c - weir.postgres.libpq: the connection object, and the module.
 *
 * A connection is userdata; user value 1 is its handler of notices. It is closed by close, by its
 * collection, and by the end of its runtime, whichever comes first. Memory that libpq's callbacks
 * need comes from the Lua state's allocator: one place that counts and limits it.
 */
#include "pg.h"
#include <string.h>

void *weir__pg_alloc(weir_pg *c, void *ptr, size_t old, size_t size)
{
    if (ptr == NULL && size == 0)
        return NULL;
    return c->alloc(c->alloc_data, ptr, old, size);
}

static const char tag = 0;

weir_pg *weir__pg_check(lua_State *L, int index)
{
    weir_pg *c = lua_touserdata(L, index);
    if (c != NULL && lua_rawlen(L, index) == sizeof *c && c->tag == &tag)
        return c;
    return luaL_checkudata(L, index, WEIR_PG_CONNECTION);
}

/* --- its life -------------------------------------------------------------------------------- */
static const weir_lua_api *api_of(lua_State *L)
{
    return lua_touserdata(L, lua_upvalueindex(1));
}

static void end(weir_pg *c, int may_ask)
{
    if (c->state == PG_CLOSED)
        return;
    if (may_ask && (c->state == PG_BUSY || c->state == PG_RECOVERING))
        weir__pg_cancel_and_forget(c);
    weir__pg_cancel_end(c);
    weir__pg_dial_free(c);
    weir__pg_close_poll(c);
    weir__pg_clear(c);
    weir__pg_clear_fault(c);
    PQfinish(c->pg);
    c->pg = NULL;
    c->state = PG_CLOSED;
    weir__pg_wake(c, WEIR_CLOSED);
    for (weir_link *l; (l = weir_list_pop(&c->listeners)) != NULL;)
        c->api->waiter_settle(c->rt, weir_container(l, weir_waiter, link), WEIR_CLOSED);
}

void weir__pg_close(weir_pg *c)
{
    end(c, 1);
}

static void free_all(weir_pg *c)
{
    weir__pg_drop_notes(c);
    weir__pg_clear_fault(c);
    weir__pg_alloc(c, c->results, c->commands_capacity * sizeof *c->results, 0);
    weir__pg_alloc(c, c->garbage, c->garbage_capacity * sizeof *c->garbage, 0);
    c->results = NULL;
    c->garbage = NULL;
    c->commands_capacity = c->garbage_capacity = c->n_garbage = 0;
}

static void runtime_ended(void *data)
{
    weir_pg *c = data;
    end(c, 0); /* who asks now would be waited for */
    c->rt = NULL;
}

weir_pg *weir__pg_new(lua_State *L)
{
    const weir_lua_api *api = api_of(L);
    weir_runtime *rt = api->runtime(L);
    weir_pg_house *house = weir__pg_house(L, api, rt);
    lua_Number grace;
    weir_pg *c = lua_newuserdatauv(L, sizeof *c, 1);
    int self = lua_gettop(L);

    memset(c, 0, sizeof *c);
    c->tag = &tag;
    c->api = api;
    c->house = house;
    c->alloc = lua_getallocf(L, &c->alloc_data);
    weir_list_init(&c->listeners);
    weir_list_init(&c->notes);
    weir_list_init(&c->notices);
    weir__pg_cancel_init(c);
    c->generation = 1;
    c->state = PG_DIALLING;
    luaL_setmetatable(L, WEIR_PG_CONNECTION);
    api->at_end(L, rt, runtime_ended, c);
    c->rt = rt;
    lua_getfield(L, 1, "grace");
    grace = lua_tonumber(L, -1);
    c->grace_time = (uint64_t)(grace * (lua_Number)WEIR_SECOND);
    lua_getfield(L, 1, "numeric_as_number");
    c->numeric_as_number = (uint8_t)lua_toboolean(L, -1);
    lua_getfield(L, 1, "on_notice");
    c->has_handler = (uint8_t)!lua_isnil(L, -1);
    lua_setiuservalue(L, self, 1);
    lua_settop(L, self);
    weir__pg_remember(L, self);
    return c;
}

static int connection_close(lua_State *L)
{
    weir_pg *c = weir__pg_check(L, 1);
    if (c->rt != NULL)
        weir__pg_close(c);
    return 0;
}

static int connection_gc(lua_State *L)
{
    weir_pg *c = weir__pg_check(L, 1);
    if (c->rt != NULL) {
        c->api->at_end(L, c->rt, NULL, c);
        weir__pg_close(c);
        c->rt = NULL;
    }
    c->state = PG_CLOSED;
    c->tag = NULL;
    free_all(c);
    return 0;
}

/* --- looking at it --------------------------------------------------------------------------- */
static int is_open(lua_State *L)
{
    const weir_pg *c = weir__pg_check(L, 1);
    lua_pushboolean(L, c->rt != NULL && c->state < PG_LOST);
    return 1;
}

/* raise(c, op): what became of it, if it cannot be used */
static int raise_fault(lua_State *L)
{
    weir_pg *c = weir__pg_check(L, 1);
    const char *op = luaL_checkstring(L, 2);
    return c->state >= PG_LOST || c->rt == NULL ? weir__pg_raise_fault(L, c, op) : 0;
}

/* status(c) -> "idle", "transaction", "failed", or "unknown"; before the command, if one is under
 * way */
static int status(lua_State *L)
{
    static const char *const words[] = {"idle", "active", "transaction", "failed", "unknown"};
    const weir_pg *c = weir__pg_check(L, 1);
    int which = c->state == PG_READY ? PQtransactionStatus(c->pg)
                : c->state < PG_LOST ? c->last_status
                                     : PQTRANS_UNKNOWN;
    lua_pushstring(L, words[which]);
    return 1;
}

/* marks(c) -> has it listened, has it set something, is a command being given up */
static int marks(lua_State *L)
{
    const weir_pg *c = weir__pg_check(L, 1);
    lua_pushboolean(L, c->is_listening);
    lua_pushboolean(L, c->is_dirty);
    lua_pushboolean(L, c->state != PG_READY);
    return 3;
}

/* unmark(c): forget the first two; drop the notifications that nobody took */
static int unmark(lua_State *L)
{
    weir_pg *c = weir__pg_check(L, 1);
    c->is_listening = c->is_dirty = 0;
    if (c->n_granted == 0)
        weir__pg_drop_notes(c);
    return 0;
}

/* info(c, name) -> a string, a number, or nil */
static int info(lua_State *L)
{
    weir_pg *c = weir__pg_check(L, 1);
    const char *name = luaL_checkstring(L, 2), *text = NULL;
    if (c->pg == NULL || c->state == PG_DIALLING) {
        lua_pushnil(L);
        return 1;
    }
    if (strcmp(name, "pid") == 0) {
        lua_pushinteger(L, PQbackendPID(c->pg));
        return 1;
    }
    if (strcmp(name, "server_version") == 0) {
        lua_pushinteger(L, PQserverVersion(c->pg));
        return 1;
    }
    if (strcmp(name, "tls") == 0)
        text = PQsslInUse(c->pg) ? PQsslAttribute(c->pg, "protocol") : NULL;
    else if (strcmp(name, "host") == 0)
        text = PQhost(c->pg);
    else if (strcmp(name, "port") == 0)
        text = PQport(c->pg);
    else if (strcmp(name, "user") == 0)
        text = PQuser(c->pg);
    else if (strcmp(name, "database") == 0)
        text = PQdb(c->pg);
    lua_pushstring(L, text);
    return 1;
}

/* parameter(c, name) -> what the server said of it ("TimeZone" ...), or nil */
static int parameter(lua_State *L)
{
    weir_pg *c = weir__pg_check(L, 1);
    const char *name = luaL_checkstring(L, 2);
    lua_pushstring(L, c->pg != NULL ? PQparameterStatus(c->pg, name) : NULL);
    return 1;
}

static int connection_tostring(lua_State *L)
{
    static const char *const words[] = {"connecting", "open", "busy",
                                        "recovering", "lost", "closed"};
    lua_pushfstring(L, "%s (%s)", WEIR_PG_CONNECTION, words[weir__pg_check(L, 1)->state]);
    return 1;
}

/* --- the module ------------------------------------------------------------------------------ */
int luaopen_weir_postgres_libpq(lua_State *L);

LUAMOD_API int luaopen_weir_postgres_libpq(lua_State *L)
{
    static const luaL_Reg functions[] = {{"connect", weir__pg_connect},
                                         {"keywords", weir__pg_keywords},
                                         {"close", connection_close},
                                         {"is_open", is_open},
                                         {"raise", raise_fault},
                                         {"status", status},
                                         {"marks", marks},
                                         {"unmark", unmark},
                                         {"info", info},
                                         {"parameter", parameter},
                                         {NULL, NULL}};
    static const luaL_Reg *const more[] = {weir__pg_calls, weir__pg_rows_calls, weir__pg_copy_calls,
                                           weir__pg_pipeline_calls, weir__pg_listen_calls};
    static const luaL_Reg meta[] = {
        {"__gc", connection_gc}, {"__tostring", connection_tostring}, {NULL, NULL}};
    const weir_lua_api *api = weir_lua_open(L);

    luaL_newmetatable(L, WEIR_PG_CONNECTION);
    luaL_setfuncs(L, meta, 0);
    luaL_newmetatable(L, WEIR_PG_STATEMENT);
    weir__pg_rows_open(L);
    weir__pg_decode_open(L);
    lua_pop(L, 2);

    luaL_newlibtable(L, functions);
    lua_pushlightuserdata(L, (void *)api);
    luaL_setfuncs(L, functions, 1);
    for (size_t i = 0; i < sizeof more / sizeof *more; i++) {
        lua_pushlightuserdata(L, (void *)api);
        luaL_setfuncs(L, more[i], 1);
    }
    lua_pushlightuserdata(
        L, NULL); /* stands for NULL where nil cannot; weir.json's null is the same */
    lua_setfield(L, -2, "null");
    lua_pushinteger(L, PQlibVersion());
    lua_setfield(L, -2, "version");
    return 1;
}
