/* cache_model_test.c - the cache against a reference model, under random operations.
 *
 * After every operation everything visible is compared: what a look-up says, what is in, what it
 * weighs, who was dropped, how every flight stands and every wait ended, all statistics. Memory
 * fails now and then. Beside the model the laws are checked on their own: one load a key, nothing
 * older than an invalidation, nothing staler than allowed, never more than the bounds.
 */
#include "cache_model.h"
#include "sequences.h"
#include "sync/cache.h"

#define OPS 60

typedef struct seat {
    weir_waiter waiter;
    struct bed *bed;
} seat;

/* Of each value: where it comes from. */
typedef struct origin {
    int key;
    uint64_t begun, stored, keeps; /* op: load begun, or set; ns; ns it is had */
} origin;

typedef struct bed {
    weir_simulator *sim;
    weir_runtime *rt;
    weir_cache *c;
    model m;
    seat seat[WAITS];
    weir_load *load[LOADS];
    uint64_t load_begun[LOADS]; /* op */
    unsigned char dropped[VALUES];
    origin value[VALUES];
    int n_values;
    uint64_t invalidated[KEYS]; /* op */
    uint64_t op;
    int line, gone;
    uint64_t ops;
} bed;

typedef struct op {
    uint32_t what, which, n, t;
} op;

#define EXPECT(b, cond)                                                                            \
    do {                                                                                           \
        if (!(cond) && (b)->line == 0)                                                             \
            (b)->line = __LINE__;                                                                  \
    } while (0)

static const char *const keys[KEYS] = {
    "a", "b", "key number two", "k3", "a key that is long enough for another size of memory", ""};
static const char *const tags[TAGS] = {"t", "tag one", "", "another tag, of some length, say", "4"};

/* --- hooks --------------------------------------------------------------------------- */

static void on_drop(weir_cache *c, intptr_t value)
{
    bed *b = weir_cache_data(c);
    b->dropped[value]++;
}

static void on_free(weir_flight *f)
{
    weir_load *load = (weir_load *)(void *)f;
    *(weir_load **)load->data = NULL;
    weir_load_free(load);
}

static const weir_wait_ops wait_ops = WEIR_FLIGHT_WAIT("test:get");
static const weir_flight_ops flight_ops = {NULL, on_free, NULL, NULL, &wait_ops};
static const weir_cache_ops cache_ops = {on_drop, &flight_ops};

static void on_turn(weir_runtime *rt, weir_waiter *w)
{
    bed *b = weir_container(w, seat, waiter)->bed;
    model *m = &b->m;
    int i = (int)(weir_container(w, seat, waiter) - b->seat);
    model_wait *want = &m->wait[i];
    EXPECT(b, m->n_ready > 0 && m->ready[0] == i);
    EXPECT(b, (weir_status)w->status == want->status);
    if (b->line != 0)
        return;
    memmove(m->ready, m->ready + 1, sizeof(int) * (size_t)--m->n_ready);
    if (want->status == WEIR_GRANTED || want->status == WEIR_FAILED) {
        weir_load *load = b->load[want->load];
        EXPECT(b, load != NULL && load->flight.value == m->load[want->load].value);
        if (load != NULL)
            weir_flight_leave(rt, &load->flight);
        cache_model_leave(m, want->load);
    }
    want->status = WEIR_IDLE;
    w->status = WEIR_IDLE;
}

/* --- values and laws ----------------------------------------------------------------- */

static int new_value(bed *b, int key, uint64_t begun, uint64_t ttl, int negative)
{
    const weir_cache_options *o = &b->m.options;
    uint64_t longer = o->stale > o->stale_if_error ? o->stale : o->stale_if_error;
    int v = ++b->n_values;
    assert_true(v < VALUES);
    b->value[v] = (origin){key, begun, b->m.now,
                           ttl == WEIR_FOREVER ? WEIR_FOREVER : ttl + (negative ? 0 : longer)};
    return v;
}

/* What the cache answers is of that key, not too old, and not from before an invalidation. */
static void must_be_lawful(bed *b, int key, intptr_t value)
{
    if (value <= 0 || value > b->n_values) {
        EXPECT(b, 0);
        return;
    }
    const origin *v = &b->value[value];
    EXPECT(b, v->key == key);
    EXPECT(b, v->begun > b->invalidated[key]);
    EXPECT(b, b->m.now - v->stored <= v->keeps);
    EXPECT(b, b->dropped[value] == 0);
}

/* --- operations, on both ------------------------------------------------------------- */

