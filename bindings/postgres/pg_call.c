/* postgres/pg_call.c - one statement, from Lua's arguments to its result or its first answer.
 *
 *   query(c, want, timeout, statement, ...)   want: "query" -> table, "row", "value"
 *   exec(c, timeout, sql) -> affected         prepare(c, timeout, sql) -> statement
 *   rows(c, timeout, statement, ...) -> cursor               goes on in pg_rows.c
 *   copy_in(c, timeout, sql)  copy_out(c, timeout, sql)      go on in pg_copy.c
 *
 * A call goes round (go_on) until nothing stands before the statement: the recovery from an earlier
 * one, statements to drop, one to prepare. Each of these is a wait, and after it the call looks
 * again. Order within a round: enter the wait (may raise), read parameters (may raise), hand it to
 * libpq, arm, park. On the stack: 1 connection, 2 and 3 of the call, 4 the statement, from 5 on its
 * parameters.
 */
#include "pg.h"
#include <stdio.h>
#include <string.h>

enum { STATEMENT = 4, FIRST = 5 };
enum { PHASE_READY, PHASE_CLEAN, PHASE_PREPARE, PHASE_RUN };

#define CLEAN_AT_ONCE 64

/* A wait is given up: what was sent is cancelled, and the connection recovers by itself. */
static void leave(weir_runtime *rt, weir_waiter *w)
{
    weir_pg *c = w->object;
    (void)rt;
    c->waiter = NULL;
    if (c->state == PG_DIALLING)
        weir__pg_dial_give_up(c);
    else if (c->state == PG_BUSY)
        weir__pg_abandon(c);
    weir__pg_watch(c);
}

/* No refund: a result that has come is its task's, and the cancel shows at the next wait. */
const weir_wait_ops weir__pg_ops[OP_COUNT] = {
    {.op = "postgres.connect", .leave = leave},
    {.op = "postgres:query", .leave = leave},
    {.op = "postgres:row", .leave = leave},
    {.op = "postgres:value", .leave = leave},
    {.op = "postgres:exec", .leave = leave},
    {.op = "postgres:transaction", .leave = leave},
    {.op = "postgres:rows", .leave = leave},
    {.op = "postgres:prepare", .leave = leave},
    {.op = "postgres:copy_in", .leave = leave},
    {.op = "postgres:copy_out", .leave = leave},
    {.op = "postgres:pipeline", .leave = leave},
    {.op = "postgres:notification"}, /* its leave is in pg_listen.c */
};

weir_waiter *weir__pg_enter(lua_State *L, weir_pg *c, const char *op)
{
    weir_waiter *w = c->api->enter(L, op);
    if (c->waiter != NULL)
        c->api->raise(L, "misuse", op, "another task waits for this connection");
    return w;
}

void weir__pg_begin(weir_pg *c, weir_waiter *w, int wants)
{
    c->api->waiter_begin(c->rt, w, &weir__pg_ops[c->op], c, c->deadline);
    c->waiter = w;
    c->wants = (uint8_t)wants;
    if (c->state >= PG_LOST) /* while it was being sent */
        weir__pg_wake(c, WEIR_GRANTED);
    weir__pg_watch(c);
}

static const char *doing(const weir_pg *c)
{
    switch (c->wants) {
    case WANT_READY:
        return "ending the command before";
    case WANT_ROOM:
        return "sending";
    case WANT_COPY:
        return "copying";
    default:
        return "waiting for the server";
    }
}

void weir__pg_resumed(lua_State *L, weir_pg *c, int sql)
{
    const weir_wait_ops *ops = &weir__pg_ops[c->op];
    const weir_waiter *w = &c->api->scope(L)->owner->wait;
    if (w->status == WEIR_TIMEOUT)
        weir__pg_raise_timeout(L, c, ops->op, doing(c), sql);
    c->api->outcome(L);
    if (c->state >= PG_LOST)
        weir__pg_raise_fault(L, c, ops->op);
}

int weir__pg_check_ready(lua_State *L, weir_pg *c, const char *op)
{
    if (c->rt == NULL || c->state == PG_CLOSED)
        return weir__pg_raise_fault(L, c, op);
    if (c->api->runtime(L) != c->rt)
        return c->api->raise(L, "misuse", op, "the connection belongs to another runtime");
    if (c->state == PG_READY && c->watched != WEIR_READABLE && weir__pg_read(c))
        weir__pg_take_notes(c); /* what came since the loop looked last */
    if (c->state == PG_READY && PQstatus(c->pg) != CONNECTION_OK)
        weir__pg_lose(c, NULL);
    if (c->state >= PG_LOST)
        return weir__pg_raise_fault(L, c, op);
    if (c->state == PG_READY)
        c->last_status = (uint8_t)PQtransactionStatus(c->pg);
    return c->state == PG_READY;
}

