/* host/preload.c - weir without files: its C half and its Lua half, as package.preload has them.
 *
 * Part of the `weir` program and of libweir-lua.a, in which other programs bring weir along.
 */
#include <weir/lua.h>

#include "embedded.h"

int luaopen_weir_core(lua_State *L);

static int load_embedded(lua_State *L)
{
    const struct weir_embedded *m = lua_touserdata(L, lua_upvalueindex(1));
    if (luaL_loadbufferx(L, m->chunk, m->size, m->chunkname, NULL) != LUA_OK)
        return lua_error(L);
    lua_pushstring(L, m->name);
    lua_call(L, 1, 1);
    return 1;
}

void weir_lua_preload(lua_State *L)
{
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
    lua_pushcfunction(L, luaopen_weir_core);
    lua_setfield(L, -2, "weir.core");
    for (const struct weir_embedded *m = weir_embedded_modules; m->name != NULL; m++) {
        lua_pushlightuserdata(L, (void *)(uintptr_t)m);
        lua_pushcclosure(L, load_embedded, 1);
        lua_setfield(L, -2, m->name);
    }
    lua_pop(L, 1);
}
