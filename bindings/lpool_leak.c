/* bindings/lpool_leak.c - leases that are held too long: where they were acquired, and the report.
 *
 * Only where leases may be reported (leak_after) is noted who acquired one: the calling function
 * and its line, which cost no text until there is a report. The core tells of an overdue lease from
 * a timer, so the report is a job; a lease that came back before its turn is not reported.
 */
#include "lpool.h"

/* The caller's line, and its function, which has the file's name when it is asked for. Pool at 1.
 */
void lpool_note_site(lua_State *L, const lpool *s, const weir_lease *lease)
{
    lua_Debug ar;
    lresource *lr = lease->resource->value;
    if (s->pool.options.leak_after == WEIR_FOREVER)
        return;
    lr->line = 0;
    if (!lua_getstack(L, 1, &ar) || !lua_getinfo(L, "lf", &ar))
        return;
    lr->line = ar.currentline;
    lua_getiuservalue(L, 1, LPOOL_SITES);
    lua_insert(L, -2);
    lua_rawseti(L, -2, lr->key); /* there is room since it was made */
    lua_pop(L, 1);
}

void lpool_leaked(weir_pool *p, weir_lease *lease)
{
    lpool_queue(lpool_of(p), lease->resource->value, LPOOL_REPORT);
}

/* [-0, +1, m] Where a lease was acquired: "file:line". Pool at 2. */
static void push_site(lua_State *L, const lresource *lr)
{
    lua_Debug ar;
    lua_getiuservalue(L, 2, LPOOL_SITES);
    lua_rawgeti(L, -1, lr->key);
    lua_remove(L, -2);
    if (lr->line > 0 && lua_isfunction(L, -1) && lua_getinfo(L, ">S", &ar)) {
        lua_pushfstring(L, "%s:%d", ar.short_src, lr->line);
    } else {
        lua_settop(L, -2);
        lua_pushliteral(L, "?");
    }
}

/* Protected. Arguments: resource, pool. */
int lpool_report(lua_State *L)
{
    lresource *lr = lua_touserdata(L, 1);
    lpool *s = lr->of;
    const weir_lease *lease = lr->r->lease;
    if (lease == NULL || !lease->reported) /* it came back, and may be lent again */
        return 0;
    uint64_t held = weir_now(s->ctx->rt) - lease->since;
    ltask_push_name(L, (ltask *)(void *)lease->hold.holder);                         /* 3 */
    push_site(L, lr);                                                                /* 4 */
    lua_pushfstring(L, "%s: on_leak", s->pool.name != NULL ? s->pool.name : "pool"); /* 5 */
    if (lua_getiuservalue(L, 2, LPOOL_ON_LEAK) != LUA_TNIL) {
        lua_createtable(L, 0, 6);
        lua_pushvalue(L, 3);
        lua_setfield(L, -2, "holder");
        lua_pushvalue(L, 4);
        lua_setfield(L, -2, "acquired_at");
        lua_pushnumber(L, lseconds(lease->since));
        lua_setfield(L, -2, "since");
        lua_pushnumber(L, lseconds(held));
        lua_setfield(L, -2, "held");
        lua_pushstring(L, s->pool.name);
        lua_setfield(L, -2, "name");
        lua_getiuservalue(L, 2, LPOOL_VALUES);
        lua_rawgeti(L, -1, lr->key);
        lua_setfield(L, -3, "value");
        lua_pop(L, 1);
        const ljob job = {.name = 5};
        if (ltask_spawn(L, s->ctx, 1, weir_root(s->ctx->rt), WEIR_SCOPE_DAEMON, &job) == 0) {
            lpool_set_site(L, s, lua_touserdata(L, -1));
            return 0;
        }
    }
    const char *name = s->pool.name;
    lua_pushfstring(L, "pool%s%s%s: %s has held a lease for %f s, acquired at %s", name ? " '" : "",
                    name ? name : "", name ? "'" : "", lua_tostring(L, 3),
                    (lua_Number)lseconds(held), lua_tostring(L, 4));
    lerror_report(L, s->ctx, "leak", 0);
    return 0;
}
