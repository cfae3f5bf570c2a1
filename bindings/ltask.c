/* bindings/ltask.c - the task object: spawn, await, cancel, fields. Its life is in lbody.c. */
#include <string.h>

#include "context.h"

static const char *const states[] = {"pending", "running", "waiting",
                                     "done",    "failed",  "cancelled"};

int ltask_push_values(lua_State *L, int index, ltask *t)
{
    int n = t->n_values;
    index = lua_absindex(L, index);
    luaL_checkstack(L, n + 2, "too many results");
    if (n == 0) {
        if (t->task.state == WEIR_TASK_DONE)
            return 0;
        lua_pushliteral(L, "not enough memory"); /* there was none to keep the error */
        return 1;
    }
    lua_getiuservalue(L, index, LTASK_VALUES);
    if (n == 1 || t->task.state != WEIR_TASK_DONE)
        return 1;
    int table = lua_gettop(L);
    for (int i = 1; i <= n; i++)
        lua_rawgeti(L, table, i);
    lua_remove(L, table);
    return n;
}

void ltask_push_settled(lua_State *L, int index, ltask *t)
{
    int done = t->task.state == WEIR_TASK_DONE;
    index = lua_absindex(L, index);
    lua_createtable(L, 0, 2);
    lua_pushboolean(L, done);
    lua_setfield(L, -2, "ok");
    int n = ltask_push_values(L, index, t);
    if (n == 0)
        lua_pushnil(L);
    else if (n > 1)
        lua_pop(L, n - 1);
    lua_setfield(L, -2, done ? "value" : "error");
}

/* Spawn from the function at `fn` and all after it; push the task or raise. */
static int spawn(lua_State *L, int fn, weir_scope *parent, uint32_t flags, const char *op)
{
    lcontext *ctx = lcontext_here(L);
    lcheck_function(L, fn, op, "fn");
    int rc = ltask_spawn(L, ctx, lua_gettop(L) - fn, parent, flags, NULL);
    return rc == 0 ? 1 : ltask_refused(L, op, rc, parent);
}

/* weir.spawn(fn, ...) -> task, in the innermost scope of the running task. */
static int core_spawn(lua_State *L)
{
    ltask *t = ltask_current(lcontext_here(L));
    if (t == NULL)
        return lwait_refuse_outside(L, "weir.spawn",
                                    "outside, weir.detach gives a task to the root scope");
    return spawn(L, 1, t->task.current, 0, "weir.spawn");
}

/* weir.detach(fn, ...) -> task, in the root scope: joined when the program ends. */
static int core_detach(lua_State *L)
{
    return spawn(L, 1, weir_root(lcontext_here(L)->rt), 0, "weir.detach");
}

/* weir.daemon(fn, ...) -> task, in the root scope: cancelled when the program ends. */
static int core_daemon(lua_State *L)
{
    return spawn(L, 1, weir_root(lcontext_here(L)->rt), WEIR_SCOPE_DAEMON, "weir.daemon");
}

/* core.claim(task): the caller will see to its failure, which so fails no scope. */
static int core_claim(lua_State *L)
{
    ltask *t = lcheck_object(L, 1, LTYPE_TASK, "claim");
    if (!weir_task_has_ended(&t->task))
        t->task.scope.flags |= WEIR_SCOPE_CLAIMED;
    return 0;
}

static int core_is_task(lua_State *L)
{
    lua_pushboolean(L, ltest_object(L, 1, lbox_here(L), LTYPE_TASK) != NULL);
    return 1;
}

static int push_outcome(lua_State *L, ltask *t, int protect)
{
    int done = t->task.state == WEIR_TASK_DONE;
    if (protect)
        lua_pushboolean(L, done);
    int n = ltask_push_values(L, 1, t);
    if (done || protect)
        return n + protect;
    ltask_push_field(L, 1, t, "traceback");
    lerror_keep_origin(L, lcontext_here(L), -2, -1);
    lua_pop(L, 1);
    return lua_error(L);
}

/* false and a `timeout` for pawait, or raise it. */
static int timed_out(lua_State *L, int protect)
{
    ltask *t = lua_touserdata(L, 1);
    ltask_push_name(L, t);
    lua_pushboolean(L, 0);
    lerror_push(L, "timeout", protect ? "task:pawait" : "task:await", "timed out; %s is %s",
                lua_tostring(L, -2), states[t->task.state]);
    return protect ? 2 : lua_error(L);
}

static int awaited(lua_State *L, int status, lua_KContext protect)
{
    lcontext *ctx = lcontext_here(L);
    (void)status;
    if (ltask_current(ctx)->task.wait.status == WEIR_TIMEOUT)
        return timed_out(L, (int)protect);
    lwait_outcome(L, ctx);
    return push_outcome(L, lua_touserdata(L, 1), (int)protect);
}

