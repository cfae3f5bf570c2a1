/* sqlite/sqlite.h - the insides of weir.sqlite.sqlite3, shared by the files here and by nobody
 * else.
 *
 * A connection is a record of its own (sqlite3_malloc), since a pool thread may use it after its
 * userdata, its task or its runtime are gone. It runs one operation at a time, on a pool thread:
 *
 *   IDLE -> launch (loop) -> work (pool thread) -> done (loop) -> IDLE ... CLOSED -> freed
 *
 * Invariants: from launch to done everything marked `work` belongs to the pool thread, but for
 * the flag `stop`; all else belongs to the loop at all times. `done` always comes, and nothing
 * that the thread uses is freed before. A task whose wait is given up stops the operation and
 * leaves only after `done`. Where there is no loop (virtual time) the work is done on the spot.
 */
#ifndef WEIR_SQLITE_H
#define WEIR_SQLITE_H
#include <sqlite3.h>
#include <stdatomic.h>
#include <weir/list.h>
#include <weir/lua.h>

#include <weir/begin.h>

#define WEIR_SQLITE_CONNECTION "weir.sqlite.connection"
#define WEIR_SQLITE_CURSOR "weir.sqlite.cursor"
#define WEIR_SQLITE_STATEMENT "weir.sqlite.statement"

/* What one work item fetches at most, but always a row. */
#define WEIR_SQLITE_BATCH_ROWS 1024
#define WEIR_SQLITE_BATCH_BYTES (64 * 1024)
#define WEIR_SQLITE_BATCH_NS 5000000
#define WEIR_SQLITE_FIRST_ROWS 64 /* of a loop: doubled by each batch */

/* Instructions of SQLite's machine between two looks at `stop`. */
#define WEIR_SQLITE_STEPS 1000

typedef struct weir_sqlite weir_sqlite;
typedef struct weir_statement weir_statement;

/* --- memory: SQLite's own, which any thread may use and which it counts ----------------------- */
typedef struct weir_bytes {
    char *data;
    size_t size, capacity;
} weir_bytes;

/* Room for `more` bytes behind the contents; 0 or WEIR_ENOMEM with nothing changed. */
int weir__bytes_reserve(weir_bytes *b, size_t more);
int weir__bytes_append(weir_bytes *b, const void *data, size_t size);
/* Empty it; keep the memory if it is little. */
void weir__bytes_clear(weir_bytes *b);
void weir__bytes_free(weir_bytes *b);
void weir__bytes_swap(weir_bytes *a, weir_bytes *b);

/* --- values: Lua -> bytes -> SQLite, SQLite -> bytes -> Lua ----------------------------------- */
/* Append the `n` values from `index` on to `b`, for weir__bind. Raises misuse for what is none
 * of SQLite's types, and on no memory; `op` is for the message. */
void weir__encode(lua_State *L, const weir_lua_api *api, weir_bytes *b, int index, int n,
                  const char *op);
/* Is the value at `index` a table of parameters by name? */
int weir__has_names(lua_State *L, int index);
/* The same for the table of names at `index`, for weir__bind_named; how many there are. */
int weir__encode_named(lua_State *L, const weir_lua_api *api, weir_bytes *b, int index,
                       const char *op);
/* Bind them. The bytes are borrowed until the statement's bindings are cleared. A code of
 * SQLite's. */
int weir__bind(sqlite3_stmt *stmt, const weir_bytes *b, int n);
/* Bind the `n` named ones likewise. *missing is the number of the first parameter that has no
 * value, or no name; else 0. */
int weir__bind_named(sqlite3_stmt *stmt, const weir_bytes *b, int n, int *missing);
/* The first name that no parameter has, or NULL. Lends. */
const char *weir__unknown_name(sqlite3_stmt *stmt, const weir_bytes *b, int n, size_t *size);
/* Append the statement's current row; its columns' names. SQLITE_OK or SQLITE_NOMEM. */
int weir__take_row(sqlite3_stmt *stmt, int n_columns, weir_bytes *out);
int weir__take_names(sqlite3_stmt *stmt, int n_columns, weir_bytes *out);
/* Push the value at *at and move on. [-0, +1, m] */
void weir__push_value(lua_State *L, const char **at);
/* Push a row of `n` columns as a table; the list of names is at `names`. [-0, +1, m] */
void weir__push_row(lua_State *L, const char **at, int n, int names);
/* Push the list of names at *at. [-0, +1, m] */
void weir__push_names(lua_State *L, const char **at, int n);

/* --- statements: compiled ones, kept for the next use --------------------------------------- */
enum {
    STATEMENT_FREE,     /* reset: anybody may run it */
    STATEMENT_RUNNING,  /* of the connection's operation, or left active by it */
    STATEMENT_CURSOR,   /* of a cursor */
    STATEMENT_ABANDONED /* in `backlog`: to be reset, or finalised if doomed, by the next operation
                         */
};

