/* inbox_test.c - letters from other threads: order, wake-up, what keeps a loop alive, the end.
 *
 * Four threads post at once; each letter carries its sender and its number, so that what is lost,
 * doubled or out of order shows. A loop that sleeps through a letter is ended by alarm().
 */
#include "mark.h"

#include "uv/internal.h"

#include <weir/inbox.h>

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

enum { N_SENDERS = 4, N_EACH = 2000 };

typedef struct desk {
    weir_loop *loop;
    weir_runtime *rt;
    weir_inbox *inbox;
    int n, all, stop;
    int seen[N_SENDERS];
} desk;

typedef struct note {
    weir_letter letter; /* first */
    desk *to;
    int from, number, again;
} note;

static void on_note(weir_runtime *rt, weir_letter *letter)
{
    note *n = (note *)letter;
    desk *d = n->to;
    CHECK(rt == d->rt);
    CHECK(weir_current(rt) == NULL);
    if (n->again > 0) {
        n->again--;
        weir_inbox_post(d->inbox, letter);
        return;
    }
    CHECK_INT(n->number, d->seen[n->from]);
    d->seen[n->from]++;
    d->stop = ++d->n == d->all;
    free(n);
}

static void post(desk *d, int from, int number, int again)
{
    note *n = malloc(sizeof *n);
    CHECK(n != NULL);
    *n = (note){.letter.deliver = on_note, .to = d, .from = from, .number = number, .again = again};
    weir_inbox_post(d->inbox, &n->letter);
}

static void desk_open(desk *d, int all)
{
    memset(d, 0, sizeof *d);
    d->loop = mark_open(NULL);
    d->rt = weir_loop_runtime(d->loop);
    d->all = all;
    CHECK_OK(weir_inbox_new(d->rt, &d->inbox));
}

static void desk_close(desk *d)
{
    weir_inbox_free(d->inbox);
    mark_close(d->loop);
}

static void delivers_in_order_and_in_the_loop(void **state)
{
    desk d;
    (void)state;
    desk_open(&d, 3);
    for (int i = 0; i < 3; i++)
        post(&d, 0, i, 0);
    CHECK_INT(d.n, 0); /* never from inside the call */
    CHECK_INT(weir_loop_run(d.loop, &d.stop), 1);
    CHECK_INT(d.n, 3);
    desk_close(&d);
}

typedef struct sender {
    desk *to;
    int id;
    uv_thread_t thread;
} sender;

static void send_all(void *data)
{
    sender *s = data;
    for (int i = 0; i < N_EACH; i++)
        post(s->to, s->id, i, 0);
}

static void send_few(void *data)
{
    sender *s = data;
    desk *to = s->to;
    for (int i = 0; i < N_EACH / 100; i++)
        post(to, s->id, i, 0);
}

static void loses_and_reorders_nothing_of_several_threads(void **state)
{
    desk d;
    sender senders[N_SENDERS];
    (void)state;
    desk_open(&d, N_SENDERS * N_EACH);
    for (int i = 0; i < N_SENDERS; i++) {
        senders[i] = (sender){.to = &d, .id = i};
        CHECK_OK(uv_thread_create(&senders[i].thread, send_all, &senders[i]));
    }
    CHECK_INT(weir_loop_run(d.loop, &d.stop), 1);
    for (int i = 0; i < N_SENDERS; i++)
        CHECK_OK(uv_thread_join(&senders[i].thread));
    CHECK_INT(d.n, N_SENDERS * N_EACH);
    desk_close(&d);
}

/* One answers the other: each letter ends the sleep of a loop that has nothing else to do. */
static void wakes_a_loop_that_sleeps(void **state)
{
    desk d;
    (void)state;
    desk_open(&d, 1);
    post(&d, 0, 0, 500);
    CHECK_INT(weir_loop_run(d.loop, &d.stop), 1);
    desk_close(&d);
}

static desk *of_handler;
static note signalled;

static void on_signal(int signum)
{
    (void)signum;
    weir_inbox_post(of_handler->inbox, &signalled.letter);
}

static void on_signal_letter(weir_runtime *rt, weir_letter *letter)
{
    desk *d = ((note *)letter)->to;
    (void)rt;
    d->n++;
    d->stop = 1;
}

