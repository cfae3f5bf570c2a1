/* sqlite/values.c - values on their way: Lua -> bytes -> SQLite, and back.
 *
 * Five types, a byte each before the value: nil, integer and float (8 bytes), text and blob (8
 * bytes of length, then the bytes, NULs and all). Parameters are bound where they lie; so their
 * bytes stay as they are while the statement is active. Everything that comes as text or blob is
 * a Lua string; a boolean goes as 0 or 1, since SQLite has none. Parameters with names are pairs:
 * the name as a text, then its value; which number each has is known once the statement is
 * compiled.
 */
#include "sqlite.h"
#include <string.h>

enum { VALUE_NULL, VALUE_INTEGER, VALUE_FLOAT, VALUE_TEXT, VALUE_BLOB };

/* --- Lua to bytes ----------------------------------------------------------------------------- */
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

/* Append the value at `i`. 0, WEIR_ENOMEM, or WEIR_EINVAL for none of SQLite's types. */
static int put_value(lua_State *L, weir_bytes *b, int i)
{
    int rc, type = lua_type(L, i), top = lua_gettop(L);
    size_t size = 0;
    const char *bytes = NULL;
    if (type == LUA_TNIL || (type == LUA_TLIGHTUSERDATA && lua_touserdata(L, i) == NULL))
        return put(b, VALUE_NULL, NULL, 0);
    if (type == LUA_TBOOLEAN || lua_isinteger(L, i)) {
        int64_t v = type == LUA_TBOOLEAN ? lua_toboolean(L, i) : lua_tointeger(L, i);
        return put(b, VALUE_INTEGER, &v, sizeof v);
    }
    if (type == LUA_TNUMBER) {
        double v = lua_tonumber(L, i);
        return put(b, VALUE_FLOAT, &v, sizeof v);
    }
    if (type == LUA_TSTRING) {
        bytes = lua_tolstring(L, i, &size);
        return put(b, VALUE_TEXT, bytes, size);
    }
    if (type == LUA_TTABLE)
        bytes = test_blob(L, i, &size);
    rc = bytes == NULL ? WEIR_EINVAL : put(b, VALUE_BLOB, bytes, size);
    lua_settop(L, top);
    return rc;
}

static int bad_value(lua_State *L, const weir_lua_api *api, int rc, int i, const char *what,
                     const char *op)
{
    if (rc == WEIR_EINVAL)
        api->raise(L, "misuse", op,
                   "parameter %s must be nil, a boolean, a number, a string or a blob, got %s",
                   what, luaL_typename(L, i));
    return luaL_error(L, "not enough memory");
}

void weir__encode(lua_State *L, const weir_lua_api *api, weir_bytes *b, int index, int n,
                  const char *op)
{
    weir__bytes_clear(b);
    for (int i = 0; i < n; i++) {
        int rc = put_value(L, b, index + i);
        if (rc != 0)
            bad_value(L, api, rc, index + i, lua_pushfstring(L, "%d", i + 1), op);
    }
}

int weir__has_names(lua_State *L, int index)
{
    if (lua_type(L, index) != LUA_TTABLE)
        return 0;
    if (!lua_getmetatable(L, index))
        return 1;
    lua_pop(L, 1);
    return 0;
}

int weir__encode_named(lua_State *L, const weir_lua_api *api, weir_bytes *b, int index,
                       const char *op)
{
    int n = 0;
    weir__bytes_clear(b);
    lua_pushnil(L);
    for (; lua_next(L, index) != 0; lua_pop(L, 1), n++) {
        int rc, value = lua_gettop(L);
        size_t size;
        const char *name;
        if (lua_type(L, value - 1) != LUA_TSTRING)
            api->raise(L, "misuse", op,
                       "a table of parameters must have their names as its keys, got a %s",
                       luaL_typename(L, value - 1));
        name = lua_tolstring(L, value - 1, &size);
        rc = put(b, VALUE_TEXT, name, size);
        if (rc == 0)
            rc = put_value(L, b, value);
        if (rc != 0)
            bad_value(L, api, rc, value, lua_pushfstring(L, "'%s'", name), op);
    }
    return n;
}

