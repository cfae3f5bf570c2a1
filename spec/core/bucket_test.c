/* bucket_test.c - the pure token bucket: exact to the ns over any number of grants.
 *
 * The reference is integer arithmetic: for p tokens in q seconds the k-th token after an empty
 * bucket is due at the ceiling of k * q * 10^9 / p ns. The law is checked over every window by
 * one pass: the most that any window ending now may still take is a running minimum.
 */
#include <weir/bucket.h>
#include <weir/runtime.h>

#include <math.h>

#include "check.h"

static weir_bucket_rule rule_of(double rate, double burst)
{
    weir_bucket_rule rule;
    CHECK_OK(weir_bucket_rule_init(&rule, rate, burst));
    return rule;
}

static void bad_rates_are_misuse(void **state)
{
    weir_bucket_rule rule = {.rate = 7};
    (void)state;
    CHECK_ERR(weir_bucket_rule_init(&rule, -1, 1), WEIR_EINVAL);
    CHECK_ERR(weir_bucket_rule_init(&rule, NAN, 1), WEIR_EINVAL);
    CHECK_ERR(weir_bucket_rule_init(&rule, 1, 0), WEIR_EINVAL);
    CHECK_ERR(weir_bucket_rule_init(&rule, 1, -1), WEIR_EINVAL);
    CHECK_ERR(weir_bucket_rule_init(&rule, 1, NAN), WEIR_EINVAL);
    CHECK(rule.rate == 7);
}

static void it_starts_full_and_gives_its_burst(void **state)
{
    weir_bucket_rule rule = rule_of(10, 5);
    weir_bucket b = {0};
    uint64_t now = 12345;
    (void)state;
    CHECK(weir_bucket_available(&rule, &b, now) == 5);
    for (int i = 0; i < 5; i++)
        CHECK_INT(weir_bucket_take(&rule, &b, 1, now), 0);
    CHECK(weir_bucket_available(&rule, &b, now) == 0);
    CHECK_INT(weir_bucket_take(&rule, &b, 1, now), 100000000);
    CHECK_INT(weir_bucket_take(&rule, &b, 2, now), 200000000);
    CHECK_INT(weir_bucket_take(&rule, &b, 1, now + 99999999), 1);
    CHECK_INT(weir_bucket_take(&rule, &b, 1, now + 100000000), 0);
    CHECK(weir_bucket_available(&rule, &b, now + 10 * WEIR_SECOND) == 5); /* and no more */
}

/* p in q seconds, `n` grants, each taken the moment it is due. */
static void schedule(uint64_t p, uint64_t q, double burst, uint64_t n)
{
    weir_bucket_rule rule = rule_of((double)p / (double)q, burst);
    weir_bucket b = {0};
    uint64_t start = 777, now = start;
    CHECK_INT(weir_bucket_take(&rule, &b, burst, now), 0);
    for (uint64_t k = 1; k <= n; k++) {
        __extension__ unsigned __int128 ns = (unsigned __int128)k * q * WEIR_SECOND;
        uint64_t want = start + (uint64_t)((ns + p - 1) / p);
        uint64_t wait = weir_bucket_take(&rule, &b, 1, now);
        now += wait;
        if (wait != 0)
            CHECK_INT(weir_bucket_take(&rule, &b, 1, now), 0);
        if (now > want + 1 || now + 1 < want) /* p / q is a double, and perhaps not that fraction */
            check_fail(__FILE__, __LINE__, "%llu in %llu s: grant %llu at %llu, expected %llu",
                       (unsigned long long)p, (unsigned long long)q, (unsigned long long)k,
                       (unsigned long long)now, (unsigned long long)want);
        if (q == 1 && p < 10000000) /* beyond, the slack shows in the rounding */
            CHECK_INT(now, want);
    }
}

static void intervals_that_are_no_whole_ns_do_not_drift(void **state)
{
    (void)state;
    schedule(3, 1, 1, 1000000);
    schedule(7, 1, 1, 1000000);
    schedule(1000003, 1, 1, 1000000);
    schedule(999999937, 1, 1, 1000000);
    schedule(3, 1, 5, 100000);
    schedule(300, 60, 1, 100000);
    schedule(1, 3, 1, 1000000);
    schedule(1, 7, 1, 100000);
    schedule(5000, 3600, 1, 100000);
}

