/* batch_model.h - the reference model of batches: lists in arrays, and a log of all that is seen.
 *
 * A turn is played through in the model first and lived by the batch afterwards; each writes a log
 * of flushes, drops, abandons and ends of waits, and the two must be one. Requests have numbers
 * that are never used again. What the embedder does when it is asked depends on the numbers alone.
 */
#ifndef WEIR_BATCH_MODEL_H
#define WEIR_BATCH_MODEL_H
#include <weir/batch.h>

#include "check.h"

#define REQUESTS 64 /* of a run */
#define GROUP_MAX 4
#define SEATS 8  /* waiters for requests */
#define DRAINS 2 /* waiters of drain, after them */
#define TURN (SEATS + DRAINS)
#define LOG 512

typedef struct model_request {
    int used;  /* not freed */
    int group; /* of it, or -1 once it has landed */
    weir_flight_state state;
    int ended;
    uint32_t interested;
    uint64_t since;
    int seats[SEATS], n;
} model_request;

typedef struct model_group {
    weir_group_state state;
    int ids[GROUP_MAX], left; /* that have not landed */
    uint32_t n, wanted;
} model_group;

typedef struct model_seat {
    weir_status status; /* IDLE: free */
    int request;
    uint64_t deadline, order;
} model_seat;

typedef struct model {
    weir_batch_options options;
    uint64_t now, counter;
    int closed, draining, memory_is_short;
    model_request request[REQUESTS];
    int n_requests;
    model_group group[REQUESTS]; /* in the order they began to gather */
    int n_groups, gathering;     /* -1: none */
    int queued[REQUESTS], n_queued, flying[REQUESTS], n_flying;
    uint32_t n_unflushed;
    uint64_t timer, timer_order; /* WEIR_FOREVER: unset */
    int quiet, due;              /* due: 0 no, 1 delay, 2 quiet, 3 flush */
    model_seat seat[SEATS + DRAINS];
    int drains[DRAINS], n_drains;
    int ready[SEATS + DRAINS + 1], n_ready;
    weir_batch_stats stats; /* counts */
    uint64_t flushes;       /* requests that were flushed */
    int log[LOG], n_log;
} model;

/* What is written into a log: a kind and a number. */
enum {
    LOG_FLUSH = 1000,
    LOG_REQUEST = 2000,
    LOG_DROPPED = 3000,
    LOG_ABANDON = 4000,
    LOG_END = 5000
};
void batch_log_add(int *log, int *n, int what);

/* How the embedder answers: does it land a group, whose first request is `id`, from inside the
 * flush, or inside the abandon; and does a request fail. A group that begins with one of some lands
 * without landing its last request. */
int batch_lands_in_flush(int id);
int batch_lands_in_abandon(int id);
int batch_request_fails(int id);
int batch_forgets_one(int id);

void batch_model_init(model *m, const weir_batch_options *options);
int batch_model_add(model *m); /* the number is n_requests - 1 */
void batch_model_wait_for(model *m, int seat, int id, uint64_t deadline);
int batch_model_give_up(model *m, int seat, weir_status status);
void batch_model_flush(model *m);
void batch_model_land(model *m, int id, int fails);
void batch_model_group_landed(model *m, int group);
void batch_model_land_group(model *m, int group);
void batch_model_close(model *m);
void batch_model_drain(model *m, int seat, uint64_t deadline);
void batch_model_turn(model *m);

#endif
