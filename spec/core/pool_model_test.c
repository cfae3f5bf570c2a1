/* pool_model_test.c - the pool against a reference model, under random operations.
 *
 * After every operation everything visible is compared: statuses, order of turns, where each
 * resource is and in which order those idle are, which operations were begun, statistics, times,
 * handles of failures. Operations also come from inside the turns of waiters. The laws (every state
 * counts, nobody waits while one is fit, `min` comes back by itself, one settlement each) are what
 * the model does, so a difference is a broken law.
 */
#include "pool_model.h"
#include "sequences.h"

#define OPS 60
#define UNIT 4096 /* ns; times are a few of them, and some: no two are the same */

typedef enum op_kind {
    OP_ACQUIRE,
    OP_TAKE,
    OP_RELEASE,
    OP_SUSPECT,
    OP_DISCARD,
    OP_TRANSFER,
    OP_CANCEL,
    OP_TIME_OUT,
    OP_ANSWER,
    OP_TURN,
    OP_RESIZE,
    OP_EVICT,
    OP_END,
    OP_CLOSE
} op_kind;

static const struct {
    const char *name;
    uint32_t share; /* of a thousand */
} kinds[] = {{"acquire", 220}, {"take", 60},   {"release", 160}, {"suspect", 30}, {"discard", 20},
             {"transfer", 10}, {"cancel", 60}, {"time out", 10}, {"answer", 190}, {"turn", 200},
             {"resize", 22},   {"evict", 8},   {"end", 5},       {"close", 5}};

typedef struct op {
    uint32_t what, which, n, t;
} op;

/* --- operations, on both ------------------------------------------------------------- */

static weir_task *holder_of(bed *b, int holder)
{
    return holder < 0 ? NULL : &b->puppet[holder];
}

static void add_out(bed *b, weir_lease *lease, int resource, int holder)
{
    EXPECT(b, lease->resource == b->resource[resource].r && lease->of == &b->p);
    EXPECT(b, lease->hold.holder == holder_of(b, holder));
    b->out[b->n_out++] = (held){lease, resource, holder};
}

static int op_take(bed *b, const op *o, int counted)
{
    weir_lease *lease = NULL;
    int holder = (int)(o->t % (PUPPETS + 1)) - 1;
    if (b->n_out + SLOTS >= LEASES)
        return WEIR_EOVERLOAD;
    int want = pool_model_refuse(b), i = want == 0 ? pool_model_at_once(b) : -1;
    if (want == 0 && i < 0) {
        want = WEIR_EBUSY;
        b->stats.busy += counted != 0;
    }
    if (want == 0)
        pool_model_lend(b, i);
    int rc = weir_pool_take(&b->p, holder_of(b, holder), counted, &lease);
    EXPECT(b, rc == want);
    if (rc == 0 && b->line == 0)
        add_out(b, lease, i, holder);
    return rc;
}

static void op_acquire(bed *b, const op *o)
{
    int i = (int)(o->which % SLOTS), holder = (int)(o->t % (PUPPETS + 1)) - 1;
    slot *w = &b->slot[i];
    if (w->status != WEIR_IDLE || b->n_out + SLOTS >= LEASES)
        return;
    if (o->which % 2 == 0 && op_take(b, o, 0) != WEIR_EBUSY)
        return;
    int want = pool_model_refuse(b), now = want == 0 ? pool_model_at_once(b) : -1;
    uint32_t in_line = (uint32_t)b->n_queue, checks = pool_model_checks(b);
    in_line -= checks < in_line ? checks : in_line;
    if (want == 0 && now < 0 && b->n_idle == 0 && in_line >= b->o.max_waiting) {
        want = WEIR_EOVERLOAD;
        b->stats.overload++;
    }
    w->holder = holder;
    w->due = o->t % 3 == 0 ? WEIR_FOREVER : b->now + o->t % 97 * UNIT / 2 + o->n % UNIT;
    w->order = ++b->orders;
    uint64_t due = w->due;
    if (want == 0 && now >= 0) {
        pool_model_lend(b, now);
        w->resource = now;
        pool_model_settle(b, i, WEIR_GRANTED);
    } else if (want == 0) {
        pool_model_queue(b, i);
        pool_model_go(b);
    }
    int rc = weir_pool_acquire(&b->p, holder_of(b, holder), &w->waiter, due, 0, &w->lease);
    EXPECT(b, rc == want);
}

