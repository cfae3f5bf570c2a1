/* uv/loop.c - the production env: a runtime driven by a libuv loop, its own or the host's.
 *
 * DESIGN. One iteration of the loop is one turn, and the check phase is where it is taken:
 * after the poll, so that whatever I/O settled runs at once. The two other questions are when
 * the poll may block, and whether the loop may end. Both are answered by two handles that are
 * there for nothing else: `timer` runs while a turn is due later, `idle` while it is due now.
 * They are brought up to date before every poll (the host's callbacks may have set timers) and
 * after every turn (libuv looks there whether anything is alive). From there to the next poll
 * the runtime calls `wake` when there is something new, or a loop that the host runs could end
 * on it. The handles' callbacks do nothing, so it does not matter that libuv up to 1.44 runs
 * timers before the poll and later ones after.
 *
 * Time: the timer is set to the first whole millisecond of libuv's clock, which is our clock
 * cut to milliseconds, that is not before the turn: nothing fires early, and at most 1 ms late.
 * Where that would be much of the delay, uv/alarm.c wakes the poll on the nanosecond.
 */
#include "internal.h"

#include "../base/random.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NS_PER_MS UINT64_C(1000000)

/* --- the env ----------------------------------------------------------------------- */

static uint64_t env_now(void *ctx)
{
    (void)ctx;
    return uv_hrtime();
}

#ifdef CLOCK_MONOTONIC_COARSE
/* The same clock at the last tick of the system (1 to 10 ms): a read of memory, no counter. */
static uint64_t env_coarse(void *ctx)
{
    struct timespec t;
    (void)ctx;
    if (clock_gettime(CLOCK_MONOTONIC_COARSE, &t) != 0)
        return 0;
    return (uint64_t)t.tv_sec * WEIR_SECOND + (uint64_t)t.tv_nsec;
}
#else
static uint64_t (*const env_coarse)(void *ctx) = env_now;
#endif

static void *env_alloc(void *ctx, void *ptr, size_t old, size_t size)
{
    (void)ctx;
    (void)old;
    if (size > 0)
        return realloc(ptr, size);
    free(ptr);
    return NULL;
}

static uint64_t env_random(void *ctx)
{
    weir_loop *loop = ctx;
    return weir__random_next(&loop->random);
}

static uint64_t seed(const weir_loop *loop)
{
    uint64_t s;
    if (uv_random(NULL, NULL, &s, sizeof s, 0, NULL) != 0)
        s = weir__mix(uv_hrtime() ^ (uint64_t)(uintptr_t)loop); /* a system without entropy yet */
    return s;
}

/* --- the turn ---------------------------------------------------------------------- */

void weir__loop_clock(weir_loop *loop)
{
    if (loop->is_fresh)
        return;
    loop->is_fresh = 1;
    weir_now_update(loop->rt);
}

static void on_idle(uv_idle_t *idle)
{
    (void)idle;
}

void weir__loop_wake(weir_loop *loop)
{
    uv_idle_start(&loop->idle, on_idle);
}

static void on_timer(uv_timer_t *timer)
{
    weir_loop *loop = timer->data;
    loop->armed = WEIR_FOREVER;
    weir__loop_wake(
        loop); /* the timer is stopped, the turn to come: UV_RUN_ONCE ends with timers */
}

static void arm(weir_loop *loop)
{
    uint64_t next = weir_next_turn(loop->rt), due, now;

    if (next == 0 || !weir_list_is_empty(&loop->answers)) {
        weir__loop_wake(loop);
        return;
    }
    uv_idle_stop(&loop->idle);
    if (next == loop->armed)
        return;
    loop->armed = next;
    if (next == WEIR_FOREVER) {
        uv_timer_stop(&loop->timer);
        return;
    }
    weir__alarm_set(loop, next);
    uv_update_time(loop->uv); /* or the poll would sleep too long by what the turn took */
    due = next / NS_PER_MS + (next % NS_PER_MS != 0);
    now = uv_now(loop->uv);
    uv_timer_start(&loop->timer, on_timer, due > now ? due - now : 0, 0);
}

static void on_prepare(uv_prepare_t *prepare)
{
    weir_loop *loop = prepare->data;
    loop->is_fresh = 0;
    loop->rt->wake = NULL; /* until on_check */
    arm(loop);
}

static void on_check(uv_check_t *check)
{
    weir_loop *loop = check->data;
    weir__resolve_answer(loop);
    weir_turn(loop->rt);
    arm(loop);
    loop->rt->wake = weir__loop_wake;
}

/* --- life -------------------------------------------------------------------------- */

