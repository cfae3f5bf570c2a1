/* sqlite/values.c - values on their way: Lua -> bytes -> SQLite, and back.
 *
 * Five types, a byte each before the value: nil, integer and float (8 bytes), text and blob (8
 * bytes of length, then the bytes, NULs and all). Parameters are bound where they lie; so their
 * bytes stay as they are while the statement is active. Everything that comes as text or blob is
 * a Lua string; a boolean goes as 0 or 1, since SQLite has none.
 */
#include "sqlite.h"
#include <string.h>

enum { VALUE_NULL, VALUE_INTEGER, VALUE_FLOAT, VALUE_TEXT, VALUE_BLOB };

/* --- Lua to bytes -------------------------------------------------------------------------------
 */
static int put(weir_bytes *b, int type, const void *data, size_t size)
{
    char tag = (char)type;
    uint64_t length = size;
    int has_length = type == VALUE_TEXT || type == VALUE_BLOB;
    if (weir__bytes_reserve(b, 1 + sizeof length + size) != 0)
        return WEIR_ENOMEM;
    weir__bytes_append(b, &tag, 1);
    if (has_length)
        weir__bytes_append(b, &length, sizeof length);
    return weir__bytes_append(b, data, size);
}

/* The bytes of what weir.database's blob() made, or NULL. */
static const char *test_blob(lua_State *L, int index, size_t *size)
{
    const char *bytes = NULL;
    int is_blob = luaL_getmetafield(L, index, "__name") == LUA_TSTRING &&
                  strcmp(lua_tostring(L, -1), "weir.database.blob") == 0;
    if (is_blob && lua_rawgeti(L, index, 1) == LUA_TSTRING)
        bytes = lua_tolstring(L, -1, size); /* the table keeps it alive */
    return bytes;
}

void weir__encode(lua_State *L, const weir_lua_api *api, weir_bytes *b, int index, int n,
                  const char *op)
{
    int top = lua_gettop(L);
    weir__bytes_clear(b);
    for (int i = index; i < index + n; i++) {
        int rc, type = lua_type(L, i);
        size_t size = 0;
        const char *bytes = NULL;
        if (type == LUA_TNIL || (type == LUA_TLIGHTUSERDATA && lua_touserdata(L, i) == NULL)) {
            rc = put(b, VALUE_NULL, NULL, 0);
        } else if (type == LUA_TBOOLEAN || lua_isinteger(L, i)) {
            int64_t v = type == LUA_TBOOLEAN ? lua_toboolean(L, i) : lua_tointeger(L, i);
            rc = put(b, VALUE_INTEGER, &v, sizeof v);
        } else if (type == LUA_TNUMBER) {
            double v = lua_tonumber(L, i);
            rc = put(b, VALUE_FLOAT, &v, sizeof v);
        } else if (type == LUA_TSTRING) {
            bytes = lua_tolstring(L, i, &size);
            rc = put(b, VALUE_TEXT, bytes, size);
        } else {
            if (type == LUA_TTABLE)
                bytes = test_blob(L, i, &size);
            if (bytes == NULL)
                api->raise(L, "misuse", op,
                           "parameter %d must be nil, a boolean, a number, a string or a blob, "
                           "got %s",
                           i - index + 1, luaL_typename(L, i));
            rc = put(b, VALUE_BLOB, bytes, size);
            lua_settop(L, top);
        }
        if (rc != 0)
            luaL_error(L, "not enough memory");
    }
}

/* --- bytes to SQLite
 * ------------------------------------------------------------------------------ */
