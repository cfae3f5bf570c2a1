/* sync/limits.c - the limits of one rate, taken together.
 *
 * A grant can come back (a cancel that raced with it). Within its era (no charge at a later time,
 * no change of the limits) taking its cost off again is exact. After that it is not: what the
 * bucket spilled at the turn of an era, being full, would be minted. `later` is what the bucket
 * would be had it been full in the marked era (that of the oldest grant that can come back) and
 * charged with what came after; the larger of both is what it would be without a grant of that
 * era. For grants between the marked era and the last it is too much, by at most their own
 * cost, which is in `later`; never too little.
 */
#include "limits.h"

#include "../sched/internal.h"

#define ABSURD 125 /* bits of a sum of spans beyond which there is no time to speak of */

static int fits(const weir_rate_part *p, double amount)
{
    return weir__limit_is_window(p) ? amount <= p->window.n : weir_bucket_fits(&p->rule, amount);
}

int weir__limits_fit(const weir_rate_part *part, uint32_t n, double amount)
{
    for (uint32_t i = 0; i < n; i++)
        if (!fits(&part[i], amount))
            return 0;
    return 1;
}

int weir__limits_can_count(const weir_rate_part *part, uint32_t n, double amount)
{
    if (!(amount > 0))
        return 0;
    for (uint32_t i = 0; i < n; i++)
        if (weir__limit_is_window(&part[i]) && amount < UINT32_MAX && amount != (uint32_t)amount)
            return 0;
    return 1;
}

static weir_instant cost(const weir_rate_part *p, double amount)
{
    return weir_bucket_cost(&p->rule, amount);
}

uint64_t weir__limits_due(const weir_rate_part *part, uint32_t n, double amount, uint64_t from)
{
    for (const weir_rate_part *p = part; p < part + n && from != WEIR_FOREVER; p++)
        from = weir__limit_is_window(p)
                   ? weir_window_due(&p->window, (uint32_t)amount, from)
                   : weir_bucket_due(&p->rule, &p->bucket, cost(p, amount), from);
    return from;
}

void weir__limits_charge(weir_rate_part *part, uint32_t n, double amount, uint64_t now, int later)
{
    for (weir_rate_part *p = part; p < part + n; p++) {
        if (weir__limit_is_window(p)) {
            weir_window_charge(&p->window, (uint32_t)amount, now);
            continue;
        }
        weir_bucket_charge(&p->rule, &p->bucket, cost(p, amount), now);
        if (later)
            weir_bucket_charge(&p->rule, &p->later, cost(p, amount), now);
    }
}

void weir__limits_refund(weir_rate_part *part, uint32_t n, const weir_ticket *t, uint64_t mark,
                         uint64_t era)
{
    for (weir_rate_part *p = part; p < part + n; p++) {
        if (weir__limit_is_window(p)) {
            weir_window_refund(&p->window, (uint32_t)t->n, t->since);
            continue;
        }
        weir_instant back = cost(p, fits(p, t->n) ? t->n : p->rule.burst);
        p->bucket.full_at -= back;
        if (t->era < era && p->bucket.full_at < p->later.full_at)
            p->bucket.full_at = p->later.full_at;
        if (t->era == era && era > mark)
            p->later.full_at -= back;
    }
}

void weir__limits_mark(weir_rate_part *part, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        part[i].later.full_at = 0;
}

void weir__limits_enqueue(weir_rate_part *part, uint32_t n, double amount)
{
    for (weir_rate_part *p = part; p < part + n; p++)
        if (!weir__limit_is_window(p))
            p->queued += (weir_span)cost(p, amount);
}

void weir__limits_dequeue(weir_rate_part *part, uint32_t n, double amount)
{
    for (weir_rate_part *p = part; p < part + n; p++)
        if (!weir__limit_is_window(p))
            p->queued -= (weir_span)cost(p, amount);
}

weir_rate_part *weir__limits_plan(weir_rate_part *part, uint32_t n)
{
    for (weir_rate_part *p = part, *plan = part + n; p < part + n; p++, plan++) {
        plan->rule = p->rule;
        plan->bucket = p->bucket;
        if (weir__limit_is_window(p))
            weir_window_plan(&plan->window, &p->window);
    }
    return part + n;
}

