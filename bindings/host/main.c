/* host/main.c - the `weir` program: arguments, Lua state, the script as main task, exit code.
 *
 * All that can raise runs in pmain under one lua_pcall. The script is loaded first and then run
 * as the main task of the runtime, so that every wait of the library works at its top level.
 * Exit code, the first that applies: 128+n signal, 124 timeout, 3 deadlock, 1 script error or an
 * unhandled failure of a detached task, 2 usage or unreadable script, 0.
 */
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <weir/lua.h>

#include "app.h"
#include "context.h"
#include "embedded.h"
#include "explore.h"
#include "options.h"
#include "signals.h"
#include "stats.h"

int luaopen_cjson(lua_State *L);
int luaopen_cjson_safe(lua_State *L);

#define THREADS "16" /* for blocking work: files, names, SQLite */

/* The run in progress: what os.exit must know. */
typedef struct host_run {
    host_options *options;
    lcontext *ctx; /* NULL before it is chosen */
    uint64_t started;
} host_run;

/* --- the state --------------------------------------------------------------------------- */

static void preload(lua_State *L)
{
    weir_lua_preload(L);
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
    lua_pushcfunction(L, luaopen_cjson);
    lua_setfield(L, -2, "cjson");
    lua_pushcfunction(L, luaopen_cjson_safe);
    lua_setfield(L, -2, "cjson.safe");
    luaL_setfuncs(L, weir_linked_modules, 0);
    lua_pop(L, 1);
}

#ifndef WEIR_LIBDIR
#define WEIR_LIBDIR "lib" /* of the installation, seen from its prefix */
#endif

/* The connectors lie beside the binary: lua/ in the build tree, ../lib/lua/5.4 installed. */
static void add_cpath(lua_State *L)
{
    char path[HOST_PATH];
    if (!host_self(path, sizeof path))
        return;
    *strrchr(path, '/') = '\0';
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "cpath");
    lua_pushfstring(L, "%s/lua/?.so;%s/../%s/lua/5.4/?.so;%s", path, path, WEIR_LIBDIR,
                    lua_tostring(L, -1));
    lua_setfield(L, -3, "cpath");
    lua_pop(L, 2);
}

static void print_stats(lua_State *L, const host_run *run)
{
    if (run->options->stats && run->ctx != NULL)
        host_stats_print(L, run->ctx->rt, run->started, run->options->is_virtual);
}

/* What could not be written is an error of a program that knows of none. Returns the exit code. */
static int end_output(host_options *o)
{
    if ((fflush(stdout) != 0 || ferror(stdout)) && o->code == 0) {
        fprintf(stderr, "weir: cannot write to standard output: %s\n", strerror(errno));
        o->code = EXIT_SCRIPT;
    }
    clearerr(stdout);
    return o->code;
}

/* os.exit([code]): at once, whatever runs. The state is not closed: tasks are on its stack. */
static int os_exit(lua_State *L)
{
    int code = EXIT_SUCCESS;
    host_run *run = lua_touserdata(L, lua_upvalueindex(1));
    print_stats(L, run);
    if (lua_isboolean(L, 1))
        code = lua_toboolean(L, 1) ? EXIT_SUCCESS : EXIT_FAILURE;
    else
        code = (int)luaL_optinteger(L, 1, EXIT_SUCCESS);
    run->options->code = code;
    code = end_output(run->options);
    fflush(NULL);
    exit(code);
}

static void set_arg(lua_State *L, const host_options *o)
{
    int script = o->app != NULL ? 0 : o->script != 0 ? o->script : o->argc;
    lua_createtable(L, o->argc - script, script + 1);
    for (int i = 0; i < o->argc; i++) {
        lua_pushstring(L, o->argv[i]);
        lua_rawseti(L, -2, i - script);
    }
    lua_setglobal(L, "arg");
}

/* --- the program ----------------------------------------------------------------------------- */

/* -l NAME or G=NAME, in upvalue 1. */
static int require_global(lua_State *L)
{
    const char *global = lua_tostring(L, lua_upvalueindex(1)), *equals = strchr(global, '=');
    lua_getglobal(L, "require");
    if (equals != NULL) {
        lua_pushlstring(L, global, (size_t)(equals - global));
        lua_insert(L, -2);
        lua_pushstring(L, equals + 1);
        global = lua_tostring(L, -3);
    } else {
        lua_pushstring(L, global);
    }
    lua_call(L, 1, 1);
    lua_setglobal(L, global);
    return 0;
}

static const char run_busted[] = "local run = require 'busted.runner'\n"
                                 "table.insert(arg, 1, '--ignore-lua')\n" /* this is it */
                                 "run { standalone = false }\n"
                                 "return\n"; /* no tail call: the runner looks who called it */
