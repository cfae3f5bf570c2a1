/* sync/limits.h - the limits of one rate, taken together; core/sync alone sees this.
 *
 * An array of 2 * n parts: n limits, then n for playing the future through (foresee.c). All or
 * nothing: a request is due when it is due under every limit, and is charged to every one.
 */
#ifndef WEIR_SYNC_LIMITS_H
#define WEIR_SYNC_LIMITS_H
#include <weir/rate.h>

#include <weir/begin.h>

static inline int weir__limit_is_window(const weir_rate_part *p)
{
    return p->window.per > 0;
}

/* Make the parts of `n` limits, full. `old` (or NULL): of the same kinds, and windows get room
 * for what they have counted. WEIR_EINVAL, WEIR_ENOMEM. Gives. */
int weir__limits_new(weir_runtime *rt, const weir_rate_limit *limits, uint32_t n,
                     const weir_rate_part *old, weir_rate_part **out);
void weir__limits_free(weir_runtime *rt, weir_rate_part *part, uint32_t n);

/* Give `to`, just made, what was taken under `from`; `queued` stays 0. */
void weir__limits_change(weir_rate_part *to, const weir_rate_part *from, uint32_t n, uint64_t now);

/* May `amount` ever be had? Is it a number that every limit can count? */
int weir__limits_fit(const weir_rate_part *part, uint32_t n, double amount);
int weir__limits_can_count(const weir_rate_part *part, uint32_t n, double amount);

/* The first ns, not before `from`, at which `amount` can be had; WEIR_FOREVER is never. */
uint64_t weir__limits_due(const weir_rate_part *part, uint32_t n, double amount, uint64_t from);

/* Charge at `now`, when due. `later`: to the states for refunds too. */
void weir__limits_charge(weir_rate_part *part, uint32_t n, double amount, uint64_t now, int later);

/* Take back what was charged for `t`; see limits.c. */
void weir__limits_refund(weir_rate_part *part, uint32_t n, const weir_ticket *t, uint64_t mark,
                         uint64_t era);

/* Start the states for refunds. */
void weir__limits_mark(weir_rate_part *part, uint32_t n);

/* Count `amount` in or out of the queue's sums. */
void weir__limits_enqueue(weir_rate_part *part, uint32_t n, double amount);
void weir__limits_dequeue(weir_rate_part *part, uint32_t n, double amount);

/* Begin a plan: make the second half what the first is, to be asked and charged in its place, and
 * return it. It holds until the first half changes by anything but charges that the plan had. */
weir_rate_part *weir__limits_plan(weir_rate_part *part, uint32_t n);

/* When `amount` will be due behind costs of `ahead`; of one bucket, which is never idle meanwhile.
 */
uint64_t weir__limits_behind(const weir_rate_part *p, double amount, weir_span ahead,
                             uint64_t from);

/* The first ns, not before `from`, at which every limit is full again; WEIR_FOREVER is never. */
uint64_t weir__limits_full(const weir_rate_part *part, uint32_t n, uint64_t from);

double weir__limits_available(const weir_rate_part *part, uint32_t n, uint64_t now);

#include <weir/end.h>
#endif
