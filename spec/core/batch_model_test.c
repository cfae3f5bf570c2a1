/* batch_model_test.c - batches against a reference model, under random operations.
 *
 * After every operation the log of all that was seen (flushes with their requests, drops, abandons,
 * ends of waits, in order), the statistics and the state of each request are compared. Workers land
 * from inside the flush, later, in parts, or leave requests out; memory fails now and then. The
 * laws are checked on their own: each request lands once, what waits longer than the delay has all
 * the groups out that may be.
 */
#include "batch_model.h"
#include "sequences.h"

#define OPS 50

typedef struct number {
    weir_request request; /* first */
    struct bed *bed;
    int id, landed;
} number;

typedef struct seat {
    weir_waiter waiter;
    struct bed *bed;
} seat;

typedef struct bed {
    weir_simulator *sim;
    weir_runtime *rt;
    weir_batch b;
    model m;
    number *request[REQUESTS];
    unsigned char ended[REQUESTS]; /* dropped before the flush or landed: once */
    seat seat[SEATS + DRAINS];
    int log[LOG], n_log;
    int line;
    uint64_t ops;
} bed;

typedef struct op {
    uint32_t what, which, t;
} op;

#define EXPECT(b, cond)                                                                            \
    do {                                                                                           \
        if (!(cond) && (b)->line == 0)                                                             \
            (b)->line = __LINE__;                                                                  \
    } while (0)

/* --- the embedder ----------------------------------------------------------------------------- */

/* -1: of none. */
static int id_of(weir_link *k)
{
    return k == NULL ? -1 : ((number *)(void *)weir_container(k, weir_request, link))->id;
}

static void land(weir_request *r, int fails)
{
    number *n = (number *)(void *)r;
    n->bed->ended[n->id]++;
    weir_request_land(r, fails ? WEIR_FLIGHT_FAILED : WEIR_FLIGHT_LANDED, n->id);
}

static void land_group(bed *b, weir_group *g)
{
    int first = id_of(weir_list_first(&g->requests)), some = 0;
    if (weir_list_next(&g->requests, weir_list_first(&g->requests)) != NULL)
        some = batch_forgets_one(first);
    for (weir_link *k; (k = weir_list_first(&g->requests)) != NULL;) {
        if (some && weir_list_next(&g->requests, k) == NULL)
            break;
        land(weir_container(k, weir_request, link), batch_request_fails(id_of(k)));
    }
    for (weir_link *k = weir_list_first(&g->requests); k; k = weir_list_next(&g->requests, k))
        b->ended[id_of(k)]++;
    weir_group_landed(g);
}

static void on_flush(weir_batch *batch, weir_group *g)
{
    bed *b = batch->data;
    int first = id_of(weir_list_first(&g->requests));
    EXPECT(b, g->state == WEIR_GROUP_FLYING && g->wanted == g->n && g->n <= batch->options.max);
    batch_log_add(b->log, &b->n_log, LOG_FLUSH + (int)g->n);
    for (weir_link *k = weir_list_first(&g->requests); k; k = weir_list_next(&g->requests, k))
        batch_log_add(b->log, &b->n_log, LOG_REQUEST + id_of(k));
    if (batch_lands_in_flush(first))
        land_group(b, g);
}

static void on_abandon(weir_batch *batch, weir_group *g)
{
    bed *b = batch->data;
    int first = id_of(weir_list_first(&g->requests));
    EXPECT(b, g->wanted == 0);
    batch_log_add(b->log, &b->n_log, LOG_ABANDON + first);
    if (batch_lands_in_abandon(first))
        land_group(b, g);
}

static void on_dropped(weir_batch *batch, weir_request *r)
{
    bed *b = batch->data;
    int id = ((number *)(void *)r)->id;
    EXPECT(b, r->flight.state == WEIR_FLIGHT_ABANDONED);
    batch_log_add(b->log, &b->n_log, LOG_DROPPED + id);
    b->ended[id] += r->group == NULL;
}

static void on_free(weir_flight *f)
{
    number *n = (number *)(void *)f;
    n->bed->request[n->id] = NULL;
    free(n);
}

static const weir_wait_ops wait_ops = WEIR_FLIGHT_WAIT("test:load");
static const weir_flight_ops flight_ops = {NULL, on_free, NULL, NULL, &wait_ops};
static const weir_batch_ops batch_ops = {on_flush, on_abandon, on_dropped, &flight_ops};

