/* weir/semaphore.h - counting semaphore: direct hand-off, permits that know their holder.
 *
 * A release gives to the head of the queue while it fits; nobody passes it, `try` included. Two
 * options change that and nothing else does: `bypass`, how often requests that fit may pass a
 * head that does not, and the order, by arrival or by priority with ageing.
 * Invariant: available + sum of held = capacity; a head that waits does not fit, and while it may
 * be passed nobody behind it fits; every permit is in the holders list (held) or with one waiter
 * of the queue (queued), never both.
 */
#ifndef WEIR_SEMAPHORE_H
#define WEIR_SEMAPHORE_H
#include <weir/heap.h>
#include <weir/histogram.h>
#include <weir/task.h>

#include <weir/begin.h>

typedef struct weir_semaphore weir_semaphore;
typedef struct weir_permit weir_permit;

/* A request, then the grant. Made by try/acquire, ended by release; owned by the runtime. */
struct weir_permit {
    union {                   /* first */
        weir_hold hold;       /* in its holder's list while held */
        struct {              /* in place of the link of that list while queued: */
            uint64_t rank_at; /* ns: its priority counts from here on; by priority */
            int32_t priority; /* by priority */
            uint32_t passed;  /* how often it was passed as head */
        };
    };
    union {
        weir_link link;      /* in the semaphore's holders while held */
        weir_heap_node node; /* in its ranks while queued by priority */
    };
    weir_semaphore *of;
    weir_waiter *waiter; /* while queued, else NULL */
    uint64_t since;      /* ns: queued since, then held since */
    uint32_t n;          /* weight */
    uint32_t generation; /* a handle compares it: bumped when the permit ends */
};

typedef enum weir_order {
    WEIR_ORDER_FIFO,    /* first come, first served */
    WEIR_ORDER_PRIORITY /* larger first, see weir_semaphore_set_order */
} weir_order;

typedef struct weir_semaphore_stats {
    uint64_t grants, queued, passes; /* all grants; those that waited first; that passed a head */
    uint64_t timeouts, cancels, closes, busy, impossible, overload; /* rejects by kind */
    weir_histogram wait, hold;                                      /* ns */
} weir_semaphore_stats;

struct weir_semaphore {
    weir_runtime *rt;
    weir_list queue;   /* waiters in order of arrival; object of each is its permit */
    weir_heap ranks;   /* the permits of the same waiters, if the order is by priority */
    weir_list holders; /* permits, the one held longest first */
    weir_list idle;    /* waiters of drain, idle and resized */
    int64_t capacity, available;
    int64_t wanted; /* weight of all that wait */
    uint32_t waiting;
    uint32_t held;        /* permits out */
    uint32_t max_waiting; /* UINT32_MAX is no bound; set it at any time */
    uint32_t bypass;      /* how often a head may be passed; set it before use */
    uint32_t lightest;    /* nobody that waits is lighter */
    uint32_t heaviest;    /* nor heavier */
    uint64_t aging;       /* ns of waiting that are worth one level of priority */
    uint64_t last_rank;   /* latest rank_at given */
    uint8_t order;        /* weir_order */
    uint8_t closed, draining;
    const char *name; /* borrowed; may be NULL */
    /* For weir_semaphore_retry_after: weight that came back and the time it took, recent ones
     * counting more; up to when that was measured; and the hold times, smoothed. */
    double drained, drain_time;
    uint64_t drained_at, recent_hold;
    weir_semaphore_stats stats;
};

/* Prepare `s` (caller's memory, stays put) with `capacity` permits; `name` (may be NULL) is
 * borrowed for its life. 0, or WEIR_EINVAL unless 0 < capacity < 2^32. */
int weir_semaphore_init(weir_runtime *rt, weir_semaphore *s, int64_t capacity, const char *name);

/* Permits out or waiters queued would dangle: close and get everything back first. The memory is
 * the caller's again. */
void weir_semaphore_fini(weir_semaphore *s);

/* Choose the order before anybody waits; WEIR_EINVAL then, or if `aging` is 0. By priority:
 * larger first, arrival among equals, and a waiter gains one level for each `aging` ns that it
 * has waited, fractions included (WEIR_FOREVER: none). All age alike, so the order of two never
 * changes while they wait: it is that of priority * aging - arrival, and nothing is recomputed.
 * A request waits at most for those who came less than (their priority - its own) * aging later. */
int weir_semaphore_set_order(weir_semaphore *s, weir_order order, uint64_t aging);

