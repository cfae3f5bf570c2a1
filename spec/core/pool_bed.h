/* pool_bed.h - for the tests of the pool: an embedder whose operations take the time they are told.
 *
 * Each operation is answered so long after it was begun: 0 from inside the call, WEIR_FOREVER only
 * when it is aborted. Failures are numbered; the bed knows of each handle whether it is out, so
 * that one that is lost or dropped twice is seen. Waiters are bare: no task, so that each promise
 * can be read off one status. Every turn validates the pool.
 */
#ifndef WEIR_POOL_BED_H
#define WEIR_POOL_BED_H
#include <weir/pool.h>

#include "check.h"

#define MS UINT64_C(1000000)
#define BED_WAITERS 64
#define BED_HANDLES 4096

struct pool_bed;
typedef struct bed_waiter {
    weir_waiter wait;
    weir_timer done;
    struct pool_bed *bed;
    weir_lease *lease; /* held, or FAILED and not forgotten; else NULL */
    uint64_t hold;     /* ns: given back that long after the turn that got it; 0: not by itself */
    uint64_t at;       /* ns: its turn */
} bed_waiter;

typedef struct pool_bed {
    weir_simulator *sim;
    weir_runtime *rt;
    weir_pool p;
    weir_pool_ops ops;
    uint64_t create_ns, check_ns, destroy_ns;
    uint64_t abort_ns; /* from the abort to the answer */
    int fails;         /* creates answer -1, with a failure of their own */
    int is_late_good;  /* an aborted create succeeds all the same */
    int is_confused;   /* a create that succeeds gives a failure too */
    int sick;          /* checks that fail from now on; -1: all */
    void (*inside)(struct pool_bed *b,
                   weir_resource *r); /* called by each operation first; or NULL */
    unsigned creates, checks, destroys, aborts;
    unsigned most;   /* resources at once */
    unsigned handle; /* the last one made */
    uint8_t out[BED_HANDLES];
    unsigned n_out;
    unsigned leaks;
    bed_waiter w[BED_WAITERS];
    unsigned turned[BED_WAITERS * 4], n_turned; /* in the order of their turns */
} pool_bed;

/* A bed with checks and operations that answer from inside the call; the pool comes with open. */
pool_bed *pool_bed_new(void);
void pool_bed_open(pool_bed *b, const weir_pool_options *o);
/* pool_bed_new and _open with creates of `create_ns`. */
pool_bed *pool_bed_with(const weir_pool_options *o, uint64_t create_ns);
/* Close the pool, give back what is out, expect that nothing is left. */
void pool_bed_free(pool_bed *b);

/* Wait as `i` from now on, at most `timeout`. */
void pool_bed_acquire(pool_bed *b, unsigned i, uint64_t timeout);
/* Take at once, as `i`. */
int pool_bed_take(pool_bed *b, unsigned i);
void pool_bed_release(pool_bed *b, unsigned i);
void pool_bed_forget(pool_bed *b, unsigned i);
static inline weir_status pool_bed_status(const pool_bed *b, unsigned i)
{
    return (weir_status)b->w[i].wait.status;
}

/* Live through `ns`, every timer at its time; the pool is validated after each turn. */
void pool_bed_run(pool_bed *b, uint64_t ns);
uint32_t pool_bed_total(const pool_bed *b);

#define CHECK_POOL(b)                                                                              \
    do {                                                                                           \
        int line_ = weir_pool_validate(&(b)->p);                                                   \
        if (line_ != 0)                                                                            \
            check_fail(__FILE__, __LINE__, "the invariant of the pool in line %d is broken",       \
                       line_);                                                                     \
    } while (0)

#endif
