/* sync/pool.c - the pool's requests and leases: who waits, who holds, and how it ends.
 *
 * The lease of a waiter is made before it queues, so that a grant cannot fail. A request that finds
 * a fit resource idle costs a record and three list moves; all else goes through the queue, and
 * whatever becomes free goes to its head (weir__pool_grant, the one place that grants to those who
 * wait).
 */
#include "pool_resource.h"

static const weir_wait_ops drain_ops, join_ops;

static void drop(weir_hold *h)
{
    weir_lease_release(weir_container(h, weir_lease, hold), 1);
}

static const char *hold_name(const weir_hold *h)
{
    return ((const weir_lease *)(const void *)h)->of->name;
}

static const weir_hold_ops hold_ops = {"lease", drop, hold_name};

/* --- life ---------------------------------------------------------------------------- */

weir_pool_options weir_pool_defaults(void)
{
    return (weir_pool_options){
        .max = 10,
        .max_waiting = UINT32_MAX,
        .max_dials =
            8, /* what the stagger has on its way at 240 ms a dial: slower, and each waits */
        .open_after = 3,
        .lifo = 1,
        .create_timeout = 10 * WEIR_SECOND,
        .check_timeout = 5 * WEIR_SECOND,
        .destroy_timeout = 5 * WEIR_SECOND,
        .check_idle = WEIR_SECOND / 2,
        .keep_alive = WEIR_FOREVER,
        .idle_timeout = 60 * WEIR_SECOND,
        .max_lifetime = 3600 * WEIR_SECOND,
        .jitter = 0.025,
        .dial_stagger = 3 * (WEIR_SECOND / 100),
        .backoff = WEIR_SECOND / 10,
        .max_backoff = 10 * WEIR_SECOND,
        .leak_after = WEIR_FOREVER,
    };
}

static void set_bounds(weir_pool *p, uint32_t min, uint32_t max)
{
    double at = p->options.shed * max;
    p->options.min = min;
    p->options.max = max;
    p->shed_at = at > 0 ? (uint32_t)at + ((uint32_t)at < at) : UINT32_MAX;
}

static void report_leaks(weir_runtime *rt, weir_timer *timer);

int weir_pool_init(weir_runtime *rt, weir_pool *p, const weir_pool_ops *ops,
                   const weir_pool_options *options, const char *name)
{
    const weir_pool_options *o = options;
    if (o->max == 0 || o->min > o->max || o->max_dials == 0 || o->backoff == 0 ||
        o->backoff > o->max_backoff || !(o->shed >= 0 && o->shed <= 1) ||
        !(o->jitter >= 0 && o->jitter <= 1) || ops->create == NULL || ops->destroy == NULL)
        return WEIR_EINVAL;
    *p = (weir_pool){.rt = rt, .ops = ops, .options = *o, .name = name};
    weir_list *lists[] = {&p->queue,   &p->idle,   &p->connecting, &p->checking,
                          &p->closing, &p->leased, &p->overdue,    &p->joiners};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        weir_list_init(lists[i]);
    weir_timer_init(&p->dial, weir__pool_dial_fire);
    weir_timer_init(&p->leak, report_leaks);
    set_bounds(p, o->min, o->max);
    p->stale_after = WEIR_FOREVER;
    if (ops->check != NULL)
        p->stale_after = o->check_idle == 0 ? 0 : weir__later(o->check_idle, 1);
    p->wanted = o->min;
    p->need_since = rt->now;
    if (o->min > 0)
        weir_timer_set(rt, &p->dial, weir__pool_next_dial(p));
    return 0;
}

int weir_pool_is_gone(const weir_pool *p)
{
    return p->ended && weir__pool_total(p) == 0 && p->unforgotten == 0;
}

void weir_pool_fini(weir_pool *p)
{
    assert(weir_pool_is_gone(p) && weir_list_is_empty(&p->joiners));
    weir_timer_unset(p->rt, &p->leak);
    if (p->cause != 0 && p->ops->drop != NULL)
        p->ops->drop(p, p->cause);
    p->cause = 0;
}

/* --- leases -------------------------------------------------------------------------- */

static weir_lease *lease_new(weir_pool *p, weir_task *holder)
{
    weir_lease *lease = weir__record_new(p->rt, &p->rt->leases, sizeof *lease);
    if (lease == NULL)
        return NULL;
    weir_link_init(&lease->hold.link);
    lease->hold.holder = holder;
    lease->hold.ops = &hold_ops;
    lease->of = p;
    lease->resource = NULL;
    lease->waiter = NULL;
    lease->since = p->rt->now;
    lease->reported = 0;
    lease->failure = 0;
    lease->rc = 0;
    p->rt->n.permits++;
    return lease;
}

