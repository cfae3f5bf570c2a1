/* sched/scope.c - the tree: opening, ending, marking, deadlines, shields, joins.
 *
 * DESIGN. A cancel is a walk that marks: afterwards "am I cancelled?" is one flag, however deep
 * the tree. The walk goes by the links, never by recursion: a chain of a hundred thousand tasks
 * that each spawned the next must not need a stack. It gives up the wait of the task that stands
 * in a marked scope (owner->current is that scope); a task that stands in a scope further in is
 * reached when the walk gets there, or is kept out by a shield between.
 *
 * A scope inside a marked one is marked already, so the walk never enters it: cancelling twice
 * costs nothing and the first reason stays.
 */
#include "internal.h"

void weir_scope_open(weir_runtime *rt, weir_scope *s, weir_scope *parent, weir_task *owner,
                     uint32_t flags)
{
    s->parent = parent;
    weir_link_init(&s->link);
    weir_list_init(&s->children);
    weir_list_init(&s->joiners);
    s->owner = owner;
    s->cause = NULL;
    s->reason = (weir_reason){NULL, 0};
    s->n_children = 0;
    s->flags = flags;
    if (parent != NULL) {
        weir_list_push(&parent->children, &s->link);
        if (parent->flags & WEIR_SCOPE_CANCELLED) {
            if (flags & WEIR_SCOPE_SHIELD) {
                s->flags |= WEIR_SCOPE_HELD_BACK;
            } else {
                s->flags |= WEIR_SCOPE_CANCELLED;
                s->cause = parent->cause;
            }
        }
        if (!(flags & WEIR_SCOPE_SHIELD))
            s->flags |= parent->flags & WEIR_SCOPE_DUE;
    }
    if (owner != NULL)
        owner->current = s;
    if (!(flags & WEIR_SCOPE_TASK))
        rt->n.scopes++;
}

void weir_scope_end(weir_runtime *rt, weir_scope *s)
{
    assert(weir_list_is_empty(&s->children) && weir_list_is_empty(&s->joiners));
    s->flags |= WEIR_SCOPE_ENDED;
    if (s->parent != NULL)
        weir_link_remove(&s->link);
    if (s->flags & WEIR_SCOPE_TASK)
        return;
    if (s->owner != NULL) {
        assert(s->owner->current == s);
        s->owner->current = s->parent;
    }
    rt->n.scopes--;
}

static void hold_back(weir_runtime *rt, weir_scope *s)
{
    weir_deadline *d = (weir_deadline *)s->reason.value;
    if (s->flags & WEIR_SCOPE_HELD_BACK)
        return;
    s->flags |= WEIR_SCOPE_HELD_BACK;
    if (d != NULL)
        weir_timer_set(rt, &d->timer, weir_after(rt, d->grace));
}

/* The next scope of a walk over all below `top`, or NULL: into `s` unless `skip`. */
static weir_scope *walk(const weir_scope *top, weir_scope *s, int skip)
{
    weir_link *k = skip ? NULL : weir_list_first(&s->children);
    while (k == NULL) {
        if (s == top)
            return NULL;
        k = weir_list_next(&s->parent->children, &s->link);
        s = s->parent;
    }
    return weir_container(k, weir_scope, link);
}

static void mark(weir_runtime *rt, weir_scope *top, weir_scope *cause)
{
    int skip;
    for (weir_scope *s = top; s != NULL; s = walk(top, s, skip)) {
        skip = 1;
        if (s->flags & WEIR_SCOPE_CANCELLED)
            continue;
        if (s != top && (s->flags & WEIR_SCOPE_SHIELD)) {
            hold_back(rt, s);
            continue;
        }
        skip = 0;
        s->flags |= WEIR_SCOPE_CANCELLED;
        s->cause = cause;
        if (s->owner != NULL && s->owner->current == s)
            weir_waiter_give_up(rt, &s->owner->wait, WEIR_CANCELED);
    }
}

int weir_scope_cancel(weir_runtime *rt, weir_scope *s, weir_reason reason)
{
    if (s->flags & (WEIR_SCOPE_CANCELLED | WEIR_SCOPE_ENDED))
        return 0;
    s->reason = reason;
    mark(rt, s, s);
    return 1;
}

static void expire(weir_runtime *rt, weir_scope *s)
{
    if (weir_scope_cancel(rt, s, (weir_reason){"deadline", 0}))
        s->flags |= WEIR_SCOPE_EXPIRED;
}

void weir_scope_expire(weir_runtime *rt, weir_scope *s)
{
    assert(s->flags & WEIR_SCOPE_DUE);
    while (s->parent->flags & WEIR_SCOPE_DUE)
        s = s->parent;
    expire(rt, s);
}

static void deadline_came(weir_runtime *rt, weir_timer *timer)
{
    expire(rt, weir_container(timer, weir_deadline, timer)->scope);
}

void weir_scope_set_deadline(weir_runtime *rt, weir_scope *s, weir_deadline *d, uint64_t at)
{
    weir_timer_init(&d->timer, deadline_came);
    d->scope = s;
    d->grace = 0;
    if (at <= rt->now)
        s->flags |= WEIR_SCOPE_DUE;
    weir_timer_set(rt, &d->timer, at);
}

