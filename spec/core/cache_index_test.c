/* cache_index_test.c - the table that grows by single buckets: what is in it is found, always.
 *
 * Random insertions and removals against an array, the validator after each; then what is promised
 * of single calls: no insertion into a large table takes more than a few allocations, memory goes
 * back when it empties, and without memory it goes on with longer chains.
 */
#include "sync/cache_index.h"

#include "check.h"

#define NODES 600

typedef struct item {
    weir_cache_node node;
    uint32_t in;
    char key[16];
} item;

static void name(item *it, uint32_t i, uint32_t hash)
{
    it->node.length = (uint32_t)sprintf(it->key, "k%u", i);
    it->node.hash = hash;
}

static int add(weir_index *x, item *it)
{
    int rc = weir__index_reserve(x);
    if (rc != 0)
        return rc;
    weir__index_add(x, &it->node);
    it->in = 1;
    return 0;
}

static void must_match(const weir_index *x, const item *items, uint32_t n)
{
    uint32_t in = 0;
    CHECK_INT(weir__index_validate(x), 0);
    for (uint32_t i = 0; i < n; i++) {
        const item *it = &items[i];
        const weir_cache_node *found = weir__index_find(x, it->node.hash, it->key, it->node.length);
        CHECK(found == (it->in ? &it->node : NULL));
        in += it->in;
    }
    CHECK_INT(x->n, in);
}

/* Hashes of few bits make long chains and equal hashes; a drift makes it grow and shrink. */
static void what_is_in_is_found(void **state)
{
    check_random r = {check_seed(210)};
    uint32_t rounds = check_scaled(60);
    static item items[NODES];
    (void)state;
    for (uint32_t round = 0; round < rounds; round++) {
        weir_simulator *sim = weir_simulator_new(WEIR_PLAN_FIFO, 1);
        weir_runtime *rt = weir_runtime_new(weir_simulator_env(sim));
        weir_index x;
        unsigned bits = 2 + check_below(&r, 31);
        weir__index_init(rt, &x, offsetof(item, key));
        for (uint32_t i = 0; i < NODES; i++) {
            items[i].in = 0;
            name(&items[i], i, (uint32_t)(check_random_next(&r) & ((UINT64_C(1) << bits) - 1)));
        }
        for (uint32_t step = 0; step < 3000; step++) {
            item *it = &items[check_below(&r, NODES)];
            uint32_t grows = step / 500 % 2 == 0 ? 90 : 10;
            if (it->in && check_below(&r, 100) >= grows) {
                weir__index_remove(&x, &it->node);
                it->in = 0;
            } else if (!it->in && check_below(&r, 100) < grows) {
                CHECK_OK(add(&x, it));
            }
            if (step % 50 == 0)
                must_match(&x, items, NODES);
        }
        must_match(&x, items, NODES);
        weir__index_fini(&x);
        CHECK_INT(x.n, 0);
        weir_runtime_free(rt);
        CHECK_INT(weir_simulator_bytes(sim), 0);
        weir_simulator_free(sim);
    }
    check_figure("sequences", rounds);
}

static void grows_and_shrinks_a_bucket_at_a_time(void **state)
{
    enum { N = 100000 };
    weir_simulator *sim = weir_simulator_new(WEIR_PLAN_FIFO, 1);
    weir_runtime *rt = weir_runtime_new(weir_simulator_env(sim));
    item *items = calloc(N, sizeof *items);
    check_random r = {check_seed(211)};
    weir_index x;
    uint64_t most = 0;
    (void)state;
    assert_non_null(items);
    weir__index_init(rt, &x, offsetof(item, key));
    size_t before = weir_simulator_bytes(sim);
    for (uint32_t i = 0; i < N; i++) {
        uint64_t allocs = weir_simulator_allocs(sim);
        name(&items[i], i, (uint32_t)check_random_next(&r));
        CHECK_OK(add(&x, &items[i]));
        allocs = weir_simulator_allocs(sim) - allocs;
        most = allocs > most ? allocs : most;
    }
    CHECK(most <= 2); /* a segment and the directory */
    CHECK(x.buckets >= N);
    size_t full = weir_simulator_bytes(sim) - before;
    CHECK(full <= N * sizeof(void *) * 13 / 10 || WEIR_INDEX_BITS < 7);
    for (uint32_t i = 0; i < N; i++) {
        CHECK(weir__index_find(&x, items[i].node.hash, items[i].key, items[i].node.length) != NULL);
        weir__index_remove(&x, &items[i].node);
    }
    CHECK(weir_simulator_bytes(sim) - before < full / 4); /* the directory is left */
    CHECK_INT(weir__index_validate(&x), 0);
    weir__index_fini(&x);
    free(items);
    weir_runtime_free(rt);
    weir_simulator_free(sim);
}

