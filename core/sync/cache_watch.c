/* sync/cache_watch.c - what is said of a cache without changing it. */
#include "cache.h"

uint32_t weir_cache_count(const weir_cache *c)
{
    return c->entries.n;
}

uint32_t weir_cache_waiting(const weir_cache *c)
{
    return c->waiting;
}

uint32_t weir_cache_loading(const weir_cache *c)
{
    return c->loading.n;
}

uint64_t weir_cache_bytes(const weir_cache *c)
{
    return c->bytes;
}

const weir_cache_stats *weir_cache_get_stats(const weir_cache *c)
{
    return &c->stats;
}

int weir_cache_is_closed(const weir_cache *c)
{
    return c->closed;
}

const char *weir_cache_name(const weir_cache *c)
{
    return c->name;
}

uint64_t weir_cache_retry_after(const weir_cache *c)
{
    const weir_histogram *h = &c->stats.load;
    weir_link *k = weir_list_first(&c->loads);
    if (k == NULL || h->count == 0)
        return 0;
    uint64_t mean = h->sum / h->count;
    uint64_t age = c->rt->now - weir_container(k, weir_load, link)->flight.since;
    return age < mean ? mean - age : 0;
}

/* --- invariants ------------------------------------------------------------------------------ */

/* The bytes of a list of entries, or UINT64_MAX if one is not as it must be. */
static uint64_t sum_entries(const weir_cache *c, const weir_list *list, int indexed, uint32_t *n)
{
    uint64_t bytes = 0;
    int hand = c->hand == NULL, sweep = c->sweep == NULL;
    for (weir_link *k = weir_list_first(list); k != NULL; k = weir_list_next(list, k)) {
        const weir_entry *e = weir__entry_at(k);
        ++*n;
        bytes += weir__entry_cost(e->node.length, e->size);
        hand |= c->hand == k;
        sweep |= c->sweep == k;
        if (indexed &&
            weir__index_find(&c->entries, e->node.hash, e->key, e->node.length) != &e->node)
            return UINT64_MAX;
        for (const weir_tag_link *l = e->tags; l != NULL; l = l->next) {
            bytes += weir__tag_link_cost();
            if (l->entry != e || l->load != NULL || (l->tag->epoch == c->epoch) != indexed)
                return UINT64_MAX;
        }
    }
    return indexed && !(hand && sweep) ? UINT64_MAX : bytes;
}

/* The first entry of a tag pays for it. */
static uint64_t sum_tags(const weir_list *list)
{
    uint64_t bytes = 0;
    for (weir_link *k = weir_list_first(list); k != NULL; k = weir_list_next(list, k)) {
        for (const weir_tag_link *l = weir__entry_at(k)->tags; l != NULL; l = l->next) {
            const weir_link *first = weir_list_first(&l->tag->links);
            while (weir_container(first, weir_tag_link, link)->entry == NULL)
                first = first->next;
            if (first == &l->link)
                bytes += weir__tag_cost(l->tag);
        }
    }
    return bytes;
}

static int validate_entries(const weir_cache *c)
{
    uint32_t n = 0, n_doomed = 0;
    uint64_t live = sum_entries(c, &c->order, 1, &n);
    uint64_t doomed = sum_entries(c, &c->doomed, 0, &n_doomed);
    if (live == UINT64_MAX || doomed == UINT64_MAX || n != c->entries.n)
        return __LINE__;
    if (live + doomed + sum_tags(&c->order) + sum_tags(&c->doomed) != c->bytes)
        return __LINE__;
    if (n > c->options.max || c->bytes > c->options.max_bytes || (c->closed && n > 0))
        return __LINE__;
    if ((n_doomed > 0) != weir_link_is_linked(&c->quiet.link))
        return __LINE__;
    return weir__index_validate(&c->entries);
}

static int validate_loads(const weir_cache *c, const weir_list *list, int indexed,
                          uint32_t *waiting)
{
    uint32_t n = 0;
    for (weir_link *k = weir_list_first(list); k != NULL; k = weir_list_next(list, k), n++) {
        const weir_load *load = weir_container(k, weir_load, link);
        const weir_list *w = &load->flight.waiters;
        int line = weir_flight_validate(&load->flight);
        if (line != 0)
            return line;
        if (load->of != c || load->indexed != indexed || (!indexed && load->tags != NULL))
            return __LINE__;
        if (indexed && (load->flight.state != WEIR_FLIGHT_FLYING ||
                        weir__load_find(c, load->node.hash, load->key, load->length) != load))
            return __LINE__;
        for (weir_link *i = weir_list_first(w); i != NULL; i = weir_list_next(w, i))
            ++*waiting;
    }
    return indexed && n != c->loading.n ? __LINE__ : 0;
}

static int validate_tags(const weir_cache *c)
{
    uint32_t n = 0;
    uint64_t last = c->forgotten;
    for (weir_link *k = weir_list_first(&c->deleted_tags); k != NULL;
         k = weir_list_next(&c->deleted_tags, k), n++) {
        const weir_tag *t = weir_container(k, weir_tag, link);
        if (t->deleted <= last || t->deleted > c->tag_deletions || t->epoch != c->epoch)
            return __LINE__;
        last = t->deleted;
    }
    if (n != c->n_deleted_tags || (n > 0 && weir_list_is_empty(&c->loads)))
        return __LINE__;
    return weir__index_validate(&c->tags);
}

int weir_cache_validate(const weir_cache *c)
{
    uint32_t waiting = 0;
    int line = validate_entries(c);
    if (line == 0)
        line = validate_loads(c, &c->loads, 1, &waiting);
    if (line == 0)
        line = validate_loads(c, &c->strays, 0, &waiting);
    if (line == 0 && waiting != c->waiting)
        line = __LINE__;
    if (line == 0)
        line = weir__index_validate(&c->loading);
    return line != 0 ? line : validate_tags(c);
}
