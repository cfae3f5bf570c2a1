/* bindings/lvalues.h - Lua values that the core refers to by a number.
 *
 * A handle is an intptr_t: nil, false and true are numbers of their own, everything else has a
 * slot of a table that the owner's userdata keeps. The table is one of tables of LVALUES_CHUNK
 * slots each, so that it grows without being copied and the collector visits it in small steps,
 * and again only where something changed.
 * lvalues_drop touches no Lua, so it may be called from wherever the core lets a value go; what it
 * left in its slot is taken out by the next lvalues_sweep, or by the value that gets the slot. Who
 * needs none of the values any more puts an empty table in the place of the old one at once.
 * Invariant: free[0 .. n_free) are the slots without a value, the last `dirty` of them not yet
 * emptied; there is room in `free` for all n.
 */
#ifndef WEIR_BINDINGS_LVALUES_H
#define WEIR_BINDINGS_LVALUES_H
#include "context.h"

#include <weir/begin.h>

#define LVALUES_CHUNK 256

enum { LVALUE_TRUE = -2, LVALUE_FALSE = -1, LVALUE_NIL = 0 }; /* handles without a slot */

typedef struct lvalues {
    uint32_t *free; /* stack */
    uint32_t n, n_free, cap, dirty;
} lvalues;

/* Push an empty table, for the owner to keep as a user value. */
void lvalues_push_table(lua_State *L);
/* See to it that the next lvalues_put succeeds. `table` is absolute. Raises. */
void lvalues_reserve(lua_State *L, weir_runtime *rt, lvalues *v, int table);
/* A handle for the value at `index`; `slotted`: with a slot of its own whatever it is. */
intptr_t lvalues_put(lua_State *L, lvalues *v, int table, int index, int slotted);
/* Push the value of `handle`, or its chunk and the value. `table` may be relative. */
void lvalues_push(lua_State *L, int table, intptr_t handle);
/* The handle is not used any more. */
void lvalues_drop(lvalues *v, intptr_t handle);
/* Empty the slots of what was dropped. */
void lvalues_sweep(lua_State *L, lvalues *v, int table);
void lvalues_fini(weir_runtime *rt, lvalues *v);

#include <weir/end.h>
#endif
