/* weir/runtime.h - one runtime: clock, ready queue, timers, the root of the scope tree.
 *
 * All state is in this object; a process may have several, each used by one thread. A turn
 * reads the clock, fires due timers, then runs ready waiters, WEIR_TURN_BUDGET or WEIR_TURN_TIME,
 * so that whoever drives it can poll I/O under load. It never blocks and never waits.
 */
#ifndef WEIR_RUNTIME_H
#define WEIR_RUNTIME_H
#include <weir/env.h>
#include <weir/task.h>

#include <weir/begin.h>

/* Ready waiters run between two looks at I/O. */
#define WEIR_TURN_BUDGET 512
/* ns that they may take; looked at now and then, so that a turn is a little longer. */
#define WEIR_TURN_TIME UINT64_C(2000000)

typedef struct weir_counters {
    uint64_t turns, runs;                      /* turns taken, ready waiters run */
    uint64_t spawned, done, failed, cancelled; /* tasks, ever */
    uint64_t waits, grants, timeouts, cancels; /* waits begun, and how they ended */
    uint64_t leaks;                            /* permits a task held when it ended */
    uint32_t tasks;                            /* alive: spawned and not ended */
    uint32_t scopes;                           /* open, tasks not counted */
    uint32_t timers;                           /* set */
    uint32_t pending;                          /* waits not settled */
    uint32_t ready;                            /* settled, not yet run */
    uint32_t permits;                          /* held or queued for */
    uint32_t io;                               /* polls, works, resolves in flight */
    uint64_t bytes;                            /* allocated through the env */
} weir_counters;

/* Make a runtime in `env` (copied). NULL if out of memory. Gives. */
weir_runtime *weir_runtime_new(const weir_env *env);

/* Free an idle runtime (weir_runtime_quiesce says NULL). */
void weir_runtime_free(weir_runtime *rt);

/* A pointer (borrowed, NULL at first) for whoever embeds the runtime: a language binding keeps its
 * context there. */
void weir_runtime_set_user(weir_runtime *rt, void *user);
void *weir_runtime_user(const weir_runtime *rt);

/* One turn; see the head of this file. Returns how many waiters are still ready. */
uint32_t weir_turn(weir_runtime *rt);

/* Something to do when all have had their say: `fire` is called once, at the end of the turn that
 * leaves nobody ready, after the turns of those who became ready meanwhile. Caller's memory (it
 * may be set again or freed in `fire`). A task that never waits keeps it from coming: whoever
 * needs it by a time sets a timer too. */
typedef struct weir_quiet weir_quiet;
struct weir_quiet {
    weir_link link; /* linked while set */
    void (*fire)(weir_runtime *rt, weir_quiet *quiet);
};
void weir_quiet_init(weir_quiet *quiet, void (*fire)(weir_runtime *rt, weir_quiet *quiet));
void weir_quiet_set(weir_runtime *rt, weir_quiet *quiet); /* nothing if it is set */
void weir_quiet_unset(weir_quiet *quiet);                 /* nothing if it is not */

/* When the next turn is due: 0 is now, WEIR_FOREVER never, else a lower bound in ns on the
 * runtime's clock (a turn at that time may find nothing due yet). */
uint64_t weir_next_turn(const weir_runtime *rt);

/* The time of the current turn. */
uint64_t weir_now(const weir_runtime *rt);

/* Read the clock again (a driver does it after blocking). Returns it. */
uint64_t weir_now_update(weir_runtime *rt);

/* now + `delay`, saturating to WEIR_FOREVER. Reads the clock again if its coarse hand moved. */
uint64_t weir_after(weir_runtime *rt, uint64_t delay);

/* Root of the tree: parent of main and detached tasks. Lends. */
weir_scope *weir_root(weir_runtime *rt);

/* The task that runs now, or NULL outside tasks. Lends. */
weir_task *weir_current(const weir_runtime *rt);

/* What it did and has, kept up to date in place. Lends. */
const weir_counters *weir_runtime_counters(const weir_runtime *rt);

/* NULL if nothing is left (no task, scope, timer, pending wait, permit, I/O), else the name of
 * the first counter that is not at its baseline. */
const char *weir_runtime_quiesce(const weir_runtime *rt);

/* Check every invariant of queue, timers and tree; 0, or the line number of the broken one. */
int weir_runtime_validate(const weir_runtime *rt);

/* Memory through the env, counted. As weir_env.alloc. */
void *weir_alloc(weir_runtime *rt, void *ptr, size_t old, size_t size);

/* 64 bits from the env; an index below n from the env (0 if it leaves the choice). */
uint64_t weir_random(weir_runtime *rt);
uint32_t weir_choose(weir_runtime *rt, uint32_t n, weir_choice kind);

#include <weir/end.h>
#endif