struct weir_statement {
    weir_link link;       /* in c->all, the one used last at the end */
    weir_link backlog;    /* in c->backlog, or c->work_backlog */
    weir_statement *next; /* in its bucket while cached */
    sqlite3_stmt *stmt;   /* work; NULL until it is compiled */
    weir_bytes params;    /* work; encoded, and bound without a copy */
    int n_params;         /* in `params` */
    uint8_t is_named;     /* those have names */
    uint32_t hash;
    uint32_t pins;     /* handles that Lua has */
    uint8_t state;     /* STATEMENT_* */
    uint8_t is_cached; /* found by its text, in c->bucket */
    uint8_t is_kept;   /* it will be used again: what compiles it is to know; set before that */
    uint8_t is_doomed; /* in backlog to be finalised */
    uint8_t is_over;   /* nothing is left to read; it is reset */
    int64_t before;    /* work: total_changes when it began */
    size_t size;       /* of sql, without its NUL */
    char sql[];
};

#define WEIR_SQLITE_BUCKETS 64

/* One to run `sql`, RUNNING: of the cache if it is there and free. NULL if there is no memory. */
weir_statement *weir__statement_get(weir_sqlite *c, const char *sql, size_t size);
/* The same by a handle's statement. */
weir_statement *weir__statement_use(weir_sqlite *c, weir_statement *s);
/* It is reset: keep it for the next use, or finalise it. */
void weir__statement_put(weir_sqlite *c, weir_statement *s);
/* Nobody will go on with it: the next operation resets it. */
void weir__statement_abandon(weir_sqlite *c, weir_statement *s);
/* A handle is given up. */
void weir__statement_unpin(weir_sqlite *c, weir_statement *s);
/* On the thread: what is in work_backlog. Then, on the loop, take it back. */
void weir__statements_tidy(weir_sqlite *c);
void weir__statements_tidied(weir_sqlite *c);
/* On the thread, at the end: finalise and free all. */
void weir__statements_free(weir_sqlite *c);

/* --- operations ------------------------------------------------------------------------------- */
enum {
    WORK_OPEN,    /* text: the path; flags */
    WORK_EXEC,    /* text: statements, from `offset` on */
    WORK_PREPARE, /* statement */
    WORK_QUERY,   /* statement, from its beginning */
    WORK_NEXT,    /* statement, the next batch */
    WORK_RESET,   /* statement: give up what was not read */
    WORK_BACKUP,  /* text: the path of the copy */
    WORK_CLOSE
};

/* Faults of ours, beside SQLite's codes in `rc`. */
enum {
    FAULT_NONE,
    FAULT_EMPTY,   /* no statement in the text */
    FAULT_MANY,    /* more than one */
    FAULT_PARAMS,  /* another number of parameters: `n_wanted` */
    FAULT_NAME,    /* a parameter that has no value, or a name that is none; `message` says */
    FAULT_MEMORY,  /* no memory, ours or SQLite's */
    FAULT_DROPPED, /* never ran: the thread pool gave it back */
};

typedef struct weir_operation {
    int kind, op;              /* WORK_*; index into the names of operations */
    weir_statement *statement; /* NULL once nothing is left to do for it */
    weir_waiter *owner;        /* whose operation it is; compared, not used */
    uint64_t deadline;
    weir_bytes text; /* work: the input */
    weir_bytes out;  /* work: rows; names first where has_names */
    int flags;       /* of open */
    size_t offset;   /* in text: where to begin, then where it stopped */
    uint32_t max_rows;
    uint8_t is_single; /* one row is enough: reset after it (2: a value of it) */
    int n_params;      /* as given */
    /* the outcome, written by work */
    int rc, fault;
    int offset_of_error; /* in the statement, or -1 */
    int n_wanted;
    uint32_t n_rows;
    int n_columns;
    uint8_t has_names, has_more;
    uint8_t may_retry;  /* it met a lock, had no effect, and could do better another time */
    uint8_t is_change;  /* the statement is not read-only */
    weir_bytes message; /* SQLite's, with a NUL */
    char head[96];      /* the beginning of the statement, in one line */
    int64_t affected, changes, last_id;
    uint8_t is_counted; /* rows were changed: last_id may be new */
    uint8_t in_transaction;
    uint8_t is_writing; /* the transaction has the lock of a writer */
} weir_operation;

