/* semaphore_order_test.c - bypass, priority, ageing, split and merge against a reference model.
 *
 * The model is a list of requests and loops over it. After every operation the runtime takes its
 * turns, and what was settled, in which order and how, is compared, with free permits, statistics
 * and the laws that bound overtaking: a head is passed at most `bypass` times, and nobody goes
 * before an older request but one that its priority entitles to. What the options do not touch
 * (turns, drains, memory, tasks) is semaphore_model_test's.
 */
#include <weir/list.h>
#include <weir/semaphore.h>

#include "check.h"

#define SLOTS 10
#define IDLERS 2 /* idle and resized, numbered after the slots */
#define PERMITS 64
#define OPS 60
#define AGING 20 /* ns for a level */

typedef struct slot {
    weir_waiter waiter;
    struct bed *bed;
    weir_permit *permit;
    /* the model: */
    int waits; /* 0, or its place in the order of arrival */
    uint32_t n, passed;
    int64_t priority, at;
} slot;

typedef struct bed {
    weir_simulator *sim;
    weir_runtime *rt;
    weir_semaphore s;
    slot slot[SLOTS + IDLERS];
    weir_permit *out[PERMITS];
    unsigned n_out;
    int line, arrivals;
    /* the model: */
    int order;
    int64_t capacity, available, last_at;
    uint32_t bypass;
    uint64_t passes, grants;
    int settled[SLOTS + IDLERS], status[SLOTS + IDLERS], n_settled, n_seen;
} bed;

typedef struct op {
    uint32_t what, which, n, t;
} op;

#define EXPECT(b, cond)                                                                            \
    do {                                                                                           \
        if (!(cond) && (b)->line == 0)                                                             \
            (b)->line = __LINE__;                                                                  \
    } while (0)

/* --- the model --------------------------------------------------------------------------- */

/* Does request `a` come before `b`? By what each has, at one and the same moment. */
static int comes_before(const bed *b, int64_t pa, int64_t at_a, int64_t pb, int64_t at_b)
{
    int64_t now = 1000000;
    int64_t has_a = pa * AGING + (now - at_a), has_b = pb * AGING + (now - at_b);
    if (b->order == WEIR_ORDER_PRIORITY && has_a != has_b)
        return has_a > has_b;
    return at_a < at_b;
}

static int model_head(const bed *b)
{
    int head = -1;
    for (int i = 0; i < SLOTS; i++) {
        const slot *w = &b->slot[i], *h = head < 0 ? NULL : &b->slot[head];
        if (w->waits && (h == NULL || comes_before(b, w->priority, w->at, h->priority, h->at)))
            head = i;
    }
    return head;
}

static int model_first_that_fits(const bed *b)
{
    int first = -1;
    for (int i = 0; i < SLOTS; i++) {
        const slot *w = &b->slot[i], *f = first < 0 ? NULL : &b->slot[first];
        if (w->waits && w->n <= b->available &&
            (f == NULL || comes_before(b, w->priority, w->at, f->priority, f->at)))
            first = i;
    }
    return first;
}

static void model_settle(bed *b, int i, weir_status status)
{
    b->slot[i].waits = 0;
    b->settled[b->n_settled] = i;
    b->status[b->n_settled++] = status;
}

/* `i` goes although `head` does not: a head that is still passed too often breaks the law. */
static void model_grant(bed *b, int i, int head)
{
    if (i != head) {
        EXPECT(b, ++b->slot[head].passed <= b->bypass);
        b->passes++;
    }
    b->available -= b->slot[i].n;
    b->grants++;
    model_settle(b, i, WEIR_GRANTED);
    for (int j = 0; j < SLOTS && i == head; j++) { /* the bound of ageing */
        const slot *older = &b->slot[j], *w = &b->slot[i];
        if (older->waits && older->at < w->at)
            EXPECT(b, w->at - older->at <= (w->priority - older->priority) * AGING);
    }
}

static void model_serve(bed *b)
{
    for (int head; (head = model_head(b)) >= 0;) {
        if (b->slot[head].n <= b->available) {
            model_grant(b, head, head);
            continue;
        }
        int i = model_first_that_fits(b);
        if (i < 0 || b->slot[head].passed >= b->bypass)
            break;
        model_grant(b, i, head);
    }
    int first = SLOTS + (b->slot[SLOTS].waits > b->slot[SLOTS + 1].waits);
    for (int k = 0, i = first; k < IDLERS; k++, i = 2 * SLOTS + 1 - i)
        if (b->slot[i].waits && b->available >= (i == SLOTS ? b->capacity : 0))
            model_settle(b, i, WEIR_GRANTED);
}

