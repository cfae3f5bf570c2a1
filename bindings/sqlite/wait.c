/* sqlite/wait.c - a task waits for its connection's operation.
 *
 * Two kinds of wait. The first can be given up: a timeout or a cancel stops the operation. The
 * task is then resumed with the bad news while the thread may still be at work; so, with the
 * error in hand, it waits a second time, for `done`, and this wait nothing ends early. Only
 * then, and when a statement that was left half-read is reset, is the error raised.
 */
#include "sqlite.h"
#include <string.h>

/* --- operations by name ----------------------------------------------------------------------- */
static void leave(weir_runtime *rt, weir_waiter *w)
{
    weir_sqlite *c = w->object;
    (void)rt;
    c->waiter = NULL;
    weir__connection_stop(c);
}

/* A close goes on without those who wait for it. */
static void leave_close(weir_runtime *rt, weir_waiter *w)
{
    weir_sqlite *c = w->object;
    (void)rt;
    c->closer = NULL;
}

#define OP(name)                                                                                   \
    {                                                                                              \
        "sqlite:" name, leave, NULL, NULL, NULL                                                    \
    }
/* No refund: what was done is done, and its result is worth having. A cancel that came too late
 * shows at the next wait. */
static const weir_wait_ops ops[] = {OP("open"),    OP("query"),       OP("row"),
                                    OP("value"),   OP("exec"),        OP("rows"),
                                    OP("prepare"), OP("transaction"), OP("backup")};
#undef OP
static const weir_wait_ops end_ops = {"sqlite (end of an operation)", NULL, NULL, NULL, NULL};
static const weir_wait_ops close_ops = {"sqlite:close", leave_close, NULL, NULL, NULL};

int weir__check_op(lua_State *L, int index)
{
    const char *name = luaL_checkstring(L, index);
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (strcmp(ops[i].op + strlen("sqlite:"), name) == 0)
            return (int)i;
    return luaL_argerror(L, index, "no operation of this name");
}

const char *weir__op_name(int op)
{
    return ops[op].op;
}

/* --- connections in arguments ----------------------------------------------------------------- */
weir_sqlite *weir__check_connection(lua_State *L, int index)
{
    return *(weir_sqlite **)luaL_checkudata(L, index, WEIR_SQLITE_CONNECTION);
}

void weir__check_ready(lua_State *L, const weir_lua_api *api, weir_sqlite *c, int op)
{
    weir_statement *s;
    if (c == NULL || !c->is_open || c->is_closing)
        api->raise(L, "closed", ops[op].op, "the connection is closed");
    if (api->runtime(L) != c->rt)
        api->raise(L, "misuse", ops[op].op, "the connection belongs to another runtime");
    if (c->is_busy)
        api->raise(L, "misuse", ops[op].op, "another task is using the connection");
    s = c->op.statement;
    c->op.statement = NULL;
    if (s != NULL && s->state == STATEMENT_RUNNING) /* left by a task that was killed */
        weir__statement_abandon(c, s);
}

/* --- waits ------------------------------------------------------------------------------------ */
int weir__run(lua_State *L, weir_sqlite *c, weir_waiter *w, lua_KFunction k)
{
    int rc;
    c->op.owner = w;
    rc = weir__connection_launch(c);
    if (rc == WEIR_ENOMEM)
        return luaL_error(L, "not enough memory");
    if (rc != 0)
        return c->api->raise(L, "misuse", ops[c->op.op].op, "%s", c->api->error_text(rc));
    c->api->waiter_begin(c->rt, w, &ops[c->op.op], c, c->op.deadline);
    c->waiter = w;
    weir__connection_land(c);
    return c->api->park(L, k, (lua_KContext)w);
}

static int ended(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    return weir__fail(L, (weir_waiter *)ctx);
}

/* Wait for `done`, whatever comes. The error stays at the top. */
static int wait_for_end(lua_State *L, weir_sqlite *c, weir_waiter *w)
{
    c->api->waiter_begin(c->rt, w, &end_ops, c, WEIR_FOREVER);
    c->waiter = w;
    weir__connection_land(c);
    return c->api->park(L, ended, (lua_KContext)w);
}

int weir__fail(lua_State *L, weir_waiter *w)
{
    weir_sqlite *c = w->object;
    if (c->op.owner == w && c->is_busy)
        return wait_for_end(L, c, w);
    if (c->op.owner == w && !c->is_closing && c->op.statement != NULL) {
        c->op.kind = WORK_RESET;
        if (weir__connection_launch(c) == 0)
            return wait_for_end(L, c, w);
    }
    return lua_error(L);
}

static int raise_outcome(lua_State *L)
{
    const weir_sqlite *c = lua_touserdata(L, 1);
    const weir_waiter *w = lua_touserdata(L, 2);
    if (w->status == WEIR_TIMEOUT)
        return c->api->raise(L, "timeout", w->ops->op, "timed out");
    if (w->status == WEIR_CLOSED)
        return c->api->raise(L, "closed", w->ops->op, "the connection is closed");
    c->api->outcome(L);
    return 0;
}

int weir__give_up(lua_State *L, weir_waiter *w)
{
    lua_pushcfunction(L, raise_outcome);
    lua_pushlightuserdata(L, w->object);
    lua_pushlightuserdata(L, w);
    lua_pcall(L, 2, 0, 0); /* it does raise; this, or that there is no memory */
    return weir__fail(L, w);
}

static int enter(lua_State *L)
{
    const weir_sqlite *c = lua_touserdata(L, 1);
    c->api->enter(L, weir__op_name(c->op.op));
    return 0;
}

static int entered(lua_State *L, int status, lua_KContext ctx)
{
    (void)L;
    (void)ctx;
    return status;
}

int weir__run_next(lua_State *L, weir_sqlite *c, weir_waiter *w, lua_KFunction k)
{
    int rc = LUA_OK;
    if (weir_scope_is_cancelled(c->api->scope(L))) {
        lua_pushcfunction(L, enter); /* raises `cancelled` */
        lua_pushlightuserdata(L, c);
        rc = lua_pcallk(L, 1, 0, 0, 0, entered);
    }
    if (rc == LUA_OK) {
        c->op.kind = WORK_NEXT;
        if (weir__connection_launch(c) == 0) {
            c->api->waiter_begin(c->rt, w, &ops[c->op.op], c, c->op.deadline);
            c->waiter = w;
            weir__connection_land(c);
            return c->api->park(L, k, (lua_KContext)w);
        }
        lua_pushliteral(L, "not enough memory");
    }
    return weir__fail(L, w);
}

int weir__run_to_end(lua_State *L, weir_sqlite *c, weir_waiter *w, lua_KFunction k)
{
    c->op.owner = w;
    if (weir__connection_launch(c) != 0)
        return luaL_error(L, "not enough memory");
    c->api->waiter_begin(c->rt, w, &end_ops, c, WEIR_FOREVER);
    c->waiter = w;
    weir__connection_land(c);
    return c->api->park(L, k, (lua_KContext)w);
}

int weir__wait_closed(lua_State *L, weir_sqlite *c, weir_waiter *w, lua_KFunction k)
{
    c->api->waiter_begin(c->rt, w, &close_ops, c, WEIR_FOREVER);
    c->closer = w;
    return c->api->park(L, k, 0);
}
