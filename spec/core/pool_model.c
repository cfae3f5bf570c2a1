/* pool_model.c - the reference model of the pool; see pool_model.h. */
#include "pool_model.h"

uint64_t pool_model_later(uint64_t t, uint64_t span)
{
    return span >= WEIR_FOREVER - t ? WEIR_FOREVER : t + span;
}

uint64_t pool_model_smooth(uint64_t old, uint64_t value, uint64_t count)
{
    return count == 0 ? value : old - old / 8 + value / 8;
}

void pool_model_remove(int *list, int *n, int i)
{
    int at = 0;
    while (list[at] != i)
        at++;
    memmove(list + at, list + at + 1, sizeof(int) * (size_t)(*n - at - 1));
    (*n)--;
}

static uint64_t lot(const bed *b, unsigned number, unsigned which)
{
    check_random r = {b->seed + number * UINT64_C(7919) + which * UINT64_C(104729)};
    return check_random_next(&r) % 100;
}

int pool_model_is_sync(const bed *b, unsigned number)
{
    return lot(b, number, 0) < b->sync;
}

int pool_model_is_good(const bed *b, model_call call, unsigned number)
{
    if (call == CALL_ABORT)
        return lot(b, number, 1) < 20; /* it had succeeded already */
    return lot(b, number, 2) >= (call == CALL_CREATE ? b->fails : call == CALL_CHECK ? b->sick : 0);
}

/* --- counts -------------------------------------------------------------------------- */

uint32_t pool_model_count(const bed *b, weir_resource_state state)
{
    uint32_t n = 0;
    for (unsigned i = 0; i < b->n_resources; i++)
        n += b->resource[i].alive && b->resource[i].state == state;
    return n;
}

static uint32_t live(const bed *b, weir_resource_state state)
{
    uint32_t n = 0;
    for (unsigned i = 0; i < b->n_resources; i++)
        n += b->resource[i].alive && b->resource[i].state == state && !b->resource[i].aborted;
    return n;
}

uint32_t pool_model_dials(const bed *b)
{
    return live(b, WEIR_RESOURCE_CONNECTING);
}

uint32_t pool_model_checks(const bed *b)
{
    return live(b, WEIR_RESOURCE_CHECKING);
}

uint32_t pool_model_total(const bed *b)
{
    uint32_t n = 0;
    for (unsigned i = 0; i < b->n_resources; i++)
        n += b->resource[i].alive != 0;
    return n;
}

uint32_t pool_model_strong(const bed *b)
{
    return pool_model_dials(b) + pool_model_checks(b) + pool_model_count(b, WEIR_RESOURCE_IDLE) +
           pool_model_count(b, WEIR_RESOURCE_LEASED);
}

static int is_stale(const bed *b, int i)
{
    uint64_t idle = b->now - b->resource[i].since;
    if (!b->has_check || b->o.check_idle == WEIR_FOREVER)
        return 0;
    return b->o.check_idle == 0 || idle > b->o.check_idle;
}

/* The first that is fit from the end that is lent from; LIFO looks at all, FIFO at the first. */
static int next_idle(const bed *b)
{
    if (!b->o.lifo)
        return b->idle[0];
    for (int at = b->n_idle - 1; at >= 0; at--)
        if (!is_stale(b, b->idle[at])) /* the last one used, or the last one checked */
            return b->idle[at == b->n_idle - 1 ? at : 0];
    return b->idle[b->n_idle - 1];
}

/* --- operations ---------------------------------------------------------------------- */

static void expect(bed *b, model_call call, int i, unsigned number)
{
    assert_true(b->n_expected < RESOURCES);
    b->expected[b->n_expected].call = call;
    b->expected[b->n_expected].resource = i;
    b->expected[b->n_expected++].number = number;
}

void pool_model_begin(bed *b, int i, model_call call, weir_resource_state state, uint64_t timeout)
{
    model_resource *m = &b->resource[i];
    m->state = state;
    m->since = b->now;
    m->aborted = 0;
    m->due = pool_model_later(b->now, timeout);
    m->order = ++b->orders;
    m->number = ++b->operations;
    expect(b, call, i, m->number);
    if (pool_model_is_sync(b, m->number))
        pool_model_answer(b, i, pool_model_is_good(b, call, m->number));
}

void pool_model_destroy(bed *b, int i, weir_evicted cause)
{
    b->stats.evicted[cause]++;
    pool_model_begin(b, i, CALL_DESTROY, WEIR_RESOURCE_CLOSING, b->o.destroy_timeout);
}

