/* sched/graph.c - the search that proves a deadlock.
 *
 * Being able to act is a least fixed point: a task acts if it runs, or its wait has a waker
 * that acts. The search assumes that the tasks on its path are stuck and looks for a way out.
 * "Stuck" found under that assumption holds for good only if it rests on the first task of the
 * path alone (if that one acts, the search is over anyway); an answer that rests on a task in
 * the middle (`low`) is forgotten, since that one may yet find another way out, and when it does,
 * so is the cycle that was found below it. What is too deep or too long to prove counts as able to
 * act.
 */
#include "internal.h"

/* The path from `from` on waits for itself. The first cycle is kept, but for one through the
 * task that asks. */
static void keep_cycle(weir_graph *g, uint32_t from)
{
    if (g->n_cycle != 0 && (from != 0 || g->cycle[0] == g->path[0]))
        return;
    g->kept++;
    g->n_cycle = 0;
    for (uint32_t i = from; i < g->depth; i++)
        g->cycle[g->n_cycle++] = g->path[i];
}

int weir_graph_can_act(weir_graph *g, weir_task *t)
{
    weir_waiter *w = &t->wait;
    if (w->status != WEIR_PENDING || weir_timer_is_set(&w->timer) || w->ops->can_wake == NULL)
        return 1;
    if (t->mark == g->stamp) {
        if (g->n_cycle == 0)
            keep_cycle(g, 0); /* the way to a cycle that was seen and dropped */
        return 0;
    }
    for (uint32_t i = 0; i < g->depth; i++) {
        if (g->path[i] == t) {
            if (i > 0 && i < g->low)
                g->low = i;
            keep_cycle(g, i);
            return 0;
        }
    }
    if (g->depth == WEIR_GRAPH_DEPTH || ++g->steps > WEIR_GRAPH_STEPS)
        return 1;

    uint32_t outer = g->low, here = g->depth, kept = g->kept;
    g->low = UINT32_MAX;
    g->path[g->depth++] = t;
    int acts = w->ops->can_wake(g, w);
    g->depth--;
    if (acts && g->kept != kept)
        g->n_cycle = 0;
    else if (!acts && g->low >= here)
        t->mark = g->stamp; /* rests on itself and the first task at most */
    if (acts || g->low >= here || outer < g->low)
        g->low = outer;
    return acts;
}

int weir_graph_is_stuck(weir_runtime *rt, weir_task *t, weir_graph *g)
{
    g->rt = rt;
    g->steps = g->depth = g->n_cycle = g->kept = 0;
    g->low = UINT32_MAX;
    if (++rt->stamp == 0)
        rt->stamp = 1; /* 0 is "never visited" */
    g->stamp = rt->stamp;
    if (weir_graph_can_act(g, t))
        return 0;
    if (g->n_cycle == 0)
        g->cycle[g->n_cycle++] = t;
    return 1;
}
