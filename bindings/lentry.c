/* bindings/lentry.c - the entries of a cache: keys as bytes, what a value weighs, set and delete.
 *
 * A value is measured and its slot is made before the core is asked; what the core lets go of is
 * taken out of Lua at the end of the call.
 */
#include <math.h>
#include <string.h>

#include "lcache.h"

/* --- keys ----------------------------------------------------------------------------- */

static void key_of_number(lua_State *L, int index, const char *op, lkey *out)
{
    int is = 0;
    lua_Integer n = lua_tointegerx(L, index, &is); /* 1.0 is 1, as in a table */
    lua_Number f = lua_tonumber(L, index);
    if (f != f)
        lcheck_fail(L, op, "key", "a number other than NaN", index);
    if (is)
        memcpy(out->own, &n, sizeof n);
    else
        memcpy(out->own, &f, sizeof f);
    out->own[sizeof n] = is ? 'i' : 'f';
    out->length = sizeof n + 1;
}

static_assert(sizeof(lua_Integer) == sizeof(lua_Number), "one size of numbers in keys");

void lkey_check(lua_State *L, int index, const char *op, lkey *out)
{
    out->bytes = out->own;
    switch (lua_type(L, index)) {
    case LUA_TSTRING:
        out->bytes = lua_tolstring(L, index, &out->length);
        out->length++;
        return;
    case LUA_TNUMBER:
        key_of_number(L, index, op, out);
        return;
    case LUA_TBOOLEAN:
        out->own[0] = lua_toboolean(L, index) ? 't' : 'n';
        out->length = 1;
        return;
    default:
        lcheck_fail(L, op, "key",
                    "a string, number or boolean (make one of what tells it from others)", index);
    }
}

void lkey_push(lua_State *L, const void *bytes, size_t length)
{
    const char *p = bytes;
    lua_Integer n;
    lua_Number f;
    switch (p[length - 1]) {
    case 'i':
        memcpy(&n, p, sizeof n);
        lua_pushinteger(L, n);
        return;
    case 'f':
        memcpy(&f, p, sizeof f);
        lua_pushnumber(L, f);
        return;
    case '\0':
        lua_pushlstring(L, p, length - 1);
        return;
    default:
        lua_pushboolean(L, p[0] == 't');
    }
}

/* --- values --------------------------------------------------------------------------- */

void lkeep_read(lua_State *L, int index, const char *op, const lcache *c, lkeep *out)
{
    static const char *const known[] = {"ttl", "size", "tags", "stale", NULL};
    *out = (lkeep){.ttl = c->ttl, .bytes = -1};
    if (lua_isnoneornil(L, index))
        return;
    index = lua_absindex(L, index);
    lcheck_options(L, index, op, known);
    if (lua_getfield(L, index, "ttl") != LUA_TNIL) {
        out->ttl = lcheck_seconds(L, -1, op, "ttl");
        out->has_ttl = 1;
    }
    if (lua_getfield(L, index, "size") != LUA_TNIL) {
        out->bytes = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : -1;
        if (!(out->bytes >= 0))
            lcheck_fail(L, op, "size", "a number of bytes >= 0", -1);
    }
    if (lua_getfield(L, index, "stale") != LUA_TNIL) {
        if (!lua_isboolean(L, -1))
            lcheck_fail(L, op, "stale", "a boolean", -1);
        out->strict = !lua_toboolean(L, -1);
    }
    int type = lua_getfield(L, index, "tags");
    if (type == LUA_TNIL)
        return;
    out->tags = lua_gettop(L);
    if (type == LUA_TSTRING)
        return;
    if (type != LUA_TTABLE)
        lcheck_fail(L, op, "tags", "a string or an array of strings", -1);
    for (lua_Integer i = 1, n = (lua_Integer)lua_rawlen(L, -1); i <= n; i++) {
        if (lua_rawgeti(L, out->tags, i) != LUA_TSTRING)
            lcheck_fail(L, op, "tags", "an array of strings", -1);
        lua_pop(L, 1);
    }
}

