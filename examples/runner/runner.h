/* runner.h - what the parts of the runner share: the program's state, and its awaitable calls.
 *
 * A call is what Lua waits for and something outside works on: a process, a thread, the operator.
 * Each that may still look at it owns it, the box on the Lua stack included, and it is freed with
 * the last; so it does not matter which ends first, the wait or the work.
 */
#ifndef RUNNER_H
#define RUNNER_H
#include <uv.h>
#include <weir/lua.h>

typedef struct runner {
    const weir_lua_api *api;
    weir_runtime *rt;
    uv_loop_t loop;
    weir_list questions; /* calls of approve, oldest first */
    int has_operator;    /* somebody may still answer */
    char typed[256];     /* answers nobody has asked for yet, 'y' or 'n' each */
    int n_typed;
    int n_open, n_failed; /* workflows */
    int signum;           /* that ended it, or 0 */
} runner;

typedef struct call {
    runner *r;
    weir_waiter *waiter; /* NULL once the wait is over */
    weir_link link;      /* in questions */
    int n_owners;
    int answer; /* of approve */
} call;

/* Push {sh=, digest=, approve=}; each finds `r` in its upvalue. */
void functions_push(lua_State *L, runner *r);

/* Memory for a call of `size` bytes, owned by a box that is pushed. Raises. */
call *call_new(lua_State *L, runner *r, size_t size);
void call_drop(call *c);
/* Its work is done: wake who waits, if anybody does. */
void call_settle(call *c, weir_status status);

/* The operator has typed an answer; there will be none any more. */
void operator_answers(runner *r, int yes);
void operator_leaves(runner *r);

#endif
