/* bindings/lscope.c - weir.scope, weir.timeout, weir.shield, and the scope object.
 *
 * All three are one call: open a scope of the core, run the body under lua_pcallk, join the
 * children, end the scope, then decide what leaves it. Up to the end of the join nothing
 * allocates. What leaves, first that applies: the body's own error if it came first; the first
 * failure of a child; a cancel from outside; `timeout` if the scope's own deadline passed; the
 * `cancelled` of its own cancel if the body raised it; the body's values.
 */
#include <string.h>

#include "context.h"

/* What the continuation needs to know of the body, in its KContext. */
enum { BODY_FAILED = 1, BODY_FAILED_FIRST = 2 };

/* Push field `key` of the extra table of the scope at index 1; its type. */
static int push_kept(lua_State *L, const char *key)
{
    if (lua_getiuservalue(L, 1, LSCOPE_EXTRA) != LUA_TTABLE)
        return LUA_TNIL;
    int type = lua_getfield(L, -1, key);
    lua_remove(L, -2);
    return type;
}

/* Push the first error kept for the scope at index 1; 0 and nothing if there is none. */
static int push_first_kept(lua_State *L)
{
    if (push_kept(L, "errors") != LUA_TTABLE) {
        lua_pop(L, 1);
        return 0;
    }
    lua_rawgeti(L, -1, 1);
    lua_getfield(L, -1, "traceback");
    lua_getfield(L, -2, "error");
    lerror_keep_origin(L, lcontext_here(L), -1, -2);
    return 1;
}

/* Push the `timeout` of scope `s`; `index` is the error that the body ended with, or 0. */
static void push_expired(lua_State *L, lscope *s, int index)
{
    const char *op = NULL;
    if (index != 0 && lerror_is_cancelled(L, index) && lua_getfield(L, index, "op") == LUA_TSTRING)
        op = lua_tostring(L, -1); /* the error keeps it alive */
    const char *name = push_kept(L, "name") == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
    lua_pushfstring(L, "%f", lseconds(s->timeout));
    lerror_push(L, "timeout", s->op, "%s%s%stimed out after %s s%s%s%s", name ? "'" : "",
                name ? name : "", name ? "' " : "", lua_tostring(L, -1), op ? " (in " : "",
                op ? op : "", op ? ")" : "");
    lua_replace(L, -3);
    lua_pop(L, 1);
    if (index != 0) { /* the stack that matters is the one of the wait it hit */
        lua_pushvalue(L, index);
        lua_setfield(L, -2, "cause");
        if (op != NULL) {
            lua_getfield(L, index, "traceback");
            lua_setfield(L, -2, "traceback");
        }
    }
    push_kept(L, "name");
    lua_setfield(L, -2, "name");
    push_kept(L, "errors");
    lua_setfield(L, -2, "others");
}

/* The scope has ended. Stack: scope, handler, results or error. Returns the number of results,
 * or -1 with the error to raise at the top. */
static int decide(lua_State *L, lscope *s, int body)
{
    uint32_t flags = s->scope.flags;
    const weir_scope *parent = s->scope.parent;
    int shielded = strcmp(s->op, "weir.shield") == 0;
    int failed = body & BODY_FAILED;
    int cancelled = failed && (flags & WEIR_SCOPE_CANCELLED) && lerror_is_cancelled(L, 3);

    if (failed && !cancelled && (body & BODY_FAILED_FIRST))
        return -1;
    if ((flags & WEIR_SCOPE_FAILED) && !(flags & WEIR_SCOPE_EXPIRED)) {
        if (!push_first_kept(L))
            lua_pushliteral(L, "not enough memory"); /* there was none to keep the error */
        return -1;
    }
    if (failed && !cancelled)
        return -1;
    if (!shielded && weir_scope_is_cancelled(parent)) {
        if (!cancelled || s->scope.cause == &s->scope)
            lerror_push_cancelled(L, s->op, parent);
        return -1;
    }
    if (flags & WEIR_SCOPE_EXPIRED) {
        push_expired(L, s, failed ? 3 : 0);
        return -1;
    }
    return failed ? -1 : lua_gettop(L) - 2;
}

