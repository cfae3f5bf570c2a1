/* wheel_test.c - timers: the wheel against a reference that searches an array.
 *
 * The reference knows what weir/timer.h promises: order of deadlines, then order of setting (or
 * what `choose` says); a timer set at or before the time that has been fired up to is fired in
 * the next turn, before all others. Every fire is compared as it happens, and sets and unsets
 * timers from inside the callback. The clock is the test's own.
 */
#include "sched/internal.h"

#include "check.h"

#define TIMERS 24
#define OPS 200

/* --- the clock and the choices of the env under test -------------------------------------- */

struct bed;
typedef struct probe {
    weir_timer timer;
    struct bed *bed;
    /* the reference: */
    uint64_t deadline, order;
    enum { UNSET, DUE, BATCH, WHEEL } where;
} probe;

typedef struct bed {
    weir_runtime *rt;
    uint64_t clock;
    uint64_t base, orders; /* of the reference */
    int chooses, chosen;   /* is order chosen; the pick that was announced, or -1 */
    check_random r;        /* of what callbacks do, and of the picks */
    uint64_t fired;
    int in_turn, line; /* line of the first difference */
    probe t[TIMERS];
} bed;

#define EXPECT(b, cond)                                                                            \
    do {                                                                                           \
        if (!(cond) && (b)->line == 0)                                                             \
            (b)->line = __LINE__;                                                                  \
    } while (0)

static uint64_t bed_now(void *ctx)
{
    return ((bed *)ctx)->clock;
}

static void *bed_alloc(void *ctx, void *ptr, size_t old, size_t size)
{
    (void)ctx;
    (void)old;
    if (size > 0)
        return realloc(ptr, size);
    free(ptr);
    return NULL;
}

static uint64_t bed_random(void *ctx)
{
    return check_random_next(&((bed *)ctx)->r);
}

/* --- the reference --------------------------------------------------------------------------- */

static void model_set(bed *b, probe *p, uint64_t deadline)
{
    p->where = deadline == WEIR_FOREVER ? UNSET : deadline <= b->base ? DUE : WHEEL;
    p->deadline = deadline;
    p->order = ++b->orders;
}

/* Is `p` in the group that fires next, whose deadline (if it comes from the wheel) is `at`? */
static int model_is_next(const probe *p, int from_batch, uint64_t at)
{
    return from_batch ? p->where == BATCH : p->where == WHEEL && p->deadline == at;
}

/* The `pick`-th of the group that fires next, or NULL; *group is how many it has. */
static probe *model_next(bed *b, uint32_t pick, uint32_t *group)
{
    uint64_t at = WEIR_FOREVER, last = 0;
    int from_batch = 0;
    probe *found = NULL;
    *group = 0;
    for (int i = 0; i < TIMERS; i++) {
        from_batch |= b->t[i].where == BATCH;
        if (b->t[i].where == WHEEL && b->t[i].deadline <= b->clock && b->t[i].deadline < at)
            at = b->t[i].deadline;
    }
    if (!from_batch && at == WEIR_FOREVER)
        return NULL;
    for (int i = 0; i < TIMERS; i++)
        *group += (uint32_t)model_is_next(&b->t[i], from_batch, at);
    for (uint32_t k = 0; k <= pick; k++) { /* the next larger order, pick + 1 times */
        found = NULL;
        for (int i = 0; i < TIMERS; i++)
            if (model_is_next(&b->t[i], from_batch, at) && b->t[i].order > last &&
                (found == NULL || b->t[i].order < found->order))
                found = &b->t[i];
        if (found == NULL)
            return NULL;
        last = found->order;
    }
    if (!from_batch)
        b->base = at;
    return found;
}

static uint32_t bed_choose(void *ctx, uint32_t n, weir_choice kind)
{
    bed *b = ctx;
    uint32_t group;
    EXPECT(b, kind == WEIR_CHOICE_TIMER);
    b->chosen = (int)check_below(&b->r, n);
    EXPECT(b, model_next(b, (uint32_t)b->chosen, &group) != NULL && group == n);
    return (uint32_t)b->chosen;
}

/* --- what happens to timers ------------------------------------------------------------------- */

/* Deadlines where wheels break: now, next to now, far, next to slot borders, equal ones, the end.
 */
static uint64_t odd_deadline(bed *b, uint64_t bits)
{
    check_random r = {bits};
    uint64_t now = b->clock, span = check_span(&r, 64);
    unsigned shift = 6 * check_below(&r, 11);
    switch (check_below(&r, 8)) {
    case 0:
        return now - (now > span % 1000 ? span % 1000 : now); /* past */
    case 1:
        return now + check_below(&r, 4);
    case 2:
        return span > UINT64_MAX - now ? UINT64_MAX - 1 - span % 3 : now + span;
    case 3: {
        uint64_t border = ((now >> shift) + 1 + check_below(&r, 3)) << shift;
        return border + check_below(&r, 3) - 1;
    }
    case 4:
        return b->t[check_below(&r, TIMERS)].deadline;
    case 5:
        return UINT64_MAX - 1 - check_below(&r, 3);
    case 6:
        return now + ((uint64_t)check_below(&r, 8) << (shift > 50 ? 50 : shift));
    default:
        return span;
    }
}

