/* sync/semaphore_queue.h - who waits at a semaphore, in which order, and who may pass.
 *
 * By arrival the queue is a plain list and its first is the head. By priority the same list is
 * kept, since closing, resizing and statistics go by arrival, and a heap over it says who is the
 * head. What is inline here is all that a semaphore without options runs.
 */
#ifndef WEIR_SYNC_SEMAPHORE_QUEUE_H
#define WEIR_SYNC_SEMAPHORE_QUEUE_H
#include <weir/semaphore.h>

#include "../sched/internal.h"

#include <weir/begin.h>

/* What an arrival that fits what is free may do although somebody waits. */
typedef enum weir_arrival {
    WEIR_ARRIVAL_WAIT,
    WEIR_ARRIVAL_LEAD, /* it ranks before the head */
    WEIR_ARRIVAL_PASS  /* it passes the head, which counts that */
} weir_arrival;

extern const weir_wait_ops weir__acquire_ops;

/* Options, kept away from the paths of those who do not use them. */
void weir__queue_rank(weir_semaphore *s, weir_permit *p, int32_t priority);
weir_arrival weir__queue_arrival(const weir_semaphore *s, int32_t priority);
/* Who may pass the head: it fits and comes before all others who do. NULL if nobody. */
weir_permit *weir__queue_passer(weir_semaphore *s);

/* The reports of semaphore_watch.c to the deadlock search. */
int weir__semaphore_flows(const weir_semaphore *s);
int weir__acquire_can_wake(weir_graph *g, weir_waiter *w);
int weir__idle_can_wake(weir_graph *g, weir_waiter *w);
int weir__resized_can_wake(weir_graph *g, weir_waiter *w);

/* What retry_after needs to know of `n` that came back after `held` ns. */
void weir__semaphore_returned(weir_semaphore *s, uint32_t n, uint64_t held);

static inline weir_permit *weir__queue_permit(weir_link *k)
{
    return weir_container(k, weir_waiter, link)->object;
}

/* The request that is served next, or NULL. */
static inline weir_permit *weir__queue_head(const weir_semaphore *s)
{
    if (__builtin_expect(s->waiting == 0, 0))
        return NULL;
    if (s->order == WEIR_ORDER_PRIORITY)
        return weir_container(weir_heap_first(&s->ranks), weir_permit, node);
    return weir__queue_permit(weir_list_first(&s->queue));
}

static inline void weir__queue_push(weir_semaphore *s, weir_permit *p, int32_t priority)
{
    if (s->waiting++ == 0) {
        s->drained_at = s->rt->now;
        s->lightest = s->heaviest = p->n;
    } else if (p->n < s->lightest) {
        s->lightest = p->n;
    } else if (p->n > s->heaviest) {
        s->heaviest = p->n;
    }
    s->wanted += p->n;
    s->stats.queued++;
    p->passed = 0;
    weir_list_push(&s->queue, &p->waiter->link);
    if (s->order == WEIR_ORDER_PRIORITY)
        weir__queue_rank(s, p, priority);
}

static inline void weir__queue_remove(weir_semaphore *s, weir_permit *p)
{
    weir_link_remove(&p->waiter->link);
    if (s->order == WEIR_ORDER_PRIORITY)
        weir_heap_remove(&s->ranks, &p->node);
    p->waiter = NULL;
    s->waiting--;
    s->wanted -= p->n;
    weir_histogram_record(&s->stats.wait, s->rt->now - p->since);
}

#include <weir/end.h>
#endif