static int children_ended(lua_State *L, int status, lua_KContext body)
{
    lscope *s = lua_touserdata(L, 1);
    lcontext *ctx = s->ctx;
    (void)status;
    if (s->scope.n_children > 0) /* somebody spawned here since the last one ended */
        return lwait_join_end(L, ltask_current(ctx), &s->scope, children_ended, body);
    if (s->deadline.scope != NULL)
        weir_deadline_unset(ctx->rt, &s->deadline);
    weir_scope_end(ctx->rt, &s->scope);
    lcontext_unanchor(L, ctx, s->slot);
    s->slot = 0;
    s->tag = NULL;
    int n = decide(L, s, (int)body);
    lscope_drop_reason(L, &s->scope);
    return n < 0 ? lua_error(L) : n;
}

static int body_ended(lua_State *L, int status, lua_KContext kctx)
{
    lscope *s = lua_touserdata(L, 1);
    lcontext *ctx = s->ctx;
    int body = 0;
    (void)kctx;
    if (status != LUA_OK && status != LUA_YIELD) {
        body = BODY_FAILED | (s->scope.flags & WEIR_SCOPE_FAILED ? 0 : BODY_FAILED_FIRST);
        weir_scope_cancel(ctx->rt, &s->scope, (weir_reason){"the body of the scope failed", 0});
    }
    if (s->scope.n_children == 0)
        return children_ended(L, LUA_OK, body);
    return lwait_join_end(L, ltask_current(ctx), &s->scope, children_ended, body);
}

/* Whether to take a checkpoint before the scope. A shield never does: it could not raise. */
static ltask *spent(lua_State *L, const char *op)
{
    ltask *t = lwait_task(L, lcontext_here(L), op);
    return lwait_spend(L, t) ? t : NULL;
}

/* Open a scope around the function at `fn` and the arguments after it, and call it. */
static int scoped(lua_State *L, const char *op, int fn, uint64_t timeout, int is_shield,
                  int pass_scope, int collect, int options)
{
    lcontext *ctx = lcontext_here(L);
    ltask *t;
    lcheck_function(L, fn, op, "fn");
    if (is_shield) {
        t = lwait_task(L, ctx, op); /* a shield is opened because of a cancel */
        lwait_check_yieldable(L, op);
    } else {
        t = lwait_enter(L, ctx, op);
    }
    luaL_checkstack(L, 8, "scope");
    lscope *s = lua_newuserdatauv(L, sizeof *s, 2);
    memset(s, 0, sizeof *s);
    s->ctx = ctx;
    s->op = op;
    s->timeout = timeout;
    s->collect = (uint8_t)collect;
    lcontext_set_type(L, lbox_here(L), LTYPE_SCOPE);
    if (options != 0 && lua_getfield(L, options, "name") != LUA_TNIL) {
        if (lua_type(L, -1) != LUA_TSTRING)
            return lcheck_fail(L, op, "name", "a string", -1);
        lua_createtable(L, 0, 1);
        lua_insert(L, -2);
        lua_setfield(L, -2, "name");
        lua_setiuservalue(L, -2, LSCOPE_EXTRA);
    } else if (options != 0) {
        lua_pop(L, 1);
    }
    if (collect) {
        lua_newtable(L);
        lua_setiuservalue(L, -2, LSCOPE_QUEUE);
    }
    s->slot = lcontext_anchor(L, ctx);
    /* scope, handler, fn [, scope], arguments */
    if (pass_scope) {
        lua_pushvalue(L, -1);
        lua_insert(L, fn + 1);
    }
    lua_insert(L, 1);
    lua_pushcfunction(L, lerror_handler);
    lua_insert(L, 2);
    for (int extra = fn - 1; extra > 0; extra--) /* options before the function */
        lua_remove(L, 3);

    s->tag = ltag(ctx->box, LTYPE_SCOPE);
    weir_scope_open(ctx->rt, &s->scope, t->task.current, &t->task,
                    (is_shield ? WEIR_SCOPE_SHIELD : 0u) | (collect ? WEIR_SCOPE_SETTLING : 0u));
    if (is_shield)
        weir_scope_shield(ctx->rt, &s->scope, &s->deadline, timeout);
    else if (timeout != WEIR_FOREVER)
        weir_scope_set_deadline(ctx->rt, &s->scope, &s->deadline, weir_after(ctx->rt, timeout));
    return body_ended(L, lua_pcallk(L, lua_gettop(L) - 3, LUA_MULTRET, 2, 0, body_ended), 0);
}

