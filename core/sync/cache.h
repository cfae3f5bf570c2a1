/* sync/cache.h - what the files of the cache share: its layout, its entries, its tags.
 *
 * cache.c looks up, loads, keeps and forgets; cache_evict.c says who goes and frees what is gone;
 * cache_tag.c keeps who is deleted together; cache_watch.c looks and changes nothing.
 */
#ifndef WEIR_SYNC_CACHE_H
#define WEIR_SYNC_CACHE_H
#include "../base/hash.h"
#include "../sched/internal.h"
#include "cache_index.h"

#include <weir/begin.h>

enum {
#ifdef WEIR_STRESS
    WEIR_CACHE_SLICE = 3,
    WEIR_CACHE_REAP = 1,
    WEIR_CACHE_HAND = 4,
    WEIR_CACHE_TAGS = 3,
#else
    WEIR_CACHE_SLICE = 512, /* of what a clear dropped: freed at once, and each time all is quiet */
    WEIR_CACHE_REAP = 8,    /* and with each insertion */
    WEIR_CACHE_HAND = 256,  /* entries that the hand spares in a row */
    WEIR_CACHE_TAGS = 1000, /* deleted ones that are remembered while loads are out */
#endif
    WEIR_CACHE_SWEEP = 2 /* entries looked at with each insertion, whether they have expired */
};

enum {
    WEIR_ENTRY_VISITED = 1,  /* hit since the hand came by */
    WEIR_ENTRY_NEGATIVE = 2, /* a failure, or nothing */
    WEIR_ENTRY_RESTING = 4,  /* its refresh failed: not again before retry_at */
    WEIR_ENTRY_STRICT = 8    /* never answered past its ttl */
};

typedef struct weir_tag_link weir_tag_link;

struct weir_entry {
    weir_cache_node node; /* first */
    weir_link link;       /* in the order, or among the doomed */
    intptr_t value;
    uint64_t expires; /* ns; WEIR_FOREVER: never */
    union {
        uint64_t load_time; /* ns that its load took; 0: it was set */
        uint64_t retry_at;  /* RESTING */
    };
    size_t size; /* of the value, as its owner says */
    weir_tag_link *tags;
    uint8_t flags; /* WEIR_ENTRY_* */
    unsigned char key[];
};

/* A tag in use, or one that was deleted while loads are out which may turn out to have it. */
struct weir_tag {
    weir_cache_node node; /* first */
    weir_list links;      /* of entries and loads */
    weir_link link;       /* in the cache's deleted ones, if it is one */
    uint64_t deleted;     /* the number of its last deletion, while in that list */
    uint32_t n_entries;   /* whose memory it counts to */
    uint32_t epoch;       /* the cache's when it was made: of an older one it is in no index */
    unsigned char key[];
};

/* `tag` is on an entry or a load. */
struct weir_tag_link {
    weir_link link; /* in tag->links */
    weir_tag *tag;
    weir_tag_link *next; /* of the same owner */
    weir_entry *entry;   /* one of the two */
    weir_load *load;
};

struct weir_cache {
    weir_runtime *rt;
    const weir_cache_ops *ops;
    weir_cache_options options;
    weir_hash_key hash_key;
    weir_index entries;
    weir_list order;    /* entries, the oldest first */
    weir_link *hand;    /* SIEVE's: whom to look at next; NULL: the oldest */
    weir_link *sweep;   /* the same for what has expired */
    uint64_t bytes;     /* see weir__entry_cost, weir__tag_cost */
    weir_index loading; /* loads that may store */
    weir_list loads;    /* the same, in the order they began */
    weir_list strays;   /* loads that may not, until they are freed */
    weir_index tags;
    weir_list deleted_tags; /* in the order they were deleted */
    uint64_t tag_deletions; /* ever */
    uint64_t forgotten;     /* up to which of them the tags are not known any more */
    weir_list doomed;       /* entries that are out of everything and have to be freed */
    weir_quiet quiet;       /* set while there are any */
    uint32_t n_deleted_tags;
    uint32_t epoch;   /* cleared so often */
    uint32_t waiting; /* waiters of its loads */
    uint8_t closed;
    const char *name;
    void *data;
    weir_cache_stats stats;
};

/* What malloc takes for `n` bytes: its own 8 before them, in steps of 16, 32 at least. */
static inline size_t weir__malloced(size_t n)
{
    n = (n + 8 + 15) & ~(size_t)15;
    return n < 32 ? 32 : n;
}

static inline uint64_t weir__sum(uint64_t a, uint64_t b)
{
    return b > WEIR_FOREVER - a ? WEIR_FOREVER : a + b;
}

/* The memory of an entry without its tags: record and key, its share of the index, the value. */
static inline uint64_t weir__entry_cost(size_t length, size_t size)
{
    return weir__sum(weir__malloced(sizeof(weir_entry) + length) + sizeof(void *), size);
}

static inline weir_entry *weir__entry_at(weir_link *k)
{
    return weir_container(k, weir_entry, link);
}

/* Until when an entry is of any use. */
static inline uint64_t weir__entry_end(const weir_cache *c, const weir_entry *e)
{
    uint64_t longer =
        c->options.stale > c->options.stale_if_error ? c->options.stale : c->options.stale_if_error;
    return e->flags & (WEIR_ENTRY_NEGATIVE | WEIR_ENTRY_STRICT) ? e->expires
                                                                : weir__sum(e->expires, longer);
}

/* cache_evict.c */
/* Out of index, order and tags; then freed: at once, or later by weir__reap. */
void weir__entry_detach(weir_cache *c, weir_entry *e);
void weir__entry_remove(weir_cache *c, weir_entry *e);
/* Evict until all is within the bounds. `keep` stays, if it fits in alone. */
void weir__cache_trim(weir_cache *c, const weir_entry *keep);
/* Drop a few that have expired, free a few that are doomed: what each insertion does for memory. */
void weir__cache_tend(weir_cache *c);
/* Free up to `n` of the doomed; if some are left, the others when it is quiet. */
void weir__cache_reap(weir_cache *c, uint32_t n);
void weir__cache_quiet(weir_runtime *rt, weir_quiet *q);

/* cache_tag.c */
uint64_t weir__tag_cost(const weir_tag *t);
uint64_t weir__tag_link_cost(void);
/* Take all tags off. */
void weir__entry_untag(weir_cache *c, weir_entry *e);
void weir__load_untag(weir_cache *c, weir_load *load);
/* The tags of `load` are now those of `e`, besides its own. */
void weir__tags_move(weir_cache *c, weir_load *load, weir_entry *e);
/* The bytes of the tags that `e` (which may be NULL) has after that, if it is alone. */
uint64_t weir__tags_cost(const weir_load *load, const weir_entry *e);
/* Deletions that no load needs to know of any more are forgotten. */
void weir__tags_forget(weir_cache *c);

/* cache.c */
/* `load` stores nothing: out of the index; told to stop if nobody waits. May be gone afterwards. */
void weir__load_discard(weir_cache *c, weir_load *load);
weir_load *weir__load_find(const weir_cache *c, uint32_t hash, const void *key, size_t length);

#include <weir/end.h>
#endif
