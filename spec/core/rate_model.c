/* rate_model.c - the reference model of rate limits; see rate_model.h. */
#include "rate_model.h"

#include <math.h>

/* --- limits of the model ----------------------------------------------------------------- */

double model_level_at(const limit *l, uint64_t now)
{
    if (l->interval == 0)
        return l->level;
    if (l->interval == FREE)
        return l->burst;
    double level = l->level + (double)(now - l->last) / (double)l->interval;
    /* Full since less than 1 ns is not full yet: the clock knows no better. */
    return level >= l->burst + 1 / (double)l->interval ? l->burst : level;
}

double model_used_at(const limit *l, uint64_t now)
{
    double used = 0;
    for (unsigned i = 0; i < l->used; i++)
        used += l->log[i].at + l->per > now ? l->log[i].n : 0;
    return used;
}

static int limit_fits(const limit *l, double n)
{
    return l->per > 0 ? n <= l->n : l->interval == FREE || n <= l->burst;
}

static uint64_t limit_due(const limit *l, double n, uint64_t from)
{
    if (l->per > 0) {
        if (model_used_at(l, from) + n <= l->n)
            return from;
        uint64_t due = UINT64_MAX;
        for (unsigned i = 0; i < l->used; i++) {
            uint64_t t = l->log[i].at + l->per;
            if (t > from && t < due && model_used_at(l, t) + n <= l->n)
                due = t;
        }
        return due;
    }
    double level = model_level_at(l, from);
    if (l->interval == FREE || level >= n)
        return from;
    return l->interval == 0 ? UINT64_MAX
                            : l->last + (uint64_t)ceil((n - l->level) * (double)l->interval);
}

static void limit_charge(limit *l, double n, uint64_t now)
{
    if (l->per == 0) {
        l->level = model_level_at(l, now) - n;
        if (l->interval == FREE)
            l->level = l->burst;
        l->last = now;
        return;
    }
    unsigned kept = 0;
    for (unsigned i = 0; i < l->used; i++)
        if (l->log[i].at + l->per > now)
            l->log[kept++] = l->log[i];
    l->used = kept;
    l->log[l->used].at = now;
    l->log[l->used++].n = n;
}

void model_limit_set(limit *l, const weir_rate_limit *to, uint64_t now)
{
    l->n = to->n;
    if (to->per > 0)
        return;
    int was_free = l->interval == FREE;
    l->level = fmin(model_level_at(l, now), l->burst);
    l->burst = to->burst;
    l->interval = isinf(to->rate) ? FREE : to->rate == 0 ? 0 : (uint64_t)(1e9 / to->rate);
    l->level = was_free || l->interval == FREE ? l->burst : fmin(l->level, l->burst);
    l->last = now;
}

void model_limits_begin(bed *b)
{
    for (uint32_t i = 0; i < b->limits; i++) {
        b->limit[i] = (limit){.per = b->begin[i].per, .burst = 1, .interval = FREE};
        model_limit_set(&b->limit[i], &b->begin[i], 0);
    }
}

static uint64_t due_of(const bed *b, const limit *l, double n, uint64_t from)
{
    for (;;) {
        uint64_t t = from;
        for (uint32_t i = 0; i < b->limits && t != UINT64_MAX; i++)
            t = limit_due(&l[i], n, t);
        if (t == from || t == UINT64_MAX)
            return t;
        from = t;
    }
}

int model_fits(const bed *b, double n)
{
    for (uint32_t i = 0; i < b->limits; i++)
        if (!limit_fits(&b->limit[i], n))
            return 0;
    return 1;
}

/* Behind the whole queue, or behind what is before `end`. */
uint64_t model_due_behind(const bed *b, double n, int end)
{
    limit plan[LIMITS];
    uint64_t from = b->at;
    memcpy(plan, b->limit, sizeof plan);
    for (int i = 0; i < b->n_queue && b->queue[i] != end; i++) {
        double ahead = b->place[b->queue[i]].n;
        from = due_of(b, plan, ahead, from);
        if (from == UINT64_MAX)
            return from;
        for (uint32_t k = 0; k < b->limits; k++)
            limit_charge(&plan[k], ahead, from);
    }
    return due_of(b, plan, n, from);
}

/* --- the queue of the model -------------------------------------------------------------- */

void model_charge(bed *b, int id, double n, uint64_t at)
{
    b->stats.grants++;
    if (id >= 0)
        b->place[id].event = b->n_history;
    b->history[b->n_history++] = (event){.n = n, .at = at, .id = id};
    for (uint32_t i = 0; i < b->limits; i++)
        limit_charge(&b->limit[i], n, at);
}

