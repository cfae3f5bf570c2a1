/* foresee_test.c - when those in a long queue will be due: right after everything that happens to
 * it.
 *
 * The reference plays the whole queue through for each question, over copies of the limits. The
 * last test asks so often that anything but a look-up would not end.
 */
#include <weir/rate.h>

#include "check.h"

#define LIMITS 2
#define KINDS 4
#define MOST 400 /* tickets of a random queue */
#define ROOM 64  /* of a window's log */
#define MS UINT64_C(1000000)

typedef struct bed {
    weir_simulator *sim;
    weir_runtime *rt;
    weir_rate r;
    check_random random;
    weir_waiter w[MOST];
    weir_ticket *t[MOST]; /* NULL: none */
    int waits[MOST];      /* is it the waiter's? */
} bed;

static bed *running; /* of the test that runs: on_turn has nothing else to go by */

static void on_turn(weir_runtime *rt, weir_waiter *w)
{
    ptrdiff_t i = w - running->w;
    (void)rt;
    if (w->status == WEIR_GRANTED)
        weir_ticket_free(running->t[i]);
    running->t[i] = NULL;
    running->waits[i] = 0;
}

static bed *bed_new(const weir_rate_limit *limits, uint32_t n)
{
    bed *b = running = calloc(1, sizeof *b);
    assert_non_null(b);
    b->sim = weir_simulator_new(WEIR_PLAN_FIFO, 1);
    b->rt = weir_runtime_new(weir_simulator_env(b->sim));
    assert_non_null(b->rt);
    CHECK_OK(weir_rate_init(b->rt, &b->r, limits, n, NULL));
    for (int i = 0; i < MOST; i++)
        weir_waiter_init(&b->w[i], on_turn);
    return b;
}

static void bed_free(bed *b)
{
    weir_rate_fini(&b->r);
    weir_runtime_free(b->rt);
    CHECK_INT(weir_simulator_bytes(b->sim), 0);
    weir_simulator_free(b->sim);
    free(b);
}

/* --- the reference ----------------------------------------------------------------------- */

/* When `n` would be due behind those before `end`, and how many those are. */
static uint64_t due_behind(const bed *b, double n, const weir_link *end, int *ahead)
{
    weir_window_record ring[LIMITS][ROOM];
    weir_rate_part part[LIMITS];
    uint64_t at = b->r.at;
    weir_link *k = weir_list_first(&b->r.queue);
    for (uint32_t i = 0; i < b->r.parts; i++) {
        part[i] = b->r.part[i];
        weir_window *w = &part[i].window;
        if (w->per > 0)
            weir_window_change(w, w->n, w->per, ring[i], ROOM);
    }
    for (*ahead = 0;; k = weir_list_next(&b->r.queue, k)) {
        int is_last = k == end;
        double amount = is_last ? n : ((const weir_ticket *)(void *)k)->n;
        for (uint32_t i = 0; i < b->r.parts && at != WEIR_FOREVER; i++)
            at = part[i].window.per > 0
                     ? weir_window_due(&part[i].window, (uint32_t)amount, at)
                     : weir_bucket_due(&part[i].rule, &part[i].bucket,
                                       weir_bucket_cost(&part[i].rule, amount), at);
        if (is_last || at == WEIR_FOREVER)
            return at;
        for (uint32_t i = 0; i < b->r.parts; i++)
            if (part[i].window.per > 0)
                weir_window_charge(&part[i].window, (uint32_t)amount, at);
            else
                weir_bucket_charge(&part[i].rule, &part[i].bucket,
                                   weir_bucket_cost(&part[i].rule, amount), at);
        ++*ahead;
    }
}

/* --- random lives ------------------------------------------------------------------------- */

static weir_rate_limit random_limit(bed *b, int is_window)
{
    if (is_window)
        return (weir_rate_limit){.n = 3 + check_below(&b->random, ROOM - 3),
                                 .per = 1 + check_below(&b->random, 3000)};
    return (weir_rate_limit){.rate = 777.0 * (double)(1 + check_span(&b->random, 20)),
                             .burst = 3 + check_below(&b->random, 10)};
}

static void random_limits(bed *b, uint32_t kind, weir_rate_limit *limit)
{
    limit[0] = random_limit(b, kind & 1);
    limit[1] = random_limit(b, 0);
}

