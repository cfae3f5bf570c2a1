/* sched/waiter.c - the life of a wait, and the ready queue it ends in.
 *
 * DESIGN. Whoever ends a wait calls one of two functions. The primitive that grants calls
 * weir_waiter_settle, having unlinked the waiter. Everybody else (a timeout, a cancel, a
 * close, a deadlock) calls weir_waiter_give_up, which lets the primitive forget the waiter
 * through its `leave` hook first. Both only enqueue: the caller is often deep inside another
 * primitive's release, and code run from there would see it half-changed.
 *
 * A grant is final only when the waiter's turn comes. Up to then a cancel takes it back
 * (`refund`), so that a permit handed to a task that will never use it is with the next one
 * before anybody looks. A timeout has no such second chance: the timer is disarmed by the
 * grant, so a grant that came first stands.
 */
#include "internal.h"

static void expire(weir_runtime *rt, weir_timer *timer)
{
    weir_waiter *w = weir_container(timer, weir_waiter, timer);
    if (w->flags & WEIR_WAITER_ALARM)
        weir_waiter_settle(rt, w, WEIR_GRANTED);
    else
        weir_waiter_give_up(rt, w, WEIR_TIMEOUT);
}

void weir_waiter_init(weir_waiter *w, weir_run_fn run)
{
    weir_link_init(&w->link);
    weir_timer_init(&w->timer, expire);
    w->ops = NULL;
    w->object = NULL;
    w->run = run;
    w->generation = 0;
    w->status = WEIR_IDLE;
    w->flags = 0;
}

static void start(weir_waiter *w, const weir_wait_ops *ops, void *object, weir_status status)
{
    weir_task *t = weir_waiter_task(w);
    assert(w->status != WEIR_PENDING && !weir_link_is_linked(&w->link));
    w->ops = ops;
    w->object = object;
    w->generation++;
    w->flags &= WEIR_WAITER_TASK;
    w->status = (uint8_t)status;
    if (t != NULL && t->started)
        t->state = WEIR_TASK_WAITING;
}

static void make_ready(weir_runtime *rt, weir_waiter *w)
{
    weir_list_push(&rt->ready, &w->link);
    rt->n.ready++;
    if (rt->wake != NULL)
        rt->wake(rt->loop);
}

void weir_waiter_begin(weir_runtime *rt, weir_waiter *w, const weir_wait_ops *ops, void *object,
                       uint64_t deadline)
{
    start(w, ops, object, WEIR_PENDING);
    rt->n.pending++;
    rt->n.waits++;
    if (deadline != WEIR_FOREVER)
        weir_timer_set(rt, &w->timer, deadline);
}

static void settled(weir_runtime *rt, weir_waiter *w)
{
    weir_timer_unset(rt, &w->timer);
    rt->n.pending--;
    if (w->status == WEIR_GRANTED)
        rt->n.grants++;
    else if (w->status == WEIR_TIMEOUT)
        rt->n.timeouts++;
    else if (w->status == WEIR_CANCELED)
        rt->n.cancels++;
    make_ready(rt, w);
}

void weir_waiter_settle(weir_runtime *rt, weir_waiter *w, weir_status status)
{
    assert(w->status == WEIR_PENDING && status > WEIR_PENDING);
    assert(!weir_link_is_linked(&w->link));
    w->status = (uint8_t)status;
    settled(rt, w);
}

int weir_waiter_give_up(weir_runtime *rt, weir_waiter *w, weir_status status)
{
    if (w->status == WEIR_PENDING) {
        if (w->ops->leave == NULL)
            return 0;
        w->status = (uint8_t)status; /* `leave` may look why */
        w->ops->leave(rt, w);        /* and may grant to others, who queue up before this one */
        settled(rt, w);
        return 1;
    }
    if (w->status == WEIR_GRANTED && status == WEIR_CANCELED && weir_link_is_linked(&w->link) &&
        w->ops->refund != NULL) {
        w->status = WEIR_CANCELED;
        rt->n.cancels++;
        w->ops->refund(rt, w);
        return 1;
    }
    return 0;
}

void weir_waiter_abandon(weir_runtime *rt, weir_waiter *w)
{
    weir_waiter_give_up(rt, w, WEIR_CANCELED);
    if (weir_link_is_linked(&w->link)) {
        weir_link_remove(&w->link);
        rt->n.ready--;
    }
    w->status = WEIR_IDLE;
}

void weir_waiter_enqueue(weir_runtime *rt, weir_waiter *w, const weir_wait_ops *ops)
{
    start(w, ops, NULL, WEIR_GRANTED);
    make_ready(rt, w);
}

/* For waits that stand in no queue and whose grant is worth nothing to anybody else. */
static void nothing(weir_runtime *rt, weir_waiter *w)
{
    (void)rt;
    (void)w;
}

static const weir_wait_ops sleep_ops = {"weir.sleep", nothing, nothing, NULL, NULL};
static const weir_wait_ops yield_ops = {"weir.checkpoint", nothing, nothing, NULL, NULL};

void weir_sleep_until(weir_runtime *rt, weir_waiter *w, uint64_t deadline)
{
    weir_waiter_begin(rt, w, &sleep_ops, NULL, deadline);
    w->flags |= WEIR_WAITER_ALARM;
}

void weir_yield(weir_runtime *rt, weir_waiter *w)
{
    weir_waiter_enqueue(rt, w, &yield_ops);
}
