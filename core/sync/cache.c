/* sync/cache.c - look-ups, loads and what they bring, and what makes it forgotten.
 *
 * DESIGN. Two tables: entries, and the loads that may still store. A hit looks at the first alone.
 * Whatever makes older data wrong (set, delete, clear, a tag's deletion) takes the key's load out
 * of the second before anything else: then it can store nothing, nobody finds it, and those who
 * wait for it keep it alive. So "nothing older becomes visible" needs no version numbers, and
 * a key whose load was taken out can have a new one beside it.
 *
 * The embedder's code runs in `drop` and in a flight's `abandon` only: the first may not call back,
 * the second may make other loads leave, so no loop here trusts a link over a discard.
 */
#include "cache.h"

#include <math.h>

static const weir_flight_keeper keeper;

static weir_cache *cache_of(const weir_flight *f)
{
    return ((const weir_load *)(const void *)f)->of;
}

static inline uint32_t hash_of(const weir_cache *c, const void *key, size_t length)
{
    return weir__hash(&c->hash_key, key, length);
}

static weir_entry *find(const weir_cache *c, uint32_t hash, const void *key, size_t length)
{
    return (weir_entry *)(void *)weir__index_find(&c->entries, hash, key, length);
}

weir_load *weir__load_find(const weir_cache *c, uint32_t hash, const void *key, size_t length)
{
    weir_cache_node *n = weir__index_find(&c->loading, hash, key, length);
    return n == NULL ? NULL : weir_container(n, weir_load, node);
}

/* --- life ----------------------------------------------------------------------------------- */

int weir_cache_new(weir_runtime *rt, const weir_cache_ops *ops, const weir_cache_options *options,
                   const char *name, weir_cache **out)
{
    const weir_cache_options *o = options;
    if (!(o->jitter >= 0 && o->jitter <= 1) || !(o->early >= 0 && o->early <= 1e6) || o->max == 0 ||
        o->max_bytes == 0)
        return WEIR_EINVAL;
    weir_cache *c = weir_alloc(rt, NULL, 0, sizeof *c);
    if (c == NULL)
        return WEIR_ENOMEM;
    *c = (weir_cache){.rt = rt, .ops = ops, .options = *options, .name = name};
    weir__hash_init(&c->hash_key, rt->env.random, rt->env.ctx);
    weir__index_init(rt, &c->entries, offsetof(weir_entry, key));
    weir__index_init(rt, &c->loading, offsetof(weir_load, key) - offsetof(weir_load, node));
    weir__index_init(rt, &c->tags, offsetof(weir_tag, key));
    weir_list_init(&c->order);
    weir_list_init(&c->loads);
    weir_list_init(&c->strays);
    weir_list_init(&c->deleted_tags);
    weir_list_init(&c->doomed);
    weir_quiet_init(&c->quiet, weir__cache_quiet);
    *out = c;
    return 0;
}

void weir_cache_free(weir_cache *c)
{
    weir_cache_clear(c);
    weir__cache_reap(c, UINT32_MAX);
    for (weir_link *k; (k = weir_list_pop(&c->strays)) != NULL;)
        weir_container(k, weir_load, link)->of = NULL;
    weir__index_fini(&c->loading);
    assert(c->bytes == 0);
    weir_alloc(c->rt, c, sizeof *c, 0);
}

void weir_cache_set_data(weir_cache *c, void *data)
{
    c->data = data;
}

void *weir_cache_data(const weir_cache *c)
{
    return c->data;
}

/* --- look-ups ------------------------------------------------------------------------------- */

static weir_answer have(const weir_entry *e, weir_found found, int refresh)
{
    return (weir_answer){found, refresh, e->value, NULL};
}

/* One would have to wait: for `load`, or for one to be begun. */
static weir_answer must_wait(weir_cache *c, weir_load *load)
{
    if (c->waiting >= c->options.max_waiting) {
        c->stats.overload++;
        return (weir_answer){WEIR_FOUND_FULL, 0, 0, load};
    }
    c->stats.misses++;
    c->stats.joined += load != NULL;
    return (weir_answer){load != NULL ? WEIR_FOUND_FLIGHT : WEIR_FOUND_NOTHING, 0, 0, load};
}

/* XFetch: each hit refreshes with a chance that grows towards the end, the sooner the longer a load
 * takes, so that of many hits about one does before the value is stale. -ln(u) is below 37. */
static int is_early(weir_cache *c, const weir_entry *e, uint64_t left)
{
    double gap = (double)e->load_time * c->options.early;
    if (e->flags & WEIR_ENTRY_RESTING || (double)left > gap * 37)
        return 0;
    double u = (double)((weir_random(c->rt) >> 11) + 1) * 0x1p-53;
    return gap * -log(u) >= (double)left;
}

