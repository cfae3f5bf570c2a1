/* bindings/lbody.c - the life of a task: spawn, first turn, turns, end.
 *
 * A task's body runs under task_main, inside its own coroutine, under lua_pcallk: an error or a
 * cancel unwinds through <close> handlers that may wait, and the handler sees the whole stack.
 * task_main then joins the children, decides the outcome and stores it; it does so in the
 * coroutine because all that can raise (out of memory). Until the join is over it allocates
 * nothing, so that it cannot fail with children alive. Only then does the core learn of the end.
 */
#include <string.h>

#include "context.h"

const lwork *const lworks[LWORK_KINDS] = {NULL, &lpool_work, &lload_work, &lloads_work,
                                          &lgroup_work};

/* --- the end ------------------------------------------------------------------------------ */

/* The results, or the error, from `first` to the top become user value 1 of the task at 1. */
static void store_values(lua_State *L, ltask *t, int first)
{
    int n = lua_gettop(L) - first + 1;
    if (n > 1) {
        lua_createtable(L, n, 0);
        lua_insert(L, first);
        for (int i = n; i >= 1; i--)
            lua_rawseti(L, first, i);
    } else if (n == 0) {
        lua_pushnil(L);
    }
    lua_setiuservalue(L, 1, LTASK_VALUES);
    t->n_values = n;
}

/* All that can raise at the end of a task. Task at 1, results or error from `first`. */
static void conclude(lua_State *L, ltask *t, weir_task_state state, int first)
{
    lcontext *ctx = t->ctx;
    weir_scope *parent = t->task.scope.parent;
    t->outcome = WEIR_TASK_FAILED;           /* should something below raise */
    t->task.scope.flags |= WEIR_SCOPE_ENDED; /* code of users runs below: no children any more */
    if (t->work != LWORK_NONE)
        state = lworks[t->work]->conclude(L, t, state, first);
    if (!(parent->flags & WEIR_SCOPE_TASK) && parent != weir_root(ctx->rt) &&
        lscope_of(parent)->collect)
        lscope_collect(L, lscope_of(parent), 1);
    if (state == WEIR_TASK_FAILED) {
        weir_scope *blamed = weir_task_blames(&t->task);
        if (blamed != NULL)
            lscope_add_error(L, ctx, blamed, first, t);
        else if (parent == weir_root(ctx->rt) && !t->is_main &&
                 !(t->task.scope.flags & WEIR_SCOPE_CLAIMED) &&
                 weir_list_is_empty(&t->task.scope.joiners))
            ltask_unhandled(L, ctx, t, first);
    }
    if (state == WEIR_TASK_DONE && t->has_extra) { /* of an error that it caught */
        lua_pushvalue(L, 1);
        ltask_push_extra(L, t);
        lua_pushnil(L);
        lua_setfield(L, -2, "traceback");
        lua_pop(L, 2);
    }
    if (!weir_list_is_empty(&t->task.held)) {
        ltask_push_name(L, t);
        if (t->is_main) {
            lua_pushliteral(L, "");
        } else {
            ltask_push_site(L, t);
            lua_pushfstring(L, " (spawned %s)", lua_tostring(L, -1));
            lua_remove(L, -2);
        }
        weir_hold *h = weir_container(weir_list_first(&t->task.held), weir_hold, link);
        const char *name = h->ops->name(h);
        lua_pushfstring(L, "%s%s ended and still held a %s%s%s%s, which was released",
                        lua_tostring(L, -2), lua_tostring(L, -1), h->ops->kind, name ? " of '" : "",
                        name ? name : "", name ? "'" : "");
        lerror_report(L, ctx, "leak", 0);
        lua_pop(L, 2);
    }
    store_values(L, t, first);
    lscope_drop_reason(L, &t->task.scope);
    t->outcome = (unsigned)state;
}

/* What the continuation needs to know of the body, in its KContext. */
enum { BODY_FAILED = 1, BODY_FAILED_FIRST = 2 };

