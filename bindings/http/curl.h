/* http/curl.h - the insides of weir.http.curl, shared by curl*.c and by nobody else.
 *
 * A client is one curl multi handle on one runtime. A request is a transfer: an easy handle and
 * its buffers, taken from the client's spare ones and given back once its answer was handed over.
 *
 *   SPARE -> SET -> HOST (waits for a slot of its host) -> SLOT (for one of the client's)
 *                    ^ -> NAME (for addresses) -> ACTIVE (in the multi) -> ENDED -> SPARE
 *                    '-------------- a redirect ------------'
 * Invariants: origin->held counts its transfers in SLOT, NAME, ACTIVE; client->held those in NAME
 * and ACTIVE; a transfer that is not SPARE is in `client->busy` and belongs to the parked task
 * that asked for it, or to an exchange. Callbacks of curl and of the loop never call Lua: they
 * end the transfer and settle its waiter. No transfer ends inside a callback of curl.
 */
#ifndef WEIR_HTTP_CURL_H
#define WEIR_HTTP_CURL_H
#include <curl/curl.h>
#include <weir/list.h>
#include <weir/lua.h>

#include <weir/begin.h>

#define WEIR_HTTP_CLIENT "weir.http.client"
#define WEIR_HTTP_EXCHANGE "weir.http.exchange"
#define WEIR_HTTP_RESPONSE "weir.http.response"

typedef struct weir_client weir_client;
typedef struct weir_transfer weir_transfer;
typedef struct weir_origin weir_origin;
typedef struct weir_exchange weir_exchange;

/* --- memory: all of it from the Lua state's allocator ----------------------------------------- */
typedef struct weir_buffer {
    char *data;
    size_t size, capacity;
} weir_buffer;

void *weir__http_alloc(weir_client *c, void *ptr, size_t old, size_t size);
/* Room for `more` bytes after the contents; 0 or WEIR_ENOMEM with nothing changed. */
int weir__buffer_reserve(weir_client *c, weir_buffer *b, size_t more);
int weir__buffer_append(weir_client *c, weir_buffer *b, const char *data, size_t size);
/* Empty it; keep the memory if it is at most `keep` bytes. */
void weir__buffer_clear(weir_client *c, weir_buffer *b, size_t keep);

/* --- addresses of URLs ------------------------------------------------------------------------ */
typedef struct weir_address {
    char host[256]; /* lower case, an IPv6 literal in its brackets */
    unsigned port;
    int secure;   /* https */
    int is_plain; /* the URL has neither user name nor password */
} weir_address;

/* NULL, or what is wrong with `url` (static text). */
const char *weir__address_parse(const char *url, size_t size, weir_address *out);
/* The same for a proxy, whose scheme may be missing or that of SOCKS. */
const char *weir__address_parse_proxy(const char *url, weir_address *out);
/* Push `url` without user and password. [-0, +1, m] */
void weir__url_push(lua_State *L, const char *url, size_t size);
/* The same for a text that may hold URLs. [-0, +1, m] */
void weir__message_push(lua_State *L, const char *text);

/* --- origins: what one scheme, host and port share -------------------------------------------- */
struct weir_origin {
    weir_origin *next;    /* in its bucket */
    weir_link unused;     /* in client->unused while no transfer needs it */
    weir_link opened;     /* in client->opened: learnt its protocol inside a callback */
    weir_list waiting;    /* transfers in HOST */
    weir_list naming;     /* transfers in NAME */
    weir_resolve *lookup; /* under way; then `naming` is not empty */
    weir_client *client;
    char *addresses; /* "host:port:address,...", what curl takes; NULL if none */
    size_t addresses_size;
    uint64_t expires;     /* of the addresses, or of the failure */
    uint32_t users, held; /* transfers that point here; those with a slot of this host */
    uint32_t version;     /* of `addresses`: 0 for none yet */
    uint32_t loaded;      /* the version that curl is known to have */
    uint32_t hash;
    int status;       /* of the last lookup */
    uint8_t is_known; /* HTTP/2 or not was settled by a connection */
    weir_address at;
};