static const char run_tool[] = "local self, make_executable = ...\n"
                               "return function(...)\n"
                               "  local tool = require('weir.tool.' .. arg[0])\n"
                               "  os.exit(tool.main({ ... }, self, make_executable))\n"
                               "end\n";

/* make_executable(file, target) -> true, or nil and why: for all who may read it. It is to replace
 * `target`, which must be a plain file if it is there. */
static int make_executable(lua_State *L)
{
    const char *file = luaL_checkstring(L, 1), *target = luaL_checkstring(L, 2);
    struct stat st;
    int rc = 0;
    if (stat(target, &st) == 0 && !S_ISREG(st.st_mode)) {
        errno = S_ISDIR(st.st_mode) ? EISDIR : EEXIST;
        rc = -1;
    }
    if (rc == 0)
        rc = stat(file, &st);
    if (rc == 0)
        rc = chmod(file, (st.st_mode & 0777) | (st.st_mode & 0444) >> 2);
    return luaL_fileresult(L, rc == 0, file);
}

/* `weir busted`, `weir new` and `weir build`, where there is no script of that name. 1 if `word` is
 * one of them, whose function is pushed. */
static int load_command(lua_State *L, const char *word)
{
    char self[HOST_PATH];
    int is_busted = strcmp(word, "busted") == 0;
    if (!is_busted && strcmp(word, "new") != 0 && strcmp(word, "build") != 0)
        return 0;
    struct stat st;
    if (stat(word, &st) == 0 && S_ISREG(st.st_mode)) /* a folder of that name is no script */
        return 0;
    const char *text = is_busted ? run_busted : run_tool;
    if (luaL_loadbufferx(L, text, strlen(text), is_busted ? "=busted" : "=weir", "t") != LUA_OK)
        lua_error(L);
    if (!is_busted) {
        lua_pushstring(L, host_self(self, sizeof self) ? self : "");
        lua_pushcfunction(L, make_executable);
        lua_call(L, 2, 1);
    }
    return 1;
}

/* Push the functions of the program; 0 or an exit code after a message. */
static int load_program(lua_State *L, const host_options *o)
{
    if (o->app != NULL) {
        if (luaL_loadbufferx(L, o->app, o->app_size, "=(application)", "t") == LUA_OK)
            return 0;
        fprintf(stderr, "weir: %s\n", lua_tostring(L, -1));
        return EXIT_SCRIPT;
    }
    for (int i = 0; i < o->n_chunks; i++) {
        const char *text = o->chunks[i].text;
        if (o->chunks[i].option == 'l') {
            lua_pushstring(L, text);
            lua_pushcclosure(L, require_global, 1);
        } else if (luaL_loadbufferx(L, text, strlen(text), "=(command line)", "t") != LUA_OK) {
            fprintf(stderr, "weir: %s\n", lua_tostring(L, -1));
            return EXIT_SCRIPT;
        }
    }
    const char *script = o->script != 0 ? o->argv[o->script] : NULL;
    if (script == NULL && o->n_chunks == 0 && !o->version && !o->interactive)
        script = "-";
    if (script == NULL)
        return 0;
    if (load_command(L, script))
        return 0;
    const char *file = strcmp(script, "-") == 0 ? NULL : script;
    int rc = luaL_loadfile(L, file);
    if (rc != LUA_OK) {
        fprintf(stderr, "weir: %s\n", lua_tostring(L, -1));
        return rc == LUA_ERRFILE ? EXIT_USAGE : EXIT_SCRIPT;
    }
    return 0;
}

/* The main task's body: n functions, one after the other; the script, which is the last but for the
 * prompt (upvalue 1: is there one?), gets the arguments. Stack: n, functions. */
static int next_chunk(lua_State *L, int status, lua_KContext done)
{
    int n = (int)lua_tointeger(L, 1);
    (void)status;
    lua_settop(L, n + 1);
    if (done == n)
        return 0;
    lua_pushvalue(L, (int)done + 2);
    int n_args = 0;
    if (done + 1 == n - lua_toboolean(L, lua_upvalueindex(1))) { /* arg[1] .. arg[#arg] */
        lua_getglobal(L, "arg");
        int arg = lua_gettop(L);
        if (lua_istable(L, arg)) {
            n_args = (int)lua_rawlen(L, arg);
            luaL_checkstack(L, n_args, "too many arguments");
            for (int i = 1; i <= n_args; i++)
                lua_rawgeti(L, arg, i);
        }
        lua_remove(L, arg);
    }
    lua_callk(L, n_args, 0, done + 1, next_chunk);
    return next_chunk(L, LUA_OK, done + 1);
}

