/* uv/signal.c - signals: a callback on the loop for each that came.
 *
 * Over uv_signal, which may be used by several loops at once; each gets it. Unreferenced: to
 * wait for a signal alone is no reason for a program to go on.
 */
#include "internal.h"

struct weir_signal {
    uv_signal_t uv;
    weir_link link; /* in the loop's signals */
    weir_loop *loop;
    weir_signal_fn fn;
    void *data;
};

static void on_signal(uv_signal_t *uv, int signum)
{
    weir_signal *s = weir_container(uv, weir_signal, uv);
    weir__loop_clock(s->loop);
    s->fn(s, signum, s->data); /* may free it */
}

static void on_closed(uv_handle_t *handle)
{
    weir_signal *s = weir_container(handle, weir_signal, uv);
    s->loop->n_handles--;
    weir_alloc(s->loop->rt, s, sizeof *s, 0);
}

int weir_signal_new(weir_runtime *rt, int signum, weir_signal_fn fn, void *data, weir_signal **out)
{
    weir_loop *loop = rt->loop;
    weir_signal *s;
    int rc;

    if (loop == NULL)
        return WEIR_ENOIO;
    s = weir_alloc(rt, NULL, 0, sizeof *s);
    if (s == NULL)
        return WEIR_ENOMEM;
    rc = uv_signal_init(loop->uv, &s->uv);
    if (rc != 0) { /* before it became a handle: no close callback */
        weir_alloc(rt, s, sizeof *s, 0);
        return rc;
    }
    weir_link_init(&s->link);
    weir_list_push(&loop->signals, &s->link);
    s->loop = loop;
    s->fn = fn;
    s->data = data;
    loop->n_handles++;
    rc = uv_signal_start(&s->uv, on_signal, signum);
    if (rc != 0) {
        weir_signal_free(s);
        return rc;
    }
    uv_unref((uv_handle_t *)&s->uv);
    *out = s;
    return 0;
}

void weir_signal_free(weir_signal *s)
{
    if (s == NULL)
        return;
    weir_link_remove(&s->link);
    uv_close((uv_handle_t *)&s->uv, on_closed);
}

void weir__signal_free_all(weir_loop *loop)
{
    weir_link *k;
    while ((k = weir_list_first(&loop->signals)) != NULL)
        weir_signal_free(weir_container(k, weir_signal, link));
}