static int64_t model_next_at(const bed *b)
{
    int64_t now = (int64_t)weir_now(b->rt);
    return now > b->last_at ? now : b->last_at + 1;
}

/* 1: goes at once; it passes `*passed`, or nobody (-1). */
static int model_goes(const bed *b, uint32_t n, int64_t priority, int *passed)
{
    int head = model_head(b);
    *passed = -1;
    if (n > b->available)
        return 0;
    if (head < 0)
        return 1;
    const slot *h = &b->slot[head];
    if (b->order == WEIR_ORDER_PRIORITY &&
        comes_before(b, priority, model_next_at(b), h->priority, h->at))
        return 1;
    *passed = head;
    return h->passed < b->bypass;
}

static void model_arrive(bed *b, uint32_t n, int passed)
{
    b->available -= n;
    b->grants++;
    if (passed >= 0) {
        b->passes++;
        b->slot[passed].passed++;
    }
}

static void model_rank(bed *b, slot *w, int64_t priority)
{
    int arrived = w->waits, led = model_head(b) == (int)(w - b->slot);
    w->waits = 0;
    int old = model_head(b);
    w->priority = priority;
    if (b->order == WEIR_ORDER_PRIORITY)
        w->at = b->last_at = model_next_at(b);
    else
        w->at = b->arrivals + 1;
    if (arrived == 0)
        w->passed = 0;
    w->waits = arrived != 0 ? arrived : ++b->arrivals;
    /* A new head takes over how often the one before it was passed; one that led keeps its own. */
    if (b->order == WEIR_ORDER_PRIORITY && old >= 0 && !led &&
        model_head(b) == (int)(w - b->slot) && b->slot[old].passed > w->passed)
        w->passed = b->slot[old].passed;
}

/* --- operations, on both -------------------------------------------------------------------- */

static void op_try(bed *b, uint32_t n, int64_t priority)
{
    weir_permit *p = NULL;
    int passed, want = n > b->capacity ? WEIR_EIMPOSSIBLE : WEIR_EBUSY;
    if (b->n_out + SLOTS >= PERMITS)
        return;
    if (n <= b->capacity && model_goes(b, n, priority, &passed)) {
        want = 0;
        model_arrive(b, n, passed);
    }
    EXPECT(b, weir_semaphore_take_ranked(&b->s, NULL, n, (int32_t)priority, &p) == want);
    if (want == 0 && p != NULL)
        b->out[b->n_out++] = p;
}

static void op_acquire(bed *b, uint32_t which, uint32_t n, int64_t priority)
{
    slot *w = &b->slot[which % SLOTS];
    int passed, rc;
    if (w->waiter.status != WEIR_IDLE || n > b->capacity || b->n_out + SLOTS >= PERMITS)
        return;
    w->n = n;
    if (model_goes(b, n, priority, &passed)) {
        model_arrive(b, n, passed);
        b->settled[b->n_settled] = (int)(w - b->slot);
        b->status[b->n_settled++] = WEIR_GRANTED;
    } else {
        model_rank(b, w, priority);
    }
    rc = weir_semaphore_acquire_ranked(&b->s, NULL, n, (int32_t)priority, &w->waiter, WEIR_FOREVER,
                                       &w->permit);
    EXPECT(b, rc == 0);
}

static void op_release(bed *b, uint32_t which)
{
    if (b->n_out == 0)
        return;
    weir_permit *p = b->out[which %= b->n_out];
    b->out[which] = b->out[--b->n_out];
    b->available += p->n;
    model_serve(b);
    weir_permit_release(p);
}

static void op_cancel(bed *b, uint32_t which)
{
    int i = (int)(which % (SLOTS + IDLERS));
    slot *w = &b->slot[i];
    if (w->waits) {
        w->waits = 0;
        model_serve(b);
        model_settle(b, i, WEIR_CANCELED);
    }
    weir_waiter_give_up(b->rt, &w->waiter, WEIR_CANCELED);
}

static void op_set_priority(bed *b, uint32_t which, int64_t priority)
{
    slot *w = &b->slot[which % SLOTS];
    int want = w->waits && b->order == WEIR_ORDER_PRIORITY ? 0 : WEIR_EINVAL;
    if (want == 0) {
        model_rank(b, w, priority);
        model_serve(b);
    }
    EXPECT(b, weir_semaphore_set_priority(&b->s, &w->waiter, (int32_t)priority) == want);
}

