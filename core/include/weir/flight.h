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
 * while FLYING; ABANDONED has nobody interested.
 */
#ifndef WEIR_FLIGHT_H
#define WEIR_FLIGHT_H
#include <weir/task.h>

typedef struct weir_flight weir_flight;

typedef enum weir_flight_state {
    WEIR_FLIGHT_FLYING,
    WEIR_FLIGHT_LANDED,
    WEIR_FLIGHT_FAILED,
    WEIR_FLIGHT_ABANDONED
} weir_flight_state;

typedef struct weir_flight_ops {
    /* Nobody is interested any more: stop the work. It still lands, and that is ignored. The flight
     * is out of every index already, or this takes it out. */
    void (*abandon)(weir_flight *f);
    /* Nobody refers to it any more: free its value and its memory. */
    void (*free)(weir_flight *f);
    /* Can the work still end? See weir/graph.h. NULL: always (I/O), unless `worker` is set. */
    int (*can_land)(weir_graph *g, const weir_flight *f);
    const char *(*name)(const weir_flight *f); /* for reports; may be NULL */
    const weir_wait_ops *wait;                 /* made by WEIR_FLIGHT_WAIT("cache:get") */
} weir_flight_ops;

struct weir_flight {
    weir_list waiters;
    const weir_flight_ops *ops;
    weir_task *worker; /* who does the work, if a task does; NULL once it ended */
    intptr_t value;    /* LANDED: what came of it; FAILED: the failure; the embedder's */
    uint64_t since;    /* ns: begun at */
    uint32_t refs, interested;
    uint8_t state; /* weir_flight_state */
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

/* Prepare `f`, FLYING, with the worker's own reference and nobody interested. */
void weir_flight_init(weir_runtime *rt, weir_flight *f, const weir_flight_ops *ops);

/* Be interested, and stop being so; the last one to stop while it is FLYING abandons it. */
void weir_flight_join(weir_flight *f);
void weir_flight_leave(weir_runtime *rt, weir_flight *f);

/* Wait in `w` until it lands, as one more who is interested: once `w` ran with GRANTED (or FAILED)
 * the outcome is in `f`, and the caller calls weir_flight_leave; for every other end that was done.
 * Settled at once, through the ready queue, if it has landed. */
void weir_flight_wait(weir_runtime *rt, weir_flight *f, weir_waiter *w, uint64_t deadline);

/* The worker's answer: everybody who waits gets it, and the worker's reference ends (the value is
 * freed with the flight). `state` LANDED or FAILED; of an ABANDONED one only the value is taken. */
void weir_flight_land(weir_runtime *rt, weir_flight *f, weir_flight_state state, intptr_t value);

int weir_flight_validate(const weir_flight *f);

#endif
