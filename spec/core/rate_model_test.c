/* rate_model_test.c - rate limits against a reference model, under random operations.
 *
 * After every operation everything visible is compared: statuses, order of turns, delays, what is
 * available, statistics, counters. Operations also come from inside the turns of granted waiters.
 */
#include <math.h>

#include "rate_model.h"
#include "sequences.h"

#define OPS 36
typedef struct op {
    uint32_t what, which, n, t;
} op;

/* --- operations, on both ----------------------------------------------------------------- */

static double amount(const bed *b, const op *o)
{
    return b->begin[0].per == 0 && b->limits == 1 ? o->n / 2.0 : o->n;
}

static void op_try(bed *b, const op *o, int is_take)
{
    double n = amount(b, o);
    int want = model_refuse(b, n);
    if (want == 0 && !model_can_be_had(b, n)) {
        want = WEIR_EBUSY;
        b->stats.busy += !is_take;
    } else if (want == 0) {
        model_charge(b, -1, n, b->at);
    }
    EXPECT(b, (is_take ? weir_rate_take(&b->r, n) : weir_rate_try(&b->r, n)) == want);
}

static void op_wait(bed *b, const op *o)
{
    int i = (int)(o->which % WAITS);
    place *p = &b->place[i];
    double n = amount(b, o);
    uint64_t deadline = o->t % 3 == 0 ? WEIR_FOREVER : b->now + o->t % 1997;
    if (p->status != WEIR_IDLE)
        return;
    int want = model_refuse(b, n);
    if (want == 0 && deadline != WEIR_FOREVER && model_due_behind(b, n, -1) > deadline) {
        want = WEIR_ETIMEOUT;
        b->stats.timeouts++;
    }
    if (want == 0 && model_is_full(b))
        want = WEIR_EOVERLOAD;
    if (want == 0) {
        p->n = n;
        p->deadline = deadline == WEIR_FOREVER ? deadline : deadline + 1;
        p->order = ++b->orders;
        p->status = WEIR_PENDING;
        b->stats.queued++;
        b->queue[b->n_queue++] = i;
        model_serve(b);
    }
    EXPECT(b, weir_rate_wait(&b->r, n, &p->waiter, deadline, &p->ticket) == want);
}

static void op_reserve(bed *b, const op *o)
{
    int i = WAITS + DRAINS + (int)(o->which % RESERVES);
    place *p = &b->place[i];
    double n = amount(b, o);
    if (p->reserved != 0)
        return;
    int want = model_refuse(b, n), now = want == 0 && model_can_be_had(b, n);
    if (want == 0 && !now && model_is_full(b))
        want = WEIR_EOVERLOAD;
    if (want == 0) {
        p->n = n;
        p->kept = 1;
        p->reserved = now ? 2 : 1;
        if (now) {
            model_charge(b, i, n, b->at);
        } else {
            b->stats.queued++;
            b->queue[b->n_queue++] = i;
        }
    }
    EXPECT(b, weir_rate_reserve(&b->r, n, &p->ticket) == want);
}

/* Look at its delay, give it back, or forget it. */
static void op_reserved(bed *b, const op *o)
{
    int i = WAITS + DRAINS + (int)(o->which % RESERVES);
    place *p = &b->place[i];
    if (p->reserved == 0 || !p->kept)
        return;
    if (o->t % 3 == 0) {
        weir_ticket_free(p->ticket);
        p->kept = 0;
        if (p->reserved != 1)
            p->reserved = 0;
        return;
    }
    model_look(b);
    int want = p->reserved == 1;
    if (want) {
        model_drop(b->queue, &b->n_queue, i);
        p->reserved = 3;
        b->stats.cancels++;
        model_serve(b);
    }
    EXPECT(b, weir_ticket_cancel(p->ticket) == want);
}

static void op_give_up(bed *b, const op *o, weir_status status)
{
    int i = (int)(o->which % (WAITS + DRAINS));
    const weir_ticket *t = b->place[i].ticket;
    if (i < WAITS && b->place[i].status == WEIR_GRANTED && t->era > b->r.mark && t->era < b->r.era)
        return; /* the core gives back too little then; rate_test.c */
    int want = model_give_up(b, i, status);
    EXPECT(b, weir_waiter_give_up(b->rt, &b->place[i].waiter, status) == want);
}