uint64_t weir__pg_check_free(lua_State *L, weir_pg *c, weir_pg_op op, int timeout)
{
    if (c->rt == NULL || c->state >= PG_LOST)
        weir__pg_raise_fault(L, c, weir__pg_ops[op].op);
    if (c->state == PG_BUSY || c->waiter != NULL)
        c->api->raise(L, "misuse", weir__pg_ops[op].op,
                      "the connection is busy with rows, a copy or a pipeline");
    return c->api->check_timeout(L, timeout, weir__pg_ops[op].op, "timeout");
}

void weir__pg_start(weir_pg *c, int mode, weir_pg_op op, uint64_t deadline)
{
    weir__pg_clear(c);
    c->op = (uint8_t)op;
    c->mode = (uint8_t)mode;
    c->deadline = deadline;
    c->affected = -1;
    c->preparing = 0;
    c->taken = 0;
    c->syncs = 0;
    c->is_copying = c->is_ended = c->is_stray = c->has_result = 0;
    c->serial++;
    c->state = PG_BUSY;
}

void weir__pg_sent_some(weir_pg *c, int sent, size_t size)
{
    c->unsent += size;
    if (!sent)
        weir__pg_lose(c, PQerrorMessage(c->pg));
    else if (c->unsent >= WEIR_PG_BATCH)
        weir__pg_flush(c);
    else
        c->is_flushing = 1; /* with what else this turn brings, when the socket is watched */
}

void weir__pg_sent(weir_pg *c, int sent, size_t size)
{
    c->unsent += size;
    if (!sent)
        weir__pg_lose(c, PQerrorMessage(c->pg));
    else
        weir__pg_flush(c);
}

/* --- statements that were given back --------------------------------------------------------- */
/* Only outside transactions: one that fails would take the transaction with it. */
static int must_clean(const weir_pg *c)
{
    return c->n_garbage > 0 && PQtransactionStatus(c->pg) == PQTRANS_IDLE;
}

static void clean(weir_pg *c)
{
    char sql[CLEAN_AT_ONCE * 32] = "";
    size_t n = c->n_garbage < CLEAN_AT_ONCE ? c->n_garbage : CLEAN_AT_ONCE, at = 0;
    for (size_t i = 0; i < n; i++)
        at += (size_t)snprintf(sql + at, sizeof sql - at, "DEALLOCATE weir_%u;",
                               (unsigned)c->garbage[--c->n_garbage]);
    weir__pg_sent(c, PQsendQuery(c->pg, sql), at);
}

void weir__pg_drop_later(weir_pg *c, uint32_t id)
{
    if (c->n_garbage == c->garbage_capacity) {
        size_t n = c->garbage_capacity ? c->garbage_capacity * 2 : 16;
        uint32_t *list =
            weir__pg_alloc(c, c->garbage, c->garbage_capacity * sizeof *list, n * sizeof *list);
        if (list == NULL)
            return; /* the server keeps it until the connection ends */
        c->garbage = list;
        c->garbage_capacity = n;
    }
    c->garbage[c->n_garbage++] = id;
}

static int release_statement(lua_State *L) /* release(c, statement): never waits */
{
    weir_pg *c = weir__pg_check(L, 1);
    weir_pg_statement *s = luaL_checkudata(L, 2, WEIR_PG_STATEMENT);
    if (s->generation != 0 && s->generation == c->generation && c->state < PG_LOST)
        weir__pg_drop_later(c, s->id);
    s->generation = 0;
    return 0;
}

static void prepare(lua_State *L, weir_pg *c, weir_pg_statement *s)
{
    char name[16];
    const char *sql;
    size_t size;
    lua_getiuservalue(L, STATEMENT, 1);
    sql = lua_tolstring(L, -1, &size);
    lua_pop(L, 1); /* alive: the statement has it */
    s->id = c->preparing = ++c->n_statements;
    snprintf(name, sizeof name, "weir_%u", (unsigned)s->id);
    weir__pg_sent(c, PQsendPrepare(c->pg, name, sql, 0, NULL), size);
}

/* Was the statement refused because what was prepared is no more, or no more fits? Then nothing
 * has run, and outside a transaction it can be prepared anew. */
static int must_prepare_again(weir_pg *c, weir_pg_statement *s)
{
    const char *sqlstate = PQresultErrorField(c->error, PG_DIAG_SQLSTATE);
    int is_gone, is_stale;
    if (s == NULL || s->was_tried_again || sqlstate == NULL ||
        PQtransactionStatus(c->pg) != PQTRANS_IDLE)
        return 0;
    is_gone = strcmp(sqlstate, "26000") == 0;
    is_stale = strcmp(sqlstate, "0A000") == 0;
    if (is_stale)
        weir__pg_drop_later(c, s->id);
    if (is_gone || is_stale)
        s->generation = 0;
    return is_gone || is_stale;
}