int weir_loop_new(uv_loop_t *uv, weir_loop **out)
{
    weir_loop *loop = calloc(1, sizeof *loop);
    weir_env env = {loop, env_now, env_alloc, env_random, NULL, env_coarse};
    int rc = WEIR_ENOMEM;

    if (loop == NULL)
        return rc;
    loop->uv = uv != NULL ? uv : &loop->own;
    loop->is_own = uv == NULL;
    loop->armed = WEIR_FOREVER;
    loop->alarm_fd = -1;
    loop->random = seed(loop);
    weir_list_init(&loop->polls);
    weir_list_init(&loop->signals);
    weir_list_init(&loop->works);
    weir_list_init(&loop->inboxes);
    weir_list_init(&loop->queue);
    weir_list_init(&loop->running);
    weir_list_init(&loop->answers);
    loop->rt = weir_runtime_new(&env);
    if (loop->rt == NULL)
        goto free_loop;
    if (loop->is_own && (rc = uv_loop_init(loop->uv)) != 0)
        goto free_runtime;
    loop->rt->loop = loop;
    loop->rt->wake = weir__loop_wake;

    uv_timer_init(loop->uv, &loop->timer); /* none of these can fail */
    uv_idle_init(loop->uv, &loop->idle);
    uv_prepare_init(loop->uv, &loop->prepare);
    uv_check_init(loop->uv, &loop->check);
    loop->timer.data = loop->idle.data = loop->prepare.data = loop->check.data = loop;
    loop->n_handles = 4;
    uv_prepare_start(&loop->prepare, on_prepare);
    uv_check_start(&loop->check, on_check);
    uv_unref((uv_handle_t *)&loop->prepare);
    uv_unref((uv_handle_t *)&loop->check);
    *out = loop;
    return 0;

free_runtime:
    weir_runtime_free(loop->rt);
free_loop:
    free(loop);
    return rc;
}

static void on_closed(uv_handle_t *handle)
{
    weir_loop *loop = handle->data;
    loop->n_handles--;
}

static void close_other(uv_handle_t *handle, void *arg)
{
    (void)arg;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

/* Handles of others on a loop that goes away: closed, or libuv would go on writing to it. */
static void end_own(uv_loop_t *uv)
{
    while (uv_loop_close(uv) == UV_EBUSY) {
        uv_walk(uv, close_other, NULL);
        uv_run(uv, UV_RUN_DEFAULT);
    }
}

void weir_loop_free(weir_loop *loop)
{
    if (loop == NULL)
        return;
    loop->rt->wake = NULL;
    weir__inbox_free_all(loop);
    weir__poll_free_all(loop);
    weir__signal_free_all(loop);
    weir__resolve_cancel_all(loop);
    weir__work_cancel_all(loop);
    weir__alarm_close(loop);
    uv_close((uv_handle_t *)&loop->timer, on_closed);
    uv_close((uv_handle_t *)&loop->idle, on_closed);
    uv_close((uv_handle_t *)&loop->prepare, on_closed);
    uv_close((uv_handle_t *)&loop->check, on_closed);
    while (loop->n_handles + loop->n_requests > 0)
        uv_run(loop->uv, UV_RUN_ONCE);
    weir_runtime_free(loop->rt);
    if (loop->is_own)
        end_own(loop->uv);
    free(loop);
}

weir_runtime *weir_loop_runtime(weir_loop *loop)
{
    return loop->rt;
}

uv_loop_t *weir_loop_uv(weir_loop *loop)
{
    return loop->uv;
}

weir_loop *weir_runtime_loop(const weir_runtime *rt)
{
    return rt->loop;
}

#define ERROR_CASE(name, text)                                                                     \
    case UV_##name:                                                                                \
        return text;

/* Not uv_strerror, which allocates for a code it does not know. */
const char *weir_loop_error_text(int code)
{
    switch (code) {
        UV_ERRNO_MAP(ERROR_CASE)
    default:
        return weir_error_text(code);
    }
}

/* --- driving ----------------------------------------------------------------------- */

int weir_loop_once(weir_loop *loop, int block)
{
    arm(loop); /* for what was spawned or set since the last iteration */
    if (!uv_loop_alive(loop->uv))
        return 0;
    uv_run(loop->uv, block ? UV_RUN_ONCE : UV_RUN_NOWAIT);
    return uv_loop_alive(loop->uv) != 0;
}

int weir_loop_run(weir_loop *loop, const int *stop)
{
    while (*stop == 0)
        if (!weir_loop_once(loop, 1))
            return *stop != 0;
    return 1;
}

int weir_loop_fd(weir_loop *loop)
{
    return uv_backend_fd(loop->uv);
}

/* libuv tells the kernel of new descriptors only in its next poll; until then (since 1.44) its
 * own timeout is 0, so that the host takes that step before it sleeps. */
int weir_loop_timeout(weir_loop *loop)
{
    arm(loop);
    if (!uv_loop_alive(loop->uv))
        return -1;
    uv_update_time(loop->uv);
    return uv_backend_timeout(loop->uv);
}

int weir_loop_step(weir_loop *loop)
{
    return weir_loop_once(loop, 0);
}

int weir_loop_has_others(weir_loop *loop)
{
    arm(loop);
    uv_unref((uv_handle_t *)&loop->timer);
    int alive = uv_loop_alive(loop->uv);
    uv_ref((uv_handle_t *)&loop->timer);
    return alive != 0;
}

const char *weir_loop_backend(void)
{
    return uv_version_string();
}

int weir_loop_is_from(const void *run)
{
    int (*ours)(uv_loop_t *, uv_run_mode) = uv_run;
    return memcmp(&run, &ours, sizeof run) == 0; /* ISO C compares no object with a function */
}
