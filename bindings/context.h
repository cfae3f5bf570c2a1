/* bindings/context.h - what the C half of the binding shares: one context per runtime.
 *
 * A Lua state has one box (registry, and upvalue 1 of every function of weir.core); the box
 * points at the context that is current: the state's own on libuv, or a simulator's while it
 * runs. A task is userdata that embeds the core's task; while it is alive the context's table
 * `tasks` holds it by slot number, and it holds everything else (function, arguments, coroutine).
 * Coroutines are pooled: a finished one is anchored in `threads` and used again.
 *
 * Rules: nothing that can raise stands between arming a wait and yielding; C calls Lua only in
 * tasks, or through protected calls; no policy here.
 */
#ifndef WEIR_BINDINGS_CONTEXT_H
#define WEIR_BINDINGS_CONTEXT_H
#include <lauxlib.h>
#include <lua.h>
#include <math.h>
#include <weir/weir.h>

#include <weir/begin.h>

typedef enum ltype {
    LTYPE_TASK,
    LTYPE_SCOPE,
    LTYPE_SEMAPHORE,
    LTYPE_PERMIT,
    LTYPE_LIMIT,
    LTYPE_BUCKET,
    LTYPE_RESERVATION,
    LTYPE_SIMULATOR,
    LTYPE_POOL,
    LTYPE_LEASE,
    LTYPE_CACHE,
    LTYPE_FLIGHT,
    LTYPE_BATCH,
    LTYPE_COUNT
} ltype;

typedef struct lcontext lcontext;

typedef struct lbox {
    lcontext *current;             /* never NULL while the state lives */
    lcontext *own;                 /* on libuv; made when weir.core is opened */
    const void *meta[LTYPE_COUNT]; /* identity of the metatables, for a quick type check */
    int meta_ref[LTYPE_COUNT];     /* and where the registry has them */
    const void *error_meta;
    int idle_gc;         /* collect while the loop would sleep */
    uint32_t n_contexts; /* ever made: their numbers */
    const char *folder;  /* "@.../weir/" of the Lua half, anchored; NULL until it is known */
} lbox;

/* A semaphore, of its own or under a limit: core memory, because permits may be out when the
 * userdata is collected. */
typedef struct lsem lsem;
typedef struct lsem_object {
    const void *tag; /* first */
    lsem *sem;       /* NULL once it is gone */
} lsem_object;
struct lsem {
    weir_link link; /* in ctx->semaphores */
    lcontext *ctx;
    lsem_object *owner; /* NULL once that is gone */
    uint32_t jobs;      /* queued for a start that they have not heard of */
    weir_semaphore sem;
    size_t size;
    char name[];
};

#define LBUCKET_LIMITS 16

/* A rate limit: core memory, because tickets may be out when the userdata is collected.
 * `*owner` is the pointer in the userdata, NULL once either is gone. User value 1 of the
 * userdata: the reason of the close. */
typedef struct lbucket {
    weir_link link; /* in ctx->buckets */
    lcontext *ctx;
    struct lbucket **owner;
    weir_rate rate;
    uint32_t first, listed; /* of `limit`: listed ones are first .. first + listed - 1; before */
                            /* them rate= and burst=, after them window=, if given */
    weir_rate_limit limit[LBUCKET_LIMITS];
    size_t size;
    char name[];
} lbucket;

/* What a runtime frees at its end: the head of core memory behind a userdata. */
typedef struct lobject {
    weir_link link; /* in ctx->objects */
    void (*free)(struct lobject *o);
} lobject;

/* A connector's clean-up. */
typedef struct lending {
    weir_link link;
    void (*close)(void *data);
    void *data;
} lending;

typedef struct lthread {
    lua_State *co;
    int index; /* its place in `threads` */
} lthread;

