/* pool_bed.c - an embedder whose operations take the time they are told; see pool_bed.h. */
#include "pool_bed.h"

typedef struct job { /* an operation that is on its way: r->data */
    weir_timer timer;
    pool_bed *bed;
    weir_resource *r;
} job;

static pool_bed *bed_of(weir_pool *p)
{
    return weir_container(p, pool_bed, p);
}

/* --- failures ------------------------------------------------------------------------ */

static intptr_t new_handle(pool_bed *b)
{
    b->handle++;
    assert_true(b->handle < BED_HANDLES);
    b->out[b->handle] = 1;
    b->n_out++;
    return (intptr_t)b->handle;
}

static void drop_handle(weir_pool *p, intptr_t failure)
{
    pool_bed *b = bed_of(p);
    CHECK(failure > 0 && failure <= (intptr_t)b->handle);
    CHECK(b->out[failure]);
    b->out[failure] = 0;
    b->n_out--;
}

static intptr_t share_handle(weir_pool *p, intptr_t failure)
{
    CHECK(bed_of(p)->out[failure]);
    return new_handle(bed_of(p));
}

/* --- operations ---------------------------------------------------------------------- */

static void answer(pool_bed *b, weir_resource *r)
{
    switch ((weir_resource_state)r->state) {
    case WEIR_RESOURCE_CONNECTING:
        if (b->fails || (r->aborted && !b->is_late_good))
            weir_pool_created(&b->p, r, -1, new_handle(b));
        else
            weir_pool_created(&b->p, r, 0, b->is_confused ? new_handle(b) : 0);
        break;
    case WEIR_RESOURCE_CHECKING: {
        int is_sick = b->sick != 0;
        b->sick -= b->sick > 0;
        weir_pool_checked(&b->p, r, !is_sick);
        break;
    }
    default:
        weir_pool_destroyed(&b->p, r);
        break;
    }
}

static void answer_job(job *j)
{
    pool_bed *b = j->bed;
    weir_resource *r = j->r;
    free(j);
    r->data = NULL;
    answer(b, r);
}

static void due(weir_runtime *rt, weir_timer *timer)
{
    (void)rt;
    answer_job(weir_container(timer, job, timer));
}

uint32_t pool_bed_total(const pool_bed *b)
{
    const weir_pool *p = &b->p;
    return p->n_connecting + p->n_idle + p->n_checking + p->n_leased + p->n_closing;
}

static void begin(weir_pool *p, weir_resource *r, uint64_t ns)
{
    pool_bed *b = bed_of(p);
    CHECK(r->of == p && r->data == NULL && !r->aborted);
    b->most = pool_bed_total(b) > b->most ? pool_bed_total(b) : b->most;
    if (ns == 0) {
        if (b->inside != NULL)
            b->inside(b, r);
        answer(b, r);
        return;
    }
    job *j = calloc(1, sizeof *j);
    assert_non_null(j);
    *j = (job){.bed = b, .r = r};
    weir_timer_init(&j->timer, due);
    weir_timer_set(b->rt, &j->timer, weir_after(b->rt, ns));
    r->data = j;
    if (b->inside != NULL)
        b->inside(b, r); /* may abort it */
}

static void create(weir_pool *p, weir_resource *r)
{
    pool_bed *b = bed_of(p);
    CHECK(r->state == WEIR_RESOURCE_CONNECTING && r->value == NULL);
    b->creates++;
    r->value = b;
    begin(p, r, b->create_ns);
}

static void check(weir_pool *p, weir_resource *r)
{
    pool_bed *b = bed_of(p);
    CHECK(r->state == WEIR_RESOURCE_CHECKING && r->value == b);
    b->checks++;
    begin(p, r, b->check_ns);
}

static void destroy(weir_pool *p, weir_resource *r)
{
    pool_bed *b = bed_of(p);
    CHECK(r->state == WEIR_RESOURCE_CLOSING && r->value == b);
    b->destroys++;
    begin(p, r, b->destroy_ns);
}

static void abort_job(weir_pool *p, weir_resource *r)
{
    pool_bed *b = bed_of(p);
    job *j = r->data;
    CHECK(r->aborted);
    b->aborts++;
    if (j == NULL) /* from inside its own call: the answer is about to come */
        return;
    if (b->abort_ns == 0)
        weir_timer_unset(b->rt, &j->timer), answer_job(j);
    else
        weir_timer_set(b->rt, &j->timer, weir_after(b->rt, b->abort_ns));
}

static void leaked(weir_pool *p, weir_lease *lease)
{
    CHECK(lease->of == p && lease->reported);
    bed_of(p)->leaks++;
}

/* --- waiters ------------------------------------------------------------------------- */

static void loan_done(weir_runtime *rt, weir_timer *timer)
{
    bed_waiter *w = weir_container(timer, bed_waiter, done);
    (void)rt;
    pool_bed_release(w->bed, (unsigned)(w - w->bed->w));
}

