/* heap_test.c - the pairing heap against a sorted array, and at the sizes where shape matters. */
#include <weir/heap.h>
#include <weir/list.h>

#include "check.h"

#define MOST 48
#define OPS 120

typedef struct item {
    weir_heap_node node;
    uint32_t key, seq;
} item;

static uint64_t n_compared;

static int before(const weir_heap_node *a, const weir_heap_node *b)
{
    const item *x = weir_container(a, item, node), *y = weir_container(b, item, node);
    n_compared++;
    return x->key != y->key ? x->key < y->key : x->seq < y->seq;
}

static void is_empty_at_first(void **state)
{
    weir_heap h;
    size_t n;
    (void)state;
    weir_heap_init(&h, before);
    CHECK(weir_heap_first(&h) == NULL && weir_heap_pop(&h) == NULL);
    CHECK_INT(weir_heap_validate(&h, &n), 0);
    CHECK_INT(n, 0);
}

static void a_node_knows_whether_it_is_in(void **state)
{
    weir_heap h;
    item i = {.key = 1};
    (void)state;
    weir_heap_init(&h, before);
    weir_heap_node_init(&i.node);
    CHECK(!weir_heap_node_is_linked(&i.node));
    weir_heap_push(&h, &i.node);
    CHECK(weir_heap_node_is_linked(&i.node));
    CHECK(weir_heap_first(&h) == &i.node);
    weir_heap_remove(&h, &i.node);
    CHECK(!weir_heap_node_is_linked(&i.node) && weir_heap_first(&h) == NULL);
}

/* Ops: key below 1000 pushes, else it removes a node that is in, or pops. */
static int run_sequence(const void *ops, size_t n, void *ctx)
{
    const uint32_t *op = ops;
    item items[MOST];
    unsigned in[MOST], n_in = 0, free[MOST], n_free = MOST;
    weir_heap h;
    size_t count;
    (void)ctx;
    weir_heap_init(&h, before);
    for (unsigned i = 0; i < MOST; i++) {
        weir_heap_node_init(&items[i].node);
        free[i] = i;
    }
    for (size_t k = 0; k < n; k++) {
        uint32_t kind = op[k] % 8, value = op[k] / 8;
        if (kind < 4 && n_free > 0) {
            unsigned i = free[--n_free];
            items[i].key = value % 7;
            items[i].seq = (uint32_t)k;
            in[n_in++] = i;
            weir_heap_push(&h, &items[i].node);
        } else if (n_in > 0) {
            unsigned at = value % n_in;
            if (kind < 6) { /* the first of all */
                for (unsigned j = 0; j < n_in; j++)
                    if (before(&items[in[j]].node, &items[in[at]].node))
                        at = j;
                if (weir_heap_pop(&h) != &items[in[at]].node)
                    return __LINE__;
            } else {
                weir_heap_remove(&h, &items[in[at]].node);
            }
            if (weir_heap_node_is_linked(&items[in[at]].node))
                return __LINE__;
            free[n_free++] = in[at];
            in[at] = in[--n_in];
        }
        if (weir_heap_validate(&h, &count) != 0 || count != n_in)
            return __LINE__;
    }
    return 0;
}

static void random_operations_match_a_sorted_array(void **state)
{
    check_random r = {check_seed(31)};
    uint32_t sequences = check_scaled(20000), ops[OPS];
    (void)state;
    for (uint32_t s = 0; s < sequences; s++) {
        for (size_t i = 0; i < OPS; i++)
            ops[i] = (uint32_t)check_random_next(&r) >> 8;
        if (run_sequence(ops, OPS, NULL) == 0)
            continue;
        size_t n = check_shrink(ops, OPS, sizeof ops[0], run_sequence, NULL);
        for (size_t i = 0; i < n; i++)
            print_error("  kind %u value %u\n", ops[i] % 8, ops[i] / 8);
        check_fail(__FILE__, run_sequence(ops, n, NULL), "sequence %u", s);
    }
    check_figure("sequences", sequences);
    check_figure("ops", (uint64_t)sequences * OPS);
}

/* The validator itself: each kind of damage is seen. */
static void validate_sees_what_is_broken(void **state)
{
    weir_heap h;
    item i[3] = {{.key = 1}, {.key = 2}, {.key = 3}};
    size_t n;
    (void)state;
    weir_heap_init(&h, before);
    for (int k = 0; k < 3; k++) {
        weir_heap_node_init(&i[k].node);
        weir_heap_push(&h, &i[k].node);
    }
    CHECK_INT(weir_heap_validate(&h, &n), 0);
    i[1].key = 0;
    CHECK(weir_heap_validate(&h, &n) != 0);
    i[1].key = 2;
    weir_heap_node *was = i[1].node.prev;
    i[1].node.prev = &i[1].node;
    CHECK(weir_heap_validate(&h, &n) != 0);
    i[1].node.prev = was;
    i[0].node.next = &i[1].node;
    CHECK(weir_heap_validate(&h, &n) != 0);
    i[0].node.next = NULL;
    CHECK_INT(weir_heap_validate(&h, &n), 0);
    CHECK_INT(n, 3);
}

/* Neither a chain nor a fan of a hundred thousand costs stack, and none costs n at each pop. */
static void large_ones_are_cheap(void **state)
{
    enum { N = 100000 };
    item *items = calloc(N, sizeof *items);
    (void)state;
    assert_non_null(items);
    for (int falling = 0; falling < 2; falling++) {
        weir_heap h;
        size_t n;
        weir_heap_init(&h, before);
        n_compared = 0;
        for (uint32_t i = 0; i < N; i++) {
            items[i].key = falling ? N - i : i;
            items[i].seq = i;
            weir_heap_node_init(&items[i].node);
            weir_heap_push(&h, &items[i].node);
        }
        CHECK(n_compared <= N);
        CHECK_INT(weir_heap_validate(&h, &n), 0);
        CHECK_INT(n, N);
        n_compared = 0;
        for (uint32_t i = 1; i < N; i += 2) /* every other one out of the middle */
            weir_heap_remove(&h, &items[i].node);
        uint32_t last = 0;
        for (uint32_t i = 0; i < N / 2; i++) {
            item *it = weir_container(weir_heap_pop(&h), item, node);
            CHECK(it->key >= last);
            last = it->key;
        }
        CHECK(weir_heap_pop(&h) == NULL);
        CHECK(n_compared <= UINT64_C(40) * N); /* 2 log2 n each would be 34 */
        check_figure("comparisons_per_removal", n_compared / N);
    }
    free(items);
}

int main(void)
{
    const struct CMUnitTest heap[] = {
        cmocka_unit_test(is_empty_at_first),
        cmocka_unit_test(a_node_knows_whether_it_is_in),
        cmocka_unit_test(random_operations_match_a_sorted_array),
        cmocka_unit_test(validate_sees_what_is_broken),
        cmocka_unit_test(large_ones_are_cheap),
    };
    return CHECK_MAIN(heap);
}