static void op_give_back(bed *b, const op *o)
{
    int suspect = o->what == OP_SUSPECT;
    if (b->n_out == 0)
        return;
    unsigned at = o->which % b->n_out;
    held h = b->out[at];
    b->out[at] = b->out[--b->n_out];
    if (o->what != OP_DISCARD) {
        pool_model_release(b, h.resource, suspect);
        weir_lease_release(h.lease, suspect);
        return;
    }
    pool_model_end_loan(b, h.resource);
    pool_model_destroy(b, h.resource, b->ended ? WEIR_EVICTED_CLOSED : WEIR_EVICTED_DISCARDED);
    pool_model_go(b);
    weir_lease_discard(h.lease);
}

static void op_transfer(bed *b, const op *o)
{
    if (b->n_out == 0)
        return;
    held *h = &b->out[o->which % b->n_out];
    h->holder = (int)(o->t % (PUPPETS + 1)) - 1;
    weir_lease_transfer(h->lease, holder_of(b, h->holder));
    EXPECT(b, h->lease->hold.holder == holder_of(b, h->holder));
}

static void op_give_up(bed *b, const op *o, weir_status status)
{
    int i = (int)(o->which % WAITS);
    int want = pool_model_give_up(b, i, status);
    EXPECT(b, weir_waiter_give_up(b->rt, &b->slot[i].waiter, status) == want);
}

/* One of the operations on their way ends. */
static void op_answer(bed *b, const op *o)
{
    int found[RESOURCES], n = 0;
    for (unsigned i = 0; i < b->n_resources; i++) {
        weir_resource_state s = b->resource[i].state;
        if (b->resource[i].alive && s != WEIR_RESOURCE_IDLE && s != WEIR_RESOURCE_LEASED)
            found[n++] = (int)i;
    }
    if (n == 0)
        return;
    model_resource *m = &b->resource[found[o->which % (uint32_t)n]];
    weir_resource *r = m->r;
    model_call call = m->aborted                             ? CALL_ABORT
                      : m->state == WEIR_RESOURCE_CONNECTING ? CALL_CREATE
                                                             : CALL_CHECK;
    int is_good = pool_model_is_good(b, call, m->number);
    pool_model_answer(b, (int)(m - b->resource), is_good);
    pool_embed_answer(b, r, is_good);
}

static void op_end(bed *b, const op *o)
{
    int i = SLOTS + (int)(o->which % DRAINS), is_join = o->n % 2 == 1;
    slot *w = &b->slot[i];
    if (w->status != WEIR_IDLE)
        return;
    w->status = WEIR_PENDING;
    w->due = o->t % 2 ? WEIR_FOREVER : b->now + o->t % 97 * UNIT + o->n % UNIT;
    w->order = ++b->orders;
    uint64_t due = w->due;
    b->gone[b->n_gone++] = i;
    b->draining |= !is_join;
    pool_model_go(b);
    if (is_join)
        weir_pool_join(&b->p, &w->waiter, due);
    else
        weir_pool_drain(&b->p, &w->waiter, due);
}

static void op_resize(bed *b, const op *o)
{
    uint32_t max = 1 + o->t / 4 % 5, min = o->n % (max + 1);
    pool_model_resize(b, min, max);
    EXPECT(b, weir_pool_resize(&b->p, min, max) == 0);
}

static void op_turn(bed *b)
{
    if (b->in_turn)
        return;
    b->in_turn = 1;
    pool_model_timers(b);
    weir_turn(b->rt);
    b->in_turn = 0;
    EXPECT(b, b->n_ready == 0);
}

/* Nothing else moves the clock: no two things done outside turns have one time. */
static void pass(bed *b, uint64_t ns)
{
    weir_simulator_advance(b->sim, ns);
    b->now += ns;
    weir_now_update(b->rt);
}

static void apply(bed *b, const op *o)
{
    if (!b->in_turn)
        pass(b, 1 + o->t % (o->what == OP_TURN ? 40 * UNIT : 4 * UNIT));
    b->ops++;
    b->n_expected = b->n_seen = 0;
    switch ((op_kind)o->what) {
    case OP_ACQUIRE:
        op_acquire(b, o);
        break;
    case OP_TAKE:
        op_take(b, o, 1);
        break;
    case OP_RELEASE:
    case OP_SUSPECT:
    case OP_DISCARD:
        op_give_back(b, o);
        break;
    case OP_TRANSFER:
        op_transfer(b, o);
        break;
    case OP_CANCEL:
        op_give_up(b, o, WEIR_CANCELED);
        break;
    case OP_TIME_OUT:
        op_give_up(b, o, WEIR_TIMEOUT);
        break;
    case OP_ANSWER:
        op_answer(b, o);
        break;
    case OP_TURN:
        op_turn(b);
        break;
    case OP_RESIZE:
        op_resize(b, o);
        break;
    case OP_EVICT:
        pool_model_evict(b);
        weir_pool_evict(&b->p);
        break;
    case OP_END:
        op_end(b, o);
        break;
    default:
        pool_model_close(b);
        weir_pool_close(&b->p);
        break;
    }
}

