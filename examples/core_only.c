/* core_only.c - the core in a program of its own: no libuv loop, no script, callbacks alone.
 *
 * The host gives the core a clock and memory (weir_env) and drives it: a turn, then sleep until
 * the next one is due. Six jobs share a semaphore of two permits; each is a waiter whose
 * callback is called when what it waits for has come.
 *
 *   cc core_only.c $(pkg-config --cflags --libs weir) -o core_only && ./core_only
 */
#include <weir/weir.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define MS UINT64_C(1000000)

static uint64_t host_now(void *ctx)
{
    struct timespec t;
    (void)ctx;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * WEIR_SECOND + (uint64_t)t.tv_nsec;
}

static void *host_alloc(void *ctx, void *ptr, size_t old, size_t size)
{
    (void)ctx;
    (void)old;
    if (size > 0)
        return realloc(ptr, size);
    free(ptr);
    return NULL;
}

static uint64_t host_random(void *ctx)
{
    (void)ctx;
    return (uint64_t)rand();
}

/* --- the jobs ------------------------------------------------------------------------ */

typedef struct job {
    weir_waiter wait; /* a job waits for one thing at a time: a permit, then its time */
    weir_semaphore *limit;
    weir_permit *permit;
    int id;
    int has_begun;
} job;

static int running, most;

static void begin(weir_runtime *rt, job *j)
{
    j->has_begun = 1;
    if (++running > most)
        most = running;
    printf("job %d begins, %d running\n", j->id, running);
    weir_sleep_until(rt, &j->wait, weir_after(rt, 5 * MS)); /* stands for work that takes a while */
}

static void on_turn(weir_runtime *rt, weir_waiter *w)
{
    job *j = weir_container(w, job, wait);
    if (!j->has_begun) {
        begin(rt, j); /* the permit has come */
        return;
    }
    running--;
    weir_permit_release(j->permit); /* goes to the job that waits longest */
}

static int start(weir_runtime *rt, job *j)
{
    int rc = weir_semaphore_try(j->limit, NULL, 1, &j->permit);
    weir_waiter_init(&j->wait, on_turn);
    if (rc == 0)
        begin(rt, j);
    else if (rc == WEIR_EBUSY)
        rc = weir_semaphore_acquire(j->limit, NULL, 1, &j->wait, WEIR_FOREVER, &j->permit);
    if (rc != 0)
        fprintf(stderr, "job %d: %s\n", j->id, weir_error_text(rc));
    return rc;
}

/* --- the loop ------------------------------------------------------------------------ */

static void sleep_until(uint64_t at)
{
    uint64_t now = host_now(NULL);
    if (at > now) {
        uint64_t ns = at - now;
        struct timespec t = {(time_t)(ns / WEIR_SECOND), (long)(ns % WEIR_SECOND)};
        nanosleep(&t, NULL);
    }
}

int main(void)
{
    weir_env env = {NULL, host_now, host_alloc, host_random, NULL, NULL};
    weir_runtime *rt = weir_runtime_new(&env);
    weir_semaphore limit;
    job jobs[6] = {0};
    uint64_t next;

    if (rt == NULL || weir_semaphore_init(rt, &limit, 2, "jobs") != 0)
        return 1;
    for (int i = 0; i < 6; i++) {
        jobs[i].id = i + 1;
        jobs[i].limit = &limit;
        if (start(rt, &jobs[i]) != 0)
            return 1;
    }
    while ((next = weir_next_turn(rt)) != WEIR_FOREVER) {
        sleep_until(next); /* a host with descriptors of its own would poll them here */
        weir_turn(rt);
    }
    printf("%d granted, at most %d at once\n", (int)limit.stats.grants, most);
    weir_semaphore_fini(&limit);
    weir_runtime_free(rt);
    return most == 2 ? 0 : 1;
}
