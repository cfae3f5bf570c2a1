/* script_pool.c - the pool of a program and the ops on it; see script.h.
 *
 * Its operations take `t` ns of virtual time, 0 from inside the call, so the schedule also says
 * which of equal answers comes first; whether one fails is a choice of the schedule as well. A
 * resource counts its holders itself.
 */
#include "check.h"
#include "script.h"

typedef struct script_job { /* an operation on its way: data of its resource */
    weir_timer timer;
    script_world *world;
    weir_resource *resource;
} script_job;

static script_world *script_world_of(weir_pool *p)
{
    return weir_container(p, script_world, pool);
}

static void script_pool_answer(script_world *w, weir_resource *r)
{
    int is_bad = r->aborted || (w->faults && r->state != WEIR_RESOURCE_CLOSING &&
                                weir_choose(w->rt, 2, WEIR_CHOICE_FAULT) == 1);
    if (r->state == WEIR_RESOURCE_CONNECTING) {
        w->failures += is_bad != 0;
        w->resources += is_bad == 0;
        weir_pool_created(&w->pool, r, is_bad ? SCRIPT_EFAILED : 0, is_bad);
    } else if (r->state == WEIR_RESOURCE_CHECKING) {
        weir_pool_checked(&w->pool, r, !is_bad);
    } else {
        SCRIPT_CHECK(w, r->value == NULL); /* nobody holds it */
        w->resources--;
        weir_pool_destroyed(&w->pool, r);
    }
}

static void script_job_end(script_job *job)
{
    script_world *w = job->world;
    weir_resource *r = job->resource;
    weir_timer_unset(w->rt, &job->timer);
    free(job);
    r->data = NULL;
    script_pool_answer(w, r);
}

static void script_job_due(weir_runtime *rt, weir_timer *timer)
{
    (void)rt;
    script_job_end(weir_container(timer, script_job, timer));
}

static void script_pool_begin(weir_pool *p, weir_resource *r)
{
    script_world *w = script_world_of(p);
    SCRIPT_CHECK(w, p->n_connecting + p->n_idle + p->n_checking + p->n_leased + p->n_closing <=
                        w->most_resources);
    if (w->pool_ns == 0) {
        script_pool_answer(w, r);
        return;
    }
    script_job *job = calloc(1, sizeof *job);
    assert_non_null(job);
    job->world = w;
    job->resource = r;
    weir_timer_init(&job->timer, script_job_due);
    weir_timer_set(w->rt, &job->timer, weir_after(w->rt, w->pool_ns));
    r->data = job;
}

static void script_pool_abort(weir_pool *p, weir_resource *r)
{
    (void)p;
    script_job_end(r->data);
}

static void script_pool_drop(weir_pool *p, intptr_t failure)
{
    SCRIPT_CHECK(script_world_of(p), failure == 1 && script_world_of(p)->failures > 0);
    script_world_of(p)->failures--;
}

static intptr_t script_pool_share(weir_pool *p, intptr_t failure)
{
    script_world_of(p)->failures++;
    return failure;
}

static const weir_pool_ops script_pool_ops = {script_pool_begin, script_pool_begin,
                                              script_pool_begin, script_pool_abort,
                                              script_pool_drop,  script_pool_share};
static const weir_pool_ops script_pool_plain = {script_pool_begin, NULL,
                                                script_pool_begin, script_pool_abort,
                                                script_pool_drop,  script_pool_share};

static void script_pool_make(script_world *w, const script_op *op)
{
    weir_pool_options o = weir_pool_defaults();
    o.max = op->a;
    o.min = op->n & SCRIPT_POOL_MIN;
    o.check_idle = 2;
    o.dial_stagger = 3;
    o.backoff = 2;
    o.max_backoff = 8;
    o.idle_timeout = o.max_lifetime = WEIR_FOREVER; /* nothing here goes on for ever */
    o.open_after = op->n & SCRIPT_POOL_OPENS ? 1 : 3;
    o.create_timeout = o.check_timeout = o.destroy_timeout = WEIR_FOREVER;
    if (op->n & SCRIPT_POOL_HASTY)
        o.create_timeout = o.check_timeout = op->t / 2;
    w->pool_ns = op->t;
    w->faults = (op->n & SCRIPT_POOL_FAULTS) != 0;
    w->most_resources = o.max;
    w->has_pool = 1;
    SCRIPT_CHECK(w,
                 weir_pool_init(w->rt, &w->pool,
                                op->n & SCRIPT_POOL_CHECKS ? &script_pool_ops : &script_pool_plain,
                                &o, NULL) == 0);
}

/* --- leases -------------------------------------------------------------------------- */

static void script_borrowed(script_task *t, weir_lease *lease)
{
    script_world *w = t->world;
    SCRIPT_CHECK(w, lease->hold.holder == &t->task);
    SCRIPT_CHECK(w, lease->resource->value == NULL);
    lease->resource->value = t;
    w->lent++;
    SCRIPT_CHECK(w, w->lent <= w->most_resources);
    script_push(t, NULL, lease);
}

