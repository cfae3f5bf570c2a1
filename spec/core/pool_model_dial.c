/* pool_model_dial.c - the model's growth, failures and times; see pool_model.h. */
#include "pool_model.h"

static uint32_t need(const bed *b)
{
    uint32_t room = b->o.max > pool_model_total(b) ? b->o.max - pool_model_total(b) : 0, n = 0,
             have = pool_model_strong(b);
    uint32_t coming = pool_model_dials(b) + (b->doubt ? 0 : pool_model_checks(b));
    if (b->closed || b->ended)
        return 0;
    if (b->open) {
        n = pool_model_dials(b) == 0;
    } else {
        n = (uint32_t)b->n_queue > coming ? (uint32_t)b->n_queue - coming : 0;
        if (!b->draining && have < b->o.min && b->o.min - have > n)
            n = b->o.min - have;
    }
    return n < room ? n : room;
}

static uint64_t foresee(const bed *b)
{
    const model_resource *last = NULL;
    uint64_t end = pool_model_later(b->need_since, b->o.dial_stagger), hold = b->recent_hold;
    for (unsigned i = 0; i < b->n_resources; i++) {
        const model_resource *m = &b->resource[i];
        if (m->alive && m->state == WEIR_RESOURCE_LEASED && !m->reported &&
            (last == NULL || m->lent_order > last->lent_order))
            last = m;
    }
    if (b->stats.hold.count == 0 || last == NULL || end <= b->now)
        return 0;
    if (b->now - last->lent > hold)
        hold = b->now - last->lent;
    double span =
        (double)hold * (1 + (double)b->n_queue / pool_model_count(b, WEIR_RESOURCE_LEASED));
    uint64_t most = end - b->now < b->recent_create ? end - b->now : b->recent_create;
    return span <= (double)most ? b->now + (uint64_t)span : 0;
}

static void note_need(bed *b)
{
    uint32_t n = need(b);
    if (n > b->wanted) {
        if (b->wanted == 0)
            b->need_since = b->now;
        b->patience = foresee(b);
    }
    b->stats.elided += n < b->wanted ? b->wanted - n : 0;
    b->wanted = n;
}

static uint64_t next_dial(const bed *b)
{
    uint64_t at = b->dial_after;
    if (pool_model_dials(b) > 0 && pool_model_later(b->dialled, b->o.dial_stagger) > at)
        at = pool_model_later(b->dialled, b->o.dial_stagger);
    if (pool_model_dials(b) == 0 && !b->open && pool_model_strong(b) >= b->o.min &&
        b->patience > at)
        at = b->patience;
    return at;
}

void pool_model_dial(bed *b)
{
    uint64_t due = WEIR_FOREVER;
    for (note_need(b);
         b->wanted > 0 && pool_model_count(b, WEIR_RESOURCE_CONNECTING) < b->o.max_dials;
         note_need(b)) {
        if (next_dial(b) > b->now) {
            due = next_dial(b);
            break;
        }
        int i = (int)b->n_resources++;
        assert_true(i < RESOURCES);
        b->resource[i] = (model_resource){.alive = 1};
        b->wanted--;
        b->dialled = b->now;
        pool_model_begin(b, i, CALL_CREATE, WEIR_RESOURCE_CONNECTING, b->o.create_timeout);
    }
    if (due != b->dial_due)
        b->dial_order = ++b->orders;
    b->dial_due = due;
}

void pool_model_create_failed(bed *b, uint64_t since, int rc, int has_failure)
{
    int is_alive = b->returned > since;
    uint64_t span = b->o.backoff;
    for (uint32_t i = 0; i < b->failures && span < b->o.max_backoff; i++)
        span *= 2;
    span = span < b->o.max_backoff ? span : b->o.max_backoff;
    b->dial_after = b->now + span - check_random_next(&b->foretold) % (span / 2 + 1);
    b->failures++;
    b->barren = b->returned > b->failed ? 1 : b->barren + 1;
    b->failed = b->now;
    b->cause_rc = rc;
    b->cause = has_failure;
    if (!is_alive && (uint32_t)b->n_queue > pool_model_checks(b)) {
        b->stats.failed++;
        pool_model_turn_away(b, b->queue[0], rc, has_failure);
    }
    if (!is_alive && b->o.open_after != 0 && b->barren >= b->o.open_after) {
        b->open = 1;
        b->wanted = 0;
    }
}

