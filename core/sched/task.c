/* sched/task.c - tasks: start, turn, end, and waiting for the end.
 *
 * The end of a task, in this order, because each step is seen by the next: what it still holds
 * goes back; who awaits it is woken (so that an awaiter gets this task's own outcome and not
 * the cancel that the failure is about to cause); its failure fails the scope; the scope
 * learns that it has one child less.
 */
#include "internal.h"

static void nothing(weir_runtime *rt, weir_waiter *w)
{
    (void)rt;
    (void)w;
}

static const weir_wait_ops start_ops = {"start", nothing, nothing, NULL, NULL};

int weir_task_prepare(weir_runtime *rt, weir_task *t, weir_scope *parent, weir_resume_fn resume,
                      uint32_t flags)
{
    if (parent->flags & WEIR_SCOPE_ENDED)
        return WEIR_ECLOSED;
    if ((parent->flags & WEIR_SCOPE_CANCELLED) && !(flags & WEIR_SCOPE_SHIELD))
        return WEIR_ECANCELED;
    weir_scope_open(rt, &t->scope, parent, t, WEIR_SCOPE_TASK | flags);
    weir_waiter_init(&t->wait, NULL);
    t->wait.resume = resume;
    t->wait.flags = WEIR_WAITER_TASK;
    weir_list_init(&t->held);
    t->id = ++rt->last_id;
    t->mark = 0;
    t->budget = WEIR_TASK_BUDGET;
    t->state = WEIR_TASK_PENDING;
    t->started = 0;
    if (!(flags & WEIR_SCOPE_DAEMON))
        parent->n_children++;
    rt->n.tasks++;
    rt->n.spawned++;
    return 0;
}

int weir_task_spawn(weir_runtime *rt, weir_task *t, weir_scope *parent, weir_resume_fn resume,
                    uint32_t flags)
{
    int rc = weir_task_prepare(rt, t, parent, resume, flags);
    if (rc == 0)
        weir_waiter_enqueue(rt, &t->wait, &start_ops);
    return rc;
}

static void leave_await(weir_runtime *rt, weir_waiter *w)
{
    (void)rt;
    weir_link_remove(&w->link);
}

static int await_can_wake(weir_graph *g, weir_waiter *w)
{
    return weir_graph_can_act(g, w->object);
}

static const weir_wait_ops await_ops = {"task:await", leave_await, NULL, await_can_wake, NULL};

void weir_task_join(weir_runtime *rt, weir_task *t, weir_waiter *w, int claim, uint64_t deadline)
{
    weir_waiter_begin(rt, w, &await_ops, t, deadline);
    if (claim)
        w->flags |= WEIR_WAITER_CLAIM;
    if (weir_task_has_ended(t))
        weir_waiter_settle(rt, w, WEIR_GRANTED);
    else
        weir_list_push(&t->scope.joiners, &w->link);
}

weir_scope *weir_task_blames(const weir_task *t)
{
    weir_scope *parent = t->scope.parent;
    const weir_list *joiners = &t->scope.joiners;
    if (parent->flags & (WEIR_SCOPE_SUPERVISOR | WEIR_SCOPE_SETTLING) ||
        t->scope.flags & WEIR_SCOPE_CLAIMED)
        return NULL;
    for (weir_link *k = weir_list_first(joiners); k != NULL; k = weir_list_next(joiners, k))
        if (weir_container(k, weir_waiter, link)->flags & WEIR_WAITER_CLAIM)
            return NULL;
    return parent;
}

unsigned weir_task_finish(weir_runtime *rt, weir_task *t, weir_task_state state)
{
    weir_scope *parent = t->scope.parent, *blamed = NULL;
    unsigned leaked = 0;

    assert(state >= WEIR_TASK_DONE && !weir_task_has_ended(t));
    assert(t->wait.status != WEIR_PENDING && !weir_link_is_linked(&t->wait.link));
    while (!weir_list_is_empty(&t->held)) {
        weir_hold *h = weir_container(weir_list_first(&t->held), weir_hold, link);
        h->ops->drop(h);
        leaked++;
    }
    rt->n.leaks += leaked;
    if (state == WEIR_TASK_FAILED)
        blamed = weir_task_blames(t);
    t->state = (uint8_t)state;
    for (weir_link *k; (k = weir_list_pop(&t->scope.joiners)) != NULL;)
        weir_waiter_settle(rt, weir_container(k, weir_waiter, link), WEIR_GRANTED);
    weir_scope_end(rt, &t->scope);
    rt->n.tasks--;
    if (state == WEIR_TASK_DONE)
        rt->n.done++;
    else if (state == WEIR_TASK_FAILED)
        rt->n.failed++;
    else
        rt->n.cancelled++;
    if (blamed != NULL) {
        blamed->flags |= WEIR_SCOPE_FAILED;
        weir_scope_cancel(rt, blamed, (weir_reason){"a task of the scope failed", 0});
    }
    if (!(t->scope.flags & WEIR_SCOPE_DAEMON) && --parent->n_children == 0)
        weir__scope_emptied(rt, parent);
    return leaked;
}
