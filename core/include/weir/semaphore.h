/* weir/semaphore.h - counting semaphore: FIFO, direct hand-off, permits that know their holder.
 *
 * A release gives to the head of the queue while it fits; nobody passes it, `try` included.
 * Invariant: available + sum of held = capacity; a head that waits does not fit; every permit
 * is in the holders list (held) or with one waiter of the queue (queued), never both.
 */
#ifndef WEIR_SEMAPHORE_H
#define WEIR_SEMAPHORE_H
#include <weir/histogram.h>
#include <weir/task.h>

typedef struct weir_semaphore weir_semaphore;
typedef struct weir_permit weir_permit;

/* A request, then the grant. Made by try/acquire, ended by release; owned by the runtime. */
struct weir_permit {
    weir_hold hold; /* first; in its holder's list while held */
    weir_link link; /* in the semaphore's holders while held */
    weir_semaphore *of;
    weir_waiter *waiter; /* while queued, else NULL */
    uint64_t since;      /* ns: queued since, then held since */
    uint32_t n;          /* weight */
    uint32_t generation; /* a handle compares it: bumped when the permit ends */
};

typedef struct weir_semaphore_stats {
    uint64_t grants, queued; /* all grants; those that waited first */
    uint64_t timeouts, cancels, closes, busy, impossible, overload; /* rejects by kind */
    weir_histogram wait, hold;                                      /* ns */
} weir_semaphore_stats;

struct weir_semaphore {
    weir_runtime *rt;
    weir_list queue;   /* waiters; object of each is its permit */
    weir_list holders; /* permits */
    weir_list idle;    /* waiters of drain */
    int64_t capacity, available;
    uint32_t waiting;
    uint32_t max_waiting; /* UINT32_MAX is no bound */
    uint8_t closed, draining;
    const char *name; /* borrowed; may be NULL */
    weir_semaphore_stats stats;
};

/* Prepare `s` with `capacity` permits (> 0). WEIR_EINVAL otherwise. */
int weir_semaphore_init(weir_runtime *rt, weir_semaphore *s, int64_t capacity, const char *name);

/* Permits out or waiters queued would dangle: close and get everything back first. */
void weir_semaphore_fini(weir_semaphore *s);

/* Take `n` now, for `holder`. 0 and *out (lends until released), or WEIR_EBUSY,
 * WEIR_EIMPOSSIBLE, WEIR_ECLOSED, WEIR_ENOMEM with nothing changed. Never waits. */
int weir_semaphore_try(weir_semaphore *s, weir_task *holder, uint32_t n, weir_permit **out);

/* The same as the first half of a wait: WEIR_EBUSY is not counted as a reject. */
int weir_semaphore_take(weir_semaphore *s, weir_task *holder, uint32_t n, weir_permit **out);

/* Wait in `w` for `n`, for `holder`; call after take said WEIR_EBUSY. *out is the permit that
 * is held once `w` is GRANTED and gone otherwise. 0, WEIR_EOVERLOAD or WEIR_ENOMEM. */
int weir_semaphore_acquire(weir_semaphore *s, weir_task *holder, uint32_t n, weir_waiter *w,
                           uint64_t deadline, weir_permit **out);

/* Give back. The permit is gone. */
void weir_permit_release(weir_permit *p);

/* Hand a held permit to another task. */
void weir_permit_transfer(weir_permit *p, weir_task *to);

/* Change the capacity. Growing grants at once; shrinking below what is held leaves a debt
 * (available < 0) that releases pay first, and ends with IMPOSSIBLE the waiters that can never
 * fit any more. WEIR_EINVAL unless 0 < capacity < 2^32. */
int weir_semaphore_resize(weir_semaphore *s, int64_t capacity);

/* An estimate, in ns, of when a request that came now would be served: mean hold time by the
 * queue before it, per permit. 0 while nothing was held yet. */
uint64_t weir_semaphore_retry_after(const weir_semaphore *s);

/* Fail every waiter with CLOSED and refuse new ones; what is out may come back. Idempotent. */
void weir_semaphore_close(weir_semaphore *s);

/* Refuse new requests (as closed), serve those queued; `w` is granted when all is back. */
void weir_semaphore_drain(weir_semaphore *s, weir_waiter *w, uint64_t deadline);

/* 0, or the line number of the broken invariant. */
int weir_semaphore_validate(const weir_semaphore *s);

#endif
