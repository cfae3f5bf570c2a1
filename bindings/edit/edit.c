/* edit/edit.c - weir.edit.line: lines of standard input, one at a time, while the loop goes on.
 *
 * On a terminal the line is edited by libedit, fed a character whenever there is one; history comes
 * with it. Elsewhere (a pipe, a file) lines are read as they come. One task at a time may wait for
 * a line. A terminal is the process's, and so is libedit's state: there is one editor, which
 * belongs to the runtime that opened it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <weir/lua.h>

#include <editline/readline.h> /* libedit with readline's names */

static const weir_lua_api *api;

#define TYPE "weir.edit.line"
#define BLOCK 4096 /* bytes read at a time where there is no terminal */

typedef enum line_state { WANTED, READY, ENDED, INTERRUPTED } line_state;

typedef struct editor {
    weir_runtime *rt;    /* NULL once closed */
    weir_poll *poll;     /* NULL: a file, which never lets one wait */
    weir_waiter *waiter; /* who waits, or NULL */
    char *line;          /* READY on a terminal: libedit's, to be freed */
    char *bytes;         /* elsewhere: what was read and not yet given */
    size_t n, size;
    line_state state;
    int is_terminal, at_end;
} editor;

static editor *current; /* libedit's callbacks know nothing but the process */

/* --- reading ---------------------------------------------------------------------------------- */

static void finish(editor *e, line_state state)
{
    weir_waiter *w = e->waiter;
    e->state = state;
    e->waiter = NULL;
    if (e->poll != NULL)
        api->poll_set(e->poll, 0);
    if (w != NULL)
        api->waiter_settle(e->rt, w, WEIR_GRANTED);
}

static void on_line(char *line)
{
    rl_callback_handler_remove(); /* the terminal is as it was while a command runs */
    current->line = line;
    current->state = line != NULL ? READY : ENDED;
}

/* Where the first line of what is there ends, NUL if none does: all of it, at the end. */
static int has_line(const editor *e)
{
    return e->n > 0 && (memchr(e->bytes, '\n', e->n) != NULL || e->at_end);
}

/* Read once: 0, or a code. */
static int read_some(editor *e)
{
    if (e->size - e->n < BLOCK) {
        char *p = realloc(e->bytes, e->size + BLOCK);
        if (p == NULL)
            return WEIR_ENOMEM;
        e->bytes = p;
        e->size += BLOCK;
    }
    ssize_t n = read(STDIN_FILENO, e->bytes + e->n, e->size - e->n);
    if (n > 0)
        e->n += (size_t)n;
    else if (n == 0 || (errno != EAGAIN && errno != EINTR))
        e->at_end = 1;
    return 0;
}

static void on_readable(weir_poll *poll, int status, int events, void *data)
{
    editor *e = data;
    (void)poll;
    (void)events;
    if (e->waiter == NULL)
        return;
    if (!e->is_terminal) {
        if (read_some(e) != 0 || status < 0)
            e->at_end = 1;
        if (has_line(e) || e->at_end)
            finish(e, has_line(e) ? READY : ENDED);
        return;
    }
    if (status < 0)
        on_line(NULL);
    else
        rl_callback_read_char();
    if (e->state != WANTED)
        finish(e, e->state);
}

/* --- the wait --------------------------------------------------------------------------------- */

static void stop_editing(editor *e)
{
    if (e->is_terminal && e->state == WANTED) {
        rl_callback_handler_remove();
        fputc('\n', stdout);
        fflush(stdout);
    }
}

static void leave(weir_runtime *rt, weir_waiter *w)
{
    editor *e = w->object;
    (void)rt;
    stop_editing(e);
    e->waiter = NULL;
    e->state = ENDED;
    api->poll_set(e->poll, 0);
}

static const weir_wait_ops line_ops = {.op = "edit:line", .leave = leave};

static editor *check(lua_State *L, const char *op)
{
    editor *e = luaL_checkudata(L, 1, TYPE);
    if (e->rt == NULL)
        api->raise(L, "closed", op, "closed");
    return e;
}

/* The line that is there, without its end; nil at the end; false if it was interrupted. */
static int push_line(lua_State *L, editor *e)
{
    if (e->state == ENDED) {
        lua_pushnil(L);
    } else if (e->state == INTERRUPTED) {
        lua_pushboolean(L, 0);
    } else if (e->is_terminal) {
        char *line = e->line;
        lua_pushstring(L, line); /* may raise: then it is freed with the editor */
        e->line = NULL;
        free(line);
    } else {
        const char *end = memchr(e->bytes, '\n', e->n);
        size_t length = end != NULL ? (size_t)(end - e->bytes) : e->n;
        lua_pushlstring(L, e->bytes, length);
        length += end != NULL;
        e->n -= length;
        memmove(e->bytes, e->bytes + length, e->n);
    }
    return 1;
}

static int linek(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    (void)ctx;
    api->outcome(L);
    return push_line(L, check(L, "edit:line"));
}

/* edit:line(prompt) -> a line without its end, nil at the end of the input, false if interrupt()
 * was called meanwhile. */
