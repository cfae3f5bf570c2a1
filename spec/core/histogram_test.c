/* histogram_test.c - quantiles against a sorted list, and the edges of the buckets. */
#include "check.h"

#include <weir/histogram.h>

#include <math.h>

static void is_empty_at_first(void **state)
{
    weir_histogram h;
    (void)state;
    weir_histogram_init(&h);
    CHECK_INT(h.count, 0);
    CHECK_INT(h.sum, 0);
    CHECK_INT(h.max, 0);
    CHECK_INT(weir_histogram_quantile(&h, 0.5), 0);
    CHECK_INT(weir_histogram_quantile(&h, 1.0), 0);
}

static void keeps_small_values_exactly(void **state)
{
    (void)state;
    for (uint64_t v = 0; v < 8; v++) {
        weir_histogram h;
        weir_histogram_init(&h);
        weir_histogram_record(&h, v);
        weir_histogram_record(&h, 1000); /* so that the maximum does not give it away */
        CHECK_INT(weir_histogram_quantile(&h, 0.5), v);
    }
}

static void answers_within_an_eighth(void **state)
{
    (void)state;
    for (unsigned bits = 3; bits <= 40; bits++)
        for (int d = -2; d <= 2; d++) {
            uint64_t v = (UINT64_C(1) << bits) + (uint64_t)(int64_t)d, got;
            weir_histogram h;
            weir_histogram_init(&h);
            weir_histogram_record(&h, v);
            weir_histogram_record(&h, UINT64_MAX);
            got = weir_histogram_quantile(&h, 0.5);
            CHECK((got > v ? got - v : v - got) <= v / 8);
        }
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void agrees_with_a_sorted_list(void **state)
{
    static const double shares[] = {0.001, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999};
    check_random r = {check_seed(1)};
    uint32_t rounds = check_scaled(200);
    (void)state;
    for (uint32_t round = 0; round < rounds; round++) {
        uint64_t values[500], sum = 0;
        uint32_t n = 1 + check_below(&r, 500);
        weir_histogram h;
        weir_histogram_init(&h);
        for (uint32_t i = 0; i < n; i++) {
            values[i] = check_span(&r, 40);
            sum += values[i];
            weir_histogram_record(&h, values[i]);
        }
        qsort(values, n, sizeof values[0], by_value);
        CHECK_INT(h.count, n);
        CHECK_INT(h.sum, sum);
        CHECK_INT(h.max, values[n - 1]);
        for (size_t i = 0; i < sizeof shares / sizeof shares[0]; i++) {
            uint64_t want = values[(uint32_t)ceil(shares[i] * n) - 1];
            uint64_t got = weir_histogram_quantile(&h, shares[i]);
            CHECK((got > want ? got - want : want - got) <= want / 8);
        }
        CHECK_INT(weir_histogram_quantile(&h, 1.0), values[n - 1]);
    }
    check_figure("sequences", rounds);
}

static void takes_odd_shares(void **state)
{
    weir_histogram h;
    (void)state;
    weir_histogram_init(&h);
    weir_histogram_record(&h, 1);
    weir_histogram_record(&h, 6);
    CHECK_INT(weir_histogram_quantile(&h, 0.0), 1);
    CHECK_INT(weir_histogram_quantile(&h, -1.0), 1);
    CHECK_INT(weir_histogram_quantile(&h, (double)NAN), 1);
    CHECK_INT(weir_histogram_quantile(&h, 2.0), 6);
}

static void puts_huge_values_in_the_last_bucket(void **state)
{
    weir_histogram h;
    (void)state;
    weir_histogram_init(&h);
    weir_histogram_record(&h, UINT64_C(1) << 50);
    weir_histogram_record(&h, UINT64_MAX);
    CHECK_INT(h._bucket[WEIR_HISTOGRAM_BUCKETS - 1], 2);
    CHECK(weir_histogram_quantile(&h, 0.5) == UINT64_MAX);
    CHECK(h.sum == UINT64_MAX); /* saturates */
    CHECK(h.max == UINT64_MAX);
}

/* Four billion records are too many for a test: start with a bucket that is nearly full. */
static void halves_when_a_bucket_is_full(void **state)
{
    weir_histogram h;
    (void)state;
    weir_histogram_init(&h);
    weir_histogram_record(&h, 1);
    h._bucket[5] = UINT32_MAX;
    weir_histogram_record(&h, 5);
    CHECK_INT(h._bucket[5], UINT32_MAX / 2 + 2);
    CHECK_INT(h._bucket[1], 1); /* a value seen stays seen */
    CHECK_INT(weir_histogram_quantile(&h, 0.0), 1);
    CHECK_INT(weir_histogram_quantile(&h, 0.5), 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_empty_at_first),
        cmocka_unit_test(keeps_small_values_exactly),
        cmocka_unit_test(answers_within_an_eighth),
        cmocka_unit_test(agrees_with_a_sorted_list),
        cmocka_unit_test(takes_odd_shares),
        cmocka_unit_test(puts_huge_values_in_the_last_bucket),
        cmocka_unit_test(halves_when_a_bucket_is_full),
    };
    return CHECK_MAIN(tests);
}