static op draw_op(check_random *r)
{
    op o = {0, check_below(r, 64), check_below(r, 1u << 20), check_below(r, 1u << 20)};
    uint32_t at = check_below(r, 1000);
    while (at >= kinds[o.what].share)
        at -= kinds[o.what++].share;
    return o;
}

/* The turn of a waiter: it must be the one the model expects, with the outcome it expects. */
static void on_turn(weir_runtime *rt, weir_waiter *waiter)
{
    slot *w = weir_container(waiter, slot, waiter);
    bed *b = w->bed;
    int i = (int)(w - b->slot);
    EXPECT(b, rt == b->rt && b->in_turn && b->n_ready > 0 && b->ready[0] == i);
    EXPECT(b, (weir_status)waiter->status == w->status && b->n_seen == b->n_expected);
    if (b->line != 0)
        return;
    pool_model_remove(b->ready, &b->n_ready, i);
    if (w->status == WEIR_GRANTED && i < SLOTS)
        add_out(b, w->lease, w->resource, w->holder);
    if (w->status == WEIR_FAILED) {
        EXPECT(b, w->lease->rc == w->rc && (w->lease->failure != 0) == w->has_failure);
        b->n_failed_out -= w->has_failure;
        weir_lease_forget(w->lease);
    }
    w->status = WEIR_IDLE;
    if (!b->ending && check_below(&b->r, 2) == 0) {
        op o = draw_op(&b->r);
        apply(b, &o);
    }
}

static void compare_resources(bed *b)
{
    unsigned alive = 0;
    int at = 0;
    for (unsigned i = 0; i < b->n_resources; i++) {
        const model_resource *m = &b->resource[i];
        if (!m->alive)
            continue;
        alive++;
        EXPECT(b, m->r != NULL && m->r->state == m->state && m->r->aborted == m->aborted);
        EXPECT(b, m->r->since == m->since && m->r->uses == m->uses);
        EXPECT(b, (m->r->doomed != 0) == m->doomed || m->state == WEIR_RESOURCE_CLOSING);
        if (m->state == WEIR_RESOURCE_LEASED)
            EXPECT(b, m->r->lease->reported == m->reported && m->r->lease->since == m->lent);
        if (m->state == WEIR_RESOURCE_IDLE || m->state == WEIR_RESOURCE_LEASED)
            EXPECT(b, m->r->used == m->used && m->r->retire == m->retire);
    }
    EXPECT(b, alive == b->p.n_connecting + b->p.n_idle + b->p.n_checking + b->p.n_leased +
                           b->p.n_closing);
    EXPECT(b, (int)b->p.n_idle == b->n_idle);
    for (weir_link *k = weir_list_first(&b->p.idle); k && b->line == 0;
         k = weir_list_next(&b->p.idle, k))
        EXPECT(b, weir_container(k, weir_resource, link) == b->resource[b->idle[at++]].r);
}

