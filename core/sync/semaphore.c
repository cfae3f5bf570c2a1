/* sync/semaphore.c - the counting semaphore.
 *
 * One integer, `available`, one FIFO of waiters. Every way in which capacity comes free or the
 * head of the queue changes (release, a head that leaves, close) ends in serve(), the one place
 * that grants. The permit of a waiter is made before it queues, so that a grant cannot fail.
 */
#include <weir/semaphore.h>

#include "../sched/internal.h"

static const weir_wait_ops acquire_ops, drain_ops;

static void drop(weir_hold *h)
{
    weir_permit_release(weir_container(h, weir_permit, hold));
}

static const char *permit_name(const weir_hold *h)
{
    return ((const weir_permit *)(const void *)h)->of->name;
}

static const weir_hold_ops permit_ops = {"permit", drop, permit_name};

int weir_semaphore_init(weir_runtime *rt, weir_semaphore *s, int64_t capacity, const char *name)
{
    if (capacity <= 0 || capacity > UINT32_MAX)
        return WEIR_EINVAL;
    *s = (weir_semaphore){.rt = rt, .capacity = capacity, .available = capacity};
    weir_list_init(&s->queue);
    weir_list_init(&s->holders);
    weir_list_init(&s->idle);
    s->max_waiting = UINT32_MAX;
    s->name = name;
    return 0;
}

void weir_semaphore_fini(weir_semaphore *s)
{
    assert(weir_list_is_empty(&s->queue) && weir_list_is_empty(&s->holders) &&
           weir_list_is_empty(&s->idle));
    s->closed = 1;
}

static weir_permit *permit_new(weir_semaphore *s, weir_task *holder, uint32_t n)
{
    weir_permit *p = weir__record_new(s->rt, &s->rt->permits, sizeof *p);
    if (p == NULL)
        return NULL;
    weir_link_init(&p->hold.link);
    weir_link_init(&p->link);
    p->hold.holder = holder;
    p->hold.ops = &permit_ops;
    p->of = s;
    p->waiter = NULL;
    p->since = s->rt->now;
    p->n = n;
    s->rt->n.permits++;
    return p;
}

static void permit_free(weir_permit *p)
{
    weir_runtime *rt = p->of->rt;
    p->generation++;
    rt->n.permits--;
    weir__record_free(&rt->permits, p);
}

static void hold(weir_semaphore *s, weir_permit *p)
{
    s->available -= p->n;
    s->stats.grants++;
    p->since = s->rt->now;
    weir_list_push(&s->holders, &p->link);
    if (p->hold.holder != NULL)
        weir_list_push(&p->hold.holder->held, &p->hold.link);
}

/* Why a request can not even queue, or 0. */
static int refuse(weir_semaphore *s, uint32_t n)
{
    if (s->closed || s->draining) {
        s->stats.closes++;
        return WEIR_ECLOSED;
    }
    if (n == 0)
        return WEIR_EINVAL;
    if (n > s->capacity) {
        s->stats.impossible++;
        return WEIR_EIMPOSSIBLE;
    }
    return 0;
}

int weir_semaphore_try(weir_semaphore *s, weir_task *holder, uint32_t n, weir_permit **out)
{
    int rc = weir_semaphore_take(s, holder, n, out);
    if (rc == WEIR_EBUSY)
        s->stats.busy++;
    return rc;
}

int weir_semaphore_take(weir_semaphore *s, weir_task *holder, uint32_t n, weir_permit **out)
{
    int rc = refuse(s, n);
    if (rc != 0)
        return rc;
    if (n > s->available || s->waiting > 0)
        return WEIR_EBUSY;
    weir_permit *p = permit_new(s, holder, n);
    if (p == NULL)
        return WEIR_ENOMEM;
    hold(s, p);
    *out = p;
    return 0;
}

int weir_semaphore_acquire(weir_semaphore *s, weir_task *holder, uint32_t n, weir_waiter *w,
                           uint64_t deadline, weir_permit **out)
{
    int rc = refuse(s, n);
    if (rc != 0)
        return rc;
    if (s->waiting >= s->max_waiting) {
        s->stats.overload++;
        return WEIR_EOVERLOAD;
    }
    weir_permit *p = permit_new(s, holder, n);
    if (p == NULL)
        return WEIR_ENOMEM;
    p->waiter = w;
    weir_waiter_begin(s->rt, w, &acquire_ops, p, deadline);
    if (s->waiting == 0 && n <= s->available) {
        /* It need not have waited; granted through the ready queue all the same. */
        p->waiter = NULL;
        hold(s, p);
        weir_waiter_settle(s->rt, w, WEIR_GRANTED);
    } else {
        s->waiting++;
        s->stats.queued++;
        weir_list_push(&s->queue, &w->link);
    }
    *out = p;
    return 0;
}

