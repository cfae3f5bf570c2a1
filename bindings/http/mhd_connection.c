/* http/mhd_connection.c - a connection's life, in libmicrohttpd's callbacks.
 *
 * Everything here is called from inside MHD_run, or changes what MHD_run will do next. A
 * request goes IDLE, HEAD, BODY, READY; its task takes it from there (mhd_request.c), and
 * on_completed makes the connection IDLE again, whichever way it ended. on_completed may
 * also come at any earlier time: the client left, took too long, or the server stops.
 *
 * A suspended connection is in nobody's epoll, so a client that leaves is not seen. One that
 * stays suspended for SLOW_NS gets a weir_poll for the hang-up; most answer sooner, and pay
 * nothing. A client that shuts down its sending half counts as one that left, as it does
 * everywhere in libmicrohttpd.
 */
#include "mhd.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define SLOW_NS (WEIR_SECOND / 100)
#define BODY_FIRST 4096        /* first size of a body's buffer */
#define BODY_KEEP (64 * 1024)  /* a larger one is not kept for the next request */
#define BODY_SWALLOW (1 << 20) /* read and thrown away so that the client gets to the 413 */

#define api weir__httpd_api

/* --- suspended, watched ------------------------------------------------------------------ */

static void on_hangup(weir_poll *poll, int status, int events, void *data)
{
    httpd_conn *c = data;
    (void)status;
    (void)events;
    api->poll_set(poll, 0);
    c->watching = 0;
    if (c->suspended) { /* otherwise libmicrohttpd sees it too */
        c->server->n.left++;
        weir__httpd_lose(c, "the client left");
    }
}

static void watch(httpd_conn *c)
{
    if (c->watching)
        return;
    /* Without memory or descriptors it goes unwatched: its answer will show the hang-up. */
    if (c->hangup == NULL && api->poll_new(c->server->rt, c->fd, on_hangup, c, &c->hangup) != 0)
        c->hangup = NULL;
    else
        c->watching = api->poll_set(c->hangup, WEIR_HANGUP) == 0;
}

void weir__httpd_watch_slow(weir_runtime *rt, weir_timer *timer)
{
    httpd_server *s = weir_container(timer, httpd_server, slow_timer);
    weir_link *link;
    while ((link = weir_list_first(&s->slow)) != NULL) {
        httpd_conn *c = weir_container(link, httpd_conn, turn);
        if (c->since + SLOW_NS > api->now(rt)) {
            api->timer_set(rt, timer, c->since + SLOW_NS);
            return;
        }
        weir_link_remove(link);
        watch(c);
    }
}

static void suspend(httpd_conn *c)
{
    MHD_suspend_connection(c->mhd);
    c->suspended = 1;
    c->since = api->now(c->server->rt);
}

void weir__httpd_watch_later(httpd_conn *c)
{
    httpd_server *s = c->server;
    if (c->watching)
        return;
    if (weir_list_is_empty(&s->slow))
        api->timer_set(s->rt, &s->slow_timer, c->since + SLOW_NS);
    weir_list_push(&s->slow, &c->turn);
}

void weir__httpd_resume(httpd_conn *c)
{
    if (!c->suspended)
        return;
    c->suspended = 0;
    if (weir_link_is_linked(&c->turn))
        weir_link_remove(&c->turn);
    MHD_resume_connection(c->mhd);
    weir__httpd_kick(c->server);
}

/* --- the end of a request ---------------------------------------------------------------- */

/* Cut the box off, whose task is told so with `reason` if there is one to tell. */
static void cut_off(httpd_conn *c, const char *reason)
{
    httpd_box *box = c->box;
    if (box == NULL)
        return;
    c->box = NULL;
    c->data = NULL;
    c->len = 0;
    c->writer = NULL;
    box->conn = NULL;
    c->server->n_active--;
    /* A task that has not started finds its box cut off; one that has is alive, for it
     * closes the box at its end. */
    if (reason != NULL && box->started)
        api->cancel(c->server->rt, &c->task->scope, reason);
}

