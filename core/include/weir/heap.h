/* weir/heap.h - intrusive pairing heap: first, push, and removal of any node.
 *
 * The nodes are the caller's memory; nothing is allocated. Push and first are O(1), pop and
 * remove O(log n) amortised. The order is the caller's and must be strict and stable while a
 * node is in: to change a node's rank, remove it and push it again. A node that is in no heap
 * knows it: double insertion and double removal die at the spot (assert).
 */
#ifndef WEIR_HEAP_H
#define WEIR_HEAP_H
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include <weir/begin.h>

typedef struct weir_heap_node {
    struct weir_heap_node *child; /* first of its children */
    struct weir_heap_node *next;  /* sibling */
    struct weir_heap_node *prev;  /* sibling, or parent of a first child; NULL at the top; itself
                                     while in no heap */
} weir_heap_node;

/* Does `a` come before `b`? */
typedef int (*weir_heap_before_fn)(const weir_heap_node *a, const weir_heap_node *b);

typedef struct weir_heap {
    weir_heap_node *_top;
    weir_heap_before_fn _before;
} weir_heap;

static inline void weir_heap_init(weir_heap *h, weir_heap_before_fn before)
{
    h->_top = NULL;
    h->_before = before;
}

static inline void weir_heap_node_init(weir_heap_node *n)
{
    n->child = n->next = NULL;
    n->prev = n;
}

static inline int weir_heap_node_is_linked(const weir_heap_node *n)
{
    return n->prev != n;
}

/* The node that no other comes before, or NULL. */
static inline weir_heap_node *weir_heap_first(const weir_heap *h)
{
    return h->_top;
}

/* `n` (borrowed while it is in) is in no heap, for push; in this one, for remove. */
void weir_heap_push(weir_heap *h, weir_heap_node *n);
void weir_heap_remove(weir_heap *h, weir_heap_node *n);

/* Remove and return the first, NULL if there is none. */
weir_heap_node *weir_heap_pop(weir_heap *h);

/* 0, or the line number of the broken invariant; *n is how many nodes there are. */
int weir_heap_validate(const weir_heap *h, size_t *n);

#include <weir/end.h>
#endif
