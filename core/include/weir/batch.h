/* weir/batch.h - gather single requests into groups: flushed by size, by time, or in the quiet.
 *
 * A request is a key; equal keys of one group are one request (the embedder finds them equal). A
 * group is flushed when it is full, when its oldest request has waited `delay`, or as soon as
 * nobody in the runtime is ready to add more (weir_quiet): with `delay` 0 that alone, at the latest
 * at the start of the next turn. At most `max_flying` groups are out; what is full meanwhile
 * queues, and what is due gathers on until one has landed. Each request is a flight: who waits for
 * it may leave, and a request nobody waits for any more leaves its group before that flies.
 *
 *   GATHERING -> QUEUED (full, too many out) -> FLYING -> landed
 *
 * Invariant: every request is in exactly one group until it lands, once; no request waits longer
 * than `delay` for its flush unless max_flying groups are out.
 */
#ifndef WEIR_BATCH_H
#define WEIR_BATCH_H
#include <weir/flight.h>
#include <weir/histogram.h>
#include <weir/runtime.h>

#include <weir/begin.h>

typedef struct weir_batch weir_batch;
typedef struct weir_group weir_group;
typedef struct weir_request weir_request;

typedef struct weir_batch_options {
    uint32_t max;         /* requests in a group; > 0 */
    uint32_t max_flying;  /* groups out at once; UINT32_MAX: no bound */
    uint32_t max_waiting; /* requests not yet flushed; UINT32_MAX: no bound */
    uint64_t delay;       /* ns that the oldest of a group may wait; 0: when all is quiet */
    uint8_t quiet;        /* flush when all is quiet, before `delay` is over; 1 if that is 0 */
} weir_batch_options;

typedef struct weir_batch_stats {
    uint64_t requests, joined, groups, by_size, by_delay, by_quiet, by_flush;
    uint64_t dropped; /* requests that everybody left before their flush */
    uint64_t failures, timeouts, cancels, closes, overload;
    weir_histogram wait, flight, size; /* ns to the flush, ns of a flight, requests of a group */
} weir_batch_stats;

typedef struct weir_batch_ops {
    /* Begin the work on g->requests; answered by weir_request_land and weir_group_landed, within
     * this call or later. Called from the ready queue, a timer or in the quiet, never within
     * another call of this header. */
    void (*flush)(weir_batch *b, weir_group *g);
    /* Nobody waits any more for what has not landed of a flying group: stop the work, which then
     * lands the group as ever. Once. NULL: it goes on. */
    void (*abandon)(weir_batch *b, weir_group *g);
    /* Nobody waits for `r` any more, nobody must join it: forget its key. Flushed or not; if not,
     * it is out of its group and freed after this. */
    void (*dropped)(weir_batch *b, weir_request *r);
    const weir_flight_ops *flight; /* `free` is all it needs, and `wait` */
} weir_batch_ops;

typedef enum weir_group_state {
    WEIR_GROUP_GATHERING,
    WEIR_GROUP_QUEUED,
    WEIR_GROUP_FLYING
} weir_group_state;

struct weir_request {
    weir_flight flight; /* first */
    weir_link link;     /* in its group's requests until it lands */
    weir_group *group;  /* NULL once it has landed */
    void *data;         /* the embedder's: its key */
};

struct weir_group {
    weir_link link;     /* in the batch's queued or flying */
    weir_list requests; /* in order of arrival */
    weir_batch *of;
    uint64_t since;    /* ns: gathering since, then flying since */
    uint32_t n;        /* requests, landed ones too */
    uint32_t wanted;   /* those that have not landed and were not abandoned */
    uint8_t state;     /* weir_group_state */
    weir_task *worker; /* who does the work, if a task does: for the deadlock search */
    void *data;        /* the embedder's */
};

struct weir_batch {
    weir_runtime *rt;
    const weir_batch_ops *ops;
    weir_batch_options options;
    weir_group *gathering; /* or NULL */
    weir_list queued, flying;
    uint32_t n_queued, n_flying, n_unflushed;
    weir_timer timer;  /* of what gathers */
    weir_quiet quiet;  /* the same */
    weir_waiter turn;  /* ready when there is something to flush */
    weir_list joiners; /* waiters of drain */
    uint8_t closed, draining;
    uint8_t due;      /* what gathers is to fly as soon as it may, and why (batch.c); 0: not yet */
    const char *name; /* borrowed; may be NULL */
    void *data;
    weir_batch_stats stats;
};

/* Prepare `b` (the embedder's memory, stays put). `ops` and `name` (may be NULL) are borrowed for
 * its life, `options` are copied. 0, or WEIR_EINVAL for an option that is 0 and may not be. */
int weir_batch_init(weir_runtime *rt, weir_batch *b, const weir_batch_ops *ops,
                    const weir_batch_options *options, const char *name);
/* Only when nothing gathers, is queued or flies, and nobody drains. */
void weir_batch_fini(weir_batch *b);

/* Put `r` (the embedder's memory, freed by flight->free; this prepares its flight) into the group
 * that gathers; who fills it has it flushed, when this turn of the caller's is over. The caller
 * then waits with weir_flight_wait. 0, or WEIR_ECLOSED, WEIR_EOVERLOAD, WEIR_ENOMEM with nothing
 * changed: `r` is the embedder's still. Never waits. */
int weir_batch_add(weir_batch *b, weir_request *r);
/* One more waits for `r`, which has not landed: for the statistics; then weir_flight_wait. */
void weir_batch_joined(weir_batch *b, weir_request *r);
/* Flush what has gathered, when this turn of the caller's is over. */
void weir_batch_flush(weir_batch *b);

/* The answers: for each request of a flying group (it leaves g->requests, and may be freed), then
 * for the group, which is gone then. What was not landed FAILs with value 0. */
void weir_request_land(weir_request *r, weir_flight_state state, intptr_t value);
void weir_group_landed(weir_group *g);

/* Refuse new requests; who waits for one not yet flushed gets CLOSED; what is flying lands.
 * Idempotent. */
void weir_batch_close(weir_batch *b);
/* Refuse new requests (as closed), flush what has gathered; `w` waits until `deadline` (ns) and is
 * granted when all has landed. */
void weir_batch_drain(weir_batch *b, weir_waiter *w, uint64_t deadline);
/* An estimate, in ns, of when a request refused for overload would be taken. */
uint64_t weir_batch_retry_after(const weir_batch *b);
/* 0, or the line number of the broken invariant. */
int weir_batch_validate(const weir_batch *b);

#include <weir/end.h>
#endif