void weir__httpd_lose(httpd_conn *c, const char *reason)
{
    c->phase = HTTPD_LOST;
    cut_off(c, reason);
    weir__httpd_resume(c);
}

void weir__httpd_answered(httpd_conn *c)
{
    c->phase = HTTPD_ANSWERED;
    cut_off(c, NULL);
    weir__httpd_resume(c);
}

static void free_body(httpd_conn *c)
{
    free(c->body);
    c->body = NULL;
    c->server->buffered -= c->body_cap;
    c->body_cap = 0;
}

void weir__httpd_drop_body(httpd_conn *c)
{
    c->body_len = 0;
    if (c->body_cap > BODY_KEEP || c->server->buffered > c->server->max_buffered / 2)
        free_body(c);
}

void weir__httpd_close_idle(httpd_conn *c)
{
    int unread = 0;
    if (c->phase == HTTPD_IDLE && (ioctl(c->fd, FIONREAD, &unread) != 0 || unread == 0))
        shutdown(c->fd, SHUT_RDWR); /* libmicrohttpd sees the hang-up and closes it */
}

static void await_head(httpd_conn *c)
{
    httpd_server *s = c->server;
    c->phase = HTTPD_IDLE;
    if (s->draining)
        weir__httpd_close_idle(c);
    if (s->idle != WEIR_FOREVER)
        api->timer_set(s->rt, &c->due, api->after(s->rt, s->idle));
    else
        api->timer_unset(s->rt, &c->due);
}

/* A head or a body is not here in time: libmicrohttpd closes it when it sees the hang-up. */
static void on_due(weir_runtime *rt, weir_timer *timer)
{
    httpd_conn *c = weir_container(timer, httpd_conn, due);
    (void)rt;
    if (c->phase == HTTPD_BODY)
        weir__httpd_turn_away(c, MHD_HTTP_REQUEST_TIMEOUT);
    else if (c->phase != HTTPD_LOST)
        c->server->n.timeouts++;
    shutdown(c->fd, SHUT_RDWR);
}

static void request_end(httpd_conn *c, const char *reason)
{
    if (c->box != NULL && reason != NULL)
        c->server->n.left++;
    cut_off(c, reason);
    if (weir_link_is_linked(&c->turn)) /* READY, or suspended while the daemon stops */
        weir_link_remove(&c->turn);
    c->suspended = 0;
    c->method = NULL;
    c->target_len = 0;
    c->body_over = 0;
    c->finished = 0;
    c->is_head = 0;
    weir__httpd_drop_body(c);
    await_head(c);
}

void weir__httpd_on_completed(void *cls, struct MHD_Connection *mhd, void **context,
                              enum MHD_RequestTerminationCode code)
{
    httpd_conn *c = *context;
    (void)cls;
    (void)mhd;
    if (c == NULL)
        return;
    if (code == MHD_REQUEST_TERMINATED_COMPLETED_OK)
        request_end(c, NULL);
    else if (code == MHD_REQUEST_TERMINATED_DAEMON_SHUTDOWN)
        request_end(c, "the server was closed");
    else
        request_end(c, "the client left");
}

/* --- the connection ---------------------------------------------------------------------- */

static void conn_start(httpd_server *s, struct MHD_Connection *mhd, void **context)
{
    const union MHD_ConnectionInfo *info;
    const struct sockaddr *addr;
    httpd_conn *c = calloc(1, sizeof *c);
    *context = c;
    s->n_conns++;
    if (c == NULL) /* its first request is turned away, see on_target and on_request */
        return;
    c->server = s;
    c->mhd = mhd;
    api->timer_init(&c->due, on_due);
    info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
    c->fd = info->connect_fd;
    info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    addr = info->client_addr;
    if (addr->sa_family == AF_INET)
        inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)addr)->sin_addr, c->remote,
                  sizeof c->remote);
    else if (addr->sa_family == AF_INET6)
        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)(const void *)addr)->sin6_addr,
                  c->remote, sizeof c->remote);
    weir_list_push(&s->conns, &c->link);
    s->n.accepted++;
    await_head(c);
}

