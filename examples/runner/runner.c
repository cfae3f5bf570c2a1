/* runner.c - runs build and release workflows written in Lua, several at once, each within limits.
 *
 *     runner [-j JOBS] [-t SECONDS] WORKFLOW.lua ...
 *
 * Each workflow is a task on the program's own libuv loop. Commands of all of them share JOBS
 * slots; each workflow has SECONDS. What goes wrong in one (an error, a deadlock, a wait without
 * end, a loop that never waits) is reported and leaves the others alone. The operator's answers
 * come on standard input, a line each. Ctrl-C cancels all workflows, whose cleanup runs; a second
 * one ends the program at once. Exit code: 0, 1 if a workflow failed, 2 usage, 128+n signal n.
 */
#include "runner.h"

#include <lualib.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BUSY UINT64_C(2000000000) /* ns that a workflow may run without waiting */

typedef struct workflow {
    runner *r;
    const char *path;
    weir_task *task; /* NULL once it ended, or if it never started */
} workflow;

typedef struct program {
    runner r; /* first: callbacks of libuv get it */
    workflow *workflows;
    int n;
    long jobs;
    double limit;
    uv_signal_t signals[2];
    union {
        uv_pipe_t pipe;
        uv_tty_t tty;
    } in;
    char line[256];
    size_t n_line;
} program;

/* What workflows see: the globals of Lua, weir, and the host's functions with limits around them.
 */
static const char prelude[] =
    "local host, jobs = ...\n"
    "local weir = require 'weir'\n"
    "local slots = weir.semaphore { permits = jobs, name = 'slots' }\n"
    "local function sh(command)\n"
    "  local status, output = slots:with(host.sh, command)\n"
    "  if status ~= 0 then\n"
    "    error(('%s: exit status %d\\n%s'):format(command, status, output), 2)\n"
    "  end\n"
    "  return output\n"
    "end\n"
    "return function()\n"
    "  return setmetatable({ weir = weir, sh = sh, digest = host.digest, approve = host.approve "
    "},\n"
    "    { __index = _G })\n"
    "end\n";

/* --- workflows ------------------------------------------------------------------------------- */

/* The tasks share one state: who never waits would stop all. Time stands still for weir while a
 * task runs, so that the clock says for how long this one has. */
static void on_count(lua_State *L, lua_Debug *ar)
{
    lua_getfield(L, LUA_REGISTRYINDEX, "runner");
    const runner *r = lua_touserdata(L, -1);
    (void)ar;
    lua_pop(L, 1);
    if (uv_hrtime() > r->api->now(r->rt) + BUSY)
        luaL_error(L, "ran for 2 s without waiting");
}

static void stop_listening(program *p)
{
    for (int i = 0; i < 2; i++)
        uv_unref((uv_handle_t *)&p->signals[i]);
    if (p->r.has_operator)
        uv_unref((uv_handle_t *)&p->in);
}

/* Its task at 1, then its results or its error. */
static void on_done(lua_State *L, weir_task_state state, void *data)
{
    workflow *w = data;
    runner *r = w->r;
    w->task = NULL;
    if (state == WEIR_TASK_DONE) {
        printf("%s: ok\n", w->path);
    } else {
        printf("%s: failed: %s\n", w->path, luaL_tolstring(L, 2, NULL));
        if (state == WEIR_TASK_FAILED && lua_getfield(L, 1, "traceback") == LUA_TSTRING)
            printf("%s\n", lua_tostring(L, -1));
        r->n_failed++;
    }
    fflush(stdout);
    if (--r->n_open == 0)
        stop_listening((program *)r);
}

/* weir.timeout(limit, chunk) as a task. Stack: ..., the prelude's function (stays). */
static void begin(lua_State *L, program *p, workflow *w)
{
    int environment = lua_gettop(L);
    lua_getglobal(L, "require");
    lua_pushliteral(L, "weir");
    lua_call(L, 1, 1);
    lua_getfield(L, -1, "timeout");
    lua_pushnumber(L, p->limit);
    int rc = luaL_loadfilex(L, w->path, "t");
    if (rc == LUA_OK) {
        lua_pushvalue(L, environment);
        lua_call(L, 0, 1);
        lua_setupvalue(L, -2, 1); /* its _ENV */
        rc = p->r.api->start(L, 2, on_done, w, &w->task);
        if (rc == 0)
            p->r.n_open++;
        else
            lua_pushstring(L, p->r.api->error_text(rc));
    }
    if (rc != 0) {
        printf("%s: failed: %s\n", w->path, lua_tostring(L, -1));
        p->r.n_failed++;
    }
    lua_settop(L, environment);
}

/* --- the outside ------------------------------------------------------------------------------ */

static void on_signal(uv_signal_t *handle, int signum)
{
    program *p = handle->data;
    if (p->r.signum != 0)
        _exit(128 + signum);
    p->r.signum = signum;
    for (int i = 0; i < p->n; i++)
        if (p->workflows[i].task != NULL)
            p->r.api->cancel(p->r.rt, &p->workflows[i].task->scope, "the operator stopped it");
}