void pool_model_check(bed *b, int i, int front)
{
    b->resource[i].front = front;
    b->stats.checks++;
    pool_model_begin(b, i, CALL_CHECK, WEIR_RESOURCE_CHECKING, b->o.check_timeout);
}

void pool_model_abort(bed *b, int i)
{
    model_resource *m = &b->resource[i];
    if (m->aborted)
        return;
    m->aborted = 1;
    m->due = WEIR_FOREVER;
    expect(b, CALL_ABORT, i, m->number);
    if (pool_model_is_sync(b, m->number + 7))
        pool_model_answer(b, i, pool_model_is_good(b, CALL_ABORT, m->number));
}

static void abort_all(bed *b, weir_resource_state state)
{
    uint64_t from = 0;
    for (;;) {
        int first = -1;
        for (unsigned i = 0; i < b->n_resources; i++) {
            const model_resource *m = &b->resource[i];
            if (m->alive && m->state == state && m->order > from &&
                (first < 0 || m->order < b->resource[first].order))
                first = (int)i;
        }
        if (first < 0)
            return;
        from = b->resource[first].order;
        pool_model_abort(b, first);
    }
}

/* --- waiters and leases -------------------------------------------------------------- */

void pool_model_settle(bed *b, int i, weir_status status)
{
    b->slot[i].status = status;
    b->ready[b->n_ready++] = i;
}

void pool_model_queue(bed *b, int i)
{
    b->slot[i].status = WEIR_PENDING;
    b->queue[b->n_queue++] = i;
    b->stats.queued++;
}

void pool_model_lend(bed *b, int i)
{
    model_resource *m = &b->resource[i];
    if (m->state == WEIR_RESOURCE_IDLE)
        pool_model_remove(b->idle, &b->n_idle, i);
    m->state = WEIR_RESOURCE_LEASED;
    m->since = m->lent = b->now;
    m->lent_order = ++b->orders;
    m->reported = 0;
    b->stats.grants++;
}

static void grant(bed *b, int i)
{
    int s = b->queue[0];
    pool_model_remove(b->queue, &b->n_queue, s);
    pool_model_lend(b, i);
    b->slot[s].resource = i;
    pool_model_settle(b, s, WEIR_GRANTED);
}

void pool_model_turn_away(bed *b, int s, int rc, int has_failure)
{
    pool_model_remove(b->queue, &b->n_queue, s);
    b->slot[s].rc = rc;
    b->slot[s].has_failure = has_failure;
    b->n_failed_out += has_failure;
    pool_model_settle(b, s, WEIR_FAILED);
}

uint64_t pool_model_next_look(const bed *b, const model_resource *m)
{
    uint64_t at = m->retire, idle = pool_model_later(m->used, b->o.idle_timeout);
    if (b->has_check && pool_model_later(m->since, m->keep) < at)
        at = pool_model_later(m->since, m->keep);
    if (idle < at && (idle > b->now || pool_model_strong(b) > b->o.min))
        at = idle;
    return at;
}

/* A look that is due sooner, for the sake of an earlier rest, comes and finds nothing. */
void pool_model_set_due(bed *b, model_resource *m, uint64_t at, int anew)
{
    if (!anew && m->due <= at)
        return;
    m->due = at;
    m->order = ++b->orders;
}

static void rest(bed *b, int i, int front)
{
    model_resource *m = &b->resource[i];
    m->state = WEIR_RESOURCE_IDLE;
    m->since = b->now;
    if (front) {
        memmove(b->idle + 1, b->idle, sizeof(int) * (size_t)b->n_idle++);
        b->idle[0] = i;
    } else {
        b->idle[b->n_idle++] = i;
    }
    pool_model_set_due(b, m, pool_model_next_look(b, m), 0);
}

/* 1 if it is idle now. */
static int hand(bed *b, int i, int front)
{
    const model_resource *m = &b->resource[i];
    if (b->ended)
        pool_model_destroy(b, i, WEIR_EVICTED_CLOSED);
    else if (m->doomed)
        pool_model_destroy(b, i, WEIR_EVICTED_DISCARDED);
    else if (b->now >= m->retire)
        pool_model_destroy(b, i, WEIR_EVICTED_LIFETIME);
    else if (b->o.max_uses != 0 && m->uses >= b->o.max_uses)
        pool_model_destroy(b, i, WEIR_EVICTED_USES);
    else if (pool_model_total(b) - pool_model_count(b, WEIR_RESOURCE_CLOSING) > b->o.max)
        pool_model_destroy(b, i, WEIR_EVICTED_SHRUNK);
    else if (b->n_queue > 0)
        grant(b, i);
    else {
        rest(b, i, front);
        return 1;
    }
    return 0;
}

