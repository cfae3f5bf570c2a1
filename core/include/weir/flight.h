/* weir/flight.h - one piece of work that many wait for, and whose outcome all of them get.
 *
 * The work belongs to the flight, not to the one who asked first: anybody may leave (timeout,
 * cancel) and concerns himself alone; when the last of those interested leaves before it landed
 * the work is told to stop, and nobody joins it any more. A cache's loads and the keys of a batch
 * are flights.
 *
 *   FLYING -> LANDED | FAILED | ABANDONED        (each moves once)
 *
 * Invariant: refs = interested + (the worker's own, until it lands); waiters are PENDING only
 * while FLYING; ABANDONED has nobody interested and is in no index.
 */
#ifndef WEIR_FLIGHT_H
#define WEIR_FLIGHT_H
#include <weir/task.h>

#include <weir/begin.h>

typedef struct weir_flight weir_flight;

typedef enum weir_flight_state {
    WEIR_FLIGHT_FLYING,
    WEIR_FLIGHT_LANDED,
    WEIR_FLIGHT_FAILED,
    WEIR_FLIGHT_ABANDONED
} weir_flight_state;

/* Of who has the work done. */
typedef struct weir_flight_ops {
    /* Nobody is interested any more: stop the work. It still lands (it may within this call), and
     * that is ignored. The flight is out of the cache or batch already; an index of the embedder's
     * own is left here. NULL: nothing to stop. */
    void (*abandon)(weir_flight *f);
    /* Nobody refers to it any more: free its value (0 if it landed with none) and its memory. */
    void (*free)(weir_flight *f);
    /* Can the work still end? See weir/graph.h. NULL: if `worker` can act; always if that is NULL
     * (I/O), unless who keeps the flight knows more (a batch does). */
    int (*can_land)(weir_graph *g, const weir_flight *f);
    const char *(*name)(const weir_flight *f); /* for reports; may be NULL */
    const weir_wait_ops *wait;                 /* made by WEIR_FLIGHT_WAIT("cache:get") */
} weir_flight_ops;

/* Of who keeps it in an index (a cache, a batch); told before the embedder. The last two may be
 * NULL. */
typedef struct weir_flight_keeper {
    void (*ended)(weir_runtime *rt, weir_flight *f); /* not FLYING any more: out of the index */
    void (*left)(weir_flight *f,
                 weir_status status); /* a waiter is not PENDING any more, but this */
    void (*waits)(weir_flight *f);    /* one more is */
    int (*can_land)(weir_graph *g, const weir_flight *f);
} weir_flight_keeper;

struct weir_flight {
    weir_list waiters;
    const weir_flight_ops *ops;
    const weir_flight_keeper *keeper; /* NULL: none; set after init, before anybody waits */
    weir_task *worker;                /* who does the work, if a task does; NULL once it ended */
    intptr_t value; /* LANDED: what came of it; FAILED: the failure; the embedder's */
    uint64_t since; /* ns: begun at */
    uint32_t refs, interested;
    uint8_t state;   /* weir_flight_state */
    uint8_t lasting; /* goes on although nobody is interested; see weir_flight_set_lasting */
    uint8_t ended;   /* the worker has answered */
};

/* The hooks every wait on a flight shares; only the name differs. */
void weir__flight_leave(weir_runtime *rt, weir_waiter *w);
void weir__flight_refund(weir_runtime *rt, weir_waiter *w);
int weir__flight_can_wake(weir_graph *g, weir_waiter *w);
const char *weir__flight_name(const weir_waiter *w);
#define WEIR_FLIGHT_WAIT(op)                                                                       \
    {                                                                                              \
        op, weir__flight_leave, weir__flight_refund, weir__flight_can_wake, weir__flight_name      \
    }

/* Prepare `f` (the embedder's memory, its own until `ops->free`), FLYING, with the worker's own
 * reference and nobody interested. `ops` are borrowed for its life. */
void weir_flight_init(weir_runtime *rt, weir_flight *f, const weir_flight_ops *ops);

/* Be interested, which keeps `f`, and stop being so, which may free it; the last one to stop while
 * it is FLYING abandons it. */
void weir_flight_join(weir_flight *f);
void weir_flight_leave(weir_runtime *rt, weir_flight *f);

/* Let it go on although nobody is interested (the refresh of a cache), or no longer: it is
 * abandoned then, if nobody is. */
void weir_flight_set_lasting(weir_runtime *rt, weir_flight *f, int lasting);

/* Wait in `w` until it lands, or `deadline` (ns on the runtime's clock, or WEIR_FOREVER), as one
 * more who is interested: once `w` ran with GRANTED (or FAILED) the outcome is in `f`, and the
 * caller calls weir_flight_leave; for every other end that was done, and `f` may be gone. Settled
 * at once, through the ready queue, if it has landed. Not of one that was abandoned. */
void weir_flight_wait(weir_runtime *rt, weir_flight *f, weir_waiter *w, uint64_t deadline);

/* The worker's answer, once: everybody who waits gets it, and the worker's reference ends (the
 * value is freed with the flight). `state` LANDED or FAILED; of an ABANDONED one only the value is
 * taken. What the worker still has to do comes before. */
void weir_flight_land(weir_runtime *rt, weir_flight *f, weir_flight_state state, intptr_t value);

/* 0, or the line number of the broken invariant. */
int weir_flight_validate(const weir_flight *f);

#include <weir/end.h>
#endif