static void give_buffer(uv_handle_t *handle, size_t size, uv_buf_t *out)
{
    program *p = handle->data;
    (void)size;
    *out = uv_buf_init(p->line + p->n_line, (unsigned)(sizeof p->line - p->n_line));
}

static void on_typed(uv_stream_t *stream, ssize_t n, const uv_buf_t *buffer)
{
    program *p = stream->data;
    char *end;
    (void)buffer;
    if (n < 0) {
        uv_read_stop(stream);
        operator_leaves(&p->r);
        return;
    }
    p->n_line += (size_t)n;
    while ((end = memchr(p->line, '\n', p->n_line)) != NULL) {
        size_t length = (size_t)(end - p->line) + 1;
        operator_answers(&p->r, p->line[0] == 'y' || p->line[0] == 'Y');
        memmove(p->line, end + 1, p->n_line - length);
        p->n_line -= length;
    }
    if (p->n_line == sizeof p->line)
        p->n_line = 1; /* an endless line: its first letter is the answer */
}

static void listen_to_operator(program *p)
{
    uv_handle_type type = uv_guess_handle(STDIN_FILENO);
    int rc = -1;
    if (type == UV_TTY)
        rc = uv_tty_init(&p->r.loop, &p->in.tty, STDIN_FILENO, 1);
    else if (type == UV_NAMED_PIPE && (rc = uv_pipe_init(&p->r.loop, &p->in.pipe, 0)) == 0)
        rc = uv_pipe_open(&p->in.pipe, STDIN_FILENO);
    if (rc != 0)
        return;
    p->r.has_operator = 1;
    p->in.pipe.data = p;
    uv_read_start((uv_stream_t *)&p->in, give_buffer, on_typed);
}

/* All that can raise, under one lua_pcall. */
static int run(lua_State *L)
{
    program *p = lua_touserdata(L, 1);
    lua_settop(L, 0);
    luaL_openlibs(L);
    weir_lua_preload(L);
    weir_lua_set_loop(L, &p->r.loop, (void (*)(void))uv_run);
    p->r.api = weir_lua_open(L);
    p->r.rt = p->r.api->runtime(L);
    lua_pushlightuserdata(L, &p->r);
    lua_setfield(L, LUA_REGISTRYINDEX, "runner");
    lua_sethook(L, on_count, LUA_MASKCOUNT, 1000000);

    if (luaL_loadstring(L, prelude) != LUA_OK)
        return lua_error(L);
    functions_push(L, &p->r);
    lua_pushinteger(L, p->jobs);
    lua_call(L, 2, 1);
    for (int i = 0; i < p->n; i++)
        begin(L, p, &p->workflows[i]);
    if (p->r.n_open > 0)
        listen_to_operator(p);
    else
        stop_listening(p);
    uv_run(&p->r.loop, UV_RUN_DEFAULT);
    p->r.api->end(L, "the runner ends", 5 * WEIR_SECOND); /* what workflows detached */
    return 0;
}

static void close_all(uv_handle_t *handle, void *data)
{
    (void)data;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

static int parse(program *p, int argc, char **argv)
{
    int option;
    while ((option = getopt(argc, argv, "j:t:")) != -1) {
        if (option == 'j')
            p->jobs = strtol(optarg, NULL, 10);
        else if (option == 't')
            p->limit = strtod(optarg, NULL);
        else
            return 0;
    }
    p->n = argc - optind;
    p->workflows = calloc((size_t)p->n + 1, sizeof *p->workflows);
    for (int i = 0; p->workflows != NULL && i < p->n; i++)
        p->workflows[i] = (workflow){.r = &p->r, .path = argv[optind + i]};
    return p->workflows != NULL && p->n > 0 && p->jobs >= 1 && p->limit > 0;
}

int main(int argc, char **argv)
{
    static const int signums[] = {SIGINT, SIGTERM};
    program p = {.jobs = 2, .limit = 600};
    weir_list_init(&p.r.questions);
    if (!parse(&p, argc, argv)) {
        fputs("usage: runner [-j JOBS] [-t SECONDS] WORKFLOW.lua ...\n", stderr);
        free(p.workflows);
        return 2;
    }
    lua_State *L = luaL_newstate();
    if (L == NULL || uv_loop_init(&p.r.loop) != 0)
        return 1;
    for (int i = 0; i < 2; i++) {
        uv_signal_init(&p.r.loop, &p.signals[i]);
        p.signals[i].data = &p;
        uv_signal_start(&p.signals[i], on_signal, signums[i]);
    }
    lua_pushcfunction(L, run);
    lua_pushlightuserdata(L, &p);
    int rc = lua_pcall(L, 1, 0, 0);
    if (rc != LUA_OK)
        fprintf(stderr, "runner: %s\n", lua_tostring(L, -1));
    lua_close(L);
    stop_listening(&p);
    uv_run(&p.r.loop, UV_RUN_DEFAULT); /* processes that were killed are gone */
    uv_walk(&p.r.loop, close_all, NULL);
    uv_run(&p.r.loop, UV_RUN_DEFAULT);
    uv_loop_close(&p.r.loop);
    free(p.workflows);
    return p.r.signum != 0 ? 128 + p.r.signum : rc != LUA_OK || p.r.n_failed > 0;
}
