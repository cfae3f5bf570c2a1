/* sync/semaphore_watch.c - what is said of a semaphore without changing it.
 *
 * Whether a wait can ever end, how long one would be, whether all is well.
 * The deadlock search asks for a sufficient set of holders that can act; the estimate divides the
 * weight that stands before a request by the rate at which weight came back.
 */
#include "semaphore_queue.h"

/* --- can it still be woken? -------------------------------------------------------------- */

/* Is there, with what holders have who need nobody, enough for whoever waits? A look at the last
 * few, who have most likely not waited yet; it touches nobody that waits. 0: perhaps not. */
int weir__semaphore_flows(const weir_semaphore *s)
{
    int64_t n = s->available;
    const weir_link *head = &s->holders.head;
    int looks = 8;
    for (weir_link *k = head->prev; n < s->heaviest && k != head && looks > 0; k = k->prev) {
        const weir_permit *p = weir_container(k, weir_permit, link);
        if (p->hold.holder == NULL || weir_graph_is_free(p->hold.holder))
            n += p->n;
        looks--;
    }
    return n >= s->heaviest;
}

/* What is free and what holders who can act may give back, as far as `enough`. */
static inline int64_t reach(weir_graph *g, const weir_semaphore *s, int64_t enough)
{
    int64_t n = s->available;
    for (weir_link *k = weir_list_first(&s->holders); k && n < enough;
         k = weir_list_next(&s->holders, k)) {
        weir_permit *p = weir_container(k, weir_permit, link);
        if (p->hold.holder == NULL || weir_graph_can_act(g, p->hold.holder))
            n += p->n;
    }
    return n;
}

/* Enough must be able to come back; and unless the head may still be passed it must be able to get
 * its permits first. (Those between need no look: each is asked about when it becomes the head.)
 * Enough for the larger of the two is enough for both. */
int weir__acquire_can_wake(weir_graph *g, weir_waiter *w)
{
    const weir_permit *wanted = w->object;
    const weir_semaphore *s = wanted->of;
    if (g->walked == 0 && weir__semaphore_flows(s)) /* nearly always */
        return 1;
    const weir_permit *head = weir__queue_head(s);
    if (head != wanted) {
        int64_t both = head->n > wanted->n ? head->n : wanted->n;
        weir_task *first = weir_waiter_task(head->waiter);
        if (g->walked == 0 && reach(g, s, both) >= both)
            return 1;
        if (first != NULL && head->passed >= s->bypass && !weir_graph_can_act(g, first))
            return 0;
    }
    return reach(g, s, wanted->n) >= wanted->n;
}

/* Everything must come back: one holder that cannot act is enough to be stuck. */
int weir__idle_can_wake(weir_graph *g, weir_waiter *w)
{
    const weir_semaphore *s = w->object;
    for (weir_link *k = weir_list_first(&s->holders); k; k = weir_list_next(&s->holders, k)) {
        weir_permit *p = weir_container(k, weir_permit, link);
        if (p->hold.holder != NULL && !weir_graph_can_act(g, p->hold.holder))
            return 0;
    }
    return 1;
}

int weir__resized_can_wake(weir_graph *g, weir_waiter *w)
{
    return reach(g, w->object, 0) >= 0;
}

/* --- estimates ------------------------------------------------------------------------------ */

#define KEPT 0.9375 /* of what was measured, at each moment at which something comes back */

/* Returns of one turn share its time: the first brings the time since the last moment. Of the hold
 * time an eighth is new. */
void weir__semaphore_returned(weir_semaphore *s, uint32_t n, uint64_t held)
{
    uint64_t now = s->rt->now;
    if (s->recent_hold == 0)
        s->recent_hold = held;
    else
        s->recent_hold += held / 8 - s->recent_hold / 8;
    if (s->waiting == 0)
        return;
    if (now != s->drained_at) {
        s->drained *= KEPT;
        s->drain_time = s->drain_time * KEPT + (double)(now - s->drained_at);
        s->drained_at = now;
    }
    s->drained += n;
}

