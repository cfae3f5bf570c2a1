/* weir/task.h - a task: a body that runs, waits for one thing at a time, and ends.
 *
 * The core does not know what a body is: `resume` is called when the task's turn comes and
 * returns when the body waits again or has ended. A language binding embeds the struct and
 * keeps its coroutine beside it.
 *
 *   PENDING -> RUNNING <-> WAITING -> DONE | FAILED | CANCELLED
 *
 * A pending task costs this struct alone; what it needs to run is found at its first turn.
 */
#ifndef WEIR_TASK_H
#define WEIR_TASK_H
#include <weir/scope.h>

#include <weir/begin.h>

typedef enum weir_task_state {
    WEIR_TASK_PENDING,
    WEIR_TASK_RUNNING,
    WEIR_TASK_WAITING,
    WEIR_TASK_DONE,
    WEIR_TASK_FAILED,
    WEIR_TASK_CANCELLED
} weir_task_state;

/* Something a task holds and must give back: the head of a permit, a lease ... A task that ends
 * with holds still out gives them back through `drop`. */
typedef struct weir_hold weir_hold;
typedef struct weir_hold_ops {
    const char *kind;                       /* "permit", for reports */
    void (*drop)(weir_hold *hold);          /* give it back */
    const char *(*name)(const weir_hold *); /* of what it was taken from, or NULL */
} weir_hold_ops;
struct weir_hold {
    weir_link link;    /* in holder->held while there is a holder */
    weir_task *holder; /* who may give it back; NULL for a C holder without a task */
    const weir_hold_ops *ops;
};

/* weir_resume_fn: run the body until it waits or ends. `task->wait.status` says how the last wait
 * ended (CANCELED on a first turn: it must end as cancelled without running). */

/* What a hand-over from task to task touches stands together, from `wait.link` on. */
struct weir_task {
    weir_scope scope;    /* what it spawns; first, so that a scope with TASK set is a task */
    uint64_t id;         /* 1, 2, 3 ... in spawn order; the name a report gives it */
    weir_waiter wait;    /* the one thing it waits for */
    weir_scope *current; /* innermost scope its body stands in */
    weir_list held;      /* weir_hold, newest last */
    uint64_t mark;       /* the deadlock search's visit stamp */
    uint16_t budget;     /* operations left that need not switch */
    uint8_t state;       /* weir_task_state */
    uint8_t started;     /* its body has run */
};

/* Operations that need not wait before one of them becomes a checkpoint. */
#define WEIR_TASK_BUDGET 100

/* Prepare `t` (caller's memory, stays put until it ended) as a child of `parent` and put it
 * in the ready queue. WEIR_ECLOSED if `parent` ended, WEIR_ECANCELED if it is cancelled; then
 * nothing happened. `flags`: WEIR_SCOPE_DAEMON, and WEIR_SCOPE_SHIELD for one that works for
 * others: a cancel from above does not reach it, for those it works for may be cleaning up; its own
 * does. */
int weir_task_spawn(weir_runtime *rt, weir_task *t, weir_scope *parent, weir_resume_fn resume,
                    uint32_t flags);

/* The same, but not ready: the caller queues `t->wait` on a primitive, whose grant starts it. */
int weir_task_prepare(weir_runtime *rt, weir_task *t, weir_scope *parent, weir_resume_fn resume,
                      uint32_t flags);

/* The scope that `t`'s failure would fail, or NULL if it is claimed (CLAIMED, a claiming join
 * waits, the parent settles) or the parent is a supervisor. */
weir_scope *weir_task_blames(const weir_task *t);

/* The end of a task whose children have ended: give back what it still holds (that is a leak,
 * counted), wake who awaits it, fail its scope if `state` is FAILED and unclaimed. The memory
 * is the caller's again. Returns the number of holds that were leaked. */
unsigned weir_task_finish(weir_runtime *rt, weir_task *t, weir_task_state state);

/* Wait in `w` for the end of `t`, however it ends: GRANTED, or TIMEOUT at `deadline`. `claim` takes
 * its failure off its scope. `t` is borrowed until then; one that has ended grants at once, through
 * the ready queue. Cannot fail. */
void weir_task_join(weir_runtime *rt, weir_task *t, weir_waiter *w, int claim, uint64_t deadline);

/* Spend one unit of the running task's budget: 1 if it is spent and the caller must yield. */
static inline int weir_task_spend(weir_task *t)
{
    if (t->budget > 0) {
        t->budget--;
        return 0;
    }
    return 1;
}

static inline int weir_task_has_ended(const weir_task *t)
{
    return t->state >= WEIR_TASK_DONE;
}

static inline weir_task *weir_waiter_task(weir_waiter *w)
{
    return (w->flags & WEIR_WAITER_TASK) ? weir_container(w, weir_task, wait) : NULL;
}

static inline weir_task *weir_scope_task(weir_scope *s)
{
    return (s->flags & WEIR_SCOPE_TASK) ? weir_container(s, weir_task, scope) : NULL;
}

#include <weir/end.h>
#endif