/* The origin of `at`, made if need be, with one user more; NULL if out of memory. */
weir_origin *weir__origin_get(weir_client *c, const weir_address *at);
void weir__origin_put(weir_client *c, weir_origin *o);
/* 1 if its addresses are there, 0 if `t` now waits for them, or the code of the failure. */
int weir__origin_need(weir_origin *o, weir_transfer *t);
/* Forget `t`, which waits here for addresses; the last one ends the lookup. */
void weir__origin_leave(weir_origin *o, weir_transfer *t);
void weir__origins_free(weir_client *c);
/* The multi handle is gone, and with it all that curl knew of addresses. */
void weir__origins_unload(weir_client *c);
/* Does the environment's no_proxy name this host? */
int weir__no_proxy(const char *list, const weir_address *at);

/* --- transfers -------------------------------------------------------------------------------- */
typedef enum weir_verb {
    VERB_GET,
    VERB_HEAD,
    VERB_POST,
    VERB_PUT,
    VERB_PATCH,
    VERB_DELETE,
    VERB_OTHER
} weir_verb;

enum {
    TRANSFER_SPARE,
    TRANSFER_SET,
    TRANSFER_HOST,
    TRANSFER_SLOT,
    TRANSFER_NAME,
    TRANSFER_ACTIVE,
    TRANSFER_ENDED
};

enum { WANT_END, WANT_HEAD, WANT_DATA, WANT_ROOM };

/* Why a transfer failed for reasons of ours; otherwise `code` of curl says. */
enum {
    FAULT_NONE,
    FAULT_NAME, /* no addresses: `status` */
    FAULT_MEMORY,
    FAULT_LOOP,      /* a descriptor could not be watched: `status` */
    FAULT_HEADERS,   /* more than WEIR_HTTP_MAX_HEADERS */
    FAULT_BODY,      /* more than max_body */
    FAULT_REDIRECTS, /* more than max_redirects */
    FAULT_LOCATION,  /* redirected to what is not http */
    FAULT_PROXY,     /* redirected where the environment's proxy is none */
    FAULT_LENGTH,    /* an upload that is not as long as its content-length */
    FAULT_CLOSED     /* the client was closed, or the answer */
};

#define WEIR_HTTP_MAX_HEADERS (256 * 1024)
#define WEIR_HTTP_READ_AHEAD (256 * 1024)     /* of a streamed answer; more pauses the transfer */
#define WEIR_HTTP_WRITE_AHEAD (64 * 1024)     /* of a streamed body */
#define WEIR_HTTP_MAX_BODY (64 * 1024 * 1024) /* of an answer that is not streamed, unless said */
#define WEIR_HTTP_MAX_SPARE 256
#define WEIR_HTTP_AGENT "User-Agent: weir"
#define WEIR_HTTP_BAD_PROXY                                                                        \
    "the proxy that the environment names is not the URL of an http, https or socks proxy"

#define WEIR_HTTP_UNSAID (UINT64_MAX - 1)

/* What a request asks for. Strings are borrowed, and kept alive by the caller, until it ended. */
typedef struct weir_request {
    const char *url, *method, *body; /* body: NULL for none, or for one that is written later */
    size_t url_size, body_size;
    weir_verb verb;
    int is_upload;          /* the body is written later */
    int is_stream;          /* the answer's body is read in pieces */
    curl_off_t upload_size; /* -1: not known beforehand */
    uint64_t max_body;      /* WEIR_HTTP_UNSAID: as above, or without bound if streamed */
    long max_redirects;     /* -1: not followed */
    long connect_timeout;   /* ms */
    int verify, follow;     /* follow -1: GET and HEAD only */
    const char *ca, *proxy; /* NULL: the client's */
    weir_address at;
} weir_request;

