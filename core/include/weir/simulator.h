/* weir/simulator.h - the env of tests: virtual time, seeded chance, chosen order, failing memory.
 *
 * Time stands still while anything is ready and jumps to the next timer when nothing is. Order
 * comes from one of four plans:
 *   FIFO     every choice 0: production's order
 *   SEED     a generator; the same seed gives the same run
 *   ODOMETER every combination in turn (weir_simulator_next), for small programs
 *   REPLAY   a recorded list
 * Every choice is recorded; the record of a failing run is its replay.
 */
#ifndef WEIR_SIMULATOR_H
#define WEIR_SIMULATOR_H
#include <weir/runtime.h>

#include <weir/begin.h>

typedef struct weir_simulator weir_simulator;

typedef enum weir_plan {
    WEIR_PLAN_FIFO,
    WEIR_PLAN_SEED,
    WEIR_PLAN_ODOMETER,
    WEIR_PLAN_REPLAY
} weir_plan;

/* NULL if out of memory. Gives. `seed` feeds random and the SEED plan. */
weir_simulator *weir_simulator_new(weir_plan plan, uint64_t seed);
void weir_simulator_free(weir_simulator *sim);

/* The env to make a runtime from. Lends. */
const weir_env *weir_simulator_env(weir_simulator *sim);

/* Run `rt` until nothing is ready and no timer is set. Returns the number of turns. At most
 * `max_turns` (0: no bound). */
uint64_t weir_simulator_run(weir_simulator *sim, weir_runtime *rt, uint64_t max_turns);

/* One turn; jumps the clock first if nothing is ready. 0 if there was nothing to do. */
int weir_simulator_step(weir_simulator *sim, weir_runtime *rt);

/* Move the clock by `ns` without running anything. */
void weir_simulator_advance(weir_simulator *sim, uint64_t ns);

/* ODOMETER: prepare the next combination; 0 when all were run. Call between runs, each on a
 * fresh runtime. */
int weir_simulator_next(weir_simulator *sim);

/* The choices of the last run and how many; Lends until the next run. */
const uint32_t *weir_simulator_record(const weir_simulator *sim, size_t *n);

/* REPLAY: answer from `choices` (borrowed), then 0. */
void weir_simulator_replay(weir_simulator *sim, const uint32_t *choices, size_t n);

/* Fail the `nth` allocation from now (1 is the next), and the `extra` ones after it
 * (UINT64_MAX: all). 0 turns it off. */
void weir_simulator_fail_alloc(weir_simulator *sim, uint64_t nth, uint64_t extra);

/* Allocations asked for so far, and bytes alive (through this env). */
uint64_t weir_simulator_allocs(const weir_simulator *sim);
size_t weir_simulator_bytes(const weir_simulator *sim);

/* A hash over every choice, time jump and run so far: equal seeds give equal hashes. */
uint64_t weir_simulator_hash(const weir_simulator *sim);

#include <weir/end.h>
#endif