static void set(bed *b, probe *p, uint64_t deadline)
{
    model_set(b, p, deadline);
    weir_timer_set(b->rt, &p->timer, deadline);
    EXPECT(b, weir_timer_is_set(&p->timer) == (p->where != UNSET));
    EXPECT(b, p->where == UNSET || p->timer.deadline == deadline);
}

static void unset(bed *b, probe *p)
{
    p->where = UNSET;
    weir_timer_unset(b->rt, &p->timer);
    EXPECT(b, !weir_timer_is_set(&p->timer));
}

static void fire(weir_runtime *rt, weir_timer *timer)
{
    probe *p = weir_container(timer, probe, timer), *want;
    bed *b = p->bed;
    uint32_t group, pick = b->chosen < 0 ? 0 : (uint32_t)b->chosen;
    EXPECT(b, b->in_turn && weir_now(rt) == b->clock && weir_now(rt) >= timer->deadline);
    EXPECT(b, !weir_timer_is_set(timer));
    want = model_next(b, pick, &group);
    EXPECT(b, want == p);
    EXPECT(b, !b->chooses || group < 2 || b->chosen >= 0);
    b->chosen = -1;
    b->fired++;
    p->where = UNSET;
    for (uint32_t k = check_below(&b->r, 3); k > 0 && b->line == 0; k--) {
        probe *q = &b->t[check_below(&b->r, TIMERS)];
        uint64_t bits = check_random_next(&b->r);
        if (check_below(&b->r, 3) == 0)
            unset(b, q);
        else if (check_below(&b->r, 4) == 0)
            set(b, p, b->clock); /* itself, for now: must wait for the next turn or its order */
        else
            set(b, q, odd_deadline(b, bits));
    }
}

static void turn(bed *b)
{
    uint32_t group;
    for (int i = 0; i < TIMERS; i++)
        if (b->t[i].where == DUE)
            b->t[i].where = BATCH;
    b->in_turn = 1;
    weir_turn(b->rt);
    b->in_turn = 0;
    EXPECT(b, model_next(b, 0, &group) == NULL); /* everything due has fired */
    if (b->base < b->clock)
        b->base = b->clock;
}

/* weir_next_turn never lies late, and is never FOREVER while a timer is set. */
static void compare(bed *b)
{
    uint64_t first = WEIR_FOREVER, next = weir_next_turn(b->rt);
    uint32_t n = 0;
    for (int i = 0; i < TIMERS; i++) {
        const probe *p = &b->t[i];
        EXPECT(b, weir_timer_is_set(&p->timer) == (p->where != UNSET));
        n += p->where != UNSET;
        if (p->where == DUE)
            first = 0;
        else if (p->where == WHEEL && p->deadline < first)
            first = p->deadline;
    }
    EXPECT(b, weir_runtime_counters(b->rt)->timers == n);
    EXPECT(b, n == 0 ? next == WEIR_FOREVER : first == 0 ? next <= b->base : next <= first);
    EXPECT(b, n == 0 || first == 0 || next > b->base);
    EXPECT(b, weir_runtime_validate(b->rt) == 0);
}

typedef struct op {
    uint32_t what, which;
    uint64_t bits;
} op;

static void apply(bed *b, const op *o)
{
    probe *p = &b->t[o->which % TIMERS];
    uint64_t span;
    switch (o->what % 10) {
    default:
        set(b, p, odd_deadline(b, o->bits));
        break;
    case 6:
        unset(b, p);
        break;
    case 7: { /* some time, then a turn */
        check_random r = {o->bits};
        span = check_span(&r, 40);
        b->clock = span > UINT64_MAX - 1 - b->clock ? UINT64_MAX - 1 : b->clock + span;
        turn(b);
        break;
    }
    case 8: { /* as a driver does: to where the next turn is due; the first timer is found so */
        uint64_t next = weir_next_turn(b->rt);
        if (next != WEIR_FOREVER && next > b->clock)
            b->clock = next;
        turn(b);
        break;
    }
    case 9:
        turn(b);
        break;
    }
}

typedef struct plan {
    uint64_t seed, start;
    int chooses;
    uint64_t fired;
} plan;

