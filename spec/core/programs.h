/* programs.h - small programs of scripted tasks that several tests run, each in its own way.
 *
 * schedules_test runs each under every schedule, cancel_points_test with a cancel at every step,
 * oom_test with every allocation failing, runtime_test for its determinism. What must hold for
 * all of them is checked by script_run; `check` holds for the outcome under every schedule.
 */
#ifndef WEIR_PROGRAMS_H
#define WEIR_PROGRAMS_H
#include "script.h"

typedef struct program {
    script_program script;
    uint32_t max_schedules; /* all when 0, else this many of the first and as many by seed */
    /* 1 if this is an outcome the program may have when nothing is injected; NULL: any. */
    int (*check)(const script_world *w);
} program;

extern const program programs[];
extern const unsigned n_programs;

/* Run `p` in `sim` with what `setup` has set in it (NULL: nothing); the caller frees. NULL if
 * there is no memory. */
script_world *program_run(const program *p, weir_simulator *sim, const script_world *setup);

/* A random program of at most `tasks` tasks, valid by construction. */
void program_random(script_program *p, uint64_t seed, unsigned tasks);
/* The same with a pool, and most ops on it. */
void program_random_pool(script_program *p, uint64_t seed, unsigned tasks);

#endif
