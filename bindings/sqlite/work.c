/* sqlite/work.c - what runs on a pool thread: SQLite is called here, and nearly nowhere else.
 *
 * A work item does one thing to an end: open, close, compile, run a script, copy the database,
 * fetch one batch of rows. It never waits for another connection's lock (there is no busy
 * timeout): what meets one gives it up and says whether it may be tried again, and the task waits,
 * not the thread. So a pool whose every thread runs into a lock cannot keep the one that holds it
 * from its thread. `stop` is looked at before, between and (by SQLite's progress handler) inside
 * statements: an interrupt that comes before its query is not lost, and none hits the query after
 * it.
 */
#include "sqlite.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int is_stopped(void *connection)
{
    weir_sqlite *c = connection;
    return atomic_load_explicit(&c->stop, memory_order_relaxed);
}

static uint64_t clock_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void set_message(weir_operation *op, const char *text)
{
    weir__bytes_clear(&op->message);
    if (weir__bytes_append(&op->message, text, strlen(text) + 1) != 0)
        op->fault = FAULT_MEMORY;
}

/* A statement met a lock. Trying again helps if it then begins from the same point: outside
 * transactions, where nothing was read in this one, or for a COMMIT. Otherwise the snapshot of
 * what was read is what stands in the way. */
static int may_retry(weir_sqlite *c, int rc, int is_readonly)
{
    if (rc == SQLITE_LOCKED_SHAREDCACHE)
        return 1;
    if ((rc & 0xff) != SQLITE_BUSY || rc == SQLITE_BUSY_SNAPSHOT)
        return 0;
    return is_readonly || sqlite3_get_autocommit(c->db) ||
           sqlite3_txn_state(c->db, NULL) == SQLITE_TXN_NONE;
}

/* Before the statement is reset, which may change what SQLite knows of the error. */
static void failed(weir_sqlite *c, int rc, int is_readonly, int is_first)
{
    weir_operation *op = &c->op;
    op->rc = rc;
    if ((rc & 0xff) == SQLITE_NOMEM) {
        op->fault = FAULT_MEMORY;
        return;
    }
    op->may_retry = is_first && may_retry(c, rc, is_readonly);
    op->offset_of_error = sqlite3_error_offset(c->db);
    set_message(op, sqlite3_errmsg(c->db));
}

/* --- open and close --------------------------------------------------------------------------- */
/* Why a file could not be opened, in words that name what is missing. */
static void explain_open(weir_operation *op, int rc, int system_error, const char *message)
{
    const char *path = op->text.data, *slash = strrchr(path, '/');
    struct stat st;
    char *folder = NULL, *text;
    op->rc = rc;
    if (slash != NULL && slash != path && strncmp(path, "file:", 5) != 0)
        folder = sqlite3_mprintf("%.*s", (int)(slash - path), path);
    if (folder != NULL && stat(folder, &st) != 0 && errno == ENOENT)
        text = sqlite3_mprintf("cannot open '%s': there is no folder '%s'", path, folder);
    else if (system_error == ENOENT && op->kind == WORK_OPEN && (op->flags & SQLITE_OPEN_CREATE))
        text = sqlite3_mprintf("cannot open '%s': it is not there and cannot be made", path);
    else if (system_error != 0)
        text = sqlite3_mprintf("cannot open '%s': %s", path, strerror(system_error));
    else
        text = sqlite3_mprintf("cannot open '%s': %s", path, message);
    if (text != NULL)
        set_message(op, text);
    else
        op->fault = FAULT_MEMORY;
    sqlite3_free(text);
    sqlite3_free(folder);
}

static void work_open(weir_sqlite *c)
{
    weir_operation *op = &c->op;
    int rc = sqlite3_open_v2(op->text.data, &c->db, op->flags, NULL);
    if (rc == SQLITE_OK) {
        sqlite3_progress_handler(c->db, WEIR_SQLITE_STEPS, is_stopped, c);
        return;
    }
    if (c->db == NULL)
        op->fault = FAULT_MEMORY;
    else
        explain_open(op, rc, sqlite3_system_errno(c->db), sqlite3_errmsg(c->db));
    sqlite3_close(c->db);
    c->db = NULL;
}

/* SQLite forgets an interrupt that came too late when a statement begins, and would not write the
 * log back before. */
static void work_close(weir_sqlite *c)
{
    weir__statements_free(c);
    sqlite3_exec(c->db, "SELECT 1", NULL, NULL, NULL);
    sqlite3_close_v2(c->db);
    c->db = NULL;
}

/* --- statements ------------------------------------------------------------------------------- */
static int is_empty(weir_sqlite *c, const char *tail)
{
    sqlite3_stmt *more = NULL;
    int rc = *tail == '\0' ? SQLITE_OK : sqlite3_prepare_v2(c->db, tail, -1, &more, NULL);
    sqlite3_finalize(more);
    return rc == SQLITE_OK && more == NULL;
}