static void ask(bed *b)
{
    int i = (int)check_below(&b->random, MOST), ahead;
    weir_ticket *t = b->t[i];
    if (t != NULL && !b->waits[i]) {
        uint64_t delay = weir_ticket_delay(t);
        if (t->state == WEIR_TICKET_QUEUED)
            CHECK_INT(delay, due_behind(b, t->n, &t->link, &ahead) - b->r.at);
        else
            CHECK_INT(delay, t->state == WEIR_TICKET_GRANTED ? 0 : WEIR_FOREVER);
        return;
    }
    double n = 1 + check_below(&b->random, 3);
    uint64_t delay = weir_rate_retry_after(&b->r, n);
    CHECK_INT(delay, due_behind(b, n, NULL, &ahead) - b->r.at);
}

static void enter(bed *b)
{
    int i = (int)check_below(&b->random, MOST);
    double n = 1 + check_below(&b->random, 3);
    if (b->t[i] != NULL)
        return;
    b->waits[i] = check_below(&b->random, 3) == 0;
    if (b->waits[i])
        CHECK_OK(weir_rate_wait(&b->r, n, &b->w[i], WEIR_FOREVER, &b->t[i]));
    else
        CHECK_OK(weir_rate_reserve(&b->r, n, &b->t[i]));
}

static void leave(bed *b)
{
    int i = (int)check_below(&b->random, MOST);
    weir_ticket *t = b->t[i];
    if (t == NULL)
        return;
    if (b->waits[i]) {
        weir_waiter_give_up(b->rt, &b->w[i], WEIR_CANCELED);
        return; /* on_turn does the rest */
    }
    if (check_below(&b->random, 4) > 0)
        weir_ticket_cancel(t);
    weir_ticket_free(t);
    b->t[i] = NULL;
}

/* A cancel that wins over a grant. */
static void refund(bed *b)
{
    weir_link *k = weir_list_first(&b->r.granted);
    if (k != NULL)
        weir_waiter_give_up(b->rt, ((weir_ticket *)(void *)k)->waiter, WEIR_CANCELED);
}

static void live(bed *b, uint32_t kind, uint32_t appetite)
{
    weir_rate_limit limit[LIMITS];
    for (int i = 0; i < 600; i++) {
        uint32_t what = check_below(&b->random, 100);
        if (what < appetite)
            enter(b);
        else if (what < 80)
            ask(b);
        else if (what < 87)
            leave(b);
        else if (what < 90)
            refund(b);
        else if (what < 98) {
            weir_simulator_advance(b->sim, check_below(&b->random, 200));
            if (check_below(&b->random, 2))
                weir_turn(b->rt);
            else
                weir_now_update(b->rt); /* what is due is granted when somebody looks */
        } else if (what == 98) {
            random_limits(b, kind, limit);
            CHECK_OK(weir_rate_set(&b->r, limit));
        } else {
            weir_simulator_step(b->sim, b->rt); /* exactly in time */
        }
        CHECK_INT(weir_rate_validate(&b->r), 0);
    }
}

static void the_future_of_a_long_queue_is_that_of_each_step(void **state)
{
    check_random seeds = {check_seed(91)};
    uint32_t rounds = check_scaled(600);
    (void)state;
    for (uint32_t round = 0; round < rounds; round++) {
        bed nothing = {.random = {check_random_next(&seeds)}};
        uint32_t kind = round % KINDS;
        weir_rate_limit limit[LIMITS];
        random_limits(&nothing, kind, limit);
        bed *b = bed_new(limit, kind < 2 ? 1 : 2);
        b->random = nothing.random;
        live(b, kind, 60);
        live(b, kind, 10);
        for (int i = 0; i < MOST; i++) {
            if (b->waits[i])
                weir_waiter_give_up(b->rt, &b->w[i], WEIR_CANCELED);
            else if (b->t[i] != NULL)
                weir_ticket_cancel(b->t[i]);
            CHECK_INT(weir_rate_validate(&b->r), 0);
        }
        while (weir_turn(b->rt) > 0)
            ;
        CHECK_QUIET(b->rt);
        bed_free(b);
    }
    check_figure("sequences", rounds);
}