void script_leased(script_task *t, weir_status status)
{
    script_world *w = t->world;
    if (status == WEIR_GRANTED)
        script_borrowed(t, t->asked_lease);
    if (status != WEIR_FAILED)
        return;
    t->error = t->asked_lease->rc;
    SCRIPT_CHECK(w, t->error == SCRIPT_EFAILED || t->error == WEIR_EOPEN ||
                        t->error == WEIR_ETIMEOUT || t->error == WEIR_ENOMEM);
    SCRIPT_CHECK(w, (t->asked_lease->failure != 0) == (t->error == SCRIPT_EFAILED));
    SCRIPT_CHECK(w, t->error != WEIR_EOPEN || w->pool.cause_rc != 0);
    weir_lease_forget(t->asked_lease);
}

/* Its handle is gone from frame `i`: it is not used any more. */
static weir_lease *script_unuse(script_task *t, unsigned i)
{
    weir_lease *lease = t->frame[i].lease;
    lease->resource->value = NULL;
    t->world->lent--;
    script_forget_frame(t, i);
    return lease;
}

void script_give(script_task *t, unsigned i, int suspect)
{
    weir_lease_release(script_unuse(t, i), suspect);
}

static int script_lease(script_task *t, const script_op *op)
{
    script_world *w = t->world;
    weir_lease *lease = NULL;
    int rc = weir_pool_take(&w->pool, &t->task, op->code == SCRIPT_TAKE, &lease);
    if (rc == WEIR_EBUSY && op->code == SCRIPT_LEASE) {
        if (!script_may_wait(t))
            return 0;
        rc = weir_pool_acquire(&w->pool, &t->task, &t->task.wait,
                               op->t ? weir_after(w->rt, op->t) : WEIR_FOREVER, 0, &t->asked_lease);
        if (rc == 0)
            return script_waits(t, SCRIPT_LEASE);
        t->error = rc;
    } else if (rc == 0) {
        script_borrowed(t, lease);
    } else if (op->code == SCRIPT_LEASE || rc == WEIR_ENOMEM) {
        t->error = rc;
    }
    w->nomem += rc == WEIR_ENOMEM;
    return 0;
}

/* Give back, discard, lend or lose the newest lease that no scope was opened after. */
static void script_hand_lease(script_task *t, const script_op *op)
{
    script_task *to = &t->world->task[op->n];
    int i = t->n_frames - 1;
    while (i >= 0 && t->frame[i].permit != NULL)
        i--;
    if (i < 0 || t->frame[i].lease == NULL)
        return;
    weir_lease *lease = t->frame[i].lease;
    if (op->code == SCRIPT_GIVE) {
        script_give(t, (unsigned)i, 0);
    } else if (op->code == SCRIPT_DISCARD) {
        weir_lease_discard(script_unuse(t, (unsigned)i));
    } else if (op->code == SCRIPT_LOSE) {
        script_unuse(t, (unsigned)i);
    } else if (to->spawned && !to->ended && to != t && to->n_frames < SCRIPT_FRAMES &&
               (to->n_frames == 0 || !script_is_scope(&to->frame[to->n_frames - 1]))) {
        script_forget_frame(t, (unsigned)i);
        script_push(to, NULL, lease);
        lease->resource->value = to;
        weir_lease_transfer(lease, &to->task);
    }
}

int script_pool_op(script_task *t, const script_op *op)
{
    script_world *w = t->world;
    if (!w->has_pool && op->code != SCRIPT_POOL)
        return 0;
    switch ((script_code)op->code) {
    case SCRIPT_POOL:
        script_pool_make(w, op);
        return 0;
    case SCRIPT_LEASE:
    case SCRIPT_TAKE:
        return script_lease(t, op);
    case SCRIPT_CLOSE_POOL:
        weir_pool_close(&w->pool);
        return 0;
    case SCRIPT_DRAIN_POOL:
        if (!script_may_wait(t))
            return 0;
        weir_pool_drain(&w->pool, &t->task.wait, WEIR_FOREVER);
        return script_waits(t, SCRIPT_DRAIN_POOL);
    case SCRIPT_RESIZE_POOL:
        w->most_resources = op->a > w->most_resources ? op->a : w->most_resources;
        SCRIPT_CHECK(w, weir_pool_resize(&w->pool, 0, op->a) == 0);
        return 0;
    case SCRIPT_EVICT_POOL:
        weir_pool_evict(&w->pool);
        return 0;
    default:
        script_hand_lease(t, op);
        return 0;
    }
}

/* --- the world's --------------------------------------------------------------------- */

void script_pool_end(script_world *w)
{
    if (w->has_pool && !w->pool.closed)
        weir_pool_close(&w->pool);
}

void script_pool_validate(script_world *w)
{
    if (!w->has_pool)
        return;
    SCRIPT_CHECK(w, weir_pool_validate(&w->pool) == 0);
    if (w->pool.cause_rc == WEIR_ENOMEM) /* noticed, whether anybody waited for it or not */
        w->nomem++;
}

void script_pool_finish(script_world *w)
{
    const weir_pool_stats *n = &w->pool.stats;
    uint64_t evicted = 0;
    if (!w->has_pool)
        return;
    SCRIPT_CHECK(w, w->lent == 0);
    SCRIPT_CHECK(w, w->resources == 0);
    SCRIPT_CHECK(w, weir_pool_is_gone(&w->pool));
    SCRIPT_CHECK(w, n->created == n->destroyed);
    for (int i = 0; i < WEIR_EVICTED_CAUSES; i++)
        evicted += n->evicted[i];
    SCRIPT_CHECK(w, n->destroyed == evicted);
    if (w->broken == NULL)
        weir_pool_fini(&w->pool);
    SCRIPT_CHECK(w, w->failures == 0);
}