void weir_deadline_unset(weir_runtime *rt, weir_deadline *d)
{
    weir_timer_unset(rt, &d->timer);
}

/* The grace is over: what was held back goes on to everything the shield covered. */
static void open_shield(weir_runtime *rt, weir_timer *timer)
{
    weir_scope *s = weir_container(timer, weir_deadline, timer)->scope;
    s->flags &= ~(uint32_t)(WEIR_SCOPE_SHIELD | WEIR_SCOPE_HELD_BACK);
    mark(rt, s, s->parent->cause);
}

void weir_scope_shield(weir_runtime *rt, weir_scope *s, weir_deadline *d, uint64_t grace)
{
    assert(s->flags & WEIR_SCOPE_SHIELD);
    weir_timer_init(&d->timer, open_shield);
    d->scope = s;
    d->grace = grace;
    s->reason.value = (intptr_t)d;
    if (s->flags & WEIR_SCOPE_HELD_BACK)
        weir_timer_set(rt, &d->timer, weir_after(rt, grace));
}

void weir_scope_open_shields(weir_runtime *rt, weir_scope *top)
{
    for (weir_scope *s = top; s != NULL; s = walk(top, s, 0)) {
        weir_deadline *d = (weir_deadline *)s->reason.value;
        if (!(s->flags & WEIR_SCOPE_SHIELD) || !(s->flags & WEIR_SCOPE_HELD_BACK) || d == NULL)
            continue;
        weir_timer_unset(rt, &d->timer);
        open_shield(rt, &d->timer);
    }
}

int weir_scope_is_inside(const weir_scope *s, const weir_scope *of)
{
    while (s != NULL && s != of)
        s = s->parent;
    return s != NULL;
}

static void leave_join(weir_runtime *rt, weir_waiter *w)
{
    (void)rt;
    weir_link_remove(&w->link);
}

/* A join is an AND: one child that cannot go on is enough to be stuck. */
static int join_can_wake(weir_graph *g, weir_waiter *w)
{
    const weir_scope *s = w->object;
    for (weir_link *k = weir_list_first(&s->children); k; k = weir_list_next(&s->children, k)) {
        weir_task *t = weir_scope_task(weir_container(k, weir_scope, link));
        if (t != NULL && !(t->scope.flags & WEIR_SCOPE_DAEMON) && !weir_graph_can_act(g, t))
            return 0;
    }
    return 1;
}

static const weir_wait_ops join_ops = {"scope:join", leave_join, NULL, join_can_wake, NULL};
static const weir_wait_ops end_ops = {"scope end", NULL, NULL, join_can_wake, NULL};

void weir_scope_join(weir_runtime *rt, weir_scope *s, weir_waiter *w, int can_cancel,
                     uint64_t deadline)
{
    weir_waiter_begin(rt, w, can_cancel ? &join_ops : &end_ops, s, deadline);
    if (s->n_children == 0)
        weir_waiter_settle(rt, w, WEIR_GRANTED);
    else
        weir_list_push(&s->joiners, &w->link);
}

/* The last child of `s` has ended: wake those who wait for that (a task's scope also lists the
 * waiters for its own end, who wait on). */
void weir__scope_emptied(weir_runtime *rt, weir_scope *s)
{
    for (weir_link *k = weir_list_first(&s->joiners), *next; k != NULL; k = next) {
        weir_waiter *w = weir_container(k, weir_waiter, link);
        next = weir_list_next(&s->joiners, k);
        if (w->ops == &join_ops || w->ops == &end_ops) {
            weir_link_remove(k);
            weir_waiter_settle(rt, w, WEIR_GRANTED);
        }
    }
}

int weir__scope_validate(const weir_runtime *rt, const weir_scope *top)
{
    uint32_t tasks = 0, scopes = 0;
    for (weir_scope *s = (weir_scope *)top; s != NULL; s = walk(top, s, 0)) {
        uint32_t n = 0;
        for (weir_link *k = weir_list_first(&s->children); k; k = weir_list_next(&s->children, k)) {
            const weir_scope *c = weir_container(k, weir_scope, link);
            if (c->parent != s)
                return __LINE__;
            if ((c->flags & WEIR_SCOPE_TASK) && !(c->flags & WEIR_SCOPE_DAEMON))
                n++;
            if ((s->flags & WEIR_SCOPE_CANCELLED) &&
                !(c->flags & (WEIR_SCOPE_CANCELLED | WEIR_SCOPE_HELD_BACK)))
                return __LINE__;
        }
        if (n != s->n_children)
            return __LINE__;
        if ((s->flags & WEIR_SCOPE_CANCELLED) != 0 &&
            (s->cause == NULL || !weir_scope_is_inside(s, s->cause)))
            return __LINE__;
        if (s->flags & WEIR_SCOPE_TASK)
            tasks++;
        else if (s != &rt->root)
            scopes++;
    }
    if (tasks != rt->n.tasks || scopes != rt->n.scopes)
        return __LINE__;
    return 0;
}