static int free_wait(const bed *b)
{
    for (int i = 0; i < WAITS; i++)
        if (b->m.wait[i].status == WEIR_IDLE)
            return i;
    return -1;
}

static int has_room(const bed *b)
{
    int n = 0;
    for (int i = 0; i < LOADS; i++)
        n += !b->m.load[i].used;
    return n >= 1;
}

static void wait_for(bed *b, int load, uint64_t deadline)
{
    int i = free_wait(b);
    if (i < 0)
        return;
    weir_flight_wait(b->rt, &b->load[load]->flight, &b->seat[i].waiter, deadline);
    cache_model_wait_for(&b->m, i, load, deadline);
}

static int begin(bed *b, int key, int behind)
{
    size_t n = b->m.key_length[key];
    weir_load *load = weir_cache_begin(b->c, keys[key], n, behind);
    int i = cache_model_begin(&b->m, key, behind);
    EXPECT(b, (load == NULL) == (i < 0));
    if (load == NULL || i < 0)
        return -1;
    EXPECT(b, load->length == n && memcmp(load->key, keys[key], n) == 0 && load->behind == behind);
    b->load[i] = load;
    load->data = &b->load[i];
    b->load_begun[i] = b->op;
    return i;
}

static void op_ask(bed *b, const op *o)
{
    int key = (int)(o->which % KEYS);
    uint64_t deadline = o->t % 2 == 0 ? WEIR_FOREVER : weir_after(b->rt, o->t % 31);
    if (!has_room(b))
        return;
    int anew = o->n % 16 == 15;
    model_answer want = anew ? cache_model_look_load(&b->m, key) : cache_model_look(&b->m, key);
    weir_answer is = anew ? weir_cache_look_load(b->c, keys[key], b->m.key_length[key])
                          : weir_cache_look(b->c, keys[key], b->m.key_length[key]);
    EXPECT(b, is.found == want.found && is.refresh == want.refresh);
    EXPECT(b, is.value == want.value);
    EXPECT(b, is.load == (want.load < 0 ? NULL : b->load[want.load]));
    if (is.found == WEIR_FOUND_FRESH || is.found == WEIR_FOUND_STALE ||
        is.found == WEIR_FOUND_NEGATIVE)
        must_be_lawful(b, key, is.value);
    if (b->line != 0)
        return;
    if (is.refresh && o->n % 4 != 0)
        begin(b, key, 1);
    else if (is.found == WEIR_FOUND_FLIGHT)
        wait_for(b, want.load, deadline);
    else if (is.found == WEIR_FOUND_NOTHING) {
        int load = begin(b, key, 0);
        if (load >= 0)
            wait_for(b, load, deadline);
    }
}

static uint64_t some_ttl(const bed *b, uint32_t n)
{
    return n % 16 == 0 ? 0 : n % 16 == 1 ? 3 : n % 16 == 2 ? WEIR_FOREVER : b->m.options.ttl;
}

static void land(bed *b, int i, weir_flight_state state, intptr_t value)
{
    weir_load *load = b->load[i];
    cache_model_land(&b->m, i, state, value);
    weir_flight_land(b->rt, &load->flight, state, value);
}

static void store(bed *b, int i, const op *o, int negative)
{
    model *m = &b->m;
    int key = m->load[i].key;
    size_t size = o->n * 7 % 300;
    uint64_t ttl = negative ? m->options.negative_ttl : some_ttl(b, o->t);
    int v = new_value(b, key, b->load_begun[i], ttl, negative);
    int want = cache_model_store(m, i, v, size, ttl, negative);
    EXPECT(b, weir_cache_store(b->c, b->load[i], v, size, ttl, negative) == want);
}

/* A load ends: it brings something, fails, or says nothing at all. */
static void op_end(bed *b, const op *o)
{
    int i = (int)(o->which % LOADS), old = 0;
    intptr_t value = 0;
    for (int k = 0; k < LOADS && !(b->m.load[i].used && !b->m.load[i].ended); k++)
        i = (i + 1) % LOADS;
    if (!b->m.load[i].used || b->m.load[i].ended)
        return;
    if (o->n % 16 < 10) {
        store(b, i, o, 0);
        land(b, i, WEIR_FLIGHT_LANDED, b->n_values);
    } else if (o->n % 16 < 15) {
        int want = cache_model_failed(&b->m, i, &old);
        EXPECT(b, weir_cache_failed(b->c, b->load[i], &value) == want && value == old);
        if (want)
            must_be_lawful(b, b->m.load[i].key, value);
        else if (b->m.options.negative_ttl > 0)
            store(b, i, o, 1);
        land(b, i, want ? WEIR_FLIGHT_LANDED : WEIR_FLIGHT_FAILED, want ? old : -1);
    } else {
        land(b, i, WEIR_FLIGHT_FAILED, -2);
    }
}

