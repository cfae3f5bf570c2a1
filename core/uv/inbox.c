/* uv/inbox.c - letters from other threads: a stack that anybody pushes on, taken whole.
 *
 * Posting pushes with one compare-and-swap; who finds the stack empty sends an async, whose
 * callback takes all there is and turns it round: first posted, first delivered. Since only whole
 * stacks are taken there is nothing to confuse (no ABA), and what is posted meanwhile sends again,
 * so that one callback never goes on for ever. The swap releases what the sender wrote into the
 * letter, the taking acquires it; the swap acquires too, since libuv ignores a send while it thinks
 * that one is pending, and whoever sees the stack emptied has to see that this one is not.
 *
 * A letter can be delivered before the call that posted it is over. So calls are counted, and the
 * inbox goes when none is inside: a few instructions, or as long as that thread is kept from going
 * on.
 */
#include "internal.h"

#include <sched.h>
#include <stdatomic.h>
#include <weir/inbox.h>

static_assert(ATOMIC_POINTER_LOCK_FREE == 2 && ATOMIC_INT_LOCK_FREE == 2,
              "a signal handler may post");

struct weir_inbox {
    uv_async_t uv;
    weir_link link; /* in the loop's inboxes */
    weir_loop *loop;
    _Atomic(weir_letter *) newest;
    atomic_uint n_posting; /* calls of weir_inbox_post that are not over */
};

static weir_letter *take(weir_inbox *inbox)
{
    weir_letter *letter = atomic_exchange_explicit(&inbox->newest, NULL, memory_order_acquire);
    weir_letter *oldest = NULL;
    while (letter != NULL) {
        weir_letter *next = letter->_next;
        letter->_next = oldest;
        oldest = letter;
        letter = next;
    }
    return oldest;
}

static void deliver(weir_runtime *rt, weir_letter *letter)
{
    while (letter != NULL) {
        weir_letter *next = letter->_next;
        letter->deliver(rt, letter); /* may free it */
        letter = next;
    }
}

static void on_async(uv_async_t *uv)
{
    weir_inbox *inbox = weir_container(uv, weir_inbox, uv);
    weir__loop_clock(inbox->loop);
    deliver(inbox->loop->rt, take(inbox));
}

static void on_closed(uv_handle_t *handle)
{
    weir_inbox *inbox = weir_container(handle, weir_inbox, uv);
    inbox->loop->n_handles--;
    weir_alloc(inbox->loop->rt, inbox, sizeof *inbox, 0);
}

int weir_inbox_new(weir_runtime *rt, weir_inbox **out)
{
    weir_loop *loop = rt->loop;
    if (loop == NULL)
        return WEIR_ENOIO;
    weir_inbox *inbox = weir_alloc(rt, NULL, 0, sizeof *inbox);
    if (inbox == NULL)
        return WEIR_ENOMEM;
    int rc = uv_async_init(loop->uv, &inbox->uv, on_async);
    if (rc != 0) { /* before it became a handle: no close callback */
        weir_alloc(rt, inbox, sizeof *inbox, 0);
        return rc;
    }
    atomic_init(&inbox->newest, NULL);
    atomic_init(&inbox->n_posting, 0);
    weir_link_init(&inbox->link);
    weir_list_push(&loop->inboxes, &inbox->link);
    inbox->loop = loop;
    loop->n_handles++;
    rt->n.io++;
    *out = inbox;
    return 0;
}

void weir_inbox_post(weir_inbox *inbox, weir_letter *letter)
{
    atomic_fetch_add_explicit(&inbox->n_posting, 1, memory_order_relaxed);
    weir_letter *below = atomic_load_explicit(&inbox->newest, memory_order_relaxed);
    do
        letter->_next = below;
    while (!atomic_compare_exchange_weak_explicit(&inbox->newest, &below, letter,
                                                  memory_order_acq_rel, memory_order_relaxed));
    if (below == NULL)             /* not `letter`, which may be delivered and gone */
        uv_async_send(&inbox->uv); /* fails only for what is no async */
    atomic_fetch_sub_explicit(&inbox->n_posting, 1, memory_order_release);
}

void weir_inbox_keep_alive(weir_inbox *inbox, int on)
{
    if (on)
        uv_ref((uv_handle_t *)&inbox->uv);
    else
        uv_unref((uv_handle_t *)&inbox->uv);
}

void weir_inbox_free(weir_inbox *inbox)
{
    weir_letter *letter;
    if (inbox == NULL)
        return;
    while (atomic_load_explicit(&inbox->n_posting, memory_order_acquire) > 0)
        sched_yield();
    while ((letter = take(inbox)) != NULL)
        deliver(inbox->loop->rt, letter);
    weir_link_remove(&inbox->link);
    inbox->loop->rt->n.io--;
    uv_close((uv_handle_t *)&inbox->uv, on_closed);
}

void weir__inbox_free_all(weir_loop *loop)
{
    weir_link *k;
    while ((k = weir_list_first(&loop->inboxes)) != NULL)
        weir_inbox_free(weir_container(k, weir_inbox, link));
}