static void on_turn(weir_runtime *rt, weir_waiter *wait)
{
    bed_waiter *w = weir_container(wait, bed_waiter, wait);
    pool_bed *b = w->bed;
    w->at = weir_now(rt);
    assert_true(b->n_turned < BED_WAITERS * 4);
    b->turned[b->n_turned++] = (unsigned)(w - b->w);
    if (wait->status != WEIR_GRANTED && wait->status != WEIR_FAILED)
        w->lease = NULL;
    else if (wait->status == WEIR_GRANTED && w->hold != 0)
        weir_timer_set(rt, &w->done, weir_after(rt, w->hold));
}

void pool_bed_acquire(pool_bed *b, unsigned i, uint64_t timeout)
{
    bed_waiter *w = &b->w[i];
    CHECK(w->lease == NULL);
    CHECK_OK(weir_pool_acquire(&b->p, NULL, &w->wait, weir_after(b->rt, timeout), 0, &w->lease));
    CHECK_POOL(b);
}

int pool_bed_take(pool_bed *b, unsigned i)
{
    int rc = weir_pool_take(&b->p, NULL, 1, &b->w[i].lease);
    CHECK_POOL(b);
    return rc;
}

void pool_bed_release(pool_bed *b, unsigned i)
{
    weir_lease *lease = b->w[i].lease;
    CHECK(lease != NULL && lease->resource != NULL);
    b->w[i].lease = NULL;
    weir_timer_unset(b->rt, &b->w[i].done);
    weir_lease_release(lease, 0);
    CHECK_POOL(b);
}

void pool_bed_forget(pool_bed *b, unsigned i)
{
    CHECK_INT(pool_bed_status(b, i), WEIR_FAILED);
    CHECK(b->w[i].lease != NULL);
    weir_lease_forget(b->w[i].lease);
    b->w[i].lease = NULL;
}

/* --- life ---------------------------------------------------------------------------- */

pool_bed *pool_bed_new(void)
{
    pool_bed *b = calloc(1, sizeof *b);
    assert_non_null(b);
    b->sim = weir_simulator_new(WEIR_PLAN_FIFO, 1);
    assert_non_null(b->sim);
    b->rt = weir_runtime_new(weir_simulator_env(b->sim));
    assert_non_null(b->rt);
    b->ops = (weir_pool_ops){create, check, destroy, abort_job, drop_handle, share_handle};
    for (unsigned i = 0; i < BED_WAITERS; i++) {
        b->w[i].bed = b;
        weir_waiter_init(&b->w[i].wait, on_turn);
        weir_timer_init(&b->w[i].done, loan_done);
    }
    return b;
}

void pool_bed_open(pool_bed *b, const weir_pool_options *o)
{
    CHECK_OK(weir_pool_init(b->rt, &b->p, &b->ops, o, "db"));
    b->p.leaked = leaked;
    CHECK_POOL(b);
}

pool_bed *pool_bed_with(const weir_pool_options *o, uint64_t create_ns)
{
    pool_bed *b = pool_bed_new();
    b->create_ns = create_ns;
    pool_bed_open(b, o);
    return b;
}

void pool_bed_run(pool_bed *b, uint64_t ns)
{
    uint64_t end = weir_after(b->rt, ns);
    while (weir_next_turn(b->rt) <= end) {
        assert_true(weir_simulator_step(b->sim, b->rt));
        CHECK_POOL(b);
        CHECK_VALID(b->rt);
    }
    weir_simulator_advance(b->sim, end - weir_now(b->rt));
    weir_turn(b->rt);
    CHECK_POOL(b);
}

void pool_bed_free(pool_bed *b)
{
    weir_pool_close(&b->p);
    CHECK_POOL(b);
    for (unsigned i = 0; i < BED_WAITERS; i++) {
        while (b->w[i].wait.status != WEIR_IDLE && weir_link_is_linked(&b->w[i].wait.link))
            weir_turn(b->rt);
        if (b->w[i].lease != NULL && b->w[i].lease->resource != NULL)
            pool_bed_release(b, i);
        else if (b->w[i].lease != NULL)
            pool_bed_forget(b, i);
    }
    weir_simulator_run(b->sim, b->rt, 100000);
    CHECK(weir_pool_is_gone(&b->p));
    CHECK_POOL(b);
    CHECK_INT(b->p.stats.destroyed, b->p.stats.created);
    weir_pool_fini(&b->p);
    CHECK_INT(b->n_out, 0); /* every failure was dropped, once */
    CHECK_VALID(b->rt);
    CHECK_QUIET(b->rt);
    weir_runtime_free(b->rt);
    CHECK_INT(weir_simulator_bytes(b->sim), 0);
    weir_simulator_free(b->sim);
    free(b);
}