static __attribute__((noinline)) weir_answer look_early(weir_cache *c, weir_entry *e)
{
    int refresh = e->expires != WEIR_FOREVER && is_early(c, e, e->expires - c->rt->now) &&
                  weir__load_find(c, e->node.hash, e->key, e->node.length) == NULL;
    c->stats.early += (unsigned)refresh;
    return have(e, WEIR_FOUND_FRESH, refresh);
}

/* Everything but a plain hit. */
static __attribute__((noinline)) weir_answer
look_further(weir_cache *c, weir_entry *e, uint32_t hash, const void *key, size_t length)
{
    uint64_t now = c->rt->now;
    weir_load *load;
    if (e != NULL && now >= weir__entry_end(c, e)) {
        c->stats.expired++;
        weir__entry_remove(c, e);
        e = NULL;
    }
    if (e != NULL && e->flags & WEIR_ENTRY_NEGATIVE) {
        e->flags |= WEIR_ENTRY_VISITED;
        c->stats.negative++;
        return have(e, WEIR_FOUND_NEGATIVE, 0);
    }
    load = weir__load_find(c, hash, key, length);
    if (e != NULL) {
        int rests = e->flags & WEIR_ENTRY_RESTING && now < e->retry_at;
        if (rests || now < weir__sum(e->expires, c->options.stale)) {
            e->flags |= WEIR_ENTRY_VISITED;
            c->stats.stale++;
            return have(e, WEIR_FOUND_STALE, !rests && load == NULL);
        }
    }
    return must_wait(c, load);
}

weir_answer weir_cache_look(weir_cache *c, const void *key, size_t length)
{
    uint32_t hash = hash_of(c, key, length);
    weir_entry *e = find(c, hash, key, length);
    if (e == NULL || e->flags & WEIR_ENTRY_NEGATIVE || c->rt->now >= e->expires)
        return look_further(c, e, hash, key, length);
    e->flags |= WEIR_ENTRY_VISITED;
    c->stats.hits++;
    return c->options.early > 0 ? look_early(c, e) : have(e, WEIR_FOUND_FRESH, 0);
}

weir_load *weir_cache_load(const weir_cache *c, const void *key, size_t length)
{
    return weir__load_find(c, hash_of(c, key, length), key, length);
}

weir_answer weir_cache_look_load(weir_cache *c, const void *key, size_t length)
{
    return must_wait(c, weir_cache_load(c, key, length));
}

weir_answer weir_cache_peek(const weir_cache *c, const void *key, size_t length)
{
    weir_entry *e = find(c, hash_of(c, key, length), key, length);
    if (e == NULL || c->rt->now >= e->expires)
        return (weir_answer){WEIR_FOUND_NOTHING, 0, 0, NULL};
    return have(e, e->flags & WEIR_ENTRY_NEGATIVE ? WEIR_FOUND_NEGATIVE : WEIR_FOUND_FRESH, 0);
}

/* --- loads ---------------------------------------------------------------------------------- */

weir_load *weir_cache_begin(weir_cache *c, const void *key, size_t length, int behind)
{
    uint32_t hash = hash_of(c, key, length);
    if (c->closed || length > UINT32_MAX)
        return NULL;
    assert(weir__load_find(c, hash, key, length) == NULL);
    weir__cache_tend(c);
    if (weir__index_reserve(&c->loading) != 0)
        return NULL;
    weir_load *load = weir_alloc(c->rt, NULL, 0, sizeof *load + length);
    if (load == NULL)
        return NULL;
    *load = (weir_load){.node = {NULL, hash, (uint32_t)length},
                        .of = c,
                        .rt = c->rt,
                        .begun = c->tag_deletions,
                        .indexed = 1,
                        .behind = behind != 0,
                        .length = length};
    memcpy(load->key, key, length);
    weir_flight_init(c->rt, &load->flight, c->ops->flight);
    load->flight.keeper = &keeper;
    load->flight.lasting = load->behind;
    weir__index_add(&c->loading, &load->node);
    weir_list_push(&c->loads, &load->link);
    c->stats.loads++;
    c->stats.refreshes += load->behind;
    return load;
}

void weir_load_free(weir_load *load)
{
    assert(!load->indexed);
    if (load->of != NULL)
        weir_link_remove(&load->link);
    weir_alloc(load->rt, load, sizeof *load + load->length, 0);
}

static void take_out(weir_cache *c, weir_load *load)
{
    load->indexed = 0;
    weir__index_remove(&c->loading, &load->node);
    weir_link_remove(&load->link);
    weir_list_push(&c->strays, &load->link);
    weir__load_untag(c, load);
    weir__tags_forget(c);
}

