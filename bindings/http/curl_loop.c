/* http/curl_loop.c - one multi handle on weir's loop: its sockets and its timer.
 *
 * curl lets go of a socket after every answer and asks for it again with the next request. To
 * pass that on would cost two system calls a request, so a socket that curl wants nothing of
 * stays watched: the next request finds it as it needs it. If something happens on it meanwhile,
 * or no request is under way for a moment (LINGER), it is watched no more, so that it does not
 * keep an idle loop alive.
 *
 * curl 7.88 closes a socket that was not connected yet without telling anybody: then we hear only
 * that it is not wanted any more, or that another one got the same number. So until a connection
 * was kept once, each time it is let go of its identity (inode) is looked at.
 */
#include "curl.h"
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINGER (WEIR_SECOND / 200)

static weir_socket *find(const weir_client *c, int fd)
{
    return fd >= 0 && (size_t)fd < c->n_sockets ? c->sockets[fd] : NULL;
}

static void watch(weir_socket *s, int events)
{
    if (s->watched == events)
        return;
    s->watched = (uint8_t)events;
    if (s->client->api->poll_set(s->poll, events) != 0)
        s->client->is_broken = 1;
}

static void not_idle(weir_socket *s)
{
    if (weir_link_is_linked(&s->idle))
        weir_link_remove(&s->idle);
}

static void happened(weir_poll *poll, int status, int events, void *data)
{
    weir_socket *s = data;
    weir_client *c = s->client;
    int fd = s->fd, running, bits = 0;
    (void)poll;

    if (status != 0)
        s->watched = 0; /* an error ends the watch */
    if (s->wanted == 0) {
        not_idle(s);
        watch(s, 0);
        return;
    }
    if (status != 0) /* let curl read and write: that gives it the reason, and what came before */
        events = s->wanted;
    if (events & (WEIR_READABLE | WEIR_HANGUP))
        bits |= CURL_CSELECT_IN;
    if (events & WEIR_WRITABLE)
        bits |= CURL_CSELECT_OUT;
    weir__client_after(c, curl_multi_socket_action(c->multi, fd, bits, &running));
    s = find(c, fd); /* may be gone */
    if (s != NULL && status != 0 && s->wanted != 0)
        watch(s, s->wanted);
}

static int socket_new(weir_client *c, int fd, weir_socket **out)
{
    weir_socket *s;
    struct stat st;
    int rc, domain = 0;
    socklen_t size = sizeof domain;
    if ((size_t)fd >= c->n_sockets) {
        size_t n = c->n_sockets ? c->n_sockets : 64;
        weir_socket **list;
        while (n <= (size_t)fd)
            n *= 2;
        list = weir__http_alloc(c, c->sockets, c->n_sockets * sizeof *list, n * sizeof *list);
        if (list == NULL)
            return WEIR_ENOMEM;
        memset(list + c->n_sockets, 0, (n - c->n_sockets) * sizeof *list);
        c->sockets = list;
        c->n_sockets = n;
    }
    s = weir__http_alloc(c, NULL, 0, sizeof *s);
    if (s == NULL)
        return WEIR_ENOMEM;
    memset(s, 0, sizeof *s);
    s->client = c;
    s->fd = fd;
    s->inode = fstat(fd, &st) == 0 ? st.st_ino : 0;
    s->is_internal = getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) != 0 ||
                     (domain != AF_INET && domain != AF_INET6);
    rc = c->api->poll_new(c->rt, fd, happened, s, &s->poll);
    if (rc != 0) {
        weir__http_alloc(c, s, sizeof *s, 0);
        return rc;
    }
    c->sockets[fd] = s;
    c->n_open++;
    *out = s;
    return 0;
}

static void socket_free(weir_socket *s)
{
    weir_client *c = s->client;
    not_idle(s);
    c->sockets[s->fd] = NULL;
    c->n_open--;
    c->api->poll_free(s->poll);
    weir__http_alloc(c, s, sizeof *s, 0);
}

static int is_open(const weir_socket *s)
{
    struct stat st;
    return fstat(s->fd, &st) == 0 && st.st_ino == s->inode;
}

static void let_go(weir_socket *s)
{
    weir_client *c = s->client;
    s->wanted = 0;
    if (!s->was_kept && (s->is_internal || !is_open(s))) {
        socket_free(s);
        return;
    }
    s->was_kept = 1;
    if (s->watched != 0 && !weir_link_is_linked(&s->idle)) {
        weir_list_push(&c->idle, &s->idle);
        weir__client_linger(c);
    }
}

