/* sqlite/connection.c - the life of a connection's record: launch, done, stop, close.
 *
 * The record is freed when two things have come, in any order: it is closed (or never was open),
 * and its userdata is gone. Whatever is asked of it while the thread has it, a close, the
 * collection of its userdata, the end of the runtime, is noted and seen to by `done`.
 */
#include "sqlite.h"
#include <string.h>

weir_sqlite *weir__connection_new(const weir_lua_api *api, weir_runtime *rt, uint32_t max_cached)
{
    weir_sqlite *c = sqlite3_malloc64(sizeof *c);
    if (c == NULL)
        return NULL;
    memset(c, 0, sizeof *c);
    c->api = api;
    c->rt = rt;
    c->max_cached = max_cached;
    atomic_init(&c->stop, 0);
    weir_list_init(&c->all);
    weir_list_init(&c->backlog);
    weir_list_init(&c->work_backlog);
    return c;
}

static void free_record(weir_sqlite *c)
{
    weir__bytes_free(&c->op.text);
    weir__bytes_free(&c->op.out);
    weir__bytes_free(&c->op.message);
    sqlite3_free(c);
}

static void settle(weir_sqlite *c, weir_waiter **waiter, weir_status status)
{
    weir_waiter *w = *waiter;
    *waiter = NULL;
    if (w != NULL)
        c->api->waiter_settle(c->rt, w, status);
}

/* --- the end ---------------------------------------------------------------------------------- */
static void done(void *connection, int status);

static void closed(weir_sqlite *c)
{
    c->is_open = 0;
    settle(c, &c->closer, WEIR_GRANTED);
    if (c->is_orphan)
        free_record(c);
}

/* Idle, and to be closed: on the thread where there is one, for who closes a database last writes
 * its log back. May free the record. */
static void close_idle(weir_sqlite *c)
{
    c->op.kind = WORK_CLOSE;
    c->op.owner = NULL;
    c->op.statement = NULL;
    atomic_store_explicit(&c->stop, 0, memory_order_relaxed);
    if (!c->is_open) {
        closed(c);
    } else if (c->rt == NULL || weir__connection_launch(c) != 0) {
        weir__work(c);
        closed(c);
    } else {
        weir__connection_land(c);
    }
}

void weir__connection_close(weir_sqlite *c)
{
    if (c->is_closing)
        return;
    c->is_closing = 1;
    if (c->is_busy)
        weir__connection_stop(c);
    else
        close_idle(c);
}

void weir__connection_orphan(weir_sqlite *c)
{
    c->is_orphan = 1;
    if (c->is_closing && !c->is_busy)
        free_record(c);
    else
        weir__connection_close(c);
}

void weir__connection_ended(void *connection)
{
    weir_sqlite *c = connection;
    c->rt = NULL;
    weir__connection_close(c);
}

/* --- one operation ---------------------------------------------------------------------------- */
static void clear_outcome(weir_operation *op)
{
    op->rc = SQLITE_OK;
    op->fault = FAULT_NONE;
    op->offset_of_error = -1;
    op->n_wanted = 0;
    op->n_rows = 0;
    op->has_names = op->has_more = op->may_retry = op->is_change = op->is_counted = 0;
    op->affected = 0;
    op->head[0] = '\0';
    weir__bytes_clear(&op->out);
    weir__bytes_clear(&op->message);
}

int weir__connection_launch(weir_sqlite *c)
{
    int rc;
    clear_outcome(&c->op);
    atomic_store_explicit(&c->stop, 0, memory_order_relaxed);
    weir_list_append(&c->work_backlog, &c->backlog);
    c->is_busy = 1; /* all is set before the thread may look */
    rc = c->api->work_new(c->rt, weir__work, done, c, &c->work);
    if (rc == WEIR_ENOIO) {
        weir__work(c);
        c->is_inline = 1;
    } else if (rc != 0) {
        c->is_busy = 0;
        weir_list_append(&c->backlog, &c->work_backlog);
        return rc;
    }
    return 0;
}

void weir__connection_land(weir_sqlite *c)
{
    if (c->is_inline)
        done(c, 0);
}

void weir__connection_stop(weir_sqlite *c)
{
    if (!c->is_busy || c->op.kind == WORK_CLOSE || c->op.kind == WORK_RESET)
        return;
    atomic_store_explicit(&c->stop, 1, memory_order_relaxed);
    if (c->work != NULL)
        c->api->work_cancel(c->work);
    /* This one reaches what the progress handler does not, a checkpoint for example. But it is
     * kept until no statement is active: with a loop open, it would hit what comes later. */
    if (c->op.kind != WORK_OPEN && c->n_cursors == 0)
        sqlite3_interrupt(c->db);
}

/* The statement of the operation, as far as it is the operation's and nothing is left to read. */
static void let_go(weir_sqlite *c, int was_run)
{
    weir_operation *op = &c->op;
    weir_statement *s = op->statement;
    if (op->kind == WORK_NEXT && !was_run)
        op->has_more = 1;
    if (s == NULL || op->has_more)
        return;
    s->is_over = 1;
    if (s->state == STATEMENT_CURSOR)
        return; /* the cursor sees to it */
    op->statement = NULL;
    if (s->state == STATEMENT_RUNNING)
        weir__statement_put(c, s);
}

/* On the loop, once for each launch. */
static void done(void *connection, int status)
{
    weir_sqlite *c = connection;
    weir_operation *op = &c->op;

    c->is_busy = c->is_inline = 0;
    c->work = NULL;
    if (op->kind == WORK_CLOSE) {
        if (status != 0) /* the loop ends, and gave it back */
            weir__work(c);
        closed(c);
        return;
    }
    if (status == 0) {
        weir__statements_tidied(c);
        if (op->kind == WORK_OPEN)
            c->is_open = c->db != NULL;
        c->in_transaction = op->in_transaction;
        c->is_writing = op->is_writing;
        if (op->is_counted)
            c->changes = op->changes;
    } else {
        op->fault = FAULT_DROPPED;
        weir_list_append(&c->backlog, &c->work_backlog);
    }
    let_go(c, status == 0);
    settle(c, &c->waiter, c->is_closing ? WEIR_CLOSED : WEIR_GRANTED);
    if (c->is_closing)
        close_idle(c);
}