static void compare(bed *b)
{
    const weir_pool_stats *is = &b->p.stats, *want = &b->stats;
    const weir_counters *n = weir_runtime_counters(b->rt);
    EXPECT(b, b->n_seen == b->n_expected);
    EXPECT(b, weir_pool_validate(&b->p) == 0);
    compare_resources(b);
    EXPECT(b, b->p.waiting == (uint32_t)b->n_queue && b->p.wanted == b->wanted);
    EXPECT(b, b->p.open == b->open && b->p.doubt == b->doubt && b->p.ended == b->ended);
    EXPECT(b, b->p.failures == b->failures && b->p.barren == b->barren);
    EXPECT(b, b->p.cause_rc == b->cause_rc && (b->p.cause != 0) == b->cause);
    EXPECT(b, b->handles == (uint64_t)(b->cause + b->n_failed_out));
    EXPECT(b, (weir_timer_is_set(&b->p.dial) ? b->p.dial.deadline : WEIR_FOREVER) == b->dial_due);
    EXPECT(b, b->chance.state == b->foretold.state);
    EXPECT(b, is->grants == want->grants && is->queued == want->queued && is->busy == want->busy);
    EXPECT(b, is->overload == want->overload && is->shed == want->shed);
    EXPECT(b, is->closes == want->closes && is->open == want->open && is->failed == want->failed);
    EXPECT(b, is->timeouts == want->timeouts && is->cancels == want->cancels);
    EXPECT(b, is->created == want->created && is->create_failures == want->create_failures);
    EXPECT(b, is->create_timeouts == want->create_timeouts && is->checks == want->checks);
    EXPECT(b, is->check_failures == want->check_failures && is->destroyed == want->destroyed);
    EXPECT(b, is->elided == want->elided && is->leaks == want->leaks && b->leaks == want->leaks);
    EXPECT(b, is->hold.count == want->hold.count);
    EXPECT(b, memcmp(is->evicted, want->evicted, sizeof is->evicted) == 0);
    EXPECT(b, n->pending == (uint32_t)(b->n_queue + b->n_gone + PUPPETS));
    EXPECT(b, n->ready == (uint32_t)b->n_ready);
    for (int i = 0; i < WAITS; i++)
        if (b->slot[i].status != WEIR_IDLE)
            EXPECT(b, (weir_status)b->slot[i].waiter.status == b->slot[i].status);
}

/* --- a sequence ---------------------------------------------------------------------- */

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

/* `n` units and some, or none at all (0: for ever). */
static uint64_t span(check_random *r, uint32_t n)
{
    return n == 0 ? WEIR_FOREVER : (uint64_t)n * UNIT + check_below(r, UNIT);
}

static uint32_t one_of(check_random *r, uint32_t a, uint32_t b, uint32_t c, uint32_t d)
{
    const uint32_t all[] = {a, b, c, d};
    return all[check_below(r, 4)];
}

static void draw_options(bed *b, check_random *r)
{
    weir_pool_options o = weir_pool_defaults();
    o.max = 1 + check_below(r, 4);
    o.min = check_below(r, 2) * check_below(r, o.max + 1);
    o.max_waiting = one_of(r, UINT32_MAX, UINT32_MAX, 2, 0);
    o.max_uses = one_of(r, 0, 0, 0, 2);
    o.max_dials = one_of(r, 8, 8, 2, 1);
    o.open_after = one_of(r, 0, 1, 2, 3);
    o.lifo = check_below(r, 3) > 0;
    o.shed = one_of(r, 0, 0, 0, 1) * 0.7;
    o.create_timeout = span(r, one_of(r, 0, 0, 20, 60));
    o.check_timeout = span(r, one_of(r, 0, 0, 20, 60));
    o.destroy_timeout = span(r, one_of(r, 0, 0, 20, 60));
    o.check_idle = check_below(r, 4) == 0 ? 0 : span(r, one_of(r, 0, 5, 20, 60));
    o.keep_alive = span(r, one_of(r, 0, 0, 30, 90));
    o.idle_timeout = span(r, one_of(r, 0, 20, 60, 150));
    o.max_lifetime = span(r, one_of(r, 0, 0, 100, 300));
    o.jitter = check_below(r, 2) * 0.3;
    o.dial_stagger = check_below(r, 4) == 0 ? 0 : span(r, one_of(r, 3, 10, 30, 30));
    o.backoff = span(r, one_of(r, 1, 3, 10, 20));
    o.max_backoff = o.backoff * one_of(r, 1, 3, 5, 16);
    o.leak_after = span(r, one_of(r, 0, 0, 30, 60));
    b->o = o;
    b->has_check = check_below(r, 4) > 0;
    b->sync = one_of(r, 0, 20, 50, 100);
    b->fails = one_of(r, 0, 10, 40, 80);
    b->sick = one_of(r, 0, 10, 40, 90);
}

static void bed_init(bed *b, uint64_t seed)
{
    check_random r = {seed};
    b->sim = weir_simulator_new(WEIR_PLAN_FIFO, seed);
    assert_non_null(b->sim);
    weir_env env = pool_embed_env(b);
    b->rt = weir_runtime_new(&env);
    assert_non_null(b->rt);
    draw_options(b, &r);
    b->r.state = seed;
    b->chance.state = b->foretold.state = b->seed = check_random_next(&r);
    CHECK_OK(weir_pool_init(b->rt, &b->p, pool_embed_ops(b), &b->o, "p"));
    b->p.leaked = pool_embed_leaked;
    b->wanted = b->o.min;
    b->dial_due = b->o.min > 0 ? 0 : WEIR_FOREVER;
    for (int i = 0; i < PUPPETS; i++)
        CHECK_OK(weir_task_spawn(b->rt, &b->puppet[i], weir_root(b->rt), puppet, 0));
    for (int i = 0; i < WAITS; i++) {
        b->slot[i].bed = b;
        weir_waiter_init(&b->slot[i].waiter, on_turn);
    }
    op_turn(b);
}