static void conn_end(httpd_server *s, httpd_conn *c)
{
    int unread = 0;
    s->n_conns--;
    weir__httpd_kick(s); /* below its limit the daemon listens again, but not before it runs */
    if (c == NULL)
        return;
    if (c->phase != HTTPD_IDLE) /* it was given up without on_completed */
        request_end(c, "the client left");
    api->timer_unset(s->rt, &c->due);
    api->poll_free(c->hangup);
    if (c->lingers || (ioctl(c->fd, FIONREAD, &unread) == 0 && unread > 0))
        weir__httpd_linger(s, c->fd);
    weir_link_remove(&c->link);
    free(c->target);
    free_body(c);
    free(c);
}

void weir__httpd_on_connection(void *cls, struct MHD_Connection *mhd, void **context,
                               enum MHD_ConnectionNotificationCode code)
{
    if (code == MHD_CONNECTION_NOTIFY_STARTED)
        conn_start(cls, mhd, context);
    else
        conn_end(cls, *context);
}

/* --- a request arrives ------------------------------------------------------------------- */

void *weir__httpd_on_target(void *cls, const char *target, struct MHD_Connection *mhd)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    httpd_conn *c = info->socket_context;
    size_t len = target != NULL ? strlen(target) : 0;
    (void)cls;
    if (c == NULL)
        return NULL;
    c->phase = HTTPD_HEAD;
    c->lingers = 0;
    if (len + 1 > c->target_cap) {
        char *copy = realloc(c->target, len + 64);
        if (copy == NULL) {
            c->phase = HTTPD_LOST;
            return c;
        }
        c->target = copy;
        c->target_cap = len + 64;
    }
    memcpy(c->target, target != NULL ? target : "", len + 1);
    c->target_len = len;
    c->target_at = target;
    return c;
}

/* Called in place of a handler's answer: NO closes the connection at once. */
static enum MHD_Result refused(httpd_conn *c, unsigned status)
{
    weir__httpd_refuse(c, status);
    return c->phase == HTTPD_ANSWERED ? MHD_YES : MHD_NO;
}

static int expects_continue(struct MHD_Connection *mhd)
{
    return MHD_lookup_connection_value(mhd, MHD_HEADER_KIND, MHD_HTTP_HEADER_EXPECT) != NULL;
}

/* How large this connection's buffer may become. */
static uint64_t room_for(const httpd_conn *c)
{
    const httpd_server *s = c->server;
    uint64_t others = s->buffered - c->body_cap;
    return s->max_buffered > others ? s->max_buffered - others : 0;
}

static enum MHD_Result on_head(httpd_conn *c, const char *method, const char *version)
{
    httpd_server *s = c->server;
    uint64_t size;
    unsigned status;
    api->timer_unset(s->rt, &c->due);
    s->n.requests++;
    c->method = method;
    c->is_head = strcmp(method, MHD_HTTP_METHOD_HEAD) == 0;
    c->is_1_0 = strcmp(version, MHD_HTTP_VERSION_1_0) == 0;
    status = weir__httpd_check_head(c, version, &size);
    if (status != 0)
        return refused(c, status);
    /* A body that is a little too large is read to its end, because a connection closed
     * with unread data resets, and the client would not see why. */
    if (size != MHD_SIZE_UNKNOWN && size > s->max_body &&
        (size - s->max_body > BODY_SWALLOW || expects_continue(c->mhd)))
        return refused(c, MHD_HTTP_CONTENT_TOO_LARGE);
    if (size != MHD_SIZE_UNKNOWN && size <= s->max_body && size > room_for(c))
        return refused(c, MHD_HTTP_SERVICE_UNAVAILABLE);
    c->phase = HTTPD_BODY;
    if (size > 0 && s->body_time != WEIR_FOREVER)
        api->timer_set(s->rt, &c->due, api->after(s->rt, s->body_time));
    return MHD_YES;
}

