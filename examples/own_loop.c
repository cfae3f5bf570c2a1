/* own_loop.c - a host with a libuv loop of its own hands it to weir; both live on it.
 *
 * The host runs its loop as it always did. weir keeps it alive while it has something to do,
 * and only then. Eight pieces of blocking work go to the thread pool, three at once: the
 * semaphore says how many, the pool does them, the host's timer goes on ticking.
 *
 *   cc own_loop.c $(pkg-config --cflags --libs weir libuv) -o own_loop && ./own_loop
 */
#include <weir/weir.h>

#include <stdio.h>
#include <uv.h>

#define N_PIECES 8
#define N_AT_ONCE 3

typedef struct piece {
    weir_waiter wait; /* for a permit */
    weir_permit *permit;
    uint32_t from;
    uint64_t sum; /* written on a pool thread, read after `on_done` */
} piece;

static int running, most, n_done;
static uint64_t total;

/* On a thread of the pool: touch nothing but the piece. */
static void add_up(void *data)
{
    piece *p = data;
    for (uint32_t i = p->from; i < p->from + 1000; i++)
        p->sum += i;
}

/* On the loop again. */
static void on_done(void *data, int status)
{
    piece *p = data;
    running--;
    n_done++;
    if (status == 0)
        total += p->sum;
    weir_permit_release(p->permit);
}

static void on_permit(weir_runtime *rt, weir_waiter *w)
{
    piece *p = weir_container(w, piece, wait);
    weir_work *work;
    if (++running > most)
        most = running;
    if (weir_work_new(rt, add_up, on_done, p, &work) != 0)
        on_done(p, -1);
}

static void on_tick(uv_timer_t *timer)
{
    if (n_done == N_PIECES)
        uv_close((uv_handle_t *)timer, NULL); /* the host has nothing left; nor has weir */
}

int main(void)
{
    uv_loop_t uv;
    uv_timer_t tick;
    weir_loop *loop;
    weir_runtime *rt;
    weir_semaphore limit;
    piece pieces[N_PIECES] = {0};

    uv_loop_init(&uv);
    uv_timer_init(&uv, &tick);
    uv_timer_start(&tick, on_tick, 1, 1);
    if (weir_loop_new(&uv, &loop) != 0)
        return 1;
    rt = weir_loop_runtime(loop);
    weir_semaphore_init(rt, &limit, N_AT_ONCE, "pieces");
    for (uint32_t i = 0; i < N_PIECES; i++) {
        piece *p = &pieces[i];
        p->from = i * 1000;
        weir_waiter_init(&p->wait, on_permit);
        if (weir_semaphore_acquire(&limit, NULL, 1, &p->wait, WEIR_FOREVER, &p->permit) != 0)
            return 1;
    }

    uv_run(&uv, UV_RUN_DEFAULT); /* the host's loop, run by the host */

    printf("%d pieces, at most %d at once, sum %llu\n", n_done, most, (unsigned long long)total);
    weir_semaphore_fini(&limit);
    weir_loop_free(loop); /* closes weir's handles, leaves the loop */
    return uv_loop_close(&uv) == 0 && most == N_AT_ONCE ? 0 : 1;
}