static int run_sequence(const void *ops, size_t n, void *ctx)
{
    plan *pl = ctx;
    bed *b = calloc(1, sizeof *b);
    int line;
    assert_non_null(b);
    b->clock = b->base = pl->start;
    b->r.state = pl->seed;
    b->chooses = pl->chooses;
    b->chosen = -1;
    weir_env env = {b, bed_now, bed_alloc, bed_random, pl->chooses ? bed_choose : NULL, NULL};
    b->rt = weir_runtime_new(&env);
    assert_non_null(b->rt);
    for (int i = 0; i < TIMERS; i++) {
        b->t[i].bed = b;
        b->t[i].deadline = WEIR_FOREVER;
        weir_timer_init(&b->t[i].timer, fire);
    }
    for (size_t i = 0; i < n && b->line == 0; i++) {
        apply(b, (const op *)ops + i);
        compare(b);
    }
    for (int i = 0; i < TIMERS; i++)
        weir_timer_unset(b->rt, &b->t[i].timer);
    EXPECT(b, weir_runtime_counters(b->rt)->timers == 0 && weir_runtime_validate(b->rt) == 0);
    line = b->line;
    pl->fired += b->fired;
    weir_runtime_free(b->rt);
    free(b);
    return line;
}

static void random_sequences(int chooses, uint64_t stream, uint32_t sequences)
{
    check_random r = {check_seed(stream)};
    plan pl = {0};
    op ops[OPS];
    for (uint32_t s = 0; s < sequences; s++) {
        pl.seed = check_random_next(&r);
        pl.start = check_span(&r, 63);
        pl.chooses = chooses;
        for (size_t i = 0; i < OPS; i++) {
            ops[i].what = check_below(&r, 1u << 30);
            ops[i].which = check_below(&r, TIMERS);
            ops[i].bits = check_random_next(&r);
        }
        if (run_sequence(ops, OPS, &pl) == 0)
            continue;
        size_t n = check_shrink(ops, OPS, sizeof ops[0], run_sequence, &pl);
        for (size_t i = 0; i < n; i++)
            print_error("  op %u timer %u bits %llx\n", ops[i].what % 10, ops[i].which,
                        (unsigned long long)ops[i].bits);
        check_fail(__FILE__, run_sequence(ops, n, &pl), "sequence %u, seed %llu, start %llu", s,
                   (unsigned long long)pl.seed, (unsigned long long)pl.start);
    }
    check_figure("sequences", sequences);
    check_figure("ops", (uint64_t)sequences * OPS);
    check_figure("fired", pl.fired);
}

static void random_sequences_match_a_sorted_array(void **state)
{
    (void)state;
    random_sequences(0, 2, check_scaled(3000));
}

static void random_sequences_match_with_chosen_order(void **state)
{
    (void)state;
    random_sequences(1, 3, check_scaled(1500));
}

/* --- single promises -------------------------------------------------------------------------- */

static bed *bed_new(uint64_t start)
{
    bed *b = calloc(1, sizeof *b);
    assert_non_null(b);
    b->clock = start;
    weir_env env = {b, bed_now, bed_alloc, bed_random, NULL, NULL};
    b->rt = weir_runtime_new(&env);
    assert_non_null(b->rt);
    return b;
}

static void bed_free(bed *b)
{
    CHECK_QUIET(b->rt);
    weir_runtime_free(b->rt);
    free(b);
}

typedef struct tick {
    weir_timer timer;
    uint64_t again, at;
    unsigned n;
} tick;

static void count(weir_runtime *rt, weir_timer *timer)
{
    tick *k = weir_container(timer, tick, timer);
    k->n++;
    k->at = weir_now(rt);
    if (k->again)
        weir_timer_set(rt, timer, weir_now(rt));
}

static void a_timer_that_sets_itself_for_now_fires_once_a_turn(void **state)
{
    bed *b = bed_new(1000);
    tick k = {.again = 1};
    (void)state;
    weir_timer_init(&k.timer, count);
    weir_timer_set(b->rt, &k.timer, 0);
    CHECK(weir_next_turn(b->rt) <= 1000);
    for (unsigned i = 1; i < 5; i++) {
        weir_turn(b->rt);
        CHECK_INT(k.n, i);
    }
    weir_timer_unset(b->rt, &k.timer);
    weir_timer_unset(b->rt, &k.timer); /* nothing */
    weir_turn(b->rt);
    CHECK_INT(k.n, 4);
    bed_free(b);
}

static void nothing_fires_a_nanosecond_early(void **state)
{
    (void)state;
    for (unsigned bits = 0; bits < 64; bits++) {
        for (int off = -1; off <= 1; off++) {
            uint64_t start = 12345, at = (UINT64_C(1) << bits) + (uint64_t)off;
            bed *b = bed_new(start);
            tick k = {0};
            if (at > start) {
                weir_timer_init(&k.timer, count);
                weir_timer_set(b->rt, &k.timer, at);
                b->clock = at - 1;
                weir_turn(b->rt);
                CHECK_INT(k.n, 0);
                CHECK_VALID(b->rt);
                b->clock = at;
                weir_turn(b->rt);
                CHECK_INT(k.n, 1);
                CHECK(k.at == at);
            }
            bed_free(b);
        }
    }
}

