/* postgres/pg.h - the insides of weir.postgres.libpq, shared by pg*.c and by nobody else.
 *
 * A connection is one PGconn on one runtime. The Lua half (weir.database) sees to it that one
 * task at a time uses it; only those who wait for notifications come beside that.
 *
 *   DIALLING -> READY <-> BUSY (a command is under way)      any -> LOST (it broke) or CLOSED
 *                 ^-- RECOVERING <-+ (its task gave it up: cancel, read to the end)
 *
 * Invariants: while nobody waits and nothing is recovered from, the socket is not watched (so a
 * slow reader slows the server, and an idle connection, after a moment, keeps no loop alive);
 * RECOVERING ends when the results are read AND the cancel request is over, else it could hit the
 * next command. Callbacks of the loop never call Lua but for notices, and then nothing of libpq's
 * is on the stack.
 */
#ifndef WEIR_POSTGRES_PG_H
#define WEIR_POSTGRES_PG_H
#include <libpq-fe.h>
#include <weir/list.h>
#include <weir/lua.h>

#include <weir/begin.h>

#define WEIR_PG_CONNECTION "weir.postgres.connection"
#define WEIR_PG_STATEMENT "weir.postgres.statement"
#define WEIR_PG_TEXT "weir.postgres.text"
#define WEIR_PG_RESULT "weir.postgres.result"

typedef struct weir_pg weir_pg;
typedef struct weir_pg_dial weir_pg_dial;
typedef struct weir_pg_cancel weir_pg_cancel;

enum { PG_DIALLING, PG_READY, PG_BUSY, PG_RECOVERING, PG_LOST, PG_CLOSED };

/* What a BUSY connection does; READY ones are in MODE_RESULT. */
enum {
    MODE_RESULT,   /* reads all results and keeps one */
    MODE_ROWS,     /* one row at a time, when asked */
    MODE_COPY_IN,  /* began a COPY FROM STDIN; `is_copying` once the server is ready for it */
    MODE_COPY_OUT, /* the same for TO STDOUT */
    MODE_PIPELINE  /* reads all results and keeps them all */
};

/* What `waiter` waits for. */
enum { WANT_OPEN, WANT_READY, WANT_END, WANT_ROW, WANT_ROOM, WANT_COPY };

/* The functions of Lua that wait, and so the names in errors. */
typedef enum weir_pg_op {
    OP_CONNECT,
    OP_QUERY,
    OP_ROW,
    OP_VALUE,
    OP_EXEC,
    OP_TRANSACTION,
    OP_ROWS,
    OP_PREPARE,
    OP_COPY_IN,
    OP_COPY_OUT,
    OP_PIPELINE,
    OP_NOTIFICATION,
    OP_COUNT
} weir_pg_op;

/* Bytes of ours that may wait in libpq; more waits for room. */
#define WEIR_PG_UNSENT (256 * 1024)
/* Less than this of a copy or a pipeline is sent at the end of the turn. */
#define WEIR_PG_BATCH (32 * 1024)

/* Values of a result that are made into tables in one go; then others have their turn. */
#define WEIR_PG_SLICE 4096

/* A prepared statement; user value 1 is its text. */
typedef struct weir_pg_statement {
    uint32_t id, generation; /* generation 0: the server does not have it (any more) */
    uint8_t was_tried_again;
} weir_pg_statement;

typedef struct weir_pg_note { /* a notification that nobody took yet; owned */
    weir_link link;
    PGnotify *notify;
} weir_pg_note;

typedef struct weir_pg_notice weir_pg_notice;

/* One for each runtime: the cancel requests of all its connections. */
typedef struct weir_pg_house {
    weir_runtime *rt;   /* NULL after its end */
    weir_list queue;    /* weir_pg_cancel, not begun */
    weir_list requests; /* on their way */
    uint32_t running;   /* of those */
} weir_pg_house;

/* What became of a connection, or of the attempt to have one. */
typedef struct weir_pg_fault {
    char *text; /* one line; owned; NULL is none */
    size_t size;
    const char *kind; /* "network", "timeout" ... */
    char sqlstate[6];
} weir_pg_fault;

