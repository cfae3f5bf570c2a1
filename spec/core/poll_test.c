/* poll_test.c - descriptors and signals: what is reported, when it stops, what stays behind. */
#include "check.h"

#include <weir/loop.h>

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

enum { FREES = -1, LEAVES = -2 };

typedef struct watch {
    weir_loop *loop;
    weir_runtime *rt;
    weir_poll *poll;
    int fds[2];
    int n, status, events; /* calls, and the last one's */
    int then;              /* what the callback watches next, or FREES or LEAVES it */
    uint64_t at;
} watch;

static void on_events(weir_poll *poll, int status, int events, void *data)
{
    watch *w = data;
    CHECK(poll == w->poll);
    w->n++;
    w->status = status;
    w->events = events;
    w->at = weir_now(w->rt);
    if (w->then >= 0) {
        CHECK_OK(weir_poll_set(poll, w->then));
    } else if (w->then == FREES) {
        weir_poll_free(poll);
        w->poll = NULL;
    }
}

static void watch_open(watch *w, int events)
{
    *w = (watch){.then = 0};
    CHECK_OK(weir_loop_new(NULL, &w->loop));
    w->rt = weir_loop_runtime(w->loop);
    CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, w->fds));
    CHECK_OK(weir_poll_new(w->rt, w->fds[0], on_events, w, &w->poll));
    CHECK_OK(weir_poll_set(w->poll, events));
}

static void watch_close(watch *w)
{
    weir_poll_free(w->poll);
    for (int i = 0; i < 2; i++)
        if (w->fds[i] >= 0)
            close(w->fds[i]);
    CHECK_QUIET(w->rt);
    weir_loop_free(w->loop);
}

static void run(watch *w)
{
    int stop = 0;
    CHECK_INT(weir_loop_run(w->loop, &stop), 0);
}

static void reports_what_is_watched(void **state)
{
    watch w;
    (void)state;
    watch_open(&w, WEIR_WRITABLE);
    run(&w);
    CHECK_INT(w.n, 1);
    CHECK_OK(w.status);
    CHECK_INT(w.events, WEIR_WRITABLE);
    CHECK_INT(write(w.fds[1], "x", 1), 1);
    CHECK_OK(weir_poll_set(w.poll, WEIR_READABLE));
    run(&w);
    CHECK_INT(w.n, 2);
    CHECK_INT(w.events, WEIR_READABLE);
    CHECK_OK(weir_poll_set(w.poll, WEIR_READABLE | WEIR_WRITABLE));
    run(&w);
    CHECK_INT(w.n, 3);
    CHECK_INT(w.events, WEIR_READABLE | WEIR_WRITABLE);
    watch_close(&w);
}

static void goes_on_reporting_until_it_is_read(void **state)
{
    watch w;
    char c;
    (void)state;
    watch_open(&w, WEIR_READABLE);
    w.then = WEIR_READABLE;
    CHECK_INT(write(w.fds[1], "x", 1), 1);
    for (int i = 1; i <= 3; i++) {
        CHECK_INT(weir_loop_once(w.loop, 1), 1);
        CHECK_INT(w.n, i);
    }
    CHECK_INT(read(w.fds[0], &c, 1), 1);
    CHECK_INT(weir_loop_once(w.loop, 0), 1);
    CHECK_INT(w.n, 3);
    watch_close(&w);
}

static void reports_a_hangup(void **state)
{
    watch w;
    (void)state;
    watch_open(&w, WEIR_HANGUP);
    CHECK_INT(weir_loop_once(w.loop, 0), 1);
    CHECK_INT(w.n, 0);
    close(w.fds[1]);
    w.fds[1] = -1;
    run(&w);
    CHECK_INT(w.n, 1);
    CHECK_OK(w.status);
    CHECK_INT(w.events, WEIR_HANGUP);
    CHECK_OK(weir_poll_set(w.poll, WEIR_READABLE | WEIR_HANGUP));
    run(&w);
    CHECK_INT(w.events, WEIR_READABLE | WEIR_HANGUP); /* the end of file is to be read */
    watch_close(&w);
}

static void watches_nothing_and_keeps_nothing_alive(void **state)
{
    watch w;
    (void)state;
    watch_open(&w, 0);
    CHECK_INT(write(w.fds[1], "x", 1), 1);
    run(&w);
    CHECK_INT(w.n, 0);
    CHECK_OK(weir_poll_set(w.poll, WEIR_READABLE));
    CHECK_OK(weir_poll_set(w.poll, 0));
    run(&w);
    CHECK_INT(w.n, 0);
    CHECK_INT(weir_runtime_counters(w.rt)->io, 1); /* but it is still there */
    watch_close(&w);
}

static void frees_itself_in_its_callback(void **state)
{
    watch w;
    (void)state;
    watch_open(&w, WEIR_WRITABLE);
    w.then = FREES;
    run(&w);
    CHECK_INT(w.n, 1);
    CHECK(w.poll == NULL);
    watch_close(&w);
}