uint64_t weir_semaphore_retry_after(const weir_semaphore *s, uint32_t n)
{
    double units = (double)s->wanted + n - (double)s->available;
    double per_unit = 0;
    if (units <= 0)
        return 0;
    if (s->drain_time > 0 && s->drained > 0) {
        double usual = s->drain_time * (1 - KEPT); /* time between two moments of return */
        double stall = s->waiting > 0 ? (double)(s->rt->now - s->drained_at) - usual : 0;
        per_unit = (s->drain_time + (stall > 0 ? stall : 0)) / s->drained;
    } else if (s->stats.hold.count > 0) {
        const weir_histogram *h = &s->stats.hold;
        uint64_t hold = s->recent_hold != 0 ? s->recent_hold : h->sum / h->count;
        per_unit = (double)hold / (double)s->capacity;
    } else if (s->held > 0) {
        weir_link *k = weir_list_first(&s->holders);
        uint64_t since = weir_container(k, weir_permit, link)->since;
        per_unit = (double)(s->rt->now - since) / (double)s->capacity;
    }
    double ns = units * per_unit + 0.5;
    return ns < (double)WEIR_FOREVER ? (uint64_t)ns : WEIR_FOREVER;
}

uint64_t weir_semaphore_oldest_wait(const weir_semaphore *s)
{
    if (s->waiting == 0)
        return 0;
    return s->rt->now - weir__queue_permit(weir_list_first(&s->queue))->since;
}

/* --- invariants ------------------------------------------------------------------------------ */

static int validate_holders(const weir_semaphore *s)
{
    int64_t out = 0;
    uint32_t held = 0;
    for (weir_link *k = weir_list_first(&s->holders); k; k = weir_list_next(&s->holders, k)) {
        const weir_permit *p = weir_container(k, weir_permit, link);
        if (p->of != s || p->waiter != NULL || p->n == 0)
            return __LINE__;
        if ((p->hold.holder != NULL) != weir_link_is_linked(&p->hold.link))
            return __LINE__;
        out += p->n;
        held++;
    }
    if (out + s->available != s->capacity || held != s->held)
        return __LINE__;
    return 0;
}

static int validate_queue(const weir_semaphore *s)
{
    const weir_permit *head = weir__queue_head(s);
    int64_t wanted = 0;
    uint32_t waiting = 0;
    if ((head == NULL) != weir_list_is_empty(&s->queue))
        return __LINE__;
    for (weir_link *k = weir_list_first(&s->queue); k; k = weir_list_next(&s->queue, k)) {
        const weir_waiter *w = weir_container(k, weir_waiter, link);
        const weir_permit *p = w->object;
        if (w->status != WEIR_PENDING || p->of != s || p->waiter != w || p->n > s->capacity)
            return __LINE__;
        if (p->passed > s->bypass || p->n < s->lightest || p->n > s->heaviest)
            return __LINE__;
        if (p->n <= s->available && (p == head || head->passed < s->bypass))
            return __LINE__; /* a lost wake-up */
        if (s->order == WEIR_ORDER_PRIORITY && !weir_heap_node_is_linked(&p->node))
            return __LINE__;
        wanted += p->n;
        waiting++;
    }
    if (waiting != s->waiting || wanted != s->wanted || (s->closed && waiting > 0))
        return __LINE__;
    return 0;
}

int weir_semaphore_validate(const weir_semaphore *s)
{
    int line = validate_holders(s);
    size_t ranked = 0;
    if (line == 0)
        line = validate_queue(s);
    if (line == 0 && s->order == WEIR_ORDER_PRIORITY) {
        line = weir_heap_validate(&s->ranks, &ranked);
        if (line == 0 && ranked != s->waiting)
            line = __LINE__;
    }
    return line;
}