static void op_resize(bed *b, int64_t capacity)
{
    b->available += capacity - b->capacity;
    b->capacity = capacity;
    for (int k = 1; k <= b->arrivals; k++)
        for (int i = 0; i < SLOTS; i++)
            if (b->slot[i].waits == k && b->slot[i].n > capacity)
                model_settle(b, i, WEIR_IMPOSSIBLE);
    model_serve(b);
    EXPECT(b, weir_semaphore_resize(&b->s, capacity) == 0);
}

static void op_split(bed *b, uint32_t which, uint32_t n)
{
    weir_permit *part = NULL;
    if (b->n_out == 0 || b->n_out + SLOTS >= PERMITS)
        return;
    weir_permit *p = b->out[which % b->n_out];
    uint32_t whole = p->n;
    int want = n > 0 && n < whole ? 0 : WEIR_EINVAL;
    EXPECT(b, weir_permit_split(p, n, &part) == want);
    if (want == 0 && part != NULL) {
        EXPECT(b, part->n == n && p->n == whole - n && part->since == p->since);
        b->out[b->n_out++] = part;
    }
}

static void op_merge(bed *b, uint32_t which, uint32_t other)
{
    if (b->n_out == 0)
        return;
    weir_permit *p = b->out[which % b->n_out], *q = b->out[other %= b->n_out];
    uint32_t sum = p->n + q->n;
    EXPECT(b, weir_permit_merge(p, q) == (p == q ? WEIR_EINVAL : 0));
    if (p != q) {
        EXPECT(b, p->n == sum);
        b->out[other] = b->out[--b->n_out];
    }
}

static void op_idle(bed *b, uint32_t which)
{
    slot *w = &b->slot[SLOTS + which % IDLERS];
    if (w->waiter.status != WEIR_IDLE)
        return;
    w->waits = ++b->arrivals;
    if (which % IDLERS == 0)
        weir_semaphore_idle(&b->s, &w->waiter, WEIR_FOREVER);
    else
        weir_semaphore_resized(&b->s, &w->waiter, WEIR_FOREVER);
    model_serve(b);
}

static void on_turn(weir_runtime *rt, weir_waiter *waiter)
{
    slot *w = weir_container(waiter, slot, waiter);
    bed *b = w->bed;
    int i = (int)(w - b->slot);
    (void)rt;
    EXPECT(b, b->n_seen < b->n_settled && b->settled[b->n_seen] == i);
    EXPECT(b, b->line != 0 || b->status[b->n_seen] == waiter->status);
    b->n_seen++;
    if (waiter->status == WEIR_GRANTED && i < SLOTS)
        b->out[b->n_out++] = w->permit;
    waiter->status = WEIR_IDLE;
}

static void apply(bed *b, const op *o)
{
    int64_t priority = (int64_t)(o->t % 5) - 2;
    switch (o->what % 16) {
    default:
        op_acquire(b, o->which, o->n, priority);
        break;
    case 6:
        op_try(b, o->n, priority);
        break;
    case 7:
    case 8:
    case 9:
        op_release(b, o->which);
        break;
    case 10:
        op_cancel(b, o->which);
        break;
    case 11:
        op_set_priority(b, o->which, priority);
        break;
    case 12:
        op_resize(b, 1 + o->t % 5);
        break;
    case 13:
        op_split(b, o->which, o->n - 1);
        break;
    case 14:
        op_merge(b, o->which, o->t);
        break;
    case 15:
        op_idle(b, o->which);
        break;
    }
    b->n_seen = 0;
    weir_simulator_advance(b->sim, o->t % 3 == 0 ? 0 : o->t % 31);
    weir_turn(b->rt);
    EXPECT(b, b->n_seen == b->n_settled);
    b->n_settled = 0;
}

static void compare(bed *b)
{
    uint32_t waiting = 0;
    int64_t wanted = 0;
    for (int i = 0; i < SLOTS; i++) {
        waiting += b->slot[i].waits != 0;
        wanted += b->slot[i].waits ? b->slot[i].n : 0;
    }
    EXPECT(b, weir_semaphore_validate(&b->s) == 0);
    EXPECT(b, b->s.available == b->available && b->s.waiting == waiting);
    EXPECT(b, b->s.wanted == wanted && b->s.held == b->n_out);
    EXPECT(b, b->s.stats.passes == b->passes && b->s.stats.grants == b->grants);
}

