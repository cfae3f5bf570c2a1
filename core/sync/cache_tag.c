/* sync/cache_tag.c - tags: names by which entries are deleted together.
 *
 * A tag is a record in an index of its own while something has it; each (tag, owner) is a link in
 * the tag's list. Deleting a tag deletes its entries and discards its loads; and a load that
 * began before and says only later that it has the tag must store nothing either. So while loads
 * are out a deleted tag is remembered with its number, until every load then out has ended. Past
 * WEIR_CACHE_TAGS of them (or without memory for one) the number alone is kept, and a load from
 * before it that gets any tag is discarded: too much is forgotten then, never too little.
 */
#include "cache.h"

uint64_t weir__tag_cost(const weir_tag *t)
{
    return weir__malloced(sizeof *t + t->node.length) + sizeof(void *);
}

uint64_t weir__tag_link_cost(void)
{
    return weir__malloced(sizeof(weir_tag_link));
}

static weir_tag *tag_find(const weir_cache *c, uint32_t hash, const void *name, size_t n)
{
    return (weir_tag *)(void *)weir__index_find(&c->tags, hash, name, n);
}

/* In the index, with nothing that has it. */
static weir_tag *tag_new(weir_cache *c, uint32_t hash, const void *name, size_t n)
{
    if (n > UINT32_MAX || weir__index_reserve(&c->tags) != 0)
        return NULL;
    weir_tag *t = weir_alloc(c->rt, NULL, 0, sizeof *t + n);
    if (t == NULL)
        return NULL;
    *t = (weir_tag){.node = {NULL, hash, (uint32_t)n}, .epoch = c->epoch};
    weir_list_init(&t->links);
    memcpy(t->key, name, n);
    weir__index_add(&c->tags, &t->node);
    return t;
}

static void free_unused(weir_cache *c, weir_tag *t)
{
    if (!weir_list_is_empty(&t->links) || weir_link_is_linked(&t->link))
        return;
    if (t->epoch == c->epoch)
        weir__index_remove(&c->tags, &t->node);
    weir_alloc(c->rt, t, sizeof *t + t->node.length, 0);
}

/* --- links ----------------------------------------------------------------------------------- */

static int has(const weir_tag_link *list, const weir_tag *t)
{
    while (list != NULL && list->tag != t)
        list = list->next;
    return list != NULL;
}

/* `e` has it now, and pays. */
static void to_entry(weir_cache *c, weir_tag_link *l, weir_entry *e)
{
    l->load = NULL;
    l->entry = e;
    l->next = e->tags;
    e->tags = l;
    c->bytes += weir__tag_link_cost();
    if (l->tag->n_entries++ == 0)
        c->bytes += weir__tag_cost(l->tag);
}

static void drop(weir_cache *c, weir_tag_link *l)
{
    weir_tag *t = l->tag;
    if (l->entry != NULL) {
        c->bytes -= weir__tag_link_cost();
        if (--t->n_entries == 0)
            c->bytes -= weir__tag_cost(t);
    }
    weir_link_remove(&l->link);
    weir_alloc(c->rt, l, sizeof *l, 0);
    free_unused(c, t);
}

static void drop_all(weir_cache *c, weir_tag_link **list)
{
    for (weir_tag_link *l = *list, *next; l != NULL; l = next) {
        next = l->next;
        drop(c, l);
    }
    *list = NULL;
}

void weir__entry_untag(weir_cache *c, weir_entry *e)
{
    drop_all(c, &e->tags);
}

void weir__load_untag(weir_cache *c, weir_load *load)
{
    drop_all(c, &load->tags);
}

void weir__tags_move(weir_cache *c, weir_load *load, weir_entry *e)
{
    for (weir_tag_link *l = load->tags, *next; l != NULL; l = next) {
        next = l->next;
        if (has(e->tags, l->tag))
            drop(c, l);
        else
            to_entry(c, l, e);
    }
    load->tags = NULL;
}

uint64_t weir__tags_cost(const weir_load *load, const weir_entry *e)
{
    uint64_t cost = 0;
    for (const weir_tag_link *l = e != NULL ? e->tags : NULL; l != NULL; l = l->next)
        cost += weir__tag_link_cost() + weir__tag_cost(l->tag);
    for (const weir_tag_link *l = load != NULL ? load->tags : NULL; l != NULL; l = l->next)
        if (e == NULL || !has(e->tags, l->tag))
            cost += weir__tag_link_cost() + weir__tag_cost(l->tag);
    return cost;
}

/* --- tagging --------------------------------------------------------------------------------- */

static weir_tag_link *link_new(weir_cache *c)
{
    weir_tag_link *l = weir_alloc(c->rt, NULL, 0, sizeof *l);
    if (l != NULL)
        *l = (weir_tag_link){.tag = NULL};
    return l;
}

static void link_free(weir_cache *c, weir_tag_link *l)
{
    if (l != NULL)
        weir_alloc(c->rt, l, sizeof *l, 0);
}

