/* bindings/lpool_end.c - the ends: of a pool, of a run that leaves one, of its runtime.
 *
 * A pool outlives the run in which it was made, but empty: at the end of each its resources are
 * destroyed, after the last task that could use them; with the next run it fills itself again.
 * With the runtime nothing can run any more: what is left is dropped, and the collector sees to it.
 */
#include <string.h>

#include "lpool.h"

/* --- of a pool --------------------------------------------------------------------------- */

/* pool:close([reason]): waiters and later calls get `closed`, what is idle is destroyed, what is
 * out when it comes back. Does not wait. */
int lpool_close(lua_State *L)
{
    lpool *s = lpool_check(L, "pool:close");
    lua_settop(L, 2);
    if (!s->pool.closed)
        lua_setiuservalue(L, 1, LPOOL_REASON);
    weir_pool_close(&s->pool);
    return 0;
}

static int drained(lua_State *L, int status, lua_KContext kctx)
{
    lcontext *ctx = lcontext_here(L);
    (void)status;
    (void)kctx;
    if (ltask_current(ctx)->task.wait.status == WEIR_TIMEOUT)
        lpool_timed_out(L, lpool_here(L), (uint64_t)lua_tointeger(L, 2), "pool:drain",
                        "drain timed out");
    lwait_outcome(L, ctx);
    return 0;
}

/* pool:drain([timeout]): refuses new requests, serves those queued, waits until everything is
 * back and destroyed. */
int lpool_drain(lua_State *L)
{
    static const char op[] = "pool:drain";
    lpool *s = lpool_check(L, op);
    uint64_t timeout = lcheck_only_timeout(L, 2, op);
    ltask *t = lwait_enter(L, s->ctx, op);
    lua_settop(L, 1);
    lua_pushinteger(L, (lua_Integer)timeout);
    weir_pool_drain(&s->pool, &t->task.wait, weir_after(s->ctx->rt, timeout));
    return lwait_park(L, t, drained, 0);
}

static int joined(lua_State *L, int status, lua_KContext kctx)
{
    (void)status;
    (void)kctx;
    lwait_outcome(L, lcontext_here(L));
    return 0;
}

/* Under a shield: wait for the end of the pool at 1, as long as destroying one may take. For what
 * this task itself has on loan it would wait in vain. */
static int join(lua_State *L)
{
    static const char op[] = "pool:close";
    lpool *s = lpool_check(L, op);
    uint64_t timeout = s->pool.options.destroy_timeout;
    ltask *t = lwait_enter(L, s->ctx, op);
    weir_pool_join(&s->pool, &t->task.wait, weir_after(s->ctx->rt, timeout));
    t->task.wait.flags |= WEIR_WAITER_DEFAULT;
    return lwait_park(L, t, joined, 0);
}

/* What is not there in time (a lease that is still out, too) ends without anybody who waits. */
static int closed(lua_State *L, int status, lua_KContext kctx)
{
    (void)L;
    (void)status;
    (void)kctx;
    return 0;
}

/* At the end of a `local p <close>`: close, and where it can wait, wait for the end. */
int lpool_end_of_block(lua_State *L)
{
    lpool *s = lpool_check(L, "pool:close");
    const ltask *t = ltask_current(s->ctx);
    weir_pool_close(&s->pool);
    if (weir_pool_is_gone(&s->pool) || t == NULL || t->co != L || !lua_isyieldable(L))
        return 0;
    lua_settop(L, 1);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushcclosure(L, lscope_shield, 1);
    lua_pushnumber(L, lseconds(s->pool.options.destroy_timeout));
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushcclosure(L, join, 1);
    lua_pushvalue(L, 1);
    lua_pcallk(L, 3, 0, 0, 0, closed);
    return 0;
}

/* --- of a coroutine, a run, a runtime ---------------------------------------------------- */

void lpool_abandon(weir_waiter *w)
{
    if (w->status == WEIR_FAILED && strcmp(w->ops->op, "pool:acquire") == 0)
        weir_lease_forget(w->object);
}

static void answer_list(lpool *s, const weir_list *list)
{
    for (weir_link *k; (k = weir_list_first(list)) != NULL;) {
        lresource *lr = weir_container(k, weir_resource, link)->value;
        if (weir_link_is_linked(&lr->link))
            weir_link_remove(&lr->link);
        lpool_answer(s, lr);
    }
}

void lpool_answer_all(lpool *s)
{
    answer_list(s, &s->pool.connecting);
    answer_list(s, &s->pool.checking);
    answer_list(s, &s->pool.closing);
}

static lpool *pool_at(weir_link *k)
{
    return weir_container(k, lpool, link);
}

void lpool_stop_all(lcontext *ctx)
{
    for (weir_link *k = weir_list_first(&ctx->pools); k; k = weir_list_next(&ctx->pools, k)) {
        lpool *s = pool_at(k);
        s->restarts = !s->pool.closed && !s->pool.draining;
        weir_pool_close(&s->pool);
    }
}

int lpool_all_stopped(lcontext *ctx)
{
    for (weir_link *k = weir_list_first(&ctx->pools); k; k = weir_list_next(&ctx->pools, k))
        if (!weir_pool_is_gone(&pool_at(k)->pool))
            return 0;
    return 1;
}

static uint32_t count_timers(const weir_list *list)
{
    uint32_t n = 0;
    for (weir_link *k = weir_list_first(list); k != NULL; k = weir_list_next(list, k))
        n += (uint32_t)weir_timer_is_set(&weir_container(k, weir_resource, link)->timer);
    return n;
}

int lpool_is_all(lcontext *ctx)
{
    const weir_counters *n = weir_runtime_counters(ctx->rt);
    uint32_t timers = 0;
    if (n->timers == 0 || weir_list_is_empty(&ctx->pools) || weir_next_turn(ctx->rt) == 0)
        return 0;
    if (ctx->simulator != NULL ? n->io > 0 : weir_loop_has_others(ctx->loop))
        return 0;
    for (weir_link *k = weir_list_first(&ctx->pools); k; k = weir_list_next(&ctx->pools, k)) {
        lpool *s = pool_at(k);
        const weir_pool *p = &s->pool;
        if (p->waiting + p->n_connecting + p->n_checking + p->n_closing > 0 ||
            !weir_list_is_empty(&p->joiners))
            return 0;
        timers += (uint32_t)weir_timer_is_set(&p->dial) + (uint32_t)weir_timer_is_set(&p->leak);
        timers += count_timers(&p->idle) + count_timers(&p->leased) + count_timers(&p->overdue);
    }
    return timers == n->timers;
}

void lpool_restart_all(lcontext *ctx)
{
    for (weir_link *k = weir_list_first(&ctx->pools); k; k = weir_list_next(&ctx->pools, k)) {
        lpool *s = pool_at(k);
        weir_timer_unset(ctx->rt, &s->pool.leak); /* nothing is lent */
        if (ctx->simulator != NULL || !s->restarts || !weir_pool_is_gone(&s->pool))
            continue;
        weir_pool_stats stats = s->pool.stats;
        weir_pool_options options = s->pool.options;
        const weir_pool_ops *ops = s->pool.ops;
        const char *name = s->pool.name;
        s->restarts = 0;
        weir_pool_fini(&s->pool);
        weir_pool_init(ctx->rt, &s->pool, ops, &options, name);
        s->pool.leaked = lpool_leaked;
        s->pool.stats = stats;
    }
}