void weir__load_discard(weir_cache *c, weir_load *load)
{
    take_out(c, load);
    c->stats.discarded++;
    weir_flight_set_lasting(c->rt, &load->flight, 0);
}

static void discard_key(weir_cache *c, uint32_t hash, const void *key, size_t length)
{
    weir_load *load = weir__load_find(c, hash, key, length);
    if (load != NULL)
        weir__load_discard(c, load);
}

static void load_ended(weir_runtime *rt, weir_flight *f)
{
    weir_load *load = (weir_load *)(void *)f;
    weir_cache *c = load->of;
    if (c == NULL)
        return;
    if (f->state != WEIR_FLIGHT_ABANDONED)
        weir_histogram_record(&c->stats.load, rt->now - f->since);
    if (!load->indexed)
        return;
    c->stats.abandoned += f->state == WEIR_FLIGHT_ABANDONED;
    take_out(c, load);
}

static void load_waits(weir_flight *f)
{
    if (cache_of(f) != NULL)
        cache_of(f)->waiting++;
}

static void load_left(weir_flight *f, weir_status status)
{
    weir_cache *c = cache_of(f);
    if (c == NULL)
        return;
    c->waiting--;
    c->stats.timeouts += status == WEIR_TIMEOUT;
    c->stats.cancels += status == WEIR_CANCELED;
    c->stats.closes += status == WEIR_CLOSED;
}

static const weir_flight_keeper keeper = {load_ended, load_left, load_waits, NULL};

/* --- what is kept ----------------------------------------------------------------------------- */

static weir_entry *entry_new(weir_cache *c, uint32_t hash, const void *key, size_t length)
{
    if (weir__index_reserve(&c->entries) != 0)
        return NULL;
    weir_entry *e = weir_alloc(c->rt, NULL, 0, sizeof *e + length);
    if (e == NULL)
        return NULL;
    *e = (weir_entry){.node = {NULL, hash, (uint32_t)length}};
    memcpy(e->key, key, length);
    return e;
}

/* A share of up to `jitter` less, so that what was loaded together does not end together. */
static uint64_t end_of(weir_cache *c, uint64_t ttl)
{
    if (ttl != WEIR_FOREVER && c->options.jitter > 0) {
        double u = (double)(weir_random(c->rt) >> 11) * 0x1p-53;
        uint64_t less = (uint64_t)((double)ttl * (c->options.jitter * u));
        ttl -= less < ttl ? less : ttl;
    }
    return weir_after(c->rt, ttl);
}

/* `e` gets a new value, or its first one; it is within the bounds when it is alone. */
static void put(weir_cache *c, weir_entry *e, int is_new, const weir_entry *with)
{
    intptr_t old = e->value;
    if (is_new) {
        weir__index_add(&c->entries, &e->node);
        weir_list_push(&c->order, &e->link);
        c->bytes += weir__entry_cost(e->node.length, 0);
    }
    c->bytes += with->size - e->size;
    e->value = with->value;
    e->size = with->size;
    e->expires = with->expires;
    e->load_time = with->load_time;
    e->flags = (uint8_t)(with->flags | (e->flags & WEIR_ENTRY_VISITED));
    if (!is_new)
        c->ops->drop(c, old);
    weir__cache_trim(c, e);
    weir__cache_tend(c);
}

/* What was there is over, and what comes instead is not kept. */
static int put_nothing(weir_cache *c, weir_entry *e, intptr_t value, uint64_t *counter)
{
    if (e != NULL) {
        ++*counter;
        weir__entry_remove(c, e);
    }
    c->ops->drop(c, value);
    return WEIR_EOVERLOAD;
}

int weir_cache_store(weir_cache *c, weir_load *load, intptr_t value, size_t size, uint64_t ttl,
                     int negative)
{
    if (!load->indexed) {
        c->ops->drop(c, value);
        return 0;
    }
    weir_entry *e = find(c, load->node.hash, load->key, load->length);
    uint64_t alone = weir__sum(weir__entry_cost(load->length, size), weir__tags_cost(load, e));
    int is_new = e == NULL, is_over = alone > c->options.max_bytes;
    if (ttl != 0 && !is_over && is_new)
        e = entry_new(c, load->node.hash, load->key, load->length);
    if (ttl == 0 || is_over || e == NULL) {
        take_out(c, load);
        put_nothing(c, e, value, is_over ? &c->stats.evicted : &c->stats.deleted);
        return 0;
    }
    weir__tags_move(c, load, e);
    take_out(c, load);
    put(c, e, is_new,
        &(weir_entry){.value = value,
                      .size = size,
                      .expires = end_of(c, ttl),
                      .load_time = c->rt->now - load->flight.since,
                      .flags = negative ? WEIR_ENTRY_NEGATIVE : 0});
    return 1;
}

