/* sync/semaphore_queue.c - the queue's options: priorities that age, and the bounded bypass.
 *
 * A request of priority p that ranks from time t on has, at time T, the priority p + (T - t) /
 * aging. Of two requests the greater is that with the greater p * aging - t, whatever T is, so a
 * heap on that key stays right while everybody ages. No two requests get the same t (later ones
 * of a turn get the next nanoseconds): arrival decides among equals without a number of its own.
 */
#include "semaphore_queue.h"

/* Is pa * aging - ta the greater? In numbers that do not end: a product that overflows is larger
 * than any difference of times. */
static int outranks(int32_t pa, uint64_t ta, int32_t pb, uint64_t tb, uint64_t aging)
{
    int64_t levels = (int64_t)pa - pb, later = (int64_t)(ta - tb), gain;
    if (levels == 0)
        return later < 0;
    if (aging > INT64_MAX || __builtin_mul_overflow(levels, (int64_t)aging, &gain))
        return levels > 0;
    return gain != later ? gain > later : later < 0;
}

static int before(const weir_heap_node *a, const weir_heap_node *b)
{
    const weir_permit *p = weir_container(a, weir_permit, node);
    const weir_permit *q = weir_container(b, weir_permit, node);
    return outranks(p->priority, p->rank_at, q->priority, q->rank_at, p->of->aging);
}

int weir_semaphore_set_order(weir_semaphore *s, weir_order order, uint64_t aging)
{
    if (aging == 0 || s->waiting > 0)
        return WEIR_EINVAL;
    s->order = (uint8_t)order;
    s->aging = aging;
    weir_heap_init(&s->ranks, before);
    return 0;
}

static uint64_t next_rank(const weir_semaphore *s)
{
    return s->rt->now > s->last_rank ? s->rt->now : s->last_rank + 1;
}

/* A new head takes over how often the old one was passed: nobody who had to wait behind that one
 * may go now. */
void weir__queue_rank(weir_semaphore *s, weir_permit *p, int32_t priority)
{
    weir_heap_node *old = weir_heap_first(&s->ranks);
    p->priority = priority;
    p->rank_at = s->last_rank = next_rank(s);
    weir_heap_node_init(&p->node);
    weir_heap_push(&s->ranks, &p->node);
    if (old != NULL && weir_heap_first(&s->ranks) == &p->node) {
        uint32_t passed = weir_container(old, weir_permit, node)->passed;
        if (passed > p->passed)
            p->passed = passed;
    }
}

weir_arrival weir__queue_arrival(const weir_semaphore *s, int32_t priority)
{
    const weir_permit *head = weir__queue_head(s);
    if (s->order == WEIR_ORDER_PRIORITY &&
        outranks(priority, next_rank(s), head->priority, head->rank_at, s->aging))
        return WEIR_ARRIVAL_LEAD;
    return head->passed < s->bypass ? WEIR_ARRIVAL_PASS : WEIR_ARRIVAL_WAIT;
}

/* A walk over all that wait, but only when one of them fits: `lightest` is a bound that arrivals
 * lower and a walk in vain makes exact. So there are at most `bypass` walks for a head that find
 * somebody, and one in vain for each time that the lightest has gone. */
weir_permit *weir__queue_passer(weir_semaphore *s)
{
    weir_permit *best = NULL;
    uint32_t lightest = UINT32_MAX;
    if (s->available < s->lightest)
        return NULL;
    for (weir_link *k = weir_list_first(&s->queue); k; k = weir_list_next(&s->queue, k)) {
        weir_permit *p = weir__queue_permit(k);
        if (p->n < lightest)
            lightest = p->n;
        if (p->n > s->available)
            continue;
        if (s->order == WEIR_ORDER_FIFO)
            return p;
        if (best == NULL || before(&p->node, &best->node))
            best = p;
    }
    s->lightest = lightest;
    return best;
}