static void without_memory_chains_grow_and_nothing_is_lost(void **state)
{
    enum { N = 4000 };
    weir_simulator *sim = weir_simulator_new(WEIR_PLAN_FIFO, 1);
    weir_runtime *rt = weir_runtime_new(weir_simulator_env(sim));
    static item items[N];
    check_random r = {check_seed(212)};
    weir_index x;
    (void)state;
    weir__index_init(rt, &x, offsetof(item, key));
    weir_simulator_fail_alloc(sim, 1, UINT64_MAX);
    name(&items[0], 0, 0);
    CHECK_ERR(add(&x, &items[0]), WEIR_ENOMEM);
    CHECK_INT(x.n, 0);
    weir_simulator_fail_alloc(sim, 0, 0);
    for (uint32_t i = 0; i < N; i++) {
        name(&items[i], i, (uint32_t)check_random_next(&r));
        CHECK_OK(add(&x, &items[i]));
        if (i == N / 8)
            weir_simulator_fail_alloc(sim, 1, UINT64_MAX);
        if (i == N / 2)
            weir_simulator_fail_alloc(sim, 0, 0);
    }
    CHECK(x.buckets >= N); /* it has made up for it */
    must_match(&x, items, N);
    weir__index_fini(&x);
    weir_runtime_free(rt);
    weir_simulator_free(sim);
}

static void keys_are_compared_byte_for_byte(void **state)
{
    weir_simulator *sim = weir_simulator_new(WEIR_PLAN_FIFO, 1);
    weir_runtime *rt = weir_runtime_new(weir_simulator_env(sim));
    static struct {
        weir_cache_node node;
        unsigned char key[100];
    } it;
    weir_index x;
    (void)state;
    weir__index_init(rt, &x, sizeof it.node);
    for (uint32_t n = 0; n <= 100; n++) {
        unsigned char asked[100];
        for (uint32_t i = 0; i < n; i++)
            asked[i] = it.key[i] = (unsigned char)(i + n);
        it.node.length = n;
        CHECK_OK(weir__index_reserve(&x));
        weir__index_add(&x, &it.node);
        CHECK(weir__index_find(&x, 0, asked, n) == &it.node);
        CHECK(weir__index_find(&x, 1, asked, n) == NULL);
        CHECK(n == 0 || weir__index_find(&x, 0, asked, n - 1) == NULL);
        for (uint32_t i = 0; i < n; i++) {
            asked[i] ^= 64;
            CHECK(weir__index_find(&x, 0, asked, n) == NULL);
            asked[i] ^= 64;
        }
        weir__index_remove(&x, &it.node);
    }
    weir__index_fini(&x);
    weir_runtime_free(rt);
    weir_simulator_free(sim);
}

int main(void)
{
    const struct CMUnitTest cache_index[] = {
        cmocka_unit_test(what_is_in_is_found),
        cmocka_unit_test(grows_and_shrinks_a_bucket_at_a_time),
        cmocka_unit_test(without_memory_chains_grow_and_nothing_is_lost),
        cmocka_unit_test(keys_are_compared_byte_for_byte),
    };
    return CHECK_MAIN(cache_index);
}
