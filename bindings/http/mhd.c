/* http/mhd.c - weir.http.microhttpd: a server's start, its turns, and its end.
 *
 *   listen(serve, host, port, backlog, max_connections, max_header, max_body, idle, body_time,
 *          max_buffered) -> server       times in seconds
 *   server:accept()   waits in the task whose scope the requests' tasks join, until drained
 *   server:drain()    no more connections; those that are idle close, the others after their answer
 *   server:stop()     close all; also __close, __gc and the end of the runtime
 *
 * Every request becomes a task that calls serve(box), spawned after MHD_run, many at once.
 * Cancelling the scope of accept() stops listening at once; the requests' tasks are below
 * that scope and get the cancel too. The requests still open when stop() comes are cut off.
 */
#include "mhd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define POOL_SIZE (16 * 1024) /* at least, per connection: heads in and out, chunks of a stream */
#define SPARE_FDS 32          /* what is left for others when max_connections is checked */
#define MAX_CONNECTIONS 10000 /* unless said, and unless descriptors are fewer */

const weir_lua_api *weir__httpd_api;
#define api weir__httpd_api

/* --- turns --------------------------------------------------------------------------------- */

void weir__httpd_kick(httpd_server *s)
{
    s->kicked = 1;
    api->timer_set(s->rt, &s->timer, api->now(s->rt));
}

static void schedule(httpd_server *s)
{
    MHD_UNSIGNED_LONG_LONG ms;
    if (s->kicked)
        return;
    if (MHD_get_timeout(s->daemon, &ms) == MHD_YES)
        api->timer_set(s->rt, &s->timer, api->after(s->rt, (uint64_t)ms * 1000000));
    else
        api->timer_unset(s->rt, &s->timer);
}

/* For `protect`: spawn a task for each of the requests in s->ready. */
static int spawn_ready(lua_State *L)
{
    httpd_server *s = lua_touserdata(L, 1);
    weir_link *link;
    lua_rawgetp(L, LUA_REGISTRYINDEX, s);
    lua_getiuservalue(L, 2, 1);
    luaL_getmetatable(L, HTTPD_BOX);
    while ((link = weir_list_first(&s->ready)) != NULL) {
        httpd_conn *c = weir_container(link, httpd_conn, turn);
        httpd_box *box;
        lua_pushvalue(L, 3);
        box = lua_newuserdatauv(L, sizeof *box, 0);
        *box = (httpd_box){.conn = NULL};
        lua_pushvalue(L, 4);
        lua_setmetatable(L, -2);
        if (api->spawn(L, 1, s->scope, 0) != 0)
            break; /* the scope is cancelled or has ended */
        c->task = api->check_task(L, -1);
        lua_pop(L, 1);
        box->conn = c;
        c->box = box;
        c->phase = HTTPD_RUNNING;
        s->n_active++;
        weir_link_remove(link);
        weir__httpd_watch_later(c);
    }
    return 0;
}

static void run(httpd_server *s)
{
    weir_link *link;
    s->kicked = 0;
    MHD_run(s->daemon);
    schedule(s);
    if (!weir_list_is_empty(&s->ready) && s->owner != NULL)
        api->protect(s->rt, spawn_ready, s);
    while ((link = weir_list_first(&s->ready)) != NULL) { /* no memory, or no scope */
        httpd_conn *c = weir_container(link, httpd_conn, turn);
        weir__httpd_refuse(c, MHD_HTTP_SERVICE_UNAVAILABLE);
        weir__httpd_resume(c);
    }
    if (s->draining && s->n_conns == 0 && s->owner != NULL) {
        weir_waiter *w = s->owner;
        s->owner = NULL;
        api->waiter_settle(s->rt, w, WEIR_GRANTED);
    }
}

static void on_ready(weir_poll *poll, int status, int events, void *data)
{
    (void)poll;
    (void)status;
    (void)events;
    run(data);
}

static void on_timer(weir_runtime *rt, weir_timer *timer)
{
    (void)rt;
    run(weir_container(timer, httpd_server, timer));
}

/* --- the end ------------------------------------------------------------------------------- */

static void stop_listening(httpd_server *s)
{
    if (!s->listening)
        return;
    s->listening = 0;
    close(MHD_quiesce_daemon(s->daemon));
}