static weir_rate_limit random_limit(uint32_t t, uint64_t per)
{
    static const double rates[] = {15625000, 7812500, 31250000, 3906250, 1953125, 0, INFINITY};
    if (per > 0)
        return (weir_rate_limit){.per = per, .n = 1 + t % 4};
    return (weir_rate_limit){.rate = rates[t % 7], .burst = 1 + t / 7 % 4};
}

static void op_set(bed *b, const op *o)
{
    event e = {.id = -1};
    for (uint32_t i = 0; i < b->limits; i++)
        e.to[i] = random_limit(o->t / (i + 1), b->begin[i].per);
    model_look(b);
    e.at = b->at = b->now;
    limit was[LIMITS];
    memcpy(was, b->limit, sizeof was);
    for (uint32_t i = 0; i < b->limits; i++)
        model_limit_set(&b->limit[i], &e.to[i], b->at);
    for (int at = 0; at < b->n_queue;) {
        int i = b->queue[at];
        if (model_fits(b, b->place[i].n)) {
            at++;
            continue;
        }
        b->stats.impossible++;
        model_drop(b->queue, &b->n_queue, i);
        if (model_is_waiter(i))
            model_settle(b, i, WEIR_IMPOSSIBLE);
        else
            b->place[i].reserved = b->place[i].kept ? 3 : 0;
    }
    b->history[b->n_history++] = e;
    b->stats.changes++;
    model_serve(b);
    EXPECT(b, weir_rate_set(&b->r, e.to) == 0);
}

static void op_close(bed *b)
{
    model_look(b);
    b->closed = 1;
    for (int at = 0; at < b->n_queue;) {
        int i = b->queue[at];
        if (!model_is_waiter(i)) {
            at++;
            continue;
        }
        model_drop(b->queue, &b->n_queue, i);
        b->stats.closes++;
        model_settle(b, i, WEIR_CLOSED);
    }
    model_serve(b);
    weir_rate_close(&b->r);
}

static void op_drain(bed *b, const op *o)
{
    int i = WAITS + (int)(o->which % DRAINS);
    place *p = &b->place[i];
    if (p->status != WEIR_IDLE)
        return;
    b->draining = 1;
    p->status = WEIR_PENDING;
    p->deadline = o->t % 2 ? WEIR_FOREVER : weir_after(b->rt, o->t % 97);
    p->order = ++b->orders;
    b->idle[b->n_idle++] = i;
    model_serve(b);
    weir_rate_drain(&b->r, &p->waiter, p->deadline);
}

static void op_turn(bed *b, uint64_t ns)
{
    if (b->in_turn)
        return;
    weir_simulator_advance(b->sim, ns);
    b->now += ns;
    b->in_turn = 1;
    model_timers(b);
    weir_turn(b->rt);
    b->in_turn = 0;
    EXPECT(b, b->n_ready == 0);
}

static void apply(bed *b, const op *o)
{
    if (b->n_history + PLACES + 4 >= HISTORY)
        return;
    b->ops++;
    switch (o->what % 32) {
    default:
        op_wait(b, o);
        break;
    case 9:
    case 10:
    case 11:
    case 12:
        op_try(b, o, o->t % 3 == 0);
        break;
    case 13:
    case 14:
    case 15:
    case 16:
        op_reserve(b, o);
        break;
    case 17:
    case 18:
        op_reserved(b, o);
        break;
    case 19:
    case 20:
    case 21:
        op_give_up(b, o, WEIR_CANCELED);
        break;
    case 22:
        op_give_up(b, o, WEIR_TIMEOUT);
        break;
    case 23:
    case 24:
    case 25:
    case 26:
        op_turn(b, o->t % 301);
        break;
    case 27:
        op_turn(b, 0);
        break;
    case 28:
    case 29:
        op_set(b, o);
        break;
    case 30:
        b->r.max_waiting = b->max_waiting = o->t % 2 ? UINT32_MAX : o->n % 4;
        break;
    case 31:
        if (o->t % 4 == 0)
            op_drain(b, o);
        else if (o->t % 4 == 1)
            op_close(b);
        else
            op_turn(b, o->t * 7);
        break;
    }
}

