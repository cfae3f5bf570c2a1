/* sched/runtime.c - the runtime object: making, turning, counting, checking.
 *
 * A turn: read the clock, fire what is due, run what is ready. What becomes ready during the
 * turn is run in it too, up to the budget: two tasks that hand a permit to and fro must not pay
 * for a look at the descriptors each time, and a thousand of them must not keep the loop from
 * looking at all. Nor may a few that work long each: every so many runs the clock is read again.
 * So it is where a deadline is reckoned long after it was read.
 */
#include "internal.h"

#include <string.h>

#define LOOK 16 /* runs from one look at the clock to the next */

static void trim(weir_runtime *rt, weir_records *r);

weir_runtime *weir_runtime_new(const weir_env *env)
{
    weir_runtime *rt = env->alloc(env->ctx, NULL, 0, sizeof *rt);
    if (rt == NULL)
        return NULL;
    *rt = (weir_runtime){.env = *env};
    rt->n.bytes = sizeof *rt;
    rt->now = env->now(env->ctx);
    weir_list_init(&rt->ready);
    weir_list_init(&rt->quiet);
    weir__wheel_init(&rt->wheel, rt->now);
    weir_scope_open(rt, &rt->root, NULL, NULL, WEIR_SCOPE_SUPERVISOR);
    rt->n.scopes = 0; /* the root is not counted */
    return rt;
}

void weir_runtime_free(weir_runtime *rt)
{
    if (rt == NULL)
        return;
    assert(weir_runtime_quiesce(rt) == NULL);
    trim(rt, &rt->permits);
    trim(rt, &rt->leases);
    rt->env.alloc(rt->env.ctx, rt, sizeof *rt, 0);
}

void weir_runtime_set_user(weir_runtime *rt, void *user)
{
    rt->user = user;
}

void *weir_runtime_user(const weir_runtime *rt)
{
    return rt->user;
}

static weir_waiter *next_ready(weir_runtime *rt)
{
    weir_link *k = weir_list_first(&rt->ready);
    if (rt->env.choose != NULL)
        for (uint32_t i = weir_choose(rt, rt->n.ready, WEIR_CHOICE_READY); i > 0; i--)
            k = weir_list_next(&rt->ready, k);
    weir_link_remove(k);
    rt->n.ready--;
    return weir_container(k, weir_waiter, link);
}

static void run_task(weir_runtime *rt, weir_task *t)
{
    t->budget = WEIR_TASK_BUDGET;
    if (t->wait.status != WEIR_CANCELED || t->started) {
        t->started = 1;
        t->state = WEIR_TASK_RUNNING;
    }
    rt->current = t;
    t->wait.resume(rt, t); /* `t` may be gone afterwards */
    rt->current = NULL;
}

uint32_t weir_turn(weir_runtime *rt)
{
    weir_link *k;
    assert(rt->current == NULL); /* a task that turns the runtime would wait for itself */
    uint64_t end = weir_now_update(rt) + WEIR_TURN_TIME;
    rt->n.turns++;
    weir__wheel_fire(rt);
    for (unsigned i = 0; i < WEIR_TURN_BUDGET && rt->n.ready > 0; i++) {
        weir_waiter *w = next_ready(rt);
        rt->n.runs++;
        if (w->flags & WEIR_WAITER_TASK)
            run_task(rt, weir_waiter_task(w));
        else
            w->run(rt, w);
        if (i % LOOK == LOOK - 1 && weir_now_update(rt) >= end)
            break;
    }
    if (rt->n.ready == 0 && (k = weir_list_pop(&rt->quiet)) != NULL) { /* one: it may set another */
        weir_quiet *q = weir_container(k, weir_quiet, link);
        q->fire(rt, q); /* may free it, and may make somebody ready, who comes before the next */
    }
    return rt->n.ready;
}

void weir_quiet_init(weir_quiet *quiet, void (*fire)(weir_runtime *rt, weir_quiet *quiet))
{
    weir_link_init(&quiet->link);
    quiet->fire = fire;
}

