/* sync/pool_watch.c - what is said of a pool without changing it.
 *
 * Whether a wait can ever end, how long one would be, whether all is well. To the deadlock search
 * whatever is on its way can wake a waiter, a dial whose time is set too; else one holder that can
 * act is enough.
 */
#include "pool_resource.h"

/* --- can it still be woken? ---------------------------------------------------------- */

static int can_act(weir_graph *g, weir_link *k)
{
    weir_task *holder = weir__pool_resource(k)->lease->hold.holder;
    return holder == NULL || weir_graph_can_act(g, holder);
}

int weir__lease_can_wake(weir_graph *g, weir_waiter *w)
{
    const weir_pool *p = ((const weir_lease *)w->object)->of;
    const weir_list *lists[] = {&p->leased, &p->overdue};
    if (p->n_connecting + p->n_checking + p->n_closing > 0 || weir_timer_is_set(&p->dial))
        return 1;
    for (int i = 0; i < 2; i++)
        for (weir_link *k = weir_list_first(lists[i]); k; k = weir_list_next(lists[i], k))
            if (can_act(g, k))
                return 1;
    return 0;
}

/* Everything must come back: one holder that cannot act is enough to be stuck. */
int weir__pool_gone_can_wake(weir_graph *g, weir_waiter *w)
{
    const weir_pool *p = w->object;
    const weir_list *lists[] = {&p->leased, &p->overdue};
    for (int i = 0; i < 2; i++)
        for (weir_link *k = weir_list_first(lists[i]); k; k = weir_list_next(lists[i], k))
            if (!can_act(g, k))
                return 0;
    return 1;
}

/* --- estimates ----------------------------------------------------------------------- */

uint64_t weir_pool_retry_after(const weir_pool *p)
{
    uint64_t now = p->rt->now;
    if (p->open)
        return p->dials > 0 ? p->recent_create : p->dial_after > now ? p->dial_after - now : 0;
    if (p->n_leased == 0)
        return p->recent_create;
    double ns = (double)p->recent_hold * (p->waiting + 1.0) / p->n_leased + 0.5;
    return ns < (double)WEIR_FOREVER ? (uint64_t)ns : WEIR_FOREVER;
}

/* --- invariants ---------------------------------------------------------------------- */

/* Will an idle one be looked at before its time? (Past its idle_timeout it may stay for `min`.) */
static int is_looked_at(const weir_pool *p, const weir_resource *r)
{
    uint64_t at = r->retire, keep = weir__later(r->since, r->keep);
    uint64_t idle = weir__later(r->used, p->options.idle_timeout);
    if (p->ops->check != NULL && keep < at)
        at = keep;
    if (idle > p->rt->now && idle < at)
        at = idle;
    return at == WEIR_FOREVER || (weir_timer_is_set(&r->timer) && r->timer.deadline <= at);
}

static int validate_resource(const weir_pool *p, const weir_resource *r, unsigned state)
{
    const weir_lease *lease = r->lease;
    if (r->of != p || r->state != state || r->since > p->rt->now)
        return __LINE__;
    if ((lease != NULL) != (state == WEIR_RESOURCE_LEASED))
        return __LINE__;
    if (r->aborted && (state == WEIR_RESOURCE_IDLE || weir_timer_is_set(&r->timer)))
        return __LINE__;
    if (state == WEIR_RESOURCE_IDLE && r->doomed)
        return __LINE__;
    if (state == WEIR_RESOURCE_IDLE && !is_looked_at(p, r))
        return __LINE__;
    if (lease == NULL)
        return 0;
    if (lease->of != p || lease->resource != r || lease->waiter != NULL || lease->failure != 0)
        return __LINE__;
    return (lease->hold.holder != NULL) == weir_link_is_linked(&lease->hold.link) ? 0 : __LINE__;
}

