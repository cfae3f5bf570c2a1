/* weir/loop.h - the production env: a runtime driven by a libuv loop, and its I/O.
 *
 * The host hands over its own uv_loop_t, or none. Own loop: weir_loop_run. Foreign loop: watch
 * weir_loop_fd, sleep at most weir_loop_timeout ms, call weir_loop_step. Callbacks come from
 * inside the loop, outside tasks; they may settle waiters and set timers, nothing more.
 */
#ifndef WEIR_LOOP_H
#define WEIR_LOOP_H
#include <weir/runtime.h>

#include <weir/begin.h>

struct uv_loop_s;
struct sockaddr;
typedef struct weir_loop weir_loop;

/* A runtime on `uv` (borrowed; NULL makes a loop of its own). 0 and *out (gives), else a code. */
int weir_loop_new(struct uv_loop_s *uv, weir_loop **out);

/* Close every handle of weir's (of a borrowed loop only those) and free. Runs the loop until libuv
 * has let go of them: callbacks of a host's handles may come. The runtime must be idle. NULL is
 * fine. */
void weir_loop_free(weir_loop *loop);

weir_runtime *weir_loop_runtime(weir_loop *loop);     /* lends */
struct uv_loop_s *weir_loop_uv(weir_loop *loop);      /* lends */
weir_loop *weir_runtime_loop(const weir_runtime *rt); /* NULL under the simulator; lends */

/* As weir_error_text, and libuv's codes too ("connection refused"). Static text. */
const char *weir_loop_error_text(int code);

/* One iteration: block for I/O or the next timer at most `block`, run one turn. 0 when nothing
 * can ever happen any more (no handle, timer or ready waiter left), else 1. */
int weir_loop_once(weir_loop *loop, int block);

/* Iterate until `*stop` is not 0 (returns 1) or nothing can happen any more (returns 0). */
int weir_loop_run(weir_loop *loop, const int *stop);

/* For a foreign loop; see the head of this file. The descriptor (lends: do not close it) is
 * readable when there is something to step for; the timeout is in ms, 0 for now, -1 for none, and
 * counts from the call; a step never blocks and returns as weir_loop_once. */
int weir_loop_fd(weir_loop *loop);
int weir_loop_timeout(weir_loop *loop);
int weir_loop_step(weir_loop *loop);

/* Is anything alive on the loop beside the runtime's next turn? */
int weir_loop_has_others(weir_loop *loop);

/* The version of libuv that the driver runs on. Static text. */
const char *weir_loop_backend(void);

/* Is the function at `uv_run` the one of the libuv that the driver is linked with? A library
 * that brings a libuv of its own must not be handed our loop. */
int weir_loop_is_from(const void *uv_run);

/* --- descriptors ------------------------------------------------------------------- */
enum { WEIR_READABLE = 1, WEIR_WRITABLE = 2, WEIR_HANGUP = 4 };
typedef struct weir_poll weir_poll;
/* `status` 0 or a negative libuv code; `events` of WEIR_READABLE|WRITABLE|HANGUP. */
typedef void (*weir_poll_fn)(weir_poll *poll, int status, int events, void *data);

/* Watch `fd` (borrowed: close it only after weir_poll_free), for nothing as yet. 0 and *out
 * (gives), WEIR_ENOMEM, WEIR_ENOIO under the simulator, or a code of libuv's (EPERM: no such thing
 * can be watched, a plain file, say). */
int weir_poll_new(weir_runtime *rt, int fd, weir_poll_fn fn, void *data, weir_poll **out);
/* Watch for `events` instead of what was watched; 0 watches nothing and keeps no loop alive. Level-
 * triggered. 0, WEIR_EINVAL for an unknown event, or a code of libuv's. */
int weir_poll_set(weir_poll *poll, int events);
/* Does the loop go on for what this poll watches? It does unless told not to (`on` 0): callbacks
 * then come while something else keeps it alive, and hide no deadlock. */
void weir_poll_keep_alive(weir_poll *poll, int on);
/* No callback comes after this. NULL is fine. */
void weir_poll_free(weir_poll *poll);

/* --- blocking work on the thread pool ------------------------------------------------ */
typedef struct weir_work weir_work;
typedef void (*weir_work_fn)(void *data); /* on a pool thread */
typedef void (*weir_done_fn)(void *data,
                             int status); /* on the loop; WEIR_ECANCELED if it never ran */
/* 0 and *out (lends until `done`), WEIR_ENOMEM, WEIR_ENOIO: then `done` never comes. Otherwise it
 * does, once, also after a cancel, and never from inside this call; `data` must live until then. */
int weir_work_new(weir_runtime *rt, weir_work_fn work, weir_done_fn done, void *data,
                  weir_work **out);
/* Try to keep it from starting; a started one ends by itself. Not after `done`. */
void weir_work_cancel(weir_work *work);

/* --- names to addresses --------------------------------------------------------------- */
typedef struct weir_resolve weir_resolve;
/* `list` is `n` addresses as text ("192.0.2.1", "2001:db8::1"), valid during the call. */
typedef void (*weir_resolve_fn)(void *data, int status, const char *const *list, unsigned n);
/* Resolve `host` (copied) on the loop's thread pool; at most four at once per runtime, the rest
 * queue. 0 and *out (lends until the callback), WEIR_EINVAL for what is no name, WEIR_ENOMEM,
 * WEIR_ENOIO. The callback comes from the loop, once, never from inside this call. */
int weir_resolve_new(weir_runtime *rt, const char *host, weir_resolve_fn fn, void *data,
                     weir_resolve **out);
/* No callback comes after this. Not after the callback. */
void weir_resolve_cancel(weir_resolve *r);

/* --- signals -------------------------------------------------------------------------- */
typedef struct weir_signal weir_signal;
typedef void (*weir_signal_fn)(weir_signal *s, int signum, void *data);
/* Watch a signal; keeps no loop alive. 0 and *out (gives), WEIR_ENOMEM, WEIR_ENOIO, or a code of
 * libuv's. No callback comes after the free; NULL is fine there. */
int weir_signal_new(weir_runtime *rt, int signum, weir_signal_fn fn, void *data, weir_signal **out);
void weir_signal_free(weir_signal *s);

#include <weir/end.h>
#endif
