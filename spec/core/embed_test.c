/* embed_test.c - the libuv driver in a host: on a borrowed loop, in a foreign one, in two threads.
 *
 * Real time; see loop_test.c.
 */
#include "mark.h"

#include <poll.h>
#include <unistd.h>
#include <uv.h>

/* --- borrowed loop ------------------------------------------------------------------- */

static void on_host_timer(uv_timer_t *timer)
{
    ++*(int *)timer->data;
}

static void keeps_the_hosts_loop_alive_while_needed(void **state)
{
    uv_loop_t uv;
    weir_loop *loop;
    weir_runtime *rt;
    mark now, soon, later;
    int n = 0;
    (void)state;
    CHECK_OK(uv_loop_init(&uv));
    loop = mark_open(&uv);
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
    mark_close(loop);
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
    loop = mark_open(&uv);
    mark_init(&m, &n);
    m.rt = weir_loop_runtime(loop);
    CHECK_OK(weir_poll_new(m.rt, fds[1], on_last, &m, &poll));
    CHECK_OK(weir_poll_set(poll, WEIR_WRITABLE));
    CHECK_INT(uv_run(&uv, UV_RUN_DEFAULT), 0);
    CHECK_INT(n, 1);
    weir_poll_free(poll);
    mark_close(loop);
    CHECK_OK(uv_loop_close(&uv));
    close(fds[0]);
    close(fds[1]);
}

/* Spawned outside the loop, after it ended once; and from a close callback, behind the turn. */
static void wakes_the_hosts_loop_from_outside(void **state)
{
    uv_loop_t uv;
    uv_timer_t timer;
    weir_loop *loop;
    mark m;
    int n = 0;
    (void)state;
    CHECK_OK(uv_loop_init(&uv));
    loop = mark_open(&uv);
    mark_init(&m, &n);
    m.rt = weir_loop_runtime(loop);
    for (int i = 0; i < 2; i++) {
        CHECK_INT(uv_run(&uv, UV_RUN_DEFAULT), 0);
        weir_waiter_enqueue(m.rt, &m.wait, &mark_ops);
        CHECK_INT(uv_run(&uv, UV_RUN_DEFAULT), 0);
        CHECK_INT(n, 3 * i + 1);
        weir_sleep_until(m.rt, &m.wait, weir_after(m.rt, MS));
        CHECK_INT(uv_run(&uv, UV_RUN_DEFAULT), 0);
        CHECK_INT(n, 3 * i + 2);
        CHECK_OK(uv_timer_init(&uv, &timer));
        timer.data = &m;
        uv_close((uv_handle_t *)&timer, mark_on_closed);
        CHECK_INT(uv_run(&uv, UV_RUN_DEFAULT), 0);
        CHECK_INT(n, 3 * i + 3);
    }
    mark_close(loop);
    CHECK_OK(uv_loop_close(&uv));
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
    loop = mark_open(&uv);
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
    mark_close(loop);
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
    weir_loop *loop = mark_open(NULL);
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
    mark_close(loop);
}

static void runs_timers_in_a_foreign_loop(void **state)
{
    weir_loop *loop = mark_open(NULL);
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
    mark_close(loop);
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
    weir_loop *loop = mark_open(NULL);
    late l = {.n_read = 0};
    (void)state;
    CHECK_OK(pipe(l.fds));
    weir_waiter_init(&l.m.wait, late_run);
    weir_waiter_enqueue(weir_loop_runtime(loop), &l.m.wait, &mark_ops);
    drive(loop);
    CHECK_INT(l.n_read, 1);
    CHECK_OK(uv_thread_join(&l.thread));
    mark_close(loop);
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
        cmocka_unit_test(keeps_the_hosts_loop_alive_while_needed),
        cmocka_unit_test(keeps_the_hosts_loop_alive_after_the_last_callback),
        cmocka_unit_test(wakes_the_hosts_loop_from_outside),
        cmocka_unit_test(leaves_the_hosts_handles_alone),
        cmocka_unit_test(tells_a_foreign_loop_how_long_to_sleep),
        cmocka_unit_test(runs_timers_in_a_foreign_loop),
        cmocka_unit_test(wakes_a_foreign_loop_for_io),
        cmocka_unit_test(runs_two_in_two_threads),
    };
    alarm(60);
    return CHECK_MAIN(tests);
}