/* The history without the charge of `id`. */
static void relive(bed *b, int id)
{
    event *e = &b->history[b->place[id].event];
    EXPECT(b, e->id == id);
    e->id = -2;
    model_limits_begin(b);
    for (e = b->history; e < b->history + b->n_history; e++)
        for (uint32_t i = 0; i < b->limits && e->id != -2; i++) {
            if (e->n > 0)
                limit_charge(&b->limit[i], e->n, e->at);
            else
                model_limit_set(&b->limit[i], &e->to[i], e->at);
        }
}

void model_drop(int *list, int *n, int i)
{
    int at = 0;
    while (list[at] != i)
        at++;
    memmove(list + at, list + at + 1, sizeof(int) * (size_t)(*n - at - 1));
    (*n)--;
}

void model_settle(bed *b, int i, weir_status status)
{
    b->place[i].status = status;
    b->ready[b->n_ready++] = i;
}

int model_is_waiter(int i)
{
    return i < WAITS + DRAINS;
}

uint32_t model_waiting(const bed *b)
{
    uint32_t n = 0;
    for (int i = 0; i < b->n_queue; i++)
        n += model_is_waiter(b->queue[i]);
    return n;
}

/* When the timer is set for, if it is. */
static uint64_t timer_of(const bed *b)
{
    if (b->n_queue == 0 || (model_waiting(b) == 0 && b->n_idle == 0))
        return UINT64_MAX;
    return due_of(b, b->limit, b->place[b->queue[0]].n, b->at);
}

void model_serve(bed *b)
{
    while (b->n_queue > 0) {
        int i = b->queue[0];
        uint64_t due = due_of(b, b->limit, b->place[i].n, b->at);
        if (due > b->now)
            break;
        b->at = model_is_waiter(i) ? b->now : due;
        model_drop(b->queue, &b->n_queue, i);
        model_charge(b, i, b->place[i].n, b->at);
        if (model_is_waiter(i))
            model_settle(b, i, WEIR_GRANTED);
        else
            b->place[i].reserved = b->place[i].kept ? 2 : 0;
    }
    b->at = b->now;
    while (b->n_queue == 0 && b->n_idle > 0) {
        int i = b->idle[0];
        model_drop(b->idle, &b->n_idle, i);
        model_settle(b, i, WEIR_GRANTED);
    }
    if (timer_of(b) != UINT64_MAX)
        b->timer_order = ++b->orders;
}

void model_look(bed *b)
{
    if (b->n_queue > 0)
        model_serve(b);
    b->at = b->now;
}

int model_give_up(bed *b, int i, weir_status status)
{
    place *p = &b->place[i];
    if (p->status == WEIR_PENDING) {
        model_drop(i < WAITS ? b->queue : b->idle, i < WAITS ? &b->n_queue : &b->n_idle, i);
        b->stats.timeouts += i < WAITS && status == WEIR_TIMEOUT;
        b->stats.cancels += i < WAITS && status == WEIR_CANCELED;
        model_serve(b);
        model_settle(b, i, status);
        return 1;
    }
    if (p->status == WEIR_GRANTED && status == WEIR_CANCELED && i < WAITS) {
        p->status = WEIR_CANCELED;
        b->stats.refunds++;
        relive(b, i);
        model_serve(b);
        return 1;
    }
    return 0;
}

int model_refuse(bed *b, double n)
{
    if (b->closed || b->draining) {
        b->stats.closes++;
        return WEIR_ECLOSED;
    }
    if (!(n > 0))
        return WEIR_EINVAL;
    for (uint32_t i = 0; i < b->limits; i++)
        if (b->limit[i].per > 0 && n != floor(n))
            return WEIR_EINVAL;
    if (!model_fits(b, n)) {
        b->stats.impossible++;
        return WEIR_EIMPOSSIBLE;
    }
    model_look(b);
    return 0;
}

int model_can_be_had(const bed *b, double n)
{
    return b->n_queue == 0 && due_of(b, b->limit, n, b->at) <= b->at;
}

int model_is_full(bed *b)
{
    if ((uint32_t)b->n_queue < b->max_waiting)
        return 0;
    b->stats.overload++;
    return 1;
}

/* Timers in the order of their deadlines, equal ones in the order they were set. */
void model_timers(bed *b)
{
    for (;;) {
        int first = -1;
        uint64_t when = timer_of(b), order = b->timer_order;
        for (int i = 0; i < WAITS + DRAINS; i++) {
            const place *p = &b->place[i];
            if (p->status == WEIR_PENDING &&
                (p->deadline < when || (p->deadline == when && p->order < order))) {
                first = i;
                when = p->deadline;
                order = p->order;
            }
        }
        if (when > b->now)
            return;
        if (first < 0)
            model_serve(b);
        else
            model_give_up(b, first, WEIR_TIMEOUT);
    }
}