static void on_turn(weir_runtime *rt, weir_waiter *w)
{
    seat *s = weir_container(w, seat, waiter);
    bed *b = s->bed;
    int i = (int)(s - b->seat);
    weir_flight *f = w->object;
    batch_log_add(b->log, &b->n_log, LOG_END + 100 * w->status + i);
    if (i < SEATS && (w->status == WEIR_GRANTED || w->status == WEIR_FAILED)) {
        EXPECT(b, f->value == 0 || f->value == ((number *)(void *)f)->id);
        weir_flight_leave(rt, f);
    }
    w->status = WEIR_IDLE;
}

/* --- operations, on both ---------------------------------------------------------------------- */

static int free_seat(const bed *b, int from, int to)
{
    for (int i = from; i < to; i++)
        if (b->m.seat[i].status == WEIR_IDLE)
            return i;
    return -1;
}

static void sit(bed *b, int id, uint32_t t)
{
    int i = free_seat(b, 0, SEATS);
    uint64_t deadline = t % 2 == 0 ? WEIR_FOREVER : weir_after(b->rt, t % 23);
    if (i < 0)
        return;
    batch_model_wait_for(&b->m, i, id, deadline);
    weir_flight_wait(b->rt, &b->request[id]->request.flight, &b->seat[i].waiter, deadline);
}

static void op_add(bed *b, const op *o)
{
    int id = b->m.n_requests;
    number *n = calloc(1, sizeof *n);
    assert_non_null(n);
    if (id == REQUESTS || free_seat(b, 0, SEATS) < 0) {
        free(n);
        return;
    }
    n->bed = b;
    n->id = id;
    int want = batch_model_add(&b->m), rc = weir_batch_add(&b->b, &n->request);
    EXPECT(b, rc == want);
    if (rc != 0) {
        free(n);
        return;
    }
    b->request[id] = n;
    if (b->line == 0 && o->t % 16 != 0)
        sit(b, id, o->t);
}

static void op_join(bed *b, const op *o)
{
    for (int k = 0; k < b->m.n_requests; k++) {
        int id = (int)((o->which + (uint32_t)k) % (uint32_t)b->m.n_requests);
        const model_request *r = &b->m.request[id];
        if (!r->used || r->state != WEIR_FLIGHT_FLYING)
            continue;
        b->m.stats.joined++;
        weir_batch_joined(&b->b, &b->request[id]->request);
        sit(b, id, o->t);
        return;
    }
}

static void op_give_up(bed *b, const op *o)
{
    int i = (int)(o->which % (SEATS + DRAINS));
    weir_status how = o->t % 3 == 0 ? WEIR_TIMEOUT : WEIR_CANCELED;
    if (b->m.seat[i].status == WEIR_IDLE)
        return;
    int want = batch_model_give_up(&b->m, i, how);
    EXPECT(b, weir_waiter_give_up(b->rt, &b->seat[i].waiter, how) == want);
}

/* One request of a flying group lands, or the group with all that is left. */
static void op_land(bed *b, const op *o)
{
    model *m = &b->m;
    if (m->n_flying == 0)
        return;
    int group = m->flying[o->which % (uint32_t)m->n_flying];
    model_group *g = &m->group[group];
    if (g->left > 0 && o->t % 3 != 0) {
        int id = g->ids[o->t % (uint32_t)g->left];
        weir_request *r = &b->request[id]->request;
        batch_model_land(m, id, batch_request_fails(id));
        land(r, batch_request_fails(id));
        return;
    }
    weir_group *real = NULL;
    for (weir_link *k = weir_list_first(&b->b.flying); k && real == NULL;
         k = weir_list_next(&b->b.flying, k)) {
        weir_group *is = weir_container(k, weir_group, link);
        weir_link *first = weir_list_first(&is->requests);
        if (g->left > 0 ? first != NULL && id_of(first) == g->ids[0]
                        : first == NULL && is->n == g->n)
            real = is;
    }
    EXPECT(b, real != NULL);
    if (real == NULL)
        return;
    if (g->left > 0) {
        batch_model_land_group(m, group);
        land_group(b, real);
    } else {
        batch_model_group_landed(m, group);
        weir_group_landed(real);
    }
}

