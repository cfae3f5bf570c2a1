/* bindings/lsemaphore.h - what the bindings of semaphores, permits and limits share. */
#ifndef WEIR_BINDINGS_LSEMAPHORE_H
#define WEIR_BINDINGS_LSEMAPHORE_H
#include "context.h"

#include <weir/begin.h>

/* --- lsemaphore.c ------------------------------------------------------------------------ */
typedef struct lsem_options {
    const char *name; /* borrowed from the stack; may be NULL */
    uint32_t n, max_waiting, bypass;
    weir_order order;
    uint64_t aging;
} lsem_options;

/* Read index 1: a count, or a table with a count under `count` and the options of a semaphore. */
void lsem_check_options(lua_State *L, const char *op, const char *count, lsem_options *out);
/* Make a semaphore and push its userdata of `type`. Raises. */
lsem *lsem_new(lua_State *L, ltype type, const lsem_options *options, const char *op);
/* The semaphore of the userdata at 1, of this runtime, or misuse. */
lsem *lsem_check(lua_State *L, ltype type, const char *op);
/* The priority at `index`: an integer, for a semaphore that has priorities. nil is 0. */
int32_t lsem_check_priority(lua_State *L, int index, const weir_semaphore *s, const char *op);
/* Raise for a refusal. Semaphore at 1. */
int lsem_refused(lua_State *L, const weir_semaphore *s, int rc, uint32_t n, const char *op);
/* As lwait_outcome, with the semaphore's name and the reason of its close. Semaphore at 1. */
void lsem_outcome(lua_State *L, lcontext *ctx);
int lsem_gc(lua_State *L);
/* semaphore:with for any userdata over an lsem, checked by the caller. */
int lsem_with(lua_State *L);
/* Wait by `begin` until `is_over`, unless it is; the timeout at 2. `self` is who calls. */
int lsem_wait(lua_State *L, lsem *s, const char *op, lua_CFunction self, int is_over,
              void (*begin)(weir_semaphore *, weir_waiter *, uint64_t));
/* object:set_priority(task, priority) -> whether the task waited there */
int lsem_set_priority(lua_State *L, lsem *s, const char *op);
/* Push the table of stats. */
void lsem_push_stats(lua_State *L, const weir_semaphore *s);

/* --- lacquire.c --- */
int lsem_acquire(lua_State *L);
int lsem_try_acquire(lua_State *L);

/* --- lpermit.c: a handle of a permit ---------------------------------------------------------- */
typedef struct lpermit lpermit;
/* Push an empty handle. Raises. */
lpermit *lpermit_push(lua_State *L, const lbox *box);
/* Fill it. */
void lpermit_take(lpermit *p, const lcontext *ctx, weir_permit *permit);
void lpermit_open(lua_State *L);

#include <weir/end.h>
#endif
