/* script.h - tasks whose bodies are lists of operations: a program of several tasks as data.
 *
 * A body runs its ops in order. An op that fails (cancelled, timed out, closed ...) raises: the
 * frames of the task unwind, newest first, as `<close>` does: a permit is released, a scope is
 * cancelled and joined. SCATCH stops an error at its SCLOSE. A body that ends unwinds too. This is
 * the discipline of a language binding, in a few lines, so that the core can be driven through
 * every schedule and every cancel without one.
 *
 * script_run checks what must hold for every program under every schedule: invariants after
 * each turn, weights inside a semaphore never above its capacity, no resource of the pool with two
 * holders, every task ended, nothing left.
 */
#ifndef WEIR_SCRIPT_H
#define WEIR_SCRIPT_H
#include <weir/graph.h>
#include <weir/pool.h>
#include <weir/runtime.h>
#include <weir/semaphore.h>
#include <weir/simulator.h>

#define SCRIPT_TASKS 6
#define SCRIPT_OPS 16
#define SCRIPT_SEMAPHORES 3
#define SCRIPT_FRAMES 16
#define SCRIPT_LOG 128

typedef enum script_code {
    SCRIPT_END, /* of the body */
    SCRIPT_FAIL,
    SCRIPT_MARK, /* append n to the log */
    SCRIPT_ACQUIRE,
    SCRIPT_TRY,
    SCRIPT_RELEASE,
    SCRIPT_TRANSFER,
    SCRIPT_FORGET, /* drop the handle of a permit: a leak */
    SCRIPT_SLEEP,
    SCRIPT_YIELD,
    SCRIPT_PARK, /* until somebody cancels */
    SCRIPT_SPAWN,
    SCRIPT_DETACH,
    SCRIPT_DAEMON,
    SCRIPT_JOIN,
    SCRIPT_PJOIN,
    SCRIPT_CANCEL,
    SCRIPT_CANCEL_SCOPE,
    SCRIPT_OPEN,
    SCRIPT_CATCH,
    SCRIPT_SHIELD,
    SCRIPT_CLOSE,
    SCRIPT_CLOSE_SEMAPHORE,
    SCRIPT_DRAIN,
    SCRIPT_RESIZE,
    SCRIPT_POOL, /* make the pool: before its first use */
    SCRIPT_LEASE,
    SCRIPT_TAKE,
    SCRIPT_GIVE,
    SCRIPT_DISCARD,
    SCRIPT_LEND,
    SCRIPT_LOSE, /* drop the handle of a lease: a leak */
    SCRIPT_CLOSE_POOL,
    SCRIPT_DRAIN_POOL,
    SCRIPT_RESIZE_POOL,
    SCRIPT_EVICT_POOL
} script_code;

/* How a program's pool behaves: `n` of SCRIPT_POOL, besides `min`. */
enum {
    SCRIPT_POOL_MIN = 15,
    SCRIPT_POOL_CHECKS = 16, /* what was idle for 2 ns is checked */
    SCRIPT_POOL_FAULTS = 32, /* creates and checks fail if the schedule says so */
    SCRIPT_POOL_OPENS = 64,  /* the first failure opens it */
    SCRIPT_POOL_HASTY = 128  /* creates and checks time out, after half their time */
};

typedef struct script_op {
    uint8_t code, a; /* script_code; a task or semaphore */
    uint16_t n;      /* weight, second task, or mark */
    uint32_t t;      /* ns; 0 is none */
} script_op;