/* A late taker loses what it was late by; one that was late by less than 1 ns is not late. */
static void lateness_is_not_made_up_beyond_the_burst(void **state)
{
    weir_bucket_rule rule = rule_of(1, 1);
    weir_bucket b = {0};
    (void)state;
    CHECK_INT(weir_bucket_take(&rule, &b, 1, 0), 0);
    CHECK_INT(weir_bucket_take(&rule, &b, 1, 5 * WEIR_SECOND / 2), 0);
    CHECK_INT(weir_bucket_take(&rule, &b, 1, 5 * WEIR_SECOND / 2), WEIR_SECOND);
}

static void fractions_add_up(void **state)
{
    static const double parts[] = {2, 3, 5, 10, 49, 100, 1000, 100000};
    static const double rates[] = {0, 1, 3, 1.0 / 60, 1.0 / 86400, 1e6, 1e9};
    (void)state;
    for (size_t r = 0; r < sizeof rates / sizeof *rates; r++)
        for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
            weir_bucket_rule rule = rule_of(rates[r], 1);
            weir_bucket b = {0};
            for (double k = 0; k < parts[i]; k++)
                CHECK_INT(weir_bucket_take(&rule, &b, 1 / parts[i], 5), 0);
            CHECK(weir_bucket_take(&rule, &b, 1 / parts[i], 5) > 0);
        }
}

static void rate_zero_gives_the_burst_and_no_more(void **state)
{
    weir_bucket_rule rule = rule_of(0, 3), slow = rule_of(1e-30, 3);
    weir_bucket b = {0}, s = {0};
    (void)state;
    CHECK_INT(weir_bucket_take(&rule, &b, 2.5, 10), 0);
    CHECK(weir_bucket_take(&rule, &b, 1, 10) == UINT64_MAX);
    CHECK(weir_bucket_available(&rule, &b, UINT64_MAX) == 0.5);
    CHECK_INT(weir_bucket_take(&rule, &b, 0.5, WEIR_SECOND), 0);
    CHECK_INT(weir_bucket_take(&slow, &s, 3, 0), 0);
    CHECK(weir_bucket_take(&slow, &s, 1, 0) == UINT64_MAX);
}

static void an_infinite_rate_or_burst_never_waits(void **state)
{
    weir_bucket_rule rules[] = {rule_of(INFINITY, 1), rule_of(1, INFINITY), rule_of(0, INFINITY)};
    (void)state;
    for (int i = 0; i < 3; i++) {
        weir_bucket b = {0};
        for (double n = 1e-300; n < 1e300; n *= 1e20)
            CHECK_INT(weir_bucket_take(&rules[i], &b, n, 0), 0);
        CHECK(weir_bucket_available(&rules[i], &b, 0) == rules[i].burst);
    }
}

static void extremes_stay_in_range(void **state)
{
    static const double values[] = {5e-324, 1e-300, 1e-20, 1e-9, 1,     1e6,
                                    1e9,    1e15,   1e20,  1e99, 1e300, 1.7e308};
    const size_t n = sizeof values / sizeof *values;
    (void)state;
    for (size_t r = 0; r < n; r++)
        for (size_t i = 0; i < n; i++) {
            weir_bucket_rule rule = rule_of(values[r], values[i]);
            weir_bucket b = {0};
            CHECK(rule.capacity > 0);
            CHECK_INT(weir_bucket_take(&rule, &b, values[i], WEIR_SECOND), 0);
            CHECK(weir_bucket_take(&rule, &b, values[i] * 2, WEIR_SECOND) == UINT64_MAX);
            double half = fmax(values[i] / 2, 5e-324);
            uint64_t wait = weir_bucket_take(&rule, &b, half, WEIR_SECOND);
            if (wait != UINT64_MAX && wait > 0)
                CHECK_INT(weir_bucket_take(&rule, &b, half, WEIR_SECOND + wait), 0);
        }
}