int lscope_run(lua_State *L)
{
    ltask *t = spent(L, "weir.run");
    if (t != NULL)
        return lwait_again(L, t, "weir.run", lscope_run);
    return scoped(L, "weir.run", 1, WEIR_FOREVER, 0, 0, 0, 0);
}

static const char *const scope_options[] = {"timeout", "deadline", "name", NULL};

/* weir.scope([opts,] fn) -> what fn(scope) returns, once all its children have ended. */
static int core_scope(lua_State *L)
{
    lcontext *ctx = lcontext_here(L);
    uint64_t timeout = WEIR_FOREVER;
    ltask *t = spent(L, "weir.scope");
    if (t != NULL)
        return lwait_again(L, t, "weir.scope", core_scope);
    if (lua_type(L, 1) != LUA_TTABLE) {
        lua_settop(L, 1);
        return scoped(L, "weir.scope", 1, WEIR_FOREVER, 0, 1, 0, 0);
    }
    lua_settop(L, 2);
    lcheck_options(L, 1, "weir.scope", scope_options);
    timeout = lcheck_timeout(L, 1, "weir.scope", "timeout");
    if (lua_getfield(L, 1, "deadline") != LUA_TNIL) { /* on the clock of weir.now() */
        uint64_t at = lcheck_seconds(L, -1, "weir.scope", "deadline"), now = weir_now(ctx->rt);
        uint64_t left = at > now ? at - now : 0;
        if (left < timeout)
            timeout = left;
    }
    lua_settop(L, 2);
    return scoped(L, "weir.scope", 2, timeout, 0, 1, 0, 1);
}

/* The combinators, which are Lua over a scope: what their errors are named by. */
static const char *const combinators[] = {"weir.all",    "weir.settle", "weir.race", "weir.any",
                                          "weir.quorum", "weir.iter",   "weir.map",  "weir.each",
                                          "limit:map",   "limit:each",  NULL};

static int combine(lua_State *L, lua_CFunction again, int collect)
{
    const char *op = combinators[luaL_checkoption(L, 2, NULL, combinators)];
    ltask *t = spent(L, op);
    if (t != NULL)
        return lwait_again(L, t, op, again);
    lua_settop(L, 1);
    return scoped(L, op, 1, WEIR_FOREVER, 0, 1, collect, 0);
}

/* core.gather(fn, op): a scope for a combinator. */
static int core_gather(lua_State *L)
{
    return combine(L, core_gather, 0);
}

/* core.collect(fn, op): the same where a child's failure is claimed, and next_ended gives the
 * children in the order they end. */
static int core_collect(lua_State *L)
{
    return combine(L, core_collect, 1);
}

/* weir.timeout(seconds, fn, ...) -> what fn returns, or `timeout`. */
static int core_timeout(lua_State *L)
{
    uint64_t timeout = lcheck_seconds(L, 1, "weir.timeout", "seconds");
    ltask *t = spent(L, "weir.timeout");
    if (t != NULL)
        return lwait_again(L, t, "weir.timeout", core_timeout);
    return scoped(L, "weir.timeout", 2, timeout, 0, 0, 0, 0);
}