void weir_quiet_set(weir_runtime *rt, weir_quiet *quiet)
{
    if (weir_link_is_linked(&quiet->link))
        return;
    weir_list_push(&rt->quiet, &quiet->link);
    if (rt->wake != NULL)
        rt->wake(rt->loop);
}

void weir_quiet_unset(weir_quiet *quiet)
{
    if (weir_link_is_linked(&quiet->link))
        weir_link_remove(&quiet->link);
}

uint64_t weir_next_turn(const weir_runtime *rt)
{
    if (rt->n.ready > 0 || !weir_list_is_empty(&rt->quiet))
        return 0;
    uint64_t next = weir__wheel_next(rt);
    return next <= rt->now ? 0 : next; /* due: a driver must not sleep to the next millisecond */
}

uint64_t weir_now(const weir_runtime *rt)
{
    return rt->now;
}

uint64_t weir_now_update(weir_runtime *rt)
{
    uint64_t now = rt->env.now(rt->env.ctx);
    if (now > rt->now)
        rt->now = now;
    return rt->now;
}

uint64_t weir_after(weir_runtime *rt, uint64_t delay)
{
    if (delay == WEIR_FOREVER)
        return delay;
    if (rt->env.coarse != NULL && rt->env.coarse(rt->env.ctx) > rt->now)
        weir_now_update(rt);
    return delay >= WEIR_FOREVER - rt->now ? WEIR_FOREVER : rt->now + delay;
}

weir_scope *weir_root(weir_runtime *rt)
{
    return &rt->root;
}

weir_task *weir_current(const weir_runtime *rt)
{
    return rt->current;
}

const weir_counters *weir_runtime_counters(const weir_runtime *rt)
{
    return &rt->n;
}

const char *weir_runtime_quiesce(const weir_runtime *rt)
{
    return rt->n.tasks                       ? "tasks"
           : rt->n.scopes                    ? "scopes"
           : rt->n.timers                    ? "timers"
           : rt->n.pending                   ? "pending"
           : rt->n.ready                     ? "ready"
           : rt->n.permits                   ? "permits"
           : rt->n.io                        ? "io"
           : !weir_list_is_empty(&rt->quiet) ? "quiet"
                                             : NULL;
}

int weir_runtime_validate(const weir_runtime *rt)
{
    uint32_t n = 0;
    for (weir_link *k = weir_list_first(&rt->ready); k; k = weir_list_next(&rt->ready, k), n++) {
        const weir_waiter *w = weir_container(k, weir_waiter, link);
        if (w->status <= WEIR_PENDING || weir_timer_is_set(&w->timer))
            return __LINE__;
    }
    if (n != rt->n.ready)
        return __LINE__;
    int line = weir__wheel_validate(rt);
    return line != 0 ? line : weir__scope_validate(rt, &rt->root);
}

void *weir_alloc(weir_runtime *rt, void *ptr, size_t old, size_t size)
{
    void *p = rt->env.alloc(rt->env.ctx, ptr, old, size);
    if (p != NULL || size == 0)
        rt->n.bytes += size - old; /* unsigned arithmetic: shrinking wraps to the right sum */
    return p;
}

uint64_t weir_random(weir_runtime *rt)
{
    return rt->env.random(rt->env.ctx);
}

uint32_t weir_choose(weir_runtime *rt, uint32_t n, weir_choice kind)
{
    return rt->env.choose == NULL || n < 2 ? 0 : rt->env.choose(rt->env.ctx, n, kind);
}

/* --- small records of one size, recycled, so that an uncontended grant does not touch malloc.
 * A record keeps its bytes past the link while it is free: a generation in it stays valid. --- */

void *weir__record_make(weir_runtime *rt, weir_records *r, size_t size)
{
    void *p = weir_alloc(rt, NULL, 0, size);
    if (p != NULL) {
        memset(p, 0, size);
        r->size = size;
    }
    return p;
}

static void trim(weir_runtime *rt, weir_records *r)
{
    for (weir_link *k; (k = r->free) != NULL;) {
        r->free = k->next;
        weir_alloc(rt, k, r->size, 0);
    }
}