/* --- sequences ------------------------------------------------------------------------------ */

typedef struct plan {
    uint64_t seed;
    int64_t capacity;
    uint32_t bypass;
    int order;
    uint64_t passes, grants;
} plan;

static int run_sequence(const void *ops, size_t n, void *ctx)
{
    plan *pl = ctx;
    bed b = {.order = pl->order, .bypass = pl->bypass, .capacity = pl->capacity};
    b.sim = weir_simulator_new(WEIR_PLAN_FIFO, pl->seed);
    assert_non_null(b.sim);
    b.rt = weir_runtime_new(weir_simulator_env(b.sim));
    assert_non_null(b.rt);
    b.available = b.capacity;
    CHECK_OK(weir_semaphore_init(b.rt, &b.s, b.capacity, "s"));
    CHECK_OK(weir_semaphore_set_order(&b.s, (weir_order)b.order, AGING));
    b.s.bypass = b.bypass;
    for (int i = 0; i < SLOTS + IDLERS; i++) {
        b.slot[i].bed = &b;
        weir_waiter_init(&b.slot[i].waiter, on_turn);
    }
    for (size_t i = 0; i < n && b.line == 0; i++) {
        apply(&b, (const op *)ops + i);
        compare(&b);
    }
    for (uint32_t i = 0; i < SLOTS + IDLERS && b.line == 0; i++) {
        op cancel = {10, i, 0, 0};
        apply(&b, &cancel);
        compare(&b);
    }
    while (b.n_out > 0 && b.line == 0) {
        op release = {7, 0, 0, 0};
        apply(&b, &release);
        compare(&b);
    }
    EXPECT(&b, b.line != 0 || weir_runtime_quiesce(b.rt) == NULL);
    pl->passes += b.passes;
    pl->grants += b.grants;
    if (b.line == 0) {
        weir_semaphore_fini(&b.s);
        weir_runtime_free(b.rt);
        EXPECT(&b, weir_simulator_bytes(b.sim) == 0);
        weir_simulator_free(b.sim);
    }
    return b.line;
}

static void random_sequences_match_the_model(void **state)
{
    check_random r = {check_seed(11)};
    uint32_t sequences = check_scaled(60000);
    plan pl = {0};
    op ops[OPS];
    (void)state;
    for (uint32_t s = 0; s < sequences; s++) {
        pl.seed = check_random_next(&r);
        pl.capacity = 1 + check_below(&r, 5);
        pl.bypass = check_below(&r, 4);
        pl.order = (int)check_below(&r, 3) == 0 ? WEIR_ORDER_FIFO : WEIR_ORDER_PRIORITY;
        for (size_t i = 0; i < OPS; i++) {
            ops[i].what = check_below(&r, 16);
            ops[i].which = check_below(&r, 64);
            ops[i].n = 1 + check_below(&r, 4);
            ops[i].t = check_below(&r, 1000);
        }
        if (run_sequence(ops, OPS, &pl) == 0)
            continue;
        size_t n = check_shrink(ops, OPS, sizeof ops[0], run_sequence, &pl);
        print_error("capacity %d bypass %u order %d\n", (int)pl.capacity, pl.bypass, pl.order);
        for (size_t i = 0; i < n; i++)
            print_error("  what %u which %u n %u t %u\n", ops[i].what % 16, ops[i].which, ops[i].n,
                        ops[i].t);
        check_fail(__FILE__, run_sequence(ops, n, &pl), "sequence %u", s);
    }
    check_figure("sequences", sequences);
    check_figure("ops", (uint64_t)sequences * OPS);
    check_figure("passes", pl.passes);
    check_figure("grants", pl.grants);
}

/* --- one thing at a time -------------------------------------------------------------------- */

static void ignore(weir_runtime *rt, weir_waiter *w)
{
    (void)rt;
    w->status = WEIR_IDLE;
}

typedef struct bare {
    weir_simulator *sim;
    weir_runtime *rt;
    weir_semaphore s;
    weir_waiter w[8];
    weir_permit *p[8];
} bare;

static void bare_init(bare *b, int64_t capacity)
{
    *b = (bare){.sim = weir_simulator_new(WEIR_PLAN_FIFO, 1)};
    b->rt = weir_runtime_new(weir_simulator_env(b->sim));
    assert_non_null(b->rt);
    CHECK_OK(weir_semaphore_init(b->rt, &b->s, capacity, NULL));
    for (int i = 0; i < 8; i++)
        weir_waiter_init(&b->w[i], ignore);
}

