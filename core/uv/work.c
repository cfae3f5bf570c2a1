/* uv/work.c - blocking work on libuv's thread pool.
 *
 * The pool thread sees `work` and `data` alone, both fixed before it starts. `done` comes once
 * on the loop, after a cancel too: it is the one place where `data` is known to be unused.
 */
#include "internal.h"

struct weir_work {
    uv_work_t uv;
    weir_link link; /* in the loop's works */
    weir_loop *loop;
    weir_work_fn work;
    weir_done_fn done;
    void *data;
};

static void on_work(uv_work_t *uv)
{
    weir_work *work = weir_container(uv, weir_work, uv);
    work->work(work->data);
}

static void on_done(uv_work_t *uv, int status)
{
    weir_work *work = weir_container(uv, weir_work, uv);
    weir_loop *loop = work->loop;
    weir_done_fn done = work->done;
    void *data = work->data;

    weir_link_remove(&work->link);
    loop->n_requests--;
    loop->rt->n.io--;
    weir_alloc(loop->rt, work, sizeof *work, 0);
    weir__loop_clock(loop);
    done(data, status == UV_ECANCELED ? WEIR_ECANCELED : status);
}

int weir_work_new(weir_runtime *rt, weir_work_fn fn, weir_done_fn done, void *data, weir_work **out)
{
    weir_loop *loop = rt->loop;
    weir_work *work;
    int rc;

    if (loop == NULL)
        return WEIR_ENOIO;
    work = weir_alloc(rt, NULL, 0, sizeof *work);
    if (work == NULL)
        return WEIR_ENOMEM;
    work->loop = loop;
    work->work = fn;
    work->done = done;
    work->data = data;
    weir_link_init(&work->link);
    rc = uv_queue_work(loop->uv, &work->uv, on_work, on_done);
    if (rc != 0) {
        weir_alloc(rt, work, sizeof *work, 0);
        return rc;
    }
    weir_list_push(&loop->works, &work->link);
    loop->n_requests++;
    rt->n.io++;
    *out = work;
    return 0;
}

void weir_work_cancel(weir_work *work)
{
    uv_cancel((uv_req_t *)&work->uv); /* fails if it runs or ran: then `done` says so */
}

void weir__work_cancel_all(weir_loop *loop)
{
    for (weir_link *k = weir_list_first(&loop->works); k; k = weir_list_next(&loop->works, k))
        weir_work_cancel(weir_container(k, weir_work, link));
}