static int validate_list(const weir_pool *p, const weir_list *list, unsigned state, uint32_t *n,
                         uint32_t *aborted)
{
    for (weir_link *k = weir_list_first(list); k != NULL; k = weir_list_next(list, k)) {
        const weir_resource *r = weir__pool_resource(k);
        int line = validate_resource(p, r, state);
        if (line != 0)
            return line;
        if (state == WEIR_RESOURCE_LEASED && (list == &p->overdue) != r->lease->reported)
            return __LINE__;
        ++*n;
        *aborted += r->aborted;
    }
    return 0;
}

static int validate_resources(const weir_pool *p)
{
    const struct {
        const weir_list *list;
        unsigned state;
        uint32_t n, live;
    } all[] = {
        {&p->connecting, WEIR_RESOURCE_CONNECTING, p->n_connecting, p->dials},
        {&p->checking, WEIR_RESOURCE_CHECKING, p->n_checking, p->checks},
        {&p->idle, WEIR_RESOURCE_IDLE, p->n_idle, p->n_idle},
        {&p->closing, WEIR_RESOURCE_CLOSING, p->n_closing, UINT32_MAX},
        {&p->leased, WEIR_RESOURCE_LEASED, p->n_leased, UINT32_MAX},
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        uint32_t n = 0, aborted = 0;
        int line = validate_list(p, all[i].list, all[i].state, &n, &aborted);
        if (line == 0 && all[i].state == WEIR_RESOURCE_LEASED)
            line = validate_list(p, &p->overdue, WEIR_RESOURCE_LEASED, &n, &aborted);
        if (line != 0)
            return line;
        if (n != all[i].n || (all[i].live != UINT32_MAX && n - aborted != all[i].live))
            return __LINE__;
    }
    return 0;
}

static int validate_queue(const weir_pool *p)
{
    uint32_t waiting = 0;
    for (weir_link *k = weir_list_first(&p->queue); k != NULL; k = weir_list_next(&p->queue, k)) {
        const weir_waiter *w = weir_container(k, weir_waiter, link);
        const weir_lease *lease = w->object;
        if (w->status != WEIR_PENDING || lease->of != p || lease->waiter != w ||
            lease->resource != NULL || weir_link_is_linked(&lease->hold.link))
            return __LINE__;
        waiting++;
    }
    if (waiting != p->waiting)
        return __LINE__;
    if (p->n_idle > 0 && waiting > 0 &&
        (!weir__pool_is_stale(p, weir__pool_next(p)) || waiting > p->checks))
        return __LINE__; /* a lost wake-up */
    if (p->open && waiting > p->checks)
        return __LINE__;
    return 0;
}

/* What is needed is on its way, or its time is set, or as many dials as may be are on their way. */
static int validate_need(const weir_pool *p)
{
    uint64_t at = weir__pool_next_dial(p);
    uint32_t wanted = weir__pool_wanted(p);
    if (wanted != p->wanted)
        return __LINE__;
    if (wanted == 0 || p->n_connecting >= p->options.max_dials)
        at = WEIR_FOREVER;
    if (weir_timer_is_set(&p->dial) ? p->dial.deadline != at : at != WEIR_FOREVER)
        return __LINE__;
    if (p->patience > weir__later(p->need_since, p->options.dial_stagger))
        return __LINE__;
    return 0;
}

int weir_pool_validate(const weir_pool *p)
{
    int line = validate_resources(p);
    if (line == 0)
        line = validate_queue(p);
    if (line == 0)
        line = validate_need(p);
    if (line != 0)
        return line;
    if (p->serving)
        return __LINE__;
    if (p->ended != (p->closed || (p->draining && p->waiting == 0)))
        return __LINE__;
    if (p->ended && (p->waiting > 0 || p->n_idle > 0 || p->dials > 0 || p->checks > 0))
        return __LINE__;
    if (p->ended && weir__pool_total(p) == 0 && !weir_list_is_empty(&p->joiners))
        return __LINE__;
    return 0;
}