/* Close everything; the tasks of open requests are told. Idempotent. */
static void stop(void *data)
{
    httpd_server *s = data;
    weir_link *link;
    if (s->daemon == NULL)
        return;
    stop_listening(s);
    api->poll_free(s->poll); /* before the daemon closes the descriptor */
    s->poll = NULL;
    for (link = weir_list_first(&s->conns); link != NULL; link = weir_list_next(&s->conns, link))
        weir__httpd_resume(weir_container(link, httpd_conn, link));
    weir__httpd_end_lingers(s);
    MHD_stop_daemon(s->daemon);
    s->daemon = NULL;
    api->timer_unset(s->rt, &s->timer);
    api->timer_unset(s->rt, &s->slow_timer);
    if (s->owner != NULL)
        api->waiter_settle(s->rt, s->owner, WEIR_CLOSED);
    s->owner = NULL;
}

/* The runtime ends first. */
static void on_end(void *data)
{
    httpd_server *s = data;
    s->at_end = 0;
    stop(s);
}

static httpd_server *check_server(lua_State *L)
{
    return luaL_checkudata(L, 1, HTTPD_SERVER);
}

static int server_stop(lua_State *L)
{
    httpd_server *s = check_server(L);
    stop(s);
    if (s->at_end)
        api->at_end(L, s->rt, NULL, s);
    s->at_end = 0;
    lua_pushnil(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, s);
    return 0;
}

/* --- accept and drain ------------------------------------------------------------------------ */

static void accept_leave(weir_runtime *rt, weir_waiter *w)
{
    httpd_server *s = w->object;
    (void)rt;
    s->owner = NULL;
    stop_listening(s);
}

static const weir_wait_ops accept_ops = {.op = HTTPD_SERVE, .leave = accept_leave};

static int server_acceptk(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    (void)ctx;
    api->outcome(L);
    return 0;
}

static int server_accept(lua_State *L)
{
    httpd_server *s = check_server(L);
    weir_waiter *w;
    int rc;
    if (s->daemon == NULL || s->owner != NULL)
        return api->raise(L, s->daemon == NULL ? "closed" : "misuse", HTTPD_SERVE,
                          s->daemon == NULL ? "the server is closed" : "accept runs already");
    w = api->enter(L, accept_ops.op);
    lua_pushvalue(L, 1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, s); /* spawn_ready finds it there; stop unpins */
    rc = api->poll_set(s->poll, WEIR_READABLE);
    if (rc != 0)
        return api->raise(L, "network", HTTPD_SERVE, "%s", api->error_text(rc));
    s->scope = api->scope(L);
    api->waiter_begin(s->rt, w, &accept_ops, s, WEIR_FOREVER);
    s->owner = w;
    weir__httpd_kick(s);
    return api->park(L, server_acceptk, 0);
}

static int server_drain(lua_State *L)
{
    httpd_server *s = check_server(L);
    weir_link *link;
    if (s->daemon == NULL || s->draining)
        return 0;
    if (s->owner != NULL)
        for (weir_scope *scope = api->scope(L); scope != NULL; scope = scope->parent)
            if (scope == s->scope)
                return api->raise(L, "deadlock", HTTPD_SERVE,
                                  "drain in a handler of the same server waits for itself");
    s->draining = 1;
    stop_listening(s);
    for (link = weir_list_first(&s->conns); link != NULL; link = weir_list_next(&s->conns, link))
        weir__httpd_close_idle(weir_container(link, httpd_conn, link));
    weir__httpd_kick(s);
    return 0;
}

static void push_count(lua_State *L, const char *name, uint64_t n)
{
    lua_pushinteger(L, (lua_Integer)n);
    lua_setfield(L, -2, name);
}