static void count_down(weir_runtime *rt, weir_timer *timer)
{
    (void)rt;
    (void)timer;
}

static void is_watched_without_keeping_alive(void **state)
{
    watch w;
    weir_timer timer;
    (void)state;
    watch_open(&w, WEIR_READABLE);
    w.then = WEIR_READABLE;
    weir_poll_keep_alive(w.poll, 0);
    CHECK(!weir_loop_has_others(w.loop));
    run(&w); /* nothing can happen */
    CHECK_INT(w.n, 0);
    CHECK_INT(write(w.fds[1], "x", 1), 1);
    run(&w); /* still: what comes is nobody's reason to go on */
    CHECK_INT(w.n, 0);
    weir_timer_init(&timer, count_down);
    weir_timer_set(w.rt, &timer, weir_after(w.rt, WEIR_SECOND / 1000));
    run(&w); /* but seen while there is one */
    CHECK(w.n > 0);
    CHECK_INT(w.events, WEIR_READABLE);
    w.then = 0;
    w.n = 0;
    weir_poll_keep_alive(w.poll, 1);
    run(&w); /* as before */
    CHECK_INT(w.n, 1);
    watch_close(&w);
}

/* Both are ready in one look at the kernel; the first callback frees the second's poll. */
typedef struct pair {
    weir_poll *polls[2];
    int n;
} pair;

static void on_pair(weir_poll *poll, int status, int events, void *data)
{
    pair *p = data;
    (void)poll;
    (void)status;
    (void)events;
    p->n++;
    for (int i = 0; i < 2; i++)
        weir_poll_free(p->polls[i]);
}

static void is_silent_once_freed(void **state)
{
    weir_loop *loop = NULL;
    pair p = {.n = 0};
    int fds[2], stop = 0;
    (void)state;
    CHECK_OK(weir_loop_new(NULL, &loop));
    CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
    for (int i = 0; i < 2; i++) {
        CHECK_OK(weir_poll_new(weir_loop_runtime(loop), fds[i], on_pair, &p, &p.polls[i]));
        CHECK_OK(weir_poll_set(p.polls[i], WEIR_WRITABLE));
    }
    CHECK_INT(weir_loop_run(loop, &stop), 0);
    CHECK_INT(p.n, 1);
    close(fds[0]);
    close(fds[1]);
    weir_loop_free(loop);
}

/* Free, close, open: the system gives the same number again before libuv's close callback. */
static void lets_go_of_the_number_at_once(void **state)
{
    watch w;
    int old;
    (void)state;
    watch_open(&w, WEIR_READABLE);
    CHECK_INT(weir_loop_once(w.loop, 0), 1);
    old = w.fds[0];
    weir_poll_free(w.poll);
    close(w.fds[0]);
    close(w.fds[1]);
    CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, w.fds));
    CHECK_INT(w.fds[0], old);
    CHECK_OK(weir_poll_new(w.rt, w.fds[0], on_events, &w, &w.poll));
    CHECK_OK(weir_poll_set(w.poll, WEIR_READABLE));
    CHECK_INT(write(w.fds[1], "x", 1), 1);
    run(&w);
    CHECK_INT(w.n, 1);
    CHECK_INT(w.events, WEIR_READABLE);
    watch_close(&w);
}

/* A pipe nobody reads is an error to poll: reported once, and the watch is off. */
static void reports_an_error_and_can_go_on(void **state)
{
    watch w;
    int fds[2];
    (void)state;
    watch_open(&w, 0);
    weir_poll_free(w.poll);
    CHECK_OK(pipe(fds));
    close(fds[0]);
    CHECK_OK(weir_poll_new(w.rt, fds[1], on_events, &w, &w.poll));
    CHECK_OK(weir_poll_set(w.poll, WEIR_WRITABLE));
    w.then = LEAVES;
    for (int i = 1; i <= 2; i++) {
        run(&w); /* ends: what libuv stopped keeps no loop alive */
        CHECK_INT(w.n, i);
        CHECK(w.status < 0);
        CHECK_INT(w.events, 0);
        CHECK_OK(weir_poll_set(w.poll, WEIR_WRITABLE)); /* takes, though the events are the same */
    }
    weir_poll_free(w.poll);
    w.poll = NULL;
    close(fds[1]);
    watch_close(&w);
}

static void refuses_what_cannot_be_watched(void **state)
{
    watch w;
    weir_poll *poll = NULL;
    FILE *file = tmpfile();
    (void)state;
    watch_open(&w, 0);
    CHECK(file != NULL);
    CHECK_INT(weir_poll_new(w.rt, fileno(file), on_events, &w, &poll), UV_EPERM);
    CHECK_INT(weir_poll_new(w.rt, -1, on_events, &w, &poll), UV_EBADF);
    CHECK(poll == NULL);
    CHECK_ERR(weir_poll_set(w.poll, 8), WEIR_EINVAL);
    CHECK_INT(weir_runtime_counters(w.rt)->io, 1);
    fclose(file);
    watch_close(&w);
}

