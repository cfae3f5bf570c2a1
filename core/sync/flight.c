/* sync/flight.c - one piece of work that many wait for.
 *
 * Who counts what: `interested` those who would be sorry if the work stopped, `refs` those who may
 * still look at the outcome. A waiter is both until it has run; so the outcome lives until the last
 * one who was granted it has had its turn, however much later, and a granted waiter that is
 * cancelled before simply leaves.
 *
 * The end of interest and the end of the work are told to the keeper first: the flight is out of
 * its index before anybody can act on either, so nobody joins what is doomed or over.
 */
#include <weir/flight.h>

#include "../sched/internal.h"

void weir_flight_init(weir_runtime *rt, weir_flight *f, const weir_flight_ops *ops)
{
    *f = (weir_flight){.ops = ops, .since = rt->now, .refs = 1, .state = WEIR_FLIGHT_FLYING};
    weir_list_init(&f->waiters);
}

static void unref(weir_flight *f)
{
    assert(f->refs > 0);
    if (--f->refs == 0)
        f->ops->free(f);
}

void weir_flight_join(weir_flight *f)
{
    assert(f->state != WEIR_FLIGHT_ABANDONED);
    f->interested++;
    f->refs++;
}

/* The caller has a reference: the work may land within this. */
static void abandon_unwanted(weir_runtime *rt, weir_flight *f)
{
    if (f->state != WEIR_FLIGHT_FLYING || f->interested > 0 || f->lasting)
        return;
    f->state = WEIR_FLIGHT_ABANDONED;
    if (f->keeper != NULL)
        f->keeper->ended(rt, f);
    if (f->ops->abandon != NULL)
        f->ops->abandon(f);
}

void weir_flight_leave(weir_runtime *rt, weir_flight *f)
{
    assert(f->interested > 0);
    f->interested--;
    abandon_unwanted(rt, f);
    unref(f);
}

void weir_flight_set_lasting(weir_runtime *rt, weir_flight *f, int lasting)
{
    f->refs++;
    f->lasting = lasting != 0;
    abandon_unwanted(rt, f);
    unref(f);
}

static weir_status outcome(const weir_flight *f)
{
    return f->state == WEIR_FLIGHT_LANDED ? WEIR_GRANTED : WEIR_FAILED;
}

void weir_flight_wait(weir_runtime *rt, weir_flight *f, weir_waiter *w, uint64_t deadline)
{
    weir_flight_join(f);
    weir_waiter_begin(rt, w, f->ops->wait, f, deadline);
    if (f->state != WEIR_FLIGHT_FLYING) {
        weir_waiter_settle(rt, w, outcome(f));
        return;
    }
    weir_list_push(&f->waiters, &w->link);
    if (f->keeper != NULL && f->keeper->waits != NULL)
        f->keeper->waits(f);
}

void weir_flight_land(weir_runtime *rt, weir_flight *f, weir_flight_state state, intptr_t value)
{
    assert(!f->ended && (state == WEIR_FLIGHT_LANDED || state == WEIR_FLIGHT_FAILED));
    f->ended = 1;
    f->worker = NULL;
    f->value = value;
    if (f->state == WEIR_FLIGHT_FLYING) {
        f->state = (uint8_t)state;
        if (f->keeper != NULL)
            f->keeper->ended(rt, f);
        for (weir_link *k; (k = weir_list_pop(&f->waiters)) != NULL;) {
            if (f->keeper != NULL)
                f->keeper->left(f, outcome(f));
            weir_waiter_settle(rt, weir_container(k, weir_waiter, link), outcome(f));
        }
    }
    unref(f);
}

/* --- the hooks of a wait --------------------------------------------------------------- */

void weir__flight_leave(weir_runtime *rt, weir_waiter *w)
{
    weir_flight *f = w->object;
    weir_link_remove(&w->link);
    if (f->keeper != NULL)
        f->keeper->left(f, (weir_status)w->status);
    weir_flight_leave(rt, f);
}

void weir__flight_refund(weir_runtime *rt, weir_waiter *w)
{
    weir_flight_leave(rt, w->object);
}

int weir__flight_can_wake(weir_graph *g, weir_waiter *w)
{
    const weir_flight *f = w->object;
    if (f->ops->can_land != NULL)
        return f->ops->can_land(g, f);
    if (f->keeper != NULL && f->keeper->can_land != NULL)
        return f->keeper->can_land(g, f);
    return f->worker == NULL || weir_graph_can_act(g, f->worker);
}

const char *weir__flight_name(const weir_waiter *w)
{
    const weir_flight *f = w->object;
    return f->ops->name != NULL ? f->ops->name(f) : NULL;
}

/* --- invariants -------------------------------------------------------------------------- */

int weir_flight_validate(const weir_flight *f)
{
    uint32_t pending = 0;
    if (f->state > WEIR_FLIGHT_ABANDONED || f->refs != f->interested + !f->ended)
        return __LINE__;
    for (weir_link *k = weir_list_first(&f->waiters); k; k = weir_list_next(&f->waiters, k)) {
        const weir_waiter *w = weir_container(k, weir_waiter, link);
        if (w->status != WEIR_PENDING || w->object != f || w->ops != f->ops->wait)
            return __LINE__;
        pending++;
    }
    if (pending > f->interested || (pending > 0 && f->state != WEIR_FLIGHT_FLYING))
        return __LINE__;
    if (f->state == WEIR_FLIGHT_FLYING ? f->ended : f->state != WEIR_FLIGHT_ABANDONED && !f->ended)
        return __LINE__;
    if (f->state == WEIR_FLIGHT_ABANDONED && f->interested > 0)
        return __LINE__;
    return f->worker != NULL && f->ended ? __LINE__ : 0;
}