struct lcontext {
    weir_runtime *rt;
    weir_loop *loop;           /* NULL under a simulator */
    weir_simulator *simulator; /* NULL on libuv; borrowed */
    lbox *box;
    lcontext *outer;      /* which was current when this one was made, and lives longer */
    uint32_t number;      /* of no other context of this state, ever */
    lua_State *main;      /* the state's main thread */
    lua_State *from;      /* who drives: passed to lua_resume */
    int tasks, threads;   /* registry references: slot -> task, index -> coroutine */
    weir_list buckets;    /* lbucket */
    weir_list semaphores; /* lsem */
    weir_list orphans;    /* lsem that Lua dropped while they were in use */
    weir_list objects;    /* lobject */
    weir_list pools;      /* lpool; in `objects` too */
    weir_list endings;    /* lending */
    lthread *idle;        /* stack of idle coroutines */
    unsigned n_idle, cap_idle;
    int *free_slots; /* stack of free slots of `tasks` */
    unsigned n_free, cap_free;
    int n_slots;
    unsigned n_threads;      /* alive, idle ones included */
    struct ltask *main_task; /* of the run in progress */
    struct lguest *guest;    /* another loop that ours drives, or NULL; lluv.c */
    int running;             /* a driver is on the C stack */
    int for_caller;          /* the next spawn is the library\'s, on behalf of who called it */
    int on_unhandled;        /* registry reference of a function, or LUA_NOREF */
    int reports;             /* the same of a list that gets what would go to standard error */
    uint64_t until;          /* on virtual time: nothing happens after it; WEIR_FOREVER */
    unsigned n_unhandled;    /* failures that nobody could get: the exit code */
    int deadlocked;          /* detached tasks were left waiting for each other */
    uint64_t parks;          /* waits that really parked */
    uint64_t cancel_at;      /* 0 or the number of the park that cancels (tests) */
    int cancel_self;         /* the parking task instead of the main task */
};

/* Where a task's coroutine stands; ltask.c. */
typedef struct ltask {
    weir_task task;  /* first */
    lcontext *ctx;   /* valid until it ended */
    lua_State *co;   /* NULL before its first turn and after its end */
    lua_KFunction k; /* of the wait it is parked in */
    lua_KContext kctx;
    int top;             /* of its stack then */
    unsigned parked : 1; /* it yielded through park() */
    unsigned is_main : 1, has_extra : 1, raw_yield : 1, buried : 1;
    unsigned again : 1;   /* the next error that its handler sees is one raised before */
    unsigned outcome : 3; /* weir_task_state its body decided on, before it has ended */
    unsigned work : 4;    /* lwork_kind */
    unsigned keeps : 4;   /* the user value that holds the userdata it works for; 0: none */
    int thread;           /* index of co */
    int slot;             /* in ctx->tasks; 0 once it ended */
    int line;             /* where it was spawned; -1 unknown, or LTASK_BY_HOST */
    int n_values;         /* arguments, then results, in user value 1 */
    union {
        weir_permit *permit; /* `work` is LWORK_NONE: the limit's slot of a job, or NULL */
        void *object;        /* what it works for */
    };
} ltask;
enum { LTASK_BY_HOST = -2 }; /* a `line` */

/* A task that the library spawned for what many wait for, in no scope of theirs: what it works for
 * learns of its end. Set `work` and `object` when it is spawned; its failure is claimed, unless
 * nobody waits for it any more. */
typedef enum lwork_kind {
    LWORK_NONE,
    LWORK_POOL,
    LWORK_LOAD,
    LWORK_LOADS,
    LWORK_GROUP,
    LWORK_KINDS
} lwork_kind;
typedef struct lwork {
    /* It has an outcome: results, or one error, from `first` to the top; the task at 1. May change
     * these and gives the state that holds. May raise: then the task fails with that, and this is
     * called again. */
    weir_task_state (*conclude)(lua_State *L, ltask *t, weir_task_state state, int first);
    /* It has ended, with or without a `conclude` (memory was short). Raises nothing. */
    void (*ended)(ltask *t);
    /* [-0, +1, m] Its name, should it be asked for before it ends. NULL: it was given one. */
    void (*push_name)(lua_State *L, const ltask *t);
} lwork;