static void tag_entry(weir_cache *c, weir_tag *t, weir_tag_link *l, weir_entry *e)
{
    l->tag = t;
    weir_list_push(&t->links, &l->link);
    to_entry(c, l, e);
    uint64_t alone = weir__sum(weir__entry_cost(e->node.length, e->size), weir__tags_cost(NULL, e));
    if (alone <= c->options.max_bytes) {
        weir__cache_trim(c, e);
        return;
    }
    c->stats.evicted++; /* not even alone */
    weir__entry_remove(c, e);
}

static void tag_load(weir_tag *t, weir_tag_link *l, weir_load *load)
{
    l->tag = t;
    weir_list_push(&t->links, &l->link);
    l->load = load;
    l->next = load->tags;
    load->tags = l;
}

int weir_cache_tag(weir_cache *c, const void *key, size_t length, const void *tag, size_t n)
{
    uint32_t key_hash = weir__hash(&c->hash_key, key, length);
    uint32_t hash = weir__hash(&c->hash_key, tag, n);
    weir_load *load = weir__load_find(c, key_hash, key, length);
    weir_entry *e = (weir_entry *)(void *)weir__index_find(&c->entries, key_hash, key, length);
    weir_tag *t = tag_find(c, hash, tag, n);
    weir_tag_link *for_load = NULL, *for_entry = NULL;
    if (load != NULL && (load->begun < c->forgotten || (t != NULL && load->begun < t->deleted))) {
        weir__load_discard(c, load);
        load = NULL;
        t = tag_find(c, hash, tag, n);
    }
    if (load != NULL && t != NULL && has(load->tags, t))
        load = NULL;
    if (e != NULL && t != NULL && has(e->tags, t))
        e = NULL;
    if (load == NULL && e == NULL)
        return 0;
    if ((load != NULL && (for_load = link_new(c)) == NULL) ||
        (e != NULL && (for_entry = link_new(c)) == NULL) ||
        (t == NULL && (t = tag_new(c, hash, tag, n)) == NULL)) {
        link_free(c, for_load);
        link_free(c, for_entry);
        return WEIR_ENOMEM;
    }
    if (load != NULL)
        tag_load(t, for_load, load);
    if (e != NULL)
        tag_entry(c, t, for_entry, e);
    return 0;
}

/* --- deletion -------------------------------------------------------------------------------- */

static void forget(weir_cache *c, weir_tag *t)
{
    weir_link_remove(&t->link);
    t->deleted = 0;
    c->n_deleted_tags--;
    free_unused(c, t);
}

static void forget_until(weir_cache *c, uint64_t number)
{
    weir_link *k;
    while ((k = weir_list_first(&c->deleted_tags)) != NULL) {
        weir_tag *t = weir_container(k, weir_tag, link);
        if (t->deleted > number)
            break;
        forget(c, t);
    }
}

void weir__tags_forget(weir_cache *c)
{
    weir_link *oldest = weir_list_first(&c->loads);
    forget_until(c, oldest == NULL ? UINT64_MAX : weir_container(oldest, weir_load, link)->begun);
}

/* Loads are out: whichever of them turns out to have `tag` is not to store. */
static void remember(weir_cache *c, uint32_t hash, const void *tag, size_t n)
{
    weir_tag *t = tag_find(c, hash, tag, n);
    if (t == NULL && (t = tag_new(c, hash, tag, n)) == NULL) {
        c->forgotten = c->tag_deletions;
        forget_until(c, c->forgotten);
        return;
    }
    if (weir_link_is_linked(&t->link))
        weir_link_remove(&t->link);
    else
        c->n_deleted_tags++;
    t->deleted = c->tag_deletions;
    weir_list_push(&c->deleted_tags, &t->link);
    if (c->n_deleted_tags > WEIR_CACHE_TAGS) {
        weir_link *oldest = weir_list_first(&c->deleted_tags);
        c->forgotten = weir_container(oldest, weir_tag, link)->deleted;
        forget_until(c, c->forgotten);
    }
}

uint32_t weir_cache_delete_tag(weir_cache *c, const void *tag, size_t n)
{
    uint32_t hash = weir__hash(&c->hash_key, tag, n), deleted = 0;
    weir_tag *t;
    weir_link *k;
    c->tag_deletions++;
    while ((t = tag_find(c, hash, tag, n)) != NULL && (k = weir_list_first(&t->links)) != NULL) {
        weir_tag_link *l = weir_container(k, weir_tag_link, link);
        weir_entry *e = l->entry;
        weir_load *load = l->load;
        if (e != NULL) {
            deleted++;
            load = weir__load_find(c, e->node.hash, e->key, e->node.length);
            weir__entry_detach(c, e);
            weir_list_push(&c->doomed, &e->link);
        }
        if (load != NULL)
            weir__load_discard(c, load);
    }
    c->stats.deleted += deleted;
    if (!weir_list_is_empty(&c->loads))
        remember(c, hash, tag, n);
    if (!weir_list_is_empty(&c->doomed))
        weir__cache_reap(c, WEIR_CACHE_SLICE);
    return deleted;
}
