/* cache_world.h - small programs of tasks over one cache, whose loaders are tasks too.
 *
 * A body is a list of steps; a load runs the loader of its key and stores what the origin says. The
 * origin counts invalidations: a value is the count at which its load began, so that what is older
 * than an invalidation can be told. world_run checks every law at every step and that nothing is
 * left; what it finds broken it writes down, so that a run can be repeated and shrunk.
 */
#ifndef WEIR_CACHE_WORLD_H
#define WEIR_CACHE_WORLD_H
#include <weir/cache.h>

#include "check.h"

#define WORLD_TASKS 4
#define WORLD_KEYS 3
#define WORLD_STEPS 8
#define WORLD_LOADS 24

typedef enum world_code {
    WORLD_END,
    WORLD_ASK, /* key, timeout (0: none) */
    WORLD_SET, /* key */
    WORLD_DELETE,
    WORLD_CLEAR,
    WORLD_TAG, /* key: with the one tag there is */
    WORLD_DELETE_TAG,
    WORLD_NAP,    /* ns */
    WORLD_CANCEL, /* task */
    WORLD_CLOSE,
    WORLD_FAIL /* of a loader: what it brings is a failure */
} world_code;

typedef struct world_step {
    world_code code;
    uint32_t n, ns;
} world_step;

#define ASK(key)                                                                                   \
    {                                                                                              \
        WORLD_ASK, key, 0                                                                          \
    }
#define ASK_FOR(key, ns)                                                                           \
    {                                                                                              \
        WORLD_ASK, key, ns                                                                         \
    }
#define SET(key)                                                                                   \
    {                                                                                              \
        WORLD_SET, key, 0                                                                          \
    }
#define DELETE(key)                                                                                \
    {                                                                                              \
        WORLD_DELETE, key, 0                                                                       \
    }
#define CLEAR                                                                                      \
    {                                                                                              \
        WORLD_CLEAR, 0, 0                                                                          \
    }
#define TAG(key)                                                                                   \
    {                                                                                              \
        WORLD_TAG, key, 0                                                                          \
    }
#define DELETE_TAG                                                                                 \
    {                                                                                              \
        WORLD_DELETE_TAG, 0, 0                                                                     \
    }
#define NAP(ns)                                                                                    \
    {                                                                                              \
        WORLD_NAP, 0, ns                                                                           \
    }
#define CANCEL(task)                                                                               \
    {                                                                                              \
        WORLD_CANCEL, task, 0                                                                      \
    }
#define CLOSE                                                                                      \
    {                                                                                              \
        WORLD_CLOSE, 0, 0                                                                          \
    }
#define FAIL                                                                                       \
    {                                                                                              \
        WORLD_FAIL, 0, 0                                                                           \
    }

struct world;
typedef struct world_program {
    const char *name;
    weir_cache_options options; /* 0 is no bound for the last three */
    world_step loader[WORLD_KEYS][WORLD_STEPS];
    world_step body[WORLD_TASKS][WORLD_STEPS];
    /* 0 if the outcome is not a legal one; NULL: all laws are enough. Not asked of injected runs.
     */
    int (*check)(const struct world *w);
    uint32_t max_schedules; /* 0: all of them */
} world_program;

/* How an ASK ended. */
typedef enum world_outcome {
    WORLD_NOT_ASKED,
    WORLD_HIT,
    WORLD_STALE,
    WORLD_NEGATIVE,
    WORLD_LOADED,
    WORLD_FAILED,
    WORLD_TIMEOUT,
    WORLD_CANCELLED,
    WORLD_CLOSED,
    WORLD_DEADLOCK,
    WORLD_NOMEM
} world_outcome;

typedef struct world_actor {
    weir_task task; /* first */
    struct world *world;
    const world_step *step;
    weir_load *load; /* of a loader */
    int alive, fails, key;
    intptr_t version; /* of a loader: what it brings */
    int n_asked;
    world_outcome outcome[WORLD_STEPS];
    intptr_t got[WORLD_STEPS];
} world_actor;

typedef struct world {
    weir_simulator *sim;
    weir_runtime *rt;
    weir_cache *cache;
    const world_program *program;
    world_actor actor[WORLD_TASKS], loader[WORLD_LOADS];
    unsigned n_loads;                    /* begun */
    intptr_t origin, oldest[WORLD_KEYS]; /* counts; what is older must not be seen */
    uint64_t n_given, n_dropped, steps, nomem;
    const char *broken;
    int line;
    /* to inject: */
    uint64_t cancel_at; /* step; 0: never */
    int victim;         /* a task; below 0: the load -1 - victim */
} world;

/* Run `p` in `sim` to its end. `setup` gives what is to be injected, or NULL. The caller frees. */
world *world_run(const world_program *p, weir_simulator *sim, const world *setup);

extern const world_program world_programs[];
extern const unsigned n_world_programs;

#endif