static int children_ended(lua_State *L, int status, lua_KContext body)
{
    ltask *t = lua_touserdata(L, 1);
    weir_scope *s = &t->task.scope;
    weir_task_state state = WEIR_TASK_DONE;
    int failed = (body & BODY_FAILED) != 0, cancelled = 0;
    (void)status;
    if (t->raw_yield && !failed) {
        lua_settop(L, 2);
        lerror_push(L, "misuse", "coroutine.yield", "a task cannot yield by itself");
        failed = 1;
    }
    if (failed) {
        cancelled = weir_scope_is_cancelled(s) && lerror_is_cancelled(L, 3);
        state = cancelled ? WEIR_TASK_CANCELLED : WEIR_TASK_FAILED;
    }
    if ((s->flags & WEIR_SCOPE_FAILED) && (cancelled || !(body & BODY_FAILED_FIRST))) {
        if (!lscope_push_first_error(L, t->ctx, s))
            lua_pushliteral(L, "not enough memory"); /* there was none to keep the error */
        lua_insert(L, 3);
        lua_settop(L, 3);
        state = WEIR_TASK_FAILED;
    }
    conclude(L, t, state, 3);
    return 0;
}

static int body_ended(lua_State *L, int status, lua_KContext kctx)
{
    ltask *t = lua_touserdata(L, 1);
    weir_scope *s = &t->task.scope;
    int body = 0;
    (void)kctx;
    if (status != LUA_OK && status != LUA_YIELD)
        body = BODY_FAILED | (s->flags & WEIR_SCOPE_FAILED ? 0 : BODY_FAILED_FIRST);
    if (t->work == LWORK_NONE && t->permit != NULL) { /* free for the next job when fn returns */
        weir_permit_release(t->permit);
        t->permit = NULL;
    }
    if (s->n_children == 0)
        return children_ended(L, LUA_OK, body);
    if (body & BODY_FAILED)
        weir_scope_cancel(t->ctx->rt, s, (weir_reason){"the task failed", 0});
    return lwait_join_end(L, t, s, children_ended, body);
}

/* The body of every coroutine. Stack: task, function, arguments. */
static int task_main(lua_State *L)
{
    lua_pushcfunction(L, lerror_handler);
    lua_insert(L, 2);
    return body_ended(L, lua_pcallk(L, lua_gettop(L) - 3, LUA_MULTRET, 2, 0, body_ended), 0);
}

/* The limit that `t`, in its first turn, queued on for its start; NULL if on none. */
static lsem *limit_of(const ltask *t)
{
    if (t->work != LWORK_NONE || t->permit == NULL)
        return NULL;
    weir_semaphore *s = t->task.wait.status == WEIR_GRANTED ? t->permit->of : t->task.wait.object;
    return weir_container(s, lsem, sem);
}

/* Push why a task never got to run, other than by a cancel. */
static void push_refusal(lua_State *L, const ltask *t)
{
    const lsem *limit = limit_of(t);
    switch ((weir_status)t->task.wait.status) {
    case WEIR_STUCK: /* a job, queued for a slot */
        lerror_push(L, "deadlock", "limit",
                    "deadlock: no slot can come free any more for this job");
        break;
    case WEIR_IMPOSSIBLE:
        lerror_push(L, "impossible", "limit", "can never run any more: the limit shrank");
        break;
    case WEIR_CLOSED:
        lerror_push(L, "closed", "limit", "closed");
        break;
    default:
        lua_pushliteral(L, "not enough memory");
        return;
    }
    lua_pushstring(L, limit->sem.name);
    lua_setfield(L, -2, "name");
}

/* Protected: a task that ends without its coroutine: it never ran (cancelled, or no memory for
 * one), or the coroutine died under it and left the error in its values. */
