/* weir/waiter.h - the one wait and the one grant path of every primitive.
 *
 * A waiter is the caller's memory (a task embeds one) and waits for one thing at a time.
 *
 *   IDLE -> PENDING -> GRANTED | TIMEOUT | CANCELED | CLOSED ... -> (its turn) run() -> IDLE
 *
 * PENDING moves once. A settled waiter stands in the ready queue; nothing of the caller's
 * runs inside a primitive. Until its turn comes a GRANTED waiter can still be CANCELED:
 * the grant goes back through `refund` and to the next in line at once (cancel wins).
 * The link belongs to the primitive's queue while PENDING, to the ready queue when settled.
 * Thread rule: the runtime's thread.
 */
#ifndef WEIR_WAITER_H
#define WEIR_WAITER_H
#include <weir/error.h>
#include <weir/list.h>
#include <weir/timer.h>

#include <weir/begin.h>

typedef struct weir_waiter weir_waiter;
typedef struct weir_task weir_task;
typedef struct weir_graph weir_graph;

typedef enum weir_status {
    WEIR_IDLE,       /* waits for nothing */
    WEIR_PENDING,    /* in a primitive's queue */
    WEIR_GRANTED,    /* has what it waited for */
    WEIR_TIMEOUT,    /* its own timeout came first */
    WEIR_CANCELED,   /* a scope above was cancelled */
    WEIR_CLOSED,     /* the object was closed; nothing was granted */
    WEIR_STUCK,      /* nobody can wake it any more: a deadlock */
    WEIR_IMPOSSIBLE, /* the object changed so that it can never be granted */
    WEIR_FAILED      /* what it waited for was tried and failed; its object says how */
} weir_status;

/* What a primitive says about the waits on it; one static table per kind of wait. */
typedef struct weir_wait_ops {
    const char *op; /* what the error names: "semaphore:acquire" */

    /* Forget a waiter that was PENDING: unlink it and serve those it held up. Called for
     * timeout, cancel, close and deadlock alike; w->status already says which. NULL: the wait
     * cannot be given up (the join at a scope's end). */
    void (*leave)(weir_runtime *rt, weir_waiter *w);

    /* Take back the grant of a waiter that was GRANTED and not yet resumed, when it is
     * cancelled. NULL: the grant stands and the cancel shows at the next wait. */
    void (*refund)(weir_runtime *rt, weir_waiter *w);

    /* Can this PENDING wait still be granted? See weir/graph.h. NULL: always (timer, I/O). */
    int (*can_wake)(weir_graph *g, weir_waiter *w);

    /* The name of the object waited on, or NULL. */
    const char *(*name)(const weir_waiter *w);
} weir_wait_ops;

/* Called when the waiter's turn comes; `w->status` says how the wait ended. */
typedef void (*weir_run_fn)(weir_runtime *rt, weir_waiter *w);
/* The same for a task's waiter: run the body on, see weir/task.h. */
typedef void (*weir_resume_fn)(weir_runtime *rt, weir_task *task);

struct weir_waiter {
    weir_timer timer; /* its own timeout, or the alarm a sleep waits for */
    weir_link link;   /* see the head of this file */
    union {
        weir_run_fn run;
        weir_resume_fn resume; /* flags has WEIR_WAITER_TASK */
    };
    const weir_wait_ops *ops; /* kind of wait; NULL while IDLE */
    void *object;             /* what it waits on; meaning is the primitive's */
    uint32_t generation;      /* bumped by every begin and enqueue: stale wakers compare it */
    uint8_t status;           /* weir_status */
    uint8_t flags;            /* WEIR_WAITER_* */
};

enum {
    WEIR_WAITER_TASK = 1,    /* embedded in a weir_task (member `wait`) */
    WEIR_WAITER_ALARM = 2,   /* the timer firing is a grant, not a timeout */
    WEIR_WAITER_CLAIM = 4,   /* a join that claims the failure of what it waits for */
    WEIR_WAITER_DEFAULT = 8, /* its timeout is the object's default: it wakes the wait, but the
                                deadlock search does not count on it. Set after begin */
    WEIR_WAITER_SURE = 16    /* whoever parks in it need not search: somebody will wake it, who
                                needed nobody for that when the wait began. Set after begin */
};

/* Prepare `w` (IDLE). `run` is called in weir_turn after each settled wait. */
void weir_waiter_init(weir_waiter *w, weir_run_fn run);

/* IDLE -> PENDING on `object`. The primitive then links `w->link` into its own queue (or
 * leaves it unlinked, as waits for callbacks and I/O do, whose `ops` may name a `leave` that aborts
 * the operation). `ops` and `object` are borrowed until the wait has ended. `deadline` (ns on the
 * runtime's clock) arms the timer; WEIR_FOREVER is none. Cannot fail. */
void weir_waiter_begin(weir_runtime *rt, weir_waiter *w, const weir_wait_ops *ops, void *object,
                       uint64_t deadline);

/* PENDING -> `status`; only the primitive calls it, after unlinking `w->link`. Disarms the
 * timer and enqueues `w`; runs nothing. */
void weir_waiter_settle(weir_runtime *rt, weir_waiter *w, weir_status status);

/* End the wait from outside: TIMEOUT, CANCELED, CLOSED ... PENDING leaves through `leave`;
 * GRANTED with CANCELED goes through `refund`. 1 if the status moved, 0 if it stands. */
int weir_waiter_give_up(weir_runtime *rt, weir_waiter *w, weir_status status);

/* Undo a wait that its own owner began and has not parked in: out of every queue, what was
 * granted goes back, IDLE. `w->ops` must have a `leave`. */
void weir_waiter_abandon(weir_runtime *rt, weir_waiter *w);

/* IDLE -> GRANTED -> ready: run `w` in this or the next turn (a yield, a start). */
void weir_waiter_enqueue(weir_runtime *rt, weir_waiter *w, const weir_wait_ops *ops);

/* The wait of a task that sleeps until `deadline`; granted by its own timer. */
void weir_sleep_until(weir_runtime *rt, weir_waiter *w, uint64_t deadline);

/* Let everybody else run once, then `w`. */
void weir_yield(weir_runtime *rt, weir_waiter *w);

#include <weir/end.h>
#endif
