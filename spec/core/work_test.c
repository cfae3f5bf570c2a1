/* work_test.c - the thread pool: blocking work and name look-ups, done, cancelled, left behind.
 *
 * The pool has four threads here (see main). A test that needs it busy gives each thread a work
 * that waits for a semaphore; what is queued behind them cannot start.
 */
#include "check.h"

#include <weir/loop.h>

#include "uv/internal.h"

#include <unistd.h>

#define N_THREADS 4

typedef struct job {
    uv_sem_t *gate;  /* to wait for; may be NULL */
    uv_sem_t *begun; /* posted once it runs */
    uv_thread_t thread;
    int n_ran, n_done, status;
} job;

typedef struct pool {
    weir_loop *loop;
    weir_runtime *rt;
    uv_sem_t gate, begun;
    job busy[N_THREADS];
} pool;

static void job_run(void *data)
{
    job *j = data;
    j->thread = uv_thread_self();
    j->n_ran++;
    if (j->begun != NULL)
        uv_sem_post(j->begun);
    if (j->gate != NULL)
        uv_sem_wait(j->gate);
}

static void job_done(void *data, int status)
{
    job *j = data;
    j->n_done++;
    j->status = status;
}

static void pool_open(pool *p)
{
    memset(p, 0, sizeof *p);
    CHECK_OK(weir_loop_new(NULL, &p->loop));
    p->rt = weir_loop_runtime(p->loop);
    CHECK_OK(uv_sem_init(&p->gate, 0));
    CHECK_OK(uv_sem_init(&p->begun, 0));
}

static void pool_block(pool *p)
{
    weir_work *work;
    for (int i = 0; i < N_THREADS; i++) {
        p->busy[i] = (job){.gate = &p->gate, .begun = &p->begun};
        CHECK_OK(weir_work_new(p->rt, job_run, job_done, &p->busy[i], &work));
    }
    for (int i = 0; i < N_THREADS; i++)
        uv_sem_wait(&p->begun);
}

static void pool_unblock(pool *p)
{
    for (int i = 0; i < N_THREADS; i++)
        uv_sem_post(&p->gate);
}

static void pool_run(pool *p)
{
    int stop = 0;
    CHECK_INT(weir_loop_run(p->loop, &stop), 0);
}

static void pool_close(pool *p)
{
    CHECK_QUIET(p->rt);
    weir_loop_free(p->loop);
    uv_sem_destroy(&p->gate);
    uv_sem_destroy(&p->begun);
}

/* --- work ---------------------------------------------------------------------------- */

static void works_on_another_thread(void **state)
{
    pool p;
    weir_work *work;
    job j = {.status = 1};
    uv_thread_t self = uv_thread_self();
    (void)state;
    pool_open(&p);
    CHECK_OK(weir_work_new(p.rt, job_run, job_done, &j, &work));
    CHECK_INT(j.n_done, 0);
    CHECK_INT(weir_runtime_counters(p.rt)->io, 1);
    pool_run(&p);
    CHECK_INT(j.n_ran, 1);
    CHECK_INT(j.n_done, 1);
    CHECK_OK(j.status);
    CHECK(!uv_thread_equal(&j.thread, &self));
    pool_close(&p);
}

static void cancels_what_has_not_started(void **state)
{
    pool p;
    weir_work *queued, *kept;
    job a = {.status = 0}, b = {.status = 1};
    (void)state;
    pool_open(&p);
    pool_block(&p);
    CHECK_OK(weir_work_new(p.rt, job_run, job_done, &a, &queued));
    CHECK_OK(weir_work_new(p.rt, job_run, job_done, &b, &kept));
    weir_work_cancel(queued);
    weir_work_cancel(queued); /* harmless */
    CHECK_INT(a.n_done, 0);   /* never from inside the call */
    while (a.n_done == 0)
        CHECK_INT(weir_loop_once(p.loop, 1), 1);
    CHECK_ERR(a.status, WEIR_ECANCELED);
    pool_unblock(&p);
    pool_run(&p);
    CHECK_INT(a.n_ran, 0);
    CHECK_INT(a.n_done, 1);
    CHECK_INT(b.n_ran, 1);
    CHECK_OK(b.status);
    pool_close(&p);
}

static void lets_finish_what_has_started(void **state)
{
    pool p;
    weir_work *work;
    job j;
    (void)state;
    pool_open(&p);
    j = (job){.gate = &p.gate, .begun = &p.begun, .status = 1};
    CHECK_OK(weir_work_new(p.rt, job_run, job_done, &j, &work));
    uv_sem_wait(&p.begun);
    weir_work_cancel(work);
    CHECK_INT(weir_loop_once(p.loop, 0), 1);
    CHECK_INT(j.n_done, 0);
    uv_sem_post(&p.gate);
    pool_run(&p);
    CHECK_INT(j.n_done, 1);
    CHECK_OK(j.status);
    pool_close(&p);
}

