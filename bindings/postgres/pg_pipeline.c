/* postgres/pg_pipeline.c - many statements on their way at once.
 *
 *   pipeline(c, timeout)   pipeline_add(c, statement, ...)   pipeline_sync(c)
 *   pipeline_end(c) -> outcomes of the statements, in order: a result, or an error
 *
 * Results are read as they come, so that neither side waits for the other to read first. What the
 * server has not been sent yet is bounded: `add` waits for room. After an error the server skips
 * what follows up to the next sync, and says so of each.
 */
#include "pg.h"
#include <stdio.h>
#include <string.h>

enum { STATEMENT = 4, FIRST = 5 };

static const char *const op = "postgres:pipeline";

static weir_pg *check_pipeline(lua_State *L)
{
    weir_pg *c = weir__pg_check(L, 1);
    if (c->rt == NULL || c->state >= PG_LOST)
        weir__pg_raise_fault(L, c, op);
    if (c->api->runtime(L) != c->rt)
        c->api->raise(L, "misuse", op, "the connection belongs to another runtime");
    if (c->state != PG_BUSY || c->mode != MODE_PIPELINE || c->is_ended)
        c->api->raise(L, "closed", op, "the pipeline has ended");
    return c;
}

/* --- begin ----------------------------------------------------------------------------------- */
static int begink(lua_State *L, int status, lua_KContext ctx);

static int begin(lua_State *L, weir_pg *c)
{
    uint64_t deadline = c->deadline;
    if (!weir__pg_check_ready(L, c, op)) {
        weir_waiter *w = weir__pg_enter(L, c, op);
        weir__pg_begin(c, w, WANT_READY);
        return c->api->park(L, begink, 0);
    }
    if (!PQenterPipelineMode(c->pg))
        return c->api->raise(L, "misuse", op, "%s", PQerrorMessage(c->pg));
    weir__pg_start(c, MODE_PIPELINE, OP_PIPELINE, deadline);
    return 0;
}

static int begink(lua_State *L, int status, lua_KContext ctx)
{
    weir_pg *c = lua_touserdata(L, 1);
    (void)status;
    (void)ctx;
    weir__pg_resumed(L, c, 0);
    return begin(L, c);
}

static int pipeline(lua_State *L)
{
    weir_pg *c = weir__pg_check(L, 1);
    uint64_t deadline = weir__pg_check_free(L, c, OP_PIPELINE, 2);
    c->op = OP_PIPELINE;
    c->deadline = deadline;
    return begin(L, c);
}

/* --- add ------------------------------------------------------------------------------------- */
/* Room for one result more. Raises, with nothing changed. */
static void reserve(lua_State *L, weir_pg *c)
{
    size_t n = c->commands_capacity ? c->commands_capacity * 2 : 64;
    PGresult **list;
    if (c->n_commands < c->commands_capacity)
        return;
    list = weir__pg_alloc(c, c->results, c->commands_capacity * sizeof *list, n * sizeof *list);
    if (list == NULL)
        luaL_error(L, "not enough memory");
    c->results = list;
    c->commands_capacity = n;
}

static int addk(lua_State *L, int status, lua_KContext ctx)
{
    weir_pg *c = lua_touserdata(L, 1);
    (void)status;
    (void)ctx;
    weir__pg_resumed(L, c, STATEMENT);
    lua_pushinteger(L, (lua_Integer)c->n_commands);
    return 1;
}

/* The statement was handed over: its number, when there is room for another one. */
static int added(lua_State *L, weir_pg *c, int sent)
{
    weir_waiter *w;
    c->n_commands++;
    weir__pg_sent_some(c, sent, 0);
    if (c->state >= PG_LOST)
        return weir__pg_raise_fault(L, c, op);
    if (c->unsent < WEIR_PG_UNSENT) {
        weir__pg_watch(c);
        lua_pushinteger(L, (lua_Integer)c->n_commands);
        return 1;
    }
    w = weir__pg_enter(L, c, op);
    weir__pg_begin(c, w, WANT_ROOM);
    return c->api->park(L, addk, 0);
}

