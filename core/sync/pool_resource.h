/* sync/pool_resource.h - what the parts of the pool know of each other.
 *
 *   pool.c           requests, leases, ends: who waits and who holds
 *   pool_resource.c  the life of a resource from its making on: lent, idle, checked, destroyed
 *   pool_dial.c      how many are needed, when the next is dialled, what a failure means
 *   pool_watch.c     what is said of a pool without changing it
 *
 * Operations of the embedder are begun last, when all is consistent: they may answer from inside
 * the call. Whatever changes the pool ends in weir__pool_serve, which goes round until there is
 * nothing left to do; called from inside itself it only asks for another round, so nothing recurses
 * in proportion to the queue.
 */
#ifndef WEIR_SYNC_POOL_RESOURCE_H
#define WEIR_SYNC_POOL_RESOURCE_H
#include <weir/pool.h>

#include "../sched/internal.h"

#include <weir/begin.h>

extern const weir_wait_ops weir__lease_ops;

/* --- pool_resource.c ----------------------------------------------------------------- */

/* `r` is fit: destroyed if it must go, else to the head of the queue, else idle, at the `front` or
 * the end of those. 1 if it is idle now. */
int weir__pool_hand(weir_pool *p, weir_resource *r, int front);
void weir__pool_check(weir_pool *p, weir_resource *r, int front);
void weir__pool_destroy(weir_pool *p, weir_resource *r, weir_evicted cause);
/* Abort what is on its way for `r`; it may be gone then. */
void weir__pool_abort(weir_pool *p, weir_resource *r);
void weir__pool_abort_all(weir_pool *p, weir_resource_state state);
void weir__pool_free(weir_pool *p, weir_resource *r);
/* The timer of a resource fired. */
void weir__resource_fire(weir_runtime *rt, weir_timer *timer);
/* Lend what is idle, dial what is missing, wind up what has ended. */
void weir__pool_serve(weir_pool *p);
/* See whether the head of the queue can still be served at all. */
void weir__pool_check_head(weir_pool *p);
/* Both. */
void weir__pool_changed(weir_pool *p);

/* --- pool_dial.c --------------------------------------------------------------------- */

/* How many dials are needed and have room. */
uint32_t weir__pool_wanted(const weir_pool *p);
/* When the next of them may begin. */
uint64_t weir__pool_next_dial(const weir_pool *p);
/* Begin those whose time has come, set the time of the next. */
void weir__pool_dial(weir_pool *p);
void weir__pool_dial_fire(weir_runtime *rt, weir_timer *timer);
/* The dial of `r` took too long. */
void weir__pool_dial_late(weir_pool *p, weir_resource *r);

/* --- pool.c -------------------------------------------------------------------------- */

/* Leave the queue and hold `r`. */
void weir__pool_grant(weir_pool *p, weir_resource *r);
/* Leave the queue with nothing; FAILED keeps the lease for weir_lease_forget. */
void weir__pool_turn_away(weir_pool *p, weir_lease *lease, weir_status status);

/* --- pool_watch.c -------------------------------------------------------------------- */

int weir__lease_can_wake(weir_graph *g, weir_waiter *w);
int weir__pool_gone_can_wake(weir_graph *g, weir_waiter *w);

/* --- small things -------------------------------------------------------------------- */

static inline weir_resource *weir__pool_resource(weir_link *k)
{
    return weir_container(k, weir_resource, link);
}

static inline weir_lease *weir__pool_request(weir_link *k)
{
    return weir_container(k, weir_waiter, link)->object;
}

/* Those that count against `max`. */
static inline uint32_t weir__pool_total(const weir_pool *p)
{
    return p->n_connecting + p->n_idle + p->n_checking + p->n_leased + p->n_closing;
}

/* Those that count for `min`: not on their way out. */
static inline uint32_t weir__pool_strong(const weir_pool *p)
{
    return p->dials + p->n_idle + p->checks + p->n_leased;
}

static inline int weir__pool_is_stale(const weir_pool *p, const weir_resource *r)
{
    return p->rt->now - r->since >= p->stale_after;
}

/* Of the idle ones, which is lent next: the last one used or the one idle longest; but for the last
 * one used, if it must be checked first, one that need not. */
static inline weir_resource *weir__pool_next(const weir_pool *p)
{
    weir_link *oldest = p->idle.head.next, *newest = p->idle.head.prev;
    weir_resource *r = weir__pool_resource(p->options.lifo ? newest : oldest);
    if (p->options.lifo && weir__pool_is_stale(p, r) &&
        !weir__pool_is_stale(p, weir__pool_resource(oldest)))
        r = weir__pool_resource(oldest);
    return r;
}

/* The list of a state, and how many are in it. */
static inline weir_list *weir__pool_list(weir_pool *p, unsigned state)
{
    static const uint16_t at[] = {
        [WEIR_RESOURCE_CONNECTING] = offsetof(weir_pool, connecting),
        [WEIR_RESOURCE_IDLE] = offsetof(weir_pool, idle),
        [WEIR_RESOURCE_CHECKING] = offsetof(weir_pool, checking),
        [WEIR_RESOURCE_LEASED] = offsetof(weir_pool, leased),
        [WEIR_RESOURCE_CLOSING] = offsetof(weir_pool, closing),
    };
    static_assert(offsetof(weir_pool, stats) < UINT16_MAX, "they fit");
    return (weir_list *)(void *)((char *)p + at[state]);
}

static inline uint32_t *weir__pool_count(weir_pool *p, unsigned state)
{
    static const uint16_t at[] = {
        [WEIR_RESOURCE_CONNECTING] = offsetof(weir_pool, n_connecting),
        [WEIR_RESOURCE_IDLE] = offsetof(weir_pool, n_idle),
        [WEIR_RESOURCE_CHECKING] = offsetof(weir_pool, n_checking),
        [WEIR_RESOURCE_LEASED] = offsetof(weir_pool, n_leased),
        [WEIR_RESOURCE_CLOSING] = offsetof(weir_pool, n_closing),
    };
    return (uint32_t *)(void *)((char *)p + at[state]);
}

/* To the end of the list of state `to`. */
static inline void weir__pool_move(weir_pool *p, weir_resource *r, weir_resource_state to)
{
    weir_link_remove(&r->link);
    --*weir__pool_count(p, r->state);
    weir_list_push(weir__pool_list(p, to), &r->link);
    ++*weir__pool_count(p, to);
    r->state = (uint8_t)to;
    r->since = p->rt->now;
}

/* `t` + `span`, saturating. */
static inline uint64_t weir__later(uint64_t t, uint64_t span)
{
    return span >= WEIR_FOREVER - t ? WEIR_FOREVER : t + span;
}

/* Of what is smoothed an eighth is new. */
static inline uint64_t weir__smooth(uint64_t old, uint64_t value, int is_first)
{
    return is_first ? value : old - old / 8 + value / 8;
}

#include <weir/end.h>
#endif
