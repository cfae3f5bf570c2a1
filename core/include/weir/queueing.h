/* weir/queueing.h - sizing maths: how long jobs wait for a pool of servers, how many it takes.
 *
 * Pure: no clock, no allocation, no state; times are seconds and rates jobs per second, as
 * doubles. The model is a queue without bound, first come first served, in front of equal
 * servers. Answers are exact for Poisson arrivals and exponential service (both coefficients
 * of variation 1, Erlang's case) and approximate otherwise (Allen and Cunneen).
 * Always: 0 <= probabilities <= 1, waits >= 0, never NaN; what never catches up says so in
 * `is_stable` and waits INFINITY. The work grows with the square root of the offered load.
 */
#ifndef WEIR_QUEUEING_H
#define WEIR_QUEUEING_H
#include <math.h>
#include <stdint.h>

#include <weir/begin.h>

/* What comes. Finite, >= 0. */
typedef struct weir_queueing {
    double rate;       /* arrivals per second */
    double service;    /* mean seconds that a job holds a server */
    double cv_arrival; /* standard deviation / mean: of the time between arrivals */
    double cv_service; /* and of service. 0 constant, 1 exponential */
} weir_queueing;

/* What becomes of it. */
typedef struct weir_queueing_result {
    double offered;     /* rate * service: servers busy if none ever waited */
    double utilisation; /* share of the time that a server is busy; >= 1 if not stable */
    double probability; /* that a job waits at all */
    double delay;       /* mean seconds of those that wait */
    double mean;        /* mean seconds waited, of all */
    double queue;       /* mean number of waiting jobs */
    double time;        /* mean seconds from arrival to end: mean + service */
    double n;           /* mean number of jobs there, waiting or served */
    double growth;      /* jobs per second by which the queue grows; 0 if stable */
    int is_stable;
} weir_queueing_result;

/* What is asked of a pool; all must hold. */
typedef struct weir_queueing_target {
    double quantile;    /* of `wait`, > 0 and < 1 */
    double wait;        /* seconds not exceeded at that quantile; INFINITY is any */
    double mean;        /* seconds not exceeded by the mean wait, > 0; INFINITY is any */
    double utilisation; /* not exceeded, > 0; 1 is any */
    double probability; /* of a wait, not exceeded, > 0; 1 is any */
} weir_queueing_target;

/* The target that every stable pool meets. */
#define WEIR_QUEUEING_STABLE                                                                       \
    {                                                                                              \
        0.99, INFINITY, INFINITY, 1.0, 1.0                                                         \
    }

/* Erlang B: the share of jobs refused by `servers` without a queue, for an offered load >= 0 in
 * servers. Erlang C: the share that waits where there is a queue; 1 if offered >= servers. 0 is
 * answered for what is below 2e-308. */
double weir_erlang_b(double offered, uint32_t servers);
double weir_erlang_c(double offered, uint32_t servers);

/* WEIR_EINVAL if a number is out of range or `servers` is 0; `result` is then untouched. */
int weir_queueing_solve(const weir_queueing *load, uint32_t servers, weir_queueing_result *result);

/* The seconds that a share `q` of all jobs wait at most, 0 <= q < 1; and the share that waits
 * longer than `seconds` (>= 0). */
double weir_queueing_quantile(const weir_queueing_result *result, double q);
double weir_queueing_over(const weir_queueing_result *result, double seconds);

/* Does a pool with this result meet `target`? */
int weir_queueing_meets(const weir_queueing_result *result, const weir_queueing_target *target);

/* The least number of servers, `max` at most, that meets `target`. WEIR_EIMPOSSIBLE if `max` do
 * not, WEIR_EINVAL if a number is out of range; `servers` is then untouched. */
int weir_queueing_servers(const weir_queueing *load, const weir_queueing_target *target,
                          uint32_t max, uint32_t *servers);

#include <weir/end.h>
#endif
