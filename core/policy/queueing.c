/* policy/queueing.c - Erlang B and C, the Allen-Cunneen wait, the least pool for a target.
 *
 * B(0) = 1, B(n) = A B(n-1) / (n + A B(n-1)) is stable: every quantity is positive and an error
 * in B(n-1) shrinks. Written out for 1/B it is the sum of c (c-1) ... (c-k+1) / A^k over k. Up
 * to c = A the terms of that sum fall, and after some sqrt(c) of them nothing is added any
 * more; above A, B itself falls and after some sqrt(A) steps it is 0 as a double. So the sum
 * goes up to A and the recursion on from there: a million servers cost thousands of steps.
 *
 * P(wait > t) = C exp(-t / D), D = V S / (c - A), V = (Ca^2 + Cs^2) / 2. For V = 1 that is the
 * M/M/c queue; else its mean is Allen and Cunneen's and its tail is scaled with the mean.
 */
#include <weir/queueing.h>

#include <assert.h>
#include <float.h>

#include <weir/error.h>

/* A product of two doubles is off by a few 1e-16; what differs from a bound by less than this
 * differs by rounding. So 10 servers are enough for 7.000000000000001 at 70 %, and 3 are full
 * with 2.9999999999999996. */
#define ROUNDING 1e-12

static double next_b(double offered, double b, uint32_t servers)
{
    b = offered * b / (servers + offered * b);
    return b < DBL_MIN ? 0 : b; /* below, digits are lost and each step is slow */
}

double weir_erlang_b(double offered, uint32_t servers)
{
    double b, sum = 1, term = 1;
    uint32_t n, k;

    assert(offered >= 0 && "an offered load is a number >= 0");
    n = offered < servers ? (uint32_t)offered : servers;
    for (k = 0; k < n && sum + term > sum; k++) {
        term *= (n - k) / offered;
        sum += term;
    }
    b = 1 / sum;
    while (n < servers && b > 0)
        b = next_b(offered, b, ++n);
    return b;
}

static double c_of_b(double b, double offered, uint32_t servers)
{
    return b > 0 ? b / ((servers - offered) / servers + b * (offered / servers)) : 0;
}

double weir_erlang_c(double offered, uint32_t servers)
{
    assert(offered >= 0 && "an offered load is a number >= 0");
    return offered < servers ? c_of_b(weir_erlang_b(offered, servers), offered, servers) : 1;
}

/* Finite, >= 0, not NaN. */
static int is_amount(double x)
{
    return x >= 0 && x <= DBL_MAX;
}

static int is_load(const weir_queueing *load)
{
    return is_amount(load->rate) && is_amount(load->service) && is_amount(load->cv_arrival) &&
           is_amount(load->cv_service);
}

static int is_target(const weir_queueing_target *t)
{
    return t->quantile > 0 && t->quantile < 1 && t->wait >= 0 && t->mean > 0 &&
           t->utilisation > 0 && t->probability > 0;
}

/* Zero times anything: nobody waits, or all wait for no time, whatever the other may be. */
static double times(double x, double y)
{
    return x > 0 && y > 0 ? x * y : 0;
}

static void fill(const weir_queueing *load, double offered, double b, uint32_t servers,
                 weir_queueing_result *r)
{
    double a = load->cv_arrival, s = load->cv_service, v = a * a / 2 + s * s / 2;

    r->offered = offered;
    r->utilisation = offered / servers;
    r->is_stable = offered < servers * (1 - ROUNDING);
    if (!r->is_stable) {
        r->probability = 1;
        r->delay = r->mean = r->queue = r->time = r->n = INFINITY;
        r->growth = fmax(load->rate - servers / load->service, 0);
        return;
    }
    r->probability = v > 0 ? c_of_b(b, offered, servers) : 0; /* a conveyor belt never waits */
    r->delay = times(v, load->service / (servers - offered));
    r->mean = times(r->probability, r->delay);
    r->queue = times(load->rate, r->mean);
    r->time = r->mean + load->service;
    r->n = r->queue + offered;
    r->growth = 0;
}

int weir_queueing_solve(const weir_queueing *load, uint32_t servers, weir_queueing_result *result)
{
    double offered;

    if (!is_load(load) || servers == 0)
        return WEIR_EINVAL;
    offered = load->rate * load->service;
    fill(load, offered, offered < servers ? weir_erlang_b(offered, servers) : 1, servers, result);
    return 0;
}

double weir_queueing_quantile(const weir_queueing_result *result, double q)
{
    assert(q >= 0 && q < 1 && "a quantile is >= 0 and < 1");
    if (!result->is_stable)
        return INFINITY;
    if (result->probability <= 1 - q)
        return 0;
    return times(result->delay, log(result->probability / (1 - q)));
}

double weir_queueing_over(const weir_queueing_result *result, double seconds)
{
    assert(seconds >= 0 && "a wait is >= 0");
    if (!result->is_stable)
        return 1;
    if (!(result->delay > 0)) /* then a wait takes no time */
        return 0;
    /* t / D of two infinities: a wait that never ends is over any bound. */
    return result->probability * (result->delay > DBL_MAX ? 1 : exp(-seconds / result->delay));
}

int weir_queueing_meets(const weir_queueing_result *result, const weir_queueing_target *target)
{
    return result->is_stable && result->utilisation <= target->utilisation * (1 + ROUNDING) &&
           result->probability <= target->probability && result->mean <= target->mean &&
           weir_queueing_quantile(result, target->quantile) <= target->wait;
}

int weir_queueing_servers(const weir_queueing *load, const weir_queueing_target *target,
                          uint32_t max, uint32_t *servers)
{
    weir_queueing_result r;
    double offered, b, least;
    uint32_t n;

    if (!is_load(load) || !is_target(target) || max == 0)
        return WEIR_EINVAL;
    offered = load->rate * load->service;
    /* Fewer are too few by their utilisation; what is left to find is some sqrt(A) beyond. */
    least = fmax(floor(offered), ceil(offered / target->utilisation * (1 - ROUNDING)));
    if (least > max)
        return WEIR_EIMPOSSIBLE;
    n = least > 1 ? (uint32_t)least : 1;
    b = weir_erlang_b(offered, n);
    for (;;) {
        fill(load, offered, b, n, &r);
        if (weir_queueing_meets(&r, target)) {
            *servers = n;
            return 0;
        }
        if (n >= max)
            return WEIR_EIMPOSSIBLE;
        b = next_b(offered, b, ++n);
    }
}