struct weir_pg {
    const void *tag; /* first: how its type is known at a glance; NULL once it was collected */
    const weir_lua_api *api;
    weir_runtime *rt; /* NULL after its end */
    weir_pg_house *house;
    lua_Alloc alloc;
    void *alloc_data;
    PGconn *pg;      /* NULL unless DIALLING (from the first attempt on) to RECOVERING */
    weir_poll *poll; /* of its socket */
    weir_waiter *waiter;
    weir_list listeners;    /* waiters for notifications, first come first served */
    weir_list notes;        /* notifications; the first n_granted are for those who were woken */
    weir_list notices;      /* for the handler, when it is safe to call it */
    weir_pg_dial *dial;     /* while DIALLING */
    weir_pg_cancel *cancel; /* the cancel request under way, or NULL */
    weir_timer grace;       /* RECOVERING ends by then */
    weir_timer again;       /* when the next cancel request is due */
    uint64_t pause;         /* ns before that */
    uint64_t grace_time;    /* ns */
    PGresult *result;       /* the first that came, not an error */
    PGresult *error;        /* the first error */
    PGresult **results;     /* of a pipeline, one for each of n_commands; `n_results` came */
    size_t n_commands, n_results, commands_capacity;
    uint32_t *garbage; /* ids of statements to drop */
    size_t n_garbage, garbage_capacity;
    uint64_t deadline;    /* of the command under way */
    size_t taken;         /* of the chunk that is being written */
    size_t unsent;        /* bytes given to libpq since it had sent all */
    lua_Integer affected; /* by an exec so far; -1 is none */
    weir_pg_fault fault;
    uint32_t generation; /* of statements, bumped when the server forgets them all */
    uint32_t n_statements, n_notes, n_granted;
    uint32_t preparing; /* id of the statement that the command under way prepares, or 0 */
    int watched;        /* WEIR_READABLE ... of `poll` */
    int syncs;          /* of a pipeline, not answered yet */
    uint8_t state, mode, wants, op;
    uint8_t is_flushing;            /* libpq has bytes to send */
    uint8_t keeps_alive;            /* `poll` does the loop */
    uint8_t is_copying, is_ended;   /* see MODE_*; our side of copy or pipeline is ended */
    uint8_t is_stray;               /* a COPY where none was expected */
    uint8_t is_drained;             /* RECOVERING: all results were read */
    uint32_t serial;                /* of the command: a cursor compares it */
    uint8_t has_result;             /* the pipeline's current command has one */
    uint8_t is_buffered;            /* TLS: bytes may be there that the socket does not show */
    uint8_t is_listening, is_dirty; /* LISTEN, SET: for the reset */
    uint8_t last_status;            /* PGTransactionStatusType, before the command under way */
    uint8_t numeric_as_number, has_handler, was_told;
};

/* --- pg.c ------------------------------------------------------------------------------------ */
weir_pg *weir__pg_check(lua_State *L, int index);
void *weir__pg_alloc(weir_pg *c, void *ptr, size_t old, size_t size);
extern const weir_wait_ops weir__pg_ops[OP_COUNT];
/* A connection that is DIALLING, as userdata on top of the stack; its options are at 1. Raises. */
weir_pg *weir__pg_new(lua_State *L);
/* Close: wake who waits, free all, from any state. Idempotent. */
void weir__pg_close(weir_pg *c);

/* --- pg_loop.c: what happens on the socket --------------------------------------------------- */
/* Watch the socket of a new attempt, or of an open connection. 0 or a code. */
int weir__pg_open_poll(weir_pg *c);
void weir__pg_close_poll(weir_pg *c);
/* Watch what the state asks for. */
void weir__pg_watch(weir_pg *c);
/* Read what is there, without waiting; 0 if the connection broke (and is LOST now). */
int weir__pg_read(weir_pg *c);
/* Send what can be sent; likewise. */
int weir__pg_flush(weir_pg *c);
/* A command, or the dial, is through: wake who waits. */
void weir__pg_become_ready(weir_pg *c);
/* Act on what was read. */
void weir__pg_pump(weir_pg *c);
void weir__pg_wake(weir_pg *c, weir_status status);
/* The connection broke, by libpq's words or ours. */
void weir__pg_lose(weir_pg *c, const char *text);
/* Take note of what the end of a command tells of the session. */
void weir__pg_note_command(weir_pg *c, const PGresult *r);
/* Forget results that nobody took. */
void weir__pg_clear(weir_pg *c);
int weir__pg_is_copy(ExecStatusType status);
/* The server began a COPY in a pipeline, where neither it nor libpq can end one. */
void weir__pg_lose_to_copy(weir_pg *c);
/* COPY: our side is over, well or with `message`. 0 if the connection broke. */
int weir__pg_end_copy(weir_pg *c, const char *message);

