/* lua_host.c - a program with a Lua state and a libuv loop of its own, whose scripts wait in weir.
 *
 * weir is linked into the program (libweir-lua.a), and its tasks run on the program's loop: each
 * request becomes a task, the program goes on with its own work, and is called back with what the
 * script returned or with the error. A request that takes too long ends by its time limit alone.
 *
 *   cc lua_host.c $(pkg-config --cflags --libs weir-lua lua5.4) -o lua_host && ./lua_host
 */
#include <lualib.h>
#include <stdio.h>
#include <uv.h>
#include <weir/lua.h>

static const char script[] = "local weir = require 'weir'\n"
                             "local gate = weir.semaphore(2)\n"
                             "return function(name, seconds)\n"
                             "  return gate:with(function()\n"
                             "    if seconds < 0 then error('no such time') end\n"
                             "    weir.sleep(seconds)\n"
                             "    return name .. ' slept'\n"
                             "  end)\n"
                             "end\n";

typedef struct host {
    const weir_lua_api *api;
    uv_loop_t loop;
    uv_timer_t work; /* stands for what the program does besides */
    int ticks, open, done, failed;
} host;

typedef struct request {
    host *host;
    const char *name;
    double seconds, limit;
} request;

/* Called by the loop when the task has ended: the task at 1, then its results or its error. */
static void on_done(lua_State *L, weir_task_state state, void *data)
{
    request *r = data;
    host *h = r->host;
    printf("%s: %s: %s\n", r->name, state == WEIR_TASK_DONE ? "done" : "failed",
           luaL_tolstring(L, 2, NULL));
    if (state == WEIR_TASK_DONE)
        h->done++;
    else
        h->failed++;
    if (--h->open == 0)
        uv_timer_stop(&h->work); /* nothing keeps the loop any more: uv_run returns */
}

/* weir.timeout(limit, handler, name, seconds), as a task. Stack: handler. */
static int begin(lua_State *L, request *r)
{
    lua_getglobal(L, "require");
    lua_pushliteral(L, "weir");
    lua_call(L, 1, 1);
    lua_getfield(L, -1, "timeout");
    lua_remove(L, -2);
    lua_pushnumber(L, r->limit);
    lua_pushvalue(L, 1);
    lua_pushstring(L, r->name);
    lua_pushnumber(L, r->seconds);
    int rc = r->host->api->start(L, 4, on_done, r, NULL);
    if (rc == 0)
        r->host->open++;
    return rc;
}

static void on_work(uv_timer_t *timer)
{
    ((host *)timer->data)->ticks++;
}

/* All that can raise, under one lua_pcall. */
static int run(lua_State *L)
{
    host *h = lua_touserdata(L, 1);
    request requests[] = {
        {h, "short", 0.002, 60}, {h, "broken", -1, 60}, {h, "endless", 1e9, 0.02}};
    lua_settop(L, 0);
    luaL_openlibs(L);
    weir_lua_preload(L);
    weir_lua_set_loop(L, &h->loop, (void (*)(void))uv_run);
    h->api = weir_lua_open(L);
    if (luaL_dostring(L, script) != LUA_OK)
        return lua_error(L);
    for (int i = 0; i < 3; i++)
        if (begin(L, &requests[i]) != 0)
            return luaL_error(L, "cannot begin %s", requests[i].name);
    uv_run(&h->loop, UV_RUN_DEFAULT);
    h->api->end(L, "the host ends", WEIR_SECOND); /* detached tasks, daemons, pools */
    return 0;
}

int main(void)
{
    host h = {0};
    lua_State *L = luaL_newstate();
    if (L == NULL || uv_loop_init(&h.loop) != 0)
        return 1;
    uv_timer_init(&h.loop, &h.work);
    h.work.data = &h;
    uv_timer_start(&h.work, on_work, 1, 1);

    lua_pushcfunction(L, run);
    lua_pushlightuserdata(L, &h);
    int rc = lua_pcall(L, 1, 0, 0);
    if (rc != LUA_OK)
        fprintf(stderr, "lua_host: %s\n", lua_tostring(L, -1));

    uv_close((uv_handle_t *)&h.work, NULL);
    lua_close(L); /* takes weir's handles off the loop */
    uv_run(&h.loop, UV_RUN_DEFAULT);
    int left = uv_loop_close(&h.loop);
    printf("%d done, %d failed, the host went on: %s\n", h.done, h.failed,
           h.ticks > 0 ? "yes" : "no");
    return rc != LUA_OK || left != 0 || h.done != 1 || h.failed != 2 || h.ticks == 0;
}