static int conclude_outside(lua_State *L)
{
    ltask *t = lua_touserdata(L, 1);
    ltask_push(L, t);
    lua_replace(L, 1);
    if (t->buried) {
        lua_getiuservalue(L, 1, LTASK_VALUES);
        conclude(L, t, WEIR_TASK_FAILED, 2);
    } else if (weir_scope_is_cancelled(&t->task.scope)) {
        lerror_push_cancelled(L, "task", &t->task.scope);
        conclude(L, t, WEIR_TASK_CANCELLED, 2);
    } else {
        push_refusal(L, t);
        conclude(L, t, WEIR_TASK_FAILED, 2);
    }
    return 0;
}

static void finish(lcontext *ctx, ltask *t)
{
    lua_State *L = ctx->from;
    int slot = t->slot;
    t->slot = 0;
    weir_task_finish(ctx->rt, &t->task, (weir_task_state)t->outcome);
    if (t->work != LWORK_NONE)
        lworks[t->work]->ended(t);
    lcontext_unanchor(L, ctx, slot); /* `t` may be collected from here on */
}

static void finish_outside(lcontext *ctx, ltask *t)
{
    lua_State *L = ctx->from;
    t->outcome = WEIR_TASK_FAILED;
    lua_pushcfunction(L, conclude_outside);
    lua_pushlightuserdata(L, t);
    if (lua_pcall(L, 1, 0, 0) != LUA_OK) {
        lua_pop(L, 1);
        t->n_values = 0; /* the arguments are no error */
    }
    finish(ctx, t);
}

/* The coroutine is dead: closed by somebody with a hand on it, or out of memory in task_main.
 * Its scopes are still open; end them from the inside out, each once its children have ended. */
static void bury(lcontext *ctx, ltask *t)
{
    if (!t->buried) {
        lpool_abandon(&t->task.wait);
        lflight_abandon(ctx->rt, &t->task.wait);
    }
    t->buried = 1;
    for (;;) {
        weir_scope *s = t->task.current;
        if (s->n_children > 0) {
            weir_scope_cancel(ctx->rt, s, (weir_reason){"the coroutine of the task died", 0});
            weir_scope_join(ctx->rt, s, &t->task.wait, 0, WEIR_FOREVER);
            return; /* and here again when they have ended */
        }
        if (s == &t->task.scope)
            break;
        lscope_abandon(ctx->from, lscope_of(s));
    }
    finish_outside(ctx, t);
}

/* --- turns -------------------------------------------------------------------------------- */

/* A task yielded by coroutine.yield: nobody would resume it. A hook raises in it, at the first
 * instruction after the yield. The hook that was there comes back then; up to there it is kept in
 * the task's extra table. */
typedef struct lhook {
    lua_Hook function;
    int mask, count;
} lhook;

/* Protected. */
static int keep_hook(lua_State *L)
{
    ltask *t = lua_touserdata(L, 1);
    ltask_push(L, t);
    ltask_push_extra(L, t);
    lhook *h = lua_newuserdatauv(L, sizeof *h, 0);
    *h = (lhook){lua_gethook(t->co), lua_gethookmask(t->co), lua_gethookcount(t->co)};
    lua_setfield(L, -2, "hook");
    return 0;
}

static void restore_hook(lua_State *L, ltask *t)
{
    lhook h = {NULL, 0, 0};
    int top = lua_gettop(L);
    t->raw_yield = 0;
    ltask_push(L, t);
    if (t->has_extra) {
        lua_getiuservalue(L, -1, LTASK_EXTRA);
        if (lua_getfield(L, -1, "hook") == LUA_TUSERDATA)
            h = *(const lhook *)lua_touserdata(L, -1);
        lua_pushnil(L);
        lua_setfield(L, -3, "hook");
    }
    lua_sethook(t->co, h.function, h.mask, h.count);
    lua_settop(L, top);
}

static void raise_in_task(lua_State *L, lua_Debug *ar)
{
    ltask *t = ltask_current(lbox_of(L)->current);
    (void)ar;
    if (t != NULL && t->co == L)
        restore_hook(L, t);
    else /* it made a coroutine, which inherited the hook */
        lua_sethook(L, NULL, 0, 0);
    lerror_raise(L, "misuse", "coroutine.yield",
                 "a task cannot yield by itself (use weir.checkpoint, or a wait)");
}