static int program(lua_State *L)
{
    return next_chunk(L, LUA_OK, 0);
}

/* --- the prompt --------------------------------------------------------------------------- */

static const char interrupted_key; /* its address: the function, in the registry */

static int call_interrupted(lua_State *L)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &interrupted_key);
    if (!lua_isnil(L, -1))
        lua_call(L, 0, 0);
    return 0;
}

/* Ctrl-C at the prompt, from the loop. */
static void interrupted(void *data)
{
    lua_State *L = data;
    lua_pushcfunction(L, call_interrupted);
    if (lua_checkstack(L, 4) == 0 || lua_pcall(L, 0, 0, 0) != LUA_OK)
        lua_pop(L, 1);
}

/* on_interrupt(fn or nil): fn is called at each SIGINT, which then cancels nothing by itself. */
static int on_interrupt(lua_State *L)
{
    lcontext *ctx = lbox_of(L)->own;
    lua_settop(L, 1);
    host_signals_set_interrupt(lua_isnil(L, 1) ? NULL : interrupted, ctx->main);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &interrupted_key);
    return 0;
}

static int ended(lua_State *L, int status, lua_KContext kctx)
{
    (void)L;
    (void)status;
    (void)kctx;
    return 0;
}

/* The last function of an interactive program. */
static int prompt(lua_State *L)
{
    lua_settop(L, 0);
    lua_getglobal(L, "require");
    lua_pushliteral(L, "weir.repl");
    lua_call(L, 1, 1);
    lua_getfield(L, -1, "run");
    lua_pushcfunction(L, on_interrupt);
    lua_callk(L, 1, 0, 0, ended);
    return 0;
}

/* Print an error of the main task and say with which code to exit. */
static int failed(lua_State *L, const lcontext *ctx, int task)
{
    int error = lua_gettop(L);
    const char *kind = lerror_kind(L, error);
    int asked = host_signals_cause() != 0 || (weir_root(ctx->rt)->flags & WEIR_SCOPE_EXPIRED);
    if (asked && strcmp(kind, "cancelled") == 0)
        return EXIT_SCRIPT; /* the caller knows the code */
    fflush(stdout);
    lerror_push_text(L, error);
    fprintf(stderr, "weir: %s\n", lua_tostring(L, -1));
    if (strcmp(kind, "deadlock") != 0 && lua_getfield(L, task, "traceback") == LUA_TSTRING)
        fprintf(stderr, "%s\n", lua_tostring(L, -1));
    return strcmp(kind, "deadlock") == 0 ? EXIT_DEADLOCK : EXIT_SCRIPT;
}

/* Run the functions on the stack as the main task of `ctx`. Returns the exit code. */
static int run_program(lua_State *L, lcontext *ctx, int n)
{
    int code = 0;
    ltask *t = lrun_main(L, ctx, n + 1);
    int task = lua_gettop(L);
    if (t->task.state != WEIR_TASK_DONE) {
        if (ltask_push_values(L, task, t) == 0)
            lua_pushnil(L);
        code = failed(L, ctx, task);
    }
    if (code != EXIT_DEADLOCK && ctx->deadlocked)
        code = EXIT_DEADLOCK;
    if (code == 0 && ctx->n_unhandled > 0)
        code = EXIT_SCRIPT;
    return code;
}

/* On virtual time the deadline is one of the root scope: the machine's clock says nothing. */
static int run_virtual(lua_State *L, lbox *box, host_run *run, int n)
{
    host_options *o = run->options;
    weir_simulator *sim =
        weir_simulator_new(o->has_seed ? WEIR_PLAN_SEED : WEIR_PLAN_FIFO, o->seed);
    weir_deadline deadline;
    if (sim == NULL)
        return luaL_error(L, "not enough memory");
    lcontext *ctx = box->current = lcontext_new(L, box, sim);
    run->ctx = ctx;
    run->started = weir_now(ctx->rt);
    weir_scope *root = weir_root(ctx->rt);
    if (o->timeout > 0)
        weir_scope_set_deadline(ctx->rt, root, &deadline,
                                weir_after(ctx->rt, (uint64_t)(o->timeout * 1e9)));
    o->code = run_program(L, ctx, n);
    if (o->timeout > 0) {
        if (root->flags & WEIR_SCOPE_EXPIRED)
            o->code = EXIT_TIMEOUT;
        weir_deadline_unset(ctx->rt, &deadline);
    }
    print_stats(L, run);
    run->ctx = NULL;
    box->current = box->own;
    lcontext_free(L, ctx);
    weir_simulator_free(sim);
    return 0;
}