enum { SLOT = 16 + 4 }; /* bytes in the table of values and in the stack of free slots */

/* What a string takes: its header, its bytes, a NUL; as the allocator rounds it. */
static double bytes_of_string(size_t length)
{
    enum { HEADER = 24, ALLOCATOR = 8, STEP = 16 };
    return (double)((HEADER + length + 1 + ALLOCATOR + STEP - 1) / STEP * STEP);
}

size_t lcache_measure(lua_State *L, const lcache *c, int self, int index, int key,
                      const lkeep *keep, const char *op)
{
    double bytes = keep->bytes;
    if (bytes < 0 && c->has_size) {
        index = lua_absindex(L, index);
        lua_getiuservalue(L, self, LCACHE_SIZE);
        lua_pushvalue(L, index);
        lua_pushvalue(L, key);
        lua_call(L, 2, 1);
        bytes = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : -1;
        if (!(bytes >= 0))
            lcheck_fail(L, op, "size", "a function that returns a number of bytes >= 0", -1);
        lua_pop(L, 1);
    } else if (bytes < 0 && lua_type(L, index) == LUA_TSTRING) {
        bytes = bytes_of_string(lua_rawlen(L, index));
    } else if (bytes < 0) {
        int type = lua_type(L, index);
        if (c->is_bounded && type > LUA_TNUMBER)
            lerror_raise(L, "misuse", op,
                         "the cache is bounded by bytes, and what a %s takes cannot be seen: give "
                         "the cache size=function(value, key), or a size with the value",
                         lua_typename(L, type));
        bytes = 0;
    }
    return bytes >= 0x1p53 ? (size_t)1 << 53 : (size_t)bytes + SLOT;
}

size_t lcache_measure_error(lua_State *L, int index)
{
    enum { OBJECT = 512 }; /* a table with a message and a traceback */
    if (lua_type(L, index) == LUA_TSTRING)
        return (size_t)bytes_of_string(lua_rawlen(L, index)) + SLOT;
    return OBJECT + SLOT;
}

void lcache_reserve(lua_State *L, lcache *c, int self)
{
    lua_getiuservalue(L, self, LCACHE_VALUES);
    lvalues_reserve(L, c->ctx->rt, &c->values, lua_gettop(L));
    lua_pop(L, 1);
}

intptr_t lcache_put(lua_State *L, lcache *c, int self, int index, int slotted)
{
    index = lua_absindex(L, index);
    lua_getiuservalue(L, self, LCACHE_VALUES);
    lvalues_reserve(L, c->ctx->rt, &c->values, lua_gettop(L));
    intptr_t handle = lvalues_put(L, &c->values, lua_gettop(L), index, slotted);
    lua_pop(L, 1);
    return handle;
}

void lcache_sweep(lua_State *L, lcache *c, int self)
{
    if (c->values.dirty == 0)
        return;
    lua_getiuservalue(L, self, LCACHE_VALUES);
    lvalues_sweep(L, &c->values, lua_gettop(L));
    lua_pop(L, 1);
}

int lcache_tag(lua_State *L, lcache *c, const void *key, size_t length, const lkeep *keep)
{
    size_t n;
    const char *tag;
    int rc = 0;
    if (keep->tags == 0)
        return 0;
    if (lua_type(L, keep->tags) == LUA_TSTRING) {
        tag = lua_tolstring(L, keep->tags, &n);
        return weir_cache_tag(c->cache, key, length, tag, n);
    }
    for (lua_Integer i = 1, all = (lua_Integer)lua_rawlen(L, keep->tags); rc == 0 && i <= all;
         i++) {
        lua_rawgeti(L, keep->tags, i);
        tag = lua_tolstring(L, -1, &n);
        rc = weir_cache_tag(c->cache, key, length, tag, n);
        lua_pop(L, 1);
    }
    return rc;
}

