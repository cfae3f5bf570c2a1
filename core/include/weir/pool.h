/* weir/pool.h - pool of resources that are slow to make: connections, sessions, handles.
 *
 * A caller waits on the pool, never on a dial of its own: whatever comes free first, a resource
 * given back or one newly made, goes to the head of the queue, and dials for which the need is
 * gone are not begun. Resources are opaque; the embedder makes, checks and destroys them, in its
 * own time, and the pool puts each of these under a deadline.
 *
 *   CONNECTING -> IDLE <-> LEASED          a resource is in exactly one state, and counts
 *       |          |^        |             against `max` in each of them, CLOSING too
 *       |      CHECKING <----+
 *       +--> CLOSING (destroy) -> gone
 *
 * Invariant: connecting + idle + checking + leased + closing = total <= max (more only after a
 * shrink, and then it only falls); nobody waits while the one that is lent next is idle and need
 * not be checked first; who waits, and what is missing to `min`, has a resource on its way to it,
 * or the time of its dial is set, or there is no room for one.
 * Idea of the hand-off: HikariCP's "prime directive" (Wooldridge, "Welcome to the Jungle", 2017).
 */
#ifndef WEIR_POOL_H
#define WEIR_POOL_H
#include <weir/histogram.h>
#include <weir/task.h>

#include <weir/begin.h>

typedef struct weir_pool weir_pool;
typedef struct weir_resource weir_resource;
typedef struct weir_lease weir_lease;

typedef enum weir_resource_state {
    WEIR_RESOURCE_CONNECTING,
    WEIR_RESOURCE_IDLE,
    WEIR_RESOURCE_CHECKING,
    WEIR_RESOURCE_LEASED,
    WEIR_RESOURCE_CLOSING
} weir_resource_state;

/* Why a resource was destroyed; the index of weir_pool_stats.evicted. */
typedef enum weir_evicted {
    WEIR_EVICTED_IDLE,      /* idle_timeout */
    WEIR_EVICTED_LIFETIME,  /* max_lifetime */
    WEIR_EVICTED_USES,      /* max_uses */
    WEIR_EVICTED_CHECK,     /* it failed its check, or the check took too long */
    WEIR_EVICTED_DISCARDED, /* its holder said so, or ended badly and there is no check */
    WEIR_EVICTED_SHRUNK,    /* the pool was made smaller */
    WEIR_EVICTED_CLOSED,    /* the pool was closed or drained */
    WEIR_EVICTED_CAUSES
} weir_evicted;

/* What the embedder does for the pool. Each call begins an operation on `r` and returns; the
 * answer (weir_pool_created, _checked, _destroyed) comes exactly once, later or at once, from
 * inside the call. NULL `check`: resources are not checked. */
typedef struct weir_pool_ops {
    void (*create)(weir_pool *p, weir_resource *r);
    void (*check)(weir_pool *p, weir_resource *r);
    void (*destroy)(weir_pool *p, weir_resource *r);
    /* Its time is up, or the pool closes: end the operation begun on `r` soon. The answer still
     * comes, and until it does `r` counts. */
    void (*abort)(weir_pool *p, weir_resource *r);
    /* A failure given to the pool that nobody will look at: drop it. */
    void (*drop)(weir_pool *p, intptr_t failure);
    /* Another handle of a failure, dropped on its own; 0: there is none. What a waiter is told
     * stays the `cause` so; NULL: who waits gets the failure, and the pool has no cause. */
    intptr_t (*share)(weir_pool *p, intptr_t failure);
} weir_pool_ops; /* NULL `abort`: what was begun is waited for; NULL `drop`: nothing to do */

struct weir_resource {
    weir_link link; /* in the pool's list of its state */
    weir_pool *of;
    weir_lease *lease; /* while LEASED */
    void *value;       /* the embedder's; NULL until it sets it in `create` */
    void *data;        /* the embedder's: what runs the operation */
    weir_timer timer;  /* deadline of the operation, or when an idle one is next looked at */
    uint64_t made;     /* ns: created at */
    uint64_t used;     /* ns: given back last, or created */
    uint64_t since;    /* ns: in this state since */
    uint64_t retire;   /* ns: end of its lifetime, jitter included; WEIR_FOREVER: none */
    uint64_t keep;     /* ns: its keep_alive, jitter included */
    uint32_t uses;
    uint8_t state;   /* weir_resource_state */
    uint8_t doomed;  /* weir_evicted + 1 once it must go when it comes back; else 0 */
    uint8_t aborted; /* `abort` was called for the operation that is on its way */
    uint8_t front;   /* CHECKING: it goes back to those idle longest */
};

/* A request, then the loan. Made by take/acquire, ended by release or discard; owned by the pool's
 * runtime, which recycles it: a handle compares the generation. */
