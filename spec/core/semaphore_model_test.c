/* semaphore_model_test.c - the semaphore against a reference model, under random operations.
 *
 * The model is arrays and loops: a queue of requests, a count of what is free, a list of what
 * was settled in which order. After every operation everything visible is compared: statuses,
 * order of turns, free permits, statistics, counters of the runtime. Operations also come from
 * inside the turns of granted waiters. The laws (control of weights, no lost wake-up, one
 * settlement, arrival order) are what the model does, so a difference is a broken law.
 */
#include <weir/semaphore.h>

#include "sequences.h"

#define SLOTS 8  /* waiters for permits */
#define DRAINS 2 /* waiters of drain, numbered after the slots */
#define PERMITS 24
#define PUPPETS 3 /* tasks that hold and do nothing */
#define OPS 36

typedef struct slot {
    weir_waiter waiter;
    struct bed *bed;
    weir_permit *permit;
    /* the model: */
    weir_status status; /* IDLE: free for the next operation */
    uint32_t n;
    int holder; /* a puppet, or -1 */
    uint64_t deadline, order;
} slot;

typedef struct held {
    weir_permit *permit;
    uint32_t n;
    int holder;
} held;

typedef struct bed {
    weir_simulator *sim;
    weir_runtime *rt;
    weir_semaphore s;
    weir_task puppet[PUPPETS];
    slot slot[SLOTS + DRAINS];
    held out[PERMITS];
    unsigned n_out;
    check_random r; /* of what is done inside turns */
    int line, in_turn, ending;
    uint64_t ops;
    /* the model: */
    int64_t capacity, available;
    uint32_t max_waiting;
    int closed, draining;
    int queue[SLOTS], n_queue, idle[DRAINS], n_idle, ready[SLOTS + DRAINS], n_ready;
    uint64_t orders, now;
    weir_semaphore_stats stats; /* its counts */
} bed;

typedef struct op {
    uint32_t what, which, n, t;
} op;

#define EXPECT(b, cond)                                                                            \
    do {                                                                                           \
        if (!(cond) && (b)->line == 0)                                                             \
            (b)->line = __LINE__;                                                                  \
    } while (0)

/* --- the model ------------------------------------------------------------------------------- */

static void model_remove(int *list, int *n, int i)
{
    int at = 0;
    while (list[at] != i)
        at++;
    memmove(list + at, list + at + 1, sizeof(int) * (size_t)(*n - at - 1));
    (*n)--;
}

static void model_settle(bed *b, int i, weir_status status)
{
    b->slot[i].status = status;
    b->ready[b->n_ready++] = i;
}

static void model_serve(bed *b)
{
    while (b->n_queue > 0 && b->slot[b->queue[0]].n <= b->available) {
        int i = b->queue[0];
        model_remove(b->queue, &b->n_queue, i);
        b->available -= b->slot[i].n;
        b->stats.grants++;
        model_settle(b, i, WEIR_GRANTED);
    }
    while (b->available == b->capacity && b->n_idle > 0) {
        int i = b->idle[0];
        model_remove(b->idle, &b->n_idle, i);
        model_settle(b, i, WEIR_GRANTED);
    }
}

/* 1 if it moved the status. */
static int model_give_up(bed *b, int i, weir_status status)
{
    slot *w = &b->slot[i];
    if (w->status == WEIR_PENDING && i >= SLOTS) {
        model_remove(b->idle, &b->n_idle, i);
        model_settle(b, i, status);
        return 1;
    }
    if (w->status == WEIR_PENDING) {
        model_remove(b->queue, &b->n_queue, i);
        b->stats.timeouts += status == WEIR_TIMEOUT;
        b->stats.cancels += status == WEIR_CANCELED;
        model_serve(b);
        model_settle(b, i, status);
        return 1;
    }
    if (w->status == WEIR_GRANTED && status == WEIR_CANCELED && i < SLOTS) {
        w->status = WEIR_CANCELED;
        b->available += w->n;
        model_serve(b);
        return 1;
    }
    return 0;
}

