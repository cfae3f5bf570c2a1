/* http/mhd_linger.c - connections that are closed although the client still sends.
 *
 * A socket that is closed with unread data resets, and the client may lose the answer that says
 * why: so the last of a refused request is read for a while. libmicrohttpd closes its descriptor
 * when it is done; a duplicate of it keeps the connection, shuts down the sending half and reads
 * what comes until the client closes too, LINGER_NS have passed or LINGER_BYTES came. There are
 * at most LINGER_MAX of them in a server, more reset. They end with the server.
 */
#include "mhd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define LINGER_NS (2 * WEIR_SECOND)
#define LINGER_BYTES (64u << 20)
#define LINGER_MAX 64
#define READS 8 /* in one turn */

#define api weir__httpd_api

typedef struct httpd_linger {
    weir_link link; /* in server->lingers */
    httpd_server *server;
    weir_poll *poll;
    weir_timer timer;
    size_t size; /* bytes read */
    int fd;
} httpd_linger;

static void linger_end(httpd_linger *l)
{
    api->timer_unset(l->server->rt, &l->timer);
    api->poll_free(l->poll);
    close(l->fd);
    weir_link_remove(&l->link);
    l->server->n_lingers--;
    free(l);
}

static void on_linger_timer(weir_runtime *rt, weir_timer *timer)
{
    (void)rt;
    linger_end(weir_container(timer, httpd_linger, timer));
}

static void on_linger(weir_poll *poll, int status, int events, void *data)
{
    httpd_linger *l = data;
    char thrown_away[16 * 1024];
    (void)poll;
    (void)status;
    (void)events;
    for (int i = 0; i < READS; i++) {
        ssize_t n = recv(l->fd, thrown_away, sizeof thrown_away, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n > 0)
            l->size += (size_t)n;
        if (n <= 0 || l->size > LINGER_BYTES) {
            linger_end(l);
            return;
        }
    }
}

void weir__httpd_linger(httpd_server *s, int fd)
{
    httpd_linger *l;
    if (s->n_lingers >= LINGER_MAX || s->poll == NULL)
        return;
    l = calloc(1, sizeof *l);
    if (l == NULL)
        return;
    l->server = s;
    l->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    api->timer_init(&l->timer, on_linger_timer);
    if (l->fd < 0 || api->poll_new(s->rt, l->fd, on_linger, l, &l->poll) != 0) {
        if (l->fd >= 0)
            close(l->fd);
        free(l);
        return;
    }
    weir_list_push(&s->lingers, &l->link);
    s->n_lingers++;
    shutdown(l->fd, SHUT_WR);
    if (api->poll_set(l->poll, WEIR_READABLE) != 0)
        linger_end(l);
    else
        api->timer_set(s->rt, &l->timer, api->after(s->rt, LINGER_NS));
}

void weir__httpd_end_lingers(httpd_server *s)
{
    weir_link *link;
    while ((link = weir_list_first(&s->lingers)) != NULL)
        linger_end(weir_container(link, httpd_linger, link));
}
