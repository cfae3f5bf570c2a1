/* uv/alarm.c - a wake-up on the nanosecond for turns that are due within a few milliseconds.
 *
 * libuv's timers count whole milliseconds: a sleep of 2 ms takes 3 now and then, one of 50 us
 * always takes 1. On Linux a timerfd wakes the poll at the very time; it is made at the first need.
 * It costs two system calls for each wait, so it is left out where a millisecond is little. The
 * timer of uv/loop.c is always set too: it keeps the loop alive, and wakes the poll if this cannot.
 */
#ifdef __linux__
#define _GNU_SOURCE
#include <sys/timerfd.h>
#include <unistd.h>
#endif

#include "internal.h"

#define SOON UINT64_C(100000000) /* ns: a millisecond is a hundredth of it */

#ifdef __linux__

static void on_alarm(uv_poll_t *alarm, int status, int events)
{
    uint64_t times;
    (void)status;
    (void)events;
    ssize_t n = read(((weir_loop *)alarm->data)->alarm_fd, &times, sizeof times);
    (void)n; /* nothing to read: it was set anew since */
}

/* The check phase takes the turn: the callback has only to quieten the descriptor. */
static int make(weir_loop *loop)
{
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (fd < 0)
        return -2;
    if (uv_poll_init(loop->uv, &loop->alarm, fd) != 0) {
        close(fd);
        return -2;
    }
    loop->alarm.data = loop;
    loop->n_handles++;
    uv_poll_start(&loop->alarm, UV_READABLE, on_alarm);
    uv_unref((uv_handle_t *)&loop->alarm);
    return fd;
}

void weir__alarm_set(weir_loop *loop, uint64_t at)
{
    uint64_t now = uv_hrtime(); /* the same clock */
    if (at <= now || at - now > SOON)
        return;
    if (loop->alarm_fd == -1)
        loop->alarm_fd = make(loop);
    if (loop->alarm_fd < 0)
        return;
    struct itimerspec t = {{0, 0}, {(time_t)(at / WEIR_SECOND), (long)(at % WEIR_SECOND)}};
    timerfd_settime(loop->alarm_fd, TFD_TIMER_ABSTIME, &t, NULL);
}

static void on_closed(uv_handle_t *handle)
{
    weir_loop *loop = handle->data;
    loop->n_handles--;
}

void weir__alarm_close(weir_loop *loop)
{
    if (loop->alarm_fd < 0)
        return;
    uv_close((uv_handle_t *)&loop->alarm, on_closed); /* forgets the descriptor at once */
    close(loop->alarm_fd);
    loop->alarm_fd = -2;
}

#else

void weir__alarm_set(weir_loop *loop, uint64_t at)
{
    (void)loop;
    (void)at;
    (void)SOON;
}

void weir__alarm_close(weir_loop *loop)
{
    (void)loop;
}

#endif
