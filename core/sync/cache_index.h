/* sync/cache_index.h - hash table of nodes by their keys, which grows one bucket at a time.
 *
 * Linear hashing with chains: while there are more nodes than buckets, each insertion splits one
 * bucket; while there are far fewer, each removal merges two. So no call ever moves more than
 * two chains, a million keys or not, and the buckets in use take a pointer a node. They stand in
 * segments found through a directory. (Litwin, "Linear hashing", 1980; Larson, "Dynamic hash
 * tables", 1988.) The nodes are the caller's memory; their hashes must be those of a keyed hash.
 *
 * Invariant: mask + 1 is a power of two, mask < buckets < 2 * mask + 2; a node is in bucket
 * hash & (2 * mask + 1) if that is below `buckets`, else in hash & mask.
 */
#ifndef WEIR_SYNC_CACHE_INDEX_H
#define WEIR_SYNC_CACHE_INDEX_H
#include <string.h>

#include <weir/cache.h>

#include <weir/begin.h>

#ifdef WEIR_STRESS
#define WEIR_INDEX_BITS 2 /* few keys are many segments */
#else
#define WEIR_INDEX_BITS 7
#endif
#define WEIR_INDEX_SEGMENT (1u << WEIR_INDEX_BITS) /* buckets of one */

typedef struct weir_index {
    weir_runtime *rt;
    weir_cache_node ***segments; /* `room` pointers; the first ones are in use */
    uint32_t n;                  /* nodes */
    uint32_t buckets;            /* 0 before the first node */
    uint32_t mask;
    uint32_t room;
    uint32_t key_at; /* from a node to its key, in bytes */
} weir_index;

void weir__index_init(weir_runtime *rt, weir_index *x, size_t key_at);
/* Forget all nodes; as after init. O(buckets / 128). */
void weir__index_fini(weir_index *x);

/* Make sure that the next add has what it needs. WEIR_ENOMEM only if there is no bucket at all: a
 * table that cannot grow goes on with longer chains. */
int weir__index_reserve(weir_index *x);
/* Add a node whose hash and length are set and whose key is not in the table. After reserve. */
void weir__index_add(weir_index *x, weir_cache_node *node);
void weir__index_remove(weir_index *x, weir_cache_node *node);

int weir__index_validate(const weir_index *x);

static inline weir_cache_node **weir__index_bucket(const weir_index *x, uint32_t hash)
{
    uint32_t i = hash & (2 * x->mask + 1);
    if (i >= x->buckets)
        i &= x->mask;
    return &x->segments[i >> WEIR_INDEX_BITS][i & (WEIR_INDEX_SEGMENT - 1)];
}

/* Short keys are the rule: a call of memcmp would be half of a look-up. */
static inline int weir__index_same(const unsigned char *a, const unsigned char *b, size_t n)
{
    uint64_t x, y;
    if (n < 8 || n > 32)
        return memcmp(a, b, n) == 0;
    for (size_t i = 0; i + 8 < n; i += 8) {
        memcpy(&x, a + i, 8);
        memcpy(&y, b + i, 8);
        if (x != y)
            return 0;
    }
    memcpy(&x, a + n - 8, 8);
    memcpy(&y, b + n - 8, 8);
    return x == y;
}

static inline weir_cache_node *weir__index_find(const weir_index *x, uint32_t hash, const void *key,
                                                size_t length)
{
    if (x->n == 0)
        return NULL;
    for (weir_cache_node *n = *weir__index_bucket(x, hash); n != NULL; n = n->chain)
        if (n->hash == hash && n->length == length &&
            weir__index_same((unsigned char *)n + x->key_at, key, length))
            return n;
    return NULL;
}

#include <weir/end.h>
#endif
