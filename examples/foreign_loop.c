/* foreign_loop.c - a host whose loop is not libuv's (poll here; GLib, Qt or epoll alike).
 *
 * Three calls join the two: watch weir_loop_fd for reading, sleep no longer than
 * weir_loop_timeout says, call weir_loop_step after each sleep, whatever ended it.
 * A weir timer writes to a pipe that the host reads, and the host answers on one that weir
 * watches.
 *
 *   cc foreign_loop.c $(pkg-config --cflags --libs weir) -o foreign_loop && ./foreign_loop
 */
#include <weir/weir.h>

#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#define MS UINT64_C(1000000)

typedef struct game {
    weir_runtime *rt;
    weir_waiter wait;
    weir_poll *poll;
    int to_host[2], to_weir[2];
    int n_left;
} game;

/* In weir: the time has come. */
static void on_time(weir_runtime *rt, weir_waiter *w)
{
    game *g = weir_container(w, game, wait);
    (void)rt;
    if (write(g->to_host[1], ".", 1) != 1)
        perror("write");
}

/* In weir: the host has answered. */
static void on_answer(weir_poll *poll, int status, int events, void *data)
{
    game *g = data;
    char byte;
    (void)events;
    if (status < 0 || read(g->to_weir[0], &byte, 1) != 1 || --g->n_left == 0)
        weir_poll_free(poll); /* nothing is left: weir_loop_step will say so */
    else
        weir_sleep_until(g->rt, &g->wait, weir_after(g->rt, MS));
}

int main(void)
{
    weir_loop *loop;
    game g = {.n_left = 3};
    int n_heard = 0, more;
    char byte;

    if (pipe(g.to_host) != 0 || pipe(g.to_weir) != 0 || weir_loop_new(NULL, &loop) != 0)
        return 1;
    g.rt = weir_loop_runtime(loop);
    if (weir_poll_new(g.rt, g.to_weir[0], on_answer, &g, &g.poll) != 0 ||
        weir_poll_set(g.poll, WEIR_READABLE) != 0)
        return 1;
    weir_waiter_init(&g.wait, on_time);
    weir_sleep_until(g.rt, &g.wait, weir_after(g.rt, MS));

    do {
        struct pollfd fds[] = {
            {.fd = weir_loop_fd(loop), .events = POLLIN},
            {.fd = g.to_host[0], .events = POLLIN},
        };
        if (poll(fds, 2, weir_loop_timeout(loop)) < 0)
            return 1;
        if ((fds[1].revents & POLLIN) && read(g.to_host[0], &byte, 1) == 1) {
            printf("the host hears weir, %d\n", ++n_heard);
            if (write(g.to_weir[1], "!", 1) != 1)
                return 1;
        }
        more = weir_loop_step(loop);
    } while (more);

    weir_loop_free(loop);
    for (int i = 0; i < 2; i++) {
        close(g.to_host[i]);
        close(g.to_weir[i]);
    }
    printf("nothing left after %d\n", n_heard);
    return n_heard == 3 ? 0 : 1;
}