/* --- the rounds ------------------------------------------------------------------------------ */
static int resumed(lua_State *L, int status, lua_KContext phase);

int weir__pg_finish(lua_State *L, weir_pg *c)
{
    const PGresult *r = c->result;
    const char *op = weir__pg_ops[c->op].op;
    weir__pg_tell_notices_in(L, c);
    if (c->is_stray)
        return c->api->raise(L, "misuse", op, "a COPY with data needs copy_in or copy_out");
    if (c->error != NULL) {
        weir__pg_push_error(L, c, op, c->error, STATEMENT);
        weir__pg_clear(c);
        return lua_error(L);
    }
    if (c->op == OP_EXEC) {
        if (c->affected >= 0)
            lua_pushinteger(L, c->affected);
        else
            lua_pushnil(L);
        return 1;
    }
    if (c->op == OP_TRANSACTION) {
        lua_pushstring(L, r != NULL ? PQcmdStatus(c->result) : "");
        weir__pg_clear(c);
        return 1;
    }
    if (r == NULL)
        return c->api->raise(L, "protocol", op, "the server sent no result");
    if (c->op == OP_QUERY)
        return weir__pg_finish_rows(L, c);
    if (PQntuples(r) == 0) {
        lua_pushnil(L);
    } else if (c->op == OP_VALUE) {
        if (PQnfields(r) > 0)
            weir__pg_push_value(L, c, r, 0, 0);
        else
            lua_pushnil(L);
    } else {
        weir__pg_push_names(L, r);
        weir__pg_push_row(L, c, r, 0, -1);
    }
    weir__pg_clear(c);
    return 1;
}

static int park(lua_State *L, weir_pg *c, weir_waiter *w, int wants, int phase)
{
    weir__pg_begin(c, w, wants);
    return c->api->park(L, resumed, phase);
}

static int is_simple(weir_pg_op what) /* no parameters: the simple protocol */
{
    return what == OP_EXEC || what == OP_TRANSACTION || what == OP_COPY_IN || what == OP_COPY_OUT;
}

static int mode_of(weir_pg_op what)
{
    return what == OP_ROWS       ? MODE_ROWS
           : what == OP_COPY_IN  ? MODE_COPY_IN
           : what == OP_COPY_OUT ? MODE_COPY_OUT
                                 : MODE_RESULT;
}

static int wants_of(weir_pg_op what)
{
    return what == OP_ROWS ? WANT_ROW : WANT_END;
}

static int go_on(lua_State *L, weir_pg *c)
{
    weir_pg_op what = c->op;
    const char *op = weir__pg_ops[what].op;
    uint64_t deadline = c->deadline;
    weir_pg_statement *s = luaL_testudata(L, STATEMENT, WEIR_PG_STATEMENT);
    int is_ready = weir__pg_check_ready(L, c, op), sent;
    weir_waiter *w;

    if (s != NULL && what == OP_PREPARE && s->generation == c->generation)
        return 1; /* it is on top */
    w = weir__pg_enter(L, c, op);
    if (!is_ready)
        return park(L, c, w, WANT_READY, PHASE_READY);
    if (must_clean(c)) {
        weir__pg_start(c, MODE_RESULT, what, deadline);
        clean(c);
        return park(L, c, w, WANT_END, PHASE_CLEAN);
    }
    if (s != NULL && s->generation != c->generation) {
        weir__pg_start(c, MODE_RESULT, what, deadline);
        prepare(L, c, s);
        return park(L, c, w, WANT_END, PHASE_PREPARE);
    }
    sent = is_simple(what) ? PQsendQuery(c->pg, lua_tostring(L, STATEMENT))
                           : weir__pg_send(L, c, op, STATEMENT, FIRST, lua_gettop(L));
    if (sent && what == OP_ROWS)
        PQsetSingleRowMode(c->pg);
    weir__pg_start(c, mode_of(what), what, deadline);
    weir__pg_sent(c, sent, is_simple(what) ? lua_rawlen(L, STATEMENT) : 0);
    return park(L, c, w, wants_of(what), PHASE_RUN);
}

