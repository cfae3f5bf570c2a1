/* host/embed.c - what the table for hosts promises where things go wrong: errors, ends, memory.
 *
 * Over libweir-lua.a. Each check is a line on standard error if it fails; the exit code counts
 * them.
 */
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>
#include <weir/lua.h>

static const weir_lua_api *api;
static int failed;

#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "embed.c:%d: %s\n", __LINE__, #cond);                                  \
            failed++;                                                                              \
        }                                                                                          \
    } while (0)

/* Lua's memory: the `fail_at`th request for more is refused, once. */
static long n_requests, fail_at;

static void *allocate(void *data, void *ptr, size_t old, size_t size)
{
    (void)data;
    if (size == 0) {
        free(ptr);
        return NULL;
    }
    if ((ptr == NULL || size > old) && fail_at > 0 && ++n_requests >= fail_at)
        return NULL;
    return realloc(ptr, size);
}

typedef struct told {
    int n, state, top;
    char text[64];
} told;

static void on_done(lua_State *L, weir_task_state state, void *data)
{
    told *t = data;
    t->n++;
    t->state = state;
    t->top = lua_gettop(L);
    if (lua_type(L, 2) == LUA_TSTRING)
        snprintf(t->text, sizeof t->text, "%s", lua_tostring(L, 2));
}

static void on_done_raise(lua_State *L, weir_task_state state, void *data)
{
    on_done(L, state, data);
    luaL_error(L, "of the callback");
}

/* Inside a callback of the loop the end cannot be waited for. */
static void on_done_end(lua_State *L, weir_task_state state, void *data)
{
    on_done(L, state, data);
    api->end(L, "too early", 0);
}

static int start(lua_State *L, const char *text, weir_lua_done_fn done, told *t)
{
    if (luaL_loadstring(L, text) != LUA_OK)
        return lua_error(L);
    memset(t, 0, sizeof *t);
    return api->start(L, 0, done, t, NULL);
}

static void drive(lua_State *L, const told *t)
{
    while (t->n == 0 && api->loop_once(api->loop(L), 1))
        continue;
}

/* `uv` NULL: on a loop of weir's own. */
static lua_State *open_on(uv_loop_t *uv)
{
    lua_State *L = lua_newstate(allocate, NULL);
    luaL_openlibs(L);
    weir_lua_preload(L);
    if (uv != NULL)
        weir_lua_set_loop(L, uv, (void (*)(void))uv_run);
    api = weir_lua_open(L);
    if (luaL_dostring(L, "weir = require 'weir'") != LUA_OK)
        lua_error(L);
    return L;
}

static lua_State *open_state(void)
{
    return open_on(NULL);
}

static void tells_each_outcome_once(void)
{
    lua_State *L = open_state();
    told t;
    CHECK(start(L, "return 'a', 2, nil", on_done, &t) == 0);
    CHECK(t.n == 0);
    drive(L, &t);
    CHECK(t.n == 1 && t.state == WEIR_TASK_DONE && t.top == 4 && strcmp(t.text, "a") == 0);
    CHECK(start(L, "weir.sleep(0) error('wrong', 0)", on_done, &t) == 0);
    drive(L, &t);
    CHECK(t.n == 1 && t.state == WEIR_TASK_FAILED && t.top == 2 && strcmp(t.text, "wrong") == 0);
    CHECK(start(L, "return 'b'", on_done_raise, &t) == 0);
    drive(L, &t);
    CHECK(t.n == 1);
    CHECK(start(L, "return 'c'", on_done_end, &t) == 0);
    drive(L, &t);
    CHECK(t.n == 1);
    CHECK(start(L, "return 'the state goes on'", on_done, &t) == 0);
    drive(L, &t);
    CHECK(t.n == 1 && t.state == WEIR_TASK_DONE);
    CHECK(lua_gettop(L) == 0);
    lua_close(L);
}

static void ends_what_is_left(void)
{
    lua_State *L = open_state();
    told t, late;
    CHECK(start(L,
                "weir.daemon(weir.sleep, 1e6) local ok = pcall(weir.sleep, 1e6) "
                "weir.shield(weir.sleep, 0.001) return 'cleaned'",
                on_done, &t) == 0);
    CHECK(api->loop_once(api->loop(L), 0) == 1);
    api->end(L, "enough", WEIR_SECOND);
    CHECK(t.n == 1 && strcmp(t.text, "cleaned") == 0);
    CHECK(start(L, "return 1", on_done, &late) == WEIR_ECANCELED);
    CHECK(late.n == 0 && lua_gettop(L) == 0);
    api->end(L, "again", 0);
    lua_close(L);
}

