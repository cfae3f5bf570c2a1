/* cache_model.c - the reference model of the cache; see cache_model.h. */
#include "cache_model.h"

#include "sync/cache.h"

void cache_model_init(model *m, const weir_cache_options *options)
{
    *m = (model){.options = *options, .hand = -1, .sweep = -1};
}

/* --- memory ---------------------------------------------------------------------------------- */

static uint64_t malloced(size_t n)
{
    uint64_t size = 32;
    while (size < n + 8)
        size += 16;
    return size;
}

static uint64_t tag_bytes(const model *m, int tag)
{
    return malloced(sizeof(weir_tag) + m->tag_length[tag]) + 8;
}

static uint64_t entry_bytes(const model *m, int key, size_t size)
{
    return malloced(sizeof(weir_entry) + m->key_length[key]) + 8 + size;
}

static uint64_t links_bytes(unsigned tags)
{
    return (uint64_t)__builtin_popcount(tags) * malloced(sizeof(weir_tag_link));
}

/* Of all that is alive, or of what was doomed in one epoch: the tags count once. */
static uint64_t bytes_of(const model *m, const model_entry *list, int n, unsigned epoch)
{
    uint64_t bytes = 0;
    unsigned tags = 0;
    for (int i = 0; i < n; i++) {
        if (list[i].epoch != epoch)
            continue;
        bytes += entry_bytes(m, list[i].key, list[i].size) + links_bytes(list[i].tags);
        tags |= list[i].tags;
    }
    for (int t = 0; t < TAGS; t++)
        if (tags & 1u << t)
            bytes += tag_bytes(m, t);
    return bytes;
}

uint64_t cache_model_bytes(const model *m)
{
    uint64_t bytes = bytes_of(m, m->entry, m->n, m->epoch);
    for (unsigned epoch = 0; epoch <= m->epoch; epoch++)
        bytes += bytes_of(m, m->doomed, m->n_doomed, epoch);
    return bytes;
}

/* --- entries --------------------------------------------------------------------------------- */

static int place_of(const model *m, int key)
{
    for (int i = 0; i < m->n; i++)
        if (m->entry[i].key == key)
            return i;
    return -1;
}

const model_entry *cache_model_find(const model *m, int key)
{
    int i = place_of(m, key);
    return i < 0 ? NULL : &m->entry[i];
}

static int next_key(const model *m, int i)
{
    return i + 1 < m->n ? m->entry[i + 1].key : -1;
}

