/* sync/pool_resource.c - the life of a pool's resource: lent, idle, checked, destroyed.
 *
 * The idle ones stand in the order in which they are known to be good: those lent before, by the
 * time they came back, at the end; those that were checked without being lent, at the front, the
 * last one first. So of all that need no check there is always one at an end, and an answer to "is
 * one fit?" looks at two.
 * An idle resource has one timer for all that may end its rest. It is set to the first of these
 * and left alone when the resource is lent: it may come too early then, looks and sets itself
 * again, so that lending and giving back touch no timer. Every other state but LEASED uses it for
 * the deadline of the operation that is on its way.
 */
#include "pool_resource.h"

void weir__pool_free(weir_pool *p, weir_resource *r)
{
    weir_timer_unset(p->rt, &r->timer);
    weir_link_remove(&r->link);
    --*weir__pool_count(p, r->state);
    weir_alloc(p->rt, r, sizeof *r, 0);
}

/* --- operations ---------------------------------------------------------------------- */

static void begin(weir_pool *p, weir_resource *r, weir_resource_state state, uint64_t timeout)
{
    weir__pool_move(p, r, state);
    r->aborted = 0;
    weir_timer_set(p->rt, &r->timer, weir_after(p->rt, timeout));
}

void weir__pool_check(weir_pool *p, weir_resource *r, int front)
{
    begin(p, r, WEIR_RESOURCE_CHECKING, p->options.check_timeout);
    r->front = (uint8_t)front;
    p->checks++;
    p->stats.checks++;
    p->ops->check(p, r);
}

void weir__pool_destroy(weir_pool *p, weir_resource *r, weir_evicted cause)
{
    begin(p, r, WEIR_RESOURCE_CLOSING, p->options.destroy_timeout);
    p->stats.evicted[cause]++;
    p->ops->destroy(p, r);
}

void weir__pool_abort(weir_pool *p, weir_resource *r)
{
    if (r->aborted)
        return;
    r->aborted = 1;
    weir_timer_unset(p->rt, &r->timer);
    p->dials -= r->state == WEIR_RESOURCE_CONNECTING;
    p->checks -= r->state == WEIR_RESOURCE_CHECKING;
    if (p->ops->abort != NULL)
        p->ops->abort(p, r);
}

/* Once round the list: an answer from inside the call takes its resource out. */
void weir__pool_abort_all(weir_pool *p, weir_resource_state state)
{
    weir_list *list = weir__pool_list(p, state);
    for (uint32_t i = *weir__pool_count(p, state); i > 0 && !weir_list_is_empty(list); i--) {
        weir_resource *r = weir__pool_resource(weir_list_pop(list));
        weir_list_push(list, &r->link);
        weir__pool_abort(p, r);
    }
}

void weir_pool_checked(weir_pool *p, weir_resource *r, int is_good)
{
    assert(r->of == p && r->state == WEIR_RESOURCE_CHECKING);
    weir_timer_unset(p->rt, &r->timer);
    p->checks -= !r->aborted;
    if (is_good && !r->aborted) {
        p->doubt = 0;
        weir__pool_hand(p, r, r->front);
    } else if (p->ended || r->doomed) {
        weir__pool_destroy(p, r, r->doomed ? r->doomed - 1u : WEIR_EVICTED_CLOSED);
    } else {
        p->stats.check_failures++;
        p->doubt = 1;
        weir__pool_destroy(p, r, WEIR_EVICTED_CHECK);
    }
    weir__pool_changed(p);
}

void weir_pool_destroyed(weir_pool *p, weir_resource *r)
{
    assert(r->of == p && r->state == WEIR_RESOURCE_CLOSING);
    p->stats.destroyed++;
    weir__pool_free(p, r);
    weir__pool_changed(p);
}

/* --- rest ---------------------------------------------------------------------------- */

/* When an idle resource is next looked at: the first of what may end its rest. Past its
 * idle_timeout it stays while the pool would have less than `min`. */
static uint64_t next_look(const weir_pool *p, const weir_resource *r)
{
    uint64_t now = p->rt->now, at = r->retire, idle = weir__later(r->used, p->options.idle_timeout);
    if (p->ops->check != NULL && weir__later(r->since, r->keep) < at)
        at = weir__later(r->since, r->keep);
    if (idle < at && (idle > now || weir__pool_strong(p) > p->options.min))
        at = idle;
    return at;
}

static void rest(weir_pool *p, weir_resource *r, int front)
{
    weir__pool_move(p, r, WEIR_RESOURCE_IDLE);
    if (front) {
        weir_link_remove(&r->link);
        weir_list_push_front(&p->idle, &r->link);
    }
    uint64_t at = next_look(p, r);
    if (!weir_timer_is_set(&r->timer) || r->timer.deadline > at)
        weir_timer_set(p->rt, &r->timer, at);
}

