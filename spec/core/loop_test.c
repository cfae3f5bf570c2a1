/* loop_test.c - the libuv driver on a loop of its own: when it turns, when it sleeps, when it ends.
 *
 * Real time, so: nothing waits longer than a few milliseconds, nothing asserts an upper bound,
 * and a driver that blocks where it must not is ended by alarm().
 */
#include "mark.h"

#include "uv/internal.h"

#include <unistd.h>
#include <uv.h>

static void has_nothing_to_do_at_first(void **state)
{
    weir_loop *loop = mark_open(NULL);
    int stop = 0;
    (void)state;
    CHECK(weir_runtime_loop(weir_loop_runtime(loop)) == loop);
    CHECK_INT(weir_loop_run(loop, &stop), 0);
    CHECK_INT(weir_loop_once(loop, 1), 0);
    CHECK_INT(weir_loop_timeout(loop), -1);
    mark_close(loop);
    weir_loop_free(NULL);
}

static void fires_in_order_and_never_early(void **state)
{
    static const uint64_t delays[] = {3 * MS, 100, MS + 1, 1, 0, 100 * 1000, 2 * MS, MS};
    enum { N = sizeof delays / sizeof delays[0] };
    weir_loop *loop = mark_open(NULL);
    weir_runtime *rt = weir_loop_runtime(loop);
    mark marks[N];
    int n = 0, stop = 0;
    uint64_t start = weir_now_update(rt);
    (void)state;
    for (int i = 0; i < N; i++) {
        mark_init(&marks[i], &n);
        weir_sleep_until(rt, &marks[i].wait, start + delays[i]);
    }
    CHECK_INT(weir_loop_run(loop, &stop), 0);
    CHECK_INT(n, N);
    for (int i = 0; i < N; i++) {
        CHECK(marks[i].at >= start + delays[i]);
        for (int j = 0; j < N; j++)
            CHECK(delays[i] <= delays[j] || marks[i].at >= marks[j].at);
    }
    mark_close(loop);
}

static void sees_what_was_set_between_iterations(void **state)
{
    weir_loop *loop = mark_open(NULL);
    weir_runtime *rt = weir_loop_runtime(loop);
    mark m;
    int n = 0, stop = 0;
    (void)state;
    mark_init(&m, &n);
    for (int i = 1; i <= 3; i++) {
        CHECK_INT(weir_loop_run(loop, &stop), 0);
        weir_waiter_enqueue(rt, &m.wait, &mark_ops);
        CHECK_INT(weir_loop_run(loop, &stop), 0);
        CHECK_INT(n, 2 * i - 1);
        weir_sleep_until(rt, &m.wait, weir_after(rt, 1));
        CHECK_INT(weir_loop_run(loop, &stop), 0);
        CHECK_INT(n, 2 * i);
    }
    mark_close(loop);
}

/* An earlier timer replaces a later one that libuv's is set for, and the other way round. */
static void follows_the_earliest_timer(void **state)
{
    weir_loop *loop = mark_open(NULL);
    weir_runtime *rt = weir_loop_runtime(loop);
    mark far, near;
    int n = 0;
    (void)state;
    mark_init(&far, NULL);
    mark_init(&near, &n);
    weir_sleep_until(rt, &far.wait, weir_after(rt, HOUR));
    CHECK_INT(weir_loop_once(loop, 0), 1);
    weir_sleep_until(rt, &near.wait, weir_after(rt, MS));
    while (n == 0)
        CHECK_INT(weir_loop_once(loop, 1), 1);
    CHECK(far.at == 0);
    weir_timer_unset(rt, &far.wait.timer);
    weir_waiter_settle(rt, &far.wait, WEIR_CANCELED);
    CHECK_INT(weir_loop_once(loop, 1), 0);
    CHECK(far.at != 0);
    mark_close(loop);
}

/* A turn takes so long that libuv's timer fires before the next poll: that is not yet the turn
 * it was set for, and a descriptor that stays silent must not hold it up. */
static void never_poll(weir_poll *poll, int status, int events, void *data)
{
    (void)poll;
    (void)data;
    check_fail(__FILE__, __LINE__, "status %d, events %d of a silent pipe", status, events);
}

static void slow_run(weir_runtime *rt, weir_waiter *w)
{
    (void)rt;
    (void)w;
    uv_sleep(3);
}

static void takes_the_turn_its_timer_was_set_for(void **state)
{
    weir_loop *loop = mark_open(NULL);
    weir_runtime *rt = weir_loop_runtime(loop);
    weir_poll *poll;
    weir_waiter slow;
    mark m;
    int fds[2], stop = 0;
    (void)state;
    CHECK_OK(pipe(fds));
    CHECK_OK(weir_poll_new(rt, fds[0], never_poll, NULL, &poll));
    CHECK_OK(weir_poll_set(poll, WEIR_READABLE));
    mark_init(&m, NULL);
    weir_sleep_until(rt, &m.wait, weir_after(rt, MS));
    CHECK_INT(weir_loop_once(loop, 0), 1); /* libuv's timer is set */
    weir_waiter_init(&slow, slow_run);
    weir_waiter_enqueue(rt, &slow, &mark_ops);
    while (m.at == 0)
        CHECK_INT(weir_loop_once(loop, 1), 1);
    weir_poll_free(poll);
    CHECK_INT(weir_loop_run(loop, &stop), 0);
    mark_close(loop);
    close(fds[0]);
    close(fds[1]);
}