/* User values of a task: 1 the function, then results or the error; 2 the function that spawned
 * it, or (has_extra) the table of rarer things: site, name, errors, traceback; from 3 on the
 * arguments until it starts, or (more than LTASK_INLINE) 3 a table of them. */
enum { LTASK_VALUES = 1, LTASK_EXTRA = 2, LTASK_ARGS = 3, LTASK_INLINE = 6 };

typedef struct lscope {
    const void *tag; /* first; NULL unless it is open */
    weir_scope scope;
    weir_deadline deadline;
    lcontext *ctx;
    weir_waiter *next;          /* who waits in scope:next() */
    int slot;                   /* in ctx->tasks while open */
    int n_places;               /* made in user value 2, one for each child ever spawned */
    int n_queued, first_queued; /* ended children not yet taken, from first_queued + 1 on */
    uint8_t collect;
    uint32_t settlers; /* who wait in scope:settle() */
    const char *op;    /* "weir.scope" ... static */
    uint64_t timeout;  /* ns, for the message */
} lscope;

enum { LSCOPE_EXTRA = 1, LSCOPE_QUEUE = 2 };

/* Of a scope that is no task's and not the root. */
static inline lscope *lscope_of(weir_scope *s)
{
    return weir_container(s, lscope, scope);
}

/* --- context.c ---------------------------------------------------------------------- */
lbox *lbox_of(lua_State *L);                /* by the registry: for calls from connectors */
static inline lbox *lbox_here(lua_State *L) /* in a function of weir.core, by its upvalue */
{
    return lua_touserdata(L, lua_upvalueindex(1));
}
/* Raises `closed`: the state is being closed, and a finalizer still calls. */
int lcontext_is_gone(lua_State *L);
static inline lcontext *lcontext_here(lua_State *L)
{
    lcontext *ctx = lbox_here(L)->current;
    if (ctx == NULL)
        lcontext_is_gone(L);
    return ctx;
}
/* Is the context of that number alive? */
static inline int lcontext_lives(const lbox *box, uint32_t number)
{
    const lcontext *ctx = box->current;
    while (ctx != NULL && ctx->number != number)
        ctx = ctx->outer;
    return ctx != NULL;
}
/* Make the context of a libuv loop (simulator NULL) or of a simulator. Raises. */
lcontext *lcontext_new(lua_State *L, lbox *box, weir_simulator *simulator);
void lcontext_free(lua_State *L, lcontext *ctx);
/* Take a coroutine for `t`, from the pool or new. 0 or WEIR_ENOMEM. */
int lcontext_take_thread(lcontext *ctx, ltask *t);
void lcontext_give_thread(lcontext *ctx, ltask *t, int reusable);
/* The loop is about to sleep: give up a few of the idle coroutines. */
void lcontext_trim(lcontext *ctx);
/* Anchor the userdata at the top of the stack (not popped) under a new slot. Raises. */
int lcontext_anchor(lua_State *L, lcontext *ctx);
void lcontext_unanchor(lua_State *L, lcontext *ctx, int slot);
/* Push what `slot` holds. */
void lcontext_push_slot(lua_State *L, lcontext *ctx, int slot);
/* --- lrun.c: spawn the function and `nargs` arguments at the top as main task, drive it and all
 * it left to the end, push the task. Raises only before the task exists. */
ltask *lrun_main(lua_State *L, lcontext *ctx, int nargs);
/* Cancel all tasks with the text at the top (popped) as reason and drive them to their end; shields
 * hold for `grace` ns. Nothing starts in `ctx` any more. Raises nothing. */
void lrun_end(lua_State *L, lcontext *ctx, uint64_t grace);
void lrun_open(lua_State *L);

/* --- lembed.c: the loop that the host said weir is to use, or NULL. Raises if it cannot. --- */
struct uv_loop_s *lembed_loop(lua_State *L);

