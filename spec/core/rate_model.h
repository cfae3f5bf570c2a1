/* rate_model.h - the reference model of rate limits: counts tokens where the core counts time.
 *
 * A limit is a level that is refilled, or a log of grants for a window; the queue is an array; the
 * future is played through step by step. A grant that comes back is taken out of the history, and
 * the history is lived again. Intervals are powers of two ns, so that all is exact in doubles.
 * Every function does to the model what the core's of like name does to a rate.
 */
#ifndef WEIR_RATE_MODEL_H
#define WEIR_RATE_MODEL_H
#include <weir/rate.h>

#include "check.h"

#define WAITS 8    /* waiters; ids 0 .. */
#define DRAINS 2   /* waiters of drain, after those */
#define RESERVES 8 /* reservations, after those */
#define PLACES (WAITS + DRAINS + RESERVES)
#define LIMITS 2
#define HISTORY 256
#define LOG 64
#define FREE UINT64_MAX /* of interval: an infinite rate */

typedef struct limit {
    double burst, level;
    uint64_t interval; /* ns; 0 is rate 0 */
    uint64_t last;     /* level is as of then */
    uint64_t per;      /* a window: */
    uint32_t n;
    unsigned used;
    struct {
        uint64_t at;
        double n;
    } log[LOG];
} limit;

typedef struct event { /* a charge of `n` for `id`, or (n 0) a change to what `to` says */
    double n;
    uint64_t at;
    int id;
    weir_rate_limit to[LIMITS];
} event;

typedef struct place {
    weir_waiter waiter;
    weir_ticket *ticket;
    struct bed *bed;
    /* the model: */
    weir_status status; /* waiters; IDLE: free for the next operation */
    int reserved;       /* reservations: 0 no, 1 queued, 2 granted, 3 gone */
    int kept;
    double n;
    uint64_t deadline, order, event; /* event: of its charge */
} place;

typedef struct bed {
    weir_simulator *sim;
    weir_runtime *rt;
    weir_rate r;
    place place[PLACES];
    check_random random; /* of what is done inside turns */
    int line, in_turn, ending;
    uint64_t ops;
    /* the model: */
    weir_rate_limit begin[LIMITS];
    limit limit[LIMITS];
    uint32_t limits, max_waiting;
    int closed, draining;
    int queue[PLACES], n_queue, idle[DRAINS], n_idle, ready[PLACES], n_ready;
    uint64_t at, now, orders, timer_order;
    event history[HISTORY];
    unsigned n_history;
    weir_rate_stats stats; /* its counts */
} bed;

#define EXPECT(b, cond)                                                                            \
    do {                                                                                           \
        if (!(cond) && (b)->line == 0)                                                             \
            (b)->line = __LINE__;                                                                  \
    } while (0)

double model_level_at(const limit *l, uint64_t now);
double model_used_at(const limit *l, uint64_t now);
void model_limit_set(limit *l, const weir_rate_limit *to, uint64_t now);
void model_limits_begin(bed *b);
int model_fits(const bed *b, double n);
uint64_t model_due_behind(const bed *b, double n, int end);
void model_charge(bed *b, int id, double n, uint64_t at);
void model_drop(int *list, int *n, int i);
void model_settle(bed *b, int i, weir_status status);
int model_is_waiter(int i);
uint32_t model_waiting(const bed *b);
void model_serve(bed *b);
void model_look(bed *b);
int model_give_up(bed *b, int i, weir_status status);
int model_refuse(bed *b, double n);
int model_can_be_had(const bed *b, double n);
int model_is_full(bed *b);
void model_timers(bed *b);

#endif