static void dequeue(weir_semaphore *s, weir_waiter *w, weir_permit *p)
{
    weir_link_remove(&w->link);
    p->waiter = NULL;
    s->waiting--;
    weir_histogram_record(&s->stats.wait, s->rt->now - p->since);
}

/* Grant from the head while it fits; then see whether a drain is complete. */
static void serve(weir_semaphore *s)
{
    weir_link *k;
    while ((k = weir_list_first(&s->queue)) != NULL) {
        weir_waiter *w = weir_container(k, weir_waiter, link);
        weir_permit *p = w->object;
        if (p->n > s->available)
            break;
        dequeue(s, w, p);
        hold(s, p);
        weir_waiter_settle(s->rt, w, WEIR_GRANTED);
    }
    if (s->available == s->capacity)
        while ((k = weir_list_pop(&s->idle)) != NULL)
            weir_waiter_settle(s->rt, weir_container(k, weir_waiter, link), WEIR_GRANTED);
}

/* After something came back, or a head left, and the head does not fit: what is left out may be
 * held by tasks that wait for the head itself. Nobody parks here, so nobody else would ask. */
static void check_head(weir_semaphore *s)
{
    weir_link *k;
    weir_graph g;
    while ((k = weir_list_first(&s->queue)) != NULL) {
        weir_waiter *w = weir_container(k, weir_waiter, link);
        weir_task *t = weir_waiter_task(w);
        if (t == NULL || !weir_graph_is_stuck(s->rt, t, &g))
            break;
        weir_waiter_give_up(s->rt, w, WEIR_STUCK);
    }
}

void weir_permit_release(weir_permit *p)
{
    weir_semaphore *s = p->of;
    weir_histogram_record(&s->stats.hold, s->rt->now - p->since);
    s->available += p->n;
    weir_link_remove(&p->link);
    if (p->hold.holder != NULL)
        weir_link_remove(&p->hold.link);
    permit_free(p);
    if (s->waiting > 0 || !weir_list_is_empty(&s->idle)) {
        serve(s);
        check_head(s);
    }
}

void weir_permit_transfer(weir_permit *p, weir_task *to)
{
    if (p->hold.holder != NULL)
        weir_link_remove(&p->hold.link);
    p->hold.holder = to;
    if (to != NULL)
        weir_list_push(&to->held, &p->hold.link);
    check_head(p->of);
}

int weir_semaphore_resize(weir_semaphore *s, int64_t capacity)
{
    if (capacity <= 0 || capacity > UINT32_MAX)
        return WEIR_EINVAL;
    s->available += capacity - s->capacity;
    s->capacity = capacity;
    for (weir_link *k = weir_list_first(&s->queue), *next; k != NULL; k = next) {
        weir_waiter *w = weir_container(k, weir_waiter, link);
        next = weir_list_next(&s->queue, k);
        if (((weir_permit *)w->object)->n > capacity) {
            s->stats.impossible++;
            weir_waiter_give_up(s->rt, w, WEIR_IMPOSSIBLE);
            next = weir_list_first(&s->queue); /* what left may have let others in */
        }
    }
    serve(s);
    check_head(s);
    return 0;
}

uint64_t weir_semaphore_retry_after(const weir_semaphore *s)
{
    const weir_histogram *h = &s->stats.hold;
    uint64_t mean = h->count > 0 ? h->sum / h->count : 0;
    return mean * (s->waiting + 1u) / (uint64_t)s->capacity;
}

void weir_semaphore_close(weir_semaphore *s)
{
    s->closed = 1;
    for (weir_link *k; (k = weir_list_first(&s->queue)) != NULL;) {
        weir_waiter *w = weir_container(k, weir_waiter, link);
        weir_permit *p = w->object;
        dequeue(s, w, p);
        permit_free(p);
        s->stats.closes++;
        weir_waiter_settle(s->rt, w, WEIR_CLOSED);
    }
    serve(s);
}