/* The clock is read before the callback: a delay set there counts from the wake-up. */
static void write_later(void *data)
{
    watch *w = data;
    uv_sleep(3);
    w->at = uv_hrtime();
    if (write(w->fds[1], "x", 1) != 1)
        abort();
}

static void on_clock(weir_poll *poll, int status, int events, void *data)
{
    watch *w = data;
    (void)status;
    (void)events;
    CHECK(weir_now(w->rt) >= w->at);
    w->n++;
    weir_poll_free(poll);
}

static void reads_the_clock_before_the_callback(void **state)
{
    watch w;
    uv_thread_t thread;
    (void)state;
    watch_open(&w, 0);
    weir_poll_free(w.poll);
    CHECK_OK(weir_poll_new(w.rt, w.fds[0], on_clock, &w, &w.poll));
    CHECK_OK(weir_poll_set(w.poll, WEIR_READABLE));
    CHECK_OK(uv_thread_create(&thread, write_later, &w));
    run(&w);
    CHECK_OK(uv_thread_join(&thread));
    CHECK_INT(w.n, 1);
    w.poll = NULL;
    watch_close(&w);
}

/* --- signals ------------------------------------------------------------------------- */

static void on_signal(weir_signal *s, int signum, void *data)
{
    int *seen = data;
    *seen = *seen * 100 + signum;
    if (*seen > 100) /* the second one */
        weir_signal_free(s);
}

static void reports_a_signal(void **state)
{
    watch w;
    weir_signal *s;
    int seen = 0;
    (void)state;
    watch_open(&w, WEIR_READABLE); /* something else keeps the loop alive */
    CHECK_OK(weir_signal_new(w.rt, SIGUSR1, on_signal, &seen, &s));
    CHECK_OK(raise(SIGUSR1));
    while (seen < 100) {
        int before = seen;
        CHECK_INT(weir_loop_once(w.loop, 1), 1);
        if (seen != before && seen < 100)
            CHECK_OK(raise(SIGUSR1));
    }
    CHECK_INT(seen, SIGUSR1 * 100 + SIGUSR1);
    watch_close(&w);
}

static void keeps_nothing_alive_for_a_signal(void **state)
{
    watch w;
    weir_signal *s;
    int seen = 0;
    (void)state;
    watch_open(&w, 0);
    CHECK_OK(weir_signal_new(w.rt, SIGUSR2, on_signal, &seen, &s));
    run(&w);
    CHECK_INT(seen, 0);
    CHECK_INT(weir_signal_new(w.rt, SIGKILL, on_signal, &seen, &s), UV_EINVAL);
    weir_signal_free(s);
    weir_signal_free(NULL);
    watch_close(&w);
}

/* --- the end ------------------------------------------------------------------------- */

static void closes_what_is_open_with_the_loop(void **state)
{
    uv_loop_t uv;
    weir_loop *loop = NULL;
    weir_poll *poll;
    weir_signal *s;
    watch w = {.n = 0};
    (void)state;
    CHECK_OK(uv_loop_init(&uv));
    CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, w.fds));
    CHECK_OK(weir_loop_new(&uv, &loop));
    for (int i = 0; i < 2; i++) {
        CHECK_OK(weir_poll_new(weir_loop_runtime(loop), w.fds[i], on_events, &w, &poll));
        CHECK_OK(weir_poll_set(poll, i == 0 ? WEIR_WRITABLE : 0));
    }
    CHECK_OK(weir_signal_new(weir_loop_runtime(loop), SIGUSR1, on_signal, &w, &s));
    weir_loop_free(loop);
    CHECK_INT(w.n, 0);
    CHECK_OK(uv_loop_close(&uv));
    close(w.fds[0]);
    close(w.fds[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reports_what_is_watched),
        cmocka_unit_test(goes_on_reporting_until_it_is_read),
        cmocka_unit_test(reports_a_hangup),
        cmocka_unit_test(watches_nothing_and_keeps_nothing_alive),
        cmocka_unit_test(frees_itself_in_its_callback),
        cmocka_unit_test(is_watched_without_keeping_alive),
        cmocka_unit_test(is_silent_once_freed),
        cmocka_unit_test(lets_go_of_the_number_at_once),
        cmocka_unit_test(reports_an_error_and_can_go_on),
        cmocka_unit_test(refuses_what_cannot_be_watched),
        cmocka_unit_test(reads_the_clock_before_the_callback),
        cmocka_unit_test(reports_a_signal),
        cmocka_unit_test(keeps_nothing_alive_for_a_signal),
        cmocka_unit_test(closes_what_is_open_with_the_loop),
    };
    alarm(60);
    return CHECK_MAIN(tests);
}