static void raise_on_resume(lcontext *ctx, ltask *t)
{
    lua_State *L = ctx->from;
    if (!t->raw_yield && lua_gethook(t->co) != NULL) {
        lua_pushcfunction(L, keep_hook);
        lua_pushlightuserdata(L, t);
        if (lua_pcall(L, 1, 0, 0) != LUA_OK)
            lua_pop(L, 1); /* no memory to keep it */
    }
    t->raw_yield = 1;
    lua_sethook(t->co, raise_in_task, LUA_MASKCOUNT, 1);
}

/* Fill the coroutine of a task that starts, which holds its arguments alone from here on (they
 * may be large, and it may drop them long before it ends). Nothing here allocates but the stack,
 * which was asked for. Returns the number of arguments of task_main, or -1. */
static int load(lcontext *ctx, ltask *t)
{
    lua_State *co = t->co;
    int n = t->n_values;
    lua_settop(co, 0);
    if (!lua_checkstack(co, n + 8))
        return -1;
    lua_pushcfunction(co, task_main);
    lcontext_push_slot(co, ctx, t->slot);
    lua_getiuservalue(co, 2, LTASK_VALUES);
    if (n > LTASK_INLINE) {
        lua_getiuservalue(co, 2, LTASK_ARGS);
        for (int i = 1; i <= n; i++)
            lua_rawgeti(co, 4, i);
        lua_remove(co, 4);
    } else {
        for (int i = 0; i < n; i++)
            lua_getiuservalue(co, 2, LTASK_ARGS + i);
    }
    for (int i = n > LTASK_INLINE ? 1 : n; i > 0; i--) {
        lua_pushnil(co);
        lua_setiuservalue(co, 2, LTASK_ARGS + i - 1);
    }
    t->n_values = 0;
    return n + 2;
}

/* The first turn: the number of arguments of task_main, or -1 if it has ended instead. */
static int start(lcontext *ctx, ltask *t)
{
    lsem *limit = limit_of(t);
    int granted = t->task.wait.status == WEIR_GRANTED, n = -1;
    if (granted && lcontext_take_thread(ctx, t) == 0) {
        n = load(ctx, t);
        if (n < 0)
            lcontext_give_thread(ctx, t, 1);
    }
    if (n < 0)
        finish_outside(ctx, t); /* `t` may be gone afterwards */
    if (limit != NULL)
        limit->jobs--;
    return n;
}

static void resume(weir_runtime *rt, weir_task *task)
{
    ltask *t = (ltask *)(void *)task;
    lcontext *ctx = t->ctx;
    int n_args = 0, n_results, rc;
    (void)rt;

    if (t->buried) {
        bury(ctx, t);
        return;
    }
    if (t->co == NULL) {
        n_args = start(ctx, t);
        if (n_args < 0)
            return;
    }
    for (;;) {
        t->parked = 0;
        rc = lua_resume(t->co, ctx->from, n_args, &n_results);
        if (rc != LUA_YIELD || t->parked)
            break;
        lua_pop(t->co, n_results);
        raise_on_resume(ctx, t);
        n_args = 0;
    }
    if (rc == LUA_YIELD)
        return;
    if (t->raw_yield) /* it ended without another instruction */
        lua_sethook(t->co, NULL, 0, 0);
    if (rc != LUA_OK) {
        lua_State *L = ctx->from;
        ltask_push(L, t);
        lua_xmove(t->co, L, 1);
        lua_setiuservalue(L, -2, LTASK_VALUES);
        lua_pop(L, 1);
        t->n_values = 1;
        lcontext_give_thread(ctx, t, 0);
        bury(ctx, t);
        return;
    }
    lcontext_give_thread(ctx, t, 1);
    finish(ctx, t);
}

/* The level of whoever called the Lua half, which is on top: the first function from another
 * folder. 1 if there is none (the library's own task spawned). */
