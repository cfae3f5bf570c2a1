/* loop_test.c - the libuv driver: its own loop, a borrowed one, a foreign one, two in two threads.
 *
 * Real time, so: nothing waits longer than a few milliseconds, nothing asserts an upper bound,
 * and a driver that blocks where it must not is ended by alarm().
 */
#include "check.h"

#include <weir/loop.h>

#include <poll.h>
#include <unistd.h>
#include <uv.h>

#define MS UINT64_C(1000000)
#define HOUR (3600 * WEIR_SECOND)

typedef struct mark {
    weir_waiter wait;
    uint64_t at; /* when it ran; 0 is never */
    int *n;      /* counts runs */
    int n_again; /* yields left, or naps of `nap` ns */
    uint64_t nap;
    weir_runtime *rt; /* for callbacks */
} mark;

static const weir_wait_ops mark_ops = {"mark", NULL, NULL, NULL, NULL};

static void mark_run(weir_runtime *rt, weir_waiter *w)
{
    mark *m = weir_container(w, mark, wait);
    m->at = weir_now(rt);
    if (m->n != NULL)
        ++*m->n;
    if (m->n_again > 0) {
        m->n_again--;
        if (m->nap > 0)
            weir_sleep_until(rt, w, weir_after(rt, m->nap));
        else
            weir_yield(rt, w);
    }
}

static void mark_init(mark *m, int *n)
{
    *m = (mark){.n = n};
    weir_waiter_init(&m->wait, mark_run);
}

static weir_loop *open_loop(uv_loop_t *uv)
{
    weir_loop *loop = NULL;
    CHECK_OK(weir_loop_new(uv, &loop));
    return loop;
}

static void close_loop(weir_loop *loop)
{
    CHECK_VALID(weir_loop_runtime(loop));
    CHECK_QUIET(weir_loop_runtime(loop));
    weir_loop_free(loop);
}

/* --- own loop ------------------------------------------------------------------------ */

static void has_nothing_to_do_at_first(void **state)
{
    weir_loop *loop = open_loop(NULL);
    int stop = 0;
    (void)state;
    CHECK(weir_runtime_loop(weir_loop_runtime(loop)) == loop);
    CHECK_INT(weir_loop_run(loop, &stop), 0);
    CHECK_INT(weir_loop_once(loop, 1), 0);
    CHECK_INT(weir_loop_timeout(loop), -1);
    close_loop(loop);
    weir_loop_free(NULL);
}

static void fires_in_order_and_never_early(void **state)
{
    static const uint64_t delays[] = {3 * MS, 100, MS + 1, 1, 0, 100 * 1000, 2 * MS, MS};
    enum { N = sizeof delays / sizeof delays[0] };
    weir_loop *loop = open_loop(NULL);
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
    close_loop(loop);
}

static void sees_what_was_set_between_iterations(void **state)
{
    weir_loop *loop = open_loop(NULL);
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
    close_loop(loop);
}

/* An earlier timer replaces a later one that libuv's is set for, and the other way round. */
static void follows_the_earliest_timer(void **state)
{
    weir_loop *loop = open_loop(NULL);
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
    close_loop(loop);
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
    weir_loop *loop = open_loop(NULL);
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
    close_loop(loop);
    close(fds[0]);
    close(fds[1]);
}

/* The loop sleeps until the turn is due; it does not wake a little early and spin. */
static void sleeps_between_turns(void **state)
{
    weir_loop *loop = open_loop(NULL);
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
    close_loop(loop);
}

static void stops_when_told(void **state)
{
    weir_loop *loop = open_loop(NULL);
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
    close_loop(loop);
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
    weir_loop *loop = open_loop(NULL);
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
    close_loop(loop);
    close(fds[0]);
    close(fds[1]);
}

static void draws_different_numbers(void **state)
{
    weir_loop *a = open_loop(NULL), *b = open_loop(NULL);
    uint64_t x = weir_random(weir_loop_runtime(a)), y = weir_random(weir_loop_runtime(b));
    (void)state;
    CHECK(x != y);
    CHECK(weir_random(weir_loop_runtime(a)) != x);
    CHECK_INT(weir_choose(weir_loop_runtime(a), 5, WEIR_CHOICE_READY), 0);
    close_loop(a);
    close_loop(b);
}

/* On a loop that goes away everything is closed, a careless host's handles too. */
static void on_host_timer(uv_timer_t *timer)
{
    ++*(int *)timer->data;
}

