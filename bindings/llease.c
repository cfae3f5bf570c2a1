/* bindings/llease.c - leases: handles of a resource that a task has on loan.
 *
 * A handle compares the generation of the core's record, as a permit does: it can be dropped, kept
 * too long or used twice without harm, and only the task that holds the lease may end it. What it
 * lends is reached through it while it is held and not after: by then it may be somebody else's.
 * A handle that is forgotten changes nothing: its value may still be used, so the lease is out
 * until its task ends.
 */
#include <string.h>

#include "lpool.h"

/* User value 1: the pool's userdata, which has the value that is lent. As with permits the tag may
 * be stale: it leads to a record that is there while its runtime is, of another generation. */
struct llease {
    const void *tag;   /* first */
    weir_lease *lease; /* valid while the runtime lives and the generation matches */
    uint32_t generation;
    uint32_t runtime; /* number of its context; 0 while it is empty */
};

llease *llease_push(lua_State *L, const lbox *box)
{
    llease *h = lua_newuserdatauv(L, sizeof *h, 1);
    h->tag = ltag(box, LTYPE_LEASE);
    h->runtime = 0;
    lcontext_set_type(L, box, LTYPE_LEASE);
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, 1);
    return h;
}

void llease_take(llease *h, const lcontext *ctx, weir_lease *lease)
{
    h->lease = lease;
    h->generation = lease->generation;
    h->runtime = ctx->number;
}

/* The lease of the handle at 1, or NULL if it is not held any more. */
static weir_lease *held(lua_State *L, const lbox *box, const char *op)
{
    const llease *h = ltest_tagged(L, 1, box, LTYPE_LEASE);
    if (h == NULL)
        h = lcheck_object(L, 1, LTYPE_LEASE, op);
    if (!lcontext_lives(box, h->runtime) || h->lease->generation != h->generation ||
        h->lease->resource == NULL)
        return NULL;
    return h->lease;
}

/* The lease of the handle at 1, held by the running task, or misuse. */
static weir_lease *check_mine(lua_State *L, const char *op)
{
    const lbox *box = lbox_here(L);
    weir_lease *lease = held(L, box, op);
    if (lease == NULL)
        lerror_raise(L, "misuse", op, "the lease was released already");
    if (lease->hold.holder != weir_current(box->current->rt)) {
        ltask *holder = (ltask *)(void *)lease->hold.holder;
        if (holder == NULL)
            lua_pushliteral(L, "nobody");
        else
            ltask_push_name(L, holder);
        lerror_raise(L, "misuse", op, "the lease is held by %s, not by this task",
                     lua_tostring(L, -1));
    }
    return lease;
}

/* lease:release(): give it back, good. */
static int lease_release(lua_State *L)
{
    weir_lease_release(check_mine(L, "lease:release"), 0);
    return 0;
}

/* lease:discard(): give it back, broken: it is destroyed. */
static int lease_discard(lua_State *L)
{
    weir_lease_discard(check_mine(L, "lease:discard"));
    return 0;
}

/* At the end of a `local l <close>`: harmless if it was released, or is somebody else's by now. An
 * error on its way out makes what was lent suspect. */
static int lease_close(lua_State *L)
{
    weir_lease *lease = held(L, lbox_here(L), "lease:close");
    if (lease != NULL && lease->hold.holder == weir_current(lcontext_here(L)->rt))
        weir_lease_release(lease, !lua_isnoneornil(L, 2));
    return 0;
}

/* lease:transfer(task): from now on that task holds it and may end it. */
static int lease_transfer(lua_State *L)
{
    static const char op[] = "lease:transfer";
    weir_lease *lease = check_mine(L, op);
    ltask *to = ltest_object(L, 2, lbox_here(L), LTYPE_TASK);
    if (to == NULL)
        return lcheck_fail(L, op, "task", "a task", 2);
    if (weir_task_has_ended(&to->task))
        return lerror_raise(L, "misuse", op, "the task has ended");
    if (to->ctx != lcontext_here(L))
        return lerror_raise(L, "misuse", op, "the task is of another runtime");
    weir_lease_transfer(lease, &to->task);
    return 0;
}

static int lease_index(lua_State *L)
{
    if (lcontext_push_method(L) != LUA_TNIL)
        return 1;
    weir_lease *lease = held(L, lbox_here(L), "lease");
    const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
    if (strcmp(key, "held") == 0) {
        lua_pushboolean(L, lease != NULL);
        return 1;
    }
    if (strcmp(key, "value") != 0)
        return lerror_raise(L, "misuse", "lease", "no field '%s'", key);
    if (lease == NULL)
        return lerror_raise(L, "misuse", "lease.value",
                            "the lease was released already, and its value may be somebody else's");
    lua_getiuservalue(L, 1, 1);
    lua_getiuservalue(L, -1, LPOOL_VALUES);
    lua_rawgeti(L, -1, ((lresource *)lease->resource->value)->key);
    return 1;
}

static int lease_tostring(lua_State *L)
{
    weir_lease *lease = held(L, lbox_here(L), "lease");
    if (lease == NULL) {
        lua_pushliteral(L, "weir.lease (released)");
        return 1;
    }
    const char *name = lease->of->name;
    ltask *holder = (ltask *)(void *)lease->hold.holder;
    ltask_push_name(L, holder);
    lua_pushfstring(L, "weir.lease %s(held by %s)", name != NULL ? name : "", lua_tostring(L, -1));
    return 1;
}

static const luaL_Reg methods[] = {{"release", lease_release},
                                   {"discard", lease_discard},
                                   {"transfer", lease_transfer},
                                   {NULL, NULL}};
static const luaL_Reg meta[] = {{"__index", lease_index},
                                {"__close", lease_close},
                                {"__tostring", lease_tostring},
                                {NULL, NULL}};

void llease_open(lua_State *L)
{
    lcontext_new_type(L, LTYPE_LEASE, methods, meta);
}
