/* bindings/lcheck.c - arguments: one place that says what was wrong and what was expected.
 *
 * Every check raises `misuse` naming the function, the argument and the expectation, and runs
 * before anything has changed.
 */
#include <math.h>
#include <string.h>

#include "context.h"

const char *const ltype_names[LTYPE_COUNT] = {
    "weir.task",   "weir.scope",       "weir.semaphore", "weir.permit", "weir.limit",
    "weir.bucket", "weir.reservation", "weir.simulator", "weir.pool",   "weir.lease",
    "weir.cache",  "weir.flight",      "weir.batch"};

/* Push a short description of the value at `index`: its type, and the value where that helps. */
static void describe(lua_State *L, int index)
{
    int type = lua_type(L, index);
    if (type == LUA_TNUMBER) {
        lua_pushvalue(L, index);
        lua_pushfstring(L, "number %s", lua_tostring(L, -1));
        lua_remove(L, -2);
    } else if (type == LUA_TNONE || type == LUA_TNIL) {
        lua_pushstring(L, type == LUA_TNONE ? "nothing" : "nil");
    } else if (luaL_getmetafield(L, index, "__name") == LUA_TSTRING) {
        return;
    } else {
        lua_pushstring(L, luaL_typename(L, index));
    }
}

/* A method that was called with a dot has something else for its object. */
static int fail_self(lua_State *L, const char *op, const char *expected)
{
    describe(L, 1);
    return lerror_raise(L, "misuse", op,
                        "'self' must be %s, got %s; a method is called with a colon: "
                        "object:method()",
                        expected, lua_tostring(L, -1));
}

void *lcheck_object(lua_State *L, int index, ltype type, const char *op)
{
    void *p = ltest_object(L, index, lbox_here(L), type);
    if (p == NULL && index == 1)
        fail_self(L, op, ltype_names[type]);
    else if (p == NULL)
        lcheck_fail(L, op, "object", ltype_names[type], index);
    return p;
}

int lcheck_fail(lua_State *L, const char *op, const char *name, const char *expected, int index)
{
    index = lua_absindex(L, index);
    describe(L, index);
    return lerror_raise(L, "misuse", op, "'%s' must be %s, got %s", name, expected,
                        lua_tostring(L, -1));
}

void lcheck_function(lua_State *L, int index, const char *op, const char *name)
{
    if (lua_isfunction(L, index))
        return;
    if (luaL_getmetafield(L, index, "__call") != LUA_TNIL) {
        lua_pop(L, 1);
        return;
    }
    lcheck_fail(L, op, name, "a function", index);
}

static uint32_t check_integer(lua_State *L, int index, const char *op, const char *name,
                              lua_Integer least, const char *expected)
{
    int is = 0;
    lua_Integer n = 0;
    if (lua_type(L, index) == LUA_TNUMBER)
        n = lua_tointegerx(L, index, &is);
    if (!is || n < least)
        lcheck_fail(L, op, name, expected, index);
    if (n >= UINT32_MAX)
        lcheck_fail(L, op, name, "at most 4294967294", index);
    return (uint32_t)n;
}

uint32_t lcheck_count(lua_State *L, int index, const char *op, const char *name)
{
    return check_integer(L, index, op, name, 1, "a positive integer");
}

uint32_t lcheck_bound_at(lua_State *L, int index, const char *op, const char *name, int least)
{
    if (lua_type(L, index) == LUA_TNUMBER && lua_tonumber(L, index) == HUGE_VAL)
        return UINT32_MAX;
    return check_integer(L, index, op, name, least,
                         least ? "a positive integer, or math.huge"
                               : "an integer >= 0, or math.huge");
}

uint32_t lcheck_bound(lua_State *L, int table, const char *op, const char *name, uint32_t none)
{
    if (lua_getfield(L, table, name) != LUA_TNIL)
        none = lcheck_bound_at(L, -1, op, name, 0);
    lua_pop(L, 1);
    return none;
}

