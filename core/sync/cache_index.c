/* sync/cache_index.c - the hash table of the cache: growing and shrinking by single buckets. */
#include "cache_index.h"

#include <weir/runtime.h>

void weir__index_init(weir_runtime *rt, weir_index *x, size_t key_at)
{
    *x = (weir_index){.rt = rt, .key_at = (uint32_t)key_at};
}

static size_t segment_bytes(void)
{
    return WEIR_INDEX_SEGMENT * sizeof(weir_cache_node *);
}

static uint32_t segments_in_use(const weir_index *x)
{
    return (x->buckets + WEIR_INDEX_SEGMENT - 1) >> WEIR_INDEX_BITS;
}

void weir__index_fini(weir_index *x)
{
    uint32_t n = segments_in_use(x);
    for (uint32_t i = 0; i < n; i++)
        weir_alloc(x->rt, x->segments[i], segment_bytes(), 0);
    if (x->segments != NULL)
        weir_alloc(x->rt, x->segments, x->room * sizeof *x->segments, 0);
    weir__index_init(x->rt, x, x->key_at);
}

/* Room for one segment more. 0 if memory is short. */
static int widen(weir_index *x, uint32_t used)
{
    uint32_t room = x->room == 0 ? 4 : x->room * 2;
    if (used < x->room)
        return 1;
    void *p =
        weir_alloc(x->rt, x->segments, x->room * sizeof *x->segments, room * sizeof *x->segments);
    if (p == NULL)
        return 0;
    x->segments = p;
    x->room = room;
    return 1;
}

static int add_segment(weir_index *x)
{
    uint32_t used = segments_in_use(x);
    if (!widen(x, used))
        return 0;
    x->segments[used] = weir_alloc(x->rt, NULL, 0, segment_bytes());
    return x->segments[used] != NULL;
}

static weir_cache_node **at(const weir_index *x, uint32_t i)
{
    return &x->segments[i >> WEIR_INDEX_BITS][i & (WEIR_INDEX_SEGMENT - 1)];
}

int weir__index_reserve(weir_index *x)
{
    if (x->buckets > 0)
        return 0;
    if (!add_segment(x))
        return WEIR_ENOMEM;
    memset(x->segments[0], 0, segment_bytes());
    x->buckets = WEIR_INDEX_SEGMENT;
    x->mask = WEIR_INDEX_SEGMENT - 1;
    return 0;
}

/* Bucket `buckets` comes to be, with its share of the one it was part of. 0 if memory is short. */
static int split(weir_index *x)
{
    uint32_t i = x->buckets;
    if (i == UINT32_C(1) << 31 || ((i & (WEIR_INDEX_SEGMENT - 1)) == 0 && !add_segment(x)))
        return 0;
    uint32_t bit = x->mask + 1;
    weir_cache_node **from = at(x, i - bit), **to = at(x, i);
    *to = NULL;
    for (weir_cache_node *n = *from; n != NULL; n = *from) {
        if (n->hash & bit) {
            *from = n->chain;
            n->chain = *to;
            *to = n;
        } else {
            from = &n->chain;
        }
    }
    x->buckets = i + 1;
    if (x->buckets == 2 * bit)
        x->mask = 2 * bit - 1;
    return 1;
}

/* The last bucket goes back to the one it was split from. */
static void merge(weir_index *x)
{
    if (x->buckets == x->mask + 1)
        x->mask >>= 1;
    uint32_t i = x->buckets - 1;
    weir_cache_node **end = at(x, i - x->mask - 1);
    while (*end != NULL)
        end = &(*end)->chain;
    *end = *at(x, i);
    if ((i & (WEIR_INDEX_SEGMENT - 1)) == 0)
        weir_alloc(x->rt, x->segments[i >> WEIR_INDEX_BITS], segment_bytes(), 0);
    x->buckets = i;
}

void weir__index_add(weir_index *x, weir_cache_node *node)
{
    x->n++;
    for (int i = 0; i < 2 && x->n > x->buckets; i++) /* two: to make up for what failed before */
        if (!split(x))
            break;
    weir_cache_node **bucket = weir__index_bucket(x, node->hash);
    node->chain = *bucket;
    *bucket = node;
}

void weir__index_remove(weir_index *x, weir_cache_node *node)
{
    weir_cache_node **at_node = weir__index_bucket(x, node->hash);
    while (*at_node != node)
        at_node = &(*at_node)->chain;
    *at_node = node->chain;
    node->chain = NULL;
    x->n--;
    for (int i = 0; i < 2; i++) /* two: buckets go faster than nodes, down to three for four */
        if (x->buckets > WEIR_INDEX_SEGMENT && x->n < x->buckets - x->buckets / 4)
            merge(x);
}

int weir__index_validate(const weir_index *x)
{
    uint32_t n = 0;
    if (x->buckets == 0)
        return x->n != 0 ? __LINE__ : 0;
    if ((x->mask & (x->mask + 1)) != 0 || x->buckets <= x->mask || x->buckets > 2 * x->mask + 1)
        return __LINE__;
    if (segments_in_use(x) > x->room)
        return __LINE__;
    for (uint32_t i = 0; i < x->buckets; i++) {
        for (const weir_cache_node *k = *at(x, i); k != NULL; k = k->chain, n++) {
            const unsigned char *key = (const unsigned char *)k + x->key_at;
            if (weir__index_bucket(x, k->hash) != at(x, i) || n > x->n)
                return __LINE__;
            if (weir__index_find(x, k->hash, key, k->length) != k)
                return __LINE__; /* two of one key */
        }
    }
    return n != x->n ? __LINE__ : 0;
}