static enum MHD_Result on_body(httpd_conn *c, const char *data, size_t *size)
{
    httpd_server *s = c->server;
    if (c->body_over > 0 || *size > s->max_body - c->body_len) {
        c->body_over += *size;
        if (c->body_over > BODY_SWALLOW) {
            weir__httpd_turn_away(c, MHD_HTTP_CONTENT_TOO_LARGE);
            return MHD_NO;
        }
        *size = 0;
        return MHD_YES;
    }
    if (c->body_len + *size > c->body_cap) {
        size_t cap = c->body_cap > 0 ? c->body_cap : BODY_FIRST;
        char *body = NULL;
        while (cap < c->body_len + *size)
            cap *= 2;
        if (cap > s->max_body)
            cap = s->max_body;
        if (cap > room_for(c))
            cap = c->body_len + *size;
        if (cap <= room_for(c))
            body = realloc(c->body, cap);
        if (body == NULL) {
            weir__httpd_turn_away(c, MHD_HTTP_SERVICE_UNAVAILABLE);
            return MHD_NO;
        }
        s->buffered += cap - c->body_cap;
        c->body = body;
        c->body_cap = cap;
    }
    memcpy(c->body + c->body_len, data, *size);
    c->body_len += *size;
    *size = 0;
    return MHD_YES;
}

enum MHD_Result weir__httpd_on_request(void *cls, struct MHD_Connection *mhd, const char *url,
                                       const char *method, const char *version, const char *upload,
                                       size_t *upload_size, void **context)
{
    httpd_server *s = cls;
    httpd_conn *c = *context;
    (void)mhd;
    (void)url;
    if (c == NULL)
        return MHD_NO;
    if (c->phase == HTTPD_HEAD)
        return on_head(c, method, version);
    if (c->phase != HTTPD_BODY)
        return MHD_NO;
    if (*upload_size > 0)
        return on_body(c, upload, upload_size);
    if (c->body_over > 0)
        return refused(c, MHD_HTTP_CONTENT_TOO_LARGE);
    api->timer_unset(s->rt, &c->due);
    c->phase = HTTPD_READY;
    suspend(c);
    weir_list_push(&s->ready, &c->turn);
    return MHD_YES;
}

/* --- the body of a response -------------------------------------------------------------- */

/* libmicrohttpd may lose sight of a connection that was ended by its content reader, until
 * something else happens to it. One with a timeout of its own is looked at in every run. */
static void close_soon(httpd_conn *c)
{
    MHD_set_connection_option(c->mhd, MHD_CONNECTION_OPTION_TIMEOUT,
                              c->server->timeout == 1 ? 2u : 1u);
    weir__httpd_kick(c->server);
}

ssize_t weir__httpd_on_read(void *cls, uint64_t position, char *buffer, size_t max)
{
    httpd_conn *c = cls;
    size_t n = c->len < max ? c->len : max;
    (void)position;
    if (c->phase == HTTPD_LOST) {
        close_soon(c);
        return MHD_CONTENT_READER_END_WITH_ERROR;
    }
    if (n > 0) {
        memcpy(buffer, c->data, n);
        c->data += n;
        c->len -= n;
        if (c->len == 0 && c->writer != NULL) {
            weir_waiter *w = c->writer;
            c->writer = NULL;
            api->waiter_settle(c->server->rt, w, WEIR_GRANTED);
        }
        return (ssize_t)n;
    }
    if (c->finished) {
        if (c->is_1_0) /* not chunked: the end of the body is the end of the connection */
            close_soon(c);
        return MHD_CONTENT_READER_END_OF_STREAM;
    }
    suspend(c);
    weir__httpd_watch_later(c);
    return 0;
}