/* --- methods ---------------------------------------------------------------------------------- */

/* cache:peek(key) -> value, whether it is there and fresh. Does not count, wait or load. */
int lentry_peek(lua_State *L)
{
    static const char op[] = "cache:peek";
    lcache *c = lcache_check(L, op);
    lkey key;
    lkey_check(L, 2, op, &key);
    weir_answer a = weir_cache_peek(c->cache, key.bytes, key.length);
    if (a.found == WEIR_FOUND_FRESH || (a.found == WEIR_FOUND_NEGATIVE && a.value == LVALUE_NIL)) {
        lcache_push_value(L, 1, a.value);
        lua_pushboolean(L, 1);
    } else {
        lua_pushnil(L);
        lua_pushboolean(L, 0);
    }
    return 2;
}

/* cache:set(key, value, [{ttl=, tags=, size=}]) -> true; or false and "impossible" if it alone is
 * larger than max_bytes: then the key has nothing. */
int lentry_set(lua_State *L)
{
    static const char op[] = "cache:set";
    lcache *c = lcache_check_open(L, op);
    lkey key;
    lkeep keep;
    lua_settop(L, 4);
    lkey_check(L, 2, op, &key);
    lkeep_read(L, 4, op, c, &keep);
    size_t size = lcache_measure(L, c, 1, 3, 2, &keep, op);
    intptr_t value = lcache_put(L, c, 1, 3, 0);
    int rc = weir_cache_set(c->cache, key.bytes, key.length, value, size, keep.ttl);
    if (rc == 0 && keep.strict)
        weir_cache_forbid_stale(c->cache, key.bytes, key.length);
    if (rc == 0 && lcache_tag(L, c, key.bytes, key.length, &keep) != 0) {
        weir_cache_delete(c->cache, key.bytes, key.length); /* without its tags it must not stay */
        rc = WEIR_ENOMEM;
    }
    if (rc == 0 && keep.tags != 0 &&
        weir_cache_peek(c->cache, key.bytes, key.length).found == WEIR_FOUND_NOTHING)
        rc = WEIR_EIMPOSSIBLE; /* with its tags it is too large */
    lcache_sweep(L, c, 1);
    if (rc == WEIR_ENOMEM)
        return luaL_error(L, "not enough memory");
    if (rc == WEIR_ECLOSED) /* by the function that measures */
        lcache_raise_closed(L, c, op);
    lua_pushboolean(L, rc == 0 || keep.ttl == 0);
    if (lua_toboolean(L, -1))
        return 1;
    lua_pushstring(L, weir_error_name(WEIR_EIMPOSSIBLE));
    return 2;
}

/* cache:delete(key) -> was there something, or a load on its way? */
int lentry_delete(lua_State *L)
{
    static const char op[] = "cache:delete";
    lcache *c = lcache_check_open(L, op);
    lkey key;
    lkey_check(L, 2, op, &key);
    lua_pushboolean(L, weir_cache_delete(c->cache, key.bytes, key.length));
    lcache_sweep(L, c, 1);
    return 1;
}

/* cache:delete_tag(tag) -> how many entries had it. */
int lentry_delete_tag(lua_State *L)
{
    static const char op[] = "cache:delete_tag";
    lcache *c = lcache_check_open(L, op);
    if (lua_type(L, 2) != LUA_TSTRING)
        return lcheck_fail(L, op, "tag", "a string", 2);
    size_t n;
    const char *tag = lua_tolstring(L, 2, &n);
    lua_pushinteger(L, weir_cache_delete_tag(c->cache, tag, n));
    lcache_sweep(L, c, 1);
    return 1;
}

/* cache:clear(): nothing is left, and loads on their way store nothing. */
int lentry_clear(lua_State *L)
{
    lcache *c = lcache_check_open(L, "cache:clear");
    lvalues_push_table(L);
    weir_cache_clear(c->cache);
    lua_setiuservalue(L, 1, LCACHE_VALUES);
    return 0;
}
