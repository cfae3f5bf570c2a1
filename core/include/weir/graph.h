/* weir/graph.h - the wait-for graph: can anybody still wake this wait?
 *
 * Asked when a task parks. A wait can be woken if it has a timeout of its own, if its kind
 * can always be (timers, I/O, callbacks), or if those it depends on can: any sufficient set
 * of holders for a semaphore, all children for a join. The search stops at the first task
 * that runs, is ready or is bound to a timer or I/O: O(1) in practice; at worst a look at every
 * task for every task.
 * An inherited deadline does not count as a waker.
 */
#ifndef WEIR_GRAPH_H
#define WEIR_GRAPH_H
#include <weir/runtime.h>

#include <weir/begin.h>

/* A longer chain, or a search of more steps, counts as able to wake: never a false alarm. */
#define WEIR_GRAPH_DEPTH 256
#define WEIR_GRAPH_STEPS 100000

struct weir_graph {
    weir_runtime *rt;
    uint64_t acts, round, walked; /* marks of this search, see sched/graph.c */
    uint32_t steps;
    uint32_t depth;
    int is_new;                         /* the round found a task that acts */
    weir_task *path[WEIR_GRAPH_DEPTH];  /* the chain under inspection */
    uint32_t n_cycle;                   /* > 0 once a dead end was proved */
    weir_task *cycle[WEIR_GRAPH_DEPTH]; /* the tasks that wait for each other */
};

/* 1 if nobody can wake the pending wait of `t`; `g` then holds the cycle. */
int weir_graph_is_stuck(weir_runtime *rt, weir_task *t, weir_graph *g);

/* Does `t` need nobody to go on: it runs, is ready, or a timer or I/O will wake it? */
static inline int weir_graph_is_free(const weir_task *t)
{
    const weir_waiter *w = &t->wait;
    return w->status != WEIR_PENDING || w->ops->can_wake == NULL ||
           (weir_timer_is_set(&w->timer) && !(w->flags & WEIR_WAITER_DEFAULT));
}

/* For weir_wait_ops.can_wake: can `t` still act (run, or be woken)? */
int weir_graph_can_act(weir_graph *g, weir_task *t);

#include <weir/end.h>
#endif