/* --- lluv.c: a step of the guest's loop, before each of ours; 1 if it has something to do --- */
int lguest_step(lua_State *L, lcontext *ctx);
void lguest_free(lcontext *ctx);
void lluv_open(lua_State *L);

/* --- lcheck.c: arguments -------------------------------------------------------------- */
/* The object of `type` at index 1 .. or misuse naming `op`. */
void *lcheck_object(lua_State *L, int index, ltype type, const char *op);
/* The same or NULL. */
static inline void *ltest_object(lua_State *L, int index, const lbox *box, ltype type)
{
    void *p = lua_touserdata(L, index);
    if (p == NULL || !lua_getmetatable(L, index))
        return NULL;
    const void *meta = lua_topointer(L, -1);
    lua_pop(L, 1);
    return meta == box->meta[type] ? p : NULL;
}
/* The same where userdata begins with the tag of its type, an address that no other memory holds.
 * For measured paths: a look at the metatable costs five times as much. A finalizer clears the
 * tag; where there is none, whatever a stale one leads to must still be there. */
static inline const void *ltag(const lbox *box, ltype type)
{
    return &box->meta[type];
}
static inline void *ltest_tagged(lua_State *L, int index, const lbox *box, ltype type)
{
    const void **tag = lua_touserdata(L, index);
    return tag != NULL && lua_rawlen(L, index) >= sizeof *tag && *tag == ltag(box, type) ? tag
                                                                                         : NULL;
}
/* Set the metatable of `type` on the userdata at the top. */
void lcontext_set_type(lua_State *L, const lbox *box, ltype type);
/* For __index functions (methods as upvalue 2): push the method that the key at 2 names, or nil. */
static inline int lcontext_push_method(lua_State *L)
{
    lua_pushvalue(L, 2);
    return lua_rawget(L, lua_upvalueindex(2));
}
extern const char *const ltype_names[LTYPE_COUNT];
/* misuse: "op: argument 'name' must be EXPECTED, got ACTUAL". Never returns. */
int lcheck_fail(lua_State *L, const char *op, const char *name, const char *expected, int index);
void lcheck_function(lua_State *L, int index, const char *op, const char *name);
/* A positive integer that fits; `index` may be relative. */
uint32_t lcheck_count(lua_State *L, int index, const char *op, const char *name);
/* A bound of what may be: an integer >= `least` (0, 1) that fits, or math.huge, UINT32_MAX, for
 * none. What is a capacity or a size is a count: it has to be there. */
uint32_t lcheck_bound_at(lua_State *L, int index, const char *op, const char *name, int least);
/* Option `name` of the table at `table`: such a bound from 0 on, `none` if it is not given. */
uint32_t lcheck_bound(lua_State *L, int table, const char *op, const char *name, uint32_t none);
/* Seconds (>= 0, inf allowed) to ns, WEIR_FOREVER for a huge one. */
uint64_t lcheck_seconds(lua_State *L, int index, const char *op, const char *name);
/* A timeout: nil or none is FOREVER; a number, or a table whose field `field` is one. */
uint64_t lcheck_timeout(lua_State *L, int index, const char *op, const char *field);
/* The same where `timeout` is all that a table may hold. */
uint64_t lcheck_only_timeout(lua_State *L, int index, const char *op);
/* The table at `index` has only the string keys in `allowed` (NULL-terminated). */
void lcheck_options(lua_State *L, int index, const char *op, const char *const *allowed);
double lseconds(uint64_t ns);
void lcheck_open(lua_State *L);

/* --- lerror.c ------------------------------------------------------------------------- */
/* Push an error object; fields can be added to the table. */
void lerror_push(lua_State *L, const char *kind, const char *op, const char *fmt, ...);
void lerror_pushv(lua_State *L, const char *kind, const char *op, const char *fmt, va_list ap);
int lerror_raise(lua_State *L, const char *kind, const char *op, const char *fmt, ...);
/* The kind of the value at `index` as a static-lifetime string of the state, "error" for a plain
 * one. */
