/* mark.c - a waiter that writes down when it ran; see mark.h. */
#include "mark.h"

#include <uv.h>

const weir_wait_ops mark_ops = {"mark", NULL, NULL, NULL, NULL};

void mark_run(weir_runtime *rt, weir_waiter *w)
{
    mark *m = weir_container(w, mark, wait);
    m->at = weir_now(rt);
    if (m->n != NULL)
        ++*m->n;
    if (m->n_again > 0) {
        m->n_again--;
        if (m->nap > 0)
            weir_sleep_until(rt, w, weir_after(rt, m->nap));
        else
            weir_yield(rt, w);
    }
}

void mark_init(mark *m, int *n)
{
    *m = (mark){.n = n};
    weir_waiter_init(&m->wait, mark_run);
}

void mark_on_closed(uv_handle_t *handle)
{
    mark *m = handle->data;
    weir_waiter_enqueue(m->rt, &m->wait, &mark_ops);
}

weir_loop *mark_open(uv_loop_t *uv)
{
    weir_loop *loop = NULL;
    CHECK_OK(weir_loop_new(uv, &loop));
    return loop;
}

void mark_close(weir_loop *loop)
{
    CHECK_VALID(weir_loop_runtime(loop));
    CHECK_QUIET(weir_loop_runtime(loop));
    weir_loop_free(loop);
}