static void op_set(bed *b, const op *o)
{
    int key = (int)(o->which % KEYS);
    size_t size = o->n * 7 % 300;
    uint64_t ttl = some_ttl(b, o->t);
    int v = new_value(b, key, b->op + 1, ttl, 0);
    int want = cache_model_set(&b->m, key, v, size, ttl);
    EXPECT(b, weir_cache_set(b->c, keys[key], b->m.key_length[key], v, size, ttl) == want);
    if (want == 0 || want == WEIR_EOVERLOAD)
        b->invalidated[key] = b->op;
}

static void op_delete(bed *b, const op *o)
{
    int key = (int)(o->which % KEYS);
    int want = cache_model_delete(&b->m, key);
    EXPECT(b, weir_cache_delete(b->c, keys[key], b->m.key_length[key]) == want);
    b->invalidated[key] = b->op;
}

static void op_forbid(bed *b, const op *o)
{
    int key = (int)(o->which % KEYS);
    int want = cache_model_forbid_stale(&b->m, key);
    EXPECT(b, weir_cache_forbid_stale(b->c, keys[key], b->m.key_length[key]) == want);
    const model_entry *e = cache_model_find(&b->m, key);
    if (e != NULL) { /* from now on it is had for its ttl alone */
        origin *v = &b->value[e->value];
        v->keeps = e->expires == WEIR_FOREVER ? WEIR_FOREVER : e->expires - v->stored;
    }
}

static void op_tag(bed *b, const op *o)
{
    int key = (int)(o->which % KEYS), tag = (int)(o->t % TAGS);
    int want = cache_model_tag(&b->m, key, tag);
    EXPECT(b, weir_cache_tag(b->c, keys[key], b->m.key_length[key], tags[tag],
                             b->m.tag_length[tag]) == want);
}

static void op_delete_tag(bed *b, const op *o)
{
    int tag = (int)(o->t % TAGS);
    for (int i = 0; i < b->m.n; i++)
        if (b->m.entry[i].tags & 1u << tag)
            b->invalidated[b->m.entry[i].key] = b->op;
    uint32_t want = cache_model_delete_tag(&b->m, tag);
    EXPECT(b, weir_cache_delete_tag(b->c, tags[tag], b->m.tag_length[tag]) == want);
}

static void op_clear(bed *b, int closes)
{
    for (int key = 0; key < KEYS; key++)
        b->invalidated[key] = b->op;
    if (closes) {
        cache_model_close(&b->m);
        weir_cache_close(b->c);
    } else {
        cache_model_clear(&b->m);
        weir_cache_clear(b->c);
    }
}

static void op_give_up(bed *b, const op *o)
{
    static const weir_status hows[] = {WEIR_CANCELED, WEIR_CANCELED, WEIR_TIMEOUT};
    int i = (int)(o->which % WAITS);
    weir_status how = hows[o->t % 3];
    if (b->m.wait[i].status == WEIR_IDLE)
        return;
    int want = cache_model_give_up(&b->m, i, how);
    EXPECT(b, weir_waiter_give_up(b->rt, &b->seat[i].waiter, how) == want);
}

static void op_turn(bed *b, uint64_t ns)
{
    weir_simulator_advance(b->sim, ns);
    b->m.now += ns;
    cache_model_timeouts(&b->m);
    weir_turn(b->rt);
    EXPECT(b, b->m.n_ready == 0);
    if (!b->gone)
        cache_model_quiet(&b->m);
}

static void apply(bed *b, const op *o)
{
    int is_short = o->t % 11 == 0;
    b->op += 2; /* a set counts as one later than itself */
    b->ops++;
    if (is_short) {
        weir_simulator_fail_alloc(b->sim, 1, UINT64_MAX);
        b->m.memory_is_short = 1;
    }
    switch (o->what % 32) {
    case 0:
        op_clear(b, o->n % 8 == 0);
        break;
    case 1:
        op_forbid(b, o);
        break;
    case 2:
        op_delete(b, o);
        break;
    case 3:
        op_delete_tag(b, o);
        break;
    case 4:
    case 5:
        op_tag(b, o);
        break;
    case 6:
    case 7:
    case 8:
        op_set(b, o);
        break;
    case 9:
    case 10:
        op_give_up(b, o);
        break;
    case 11:
    case 12:
    case 13:
    case 14:
    case 15:
        op_turn(b, o->t % 9);
        break;
    case 16:
    case 17:
    case 18:
    case 19:
    case 20:
        op_end(b, o);
        break;
    default:
        op_ask(b, o);
    }
    weir_simulator_fail_alloc(b->sim, 0, 0);
    b->m.memory_is_short = 0;
}