static int server_stats(lua_State *L)
{
    const httpd_server *s = check_server(L);
    lua_createtable(L, 0, 11);
    push_count(L, "connections", s->n_conns);
    push_count(L, "max_connections", s->max_conns);
    push_count(L, "active", s->n_active);
    push_count(L, "accepted", s->n.accepted);
    push_count(L, "requests", s->n.requests);
    push_count(L, "errors", s->n.errors);
    push_count(L, "left", s->n.left);
    push_count(L, "timeouts", s->n.timeouts);
    push_count(L, "buffered", s->buffered);
    lua_createtable(L, 0, 5);
    push_count(L, "head", s->n.refused_head);
    push_count(L, "body", s->n.refused_body);
    push_count(L, "malformed", s->n.refused_malformed);
    push_count(L, "closing", s->n.refused_closing);
    push_count(L, "buffered", s->n.refused_buffered);
    lua_setfield(L, -2, "refused");
    return 1;
}

/* report(error, what): an error of a handler, which nobody can get. */
static int server_report(lua_State *L)
{
    httpd_server *s = check_server(L);
    const char *what = luaL_checkstring(L, 3);
    s->n.errors++;
    lua_pushvalue(L, 2);
    api->report(L, what, 0);
    return 0;
}

static int server_port(lua_State *L)
{
    lua_pushinteger(L, check_server(L)->port);
    return 1;
}

/* --- the start ------------------------------------------------------------------------------- */

typedef union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
} address;

/* An IP address as text, and a port, as a socket address; 0 if it is none. */
static socklen_t to_address(const char *host, uint16_t port, address *out)
{
    memset(out, 0, sizeof *out);
    if (inet_pton(AF_INET, host, &out->v4.sin_addr) == 1) {
        out->v4.sin_family = AF_INET;
        out->v4.sin_port = htons(port);
        return sizeof out->v4;
    }
    if (inet_pton(AF_INET6, host, &out->v6.sin6_addr) == 1) {
        out->v6.sin6_family = AF_INET6;
        out->v6.sin6_port = htons(port);
        return sizeof out->v6;
    }
    return 0;
}

/* A listening socket, and *port the one it got; -1 with errno. */
static int open_socket(const address *to, socklen_t len, int backlog, uint16_t *port)
{
    address got;
    socklen_t got_len = sizeof got;
    int on = 1;
    int fd = socket(to->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(fd, &to->any, len) != 0 || listen(fd, backlog) != 0 ||
        getsockname(fd, &got.any, &got_len) != 0) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    *port = ntohs(got.any.sa_family == AF_INET ? got.v4.sin_port : got.v6.sin6_port);
    return fd;
}

/* The bound on connections: `asked`, or three quarters of the descriptors for 0. LUA_MAXINTEGER is
 * none of ours: as many as there are descriptors. */
static uint32_t check_max_conns(lua_State *L, lua_Integer asked)
{
    struct rlimit limit;
    lua_Integer most;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > INT32_MAX)
        limit.rlim_cur = INT32_MAX;
    most = (lua_Integer)limit.rlim_cur;
    if (asked == 0) {
        most = most / 4 * 3;
        return (uint32_t)(most < MAX_CONNECTIONS ? most : MAX_CONNECTIONS);
    }
    if (asked == LUA_MAXINTEGER)
        asked = most > SPARE_FDS ? most - SPARE_FDS : 1;
    if (asked > most - SPARE_FDS)
        api->raise(L, "misuse", HTTPD_SERVE,
                   "'max_connections' must be at most %I under this process's limit of %I "
                   "descriptors, got %I",
                   (LUAI_UACINT)(most - SPARE_FDS), (LUAI_UACINT)most, (LUAI_UACINT)asked);
    return (uint32_t)asked;
}

/* Whole seconds, rounded up, 0 for none: libmicrohttpd's timeout for bodies and answers. */
static unsigned to_seconds(double idle)
{
    double up = ceil(idle);
    return up > 1e6 ? 0 : (unsigned)(up < 1 ? 1 : up);
}

static uint64_t to_ns(double seconds)
{
    return seconds > 1e9 ? WEIR_FOREVER : (uint64_t)(seconds * 1e9);
}

static size_t keep_escapes(void *cls, struct MHD_Connection *mhd, char *text)
{
    (void)cls;
    (void)mhd;
    return strlen(text); /* they are decoded when the request becomes a table */
}