struct weir_sqlite {
    const weir_lua_api *api;
    weir_runtime *rt;  /* NULL after its end */
    sqlite3 *db;       /* work */
    atomic_int stop;   /* end the operation that runs */
    weir_operation op; /* the one that runs, or ran last */
    weir_work *work;   /* while it is with the thread pool */
    weir_waiter *waiter, *closer;
    weir_list all;          /* every statement; of `work` when it closes */
    weir_list backlog;      /* abandoned and doomed ones, for the next operation */
    weir_list work_backlog; /* work: those of the operation that runs */
    weir_statement *bucket[WEIR_SQLITE_BUCKETS];
    uint32_t n_cached, max_cached;
    uint32_t n_cursors; /* statements that are active between operations */
    int64_t changes;    /* of the last statement that changed something */
    uint8_t is_busy;    /* an operation is under way */
    uint8_t is_inline;  /* it was done on the spot, its `done` is still to come */
    uint8_t is_open;    /* `db` can be used */
    uint8_t is_closing; /* closed as soon as it is idle */
    uint8_t is_orphan;  /* the userdata is gone: free it when it is closed */
    uint8_t in_transaction, is_writing;
};

/* What a wait of ours is called: "sqlite:query" for "query". -1 for an unknown one. */
int weir__op_index(const char *name);
const char *weir__op_name(int op);

/* On a pool thread: what c->op says. */
void weir__work(void *connection);

/* --- connections ------------------------------------------------------------------------------ */
weir_sqlite *weir__connection_new(const weir_lua_api *api, weir_runtime *rt, uint32_t max_cached);
/* The userdata goes: free now, or as soon as the thread is done. */
void weir__connection_orphan(weir_sqlite *c);
/* The runtime ends. */
void weir__connection_ended(void *connection);
/* Begin the operation in c->op. 0, or a code with nothing begun. */
int weir__connection_launch(weir_sqlite *c);
/* After that, and once the wait for it is armed: where there is no loop, it is done already. */
void weir__connection_land(weir_sqlite *c);
/* End the operation that runs, soon. */
void weir__connection_stop(weir_sqlite *c);
/* Close as soon as it is idle, which may be at once; c->closer is settled then. */
void weir__connection_close(weir_sqlite *c);

/* --- waits ------------------------------------------------------------------------------------ */
/* What a wait of ours is called: "sqlite:query" for "query". Raises for an unknown one. */
int weir__check_op(lua_State *L, int index);
const char *weir__op_name(int op);
/* The record of the userdata at `index`, NULL if it is gone; raises if it is none. */
weir_sqlite *weir__check_connection(lua_State *L, int index);
/* It can be used: open, idle, of this runtime. Raises otherwise. */
void weir__check_ready(lua_State *L, const weir_lua_api *api, weir_sqlite *c, int op);
/* Launch c->op (kind, op, deadline, statement are set) for the task whose waiter is `w`, and park:
 * the last statement of a function. Raises on no memory. In `k` ctx is `w`, w->object is `c`. */
int weir__run(lua_State *L, weir_sqlite *c, weir_waiter *w, lua_KFunction k);
/* In k, first: 0 to go on, else `return` what weir__give_up gives. */
#define weir__is_given_up(w) ((w)->status != WEIR_GRANTED)
int weir__give_up(lua_State *L, weir_waiter *w);
/* Raise the error at the top, once the task's operation has ended and its statement is reset. */
int weir__fail(lua_State *L, weir_waiter *w);
/* The next batch of c->op.statement, if the task is not cancelled; as weir__run. */
int weir__run_next(lua_State *L, weir_sqlite *c, weir_waiter *w, lua_KFunction k);
/* As weir__run, but nothing ends this wait early. */
int weir__run_to_end(lua_State *L, weir_sqlite *c, weir_waiter *w, lua_KFunction k);
/* Wait for the close that was begun, and return nothing. */
int weir__wait_closed(lua_State *L, weir_sqlite *c, weir_waiter *w, lua_KFunction k);

/* --- errors ----------------------------------------------------------------------------------- */
/* The error that c->op's rc or fault stands for. [-0, +1, m] */
void weir__push_error(lua_State *L, const weir_sqlite *c);
/* The beginning of a statement in one line. */
void weir__head(char *out, size_t size, const char *sql, size_t length);

/* --- the Lua side ----------------------------------------------------------------------------- */
/* Can its statements be touched? Not once it is being closed: then the thread has them. */
static inline int weir__is_live(const weir_sqlite *c)
{
    return c != NULL && c->is_open && !c->is_closing;
}
int weir__push_busy(lua_State *L);
int weir__query(lua_State *L);
int weir__exec(lua_State *L);
int weir__backup(lua_State *L);
int weir__rows(lua_State *L);
int weir__prepare(lua_State *L);
void weir__cursor_open(lua_State *L, const weir_lua_api *api);
void weir__handle_open(lua_State *L);
/* The statement for the text or the handle at `index`, RUNNING and in c->op, with the parameters
 * that follow it; raises, with nothing taken. */
void weir__take_statement(lua_State *L, weir_sqlite *c, int index, int op);

#include <weir/end.h>
#endif
