/* postgres/pg_decode.c - results as tables, in one pass.
 *
 * A row is a table by column name, without the columns that are NULL. Of two columns of one name
 * the later one is seen. Each name is made a Lua string once for a result.
 */
#include "pg.h"
#include <string.h>

void weir__pg_push_value(lua_State *L, weir_pg *c, const PGresult *r, int row, int column)
{
    if (PQgetisnull(r, row, column))
        lua_pushnil(L);
    else
        weir__pg_push_text(L, c, PQftype(r, column), PQgetvalue(r, row, column),
                           (size_t)PQgetlength(r, row, column));
}

void weir__pg_push_names(lua_State *L, const PGresult *r)
{
    int n = PQnfields(r);
    lua_createtable(L, n, 0);
    for (int i = 0; i < n; i++) {
        lua_pushstring(L, PQfname(r, i));
        lua_rawseti(L, -2, i + 1);
    }
}

void weir__pg_push_row(lua_State *L, weir_pg *c, const PGresult *r, int row, int names)
{
    int n = PQnfields(r);
    names = lua_absindex(L, names);
    lua_createtable(L, 0, n);
    for (int i = 0; i < n; i++) {
        if (PQgetisnull(r, row, i))
            continue;
        lua_rawgeti(L, names, i + 1);
        weir__pg_push_value(L, c, r, row, i);
        lua_rawset(L, -3);
    }
}

lua_Integer weir__pg_affected(const PGresult *r)
{
    static const char *const tags[] = {"INSERT ", "UPDATE ", "DELETE ", "MERGE ", "COPY ", NULL};
    PGresult *m = (PGresult *)r; /* libpq only reads it */
    const char *tag = PQcmdStatus(m), *n = PQcmdTuples(m);
    lua_Integer count = 0;
    for (const char *const *t = tags; *t != NULL; t++)
        if (strncmp(tag, *t, strlen(*t)) == 0 && *n != '\0') {
            for (; *n >= '0' && *n <= '9'; n++)
                count = count * 10 + (*n - '0');
            return count;
        }
    return -1;
}

/* The rows from `row` on and before `end`; the table is at `list`, the names' list behind it. */
static void push_slice(lua_State *L, weir_pg *c, const PGresult *r, int list, int row, int end)
{
    int n = PQnfields(r), first = lua_gettop(L) + 1;
    for (int i = 0; i < n; i++)
        lua_rawgeti(L, list + 1, i + 1);
    for (; row < end; row++) {
        lua_createtable(L, 0, n);
        for (int i = 0; i < n; i++) {
            if (PQgetisnull(r, row, i))
                continue;
            lua_pushvalue(L, first + i);
            weir__pg_push_value(L, c, r, row, i);
            lua_rawset(L, -3);
        }
        lua_rawseti(L, list, row + 1);
    }
    lua_settop(L, first - 1);
}

/* The table, without its rows yet, and the list of names. */
static void push_list(lua_State *L, const PGresult *r)
{
    lua_Integer affected = weir__pg_affected(r);
    luaL_checkstack(L, PQnfields(r) + 16,
                    "result"); /* no more: the collector works on whole stacks */
    lua_createtable(L, PQntuples(r), 3);
    lua_pushinteger(L, PQntuples(r));
    lua_setfield(L, -2, "n");
    if (affected >= 0) {
        lua_pushinteger(L, affected);
        lua_setfield(L, -2, "affected");
    }
    weir__pg_push_names(L, r);
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, "columns");
}

void weir__pg_push_rows(lua_State *L, weir_pg *c, const PGresult *r)
{
    push_list(L, r);
    push_slice(L, c, r, lua_gettop(L) - 1, 0, PQntuples(r));
    lua_pop(L, 1);
}

/* --- a result that is too large for one turn -------------------------------------------------- */
typedef struct slices {
    PGresult *r; /* owned; the connection may go meanwhile */
    int row;     /* the next */
} slices;

static int free_slices(lua_State *L)
{
    slices *s = luaL_checkudata(L, 1, WEIR_PG_RESULT);
    PQclear(s->r);
    s->r = NULL;
    return 0;
}

static int slicek(lua_State *L, int status, lua_KContext list);

/* Stack: the connection at 1; the table at `list`, then names and slices. */
static int go_on(lua_State *L, int list)
{
    weir_pg *c = lua_touserdata(L, 1);
    slices *s = lua_touserdata(L, list + 2);
    int n_rows = PQntuples(s->r), rows = WEIR_PG_SLICE / (PQnfields(s->r) + 1) + 1;
    int end = n_rows - s->row > rows ? s->row + rows : n_rows;
    push_slice(L, c, s->r, list, s->row, end);
    s->row = end;
    if (end < n_rows)
        return c->api->yield(L, slicek, list);
    PQclear(s->r);
    s->r = NULL;
    lua_settop(L, list);
    return 1;
}

static int slicek(lua_State *L, int status, lua_KContext list)
{
    const weir_pg *c = lua_touserdata(L, 1);
    slices *s = lua_touserdata(L, (int)list + 2);
    (void)status;
    if (c->api->scope(L)->owner->wait.status !=
        WEIR_GRANTED) { /* not later, when it is collected */
        PQclear(s->r);
        s->r = NULL;
    }
    c->api->outcome(L);
    return go_on(L, (int)list);
}

int weir__pg_finish_rows(lua_State *L, weir_pg *c)
{
    int list = lua_gettop(L) + 1;
    slices *s;
    push_list(L, c->result);
    if ((double)PQntuples(c->result) * (PQnfields(c->result) + 1) <= WEIR_PG_SLICE) {
        push_slice(L, c, c->result, list, 0, PQntuples(c->result));
        lua_settop(L, list);
        weir__pg_clear(c);
        return 1;
    }
    s = lua_newuserdatauv(L, sizeof *s, 0);
    s->r = NULL;
    s->row = 0;
    luaL_setmetatable(L, WEIR_PG_RESULT);
    s->r = c->result;
    c->result = NULL;
    weir__pg_clear(c);
    return go_on(L, list);
}

void weir__pg_decode_open(lua_State *L)
{
    luaL_newmetatable(L, WEIR_PG_RESULT);
    lua_pushcfunction(L, free_slices);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
}