static int add_yieldk(lua_State *L, int status, lua_KContext ctx)
{
    weir_pg *c = lua_touserdata(L, 1);
    (void)status;
    (void)ctx;
    c->api->outcome(L);
    check_pipeline(L);
    reserve(L, c);
    return added(L, c, weir__pg_send(L, c, op, STATEMENT, FIRST, lua_gettop(L)));
}

static int pipeline_add(lua_State *L)
{
    weir_pg *c = check_pipeline(L);
    const weir_pg_statement *s;
    luaL_checkany(L, 2);
    luaL_checkstack(L, 16, "pipeline");
    lua_pushnil(L); /* as in other calls: the statement is at 4 */
    lua_insert(L, 2);
    lua_pushnil(L);
    lua_insert(L, 2);
    s = luaL_testudata(L, STATEMENT, WEIR_PG_STATEMENT);
    if (s != NULL && s->generation != c->generation)
        return c->api->raise(
            L, "misuse", op,
            "the server has forgotten the statement; prepare it again before the pipeline");
    if (c->api->spend(L))
        return c->api->yield(L, add_yieldk, 0);
    reserve(L, c);
    return added(L, c, weir__pg_send(L, c, op, STATEMENT, FIRST, lua_gettop(L)));
}

static int pipeline_sync(lua_State *L)
{
    weir_pg *c = check_pipeline(L);
    int sent = PQpipelineSync(c->pg);
    c->syncs += sent;
    weir__pg_sent(c, sent, 8);
    if (c->state >= PG_LOST)
        return weir__pg_raise_fault(L, c, op);
    weir__pg_watch(c);
    return 0;
}

/* --- end ------------------------------------------------------------------------------------- */
/* Push the outcome of one statement; `failed` is the index of the error before it, or 0. */
static void push_outcome(lua_State *L, weir_pg *c, const PGresult *r, int failed)
{
    ExecStatusType status = PQresultStatus(r);
    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK || status == PGRES_EMPTY_QUERY) {
        weir__pg_push_rows(L, c, r);
    } else if (status == PGRES_PIPELINE_ABORTED) {
        c->api->push_error(L, "query", op, "not run, since a statement before it failed");
        lua_pushboolean(L, 1);
        lua_setfield(L, -2, "aborted");
        if (failed != 0) {
            lua_pushvalue(L, failed);
            lua_setfield(L, -2, "cause");
        }
    } else {
        weir__pg_push_error(L, c, op, r, 0);
    }
}

static int endk(lua_State *L, int status, lua_KContext ctx)
{
    weir_pg *c = lua_touserdata(L, 1);
    size_t n = c->n_results;
    int failed;
    (void)status;
    (void)ctx;
    weir__pg_resumed(L, c, 0);
    weir__pg_tell_notices_in(L, c);
    lua_settop(L, 1);
    lua_createtable(L, (int)n, 1);
    lua_pushinteger(L, (lua_Integer)n);
    lua_setfield(L, 2, "n");
    lua_pushnil(L);
    failed = lua_gettop(L);
    for (size_t i = 0; i < n; i++) {
        const PGresult *r = c->results[i];
        push_outcome(L, c, r, failed);
        if (PQresultStatus(r) == PGRES_FATAL_ERROR) {
            lua_pushvalue(L, -1);
            lua_replace(L, failed);
        }
        lua_rawseti(L, 2, (lua_Integer)i + 1);
    }
    weir__pg_clear(c);
    lua_settop(L, 2);
    return 1;
}

static int pipeline_end(lua_State *L)
{
    weir_pg *c = check_pipeline(L);
    weir_waiter *w = weir__pg_enter(L, c, op);
    int sent = PQpipelineSync(c->pg);
    c->syncs += sent;
    c->is_ended = 1;
    weir__pg_sent(c, sent, 8);
    weir__pg_begin(c, w, WANT_END);
    return c->api->park(L, endk, 0);
}

const luaL_Reg weir__pg_pipeline_calls[] = {{"pipeline", pipeline},
                                            {"pipeline_add", pipeline_add},
                                            {"pipeline_sync", pipeline_sync},
                                            {"pipeline_end", pipeline_end},
                                            {NULL, NULL}};