/* The turn of a waiter: it must be the one the model expects, with the outcome it expects. */
static void on_turn(weir_runtime *rt, weir_waiter *waiter)
{
    place *p = weir_container(waiter, place, waiter);
    bed *b = p->bed;
    int i = (int)(p - b->place);
    EXPECT(b, rt == b->rt && b->in_turn && b->n_ready > 0 && b->ready[0] == i);
    EXPECT(b, (weir_status)waiter->status == p->status);
    if (b->line != 0)
        return;
    model_drop(b->ready, &b->n_ready, i);
    if (p->status == WEIR_GRANTED && i < WAITS)
        weir_ticket_free(p->ticket);
    p->status = WEIR_IDLE;
    if (!b->ending && check_below(&b->random, 2) == 0) {
        op o;
        o.what = check_below(&b->random, 31);
        o.which = check_below(&b->random, 64);
        o.n = 1 + check_below(&b->random, 3);
        o.t = check_below(&b->random, 2000);
        apply(b, &o);
    }
}

static void compare_figures(bed *b)
{
    const weir_rate_stats *is = &b->r.stats, *want = &b->stats;
    EXPECT(b, is->grants == want->grants && is->queued == want->queued);
    EXPECT(b, is->refunds == want->refunds && is->changes == want->changes);
    EXPECT(b, is->busy == want->busy && is->impossible == want->impossible);
    EXPECT(b, is->overload == want->overload && is->closes == want->closes);
    EXPECT(b, is->timeouts == want->timeouts);
    EXPECT(b, is->cancels == want->cancels);
}

static void compare(bed *b)
{
    const weir_counters *n = weir_runtime_counters(b->rt);
    double least = INFINITY;
    EXPECT(b, weir_rate_validate(&b->r) == 0);
    EXPECT(b, b->r.waiting == model_waiting(b));
    EXPECT(b, b->r.waiting + b->r.reserved == (uint32_t)b->n_queue);
    EXPECT(b, b->r.closed == b->closed && b->r.draining == b->draining);
    EXPECT(b, n->pending == b->r.waiting + (uint32_t)b->n_idle);
    EXPECT(b, n->ready == (uint32_t)b->n_ready);
    compare_figures(b);
    for (int i = 0; i < WAITS + DRAINS; i++)
        if (b->place[i].status != WEIR_IDLE)
            EXPECT(b, (weir_status)b->place[i].waiter.status == b->place[i].status);
    model_look(b);
    for (uint32_t i = 0; i < b->limits; i++) {
        const limit *l = &b->limit[i];
        least = fmin(least, l->per > 0 ? fmax(0, l->n - model_used_at(l, b->now))
                                       : fmin(model_level_at(l, b->now), l->burst));
    }
    EXPECT(b, fabs(weir_rate_available(&b->r) - least) < 1e-8);
    for (int i = WAITS + DRAINS; i < PLACES; i++) {
        const place *p = &b->place[i];
        if (p->reserved == 0 || !p->kept)
            continue;
        uint64_t due = p->reserved == 2   ? b->at
                       : p->reserved == 1 ? model_due_behind(b, p->n, i)
                                          : UINT64_MAX;
        EXPECT(b, weir_ticket_delay(p->ticket) == (due == UINT64_MAX ? due : due - b->at));
    }
    if (model_fits(b, 1)) {
        uint64_t due = model_due_behind(b, 1, -1);
        EXPECT(b, weir_rate_retry_after(&b->r, 1) == (due == UINT64_MAX ? due : due - b->at));
    }
}

/* --- a sequence -------------------------------------------------------------------------- */