struct weir_lease {
    weir_hold hold; /* first; in its holder's list while held */
    weir_pool *of;
    weir_resource *resource; /* while held */
    weir_waiter *waiter;     /* while queued */
    uint64_t since;          /* ns: queued since, then held since */
    uint32_t generation;
    uint8_t reported; /* as held too long */
    /* Of a waiter that ended FAILED: what `create` failed with (owned by the lease until
     * weir_lease_forget, unless taken out), or 0, and why: what `create` answered, WEIR_ETIMEOUT if
     * it took longer than create_timeout, WEIR_ENOMEM if it could not begin, WEIR_EOPEN if the pool
     * opened and its `cause` says why.
     */
    intptr_t failure;
    int rc;
};

typedef struct weir_pool_options {
    uint32_t min, max;       /* resources; 0 <= min <= max, max > 0 */
    uint32_t max_waiting;    /* beyond those for whom one is being checked; UINT32_MAX: no bound */
    uint32_t max_uses;       /* of one resource; 0: no bound */
    uint32_t max_dials;      /* creates at once; staggered by `dial_stagger` */
    uint32_t open_after;     /* failures in a row, no lease coming back, that open it; 0: never */
    uint8_t lifo;            /* lend the one used last (1) or the one idle longest (0) */
    double shed;             /* refuse when leased / max is at or above it; 0: never; 0 .. 1 */
    uint64_t create_timeout; /* ns, each; WEIR_FOREVER: none */
    uint64_t check_timeout, destroy_timeout;
    uint64_t check_idle;   /* check on borrow if idle longer; 0: always; WEIR_FOREVER: never */
    uint64_t keep_alive;   /* check an idle one each; WEIR_FOREVER: never */
    uint64_t idle_timeout; /* beyond `min`; WEIR_FOREVER: never */
    uint64_t max_lifetime; /* less up to `jitter` of it; WEIR_FOREVER: no end */
    double jitter;         /* 0 .. 1 */
    uint64_t dial_stagger; /* before another dial is begun while one is on its way */
    /* After a failed create, before the next: `backoff`, doubled each time up to `max_backoff`,
     * less up to half of it by chance. Not 0. */
    uint64_t backoff, max_backoff;
    uint64_t leak_after; /* report a lease held longer; WEIR_FOREVER: never */
} weir_pool_options;

typedef struct weir_pool_stats {
    uint64_t grants, queued; /* all; those that waited first */
    uint64_t timeouts, cancels, closes, busy, overload, shed, open, failed; /* rejects by kind */
    uint64_t created, create_failures, create_timeouts, checks, check_failures, destroyed;
    uint64_t elided; /* dials that were needed, and no more when their time came */
    uint64_t leaks;  /* leases reported as held too long */
    uint64_t evicted[WEIR_EVICTED_CAUSES];
    weir_histogram wait, hold, create; /* ns */
} weir_pool_stats;

struct weir_pool {
    weir_runtime *rt;
    const weir_pool_ops *ops;
    weir_pool_options options;
    weir_list queue; /* waiters in order of arrival; object of each is its lease */
    weir_list idle;  /* resources, the one idle longest first */
    weir_list connecting, checking, closing;
    weir_list leased;  /* resources, the one lent first first */
    weir_list overdue; /* of the leased, those reported as held too long */
    weir_list joiners; /* waiters of drain and join */
    uint32_t n_idle, n_connecting, n_checking, n_leased, n_closing, waiting;
    uint32_t dials, checks; /* connecting and checking, less those aborted: what is on its way */
    uint32_t wanted;        /* dials that are needed and have room */
    uint32_t failures;      /* creates that failed in a row */
    uint32_t barren;        /* the last of them, between which no lease came back fit */
    uint32_t unforgotten;   /* leases of waiters that FAILED */
    uint32_t shed_at;       /* leased ones from which on it refuses */
    weir_timer dial;        /* when another dial may begin: stagger, backoff or patience */
    weir_timer leak;        /* when the lease held longest is reported */
    uint64_t dialled;       /* ns: the last dial was begun at */
    uint64_t dial_after;    /* ns: no dial before that: backoff */
    uint64_t need_since;    /* ns: `wanted` > 0 since */
    uint64_t patience;      /* ns: until then the need is likely to go by itself */
    uint64_t returned;      /* ns: a lease came back fit at */
    uint64_t failed;        /* ns: a create failed last at */
    uint64_t stale_after;   /* ns idle from which on it is checked first */
    uint64_t recent_hold, recent_create; /* ns, smoothed: an eighth is new */
    intptr_t cause; /* what the last create that failed did fail with; 0: nothing to show */
    int cause_rc;   /* and its code: WEIR_ETIMEOUT if it took longer than create_timeout; or 0 */
    uint8_t open;   /* a probe alone is dialled, and who finds nothing idle is refused */
    uint8_t doubt;  /* the last check failed: what is being checked is not counted on */
    uint8_t closed, draining;
    uint8_t ended;    /* closed, or drained and nobody waits: all is on its way out */
    uint8_t serving;  /* in serve(): answers from inside a call only mark it to go round (2) */
    const char *name; /* borrowed; may be NULL */
    /* Called for a lease that is held longer than leak_after, once each. May be NULL. */
    void (*leaked)(weir_pool *p, weir_lease *lease);
    weir_pool_stats stats;
};

