/* weir/cache.h - cache of what is slow to load: one load per key, bounded, never older than said.
 *
 * An entry is fresh for `ttl` from the end of its load, then stale for `stale` more (answered at
 * once, refreshed by one load behind it), then gone. A key without an entry is loaded by one
 * flight (weir/flight.h), however many ask. What a load brings is kept only if no delete, clear
 * or set came since it began: each key's flight is taken out of the index by those, and a flight
 * that is not in the index stores nothing.
 *
 * Bounded by entries and by bytes; who goes is SIEVE's choice: a hand walks from old to new, spares
 * (once) what was hit since it last came by, and evicts the first that was not. A hit sets one
 * flag and moves nothing. (Zhang et al., "SIEVE is simpler than LRU", NSDI 2024.) Flights are not
 * entries and are never evicted. Early refresh: XFetch (Vattani et al., "Optimal probabilistic
 * cache stampede prevention", VLDB 2015).
 *
 * Keys are bytes, copied. Values are the embedder's handles; the cache drops each it lets go.
 * Invariant: every entry is in the index and in the order; n, bytes are their sums and within the
 * bounds after each call; at most one flight in the index per key.
 */
#ifndef WEIR_CACHE_H
#define WEIR_CACHE_H
#include <weir/flight.h>
#include <weir/histogram.h>

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
    double early;            /* XFetch beta: 0 never, 1 usual */
    uint32_t max;            /* entries; UINT32_MAX: no bound */
    uint64_t max_bytes;      /* of keys, values and the cache's own records; UINT64_MAX: no bound */
    uint32_t max_waiting;    /* waiters of all flights; UINT32_MAX: no bound */
} weir_cache_options;

typedef struct weir_cache_stats {
    uint64_t hits, misses, stale, negative; /* answers from the cache, by kind; loads waited for */
    uint64_t loads, joined, failures, abandoned, discarded, refreshes, refresh_failures, early;
    uint64_t evicted, expired, deleted;
    uint64_t timeouts, cancels, closes, overload;
    weir_histogram load; /* ns */
} weir_cache_stats;

typedef struct weir_cache_ops {
    void (*drop)(weir_cache *c, intptr_t value); /* a value (or a failure) is let go */
    const weir_flight_ops *flight;               /* of its loads; `free` calls weir_load_free */
} weir_cache_ops;

/* What a look-up says. */
typedef enum weir_found {
    WEIR_FOUND_NOTHING, /* no entry, no flight: begin a load */
    WEIR_FOUND_FLIGHT,  /* a load is on its way: wait for it */
    WEIR_FOUND_FRESH,   /* *value */
    WEIR_FOUND_STALE,   /* *value; if `refresh` begin a load behind it */
    WEIR_FOUND_NEGATIVE /* *value is a failure that is remembered */
} weir_found;

typedef struct weir_answer {
    weir_found found;
    int refresh;     /* begin a load that nobody waits for */
    intptr_t value;  /* lends: valid until the next call */
    weir_load *load; /* FOUND_FLIGHT */
} weir_answer;

/* A flight for one key. */
struct weir_load {
    weir_flight flight; /* first */
    weir_link link;     /* in the cache's flights while indexed */
    weir_cache *of;     /* NULL once the cache is gone */
    uint64_t hash;
    uint32_t generation;
    uint8_t indexed; /* may still store; a delete, clear or set ends that */
    uint8_t behind;  /* a refresh: nobody need be interested for it to go on */
    void *data;      /* the embedder's */
    size_t length;
    unsigned char key[];
};

struct weir_cache; /* see core/sync/cache.c for the layout: opaque outside core/sync */

/* Gives *out. WEIR_EINVAL, WEIR_ENOMEM. */
int weir_cache_new(weir_runtime *rt, const weir_cache_ops *ops, const weir_cache_options *options,
                   const char *name, weir_cache **out);
/* Drops every entry. Flights that are out stay good for who waits, and store nothing. */
void weir_cache_free(weir_cache *c);
void weir_cache_set_data(weir_cache *c, void *data);
void *weir_cache_data(const weir_cache *c);

/* What is there for `key`. Counts a hit; does not wait. O(1). */
weir_answer weir_cache_look(weir_cache *c, const void *key, size_t length);
/* The same without counting, marking, or any side effect; stale is nothing. */
weir_answer weir_cache_peek(const weir_cache *c, const void *key, size_t length);

/* Begin a load of `key` (none is indexed): its flight, with the worker's reference. NULL if memory
 * is short, or the cache is closed. */
weir_load *weir_cache_begin(weir_cache *c, const void *key, size_t length, int behind);

/* The end of a load, before the flight lands with its own handle of the outcome: keep `value`
 * (takes it, dropped if it is not kept) of `size` bytes, for `ttl` ns (WEIR_FOREVER: no end; the
 * caller passes the cache's own unless said). `negative`: a failure, or nothing. 1 if it was kept.
 */
int weir_cache_store(weir_cache *c, weir_load *load, intptr_t value, size_t size, uint64_t ttl,
                     int negative);
/* A load failed and that is not kept: the old value, if there is one, stays as it is (stale-if-
 * error). 1 and *value if who waits is to get that instead of the failure (lends). */
int weir_cache_failed(weir_cache *c, weir_load *load, intptr_t *value);

/* Put `value` (takes) whatever was there; loads on their way store nothing. 0 or WEIR_ENOMEM,
 * WEIR_EOVERLOAD if it alone is over the bound (then it is dropped, and what was there is gone). */
int weir_cache_set(weir_cache *c, const void *key, size_t length, intptr_t value, size_t size,
                   uint64_t ttl);
/* Forget `key`; a load on its way stores nothing. 1 if there was an entry or a load. */
int weir_cache_delete(weir_cache *c, const void *key, size_t length);
void weir_cache_clear(weir_cache *c);

/* Mark the entry of `key` with `tag`, now or when its load ends (kept in the load). All entries
 * with a tag are deleted at once, and loads with it store nothing. WEIR_ENOMEM. */
int weir_cache_tag(weir_cache *c, const void *key, size_t length, const void *tag, size_t n);
uint32_t weir_cache_delete_tag(weir_cache *c, const void *tag, size_t n);

uint32_t weir_cache_count(const weir_cache *c);
uint64_t weir_cache_bytes(const weir_cache *c);
const weir_cache_stats *weir_cache_get_stats(const weir_cache *c);
int weir_cache_validate(const weir_cache *c);

#endif