/* clang-format off */
/* The words of a program; s is a semaphore, k a task, t nanoseconds. */
#define SFAIL {SCRIPT_FAIL, 0, 0, 0}
#define SMARK(n) {SCRIPT_MARK, 0, (n), 0}
#define SACQUIRE(s, n) {SCRIPT_ACQUIRE, (s), (n), 0}
#define SACQUIRE_IN(s, n, t) {SCRIPT_ACQUIRE, (s), (n), (t)}
#define STRY(s, n) {SCRIPT_TRY, (s), (n), 0}
#define SRELEASE(s) {SCRIPT_RELEASE, (s), 0, 0}
#define STRANSFER(s, k) {SCRIPT_TRANSFER, (s), (k), 0}
#define SFORGET(s) {SCRIPT_FORGET, (s), 0, 0}
#define SSLEEP(t) {SCRIPT_SLEEP, 0, 0, (t)}
#define SYIELD {SCRIPT_YIELD, 0, 0, 0}
#define SPARK {SCRIPT_PARK, 0, 0, 0}
#define SSPAWN(k) {SCRIPT_SPAWN, (k), 0, 0}
#define SDETACH(k) {SCRIPT_DETACH, (k), 0, 0}
#define SDAEMON(k) {SCRIPT_DAEMON, (k), 0, 0}
#define SJOIN(k) {SCRIPT_JOIN, (k), 0, 0}
#define SJOIN_IN(k, t) {SCRIPT_JOIN, (k), 0, (t)}
#define SPJOIN(k) {SCRIPT_PJOIN, (k), 0, 0}
#define SCANCEL(k) {SCRIPT_CANCEL, (k), 0, 0}
#define SCANCEL_SCOPE {SCRIPT_CANCEL_SCOPE, 0, 0, 0}
#define SOPEN {SCRIPT_OPEN, 0, 0, 0}
#define SOPEN_IN(t) {SCRIPT_OPEN, 0, 0, (t)}
#define SCATCH {SCRIPT_CATCH, 0, 0, 0}
#define SCATCH_IN(t) {SCRIPT_CATCH, 0, 0, (t)}
#define SSHIELD(t) {SCRIPT_SHIELD, 0, 0, (t)}
#define SCLOSE {SCRIPT_CLOSE, 0, 0, 0}
#define SCLOSE_SEMAPHORE(s) {SCRIPT_CLOSE_SEMAPHORE, (s), 0, 0}
#define SDRAIN(s) {SCRIPT_DRAIN, (s), 0, 0}
#define SRESIZE(s, n) {SCRIPT_RESIZE, (s), (n), 0}
#define SPOOL(max, n, t) {SCRIPT_POOL, (max), (n), (t)}
#define SLEASE {SCRIPT_LEASE, 0, 0, 0}
#define SLEASE_IN(t) {SCRIPT_LEASE, 0, 0, (t)}
#define STAKE {SCRIPT_TAKE, 0, 0, 0}
#define SGIVE {SCRIPT_GIVE, 0, 0, 0}
#define SDISCARD {SCRIPT_DISCARD, 0, 0, 0}
#define SLEND(k) {SCRIPT_LEND, 0, (k), 0}
#define SLOSE {SCRIPT_LOSE, 0, 0, 0}
#define SCLOSE_POOL {SCRIPT_CLOSE_POOL, 0, 0, 0}
#define SDRAIN_POOL {SCRIPT_DRAIN_POOL, 0, 0, 0}
#define SRESIZE_POOL(max) {SCRIPT_RESIZE_POOL, (max), 0, 0}
#define SEVICT_POOL {SCRIPT_EVICT_POOL, 0, 0, 0}
/* clang-format on */

typedef struct script_program {
    const char *name;
    uint16_t capacity[SCRIPT_SEMAPHORES];     /* 0: there is no such semaphore */
    script_op body[SCRIPT_TASKS][SCRIPT_OPS]; /* body 0 is main, a child of the root */
} script_program;

/* Errors of scripts; the others are weir's. */
enum { SCRIPT_EFAILED = -1 };

typedef struct script_frame {
    weir_permit *permit; /* it and lease NULL: a scope */
    weir_lease *lease;
    weir_scope scope;
    weir_deadline deadline;
    uint8_t has_deadline, catches;
    uint8_t opened_at; /* index of its op */
} script_frame;

struct script_world;
typedef struct script_task {
    weir_task task;
    struct script_world *world;
    const script_op *body;
    weir_permit *asked;
    weir_lease *asked_lease;
    uint64_t ended_at; /* virtual time */
    int error;         /* what is being raised, 0 if nothing; the outcome at the end */
    int caught;        /* the last error a SCATCH stopped */
    uint8_t pc, n_frames;
    uint8_t spawned, ended, closing, leaving;
    uint8_t doing; /* script_code of the op it waits in; END for the join at its end */
    script_frame frame[SCRIPT_FRAMES];
} script_task;

