/* functions.c - what workflows can call: a process, a file's digest, a question to the operator.
 *
 * One of each kind: `sh` waits for a process and watches a descriptor, `digest` works on the
 * thread pool, `approve` is completed by the host whenever the operator answers. All three can be
 * cancelled and run under whatever deadline the workflow has.
 */
#include "runner.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- calls -------------------------------------------------------------------------------- */

void call_drop(call *c)
{
    if (--c->n_owners == 0)
        free(c);
}

void call_settle(call *c, weir_status status)
{
    weir_waiter *w = c->waiter;
    c->waiter = NULL;
    if (w != NULL)
        c->r->api->waiter_settle(c->r->rt, w, status);
}

static int box_gc(lua_State *L)
{
    call **box = lua_touserdata(L, 1);
    if (*box != NULL)
        call_drop(*box);
    *box = NULL;
    return 0;
}

call *call_new(lua_State *L, runner *r, size_t size)
{
    call **box = lua_newuserdatauv(L, sizeof *box, 0);
    *box = NULL;
    luaL_setmetatable(L, "runner.call");
    call *c = calloc(1, size);
    if (c == NULL)
        luaL_error(L, "not enough memory");
    c->r = r;
    c->n_owners = 1;
    weir_link_init(&c->link);
    return *box = c;
}

static runner *here(lua_State *L)
{
    return lua_touserdata(L, lua_upvalueindex(1));
}

/* Arm and park; the box is at the top, and nothing raises any more. */
static int call_wait(lua_State *L, call *c, weir_waiter *w, const weir_wait_ops *ops,
                     uint64_t deadline, lua_KFunction k)
{
    c->r->api->waiter_begin(c->r->rt, w, ops, c, deadline);
    c->waiter = w;
    return c->r->api->park(L, k, (lua_KContext)c);
}

/* --- sh(command) -> exit status, the last of what it wrote ------------------------------------ */

typedef struct process {
    call call; /* first; owned by the box and, until libuv has closed it, by the handle */
    uv_process_t uv;
    weir_poll *poll;
    int fd; /* of the pipe it writes to; -1 once closed */
    int status;
    size_t n;
    char tail[2048];
} process;

static void keep(process *p, const char *bytes, size_t n)
{
    if (n > sizeof p->tail) {
        bytes += n - sizeof p->tail;
        n = sizeof p->tail;
    }
    if (p->n + n > sizeof p->tail) {
        size_t kept = sizeof p->tail - n;
        memmove(p->tail, p->tail + p->n - kept, kept);
        p->n = kept;
    }
    memcpy(p->tail + p->n, bytes, n);
    p->n += n;
}

static void on_output(weir_poll *poll, int status, int events, void *data)
{
    process *p = data;
    char bytes[4096];
    ssize_t n = status < 0 ? 0 : read(p->fd, bytes, sizeof bytes);
    (void)events;
    if (n > 0)
        keep(p, bytes, (size_t)n);
    else if (n == 0 || errno != EAGAIN)
        p->call.r->api->poll_set(poll, 0); /* the end of it; its exit comes by itself */
}

static void process_close(process *p)
{
    if (p->fd < 0)
        return;
    p->call.r->api->poll_free(p->poll);
    close(p->fd);
    p->fd = -1;
}

static void on_closed(uv_handle_t *handle)
{
    call_drop(handle->data);
}

static void on_exit_of(uv_process_t *uv, int64_t code, int signum)
{
    process *p = uv->data;
    char bytes[4096];
    ssize_t n;
    while (p->fd >= 0 && (n = read(p->fd, bytes, sizeof bytes)) > 0)
        keep(p, bytes, (size_t)n);
    process_close(p);
    p->status = signum != 0 ? 128 + signum : (int)code;
    call_settle(&p->call, WEIR_GRANTED);
    uv_close((uv_handle_t *)uv, on_closed);
}

