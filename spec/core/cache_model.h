/* cache_model.h - the reference model of the cache: arrays, loops, and sums made anew each time.
 *
 * Entries are an array in the order of their age, loads an array of records, memory is added up
 * when it is asked for. Every function does to the model what the core's of like name does to a
 * cache, and returns what that must return. What a load's flight does is in here too.
 */
#ifndef WEIR_CACHE_MODEL_H
#define WEIR_CACHE_MODEL_H
#include <weir/cache.h>

#include "check.h"

#define KEYS 6
#define TAGS 5
#define LOADS 12
#define WAITS 8
#define VALUES 400 /* of a whole run; 0 is none */

typedef struct model_entry {
    int key, value;
    size_t size;
    uint64_t expires, retry_at;
    int visited, negative, rests, strict;
    unsigned tags;         /* a bit each */
    uint64_t tagged[TAGS]; /* when, by count, for those it has */
    unsigned epoch;
} model_entry;

typedef struct model_load {
    int used; /* not freed */
    int key, indexed, behind, lasting, ended;
    weir_flight_state state;
    uint32_t interested;
    uint64_t since, begun;
    uint64_t number; /* its place among the loads, then among the strays */
    unsigned tags;
    uint64_t tagged[TAGS];
    int waiters[WAITS], n_waiters;
    intptr_t value;
} model_load;

typedef struct model_wait {
    weir_status status; /* IDLE: free */
    int load;
    uint64_t deadline, order;
} model_wait;

typedef struct model {
    weir_cache_options options;
    uint64_t now;
    size_t key_length[KEYS], tag_length[TAGS];
    int closed, memory_is_short;
    model_entry entry[KEYS]; /* the oldest first */
    int n;
    int hand, sweep; /* keys; -1: begin with the oldest */
    model_entry doomed[VALUES];
    int n_doomed;
    unsigned epoch;
    model_load load[LOADS];
    model_wait wait[WAITS];
    int ready[WAITS], n_ready;
    uint32_t waiting;
    uint64_t counter; /* of all that needs a number */
    struct {
        int tag;
        uint64_t number;
    } deleted[TAGS]; /* remembered, oldest first */
    int n_deleted;
    uint64_t tag_deletions, forgotten;
    unsigned char dropped[VALUES]; /* how often each value was */
    weir_cache_stats stats;        /* but the histogram: that is `landed` */
    uint64_t landed;
} model;

typedef struct model_answer {
    weir_found found;
    int refresh, value, load; /* -1: no load */
} model_answer;

void cache_model_init(model *m, const weir_cache_options *options);
uint64_t cache_model_bytes(const model *m);
const model_entry *cache_model_find(const model *m, int key);
int cache_model_load_of(const model *m, int key); /* indexed; or -1 */

model_answer cache_model_look(model *m, int key);
/* For who wants a new one. */
model_answer cache_model_look_load(model *m, int key);
model_answer cache_model_peek(const model *m, int key);
/* The slot, or -1. The caller has seen to a free one. */
int cache_model_begin(model *m, int key, int behind);
int cache_model_store(model *m, int load, int value, size_t size, uint64_t ttl, int negative);
int cache_model_failed(model *m, int load, int *value);
int cache_model_set(model *m, int key, int value, size_t size, uint64_t ttl);
int cache_model_forbid_stale(model *m, int key);
int cache_model_delete(model *m, int key);
void cache_model_clear(model *m);
void cache_model_close(model *m);
int cache_model_tag(model *m, int key, int tag);
uint32_t cache_model_delete_tag(model *m, int tag);
void cache_model_quiet(model *m);

/* Out of the index; that, and of no use to anybody who does not wait; the same of a key's. */
void cache_model_take_out(model *m, model_load *l);
void cache_model_discard(model *m, model_load *l);
void cache_model_discard_key(model *m, int key);
/* The load with the lowest number past `after` among those that are indexed, or are not; or NULL.
 */
model_load *cache_model_first_load(model *m, int indexed, uint64_t after);
void cache_model_close_load(model *m, model_load *l);

void cache_model_wait_for(model *m, int wait, int load, uint64_t deadline);
void cache_model_leave(model *m, int load);
void cache_model_land(model *m, int load, weir_flight_state state, intptr_t value);
int cache_model_give_up(model *m, int wait, weir_status status);
/* Timeouts, in the order of their deadlines. */
void cache_model_timeouts(model *m);

#endif
