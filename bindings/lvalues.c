/* bindings/lvalues.c - values by number: slots, chunks, the stack of those that are free. */
#include "lvalues.h"

void lvalues_push_table(lua_State *L)
{
    lua_newtable(L);
}

/* LVALUES_CHUNK slots more. */
static void widen(lua_State *L, weir_runtime *rt, lvalues *v)
{
    uint32_t n = v->n + LVALUES_CHUNK;
    if (n > v->cap) { /* room to free every slot without asking again */
        uint32_t cap = v->cap > 0 ? v->cap * 2 : LVALUES_CHUNK;
        uint32_t *p =
            n > INT32_MAX ? NULL : weir_alloc(rt, v->free, v->cap * sizeof *p, cap * sizeof *p);
        if (p == NULL)
            luaL_error(L, "not enough memory");
        v->free = p;
        v->cap = cap;
    }
    for (uint32_t slot = n; slot > v->n; slot--)
        v->free[v->n_free++] = slot;
    v->n = n;
}

/* [-0, +1, -] The chunk of a slot; its place there. */
static int push_chunk(lua_State *L, int table, intptr_t slot)
{
    lua_rawgeti(L, table, (slot - 1) / LVALUES_CHUNK + 1);
    return (int)((slot - 1) % LVALUES_CHUNK) + 1;
}

void lvalues_reserve(lua_State *L, weir_runtime *rt, lvalues *v, int table)
{
    if (v->n_free == 0)
        widen(L, rt, v);
    uint32_t slot = v->free[v->n_free - 1];
    push_chunk(L, table, slot);
    if (lua_isnil(L, -1)) { /* all slots in the array part: what is put there never allocates */
        lua_createtable(L, LVALUES_CHUNK, 0);
        lua_rawseti(L, table, (slot - 1) / LVALUES_CHUNK + 1);
    }
    lua_pop(L, 1);
}

intptr_t lvalues_put(lua_State *L, lvalues *v, int table, int index, int slotted)
{
    if (!slotted && lua_isnil(L, index))
        return LVALUE_NIL;
    if (!slotted && lua_isboolean(L, index))
        return lua_toboolean(L, index) ? LVALUE_TRUE : LVALUE_FALSE;
    index = lua_absindex(L, index);
    uint32_t slot = v->free[--v->n_free];
    if (v->dirty > 0)
        v->dirty--;
    int place = push_chunk(L, table, slot);
    lua_pushvalue(L, index);
    lua_rawseti(L, -2, place);
    lua_pop(L, 1);
    return slot;
}

void lvalues_push(lua_State *L, int table, intptr_t handle)
{
    if (handle > 0)
        lua_rawgeti(L, -1, push_chunk(L, table, handle));
    else if (handle == LVALUE_NIL)
        lua_pushnil(L);
    else
        lua_pushboolean(L, handle == LVALUE_TRUE);
}

void lvalues_drop(lvalues *v, intptr_t handle)
{
    if (handle <= 0)
        return;
    v->free[v->n_free++] = (uint32_t)handle;
    v->dirty++;
}

void lvalues_sweep(lua_State *L, lvalues *v, int table)
{
    for (; v->dirty > 0; v->dirty--) {
        int place = push_chunk(L, table, v->free[v->n_free - v->dirty]);
        if (!lua_isnil(L, -1)) { /* of the table before this one */
            lua_pushnil(L);
            lua_rawseti(L, -2, place);
        }
        lua_pop(L, 1);
    }
}

void lvalues_fini(weir_runtime *rt, lvalues *v)
{
    weir_alloc(rt, v->free, v->cap * sizeof *v->free, 0);
}