static void start_daemon(httpd_server *s, int fd)
{
    size_t pool = s->max_header * 2 > POOL_SIZE ? s->max_header * 2 : POOL_SIZE;
    s->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_USE_TURBO | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, s->port, NULL,
        NULL, weir__httpd_on_request, s, MHD_OPTION_EXTERNAL_LOGGER, weir__httpd_on_log, s,
        MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_NOTIFY_CONNECTION, weir__httpd_on_connection, s,
        MHD_OPTION_URI_LOG_CALLBACK, weir__httpd_on_target, s, MHD_OPTION_NOTIFY_COMPLETED,
        weir__httpd_on_completed, s, MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)s->max_conns, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        pool, MHD_OPTION_CONNECTION_TIMEOUT, s->timeout, MHD_OPTION_NONCE_NC_SIZE, 0u,
        MHD_OPTION_END);
    /* A start that fails late has closed the socket, an early one has not. */
    if (s->daemon == NULL && fcntl(fd, F_GETFD) != -1)
        close(fd);
}

static int server_listen(lua_State *L)
{
    const char *host = luaL_checkstring(L, 2);
    lua_Integer port = luaL_checkinteger(L, 3);
    double idle = luaL_checknumber(L, 8);
    const union MHD_DaemonInfo *info;
    httpd_server *s;
    address to;
    socklen_t to_len;
    int fd, rc;
    luaL_checktype(L, 1, LUA_TFUNCTION);
    to_len = to_address(host, (uint16_t)port, &to);
    if (to_len == 0)
        return api->raise(L, "misuse", HTTPD_SERVE, "'host' must be an IP address, got '%s'", host);
    s = lua_newuserdatauv(L, sizeof *s, 1);
    memset(s, 0, sizeof *s);
    s->rt = api->runtime(L);
    s->max_conns = check_max_conns(L, luaL_checkinteger(L, 5));
    s->max_header = (size_t)luaL_checkinteger(L, 6);
    s->max_body = (size_t)luaL_checkinteger(L, 7);
    s->timeout = to_seconds(idle);
    s->idle = to_ns(idle);
    s->body_time = to_ns(luaL_checknumber(L, 9));
    s->max_buffered = (uint64_t)luaL_checkinteger(L, 10);
    if (s->max_body > s->max_buffered) /* a body that never fits is a 413, not a 503 */
        s->max_body = (size_t)s->max_buffered;
    weir_list_init(&s->conns);
    weir_list_init(&s->ready);
    weir_list_init(&s->slow);
    weir_list_init(&s->lingers);
    api->timer_init(&s->timer, on_timer);
    api->timer_init(&s->slow_timer, weir__httpd_watch_slow);
    luaL_setmetatable(L, HTTPD_SERVER);
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, 1);
    api->at_end(L, s->rt, on_end, s);
    s->at_end = 1;
    fd = open_socket(&to, to_len, (int)luaL_checkinteger(L, 4), &s->port);
    if (fd < 0)
        return api->raise(L, "network", HTTPD_SERVE, "cannot listen on %s port %d: %s", host,
                          (int)port, strerror(errno));
    start_daemon(s, fd);
    if (s->daemon == NULL)
        return api->raise(L, "network", HTTPD_SERVE, "libmicrohttpd did not start: %s",
                          strerror(errno));
    s->listening = 1;
    info = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    rc = api->poll_new(s->rt, info->epoll_fd, on_ready, s, &s->poll);
    if (rc != 0) {
        stop(s);
        return api->raise(L, rc == WEIR_ENOIO ? "misuse" : "network", HTTPD_SERVE, "%s",
                          api->error_text(rc));
    }
    return 1;
}

LUAMOD_API int luaopen_weir_http_microhttpd(lua_State *L);

int luaopen_weir_http_microhttpd(lua_State *L)
{
    static const luaL_Reg methods[] = {{"accept", server_accept},
                                       {"drain", server_drain},
                                       {"stop", server_stop},
                                       {"stats", server_stats},
                                       {"report", server_report},
                                       {"port", server_port},
                                       {NULL, NULL}};
    static const luaL_Reg functions[] = {{"listen", server_listen}, {NULL, NULL}};
    luaL_checkversion(L);
    api = weir_lua_open(L);
    luaL_newmetatable(L, HTTPD_SERVER);
    lua_pushcfunction(L, server_stop);
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, "__gc");
    lua_setfield(L, -2, "__close");
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    weir__httpd_open_box(L);
    luaL_newlib(L, functions);
    return 1;
}