static void bare_fini(bare *b)
{
    while (weir_turn(b->rt) > 0)
        ;
    weir_semaphore_fini(&b->s);
    CHECK_QUIET(b->rt);
    weir_runtime_free(b->rt);
    weir_simulator_free(b->sim);
}

/* A walk for somebody who fits is made only if somebody may: the bound it goes by is made exact by
 * a walk in vain, or each release would cost the whole queue. */
static void a_walk_in_vain_is_made_once(void **state)
{
    bare one, *b = &one;
    static const uint32_t weights[] = {6, 1, 4, 5};
    (void)state;
    bare_init(b, 6);
    b->s.bypass = 9;
    for (int i = 4; i < 8; i++)
        CHECK_OK(weir_semaphore_try(&b->s, NULL, i < 6 ? 2 : 1, &b->p[i]));
    for (int i = 0; i < 4; i++)
        CHECK_OK(weir_semaphore_acquire(&b->s, NULL, weights[i], &b->w[i], WEIR_FOREVER, &b->p[i]));
    CHECK_INT(b->s.lightest, 1);
    CHECK_INT(weir_waiter_give_up(b->rt, &b->w[1], WEIR_CANCELED), 1);
    CHECK_INT(b->s.lightest, 1); /* a bound, and not exact */
    weir_permit_release(b->p[4]);
    CHECK_INT(b->s.lightest, 4);
    CHECK_INT(b->s.stats.passes, 0);
    weir_permit_release(b->p[5]);
    CHECK_INT(b->s.stats.passes, 1);
    weir_semaphore_close(&b->s);
    weir_turn(b->rt);
    weir_permit_release(b->p[2]);
    weir_permit_release(b->p[6]);
    weir_permit_release(b->p[7]);
    bare_fini(b);
}

static void wrong_calls_change_nothing(void **state)
{
    bare one, *b = &one;
    weir_semaphore other;
    weir_permit *p = NULL;
    (void)state;
    bare_init(b, 4);
    CHECK_OK(weir_semaphore_init(b->rt, &other, 1, NULL));
    CHECK_ERR(weir_semaphore_set_order(&b->s, WEIR_ORDER_PRIORITY, 0), WEIR_EINVAL);
    CHECK_OK(weir_semaphore_set_order(&b->s, WEIR_ORDER_PRIORITY, WEIR_FOREVER));
    CHECK_OK(weir_semaphore_try(&b->s, NULL, 4, &b->p[0]));
    CHECK_OK(weir_semaphore_try(&other, NULL, 1, &b->p[1]));
    CHECK_OK(weir_semaphore_acquire(&b->s, NULL, 1, &b->w[2], WEIR_FOREVER, &b->p[2]));
    CHECK_ERR(weir_semaphore_set_order(&b->s, WEIR_ORDER_FIFO, 1), WEIR_EINVAL);
    CHECK_ERR(weir_semaphore_set_priority(&other, &b->w[2], 1), WEIR_EINVAL);
    CHECK_ERR(weir_semaphore_set_priority(&b->s, &b->w[3], 1), WEIR_EINVAL);
    CHECK_ERR(weir_permit_split(b->p[0], 0, &p), WEIR_EINVAL);
    CHECK_ERR(weir_permit_split(b->p[0], 4, &p), WEIR_EINVAL);
    CHECK_ERR(weir_permit_split(b->p[2], 1, &p), WEIR_EINVAL); /* it waits */
    CHECK_ERR(weir_permit_merge(b->p[0], b->p[0]), WEIR_EINVAL);
    CHECK_ERR(weir_permit_merge(b->p[0], b->p[1]), WEIR_EINVAL);
    CHECK_ERR(weir_permit_merge(b->p[0], b->p[2]), WEIR_EINVAL);
    CHECK(p == NULL);
    CHECK_INT(weir_semaphore_validate(&b->s), 0);
    CHECK_INT(weir_semaphore_validate(&other), 0);
    weir_permit_release(b->p[0]);
    weir_turn(b->rt);
    weir_permit_release(b->p[2]);
    weir_permit_release(b->p[1]);
    weir_semaphore_fini(&other);
    bare_fini(b);
}

int main(void)
{
    const struct CMUnitTest semaphore_order[] = {
        cmocka_unit_test(random_sequences_match_the_model),
        cmocka_unit_test(a_walk_in_vain_is_made_once),
        cmocka_unit_test(wrong_calls_change_nothing),
    };
    return CHECK_MAIN(semaphore_order);
}