uint64_t weir__limits_behind(const weir_rate_part *p, double amount, weir_span ahead, uint64_t from)
{
    if (ahead >> ABSURD != 0)
        return WEIR_FOREVER;
    weir_bucket b = {p->bucket.full_at + (weir_instant)ahead};
    return weir_bucket_due(&p->rule, &b, cost(p, amount), from);
}

uint64_t weir__limits_full(const weir_rate_part *part, uint32_t n, uint64_t from)
{
    for (const weir_rate_part *p = part; p < part + n && from != WEIR_FOREVER; p++)
        from = weir__limit_is_window(p)
                   ? weir_window_quiet(&p->window, from)
                   : weir_bucket_due(&p->rule, &p->bucket, p->rule.capacity, from);
    return from;
}

double weir__limits_available(const weir_rate_part *part, uint32_t n, uint64_t now)
{
    double least = 0;
    for (uint32_t i = 0; i < n; i++) {
        const weir_rate_part *p = &part[i];
        double has = weir__limit_is_window(p) ? weir_window_available(&p->window, now)
                                              : weir_bucket_available(&p->rule, &p->bucket, now);
        least = i == 0 || has < least ? has : least;
    }
    return least;
}

/* --- life ----------------------------------------------------------------------------- */

static size_t ring_size(uint32_t room)
{
    return 2 * sizeof(weir_window_record) * room; /* one for the plan */
}

static size_t parts_size(uint32_t n)
{
    return 2 * sizeof(weir_rate_part) * n;
}

void weir__limits_free(weir_runtime *rt, weir_rate_part *part, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (weir__limit_is_window(&part[i]))
            weir_alloc(rt, part[i].window._record, ring_size(part[i].window._room), 0);
    weir_alloc(rt, part, parts_size(n), 0);
}

static int init(weir_runtime *rt, weir_rate_part *p, const weir_rate_limit *limit,
                const weir_rate_part *old)
{
    if (old != NULL && weir__limit_is_window(old) != (limit->per > 0))
        return WEIR_EINVAL;
    if (limit->per == 0)
        return weir_bucket_rule_init(&p->rule, limit->rate, limit->burst);
    uint32_t room = limit->n;
    if (room == 0 || room > WEIR_WINDOW_MOST)
        return WEIR_EINVAL;
    if (old != NULL && old->window._records > room)
        room = old->window._records;
    weir_window_record *ring = weir_alloc(rt, NULL, 0, ring_size(room));
    if (ring == NULL)
        return WEIR_ENOMEM;
    return weir_window_init(&p->window, limit->n, limit->per, ring, room);
}

int weir__limits_new(weir_runtime *rt, const weir_rate_limit *limits, uint32_t n,
                     const weir_rate_part *old, weir_rate_part **out)
{
    weir_rate_part *part = weir_alloc(rt, NULL, 0, parts_size(n));
    if (part == NULL)
        return WEIR_ENOMEM;
    for (uint32_t i = 0; i < 2 * n; i++)
        part[i] = (weir_rate_part){0};
    for (uint32_t i = 0; i < n; i++) {
        int rc = init(rt, &part[i], &limits[i], old != NULL ? &old[i] : NULL);
        if (rc != 0) {
            weir__limits_free(rt, part, n);
            return rc;
        }
        weir_window *plan = &part[n + i].window;
        *plan = part[i].window;
        if (weir__limit_is_window(&part[i]))
            plan->_record += plan->_room;
    }
    *out = part;
    return 0;
}

void weir__limits_change(weir_rate_part *to, const weir_rate_part *from, uint32_t n, uint64_t now)
{
    for (uint32_t i = 0; i < n; i++) {
        weir_rate_part *p = &to[i];
        if (weir__limit_is_window(p)) {
            weir_window ring = p->window;
            p->window = from[i].window;
            weir_window_change(&p->window, ring.n, ring.per, ring._record, ring._room);
            continue;
        }
        p->bucket = from[i].bucket;
        p->later = from[i].later;
        weir_bucket_change(&p->bucket, &from[i].rule, &p->rule, now);
        weir_bucket_change(&p->later, &from[i].rule, &p->rule, now);
    }
}