const char *lerror_kind(lua_State *L, int index);
int lerror_is_cancelled(lua_State *L, int index);
/* Push the text of a stack traceback of `of`, from `level`; without weir's own frames. */
void lerror_push_traceback(lua_State *L, lua_State *of, int level);
/* Push the value at `index` as text; a __tostring that raises does no harm. */
void lerror_push_text(lua_State *L, int index);
/* Push "cancelled" for the running task's scope. */
void lerror_push_cancelled(lua_State *L, const char *op, const weir_scope *scope);
void lerror_push_reason(lua_State *L, const weir_scope *scope);
/* Message handler of bodies: remembers the stack in the running task; the value stays. */
int lerror_handler(lua_State *L);
/* The error at `error` is about to be raised again in the running task, far from where it
 * failed: keep the stack of its origin, text or nil at `origin`, for the task's own traceback. */
void lerror_keep_origin(lua_State *L, lcontext *ctx, int error, int origin);
/* Message handler of callbacks, which are no tasks: the value becomes text with the stack. */
int lerror_callback_handler(lua_State *L);
/* Report the error at the top (popped). */
void lerror_report(lua_State *L, lcontext *ctx, const char *what, int fatal);
void lerror_open(lua_State *L, lbox *box);

/* --- lwait.c ---------------------------------------------------------------------------- */
/* Spend one unit of `t`'s budget: 1 if the caller must make a checkpoint before it goes on. Not
 * where Lua cannot yield: what need not wait must work there. */
static inline int lwait_spend(lua_State *L, ltask *t)
{
    return weir_task_spend(&t->task) && lua_isyieldable(L);
}
/* Raise because there is no task: `hint` says what helps, and the text where it is called. */
int lwait_refuse_outside(lua_State *L, const char *op, const char *hint);
/* Raise because `t` (or NULL) is not a task that runs in L; because it cannot wait here. */
ltask *lwait_refuse_task(lua_State *L, const ltask *t, const char *op);
void lwait_refuse(lua_State *L, const ltask *t, const char *op);
/* May the running task yield here? misuse if not. */
void lwait_check_yieldable(lua_State *L, const char *op);
/* The running task, or misuse; does not look whether it can wait. */
static inline ltask *lwait_task(lua_State *L, lcontext *ctx, const char *op)
{
    ltask *t = (ltask *)(void *)weir_current(ctx->rt);
    return t != NULL && t->co == L ? t : lwait_refuse_task(L, t, op);
}
/* May the running task `t` wait here? Raises misuse or cancelled. */
static inline void lwait_check(lua_State *L, const ltask *t, const char *op)
{
    if (!lua_isyieldable(L) ||
        (t->task.current->flags & (WEIR_SCOPE_CANCELLED | WEIR_SCOPE_DUE)) != 0)
        lwait_refuse(L, t, op);
}
/* The running task, which may wait here; raises misuse or cancelled. */
static inline ltask *lwait_enter(lua_State *L, lcontext *ctx, const char *op)
{
    ltask *t = lwait_task(L, ctx, op);
    lwait_check(L, t, op);
    return t;
}
/* Yield the running task, whose waiter is armed. Raises `deadlock` if nobody can wake it. */
int lwait_park(lua_State *L, ltask *t, lua_KFunction k, lua_KContext kctx);
/* Join the children of `s` at its end and yield: this wait is not given up, whatever comes. If
 * it would close a deadlock the children are cancelled and the error is kept for `s`. */
