/* weir/scope.h - the tree of scopes and tasks: who belongs to whom, what is cancelled.
 *
 * Every task is a scope for what it spawns; a task may open further scopes inside. One tree
 * holds both. A scope does not end before its children. Cancelling a scope marks everything
 * below it (so that a check is one flag) and gives up the waits of the tasks that stand in
 * marked scopes. A shield keeps marks out until its grace is over.
 *
 * Invariants: an ancestor outlives its descendants; a marked scope's `cause` is itself or an
 * ancestor; n_children counts the members of `children`.
 * Scope memory is the caller's and stays put from open to end.
 */
#ifndef WEIR_SCOPE_H
#define WEIR_SCOPE_H
#include <weir/waiter.h>

#include <weir/begin.h>

typedef struct weir_scope weir_scope;

enum {
    WEIR_SCOPE_TASK = 1,        /* embedded in a weir_task (member `scope`) */
    WEIR_SCOPE_CANCELLED = 2,   /* waits inside end with CANCELED; `cause` says why */
    WEIR_SCOPE_SHIELD = 4,      /* marks from above stop here until the grace is over */
    WEIR_SCOPE_HELD_BACK = 8,   /* a mark from above waits for this shield's grace */
    WEIR_SCOPE_SUPERVISOR = 16, /* a failed child cancels nobody (the root) */
    WEIR_SCOPE_FAILED = 32,     /* a child failed unclaimed: siblings were cancelled */
    WEIR_SCOPE_EXPIRED = 64,    /* its own deadline passed */
    WEIR_SCOPE_ENDED = 128,     /* accepts no more children */
    WEIR_SCOPE_SETTLING = 256,  /* somebody waits in settle: failures are claimed */
    WEIR_SCOPE_DAEMON = 512,    /* ended with the program, not joined by it */
    WEIR_SCOPE_CLAIMED = 1024,  /* of a task: somebody will look at its failure */
    WEIR_SCOPE_DUE = 2048       /* its deadline, or one above, was past when it was set */
};

/* Why a scope was cancelled: a word for C, a value handle for a language binding. */
typedef struct weir_reason {
    const char *text; /* static, or owned by whoever cancelled and outliving the scope */
    intptr_t value;   /* the binding's own handle; 0 is none. In a shield: its weir_deadline */
} weir_reason;

struct weir_scope {
    weir_scope *parent;  /* NULL for the root alone */
    weir_link link;      /* among the parent's children */
    weir_list children;  /* scopes and tasks, in the order they came */
    weir_list joiners;   /* waiters for the end (task) or for no more children (scope) */
    weir_task *owner;    /* the task that runs its body; NULL for the root */
    weir_scope *cause;   /* the scope whose cancel reached here; NULL if none */
    weir_reason reason;  /* of its own cancel */
    uint32_t n_children; /* tasks not yet ended, daemons not counted */
    uint32_t flags;      /* WEIR_SCOPE_* */
};

/* A point in time after which a scope is cancelled (or a shield opens). Caller's memory. */
typedef struct weir_deadline {
    weir_timer timer;
    weir_scope *scope;
    uint64_t grace; /* of a shield, ns */
} weir_deadline;

/* Open `s` inside `parent`, its body run by `owner`, whose `current` it becomes; a mark on
 * `parent` is inherited unless `flags` has WEIR_SCOPE_SHIELD. */
void weir_scope_open(weir_runtime *rt, weir_scope *s, weir_scope *parent, weir_task *owner,
                     uint32_t flags);

/* Close an open scope without children; its owner stands in the parent again. */
void weir_scope_end(weir_runtime *rt, weir_scope *s);

/* Cancel `s` and all below. The first reason stays. Nothing if it was cancelled itself.
 * Returns 1 if this call cancelled it. Takes `reason` on 1 only. */
int weir_scope_cancel(weir_runtime *rt, weir_scope *s, weir_reason reason);

/* Cancel `s` with the reason "deadline" at `at`, and set WEIR_SCOPE_EXPIRED. Unset with
 * weir_deadline_unset before `s` ends. A shield's deadline is its grace: see weir_scope_shield.
 * One that is past sets WEIR_SCOPE_DUE and cancels in the next turn: whoever is about to wait
 * inside before that calls weir_scope_expire. */
void weir_scope_set_deadline(weir_runtime *rt, weir_scope *s, weir_deadline *d, uint64_t at);
void weir_deadline_unset(weir_runtime *rt, weir_deadline *d);

/* The outermost deadline that is DUE for `s` cancels its scope now. */
void weir_scope_expire(weir_runtime *rt, weir_scope *s);

/* Make `s` (opened with WEIR_SCOPE_SHIELD) stand against cancels from above for `grace` ns,
 * from the later of now and the cancel. Uses `d` for its grace. */
void weir_scope_shield(weir_runtime *rt, weir_scope *s, weir_deadline *d, uint64_t grace);

/* Let through at once every cancel that a shield below `s` holds back, whatever grace is left: for
 * the end of a program in which nothing else can happen. */
void weir_scope_open_shields(weir_runtime *rt, weir_scope *s);

/* Wait in `w` until `s` has no children, daemons not counted. `can_cancel` 0: the join at its end,
 * which cannot be given up; otherwise one that a cancel or `deadline` ends. Settled at once (still
 * through the ready queue) if it has none. Cannot fail. */
void weir_scope_join(weir_runtime *rt, weir_scope *s, weir_waiter *w, int can_cancel,
                     uint64_t deadline);

static inline int weir_scope_is_cancelled(const weir_scope *s)
{
    return (s->flags & WEIR_SCOPE_CANCELLED) != 0;
}

/* 1 if `s` is `of` or below it. O(depth). */
int weir_scope_is_inside(const weir_scope *s, const weir_scope *of);

#include <weir/end.h>
#endif