/* The statement is compiled, if it can be. */
static int compile(weir_sqlite *c, weir_statement *s)
{
    weir_operation *op = &c->op;
    const char *tail;
    int rc;
    weir__head(op->head, sizeof op->head, s->sql, s->size);
    if (s->stmt != NULL)
        return 1;
    rc = sqlite3_prepare_v3(c->db, s->sql, (int)s->size + 1,
                            s->is_kept ? SQLITE_PREPARE_PERSISTENT : 0, &s->stmt, &tail);
    if (rc != SQLITE_OK) {
        failed(c, rc, 0, 1);
        return 0;
    }
    if (s->stmt == NULL)
        op->fault = FAULT_EMPTY;
    else if (!is_empty(c, tail))
        op->fault = FAULT_MANY;
    if (op->fault == FAULT_NONE)
        return 1;
    sqlite3_finalize(s->stmt);
    s->stmt = NULL;
    return 0;
}

static void reset(weir_statement *s)
{
    sqlite3_reset(s->stmt);
    sqlite3_clear_bindings(s->stmt);
}

/* Add what one statement changed. total_changes moves for INSERT, UPDATE and DELETE alone. */
static void count(weir_sqlite *c, int64_t before)
{
    weir_operation *op = &c->op;
    op->is_change = 1;
    if (sqlite3_total_changes64(c->db) == before)
        return;
    op->is_counted = 1;
    op->changes = sqlite3_changes64(c->db);
    op->affected += op->changes;
    op->last_id = sqlite3_last_insert_rowid(c->db);
}

/* Rows until the batch is full or the last one is there. The statement is reset at its end, after
 * an error, and where one row is enough. */
static void fetch(weir_sqlite *c, weir_statement *s, int is_first)
{
    weir_operation *op = &c->op;
    uint64_t until = clock_ns() + WEIR_SQLITE_BATCH_NS;
    int rc, is_readonly;
    if (is_first)
        s->before = sqlite3_total_changes64(c->db);
    for (;;) {
        rc = is_stopped(c) ? SQLITE_INTERRUPT : sqlite3_step(s->stmt);
        if (is_first && (rc == SQLITE_ROW || rc == SQLITE_DONE)) {
            is_first = 0;
            op->has_names = 1;
            op->n_columns = sqlite3_column_count(s->stmt); /* now: the schema may have changed */
            if (weir__take_names(s->stmt, op->n_columns, &op->out) != SQLITE_OK)
                rc = SQLITE_NOMEM;
        }
        if (rc == SQLITE_ROW)
            rc = weir__take_row(s->stmt, op->n_columns, &op->out);
        if (rc != SQLITE_OK)
            break;
        op->n_rows++;
        if (op->is_single)
            break;
        if (op->n_rows >= op->max_rows || op->out.size >= WEIR_SQLITE_BATCH_BYTES ||
            clock_ns() >= until) {
            op->has_more = 1;
            return;
        }
    }
    if (rc != SQLITE_OK && rc != SQLITE_DONE) {
        failed(c, rc, sqlite3_stmt_readonly(s->stmt), op->kind == WORK_QUERY);
        reset(s);
        return;
    }
    is_readonly = sqlite3_stmt_readonly(s->stmt);
    rc = sqlite3_reset(s->stmt); /* one that was left half-way commits here */
    if (rc != SQLITE_OK)
        failed(c, rc, is_readonly, op->kind == WORK_QUERY);
    else if (!is_readonly)
        count(c, s->before);
    sqlite3_clear_bindings(s->stmt);
}

/* The parameters by their names, each of which must be there; 0 with the fault set if not. */
static int bind_named(weir_sqlite *c, weir_statement *s, int *rc)
{
    weir_operation *op = &c->op;
    const char *name;
    size_t size;
    char *text = NULL;
    int missing;
    name = weir__unknown_name(s->stmt, &s->params, s->n_params, &size);
    if (name != NULL) {
        text = sqlite3_mprintf("there is no parameter '%.*s'", (int)size, name);
    } else {
        *rc = weir__bind_named(s->stmt, &s->params, s->n_params, &missing);
        if (missing == 0)
            return 1;
        name = sqlite3_bind_parameter_name(s->stmt, missing);
        text =
            name != NULL && *name != '?'
                ? sqlite3_mprintf("parameter '%s' has no value", name)
                : sqlite3_mprintf("parameter %d has no name, values were given by name", missing);
    }
    op->fault = FAULT_NAME;
    if (text != NULL)
        set_message(op, text);
    else
        op->fault = FAULT_MEMORY;
    sqlite3_free(text);
    reset(s);
    return 0;
}

