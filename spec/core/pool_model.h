/* pool_model.h - the reference model of the pool: arrays, counts by walking, times as they are due.
 *
 * The model knows no lists of states and no timers: who is where is looked up, and what is due is
 * searched for. It runs before the pool does and writes down which operations the pool must begin,
 * in order; the embedder's half (pool_model_embed.c) crosses them off. How an operation goes
 * (answered from inside the call or later, well or not) is a function of its number, so that both
 * know, and both draw their chance from streams that begin alike.
 */
#ifndef WEIR_POOL_MODEL_H
#define WEIR_POOL_MODEL_H
#include <weir/pool.h>

#include "check.h"

#define SLOTS 8  /* waiters for leases */
#define DRAINS 2 /* waiters of drain and join, numbered after the slots */
#define WAITS (SLOTS + DRAINS)
#define LEASES 24
#define RESOURCES 512 /* ever made in a sequence */
#define PUPPETS 3     /* tasks that hold and do nothing */

typedef enum model_call { CALL_CREATE, CALL_CHECK, CALL_DESTROY, CALL_ABORT } model_call;

typedef struct model_resource {
    weir_resource *r;
    int alive;
    weir_resource_state state;
    int aborted, doomed, front;
    uint64_t used, since, retire, keep, uses;
    uint64_t due, order; /* of its operation, or of its next look; set in that order */
    unsigned number;     /* of its operation */
    uint64_t lent, lent_order;
    int reported;
} model_resource;

typedef struct slot {
    weir_waiter waiter;
    struct bed *bed;
    weir_lease *lease;
    /* the model: */
    weir_status status; /* IDLE: free for the next operation */
    int holder;         /* a puppet, or -1 */
    int resource;       /* GRANTED */
    int rc, has_failure;
    uint64_t due, order;
} slot;

typedef struct held {
    weir_lease *lease;
    int resource, holder;
} held;

typedef struct bed {
    weir_simulator *sim;
    weir_runtime *rt;
    weir_pool p;
    weir_task puppet[PUPPETS];
    slot slot[WAITS];
    held out[LEASES];
    unsigned n_out;
    check_random r;                /* of what is done inside turns */
    check_random chance, foretold; /* of the env, and the model's copy */
    int line, in_turn, ending;
    uint64_t ops, handles; /* handles: that are out */
    unsigned leaks;
    /* the model: */
    weir_pool_options o;
    int has_check;
    unsigned sync, fails, sick; /* in percent */
    uint64_t seed;
    model_resource resource[RESOURCES];
    unsigned n_resources, operations;
    int idle[RESOURCES], n_idle; /* as they are lent: LIFO from the end */
    int queue[SLOTS], n_queue, gone[DRAINS], n_gone, ready[WAITS], n_ready;
    struct {
        model_call call;
        int resource;
        unsigned number;
    } expected[RESOURCES];
    unsigned n_expected, n_seen;
    int closed, draining, ended, open, doubt, going;
    uint32_t wanted, failures, barren;
    uint64_t now, last_turn, firing, orders, fired_orders;
    uint64_t dial_due, dial_order, dialled, dial_after, need_since, patience, returned, failed;
    uint64_t recent_hold, recent_create;
    int cause, cause_rc, n_failed_out;
    weir_pool_stats stats; /* its counts */
} bed;

#define EXPECT(b, cond)                                                                            \
    do {                                                                                           \
        if (!(cond) && (b)->line == 0)                                                             \
            (b)->line = __LINE__;                                                                  \
    } while (0)

/* How operation `number` goes. */
int pool_model_is_sync(const bed *b, unsigned number);
int pool_model_is_good(const bed *b, model_call call, unsigned number);

uint32_t pool_model_count(const bed *b, weir_resource_state state);
uint32_t pool_model_dials(const bed *b);
uint32_t pool_model_checks(const bed *b);
int pool_model_refuse(bed *b);
int pool_model_at_once(const bed *b);
void pool_model_lend(bed *b, int resource);
void pool_model_queue(bed *b, int i);
void pool_model_settle(bed *b, int i, weir_status status);
/* A loan ends; then what becomes of the resource. */
void pool_model_end_loan(bed *b, int resource);
void pool_model_release(bed *b, int resource, int suspect);
void pool_model_destroy(bed *b, int resource, weir_evicted cause);
void pool_model_go(bed *b);
/* 1 if it moved the status. */
int pool_model_give_up(bed *b, int i, weir_status status);
/* The answer to the operation of `resource`. */
void pool_model_answer(bed *b, int resource, int is_good);
void pool_model_close(bed *b);
void pool_model_resize(bed *b, uint32_t min, uint32_t max);
void pool_model_evict(bed *b);
void pool_model_timers(bed *b);
void pool_model_remove(int *list, int *n, int i);

/* --- the embedder: pool_model_embed.c ------------------------------------------------ */

const weir_pool_ops *pool_embed_ops(const bed *b);
weir_env pool_embed_env(bed *b);
/* Of the model's resources, which is it? */
int pool_embed_index(const weir_resource *r);
void pool_embed_answer(bed *b, weir_resource *r, int is_good);
void pool_embed_leaked(weir_pool *p, weir_lease *lease);

/* --- between pool_model.c and pool_model_dial.c -------------------------------------- */

uint64_t pool_model_later(uint64_t t, uint64_t span);
uint64_t pool_model_smooth(uint64_t old, uint64_t value, uint64_t count);
uint32_t pool_model_total(const bed *b);
uint32_t pool_model_strong(const bed *b);
uint64_t pool_model_next_look(const bed *b, const model_resource *m);
void pool_model_set_due(bed *b, model_resource *m, uint64_t at, int anew);
void pool_model_begin(bed *b, int i, model_call call, weir_resource_state state, uint64_t timeout);
void pool_model_check(bed *b, int i, int front);
void pool_model_abort(bed *b, int i);
void pool_model_turn_away(bed *b, int slot, int rc, int has_failure);
void pool_model_dial(bed *b);
void pool_model_create_failed(bed *b, uint64_t since, int rc, int has_failure);

#endif