/* Why a fit resource must go, or WEIR_EVICTED_CAUSES. */
static weir_evicted must_go(const weir_pool *p, const weir_resource *r)
{
    if (p->ended)
        return WEIR_EVICTED_CLOSED;
    if (r->doomed)
        return (weir_evicted)(r->doomed - 1);
    if (p->rt->now >= r->retire)
        return WEIR_EVICTED_LIFETIME;
    if (p->options.max_uses != 0 && r->uses >= p->options.max_uses)
        return WEIR_EVICTED_USES;
    return weir__pool_total(p) - p->n_closing > p->options.max ? WEIR_EVICTED_SHRUNK
                                                               : WEIR_EVICTED_CAUSES;
}

int weir__pool_hand(weir_pool *p, weir_resource *r, int front)
{
    weir_evicted cause = must_go(p, r);
    if (cause != WEIR_EVICTED_CAUSES) {
        weir__pool_destroy(p, r, cause);
        return 0;
    }
    if (p->waiting > 0) {
        weir__pool_grant(p, r);
        return 0;
    }
    rest(p, r, front);
    return 1;
}

static void look(weir_pool *p, weir_resource *r)
{
    uint64_t now = p->rt->now;
    if (now >= r->retire)
        weir__pool_destroy(p, r, WEIR_EVICTED_LIFETIME);
    else if (now >= weir__later(r->used, p->options.idle_timeout) &&
             weir__pool_strong(p) > p->options.min)
        weir__pool_destroy(p, r, WEIR_EVICTED_IDLE);
    else if (p->ops->check != NULL && now >= weir__later(r->since, r->keep))
        weir__pool_check(p, r, 1);
    else
        weir_timer_set(p->rt, &r->timer, next_look(p, r));
}

void weir__resource_fire(weir_runtime *rt, weir_timer *timer)
{
    weir_resource *r = weir_container(timer, weir_resource, timer);
    weir_pool *p = r->of;
    (void)rt;
    switch ((weir_resource_state)r->state) {
    case WEIR_RESOURCE_IDLE:
        look(p, r);
        break;
    case WEIR_RESOURCE_CONNECTING:
        weir__pool_dial_late(p, r);
        break;
    case WEIR_RESOURCE_CHECKING:
    case WEIR_RESOURCE_CLOSING:
        weir__pool_abort(p, r);
        break;
    case WEIR_RESOURCE_LEASED: /* set while it was idle: looked at when it comes back */
        return;
    }
    weir__pool_changed(p);
}

/* --- going round --------------------------------------------------------------------- */

/* Who waits gets what is idle; what must be checked first is checked for those for whom nothing
 * else is being checked. */
static void lend_idle(weir_pool *p)
{
    while (p->waiting > 0 && p->n_idle > 0) {
        weir_resource *r = weir__pool_next(p);
        if (!weir__pool_is_stale(p, r))
            weir__pool_grant(p, r);
        else if (p->waiting > p->checks)
            weir__pool_check(p, r, !p->options.lifo);
        else
            break;
    }
}

/* While open there is nothing to wait for but what is being checked, for the first in line. */
static void refuse_open(weir_pool *p)
{
    if (!p->open || p->waiting <= p->checks)
        return;
    weir_link *k = weir_list_first(&p->queue), *next;
    for (uint32_t i = p->checks; i > 0; i--)
        k = weir_list_next(&p->queue, k);
    for (; k != NULL; k = next) {
        weir_lease *lease = weir__pool_request(k);
        next = weir_list_next(&p->queue, k);
        lease->rc = WEIR_EOPEN;
        p->stats.open++;
        weir__pool_turn_away(p, lease, WEIR_FAILED);
    }
}

static void wind_up(weir_pool *p)
{
    if (!p->ended) {
        p->ended = 1;
        p->wanted = 0;
        weir__pool_abort_all(p, WEIR_RESOURCE_CONNECTING);
        weir__pool_abort_all(p, WEIR_RESOURCE_CHECKING);
    }
    while (p->n_idle > 0)
        weir__pool_destroy(p, weir__pool_resource(weir_list_first(&p->idle)), WEIR_EVICTED_CLOSED);
}

void weir__pool_serve(weir_pool *p)
{
    if (p->serving) {
        p->serving = 2;
        return;
    }
    do {
        p->serving = 1;
        lend_idle(p);
        refuse_open(p);
        if (p->closed || (p->draining && p->waiting == 0))
            wind_up(p);
        weir__pool_dial(p);
    } while (p->serving == 2);
    p->serving = 0;
    if (p->ended && weir__pool_total(p) == 0)
        for (weir_link *k; (k = weir_list_pop(&p->joiners)) != NULL;)
            weir_waiter_settle(p->rt, weir_container(k, weir_waiter, link), WEIR_GRANTED);
}

/* Something came back, or a head left, and the head got nothing: what is lent may be held by tasks
 * that wait for the head itself. Nobody parks here, so nobody else would ask. */
void weir__pool_check_head(weir_pool *p)
{
    weir_graph g;
    while (p->waiting > 0 && !p->serving) {
        weir_waiter *w = weir__pool_request(weir_list_first(&p->queue))->waiter;
        weir_task *t = weir_waiter_task(w);
        if (t == NULL || !weir_graph_is_stuck(p->rt, t, &g))
            break;
        weir_waiter_give_up(p->rt, w, WEIR_STUCK);
    }
}

void weir__pool_changed(weir_pool *p)
{
    weir__pool_serve(p);
    weir__pool_check_head(p);
}
