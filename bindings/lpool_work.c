/* bindings/lpool_work.c - what a pool does by itself: create, check, destroy, report leaks.
 *
 * The core asks for an operation from inside its own functions, where no user code may run and
 * nothing may raise: so it becomes a job, and the pool's `turn` joins the ready queue. In its
 * turn each job becomes a task (a daemon of the root, in no scope of any caller) whose body is
 * the user's function. The outcome is kept while that task ends, and given to the core once it has.
 * An operation that could not begin for want of memory is answered as failed.
 * What create failed with is a reference to {error, traceback, number of handles of it}.
 */
#include "lpool.h"

static const char *const op_names[] = {"create", "check", "destroy"};

/* --- what is known of a resource --------------------------------------------------------- */

static lresource *resource_new(lpool *s, weir_resource *r)
{
    lresource *lr = weir_alloc(s->ctx->rt, NULL, 0, sizeof *lr);
    if (lr == NULL)
        return NULL;
    *lr = (lresource){.of = s, .r = r};
    weir_link_init(&lr->link);
    r->value = lr;
    return lr;
}

static void forget(lpool *s, lresource *lr)
{
    lua_State *L = s->ctx->main;
    if (lr->key != 0 && !s->is_ending && lua_checkstack(L, 6) && lpool_push(L, s)) {
        lua_getiuservalue(L, -1, LPOOL_SITES);
        lua_pushboolean(L, 0);
        lua_rawseti(L, -2, lr->key);
        lua_getiuservalue(L, -2, LPOOL_VALUES);
        luaL_unref(L, -1, lr->key);
        lua_pop(L, 3);
    }
    lr->r->value = NULL;
    weir_alloc(s->ctx->rt, lr, sizeof *lr, 0);
}

void lpool_answer(lpool *s, lresource *lr)
{
    weir_resource *r = lr->r;
    int rc = lr->rc, failure = lr->failure;
    switch ((lpool_op)lr->op) {
    case LPOOL_CREATE:
        lr->failure = 0;
        if (rc != 0)
            forget(s, lr);
        weir_pool_created(&s->pool, r, rc, failure);
        break;
    case LPOOL_CHECK:
        weir_pool_checked(&s->pool, r, rc == 0);
        break;
    default:
        forget(s, lr);
        weir_pool_destroyed(&s->pool, r);
    }
}

/* --- the core asks ----------------------------------------------------------------------- */

static const weir_wait_ops turn_ops = {"pool", NULL, NULL, NULL, NULL};

void lpool_ask_turn(lpool *s)
{
    if (!weir_link_is_linked(&s->turn.link))
        weir_waiter_enqueue(s->ctx->rt, &s->turn, &turn_ops);
}

void lpool_queue(lpool *s, lresource *lr, lpool_op op)
{
    if (weir_link_is_linked(&lr->link)) /* a leak, not reported yet: it has come back */
        weir_link_remove(&lr->link);
    lr->op = (uint8_t)op;
    lr->rc = WEIR_ENOMEM; /* until it is known better */
    lr->failure = 0;
    lr->is_aborted = 0;
    weir_list_push(&s->jobs, &lr->link);
    lpool_ask_turn(s);
}

static void begin(weir_pool *p, weir_resource *r, lpool_op op)
{
    lpool *s = lpool_of(p);
    lresource *lr = r->value != NULL ? r->value : resource_new(s, r);
    if (lr == NULL) {
        weir_pool_created(p, r, WEIR_ENOMEM, 0);
        return;
    }
    lpool_queue(s, lr, op);
    if (s->is_ending) {
        weir_link_remove(&lr->link);
        lpool_answer(s, lr);
    }
}

static void begin_create(weir_pool *p, weir_resource *r)
{
    begin(p, r, LPOOL_CREATE);
}

static void begin_check(weir_pool *p, weir_resource *r)
{
    begin(p, r, LPOOL_CHECK);
}

static void begin_destroy(weir_pool *p, weir_resource *r)
{
    begin(p, r, LPOOL_DESTROY);
}

static void cancel(lresource *lr)
{
    int closed = lr->of->pool.closed && lr->op != LPOOL_DESTROY;
    weir_scope_cancel(lr->of->ctx->rt, &lr->task->task.scope,
                      (weir_reason){closed ? "the pool was closed" : "it took too long", 0});
}

