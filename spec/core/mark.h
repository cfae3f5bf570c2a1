/* mark.h - for the tests of the driver: a waiter that writes down when it ran. */
#ifndef WEIR_MARK_H
#define WEIR_MARK_H
#include "check.h"

#include <weir/loop.h>

#define MS UINT64_C(1000000)
#define HOUR (3600 * WEIR_SECOND)

struct uv_handle_s;

typedef struct mark {
    weir_waiter wait;
    uint64_t at; /* when it ran; 0 is never */
    int *n;      /* counts runs; may be NULL */
    int n_again; /* yields left, or naps of `nap` ns */
    uint64_t nap;
    weir_runtime *rt; /* for callbacks */
} mark;

extern const weir_wait_ops mark_ops;

void mark_init(mark *m, int *n);
/* What its turn does; also to begin its naps. */
void mark_run(weir_runtime *rt, weir_waiter *w);

/* A close callback of a handle whose data is a mark: enqueues it. libuv calls these after the
 * check phase, so it comes behind the turn. */
void mark_on_closed(struct uv_handle_s *handle);

/* A loop on `uv` or its own; and its end, which checks that the runtime is at its baseline. */
weir_loop *mark_open(struct uv_loop_s *uv);
void mark_close(weir_loop *loop);

#endif