void pool_model_end_loan(bed *b, int i)
{
    model_resource *m = &b->resource[i];
    uint64_t ns = b->now - m->lent;
    b->recent_hold = pool_model_smooth(b->recent_hold, ns, b->stats.hold.count++);
    m->used = b->now;
    m->uses++;
}

void pool_model_release(bed *b, int i, int suspect)
{
    int can_check = b->has_check && !b->resource[i].doomed && !b->ended;
    pool_model_end_loan(b, i);
    if (!suspect)
        b->returned = b->now;
    if (suspect && !can_check)
        pool_model_destroy(b, i, b->ended ? WEIR_EVICTED_CLOSED : WEIR_EVICTED_DISCARDED);
    else if (can_check && (suspect || (b->o.check_idle == 0 && b->n_queue > 0)))
        pool_model_check(b, i, 0);
    else if (hand(b, i, 0))
        return; /* nobody's need has changed: a dial that is due by now comes with the turn */
    pool_model_go(b);
}

/* --- answers ------------------------------------------------------------------------- */

static void made(bed *b, model_resource *m)
{
    b->recent_create = pool_model_smooth(b->recent_create, b->now - m->since, b->stats.created++);
    b->failures = b->barren = 0;
    b->dial_after = 0;
    b->open = b->doubt = 0;
    double less = b->o.jitter * ((double)(check_random_next(&b->foretold) >> 11) * 0x1p-53);
    m->aborted = 0;
    m->used = b->now;
    m->retire = m->keep = m->due = WEIR_FOREVER;
    if (b->o.max_lifetime != WEIR_FOREVER)
        m->retire = b->now + b->o.max_lifetime - (uint64_t)((double)b->o.max_lifetime * less);
    if (b->o.keep_alive != WEIR_FOREVER)
        m->keep = b->o.keep_alive - (uint64_t)((double)b->o.keep_alive * less);
}

void pool_model_answer(bed *b, int i, int is_good)
{
    model_resource *m = &b->resource[i];
    int was_aborted = m->aborted;
    if (m->state == WEIR_RESOURCE_CLOSING) {
        m->alive = 0;
        b->stats.destroyed++;
    } else if (m->state == WEIR_RESOURCE_CONNECTING && is_good) {
        made(b, m);
        hand(b, i, 0);
    } else if (m->state == WEIR_RESOURCE_CONNECTING) {
        m->alive = 0;
        if (!was_aborted) {
            b->stats.create_failures++;
            pool_model_create_failed(b, m->since, -1, 1);
        }
    } else if (is_good && !was_aborted) {
        b->doubt = 0;
        m->due = WEIR_FOREVER;
        hand(b, i, m->front);
    } else if (b->ended || m->doomed) {
        pool_model_destroy(b, i, m->doomed ? WEIR_EVICTED_DISCARDED : WEIR_EVICTED_CLOSED);
    } else {
        b->stats.check_failures++;
        b->doubt = 1;
        pool_model_destroy(b, i, WEIR_EVICTED_CHECK);
    }
    pool_model_go(b);
}

/* --- going round --------------------------------------------------------------------- */

static void wind_up(bed *b)
{
    if (!b->ended) {
        b->ended = 1;
        b->wanted = 0;
        abort_all(b, WEIR_RESOURCE_CONNECTING);
        abort_all(b, WEIR_RESOURCE_CHECKING);
    }
    while (b->n_idle > 0) {
        int i = b->idle[0];
        pool_model_remove(b->idle, &b->n_idle, i);
        pool_model_destroy(b, i, WEIR_EVICTED_CLOSED);
    }
}