uint64_t lcheck_seconds(lua_State *L, int index, const char *op, const char *name)
{
    const int64_t never = 9000000000; /* seconds; beyond 290 years there is no difference */
    if (lua_isinteger(L, index)) {
        lua_Integer n = lua_tointeger(L, index);
        if (n >= 0)
            return n >= never ? WEIR_FOREVER : (uint64_t)n * WEIR_SECOND;
    }
    double s = lua_type(L, index) == LUA_TNUMBER ? (double)lua_tonumber(L, index) : -1;
    if (!(s >= 0)) /* NaN included */
        lcheck_fail(L, op, name, "a number of seconds >= 0", index);
    if (s >= (double)never)
        return WEIR_FOREVER;
    s *= 1e9;
    int64_t ns = (int64_t)s;
    return (uint64_t)(ns + (s - (double)ns >= .5)); /* to the nearest, exactly */
}

uint64_t lcheck_only_timeout(lua_State *L, int index, const char *op)
{
    static const char *const allowed[] = {"timeout", NULL};
    if (lua_type(L, index) == LUA_TTABLE)
        lcheck_options(L, index, op, allowed);
    return lcheck_timeout(L, index, op, "timeout");
}

uint64_t lcheck_timeout(lua_State *L, int index, const char *op, const char *field)
{
    if (lua_isnoneornil(L, index))
        return WEIR_FOREVER;
    if (lua_type(L, index) != LUA_TTABLE)
        return lcheck_seconds(L, index, op, field);
    uint64_t ns = WEIR_FOREVER;
    if (lua_getfield(L, index, field) != LUA_TNIL)
        ns = lcheck_seconds(L, -1, op, field);
    lua_pop(L, 1);
    return ns;
}

void lcheck_options(lua_State *L, int index, const char *op, const char *const *allowed)
{
    index = lua_absindex(L, index);
    if (lua_type(L, index) != LUA_TTABLE)
        lcheck_fail(L, op, "options", "a table", index);
    lua_pushnil(L);
    while (lua_next(L, index) != 0) {
        int known = 0;
        lua_pop(L, 1);
        if (lua_type(L, -1) == LUA_TSTRING)
            for (const char *const *a = allowed; *a != NULL && !known; a++)
                known = strcmp(*a, lua_tostring(L, -1)) == 0;
        if (!known) {
            luaL_Buffer b;
            luaL_tolstring(L, -1, NULL);
            int at = lua_gettop(L);
            luaL_buffinit(L, &b);
            for (const char *const *a = allowed; *a != NULL; a++) {
                if (a != allowed)
                    luaL_addstring(&b, ", ");
                luaL_addstring(&b, *a);
            }
            luaL_pushresult(&b);
            lerror_raise(L, "misuse", op, "unknown option '%s' (known: %s)", lua_tostring(L, at),
                         lua_tostring(L, -1));
        }
    }
}

double lseconds(uint64_t ns)
{
    return (double)ns / 1e9;
}

/* --- the same checks for the Lua half ------------------------------------------------------- */

/* core.check_count(v, op, name [, default [, unbounded]]) -> integer, or math.huge if allowed */
static int core_check_count(lua_State *L)
{
    lua_settop(L, 5);
    if (lua_isnil(L, 1) && !lua_isnil(L, 4)) {
        lua_pushvalue(L, 4);
        return 1;
    }
    const char *op = luaL_checkstring(L, 2), *name = luaL_checkstring(L, 3);
    uint32_t n =
        lua_toboolean(L, 5) ? lcheck_bound_at(L, 1, op, name, 1) : lcheck_count(L, 1, op, name);
    if (n == UINT32_MAX) /* no count */
        lua_pushnumber(L, HUGE_VAL);
    else
        lua_pushinteger(L, n);
    return 1;
}

/* core.check_seconds(v, op, name [, default]) -> number >= 0 */
static int core_check_seconds(lua_State *L)
{
    lua_settop(L, 4);
    if (lua_isnil(L, 1) && !lua_isnil(L, 4)) {
        lua_pushvalue(L, 4);
        return 1;
    }
    lcheck_seconds(L, 1, luaL_checkstring(L, 2), luaL_checkstring(L, 3));
    lua_settop(L, 1);
    return 1;
}