/* --- pg_cancel.c: a command that its task gave up -------------------------------------------- */
/* BUSY -> RECOVERING, or READY at once if all was read. */
void weir__pg_abandon(weir_pg *c);
/* Go on with what was read; READY when that is all. */
void weir__pg_recover(weir_pg *c);
/* Ask the server to stop what runs, and look no more after it: the connection goes. */
void weir__pg_cancel_and_forget(weir_pg *c);
/* RECOVERING no more: its cancel request and timers are nothing to `c`. */
void weir__pg_cancel_end(weir_pg *c);
void weir__pg_cancel_init(weir_pg *c);
/* Its request is through. */
void weir__pg_asked(weir_pg *c);

/* --- pg_request.c ---------------------------------------------------------------------------- */
/* Ask the server to cancel; weir__pg_asked follows if `is_awaited`. 0 if there is no memory. */
int weir__pg_request(weir_pg *c, int is_awaited);
/* The request, if any, is nothing to `c` any more; `drop` it if it has not begun. */
void weir__pg_request_forget(weir_pg *c, int drop);
/* The house of a runtime, kept in the registry. [-0, +0, m] */
weir_pg_house *weir__pg_house(lua_State *L, const weir_lua_api *api, weir_runtime *rt);

/* --- pg_connect.c, pg_hosts.c ---------------------------------------------------------------- */
int weir__pg_connect(lua_State *L);
int weir__pg_keywords(lua_State *L);
/* An event on the socket of an attempt. */
void weir__pg_dial_on(weir_pg *c);
/* Events to watch for it. */
int weir__pg_dial_events(const weir_pg *c);
void weir__pg_dial_free(weir_pg *c);
/* Nobody waits for it any more. */
void weir__pg_dial_give_up(weir_pg *c);

typedef struct weir_pg_host { /* as given; then each address of it is tried */
    const char *host, *hostaddr, *port;
    char *addresses; /* of a name: texts, each with its NUL */
    size_t size;
    unsigned n;
    weir_resolve *lookup; /* under way */
    int status;           /* of it */
    weir_pg *c;
} weir_pg_host;

struct weir_pg_dial {
    const char **keys, **values; /* what libpq is told, `n` and a NULL; strings are borrowed ... */
    size_t n, capacity;
    char *lists; /* ... but for these three, from `first` on: host, hostaddr, port */
    size_t lists_size;
    char *names; /* what hosts point to */
    size_t names_size;
    weir_pg_host *hosts;
    size_t n_hosts;
    unsigned n_lookups;          /* under way */
    unsigned n_addresses, first; /* entries in all; that the attempt began with */
    unsigned current;            /* that is being tried */
    char where[160];             /* the same, as libpq names it */
    uint64_t each;               /* ns for one address; WEIR_FOREVER is none */
    weir_timer timer;
    PostgresPollingStatusType wants;
};

/* Find out whom to dial: of options, URL, environment and service file. NULL, or what is wrong
 * with the options (in `text`, of `size`). Out of memory is "". */
const char *weir__pg_find_hosts(weir_pg *c, char *text, size_t size);
/* Is it a name, to be looked up? Else a socket's path, or the address is given. */
int weir__pg_is_name(const weir_pg_host *h);
/* Write the lists for libpq, from entry `first` on. 0 or WEIR_ENOMEM. */
int weir__pg_list_hosts(weir_pg *c);
/* The number of the entry that libpq tries now, `from` or a later one. */
unsigned weir__pg_find_current(weir_pg *c, unsigned from);

/* --- pg_error.c ------------------------------------------------------------------------------ */
/* Keep `text` (several lines become one) as what became of the connection. */
void weir__pg_set_fault(weir_pg *c, const char *kind, const char *sqlstate, const char *text);
void weir__pg_clear_fault(weir_pg *c);
/* Take "28P01: " and the like out of libpq's words for a failed attempt; keep it as the fault. */
void weir__pg_set_dial_fault(weir_pg *c);
/* Push the error of kind `query` that `r` is, for a statement whose text is at `sql` (0: none). */
void weir__pg_push_error(lua_State *L, weir_pg *c, const char *op, const PGresult *r, int sql);
/* Raise what became of a connection that cannot be used. */
int weir__pg_raise_fault(lua_State *L, weir_pg *c, const char *op);
/* Push the first words of the statement at `sql`, in one line. */
void weir__pg_push_head(lua_State *L, int sql);
int weir__pg_raise_timeout(lua_State *L, weir_pg *c, const char *op, const char *doing, int sql);

/* --- pg_params.c: Lua to PostgreSQL ---------------------------------------------------------- */
/* Send the statement at `index` (text or prepared, as it is known to the server) with the
 * parameters from `first` to `last`. As PQsendQueryParams. Raises misuse, before anything is sent.
 */
