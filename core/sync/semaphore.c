/* sync/semaphore.c - the counting semaphore.
 *
 * One integer, `available`, one queue of waiters. Every way in which capacity comes free or the
 * head of the queue changes (release, a head that leaves, a new priority) ends in serve(), the
 * one place that grants to those who wait. The permit of a waiter is made before it queues, so
 * that a grant cannot fail. Who waits in which order is semaphore_queue's.
 */
#include "semaphore_queue.h"

static const weir_wait_ops drain_ops, idle_ops, resized_ops;

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
    s->aging = WEIR_SECOND;
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
    s->held++;
    s->stats.grants++;
    p->since = s->rt->now;
    weir_list_push(&s->holders, &p->link);
    if (p->hold.holder != NULL)
        weir_list_push(&p->hold.holder->held, &p->hold.link);
}

/* Leave the queue and hold: `p` was granted. */
static void grant(weir_semaphore *s, weir_permit *p)
{
    weir_waiter *w = p->waiter;
    weir__queue_remove(s, p);
    weir_link_init(&p->hold.link); /* what the queue kept there is over */
    hold(s, p);
    weir_waiter_settle(s->rt, w, WEIR_GRANTED);
}

static void count_pass(weir_semaphore *s, weir_permit *head)
{
    head->passed++;
    s->stats.passes++;
}