/* core.check_self(v, type, op) -> v, an object of the C half, or of the Lua half whose metatable is
 * `type` */
static int core_check_self(lua_State *L)
{
    int type = 0;
    if (lua_istable(L, 2)) {
        if (!lua_getmetatable(L, 1) || !lua_rawequal(L, -1, 2)) {
            lua_getfield(L, 2, "__name");
            return fail_self(L, luaL_checkstring(L, 3), luaL_checkstring(L, -1));
        }
        lua_settop(L, 1);
        return 1;
    }
    const char *name = luaL_checkstring(L, 2);
    while (type < LTYPE_COUNT && strcmp(ltype_names[type], name) != 0)
        type++;
    luaL_argcheck(L, type < LTYPE_COUNT, 2, "unknown type");
    lcheck_object(L, 1, (ltype)type, luaL_checkstring(L, 3));
    lua_settop(L, 1);
    return 1;
}

/* core.check_function(v, op, name) -> v */
static int core_check_function(lua_State *L)
{
    lcheck_function(L, 1, luaL_checkstring(L, 2), luaL_checkstring(L, 3));
    lua_settop(L, 1);
    return 1;
}

/* The string that is next after `after` (NULL: the first) among the keys of the table at `t`, or
 * NULL; the table keeps it. [-0, +0, -] */
static const char *next_name(lua_State *L, int t, const char *after)
{
    const char *next = NULL;
    lua_pushnil(L);
    while (lua_next(L, t) != 0) {
        lua_pop(L, 1);
        if (lua_type(L, -1) != LUA_TSTRING)
            continue;
        const char *name = lua_tostring(L, -1);
        if ((after == NULL || strcmp(name, after) > 0) && (next == NULL || strcmp(name, next) < 0))
            next = name;
    }
    return next;
}

/* The keys of the table at `t` that are strings, sorted, with commas between. [-0, +1, m] */
static void push_names(lua_State *L, int t)
{
    lua_pushliteral(L, "");
    for (const char *name = NULL, *last = NULL; (name = next_name(L, t, last)) != NULL;
         last = name) {
        lua_pushfstring(L, "%s%s%s", lua_tostring(L, -1), last != NULL ? ", " : "", name);
        lua_remove(L, -2);
    }
}

/* core.check_options(t, op, {name = true ...}) -> t */
static int core_check_options(lua_State *L)
{
    const char *op = luaL_checkstring(L, 2);
    luaL_checktype(L, 3, LUA_TTABLE);
    if (!lua_istable(L, 1))
        return lcheck_fail(L, op, "options", "a table", 1);
    lua_pushnil(L);
    while (lua_next(L, 1) != 0) {
        lua_pop(L, 1);
        lua_pushvalue(L, -1);
        if (lua_rawget(L, 3) == LUA_TNIL) {
            luaL_tolstring(L, -2, NULL);
            const char *option = lua_tostring(L, -1);
            push_names(L, 3);
            return lerror_raise(L, "misuse", op, "unknown option '%s' (known: %s)", option,
                                lua_tostring(L, -1));
        }
        lua_pop(L, 1);
    }
    lua_settop(L, 1);
    return 1;
}

/* core.expected(op, name, expected, value): raises misuse */
static int core_expected(lua_State *L)
{
    lua_settop(L, 4);
    return lcheck_fail(L, luaL_checkstring(L, 1), luaL_checkstring(L, 2), luaL_checkstring(L, 3),
                       4);
}

static const luaL_Reg functions[] = {{"check_count", core_check_count},
                                     {"check_seconds", core_check_seconds},
                                     {"check_self", core_check_self},
                                     {"check_function", core_check_function},
                                     {"check_options", core_check_options},
                                     {"expected", core_expected},
                                     {NULL, NULL}};

void lcheck_open(lua_State *L)
{
    lcontext_set_functions(L, functions);
}