int weir__pg_send(lua_State *L, weir_pg *c, const char *op, int index, int first, int last);
/* The text at `index`: a string without NULs, or misuse. */
const char *weir__pg_check_sql(lua_State *L, weir_pg *c, const char *op, int index);

/* --- pg_decode.c: PostgreSQL to Lua ---------------------------------------------------------- */
/* Push the value of a field. [-0, +1, e] */
void weir__pg_push_value(lua_State *L, weir_pg *c, const PGresult *r, int row, int column);
/* Push a table of all rows. */
void weir__pg_push_rows(lua_State *L, weir_pg *c, const PGresult *r);
/* The same for c->result, which is let go: the last statement of a function whose argument 1 is the
 * connection. Gives the turn back between slices of a large one, where a cancel shows. */
int weir__pg_finish_rows(lua_State *L, weir_pg *c);
void weir__pg_decode_open(lua_State *L);
/* Push one row, with the column names in the table at `names`. */
void weir__pg_push_row(lua_State *L, weir_pg *c, const PGresult *r, int row, int names);
void weir__pg_push_names(lua_State *L, const PGresult *r);
/* Rows changed by a command, -1 if it is none that changes rows. */
lua_Integer weir__pg_affected(const PGresult *r);

/* --- pg_array.c ------------------------------------------------------------------------------ */
/* Push the array whose text is at `p`; its elements have type `of`. */
void weir__pg_push_array(lua_State *L, weir_pg *c, Oid of, const char *p, size_t size);
/* Push a value from its text. */
void weir__pg_push_text(lua_State *L, weir_pg *c, Oid type, const char *s, size_t size);

/* --- pg_call.c: one statement, waited for ---------------------------------------------------- */
/* Enter a wait (raises), before anything is sent. */
weir_waiter *weir__pg_enter(lua_State *L, weir_pg *c, const char *op);
/* Arm it. Nothing may raise from here to api->park. */
void weir__pg_begin(weir_pg *c, weir_waiter *w, int wants);
/* After a wait: raise if it was given up, or if the connection is gone. `sql` as above. */
void weir__pg_resumed(lua_State *L, weir_pg *c, int sql);
/* Nothing is under way; the deadline by the timeout at `timeout`. Or raise. */
uint64_t weir__pg_check_free(lua_State *L, weir_pg *c, weir_pg_op op, int timeout);
/* READY, of this runtime, and not known to be broken; or raise. 0 if it recovers: wait. */
int weir__pg_check_ready(lua_State *L, weir_pg *c, const char *op);
/* Push the result of a command that has ended, or raise its error. The statement is at 4. */
int weir__pg_finish(lua_State *L, weir_pg *c);
/* Have the server drop a statement when there is an occasion. */
void weir__pg_drop_later(weir_pg *c, uint32_t id);
/* Set the command under way. */
void weir__pg_start(weir_pg *c, int mode, weir_pg_op op, uint64_t deadline);
/* The command was handed to libpq: `sent` is its answer, `size` about how many bytes. */
void weir__pg_sent(weir_pg *c, int sent, size_t size);
/* The same of a part of a pipeline or copy, of which more follows; watch afterwards. */
void weir__pg_sent_some(weir_pg *c, int sent, size_t size);
extern const luaL_Reg weir__pg_calls[], weir__pg_rows_calls[], weir__pg_copy_calls[],
    weir__pg_pipeline_calls[], weir__pg_listen_calls[];

/* --- pg_rows.c: rows one at a time ----------------------------------------------------------- */
#define WEIR_PG_CURSOR "weir.postgres.cursor"
/* Push a cursor for the rows of the command under way, whose first result is `r` (kept by `c`).
 * The connection is at 1, the statement at `sql`. */
int weir__pg_push_cursor(lua_State *L, weir_pg *c, int sql);
void weir__pg_rows_open(lua_State *L);

/* --- pg_listen.c ----------------------------------------------------------------------------- */
/* Take notifications from libpq and wake who waits for them. */
void weir__pg_take_notes(weir_pg *c);
void weir__pg_drop_notes(weir_pg *c);
/* libpq's notice receiver; `data` is the connection. */
void weir__pg_on_notice(void *data, const PGresult *r);
/* Call the handler with what has come; from a callback of the loop, and from a task. */
void weir__pg_tell_notices(weir_pg *c);
void weir__pg_tell_notices_in(lua_State *L, weir_pg *c);
/* Remember the userdata at `index`, so that callbacks find its handler. */
void weir__pg_remember(lua_State *L, int index);

#include <weir/end.h>
#endif
