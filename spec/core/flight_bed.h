/* flight_bed.h - for the tests of flights: one flight whose hooks count, and seats that wait for
 * it.
 *
 * Whoever waits writes down how it ended and what it saw; the flight what it was told, in order.
 */
#ifndef WEIR_FLIGHT_BED_H
#define WEIR_FLIGHT_BED_H
#include <weir/flight.h>

#include "check.h"

#define SEATS 6

typedef struct trip {
    weir_flight flight; /* first */
    weir_runtime *rt;
    int abandoned, freed, ended, lands_in_abandon;
    int pending; /* as the keeper counts it */
    intptr_t freed_with;
    char told[32]; /* e: keeper, a: abandon, f: free; in order */
} trip;

static inline trip *trip_of(const weir_flight *f)
{
    return (trip *)(void *)(uintptr_t)f;
}

static inline void tell(trip *t, const char *what)
{
    assert_true(strlen(t->told) + 2 < sizeof t->told);
    strcat(t->told, what);
}

static inline void on_abandon(weir_flight *f)
{
    trip *t = trip_of(f);
    t->abandoned++;
    tell(t, "a");
    CHECK_INT(f->state, WEIR_FLIGHT_ABANDONED);
    CHECK_INT(f->interested, 0);
    if (t->lands_in_abandon)
        weir_flight_land(t->rt, f, WEIR_FLIGHT_FAILED, 99);
}

static inline void on_free(weir_flight *f)
{
    trip *t = trip_of(f);
    CHECK_INT(t->freed, 0);
    t->freed++;
    t->freed_with = f->value;
    tell(t, "f");
}

static inline void on_ended(weir_runtime *rt, weir_flight *f)
{
    trip *t = trip_of(f);
    CHECK(t->rt == rt && f->state != WEIR_FLIGHT_FLYING);
    t->ended++;
    tell(t, "e");
}

static inline void on_left(weir_flight *f, weir_status status)
{
    CHECK(status != WEIR_PENDING && status != WEIR_IDLE);
    trip_of(f)->pending--;
}

static inline void on_waits(weir_flight *f)
{
    trip_of(f)->pending++;
}

static inline const char *trip_name(const weir_flight *f)
{
    (void)f;
    return "the trip";
}

static const weir_wait_ops trip_wait = WEIR_FLIGHT_WAIT("test:trip");
static const weir_flight_ops trip_ops = {on_abandon, on_free, NULL, trip_name, &trip_wait};
static const weir_flight_keeper trip_keeper = {on_ended, on_left, on_waits, NULL};

typedef struct seat {
    weir_waiter wait;
    trip *on;
    int runs;
    weir_status status;
    intptr_t saw;
} seat;

static struct {
    weir_simulator *sim;
    weir_runtime *rt;
    trip trip;
    seat seat[SEATS];
    int order[SEATS], n_order;
} bed;

static inline void on_turn(weir_runtime *rt, weir_waiter *w)
{
    seat *s = weir_container(w, seat, wait);
    s->runs++;
    s->status = (weir_status)w->status;
    bed.order[bed.n_order++] = (int)(s - bed.seat);
    if (s->status == WEIR_GRANTED || s->status == WEIR_FAILED) {
        CHECK_INT(s->on->freed, 0);
        s->saw = s->on->flight.value;
        weir_flight_leave(rt, &s->on->flight);
    }
}

static inline void trip_init(trip *t)
{
    *t = (trip){.rt = bed.rt};
    weir_flight_init(bed.rt, &t->flight, &trip_ops);
    t->flight.keeper = &trip_keeper;
}

static inline void bed_open(weir_plan plan)
{
    memset(&bed, 0, sizeof bed);
    bed.sim = weir_simulator_new(plan, 1);
    assert_non_null(bed.sim);
    bed.rt = weir_runtime_new(weir_simulator_env(bed.sim));
    assert_non_null(bed.rt);
    trip_init(&bed.trip);
    for (int i = 0; i < SEATS; i++)
        weir_waiter_init(&bed.seat[i].wait, on_turn);
}

static inline void bed_shut(void)
{
    CHECK_VALID(bed.rt);
    CHECK_QUIET(bed.rt);
    weir_runtime_free(bed.rt);
    CHECK_INT(weir_simulator_bytes(bed.sim), 0);
    weir_simulator_free(bed.sim);
}

static inline void valid(void)
{
    if (bed.trip.freed == 0) {
        CHECK_INT(weir_flight_validate(&bed.trip.flight), 0);
        if (bed.trip.flight.state != WEIR_FLIGHT_FLYING)
            CHECK_INT(bed.trip.pending, 0);
    }
    CHECK_VALID(bed.rt);
}

static inline void board(int i, uint64_t deadline)
{
    bed.seat[i].on = &bed.trip;
    weir_flight_wait(bed.rt, &bed.trip.flight, &bed.seat[i].wait, deadline);
    valid();
}

static inline void leave(int i, weir_status how)
{
    weir_waiter_give_up(bed.rt, &bed.seat[i].wait, how);
    valid();
}

static inline void land(weir_flight_state how, intptr_t value)
{
    weir_flight_land(bed.rt, &bed.trip.flight, how, value);
    valid();
}

static inline void turn(void)
{
    weir_turn(bed.rt);
    valid();
}

static inline void ended(int i, weir_status status, intptr_t saw)
{
    CHECK_INT(bed.seat[i].runs, 1);
    CHECK_INT(bed.seat[i].status, status);
    CHECK_INT(bed.seat[i].saw, saw);
}

#endif