/* weir.shield([grace,] fn, ...) -> what fn returns; cancels reach it `grace` seconds late. */
int lscope_shield(lua_State *L)
{
    uint64_t grace = 5 * WEIR_SECOND;
    int fn = 1;
    if (lua_type(L, 1) == LUA_TNUMBER) {
        grace = lcheck_seconds(L, 1, "weir.shield", "grace");
        fn = 2;
    }
    return scoped(L, "weir.shield", fn, grace, 1, 0, 0, 0);
}

void lscope_abandon(lua_State *L, lscope *s)
{
    lcontext *ctx = s->ctx;
    if (s->deadline.scope != NULL)
        weir_deadline_unset(ctx->rt, &s->deadline);
    weir_scope_end(ctx->rt, &s->scope);
    s->tag = NULL;
    lscope_drop_reason(L, &s->scope);
    int slot = s->slot;
    s->slot = 0;
    lcontext_unanchor(L, ctx, slot); /* `s` may be collected from here on */
}

/* --- cancel and its reason ---------------------------------------------------------------- */

int lscope_cancel(lua_State *L, lcontext *ctx, weir_scope *s, int index)
{
    weir_reason reason = {NULL, 0};
    if (weir_scope_is_cancelled(s))
        return 0;
    if (!lua_isnoneornil(L, index)) {
        lua_pushvalue(L, index);
        reason.value = luaL_ref(L, LUA_REGISTRYINDEX);
    }
    int did = weir_scope_cancel(ctx->rt, s, reason);
    if (!did && reason.value != 0)
        luaL_unref(L, LUA_REGISTRYINDEX, (int)reason.value);
    return did;
}

void lscope_drop_reason(lua_State *L, weir_scope *s)
{
    if (s->reason.value == 0 || (s->flags & WEIR_SCOPE_SHIELD) || s->cause != s)
        return;
    luaL_unref(L, LUA_REGISTRYINDEX, (int)s->reason.value);
    s->reason = (weir_reason){"cancelled", 0};
}

/* --- methods -------------------------------------------------------------------------------- */

static lscope *check_open(lua_State *L, const char *op)
{
    lscope *s = ltest_tagged(L, 1, lbox_here(L), LTYPE_SCOPE);
    if (s == NULL) {
        lcheck_object(L, 1, LTYPE_SCOPE, op);
        lerror_raise(L, "closed", op, "the scope has ended");
    }
    if (s->ctx != lcontext_here(L))
        lerror_raise(L, "misuse", op, "the scope belongs to another runtime");
    return s;
}

/* scope:spawn(fn, ...) -> task */
static int scope_spawn(lua_State *L)
{
    lscope *s = check_open(L, "scope:spawn");
    lcheck_function(L, 2, "scope:spawn", "fn");
    int rc = ltask_spawn(L, s->ctx, lua_gettop(L) - 2, &s->scope, 0, NULL);
    return rc == 0 ? 1 : ltask_refused(L, "scope:spawn", rc, &s->scope);
}

/* core.spawn_for_caller(scope, fn, ...) -> task, spawned where the library was called. */
static int core_spawn_for_caller(lua_State *L)
{
    lscope *s = check_open(L, "scope:spawn");
    if (s->collect) { /* room for its end, so that the end cannot fail for want of memory */
        lua_getiuservalue(L, 1, LSCOPE_QUEUE);
        lua_pushboolean(L, 0);
        lua_rawseti(L, -2, s->n_places + 1);
        s->n_places++;
        lua_pop(L, 1);
    }
    s->ctx->for_caller = 1;
    return scope_spawn(L);
}

/* scope:cancel([reason]) -> true if this call cancelled it */
static int scope_cancel(lua_State *L)
{
    lscope *s = lcheck_object(L, 1, LTYPE_SCOPE, "scope:cancel");
    lua_settop(L, 2);
    int did = s->tag != NULL && lscope_cancel(L, s->ctx, &s->scope, 2);
    if (did && s->collect) /* nobody asks any more: what fails from here on fails the scope */
        s->scope.flags &= ~(uint32_t)WEIR_SCOPE_SETTLING;
    lua_pushboolean(L, did);
    return 1;
}