/* Whatever the command started goes with it. */
static void process_stop(process *p)
{
    process_close(p);
    kill(-p->uv.pid, SIGKILL);
}

static void sh_leave(weir_runtime *rt, weir_waiter *w)
{
    process *p = w->object;
    (void)rt;
    p->call.waiter = NULL;
    process_stop(p);
}

static const weir_wait_ops sh_ops = {.op = "sh", .leave = sh_leave};

/* 0, or a code and nothing is left. */
static int process_start(process *p, const char *command)
{
    char *argv[] = {"sh", "-c", (char *)(uintptr_t)command, NULL};
    int fds[2], rc = uv_pipe(fds, UV_NONBLOCK_PIPE, 0);
    if (rc != 0)
        return rc;
    uv_stdio_container_t stdio[] = {{.flags = UV_IGNORE},
                                    {.flags = UV_INHERIT_FD, .data.fd = fds[1]},
                                    {.flags = UV_INHERIT_FD, .data.fd = fds[1]}};
    uv_process_options_t options = {.file = "/bin/sh",
                                    .args = argv,
                                    .exit_cb = on_exit_of,
                                    .flags = UV_PROCESS_DETACHED, /* a group of its own */
                                    .stdio = stdio,
                                    .stdio_count = 3};
    rc = p->call.r->api->poll_new(p->call.r->rt, fds[0], on_output, p, &p->poll);
    p->fd = fds[0];
    if (rc == 0) {
        p->uv.data = p;
        p->call.n_owners++;
        rc = uv_spawn(&p->call.r->loop, &p->uv, &options);
        if (rc != 0) {
            process_close(p);
            uv_close((uv_handle_t *)&p->uv, on_closed);
        }
    } else {
        close(fds[0]);
    }
    close(fds[1]);
    if (rc == 0 && (rc = p->call.r->api->poll_set(p->poll, WEIR_READABLE)) != 0)
        process_stop(p);
    return rc;
}

static int sh_done(lua_State *L, int status, lua_KContext ctx)
{
    process *p = (process *)ctx;
    (void)status;
    p->call.r->api->outcome(L);
    lua_pushinteger(L, p->status);
    lua_pushlstring(L, p->tail, p->n);
    return 2;
}

static int sh(lua_State *L)
{
    runner *r = here(L);
    const char *command = luaL_checkstring(L, 1);
    weir_waiter *w = r->api->enter(L, "sh");
    process *p = (process *)call_new(L, r, sizeof *p);
    int rc = process_start(p, command);
    if (rc != 0)
        return r->api->raise(L, "network", "sh", "cannot start: %s", r->api->error_text(rc));
    return call_wait(L, &p->call, w, &sh_ops, WEIR_FOREVER, sh_done);
}

/* --- digest(path) -> 16 hexadecimal digits (FNV-1a) ------------------------------------------- */

typedef struct file {
    call call; /* first; owned by the box and, until it is done, by the thread pool */
    weir_work *work;
    uint64_t hash;
    int error;
    char path[];
} file;

static void digest_work(void *data) /* on a thread of the pool: this struct alone */
{
    file *f = data;
    FILE *stream = fopen(f->path, "rb");
    int c;
    f->hash = UINT64_C(0xcbf29ce484222325);
    if (stream == NULL) {
        f->error = -errno;
        return;
    }
    while ((c = getc(stream)) != EOF)
        f->hash = (f->hash ^ (unsigned char)c) * UINT64_C(0x100000001b3);
    if (ferror(stream))
        f->error = UV_EIO;
    fclose(stream);
}

static void digest_end(void *data, int status)
{
    file *f = data;
    if (status != 0)
        f->error = status;
    call_settle(&f->call, WEIR_GRANTED);
    call_drop(&f->call);
}

static void digest_leave(weir_runtime *rt, weir_waiter *w)
{
    file *f = w->object;
    (void)rt;
    f->call.waiter = NULL;
    f->call.r->api->work_cancel(f->work); /* one that runs ends by itself */
}