static void bed_init(bed *b, weir_simulator *sim, uint32_t kind)
{
    b->sim = sim;
    b->rt = weir_runtime_new(weir_simulator_env(sim));
    assert_non_null(b->rt);
    b->now = b->at = weir_now(b->rt);
    b->max_waiting = UINT32_MAX;
    b->limits = 1 + (kind >> 1 & 1);
    for (uint32_t i = 0; i < b->limits; i++)
        b->begin[i] =
            random_limit(kind >> (3 + 5 * i), i == (kind >> 2 & 1) && (kind & 1) ? 100 : 0);
    model_limits_begin(b);
    CHECK_OK(weir_rate_init(b->rt, &b->r, b->begin, b->limits, "r"));
    for (int i = 0; i < PLACES; i++) {
        b->place[i].bed = b;
        weir_waiter_init(&b->place[i].waiter, on_turn);
    }
}

static void bed_fini(bed *b)
{
    b->ending = 1;
    for (int i = 0; i < WAITS + DRAINS && b->line == 0; i++) {
        op o = {0, (uint32_t)i, 0, 0};
        op_give_up(b, &o, WEIR_CANCELED);
        compare(b);
    }
    while (b->line == 0 && b->n_ready > 0)
        op_turn(b, 0);
    for (int i = WAITS + DRAINS; i < PLACES && b->line == 0; i++) {
        op o = {0, (uint32_t)(i - WAITS - DRAINS), 0, 1};
        op_reserved(b, &o);
        compare(b);
    }
    EXPECT(b, weir_runtime_validate(b->rt) == 0 && weir_runtime_quiesce(b->rt) == NULL);
}

typedef struct plan {
    uint64_t seed;
    uint32_t kind;
} plan;

static int run_sequence(const void *ops, size_t n, void *ctx)
{
    plan *pl = ctx;
    weir_simulator *sim = weir_simulator_new(WEIR_PLAN_FIFO, pl->seed);
    bed *b = calloc(1, sizeof *b);
    assert_non_null(sim);
    assert_non_null(b);
    b->random.state = pl->seed;
    bed_init(b, sim, pl->kind);
    for (size_t i = 0; i < n && b->line == 0; i++) {
        apply(b, (const op *)ops + i);
        compare(b);
    }
    if (b->line == 0)
        bed_fini(b);
    check_figure("ops", b->ops);
    if (b->line == 0) {
        weir_rate_fini(&b->r);
        weir_runtime_free(b->rt);
        EXPECT(b, weir_simulator_bytes(sim) == 0);
        weir_simulator_free(sim);
    }
    int line = b->line;
    free(b);
    return line;
}

static const char *op_name(uint32_t what)
{
    what %= 32;
    return what < 9    ? "wait"
           : what < 13 ? "try"
           : what < 17 ? "reserve"
           : what < 19 ? "cancel or free a reservation"
           : what < 22 ? "cancel"
           : what < 23 ? "time out"
           : what < 28 ? "turn"
           : what < 30 ? "set"
           : what < 31 ? "max_waiting"
                       : "drain, close or turn";
}

static void draw(void *ctx, check_random *r)
{
    plan *pl = ctx;
    pl->seed = check_random_next(r);
    pl->kind = check_below(r, 1u << 13);
}

static void draw_op(const void *ctx, check_random *r, void *out)
{
    op *o = out;
    (void)ctx;
    o->what = check_below(r, 32);
    o->which = check_below(r, 64);
    o->n = check_below(r, 8) == 0 ? check_below(r, 10) : 1 + check_below(r, 3);
    o->t = check_below(r, 2000);
}

static void print_plan(const void *ctx)
{
    const plan *pl = ctx;
    print_error("kind %u, seed %llu\n", pl->kind, (unsigned long long)pl->seed);
}

static void print_op(const void *one)
{
    const op *o = one;
    print_error("  %s which %u n %u t %u\n", op_name(o->what), o->which, o->n, o->t);
}

static const check_model rate_model = {
    .name = "rate_model",
    .file = __FILE__,
    .stream = 81,
    .sequences = 100000,
    .ops = OPS,
    .op_size = sizeof(op),
    .plan_size = sizeof(plan),
    .draw = draw,
    .draw_op = draw_op,
    .run = run_sequence,
    .print = print_plan,
    .print_op = print_op,
};

CHECK_MODEL_MAIN(rate_model)