/* Whom it makes impossible leaves first, in order of arrival; then others may get in. */
static int model_resize(bed *b, int64_t capacity)
{
    if (capacity <= 0 || capacity > UINT32_MAX)
        return WEIR_EINVAL;
    b->available += capacity - b->capacity;
    b->capacity = capacity;
    for (int at = 0; at < b->n_queue;) {
        if (b->slot[b->queue[at]].n <= capacity) {
            at++;
            continue;
        }
        b->stats.impossible++;
        int i = b->queue[at];
        model_remove(b->queue, &b->n_queue, i);
        model_settle(b, i, WEIR_IMPOSSIBLE);
    }
    model_serve(b);
    return 0;
}

static int model_refuse(bed *b, uint32_t n)
{
    if (b->closed || b->draining) {
        b->stats.closes++;
        return WEIR_ECLOSED;
    }
    if (n == 0)
        return WEIR_EINVAL;
    if (n > b->capacity) {
        b->stats.impossible++;
        return WEIR_EIMPOSSIBLE;
    }
    return 0;
}

static int model_take(bed *b, uint32_t n)
{
    int rc = model_refuse(b, n);
    if (rc != 0)
        return rc;
    if (b->n_queue > 0 || n > b->available)
        return WEIR_EBUSY;
    b->available -= n;
    b->stats.grants++;
    return 0;
}

static int model_acquire(bed *b, int i, uint32_t n, uint64_t deadline)
{
    int rc = model_refuse(b, n);
    if (rc != 0)
        return rc;
    if ((uint32_t)b->n_queue >= b->max_waiting) {
        b->stats.overload++;
        return WEIR_EOVERLOAD;
    }
    b->slot[i].n = n;
    b->slot[i].deadline = deadline;
    b->slot[i].order = ++b->orders;
    if (b->n_queue == 0 && n <= b->available) {
        b->available -= n;
        b->stats.grants++;
        model_settle(b, i, WEIR_GRANTED);
    } else {
        b->stats.queued++;
        b->slot[i].status = WEIR_PENDING;
        b->queue[b->n_queue++] = i;
    }
    return 0;
}

/* Timeouts, in the order of their deadlines, each with all that follows from it. */
static void model_timeouts(bed *b)
{
    for (;;) {
        int first = -1;
        for (int i = 0; i < SLOTS + DRAINS; i++) {
            const slot *w = &b->slot[i], *f = first < 0 ? NULL : &b->slot[first];
            if (w->status == WEIR_PENDING && w->deadline <= b->now &&
                (f == NULL || w->deadline < f->deadline ||
                 (w->deadline == f->deadline && w->order < f->order)))
                first = i;
        }
        if (first < 0)
            return;
        model_give_up(b, first, WEIR_TIMEOUT);
    }
}

/* --- operations, on both ---------------------------------------------------------------------- */

static weir_task *holder_of(bed *b, int holder)
{
    return holder < 0 ? NULL : &b->puppet[holder];
}

static void add_out(bed *b, weir_permit *p, uint32_t n, int holder)
{
    EXPECT(b, p->n == n && p->hold.holder == holder_of(b, holder) && p->of == &b->s);
    b->out[b->n_out++] = (held){p, n, holder};
}

/* Try, or take: that is a try whose refusal is not a reject. */
static void op_try(bed *b, const op *o, int is_take)
{
    weir_permit *p = NULL;
    int holder = (int)(o->t % (PUPPETS + 1)) - 1;
    if (b->n_out + SLOTS >= PERMITS)
        return;
    int want = model_take(b, o->n);
    int rc = is_take ? weir_semaphore_take(&b->s, holder_of(b, holder), o->n, &p)
                     : weir_semaphore_try(&b->s, holder_of(b, holder), o->n, &p);
    b->stats.busy += want == WEIR_EBUSY && !is_take;
    EXPECT(b, rc == want);
    EXPECT(b, (rc == 0) == (p != NULL));
    if (rc == 0)
        add_out(b, p, o->n, holder);
}