int lwait_join_end(lua_State *L, ltask *t, weir_scope *s, lua_KFunction k, lua_KContext kctx);
/* In k: return if granted, else raise. */
void lwait_outcome(lua_State *L, lcontext *ctx);
/* The same, of what the caller knows by another name than the core. */
void lwait_outcome_of(lua_State *L, lcontext *ctx, const char *op);
/* A checkpoint of a task whose budget is spent; `k` calls lwait_outcome first, as after a wait. */
int lwait_yield(lua_State *L, ltask *t, const char *op, lua_KFunction k, lua_KContext kctx);
/* The same before an operation that may turn out not to wait: `f`, with the stack as it is. */
int lwait_again(lua_State *L, ltask *t, const char *op, lua_CFunction f);
/* Push one line: who, spawned where, waits in what. */
void lwait_push_waits(lua_State *L, ltask *t);
int lwait_raise_stuck(lua_State *L, lcontext *ctx, weir_graph *g);
void lwait_open(lua_State *L);

/* --- lbody.c, lstory.c, ltask.c --- */
/* The running task of `ctx`, or NULL. */
static inline ltask *ltask_current(const lcontext *ctx)
{
    return (ltask *)(void *)weir_current(ctx->rt);
}
/* What a task has that others do not: it queues on a limit for its start, instead of being ready
 * (`on`), or it works for an object of the library (`keeps`). */
typedef struct ljob {
    weir_semaphore *on; /* NULL: none */
    uint32_t n;         /* weight */
    int32_t priority;
    int name;  /* stack index of its name; 0 is none */
    int keeps; /* stack index of the userdata it works for, kept as long as the task; 0 is none */
} ljob;
/* Spawn from function and `nargs` arguments at the top (popped); pushes the task. 0 or a code
 * with nothing pushed. `job` may be NULL. */
int ltask_spawn(lua_State *L, lcontext *ctx, int nargs, weir_scope *parent, uint32_t flags,
                const ljob *job);
/* Raise for a refused spawn. */
int ltask_refused(lua_State *L, const char *op, int code, const weir_scope *parent);
void ltask_push(lua_State *L, ltask *t);
/* Push the field table of rarer things of the task/scope that owns `s`, made if missing. */
void lscope_push_extra(lua_State *L, lcontext *ctx, weir_scope *s);
void ltask_push_name(lua_State *L, ltask *t);
void ltask_push_default_name(lua_State *L, ltask *t);
/* Push the extra table of the task at the top of the stack (stays), made if missing. */
void ltask_push_extra(lua_State *L, ltask *t);
/* Push field `key` of it for the task at `index`, nil if there is none; its type. */
int ltask_push_field(lua_State *L, int index, ltask *t, const char *key);
/* The error at `index` ended a task that nobody awaits: report it, or let the hook do so. */
void ltask_unhandled(lua_State *L, lcontext *ctx, ltask *t, int index);
/* Push all that is known of the failure of `t`, whose error is at `index`, as text: error,
 * stack, and the failures that came beside it. The task must still be anchored. */
void ltask_push_story(lua_State *L, ltask *t, int index);
/* [-0, +1, m] "at FILE:LINE", "by the host": who spawned it. */
void ltask_push_site(lua_State *L, ltask *t);
/* Push the results, or the error, always one; returns how many. `index` is the task's, which has
 * ended. */
int ltask_push_values(lua_State *L, int index, ltask *t);
/* Push {ok=true, value=} or {ok=false, error=}. */
void ltask_push_settled(lua_State *L, int index, ltask *t);
/* Append {error, traceback, name} to the errors of `blamed`; the error is at `index`. */
void lscope_add_error(lua_State *L, lcontext *ctx, weir_scope *blamed, int index, ltask *t);
/* Push errors[1].error of scope `s`, whose traceback becomes the one of `s`; 0 if there is none. */
int lscope_push_first_error(lua_State *L, lcontext *ctx, weir_scope *s);
/* weir.run(fn, ...) inside a task: a scope. */
int lscope_run(lua_State *L);
/* weir.shield([grace,] fn, ...) */
int lscope_shield(lua_State *L);
/* Set or take the reason of a cancel from the value at `index`. */
int lscope_cancel(lua_State *L, lcontext *ctx, weir_scope *s, int index);
void lscope_drop_reason(lua_State *L, weir_scope *s);
/* End the scope of a body that is gone with its coroutine; it has no children. */
void lscope_abandon(lua_State *L, lscope *s);
/* A child of a collecting scope ended; the task is at `index`. */
void lscope_collect(lua_State *L, lscope *s, int index);

