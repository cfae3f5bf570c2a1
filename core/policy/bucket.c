/* policy/bucket.c - token bucket in its GCRA form.
 *
 * GCRA, the generic cell rate algorithm (ITU-T I.371), says when instead of how many: n tokens
 * can be had as soon as full_at + cost(n) - capacity has passed. Rounding happens in two places:
 * cost() rounds up to 2^-48 ns, and due() up to the clock's ns. charge() undoes the second: a
 * bucket that fell due within the last ns was not idle, so the fraction is not lost and 3 a
 * second stays 3 a second. The product of a double's 53 bits and a span's 64 fits 128.
 */
#include <weir/bucket.h>

#include <weir/error.h>

#include <float.h>
#include <math.h>

#define FRACTION 48   /* bits of an instant below the ns */
#define MOST_SHIFT 98 /* that a second in ns fits 128 bits with */
#define NS ((weir_instant)1 << FRACTION)
#define SECOND UINT64_C(1000000000)
#define LONGEST 0x1p76   /* ns: a capacity beyond is never filled (two million years) */
#define FROZEN_SPAN 1024 /* seconds to call a frozen burst; any number would do */

/* What many small costs, or a change of rules, lose to rounding. And with it what a double loses
 * of a decimal fraction of the burst. */
#define NOISE (NS >> 20)
#define SLACK(capacity) (((capacity) >> 50) + NOISE)

static weir_instant at(uint64_t ns)
{
    return (weir_instant)ns << FRACTION;
}

/* value = mantissa * 2^exponent, exactly; the mantissa has 53 bits. */
static uint64_t split(double value, int *exponent)
{
    double f = frexp(value, exponent);
    *exponent -= 53;
    return (uint64_t)ldexp(f, 53);
}

static weir_span divide_up(weir_span a, uint64_t b)
{
    return a / b + (a % b != 0);
}

/* The span of one token, SECOND / rate in units, rounded up: as 64 bits and an exponent. */
static void set_interval(weir_bucket_rule *rule, double rate)
{
    int exponent;
    uint64_t m = split(rate, &exponent);
    weir_span q = divide_up((weir_span)SECOND << MOST_SHIFT, m);
    rule->_exponent = FRACTION - MOST_SHIFT - exponent;
    while (q >> 64 != 0) {
        q = (q >> 1) + (q & 1);
        rule->_exponent++;
    }
    rule->_mantissa = (uint64_t)q;
}

/* The same to the last unit, where that is more: most requests are for one, a million times. */
static weir_instant exact_interval(const weir_bucket_rule *rule, double rate)
{
    int exponent, shift;
    uint64_t m = split(rate, &exponent);
    shift = FRACTION - exponent;
    if (rule->kind == WEIR_BUCKET_FROZEN || shift < 0 || shift > MOST_SHIFT + 64)
        return weir_bucket_cost(rule, 1);
    if (shift <= MOST_SHIFT)
        return (weir_instant)divide_up((weir_span)SECOND << shift, m);
    weir_span a = (weir_span)SECOND << MOST_SHIFT;
    shift -= MOST_SHIFT;
    return (weir_instant)((a / m << shift) + divide_up(a % m << shift, m));
}

int weir_bucket_rule_init(weir_bucket_rule *rule, double rate, double burst)
{
    if (!(rate >= 0) || !(burst > 0))
        return WEIR_EINVAL;
    *rule = (weir_bucket_rule){.rate = rate, .burst = burst};
    if (isinf(rate) || isinf(burst)) {
        rule->kind = WEIR_BUCKET_FREE;
        return 0;
    }
    if (rate > 0 && burst / rate * (double)SECOND < LONGEST) {
        rule->kind = WEIR_BUCKET_TIMED;
        set_interval(rule, rate);
    } else { /* a capacity of any span, of which a token is its share */
        rule->kind = WEIR_BUCKET_FROZEN;
        set_interval(rule, fmax(burst / FROZEN_SPAN, DBL_TRUE_MIN));
    }
    rule->capacity = weir_bucket_cost(rule, burst);
    rule->one = burst >= 1 ? exact_interval(rule, rate) : 0;
    rule->slack = SLACK(rule->capacity);
    return 0;
}

