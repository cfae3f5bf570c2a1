/* weir/rate.h - rate limit: FIFO waits and reservations over one or several limits at once.
 *
 * A request is charged to every limit or to none (10 a second and 300 a minute). Those that
 * cannot be had yet stand in one queue, in order of arrival; nobody passes the head, `try`
 * included. When a request is due is worked out from the limits as they are: a cancel or a new
 * rate re-times all behind it, exactly. Waiters are charged when they are granted, reservations
 * at the time they are due.
 * Invariant: every ticket is in one list; a head that waits is not due; the timer is set for
 * the head's due time exactly while somebody waits (a reservation alone keeps no loop alive).
 */
#ifndef WEIR_RATE_H
#define WEIR_RATE_H
#include <weir/bucket.h>
#include <weir/histogram.h>
#include <weir/task.h>
#include <weir/window.h>

#include <weir/begin.h>

/* A bucket, or (per > 0) a window. */
typedef struct weir_rate_limit {
    double rate, burst; /* tokens a second; tokens at most */
    uint64_t per;       /* ns; then rate and burst are not looked at, and n is whole numbers: */
    uint32_t n;         /* at most so many in any `per` */
} weir_rate_limit;

typedef struct weir_rate weir_rate;

typedef enum weir_ticket_state {
    WEIR_TICKET_QUEUED,   /* not due yet -> any other */
    WEIR_TICKET_GRANTED,  /* due, and charged for good */
    WEIR_TICKET_CANCELED, /* given back before it was due */
    WEIR_TICKET_LOST      /* a limit changed so that it can never be had */
} weir_ticket_state;

/* A place in the queue, then what came of it; owned by the rate. */
typedef struct weir_ticket {
    weir_link link; /* first; in one of the rate's lists */
    weir_rate *of;
    weir_waiter *waiter; /* NULL: a reservation */
    double n;
    uint64_t since; /* ns: queued since, then charged at */
    union {
        uint64_t due; /* while it is `planned` */
        uint64_t era; /* of its charge */
    };
    uint32_t slot;   /* in the sums, if there are any */
    uint8_t state;   /* weir_ticket_state */
    uint8_t kept;    /* somebody has the pointer and will free it */
    uint8_t planned; /* `due` is right, as things stand */
} weir_ticket;

typedef struct weir_rate_part {
    weir_bucket_rule rule;
    weir_bucket bucket;
    weir_bucket later;  /* what refunds are held against; see core/sync/limits.c */
    weir_span queued;   /* of what is in the queue */
    weir_window window; /* instead, if window.per > 0 */
} weir_rate_part;

typedef struct weir_rate_stats {
    uint64_t grants, queued, refunds, changes;
    uint64_t timeouts, cancels, closes, busy, impossible, overload; /* rejects by kind */
    weir_histogram wait;                                            /* ns */
} weir_rate_stats;

struct weir_rate {
    weir_runtime *rt;
    weir_rate_part *part; /* 2 * parts: the second half is for plans */
    uint32_t parts;
    uint32_t waiting, reserved; /* in the queue: waiters; reservations */
    uint32_t max_waiting;       /* of both; UINT32_MAX is no bound */
    uint8_t closed, draining, changing;
    weir_list queue;      /* tickets */
    weir_list granted;    /* tickets of waiters whose turn has not come, or not been freed */
    weir_list ended;      /* tickets of reservations, kept */
    weir_list spare;      /* tickets to use again */
    weir_list idle;       /* waiters of drain */
    weir_ticket *planned; /* the last that is; see core/sync/foresee.c */
    weir_span *sums;      /* of the costs of the queue; NULL: none are kept */
    uint32_t sums_used, sums_room; /* none used: they are not of this queue */
    weir_timer timer;
    uint64_t at;      /* everything due by then is granted */
    uint64_t charged; /* time of the last charge */
    uint64_t era;     /* bumped when that moves, and when the limits change */
    uint64_t mark;    /* era since which `granted` was never empty */
    const char *name; /* borrowed; may be NULL */
    weir_rate_stats stats;
};

/* Prepare `r` (caller's memory, stays put), full, under `n` limits (> 0, copied); `name` (may be
 * NULL) is borrowed for its life. 0, WEIR_EINVAL if one is out of range, WEIR_ENOMEM. */
int weir_rate_init(weir_runtime *rt, weir_rate *r, const weir_rate_limit *limits, uint32_t n,
                   const char *name);

/* Tickets are gone. Waiters would dangle: close first, or never touch them again. */
void weir_rate_fini(weir_rate *r);

/* Take `n` (> 0) now: 0, or WEIR_EBUSY, WEIR_EIMPOSSIBLE, WEIR_ECLOSED with nothing charged.
 * WEIR_EINVAL if a window is asked for a part of one. Never waits. */
int weir_rate_try(weir_rate *r, double n);

/* The same as the first half of a wait: WEIR_EBUSY is not counted as a reject. */
int weir_rate_take(weir_rate *r, double n);

/* Wait in `w` for `n` until `deadline` (ns on the runtime's clock, or WEIR_FOREVER); call after
 * take said WEIR_EBUSY. 0 and *out (lends), to be freed when `w` ran GRANTED, gone by itself
 * otherwise. WEIR_ETIMEOUT at once if, as things stand, it is due after `deadline`; WEIR_EOVERLOAD,
 * WEIR_ENOMEM. What is due exactly at `deadline` is granted. */
int weir_rate_wait(weir_rate *r, double n, weir_waiter *w, uint64_t deadline, weir_ticket **out);

/* A place in the queue without a waiter: 0 and *out (lends), to be freed, which gives up nothing.
 * Codes as above. Never waits. */
int weir_rate_reserve(weir_rate *r, double n, weir_ticket **out);

/* ns until it is due, as things stand; 0 if it is, WEIR_FOREVER if it never will be. */
uint64_t weir_ticket_delay(weir_ticket *t);

/* Give a reservation back. 1 if it was not due yet; then it is as if it had never been. */
int weir_ticket_cancel(weir_ticket *t);
/* The pointer is the rate's again. A place still queued stays there, and is charged when due. */
void weir_ticket_free(weir_ticket *t);

/* ns until a request for `n` that came now would be due, behind the queue and as things stand.
 * WEIR_FOREVER: not by time alone, or never. With several limits or a window, and over a thousand
 * in the queue, the first answers may be too short. */
uint64_t weir_rate_retry_after(weir_rate *r, double n);

/* ns until it is as full as when it was made, 0 if it is. WEIR_FOREVER: not by time alone, or
 * somebody is in the queue. */
uint64_t weir_rate_full_in(weir_rate *r);

/* What can be had now, were there no queue: of the limit that has least. */
double weir_rate_available(weir_rate *r);

/* Change all limits (as many as before, each of its kind). Those who wait are timed anew; what
 * was taken stays taken, so a larger burst mints nothing. What can never be had any more ends
 * with IMPOSSIBLE. 0, or WEIR_EINVAL, WEIR_ENOMEM with nothing changed. */
int weir_rate_set(weir_rate *r, const weir_rate_limit *limits);

/* Fail every waiter with CLOSED and refuse new requests; reservations stand. Idempotent. */
void weir_rate_close(weir_rate *r);

/* Refuse new requests (as closed), serve those queued; `w` waits until `deadline` (ns) and is
 * granted when the queue is empty. */
void weir_rate_drain(weir_rate *r, weir_waiter *w, uint64_t deadline);

/* 0, or the line number of the broken invariant. */
int weir_rate_validate(const weir_rate *r);

#include <weir/end.h>
#endif