/* The loop sleeps until the turn is due; it does not wake a little early and spin. */
static void sleeps_between_turns(void **state)
{
    weir_loop *loop = mark_open(NULL);
    weir_runtime *rt = weir_loop_runtime(loop);
    mark m;
    int stop = 0;
    (void)state;
    mark_init(&m, NULL);
    m.nap = MS / 3;
    m.n_again = 10;
    mark_run(rt, &m.wait);
    CHECK_INT(weir_loop_run(loop, &stop), 0);
    CHECK(weir_runtime_counters(rt)->turns <= 60); /* one a nap, and some too soon */
    mark_close(loop);
}

static void stops_when_told(void **state)
{
    weir_loop *loop = mark_open(NULL);
    weir_runtime *rt = weir_loop_runtime(loop);
    mark near, far;
    int stop = 0;
    (void)state;
    mark_init(&near, &stop);
    mark_init(&far, NULL);
    weir_sleep_until(rt, &far.wait, weir_after(rt, HOUR));
    weir_waiter_enqueue(rt, &near.wait, &mark_ops);
    CHECK_INT(weir_loop_run(loop, &stop), 1);
    CHECK_INT(weir_loop_run(loop, &stop), 1); /* at once */
    CHECK_INT(weir_waiter_give_up(rt, &far.wait, WEIR_CANCELED), 1);
    stop = 0;
    CHECK_INT(weir_loop_run(loop, &stop), 0);
    mark_close(loop);
}

/* More ready waiters than a turn's budget: the descriptors get their look in between. */
static void on_readable(weir_poll *poll, int status, int events, void *data)
{
    mark *busy = data;
    (void)status;
    (void)events;
    busy->n_again = 0;
    weir_poll_free(poll);
}

static void polls_under_load(void **state)
{
    weir_loop *loop = mark_open(NULL);
    weir_runtime *rt = weir_loop_runtime(loop);
    weir_poll *poll;
    mark busy;
    int fds[2], stop = 0;
    (void)state;
    CHECK_OK(pipe(fds));
    CHECK_INT(write(fds[1], "x", 1), 1);
    mark_init(&busy, NULL);
    busy.n_again = INT32_MAX;
    weir_yield(rt, &busy.wait);
    CHECK_OK(weir_poll_new(rt, fds[0], on_readable, &busy, &poll));
    CHECK_OK(weir_poll_set(poll, WEIR_READABLE));
    CHECK_INT(weir_loop_run(loop, &stop), 0);
    CHECK(weir_runtime_counters(rt)->turns < 10);
    mark_close(loop);
    close(fds[0]);
    close(fds[1]);
}

static void names_errors_of_both_kinds(void **state)
{
    (void)state;
    CHECK_TEXT(weir_loop_error_text(UV_ECONNREFUSED), "connection refused");
    CHECK_TEXT(weir_loop_error_text(WEIR_ECLOSED), "closed");
    CHECK_TEXT(weir_loop_error_text(0), "no error");
    CHECK_TEXT(weir_loop_error_text(-123456), "unknown error");
}

static void draws_different_numbers(void **state)
{
    weir_loop *a = mark_open(NULL), *b = mark_open(NULL);
    uint64_t x = weir_random(weir_loop_runtime(a)), y = weir_random(weir_loop_runtime(b));
    (void)state;
    CHECK(x != y);
    CHECK(weir_random(weir_loop_runtime(a)) != x);
    CHECK_INT(weir_choose(weir_loop_runtime(a), 5, WEIR_CHOICE_READY), 0);
    mark_close(a);
    mark_close(b);
}

/* On a loop that goes away everything is closed, a careless host's handles too. */
static void on_host_timer(uv_timer_t *timer)
{
    ++*(int *)timer->data;
}

static void closes_what_others_left_on_its_own_loop(void **state)
{
    weir_loop *loop = mark_open(NULL);
    uv_timer_t timer;
    int n = 0;
    (void)state;
    CHECK_OK(uv_timer_init(weir_loop_uv(loop), &timer));
    timer.data = &n;
    CHECK_OK(uv_timer_start(&timer, on_host_timer, 3600 * 1000, 0));
    CHECK_INT(weir_loop_once(loop, 0), 1);
    mark_close(loop);
    CHECK_INT(n, 0);
}

/* The alarm is made at the first wait that is too short for milliseconds, and keeps nothing alive.
 */