static void finish_op(bed *b, op_kind what, unsigned which)
{
    op o = {what, which, 0, 0};
    apply(b, &o);
    compare(b);
}

/* The puppets end: what they hold is a leak that their end repairs. */
static unsigned end_puppets(bed *b)
{
    unsigned leaks = 0;
    b->n_expected = b->n_seen = 0;
    for (int i = 0; i < PUPPETS; i++) {
        const weir_list *list = &b->puppet[i].held;
        for (weir_link *k = weir_list_first(list); k != NULL;
             k = weir_list_next(list, k), leaks++) {
            const weir_lease *lease = (const weir_lease *)(const void *)k;
            pool_model_release(b, pool_embed_index(lease->resource), 1);
        }
        weir_waiter_settle(b->rt, &b->puppet[i].wait, WEIR_GRANTED);
    }
    while (weir_turn(b->rt) > 0)
        ;
    EXPECT(b, b->n_seen == b->n_expected);
    return leaks;
}

/* Close, let every operation end from inside its call, give everything back. */
static void bed_fini(bed *b)
{
    unsigned leaks = 0;
    b->ending = 1;
    b->sync = 100;
    finish_op(b, OP_CLOSE, 0);
    for (unsigned i = 0; i < WAITS && b->line == 0; i++)
        finish_op(b, OP_CANCEL, i);
    for (unsigned n = 1; n > 0 && b->line == 0;) {
        finish_op(b, OP_ANSWER, 0);
        n = pool_model_count(b, WEIR_RESOURCE_CONNECTING) +
            pool_model_count(b, WEIR_RESOURCE_CHECKING) +
            pool_model_count(b, WEIR_RESOURCE_CLOSING);
    }
    finish_op(b, OP_TURN, 0);
    for (unsigned i = b->n_out; i-- > 0 && b->line == 0;)
        if (b->out[i].holder < 0)
            finish_op(b, OP_RELEASE, i);
    if (b->line == 0)
        leaks = end_puppets(b);
    EXPECT(b, weir_runtime_counters(b->rt)->leaks == leaks);
    EXPECT(b, weir_pool_is_gone(&b->p) && weir_pool_validate(&b->p) == 0);
    if (b->line != 0)
        return;
    weir_pool_fini(&b->p);
    EXPECT(b, b->handles == 0);
    EXPECT(b, weir_runtime_validate(b->rt) == 0 && weir_runtime_quiesce(b->rt) == NULL);
}

typedef struct plan {
    uint64_t seed;
} plan;

static int run_sequence(const void *ops, size_t n, void *ctx)
{
    plan *pl = ctx;
    bed *b = calloc(1, sizeof *b);
    assert_non_null(b);
    bed_init(b, pl->seed);
    compare(b);
    for (size_t i = 0; i < n && b->line == 0; i++) {
        apply(b, (const op *)ops + i);
        compare(b);
    }
    if (b->line == 0)
        bed_fini(b);
    check_figure("ops", b->ops);
    int line = b->line;
    if (line == 0) {
        weir_runtime_free(b->rt);
        CHECK_INT(weir_simulator_bytes(b->sim), 0);
        weir_simulator_free(b->sim);
    }
    free(b);
    return line;
}

static void draw(void *ctx, check_random *r)
{
    plan *pl = ctx;
    pl->seed = check_random_next(r);
}

static void draw_one(const void *ctx, check_random *r, void *out)
{
    (void)ctx;
    *(op *)out = draw_op(r);
}

static void print_plan(const void *ctx)
{
    print_error("seed %llu\n", (unsigned long long)((const plan *)ctx)->seed);
}

static void print_op(const void *one)
{
    const op *o = one;
    print_error("  %s which %u n %u t %u\n", kinds[o->what].name, o->which, o->n, o->t);
}

static const check_model pool_model = {
    .name = "pool_model",
    .file = __FILE__,
    .stream = 80,
    .sequences = 150000,
    .ops = OPS,
    .op_size = sizeof(op),
    .plan_size = sizeof(plan),
    .draw = draw,
    .draw_op = draw_one,
    .run = run_sequence,
    .print = print_plan,
    .print_op = print_op,
};

CHECK_MODEL_MAIN(pool_model)
