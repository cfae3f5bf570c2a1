/* http/mhd.h - what the parts of weir.http.microhttpd share: the server and its connections.
 *
 * libmicrohttpd parses and sends; this module feeds it from weir's loop and makes a task of
 * every request. The daemon has an epoll descriptor of its own, watched by a weir_poll; the
 * connection of a request is suspended until its task has an answer.
 *
 * Memory: a server is userdata, pinned in the registry while it accepts. A connection is
 * malloc'ed inside libmicrohttpd's callbacks, where no Lua function may be called, and freed
 * in its last one. A box is the userdata that a task holds of its request: `box->conn` and
 * `conn->box` name each other until the request is answered or lost, then both are NULL.
 * Rule: inside MHD_run requests only become ready; their tasks are spawned after it.
 */
#ifndef WEIR_HTTP_MHD_H
#define WEIR_HTTP_MHD_H
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <weir/lua.h>

#include <weir/begin.h>

#define HTTPD_SERVER "weir.http.server"
#define HTTPD_BOX "weir.http.request"
#define HTTPD_SERVE "http.serve"

typedef struct httpd_server httpd_server;
typedef struct httpd_conn httpd_conn;

typedef enum httpd_phase {
    HTTPD_IDLE,      /* between requests -> HEAD */
    HTTPD_HEAD,      /* the request line was read -> BODY, ANSWERED (refused) */
    HTTPD_BODY,      /* collects the body -> READY, ANSWERED (refused) */
    HTTPD_READY,     /* suspended, to be spawned after MHD_run -> RUNNING, ANSWERED (refused) */
    HTTPD_RUNNING,   /* suspended, its task has it -> STREAMING, ANSWERED, LOST */
    HTTPD_STREAMING, /* the head is queued, the task writes the body -> ANSWERED, LOST */
    HTTPD_ANSWERED,  /* libmicrohttpd sends what is left -> IDLE */
    HTTPD_LOST       /* to be closed at libmicrohttpd's next look -> IDLE, and the end */
} httpd_phase;

/* The Lua side of one request: held by its task alone, closed when the task ends or, if it
 * never ran, when it is collected. */
typedef struct httpd_box {
    httpd_conn *conn;              /* NULL once answered or lost */
    struct MHD_Response *response; /* being built; destroyed on close if that failed */
    int started;                   /* its task has run, and will close the box */
} httpd_box;

struct httpd_conn {
    weir_link link;       /* among the server's connections, from start to end */
    weir_link turn;       /* in `ready` while READY, in `slow` while suspended and not watched */
    httpd_server *server; /* outlives it */
    struct MHD_Connection *mhd;
    httpd_box *box;
    weir_task *task;   /* of `box`; valid while box->started */
    weir_poll *hangup; /* made when a request first takes long */
    weir_timer due;    /* set while a whole head, or a whole body, is awaited */
    uint64_t since;    /* ns of the suspension */
    int fd;
    uint8_t phase;     /* httpd_phase */
    uint8_t suspended; /* in libmicrohttpd; it sees no hang-up then */
    uint8_t watching;  /* `hangup` is armed */
    uint8_t is_head;   /* the method is HEAD */
    uint8_t is_1_0;    /* the client speaks HTTP/1.0 */
    uint8_t finished;  /* streaming: no more data will come */
    uint8_t lingers;   /* refused, and the client may still send: see mhd_linger.c */

    char *target; /* as received, 0-terminated; kept for the next request */
    size_t target_len, target_cap;
    const char *target_at; /* where libmicrohttpd has it */
    const char *method;    /* libmicrohttpd's, until the request is completed */
    char *body;
    size_t body_len, body_cap;
    uint64_t body_over; /* bytes over the limit, thrown away */

    const char *data;    /* chunk being sent: a string on the writer's stack */
    size_t len;          /* bytes of it left */
    uint64_t left;       /* bytes the body still needs; MHD_SIZE_UNKNOWN is until finished */
    weir_waiter *writer; /* waits for the chunk to be taken */
    char remote[INET6_ADDRSTRLEN];
};

typedef struct httpd_stats {
    uint64_t accepted, requests, errors, left, timeouts;
    uint64_t refused_head, refused_body, refused_malformed, refused_closing, refused_buffered;
} httpd_stats;