static const weir_wait_ops digest_ops = {.op = "digest", .leave = digest_leave};

static int digest_done(lua_State *L, int status, lua_KContext ctx)
{
    file *f = (file *)ctx;
    char text[17];
    (void)status;
    f->call.r->api->outcome(L);
    if (f->error != 0)
        return luaL_error(L, "%s: %s", f->path, f->call.r->api->error_text(f->error));
    snprintf(text, sizeof text, "%016llx", (unsigned long long)f->hash);
    lua_pushstring(L, text);
    return 1;
}

static int digest(lua_State *L)
{
    runner *r = here(L);
    size_t n;
    const char *path = luaL_checklstring(L, 1, &n);
    weir_waiter *w = r->api->enter(L, "digest");
    file *f = (file *)call_new(L, r, sizeof *f + n + 1);
    memcpy(f->path, path, n + 1);
    int rc = r->api->work_new(r->rt, digest_work, digest_end, f, &f->work);
    if (rc != 0)
        return luaL_error(L, "%s: %s", path, r->api->error_text(rc));
    f->call.n_owners++;
    return call_wait(L, &f->call, w, &digest_ops, WEIR_FOREVER, digest_done);
}

/* --- approve(question [, timeout]) -> boolean ------------------------------------------------- */

static void approve_leave(weir_runtime *rt, weir_waiter *w)
{
    call *c = w->object;
    (void)rt;
    c->waiter = NULL;
    weir_link_remove(&c->link);
}

static const weir_wait_ops approve_ops = {.op = "approve", .leave = approve_leave};

static call *next_question(runner *r)
{
    weir_link *k = weir_list_pop(&r->questions);
    return k != NULL ? weir_container(k, call, link) : NULL;
}

void operator_answers(runner *r, int yes)
{
    call *c = next_question(r);
    if (c != NULL) {
        c->answer = yes;
        call_settle(c, WEIR_GRANTED);
    } else if (r->n_typed < (int)sizeof r->typed) {
        r->typed[r->n_typed++] = yes ? 'y' : 'n';
    }
}

void operator_leaves(runner *r)
{
    call *c;
    r->has_operator = 0;
    while ((c = next_question(r)) != NULL)
        call_settle(c, WEIR_CLOSED);
}

static int approve_done(lua_State *L, int status, lua_KContext ctx)
{
    call *c = (call *)ctx;
    (void)status;
    c->r->api->outcome(L); /* `closed` if the operator left */
    lua_pushboolean(L, c->answer);
    return 1;
}

static int approve(lua_State *L)
{
    runner *r = here(L);
    const char *question = luaL_checkstring(L, 1);
    uint64_t deadline = r->api->check_timeout(L, 2, "approve", "timeout");
    weir_waiter *w = r->api->enter(L, "approve");
    printf("approve? %s\n", question);
    fflush(stdout);
    if (r->n_typed > 0) { /* typed ahead */
        lua_pushboolean(L, r->typed[0] == 'y');
        memmove(r->typed, r->typed + 1, (size_t)--r->n_typed);
        return 1;
    }
    if (!r->has_operator)
        return r->api->raise(L, "closed", "approve", "there is nobody to ask: %s", question);
    call *c = call_new(L, r, sizeof *c);
    weir_list_push(&r->questions, &c->link);
    return call_wait(L, c, w, &approve_ops, deadline, approve_done);
}

void functions_push(lua_State *L, runner *r)
{
    static const luaL_Reg functions[] = {
        {"sh", sh}, {"digest", digest}, {"approve", approve}, {NULL, NULL}};
    luaL_newmetatable(L, "runner.call");
    lua_pushcfunction(L, box_gc);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
    luaL_newlibtable(L, functions);
    lua_pushlightuserdata(L, r);
    luaL_setfuncs(L, functions, 1);
}
