/* sched/simulator.c - the env of tests: virtual time, seeded chance, chosen order, failing memory.
 *
 * A run is a function of its choices, and nothing else: time moves only here, random and the
 * SEED plan draw from two streams (so that a jitter more does not change the order), fresh
 * memory is filled with one pattern.
 * ODOMETER: the first `n_prefix` entries of the record are given, what comes after is 0. The
 * next combination raises the last entry that can still be raised and drops all behind it: a
 * depth-first walk of the tree of choices that needs to know nothing of its shape.
 * The simulator's own memory is malloc's: it is neither counted nor failed by the plan.
 */
#include <weir/simulator.h>

#include "../base/random.h"

#include <stdlib.h>
#include <string.h>

struct weir_simulator {
    weir_env env;
    weir_plan plan;
    uint64_t seed;
    uint64_t now;
    uint64_t chance, order; /* streams: of env.random, of the SEED plan */
    uint64_t hash;

    uint32_t *record; /* what was chosen; ODOMETER: first n_prefix entries are given */
    uint32_t *widths; /* among how many */
    size_t n_record, n_prefix, n_room;
    int is_lost; /* the record could not grow; it ends there */
    const uint32_t *replay;
    size_t n_replay;

    uint64_t allocs;             /* asked for, granted or not */
    uint64_t fail_from, fail_to; /* which of them fail, both included; 0 is none */
    size_t bytes;
};

/* Before each block, so that a caller that gives a wrong old size is caught. */
typedef union sim_block {
    size_t size;
    max_align_t align;
} sim_block;

#define SIM_FILL 0xa5

static void mix(weir_simulator *sim, uint64_t value)
{
    sim->hash = weir__mix(sim->hash + UINT64_C(0x9e3779b97f4a7c15) + value);
}

/* --- the env ----------------------------------------------------------------------- */

static uint64_t sim_now(void *ctx)
{
    weir_simulator *sim = ctx;
    return sim->now;
}

static uint64_t sim_random(void *ctx)
{
    weir_simulator *sim = ctx;
    return weir__random_next(&sim->chance);
}

/* A grown block always moves and the old one is gone, as no allocator promises not to. */
static void *sim_alloc(void *ctx, void *ptr, size_t old, size_t size)
{
    weir_simulator *sim = ctx;
    sim_block *from = ptr != NULL ? (sim_block *)ptr - 1 : NULL, *to = NULL;

    assert(from == NULL ? old == 0 : from->size == old); /* the size it was made with */
    if (size > 0) {
        uint64_t nth = ++sim->allocs;
        if (sim->fail_from != 0 && nth >= sim->fail_from && nth <= sim->fail_to)
            return NULL;
        to = size <= SIZE_MAX - sizeof *to ? malloc(sizeof *to + size) : NULL;
        if (to == NULL)
            return NULL;
        to->size = size;
        memset(to + 1, SIM_FILL, size);
        if (from != NULL)
            memcpy(to + 1, from + 1, old < size ? old : size);
    }
    sim->bytes += size - old; /* unsigned: shrinking wraps to the right sum */
    free(from);
    return to != NULL ? to + 1 : NULL;
}

static int grow(weir_simulator *sim)
{
    size_t room = sim->n_room == 0 ? 256 : 2 * sim->n_room;
    uint32_t *record = realloc(sim->record, room * sizeof *record);
    if (record == NULL)
        return 0;
    sim->record = record;
    uint32_t *widths = realloc(sim->widths, room * sizeof *widths);
    if (widths == NULL)
        return 0;
    sim->widths = widths;
    sim->n_room = room;
    return 1;
}

static uint32_t given(const uint32_t *list, size_t n_list, size_t i, uint32_t n)
{
    uint32_t c = i < n_list ? list[i] : 0;
    return c < n ? c : n - 1; /* a list of another program, or a shrunk one, still runs */
}

static uint32_t sim_choose(void *ctx, uint32_t n, weir_choice kind)
{
    weir_simulator *sim = ctx;
    size_t i = sim->n_record;
    uint32_t c = 0;

    assert(n >= 2);
    if (sim->plan == WEIR_PLAN_SEED)
        c = weir__random_below(&sim->order, n);
    else if (sim->plan == WEIR_PLAN_ODOMETER)
        c = given(sim->record, sim->n_prefix, i, n);
    else if (sim->plan == WEIR_PLAN_REPLAY)
        c = given(sim->replay, sim->n_replay, i, n);
    mix(sim, ((uint64_t)kind << 32) | n);
    mix(sim, c);
    if (i == sim->n_room && !sim->is_lost)
        sim->is_lost = !grow(sim);
    if (!sim->is_lost) {
        sim->record[i] = c;
        sim->widths[i] = n;
        sim->n_record++;
    }
    return c;
}