static int edit_line(lua_State *L)
{
    static const char op[] = "edit:line";
    editor *e = check(L, op);
    const char *prompt = luaL_checkstring(L, 2);
    weir_waiter *w = api->enter(L, op);
    if (e->waiter != NULL)
        return api->raise(L, "misuse", op, "another task waits for a line");
    if (!e->is_terminal) {
        while (e->poll == NULL && !has_line(e) && !e->at_end)
            if (read_some(e) != 0)
                return luaL_error(L, "not enough memory");
        if (has_line(e) || e->at_end) {
            e->state = has_line(e) ? READY : ENDED;
            return push_line(L, e);
        }
    }
    int rc = api->poll_set(e->poll, WEIR_READABLE);
    if (rc != 0)
        return api->raise(L, "network", op, "%s", api->error_text(rc));
    free(e->line);
    e->line = NULL;
    e->state = WANTED;
    api->waiter_begin(e->rt, w, &line_ops, e, WEIR_FOREVER);
    e->waiter = w;
    if (e->is_terminal) {
        fflush(stdout);
        rl_callback_handler_install(prompt, on_line);
    }
    return api->park(L, linek, 0);
}

/* edit:interrupt() -> was there somebody waiting for a line? He gets false. Needs no task. */
static int edit_interrupt(lua_State *L)
{
    editor *e = check(L, "edit:interrupt");
    int waits = e->waiter != NULL;
    if (waits) {
        stop_editing(e);
        finish(e, INTERRUPTED);
    }
    lua_pushboolean(L, waits);
    return 1;
}

/* --- history, and the ends -------------------------------------------------------------------- */

/* edit:remember(line): into the history, which arrow keys go through. */
static int edit_remember(lua_State *L)
{
    editor *e = check(L, "edit:remember");
    const char *line = luaL_checkstring(L, 2);
    if (e->is_terminal)
        add_history(line);
    return 0;
}

/* edit:load(file), edit:save(file) -> was it done? */
static int edit_load(lua_State *L)
{
    editor *e = check(L, "edit:load");
    lua_pushboolean(L, e->is_terminal && read_history(luaL_checkstring(L, 2)) == 0);
    return 1;
}

static int edit_save(lua_State *L)
{
    editor *e = check(L, "edit:save");
    lua_pushboolean(L, e->is_terminal && write_history(luaL_checkstring(L, 2)) == 0);
    return 1;
}

static void end(void *data)
{
    editor *e = data;
    if (e->rt == NULL)
        return;
    if (e->waiter != NULL) {
        stop_editing(e);
        finish(e, ENDED);
    }
    api->poll_free(e->poll);
    free(e->line);
    free(e->bytes);
    *e = (editor){.rt = NULL};
    if (current == e)
        current = NULL;
}

static int edit_close(lua_State *L)
{
    editor *e = luaL_checkudata(L, 1, TYPE);
    if (e->rt != NULL)
        api->at_end(L, e->rt, NULL, e);
    end(e);
    return 0;
}

/* weir.edit.line.open() -> edit; `edit.is_terminal` says whether lines are edited. */
static int open_editor(lua_State *L)
{
    static const char op[] = "edit.open";
    if (current != NULL)
        return api->raise(L, "misuse", op, "there is an editor already");
    editor *e = lua_newuserdatauv(L, sizeof *e, 0);
    *e = (editor){.rt = NULL};
    luaL_setmetatable(L, TYPE);
    weir_runtime *rt = api->runtime(L);
    api->at_end(L, rt, end, e);
    e->rt = rt;
    e->is_terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
    int rc = api->poll_new(rt, STDIN_FILENO, on_readable, e, &e->poll);
    if (rc != 0)
        e->poll = NULL; /* a file: libuv does not watch those */
    if (rc != 0 && (e->is_terminal || rc == WEIR_ENOIO)) {
        edit_close(L);
        return api->raise(L, "misuse", op, "%s", api->error_text(rc));
    }
    e->state = ENDED;
    current = e;
    if (e->is_terminal) {
        rl_initialize();
        using_history();
        stifle_history(1000);
    }
    return 1;
}

static int edit_index(lua_State *L)
{
    lua_pushvalue(L, 2);
    if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL)
        return 1;
    const editor *e = luaL_checkudata(L, 1, TYPE);
    const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
    if (strcmp(key, "is_terminal") == 0)
        lua_pushboolean(L, e->is_terminal);
    return 1;
}

static const luaL_Reg methods[] = {
    {"line", edit_line}, {"interrupt", edit_interrupt}, {"remember", edit_remember},
    {"load", edit_load}, {"save", edit_save},           {"close", edit_close},
    {NULL, NULL}};

int luaopen_weir_edit_line(lua_State *L);
int luaopen_weir_edit_line(lua_State *L)
{
    api = weir_lua_open(L);
    luaL_newmetatable(L, TYPE);
    luaL_newlib(L, methods);
    lua_pushcclosure(L, edit_index, 1);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, edit_close);
    lua_setfield(L, -2, "__close");
    lua_pushcfunction(L, edit_close);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, open_editor);
    lua_setfield(L, -2, "open");
    return 1;
}
