/* bed.h - the bed of a scheduler's test: a runtime on a simulator that takes the oldest first.
 *
 * bed_free holds the test to its end: the invariants hold, nothing is left, not a byte.
 */
#ifndef WEIR_BED_H
#define WEIR_BED_H
#include <weir/simulator.h>

#include "check.h"

typedef struct bed {
    weir_simulator *sim;
    weir_runtime *rt;
} bed;

static inline bed bed_new(void)
{
    bed b;
    b.sim = weir_simulator_new(WEIR_PLAN_FIFO, 1);
    b.rt = weir_runtime_new(weir_simulator_env(b.sim));
    assert_non_null(b.rt);
    return b;
}

static inline void bed_free(bed *b)
{
    CHECK_VALID(b->rt);
    CHECK_QUIET(b->rt);
    weir_runtime_free(b->rt);
    CHECK_INT(weir_simulator_bytes(b->sim), 0);
    weir_simulator_free(b->sim);
}

#endif