static void op_turn(bed *b, uint64_t ns)
{
    weir_simulator_advance(b->sim, ns);
    b->m.now += ns;
    batch_model_turn(&b->m);
    weir_turn(b->rt);
    /* what waits longer than the delay has all groups out that may be */
    if (b->m.gathering >= 0 && b->m.options.delay != WEIR_FOREVER) {
        const weir_group *g = b->b.gathering;
        EXPECT(b,
               g != NULL && (b->m.now - g->since < b->m.options.delay ||
                             b->b.n_flying == b->m.options.max_flying || b->m.options.delay == 0));
    }
}

static void op_drain(bed *b, const op *o)
{
    int i = free_seat(b, SEATS, SEATS + DRAINS);
    uint64_t deadline = o->t % 2 == 0 ? WEIR_FOREVER : weir_after(b->rt, o->t % 23);
    if (i < 0)
        return;
    batch_model_drain(&b->m, i, deadline);
    weir_batch_drain(&b->b, &b->seat[i].waiter, deadline);
}

static void apply(bed *b, const op *o)
{
    b->ops++;
    if (o->t % 11 == 0) {
        weir_simulator_fail_alloc(b->sim, 1, UINT64_MAX);
        b->m.memory_is_short = 1;
    }
    switch (o->what % 32) {
    case 0:
        if (o->which % 4 == 0) {
            batch_model_close(&b->m);
            weir_batch_close(&b->b);
        } else if (o->which % 4 == 1) {
            op_drain(b, o);
        }
        break;
    case 1:
        batch_model_flush(&b->m);
        weir_batch_flush(&b->b);
        break;
    case 2:
    case 3:
    case 4:
        op_give_up(b, o);
        break;
    case 5:
    case 6:
    case 7:
        op_join(b, o);
        break;
    case 8:
    case 9:
    case 10:
    case 11:
    case 12:
    case 13:
        op_land(b, o);
        break;
    case 14:
    case 15:
    case 16:
    case 17:
    case 18:
    case 19:
        op_turn(b, o->t % 7);
        break;
    default:
        op_add(b, o);
    }
    weir_simulator_fail_alloc(b->sim, 0, 0);
    b->m.memory_is_short = 0;
}

static void compare(bed *b)
{
    const model *m = &b->m;
    const weir_batch_stats *is = &b->b.stats, *want = &m->stats;
    int line = weir_batch_validate(&b->b);
    if (line == 0)
        line = weir_runtime_validate(b->rt);
    if (b->line == 0)
        b->line = line;
    EXPECT(b, b->n_log == m->n_log && memcmp(b->log, m->log, sizeof(int) * (size_t)m->n_log) == 0);
    EXPECT(b, is->requests == want->requests && is->joined == want->joined);
    EXPECT(b, is->groups == want->groups && is->by_size == want->by_size);
    EXPECT(b, is->by_delay == want->by_delay && is->by_quiet == want->by_quiet);
    EXPECT(b, is->by_flush == want->by_flush && is->dropped == want->dropped);
    EXPECT(b, is->failures == want->failures && is->timeouts == want->timeouts);
    EXPECT(b, is->cancels == want->cancels && is->closes == want->closes);
    EXPECT(b, is->overload == want->overload && is->size.count == want->groups);
    EXPECT(b, is->wait.count == m->flushes);
    EXPECT(b, b->b.n_unflushed == m->n_unflushed && b->b.n_flying == (uint32_t)m->n_flying);
    EXPECT(b, b->b.n_queued == (uint32_t)m->n_queued);
    EXPECT(b, (b->b.gathering != NULL) == (m->gathering >= 0));
    EXPECT(b, weir_link_is_linked(&b->b.quiet.link) == m->quiet);
    EXPECT(b, weir_runtime_counters(b->rt)->ready == (uint32_t)m->n_ready);
    for (int id = 0; id < m->n_requests; id++) {
        const model_request *r = &m->request[id];
        EXPECT(b, r->used == (b->request[id] != NULL));
        if (r->used && b->request[id] != NULL) {
            const weir_flight *f = &b->request[id]->request.flight;
            EXPECT(b, f->state == r->state && f->interested == r->interested);
            EXPECT(b, b->ended[id] == f->ended);
        }
        EXPECT(b, b->ended[id] <= 1);
    }
    for (int i = 0; i < SEATS + DRAINS; i++)
        EXPECT(b, (weir_status)b->seat[i].waiter.status == m->seat[i].status);
}

/* --- a sequence ------------------------------------------------------------------------------- */

typedef struct plan {
    uint64_t seed;
    weir_batch_options options;
} plan;