static void a_change_keeps_the_tokens(void **state)
{
    weir_bucket_rule ten = rule_of(1, 10), wide = rule_of(1, 100), small = rule_of(1, 4),
                     fast = rule_of(1000, 10), stopped = rule_of(0, 10), more = rule_of(0, 30);
    weir_bucket b = {0};
    (void)state;
    CHECK_INT(weir_bucket_take(&ten, &b, 3, 0), 0);
    weir_bucket_change(&b, &ten, &wide, 0); /* mints nothing */
    CHECK(weir_bucket_available(&wide, &b, 0) == 7);
    CHECK_INT(weir_bucket_take(&wide, &b, 8, 0), WEIR_SECOND);
    weir_bucket_change(&b, &wide, &ten, 0);
    CHECK(weir_bucket_available(&ten, &b, 0) == 7);
    weir_bucket_change(&b, &ten, &small, 0); /* spills */
    CHECK(weir_bucket_available(&small, &b, 0) == 4);
    weir_bucket_change(&b, &small, &ten, 0);
    CHECK(weir_bucket_available(&ten, &b, 0) == 4);
    weir_bucket_change(&b, &ten, &fast, 0);
    CHECK(weir_bucket_available(&fast, &b, 0) == 4);
    CHECK_INT(weir_bucket_take(&fast, &b, 5, 0), 1000000);
    weir_bucket_change(&b, &fast, &stopped, 0);
    CHECK(weir_bucket_available(&stopped, &b, WEIR_SECOND) == 4);
    weir_bucket_change(&b, &stopped, &more, WEIR_SECOND);
    CHECK(weir_bucket_available(&more, &b, WEIR_SECOND) == 4);
    weir_bucket_change(&b, &more, &ten, WEIR_SECOND);
    CHECK(weir_bucket_available(&ten, &b, WEIR_SECOND) == 4);
    CHECK_INT(weir_bucket_take(&ten, &b, 5, WEIR_SECOND), WEIR_SECOND);
}

/* tokens taken in any window <= burst + rate * (w + 1 ns), and the bucket gives all of that. */
static void no_window_holds_more_than_the_law_allows(void **state)
{
    check_random r = {check_seed(80)};
    uint32_t sequences = check_scaled(20000);
    uint64_t grants = 0;
    (void)state;
    for (uint32_t s = 0; s < sequences; s++) {
        /* Slow enough that a burst takes months; slower, and the 64 bits of ns would run out. */
        double rate = ldexp(1 + check_below(&r, 1000), (int)check_below(&r, 32) - 12);
        double burst = ldexp(1 + check_below(&r, 100), (int)check_below(&r, 8) - 2);
        double per_ns = rate / 1e9, taken = 0, least = INFINITY;
        weir_bucket_rule rule = rule_of(rate, burst);
        weir_bucket b = {0};
        uint64_t now = 0;
        for (int i = 0; i < 60; i++) {
            double n = check_below(&r, 3) ? burst / (1 + check_below(&r, 16))
                                          : burst * (1 + check_below(&r, 1000)) / 1000;
            if (check_below(&r, 2))
                now += (uint64_t)(check_below(&r, 2000) / 1000.0 * n / per_ns);
            uint64_t wait = weir_bucket_take(&rule, &b, n, now);
            CHECK(wait != UINT64_MAX);
            if (wait > 0) {
                CHECK(wait == 1 || weir_bucket_take(&rule, &b, n, now + wait - 1) == 1);
                now += wait;
                CHECK_INT(weir_bucket_take(&rule, &b, n, now), 0);
            }
            /* For every earlier grant at t: taken since before it <= burst + rate * (now - t + 1).
             */
            double before = taken - per_ns * (double)now;
            double room = (least = fmin(least, before)) + burst + per_ns * ((double)now + 1);
            taken += n;
            if (taken > room + 1e-9 * (burst + taken))
                check_fail(__FILE__, __LINE__, "rate %a burst %a: %g too many at grant %d", rate,
                           burst, taken - room, i);
            grants++;
        }
    }
    check_figure("sequences", sequences);
    check_figure("grants", grants);
}

int main(void)
{
    const struct CMUnitTest bucket[] = {
        cmocka_unit_test(bad_rates_are_misuse),
        cmocka_unit_test(it_starts_full_and_gives_its_burst),
        cmocka_unit_test(intervals_that_are_no_whole_ns_do_not_drift),
        cmocka_unit_test(lateness_is_not_made_up_beyond_the_burst),
        cmocka_unit_test(fractions_add_up),
        cmocka_unit_test(rate_zero_gives_the_burst_and_no_more),
        cmocka_unit_test(an_infinite_rate_or_burst_never_waits),
        cmocka_unit_test(extremes_stay_in_range),
        cmocka_unit_test(a_change_keeps_the_tokens),
        cmocka_unit_test(no_window_holds_more_than_the_law_allows),
    };
    return CHECK_MAIN(bucket);
}