static void op_acquire(bed *b, const op *o)
{
    int i = (int)(o->which % SLOTS), holder = (int)(o->t % (PUPPETS + 1)) - 1;
    slot *w = &b->slot[i];
    uint64_t deadline = o->t % 3 == 0 ? WEIR_FOREVER : weir_after(b->rt, o->t % 97);
    if (w->status != WEIR_IDLE || b->n_out + SLOTS >= PERMITS)
        return;
    if (o->which % 2 == 0 || (uint32_t)b->n_queue >= b->max_waiting) {
        uint64_t before = b->stats.grants;
        op_try(b, o, 1);
        if (b->stats.grants != before || b->closed || b->draining || o->n == 0 ||
            o->n > b->capacity)
            return;
    }
    int want = model_acquire(b, i, o->n, deadline);
    int rc =
        weir_semaphore_acquire(&b->s, holder_of(b, holder), o->n, &w->waiter, deadline, &w->permit);
    EXPECT(b, rc == want);
    w->holder = holder;
}

static void op_release(bed *b, const op *o)
{
    unsigned i = o->which;
    if (b->n_out == 0)
        return;
    held h = b->out[i %= b->n_out];
    b->out[i] = b->out[--b->n_out];
    b->available += h.n;
    model_serve(b);
    weir_permit_release(h.permit);
}

static void op_transfer(bed *b, const op *o)
{
    if (b->n_out == 0)
        return;
    held *h = &b->out[o->which % b->n_out];
    h->holder = (int)(o->t % (PUPPETS + 1)) - 1;
    weir_permit_transfer(h->permit, holder_of(b, h->holder));
    EXPECT(b, h->permit->hold.holder == holder_of(b, h->holder));
}

static void op_give_up(bed *b, const op *o, weir_status status)
{
    int i = (int)(o->which % (SLOTS + DRAINS));
    int want = model_give_up(b, i, status);
    EXPECT(b, weir_waiter_give_up(b->rt, &b->slot[i].waiter, status) == want);
}

static void op_close(bed *b)
{
    b->closed = 1;
    while (b->n_queue > 0) {
        int i = b->queue[0];
        model_remove(b->queue, &b->n_queue, i);
        b->stats.closes++;
        model_settle(b, i, WEIR_CLOSED);
    }
    model_serve(b);
    weir_semaphore_close(&b->s);
}

static void op_resize(bed *b, const op *o)
{
    int64_t capacity = (int64_t)(o->t / 4 % 7);
    int want = model_resize(b, capacity);
    EXPECT(b, weir_semaphore_resize(&b->s, capacity) == want);
}

static void op_drain(bed *b, const op *o)
{
    int i = SLOTS + (int)(o->which % DRAINS);
    slot *w = &b->slot[i];
    if (w->status != WEIR_IDLE)
        return;
    b->draining = 1;
    w->status = WEIR_PENDING;
    w->deadline = o->t % 2 ? WEIR_FOREVER : weir_after(b->rt, o->t % 97);
    w->order = ++b->orders;
    b->idle[b->n_idle++] = i;
    model_serve(b);
    weir_semaphore_drain(&b->s, &w->waiter, w->deadline);
}

static void op_turn(bed *b, uint64_t ns)
{
    if (b->in_turn)
        return;
    weir_simulator_advance(b->sim, ns);
    b->now += ns;
    b->in_turn = 1;
    model_timeouts(b);
    weir_turn(b->rt);
    b->in_turn = 0;
    EXPECT(b, b->n_ready == 0);
}

static void apply(bed *b, const op *o)
{
    b->ops++;
    switch (o->what % 32) {
    default:
        op_acquire(b, o);
        break;
    case 13:
    case 14:
    case 15:
        op_try(b, o, 0);
        break;
    case 16:
    case 17:
    case 18:
    case 19:
    case 20:
        op_release(b, o);
        break;
    case 21:
    case 22:
    case 23:
        op_give_up(b, o, WEIR_CANCELED);
        break;
    case 24:
        op_give_up(b, o, WEIR_TIMEOUT);
        break;
    case 25:
        op_transfer(b, o);
        break;
    case 26:
    case 27:
    case 28:
        op_turn(b, o->t % 60);
        break;
    case 29:
        op_turn(b, 0);
        break;
    case 30:
        b->s.max_waiting = b->max_waiting = o->t % 2 ? UINT32_MAX : o->n % 4;
        break;
    case 31:
        if (o->t % 4 == 0)
            op_drain(b, o);
        else if (o->t % 4 == 1)
            op_close(b);
        else
            op_resize(b, o);
        break;
    }
}