struct weir_transfer {
    weir_link link; /* in spare; in a queue while HOST, SLOT or NAME */
    weir_link busy; /* in client->busy while not SPARE */
    weir_client *client;
    CURL *easy;
    weir_origin *origin; /* of the URL: whose slot it takes */
    weir_origin *dial;   /* whose addresses are needed: the origin's or its proxy's */
    weir_waiter *waiter; /* PENDING, or NULL */
    weir_exchange *exchange;
    struct curl_slist *lines; /* request headers, `n_lines` in use; their text is borrowed */
    unsigned n_lines, lines_capacity;
    unsigned n_sensitive;       /* the first of them, which another origin must not get */
    struct curl_slist *resolve; /* for CURLOPT_RESOLVE; owned */
    const char *body;           /* borrowed */
    size_t body_size;
    const char *proxy; /* asked for: borrowed; NULL: the environment's */
    uint64_t started, max_body, received;
    curl_off_t upload_size, written; /* as announced (-1: not), so far */
    long redirects_left;
    weir_buffer head;   /* header lines of the answer */
    weir_buffer data;   /* its body, or what of it waits for a reader */
    weir_buffer upload; /* written and not yet sent, from `upload_start` on */
    size_t upload_start;
    weir_buffer location; /* the URL after a redirect; empty before */
    uint32_t options;     /* set in the easy handle, away from the base: OPTION_* */
    long connect_timeout; /* set in the easy handle */
    uint32_t loading;     /* the version of dial's addresses in `resolve` */
    CURLcode code;
    int fault, status; /* see FAULT_* */
    unsigned http_status;
    uint8_t state, verb, phase; /* phase: the state it was given up in */
    uint8_t wants;              /* what `waiter` waits for: WANT_* */
    uint8_t is_stream, is_upload, upload_ended;
    uint8_t has_head; /* the answer's headers are whole */
    uint8_t in_head;  /* header lines belong to the answer, not to a trailer */
    uint8_t has_location, is_redirect;
    uint8_t recv_paused, send_paused;
    uint8_t is_plain;   /* see weir_address */
    uint8_t is_starved; /* no descriptor was left for its connection */
    char message[CURL_ERROR_SIZE];
};

/* A SET transfer for `r`, or NULL (out of memory). */
weir_transfer *weir__transfer_new(weir_client *c);
int weir__transfer_add_line(weir_transfer *t, const char *line);
/* Ask for what `r` says, with the lines added before. 0, WEIR_ENOMEM, or WEIR_EINVAL for a
 * proxy that is none. */
int weir__transfer_prepare(weir_transfer *t, const weir_request *r);
/* Put it into the multi: its turn has come and the addresses are there. */
void weir__transfer_start(weir_transfer *t);
/* curl is done with it: follow a redirect, try again, or end. */
void weir__transfer_done(weir_transfer *t, CURLcode code);
/* End it with a fault of ours, whatever its state. Settles the waiter. */
void weir__transfer_fail(weir_transfer *t, int fault, int status);
/* End it without telling anybody. */
void weir__transfer_abort(weir_transfer *t);
/* Give it back (any state). */
void weir__transfer_release(weir_transfer *t);
void weir__transfer_free(weir_transfer *t);
/* Let curl go on with what was paused, as far as there is reason to. */
void weir__transfer_resume(weir_transfer *t);
/* Settle its waiter, if it has one. */
void weir__transfer_wake(weir_transfer *t, weir_status status);
/* Is what `wants` says there? */
int weir__transfer_has(const weir_transfer *t, int wants);
/* Hand `t`'s easy handle its callbacks (curl_receive.c). */
void weir__transfer_set_callbacks(weir_transfer *t);

/* --- clients ---------------------------------------------------------------------------------- */
typedef struct weir_socket {
    weir_client *client;
    weir_poll *poll;
    weir_link idle; /* in client->idle: still watched although curl wants nothing */
    int fd;
    uint64_t inode;
    uint8_t wanted, watched; /* WEIR_READABLE | WEIR_WRITABLE */
    uint8_t was_kept;        /* curl let go of it open: it is a connection */
    uint8_t is_internal;     /* no connection at all: curl tells itself something through it */
} weir_socket;

typedef struct weir_client_stats {
    uint64_t requests, failed, redirects, lookups, connections, overload;
} weir_client_stats;

struct weir_client {
    const weir_lua_api *api;
    weir_list *house; /* all clients of the Lua state, which owns the list */
    weir_link member; /* in it */
    weir_runtime *rt; /* NULL before it was opened and after its end */
    CURLM *multi;     /* made when first needed */
    lua_Alloc alloc;
    void *alloc_data;
    weir_list spare, busy, queue; /* transfers; `queue` is those in SLOT */
    weir_list opened, unused;     /* origins */
    weir_list idle;               /* sockets */
    struct curl_slist *forget;    /* addresses that curl is to drop; owned */
    weir_socket **sockets;        /* by descriptor */
    size_t n_sockets;
    weir_origin **buckets;
    uint32_t n_buckets, n_origins, n_unused, n_spare;
    uint32_t held, waiting; /* transfers with a slot; in HOST or SLOT */
    uint32_t max, max_per_host, max_waiting;
    uint32_t room;              /* max, or what the descriptors allowed of late */
    uint32_t n_open, n_starved; /* sockets known; failures for want of one in a row */
    uint64_t name_ttl, timeout; /* ns */
    weir_request base;          /* the defaults; strings are held by the userdata */
    char *proxy_http, *proxy_https, *no_proxy; /* of the environment; NULL for none */
    char encodings[64], standard[96]; /* header lines: what curl can unpack; that and our name */
    weir_timer timer;                 /* curl's */
    weir_timer linger;                /* stops watching idle sockets */
    weir_timer retry;                 /* after a lack of descriptors */
    weir_client_stats stats;
    uint8_t is_closed, is_admitting;
    uint8_t is_broken;  /* the multi handle failed */
    uint8_t has_faults; /* an ACTIVE transfer has a fault that curl knows nothing of */
};

