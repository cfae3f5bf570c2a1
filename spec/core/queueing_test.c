/* queueing_test.c - Erlang's formulae against published tables and plain recursion; waits; pools.
 */
#include "check.h"

#include <weir/queueing.h>

#include <float.h>
#include <math.h>

/* Two numbers that differ by a share `tolerance` of `want` at most. */
#define CHECK_CLOSE(got, want, tolerance)                                                          \
    do {                                                                                           \
        double got_ = (got), want_ = (want);                                                       \
        if (!(fabs(got_ - want_) <= (tolerance)*fabs(want_)))                                      \
            check_fail(__FILE__, __LINE__, "%s is %.15g, expected %.15g", #got, got_, want_);      \
    } while (0)

/* --- Erlang B and C --------------------------------------------------------------------------- */

/* The traffic table that every handbook of telephony has: offered load for a share refused. */
static void agrees_with_the_table_of_erlang_b(void **state)
{
    static const struct {
        uint32_t servers;
        double share, offered;
    } table[] = {
        {1, 0.01, 0.0101},  {5, 0.001, 0.7621}, {5, 0.01, 1.361},   {10, 0.001, 3.092},
        {10, 0.01, 4.461},  {10, 0.02, 5.084},  {10, 0.05, 6.216},  {10, 0.10, 7.511},
        {20, 0.01, 12.03},  {20, 0.02, 13.18},  {20, 0.05, 15.25},  {20, 0.10, 17.61},
        {50, 0.01, 37.90},  {50, 0.02, 40.26},  {50, 0.001, 32.51}, {50, 0.05, 44.53},
        {50, 0.10, 49.56},  {100, 0.01, 84.06}, {100, 0.02, 87.97}, {100, 0.001, 75.24},
        {100, 0.05, 95.24}, {100, 0.10, 104.1},
    };
    (void)state;
    /* The load is rounded to four digits, and a share moves faster than its load. */
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        CHECK_CLOSE(weir_erlang_b(table[i].offered, table[i].servers), table[i].share, 2e-3);
}

/* Adan and Resing, "Queueing Systems", chapter 5: M/M/c with mu = 1 and utilisation 0.9. */
static void agrees_with_the_table_of_erlang_c(void **state)
{
    static const struct {
        uint32_t servers;
        double probability, mean;
    } table[] = {
        {1, 0.90, 9.00}, {2, 0.85, 4.26}, {5, 0.76, 1.53}, {10, 0.67, 0.67}, {20, 0.55, 0.28},
    };
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        uint32_t c = table[i].servers;
        weir_queueing load = {0.9 * c, 1, 1, 1};
        weir_queueing_result r;
        CHECK(fabs(weir_erlang_c(0.9 * c, c) - table[i].probability) <= 0.005);
        CHECK_OK(weir_queueing_solve(&load, c, &r));
        CHECK(fabs(r.probability - table[i].probability) <= 0.005);
        CHECK(fabs(r.mean - table[i].mean) <= 0.006);
    }
}

/* From exact fractions. */
static void is_exact_to_the_last_digits(void **state)
{
    (void)state;
    CHECK_CLOSE(weir_erlang_b(1, 2), 0.2, 1e-15);
    CHECK_CLOSE(weir_erlang_c(1, 2), 1.0 / 3, 1e-15);
    CHECK_CLOSE(weir_erlang_b(2, 3), 4.0 / 19, 1e-15);
    CHECK_CLOSE(weir_erlang_c(2, 3), 4.0 / 9, 1e-15);
    CHECK_CLOSE(weir_erlang_b(8, 10), 0.1216610642529515, 1e-14);
    CHECK_CLOSE(weir_erlang_c(8, 10), 0.40918015079644354, 1e-14);
    CHECK_CLOSE(weir_erlang_b(170, 180), 0.028157660230612076, 1e-13);
    CHECK_CLOSE(weir_erlang_c(170, 180), 0.3427636861249451, 1e-13);
    CHECK_CLOSE(weir_erlang_b(900, 1000), 5.929862670146224e-05, 1e-13);
    CHECK_CLOSE(weir_erlang_c(900, 1000), 0.0005926699663787812, 1e-13);
}

static long double plain_recursion(double offered, uint32_t servers)
{
    long double b = 1;
    for (uint32_t n = 1; n <= servers; n++)
        b = offered * b / (n + offered * b);
    return b;
}

