/* postgres/pg_array.c - values and arrays from their text form.
 *
 * Text, because every type has one: what is not known here comes as the server writes it. An array
 * is {1,NULL,"with, comma",{...}}, maybe after its bounds ("[0:2]="), which a Lua table has no
 * place for. NULL in an array is the null that stands for it.
 */
#include "pg.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    OID_BOOL = 16,
    OID_BYTEA = 17,
    OID_INT8 = 20,
    OID_INT2 = 21,
    OID_INT4 = 23,
    OID_OID = 26,
    OID_JSON = 114,
    OID_FLOAT4 = 700,
    OID_FLOAT8 = 701,
    OID_NUMERIC = 1700,
    OID_JSONB = 3802
};

/* The element type of array type `type`, or 0. Those whose elements come as text have 25. */
static Oid element_of(Oid type)
{
    switch (type) {
    case 1000:
        return OID_BOOL;
    case 1001:
        return OID_BYTEA;
    case 1005:
        return OID_INT2;
    case 1007:
        return OID_INT4;
    case 1016:
        return OID_INT8;
    case 1028:
        return OID_OID;
    case 1021:
        return OID_FLOAT4;
    case 1022:
        return OID_FLOAT8;
    case 1231:
        return OID_NUMERIC;
    case 199:
        return OID_JSON;
    case 3807:
        return OID_JSONB;
    case 1002: /* char, name, text, bpchar, varchar */
    case 1003:
    case 1009:
    case 1014:
    case 1015:
    case 1115: /* timestamp, date, time, timestamptz, interval, timetz */
    case 1182:
    case 1183:
    case 1185:
    case 1187:
    case 1270:
    case 2951: /* uuid, inet, cidr, macaddr */
    case 1041:
    case 651:
    case 1040:
        return 25;
    default:
        return 0;
    }
}

static void push_integer(lua_State *L, const char *s)
{
    uint64_t n = 0;
    int minus = *s == '-';
    for (s += minus; *s >= '0' && *s <= '9'; s++)
        n = n * 10 + (uint64_t)(*s - '0');
    lua_pushinteger(L, (lua_Integer)(minus ? 0 - n : n));
}

static void push_float(lua_State *L, const char *s)
{
    lua_Number n = (lua_Number)NAN;
    if (strcmp(s, "Infinity") == 0 || strcmp(s, "-Infinity") == 0) {
        n = *s == '-' ? -(lua_Number)HUGE_VAL : (lua_Number)HUGE_VAL;
    } else if (strcmp(s, "NaN") != 0 && lua_stringtonumber(L, s) != 0) {
        n = lua_tonumber(L, -1);
        lua_pop(L, 1);
        if (n == 0 && *s == '-')
            n = -(lua_Number)0; /* "-0" was read as an integer */
    }
    lua_pushnumber(L, n);
}

/* As asked for: an integer if it is one, else a float. */
static void push_numeric(lua_State *L, const char *s)
{
    lua_Integer whole;
    if (strpbrk(s, "yN") != NULL || lua_stringtonumber(L, s) == 0) { /* Infinity, NaN */
        push_float(L, s);
    } else if (lua_type(L, -1) == LUA_TNUMBER && !lua_isinteger(L, -1) &&
               strpbrk(s, "123456789") != NULL &&
               lua_numbertointeger(lua_tonumber(L, -1), &whole) &&
               (lua_Number)whole == lua_tonumber(L, -1) &&
               fabs((double)whole) < 9007199254740992.0) {
        lua_pop(L, 1);
        lua_pushinteger(L, whole); /* 3.00 */
    }
}

static int digit(int ch)
{
    return ch <= '9' ? ch - '0' : (ch | 32) - 'a' + 10;
}

static void push_bytea(lua_State *L, const char *s, size_t size)
{
    if (size >= 2 && s[0] == '\\' && s[1] == 'x') {
        size_t n = (size - 2) / 2;
        luaL_Buffer b;
        char *out = luaL_buffinitsize(L, &b, n);
        s += 2;
        for (size_t i = 0; i < n; i++, s += 2)
            out[i] = (char)(digit(s[0]) << 4 | digit(s[1]));
        luaL_pushresultsize(&b, n);
    } else { /* bytea_output = escape */
        luaL_Buffer b;
        luaL_buffinit(L, &b);
        for (size_t i = 0; i < size; i++) {
            int ch = (unsigned char)s[i];
            if (ch == '\\' && s[i + 1] == '\\') {
                i++;
            } else if (ch == '\\' && size - i > 3) {
                ch = (s[i + 1] - '0') << 6 | (s[i + 2] - '0') << 3 | (s[i + 3] - '0');
                i += 3;
            }
            luaL_addchar(&b, (char)ch);
        }
        luaL_pushresult(&b);
    }
}

