/* sched/internal.h - the runtime's insides, for core/sched, core/sync and core/uv alone.
 *
 * Invariant: every PENDING waiter is counted in n.pending, every settled one stands in `ready`
 * and is counted in n.ready; `now` never goes back; it is read once per turn,
 * and within it when a deadline is reckoned after long work.
 */
#ifndef WEIR_SCHED_INTERNAL_H
#define WEIR_SCHED_INTERNAL_H
#include <weir/graph.h>
#include <weir/loop.h>
#include <weir/runtime.h>

#include <weir/begin.h>

/* A hierarchical timing wheel over the bits of the deadline: level l holds the timers whose
 * highest bit that differs from `base` lies in bits 6l .. 6l+5, one list per value of those
 * bits. Setting is one count of leading zeros and one list insertion; cancelling is one
 * removal; a timer that fires has moved down at most once per level. Nanoseconds throughout,
 * so order is exact. (Varghese and Lauck, "Hashed and hierarchical timing wheels", 1987.) */
#define WEIR_WHEEL_BITS 6
#define WEIR_WHEEL_SLOTS (1u << WEIR_WHEEL_BITS)
#define WEIR_WHEEL_LEVELS 11

typedef struct weir_wheel {
    uint64_t base; /* all timers with deadline < base have fired */
    weir_list due; /* set at or before base: fire in the next turn */
    uint64_t occupied[WEIR_WHEEL_LEVELS];
    weir_list slot[WEIR_WHEEL_LEVELS][WEIR_WHEEL_SLOTS];
} weir_wheel;

/* Records of one size that are made once and recycled: those that are free, by their first word. */
typedef struct weir_records {
    weir_link *free;
    size_t size;
} weir_records;

struct weir_runtime {
    weir_env env;
    uint64_t now;
    weir_list ready;
    weir_list quiet; /* weir_quiet, to fire when nobody is ready */
    weir_task *current;
    void *user;      /* of whoever embeds it */
    weir_loop *loop; /* the libuv driver, NULL under the simulator */
    /* The driver's: there is something new to turn for. NULL while it looks anyway, or is none. */
    void (*wake)(weir_loop *loop);
    weir_records permits, leases; /* of core/sync */
    uint64_t last_id;
    uint64_t stamp; /* of the deadlock search; never comes round */
    weir_counters n;
    weir_scope root;
    weir_wheel wheel;
};

void weir__wheel_init(weir_wheel *wheel, uint64_t now);
/* Fire all timers due at rt->now; returns how many. */
uint32_t weir__wheel_fire(weir_runtime *rt);
/* A lower bound of the earliest deadline; WEIR_FOREVER if none is set. */
uint64_t weir__wheel_next(const weir_runtime *rt);
int weir__wheel_validate(const weir_runtime *rt);

int weir__scope_validate(const weir_runtime *rt, const weir_scope *s);

void weir__scope_emptied(weir_runtime *rt, weir_scope *s);

void *weir__record_make(weir_runtime *rt, weir_records *r, size_t size);

/* A record of `size` bytes whose first member is a weir_link, or NULL; fresh ones are zeroed,
 * recycled ones keep what they held past the link. And back. */
static inline void *weir__record_new(weir_runtime *rt, weir_records *r, size_t size)
{
    weir_link *k = r->free;
    if (k == NULL)
        return weir__record_make(rt, r, size);
    r->free = k->next;
    return k;
}

static inline void weir__record_free(weir_records *r, void *record)
{
    weir_link *k = record;
    k->next = r->free;
    r->free = k;
}

#include <weir/end.h>
#endif
