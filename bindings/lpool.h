/* bindings/lpool.h - what the bindings of pools and leases share. */
#ifndef WEIR_BINDINGS_LPOOL_H
#define WEIR_BINDINGS_LPOOL_H
#include "context.h"

#include <weir/begin.h>

/* User values of a pool: the reason of its close, the functions (in the order of lpool_op), the
 * function that made it, and by the keys of resources: values, and functions that acquired them. */
enum {
    LPOOL_REASON = 1,
    LPOOL_CREATE_FN,
    LPOOL_CHECK_FN,
    LPOOL_DESTROY_FN,
    LPOOL_ON_LEAK,
    LPOOL_SITE,
    LPOOL_VALUES,
    LPOOL_SITES,
    LPOOL_USER_VALUES = LPOOL_SITES
};

/* A pool: core memory, because leases and its tasks may be there when the userdata is collected. */
typedef struct lpool lpool;
typedef struct lpool_object {
    const void *tag; /* first; NULL once it was collected */
    lpool *pool;     /* NULL once it is gone */
} lpool_object;
struct lpool {
    lobject head;
    weir_link link; /* in ctx->pools */
    lcontext *ctx;
    lpool_object *owner; /* the userdata, and its key in the weak table of pools */
    weir_pool pool;
    weir_waiter turn;         /* ready while there are jobs */
    weir_list jobs;           /* lresource: an operation to begin, or a leak to report */
    uint64_t acquire_timeout; /* ns */
    uint64_t made;            /* ns: since when its requests are counted */
    int slot;                 /* in ctx->tasks: has the userdata once it is garbage */
    int line;                 /* where it was made, in LPOOL_SITE */
    uint8_t is_garbage;       /* nobody refers to it: closed, and gone with what it still has */
    uint8_t is_ending;        /* with the runtime: whatever it asks for is answered at once */
    uint8_t restarts;         /* closed by the end of a run alone */
    size_t size;
    char name[];
};

typedef enum lpool_op { LPOOL_CREATE, LPOOL_CHECK, LPOOL_DESTROY, LPOOL_REPORT } lpool_op;

/* What the binding has of a resource; its `value`. */
typedef struct lresource {
    weir_link link; /* in the pool's jobs until it begins */
    lpool *of;
    weir_resource *r;
    ltask *task; /* of its operation, or NULL */
    int key;     /* in LPOOL_VALUES and LPOOL_SITES; 0: none yet */
    int line;    /* where it was acquired, in LPOOL_SITES */
    int rc;      /* of its operation, and what create failed with */
    int failure;
    uint8_t op; /* lpool_op */
    uint8_t is_aborted;
} lresource;

/* The pool of the userdata at 1, whose type is known; not NULL while its runtime lives. */
static inline lpool *lpool_here(lua_State *L)
{
    return ((const lpool_object *)lua_touserdata(L, 1))->pool;
}

static inline lpool *lpool_of(weir_pool *p)
{
    return weir_container(p, lpool, pool);
}

/* --- lpool.c ----------------------------------------------------------------------------- */
/* The pool of the userdata at 1, of this runtime, or misuse. */
lpool *lpool_check(lua_State *L, const char *op);
/* Push the userdata; 0 and nothing if it is being collected. */
int lpool_push(lua_State *L, const lpool *s);
/* At the end of the runtime. */
void lpool_end(lobject *o);
/* Free it if it was collected and nothing is left of it. */
void lpool_settle(lpool *s);

/* --- lpool_options.c --------------------------------------------------------------------- */
typedef struct lpool_options {
    weir_pool_options core;
    uint64_t acquire_timeout;
    int has_check;
    const char *name; /* borrowed from the stack; may be NULL */
} lpool_options;
/* Read the table at 1; leaves the name at 2. */
void lpool_check_options(lua_State *L, lpool_options *out);
/* Read {min=, max=} at `index` over what is in `min` and `max`. */
void lpool_check_bounds(lua_State *L, int index, const char *op, uint32_t *min, uint32_t *max);

/* --- lpool_work.c ------------------------------------------------------------------------ */
extern const weir_pool_ops lpool_ops, lpool_ops_unchecked;
/* Let `op` begin, in the pool's turn. */
void lpool_queue(lpool *s, lresource *lr, lpool_op op);
/* There are jobs: join the ready queue. */
void lpool_ask_turn(lpool *s);
void lpool_run_jobs(weir_runtime *rt, weir_waiter *turn);
/* In reports the task at the top, `t`, was spawned where the pool at 2 was made. */
void lpool_set_site(lua_State *L, const lpool *s, ltask *t);
/* Give the core the outcome of the operation of `lr`, which may be gone then. */
void lpool_answer(lpool *s, lresource *lr);

/* --- lpool_leak.c ------------------------------------------------------------------------ */
void lpool_leaked(weir_pool *p, weir_lease *lease);
/* Protected. Report the lease of the resource at 1 (light userdata), of the pool at 2. */
int lpool_report(lua_State *L);
/* Note who called. Pool at 1. Raises nothing. */
void lpool_note_site(lua_State *L, const lpool *s, const weir_lease *lease);

/* --- lpool_end.c ------------------------------------------------------------------------- */
int lpool_close(lua_State *L);
int lpool_drain(lua_State *L);
int lpool_end_of_block(lua_State *L);
/* Answer for all that it still waits for; it is closed. */
void lpool_answer_all(lpool *s);

/* --- lpool_error.c ----------------------------------------------------------------------- */
/* Push an error whose text begins with the pool. */
void lpool_push_error(lua_State *L, const lpool *s, const char *kind, const char *op,
                      const char *fmt, ...);
/* Raise for a refusal. Pool at 1. */
int lpool_refused(lua_State *L, lpool *s, int rc, const char *op);
/* As lwait_outcome, for a wait in `lease` that took at most `timeout`. Pool at 1. */
void lpool_outcome(lua_State *L, lpool *s, weir_lease *lease, uint64_t timeout, const char *op);
void lpool_timed_out(lua_State *L, lpool *s, uint64_t timeout, const char *op, const char *what);
void lpool_push_stats(lua_State *L, lpool *s);

/* --- lborrow.c --------------------------------------------------------------------------- */
int lpool_acquire(lua_State *L);
int lpool_try_acquire(lua_State *L);
int lpool_with(lua_State *L);

/* --- llease.c: a handle of a lease ------------------------------------------------------- */
typedef struct llease llease;
/* Push an empty handle for the pool at 1. Raises. */
llease *llease_push(lua_State *L, const lbox *box);
void llease_take(llease *h, const lcontext *ctx, weir_lease *lease);
void llease_open(lua_State *L);

#include <weir/end.h>
#endif