static void lease_free(weir_lease *lease)
{
    weir_runtime *rt = lease->of->rt;
    lease->generation++;
    rt->n.permits--;
    weir__record_free(&rt->leases, lease);
}

static void hold(weir_pool *p, weir_lease *lease, weir_resource *r)
{
    weir__pool_move(p, r, WEIR_RESOURCE_LEASED);
    r->lease = lease;
    lease->resource = r;
    lease->since = p->rt->now;
    p->stats.grants++;
    if (lease->hold.holder != NULL)
        weir_list_push(&lease->hold.holder->held, &lease->hold.link);
    if (p->options.leak_after != WEIR_FOREVER && !weir_timer_is_set(&p->leak))
        weir_timer_set(p->rt, &p->leak, weir_after(p->rt, p->options.leak_after));
}

/* The loan is over; its resource is still LEASED, to nobody. */
static weir_resource *end_lease(weir_lease *lease)
{
    weir_resource *r = lease->resource;
    if (lease->hold.holder != NULL)
        weir_link_remove(&lease->hold.link);
    r->lease = NULL;
    lease_free(lease);
    return r;
}

static weir_resource *end_loan(weir_pool *p, weir_lease *lease)
{
    weir_resource *r = lease->resource;
    uint64_t ns = p->rt->now - lease->since;
    p->recent_hold = weir__smooth(p->recent_hold, ns, p->stats.hold.count == 0);
    weir_histogram_record(&p->stats.hold, ns);
    r->used = p->rt->now;
    if (r->uses < UINT32_MAX - 1) /* which no bound is reached by */
        r->uses++;
    return end_lease(lease);
}

void weir_lease_release(weir_lease *lease, int suspect)
{
    weir_pool *p = lease->of;
    weir_resource *r = end_loan(p, lease);
    int can_check = p->ops->check != NULL && !r->doomed && !p->ended;
    if (!suspect)
        p->returned = p->rt->now;
    if (suspect && !can_check)
        weir__pool_destroy(p, r, p->ended ? WEIR_EVICTED_CLOSED : WEIR_EVICTED_DISCARDED);
    else if (can_check && (suspect || (p->waiting > 0 && p->stale_after == 0)))
        weir__pool_check(p, r, 0); /* a check_idle of 0 is always, from hand to hand too */
    else if (weir__pool_hand(p, r, 0))
        return; /* idle again: nobody's need has changed */
    weir__pool_changed(p);
}

void weir_lease_discard(weir_lease *lease)
{
    weir_pool *p = lease->of;
    weir__pool_destroy(p, end_loan(p, lease),
                       p->ended ? WEIR_EVICTED_CLOSED : WEIR_EVICTED_DISCARDED);
    weir__pool_changed(p);
}

void weir_lease_transfer(weir_lease *lease, weir_task *to)
{
    if (lease->hold.holder != NULL)
        weir_link_remove(&lease->hold.link);
    lease->hold.holder = to;
    if (to != NULL)
        weir_list_push(&to->held, &lease->hold.link);
    weir__pool_check_head(lease->of);
}

void weir_lease_forget(weir_lease *lease)
{
    weir_pool *p = lease->of;
    intptr_t failure = lease->failure;
    p->unforgotten--;
    lease_free(lease);
    if (failure != 0 && p->ops->drop != NULL)
        p->ops->drop(p, failure);
}

/* A lease is reported once, and kept apart then: the others are in order of their time. */
static void report_leaks(weir_runtime *rt, weir_timer *timer)
{
    weir_pool *p = weir_container(timer, weir_pool, leak);
    weir_link *k;
    while ((k = weir_list_first(&p->leased)) != NULL) {
        weir_lease *lease = weir__pool_resource(k)->lease;
        uint64_t due = weir__later(lease->since, p->options.leak_after);
        if (due > rt->now) {
            weir_timer_set(rt, timer, due);
            return;
        }
        weir_link_remove(k);
        weir_list_push(&p->overdue, k);
        lease->reported = 1;
        p->stats.leaks++;
        if (p->leaked != NULL)
            p->leaked(p, lease);
    }
}

/* --- requests ------------------------------------------------------------------------ */

