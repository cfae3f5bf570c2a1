/* uv/poll.c - descriptors: a callback when one is readable, writable or hung up.
 *
 * Level-triggered, over uv_poll. Freeing takes effect at once (libuv forgets the descriptor, so
 * that the caller may close it); the memory goes with libuv's close callback. When the system
 * reports an error for the descriptor itself, libuv stops watching and gives UV_EBADF: the
 * reason is in the caller's next read or write.
 */
#include "internal.h"

struct weir_poll {
    uv_poll_t uv;
    weir_link link; /* in the loop's polls */
    weir_loop *loop;
    weir_poll_fn fn;
    void *data;
    int events; /* WEIR_READABLE ... watched for now */
};

static int to_uv(int events)
{
    return (events & WEIR_READABLE ? UV_READABLE : 0) | (events & WEIR_WRITABLE ? UV_WRITABLE : 0) |
           (events & WEIR_HANGUP ? UV_DISCONNECT : 0);
}

static int from_uv(int events)
{
    return (events & UV_READABLE ? WEIR_READABLE : 0) | (events & UV_WRITABLE ? WEIR_WRITABLE : 0) |
           (events & UV_DISCONNECT ? WEIR_HANGUP : 0);
}

static void on_poll(uv_poll_t *uv, int status, int events)
{
    weir_poll *poll = weir_container(uv, weir_poll, uv);
    weir__loop_clock(poll->loop);
    if (status < 0)
        poll->events = 0;
    poll->fn(poll, status, from_uv(events), poll->data); /* may free it */
}

static void on_closed(uv_handle_t *handle)
{
    weir_poll *poll = weir_container(handle, weir_poll, uv);
    poll->loop->n_handles--;
    weir_alloc(poll->loop->rt, poll, sizeof *poll, 0);
}

int weir_poll_new(weir_runtime *rt, int fd, weir_poll_fn fn, void *data, weir_poll **out)
{
    weir_loop *loop = rt->loop;
    weir_poll *poll;
    int rc;

    if (loop == NULL)
        return WEIR_ENOIO;
    poll = weir_alloc(rt, NULL, 0, sizeof *poll);
    if (poll == NULL)
        return WEIR_ENOMEM;
    rc = uv_poll_init(loop->uv, &poll->uv, fd);
    if (rc != 0) { /* before it became a handle: no close callback */
        weir_alloc(rt, poll, sizeof *poll, 0);
        return rc;
    }
    weir_link_init(&poll->link);
    weir_list_push(&loop->polls, &poll->link);
    poll->loop = loop;
    poll->fn = fn;
    poll->data = data;
    poll->events = 0;
    loop->n_handles++;
    rt->n.io++;
    *out = poll;
    return 0;
}

int weir_poll_set(weir_poll *poll, int events)
{
    int rc = 0;
    if (events & ~(WEIR_READABLE | WEIR_WRITABLE | WEIR_HANGUP))
        return WEIR_EINVAL;
    if (events == poll->events)
        return 0;
    if (events == 0)
        rc = uv_poll_stop(&poll->uv);
    else
        rc = uv_poll_start(&poll->uv, to_uv(events), on_poll);
    if (rc == 0)
        poll->events = events;
    return rc;
}

void weir_poll_keep_alive(weir_poll *poll, int on)
{
    if (on)
        uv_ref((uv_handle_t *)&poll->uv);
    else
        uv_unref((uv_handle_t *)&poll->uv);
}

void weir_poll_free(weir_poll *poll)
{
    if (poll == NULL)
        return;
    weir_link_remove(&poll->link);
    poll->loop->rt->n.io--;
    uv_close((uv_handle_t *)&poll->uv, on_closed);
}

void weir__poll_free_all(weir_loop *loop)
{
    weir_link *k;
    while ((k = weir_list_first(&loop->polls)) != NULL)
        weir_poll_free(weir_container(k, weir_poll, link));
}
