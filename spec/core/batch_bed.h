/* batch_bed.h - for the tests of batches: one batch on virtual time, and calls that remember.
 *
 * The embedder keeps the groups it is given until the test lands them; each call writes down how
 * its wait ended. Every step is followed by the validator.
 */
#ifndef WEIR_BATCH_BED_H
#define WEIR_BATCH_BED_H
#include <weir/batch.h>

#include "check.h"

#define CALLS 16

typedef struct call {
    weir_request request; /* first */
    weir_waiter wait;
    int id, used, freed, dropped, runs;
    weir_status status;
    intptr_t saw;
} call;

static struct {
    weir_simulator *sim;
    weir_runtime *rt;
    weir_batch b;
    call call[CALLS];
    weir_group *flying[CALLS];
    uint64_t flushed_at[CALLS];
    int n_flushed, abandons, lands_at_once;
    weir_waiter drain;
    int drained;
} bed;

static inline call *call_at(weir_link *k)
{
    return (call *)(void *)weir_container(k, weir_request, link);
}

static inline void land_group(weir_group *g)
{
    for (weir_link *k; (k = weir_list_first(&g->requests)) != NULL;)
        weir_request_land(&call_at(k)->request, WEIR_FLIGHT_LANDED, call_at(k)->id + 100);
    weir_group_landed(g);
}

static inline void on_flush(weir_batch *b, weir_group *g)
{
    CHECK(b == &bed.b && g->of == b);
    bed.flushed_at[bed.n_flushed] = weir_now(b->rt);
    bed.flying[bed.n_flushed++] = g;
    if (bed.lands_at_once)
        land_group(g);
}

static inline void on_abandon(weir_batch *b, weir_group *g)
{
    CHECK(g->of == b && g->wanted == 0);
    bed.abandons++;
}

static inline void on_dropped(weir_batch *b, weir_request *r)
{
    CHECK(b == &bed.b);
    ((call *)(void *)r)->dropped++;
}

static inline void on_free(weir_flight *f)
{
    ((call *)(void *)f)->freed++;
}

static inline const char *call_name(const weir_flight *f)
{
    (void)f;
    return "users";
}

static const weir_wait_ops wait_ops = WEIR_FLIGHT_WAIT("batch:load");
static const weir_flight_ops flight_ops = {NULL, on_free, NULL, call_name, &wait_ops};
static const weir_batch_ops batch_ops = {on_flush, on_abandon, on_dropped, &flight_ops};

static inline void on_turn(weir_runtime *rt, weir_waiter *w)
{
    call *c = weir_container(w, call, wait);
    c->runs++;
    c->status = (weir_status)w->status;
    if (c->status == WEIR_GRANTED || c->status == WEIR_FAILED) {
        weir_flight *f = w->object;
        c->saw = f->value;
        weir_flight_leave(rt, f);
    }
}

static inline void on_drained(weir_runtime *rt, weir_waiter *w)
{
    (void)rt;
    bed.drained += w->status == WEIR_GRANTED;
}

static inline void open_bed(uint32_t max, uint32_t max_flying, uint64_t delay, int quiet)
{
    weir_batch_options o = {.max = max,
                            .max_flying = max_flying,
                            .max_waiting = UINT32_MAX,
                            .delay = delay,
                            .quiet = (uint8_t)quiet};
    memset(&bed, 0, sizeof bed);
    bed.sim = weir_simulator_new(WEIR_PLAN_FIFO, 1);
    assert_non_null(bed.sim);
    bed.rt = weir_runtime_new(weir_simulator_env(bed.sim));
    assert_non_null(bed.rt);
    CHECK_OK(weir_batch_init(bed.rt, &bed.b, &batch_ops, &o, "users"));
    weir_waiter_init(&bed.drain, on_drained);
}

static inline void valid(void)
{
    CHECK_INT(weir_batch_validate(&bed.b), 0);
    CHECK_VALID(bed.rt);
}

static inline void shut_bed(void)
{
    weir_batch_fini(&bed.b);
    for (int i = 0; i < CALLS; i++)
        CHECK_INT(bed.call[i].freed, bed.call[i].used);
    CHECK_QUIET(bed.rt);
    weir_runtime_free(bed.rt);
    CHECK_INT(weir_simulator_bytes(bed.sim), 0);
    weir_simulator_free(bed.sim);
}

static inline int try_ask(int i, uint64_t deadline)
{
    call *c = &bed.call[i];
    c->id = i;
    int rc = weir_batch_add(&bed.b, &c->request);
    if (rc == 0) {
        c->used = 1;
        weir_waiter_init(&c->wait, on_turn);
        weir_flight_wait(bed.rt, &c->request.flight, &c->wait, deadline);
    }
    valid();
    return rc;
}

static inline void ask(int i)
{
    CHECK_OK(try_ask(i, WEIR_FOREVER));
}

static inline void turn(uint64_t ns)
{
    weir_simulator_advance(bed.sim, ns);
    weir_turn(bed.rt);
    valid();
}

static inline void leave(int i)
{
    weir_waiter_give_up(bed.rt, &bed.call[i].wait, WEIR_CANCELED);
    valid();
}

static inline void land(int group)
{
    land_group(bed.flying[group]);
    valid();
}

static inline void got(int i, weir_status status, intptr_t saw)
{
    CHECK_INT(bed.call[i].runs, 1);
    CHECK_INT(bed.call[i].status, status);
    CHECK_INT(bed.call[i].saw, saw);
}

#endif