static void abort_operation(weir_pool *p, weir_resource *r)
{
    (void)p;
    lresource *lr = r->value;
    lr->is_aborted = 1;
    if (lr->task != NULL)
        cancel(lr);
}

/* Add to the number of handles of a failure. Raises nothing. */
static void count_handle(lpool *s, intptr_t failure, int by)
{
    lua_State *L = s->ctx->main;
    if (!lua_checkstack(L, 4))
        return;
    lua_rawgeti(L, LUA_REGISTRYINDEX, (lua_Integer)failure);
    lua_rawgeti(L, -1, 3);
    lua_Integer n = lua_tointeger(L, -1) + by;
    lua_pushinteger(L, n);
    lua_rawseti(L, -3, 3);
    lua_pop(L, 2);
    if (n == 0)
        luaL_unref(L, LUA_REGISTRYINDEX, (int)failure);
}

static void drop(weir_pool *p, intptr_t failure)
{
    count_handle(lpool_of(p), failure, -1);
}

static intptr_t share(weir_pool *p, intptr_t failure)
{
    count_handle(lpool_of(p), failure, 1);
    return failure;
}

#define OPS(check)                                                                                 \
    {                                                                                              \
        begin_create, check, begin_destroy, abort_operation, drop, share                           \
    }
const weir_pool_ops lpool_ops = OPS(begin_check), lpool_ops_unchecked = OPS(NULL);

/* --- the outcome of an operation --------------------------------------------------------- */

/* Keep it for who waits; error and traceback are at the top (popped). */
static void keep_failure(lua_State *L, lresource *lr)
{
    lua_createtable(L, 3, 0);
    lua_insert(L, -3);
    lua_rawseti(L, -3, 2);
    lua_rawseti(L, -2, 1);
    lua_pushinteger(L, 1);
    lua_rawseti(L, -2, 3);
    lr->rc = WEIR_ECANCELED;
    lr->failure = luaL_ref(L, LUA_REGISTRYINDEX);
}

static void created(lua_State *L, ltask *t, weir_task_state state, int first)
{
    lresource *lr = t->object;
    luaL_checkstack(L, 10, "create");
    if (state == WEIR_TASK_DONE && lua_gettop(L) >= first && lua_toboolean(L, first)) {
        lua_getiuservalue(L, 1, t->keeps);
        lua_getiuservalue(L, -1, LPOOL_VALUES);
        lua_pushvalue(L, first);
        lua_rawseti(L, -2, lr->key); /* there is room */
        lr->rc = 0;
        return;
    }
    if (state == WEIR_TASK_DONE) {
        lua_settop(L, first + 1); /* often followed by what the matter was */
        lua_pushliteral(L, "");
        if (!lua_isnil(L, first + 1)) {
            lerror_push_text(L, first + 1);
            lua_pushfstring(L, ": %s", lua_tostring(L, -1));
        }
        lpool_push_error(L, lr->of, "misuse", "pool:create", "create returned nothing%s",
                         lua_tostring(L, -1));
        lua_pushvalue(L, first + 1);
        lua_setfield(L, -2, "cause");
        lua_pushnil(L);
    } else {
        lua_pushvalue(L, first);
        ltask_push_field(L, 1, t, "traceback");
    }
    keep_failure(L, lr);
}

/* In the task, whose results or error stand from `first` on. */
static weir_task_state conclude(lua_State *L, ltask *t, weir_task_state state, int first)
{
    lresource *lr = t->object;
    int top = lua_gettop(L);
    if (lr->op == LPOOL_CREATE) {
        created(L, t, state, first);
        lua_settop(L, top);
    } else if (lr->op == LPOOL_CHECK) {
        lr->rc = state == WEIR_TASK_DONE && top >= first && lua_toboolean(L, first) ? 0 : -1;
    } else if (state == WEIR_TASK_CANCELLED && lr->is_aborted) {
        lpool_push_error(L, lr->of, "timeout", "pool:destroy", "destroy timed out after %f s",
                         (lua_Number)lseconds(lr->of->pool.options.destroy_timeout));
        lua_pushvalue(L, first);
        lua_setfield(L, -2, "cause");
        lua_replace(L, first);
        return WEIR_TASK_FAILED; /* and so it is reported */
    }
    return state;
}