/* Take a place in the queues; starts at once if there is room. May end `t`. */
void weir__client_submit(weir_client *c, weir_transfer *t);
/* Would `t` have to wait where already max_waiting do? */
int weir__client_is_full(const weir_client *c, const weir_transfer *t);
/* Give back what `t` holds of slots and queues, and let others in. */
void weir__client_withdraw(weir_client *c, weir_transfer *t);
/* No descriptor was left for `t`: queue it again, first, with less room. 0 if that is hopeless. */
int weir__client_starve(weir_client *c, weir_transfer *t);
CURLM *weir__client_multi(weir_client *c);
void weir__client_drop_multi(weir_client *c);
void weir__client_init_loop(weir_client *c);
/* Nothing is under way: stop watching idle sockets soon, unless something begins. */
void weir__client_linger(weir_client *c);
/* After any call into curl that may have ended transfers. */
void weir__client_after(weir_client *c, CURLMcode rc);
void weir__client_close(weir_client *c);
void weir__client_init(weir_client *c);
curl_socket_t weir__client_open_socket(void *data, curlsocktype purpose,
                                       struct curl_sockaddr *address);
int weir__client_close_socket(void *data, curl_socket_t fd);

/* --- the Lua side ----------------------------------------------------------------------------- */
struct weir_exchange {
    const weir_lua_api *api;
    weir_transfer *transfer; /* NULL before it began and after its end */
    const char *op;
    uint64_t deadline;
    size_t taken; /* of the chunk that is being written */
    int verb;
    uint8_t was_answered, is_read;
};

weir_client *weir__check_client(lua_State *L, int index);
int weir__client_perform(lua_State *L);
int weir__client_exchange(lua_State *L);
void weir__exchange_open(lua_State *L);

/* The kind of wait for a request of `verb`: a wait given up ends the transfer, its object. */
const weir_wait_ops *weir__wait_ops(int verb);

/* Options at `index` into `r`, where they are not nil. Raises misuse. */
void weir__read_options(lua_State *L, const weir_lua_api *api, weir_runtime *rt, int index,
                        const char *op, weir_request *r);
uint32_t weir__read_bound(lua_State *L, const weir_lua_api *api, int index, const char *op,
                          const char *name, int least, uint32_t unless);
/* Arguments 2 to 6 of perform and exchange; returns the deadline. Raises. */
uint64_t weir__read_request(lua_State *L, weir_client *c, weir_request *r);
/* A transfer ready to be submitted, or NULL and why; raises nothing. */
weir_transfer *weir__take_transfer(lua_State *L, weir_client *c, const weir_request *r, int *code);
int weir__raise_code(lua_State *L, weir_client *c, const char *op, int code);

/* headers(head) -> table: the lines of `head` by their names in lower case. */
int weir__answer_headers(lua_State *L);
/* Push the answer table of `t`, asked for by the URL at `url`; its body unless that is streamed.
 * [-0, +1, m] */
void weir__answer_push(lua_State *L, weir_transfer *t, int url);
/* The same, protected, for the URL on top of the stack: `t` is released if it failed (which is
 * raised), or if all is pushed. [-1, +1, e] */
int weir__finish(lua_State *L, weir_transfer *t, const char *op);
/* Release `t` and raise what became of it, or that its time is over. */
int weir__transfer_raise(lua_State *L, weir_transfer *t, const char *op, const char *url,
                         size_t size);
int weir__raise_timeout(lua_State *L, weir_transfer *t, const char *op, const char *url,
                        size_t size);

#include <weir/end.h>
#endif