static void agrees_with_the_plain_recursion(void **state)
{
    check_random r = {check_seed(1)};
    uint32_t rounds = check_scaled(2000);
    (void)state;
    for (uint32_t round = 0; round < rounds; round++) {
        uint32_t servers = 1 + check_below(&r, 1u << (1 + check_below(&r, 14)));
        double offered = servers * (check_below(&r, 4000) / 2000.0);
        long double want = plain_recursion(offered, servers);
        double got = weir_erlang_b(offered, servers);
        if (want > 1e-300L)
            CHECK_CLOSE(got, (double)want, 1e-11);
        else
            CHECK(got >= 0 && got < 1e-299);
    }
    CHECK_CLOSE(weir_erlang_b(1e6, 1000000), (double)plain_recursion(1e6, 1000000), 1e-11);
    CHECK_CLOSE(weir_erlang_b(999000, 1000000), (double)plain_recursion(999000, 1000000), 1e-11);
    CHECK_CLOSE(weir_erlang_b(1001000, 1000000), (double)plain_recursion(1001000, 1000000), 1e-11);
}

static void has_defined_edges(void **state)
{
    (void)state;
    CHECK(weir_erlang_b(0, 1) == 0 && weir_erlang_c(0, 1) == 0);
    CHECK(weir_erlang_b(0, 0) == 1 && weir_erlang_b(5, 0) == 1);
    CHECK(weir_erlang_b(INFINITY, 7) == 1 && weir_erlang_c(INFINITY, 7) == 1);
    CHECK(weir_erlang_b(DBL_MAX, UINT32_MAX) == 1);
    CHECK(weir_erlang_b(DBL_MIN, 2) == 0);
    CHECK(weir_erlang_c(7, 7) == 1 && weir_erlang_c(8, 7) == 1); /* all wait, for ever */
    CHECK(weir_erlang_b(1e9, UINT32_MAX) == 0);                  /* and at once */
    /* B(A, A) tends to sqrt(2 / (pi A)). */
    CHECK_CLOSE(weir_erlang_b(4e9, 4000000000u), sqrt(2 / (3.14159265358979 * 4e9)), 1e-4);
}

/* --- waits ----------------------------------------------------------------------------------- */

static void answers_an_mm1_queue(void **state)
{
    weir_queueing load = {80, 0.01, 1, 1};
    weir_queueing_result r;
    (void)state;
    CHECK_OK(weir_queueing_solve(&load, 1, &r));
    CHECK(r.is_stable && r.growth == 0);
    CHECK_CLOSE(r.offered, 0.8, 1e-12);
    CHECK_CLOSE(r.utilisation, 0.8, 1e-12);
    CHECK_CLOSE(r.probability, 0.8, 1e-12);
    CHECK_CLOSE(r.delay, 0.05, 1e-12);
    CHECK_CLOSE(r.mean, 0.04, 1e-12);
    CHECK_CLOSE(r.time, 0.05, 1e-12);
    CHECK_CLOSE(r.n, 4, 1e-12);
    CHECK_CLOSE(r.queue, 3.2, 1e-12);
    CHECK_CLOSE(weir_queueing_over(&r, 0), 0.8, 1e-12);
    CHECK_CLOSE(weir_queueing_quantile(&r, 0.99), 0.05 * log(80), 1e-12);
    CHECK_CLOSE(weir_queueing_over(&r, 0.05 * log(80)), 0.01, 1e-12);
    CHECK(weir_queueing_quantile(&r, 0.2) == 0 && weir_queueing_quantile(&r, 0) == 0);
    CHECK(weir_queueing_over(&r, INFINITY) == 0);
}

/* M/D/1 waits half as long as M/M/1 and M/G/1 as Pollaczek and Khinchine say, exactly. */
static void scales_with_the_variances(void **state)
{
    weir_queueing_result one, r;
    weir_queueing load = {9, 0.1, 1, 1};
    (void)state;
    CHECK_OK(weir_queueing_solve(&load, 1, &one));
    load.cv_service = 0;
    CHECK_OK(weir_queueing_solve(&load, 1, &r));
    CHECK_CLOSE(r.mean, one.mean / 2, 1e-12);
    CHECK_CLOSE(weir_queueing_quantile(&r, 0.99), weir_queueing_quantile(&one, 0.99) / 2, 1e-12);
    load.cv_service = 3;
    CHECK_OK(weir_queueing_solve(&load, 1, &r));
    CHECK_CLOSE(r.mean, one.mean * 5, 1e-12);
    CHECK_CLOSE(r.n, load.rate * r.time, 1e-12);
    load.cv_arrival = load.cv_service = 0; /* a conveyor belt */
    CHECK_OK(weir_queueing_solve(&load, 1, &r));
    CHECK(r.mean == 0 && r.delay == 0 && r.probability == 0 &&
          weir_queueing_quantile(&r, 0.999) == 0);
    CHECK(weir_queueing_over(&r, 0) == 0);
}

