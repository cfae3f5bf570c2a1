/* pool.c - a pool of connections in C: what the embedder does, and what the pool does for it.
 *
 * An echo server and its clients live on one loop. Twelve requests share at most three
 * connections: each waits for the pool, never for a connection of its own, and gives back what it
 * got. The embedder's operations begin something and answer: create when the connection stands,
 * check and destroy at once.
 *
 *   cc pool.c $(pkg-config --cflags --libs weir) -o pool && ./pool
 */
#include <weir/weir.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define N_REQUESTS 12
#define N_CONNECTIONS 3

static weir_runtime *rt;
static struct sockaddr_in address; /* of the server */

static int new_socket(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd >= 0)
        fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

/* --- the server: what comes goes back ------------------------------------------------ */

typedef struct peer {
    weir_poll *poll;
    int fd;
} peer;

static peer listener;

static void peer_end(peer *p)
{
    weir_poll_free(p->poll);
    close(p->fd);
    free(p);
}

static void on_request(weir_poll *poll, int status, int events, void *data)
{
    peer *p = data;
    char text[64];
    ssize_t n = status == 0 ? read(p->fd, text, sizeof text) : -1;
    (void)poll;
    (void)events;
    if (n <= 0 || write(p->fd, text, (size_t)n) != n)
        peer_end(p); /* the client has gone */
}

static void on_client(weir_poll *poll, int status, int events, void *data)
{
    peer *p = calloc(1, sizeof *p);
    int fd = status == 0 ? accept(listener.fd, NULL, NULL) : -1;
    (void)poll;
    (void)events;
    (void)data;
    if (p == NULL || fd < 0 || weir_poll_new(rt, fd, on_request, p, &p->poll) != 0) {
        free(p);
        if (fd >= 0)
            close(fd);
        return;
    }
    p->fd = fd;
    weir_poll_set(p->poll, WEIR_READABLE);
}

static int serve(void)
{
    socklen_t size = sizeof address;
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener.fd = new_socket();
    if (bind(listener.fd, (struct sockaddr *)&address, size) != 0 || listen(listener.fd, 8) != 0 ||
        getsockname(listener.fd, (struct sockaddr *)&address, &size) != 0)
        return -errno;
    int rc = weir_poll_new(rt, listener.fd, on_client, NULL, &listener.poll);
    return rc != 0 ? rc : weir_poll_set(listener.poll, WEIR_READABLE);
}

/* --- the pool's operations ----------------------------------------------------------- */

typedef struct connection { /* the `value` of a resource */
    weir_poll *poll;
    weir_resource *resource;
    struct request *user; /* while it is lent */
    int fd;
} connection;

static void on_readable(connection *c, int status);

static void connection_end(connection *c)
{
    weir_poll_free(c->poll);
    if (c->fd >= 0)
        close(c->fd);
    free(c);
}

static void on_event(weir_poll *poll, int status, int events, void *data)
{
    connection *c = data;
    weir_resource *r = c->resource;
    int rc = status;
    socklen_t size = sizeof rc;
    (void)events;
    if (r->state != WEIR_RESOURCE_CONNECTING) {
        on_readable(c, status);
        return;
    }
    if (rc == 0 && getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &rc, &size) == 0)
        rc = -rc;
    if (rc == 0)
        rc = weir_poll_set(poll, WEIR_READABLE);
    if (rc != 0)
        connection_end(c);
    weir_pool_created(r->of, r, rc, 0); /* a failure is its code here; there is nothing to free */
}

static void create(weir_pool *p, weir_resource *r)
{
    connection *c = calloc(1, sizeof *c);
    int rc = WEIR_ENOMEM;
    if (c == NULL) {
        weir_pool_created(p, r, rc, 0);
        return;
    }
    c->resource = r;
    c->fd = new_socket();
    r->value = c;
    if (c->fd < 0 ||
        (connect(c->fd, (struct sockaddr *)&address, sizeof address) != 0 && errno != EINPROGRESS))
        rc = -errno;
    else
        rc = weir_poll_new(rt, c->fd, on_event, c, &c->poll);
    if (rc == 0)
        rc = weir_poll_set(c->poll, WEIR_WRITABLE);
    if (rc == 0)
        return; /* on_event answers */
    connection_end(c);
    weir_pool_created(p, r, rc, 0);
}

