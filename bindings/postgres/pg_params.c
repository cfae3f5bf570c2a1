/* postgres/pg_params.c - Lua values as parameters, and a statement with them on its way.
 *
 *   integer   int4 if it fits, else int8    float    float8     boolean   bool
 *   nil, null NULL                          blob     bytea, in binary
 *   string, json, array: no type of ours, so that the server takes what the place needs
 *
 * int4 because PostgreSQL widens integers by itself and never narrows them: f(int) and f(bigint)
 * both take it. A prepared statement has its types from its text alone. Everything but blobs
 * travels as text. What can raise does so before libpq is called.
 */
#include "pg.h"
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define FEW 16
#define OID_BOOL 16
#define OID_BYTEA 17
#define OID_INT8 20
#define OID_INT4 23
#define OID_FLOAT8 701

typedef struct parameter_block {
    const char **values;
    int *sizes, *formats;
    Oid *types;
    char (*numbers)[32];
    size_t bytes; /* of all of them, about */
} parameter_block;

const char *weir__pg_check_sql(lua_State *L, weir_pg *c, const char *op, int index)
{
    size_t size;
    const char *s = lua_tolstring(L, index, &size);
    if (lua_type(L, index) != LUA_TSTRING)
        c->api->raise(L, "misuse", op, "'sql' must be a string, got %s", luaL_typename(L, index));
    if (strlen(s) != size)
        c->api->raise(L, "misuse", op, "'sql' must be a string without NUL bytes");
    return s;
}

static int bad(lua_State *L, weir_pg *c, const char *op, int number, const char *got)
{
    return c->api->raise(
        L, "misuse", op,
        "parameter %d must be nil, a boolean, number, string, blob, json or array, got %s", number,
        got);
}

/* The shortest text that reads back as the same float. */
static void write_float(char *out, double n)
{
    if (isnan(n)) {
        strcpy(out, "NaN");
    } else if (isinf(n)) {
        strcpy(out, n > 0 ? "Infinity" : "-Infinity");
    } else {
        for (int digits = 15; digits <= 17; digits++) {
            char *comma;
            double back = 0;
            snprintf(out, 32, "%.*g", digits, n);
            sscanf(out, "%lf", &back); /* as the locale writes it */
            if ((comma = strchr(out, ',')) != NULL)
                *comma = '.';
            if (back == n)
                return;
        }
    }
}

static void read_wrapped(lua_State *L, weir_pg *c, const char *op, int index, int number,
                         parameter_block *p, int i)
{
    const char *name = NULL;
    size_t size;
    int is_blob = 0;
    if (luaL_getmetafield(L, index, "__name") == LUA_TSTRING) {
        name = lua_tostring(L, -1); /* alive: the metatable has it */
        is_blob = strcmp(name, "weir.database.blob") == 0;
        lua_pop(L, 1);
    }
    if (name == NULL || (!is_blob && strcmp(name, WEIR_PG_TEXT) != 0) ||
        lua_rawgeti(L, index, 1) != LUA_TSTRING) {
        bad(L, c, op, number, name != NULL ? name : "a table (say json or array, which it is)");
        return;
    }
    p->values[i] = lua_tolstring(L, -1, &size); /* alive: the table has it */
    lua_pop(L, 1);
    if (size > INT32_MAX)
        c->api->raise(L, "misuse", op, "parameter %d is too long", number);
    p->sizes[i] = (int)size;
    p->bytes += size;
    if (is_blob) {
        p->types[i] = OID_BYTEA;
        p->formats[i] = 1;
    }
}

static void read_one(lua_State *L, weir_pg *c, const char *op, int index, int number,
                     parameter_block *p, int i)
{
    p->values[i] = NULL;
    p->sizes[i] = p->formats[i] = 0;
    p->types[i] = 0;
    p->bytes += 16;
    switch (lua_type(L, index)) {
    case LUA_TNIL:
        break;
    case LUA_TLIGHTUSERDATA:
        if (lua_touserdata(L, index) != NULL)
            bad(L, c, op, number, "light userdata");
        break;
    case LUA_TBOOLEAN:
        p->values[i] = lua_toboolean(L, index) ? "t" : "f";
        p->types[i] = OID_BOOL;
        break;
    case LUA_TNUMBER:
        p->values[i] = p->numbers[i];
        if (lua_isinteger(L, index)) {
            lua_Integer n = lua_tointeger(L, index);
            snprintf(p->numbers[i], sizeof p->numbers[i], LUA_INTEGER_FMT, n);
            p->types[i] = n >= INT32_MIN && n <= INT32_MAX ? OID_INT4 : OID_INT8;
        } else {
            write_float(p->numbers[i], (double)lua_tonumber(L, index));
            p->types[i] = OID_FLOAT8;
        }
        break;
    case LUA_TSTRING: {
        size_t size;
        p->values[i] = lua_tolstring(L, index, &size);
        p->bytes += size;
        if (size > INT32_MAX || memchr(p->values[i], '\0', size) != NULL)
            c->api->raise(L, "misuse", op,
                          size > INT32_MAX ? "parameter %d is too long"
                                           : "parameter %d is a string with a NUL byte: a blob?",
                          number);
        break;
    }
    case LUA_TTABLE:
        read_wrapped(L, c, op, index, number, p, i);
        break;
    default:
        bad(L, c, op, number, luaL_typename(L, index));
    }
}

static void read_all(lua_State *L, weir_pg *c, const char *op, int first, int n, parameter_block *p)
{
    for (int i = 0; i < n; i++)
        read_one(L, c, op, first + i, i + 1, p, i);
}

int weir__pg_send(lua_State *L, weir_pg *c, const char *op, int index, int first, int last)
{
    const char *few_values[FEW];
    int few_sizes[FEW], few_formats[FEW], n = last - first + 1, sent;
    Oid few_types[FEW];
    char few_numbers[FEW][32];
    parameter_block p = {few_values, few_sizes, few_formats, few_types, few_numbers, 0};
    const weir_pg_statement *s = luaL_testudata(L, index, WEIR_PG_STATEMENT);
    const char *sql = s == NULL ? weir__pg_check_sql(L, c, op, index) : "";

    if (n > PQ_QUERY_PARAM_MAX_LIMIT)
        c->api->raise(L, "misuse", op, "a statement can have %d parameters, got %d",
                      PQ_QUERY_PARAM_MAX_LIMIT, n);
    if (n > FEW) {
        size_t count = (size_t)n;
        char *block = lua_newuserdatauv(
            L, count * (sizeof *p.values + 2 * sizeof(int) + sizeof(Oid) + sizeof *p.numbers), 0);
        p.values = (const char **)(void *)block;
        p.sizes = (int *)(void *)(p.values + count);
        p.formats = p.sizes + count;
        p.types = (Oid *)(p.formats + count);
        p.numbers = (char(*)[32])(p.types + count);
    }
    read_all(L, c, op, first, n, &p);
    if (s != NULL) {
        char name[16];
        snprintf(name, sizeof name, "weir_%u", (unsigned)s->id);
        sent = PQsendQueryPrepared(c->pg, name, n, p.values, p.sizes, p.formats, 0);
    } else {
        p.bytes += strlen(sql);
        sent = PQsendQueryParams(c->pg, sql, n, p.types, p.values, p.sizes, p.formats, 0);
    }
    if (n > FEW)
        lua_pop(L, 1);
    c->unsent += p.bytes;
    return sent;
}