static void bed_init(bed *b, const plan *pl)
{
    b->sim = weir_simulator_new(WEIR_PLAN_FIFO, pl->seed);
    assert_non_null(b->sim);
    b->rt = weir_runtime_new(weir_simulator_env(b->sim));
    assert_non_null(b->rt);
    batch_model_init(&b->m, &pl->options);
    CHECK_OK(weir_batch_init(b->rt, &b->b, &batch_ops, &pl->options, "b"));
    b->b.data = b;
    for (int i = 0; i < SEATS + DRAINS; i++) {
        b->seat[i].bed = b;
        weir_waiter_init(&b->seat[i].waiter, on_turn);
    }
}

static void bed_fini(bed *b)
{
    static const op any = {0, 0, 0};
    batch_model_close(&b->m);
    weir_batch_close(&b->b);
    compare(b);
    for (int i = 0; i < 200 && b->line == 0 && (b->m.n_flying > 0 || b->m.n_ready > 0); i++) {
        op_land(b, &any);
        op_turn(b, 30);
        compare(b);
    }
    for (int i = 0; i < SEATS + DRAINS && b->line == 0; i++) {
        op give_up = {0, (uint32_t)i, 1};
        op_give_up(b, &give_up);
    }
    op_turn(b, 0);
    for (int id = 0; id < b->m.n_requests; id++)
        EXPECT(b, b->request[id] == NULL && b->ended[id] == 1);
    if (b->line == 0)
        weir_batch_fini(&b->b);
    EXPECT(b, weir_runtime_quiesce(b->rt) == NULL);
}

static int run_sequence(const void *ops, size_t n, void *ctx)
{
    plan *pl = ctx;
    static bed b; /* large; one at a time */
    memset(&b, 0, sizeof b);
    bed_init(&b, pl);
    for (size_t i = 0; i < n && b.line == 0; i++) {
        apply(&b, (const op *)ops + i);
        if (b.line == 0)
            compare(&b);
    }
    if (b.line == 0)
        bed_fini(&b);
    check_figure("ops", b.ops);
    if (b.line == 0) {
        weir_runtime_free(b.rt);
        EXPECT(&b, weir_simulator_bytes(b.sim) == 0);
        weir_simulator_free(b.sim);
    }
    return b.line;
}

static const char *op_name(const op *o)
{
    uint32_t what = o->what % 32;
    return what == 0   ? o->which % 4 == 0 ? "close" : "drain, or nothing"
           : what == 1 ? "flush"
           : what < 5  ? "give up"
           : what < 8  ? "join"
           : what < 14 ? "land"
           : what < 20 ? "turn"
                       : "add";
}

static void draw(void *ctx, check_random *r)
{
    static const uint64_t delays[] = {0, 5, 12, WEIR_FOREVER};
    plan *pl = ctx;
    pl->seed = check_random_next(r);
    pl->options = (weir_batch_options){
        .max = 1 + check_below(r, GROUP_MAX),
        .max_flying = check_below(r, 3) == 0 ? UINT32_MAX : 1 + check_below(r, 2),
        .max_waiting = check_below(r, 3) == 0 ? 1 + check_below(r, 5) : UINT32_MAX,
        .delay = delays[check_below(r, 4)],
        .quiet = check_below(r, 3) == 0,
    };
}

static void draw_op(const void *ctx, check_random *r, void *out)
{
    op *o = out;
    (void)ctx;
    o->what = check_below(r, 32);
    o->which = check_below(r, 64);
    o->t = check_below(r, 1000);
}

static void print_plan(const void *ctx)
{
    const plan *pl = ctx;
    const weir_batch_options *o = &pl->options;
    print_error("max %u flying %u waiting %u delay %lld quiet %d, seed %llu\n", o->max,
                o->max_flying, o->max_waiting, (long long)o->delay, o->quiet,
                (unsigned long long)pl->seed);
}

static void print_op(const void *one)
{
    const op *o = one;
    print_error("  %s which %u t %u%s\n", op_name(o), o->which, o->t,
                o->t % 11 == 0 ? " (no memory)" : "");
}

static const check_model batch_model = {
    .name = "batch_model",
    .file = __FILE__,
    .stream = 250,
    .sequences = 40000,
    .ops = OPS,
    .op_size = sizeof(op),
    .plan_size = sizeof(plan),
    .draw = draw,
    .draw_op = draw_op,
    .run = run_sequence,
    .print = print_plan,
    .print_op = print_op,
};

CHECK_MODEL_MAIN(batch_model)