/* A connection that is fit says nothing while nobody asks: not even that it ended. */
static void check(weir_pool *p, weir_resource *r)
{
    connection *c = r->value;
    char byte;
    weir_pool_checked(p, r, recv(c->fd, &byte, 1, MSG_PEEK) < 0 && errno == EAGAIN);
}

static void destroy(weir_pool *p, weir_resource *r)
{
    connection_end(r->value);
    weir_pool_destroyed(p, r);
}

/* The connect takes too long, or the pool closes: the others answer from inside their calls. */
static void abort_create(weir_pool *p, weir_resource *r)
{
    connection_end(r->value);
    weir_pool_created(p, r, WEIR_ECANCELED, 0);
}

static const weir_pool_ops ops = {create, check, destroy, abort_create, NULL, NULL};
static weir_pool pool;

/* --- the requests -------------------------------------------------------------------- */

typedef struct request {
    weir_waiter wait;
    weir_lease *lease;
    char text[64];
    int id;
} request;

static int n_done;

static void on_lease(weir_runtime *r, weir_waiter *w)
{
    request *q = weir_container(w, request, wait);
    (void)r;
    if (w->status != WEIR_GRANTED) {
        printf("request %d: no connection\n", q->id);
        if (w->status == WEIR_FAILED)
            weir_lease_forget(q->lease);
        return;
    }
    connection *c = q->lease->resource->value;
    int n = snprintf(q->text, sizeof q->text, "ping %d", q->id);
    c->user = q;
    if (write(c->fd, q->text, (size_t)n) != n) {
        c->user = NULL;
        weir_lease_discard(q->lease);
    }
}

/* The answer, or the end of the connection. */
static void on_readable(connection *c, int status)
{
    request *q = c->user;
    char text[64] = "";
    ssize_t n = status == 0 ? read(c->fd, text, sizeof text - 1) : -1;
    if (q == NULL) {
        weir_poll_set(c->poll, 0); /* idle, and gone: the next check finds out */
        return;
    }
    c->user = NULL;
    if (n <= 0 || strcmp(text, q->text) != 0) {
        weir_lease_discard(q->lease);
        return;
    }
    n_done++;
    weir_lease_release(q->lease, 0); /* to the request that waits longest */
}

static int ask(request *q)
{
    weir_waiter_init(&q->wait, on_lease);
    int rc = weir_pool_take(&pool, NULL, 0, &q->lease);
    if (rc == 0)
        weir_waiter_enqueue(rt, &q->wait, NULL); /* its turn comes without a wait */
    else if (rc == WEIR_EBUSY)
        rc = weir_pool_acquire(&pool, NULL, &q->wait, weir_after(rt, WEIR_SECOND), 0, &q->lease);
    return rc;
}

/* All is destroyed: nobody listens any more, and the loop ends with its last client. */
static void on_drained(weir_runtime *r, weir_waiter *w)
{
    (void)r;
    (void)w;
    weir_poll_free(listener.poll);
    close(listener.fd);
}

int main(void)
{
    static request requests[N_REQUESTS];
    weir_pool_options options = weir_pool_defaults();
    weir_waiter drained;
    weir_loop *loop;
    int never = 0;

    if (weir_loop_new(NULL, &loop) != 0)
        return 1;
    rt = weir_loop_runtime(loop);
    options.max = N_CONNECTIONS;
    if (serve() != 0 || weir_pool_init(rt, &pool, &ops, &options, "echo") != 0)
        return 1;
    for (int i = 0; i < N_REQUESTS; i++) {
        requests[i].id = i + 1;
        if (ask(&requests[i]) != 0)
            return 1;
    }
    weir_waiter_init(&drained, on_drained);
    weir_pool_drain(&pool, &drained, WEIR_FOREVER); /* serves those who wait already */
    weir_loop_run(loop, &never);

    printf("%d answers over %d connections, %d waited, %d failures\n", n_done,
           (int)pool.stats.created, (int)pool.stats.queued, (int)pool.stats.create_failures);
    int is_good = n_done == N_REQUESTS && pool.stats.created <= N_CONNECTIONS;
    weir_pool_fini(&pool);
    weir_loop_free(loop);
    return is_good ? 0 : 1;
}