int weir__bind(sqlite3_stmt *stmt, const weir_bytes *b, int n)
{
    const char *at = b->data;
    int rc = SQLITE_OK;
    for (int i = 1; i <= n && rc == SQLITE_OK; i++) {
        uint64_t length;
        int64_t v;
        double d;
        int type = *at++;
        switch (type) {
        case VALUE_INTEGER:
            memcpy(&v, at, sizeof v);
            at += sizeof v;
            rc = sqlite3_bind_int64(stmt, i, v);
            break;
        case VALUE_FLOAT:
            memcpy(&d, at, sizeof d);
            at += sizeof d;
            rc = sqlite3_bind_double(stmt, i, d);
            break;
        case VALUE_TEXT:
        case VALUE_BLOB:
            memcpy(&length, at, sizeof length);
            at += sizeof length;
            if (type == VALUE_TEXT)
                rc = sqlite3_bind_text64(stmt, i, at, length, SQLITE_STATIC, SQLITE_UTF8);
            else
                rc = sqlite3_bind_blob64(stmt, i, at, length, SQLITE_STATIC);
            at += length;
            break;
        default:
            rc = sqlite3_bind_null(stmt, i);
        }
    }
    return rc;
}

/* --- SQLite to bytes
 * ------------------------------------------------------------------------------ */
int weir__take_row(sqlite3_stmt *stmt, int n_columns, weir_bytes *out)
{
    size_t size = out->size;
    for (int i = 0; i < n_columns; i++) {
        int rc;
        int64_t v;
        double d;
        const void *bytes;
        switch (sqlite3_column_type(stmt, i)) {
        case SQLITE_INTEGER:
            v = sqlite3_column_int64(stmt, i);
            rc = put(out, VALUE_INTEGER, &v, sizeof v);
            break;
        case SQLITE_FLOAT:
            d = sqlite3_column_double(stmt, i);
            rc = put(out, VALUE_FLOAT, &d, sizeof d);
            break;
        case SQLITE_TEXT: /* the pointer first: it may convert the encoding, and the length with it
                           */
            bytes = sqlite3_column_text(stmt, i);
            rc = bytes == NULL ? WEIR_ENOMEM
                               : put(out, VALUE_TEXT, bytes, (size_t)sqlite3_column_bytes(stmt, i));
            break;
        case SQLITE_BLOB: /* NULL for an empty one */
            bytes = sqlite3_column_blob(stmt, i);
            rc = put(out, VALUE_BLOB, bytes, (size_t)sqlite3_column_bytes(stmt, i));
            break;
        default:
            rc = put(out, VALUE_NULL, NULL, 0);
        }
        if (rc != 0) {
            out->size = size;
            return SQLITE_NOMEM;
        }
    }
    return SQLITE_OK;
}

int weir__take_names(sqlite3_stmt *stmt, int n_columns, weir_bytes *out)
{
    for (int i = 0; i < n_columns; i++) {
        const char *name = sqlite3_column_name(stmt, i);
        if (name == NULL || put(out, VALUE_TEXT, name, strlen(name)) != 0)
            return SQLITE_NOMEM;
    }
    return SQLITE_OK;
}

/* --- bytes to Lua
 * --------------------------------------------------------------------------------- */
void weir__push_value(lua_State *L, const char **at)
{
    uint64_t length;
    int64_t v;
    double d;
    switch (*(*at)++) {
    case VALUE_INTEGER:
        memcpy(&v, *at, sizeof v);
        *at += sizeof v;
        lua_pushinteger(L, v);
        break;
    case VALUE_FLOAT:
        memcpy(&d, *at, sizeof d);
        *at += sizeof d;
        lua_pushnumber(L, d);
        break;
    case VALUE_TEXT:
    case VALUE_BLOB:
        memcpy(&length, *at, sizeof length);
        *at += sizeof length;
        lua_pushlstring(L, *at, length);
        *at += length;
        break;
    default:
        lua_pushnil(L);
    }
}

void weir__push_names(lua_State *L, const char **at, int n)
{
    lua_createtable(L, n, 0);
    for (int i = 1; i <= n; i++) {
        weir__push_value(L, at);
        lua_rawseti(L, -2, i);
    }
}

void weir__push_row(lua_State *L, const char **at, int n, int names)
{
    lua_createtable(L, 0, n);
    for (int i = 1; i <= n; i++) {
        lua_rawgeti(L, names, i);
        weir__push_value(L, at);
        lua_rawset(L, -3);
    }
}
