/* weir/batch.h - gather single requests into groups: flushed by size, by time, or in the quiet.
 *
 * A request is a key; equal keys of one group are one request (the embedder finds them equal). A
 * group is flushed when it is full, when its oldest request has waited `delay`, or as soon as
 * nobody in the runtime is ready to add more (weir_quiet): with `delay` 0 that alone. At most
 * `max_flying` groups are out; the next one gathers meanwhile. Each request is a flight: who waits
 * for it may leave, and a request nobody waits for any more leaves its group while that gathers.
 *
 *   GATHERING -> QUEUED (full or due, too many out) -> FLYING -> landed
 *
 * Invariant: every request is in exactly one group and lands once; no request waits longer than
 * `delay` for its flush unless max_flying groups are out.
 */
#ifndef WEIR_BATCH_H
#define WEIR_BATCH_H
#include <weir/flight.h>
#include <weir/histogram.h>
#include <weir/runtime.h>

typedef struct weir_batch weir_batch;
typedef struct weir_group weir_group;
typedef struct weir_request weir_request;

typedef struct weir_batch_options {
    uint32_t max;         /* requests in a group; > 0 */
    uint32_t max_flying;  /* groups out at once; UINT32_MAX: no bound */
    uint32_t max_waiting; /* requests not yet flushed; UINT32_MAX: no bound */
    uint64_t delay;       /* ns that the oldest of a group may wait; 0: when all is quiet */
    uint8_t quiet;        /* flush when all is quiet, before `delay` is over */
} weir_batch_options;

typedef struct weir_batch_stats {
    uint64_t requests, joined, groups, by_size, by_delay, by_quiet, by_flush;
    uint64_t dropped; /* requests that everybody left before their flush */
    uint64_t failures, timeouts, cancels, closes, overload;
    weir_histogram wait, flight, size; /* ns to the flush, ns of a flight, requests of a group */
} weir_batch_stats;

typedef struct weir_batch_ops {
    void (*flush)(weir_batch *b, weir_group *g);   /* begin the work on g->requests; answered by */
                                                   /* weir_request_land and weir_group_landed */
    void (*abandon)(weir_batch *b, weir_group *g); /* nobody waits for any of it: stop the work */
    void (*dropped)(weir_batch *b, weir_request *r); /* it leaves its group: forget its key */
    const weir_flight_ops *flight;
} weir_batch_ops;

struct weir_request {
    weir_flight flight; /* first */
    weir_link link;     /* in its group's requests */
    weir_group *group;
    void *data; /* the embedder's: its key */
};

struct weir_group {
    weir_link link;     /* in the batch's queued or flying */
    weir_list requests; /* in order of arrival */
    weir_batch *of;
    uint64_t since; /* ns: gathering since, then flying since */
    uint32_t n;
    uint32_t wanted; /* requests somebody is interested in */
    uint8_t state;   /* 0 gathering, 1 queued, 2 flying */
    void *data;      /* the embedder's: its worker */
};

struct weir_batch {
    weir_runtime *rt;
    const weir_batch_ops *ops;
    weir_batch_options options;
    weir_group *gathering; /* or NULL */
    weir_list queued, flying;
    uint32_t n_queued, n_flying, n_unflushed;
    weir_timer timer;
    weir_quiet quiet;
    weir_list joiners; /* waiters of drain */
    uint8_t closed, draining;
    const char *name; /* borrowed; may be NULL */
    void *data;
    weir_batch_stats stats;
};

int weir_batch_init(weir_runtime *rt, weir_batch *b, const weir_batch_ops *ops,
                    const weir_batch_options *options, const char *name);
void weir_batch_fini(weir_batch *b); /* nothing gathering, queued or flying */

/* Put `r` (the embedder's memory, freed by flight->free) into the group that gathers; flushes it if
 * it is full. WEIR_ECLOSED, WEIR_EOVERLOAD, WEIR_ENOMEM with nothing changed. */
int weir_batch_add(weir_batch *b, weir_request *r);
/* One more waits for `r`, which has not landed: for the statistics; then weir_flight_wait. */
void weir_batch_joined(weir_batch *b, weir_request *r);
/* Flush what has gathered now. */
void weir_batch_flush(weir_batch *b);

/* The answers: for each request of a group, then for the group. */
void weir_request_land(weir_request *r, weir_flight_state state, intptr_t value);
void weir_group_landed(weir_group *g);

/* Requests not yet flushed end CLOSED; what is flying lands. */
void weir_batch_close(weir_batch *b);
/* Refuse new requests, flush what has gathered; `w` is granted when all has landed. */
void weir_batch_drain(weir_batch *b, weir_waiter *w, uint64_t deadline);
int weir_batch_validate(const weir_batch *b);

#endif