static void takes_letters_of_a_signal_handler(void **state)
{
    desk d;
    (void)state;
    desk_open(&d, 1);
    of_handler = &d;
    signalled = (note){.letter.deliver = on_signal_letter, .to = &d};
    void (*before)(int) = signal(SIGUSR1, on_signal);
    raise(SIGUSR1);
    CHECK_INT(weir_loop_run(d.loop, &d.stop), 1);
    CHECK_INT(d.n, 1);
    signal(SIGUSR1, before);
    desk_close(&d);
}

typedef struct answer {
    weir_letter letter; /* first */
    weir_waiter *to;
} answer;

static void on_answer(weir_runtime *rt, weir_letter *letter)
{
    weir_waiter_settle(rt, ((answer *)letter)->to, WEIR_GRANTED);
}

static void settles_a_waiter_in_the_same_iteration(void **state)
{
    desk d;
    mark m;
    int n = 0;
    (void)state;
    desk_open(&d, 1);
    mark_init(&m, &n);
    weir_waiter_begin(d.rt, &m.wait, &mark_ops, NULL, WEIR_FOREVER);
    answer a = {{.deliver = on_answer}, &m.wait};
    weir_inbox_post(d.inbox, &a.letter);
    CHECK_INT(weir_loop_once(d.loop, 1), 1);
    CHECK_INT(n, 1);
    desk_close(&d);
}

static void keeps_the_loop_alive_until_told_otherwise(void **state)
{
    desk d;
    int never = 0;
    (void)state;
    desk_open(&d, 1);
    CHECK_INT(weir_loop_once(d.loop, 0), 1);
    CHECK_INT(weir_runtime_counters(d.rt)->io, 1);
    weir_inbox_keep_alive(d.inbox, 0);
    CHECK_INT(weir_loop_run(d.loop, &never), 0);
    weir_inbox_keep_alive(d.inbox, 1);
    CHECK_INT(weir_loop_once(d.loop, 0), 1);
    desk_close(&d);
}

static void delivers_what_is_left_at_its_end(void **state)
{
    desk d;
    (void)state;
    desk_open(&d, 2);
    post(&d, 0, 0, 3);
    post(&d, 1, 0, 0);
    weir_inbox_free(d.inbox);
    CHECK_INT(d.n, 2);
    weir_inbox_free(NULL);
    CHECK_OK(weir_inbox_new(d.rt, &d.inbox));
    d.all = 3;
    post(&d, 0, 1, 0);
    weir_loop_free(d.loop); /* with the inbox open */
    CHECK_INT(d.n, 3);
}

/* Who posts the last letter may still be inside the call when the inbox goes: sanitizers see it. */
static void waits_for_a_post_whose_letter_is_here(void **state)
{
    (void)state;
    for (int i = 0; i < 200; i++) {
        desk d;
        sender s = {.to = &d};
        desk_open(&d, N_EACH / 100);
        CHECK_OK(uv_thread_create(&s.thread, send_few, &s));
        CHECK_INT(weir_loop_run(d.loop, &d.stop), 1);
        desk_close(&d); /* the thread is not joined yet */
        CHECK_OK(uv_thread_join(&s.thread));
    }
}

static void needs_a_loop(void **state)
{
    weir_simulator *sim = weir_simulator_new(WEIR_PLAN_FIFO, 1);
    weir_runtime *rt = weir_runtime_new(weir_simulator_env(sim));
    weir_inbox *inbox = NULL;
    (void)state;
    CHECK_ERR(weir_inbox_new(rt, &inbox), WEIR_ENOIO);
    CHECK(inbox == NULL);
    weir_runtime_free(rt);
    weir_simulator_free(sim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(delivers_in_order_and_in_the_loop),
        cmocka_unit_test(loses_and_reorders_nothing_of_several_threads),
        cmocka_unit_test(wakes_a_loop_that_sleeps),
        cmocka_unit_test(takes_letters_of_a_signal_handler),
        cmocka_unit_test(settles_a_waiter_in_the_same_iteration),
        cmocka_unit_test(keeps_the_loop_alive_until_told_otherwise),
        cmocka_unit_test(delivers_what_is_left_at_its_end),
        cmocka_unit_test(waits_for_a_post_whose_letter_is_here),
        cmocka_unit_test(needs_a_loop),
    };
    alarm(60);
    return CHECK_MAIN(tests);
}
