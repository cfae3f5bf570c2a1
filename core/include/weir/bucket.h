/* weir/bucket.h - token bucket in its GCRA form: a rate, a burst, 16 bytes of state.
 *
 * Pure: no clock, no loop, no memory; the caller passes the time, in ns. The state is one
 * instant, `full_at`: when the bucket will be full again if nobody takes. Taking n moves it on
 * by the time the rate needs for n; nothing else ever changes, so there is no refill to forget
 * and no remainder to lose. Instants are kept to 2^-48 ns: an interval that is no whole number
 * of ns (3 a second) stays exact to far less than 1 ns over any number of grants.
 * A rule (what rate and burst come to) can be shared by any number of buckets.
 * Law: over any w ns at most burst + rate * (w + 1 ns) tokens are taken; the 1 ns is the clock's.
 */
#ifndef WEIR_BUCKET_H
#define WEIR_BUCKET_H
#include <stdint.h>

#include <weir/begin.h>

/* A time, or the time between two, in units of 2^-48 ns; a sum of the latter, which may wrap. */
__extension__ typedef __int128 weir_instant;
__extension__ typedef unsigned __int128 weir_span;

typedef enum weir_bucket_kind {
    WEIR_BUCKET_TIMED,
    WEIR_BUCKET_FROZEN, /* rate 0 (or millions of years to fill): what is in it is all there is */
    WEIR_BUCKET_FREE    /* rate or burst infinite: never a wait, nothing impossible */
} weir_bucket_kind;

typedef struct weir_bucket_rule {
    double rate, burst;    /* tokens a second; tokens at most */
    weir_instant capacity; /* span of `burst` tokens */
    weir_instant slack;    /* a shortage this small is a rounding of somebody's double */
    weir_instant one;      /* span of one token */
    uint64_t _mantissa;    /* span of one token is mantissa * 2^exponent, to 64 bits */
    int _exponent;
    uint8_t kind; /* weir_bucket_kind */
} weir_bucket_rule;

typedef struct weir_bucket {
    weir_instant full_at; /* FROZEN: the clock stands at 0 */
} weir_bucket;

/* Prepare `rule`. WEIR_EINVAL unless rate >= 0 and burst > 0 (both may be infinite); `rule` is
 * then untouched. A bucket of zeros is full under any rule. */
int weir_bucket_rule_init(weir_bucket_rule *rule, double rate, double burst);

/* May `n` (> 0) ever be had? */
int weir_bucket_fits(const weir_bucket_rule *rule, double n);

/* The span of `n` tokens; `n` fits. At least one unit: nothing is free of charge. */
weir_instant weir_bucket_cost(const weir_bucket_rule *rule, double n);

/* The first ns, not before `from`, at which `cost` can be charged; UINT64_MAX is never. */
uint64_t weir_bucket_due(const weir_bucket_rule *rule, const weir_bucket *b, weir_instant cost,
                         uint64_t from);

/* Charge `cost` at `now`, when it was due: not before weir_bucket_due says. */
void weir_bucket_charge(const weir_bucket_rule *rule, weir_bucket *b, weir_instant cost,
                        uint64_t now);

/* Take `n` now: 0, or the ns to wait before it can be had (UINT64_MAX: never), nothing taken. */
uint64_t weir_bucket_take(const weir_bucket_rule *rule, weir_bucket *b, double n, uint64_t now);

/* What can be had at `now`, to a billionth. */
double weir_bucket_available(const weir_bucket_rule *rule, const weir_bucket *b, uint64_t now);

/* Go over from one rule to another at `now`, with the same tokens in it: a larger burst mints
 * nothing, a smaller one spills. From or to FREE it is full. */
void weir_bucket_change(weir_bucket *b, const weir_bucket_rule *from, const weir_bucket_rule *to,
                        uint64_t now);

#include <weir/end.h>
#endif