static void says_what_never_catches_up(void **state)
{
    weir_queueing load = {120, 0.1, 1, 1};
    weir_queueing_result r;
    (void)state;
    for (uint32_t servers = 10; servers <= 12; servers++) {
        CHECK_OK(weir_queueing_solve(&load, servers, &r));
        CHECK(!r.is_stable && r.probability == 1 && isinf(r.mean) && isinf(r.n));
        CHECK_CLOSE(1 + r.growth, 1 + 120 - servers * 10.0, 1e-12);
        CHECK(isinf(weir_queueing_quantile(&r, 0.5)) && weir_queueing_over(&r, 1e9) == 1);
    }
    CHECK_OK(weir_queueing_solve(&load, 13, &r));
    CHECK(r.is_stable && r.mean > 0 && r.mean < 1);
    /* 0.1 * 30 and 3 differ by rounding alone. */
    load = (weir_queueing){30, 0.1 - 1e-17, 1, 1};
    CHECK_OK(weir_queueing_solve(&load, 3, &r));
    CHECK(!r.is_stable);
}

static void refuses_what_is_no_amount(void **state)
{
    static const double bad[] = {NAN, -1, -INFINITY, INFINITY};
    weir_queueing_target any = WEIR_QUEUEING_STABLE;
    weir_queueing_result r = {.mean = 7};
    uint32_t servers = 7;
    (void)state;
    for (int field = 0; field < 4; field++)
        for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
            double x[4] = {1, 1, 1, 1};
            x[field] = bad[i];
            weir_queueing load = {x[0], x[1], x[2], x[3]};
            CHECK_ERR(weir_queueing_solve(&load, 2, &r), WEIR_EINVAL);
            CHECK_ERR(weir_queueing_servers(&load, &any, 100, &servers), WEIR_EINVAL);
        }
    weir_queueing load = {1, 1, 1, 1};
    CHECK_ERR(weir_queueing_solve(&load, 0, &r), WEIR_EINVAL);
    CHECK_ERR(weir_queueing_servers(&load, &any, 0, &servers), WEIR_EINVAL);
    for (int field = 0; field < 5; field++) {
        double x[5] = {0.99, 1, 1, 1, 1};
        x[field] = NAN;
        weir_queueing_target target = {x[0], x[1], x[2], x[3], x[4]};
        CHECK_ERR(weir_queueing_servers(&load, &target, 100, &servers), WEIR_EINVAL);
    }
    CHECK(r.mean == 7 && servers == 7);
}

/* Whatever the size of the numbers: no NaN, nothing negative, shares within [0, 1]. */
static double any_amount(check_random *r)
{
    if (check_below(r, 10) == 0)
        return 0;
    return ldexp(1.0 + check_below(r, 1000) / 1000.0, (int)check_below(r, 2000) - 1000);
}

static void never_gives_a_nan(void **state)
{
    check_random r = {check_seed(2)};
    uint32_t rounds = check_scaled(20000), n_stable = 0;
    (void)state;
    for (uint32_t round = 0; round < rounds; round++) {
        weir_queueing load = {any_amount(&r), any_amount(&r), any_amount(&r), any_amount(&r)};
        weir_queueing_result w;
        uint32_t servers = 1 + (uint32_t)check_span(&r, 24);
        if (check_below(&r, 2)) /* and loads that are not absurd */
            load.service =
                load.rate > 0 ? servers * (check_below(&r, 1100) / 1000.0) / load.rate : 1;
        if (!(load.service <= DBL_MAX))
            continue;
        CHECK_OK(weir_queueing_solve(&load, servers, &w));
        double amounts[] = {w.offered,
                            w.utilisation,
                            w.delay,
                            w.mean,
                            w.queue,
                            w.time,
                            w.n,
                            w.growth,
                            weir_queueing_quantile(&w, 0.5),
                            weir_queueing_quantile(&w, 0.999999)};
        double shares[] = {w.probability, weir_queueing_over(&w, 0), weir_queueing_over(&w, 1e-3),
                           weir_queueing_over(&w, INFINITY)};
        for (size_t i = 0; i < sizeof amounts / sizeof amounts[0]; i++)
            CHECK(amounts[i] >= 0);
        for (size_t i = 0; i < sizeof shares / sizeof shares[0]; i++)
            CHECK(shares[i] >= 0 && shares[i] <= 1);
        n_stable += (uint32_t)w.is_stable;
    }
    check_figure("stable", n_stable);
    check_figure("loads", rounds);
}

static void waits_less_with_more_servers(void **state)
{
    weir_queueing load = {1000, 0.05, 1, 1.5};
    weir_queueing_result last, r;
    (void)state;
    CHECK_OK(weir_queueing_solve(&load, 50, &last));
    for (uint32_t servers = 51; servers < 120; servers++) {
        CHECK_OK(weir_queueing_solve(&load, servers, &r));
        CHECK(r.mean < last.mean && r.probability < last.probability);
        CHECK(weir_queueing_quantile(&r, 0.99) <= weir_queueing_quantile(&last, 0.99));
        last = r;
    }
}