static int run_real(lua_State *L, lbox *box, host_run *run, int n)
{
    host_options *o = run->options;
    lcontext *ctx = run->ctx = box->own;
    run->started = weir_now(ctx->rt);
    int rc = host_signals_start(ctx->rt, o->timeout);
    if (rc != 0)
        return luaL_error(L, "cannot watch signals: %s", weir_error_text(rc));
    o->code = run_program(L, ctx, n);
    host_signals_stop();
    int cause = host_signals_cause();
    if (cause != 0)
        o->code = cause > 0 ? 128 + cause : EXIT_TIMEOUT;
    print_stats(L, run);
    return 0;
}

/* A run on virtual time has its order from the seed, and so has what chance there is in it. */
static void seed_random(lua_State *L, const host_options *o)
{
    lua_getglobal(L, "math");
    lua_getfield(L, -1, "randomseed");
    lua_pushinteger(L, (lua_Integer)o->seed);
    lua_call(L, 1, 0);
    lua_pop(L, 1);
}

static int pmain(lua_State *L)
{
    host_run *run = lua_touserdata(L, 1);
    host_options *o = run->options;
    luaL_openlibs(L);
    preload(L);
    add_cpath(L);
    lua_getglobal(L, "os");
    lua_pushlightuserdata(L, run);
    lua_pushcclosure(L, os_exit, 1);
    lua_setfield(L, -2, "exit");
    if (o->is_virtual)
        seed_random(L, o);
    lua_settop(L, 0);
    set_arg(L, o);

    lua_getglobal(L, "require");
    lua_pushliteral(L, "weir.core");
    lua_call(L, 1, 0);
    lbox *box = lbox_of(L);

    lua_pushboolean(L, o->interactive);
    lua_pushcclosure(L, program, 1);
    lua_pushinteger(L, 0);
    o->code = load_program(L, o);
    if (o->code != 0)
        return 0;
    if (o->interactive)
        lua_pushcfunction(L, prompt);
    int n = lua_gettop(L) - 2;
    lua_pushinteger(L, n);
    lua_replace(L, 2);
    if (n == 0)
        return 0;
    return o->is_virtual ? run_virtual(L, box, run, n) : run_real(L, box, run, n);
}

/* The whole of a run: a state, the program, the exit code. */
static int run_state(host_options *o)
{
    host_run run = {.options = o};
    lua_State *L = luaL_newstate();
    if (L == NULL) {
        fputs("weir: not enough memory\n", stderr);
        return EXIT_SCRIPT;
    }
    lua_pushcfunction(L, pmain);
    lua_pushlightuserdata(L, &run);
    if (lua_pcall(L, 1, 0, 0) != LUA_OK) {
        lerror_push_text(L, -1);
        fprintf(stderr, "weir: %s\n", lua_tostring(L, -1));
        o->code = EXIT_SCRIPT;
    }
    lua_close(L);
    return end_output(o);
}

/* Somebody sits there and said nothing of what to do. */
static int is_for_people(const host_options *o)
{
    return o->script == 0 && o->n_chunks == 0 && !o->version && isatty(STDIN_FILENO);
}

static int explore(host_options *o)
{
    const char *script = o->script != 0 ? o->argv[o->script] : NULL;
    if (o->interactive || (script == NULL ? o->n_chunks == 0 : strcmp(script, "-") == 0))
        return host_usage("--explore needs a script that can be read more than once", NULL);
    return host_explore(o, run_state);
}

/* A closed standard stream stays one that fails: nothing else may be given its descriptor, and
 * libuv aborts if it is. Each is opened the wrong way round. */
static void hold_standard_streams(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
            (void)!open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

int main(int argc, char **argv)
{
    host_options o = {.argc = argc, .argv = argv};
    hold_standard_streams();
    o.chunks = calloc((size_t)argc + 1, sizeof *o.chunks);
    if (o.chunks == NULL) {
        fputs("weir: not enough memory\n", stderr);
        return EXIT_SCRIPT;
    }
    o.app = host_app(&o.app_size);
    if (o.app == NULL && o.app_size > 0) {
        fputs("weir: cannot read the script inside\n", stderr);
        o.code = EXIT_USAGE;
    } else if (o.app != NULL || host_options_parse(&o)) {
        /* libuv makes four threads unless told: four slow queries of SQLite, and no name is looked
         * up any more. They are made at the first blocking work, not before. */
        setenv("UV_THREADPOOL_SIZE", THREADS, 0);
        if (o.app == NULL && is_for_people(&o))
            o.interactive = 1;
        if (o.version)
            printf("weir %s (%s, libuv %s)\n", WEIR_VERSION, LUA_RELEASE, weir_loop_backend());
        o.code = o.explore > 0 ? explore(&o) : run_state(&o);
    }
    end_output(&o);
    free(o.app);
    free(o.chunks);
    return o.code;
}
