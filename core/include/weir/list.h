/* weir/list.h - intrusive doubly linked list that knows whether a node is linked.
 *
 * A list is a ring through its head. A node that is in no list has next == NULL: double
 * insertion and double removal die at the spot (assert) instead of corrupting a ring.
 */
#ifndef WEIR_LIST_H
#define WEIR_LIST_H
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

typedef struct weir_link {
    struct weir_link *next, *prev;
} weir_link;

typedef struct weir_list {
    weir_link head;
} weir_list;

/* The struct that holds `member` at address `ptr`. */
#define weir_container(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

static inline void weir_list_init(weir_list *l)
{
    l->head.next = l->head.prev = &l->head;
}

static inline void weir_link_init(weir_link *n)
{
    n->next = n->prev = NULL;
}

static inline int weir_link_is_linked(const weir_link *n)
{
    return n->next != NULL;
}

static inline int weir_list_is_empty(const weir_list *l)
{
    return l->head.next == &l->head;
}

/* The first, or NULL. */
static inline weir_link *weir_list_first(const weir_list *l)
{
    return l->head.next == &l->head ? NULL : l->head.next;
}

/* The node after `n` in `l`, or NULL at the end. */
static inline weir_link *weir_list_next(const weir_list *l, const weir_link *n)
{
    return n->next == &l->head ? NULL : n->next;
}

/* Put `n` before `before`, a link or a list's head. What is put into a list is in none, stays the
 * caller's memory, and stays put while it is in. */
static inline void weir_link_insert(weir_link *before, weir_link *n)
{
    assert(!weir_link_is_linked(n));
    n->next = before;
    n->prev = before->prev;
    before->prev->next = n;
    before->prev = n;
}

/* At the end. */
static inline void weir_list_push(weir_list *l, weir_link *n)
{
    weir_link_insert(&l->head, n);
}

static inline void weir_list_push_front(weir_list *l, weir_link *n)
{
    weir_link_insert(l->head.next, n);
}

/* Out of the list it is in, whichever that is. */
static inline void weir_link_remove(weir_link *n)
{
    assert(weir_link_is_linked(n));
    n->prev->next = n->next;
    n->next->prev = n->prev;
    n->next = n->prev = NULL;
}

/* Remove and return the first, NULL if there is none. */
static inline weir_link *weir_list_pop(weir_list *l)
{
    weir_link *n = weir_list_first(l);
    if (n != NULL)
        weir_link_remove(n);
    return n;
}

/* Move all of `from` to the end of `to`, order kept; `from` is empty afterwards. O(1). */
static inline void weir_list_append(weir_list *to, weir_list *from)
{
    if (weir_list_is_empty(from))
        return;
    from->head.next->prev = to->head.prev;
    to->head.prev->next = from->head.next;
    from->head.prev->next = &to->head;
    to->head.prev = from->head.prev;
    weir_list_init(from);
}

#endif