static void has_an_alarm_for_short_waits(void **state)
{
    weir_loop *loop = mark_open(NULL);
    weir_runtime *rt = weir_loop_runtime(loop);
    mark m;
    int n = 0, stop = 0;
    (void)state;
    mark_init(&m, &n);
    weir_sleep_until(rt, &m.wait, weir_after(rt, HOUR));
    CHECK_INT(weir_loop_once(loop, 0), 1);
    CHECK_INT(loop->alarm_fd, -1);
    weir_waiter_give_up(rt, &m.wait, WEIR_CANCELED);
    CHECK_INT(weir_loop_run(loop, &stop), 0);
    for (int i = 0; i < 3; i++) {
        weir_sleep_until(rt, &m.wait, weir_after(rt, 2 * MS));
        CHECK_INT(weir_loop_run(loop, &stop), 0);
    }
    CHECK_INT(n, 4);
#ifdef __linux__
    CHECK(loop->alarm_fd >= 0);
#endif
    mark_close(loop);
}

static void goes_on_for_what_a_late_callback_settled(void **state)
{
    weir_loop *loop = mark_open(NULL);
    uv_timer_t timer;
    mark m;
    int n = 0, stop = 0;
    (void)state;
    mark_init(&m, &n);
    m.rt = weir_loop_runtime(loop);
    CHECK_OK(uv_timer_init(weir_loop_uv(loop), &timer));
    timer.data = &m;
    uv_close((uv_handle_t *)&timer, mark_on_closed);
    CHECK_INT(weir_loop_run(loop, &stop), 0);
    CHECK_INT(n, 1);
    mark_close(loop);
}

/* Set by a callback between two turns it is what the loop wakes up for: not the timer of an hour.
 */
typedef struct hush {
    weir_quiet quiet;
    uv_timer_t timer;
    weir_runtime *rt;
    mark *far;
    int n;
} hush;

static void on_quiet(weir_runtime *rt, weir_quiet *quiet)
{
    hush *h = weir_container(quiet, hush, quiet);
    h->n++;
    weir_waiter_give_up(rt, &h->far->wait, WEIR_CANCELED);
}

static void on_hush_timer(uv_timer_t *timer)
{
    hush *h = timer->data;
    weir_quiet_set(h->rt, &h->quiet);
    uv_close((uv_handle_t *)timer, NULL);
}

static void on_hush_closed(uv_handle_t *handle)
{
    hush *h = handle->data;
    weir_quiet_set(h->rt, &h->quiet); /* in the last phase of an iteration, after its turn */
}

static void wakes_for_quiet(void **state)
{
    weir_loop *loop = mark_open(NULL);
    mark far;
    hush h = {.rt = weir_loop_runtime(loop), .far = &far};
    int stop = 0;
    (void)state;
    weir_quiet_init(&h.quiet, on_quiet);
    mark_init(&far, NULL);
    for (int how = 0; how < 3; how++) { /* before the loop runs, before its poll, after its turn */
        weir_sleep_until(h.rt, &far.wait, weir_after(h.rt, HOUR));
        CHECK_OK(uv_timer_init(weir_loop_uv(loop), &h.timer));
        h.timer.data = &h;
        if (how == 0)
            weir_quiet_set(h.rt, &h.quiet);
        if (how == 1)
            CHECK_OK(uv_timer_start(&h.timer, on_hush_timer, 2, 0));
        else
            uv_close((uv_handle_t *)&h.timer, how == 2 ? on_hush_closed : NULL);
        CHECK_INT(weir_loop_run(loop, &stop), 0);
        CHECK_INT(h.n, how + 1);
        CHECK_INT(far.wait.status, WEIR_CANCELED);
    }
    mark_close(loop);
}

/* A loop that the host runs does not end on it. */
static void wakes_a_hosts_loop_for_quiet(void **state)
{
    uv_loop_t uv;
    mark far;
    (void)state;
    CHECK_OK(uv_loop_init(&uv));
    weir_loop *loop = mark_open(&uv);
    hush h = {.rt = weir_loop_runtime(loop), .far = &far};
    mark_init(&far, NULL);
    weir_quiet_init(&h.quiet, on_quiet);
    CHECK_OK(uv_timer_init(&uv, &h.timer));
    h.timer.data = &h;
    uv_close((uv_handle_t *)&h.timer, on_hush_closed);
    CHECK_INT(uv_run(&uv, UV_RUN_DEFAULT), 0);
    CHECK_INT(h.n, 1);
    mark_close(loop);
    CHECK_OK(uv_loop_close(&uv));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(has_nothing_to_do_at_first),
        cmocka_unit_test(fires_in_order_and_never_early),
        cmocka_unit_test(sees_what_was_set_between_iterations),
        cmocka_unit_test(follows_the_earliest_timer),
        cmocka_unit_test(takes_the_turn_its_timer_was_set_for),
        cmocka_unit_test(sleeps_between_turns),
        cmocka_unit_test(stops_when_told),
        cmocka_unit_test(polls_under_load),
        cmocka_unit_test(names_errors_of_both_kinds),
        cmocka_unit_test(draws_different_numbers),
        cmocka_unit_test(closes_what_others_left_on_its_own_loop),
        cmocka_unit_test(has_an_alarm_for_short_waits),
        cmocka_unit_test(goes_on_for_what_a_late_callback_settled),
        cmocka_unit_test(wakes_for_quiet),
        cmocka_unit_test(wakes_a_hosts_loop_for_quiet),
    };
    alarm(60);
    return CHECK_MAIN(tests);
}