static void ended(ltask *t)
{
    lresource *lr = t->object;
    lpool *s = lr->of;
    lr->task = NULL;
    lpool_answer(s, lr);
    lpool_settle(s);
}

const lwork lpool_work = {conclude, ended, NULL};

/* --- jobs become tasks ------------------------------------------------------------------- */

void lpool_set_site(lua_State *L, const lpool *s, ltask *t)
{
    t->line = s->line;
    ltask_push_extra(L, t);
    lua_getiuservalue(L, 2, LPOOL_SITE);
    lua_setfield(L, -2, "site");
    lua_pop(L, 1);
}

/* Protected. Arguments: resource, pool. Sets `task` if one was spawned. */
static int start(lua_State *L)
{
    lresource *lr = lua_touserdata(L, 1);
    lpool *s = lr->of;
    int n_args = lr->op != LPOOL_CREATE;
    lua_getiuservalue(L, 2, LPOOL_VALUES);
    if (lr->key == 0) {
        lua_pushboolean(L, 0);
        lr->key = luaL_ref(L, 3);
        lua_getiuservalue(L, 2, LPOOL_SITES); /* room, so that noting one cannot fail */
        lua_pushboolean(L, 0);
        lua_rawseti(L, -2, lr->key);
    }
    lua_settop(L, 3);
    if (s->pool.name != NULL)
        lua_pushfstring(L, "%s: %s", s->pool.name, op_names[lr->op]);
    else
        lua_pushfstring(L, "pool: %s", op_names[lr->op]);
    const ljob job = {.name = 4, .keeps = 2};
    lua_getiuservalue(L, 2, LPOOL_CREATE_FN + lr->op);
    if (n_args > 0)
        lua_rawgeti(L, 3, lr->key);
    int rc = ltask_spawn(L, s->ctx, n_args, weir_root(s->ctx->rt),
                         WEIR_SCOPE_DAEMON | WEIR_SCOPE_SHIELD, &job);
    if (rc != 0) {
        lr->rc = rc;
        return 0;
    }
    ltask *t = lua_touserdata(L, -1);
    t->work = LWORK_POOL;
    t->object = lr;
    if (lr->op != LPOOL_DESTROY)
        t->task.scope.flags |= WEIR_SCOPE_CLAIMED;
    lr->task = t;
    if (lr->is_aborted && lr->op != LPOOL_DESTROY) /* by a finalizer, since it was looked at */
        cancel(lr);
    lpool_set_site(L, s, t);
    return 0;
}

/* The pool's userdata is at the top. */
static void run_job(lua_State *L, lpool *s, lresource *lr)
{
    int destroys = lr->op == LPOOL_DESTROY, reports = lr->op == LPOOL_REPORT, has_fn = 1;
    if (destroys) {
        has_fn = lua_getiuservalue(L, -1, LPOOL_DESTROY_FN) != LUA_TNIL;
        lua_pop(L, 1);
    }
    if (has_fn && (destroys || !lr->is_aborted)) {
        lua_pushcfunction(L, reports ? lpool_report : start);
        lua_pushlightuserdata(L, lr);
        lua_pushvalue(L, -3);
        if (lua_pcall(L, 2, 0, 0) != LUA_OK)
            lua_pop(L, 1);
    }
    if (!reports && lr->task == NULL)
        lpool_answer(s, lr);
}

void lpool_run_jobs(weir_runtime *rt, weir_waiter *turn)
{
    lpool *s = weir_container(turn, lpool, turn);
    lua_State *L = s->ctx->from;
    weir_link *k;
    (void)rt;
    if (weir_list_is_empty(&s->jobs) || !lua_checkstack(L, 8))
        return;
    if (!lpool_push(L, s)) { /* garbage, and its finalizer has not come yet */
        lua_gc(L, LUA_GCCOLLECT);
        if (!lpool_push(L, s))
            return; /* the finalizer will ask again */
    }
    while ((k = weir_list_pop(&s->jobs)) != NULL)
        run_job(L, s, weir_container(k, lresource, link));
    lua_pop(L, 1);
    lpool_settle(s);
}