/* --- look-ups ------------------------------------------------------------------------ */

typedef struct lookup {
    weir_resolve *r;
    int n, status;
    unsigned n_found;
    int has_local; /* 127.0.0.1 or ::1 was among them */
    char first[64];
} lookup;

static void on_resolved(void *data, int status, const char *const *list, unsigned n)
{
    lookup *l = data;
    l->n++;
    l->status = status;
    l->n_found = n;
    for (unsigned i = 0; i < n; i++)
        l->has_local |= strcmp(list[i], "127.0.0.1") == 0 || strcmp(list[i], "::1") == 0;
    if (n > 0)
        snprintf(l->first, sizeof l->first, "%s", list[0]);
}

static void resolves_the_local_host(void **state)
{
    pool p;
    lookup l = {.status = 1};
    (void)state;
    pool_open(&p);
    CHECK_OK(weir_resolve_new(p.rt, "localhost", on_resolved, &l, &l.r));
    CHECK_INT(weir_runtime_counters(p.rt)->io, 1);
    pool_run(&p);
    CHECK_INT(l.n, 1);
    CHECK_OK(l.status);
    CHECK(l.n_found >= 1);
    CHECK(l.has_local);
    pool_close(&p);
}

/* An address needs no pool: it is answered while all threads are busy, but from the loop. */
static void answers_addresses_without_the_pool(void **state)
{
    static const char *const hosts[] = {"192.0.2.7", "2001:db8::1", "::1"};
    pool p;
    (void)state;
    pool_open(&p);
    pool_block(&p);
    for (int i = 0; i < 3; i++) {
        lookup l = {.status = 1};
        CHECK_OK(weir_resolve_new(p.rt, hosts[i], on_resolved, &l, &l.r));
        CHECK_INT(l.n, 0);
        CHECK_INT(weir_loop_once(p.loop, 1), 1);
        CHECK_INT(l.n, 1);
        CHECK_OK(l.status);
        CHECK_INT(l.n_found, 1);
        CHECK_TEXT(l.first, hosts[i]);
    }
    pool_unblock(&p);
    pool_run(&p);
    pool_close(&p);
}

static void refuses_what_is_no_name(void **state)
{
    pool p;
    lookup l = {.status = 0};
    char name[400];
    (void)state;
    pool_open(&p);
    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    CHECK_ERR(weir_resolve_new(p.rt, "", on_resolved, &l, &l.r), WEIR_EINVAL);
    CHECK(weir_resolve_new(p.rt, name, on_resolved, &l, &l.r) < 0);
    CHECK_QUIET(p.rt);
    pool_run(&p);
    CHECK_INT(l.n, 0);
    pool_close(&p);
}

/* Ten behind a busy pool: four are libuv's, six ours. A name that cannot start fails alone. */
static void runs_four_at_once_and_queues_the_rest(void **state)
{
    enum { N = 10, BAD = 7 };
    pool p;
    lookup l[N];
    char bad[400];
    (void)state;
    pool_open(&p);
    pool_block(&p);
    memset(l, 0, sizeof l);
    memset(bad, 'a', sizeof bad - 1);
    bad[sizeof bad - 1] = '\0';
    for (int i = 0; i < N; i++)
        CHECK_OK(weir_resolve_new(p.rt, i == BAD ? bad : "localhost", on_resolved, &l[i], &l[i].r));
    CHECK_INT(p.loop->n_running, 4);
    CHECK_INT(weir_runtime_counters(p.rt)->io, N + N_THREADS);
    pool_unblock(&p);
    while (weir_loop_once(p.loop, 1))
        CHECK(p.loop->n_running <= 4);
    for (int i = 0; i < N; i++) {
        CHECK_INT(l[i].n, 1);
        if (i == BAD)
            CHECK(l[i].status < 0);
        else
            CHECK_OK(l[i].status);
    }
    pool_close(&p);
}

static void is_silent_once_cancelled(void **state)
{
    enum { N = 8 };
    pool p;
    lookup l[N], numeric = {.n = 0};
    (void)state;
    pool_open(&p);
    pool_block(&p);
    memset(l, 0, sizeof l);
    for (int i = 0; i < N; i++)
        CHECK_OK(weir_resolve_new(p.rt, "localhost", on_resolved, &l[i], &l[i].r));
    CHECK_OK(weir_resolve_new(p.rt, "127.0.0.1", on_resolved, &numeric, &numeric.r));
    weir_resolve_cancel(numeric.r);
    for (int i = 0; i < N; i += 2) /* two that libuv has, two of the queue */
        weir_resolve_cancel(l[i].r);
    CHECK_INT(weir_runtime_counters(p.rt)->io, N / 2 + N_THREADS);
    pool_unblock(&p);
    pool_run(&p);
    CHECK_INT(numeric.n, 0);
    for (int i = 0; i < N; i++)
        CHECK_INT(l[i].n, i % 2);
    pool_close(&p);
}