static int level_of_caller(lua_State *L)
{
    const char *own = NULL;
    size_t n = 0;
    lua_Debug ar;
    for (int level = 1; lua_getstack(L, level, &ar); level++) {
        lua_getinfo(L, "S", &ar);
        if (*ar.what == 'C')
            continue;
        if (own == NULL) {
            const char *slash = strrchr(ar.source, '/');
            own = ar.source;
            n = slash != NULL ? (size_t)(slash - own) + 1 : 0;
        } else if (strncmp(ar.source, own, n) != 0) {
            return level;
        }
    }
    return 1;
}

int ltask_spawn(lua_State *L, lcontext *ctx, int nargs, weir_scope *parent, uint32_t flags,
                const ljob *job)
{
    lua_Debug ar;
    int fn = lua_gettop(L) - nargs, rc;
    luaL_checkstack(L, nargs + 6, "too many arguments");
    int inlined = nargs <= LTASK_INLINE, keeps = job != NULL ? job->keeps : 0;
    int n_user = 2 + (inlined ? nargs : 1) + (keeps != 0);
    ltask *t = lua_newuserdatauv(L, sizeof *t, n_user);
    memset((char *)t + sizeof(weir_task), 0, sizeof *t - sizeof(weir_task));
    t->task.state = WEIR_TASK_CANCELLED; /* harmless until it is spawned */
    t->ctx = ctx;
    lcontext_set_type(L, ctx->box, LTYPE_TASK);
    lua_pushvalue(L, fn);
    lua_setiuservalue(L, -2, LTASK_VALUES);
    if (!inlined)
        lua_createtable(L, nargs, 0);
    for (int i = 0; i < nargs; i++) {
        lua_pushvalue(L, fn + 1 + i);
        if (inlined)
            lua_setiuservalue(L, -2, LTASK_ARGS + i);
        else
            lua_rawseti(L, -2, i + 1);
    }
    if (!inlined)
        lua_setiuservalue(L, -2, LTASK_ARGS);
    t->n_values = nargs;
    if (keeps != 0) {
        lua_pushvalue(L, keeps);
        lua_setiuservalue(L, -2, n_user);
        t->keeps = (unsigned)n_user;
    }
    t->line = -1;
    int level = ctx->for_caller ? level_of_caller(L) : 1;
    ctx->for_caller = 0;
    if (lua_getstack(L, level, &ar) && lua_getinfo(L, "lf", &ar)) {
        t->line = ar.currentline;
        lua_setiuservalue(L, -2, LTASK_EXTRA);
    }
    if (job != NULL && job->name != 0) {
        ltask_push_extra(L, t);
        lua_pushvalue(L, job->name);
        lua_setfield(L, -2, "name");
        lua_pop(L, 1);
    }
    lua_replace(L, fn);
    lua_settop(L, fn);
    t->slot = lcontext_anchor(L, ctx);

    /* From here nothing raises. */
    if (job == NULL || job->on == NULL) {
        rc = weir_task_spawn(ctx->rt, &t->task, parent, resume, flags);
    } else {
        rc = weir_task_prepare(ctx->rt, &t->task, parent, resume, flags);
        if (rc == 0) {
            rc = weir_semaphore_acquire_ranked(job->on, &t->task, job->n, job->priority,
                                               &t->task.wait, WEIR_FOREVER, &t->permit);
            if (rc != 0)
                weir_task_finish(ctx->rt, &t->task, WEIR_TASK_CANCELLED);
            else
                weir_container(job->on, lsem, sem)->jobs++;
        }
    }
    if (rc != 0) {
        lcontext_unanchor(L, ctx, t->slot);
        t->slot = 0;
        t->task.state = WEIR_TASK_CANCELLED;
        lua_pop(L, 1);
    }
    return rc;
}

int ltask_refused(lua_State *L, const char *op, int code, const weir_scope *parent)
{
    if (code == WEIR_ECANCELED) {
        lerror_push_cancelled(L, op, parent);
        return lua_error(L);
    }
    if (code == WEIR_ENOMEM)
        return luaL_error(L, "not enough memory");
    return lerror_raise(L, weir_error_name(code), op, "the scope has ended");
}