/* Leave the queue with nothing. */
static void turn_away(weir_semaphore *s, weir_permit *p, weir_status status)
{
    weir_waiter *w = p->waiter;
    weir__queue_remove(s, p);
    permit_free(p);
    w->object = s;
    weir_waiter_settle(s->rt, w, status);
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

/* May a request be granted before it waits? */
static inline weir_arrival arrival(const weir_semaphore *s, uint32_t n, int32_t priority)
{
    if (n > s->available)
        return WEIR_ARRIVAL_WAIT;
    return s->waiting == 0 ? WEIR_ARRIVAL_LEAD : weir__queue_arrival(s, priority);
}

static inline void hold_on_arrival(weir_semaphore *s, weir_permit *p, weir_arrival how)
{
    if (how == WEIR_ARRIVAL_PASS)
        count_pass(s, weir__queue_head(s));
    hold(s, p);
}

/* What is free goes to whom nobody is before: how most permits are taken. */
static inline int is_free(const weir_semaphore *s, uint32_t n)
{
    return s->waiting == 0 && n <= s->available && n > 0 && !s->closed && !s->draining;
}

int weir_semaphore_take_ranked(weir_semaphore *s, weir_task *holder, uint32_t n, int32_t priority,
                               weir_permit **out)
{
    weir_arrival how = WEIR_ARRIVAL_LEAD;
    if (!is_free(s, n)) {
        int rc = refuse(s, n);
        if (rc != 0)
            return rc;
        how = arrival(s, n, priority);
        if (how == WEIR_ARRIVAL_WAIT)
            return WEIR_EBUSY;
    }
    weir_permit *p = permit_new(s, holder, n);
    if (p == NULL)
        return WEIR_ENOMEM;
    hold_on_arrival(s, p, how);
    *out = p;
    return 0;
}

int weir_semaphore_take(weir_semaphore *s, weir_task *holder, uint32_t n, weir_permit **out)
{
    return weir_semaphore_take_ranked(s, holder, n, 0, out);
}

int weir_semaphore_try(weir_semaphore *s, weir_task *holder, uint32_t n, weir_permit **out)
{
    int rc = weir_semaphore_take_ranked(s, holder, n, 0, out);
    if (rc == WEIR_EBUSY)
        s->stats.busy++;
    return rc;
}

int weir_semaphore_acquire_ranked(weir_semaphore *s, weir_task *holder, uint32_t n,
                                  int32_t priority, weir_waiter *w, uint64_t deadline,
                                  weir_permit **out)
{
    int rc = refuse(s, n);
    if (rc != 0)
        return rc;
    weir_arrival how = arrival(s, n, priority);
    if (how == WEIR_ARRIVAL_WAIT && s->waiting >= s->max_waiting) {
        s->stats.overload++;
        return WEIR_EOVERLOAD;
    }
    weir_permit *p = permit_new(s, holder, n);
    if (p == NULL)
        return WEIR_ENOMEM;
    weir_waiter_begin(s->rt, w, &weir__acquire_ops, p, deadline);
    if (how == WEIR_ARRIVAL_WAIT) {
        p->waiter = w;
        weir__queue_push(s, p, priority);
        if (weir__semaphore_flows(s))
            w->flags |= WEIR_WAITER_SURE;
    } else {
        /* It need not have waited; granted through the ready queue all the same. */
        hold_on_arrival(s, p, how);
        weir_waiter_settle(s->rt, w, WEIR_GRANTED);
    }
    *out = p;
    return 0;
}

int weir_semaphore_acquire(weir_semaphore *s, weir_task *holder, uint32_t n, weir_waiter *w,
                           uint64_t deadline, weir_permit **out)
{
    return weir_semaphore_acquire_ranked(s, holder, n, 0, w, deadline, out);
}

static void wake_idle(weir_semaphore *s)
{
    for (weir_link *k = weir_list_first(&s->idle), *next; k != NULL; k = next) {
        weir_waiter *w = weir_container(k, weir_waiter, link);
        next = weir_list_next(&s->idle, k);
        if (s->available < (w->ops == &resized_ops ? 0 : s->capacity))
            continue;
        weir_link_remove(k);
        weir_waiter_settle(s->rt, w, WEIR_GRANTED);
    }
}

/* Grant from the head while it fits, and behind it while it may be passed; then see who waits for
 * permits to be back. */
static void serve(weir_semaphore *s)
{
    weir_permit *p, *passer;
    while (s->available > 0 && (p = weir__queue_head(s)) != NULL) {
        if (p->n <= s->available) {
            grant(s, p);
            continue;
        }
        if (p->passed >= s->bypass || (passer = weir__queue_passer(s)) == NULL)
            break;
        count_pass(s, p);
        grant(s, passer);
    }
    if (!weir_list_is_empty(&s->idle))
        wake_idle(s);
}

/* After something came back, or a head left, and the head does not fit: what is left out may be
 * held by tasks that wait for the head itself. Nobody parks here, so nobody else would ask. */
static void check_head(weir_semaphore *s)
{
    weir_permit *p;
    weir_graph g;
    if (s->waiting == 0 || weir__semaphore_flows(s))
        return;
    while ((p = weir__queue_head(s)) != NULL) {
        weir_task *t = weir_waiter_task(p->waiter);
        if (t == NULL || !weir_graph_is_stuck(s->rt, t, &g))
            break;
        weir_waiter_give_up(s->rt, p->waiter, WEIR_STUCK);
    }
}

int weir_semaphore_set_priority(weir_semaphore *s, weir_waiter *w, int32_t priority)
{
    if (w->status != WEIR_PENDING || w->ops != &weir__acquire_ops || s->order == WEIR_ORDER_FIFO)
        return WEIR_EINVAL;
    weir_permit *p = w->object;
    if (p->of != s)
        return WEIR_EINVAL;
    uint32_t passed = p->passed;
    int led = weir__queue_head(s) == p;
    weir_heap_remove(&s->ranks, &p->node);
    weir__queue_rank(s, p, priority);
    if (led) /* its own count, not that of who was second */
        p->passed = passed;
    serve(s);
    check_head(s);
    return 0;
}

/* --- permits ------------------------------------------------------------------------- */

static void count_hold(weir_semaphore *s, const weir_permit *p)
{
    uint64_t ns = s->rt->now - p->since;
    if (s->max_waiting != UINT32_MAX)
        weir__semaphore_returned(s, p->n, ns);
    weir_histogram_record(&s->stats.hold, ns);
}

static void end_permit(weir_semaphore *s, weir_permit *p)
{
    s->held--;
    weir_link_remove(&p->link);
    if (p->hold.holder != NULL)
        weir_link_remove(&p->hold.link);
    permit_free(p);
}

void weir_permit_release(weir_permit *p)
{
    weir_semaphore *s = p->of;
    count_hold(s, p);
    s->available += p->n;
    end_permit(s, p);
    if (s->waiting > 0) {
        serve(s);
        check_head(s);
    } else if (!weir_list_is_empty(&s->idle)) {
        wake_idle(s);
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

int weir_permit_split(weir_permit *p, uint32_t n, weir_permit **out)
{
    if (p->waiter != NULL || n == 0 || n >= p->n)
        return WEIR_EINVAL;
    weir_permit *q = permit_new(p->of, p->hold.holder, n);
    if (q == NULL)
        return WEIR_ENOMEM;
    p->n -= n;
    q->since = p->since;
    p->of->held++;
    weir_link_insert(p->link.next, &q->link);
    if (q->hold.holder != NULL)
        weir_link_insert(p->hold.link.next, &q->hold.link);
    *out = q;
    return 0;
}

int weir_permit_merge(weir_permit *p, weir_permit *other)
{
    if (p == other || p->waiter != NULL || other->waiter != NULL || p->of != other->of ||
        p->hold.holder != other->hold.holder)
        return WEIR_EINVAL;
    p->n += other->n;
    end_permit(p->of, other);
    return 0;
}

/* --- changes and ends ------------------------------------------------------------------ */

static void turn_away_impossible(weir_semaphore *s)
{
    for (weir_link *k = weir_list_first(&s->queue), *next; k != NULL; k = next) {
        weir_permit *p = weir__queue_permit(k);
        next = weir_list_next(&s->queue, k);
        if (p->n <= s->capacity)
            continue;
        s->stats.impossible++;
        turn_away(s, p, WEIR_IMPOSSIBLE);
    }
    s->heaviest = (uint32_t)s->capacity;
}

int weir_semaphore_resize(weir_semaphore *s, int64_t capacity)
{
    if (capacity <= 0 || capacity > UINT32_MAX)
        return WEIR_EINVAL;
    s->available += capacity - s->capacity;
    s->capacity = capacity;
    if (s->waiting > 0 && s->heaviest > capacity)
        turn_away_impossible(s);
    serve(s);
    check_head(s);
    return 0;
}

void weir_semaphore_close(weir_semaphore *s)
{
    s->closed = 1;
    for (weir_link *k; (k = weir_list_first(&s->queue)) != NULL;) {
        s->stats.closes++;
        turn_away(s, weir__queue_permit(k), WEIR_CLOSED);
    }
}

static void wait_idle(weir_semaphore *s, weir_waiter *w, const weir_wait_ops *ops,
                      uint64_t deadline)
{
    weir_waiter_begin(s->rt, w, ops, s, deadline);
    weir_list_push(&s->idle, &w->link);
    wake_idle(s);
}

void weir_semaphore_drain(weir_semaphore *s, weir_waiter *w, uint64_t deadline)
{
    s->draining = 1;
    wait_idle(s, w, &drain_ops, deadline);
}

void weir_semaphore_idle(weir_semaphore *s, weir_waiter *w, uint64_t deadline)
{
    wait_idle(s, w, &idle_ops, deadline);
}

void weir_semaphore_resized(weir_semaphore *s, weir_waiter *w, uint64_t deadline)
{
    wait_idle(s, w, &resized_ops, deadline);
}

/* --- the hooks ------------------------------------------------------------------------ */

static void leave_acquire(weir_runtime *rt, weir_waiter *w)
{
    weir_permit *p = w->object;
    weir_semaphore *s = p->of;
    (void)rt;
    weir__queue_remove(s, p);
    permit_free(p);
    w->object = s;
    if (w->status == WEIR_TIMEOUT)
        s->stats.timeouts++;
    else if (w->status == WEIR_CANCELED)
        s->stats.cancels++;
    serve(s); /* it may have been a head that did not fit, before one that does */
    if (w->status != WEIR_STUCK)
        check_head(s); /* else the loop that gives up asks, at its end */
}

static void refund_acquire(weir_runtime *rt, weir_waiter *w)
{
    weir_permit *p = w->object;
    (void)rt;
    w->object = p->of;
    weir_permit_release(p);
}

static const char *acquire_name(const weir_waiter *w)
{
    return ((const weir_permit *)w->object)->of->name;
}

static void leave_idle(weir_runtime *rt, weir_waiter *w)
{
    (void)rt;
    weir_link_remove(&w->link);
}

static const char *idle_name(const weir_waiter *w)
{
    return ((const weir_semaphore *)w->object)->name;
}

const weir_wait_ops weir__acquire_ops = {"semaphore:acquire", leave_acquire, refund_acquire,
                                         weir__acquire_can_wake, acquire_name};
static const weir_wait_ops drain_ops = {"semaphore:drain", leave_idle, NULL, weir__idle_can_wake,
                                        idle_name};
static const weir_wait_ops idle_ops = {"semaphore:idle", leave_idle, NULL, weir__idle_can_wake,
                                       idle_name};
static const weir_wait_ops resized_ops = {"semaphore:resized", leave_idle, NULL,
                                          weir__resized_can_wake, idle_name};