/* Cancelled while libuv may or may not have come to it: whichever, no callback, no leak. */
static void is_silent_once_cancelled_in_the_pool(void **state)
{
    pool p;
    lookup l = {.n = 0};
    (void)state;
    pool_open(&p);
    for (int i = 0; i < 20; i++) {
        CHECK_OK(weir_resolve_new(p.rt, "localhost", on_resolved, &l, &l.r));
        if (i % 2 == 0)
            uv_sleep(1); /* gives a thread the time to take it */
        weir_resolve_cancel(l.r);
        CHECK_QUIET(p.rt);
    }
    pool_run(&p);
    CHECK_INT(l.n, 0);
    pool_close(&p);
}

/* A callback may do anything: cancel one whose answer stands behind it, ask again. */
typedef struct chain {
    pool *p;
    lookup other, again;
    int n;
} chain;

static void on_chain(void *data, int status, const char *const *list, unsigned n)
{
    chain *c = data;
    CHECK_OK(status);
    CHECK_INT(n, 1);
    CHECK_TEXT(list[0], "127.0.0.1");
    c->n++;
    weir_resolve_cancel(c->other.r);
    CHECK_OK(weir_resolve_new(c->p->rt, "::1", on_resolved, &c->again, &c->again.r));
}

static void allows_anything_in_the_callback(void **state)
{
    pool p;
    chain c = {.p = &p};
    weir_resolve *r;
    (void)state;
    pool_open(&p);
    CHECK_OK(weir_resolve_new(p.rt, "127.0.0.1", on_chain, &c, &r));
    CHECK_OK(weir_resolve_new(p.rt, "127.0.0.2", on_resolved, &c.other, &c.other.r));
    pool_run(&p);
    CHECK_INT(c.n, 1);
    CHECK_INT(c.other.n, 0);
    CHECK_INT(c.again.n, 1);
    CHECK_TEXT(c.again.first, "::1");
    pool_close(&p);
}

/* --- the end ------------------------------------------------------------------------- */

static void unblock_later(void *arg)
{
    uv_sem_t *gate = arg;
    uv_sleep(2);
    for (int i = 0; i < N_THREADS; i++)
        uv_sem_post(gate);
}

/* The loop waits for what runs (its memory is libuv's until then), the rest never starts. */
static void ends_with_everything_in_flight(void **state)
{
    enum { N = 6 };
    pool p;
    weir_work *work;
    weir_resolve *r;
    uv_thread_t thread;
    job queued = {.status = 1};
    lookup l = {.n = 0};
    (void)state;
    pool_open(&p);
    pool_block(&p);
    CHECK_OK(weir_work_new(p.rt, job_run, job_done, &queued, &work));
    for (int i = 0; i < N; i++)
        CHECK_OK(weir_resolve_new(p.rt, "localhost", on_resolved, &l, &r));
    CHECK_OK(weir_resolve_new(p.rt, "127.0.0.1", on_resolved, &l, &r));
    CHECK_OK(uv_thread_create(&thread, unblock_later, &p.gate));
    weir_loop_free(p.loop);
    CHECK_OK(uv_thread_join(&thread));
    CHECK_INT(l.n, 0);
    CHECK_INT(queued.n_ran, 0);
    CHECK_INT(queued.n_done, 1);
    CHECK_ERR(queued.status, WEIR_ECANCELED);
    for (int i = 0; i < N_THREADS; i++)
        CHECK_INT(p.busy[i].n_done, 1);
    uv_sem_destroy(&p.gate);
    uv_sem_destroy(&p.begun);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(works_on_another_thread),
        cmocka_unit_test(cancels_what_has_not_started),
        cmocka_unit_test(lets_finish_what_has_started),
        cmocka_unit_test(resolves_the_local_host),
        cmocka_unit_test(answers_addresses_without_the_pool),
        cmocka_unit_test(refuses_what_is_no_name),
        cmocka_unit_test(runs_four_at_once_and_queues_the_rest),
        cmocka_unit_test(is_silent_once_cancelled),
        cmocka_unit_test(is_silent_once_cancelled_in_the_pool),
        cmocka_unit_test(allows_anything_in_the_callback),
        cmocka_unit_test(ends_with_everything_in_flight),
    };
    setenv("UV_THREADPOOL_SIZE", "4", 1);
    alarm(60);
    return CHECK_MAIN(tests);
}