/* Cancel something when the `step`-th resume of the run begins (1 is the first; 0 never). */
typedef enum script_target {
    SCRIPT_THE_TASK,
    SCRIPT_ITS_CURRENT, /* the innermost scope it stands in */
    SCRIPT_THE_ROOT     /* as a signal does */
} script_target;

typedef struct script_injection {
    uint64_t step;
    uint8_t task, target;
} script_injection;

typedef struct script_world {
    weir_simulator *sim; /* set by the caller, the rest zero */
    script_injection inject[2];
    uint8_t lazy;                      /* validate at the end alone */
    uint8_t blind;                     /* do not look for deadlocks: they hang */
    uint8_t bypass[SCRIPT_SEMAPHORES]; /* as weir_semaphore.bypass */
    uint64_t aging[SCRIPT_SEMAPHORES]; /* not 0: by priority, the number of the task */

    weir_runtime *rt;
    const script_program *program;
    weir_semaphore sem[SCRIPT_SEMAPHORES];
    uint64_t inside[SCRIPT_SEMAPHORES]; /* our own count of weights granted */
    uint64_t most[SCRIPT_SEMAPHORES];   /* the largest capacity it had */
    weir_pool pool;
    uint8_t has_pool, faults;
    uint32_t most_resources;  /* the largest max it had */
    uint32_t lent, resources; /* our own counts: leases out, resources made and not destroyed */
    uint32_t failures;        /* handles that are out */
    uint64_t pool_ns;         /* what its operations take */
    script_task task[SCRIPT_TASKS];
    uint64_t steps, awaits; /* resumes and waits begun */
    unsigned deadlocks, nomem, leaked;
    unsigned cycle[SCRIPT_TASKS], n_cycle; /* of the first deadlock: who, in order */
    uint8_t log[SCRIPT_LOG];
    unsigned n_log;
    const char *broken, *file; /* what is wrong, and where it was seen */
    int line;
} script_world;

/* Run `program` to its end in a runtime of its own. 1 if every check held, else 0 and
 * w->broken. The runtime is freed either way unless it hangs. */
int script_run(script_world *w, const script_program *program);

/* The same in three parts, to look between the turns. step: 0 at the end. */
int script_begin(script_world *w, const script_program *program);
int script_step(script_world *w);
int script_finish(script_world *w);

/* Cancel every task that still lives; script_step goes on from there. */
void script_cancel_all(script_world *w);

/* A world begun in a FIFO simulator of its own; and its end: run dry, fail the test if anything
 * is broken or left, free both. */
script_world *script_world_new(const script_program *program);
void script_world_free(script_world *w);

/* Step until virtual time `at` has been lived through, or to the end. */
void script_run_to(script_world *w, uint64_t at);

/* The body of every scripted task. */
void script_resume(weir_runtime *rt, weir_task *task);

/* Note what is wrong first; the world is then w->broken. */
void script_broken(script_world *w, const char *what, const char *file, int line);
#define SCRIPT_CHECK(w, cond)                                                                      \
    do {                                                                                           \
        if (!(cond))                                                                               \
            script_broken((w), #cond, __FILE__, __LINE__);                                         \
    } while (0)

/* Print the program in its own words, to stderr. */
void script_print(const script_program *p);

/* --- between script.c and script_pool.c ------------------------------------------------- */

static inline int script_is_scope(const script_frame *f)
{
    return f->permit == NULL && f->lease == NULL;
}

void script_push(script_task *t, weir_permit *p, weir_lease *lease);
void script_forget_frame(script_task *t, unsigned i);
int script_may_wait(script_task *t);
/* A wait has begun: 1, or 0 if it is a deadlock, which the task that closes the cycle raises. */
int script_waits(script_task *t, script_code doing);

/* An op of the pool. 1 if the task waits now. */
int script_pool_op(script_task *t, const script_op *op);
/* The wait for a lease ended with `status`. */
void script_leased(script_task *t, weir_status status);
/* Give back the lease of frame `i`. */
void script_give(script_task *t, unsigned i, int suspect);
/* Nothing more will be asked of it: close it. */
void script_pool_end(script_world *w);
/* What must hold of it always, and at the end. */
void script_pool_validate(script_world *w);
void script_pool_finish(script_world *w);

#endif