static void leave_queue(weir_pool *p, weir_lease *lease)
{
    weir_link_remove(&lease->waiter->link);
    lease->waiter = NULL;
    p->waiting--;
    weir_histogram_record(&p->stats.wait, p->rt->now - lease->since);
}

void weir__pool_grant(weir_pool *p, weir_resource *r)
{
    weir_lease *lease = weir__pool_request(weir_list_first(&p->queue));
    weir_waiter *w = lease->waiter;
    leave_queue(p, lease);
    hold(p, lease, r);
    weir_waiter_settle(p->rt, w, WEIR_GRANTED);
}

void weir__pool_turn_away(weir_pool *p, weir_lease *lease, weir_status status)
{
    weir_waiter *w = lease->waiter;
    leave_queue(p, lease);
    if (status == WEIR_FAILED)
        p->unforgotten++;
    else
        lease_free(lease);
    weir_waiter_settle(p->rt, w, status);
}

/* Why a request cannot even queue, or 0. */
static int refuse(weir_pool *p)
{
    if (p->closed || p->draining) {
        p->stats.closes++;
        return WEIR_ECLOSED;
    }
    if (p->n_leased >= p->shed_at) {
        p->stats.shed++;
        return WEIR_EOVERLOAD;
    }
    if (p->open && p->n_idle == 0) {
        p->stats.open++;
        return WEIR_EOPEN;
    }
    return 0;
}

/* The resource that a request gets without waiting, or NULL. */
static weir_resource *at_once(const weir_pool *p)
{
    if (p->waiting > 0 || p->n_idle == 0)
        return NULL;
    weir_resource *r = weir__pool_next(p);
    return weir__pool_is_stale(p, r) ? NULL : r;
}

int weir_pool_take(weir_pool *p, weir_task *holder, int counted, weir_lease **out)
{
    int rc = refuse(p);
    if (rc != 0)
        return rc;
    weir_resource *r = at_once(p);
    if (r == NULL) {
        p->stats.busy += counted != 0;
        return WEIR_EBUSY;
    }
    weir_lease *lease = lease_new(p, holder);
    if (lease == NULL)
        return WEIR_ENOMEM;
    hold(p, lease, r);
    *out = lease;
    return 0;
}

/* May nobody more wait? Who is next to get one that is idle, or being checked, is not in line: else
 * a pool whose resources all have to be checked first would refuse while they rest. */
static int is_full(const weir_pool *p)
{
    uint32_t in_line = p->waiting > p->checks ? p->waiting - p->checks : 0;
    return p->n_idle == 0 && in_line >= p->options.max_waiting;
}

int weir_pool_acquire(weir_pool *p, weir_task *holder, weir_waiter *w, uint64_t deadline,
                      int is_default, weir_lease **out)
{
    int rc = refuse(p);
    if (rc != 0)
        return rc;
    weir_resource *r = at_once(p);
    if (r == NULL && is_full(p)) {
        p->stats.overload++;
        return WEIR_EOVERLOAD;
    }
    weir_lease *lease = lease_new(p, holder);
    if (lease == NULL)
        return WEIR_ENOMEM;
    weir_waiter_begin(p->rt, w, &weir__lease_ops, lease, deadline);
    if (is_default)
        w->flags |= WEIR_WAITER_DEFAULT;
    *out = lease;
    if (r != NULL) {
        /* It need not have waited; granted through the ready queue all the same. */
        hold(p, lease, r);
        weir_waiter_settle(p->rt, w, WEIR_GRANTED);
        return 0;
    }
    lease->waiter = w;
    p->waiting++;
    p->stats.queued++;
    weir_list_push(&p->queue, &w->link);
    weir__pool_serve(p); /* whether this wait can end is asked by who parks in it */
    return 0;
}

/* --- changes and ends ---------------------------------------------------------------- */

int weir_pool_resize(weir_pool *p, uint32_t min, uint32_t max)
{
    if (max == 0 || min > max)
        return WEIR_EINVAL;
    int outer = p->serving;
    set_bounds(p, min, max);
    p->serving = 1; /* answers wait until all is said */
    for (uint32_t i = p->n_idle; i > 0 && p->n_idle > 0; i--) {
        weir_resource *r = weir__pool_resource(weir_list_first(&p->idle));
        if (weir__pool_total(p) - p->n_closing > max) {
            weir__pool_destroy(p, r, WEIR_EVICTED_SHRUNK);
            continue;
        }
        /* Perhaps it stayed for the sake of the old `min` alone. */
        if (weir__later(r->used, p->options.idle_timeout) <= p->rt->now &&
            weir__pool_strong(p) > min) {
            weir__pool_destroy(p, r, WEIR_EVICTED_IDLE);
            continue;
        }
        weir_link_remove(&r->link); /* round, so that the order is as before */
        weir_list_push(&p->idle, &r->link);
    }
    p->serving = (uint8_t)outer;
    weir__pool_changed(p);
    return 0;
}

