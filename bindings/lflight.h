/* bindings/lflight.h - flights whose work a task does: what came of it, and waits for several.
 *
 * The results of the task are the outcome: one value for all who wait, or (parts) a table with a
 * value or an error for each part from 1 on. Who waits keeps the task on his stack, or the
 * userdata of a group that keeps it; whether his part is a value or an error, the flight says.
 */
#ifndef WEIR_BINDINGS_LFLIGHT_H
#define WEIR_BINDINGS_LFLIGHT_H
#include "context.h"

#include <weir/begin.h>

/* Spawn a daemon of the root for the function and `nargs` arguments at the top, which keeps the
 * userdata at `keeps`; its failure is claimed until lflight_stop. Pushes it, 0; or a code with
 * nothing pushed. */
int lflight_spawn(lua_State *L, lcontext *ctx, int nargs, int keeps);
/* Nobody waits for what `t` does: cancel it. What its cleanup fails with is reported. */
void lflight_stop(lcontext *ctx, weir_task *t);

/* Push what the ended task at `index` has for `part` (0: all there is), value or error. */
void lflight_push(lua_State *L, int index, uint32_t part);
/* Push the error for a task that could not be spawned; `code` 0 is what nobody answered. */
void lflight_push_refusal(lua_State *L, const char *op, intptr_t code);
/* Raise the error at the top, which the ended task at `index` failed with. */
int lflight_raise(lua_State *L, int index);

/* In a conclude: the results from `first` on are values by index, and errors by index or nil; for
 * `n` keys. Leaves a table of either for each at `first`, the errors (a table or nil) behind
 * it, and what came after them. Raises misuse naming `op`, of the object `name` (which may be
 * NULL). */
void lflight_check_parts(lua_State *L, int first, uint32_t n, const char *op, const char *name);
/* Raise misuse for what a function of the user's returned, at `index`: `fmt` has a %s for it. */
int lflight_misuse(lua_State *L, const char *op, const char *name, const char *fmt, int index);

/* The running task's wait for `f` was granted, and it has taken what it wants of it. */
static inline void lflight_leave(lcontext *ctx, weir_flight *f)
{
    weir_current(ctx->rt)->wait.object = NULL; /* see lflight_abandon */
    weir_flight_leave(ctx->rt, f);
}

/* --- weir.flight: those that one call waits for --------------------------------------- */
typedef struct lflights_ops {
    /* Raise for a wait that ended with `status`, not GRANTED nor FAILED; the owner is at 1. */
    int (*raise)(lua_State *L, lcontext *ctx, weir_status status);
    /* Push the ended task that did the work, of the source at `index`; nil if none could be. */
    void (*push_task)(lua_State *L, int index);
} lflights_ops;

/* The number of keys in the array (with n, or without holes) at `index`. Raises misuse. */
uint32_t lflights_check_keys(lua_State *L, int index, const char *op);
/* Push an empty set with room for `n` flights of the object at index 1, and `n` results. `collect`:
 * give errors as a table, do not raise the first. Raises. */
void lflights_push(lua_State *L, lcontext *ctx, uint32_t n, int collect, const lflights_ops *ops);
/* Be interested in `f` for result `place`; the source of its outcome is at the top (popped). The
 * set is at `index`. Does not raise. */
void lflights_add(lua_State *L, int index, weir_flight *f, uint32_t place);
/* Result `place` is the value at the top (popped); or it is an error, which is raised unless they
 * are collected. */
void lflights_set(lua_State *L, int index, uint32_t place);
void lflights_set_error(lua_State *L, int index, uint32_t place);
/* Not interested any more. */
void lflights_leave(lua_State *L, int index);
void lflight_open(lua_State *L);

#include <weir/end.h>
#endif