/* --- lsemaphore.c: the rest is in lsemaphore.h ------------------------------------------- */
void lsem_free(lsem *s);
/* Push {count=, mean=, max=, p50=, p95=, p99=}, in seconds. */
void lsem_push_histogram(lua_State *L, const weir_histogram *h);

/* --- lbucket.c ---------------------------------------------------------------------------- */
/* At the end of the runtime: every bucket of `ctx` with all that is in it. */
void lbucket_free_all(lcontext *ctx);
/* The bucket of the userdata at `index`, of this runtime; that at 1, whatever it is; or misuse. */
lbucket *lbucket_of(lua_State *L, int index, const char *op);
lbucket *lbucket_check(lua_State *L, const char *op);
/* The number of tokens at `index`, 1 if there is none. */
double lbucket_amount(lua_State *L, int index, const lbucket *b, const char *op);
/* Raise for a refusal of `n`. The bucket's userdata is at 1. */
int lbucket_refused(lua_State *L, lbucket *b, int rc, double n, const char *op);
/* As lseconds, and infinite for WEIR_FOREVER. */
static inline double lbucket_seconds(uint64_t ns)
{
    return ns == WEIR_FOREVER ? HUGE_VAL : lseconds(ns);
}
void lbucket_open(lua_State *L);

/* --- lcache.c, lload.c, lloads.c, lbatch.c, lgroup.c, lflight.c: more in their headers  */
extern const lwork lload_work, lloads_work, lgroup_work;
extern const lwork *const lworks[LWORK_KINDS]; /* by lwork_kind */
/* Nobody will look how the wait `w` ended, whose coroutine is dead. */
void lflight_abandon(weir_runtime *rt, weir_waiter *w);
void lcache_open(lua_State *L);
void lbatch_open(lua_State *L);

/* --- lpool.c: the rest is in lpool.h ----------------------------------------------------- */
extern const lwork lpool_work;
void lpool_open(lua_State *L);
/* Nobody will look how the wait `w` ended, whose coroutine is dead. */
void lpool_abandon(weir_waiter *w);
/* The end of a run: close the pools of `ctx`; are they all empty; open again those it closed, if
 * another run may come. */
void lpool_stop_all(lcontext *ctx);
int lpool_all_stopped(lcontext *ctx);
void lpool_restart_all(lcontext *ctx);
/* Is all that can still happen that pools on which nobody waits keep themselves fit? Then nobody
 * will be woken any more. */
int lpool_is_all(lcontext *ctx);

/* --- lreservation.c ----------------------------------------------------------------------- */
/* bucket:reserve([n]) -> reservation: a place in the queue, without waiting. */
int lbucket_reserve(lua_State *L);
void lreservation_open(lua_State *L);

void ltask_open(lua_State *L);
void lscope_open(lua_State *L);
void lsemaphore_open(lua_State *L);
void llimit_open(lua_State *L);
void lsimulator_open(lua_State *L);
void lapi_open(lua_State *L);
void lqueueing_open(lua_State *L);
/* Register `methods` (box as upvalue 1) in core.methods[name] and `meta` in a new metatable. */
void lcontext_new_type(lua_State *L, ltype type, const luaL_Reg *methods, const luaL_Reg *meta);
void lcontext_set_functions(lua_State *L, const luaL_Reg *functions);
/* The same for functions that run a body: they have lerror_handler at hand, as upvalue 2. */
#define LHANDLER lua_upvalueindex(2)
void lcontext_set_runners(lua_State *L, const luaL_Reg *functions);

#include <weir/end.h>
#endif