/* --- bytes to SQLite -------------------------------------------------------------------------- */
static void take_length(const char **at, uint64_t *length)
{
    memcpy(length, *at, sizeof *length);
    *at += sizeof *length;
}

static void skip(const char **at)
{
    uint64_t length = 0;
    int type = *(*at)++;
    if (type == VALUE_TEXT || type == VALUE_BLOB)
        take_length(at, &length);
    else if (type != VALUE_NULL)
        length = sizeof(int64_t);
    *at += length;
}

/* Bind the value at *at to parameter `i`, and move on. */
static int bind_value(sqlite3_stmt *stmt, int i, const char **at)
{
    const char *bytes = *at + 1;
    uint64_t length;
    int64_t v;
    double d;
    int type = **at;
    skip(at);
    switch (type) {
    case VALUE_INTEGER:
        memcpy(&v, bytes, sizeof v);
        return sqlite3_bind_int64(stmt, i, v);
    case VALUE_FLOAT:
        memcpy(&d, bytes, sizeof d);
        return sqlite3_bind_double(stmt, i, d);
    case VALUE_TEXT:
        take_length(&bytes, &length);
        return sqlite3_bind_text64(stmt, i, bytes, length, SQLITE_STATIC, SQLITE_UTF8);
    case VALUE_BLOB:
        take_length(&bytes, &length);
        return sqlite3_bind_blob64(stmt, i, bytes, length, SQLITE_STATIC);
    default:
        return sqlite3_bind_null(stmt, i);
    }
}

int weir__bind(sqlite3_stmt *stmt, const weir_bytes *b, int n)
{
    const char *at = b->data;
    int rc = SQLITE_OK;
    for (int i = 1; i <= n && rc == SQLITE_OK; i++)
        rc = bind_value(stmt, i, &at);
    return rc;
}

/* The name at *at, which is moved on to its value. */
static const char *take_name(const char **at, size_t *size)
{
    uint64_t length;
    const char *name;
    (*at)++;
    take_length(at, &length);
    name = *at;
    *at += length;
    *size = (size_t)length;
    return name;
}

/* The value for the parameter of that name, or NULL. */
static const char *find_value(const weir_bytes *b, int n, const char *name)
{
    const char *at = b->data;
    size_t wanted = strlen(name), size;
    for (int i = 0; i < n; i++) {
        const char *found = take_name(&at, &size);
        if (size == wanted && memcmp(found, name, size) == 0)
            return at;
        skip(&at);
    }
    return NULL;
}

int weir__bind_named(sqlite3_stmt *stmt, const weir_bytes *b, int n, int *missing)
{
    int wanted = sqlite3_bind_parameter_count(stmt), rc = SQLITE_OK;
    *missing = 0;
    for (int i = 1; i <= wanted && rc == SQLITE_OK; i++) {
        const char *name = sqlite3_bind_parameter_name(stmt, i);
        const char *at = name == NULL || *name == '?' ? NULL : find_value(b, n, name + 1);
        if (at == NULL) {
            *missing = i;
            return SQLITE_OK;
        }
        rc = bind_value(stmt, i, &at);
    }
    return rc;
}

const char *weir__unknown_name(sqlite3_stmt *stmt, const weir_bytes *b, int n, size_t *size)
{
    int wanted = sqlite3_bind_parameter_count(stmt);
    const char *at = b->data;
    for (int k = 0; k < n; k++) {
        const char *name = take_name(&at, size);
        int i = 1;
        for (; i <= wanted; i++) {
            const char *known = sqlite3_bind_parameter_name(stmt, i);
            if (known != NULL && strlen(known) == *size + 1 && memcmp(known + 1, name, *size) == 0)
                break;
        }
        if (i > wanted)
            return name;
        skip(&at);
    }
    return NULL;
}

/* --- SQLite to bytes -------------------------------------------------------------------------- */
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

/* --- bytes to Lua ----------------------------------------------------------------------------- */
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
