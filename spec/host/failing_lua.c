/* host/failing_lua.c - a Lua interpreter whose memory runs out when a script says so.
 *
 * lua_memory.lua is the script. Two functions are added to Lua's own:
 *   fail(nth, n)   from here on count what is asked for; refuse the nth request and n - 1 after it
 *   count()        stop that; returns how many requests there were
 * Lua itself collects all garbage and asks again once when it is refused: n = 1 is no failure at
 * all, n = 2 is one.
 */
#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>

struct memory {
    lua_Integer asked, from, to; /* requests from..to are refused */
    int is_on;
};

static void *allocate(void *data, void *block, size_t old, size_t size)
{
    struct memory *m = data;
    if (size == 0) {
        free(block);
        return NULL;
    }
    if (m->is_on && (block == NULL || size > old)) { /* Lua relies on it that shrinking works */
        m->asked++;
        if (m->asked >= m->from && m->asked <= m->to)
            return NULL;
    }
    return realloc(block, size);
}

static struct memory *memory_of(lua_State *L)
{
    void *data;
    lua_getallocf(L, &data);
    return data;
}

static int fail(lua_State *L)
{
    struct memory *m = memory_of(L);
    lua_Integer n = luaL_checkinteger(L, 2);
    m->from = luaL_checkinteger(L, 1);
    m->to = n > LUA_MAXINTEGER - m->from ? LUA_MAXINTEGER : m->from + n - 1;
    m->asked = 0;
    m->is_on = 1;
    return 0;
}

static int count(lua_State *L)
{
    struct memory *m = memory_of(L);
    m->is_on = 0;
    lua_pushinteger(L, m->asked);
    return 1;
}

int main(int argc, char **argv)
{
    struct memory m = {0, 0, 0, 0};
    lua_State *L = argc > 1 ? lua_newstate(allocate, &m) : NULL;
    int failed;
    if (L == NULL)
        return 2;
    luaL_openlibs(L);
    lua_register(L, "fail", fail);
    lua_register(L, "count", count);
    failed = luaL_dofile(L, argv[1]) != LUA_OK;
    if (failed)
        fprintf(stderr, "%s\n", lua_tostring(L, -1));
    lua_close(L);
    return failed;
}