void weir_semaphore_drain(weir_semaphore *s, weir_waiter *w, uint64_t deadline)
{
    s->draining = 1;
    weir_waiter_begin(s->rt, w, &drain_ops, s, deadline);
    weir_list_push(&s->idle, &w->link);
    serve(s);
}

/* --- the hooks ------------------------------------------------------------------------ */

static void leave_acquire(weir_runtime *rt, weir_waiter *w)
{
    weir_permit *p = w->object;
    weir_semaphore *s = p->of;
    (void)rt;
    dequeue(s, w, p);
    permit_free(p);
    if (w->status == WEIR_TIMEOUT)
        s->stats.timeouts++;
    else if (w->status == WEIR_CANCELED)
        s->stats.cancels++;
    serve(s); /* it may have been a head that did not fit, before one that does */
    if (w->status != WEIR_STUCK && w->status != WEIR_IMPOSSIBLE)
        check_head(s); /* for those two the loop that gives up asks, at its end */
}

static void refund_acquire(weir_runtime *rt, weir_waiter *w)
{
    (void)rt;
    weir_permit_release(w->object);
}

/* Enough must be able to come back, from what is free and from holders that can act; and nobody
 * is passed, so the head of the queue must be able to get its permits first. (Those between need
 * no look: each is asked about when it becomes the head.) */
static int acquire_can_wake(weir_graph *g, weir_waiter *w)
{
    const weir_permit *wanted = w->object;
    const weir_semaphore *s = wanted->of;
    int64_t reach = s->available;
    weir_waiter *head = weir_container(weir_list_first(&s->queue), weir_waiter, link);
    weir_task *first = head != w ? weir_waiter_task(head) : NULL;
    if (first != NULL && !weir_graph_can_act(g, first))
        return 0;
    for (weir_link *k = weir_list_first(&s->holders); k && reach < wanted->n;
         k = weir_list_next(&s->holders, k)) {
        weir_permit *p = weir_container(k, weir_permit, link);
        if (p->hold.holder == NULL || weir_graph_can_act(g, p->hold.holder))
            reach += p->n;
    }
    return reach >= wanted->n;
}

static const char *acquire_name(const weir_waiter *w)
{
    return ((const weir_permit *)w->object)->of->name;
}

static void leave_drain(weir_runtime *rt, weir_waiter *w)
{
    (void)rt;
    weir_link_remove(&w->link);
}

/* Everything must come back: one holder that cannot act is enough to be stuck. */
static int drain_can_wake(weir_graph *g, weir_waiter *w)
{
    const weir_semaphore *s = w->object;
    for (weir_link *k = weir_list_first(&s->holders); k; k = weir_list_next(&s->holders, k)) {
        weir_permit *p = weir_container(k, weir_permit, link);
        if (p->hold.holder != NULL && !weir_graph_can_act(g, p->hold.holder))
            return 0;
    }
    return 1;
}

static const char *drain_name(const weir_waiter *w)
{
    return ((const weir_semaphore *)w->object)->name;
}

static const weir_wait_ops acquire_ops = {"semaphore:acquire", leave_acquire, refund_acquire,
                                          acquire_can_wake, acquire_name};
static const weir_wait_ops drain_ops = {"semaphore:drain", leave_drain, NULL, drain_can_wake,
                                        drain_name};

int weir_semaphore_validate(const weir_semaphore *s)
{
    int64_t out = 0;
    uint32_t waiting = 0;
    for (weir_link *k = weir_list_first(&s->holders); k; k = weir_list_next(&s->holders, k)) {
        const weir_permit *p = weir_container(k, weir_permit, link);
        if (p->of != s || p->waiter != NULL || p->n == 0)
            return __LINE__;
        if ((p->hold.holder != NULL) != weir_link_is_linked(&p->hold.link))
            return __LINE__;
        out += p->n;
    }
    for (weir_link *k = weir_list_first(&s->queue); k; k = weir_list_next(&s->queue, k)) {
        const weir_waiter *w = weir_container(k, weir_waiter, link);
        const weir_permit *p = w->object;
        if (w->status != WEIR_PENDING || p->of != s || p->waiter != w)
            return __LINE__;
        if (waiting++ == 0 && p->n <= s->available)
            return __LINE__; /* a lost wake-up */
    }
    if (out + s->available != s->capacity || waiting != s->waiting)
        return __LINE__;
    if (s->closed && waiting > 0)
        return __LINE__;
    return 0;
}