/* --- time ---------------------------------------------------------------------------- */

static void fire_resource(bed *b, int i)
{
    model_resource *m = &b->resource[i];
    if (m->state == WEIR_RESOURCE_LEASED) {
        m->due = WEIR_FOREVER; /* looked at when it comes back */
        return;
    }
    if (m->state == WEIR_RESOURCE_CONNECTING) {
        b->stats.create_timeouts++;
        pool_model_create_failed(b, m->since, WEIR_ETIMEOUT, 0);
        pool_model_abort(b, i);
    } else if (m->state != WEIR_RESOURCE_IDLE) {
        pool_model_abort(b, i);
    } else if (b->now >= m->retire) {
        pool_model_remove(b->idle, &b->n_idle, i);
        pool_model_destroy(b, i, WEIR_EVICTED_LIFETIME);
    } else if (b->now >= pool_model_later(m->used, b->o.idle_timeout) &&
               pool_model_strong(b) > b->o.min) {
        pool_model_remove(b->idle, &b->n_idle, i);
        pool_model_destroy(b, i, WEIR_EVICTED_IDLE);
    } else if (b->has_check && b->now >= pool_model_later(m->since, m->keep)) {
        pool_model_remove(b->idle, &b->n_idle, i);
        pool_model_check(b, i, 1);
    } else {
        pool_model_set_due(b, m, pool_model_next_look(b, m), 1);
    }
    pool_model_go(b);
}

/* What is due comes by its time, then in the order in which it was set; what is set for a time that
 * has been fired already comes in the next turn. */
static int comes_first(const bed *b, uint64_t due, uint64_t order, uint64_t *best,
                       uint64_t *best_order)
{
    uint64_t key = due <= b->last_turn ? 0 : due;
    if (due > b->now || (order > b->fired_orders && due <= b->firing))
        return 0;
    if (key > *best || (key == *best && order > *best_order))
        return 0;
    *best = key;
    *best_order = order;
    return 1;
}

/* All that is due at `now`; gives when the next is. */
static uint64_t report_leaks(bed *b, uint64_t now)
{
    uint64_t next = WEIR_FOREVER;
    for (unsigned i = 0; i < b->n_resources; i++) {
        model_resource *m = &b->resource[i];
        uint64_t due = pool_model_later(m->lent, b->o.leak_after);
        if (!m->alive || m->state != WEIR_RESOURCE_LEASED || m->reported)
            continue;
        m->reported = due <= now;
        b->stats.leaks += due <= now;
        if (due > now && due < next)
            next = due;
    }
    return next;
}

void pool_model_timers(bed *b)
{
    b->fired_orders = b->orders;
    b->firing = 0;
    for (;;) {
        uint64_t best = WEIR_FOREVER, order = WEIR_FOREVER;
        int which = -1; /* a waiter, WAITS + a resource, -2 for the dial, -3 for leaks */
        for (int i = 0; i < WAITS; i++)
            if (b->slot[i].status == WEIR_PENDING &&
                comes_first(b, b->slot[i].due, b->slot[i].order, &best, &order))
                which = i;
        for (unsigned i = 0; i < b->n_resources; i++) {
            const model_resource *m = &b->resource[i];
            if (m->alive && comes_first(b, m->due, m->order, &best, &order))
                which = WAITS + (int)i;
        }
        if (comes_first(b, b->dial_due, b->dial_order, &best, &order))
            which = -2;
        if (comes_first(b, report_leaks(b, 0), 0, &best, &order))
            which = -3;
        if (which == -1)
            break;
        b->firing = best;
        if (which == -3) {
            report_leaks(b, b->now);
        } else if (which == -2) {
            b->dial_due = WEIR_FOREVER;
            pool_model_go(b);
        } else if (which < WAITS) {
            pool_model_give_up(b, which, WEIR_TIMEOUT);
        } else {
            fire_resource(b, which - WAITS);
        }
    }
    b->last_turn = b->now;
}