/* --- comparing ----------------------------------------------------------------------- */

static void compare_stats(bed *b)
{
    const weir_cache_stats *is = weir_cache_get_stats(b->c), *want = &b->m.stats;
    EXPECT(b, is->hits == want->hits && is->stale == want->stale);
    EXPECT(b, is->negative == want->negative && is->misses == want->misses);
    EXPECT(b, is->joined == want->joined && is->loads == want->loads);
    EXPECT(b, is->refreshes == want->refreshes && is->failures == want->failures);
    EXPECT(b, is->refresh_failures == want->refresh_failures);
    EXPECT(b, is->abandoned == want->abandoned && is->discarded == want->discarded);
    EXPECT(b, is->evicted == want->evicted && is->expired == want->expired);
    EXPECT(b, is->deleted == want->deleted && is->timeouts == want->timeouts);
    EXPECT(b, is->cancels == want->cancels && is->closes == want->closes);
    EXPECT(b, is->overload == want->overload && is->load.count == b->m.landed);
}

static void compare_loads(bed *b)
{
    uint32_t indexed = 0;
    for (int i = 0; i < LOADS; i++) {
        const model_load *want = &b->m.load[i];
        const weir_load *is = b->load[i];
        EXPECT(b, want->used == (is != NULL));
        if (is == NULL || !want->used)
            continue;
        EXPECT(b, is->flight.state == want->state && is->flight.interested == want->interested);
        EXPECT(b, is->indexed == want->indexed && is->flight.ended == want->ended);
        indexed += (uint32_t)want->indexed;
        for (int k = 0; k < i; k++) /* one flight a key */
            EXPECT(b, !(b->load[k] != NULL && is->indexed && b->load[k]->indexed &&
                        want->key == b->m.load[k].key));
    }
    EXPECT(b, b->gone || indexed == weir_cache_loading(b->c));
}

static void compare(bed *b)
{
    const model *m = &b->m;
    const weir_counters *n = weir_runtime_counters(b->rt);
    int line = weir_runtime_validate(b->rt);
    uint32_t pending = 0;
    if (line == 0)
        line = weir_cache_validate(b->c);
    if (b->line == 0)
        b->line = line;
    EXPECT(b, weir_cache_count(b->c) == (uint32_t)m->n);
    EXPECT(b, weir_cache_bytes(b->c) == cache_model_bytes(m));
    EXPECT(b, weir_cache_bytes(b->c) <= m->options.max_bytes);
    EXPECT(b, weir_cache_count(b->c) <= m->options.max);
    EXPECT(b, weir_cache_waiting(b->c) == m->waiting && m->waiting <= m->options.max_waiting);
    EXPECT(b, weir_cache_is_closed(b->c) == m->closed);
    EXPECT(b, memcmp(b->dropped, m->dropped, sizeof b->dropped) == 0);
    for (int key = 0; key < KEYS; key++) {
        weir_answer is = weir_cache_peek(b->c, keys[key], m->key_length[key]);
        model_answer want = cache_model_peek(m, key);
        EXPECT(b, is.found == want.found && is.value == want.value && is.load == NULL);
    }
    for (int i = 0; i < WAITS; i++) {
        EXPECT(b, (weir_status)b->seat[i].waiter.status == m->wait[i].status);
        pending += m->wait[i].status == WEIR_PENDING;
    }
    EXPECT(b, n->pending == pending && n->ready == (uint32_t)m->n_ready);
    compare_loads(b);
    compare_stats(b);
}

/* --- a sequence ---------------------------------------------------------------------- */

typedef struct plan {
    uint64_t seed;
    weir_cache_options options;
} plan;

static void bed_init(bed *b, const plan *pl)
{
    b->sim = weir_simulator_new(WEIR_PLAN_FIFO, pl->seed);
    assert_non_null(b->sim);
    b->rt = weir_runtime_new(weir_simulator_env(b->sim));
    assert_non_null(b->rt);
    cache_model_init(&b->m, &pl->options);
    for (int i = 0; i < KEYS; i++)
        b->m.key_length[i] = strlen(keys[i]);
    for (int i = 0; i < TAGS; i++)
        b->m.tag_length[i] = strlen(tags[i]);
    CHECK_OK(weir_cache_new(b->rt, &cache_ops, &pl->options, "c", &b->c));
    weir_cache_set_data(b->c, b);
    for (int i = 0; i < WAITS; i++) {
        b->seat[i].bed = b;
        weir_waiter_init(&b->seat[i].waiter, on_turn);
    }
}

