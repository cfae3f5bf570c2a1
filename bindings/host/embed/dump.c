/* embed/dump.c - a tool of the build: Lua files compiled by the Lua that the program is linked
 * with.
 *
 *     dump TO FROM NAME...     FROM/NAME, a part of weir, becomes TO/NAME, for each NAME
 *
 * Names and lines are kept: errors, tracebacks and debug.getinfo say the same as of the text. TO
 * and its folders are there. What is written is no use to another Lua, or on another kind of
 * machine.
 */
#include <errno.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int write_piece(lua_State *L, const void *bytes, size_t size, void *file)
{
    (void)L;
    return fwrite(bytes, 1, size, file) != size;
}

/* Push the text of a file. [-0, +1, e] */
static void push_text(lua_State *L, const char *path)
{
    luaL_Buffer text;
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        luaL_error(L, "%s: %s", path, strerror(errno));
    luaL_buffinit(L, &text);
    size_t n;
    do {
        n = fread(luaL_prepbuffer(&text), 1, LUAL_BUFFERSIZE, file);
        luaL_addsize(&text, n);
    } while (n > 0);
    int failed = ferror(file);
    fclose(file);
    if (failed)
        luaL_error(L, "%s: cannot be read", path);
    luaL_pushresult(&text);
}

/* dump(to, from, name) */
static int dump(lua_State *L)
{
    const char *name = luaL_checkstring(L, 3);
    const char *to = lua_pushfstring(L, "%s/%s", luaL_checkstring(L, 1), name);
    const char *from = lua_pushfstring(L, "%s/%s", luaL_checkstring(L, 2), name);
    size_t size;
    push_text(L, from);
    const char *text = lua_tolstring(L, -1, &size);
    if (luaL_loadbufferx(L, text, size, lua_pushfstring(L, "@weir/%s", name), "t") != LUA_OK)
        return lua_error(L);
    FILE *file = fopen(to, "wb");
    int failed = file == NULL || lua_dump(L, write_piece, file, 0) != 0;
    if (file != NULL && fclose(file) != 0)
        failed = 1;
    return failed ? luaL_error(L, "%s: %s", to, strerror(errno)) : 0;
}

int main(int argc, char **argv)
{
    lua_State *L = luaL_newstate();
    int rc = L != NULL && argc > 2 ? LUA_OK : LUA_ERRRUN;
    for (int i = 3; rc == LUA_OK && i < argc; i++) {
        lua_pushcfunction(L, dump);
        lua_pushstring(L, argv[1]);
        lua_pushstring(L, argv[2]);
        lua_pushstring(L, argv[i]);
        rc = lua_pcall(L, 3, 0, 0);
    }
    if (rc != LUA_OK)
        fprintf(stderr, "dump: %s\n",
                L != NULL && argc > 2 ? lua_tostring(L, -1) : "TO FROM NAME...");
    if (L != NULL)
        lua_close(L);
    return rc != LUA_OK;
}
