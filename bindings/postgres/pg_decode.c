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

void weir__pg_push_rows(lua_State *L, weir_pg *c, const PGresult *r)
{
    int n_rows = PQntuples(r), n = PQnfields(r), first;
    lua_Integer affected = weir__pg_affected(r);

    luaL_checkstack(L, n + 16, "result"); /* no more: the collector works on whole stacks */
    lua_createtable(L, n_rows, 3);
    lua_pushinteger(L, n_rows);
    lua_setfield(L, -2, "n");
    if (affected >= 0) {
        lua_pushinteger(L, affected);
        lua_setfield(L, -2, "affected");
    }
    weir__pg_push_names(L, r);
    first = lua_gettop(L) + 1;
    for (int i = 0; i < n; i++)
        lua_rawgeti(L, first - 1, i + 1);
    for (int row = 0; row < n_rows; row++) {
        lua_createtable(L, 0, n);
        for (int i = 0; i < n; i++) {
            if (PQgetisnull(r, row, i))
                continue;
            lua_pushvalue(L, first + i);
            weir__pg_push_value(L, c, r, row, i);
            lua_rawset(L, -3);
        }
        lua_rawseti(L, first - 2, row + 1);
    }
    lua_settop(L, first - 1);
    lua_setfield(L, -2, "columns");
}