static void closes_with_an_end_untold(void)
{
    lua_State *L = open_state();
    told t;
    CHECK(start(L, "return 1", on_done, &t) == 0);
    api->end(L, "enough", 0); /* before its first turn: it never runs, and that is told */
    CHECK(t.n == 1 && t.state == WEIR_TASK_CANCELLED);
    lua_close(L);
}

/* Its traceback says whose it is, wherever the host calls from. */
static void on_done_story(lua_State *L, weir_task_state state, void *data)
{
    on_done(L, state, data);
    lua_getfield(L, 1, "traceback");
    CHECK(lua_isstring(L, -1) && strstr(lua_tostring(L, -1), " spawned by the host") != NULL);
}

static int start_within(lua_State *L)
{
    return start(L, "error('wrong', 0)", on_done_story, lua_touserdata(L, 1));
}

static void names_the_host_as_who_spawned(void)
{
    lua_State *L = open_state();
    told t;
    CHECK(start(L, "error('wrong', 0)", on_done_story, &t) == 0);
    drive(L, &t);
    CHECK(t.n == 1);
    lua_pushcfunction(L, start_within);
    lua_pushlightuserdata(L, &t);
    CHECK(lua_pcall(L, 1, 0, 0) == LUA_OK);
    drive(L, &t);
    CHECK(t.n == 1);
    lua_close(L);
}

/* Each has a runtime of its own; that one goes does not concern the other. */
static void runs_two_states_on_one_loop(void)
{
    uv_loop_t loop;
    told one, two;
    CHECK(uv_loop_init(&loop) == 0);
    lua_State *L = open_on(&loop), *other = open_on(&loop);
    CHECK(start(L, "weir.sleep(0.001) return 'one'", on_done, &one) == 0);
    CHECK(start(other, "weir.sleep(0.002) return 'two'", on_done, &two) == 0);
    uv_run(&loop, UV_RUN_DEFAULT); /* as long as either has something to do */
    CHECK(one.n == 1 && strcmp(one.text, "one") == 0);
    CHECK(two.n == 1 && strcmp(two.text, "two") == 0);
    CHECK(start(other, "weir.sleep(0.001) return 'goes on'", on_done, &two) == 0);
    lua_close(L);
    uv_run(&loop, UV_RUN_DEFAULT);
    CHECK(two.n == 1 && strcmp(two.text, "goes on") == 0);
    api->end(other, "enough", 0);
    lua_close(other);
    uv_run(&loop, UV_RUN_DEFAULT);
    CHECK(uv_loop_close(&loop) == 0);
}

static int start_protected(lua_State *L)
{
    start(L, "return ('x'):rep(100)", on_done, lua_touserdata(L, 1));
    return 0;
}

/* Refuse the nth request and all after it, for every n: started and told, or not started. */
static void survives_every_failure_of_memory(void)
{
    for (long n = 1, done = 0; !done; n++) {
        lua_State *L = open_state();
        told t = {0};
        lua_pushcfunction(L, start_protected);
        lua_pushlightuserdata(L, &t);
        n_requests = 0;
        fail_at = n;
        int rc = lua_pcall(L, 1, 0, 0);
        if (rc == LUA_OK)
            drive(L, &t);
        done = n_requests < n;
        fail_at = 0;
        CHECK(t.n == (rc == LUA_OK));
        CHECK(rc == LUA_OK || rc == LUA_ERRMEM);
        CHECK(!done || (t.state == WEIR_TASK_DONE && t.top == 2));
        lua_settop(L, 0);
        CHECK(start(L, "return 'after'", on_done, &t) == 0);
        drive(L, &t);
        CHECK(t.n == 1 && strcmp(t.text, "after") == 0);
        lua_close(L);
    }
}

int main(void)
{
    tells_each_outcome_once();
    ends_what_is_left();
    closes_with_an_end_untold();
    names_the_host_as_who_spawned();
    runs_two_states_on_one_loop();
    survives_every_failure_of_memory();
    return failed != 0;
}
