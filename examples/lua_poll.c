/* lua_poll.c - a host whose loop is poll(2), whose weir is the module that any Lua loads.
 *
 * The program links Lua alone: weir comes by `require`, and is reached by the table in weir/lua.h.
 * It watches one descriptor for weir beside its own, sleeps no longer than weir says, and steps it.
 * Here the program's own descriptor is a pipe on which a line arrives for the script; the script
 * waits for it in weir.await, with a time limit.
 *
 *   cc lua_poll.c $(pkg-config --cflags weir lua5.4) $(pkg-config --libs lua5.4) -o lua_poll
 *
 * Run it where Lua finds weir: as a rock, or by LUA_PATH and LUA_CPATH.
 */
#include <lualib.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <weir/lua.h>

static const char script[] = "local weir = require 'weir'\n"
                             "return function(listen)\n"
                             "  local line = weir.timeout(10, weir.await, listen)\n"
                             "  weir.sleep(0.001)\n"
                             "  local words = weir.map({ 'a', 'b', 'c' }, function(word) "
                             "weir.sleep(0.001) return word end)\n"
                             "  return line .. ': ' .. table.concat(words, ' ')\n"
                             "end\n";

typedef struct host {
    const weir_lua_api *api;
    int pipe[2];
    int resume; /* registry reference of who waits for a line */
    int is_over, is_good;
} host;

/* listen(resume), from weir.await: the host keeps `resume` until it has a line. */
static int listen(lua_State *L)
{
    host *h = lua_touserdata(L, lua_upvalueindex(1));
    lua_settop(L, 1);
    luaL_unref(L, LUA_REGISTRYINDEX, h->resume);
    h->resume = luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

static void on_done(lua_State *L, weir_task_state state, void *data)
{
    host *h = data;
    const char *text = luaL_tolstring(L, 2, NULL);
    printf("%s\n", text);
    h->is_good = state == WEIR_TASK_DONE && strcmp(text, "hello: a b c") == 0;
    h->is_over = 1;
}

/* The host's own descriptor: pass the line on. */
static void on_line(lua_State *L, host *h)
{
    char line[64];
    ssize_t n = read(h->pipe[0], line, sizeof line);
    if (n <= 0 || h->resume == LUA_NOREF)
        return;
    lua_rawgeti(L, LUA_REGISTRYINDEX, h->resume);
    luaL_unref(L, LUA_REGISTRYINDEX, h->resume);
    h->resume = LUA_NOREF;
    lua_pushlstring(L, line, (size_t)n);
    lua_call(L, 1, 0);
}

static int run(lua_State *L)
{
    host *h = lua_touserdata(L, 1);
    luaL_openlibs(L);
    h->api = weir_lua_open(L);
    if (luaL_dostring(L, script) != LUA_OK)
        return lua_error(L);
    lua_pushlightuserdata(L, h);
    lua_pushcclosure(L, listen, 1);
    if (h->api->start(L, 1, on_done, h, NULL) != 0)
        return luaL_error(L, "cannot start");

    weir_loop *loop = h->api->loop(L);
    struct pollfd fds[] = {{.fd = h->pipe[0], .events = POLLIN},
                           {.fd = h->api->loop_fd(loop), .events = POLLIN}};
    while (!h->is_over) {
        poll(fds, 2, h->api->loop_timeout(loop));
        if (fds[0].revents != 0)
            on_line(L, h);
        h->api->loop_step(loop);
        if (h->resume != LUA_NOREF && write(h->pipe[1], "hello", 5) != 5)
            return luaL_error(L, "cannot write");
    }
    h->api->end(L, "the host ends", WEIR_SECOND);
    return 0;
}

int main(void)
{
    host h = {.resume = LUA_NOREF};
    lua_State *L = luaL_newstate();
    if (L == NULL || pipe(h.pipe) != 0)
        return 1;
    lua_pushcfunction(L, run);
    lua_pushlightuserdata(L, &h);
    int rc = lua_pcall(L, 1, 0, 0);
    if (rc != LUA_OK)
        fprintf(stderr, "lua_poll: %s\n", lua_tostring(L, -1));
    lua_close(L);
    close(h.pipe[0]);
    close(h.pipe[1]);
    return rc != LUA_OK || !h.is_good;
}
