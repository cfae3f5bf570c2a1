/* weir/cache.h - cache of what is slow to load: one load per key, bounded, never older than said.
 *
 * An entry is fresh for `ttl` from the end of its load, then stale for `stale` more (answered at
 * once, refreshed by one load behind it), then gone. A key without an entry is loaded by one
 * flight (weir/flight.h), however many ask. What a load brings is kept only if no delete, clear
 * or set came since it began: those take the key's flight out of the index, and a flight that is
 * not in the index stores nothing.
 *
 * Bounded by entries and by bytes; who goes is SIEVE's choice (core/sync/cache_evict.c). Flights
 * are not entries and are never evicted. Early refresh: XFetch (Vattani et al., "Optimal
 * probabilistic cache stampede prevention", VLDB 2015).
 *
 * Keys are bytes, copied. Values are the embedder's handles; the cache drops each it lets go.
 * Invariant: every entry is in the index and in the order; count and bytes are their sums and
 * within the bounds after each call; at most one flight in the index per key.
 */
#ifndef WEIR_CACHE_H
#define WEIR_CACHE_H
#include <weir/flight.h>
#include <weir/histogram.h>

#include <weir/begin.h>

typedef struct weir_cache weir_cache;
typedef struct weir_entry weir_entry;
typedef struct weir_load weir_load;
typedef struct weir_tag weir_tag;

typedef struct weir_cache_options {
    uint64_t ttl;            /* ns; 0: single flight only; WEIR_FOREVER: no end */
    uint64_t stale;          /* ns after ttl in which the old value is answered, and refreshed */
    uint64_t stale_if_error; /* ns after ttl in which it is answered if a load failed */
    uint64_t negative_ttl;   /* ns that errors and "nothing" are kept; 0: not at all */
    double jitter;           /* 0 .. 1: ttl is shortened by up to this share */
    double early;            /* XFetch beta: 0 never, 1 usual; larger is earlier */
    uint32_t max;            /* entries; UINT32_MAX: no bound */
    uint64_t max_bytes;      /* as weir_cache_bytes; UINT64_MAX: no bound */
    uint32_t max_waiting;    /* waiters of all flights; UINT32_MAX: no bound */
} weir_cache_options;

typedef struct weir_cache_stats {
    uint64_t hits, stale, negative; /* answers from the cache, by kind */
    uint64_t misses, joined;   /* look-ups that had to wait; those of a load that was under way */
    uint64_t loads, refreshes; /* begun; those behind an answer */
    uint64_t early;            /* refreshes asked for before the value was stale */
    uint64_t failures, refresh_failures;
    uint64_t abandoned;                 /* loads that everybody left */
    uint64_t discarded;                 /* that a delete, clear, set or close overtook */
    uint64_t evicted, expired, deleted; /* entries, by what ended them */
    uint64_t timeouts, cancels, closes, overload;
    weir_histogram load; /* ns from begin to land; abandoned ones not */
} weir_cache_stats;

typedef struct weir_cache_ops {
    /* A value (or a failure) is let go. May be called in any call that changes the cache, and of
     * what a clear dropped, when all is quiet; may not call the cache. */
    void (*drop)(weir_cache *c, intptr_t value);
    const weir_flight_ops *flight; /* of its loads; `free` calls weir_load_free */
} weir_cache_ops;

/* What a look-up says. */
typedef enum weir_found {
    WEIR_FOUND_NOTHING,  /* no entry, no flight: begin a load */
    WEIR_FOUND_FLIGHT,   /* a load is on its way: wait for it */
    WEIR_FOUND_FRESH,    /* *value */
    WEIR_FOUND_STALE,    /* *value */
    WEIR_FOUND_NEGATIVE, /* *value is a failure, or nothing, that is remembered */
    WEIR_FOUND_FULL      /* one would have to wait, and max_waiting do: overload */
} weir_found;

typedef struct weir_answer {
    weir_found found;
    int refresh;     /* FRESH and STALE: begin a load that nobody waits for (`behind`) */
    intptr_t value;  /* lends: valid until the next call */
    weir_load *load; /* FOUND_FLIGHT */
} weir_answer;

/* What stands in an index: the head of an entry, a load, a tag. */
typedef struct weir_cache_node {
    struct weir_cache_node *chain; /* the next of its bucket */
    uint32_t hash, length;         /* of the key */
} weir_cache_node;

/* A flight for one key. */
struct weir_load {
    weir_flight flight; /* first */
    weir_cache_node node;
    weir_link link; /* in the cache's loads while indexed, in its strays from then on */
    weir_cache *of; /* NULL once the cache is gone */
    weir_runtime *rt;
    struct weir_tag_link *tags;
    uint64_t begun;  /* how many tags had been deleted by then */
    uint8_t indexed; /* may still store; a delete, clear or set ends that */
    uint8_t behind;  /* a refresh: nobody need be interested for it to go on */
    void *data;      /* the embedder's */
    size_t length;
    unsigned char key[];
};

/* 0 and *out (gives), WEIR_EINVAL for an option out of range, WEIR_ENOMEM. `ops` and `name` (may be
 * NULL) are borrowed for its life, `options` are copied. */
int weir_cache_new(weir_runtime *rt, const weir_cache_ops *ops, const weir_cache_options *options,
                   const char *name, weir_cache **out);