void pool_model_go(bed *b)
{
    if (b->going) {
        b->going = 2;
        return;
    }
    do {
        b->going = 1;
        while (b->n_queue > 0 && b->n_idle > 0) {
            int i = next_idle(b);
            if (is_stale(b, i) && (uint32_t)b->n_queue <= pool_model_checks(b))
                break;
            if (!is_stale(b, i)) {
                grant(b, i);
                continue;
            }
            pool_model_remove(b->idle, &b->n_idle, i);
            pool_model_check(b, i, !b->o.lifo);
        }
        while (b->open && (uint32_t)b->n_queue > pool_model_checks(b)) {
            b->stats.open++;
            pool_model_turn_away(b, b->queue[pool_model_checks(b)], WEIR_EOPEN, 0);
        }
        if (b->closed || (b->draining && b->n_queue == 0))
            wind_up(b);
        pool_model_dial(b);
    } while (b->going == 2);
    b->going = 0;
    while (b->ended && pool_model_total(b) == 0 && b->n_gone > 0) {
        int i = b->gone[0];
        pool_model_remove(b->gone, &b->n_gone, i);
        pool_model_settle(b, i, WEIR_GRANTED);
    }
}

/* --- requests and ends --------------------------------------------------------------- */

int pool_model_refuse(bed *b)
{
    double shed = b->o.shed * b->o.max;
    if (b->closed || b->draining) {
        b->stats.closes++;
        return WEIR_ECLOSED;
    }
    if (shed > 0 && pool_model_count(b, WEIR_RESOURCE_LEASED) >= shed) {
        b->stats.shed++;
        return WEIR_EOVERLOAD;
    }
    if (b->open && b->n_idle == 0) {
        b->stats.open++;
        return WEIR_EOPEN;
    }
    return 0;
}

int pool_model_at_once(const bed *b)
{
    int i = b->n_queue > 0 || b->n_idle == 0 ? -1 : next_idle(b);
    return i < 0 || is_stale(b, i) ? -1 : i;
}

int pool_model_give_up(bed *b, int i, weir_status status)
{
    slot *w = &b->slot[i];
    if (w->status == WEIR_PENDING && i >= SLOTS) {
        pool_model_remove(b->gone, &b->n_gone, i);
    } else if (w->status == WEIR_PENDING) {
        pool_model_remove(b->queue, &b->n_queue, i);
        b->stats.timeouts += status == WEIR_TIMEOUT;
        b->stats.cancels += status == WEIR_CANCELED;
        w->status = status;
        pool_model_go(b);
    } else if (w->status == WEIR_GRANTED && status == WEIR_CANCELED && i < SLOTS) {
        w->status = WEIR_CANCELED;
        hand(b, w->resource, 0);
        pool_model_go(b);
        return 1;
    } else {
        return 0;
    }
    pool_model_settle(b, i, status);
    return 1;
}

void pool_model_close(bed *b)
{
    b->closed = 1;
    while (b->n_queue > 0) {
        int i = b->queue[0];
        pool_model_remove(b->queue, &b->n_queue, i);
        b->stats.closes++;
        pool_model_settle(b, i, WEIR_CLOSED);
    }
    pool_model_go(b);
}

void pool_model_resize(bed *b, uint32_t min, uint32_t max)
{
    int idle[RESOURCES], n = b->n_idle, outer = b->going;
    memcpy(idle, b->idle, sizeof(int) * (size_t)n);
    b->o.min = min;
    b->o.max = max;
    b->going = 1;
    for (int k = 0; k < n; k++) {
        weir_evicted cause = WEIR_EVICTED_CAUSES;
        if (pool_model_total(b) - pool_model_count(b, WEIR_RESOURCE_CLOSING) > max)
            cause = WEIR_EVICTED_SHRUNK;
        else if (pool_model_later(b->resource[idle[k]].used, b->o.idle_timeout) <= b->now &&
                 pool_model_strong(b) > min)
            cause = WEIR_EVICTED_IDLE;
        if (cause == WEIR_EVICTED_CAUSES)
            continue;
        pool_model_remove(b->idle, &b->n_idle, idle[k]);
        pool_model_destroy(b, idle[k], cause);
    }
    b->going = outer;
    pool_model_go(b);
}

void pool_model_evict(bed *b)
{
    int outer = b->going;
    b->going = 1;
    for (unsigned i = 0; i < b->n_resources; i++)
        if (b->resource[i].alive && b->resource[i].state != WEIR_RESOURCE_IDLE)
            b->resource[i].doomed = 1;
    while (b->n_idle > 0) {
        int i = b->idle[0];
        pool_model_remove(b->idle, &b->n_idle, i);
        pool_model_destroy(b, i, WEIR_EVICTED_DISCARDED);
    }
    abort_all(b, WEIR_RESOURCE_CONNECTING);
    abort_all(b, WEIR_RESOURCE_CHECKING);
    b->going = outer;
    pool_model_go(b);
}
