/* weir/env.h - everything the core takes from outside: time, memory, chance, order.
 *
 * The core calls no clock, malloc, rand or loop of its own. Production fills this from
 * libuv (weir/loop.h), tests from the simulator (weir/simulator.h); the same object files
 * run in both. The runtime copies the struct; `ctx` must outlive the runtime.
 */
#ifndef WEIR_ENV_H
#define WEIR_ENV_H
#include <stddef.h>
#include <stdint.h>

/* A time that never comes; "no deadline". */
#define WEIR_FOREVER UINT64_MAX
#define WEIR_SECOND UINT64_C(1000000000)

/* What is being chosen; tests and replay files name the kinds. */
typedef enum weir_choice {
    WEIR_CHOICE_READY, /* which of n ready waiters runs next */
    WEIR_CHOICE_TIMER, /* which of n timers of one deadline fires next */
    WEIR_CHOICE_IO,    /* which of n completions is seen first */
    WEIR_CHOICE_FAULT  /* 0 = no fault, else inject it */
} weir_choice;

typedef struct weir_env {
    void *ctx; /* borrowed; passed back to every function below */

    /* Monotonic nanoseconds; never goes back. Read once per turn by the runtime, and now and then
     * within it. */
    uint64_t (*now)(void *ctx);

    /* realloc with sizes: `size` 0 frees and returns NULL; NULL otherwise means out of memory
     * and `ptr` is untouched. `old` is the size given when `ptr` was made, 0 for NULL. */
    void *(*alloc)(void *ctx, void *ptr, size_t old, size_t size);

    /* 64 random bits. */
    uint64_t (*random)(void *ctx);

    /* An index below `n` (n >= 2). NULL is FIFO: always the oldest, at no cost. */
    uint32_t (*choose)(void *ctx, uint32_t n, weir_choice kind);

    /* A time that `now` has passed lately, for less than a tenth of its price: asked whenever a
     * deadline is reckoned, so that one set after long work does not have that time gone already.
     * NULL: time moves between turns alone (a simulator), or none is cheaper. */
    uint64_t (*coarse)(void *ctx);
} weir_env;

#endif