static int joined(lua_State *L, int status, lua_KContext kctx)
{
    (void)status;
    (void)kctx;
    lwait_outcome(L, lcontext_here(L));
    return 0;
}

/* scope:join(): waits until it has no children. */
static int scope_join(lua_State *L)
{
    lscope *s = check_open(L, "scope:join");
    uint64_t timeout = lcheck_only_timeout(L, 2, "scope:join");
    ltask *t = lwait_enter(L, s->ctx, "scope:join");
    weir_scope_join(s->ctx->rt, &s->scope, &t->task.wait, 1, weir_after(s->ctx->rt, timeout));
    return lwait_park(L, t, joined, 0);
}

static int settled(lua_State *L, int status, lua_KContext kctx)
{
    lscope *s = lua_touserdata(L, 1);
    (void)status;
    (void)kctx;
    if (--s->settlers == 0 && !s->collect)
        s->scope.flags &= ~(uint32_t)WEIR_SCOPE_SETTLING;
    lwait_outcome(L, s->ctx);
    lua_Integer n = (lua_Integer)lua_rawlen(L, 2);
    for (lua_Integer i = 1; i <= n; i++) {
        lua_rawgeti(L, 2, i);
        ltask_push_settled(L, -1, lua_touserdata(L, -1));
        lua_rawseti(L, 2, i);
        lua_pop(L, 1);
    }
    lua_pushinteger(L, n);
    lua_setfield(L, 2, "n");
    lua_settop(L, 2);
    return 1;
}

/* scope:settle() -> outcomes of the children now there, in spawn order; claims their failures. */
static int scope_settle(lua_State *L)
{
    lscope *s = check_open(L, "scope:settle");
    ltask *t = lwait_enter(L, s->ctx, "scope:settle");
    lua_Integer n = 0;
    lua_settop(L, 1);
    lua_newtable(L);
    for (weir_link *k = weir_list_first(&s->scope.children); k;
         k = weir_list_next(&s->scope.children, k)) {
        weir_task *child = weir_scope_task(weir_container(k, weir_scope, link));
        if (child == NULL)
            continue;
        ltask_push(L, (ltask *)(void *)child);
        lua_rawseti(L, 2, ++n);
    }
    s->scope.flags |= WEIR_SCOPE_SETTLING;
    s->settlers++;
    weir_scope_join(s->ctx->rt, &s->scope, &t->task.wait, 1, WEIR_FOREVER);
    return lwait_park(L, t, settled, 0);
}

/* --- a collecting scope: its children in the order they end ----------------------------------- */

static void leave_next(weir_runtime *rt, weir_waiter *w)
{
    (void)rt;
    ((lscope *)w->object)->next = NULL;
}

/* An OR: one child that can go on is enough. */
static int next_can_wake(weir_graph *g, weir_waiter *w)
{
    const weir_list *children = &((lscope *)w->object)->scope.children;
    for (weir_link *k = weir_list_first(children); k != NULL; k = weir_list_next(children, k)) {
        weir_task *t = weir_scope_task(weir_container(k, weir_scope, link));
        if (t != NULL && weir_graph_can_act(g, t))
            return 1;
    }
    return 0;
}

/* A wait is named by the combinator whose scope it is. */
#define NEXT(op)                                                                                   \
    {                                                                                              \
        op, leave_next, NULL, next_can_wake, NULL                                                  \
    }
static const weir_wait_ops next_ops[] = {NEXT("weir.race"), NEXT("weir.any"), NEXT("weir.quorum"),
                                         NEXT("weir.iter")};

static const weir_wait_ops *next_ops_of(const lscope *s)
{
    const weir_wait_ops *ops = next_ops, *last = next_ops + sizeof next_ops / sizeof *next_ops - 1;
    while (ops < last && strcmp(ops->op, s->op) != 0)
        ops++;
    return ops;
}