/* From any distance the driver needs at most one extra turn for each level of the wheel. */
static void the_next_turn_is_found_in_a_few_steps(void **state)
{
    check_random r = {check_seed(4)};
    (void)state;
    for (int i = 0; i < 2000; i++) {
        uint64_t start = check_span(&r, 63), at = start + 1 + check_span(&r, 62);
        bed *b = bed_new(start);
        tick k = {0};
        unsigned turns = 0;
        weir_timer_init(&k.timer, count);
        weir_timer_set(b->rt, &k.timer, at);
        while (k.n == 0 && turns <= WEIR_WHEEL_LEVELS) {
            uint64_t next = weir_next_turn(b->rt);
            CHECK(next > b->clock && next <= at);
            b->clock = next;
            weir_turn(b->rt);
            turns++;
        }
        CHECK_INT(k.n, 1);
        CHECK(k.at == at);
        CHECK(weir_next_turn(b->rt) == WEIR_FOREVER);
        bed_free(b);
    }
}

static void the_next_turn_of_few_timers_is_the_very_one(void **state)
{
    bed *b = bed_new(12345);
    tick k[17] = {0};
    (void)state;
    for (int i = 0; i < 17; i++)
        weir_timer_init(&k[i].timer, count);
    for (int i = 15; i >= 0; i--) {
        weir_timer_set(b->rt, &k[i].timer, UINT64_C(7000000000) + (uint64_t)i);
        CHECK(weir_next_turn(b->rt) == UINT64_C(7000000000) + (uint64_t)i);
    }
    weir_timer_set(b->rt, &k[16].timer, UINT64_C(7000000001));
    CHECK(weir_next_turn(b->rt) <= UINT64_C(7000000000)); /* too many to look at: a lower bound */
    for (int i = 0; i < 17; i++)
        weir_timer_unset(b->rt, &k[i].timer);
    bed_free(b);
}

static void forever_never_fires_and_unsets(void **state)
{
    bed *b = bed_new(0);
    tick k = {0}, last = {0};
    (void)state;
    weir_timer_init(&k.timer, count);
    weir_timer_init(&last.timer, count);
    weir_timer_set(b->rt, &k.timer, 10);
    weir_timer_set(b->rt, &k.timer, WEIR_FOREVER);
    CHECK(!weir_timer_is_set(&k.timer));
    weir_timer_set(b->rt, &last.timer, WEIR_FOREVER - 1);
    b->clock = WEIR_FOREVER - 2;
    weir_turn(b->rt);
    CHECK_INT(k.n + last.n, 0);
    CHECK(weir_after(b->rt, 1) == WEIR_FOREVER - 1);
    CHECK(weir_after(b->rt, 2) == WEIR_FOREVER);
    CHECK(weir_after(b->rt, WEIR_FOREVER) == WEIR_FOREVER);
    b->clock = WEIR_FOREVER - 1;
    weir_turn(b->rt);
    CHECK_INT(last.n, 1);
    bed_free(b);
}

static void the_clock_never_goes_back(void **state)
{
    bed *b = bed_new(1000);
    tick k = {0};
    (void)state;
    weir_timer_init(&k.timer, count);
    weir_timer_set(b->rt, &k.timer, 1500);
    b->clock = 1400;
    weir_turn(b->rt);
    b->clock = 10; /* a broken clock */
    weir_turn(b->rt);
    CHECK(weir_now(b->rt) == 1400 && weir_now_update(b->rt) == 1400);
    CHECK_VALID(b->rt);
    b->clock = 1500;
    weir_turn(b->rt);
    CHECK_INT(k.n, 1);
    bed_free(b);
}

int main(void)
{
    const struct CMUnitTest wheel[] = {
        cmocka_unit_test(random_sequences_match_a_sorted_array),
        cmocka_unit_test(random_sequences_match_with_chosen_order),
        cmocka_unit_test(a_timer_that_sets_itself_for_now_fires_once_a_turn),
        cmocka_unit_test(nothing_fires_a_nanosecond_early),
        cmocka_unit_test(the_next_turn_is_found_in_a_few_steps),
        cmocka_unit_test(the_next_turn_of_few_timers_is_the_very_one),
        cmocka_unit_test(forever_never_fires_and_unsets),
        cmocka_unit_test(the_clock_never_goes_back),
    };
    return CHECK_MAIN(wheel);
}