int weir_cache_failed(weir_cache *c, weir_load *load, intptr_t *value)
{
    c->stats.failures++;
    c->stats.refresh_failures += load->behind;
    if (!load->indexed)
        return 0;
    weir_entry *e = find(c, load->node.hash, load->key, load->length);
    if (e == NULL || e->flags & WEIR_ENTRY_NEGATIVE || c->rt->now >= weir__entry_end(c, e))
        return 0;
    take_out(c, load);
    if (c->options.negative_ttl > 0) {
        e->flags |= WEIR_ENTRY_RESTING;
        e->retry_at = weir_after(c->rt, c->options.negative_ttl);
    }
    *value = e->value;
    return 1;
}

int weir_cache_set(weir_cache *c, const void *key, size_t length, intptr_t value, size_t size,
                   uint64_t ttl)
{
    uint32_t hash = hash_of(c, key, length);
    if (c->closed) {
        c->ops->drop(c, value);
        return WEIR_ECLOSED;
    }
    weir_entry *e = find(c, hash, key, length);
    int is_new = e == NULL;
    int is_over = length > UINT32_MAX || weir__entry_cost(length, size) > c->options.max_bytes;
    if (ttl == 0 || is_over) {
        discard_key(c, hash, key, length);
        return put_nothing(c, e, value, is_over ? &c->stats.evicted : &c->stats.deleted);
    }
    if (is_new && (e = entry_new(c, hash, key, length)) == NULL) {
        c->ops->drop(c, value);
        return WEIR_ENOMEM;
    }
    discard_key(c, hash, key, length);
    weir__entry_untag(c, e);
    put(c, e, is_new,
        &(weir_entry){.value = value,
                      .size = size,
                      .expires = end_of(c, ttl),
                      .flags = is_new ? 0 : WEIR_ENTRY_VISITED});
    return 0;
}

int weir_cache_forbid_stale(weir_cache *c, const void *key, size_t length)
{
    weir_entry *e = find(c, hash_of(c, key, length), key, length);
    if (e == NULL)
        return 0;
    e->flags |= WEIR_ENTRY_STRICT;
    return 1;
}

/* --- what is forgotten ------------------------------------------------------------------------ */

int weir_cache_delete(weir_cache *c, const void *key, size_t length)
{
    uint32_t hash = hash_of(c, key, length);
    weir_load *load = weir__load_find(c, hash, key, length);
    weir_entry *e = find(c, hash, key, length);
    if (e != NULL) {
        c->stats.deleted++;
        weir__entry_remove(c, e);
    }
    if (load != NULL)
        weir__load_discard(c, load);
    return e != NULL || load != NULL;
}

/* The whole table becomes doomed in one step, and is freed in many. */
void weir_cache_clear(weir_cache *c)
{
    for (weir_link *k; (k = weir_list_first(&c->loads)) != NULL;)
        weir__load_discard(c, weir_container(k, weir_load, link));
    c->stats.deleted += c->entries.n;
    weir_list_append(&c->doomed, &c->order);
    c->hand = c->sweep = NULL;
    weir__index_fini(&c->entries);
    weir__index_fini(&c->tags);
    c->epoch++;
    weir__cache_reap(c, WEIR_CACHE_SLICE);
}

static void close_load(weir_cache *c, weir_load *load)
{
    weir_flight *f = &load->flight;
    if (load->indexed) {
        c->stats.discarded++;
        take_out(c, load);
    } else {
        weir_link_remove(&load->link);
        weir_list_push(&c->strays, &load->link);
    }
    if (f->state != WEIR_FLIGHT_FLYING)
        return;
    weir_flight_join(f); /* so that the last waiter does not end it under our hands */
    f->lasting = 0;
    for (weir_link *k; (k = weir_list_first(&f->waiters)) != NULL;)
        weir_waiter_give_up(c->rt, weir_container(k, weir_waiter, link), WEIR_CLOSED);
    weir_flight_leave(c->rt, f);
}

void weir_cache_close(weir_cache *c)
{
    weir_list all;
    c->closed = 1;
    weir_list_init(&all);
    weir_list_append(&all, &c->loads);
    weir_list_append(&all, &c->strays);
    for (weir_link *k; (k = weir_list_first(&all)) != NULL;)
        close_load(c, weir_container(k, weir_load, link));
    weir_cache_clear(c);
}