void lscope_collect(lua_State *L, lscope *s, int index)
{
    index = lua_absindex(L, index);
    lcontext_push_slot(L, s->ctx, s->slot);
    lua_getiuservalue(L, -1, LSCOPE_QUEUE);
    lua_pushvalue(L, index);
    lua_rawseti(L, -2, s->first_queued + s->n_queued + 1);
    s->n_queued++;
    lua_pop(L, 2);
    if (s->next != NULL) {
        weir_waiter *w = s->next;
        s->next = NULL;
        weir_waiter_settle(s->ctx->rt, w, WEIR_GRANTED);
    }
}

static int take_next(lua_State *L, lscope *s)
{
    lua_getiuservalue(L, 1, LSCOPE_QUEUE);
    lua_rawgeti(L, -1, s->first_queued + 1);
    lua_pushboolean(L, 0);
    lua_rawseti(L, -3, s->first_queued + 1);
    s->first_queued++;
    s->n_queued--;
    return 1;
}

static int next_came(lua_State *L, int status, lua_KContext kctx)
{
    lscope *s = lua_touserdata(L, 1);
    (void)status;
    (void)kctx;
    lwait_outcome(L, s->ctx);
    return s->n_queued > 0 ? take_next(L, s) : 0;
}

/* core.next_ended(scope) -> the child that ended next, each once; nil when there is none left. */
static int core_next_ended(lua_State *L)
{
    lscope *s = check_open(L, "weir.iter");
    if (!s->collect || s->next != NULL)
        return lerror_raise(L, "misuse", s->op,
                            s->collect ? "another task waits in it" : "not a collecting scope");
    if (s->n_queued == 0 && s->scope.n_children == 0)
        return 0;
    ltask *t = lwait_task(L, s->ctx, s->op);
    lua_settop(L, 1);
    if (s->n_queued > 0) {
        if (lwait_spend(L, t))
            return lwait_yield(L, t, s->op, next_came, 0);
        return take_next(L, s);
    }
    lwait_enter(L, s->ctx, s->op);
    weir_waiter_begin(s->ctx->rt, &t->task.wait, next_ops_of(s), s, WEIR_FOREVER);
    s->next = &t->task.wait;
    return lwait_park(L, t, next_came, 0);
}

static int scope_index(lua_State *L)
{
    if (lcontext_push_method(L) != LUA_TNIL)
        return 1;
    lscope *s = lcheck_object(L, 1, LTYPE_SCOPE, "scope");
    const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
    if (strcmp(key, "name") == 0 || strcmp(key, "errors") == 0) {
        if (lua_getiuservalue(L, 1, LSCOPE_EXTRA) == LUA_TTABLE)
            lua_getfield(L, -1, key);
        return 1;
    }
    if (strcmp(key, "cancelled") == 0) {
        lua_pushboolean(L, weir_scope_is_cancelled(&s->scope));
        return 1;
    }
    return lerror_raise(L, "misuse", "scope", "no field '%s'", key);
}

static int scope_tostring(lua_State *L)
{
    lscope *s = lcheck_object(L, 1, LTYPE_SCOPE, "scope");
    lua_pushfstring(L, "weir.scope (%s)",
                    s->tag == NULL                       ? "ended"
                    : weir_scope_is_cancelled(&s->scope) ? "cancelled"
                                                         : "open");
    return 1;
}

static const luaL_Reg functions[] = {{"scope", core_scope},
                                     {"timeout", core_timeout},
                                     {"shield", lscope_shield},
                                     {"gather", core_gather},
                                     {"collect", core_collect},
                                     {"next_ended", core_next_ended},
                                     {"spawn_for_caller", core_spawn_for_caller},
                                     {NULL, NULL}};
static const luaL_Reg methods[] = {{"spawn", scope_spawn},
                                   {"cancel", scope_cancel},
                                   {"join", scope_join},
                                   {"settle", scope_settle},
                                   {NULL, NULL}};
static const luaL_Reg meta[] = {
    {"__index", scope_index}, {"__tostring", scope_tostring}, {NULL, NULL}};

void lscope_open(lua_State *L)
{
    lcontext_set_functions(L, functions);
    lcontext_new_type(L, LTYPE_SCOPE, methods, meta);
}