int weir_bucket_fits(const weir_bucket_rule *rule, double n)
{
    return n <= rule->burst || rule->kind == WEIR_BUCKET_FREE;
}

weir_instant weir_bucket_cost(const weir_bucket_rule *rule, double n)
{
    int exponent;
    if (n == 1 && rule->one != 0)
        return rule->one;
    if (rule->kind == WEIR_BUCKET_FREE)
        return 0;
    weir_span product = (weir_span)split(n, &exponent) * rule->_mantissa;
    exponent += rule->_exponent;
    if (exponent >= 0)
        return (weir_instant)(product << exponent); /* no more than the capacity: it fits */
    if (exponent <= -128)
        return 1;
    weir_span cost = product >> -exponent;
    return (weir_instant)cost + (cost << -exponent != product);
}

uint64_t weir_bucket_due(const weir_bucket_rule *rule, const weir_bucket *b, weir_instant cost,
                         uint64_t from)
{
    weir_instant due = b->full_at + cost - rule->capacity - rule->slack;
    if (rule->kind == WEIR_BUCKET_FREE)
        return from;
    if (rule->kind == WEIR_BUCKET_FROZEN)
        return due <= 0 ? from : UINT64_MAX;
    if (due <= at(from))
        return from;
    return due >= at(UINT64_MAX) ? UINT64_MAX : (uint64_t)((due + NS - 1) >> FRACTION);
}

/* The time by which an idle bucket's instant is behind: a full one is charged from here. */
static weir_instant clock_of(const weir_bucket_rule *rule, uint64_t now)
{
    return rule->kind == WEIR_BUCKET_TIMED ? at(now) : 0;
}

void weir_bucket_charge(const weir_bucket_rule *rule, weir_bucket *b, weir_instant cost,
                        uint64_t now)
{
    weir_instant clock = clock_of(rule, now);
    if (b->full_at <= clock - NS + NOISE)
        b->full_at = clock;
    b->full_at += cost;
}

uint64_t weir_bucket_take(const weir_bucket_rule *rule, weir_bucket *b, double n, uint64_t now)
{
    if (!weir_bucket_fits(rule, n))
        return UINT64_MAX;
    weir_instant cost = weir_bucket_cost(rule, n);
    uint64_t due = weir_bucket_due(rule, b, cost, now);
    if (due > now)
        return due == UINT64_MAX ? due : due - now;
    weir_bucket_charge(rule, b, cost, now);
    return 0;
}

/* Tokens missing from a full bucket. */
static double missing(const weir_bucket_rule *rule, const weir_bucket *b, uint64_t now)
{
    weir_instant owed = b->full_at - clock_of(rule, now);
    if (rule->kind == WEIR_BUCKET_FREE || owed <= 0)
        return 0;
    return (double)owed / ldexp((double)rule->_mantissa, rule->_exponent);
}

double weir_bucket_available(const weir_bucket_rule *rule, const weir_bucket *b, uint64_t now)
{
    double n = rule->burst - missing(rule, b, now);
    if (n < 1e6)
        n = rint(n * 1e9) / 1e9;
    return n > 0 ? n : 0;
}

void weir_bucket_change(weir_bucket *b, const weir_bucket_rule *from, const weir_bucket_rule *to,
                        uint64_t now)
{
    weir_instant owed;
    if (from->kind == WEIR_BUCKET_FREE || to->kind == WEIR_BUCKET_FREE) {
        b->full_at = 0;
        return;
    }
    if (from->kind == to->kind && to->kind == WEIR_BUCKET_TIMED && from->rate == to->rate) {
        owed = b->full_at - at(now);
        owed = (owed > 0 ? owed : 0) + to->capacity - from->capacity;
    } else {
        double n = missing(from, b, now) + to->burst - from->burst;
        owed = n <= 0 ? 0 : n < to->burst ? weir_bucket_cost(to, n) : to->capacity;
    }
    b->full_at = clock_of(to, now) + (owed > 0 ? owed : 0);
}
