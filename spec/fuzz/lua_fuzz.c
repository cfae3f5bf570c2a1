/* lua_fuzz.c - a fuzz target that is a Lua script: WEIR_FUZZ_SCRIPT, a module name.
 *
 * The script returns a function, called once for an input, in one Lua state that lives as long as
 * the process; it gets draw(n), by which it takes its numbers from the bytes of the input. An error
 * that leaves it is a bug found.
 */
#include <lauxlib.h>
#include <lualib.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int luaopen_weir_core(lua_State *L);
int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

/* libFuzzer hands nothing from one call to the next: this is its state. */
static struct {
    lua_State *L;
    const uint8_t *at;
    size_t left;
} fuzz;

/* draw(n) -> 0 .. n - 1, of one byte or two; 0 when there are no more */
static int draw(lua_State *L)
{
    lua_Integer n = luaL_checkinteger(L, 1), z = 0;
    luaL_argcheck(L, n > 0, 1, "must be positive");
    for (int i = 0; i < (n <= 256 ? 1 : 2) && fuzz.left > 0; i++, fuzz.left--)
        z = z << 8 | *fuzz.at++;
    lua_pushinteger(L, z % n);
    return 1;
}

static int traceback(lua_State *L)
{
    luaL_traceback(L, L, luaL_tolstring(L, 1, NULL), 1);
    return 1;
}

static void must(lua_State *L, int rc)
{
    if (rc == LUA_OK)
        return;
    fprintf(stderr, WEIR_FUZZ_SCRIPT ": %s\n", lua_tostring(L, -1));
    abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    lua_State *L = luaL_newstate();
    (void)argc;
    (void)argv;
    if (L == NULL)
        abort();
    luaL_openlibs(L);
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
    lua_pushcfunction(L, luaopen_weir_core);
    lua_setfield(L, -2, "weir.core");
    lua_settop(L, 0);
    lua_pushcfunction(L, traceback);
    lua_getglobal(L, "require");
    lua_pushliteral(L, WEIR_FUZZ_SCRIPT); /* build-fuzz/env says where */
    must(L, lua_pcall(L, 1, 1, 1));
    fuzz.L = L;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    lua_State *L = fuzz.L;
    fuzz.at = bytes;
    fuzz.left = n;
    lua_settop(L, 2); /* the message handler, the script's function */
    lua_pushvalue(L, 2);
    lua_pushcfunction(L, draw);
    must(L, lua_pcall(L, 1, 0, 1));
    return 0;
}