/* --- life -------------------------------------------------------------------------- */

/* The state in which every run starts. */
static void rewind_run(weir_simulator *sim)
{
    sim->now = 0;
    sim->chance = sim->seed;
    sim->order = weir__mix(~sim->seed);
    sim->hash = 0;
    sim->n_record = 0;
    sim->is_lost = 0;
}

weir_simulator *weir_simulator_new(weir_plan plan, uint64_t seed)
{
    weir_simulator *sim = calloc(1, sizeof *sim);
    if (sim == NULL)
        return NULL;
    sim->env = (weir_env){
        .ctx = sim,
        .now = sim_now,
        .alloc = sim_alloc,
        .random = sim_random,
        .choose = plan == WEIR_PLAN_FIFO ? NULL : sim_choose, /* the oldest, as in production */
    };
    sim->plan = plan;
    sim->seed = seed;
    rewind_run(sim);
    return sim;
}

void weir_simulator_free(weir_simulator *sim)
{
    if (sim == NULL)
        return;
    free(sim->record);
    free(sim->widths);
    free(sim);
}

const weir_env *weir_simulator_env(weir_simulator *sim)
{
    return &sim->env;
}

/* --- running ----------------------------------------------------------------------- */

void weir_simulator_advance(weir_simulator *sim, uint64_t ns)
{
    uint64_t left = WEIR_FOREVER - 1 - sim->now; /* FOREVER is no point in time */
    ns = ns < left ? ns : left;
    sim->now += ns;
    mix(sim, ns);
}

int weir_simulator_step(weir_simulator *sim, weir_runtime *rt)
{
    uint64_t due = weir_next_turn(rt);
    if (due == WEIR_FOREVER)
        return 0;
    if (due > sim->now)
        weir_simulator_advance(sim, due - sim->now);
    weir_turn(rt);

    const weir_counters *n = weir_runtime_counters(rt);
    mix(sim, n->runs);
    mix(sim, n->waits);
    mix(sim, n->grants);
    mix(sim, n->timeouts);
    mix(sim, n->cancels);
    return 1;
}

/* A jump goes to a lower bound of the next deadline: it may take several to find one due. */
uint64_t weir_simulator_run(weir_simulator *sim, weir_runtime *rt, uint64_t max_turns)
{
    uint64_t turns = 0;
    while ((max_turns == 0 || turns < max_turns) && weir_simulator_step(sim, rt))
        turns++;
    return turns;
}

/* --- plans ------------------------------------------------------------------------- */

int weir_simulator_next(weir_simulator *sim)
{
    size_t i = sim->n_record;
    if (sim->plan != WEIR_PLAN_ODOMETER)
        return 0;
    while (i > 0 && sim->record[i - 1] + 1 >= sim->widths[i - 1])
        i--;
    if (i == 0)
        return 0;
    sim->record[i - 1]++;
    sim->n_prefix = i;
    rewind_run(sim);
    return 1;
}

const uint32_t *weir_simulator_record(const weir_simulator *sim, size_t *n)
{
    *n = sim->n_record;
    return sim->record;
}

void weir_simulator_replay(weir_simulator *sim, const uint32_t *choices, size_t n)
{
    assert(sim->plan == WEIR_PLAN_REPLAY);
    sim->replay = choices;
    sim->n_replay = n;
    rewind_run(sim);
}

/* --- memory ------------------------------------------------------------------------ */

void weir_simulator_fail_alloc(weir_simulator *sim, uint64_t nth, uint64_t extra)
{
    sim->fail_from = nth == 0 ? 0 : sim->allocs + nth;
    sim->fail_to = extra > UINT64_MAX - sim->fail_from ? UINT64_MAX : sim->fail_from + extra;
}

uint64_t weir_simulator_allocs(const weir_simulator *sim)
{
    return sim->allocs;
}

size_t weir_simulator_bytes(const weir_simulator *sim)
{
    return sim->bytes;
}

uint64_t weir_simulator_hash(const weir_simulator *sim)
{
    return sim->hash;
}