/* The cache goes first, or last: flights outlive it. Then every value was dropped once. */
static void bed_fini(bed *b, int cache_first)
{
    if (cache_first) {
        weir_cache_free(b->c);
        b->gone = 1;
    }
    for (int i = 0; i < LOADS; i++) {
        if (b->load[i] == NULL || b->load[i]->flight.ended)
            continue;
        EXPECT(b, b->load[i]->of == (cache_first ? NULL : b->c));
        if (cache_first) { /* what a discard does, and the end of it all */
            b->m.load[i].indexed = b->m.load[i].lasting = 0;
            if (b->m.load[i].interested == 0)
                b->m.load[i].state = WEIR_FLIGHT_ABANDONED;
        }
        EXPECT(b, b->load[i]->flight.state == b->m.load[i].state);
        land(b, i, WEIR_FLIGHT_LANDED, 1);
    }
    if (b->line == 0)
        op_turn(b, 0);
    if (!cache_first)
        weir_cache_free(b->c);
    for (int v = 1; v <= b->n_values; v++)
        EXPECT(b, b->dropped[v] == 1);
    for (int i = 0; i < LOADS; i++)
        EXPECT(b, b->load[i] == NULL);
    EXPECT(b, weir_runtime_validate(b->rt) == 0);
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
        bed_fini(&b, pl->seed % 2 == 0);
    check_figure("ops", b.ops);
    if (b.line == 0) {
        weir_runtime_free(b.rt);
        EXPECT(&b, weir_simulator_bytes(b.sim) == 0);
        weir_simulator_free(b.sim);
    }
    return b.line;
}

static const char *op_name(uint32_t what)
{
    static const char *const names[] = {
        "clear", "forbid", "delete",  "delete_tag", "tag",  "tag",  "set",
        "set",   "set",    "give_up", "give_up",    "turn", "turn", "turn",
        "turn",  "turn",   "end",     "end",        "end",  "end",  "end"};
    what %= 32;
    return what < sizeof names / sizeof *names ? names[what] : "ask";
}

static void draw(void *ctx, check_random *r)
{
    static const uint64_t ttls[] = {5, 12, 30, WEIR_FOREVER}, stales[] = {0, 0, 6, 20};
    static const uint64_t errors[] = {0, 0, 25}, negatives[] = {0, 4, 15};
    plan *pl = ctx;
    pl->seed = check_random_next(r);
    pl->options = (weir_cache_options){
        .ttl = ttls[check_below(r, 4)],
        .stale = stales[check_below(r, 4)],
        .stale_if_error = errors[check_below(r, 3)],
        .negative_ttl = negatives[check_below(r, 3)],
        .max = check_below(r, 2) == 0 ? UINT32_MAX : 1 + check_below(r, KEYS - 1),
        .max_bytes = check_below(r, 2) == 0 ? UINT64_MAX : 120 + check_below(r, 1200),
        .max_waiting = check_below(r, 4) == 0 ? 1 + check_below(r, 3) : UINT32_MAX,
    };
}

static void draw_op(const void *ctx, check_random *r, void *out)
{
    op *o = out;
    (void)ctx;
    o->what = check_below(r, 32);
    o->which = check_below(r, 64);
    o->n = check_below(r, 64);
    o->t = check_below(r, 1000);
}

static void print_plan(const void *ctx)
{
    const plan *pl = ctx;
    const weir_cache_options *o = &pl->options;
    print_error("seed %llu ttl %lld stale %llu if error %llu negative %llu max %u bytes %lld "
                "waiting %u\n",
                (unsigned long long)pl->seed, (long long)o->ttl, (unsigned long long)o->stale,
                (unsigned long long)o->stale_if_error, (unsigned long long)o->negative_ttl, o->max,
                (long long)o->max_bytes, o->max_waiting);
}

static void print_op(const void *one)
{
    const op *o = one;
    print_error("  %s which %u n %u t %u%s\n", op_name(o->what), o->which, o->n, o->t,
                o->t % 11 == 0 ? " (no memory)" : "");
}

static const check_model cache_model = {
    .name = "cache_model",
    .file = __FILE__,
    .stream = 220,
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

CHECK_MODEL_MAIN(cache_model)