/* The first answer to a command that goes on. */
static int answered(lua_State *L, weir_pg *c)
{
    if (c->state == PG_BUSY && c->is_copying && !c->is_stray) {
        lua_pushboolean(L, 1);
        return 1;
    }
    if (c->op != OP_ROWS)
        return c->error != NULL || c->is_stray
                   ? weir__pg_finish(L, c)
                   : c->api->raise(L, "misuse", weir__pg_ops[c->op].op,
                                   "the statement is not a COPY %s",
                                   c->op == OP_COPY_IN ? "FROM STDIN" : "TO STDOUT");
    if (c->state == PG_BUSY && c->result == NULL)
        c->result = PQgetResult(c->pg);
    if (c->state == PG_BUSY && PQresultStatus(c->result) != PGRES_SINGLE_TUPLE) {
        weir_pg_op op = c->op; /* an error, or no rows at all: wait for the end */
        weir_waiter *w = weir__pg_enter(L, c, weir__pg_ops[op].op);
        c->mode = MODE_RESULT;
        if (PQresultStatus(c->result) == PGRES_FATAL_ERROR) {
            c->error = c->result;
            c->result = NULL;
        }
        weir__pg_pump(c);
        weir__pg_begin(c, w, WANT_END);
        if (c->state == PG_READY)
            weir__pg_wake(c, WEIR_GRANTED);
        return c->api->park(L, resumed, PHASE_RUN);
    }
    if (c->error != NULL || c->is_stray)
        return weir__pg_finish(L, c);
    return weir__pg_push_cursor(L, c, STATEMENT);
}

static int resumed(lua_State *L, int status, lua_KContext phase)
{
    weir_pg *c = lua_touserdata(L, 1);
    weir_pg_statement *s = luaL_testudata(L, STATEMENT, WEIR_PG_STATEMENT);
    (void)status;
    weir__pg_resumed(L, c, STATEMENT);
    if (phase == PHASE_PREPARE) {
        if (c->error != NULL)
            return weir__pg_finish(L, c);
        s->generation = c->generation;
    } else if (phase == PHASE_RUN) {
        if (c->error == NULL || !must_prepare_again(c, s))
            return mode_of(c->op) == MODE_RESULT ? weir__pg_finish(L, c) : answered(L, c);
        s->was_tried_again = 1;
    }
    return go_on(L, c);
}

/* The call may begin: of the arguments 1 is a connection that is there. */
static int begin(lua_State *L, weir_pg *c, weir_pg_op op, int timeout)
{
    weir_pg_statement *s = luaL_testudata(L, STATEMENT, WEIR_PG_STATEMENT);
    uint64_t deadline = weir__pg_check_free(L, c, op, timeout);
    if (s == NULL)
        weir__pg_check_sql(L, c, weir__pg_ops[op].op, STATEMENT);
    else
        s->was_tried_again = 0;
    c->op = (uint8_t)op;
    c->deadline = deadline;
    return go_on(L, c);
}

static int call_query(lua_State *L)
{
    weir_pg *c = weir__pg_check(L, 1);
    const char *want = luaL_checkstring(L, 2);
    luaL_checkany(L, STATEMENT);
    luaL_checkstack(L, 16, "query");
    return begin(L, c, *want == 'q' ? OP_QUERY : *want == 'r' ? OP_ROW : OP_VALUE, 3);
}

/* (c, timeout, sql), as the rounds want it. */
static int call_simple(lua_State *L, weir_pg_op op)
{
    weir_pg *c = weir__pg_check(L, 1);
    lua_settop(L, 3);
    lua_pushvalue(L, 3);
    return begin(L, c, op, 2);
}

static int call_exec(lua_State *L)
{
    return call_simple(L, OP_EXEC);
}

static int call_transact(lua_State *L) /* transact(c, timeout, sql) -> the first command's tag */
{
    return call_simple(L, OP_TRANSACTION);
}

static int call_copy_in(lua_State *L)
{
    return call_simple(L, OP_COPY_IN);
}

static int call_copy_out(lua_State *L)
{
    return call_simple(L, OP_COPY_OUT);
}

static int call_rows(lua_State *L)
{
    weir_pg *c = weir__pg_check(L, 1);
    luaL_checkany(L, 3);
    luaL_checkstack(L, 16, "query");
    lua_pushnil(L);
    lua_insert(L, 2);
    return begin(L, c, OP_ROWS, 3);
}

static int call_prepare(lua_State *L)
{
    weir_pg *c = weir__pg_check(L, 1);
    weir_pg_statement *s;
    lua_settop(L, 3);
    weir__pg_check_sql(L, c, weir__pg_ops[OP_PREPARE].op, 3);
    s = lua_newuserdatauv(L, sizeof *s, 1);
    memset(s, 0, sizeof *s);
    luaL_setmetatable(L, WEIR_PG_STATEMENT);
    lua_pushvalue(L, 3);
    lua_setiuservalue(L, STATEMENT, 1);
    return begin(L, c, OP_PREPARE, 2);
}

const luaL_Reg weir__pg_calls[] = {{"query", call_query},
                                   {"exec", call_exec},
                                   {"prepare", call_prepare},
                                   {"transact", call_transact},
                                   {"rows", call_rows},
                                   {"copy_in", call_copy_in},
                                   {"copy_out", call_copy_out},
                                   {"release", release_statement},
                                   {NULL, NULL}};