/* Never -1, which would end every transfer of the client: only this one fails. */
static int on_socket(CURL *easy, curl_socket_t fd, int what, void *data, void *socket_data)
{
    weir_client *c = data;
    weir_socket *s = find(c, fd);
    weir_transfer *t = NULL;
    int rc;
    (void)socket_data;

    if (what == CURL_POLL_REMOVE) {
        if (s != NULL)
            let_go(s);
        return 0;
    }
    if (s == NULL && (rc = socket_new(c, fd, &s)) != 0) {
        if (curl_easy_getinfo(easy, CURLINFO_PRIVATE, &t) == CURLE_OK && t->fault == FAULT_NONE) {
            t->fault = rc == WEIR_ENOMEM ? FAULT_MEMORY : FAULT_LOOP;
            t->status = rc;
        }
        c->has_faults = 1;
        return 0;
    }
    not_idle(s);
    s->wanted = (uint8_t)((what & CURL_POLL_IN ? WEIR_READABLE : 0) |
                          (what & CURL_POLL_OUT ? WEIR_WRITABLE : 0));
    watch(s, s->wanted);
    return 0;
}

void weir__client_linger(weir_client *c)
{
    if (c->held == 0 && !weir_list_is_empty(&c->idle) && !weir_timer_is_set(&c->linger))
        c->api->timer_set(c->rt, &c->linger, c->api->after(c->rt, LINGER));
}

static void lingered(weir_runtime *rt, weir_timer *timer)
{
    weir_client *c = weir_container(timer, weir_client, linger);
    (void)rt;
    if (c->held > 0)
        return; /* the last of them sets the timer again */
    for (weir_link *k; (k = weir_list_pop(&c->idle)) != NULL;)
        watch(weir_container(k, weir_socket, idle), 0);
}

curl_socket_t weir__client_open_socket(void *data, curlsocktype purpose,
                                       struct curl_sockaddr *address)
{
    weir_transfer *t = data;
    weir_client *c = t->client;
    int fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    weir_socket *stale;
    (void)purpose;

    if (t->dial != NULL && t->loading != 0)
        t->dial->loaded = t->loading;
    if (fd < 0) {
        t->is_starved = errno == EMFILE || errno == ENFILE;
        return CURL_SOCKET_BAD;
    }
    c->stats.connections++;
    stale = find(c, fd);
    if (stale != NULL) { /* closed silently; to curl the number is watched as it was */
        int wanted = stale->wanted;
        socket_free(stale);
        if (wanted != 0)
            on_socket(t->easy, fd,
                      (wanted & WEIR_READABLE ? CURL_POLL_IN : 0) |
                          (wanted & WEIR_WRITABLE ? CURL_POLL_OUT : 0),
                      c, NULL);
    }
    return fd;
}

int weir__client_close_socket(void *data, curl_socket_t fd)
{
    weir_client *c = data;
    weir_socket *s = find(c, fd);
    if (s != NULL)
        socket_free(s);
    return close(fd);
}

static int on_timer(CURLM *multi, long ms, void *data)
{
    weir_client *c = data;
    (void)multi;
    if (ms < 0)
        c->api->timer_unset(c->rt, &c->timer);
    else
        c->api->timer_set(c->rt, &c->timer,
                          c->api->after(c->rt, (uint64_t)ms * (WEIR_SECOND / 1000)));
    return 0;
}

static void due(weir_runtime *rt, weir_timer *timer)
{
    weir_client *c = weir_container(timer, weir_client, timer);
    int running;
    (void)rt;
    weir__client_after(c, curl_multi_socket_action(c->multi, CURL_SOCKET_TIMEOUT, 0, &running));
}

CURLM *weir__client_multi(weir_client *c)
{
    CURLM *m;
    if (c->multi != NULL)
        return c->multi;
    m = curl_multi_init();
    if (m == NULL)
        return NULL;
    curl_multi_setopt(m, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(m, CURLMOPT_SOCKETDATA, c);
    curl_multi_setopt(m, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(m, CURLMOPT_TIMERDATA, c);
    curl_multi_setopt(m, CURLMOPT_MAXCONNECTS, (long)c->max);
    curl_multi_setopt(m, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)c->max);
    c->multi = m;
    return m;
}

void weir__client_drop_multi(weir_client *c)
{
    CURLM *m = c->multi;
    if (m == NULL)
        return;
    curl_multi_cleanup(m); /* closes what is left, through our callbacks */
    c->multi = NULL;
    for (size_t fd = 0; fd < c->n_sockets; fd++)
        if (c->sockets[fd] != NULL)
            socket_free(c->sockets[fd]);
    weir__http_alloc(c, c->sockets, c->n_sockets * sizeof *c->sockets, 0);
    c->sockets = NULL;
    c->n_sockets = 0;
    c->api->timer_unset(c->rt, &c->timer);
    c->api->timer_unset(c->rt, &c->linger);
    curl_slist_free_all(c->forget);
    c->forget = NULL;
    weir__origins_unload(c);
}

void weir__client_init_loop(weir_client *c)
{
    c->api->timer_init(&c->timer, due);
    c->api->timer_init(&c->linger, lingered);
}