/* What a pool is where nothing is said: docs/pool.md has the figures. */
weir_pool_options weir_pool_defaults(void);

/* Prepare `p` (caller's memory, stays put). From the next turn on it fills up to `min`. `ops` and
 * `name` are borrowed for its life, `options` are copied. 0, or WEIR_EINVAL for options that
 * contradict each other, with nothing done. */
int weir_pool_init(weir_runtime *rt, weir_pool *p, const weir_pool_ops *ops,
                   const weir_pool_options *options, const char *name);

/* Only when it is gone. Drops `cause`; the memory is the caller's again. */
void weir_pool_fini(weir_pool *p);
/* Is it closed or drained, and nothing of it left: no resource, waiter, unforgotten lease? */
int weir_pool_is_gone(const weir_pool *p);

/* Take one now, for `holder`: 0 and *out (lends until released), or WEIR_EBUSY (none is idle, or it
 * must be checked first, or somebody waits), WEIR_ECLOSED, WEIR_EOPEN (the server fails and nothing
 * is idle; what is idle or comes back is lent while open too), WEIR_EOVERLOAD (shed),
 * WEIR_ENOMEM with nothing changed. Never waits; begins no dial. `counted` 1: WEIR_EBUSY is an
 * answer, and counted as a reject; 0: the caller goes on to weir_pool_acquire. */
int weir_pool_take(weir_pool *p, weir_task *holder, int counted, weir_lease **out);

/* Wait in `w` for one, for `holder` (NULL: nobody the deadlock search could ask), until `deadline`
 * (ns on the runtime's clock), after take said WEIR_EBUSY; begins a dial or a check if one is
 * needed. *out is held once `w` is GRANTED, has `failure` if it is FAILED (drop it with
 * weir_lease_forget), and is gone otherwise. `is_default`: the deadline is the pool's own and
 * wakes nobody in the eyes of the deadlock search. 0, or as take, with nothing begun:
 * WEIR_EOVERLOAD also where `max_waiting` do. */
int weir_pool_acquire(weir_pool *p, weir_task *holder, weir_waiter *w, uint64_t deadline,
                      int is_default, weir_lease **out);
/* Drops the failure and frees the lease. Needed for each waiter that FAILED, and for no other. */
void weir_lease_forget(weir_lease *lease);

/* Give back, which never waits. `suspect`: its holder ended by an error or a cancel: it is checked
 * before it is lent again, and destroyed where there is no check. The lease is gone. */
void weir_lease_release(weir_lease *lease, int suspect);
/* Give back something broken: it is destroyed. The lease is gone. */
void weir_lease_discard(weir_lease *lease);
/* From now on `to` (borrowed as long as it holds it) holds the lease. */
void weir_lease_transfer(weir_lease *lease, weir_task *to);

/* The answers to what `ops` was asked to begin on `r`, once each, on the runtime's thread. `rc` 0,
 * or a negative code with `failure` (takes; 0: none). A failed create fails
 * the head of the queue, unless leases came back fit while it was on its way: then the server
 * serves, and who waits waits for those. A resource whose create failed is gone. */
void weir_pool_created(weir_pool *p, weir_resource *r, int rc, intptr_t failure);
void weir_pool_checked(weir_pool *p, weir_resource *r, int is_good);
void weir_pool_destroyed(weir_pool *p, weir_resource *r);

/* Change the bounds. Growing dials for those who wait; shrinking destroys idle ones at once and
 * others as they come back. 0, or WEIR_EINVAL unless min <= max and max > 0. Never waits. */
int weir_pool_resize(weir_pool *p, uint32_t min, uint32_t max);
/* Every resource made before now is destroyed: idle ones at once, others as they come back; dials
 * and checks on their way are aborted. Counted as DISCARDED. */
void weir_pool_evict(weir_pool *p);

/* An estimate, in ns, of when a request refused now may be served: the recent hold time, by those
 * who wait, shared by those who hold; while the pool is open, the time to the next probe. */
uint64_t weir_pool_retry_after(const weir_pool *p);

/* Waiters get CLOSED, dials and checks are aborted, idle ones destroyed, leased ones as they come
 * back. Idempotent. */
void weir_pool_close(weir_pool *p);
/* Refuse new requests (as closed), serve those queued; `w` waits until `deadline` (ns) and is
 * granted when all resources are back and destroyed. Who gives up the wait gives up no more. */
void weir_pool_drain(weir_pool *p, weir_waiter *w, uint64_t deadline);
/* The same without refusing anybody: `w` is granted when nothing is left of a closed pool. */
void weir_pool_join(weir_pool *p, weir_waiter *w, uint64_t deadline);

/* 0, or the line number of the broken invariant. */
int weir_pool_validate(const weir_pool *p);

#include <weir/end.h>
#endif