static void work_query(weir_sqlite *c)
{
    weir_operation *op = &c->op;
    weir_statement *s = op->statement;
    int rc = SQLITE_OK;
    if (!compile(c, s))
        return;
    op->n_wanted = sqlite3_bind_parameter_count(s->stmt);
    if (s->is_named) {
        if (!bind_named(c, s, &rc))
            return;
    } else if (op->n_wanted != s->n_params) {
        op->fault = FAULT_PARAMS;
        return;
    } else {
        rc = weir__bind(s->stmt, &s->params, s->n_params);
    }
    if (rc != SQLITE_OK) {
        failed(c, rc, 0, 0);
        reset(s);
        return;
    }
    fetch(c, s, 1);
}

/* --- scripts ---------------------------------------------------------------------------------- */
static int run_one(weir_sqlite *c, sqlite3_stmt *stmt)
{
    int64_t before = sqlite3_total_changes64(c->db);
    int rc, is_readonly = sqlite3_stmt_readonly(stmt);
    do
        rc = is_stopped(c) ? SQLITE_INTERRUPT : sqlite3_step(stmt);
    while (rc == SQLITE_ROW);
    if (rc != SQLITE_DONE)
        failed(c, rc, is_readonly, 1);
    else if (!is_readonly)
        count(c, before);
    return rc;
}

/* `offset` stays at a statement that failed: a retry goes on there. */
static void work_exec(weir_sqlite *c)
{
    weir_operation *op = &c->op;
    const char *end = op->text.data + op->text.size - 1; /* its NUL */
    for (;;) {
        const char *at = op->text.data + op->offset, *tail;
        sqlite3_stmt *stmt = NULL;
        int rc = SQLITE_OK;
        if (at == end)
            return;
        weir__head(op->head, sizeof op->head, at, (size_t)(end - at));
        rc = is_stopped(c) ? SQLITE_INTERRUPT
                           : sqlite3_prepare_v2(c->db, at, (int)(end - at) + 1, &stmt, &tail);
        if (rc != SQLITE_OK) {
            failed(c, rc, 0, 1);
            return;
        }
        if (stmt != NULL) {
            op->n_wanted = sqlite3_bind_parameter_count(stmt);
            if (op->n_wanted > 0)
                op->fault = FAULT_PARAMS;
            rc = op->n_wanted > 0 ? SQLITE_DONE : run_one(c, stmt);
            sqlite3_finalize(stmt);
            if (rc != SQLITE_DONE || op->fault != FAULT_NONE)
                return;
        }
        op->offset = (size_t)(tail - op->text.data);
    }
}

/* --- backup ----------------------------------------------------------------------------------- */
/* The copy's file is made here, so that it is ours to remove if nothing comes of it. One that is
 * there is not even opened: closing it again would take from SQLite the locks that this process
 * may have on it. */
static void work_backup(weir_sqlite *c)
{
    weir_operation *op = &c->op;
    const char *path = op->text.data;
    sqlite3_stmt *stmt = NULL;
    int rc, file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (file < 0) {
        explain_open(op, SQLITE_CANTOPEN, errno, "");
        return;
    }
    close(file);
    rc = sqlite3_prepare_v2(c->db, "VACUUM INTO ?", -1, &stmt, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_text64(stmt, 1, path, strlen(path), SQLITE_STATIC, SQLITE_UTF8);
    if (rc == SQLITE_OK && (rc = sqlite3_step(stmt)) == SQLITE_DONE)
        rc = SQLITE_OK;
    if (rc != SQLITE_OK) {
        failed(c, rc, 1, 1);
        unlink(path);
    }
    sqlite3_finalize(stmt);
}

/* --- one work item ---------------------------------------------------------------------------- */
void weir__work(void *connection)
{
    weir_sqlite *c = connection;
    weir_operation *op = &c->op;
    if (op->kind == WORK_CLOSE) {
        work_close(c);
        return;
    }
    if (op->kind != WORK_OPEN)
        weir__statements_tidy(c);
    if (op->kind != WORK_RESET && is_stopped(c)) {
        op->rc = SQLITE_INTERRUPT;
        set_message(op, "interrupted");
        if (op->kind == WORK_NEXT)
            reset(op->statement);
        return;
    }
    switch (op->kind) {
    case WORK_OPEN:
        work_open(c);
        break;
    case WORK_EXEC:
        work_exec(c);
        break;
    case WORK_PREPARE:
        compile(c, op->statement);
        break;
    case WORK_QUERY:
        work_query(c);
        break;
    case WORK_NEXT:
        weir__head(op->head, sizeof op->head, op->statement->sql, op->statement->size);
        fetch(c, op->statement, 0);
        break;
    case WORK_BACKUP:
        work_backup(c);
        break;
    default:
        reset(op->statement);
    }
    if (c->db != NULL) {
        op->in_transaction = !sqlite3_get_autocommit(c->db);
        op->is_writing = op->in_transaction && sqlite3_txn_state(c->db, NULL) == SQLITE_TXN_WRITE;
    }
}