/* The turn of a waiter: it must be the one the model expects, with the outcome it expects. */
static void on_turn(weir_runtime *rt, weir_waiter *waiter)
{
    slot *w = weir_container(waiter, slot, waiter);
    bed *b = w->bed;
    int i = (int)(w - b->slot);
    EXPECT(b, rt == b->rt && b->in_turn && b->n_ready > 0 && b->ready[0] == i);
    EXPECT(b, (weir_status)waiter->status == w->status);
    if (b->line != 0)
        return;
    model_remove(b->ready, &b->n_ready, i);
    if (w->status == WEIR_GRANTED && i < SLOTS)
        add_out(b, w->permit, w->n, w->holder);
    w->status = WEIR_IDLE;
    if (!b->ending && check_below(&b->r, 2) == 0) {
        op o;
        o.what = check_below(&b->r, 29);
        o.which = check_below(&b->r, 64);
        o.n = 1 + check_below(&b->r, 3);
        o.t = check_below(&b->r, 1000);
        apply(b, &o);
    }
}

static void compare(bed *b)
{
    const weir_semaphore_stats *is = &b->s.stats, *want = &b->stats;
    const weir_counters *n = weir_runtime_counters(b->rt);
    EXPECT(b, weir_semaphore_validate(&b->s) == 0);
    EXPECT(b, b->s.available == b->available && b->s.capacity == b->capacity);
    EXPECT(b, b->s.waiting == (uint32_t)b->n_queue);
    EXPECT(b, b->s.closed == b->closed && b->s.draining == b->draining);
    EXPECT(b, is->grants == want->grants && is->queued == want->queued);
    EXPECT(b, is->busy == want->busy && is->impossible == want->impossible);
    EXPECT(b, is->overload == want->overload && is->closes == want->closes);
    EXPECT(b, is->timeouts == want->timeouts);
    EXPECT(b, is->cancels == want->cancels);
    EXPECT(b, n->pending == (uint32_t)(b->n_queue + b->n_idle + PUPPETS));
    EXPECT(b, n->ready == (uint32_t)b->n_ready);
    for (int i = 0; i < SLOTS + DRAINS; i++)
        if (b->slot[i].status != WEIR_IDLE)
            EXPECT(b, (weir_status)b->slot[i].waiter.status == b->slot[i].status);
}

/* --- a sequence ------------------------------------------------------------------------------- */

static void forget(weir_runtime *rt, weir_waiter *w)
{
    (void)rt;
    (void)w;
}

static const weir_wait_ops parked = {"test:park", forget, NULL, NULL, NULL};

static void puppet(weir_runtime *rt, weir_task *t)
{
    if (t->wait.ops == &parked)
        weir_task_finish(rt, t, WEIR_TASK_DONE);
    else
        weir_waiter_begin(rt, &t->wait, &parked, NULL, WEIR_FOREVER);
}

static void bed_init(bed *b, weir_simulator *sim, int64_t capacity)
{
    b->sim = sim;
    b->rt = weir_runtime_new(weir_simulator_env(sim));
    assert_non_null(b->rt);
    b->now = weir_now(b->rt);
    b->capacity = b->available = capacity;
    b->max_waiting = UINT32_MAX;
    CHECK_OK(weir_semaphore_init(b->rt, &b->s, capacity, "s"));
    for (int i = 0; i < PUPPETS; i++)
        CHECK_OK(weir_task_spawn(b->rt, &b->puppet[i], weir_root(b->rt), puppet, 0));
    for (int i = 0; i < SLOTS + DRAINS; i++) {
        b->slot[i].bed = b;
        weir_waiter_init(&b->slot[i].waiter, on_turn);
    }
    weir_turn(b->rt);
}

