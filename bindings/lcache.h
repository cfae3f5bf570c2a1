/* bindings/lcache.h - what the bindings of a cache share: the object, keys, values, loads. */
#ifndef WEIR_BINDINGS_LCACHE_H
#define WEIR_BINDINGS_LCACHE_H
#include "lvalues.h"

#include <weir/begin.h>

typedef struct lcache lcache;
typedef struct lcache_object {
    const void *tag; /* first */
    lcache *cache;   /* NULL once it is gone */
} lcache_object;
/* Core memory: loads may be out when the userdata is collected. */
struct lcache {
    lobject object; /* first */
    lcontext *ctx;
    lcache_object *owner;
    weir_cache *cache;
    lvalues values;
    uint64_t ttl, negative_ttl;
    uint8_t is_bounded; /* by bytes */
    uint8_t has_size, has_load, stale_if_error;
    size_t size;
    char name[];
};

/* User values: the table of values, functions, the error of the last load that failed, the reason
 * of the close. */
enum { LCACHE_VALUES = 1, LCACHE_LOAD, LCACHE_SIZE, LCACHE_ERROR, LCACHE_REASON, LCACHE_USER };
#define LCACHE_N_USER (LCACHE_USER - 1)

/* That of the userdata at `index`, NULL once it is gone. */
static inline lcache *lcache_at(lua_State *L, int index)
{
    return ((const lcache_object *)lua_touserdata(L, index))->cache;
}

/* --- lcache.c: the object ------------------------------------------------------------- */
/* The cache at index 1, of this runtime; or misuse. */
lcache *lcache_check(lua_State *L, const char *op);
/* The same, and open; or `closed`. */
lcache *lcache_check_open(lua_State *L, const char *op);
void lcache_raise_closed(lua_State *L, const lcache *c, const char *op);
/* Set field `name` of the error at the top to the cache's name. */
void lcache_set_name(lua_State *L, const lcache *c);

/* --- lentry.c: keys and values ------------------------------------------------------------------
 * A key is bytes: of a string with the NUL that Lua keeps behind it, so that no bytes of another
 * kind, which end in a letter, are the same. */
typedef struct lkey {
    const void *bytes; /* valid while the value is on the stack, and this struct stays */
    size_t length;
    unsigned char own[sizeof(lua_Integer) + 1];
} lkey;
void lkey_check(lua_State *L, int index, const char *op, lkey *out);
/* Push the key that these bytes are. */
void lkey_push(lua_State *L, const void *bytes, size_t length);

/* Of something else that a loader returned there: the text of the error. */
#define LCACHE_SAID(where)                                                                         \
    "what the loader returns " where " must be a table (ttl=, tags=, size=, stale=), got %s"
/* What is known of a value beside itself: how long it lives, how large it is, its tags. */
typedef struct lkeep {
    uint64_t ttl; /* ns */
    int has_ttl;
    int strict;   /* never answered past its ttl */
    double bytes; /* < 0: not said */
    int tags;     /* stack index of a string or table, 0: none */
} lkeep;
/* Read {ttl=, size=, tags=, stale=} or nil at `index`; its values stay on the stack. Raises. */
void lkeep_read(lua_State *L, int index, const char *op, const lcache *c, lkeep *out);
/* Bytes of the value at `index` under the key at `key`. `self` is the cache. Raises. */
size_t lcache_measure(lua_State *L, const lcache *c, int self, int index, int key,
                      const lkeep *keep, const char *op);
/* Push the value of `handle`, and what it needs below it. */
static inline void lcache_push_value(lua_State *L, int self, intptr_t handle)
{
    lua_getiuservalue(L, self, LCACHE_VALUES);
    lvalues_push(L, -1, handle);
}
/* What an error that is remembered counts. */
size_t lcache_measure_error(lua_State *L, int index);
/* See to it that the next lcache_put does not raise. Raises. */
void lcache_reserve(lua_State *L, lcache *c, int self);
/* A handle of the value at `index`. Raises. */
intptr_t lcache_put(lua_State *L, lcache *c, int self, int index, int slotted);
/* Take out of Lua what the core let go. */
void lcache_sweep(lua_State *L, lcache *c, int self);
/* Mark `key` with the tags of `keep`. 0 or WEIR_ENOMEM. */
int lcache_tag(lua_State *L, lcache *c, const void *key, size_t length, const lkeep *keep);
int lentry_peek(lua_State *L);
int lentry_set(lua_State *L);
int lentry_delete(lua_State *L);
int lentry_delete_tag(lua_State *L);
int lentry_clear(lua_State *L);

/* --- lget.c: get, get_with, refresh --------------------------------------------------- */
int lget(lua_State *L);
int lget_with(lua_State *L);
int lget_refresh(lua_State *L);
/* Raise for a wait in `op` that ended with `status`, not GRANTED nor FAILED. The cache is at 1. */
int lget_raise(lua_State *L, lcontext *ctx, weir_status status, const char *op);
/* Raise `overload`. */
int lget_refuse(lua_State *L, const lcache *c, const char *op);

/* --- lload.c: the load of one key ----------------------------------------------------- */
extern const weir_flight_ops lload_flight;
/* The cache that `load` is for, or NULL if nobody wants to know of it any more. */
lcache *lload_cache(const weir_load *load);
/* Keep the value at `index`, if it may be kept. The cache is at `self`. Raises. */
void lload_keep(lua_State *L, lcache *c, int self, weir_load *load, int index, const lkeep *keep);
/* The load failed with what is at `index`: 1 if that is the old value now, which is good enough for
 * who waits; 0 if it is the answer, and is kept if such is and nothing better is there. Raises. */
int lload_keep_error(lua_State *L, lcache *c, int self, weir_load *load, int index);

/* --- lloads.c: several keys by one call ----------------------------------------------- */
/* Nobody waits for this one of the keys that `t` loads. */
void lloads_abandon(ltask *t);
void lloads_open(lua_State *L);

#include <weir/end.h>
#endif