/* --- memory --------------------------------------------------------------------------------- */

/* A queue that is long enough for sums that need memory: without it the answers are the same. */
static int a_life(weir_simulator *sim)
{
    static const weir_rate_limit limit = {.rate = 1000, .burst = 1};
    weir_runtime *rt = weir_runtime_new(weir_simulator_env(sim));
    weir_ticket *t[64];
    weir_rate r;
    int rc;
    if (rt == NULL)
        return WEIR_ENOMEM;
    rc = weir_rate_init(rt, &r, &limit, 1, NULL);
    if (rc == 0) {
        CHECK_OK(weir_rate_try(&r, 1));
        for (uint64_t i = 0; i < 64 && rc == 0; i++) {
            rc = weir_rate_reserve(&r, 1, &t[i]);
            if (rc == 0)
                CHECK_INT(weir_ticket_delay(t[i]), (i + 1) * MS);
            CHECK_INT(weir_rate_validate(&r), 0);
        }
        weir_rate_fini(&r);
    }
    weir_runtime_free(rt);
    return rc;
}

static void without_memory_it_only_takes_longer(void **state)
{
    (void)state;
    CHECK(CHECK_OOM(a_life) >= 64);
}

/* --- many ------------------------------------------------------------------------------------- */

#define MANY 200000

/* Each asked, then each third cancelled, from the front, and the last asked after each. */
static void many_reservations_can_be_asked(void **state)
{
    static const weir_rate_limit limits[] = {{.rate = 1000, .burst = 1},
                                             {.n = 100, .per = 100 * MS}};
    weir_ticket **t = calloc(MANY, sizeof *t);
    (void)state;
    assert_non_null(t);
    for (uint32_t n = 1; n <= 2; n++) {
        bed *b = bed_new(limits, n);
        CHECK_OK(weir_rate_try(&b->r, 1));
        for (uint64_t i = 0; i < MANY; i++) {
            CHECK_OK(weir_rate_reserve(&b->r, 1, &t[i]));
            CHECK_INT(weir_ticket_delay(t[i]), (i + 1) * MS);
        }
        for (uint64_t i = MANY; i-- > 0;)
            CHECK_INT(weir_ticket_delay(t[i]), (i + 1) * MS);
        for (uint64_t i = 0; n == 1 && i < MANY; i += 3) {
            CHECK_INT(weir_ticket_cancel(t[i]), 1);
            CHECK_INT(weir_ticket_delay(t[MANY - 1]), (MANY - i / 3 - (i < MANY - 1)) * MS);
        }
        bed_free(b);
    }
    free(t);
}

/* A window with a long log and somebody in the queue: a refusal does not go through either. */
static void many_refusals_say_when(void **state)
{
    static const weir_rate_limit window = {.n = 100000, .per = 1000 * WEIR_SECOND};
    bed *b = bed_new(&window, 1);
    uint64_t start = weir_now(b->rt);
    (void)state;
    for (uint32_t i = 0; i < window.n; i++) {
        weir_simulator_advance(b->sim, MS);
        weir_now_update(b->rt);
        CHECK_OK(weir_rate_try(&b->r, 1));
    }
    CHECK_OK(weir_rate_wait(&b->r, 1, &b->w[0], WEIR_FOREVER, &b->t[0]));
    for (int i = 0; i < 10 * MANY; i++) {
        weir_simulator_advance(b->sim, 1);
        weir_now_update(b->rt);
        CHECK_ERR(weir_rate_try(&b->r, 1), WEIR_EBUSY);
        CHECK_INT(weir_rate_retry_after(&b->r, 1), start + 2 * MS + window.per - weir_now(b->rt));
    }
    weir_waiter_give_up(b->rt, &b->w[0], WEIR_CANCELED);
    while (weir_turn(b->rt) > 0)
        ;
    bed_free(b);
}

int main(void)
{
    const struct CMUnitTest foresee[] = {
        cmocka_unit_test(the_future_of_a_long_queue_is_that_of_each_step),
        cmocka_unit_test(without_memory_it_only_takes_longer),
        cmocka_unit_test(many_reservations_can_be_asked),
        cmocka_unit_test(many_refusals_say_when),
    };
    return CHECK_MAIN(foresee);
}