/* Give everything up; whatever a puppet still holds is a leak that its end repairs. */
static void bed_fini(bed *b)
{
    unsigned leaks = 0;
    b->ending = 1;
    for (int i = 0; i < SLOTS + DRAINS && b->line == 0; i++) {
        op o = {0, (uint32_t)i, 0, 0};
        op_give_up(b, &o, WEIR_CANCELED);
        compare(b);
    }
    while (b->line == 0 && b->n_ready > 0)
        op_turn(b, 0);
    for (unsigned i = b->n_out; i-- > 0 && b->line == 0;) {
        op o = {0, i, 0, 0};
        leaks += b->out[i].holder >= 0;
        if (b->out[i].holder < 0)
            op_release(b, &o);
    }
    if (b->line == 0) {
        for (int i = 0; i < PUPPETS; i++)
            weir_waiter_settle(b->rt, &b->puppet[i].wait, WEIR_GRANTED);
        b->in_turn = 1;
        b->n_ready = 0;
        weir_turn(b->rt);
        while (weir_turn(b->rt) > 0)
            ;
        EXPECT(b, weir_runtime_counters(b->rt)->leaks == leaks);
        EXPECT(b, b->s.available == b->s.capacity && b->s.waiting == 0);
        EXPECT(b, weir_semaphore_validate(&b->s) == 0 && weir_runtime_validate(b->rt) == 0);
        EXPECT(b, weir_runtime_quiesce(b->rt) == NULL);
    }
}

typedef struct plan {
    uint64_t seed;
    int64_t capacity;
} plan;

static int run_sequence(const void *ops, size_t n, void *ctx)
{
    plan *pl = ctx;
    weir_simulator *sim = weir_simulator_new(WEIR_PLAN_FIFO, pl->seed);
    bed b = {.r = {pl->seed}};
    assert_non_null(sim);
    bed_init(&b, sim, pl->capacity);
    for (size_t i = 0; i < n && b.line == 0; i++) {
        apply(&b, (const op *)ops + i);
        compare(&b);
    }
    if (b.line == 0)
        bed_fini(&b);
    check_figure("ops", b.ops);
    if (b.line == 0) {
        weir_semaphore_fini(&b.s);
        weir_runtime_free(b.rt);
        EXPECT(&b, weir_simulator_bytes(sim) == 0);
        weir_simulator_free(sim);
    }
    return b.line;
}

static const char *op_name(uint32_t what)
{
    what %= 32;
    return what < 13   ? "acquire"
           : what < 16 ? "try"
           : what < 21 ? "release"
           : what < 24 ? "cancel"
           : what < 25 ? "time out"
           : what < 26 ? "transfer"
           : what < 30 ? "turn"
           : what < 31 ? "max_waiting"
                       : "drain, close or resize";
}

static void draw(void *ctx, check_random *r)
{
    plan *pl = ctx;
    pl->seed = check_random_next(r);
    pl->capacity = 1 + check_below(r, 5);
}

static void draw_op(const void *ctx, check_random *r, void *out)
{
    const plan *pl = ctx;
    uint32_t most = (uint32_t)pl->capacity + (check_below(r, 8) == 0); /* sometimes 1 more */
    op *o = out;
    o->what = check_below(r, 32);
    o->which = check_below(r, 64);
    o->n = check_below(r, most + 1);
    o->t = check_below(r, 1000);
}

static void print_plan(const void *ctx)
{
    const plan *pl = ctx;
    print_error("capacity %d, seed %llu\n", (int)pl->capacity, (unsigned long long)pl->seed);
}

static void print_op(const void *one)
{
    const op *o = one;
    print_error("  %s which %u n %u t %u\n", op_name(o->what), o->which, o->n, o->t);
}

static const check_model semaphore_model = {
    .name = "semaphore_model",
    .file = __FILE__,
    .stream = 10,
    .sequences = 300000,
    .ops = OPS,
    .op_size = sizeof(op),
    .plan_size = sizeof(plan),
    .draw = draw,
    .draw_op = draw_op,
    .run = run_sequence,
    .print = print_plan,
    .print_op = print_op,
};

CHECK_MODEL_MAIN(semaphore_model)