static void closes_what_others_left_on_its_own_loop(void **state)
{
    weir_loop *loop = open_loop(NULL);
    uv_timer_t timer;
    int n = 0;
    (void)state;
    CHECK_OK(uv_timer_init(weir_loop_uv(loop), &timer));
    timer.data = &n;
    CHECK_OK(uv_timer_start(&timer, on_host_timer, 3600 * 1000, 0));
    CHECK_INT(weir_loop_once(loop, 0), 1);
    close_loop(loop);
    CHECK_INT(n, 0);
}

/* libuv's close callbacks come after the turn, and this one is the last thing there is. */
static void on_host_closed(uv_handle_t *handle)
{
    mark *m = handle->data;
    weir_waiter_enqueue(m->rt, &m->wait, &mark_ops);
}

static void goes_on_for_what_a_late_callback_settled(void **state)
{
    weir_loop *loop = open_loop(NULL);
    uv_timer_t timer;
    mark m;
    int n = 0, stop = 0;
    (void)state;
    mark_init(&m, &n);
    m.rt = weir_loop_runtime(loop);
    CHECK_OK(uv_timer_init(weir_loop_uv(loop), &timer));
    timer.data = &m;
    uv_close((uv_handle_t *)&timer, on_host_closed);
    CHECK_INT(weir_loop_run(loop, &stop), 0);
    CHECK_INT(n, 1);
    close_loop(loop);
}

/* --- borrowed loop ------------------------------------------------------------------- */

static void keeps_the_hosts_loop_alive_while_needed(void **state)
{
    uv_loop_t uv;
    weir_loop *loop;
    weir_runtime *rt;
    mark now, soon, later;
    int n = 0;
    (void)state;
    CHECK_OK(uv_loop_init(&uv));
    loop = open_loop(&uv);
    rt = weir_loop_runtime(loop);
    CHECK(weir_loop_uv(loop) == &uv);
    mark_init(&now, &n);
    mark_init(&soon, &n);
    mark_init(&later, &n);
    now.n_again = 3 * WEIR_TURN_BUDGET;
    weir_yield(rt, &now.wait);
    weir_sleep_until(rt, &soon.wait, weir_after(rt, 1));
    later.nap = 2 * MS; /* set again from inside a turn, with nothing else alive */
    later.n_again = 2;
    weir_sleep_until(rt, &later.wait, weir_after(rt, MS));
    CHECK_INT(uv_run(&uv, UV_RUN_DEFAULT), 0);
    CHECK_INT(n, 5 + 3 * WEIR_TURN_BUDGET);
    CHECK_INT(uv_run(&uv, UV_RUN_DEFAULT), 0); /* and no longer */
    close_loop(loop);
    CHECK_OK(uv_loop_close(&uv));
}

/* The last thing alive is a watch that ends in its callback, and sets a timer there. */
static void on_last(weir_poll *poll, int status, int events, void *data)
{
    mark *m = data;
    weir_runtime *rt = m->rt;
    (void)status;
    (void)events;
    CHECK_OK(weir_poll_set(poll, 0));
    weir_sleep_until(rt, &m->wait, weir_after(rt, MS));
}

static void keeps_the_hosts_loop_alive_after_the_last_callback(void **state)
{
    uv_loop_t uv;
    weir_loop *loop;
    weir_poll *poll;
    mark m;
    int n = 0, fds[2];
    (void)state;
    CHECK_OK(uv_loop_init(&uv));
    CHECK_OK(pipe(fds));
    loop = open_loop(&uv);
    mark_init(&m, &n);
    m.rt = weir_loop_runtime(loop);
    CHECK_OK(weir_poll_new(m.rt, fds[1], on_last, &m, &poll));
    CHECK_OK(weir_poll_set(poll, WEIR_WRITABLE));
    CHECK_INT(uv_run(&uv, UV_RUN_DEFAULT), 0);
    CHECK_INT(n, 1);
    weir_poll_free(poll);
    close_loop(loop);
    CHECK_OK(uv_loop_close(&uv));
    close(fds[0]);
    close(fds[1]);
}

typedef struct host {
    weir_runtime *rt;
    mark *m;
} host;

static void on_host_alarm(uv_timer_t *timer)
{
    host *h = timer->data;
    weir_now_update(h->rt);
    weir_sleep_until(h->rt, &h->m->wait, weir_after(h->rt, MS));
}