/* Take `n` (> 0) now, for `holder` (borrowed as long as it holds them; NULL: no task). 0 and *out
 * (lends until released), or WEIR_EBUSY, WEIR_EIMPOSSIBLE, WEIR_ECLOSED, WEIR_ENOMEM with nothing
 * changed. Never waits. */
int weir_semaphore_try(weir_semaphore *s, weir_task *holder, uint32_t n, weir_permit **out);

/* The same as the first half of a wait: WEIR_EBUSY is not counted as a reject. `priority` counts
 * where the order is by priority. */
int weir_semaphore_take(weir_semaphore *s, weir_task *holder, uint32_t n, weir_permit **out);
int weir_semaphore_take_ranked(weir_semaphore *s, weir_task *holder, uint32_t n, int32_t priority,
                               weir_permit **out);

/* Wait in `w` for `n`, for `holder`, until `deadline` (ns on the runtime's clock, or WEIR_FOREVER);
 * call after take said WEIR_EBUSY. *out is the permit that
 * is held once `w` is GRANTED and gone otherwise: w->object, the permit up to there, is then the
 * semaphore. 0, or WEIR_EOVERLOAD, WEIR_ENOMEM with `w` untouched. */
int weir_semaphore_acquire(weir_semaphore *s, weir_task *holder, uint32_t n, weir_waiter *w,
                           uint64_t deadline, weir_permit **out);
int weir_semaphore_acquire_ranked(weir_semaphore *s, weir_task *holder, uint32_t n,
                                  int32_t priority, weir_waiter *w, uint64_t deadline,
                                  weir_permit **out);

/* Change the priority of a waiting request and put it behind all who have that priority now.
 * WEIR_EINVAL unless `w` waits in `s` and the order is by priority. */
int weir_semaphore_set_priority(weir_semaphore *s, weir_waiter *w, int32_t priority);

/* Give back, which never waits: who is next is granted and runs in a later turn. The permit is
 * gone.
 */
void weir_permit_release(weir_permit *p);

/* From now on `to` (borrowed as long as it holds it) holds the permit. */
void weir_permit_transfer(weir_permit *p, weir_task *to);

/* Split `n` off a held permit: *out is a permit for them, of the same holder, held since then.
 * WEIR_EINVAL unless 0 < n < p->n, WEIR_ENOMEM. */
int weir_permit_split(weir_permit *p, uint32_t n, weir_permit **out);

/* The weight of `other` becomes p's and `other` is gone (takes). WEIR_EINVAL unless they are two
 * held permits of one semaphore and one holder; `other` stays then. */
int weir_permit_merge(weir_permit *p, weir_permit *other);

/* Change the capacity. Growing grants at once; shrinking below what is held leaves a debt
 * (available < 0) that releases pay first, and ends with IMPOSSIBLE the waiters that can never
 * fit any more. WEIR_EINVAL unless 0 < capacity < 2^32. */
int weir_semaphore_resize(weir_semaphore *s, int64_t capacity);

/* `w` waits until `deadline` (ns) and is granted when there is no debt:
 * no more is held than the capacity. */
void weir_semaphore_resized(weir_semaphore *s, weir_waiter *w, uint64_t deadline);

/* An estimate, in ns, of when a request for `n` that came now and queued last would be served.
 * While somebody waits: the weight in front of it and its own, less what is free, at the rate at
 * which permits came back of late while somebody waited; a pause longer than usual since the last
 * one slows that rate down. If that was never seen: the recent hold time (before the first
 * release, the age of the oldest permit out), shared by all permits. 0 if nothing was ever held.
 * What is recent is measured where max_waiting is a bound; else it is the mean of all holds. */
uint64_t weir_semaphore_retry_after(const weir_semaphore *s, uint32_t n);

/* ns that the oldest waiter has waited; 0 if nobody waits. */
uint64_t weir_semaphore_oldest_wait(const weir_semaphore *s);

/* Fail every waiter with CLOSED and refuse new ones; what is out may come back. Idempotent. */
void weir_semaphore_close(weir_semaphore *s);

/* Refuse new requests (as closed), serve those queued; `w` waits until `deadline` (ns) and is
 * granted when all is back. */
void weir_semaphore_drain(weir_semaphore *s, weir_waiter *w, uint64_t deadline);

/* `w` waits until `deadline` (ns) and is granted when nothing is held and nobody waits; new
 * requests are served as ever. */
void weir_semaphore_idle(weir_semaphore *s, weir_waiter *w, uint64_t deadline);

/* 0, or the line number of the broken invariant. */
int weir_semaphore_validate(const weir_semaphore *s);

#include <weir/end.h>
#endif
