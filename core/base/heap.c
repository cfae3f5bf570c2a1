/* base/heap.c - intrusive pairing heap.
 *
 * A tree in which nobody comes before its parent; children are a list through `next`, newest
 * first. All work is merging: of two trees, the one whose root comes later becomes the other's
 * first child. A removed node's children are merged in pairs from left to right, then the pairs
 * from right to left, which is what makes it logarithmic over time. No recursion: a tree may be
 * one long chain. (Fredman, Sedgewick, Sleator and Tarjan, "The pairing heap", 1986.)
 */
#include <weir/heap.h>

/* Two roots to one; either may be NULL. A root has neither next nor prev. */
static weir_heap_node *merge(const weir_heap *h, weir_heap_node *a, weir_heap_node *b)
{
    if (a == NULL || b == NULL)
        return a != NULL ? a : b;
    if (h->_before(b, a)) {
        weir_heap_node *t = a;
        a = b;
        b = t;
    }
    b->prev = a;
    b->next = a->child;
    if (b->next != NULL)
        b->next->prev = b;
    a->child = b;
    return a;
}

/* The siblings from `n` on to one root. */
static weir_heap_node *merge_siblings(const weir_heap *h, weir_heap_node *n)
{
    weir_heap_node *pairs = NULL, *root = NULL;
    while (n != NULL) {
        weir_heap_node *a = n, *b = n->next;
        n = b != NULL ? b->next : NULL;
        a->next = a->prev = NULL;
        if (b != NULL)
            b->next = b->prev = NULL;
        a = merge(h, a, b);
        a->next = pairs; /* last pair first */
        pairs = a;
    }
    while (pairs != NULL) {
        weir_heap_node *rest = pairs->next;
        pairs->next = NULL;
        root = merge(h, root, pairs);
        pairs = rest;
    }
    return root;
}

void weir_heap_push(weir_heap *h, weir_heap_node *n)
{
    assert(!weir_heap_node_is_linked(n));
    n->child = n->next = n->prev = NULL;
    h->_top = merge(h, h->_top, n);
}

void weir_heap_remove(weir_heap *h, weir_heap_node *n)
{
    assert(weir_heap_node_is_linked(n));
    weir_heap_node *orphans = merge_siblings(h, n->child);
    if (n == h->_top) {
        h->_top = orphans;
    } else {
        if (n->prev->child == n)
            n->prev->child = n->next;
        else
            n->prev->next = n->next;
        if (n->next != NULL)
            n->next->prev = n->prev;
        h->_top = merge(h, h->_top, orphans);
    }
    weir_heap_node_init(n);
}

weir_heap_node *weir_heap_pop(weir_heap *h)
{
    weir_heap_node *n = h->_top;
    if (n != NULL)
        weir_heap_remove(h, n);
    return n;
}

/* Depth first. A family is looked at when its parent is; the way back up is along `prev`, from the
 * last child through its elders. */
int weir_heap_validate(const weir_heap *h, size_t *n)
{
    const weir_heap_node *at = h->_top;
    *n = 0;
    if (at == NULL)
        return 0;
    if (at->prev != NULL || at->next != NULL)
        return __LINE__;
    for (;;) {
        const weir_heap_node *before = at;
        ++*n;
        for (const weir_heap_node *k = at->child; k != NULL; before = k, k = k->next)
            if (k->prev != before || h->_before(k, at))
                return __LINE__;
        if (at->child != NULL) {
            at = at->child;
            continue;
        }
        while (at->next == NULL) { /* up to where a sibling is left */
            while (at != h->_top && at->prev->child != at)
                at = at->prev;
            if (at == h->_top)
                return 0;
            at = at->prev;
        }
        at = at->next;
    }
}