/* --- pools ----------------------------------------------------------------------------------- */

static void finds_the_least_pool(void **state)
{
    check_random r = {check_seed(3)};
    uint32_t rounds = check_scaled(3000);
    (void)state;
    for (uint32_t round = 0; round < rounds; round++) {
        weir_queueing load = {1 + check_below(&r, 2000), (1 + check_below(&r, 1000)) / 1e4,
                              check_below(&r, 30) / 10.0, check_below(&r, 30) / 10.0};
        weir_queueing_target target = WEIR_QUEUEING_STABLE;
        weir_queueing_result w;
        uint32_t servers = 0;
        if (check_below(&r, 2))
            target.wait = check_below(&r, 1000) / 1e4;
        target.quantile = (1 + check_below(&r, 999)) / 1000.0;
        if (check_below(&r, 3) == 0)
            target.mean = (1 + check_below(&r, 1000)) / 1e5;
        if (check_below(&r, 3) == 0)
            target.utilisation = (1 + check_below(&r, 100)) / 100.0;
        if (check_below(&r, 3) == 0)
            target.probability = (1 + check_below(&r, 100)) / 100.0;
        CHECK_OK(weir_queueing_servers(&load, &target, UINT32_MAX, &servers));
        CHECK_OK(weir_queueing_solve(&load, servers, &w));
        CHECK(weir_queueing_meets(&w, &target));
        if (servers > 1) {
            CHECK_OK(weir_queueing_solve(&load, servers - 1, &w));
            CHECK(!weir_queueing_meets(&w, &target));
            CHECK_ERR(weir_queueing_servers(&load, &target, servers - 1, &servers),
                      WEIR_EIMPOSSIBLE);
        }
        CHECK_OK(weir_queueing_servers(&load, &target, servers, &servers));
    }
}

static void does_not_ask_for_one_more_by_rounding(void **state)
{
    weir_queueing load = {0.7, 10, 1, 1}; /* 0.7 * 10 / 0.7 is a little more than 10 */
    weir_queueing_target target = WEIR_QUEUEING_STABLE;
    uint32_t servers;
    (void)state;
    target.utilisation = 0.7;
    CHECK_OK(weir_queueing_servers(&load, &target, 100, &servers));
    CHECK_INT(servers, 10);
    target.utilisation = 1e-6;
    CHECK_OK(weir_queueing_servers(&load, &target, UINT32_MAX, &servers));
    CHECK_INT(servers, 7000000);
}

static void sizes_the_empty_and_the_huge(void **state)
{
    weir_queueing nothing = {0, 1, 1, 1}, no_time = {1e9, 0, 1, 1}, huge = {4e9, 1, 1, 1},
                  beyond = {1e10, 1, 1, 1};
    weir_queueing_target target = {0.99, 0.001, 1e-9, 1, 1};
    uint32_t servers = 0;
    (void)state;
    CHECK_OK(weir_queueing_servers(&nothing, &target, 100, &servers));
    CHECK_INT(servers, 1);
    CHECK_OK(weir_queueing_servers(&no_time, &target, 100, &servers));
    CHECK_INT(servers, 1);
    CHECK_OK(weir_queueing_servers(&huge, &target, UINT32_MAX, &servers));
    CHECK(servers > 4000000000u);
    CHECK_ERR(weir_queueing_servers(&beyond, &target, UINT32_MAX, &servers), WEIR_EIMPOSSIBLE);
}

int main(void)
{
    const struct CMUnitTest queueing[] = {
        cmocka_unit_test(agrees_with_the_table_of_erlang_b),
        cmocka_unit_test(agrees_with_the_table_of_erlang_c),
        cmocka_unit_test(is_exact_to_the_last_digits),
        cmocka_unit_test(agrees_with_the_plain_recursion),
        cmocka_unit_test(has_defined_edges),
        cmocka_unit_test(answers_an_mm1_queue),
        cmocka_unit_test(scales_with_the_variances),
        cmocka_unit_test(says_what_never_catches_up),
        cmocka_unit_test(refuses_what_is_no_amount),
        cmocka_unit_test(never_gives_a_nan),
        cmocka_unit_test(waits_less_with_more_servers),
        cmocka_unit_test(finds_the_least_pool),
        cmocka_unit_test(does_not_ask_for_one_more_by_rounding),
        cmocka_unit_test(sizes_the_empty_and_the_huge),
    };
    return CHECK_MAIN(queueing);
}
