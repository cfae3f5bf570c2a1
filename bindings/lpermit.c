/* bindings/lpermit.c - permits: handles of what a task holds of a semaphore.
 *
 * A handle compares the generation of the core's record: it can be dropped, kept too long or used
 * twice without harm, and only the task that holds the permit may give it back. The record is there
 * as long as its runtime, which the handle knows by number: it keeps nothing alive, so that one for
 * each hand-off costs the collector little.
 */
#include <string.h>

#include "lsemaphore.h"

/* No finalizer clears the tag: a stale one leads to a record that is there, of another generation.
 */
struct lpermit {
    const void *tag;     /* first */
    weir_permit *permit; /* valid while the runtime lives and the generation matches */
    uint32_t generation;
    uint32_t runtime; /* number of its context; 0 while it is empty */
};

lpermit *lpermit_push(lua_State *L, const lbox *box)
{
    lpermit *p = lua_newuserdatauv(L, sizeof *p, 0);
    p->tag = ltag(box, LTYPE_PERMIT);
    p->runtime = 0;
    lcontext_set_type(L, box, LTYPE_PERMIT);
    return p;
}

void lpermit_take(lpermit *p, const lcontext *ctx, weir_permit *permit)
{
    p->permit = permit;
    p->generation = permit->generation;
    p->runtime = ctx->number;
}

static int is_held(const lbox *box, const lpermit *p)
{
    return lcontext_lives(box, p->runtime) && p->permit->generation == p->generation &&
           p->permit->waiter == NULL;
}

/* The permit at `index`, held by the running task, or misuse. */
static lpermit *check_mine(lua_State *L, const lbox *box, int index, const char *op)
{
    lpermit *p = ltest_tagged(L, index, box, LTYPE_PERMIT);
    if (p == NULL)
        lcheck_fail(L, op, index == 1 ? "self" : "other",
                    index == 1 ? "a permit (a method is called with a colon)" : "a permit", index);
    if (!is_held(box, p))
        lerror_raise(L, "misuse", op, "the permit was released already");
    const weir_task *t = weir_current(box->current->rt);
    if (p->permit->hold.holder != t) {
        ltask *holder = (ltask *)(void *)p->permit->hold.holder;
        if (holder == NULL)
            lua_pushliteral(L, "nobody");
        else
            ltask_push_name(L, holder);
        lerror_raise(L, "misuse", op, "the permit is held by %s, not by this task",
                     lua_tostring(L, -1));
    }
    return p;
}

static int permit_release(lua_State *L)
{
    weir_permit_release(check_mine(L, lbox_here(L), 1, "permit:release")->permit);
    return 0;
}

/* At the end of a `local p <close>`: harmless if it was released. */
static int permit_close(lua_State *L)
{
    const lbox *box = lbox_here(L);
    const lpermit *p = ltest_tagged(L, 1, box, LTYPE_PERMIT);
    if (p == NULL)
        return lcheck_fail(L, "permit:close", "self", "a permit", 1);
    /* Somebody else's by now: it was transferred, and this scope has no claim on it. */
    if (is_held(box, p) && p->permit->hold.holder == weir_current(box->current->rt))
        weir_permit_release(p->permit);
    return 0;
}

/* permit:transfer(task): from now on that task holds it and may release it. */
static int permit_transfer(lua_State *L)
{
    static const char op[] = "permit:transfer";
    const lbox *box = lbox_here(L);
    lpermit *p = check_mine(L, box, 1, op);
    ltask *to = ltest_object(L, 2, box, LTYPE_TASK);
    if (to == NULL)
        return lcheck_fail(L, op, "task", "a task", 2);
    if (weir_task_has_ended(&to->task))
        return lerror_raise(L, "misuse", op, "the task has ended");
    if (to->ctx != box->current)
        return lerror_raise(L, "misuse", op, "the task is of another runtime");
    weir_permit_transfer(p->permit, &to->task);
    return 0;
}

/* permit:split(n) -> a permit for n of its own, held by the same task; this one keeps the rest. */
static int permit_split(lua_State *L)
{
    static const char op[] = "permit:split";
    const lbox *box = lbox_here(L);
    weir_permit *part = NULL;
    lcheck_object(L, 1, LTYPE_PERMIT, op);
    uint32_t n = lcheck_count(L, 2, op, "n");
    lpermit *q = lpermit_push(L, box);
    lpermit *p =
        check_mine(L, box, 1, op); /* last: to allocate may run a finalizer that releases */
    if (n >= p->permit->n)
        return lerror_raise(L, "misuse", op, "'n' must be less than the permit's own %I, got %I",
                            (lua_Integer)p->permit->n, (lua_Integer)n);
    if (weir_permit_split(p->permit, n, &part) != 0)
        return luaL_error(L, "not enough memory");
    lpermit_take(q, box->current, part);
    return 1;
}

/* permit:merge(other): this one is for both from now on, and the other one is released. */
static int permit_merge(lua_State *L)
{
    static const char op[] = "permit:merge";
    const lbox *box = lbox_here(L);
    lpermit *p = check_mine(L, box, 1, op), *other = check_mine(L, box, 2, op);
    if (p == other)
        return lerror_raise(L, "misuse", op, "a permit cannot be merged with itself");
    if (weir_permit_merge(p->permit, other->permit) != 0)
        return lerror_raise(L, "misuse", op, "the permits are of two semaphores");
    return 0;
}

static int permit_index(lua_State *L)
{
    if (lcontext_push_method(L) != LUA_TNIL)
        return 1;
    const lpermit *p = lcheck_object(L, 1, LTYPE_PERMIT, "permit");
    int held = is_held(lbox_here(L), p);
    const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
    if (strcmp(key, "n") == 0)
        lua_pushinteger(L, held ? p->permit->n : 0);
    else if (strcmp(key, "held") == 0)
        lua_pushboolean(L, held);
    else
        return lerror_raise(L, "misuse", "permit", "no field '%s'", key);
    return 1;
}

static const luaL_Reg methods[] = {{"release", permit_release},
                                   {"transfer", permit_transfer},
                                   {"split", permit_split},
                                   {"merge", permit_merge},
                                   {NULL, NULL}};
static const luaL_Reg meta[] = {{"__index", permit_index}, {"__close", permit_close}, {NULL, NULL}};

void lpermit_open(lua_State *L)
{
    lcontext_new_type(L, LTYPE_PERMIT, methods, meta);
}
