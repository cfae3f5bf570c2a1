/* pool_core.c - the pool without Lua: the cost of a loan, and of a hand-off to who waits.
 *
 *   pool_core loan [N]     ns to take an idle resource and give it back, the same for a permit
 *   pool_core handoff [N]  ns to give back to the head of a queue and wait again, of a pool of one
 *
 *   cc -O2 -Icore/include bench/pool_core.c build/lib/libweir.a -luv -lm -lpthread -o pool_core
 *   valgrind --tool=callgrind ./pool_core loan 1000   and 3000: the difference is 2000 of each
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <weir/pool.h>
#include <weir/semaphore.h>
#include <weir/simulator.h>

#define WAITERS 10

static weir_runtime *rt;
static weir_pool pool;
static weir_waiter waiter[WAITERS];
static weir_lease *lease[WAITERS];
static long left;

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void create(weir_pool *p, weir_resource *r)
{
    weir_pool_created(p, r, 0, 0);
}

static void check(weir_pool *p, weir_resource *r)
{
    weir_pool_checked(p, r, 1);
}

static const weir_pool_ops ops = {create, check, weir_pool_destroyed, NULL, NULL, NULL};

static void open_pool(uint32_t max)
{
    weir_pool_options o = weir_pool_defaults();
    o.min = o.max = max;
    if (weir_pool_init(rt, &pool, &ops, &o, "bench") != 0)
        exit(1);
    weir_turn(rt);
}

static void loan(long n)
{
    weir_semaphore s;
    weir_permit *p;
    open_pool(4);
    double start = seconds();
    for (long i = 0; i < n; i++) {
        if (weir_pool_take(&pool, NULL, 0, &lease[0]) != 0)
            exit(1);
        weir_lease_release(lease[0], 0);
    }
    printf("loan %.1f ns", (seconds() - start) / (double)n * 1e9);
    weir_semaphore_init(rt, &s, 4, "bench");
    start = seconds();
    for (long i = 0; i < n; i++) {
        if (weir_semaphore_take(&s, NULL, 1, &p) != 0)
            exit(1);
        weir_permit_release(p);
    }
    printf(", permit %.1f ns\n", (seconds() - start) / (double)n * 1e9);
    weir_semaphore_fini(&s);
}

static void ask(unsigned i)
{
    if (weir_pool_acquire(&pool, NULL, &waiter[i], WEIR_FOREVER, 0, &lease[i]) != 0)
        exit(1);
}

static void on_turn(weir_runtime *r, weir_waiter *w)
{
    unsigned i = (unsigned)(w - waiter);
    (void)r;
    weir_lease_release(lease[i], 0);
    if (left-- > WAITERS)
        ask(i);
}

static void handoff(long n)
{
    open_pool(1);
    left = n;
    for (unsigned i = 0; i < WAITERS; i++) {
        weir_waiter_init(&waiter[i], on_turn);
        ask(i);
    }
    double start = seconds();
    while (weir_turn(rt) > 0)
        ;
    printf("handoff %.1f ns\n", (seconds() - start) / (double)n * 1e9);
}

int main(int argc, char **argv)
{
    long n = argc > 2 ? atol(argv[2]) : 10000000;
    weir_simulator *sim = weir_simulator_new(WEIR_PLAN_FIFO, 1);
    if (argc < 2 || sim == NULL || n < WAITERS) {
        fprintf(stderr, "usage: pool_core loan [N] | handoff [N]\n");
        return 2;
    }
    rt = weir_runtime_new(weir_simulator_env(sim));
    if (strcmp(argv[1], "loan") == 0)
        loan(n);
    else
        handoff(n);
    weir_pool_close(&pool);
    weir_pool_fini(&pool);
    weir_runtime_free(rt);
    weir_simulator_free(sim);
    return 0;
}