/* Drops every entry and frees the cache. Flights that are out stay good for who waits, and store
 * nothing: their `of` is NULL, and what they bring is the worker's. */
void weir_cache_free(weir_cache *c);
/* Drop every entry, take none any more. Who waits gets CLOSED, which abandons the loads.
 * Idempotent. */
void weir_cache_close(weir_cache *c);
int weir_cache_is_closed(const weir_cache *c);
/* A pointer for the embedder (borrowed, NULL at first). */
void weir_cache_set_data(weir_cache *c, void *data);
void *weir_cache_data(const weir_cache *c);

/* What is there for `key`. Counts and marks it; does not wait. O(1), and a hit allocates nothing.
 * For who is going to wait if he must: FULL is counted as his overload. */
weir_answer weir_cache_look(weir_cache *c, const void *key, size_t length);
/* The same for who wants a new value, whatever is there: FLIGHT, NOTHING or FULL. */
weir_answer weir_cache_look_load(weir_cache *c, const void *key, size_t length);
/* The load of `key` that may store, or NULL. Counts nothing. */
weir_load *weir_cache_load(const weir_cache *c, const void *key, size_t length);
/* FRESH or NEGATIVE, without counting, marking, or any side effect; else NOTHING. */
weir_answer weir_cache_peek(const weir_cache *c, const void *key, size_t length);

/* Begin a load of `key` (none is indexed): its flight, with the worker's reference. `behind`: it
 * goes on although nobody waits. NULL if memory is short, or the cache is closed. */
weir_load *weir_cache_begin(weir_cache *c, const void *key, size_t length, int behind);
/* The load as a flight's `free` gets it: its memory. (The value is the embedder's.) */
void weir_load_free(weir_load *load);

/* How a load ends, before its flight lands with a handle of its own of the outcome.
 *
 * It brought something: weir_cache_store. Keep `value` (takes it; dropped if it is not kept) of
 * `size` bytes for `ttl` ns (WEIR_FOREVER: no end; 0: not at all, and the old value is gone; the
 * caller passes the cache's own unless said). `negative`: it is a failure, or nothing, whose ttl
 * is the cache's negative_ttl: then never stale. 1 if it was kept.
 *
 * It failed: weir_cache_failed first. 1: the old value is good enough (it is kept; and if failures
 * are remembered, not refreshed again for negative_ttl), and who waits is to get *value (lends)
 * instead: land with that. 0: the failure is the answer; store it as negative, or land. */
int weir_cache_store(weir_cache *c, weir_load *load, intptr_t value, size_t size, uint64_t ttl,
                     int negative);
int weir_cache_failed(weir_cache *c, weir_load *load, intptr_t *value);

/* Put `value` (takes, also on failure) whatever was there; loads on their way store nothing. 0,
 * WEIR_EOVERLOAD if it alone is over the bound, or `ttl` is 0 (it is dropped, and what was there is
 * gone), WEIR_ECLOSED, or WEIR_ENOMEM with nothing changed. */
int weir_cache_set(weir_cache *c, const void *key, size_t length, intptr_t value, size_t size,
                   uint64_t ttl);
/* What is kept of `key` now is never answered past its ttl, whatever `stale` and `stale_if_error`
 * say, until something else is kept. 1 if there is an entry. */
int weir_cache_forbid_stale(weir_cache *c, const void *key, size_t length);
/* Forget `key`; a load on its way stores nothing. 1 if there was an entry or a load. */
int weir_cache_delete(weir_cache *c, const void *key, size_t length);
/* Forget everything, at once; many values are dropped a few at a time, here and when all is quiet.
 */
void weir_cache_clear(weir_cache *c);

/* Mark the entry of `key` and its load with `tag`; what the load brings has it too. Nothing if
 * there is neither. A refresh keeps the tags of what it replaces, a set does not. 0, WEIR_ENOMEM.
 */
int weir_cache_tag(weir_cache *c, const void *key, size_t length, const void *tag, size_t n);
/* Delete all entries with `tag`; loads that have it, or get it later and began before, and loads of
 * those entries store nothing. Returns the number of entries. O(entries with the tag). */
uint32_t weir_cache_delete_tag(weir_cache *c, const void *tag, size_t n);

uint32_t weir_cache_count(const weir_cache *c);   /* entries, expired ones not yet seen included */
uint32_t weir_cache_waiting(const weir_cache *c); /* waiters of all its flights */
uint32_t weir_cache_loading(const weir_cache *c); /* flights in the index */
/* Memory: the sizes given with the values, and the cache's records, keys, tags and index as malloc
 * rounds them; what a clear dropped counts until it is free. Flights are not in it. */
uint64_t weir_cache_bytes(const weir_cache *c);
/* An estimate, in ns, of when a look-up that found FULL would not: of the load that has been under
 * way longest, what is left of the mean. */
uint64_t weir_cache_retry_after(const weir_cache *c);
const weir_cache_stats *weir_cache_get_stats(const weir_cache *c); /* lends, for its life */
const char *weir_cache_name(const weir_cache *c);                  /* as given; may be NULL */
/* 0, or the line number of the broken invariant. */
int weir_cache_validate(const weir_cache *c);

#include <weir/end.h>
#endif