/* After a checkpoint: the outcome if it is there by now. */
static int polled(lua_State *L, int status, lua_KContext protect)
{
    ltask *t = lua_touserdata(L, 1);
    (void)status;
    lwait_outcome(L, lcontext_here(L));
    if (weir_task_has_ended(&t->task))
        return push_outcome(L, t, (int)protect);
    return timed_out(L, (int)protect);
}

static int await(lua_State *L, const char *op, int protect)
{
    lcontext *ctx = lcontext_here(L);
    ltask *t = lcheck_object(L, 1, LTYPE_TASK, op);
    uint64_t timeout = lcheck_only_timeout(L, 2, op);
    ltask *self = lwait_task(L, ctx, op);
    lua_settop(L, 1);
    if (weir_task_has_ended(&t->task)) {
        if (lwait_spend(L, self))
            return lwait_yield(L, self, op, awaited, protect);
        return push_outcome(L, t, protect);
    }
    lwait_enter(L, ctx, op);
    if (t->ctx != ctx)
        return lerror_raise(L, "misuse", op, "the task belongs to another runtime");
    if (timeout == 0)
        return lwait_spend(L, self) ? lwait_yield(L, self, op, polled, protect)
                                    : timed_out(L, protect);
    weir_task_join(ctx->rt, &t->task, &self->task.wait, protect, weir_after(ctx->rt, timeout));
    return lwait_park(L, self, awaited, protect);
}

static int task_await(lua_State *L)
{
    return await(L, "task:await", 0);
}

static int task_pawait(lua_State *L)
{
    return await(L, "task:pawait", 1);
}

/* task:cancel([reason]) -> true if this call cancelled it. */
static int task_cancel(lua_State *L)
{
    ltask *t = lcheck_object(L, 1, LTYPE_TASK, "task:cancel");
    if (weir_task_has_ended(&t->task)) {
        lua_pushboolean(L, 0);
        return 1;
    }
    lua_settop(L, 2);
    lua_pushboolean(L, lscope_cancel(L, t->ctx, &t->task.scope, 2));
    return 1;
}

static int task_index(lua_State *L)
{
    if (lcontext_push_method(L) != LUA_TNIL)
        return 1;
    ltask *t = lcheck_object(L, 1, LTYPE_TASK, "task");
    const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
    if (strcmp(key, "status") == 0) {
        lua_pushstring(L, states[t->task.state]);
        return 1;
    }
    if (strcmp(key, "name") == 0 || strcmp(key, "traceback") == 0 || strcmp(key, "errors") == 0) {
        if (ltask_push_field(L, 1, t, key) == LUA_TNIL && *key == 'n')
            ltask_push_default_name(L, t);
        return 1;
    }
    if (strcmp(key, "id") == 0) {
        lua_pushinteger(L, (lua_Integer)t->task.id);
        return 1;
    }
    return lerror_raise(L, "misuse", "task", "no field '%s'", key);
}

/* task.name = "text": the only field that can be set. */
static int task_newindex(lua_State *L)
{
    ltask *t = lcheck_object(L, 1, LTYPE_TASK, "task");
    if (lua_type(L, 2) != LUA_TSTRING || strcmp(lua_tostring(L, 2), "name") != 0)
        return lerror_raise(L, "misuse", "task", "only the field 'name' can be set");
    if (lua_type(L, 3) != LUA_TSTRING)
        return lcheck_fail(L, "task", "name", "a string", 3);
    lua_pushvalue(L, 1);
    ltask_push_extra(L, t);
    lua_pushvalue(L, 3);
    lua_setfield(L, -2, "name");
    return 0;
}

static int task_tostring(lua_State *L)
{
    ltask *t = lcheck_object(L, 1, LTYPE_TASK, "task");
    if (ltask_push_field(L, 1, t, "name") == LUA_TSTRING)
        lua_pushfstring(L, "weir.task '%s' (%s)", lua_tostring(L, -1), states[t->task.state]);
    else
        lua_pushfstring(L, "weir.task %I (%s)", (lua_Integer)t->task.id, states[t->task.state]);
    return 1;
}

static const luaL_Reg functions[] = {{"spawn", core_spawn},   {"detach", core_detach},
                                     {"daemon", core_daemon}, {"is_task", core_is_task},
                                     {"claim", core_claim},   {NULL, NULL}};
static const luaL_Reg methods[] = {
    {"await", task_await}, {"pawait", task_pawait}, {"cancel", task_cancel}, {NULL, NULL}};
static const luaL_Reg meta[] = {{"__index", task_index},
                                {"__newindex", task_newindex},
                                {"__tostring", task_tostring},
                                {NULL, NULL}};

void ltask_open(lua_State *L)
{
    lcontext_set_functions(L, functions);
    lcontext_new_type(L, LTYPE_TASK, methods, meta);
}