static void leaves_the_hosts_handles_alone(void **state)
{
    uv_loop_t uv;
    uv_timer_t timer, far;
    weir_loop *loop;
    mark m;
    int n = 0;
    host h;
    (void)state;
    CHECK_OK(uv_loop_init(&uv));
    loop = open_loop(&uv);
    mark_init(&m, &n);
    h = (host){weir_loop_runtime(loop), &m};
    CHECK_OK(uv_timer_init(&uv, &timer));
    CHECK_OK(uv_timer_init(&uv, &far));
    timer.data = &h;
    far.data = &n;
    CHECK_OK(uv_timer_start(&timer, on_host_alarm, 1, 0));
    CHECK_OK(uv_timer_start(&far, on_host_timer, 3600 * 1000, 0));
    while (n == 0)
        uv_run(&uv, UV_RUN_ONCE);
    close_loop(loop);
    CHECK(uv_is_active((uv_handle_t *)&far));
    CHECK(!uv_is_closing((uv_handle_t *)&far));
    uv_close((uv_handle_t *)&timer, NULL);
    uv_close((uv_handle_t *)&far, NULL);
    CHECK_INT(uv_run(&uv, UV_RUN_DEFAULT), 0);
    CHECK_INT(n, 1);
    CHECK_OK(uv_loop_close(&uv));
}

/* --- foreign loop -------------------------------------------------------------------- */

/* What a host with a loop of its own does. Returns when nothing can happen any more. */
static void drive(weir_loop *loop)
{
    do {
        struct pollfd p = {.fd = weir_loop_fd(loop), .events = POLLIN};
        CHECK(poll(&p, 1, weir_loop_timeout(loop)) >= 0);
    } while (weir_loop_step(loop));
}

static void tells_a_foreign_loop_how_long_to_sleep(void **state)
{
    weir_loop *loop = open_loop(NULL);
    weir_runtime *rt = weir_loop_runtime(loop);
    mark near, far;
    int stop = 0, ms;
    (void)state;
    CHECK_INT(weir_loop_run(loop, &stop), 0);
    CHECK_INT(weir_loop_timeout(loop), -1);
    mark_init(&near, NULL);
    mark_init(&far, NULL);
    weir_now_update(rt);
    weir_sleep_until(rt, &far.wait, weir_after(rt, HOUR));
    CHECK_INT(weir_loop_step(loop), 1); /* lets libuv register what is its own */
    ms = weir_loop_timeout(loop);
    CHECK(ms > 0 && ms <= 3600 * 1000 + 1);
    weir_waiter_enqueue(rt, &near.wait, &mark_ops);
    CHECK_INT(weir_loop_timeout(loop), 0);
    CHECK_INT(weir_loop_step(loop), 1);
    CHECK(near.at != 0);
    CHECK_INT(weir_waiter_give_up(rt, &far.wait, WEIR_CANCELED), 1);
    CHECK_INT(weir_loop_step(loop), 0);
    CHECK_INT(weir_loop_timeout(loop), -1);
    close_loop(loop);
}

static void runs_timers_in_a_foreign_loop(void **state)
{
    weir_loop *loop = open_loop(NULL);
    weir_runtime *rt = weir_loop_runtime(loop);
    mark soon, later;
    int n = 0;
    uint64_t start = weir_now_update(rt);
    (void)state;
    mark_init(&soon, &n);
    mark_init(&later, &n);
    soon.n_again = 2 * WEIR_TURN_BUDGET;
    weir_sleep_until(rt, &soon.wait, start + 1);
    weir_sleep_until(rt, &later.wait, start + 3 * MS);
    drive(loop);
    CHECK_INT(n, 2 + 2 * WEIR_TURN_BUDGET);
    CHECK(later.at >= start + 3 * MS);
    close_loop(loop);
}

/* The watch begins in a turn, as a task's does, and the byte comes from a thread that libuv knows
 * nothing of, once the host sleeps: the kernel must have been told of the descriptor by then. */
typedef struct late {
    mark m;
    int fds[2];
    weir_poll *poll;
    uv_thread_t thread;
    int n_read;
} late;

static void late_write(void *arg)
{
    late *l = arg;
    uv_sleep(3);
    if (write(l->fds[1], "x", 1) != 1)
        abort();
}

static void late_readable(weir_poll *poll, int status, int events, void *data)
{
    late *l = data;
    CHECK_OK(status);
    CHECK_INT(events, WEIR_READABLE);
    l->n_read++;
    weir_poll_free(poll);
}

