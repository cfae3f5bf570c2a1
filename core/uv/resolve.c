/* uv/resolve.c - names to addresses on libuv's thread pool, four at once.
 *
 * Why not all at once: a lookup blocks its pool thread for as long as the name server likes,
 * and file and other blocking work of the process stands behind it.
 *
 *   queue -> running -> callback             answers -> callback (numeric hosts, failed starts)
 *
 * A queue that is not empty has WEIR_RESOLVE_MAX running. A running lookup cannot be stopped:
 * a cancelled one keeps its slot, because it keeps its thread, until libuv gives it back.
 */
#include "internal.h"

#include <string.h>

#define WEIR_RESOLVE_MAX 4u

struct weir_resolve {
    uv_getaddrinfo_t uv;
    weir_link link; /* in the loop's queue, running or answers */
    weir_loop *loop;
    weir_resolve_fn fn; /* NULL once cancelled while running */
    void *data;
    size_t size; /* of this block */
    int is_running;
    int status; /* of an answer: 0 is that `host` is an address itself */
    char host[];
};

/* An address, and the interface of a link-local one. */
#define TEXT_SIZE (INET6_ADDRSTRLEN + 1 + UV_IF_NAMESIZE)

static void dispose(weir_resolve *r)
{
    weir_alloc(r->loop->rt, r, r->size, 0);
}

static int is_numeric(const char *host)
{
    char address[16];
    return uv_inet_pton(AF_INET, host, address) == 0 || uv_inet_pton(AF_INET6, host, address) == 0;
}

static void answer(weir_resolve *r, int status)
{
    r->status = status;
    weir_list_push(&r->loop->answers, &r->link);
    weir__loop_wake(r->loop);
}

/* --- the callback ------------------------------------------------------------------- */

static int write_text(const struct sockaddr *address, char *text)
{
    size_t room = UV_IF_NAMESIZE;
    int rc = uv_ip_name(address, text, INET6_ADDRSTRLEN);
    if (rc == 0 && address->sa_family == AF_INET6) {
        unsigned scope = ((const struct sockaddr_in6 *)(const void *)address)->sin6_scope_id;
        char *end = text + strlen(text);
        if (scope != 0 && uv_if_indextoname(scope, end + 1, &room) == 0)
            *end = '%';
    }
    return rc;
}

static void tell(weir_resolve *r, const struct addrinfo *found)
{
    weir_runtime *rt = r->loop->rt;
    unsigned n = 0;
    size_t size = 0;
    char **list, *text;

    for (const struct addrinfo *i = found; i != NULL; i = i->ai_next)
        size += sizeof *list + TEXT_SIZE;
    list = size > 0 ? weir_alloc(rt, NULL, 0, size) : NULL;
    if (list == NULL) {
        r->fn(r->data, size > 0 ? WEIR_ENOMEM : UV_EAI_NODATA, NULL, 0);
        return;
    }
    text = (char *)(list + size / (sizeof *list + TEXT_SIZE));
    for (const struct addrinfo *i = found; i != NULL; i = i->ai_next)
        if (write_text(i->ai_addr, text) == 0) {
            list[n++] = text;
            text += TEXT_SIZE;
        }
    r->fn(r->data, n > 0 ? 0 : UV_EAI_NODATA, (const char *const *)list, n);
    weir_alloc(rt, list, size, 0);
}

void weir__resolve_answer(weir_loop *loop)
{
    weir_list batch; /* what a callback adds is for the next iteration */
    weir_link *k;

    weir_list_init(&batch);
    weir_list_append(&batch, &loop->answers);
    while ((k = weir_list_pop(&batch)) != NULL) {
        weir_resolve *r = weir_container(k, weir_resolve, link);
        const char *host = r->host;
        loop->rt->n.io--;
        weir__loop_clock(loop);
        if (r->status == 0)
            r->fn(r->data, 0, &host, 1);
        else
            r->fn(r->data, r->status, NULL, 0);
        dispose(r);
    }
}

/* --- the pool ------------------------------------------------------------------------ */

static void on_resolved(uv_getaddrinfo_t *uv, int status, struct addrinfo *found);

static int start(weir_resolve *r)
{
    weir_loop *loop = r->loop;
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    int rc = uv_getaddrinfo(loop->uv, &r->uv, on_resolved, r->host, NULL, &hints);
    if (rc != 0)
        return rc;
    weir_list_push(&loop->running, &r->link);
    r->is_running = 1;
    loop->n_running++;
    loop->n_requests++;
    return 0;
}

static void on_resolved(uv_getaddrinfo_t *uv, int status, struct addrinfo *found)
{
    weir_resolve *r = weir_container(uv, weir_resolve, uv);
    weir_loop *loop = r->loop;
    weir_link *k;

    weir_link_remove(&r->link);
    loop->n_running--;
    loop->n_requests--;
    while (loop->n_running < WEIR_RESOLVE_MAX && (k = weir_list_pop(&loop->queue)) != NULL) {
        weir_resolve *next = weir_container(k, weir_resolve, link);
        int rc = start(next);
        if (rc != 0)
            answer(next, rc);
    }
    if (r->fn != NULL) {
        loop->rt->n.io--;
        weir__loop_clock(loop);
        if (status == 0)
            tell(r, found);
        else
            r->fn(r->data, status, NULL, 0);
    }
    uv_freeaddrinfo(found);
    dispose(r);
}

int weir_resolve_new(weir_runtime *rt, const char *host, weir_resolve_fn fn, void *data,
                     weir_resolve **out)
{
    weir_loop *loop = rt->loop;
    size_t length = strlen(host) + 1;
    size_t size = sizeof(weir_resolve) + length;
    weir_resolve *r;
    int rc = 0;

    if (loop == NULL)
        return WEIR_ENOIO;
    if (*host == '\0')
        return WEIR_EINVAL;
    r = weir_alloc(rt, NULL, 0, size);
    if (r == NULL)
        return WEIR_ENOMEM;
    weir_link_init(&r->link);
    r->loop = loop;
    r->fn = fn;
    r->data = data;
    r->size = size;
    r->is_running = 0;
    r->status = 0;
    memcpy(r->host, host, length);
    if (is_numeric(host))
        answer(r, 0);
    else if (loop->n_running < WEIR_RESOLVE_MAX)
        rc = start(r);
    else
        weir_list_push(&loop->queue, &r->link);
    if (rc != 0) {
        dispose(r);
        return rc;
    }
    rt->n.io++;
    *out = r;
    return 0;
}

void weir_resolve_cancel(weir_resolve *r)
{
    r->loop->rt->n.io--;
    if (r->is_running) {
        r->fn = NULL;
        uv_cancel((uv_req_t *)&r->uv); /* works if the pool has not come to it yet */
        return;
    }
    weir_link_remove(&r->link);
    dispose(r);
}

void weir__resolve_cancel_all(weir_loop *loop)
{
    weir_link *k, *next;
    while ((k = weir_list_first(&loop->answers)) != NULL ||
           (k = weir_list_first(&loop->queue)) != NULL)
        weir_resolve_cancel(weir_container(k, weir_resolve, link));
    for (k = weir_list_first(&loop->running); k != NULL; k = next) {
        weir_resolve *r = weir_container(k, weir_resolve, link);
        next = weir_list_next(&loop->running, k);
        if (r->fn != NULL)
            weir_resolve_cancel(r);
    }
}