static uint64_t sum(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static uint64_t end_of(const model *m, const model_entry *e)
{
    uint64_t longer = m->options.stale;
    if (longer < m->options.stale_if_error)
        longer = m->options.stale_if_error;
    return e->negative || e->strict ? e->expires : sum(e->expires, longer);
}

/* Out of the order; the value is the caller's to drop. */
static model_entry cut(model *m, int i)
{
    model_entry e = m->entry[i];
    if (m->hand == e.key)
        m->hand = next_key(m, i);
    if (m->sweep == e.key)
        m->sweep = next_key(m, i);
    memmove(m->entry + i, m->entry + i + 1, sizeof e * (size_t)(m->n - i - 1));
    m->n--;
    return e;
}

static void remove_entry(model *m, int i, uint64_t *counter)
{
    if (counter != NULL)
        ++*counter;
    m->dropped[cut(m, i).value]++;
}

static void reap(model *m, int n)
{
    for (; n > 0 && m->n_doomed > 0; n--) {
        m->dropped[m->doomed[0].value]++;
        memmove(m->doomed, m->doomed + 1, sizeof *m->doomed * (size_t)--m->n_doomed);
    }
}

void cache_model_quiet(model *m)
{
    reap(m, WEIR_CACHE_SLICE);
}

/* The key whose turn it is to go, or -1. */
static int victim(model *m, int keep)
{
    if (m->n == 0 || (m->n == 1 && m->entry[0].key == keep))
        return -1;
    for (int spared = 0;;) {
        int i = m->hand < 0 ? 0 : place_of(m, m->hand);
        model_entry *e = &m->entry[i];
        m->hand = next_key(m, i);
        if (m->hand == keep && keep >= 0)
            m->hand = next_key(m, i + 1);
        if (e->key == keep) {
            spared++;
            continue;
        }
        if (!e->visited || m->now >= end_of(m, e) || ++spared >= WEIR_CACHE_HAND)
            return e->key;
        e->visited = 0;
    }
}

static void trim(model *m, int keep)
{
    while ((uint32_t)m->n > m->options.max || cache_model_bytes(m) > m->options.max_bytes) {
        if (cache_model_bytes(m) > m->options.max_bytes && m->n_doomed > 0) {
            reap(m, 1);
            continue;
        }
        int key = victim(m, keep);
        if (key < 0)
            return;
        int i = place_of(m, key);
        remove_entry(m, i,
                     m->now >= end_of(m, &m->entry[i]) ? &m->stats.expired : &m->stats.evicted);
    }
}

static void tend(model *m)
{
    for (int k = 0; k < WEIR_CACHE_SWEEP && m->n > 0; k++) {
        int i = m->sweep < 0 ? 0 : place_of(m, m->sweep);
        m->sweep = next_key(m, i);
        if (m->now >= end_of(m, &m->entry[i]))
            remove_entry(m, i, &m->stats.expired);
    }
    reap(m, WEIR_CACHE_REAP);
}

/* --- look-ups --------------------------------------------------------------------------------- */

static model_answer must_wait(model *m, int load)
{
    if (m->waiting >= m->options.max_waiting) {
        m->stats.overload++;
        return (model_answer){WEIR_FOUND_FULL, 0, 0, load};
    }
    m->stats.misses++;
    m->stats.joined += load >= 0;
    return (model_answer){load >= 0 ? WEIR_FOUND_FLIGHT : WEIR_FOUND_NOTHING, 0, 0, load};
}

model_answer cache_model_look(model *m, int key)
{
    int i = place_of(m, key), load = cache_model_load_of(m, key);
    if (i >= 0 && m->now >= end_of(m, &m->entry[i])) {
        remove_entry(m, i, &m->stats.expired);
        i = -1;
    }
    if (i < 0)
        return must_wait(m, load);
    model_entry *e = &m->entry[i];
    if (m->now < e->expires) {
        e->visited = 1;
        ++*(e->negative ? &m->stats.negative : &m->stats.hits);
        return (model_answer){e->negative ? WEIR_FOUND_NEGATIVE : WEIR_FOUND_FRESH, 0, e->value,
                              -1};
    }
    int rests = e->rests && m->now < e->retry_at;
    if (!rests && m->now >= sum(e->expires, m->options.stale))
        return must_wait(m, load);
    e->visited = 1;
    m->stats.stale++;
    return (model_answer){WEIR_FOUND_STALE, !rests && load < 0, e->value, -1};
}

model_answer cache_model_look_load(model *m, int key)
{
    return must_wait(m, cache_model_load_of(m, key));
}

model_answer cache_model_peek(const model *m, int key)
{
    const model_entry *e = cache_model_find(m, key);
    if (e == NULL || m->now >= e->expires)
        return (model_answer){WEIR_FOUND_NOTHING, 0, 0, -1};
    return (model_answer){e->negative ? WEIR_FOUND_NEGATIVE : WEIR_FOUND_FRESH, 0, e->value, -1};
}

/* --- what changes it -------------------------------------------------------------------------- */

int cache_model_begin(model *m, int key, int behind)
{
    int i = 0;
    if (m->closed)
        return -1;
    tend(m);
    if (m->memory_is_short)
        return -1;
    while (m->load[i].used)
        i++;
    m->load[i] = (model_load){.used = 1,
                              .key = key,
                              .indexed = 1,
                              .behind = behind,
                              .lasting = behind,
                              .since = m->now,
                              .number = ++m->counter,
                              .begun = m->tag_deletions};
    m->stats.loads++;
    m->stats.refreshes += (unsigned)behind;
    return i;
}

/* Into its place, or behind all others. */
static void put(model *m, model_entry e)
{
    int i = place_of(m, e.key);
    e.epoch = m->epoch;
    if (i >= 0) {
        m->dropped[m->entry[i].value]++;
        m->entry[i] = e;
    } else {
        m->entry[m->n++] = e;
    }
    trim(m, e.key);
    tend(m);
}

static void put_nothing(model *m, int key, int value, uint64_t *counter)
{
    int i = place_of(m, key);
    if (i >= 0)
        remove_entry(m, i, counter);
    m->dropped[value]++;
}

static uint64_t later(const model *m, uint64_t ns)
{
    return ns >= UINT64_MAX - m->now ? UINT64_MAX : m->now + ns;
}

int cache_model_store(model *m, int load, int value, size_t size, uint64_t ttl, int negative)
{
    model_load *l = &m->load[load];
    const model_entry *old = cache_model_find(m, l->key);
    if (!l->indexed) {
        m->dropped[value]++;
        return 0;
    }
    model_entry e = {.key = l->key,
                     .value = value,
                     .size = size,
                     .expires = later(m, ttl),
                     .negative = negative,
                     .visited = old != NULL && old->visited,
                     .tags = l->tags,
                     .epoch = 7};
    memcpy(e.tagged, l->tagged, sizeof e.tagged);
    for (int t = 0; t < TAGS; t++)
        if (old != NULL && old->tags & 1u << t) {
            e.tags |= 1u << t;
            e.tagged[t] = old->tagged[t];
        }
    int is_over = bytes_of(m, &e, 1, 7) > m->options.max_bytes;
    cache_model_take_out(m, l);
    if (ttl == 0 || is_over || (old == NULL && m->memory_is_short)) {
        put_nothing(m, l->key, value, is_over ? &m->stats.evicted : &m->stats.deleted);
        return 0;
    }
    put(m, e);
    return 1;
}

int cache_model_failed(model *m, int load, int *value)
{
    model_load *l = &m->load[load];
    int i = place_of(m, l->key);
    m->stats.failures++;
    m->stats.refresh_failures += (unsigned)l->behind;
    if (!l->indexed || i < 0 || m->entry[i].negative || m->now >= end_of(m, &m->entry[i]))
        return 0;
    cache_model_take_out(m, l);
    if (m->options.negative_ttl > 0) {
        m->entry[i].rests = 1;
        m->entry[i].retry_at = later(m, m->options.negative_ttl);
    }
    *value = m->entry[i].value;
    return 1;
}

int cache_model_set(model *m, int key, int value, size_t size, uint64_t ttl)
{
    int is_over = entry_bytes(m, key, size) > m->options.max_bytes;
    const model_entry *old = cache_model_find(m, key);
    if (m->closed || (ttl != 0 && !is_over && old == NULL && m->memory_is_short)) {
        m->dropped[value]++;
        return m->closed ? WEIR_ECLOSED : WEIR_ENOMEM;
    }
    cache_model_discard_key(m, key);
    if (ttl == 0 || is_over) {
        put_nothing(m, key, value, is_over ? &m->stats.evicted : &m->stats.deleted);
        return WEIR_EOVERLOAD;
    }
    put(m, (model_entry){.key = key,
                         .value = value,
                         .size = size,
                         .expires = later(m, ttl),
                         .visited = old != NULL});
    return 0;
}

int cache_model_forbid_stale(model *m, int key)
{
    int i = place_of(m, key);
    if (i >= 0)
        m->entry[i].strict = 1;
    return i >= 0;
}

int cache_model_delete(model *m, int key)
{
    int i = place_of(m, key), load = cache_model_load_of(m, key);
    if (i >= 0)
        remove_entry(m, i, &m->stats.deleted);
    cache_model_discard_key(m, key);
    return i >= 0 || load >= 0;
}

void cache_model_clear(model *m)
{
    for (model_load *l; (l = cache_model_first_load(m, 1, 0)) != NULL;)
        cache_model_discard(m, l);
    m->stats.deleted += (unsigned)m->n;
    memcpy(m->doomed + m->n_doomed, m->entry, sizeof *m->entry * (size_t)m->n);
    m->n_doomed += m->n;
    m->n = 0;
    m->hand = m->sweep = -1;
    m->epoch++;
    reap(m, WEIR_CACHE_SLICE);
}

void cache_model_close(model *m)
{
    uint64_t last = m->counter;
    model_load *old[LOADS], *l;
    int n = 0;
    m->closed = 1;
    for (l = cache_model_first_load(m, 0, 0); l != NULL;
         l = cache_model_first_load(m, 0, l->number))
        old[n++] = l;
    while ((l = cache_model_first_load(m, 1, 0)) != NULL && l->number <= last) {
        m->stats.discarded++;
        cache_model_take_out(m, l);
        cache_model_close_load(m, l);
    }
    for (int i = 0; i < n; i++)
        cache_model_close_load(m, old[i]);
    cache_model_clear(m);
}

/* --- tags ------------------------------------------------------------------------------------- */

static uint64_t deleted_at(const model *m, int tag)
{
    for (int i = 0; i < m->n_deleted; i++)
        if (m->deleted[i].tag == tag)
            return m->deleted[i].number;
    return 0;
}

int cache_model_tag(model *m, int key, int tag)
{
    unsigned bit = 1u << tag;
    int load = cache_model_load_of(m, key), i = place_of(m, key);
    model_load *l = load < 0 ? NULL : &m->load[load];
    if (l != NULL && (l->begun < m->forgotten || l->begun < deleted_at(m, tag))) {
        cache_model_discard(m, l);
        l = NULL;
    }
    if (l != NULL && l->tags & bit)
        l = NULL;
    if (i >= 0 && m->entry[i].tags & bit)
        i = -1;
    if (l == NULL && i < 0)
        return 0;
    if (m->memory_is_short)
        return WEIR_ENOMEM;
    if (l != NULL) {
        l->tags |= bit;
        l->tagged[tag] = ++m->counter;
    }
    if (i < 0)
        return 0;
    m->entry[i].tags |= bit;
    m->entry[i].tagged[tag] = ++m->counter;
    if (bytes_of(m, &m->entry[i], 1, m->epoch) > m->options.max_bytes)
        remove_entry(m, i, &m->stats.evicted);
    else
        trim(m, key);
    return 0;
}

static void remember(model *m, int tag, int is_known)
{
    if (!is_known && m->memory_is_short) {
        m->forgotten = m->tag_deletions;
        m->n_deleted = 0;
        return;
    }
    for (int i = 0; i < m->n_deleted; i++)
        if (m->deleted[i].tag == tag) {
            memmove(m->deleted + i, m->deleted + i + 1,
                    sizeof *m->deleted * (size_t)(--m->n_deleted - i));
            break;
        }
    m->deleted[m->n_deleted].tag = tag;
    m->deleted[m->n_deleted++].number = m->tag_deletions;
    if (m->n_deleted > WEIR_CACHE_TAGS) {
        m->forgotten = m->deleted[0].number;
        memmove(m->deleted, m->deleted + 1, sizeof *m->deleted * (size_t)--m->n_deleted);
    }
}

/* The entry or the load that got the tag first; both -1: none has it. */
static void first_tagged(const model *m, int tag, int *entry, int *load)
{
    uint64_t first = UINT64_MAX;
    *entry = *load = -1;
    for (int i = 0; i < m->n; i++)
        if (m->entry[i].tags & 1u << tag && m->entry[i].tagged[tag] < first) {
            first = m->entry[i].tagged[tag];
            *entry = i;
        }
    for (int i = 0; i < LOADS; i++)
        if (m->load[i].used && m->load[i].tags & 1u << tag && m->load[i].tagged[tag] < first) {
            first = m->load[i].tagged[tag];
            *load = i;
        }
}

uint32_t cache_model_delete_tag(model *m, int tag)
{
    uint32_t n = 0;
    int entry, load;
    m->tag_deletions++;
    for (;;) {
        first_tagged(m, tag, &entry, &load);
        if (load >= 0) {
            cache_model_discard(m, &m->load[load]);
        } else if (entry >= 0) {
            model_entry e = cut(m, entry);
            e.tags = 0;
            m->doomed[m->n_doomed++] = e;
            cache_model_discard_key(m, e.key);
            n++;
        } else {
            break;
        }
    }
    m->stats.deleted += n;
    if (cache_model_first_load(m, 1, 0) != NULL)
        remember(m, tag, deleted_at(m, tag) > 0);
    if (m->n_doomed > 0)
        reap(m, WEIR_CACHE_SLICE);
    return n;
}