static void late_run(weir_runtime *rt, weir_waiter *w)
{
    late *l = weir_container(w, late, m.wait);
    CHECK_OK(weir_poll_new(rt, l->fds[0], late_readable, l, &l->poll));
    CHECK_OK(weir_poll_set(l->poll, WEIR_READABLE));
    CHECK_OK(uv_thread_create(&l->thread, late_write, l));
}

static void wakes_a_foreign_loop_for_io(void **state)
{
    weir_loop *loop = open_loop(NULL);
    late l = {.n_read = 0};
    (void)state;
    CHECK_OK(pipe(l.fds));
    weir_waiter_init(&l.m.wait, late_run);
    weir_waiter_enqueue(weir_loop_runtime(loop), &l.m.wait, &mark_ops);
    drive(loop);
    CHECK_INT(l.n_read, 1);
    CHECK_OK(uv_thread_join(&l.thread));
    close_loop(loop);
    close(l.fds[0]);
    close(l.fds[1]);
}

/* --- threads ------------------------------------------------------------------------- */

/* Two runtimes, each in a thread of its own, send a byte to and fro over two pipes. */
typedef struct player {
    int in, out;
    int n_left;
    weir_runtime *rt;
    weir_waiter wait;
    weir_poll *poll;
    int n_played;
    int failed; /* cmocka's checks belong to the main thread */
} player;

static void player_run(weir_runtime *rt, weir_waiter *w)
{
    player *p = weir_container(w, player, wait);
    (void)rt;
    p->n_played++;
    p->failed |= write(p->out, "b", 1) != 1;
}

static void player_readable(weir_poll *poll, int status, int events, void *data)
{
    player *p = data;
    char byte;
    p->failed |= status != 0 || events != WEIR_READABLE || read(p->in, &byte, 1) != 1;
    if (p->n_left-- > 0)
        weir_sleep_until(p->rt, &p->wait, weir_now(p->rt) + 1000);
    if (p->n_left < 0)
        weir_poll_free(poll);
}

static void player_main(void *arg)
{
    player *p = arg;
    weir_loop *loop = NULL;
    int stop = 0;
    if (weir_loop_new(NULL, &loop) != 0) {
        p->failed = 1;
        return;
    }
    p->rt = weir_loop_runtime(loop);
    weir_waiter_init(&p->wait, player_run);
    p->failed |= weir_poll_new(p->rt, p->in, player_readable, p, &p->poll) != 0;
    p->failed |= weir_poll_set(p->poll, WEIR_READABLE) != 0;
    p->failed |= weir_loop_run(loop, &stop) != 0;
    p->failed |= weir_runtime_quiesce(p->rt) != NULL;
    weir_loop_free(loop);
}

static void runs_two_in_two_threads(void **state)
{
    int a[2], b[2];
    uv_thread_t threads[2];
    player players[2];
    (void)state;
    CHECK_OK(pipe(a));
    CHECK_OK(pipe(b));
    players[0] = (player){.in = a[0], .out = b[1], .n_left = 20};
    players[1] = (player){.in = b[0], .out = a[1], .n_left = 20};
    CHECK_INT(write(a[1], "b", 1), 1);
    for (int i = 0; i < 2; i++)
        CHECK_OK(uv_thread_create(&threads[i], player_main, &players[i]));
    /* The first to have played its twenty ends on the byte after them, the other has none to
     * wait for: give it one. */
    CHECK_OK(uv_thread_join(&threads[0]));
    CHECK_INT(write(b[1], "b", 1), 1);
    CHECK_OK(uv_thread_join(&threads[1]));
    for (int i = 0; i < 2; i++) {
        CHECK_INT(players[i].failed, 0);
        CHECK_INT(players[i].n_played, 20);
    }
    for (int i = 0; i < 2; i++) {
        close(a[i]);
        close(b[i]);
    }
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
        cmocka_unit_test(draws_different_numbers),
        cmocka_unit_test(closes_what_others_left_on_its_own_loop),
        cmocka_unit_test(goes_on_for_what_a_late_callback_settled),
        cmocka_unit_test(keeps_the_hosts_loop_alive_while_needed),
        cmocka_unit_test(keeps_the_hosts_loop_alive_after_the_last_callback),
        cmocka_unit_test(leaves_the_hosts_handles_alone),
        cmocka_unit_test(tells_a_foreign_loop_how_long_to_sleep),
        cmocka_unit_test(runs_timers_in_a_foreign_loop),
        cmocka_unit_test(wakes_a_foreign_loop_for_io),
        cmocka_unit_test(runs_two_in_two_threads),
    };
    alarm(60);
    return CHECK_MAIN(tests);
}
