/* uv/internal.h - the driver's insides, shared by the files of core/uv and nobody else.
 *
 * Invariant: whatever libuv still knows of is counted (n_handles until its close callback,
 * n_requests until its done callback), and memory libuv may touch is freed there alone.
 * Every callback that comes out of libuv's poll and runs code of others calls
 * weir__loop_clock first, so that delays count from this wake-up and not from the last turn.
 */
#ifndef WEIR_UV_INTERNAL_H
#define WEIR_UV_INTERNAL_H
#include "../sched/internal.h"

#include <uv.h>

#include <weir/begin.h>

struct weir_loop {
    weir_runtime *rt;
    uv_loop_t *uv; /* borrowed, or &own */
    uint64_t random;
    uint64_t armed; /* the turn `timer` is set for, in ns; WEIR_FOREVER while it is stopped */
    int is_own;
    int is_fresh; /* the runtime's clock was read since the last prepare */

    uv_timer_t timer;     /* the next turn's time; keeps the loop alive */
    uv_poll_t alarm;      /* wakes the poll for a turn that is due soon; keeps nothing alive */
    int alarm_fd;         /* -1: not made yet; -2: there is none on this system */
    uv_idle_t idle;       /* a turn is due now; keeps the loop alive and the poll from blocking */
    uv_prepare_t prepare; /* before the poll: look when the next turn is due */
    uv_check_t check;     /* after the poll: take the turn */
    unsigned n_handles, n_requests;

    weir_list polls, signals, works, inboxes;
    weir_list queue;   /* resolves that wait for a slot */
    weir_list running; /* resolves on the pool, cancelled ones too */
    weir_list answers; /* resolves whose outcome is known; told in the next check */
    unsigned n_running;

    uv_loop_t own;
};

/* Read the runtime's clock unless this iteration has. */
void weir__loop_clock(weir_loop *loop);

/* A turn is due now: the loop is alive and its next poll does not block. */
void weir__loop_wake(weir_loop *loop);

/* Wake the poll at `at` (ns on the runtime's clock), if that is soon. */
void weir__alarm_set(weir_loop *loop, uint64_t at);
void weir__alarm_close(weir_loop *loop);

/* Call those whose outcome is known. */
void weir__resolve_answer(weir_loop *loop);

/* For weir_loop_free: free those still open. */
void weir__poll_free_all(weir_loop *loop);
void weir__signal_free_all(weir_loop *loop);
void weir__inbox_free_all(weir_loop *loop);

/* Try to keep every work and resolve from starting; no resolve is called back any more. */
void weir__work_cancel_all(weir_loop *loop);
void weir__resolve_cancel_all(weir_loop *loop);

#include <weir/end.h>
#endif
