/* weir/window.h - sliding window: at most n in any span of `per` ns, exactly.
 *
 * Pure: the caller passes the time, and lends room for n records when it makes the window. A
 * record is a time and how many were counted at it; a unit counts from its time t until t + per,
 * the end not included, as in a server that keeps a log of requests.
 * Invariant: records are in order of time, none twice; the counts sum to `used`.
 */
#ifndef WEIR_WINDOW_H
#define WEIR_WINDOW_H
#include <stdint.h>

#include <weir/begin.h>

#define WEIR_WINDOW_MOST (1u << 20)

typedef struct weir_window_record {
    uint64_t at;
    uint64_t count;
} weir_window_record;

typedef struct weir_window {
    uint64_t per;
    uint32_t n;
    uint32_t used;     /* counted and not forgotten yet; above n after n became less */
    uint32_t _records; /* that are not forgotten */
    uint32_t _first;   /* of them in the ring */
    uint32_t _room;
    weir_window_record *_record;   /* borrowed for the window's life */
    uint64_t _begin;               /* how many were forgotten, ever */
    uint64_t _split;               /* a plan: its own records are those from this number on */
    const struct weir_window *_of; /* a plan: the others are here */
} weir_window;

/* Prepare `w` with `room` records (>= n) at `record` (borrowed for its life). 0, or WEIR_EINVAL
 * unless 0 < n <= WEIR_WINDOW_MOST and
 * 0 < per; `w` is then untouched. */
int weir_window_init(weir_window *w, uint32_t n, uint64_t per, weir_window_record *record,
                     uint32_t room);

/* Make `plan`, which has been prepared with room for `of`'s n, what `of` is, to be charged in its
 * place: O(1), it reads the records of `of`. It holds until `of` changes by anything but charges
 * that the plan had first. */
void weir_window_plan(weir_window *plan, const weir_window *of);

/* The first ns, not before `from`, at which `count` (<= n) more can be had. */
uint64_t weir_window_due(const weir_window *w, uint32_t count, uint64_t from);

/* Count them at `now`, when it was due. */
void weir_window_charge(weir_window *w, uint32_t count, uint64_t now);

/* Take back `count` that were charged at `at`; of those that count no more, nothing. */
void weir_window_refund(weir_window *w, uint32_t count, uint64_t at);

/* The first ns, not before `from`, at which nothing counts any more. */
uint64_t weir_window_quiet(const weir_window *w, uint64_t from);

/* How many can be had at `now`. */
uint32_t weir_window_available(const weir_window *w, uint64_t now);

/* Go over to another n and span; `record` is room for as many as before and n, and gets what
 * counts. May be the same memory if `room` is. */
void weir_window_change(weir_window *w, uint32_t n, uint64_t per, weir_window_record *record,
                        uint32_t room);

/* 0, or the line number of the broken invariant. */
int weir_window_validate(const weir_window *w);

#include <weir/end.h>
#endif
