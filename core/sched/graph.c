/* sched/graph.c - the search that proves a deadlock.
 *
 * Being able to act is a least fixed point: a task acts if it runs, or its wait has a waker
 * that acts. The search goes in rounds. A round looks at each task once, depth first, and takes
 * everybody it has begun to look at for stuck. "Acts", found so, holds for good: nobody was
 * counted on who may not act. "Stuck" may be wrong, if a task that was taken for stuck turns out
 * to act later in the round; so there is another round whenever somebody new did. A round that
 * finds nobody new is the proof. Nearly always the first path of the first round ends at a task
 * that acts, and all is said; the worst case is a round for each task, not one for each path.
 * What is too deep or too long to prove counts as able to act.
 *
 * A last walk, over the stuck alone, names the cycle: one through the task that asks if there is
 * one, otherwise it waits for a deadlock of others.
 */
#include "internal.h"

static void name_cycle(weir_graph *g, uint32_t from)
{
    g->n_cycle = 0;
    for (uint32_t i = from; i < g->depth; i++)
        g->cycle[g->n_cycle++] = g->path[i];
}

static int ask(weir_graph *g, weir_task *t)
{
    int acts;
    g->path[g->depth++] = t;
    acts = t->wait.ops->can_wake(g, &t->wait);
    g->depth--;
    return acts;
}

/* The walk: 0, and on to whom the stuck task `t` waits for; 1 if it was not proved stuck. */
static int walk(weir_graph *g, weir_task *t)
{
    for (uint32_t i = 0; i < g->depth; i++) {
        if (g->path[i] == t) {
            if (g->n_cycle == 0 || (i == 0 && g->cycle[0] != t))
                name_cycle(g, i);
            return 0;
        }
    }
    if (t->mark == g->walked)
        return 0;
    if (t->mark != g->round || g->depth == WEIR_GRAPH_DEPTH)
        return 1;
    t->mark = g->walked;
    ask(g, t);
    return 0;
}

int weir_graph_can_act(weir_graph *g, weir_task *t)
{
    if (weir_graph_is_free(t) || t->mark == g->acts)
        return 1;
    if (g->walked != 0)
        return walk(g, t);
    if (t->mark == g->round)
        return 0;
    if (g->depth == WEIR_GRAPH_DEPTH || ++g->steps > WEIR_GRAPH_STEPS)
        return 1;
    t->mark = g->round;
    if (!ask(g, t))
        return 0;
    t->mark = g->acts;
    g->is_new = 1;
    return 1;
}

int weir_graph_is_stuck(weir_runtime *rt, weir_task *t, weir_graph *g)
{
    g->rt = rt;
    g->steps = g->depth = g->n_cycle = g->walked = 0;
    g->acts = ++rt->stamp;
    do {
        g->is_new = 0;
        g->round = ++rt->stamp;
        if (weir_graph_can_act(g, t))
            return 0;
    } while (g->is_new);
    g->walked = ++rt->stamp;
    walk(g, t);
    if (g->n_cycle == 0) /* it waits for nobody at all */
        g->cycle[g->n_cycle++] = t;
    return 1;
}