/* By weir.json, which is found when first needed. */
static void push_json(lua_State *L, const char *s, size_t size)
{
    static const char key = 0;
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &key) == LUA_TNIL) {
        lua_pop(L, 1);
        lua_getglobal(L, "require");
        lua_pushliteral(L, "weir.json");
        lua_call(L, 1, 1);
        lua_getfield(L, -1, "decode");
        lua_remove(L, -2);
        lua_pushvalue(L, -1);
        lua_rawsetp(L, LUA_REGISTRYINDEX, &key);
    }
    lua_pushlstring(L, s, size);
    lua_call(L, 1, 1);
}

void weir__pg_push_text(lua_State *L, weir_pg *c, Oid type, const char *s, size_t size)
{
    Oid of;
    switch (type) {
    case OID_INT4:
    case OID_INT8:
    case OID_INT2:
    case OID_OID:
        push_integer(L, s);
        return;
    case 25: /* text, varchar, bpchar */
    case 1043:
    case 1042:
        break;
    case OID_FLOAT4:
    case OID_FLOAT8:
        push_float(L, s);
        return;
    case OID_BOOL:
        lua_pushboolean(L, *s == 't');
        return;
    case OID_BYTEA:
        push_bytea(L, s, size);
        return;
    case OID_JSON:
    case OID_JSONB:
        push_json(L, s, size);
        return;
    case OID_NUMERIC:
        if (!c->numeric_as_number)
            break;
        push_numeric(L, s);
        return;
    default:
        of = element_of(type);
        if (of == 0)
            break;
        weir__pg_push_array(L, c, of, s, size);
        return;
    }
    lua_pushlstring(L, s, size);
}

/* An element in quotes; `p` is behind the first of them. Returns the place behind the last. */
static const char *push_quoted(lua_State *L, weir_pg *c, Oid of, const char *p)
{
    luaL_Buffer b;
    size_t size;
    const char *s;
    luaL_buffinit(L, &b);
    while (*p != '"' && *p != '\0') {
        if (*p == '\\' && p[1] != '\0')
            p++;
        luaL_addchar(&b, *p++);
    }
    luaL_pushresult(&b);
    if (of != 25) {
        s = lua_tolstring(L, -1, &size);
        weir__pg_push_text(L, c, of, s, size);
        lua_remove(L, -2);
    }
    return *p == '"' ? p + 1 : p;
}

static const char *push_plain(lua_State *L, weir_pg *c, Oid of, const char *p)
{
    size_t size = strcspn(p, ",}");
    char word[64];
    if (size == 4 && memcmp(p, "NULL", 4) == 0) {
        lua_pushlightuserdata(L, NULL);
    } else if (size < sizeof word) {
        memcpy(word, p, size);
        word[size] = '\0';
        weir__pg_push_text(L, c, of, word, size);
    } else {
        lua_pushlstring(L, p, size);
        weir__pg_push_text(L, c, of, lua_tostring(L, -1), size);
        lua_remove(L, -2);
    }
    return p + size;
}

/* `p` is at the brace. Returns the place behind its partner. */
static const char *push_level(lua_State *L, weir_pg *c, Oid of, const char *p)
{
    lua_Integer n = 0;
    luaL_checkstack(L, 12, "array");
    lua_newtable(L);
    for (p++; *p != '}' && *p != '\0'; p += *p == ',') {
        p = *p == '{'   ? push_level(L, c, of, p)
            : *p == '"' ? push_quoted(L, c, of, p + 1)
                        : push_plain(L, c, of, p);
        lua_rawseti(L, -2, ++n);
    }
    return *p == '}' ? p + 1 : p;
}

void weir__pg_push_array(lua_State *L, weir_pg *c, Oid of, const char *p, size_t size)
{
    const char *brace = *p == '[' ? strchr(p, '{') : p;
    if (brace == NULL || *brace != '{')
        lua_pushlstring(L, p, size);
    else
        push_level(L, c, of, brace);
}