void weir_pool_evict(weir_pool *p)
{
    weir_list *lent[] = {&p->leased, &p->overdue}, *busy[] = {&p->connecting, &p->checking};
    int outer = p->serving;
    p->serving = 1;
    for (int i = 0; i < 2; i++) {
        for (weir_link *k = weir_list_first(lent[i]); k != NULL; k = weir_list_next(lent[i], k))
            weir__pool_resource(k)->doomed = WEIR_EVICTED_DISCARDED + 1;
        for (weir_link *k = weir_list_first(busy[i]); k != NULL; k = weir_list_next(busy[i], k))
            weir__pool_resource(k)->doomed = WEIR_EVICTED_DISCARDED + 1;
    }
    for (uint32_t i = p->n_idle; i > 0 && p->n_idle > 0; i--)
        weir__pool_destroy(p, weir__pool_resource(weir_list_first(&p->idle)),
                           WEIR_EVICTED_DISCARDED);
    weir__pool_abort_all(p, WEIR_RESOURCE_CONNECTING);
    weir__pool_abort_all(p, WEIR_RESOURCE_CHECKING);
    p->serving = (uint8_t)outer;
    weir__pool_changed(p);
}

void weir_pool_close(weir_pool *p)
{
    p->closed = 1;
    for (weir_link *k; (k = weir_list_first(&p->queue)) != NULL;) {
        p->stats.closes++;
        weir__pool_turn_away(p, weir__pool_request(k), WEIR_CLOSED);
    }
    weir__pool_serve(p);
}

static void wait_gone(weir_pool *p, weir_waiter *w, const weir_wait_ops *ops, uint64_t deadline)
{
    weir_waiter_begin(p->rt, w, ops, p, deadline);
    weir_list_push(&p->joiners, &w->link);
    weir__pool_serve(p);
}

void weir_pool_drain(weir_pool *p, weir_waiter *w, uint64_t deadline)
{
    p->draining = 1;
    wait_gone(p, w, &drain_ops, deadline);
}

void weir_pool_join(weir_pool *p, weir_waiter *w, uint64_t deadline)
{
    wait_gone(p, w, &join_ops, deadline);
}

/* --- the hooks ----------------------------------------------------------------------- */

static void leave_acquire(weir_runtime *rt, weir_waiter *w)
{
    weir_lease *lease = w->object;
    weir_pool *p = lease->of;
    (void)rt;
    leave_queue(p, lease);
    lease_free(lease);
    if (w->status == WEIR_TIMEOUT)
        p->stats.timeouts++;
    else if (w->status == WEIR_CANCELED)
        p->stats.cancels++;
    if (w->status == WEIR_STUCK)
        weir__pool_serve(p); /* the loop that gives up asks about the next, at its end */
    else
        weir__pool_changed(p);
}

/* Nobody has seen it: it is as good as it was, and was not used. */
static void refund_acquire(weir_runtime *rt, weir_waiter *w)
{
    weir_lease *lease = w->object;
    weir_pool *p = lease->of;
    (void)rt;
    weir__pool_hand(p, end_lease(lease), 0);
    weir__pool_changed(p);
}

static const char *acquire_name(const weir_waiter *w)
{
    return ((const weir_lease *)w->object)->of->name;
}

static void leave_gone(weir_runtime *rt, weir_waiter *w)
{
    (void)rt;
    weir_link_remove(&w->link);
}

static const char *gone_name(const weir_waiter *w)
{
    return ((const weir_pool *)w->object)->name;
}

const weir_wait_ops weir__lease_ops = {"pool:acquire", leave_acquire, refund_acquire,
                                       weir__lease_can_wake, acquire_name};
static const weir_wait_ops drain_ops = {"pool:drain", leave_gone, NULL, weir__pool_gone_can_wake,
                                        gone_name};
static const weir_wait_ops join_ops = {"pool:join", leave_gone, NULL, weir__pool_gone_can_wake,
                                       gone_name};