struct httpd_server {
    weir_runtime *rt;
    struct MHD_Daemon *daemon; /* NULL: closed */
    weir_poll *poll;           /* on the daemon's epoll descriptor */
    weir_timer timer;          /* the daemon's next timeout, or now: see weir__httpd_kick */
    weir_timer slow_timer;     /* when the first of `slow` is to be watched */
    weir_waiter *owner;        /* of accept(); NULL before and after */
    weir_scope *scope;         /* parent of the request tasks; valid while `owner` was set */
    weir_list conns, ready, slow, lingers;
    uint32_t n_conns, max_conns, n_active; /* active: requests that a task has */
    uint32_t n_lingers;
    size_t max_header, max_body;     /* bytes; the first holds for heads in and out */
    uint64_t max_buffered, buffered; /* bytes of bodies that no handler has, of all connections */
    uint64_t idle;                   /* ns for a whole request head; WEIR_FOREVER is no limit */
    uint64_t body_time;              /* ns for a whole body, likewise */
    unsigned timeout; /* seconds without progress of a body or an answer; 0 is no limit */
    uint16_t port;
    uint8_t listening, draining, kicked, at_end;
    httpd_stats n;
};

extern const weir_lua_api *weir__httpd_api;

/* mhd_connection.c: libmicrohttpd's callbacks */
void weir__httpd_on_connection(void *cls, struct MHD_Connection *mhd, void **context,
                               enum MHD_ConnectionNotificationCode code);
void *weir__httpd_on_target(void *cls, const char *target, struct MHD_Connection *mhd);
enum MHD_Result weir__httpd_on_request(void *cls, struct MHD_Connection *mhd, const char *url,
                                       const char *method, const char *version, const char *upload,
                                       size_t *upload_size, void **context);
void weir__httpd_on_completed(void *cls, struct MHD_Connection *mhd, void **context,
                              enum MHD_RequestTerminationCode code);
/* Let libmicrohttpd go on with a suspended connection; nothing if it is not. */
void weir__httpd_resume(httpd_conn *c);
/* Give up the request: the box is cut off, its task cancelled with `reason` unless that is
 * NULL, the connection closed; nothing more is sent. */
void weir__httpd_lose(httpd_conn *c, const char *reason);
/* The task has done its part: the box is cut off, libmicrohttpd sends the rest. */
void weir__httpd_answered(httpd_conn *c);
/* The body was made a Lua string. */
void weir__httpd_drop_body(httpd_conn *c);
/* A suspended connection: watch for its hang-up if it stays so for long; the second is the
 * timer that does it. */
void weir__httpd_watch_later(httpd_conn *c);
void weir__httpd_watch_slow(weir_runtime *rt, weir_timer *timer);
/* Body of a streamed response. libmicrohttpd's callback. */
ssize_t weir__httpd_on_read(void *cls, uint64_t position, char *buffer, size_t max);
/* Close a connection on which nothing is going on. */
void weir__httpd_close_idle(httpd_conn *c);

/* mhd_refuse.c: answers without a handler */
/* Before a body is read or after it; the phase is then ANSWERED, or LOST if that failed. */
void weir__httpd_refuse(httpd_conn *c, unsigned status);
/* At any time before an answer is queued; libmicrohttpd must be told to close the connection. */
void weir__httpd_turn_away(httpd_conn *c, unsigned status);
/* libmicrohttpd's log. */
void weir__httpd_on_log(void *cls, const char *format, va_list arguments);

/* mhd_linger.c */
/* Read what comes from `fd`, which is about to be closed, for a while; best effort. */
void weir__httpd_linger(httpd_server *s, int fd);
void weir__httpd_end_lingers(httpd_server *s);

/* mhd_head.c: what a request head says */
/* 0 if the head is well formed and within the limits, else the status to refuse it with. */
unsigned weir__httpd_check_head(const httpd_conn *c, const char *version, uint64_t *body_size);
/* 1 if `s` is a Content-Length. */
int weir__httpd_is_length(const char *s);
/* 1 if `s` may be a method or the name of a header field. */
int weir__httpd_is_token(const char *s, size_t len);
/* Push the table of the request that `c` received. */
void weir__httpd_push_request(lua_State *L, const httpd_conn *c);

/* mhd_request.c: the box's methods */
void weir__httpd_open_box(lua_State *L);

/* mhd.c */
/* Run the daemon in the next turn. */
void weir__httpd_kick(httpd_server *s);

#include <weir/end.h>
#endif
