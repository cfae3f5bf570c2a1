/* http/curl_transfer.c - a transfer's life: made ready, started, redirected, ended, used again.
 *
 * An easy handle keeps what was set in it, and most requests of a program are alike, so only
 * what differs is set: `options` notes what stands away from the base that every handle starts
 * with. Strings that curl does not copy (header lines, a body) belong to the parked task; what
 * is left of them in a spare handle is replaced before it is looked at again.
 *
 * Redirects are followed here and not by curl: each hop takes its slots and its addresses as any
 * request does, and what must not reach another host (credentials) is dropped where it changes.
 */
#include "curl.h"
#include <string.h>
#include <strings.h>

#define KEEP_BODY (16 * 1024)
#define KEEP_HEAD (4 * 1024)

enum {
    OPTION_CUSTOM = 1, /* a method of its own name */
    OPTION_HEAD = 2,
    OPTION_POST = 4, /* a body */
    OPTION_LINES = 8,
    OPTION_VERIFY = 16, /* not as the client has it */
    OPTION_CA = 32,
    OPTION_PROXY = 64
};

static CURL *easy_new(weir_transfer *t)
{
    const weir_client *c = t->client;
    const weir_request *base = &c->base;
    CURL *e = curl_easy_init();
    if (e == NULL)
        return NULL;
    t->easy = e;
    curl_easy_setopt(e, CURLOPT_PRIVATE, t);
    curl_easy_setopt(e, CURLOPT_ERRORBUFFER, t->message);
    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(e, CURLOPT_DNS_CACHE_TIMEOUT, -1L); /* ours: curl would scan it each time */
    curl_easy_setopt(e, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, base->connect_timeout);
#if LIBCURL_VERSION_NUM >= 0x075700
    curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L); /* never wait for a resolver thread */
#endif
    if (curl_easy_setopt(e, CURLOPT_ACCEPT_ENCODING, "") != CURLE_OK ||
        curl_easy_setopt(e, CURLOPT_PROXY, "") != CURLE_OK || /* not the environment's by itself */
        curl_easy_setopt(e, CURLOPT_NOPROXY, "") != CURLE_OK ||
#if LIBCURL_VERSION_NUM >= 0x075500
        curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https") != CURLE_OK ||
#endif
        (base->ca != NULL && curl_easy_setopt(e, CURLOPT_CAINFO, base->ca) != CURLE_OK)) {
        curl_easy_cleanup(e);
        t->easy = NULL;
        return NULL;
    }
    if (!base->verify) {
        curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, weir__client_open_socket);
    curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, t);
    curl_easy_setopt(e, CURLOPT_CLOSESOCKETFUNCTION, weir__client_close_socket);
    curl_easy_setopt(e, CURLOPT_CLOSESOCKETDATA, c); /* connections outlive transfers */
    weir__transfer_set_callbacks(t);
    return e;
}

weir_transfer *weir__transfer_new(weir_client *c)
{
    weir_link *k = weir_list_first(&c->spare);
    weir_transfer *t;
    if (k != NULL) {
        weir_link_remove(k);
        c->n_spare--;
        t = weir_container(k, weir_transfer, link);
    } else {
        t = weir__http_alloc(c, NULL, 0, sizeof *t);
        if (t == NULL)
            return NULL;
        memset(t, 0, sizeof *t);
        t->client = c;
        t->connect_timeout = c->base.connect_timeout;
        if (easy_new(t) == NULL) {
            weir__http_alloc(c, t, sizeof *t, 0);
            return NULL;
        }
    }
    t->state = TRANSFER_SET;
    weir_list_push(&c->busy, &t->busy);
    return t;
}

void weir__transfer_free(weir_transfer *t)
{
    weir_client *c = t->client;
    curl_easy_cleanup(t->easy);
    weir__buffer_clear(c, &t->head, 0);
    weir__buffer_clear(c, &t->data, 0);
    weir__buffer_clear(c, &t->upload, 0);
    weir__buffer_clear(c, &t->location, 0);
    weir__http_alloc(c, t->lines, t->lines_capacity * sizeof *t->lines, 0);
    weir__http_alloc(c, t, sizeof *t, 0);
}

/* --- what a request asks for ------------------------------------------------------------------ */
int weir__transfer_add_line(weir_transfer *t, const char *line)
{
    if (t->n_lines == t->lines_capacity) {
        unsigned n = t->lines_capacity ? t->lines_capacity * 2 : 8;
        struct curl_slist *lines = weir__http_alloc(
            t->client, t->lines, t->lines_capacity * sizeof *lines, n * sizeof *lines);
        if (lines == NULL)
            return WEIR_ENOMEM;
        t->lines = lines;
        t->lines_capacity = n;
    }
    t->lines[t->n_lines++].data = (char *)line; /* curl only reads it */
    return 0;
}

static int is_line(const char *line, const char *name)
{
    size_t n = strlen(name);
    return strncasecmp(line, name, n) == 0 && (line[n] == ':' || line[n] == ';');
}

static int has_line(const weir_transfer *t, const char *name)
{
    for (unsigned i = 0; i < t->n_lines; i++)
        if (is_line(t->lines[i].data, name))
            return 1;
    return 0;
}

/* What every request says of its client, unless the caller does. curl formats its own headers
 * byte by byte, and twice; lines of ours once, and one line may hold two. */
static int add_standard_lines(weir_transfer *t)
{
    const weir_client *c = t->client;
    int encoding = !has_line(t, "accept-encoding"), agent = !has_line(t, "user-agent");
    const char *line = encoding && agent ? c->standard : encoding ? c->encodings : WEIR_HTTP_AGENT;
    return encoding || agent ? weir__transfer_add_line(t, line) : 0;
}

static void set_lines(weir_transfer *t)
{
    for (unsigned i = 0; i < t->n_lines; i++)
        t->lines[i].next = i + 1 < t->n_lines ? &t->lines[i + 1] : NULL;
    if (t->n_lines > 0) {
        curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->lines);
        t->options |= OPTION_LINES;
    } else if (t->options & OPTION_LINES) {
        curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, NULL);
        t->options &= ~(uint32_t)OPTION_LINES;
    }
}

static CURLcode set_method(weir_transfer *t, const char *custom, int has_body)
{
    CURL *e = t->easy;
    CURLcode rc = CURLE_OK;
    uint32_t want = has_body ? OPTION_POST : t->verb == VERB_HEAD ? OPTION_HEAD : 0;

    if (has_body) {
        curl_easy_setopt(e, CURLOPT_POST, 1L);
        curl_easy_setopt(e, CURLOPT_POSTFIELDS, t->is_upload ? NULL : t->body);
        curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE,
                         t->is_upload ? t->upload_size : (curl_off_t)t->body_size);
    } else if (want != (t->options & (OPTION_POST | OPTION_HEAD))) {
        curl_easy_setopt(e, CURLOPT_HTTPGET, 1L);
        if (want == OPTION_HEAD)
            curl_easy_setopt(e, CURLOPT_NOBODY, 1L);
    }
    t->options = (t->options & ~(uint32_t)(OPTION_POST | OPTION_HEAD)) | want;
    if (custom != NULL || (t->options & OPTION_CUSTOM)) {
        rc = curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, custom);
        t->options &= ~(uint32_t)OPTION_CUSTOM;
        if (custom != NULL)
            t->options |= OPTION_CUSTOM;
    }
    return rc;
}

/* Which proxy serves `o`, and so whose addresses are needed. 0 or a code. */
static int set_dial(weir_transfer *t, weir_origin *o)
{
    weir_client *c = t->client;
    const char *proxy = t->proxy;
    weir_address at;

    if (proxy == NULL)
        proxy = o->at.secure ? c->proxy_https : c->proxy_http;
    if (proxy != NULL && *proxy != '\0' &&
        (t->proxy != NULL || !weir__no_proxy(c->no_proxy, &o->at))) {
        if (weir__address_parse_proxy(proxy, &at) != NULL)
            return WEIR_EINVAL;
        t->dial = weir__origin_get(c, &at);
        if (t->dial == NULL || curl_easy_setopt(t->easy, CURLOPT_PROXY, proxy) != CURLE_OK)
            return WEIR_ENOMEM;
        t->options |= OPTION_PROXY;
        return 0;
    }
    if (t->options & OPTION_PROXY) {
        if (curl_easy_setopt(t->easy, CURLOPT_PROXY, "") != CURLE_OK)
            return WEIR_ENOMEM;
        t->options &= ~(uint32_t)OPTION_PROXY;
    }
    o->users++;
    t->dial = o;
    return 0;
}

static CURLcode set_tls(weir_transfer *t, const weir_request *r)
{
    const weir_request *base = &t->client->base;
    CURLcode rc = CURLE_OK;
    int verify = r->verify, is_other = verify != base->verify;

    if (is_other != ((t->options & OPTION_VERIFY) != 0)) {
        curl_easy_setopt(t->easy, CURLOPT_SSL_VERIFYPEER, (long)verify);
        curl_easy_setopt(t->easy, CURLOPT_SSL_VERIFYHOST, verify ? 2L : 0L);
        t->options ^= OPTION_VERIFY;
    }
    if (r->ca != NULL || (t->options & OPTION_CA)) {
        const char *ca = r->ca != NULL ? r->ca : base->ca;
        /* no NULL: it would mean no authorities at all, not curl's own */
        rc = curl_easy_setopt(t->easy, CURLOPT_CAINFO,
                              ca != NULL ? ca : curl_version_info(CURLVERSION_NOW)->cainfo);
        t->options &= ~(uint32_t)OPTION_CA;
        if (r->ca != NULL)
            t->options |= OPTION_CA;
    }
    return rc;
}

/* Nothing has come yet. */
static void reset_answer(weir_transfer *t)
{
    t->head.size = t->data.size = 0;
    t->received = 0;
    t->http_status = 0;
    t->has_head = t->in_head = t->has_location = t->is_redirect = 0;
    t->recv_paused = t->send_paused = t->is_starved = 0;
    t->code = CURLE_OK;
    t->message[0] = '\0';
}

int weir__transfer_prepare(weir_transfer *t, const weir_request *r)
{
    static const char *const names[] = {NULL, NULL, NULL, "PUT", "PATCH", "DELETE", NULL};
    weir_client *c = t->client;
    const char *custom = r->verb == VERB_OTHER ? r->method : names[r->verb];
    int rc, has_body =
                r->body != NULL || r->is_upload || (r->verb >= VERB_POST && r->verb <= VERB_PATCH);

    reset_answer(t);
    t->verb = (uint8_t)r->verb;
    t->is_stream = (uint8_t)r->is_stream;
    t->is_upload = (uint8_t)r->is_upload;
    t->upload_ended = 0;
    t->upload_size = r->upload_size;
    t->written = 0;
    t->body = r->body != NULL ? r->body : "";
    t->body_size = r->body != NULL ? r->body_size : 0;
    t->proxy = r->proxy;
    t->max_body = r->max_body != WEIR_HTTP_UNSAID ? r->max_body
                  : r->is_stream                  ? UINT64_MAX
                                                  : WEIR_HTTP_MAX_BODY;
    t->redirects_left = r->max_redirects;
    t->fault = FAULT_NONE;
    t->status = 0;
    t->is_plain = (uint8_t)r->at.is_plain;
    t->started = c->api->now(c->rt);
    t->origin = weir__origin_get(c, &r->at);
    if (t->origin == NULL)
        return WEIR_ENOMEM;
    rc = set_dial(t, t->origin);
    if (rc != 0)
        return rc;
    if (has_body) {
        if (r->verb == VERB_GET)
            custom = "GET";
        /* no guess at what a body is, and no second of waiting for a 100 before it is sent */
        if (!has_line(t, "content-type") && weir__transfer_add_line(t, "Content-Type:") != 0)
            return WEIR_ENOMEM;
        if (!has_line(t, "expect") && weir__transfer_add_line(t, "Expect:") != 0)
            return WEIR_ENOMEM;
    }
    if (add_standard_lines(t) != 0)
        return WEIR_ENOMEM;
    set_lines(t);
    if (set_method(t, custom, has_body) != CURLE_OK || set_tls(t, r) != CURLE_OK)
        return WEIR_ENOMEM;
    if (t->connect_timeout != r->connect_timeout) {
        curl_easy_setopt(t->easy, CURLOPT_CONNECTTIMEOUT_MS, r->connect_timeout);
        t->connect_timeout = r->connect_timeout;
    }
    return curl_easy_setopt(t->easy, CURLOPT_URL, r->url) == CURLE_OK ? 0 : WEIR_ENOMEM;
}

/* --- start ------------------------------------------------------------------------------------ */
static void drop_resolve(weir_transfer *t)
{
    if (t->resolve == NULL)
        return;
    curl_easy_setopt(t->easy, CURLOPT_RESOLVE, NULL);
    curl_slist_free_all(t->resolve);
    t->resolve = NULL;
    t->loading = 0;
}

/* What curl must forget and learn of addresses before this transfer connects. */
static int set_resolve(weir_transfer *t)
{
    weir_client *c = t->client;
    weir_origin *o = t->dial;
    struct curl_slist *list;

    drop_resolve(t);
    t->resolve = c->forget;
    c->forget = NULL;
    if (o->addresses != NULL && o->loaded != o->version) {
        list = curl_slist_append(t->resolve, o->addresses);
        if (list == NULL)
            return WEIR_ENOMEM;
        t->resolve = list;
        t->loading = o->version;
    }
    if (t->resolve != NULL)
        curl_easy_setopt(t->easy, CURLOPT_RESOLVE, t->resolve);
    return 0;
}

void weir__transfer_start(weir_transfer *t)
{
    weir_client *c = t->client;
    CURLM *m = weir__client_multi(c);
    if (m == NULL || set_resolve(t) != 0 || curl_multi_add_handle(m, t->easy) != CURLM_OK) {
        weir__transfer_fail(t, FAULT_MEMORY, 0);
        return;
    }
    t->state = TRANSFER_ACTIVE;
    c->stats.requests++;
}

/* --- end -------------------------------------------------------------------------------------- */
int weir__transfer_has(const weir_transfer *t, int wants)
{
    if (t->state == TRANSFER_ENDED)
        return 1;
    switch (wants) {
    case WANT_HEAD:
        return t->has_head;
    case WANT_DATA:
        return t->data.size > 0;
    case WANT_ROOM: /* an answer that refuses wants no more of the body, nor does a redirect */
        return !t->is_upload || t->upload.size - t->upload_start < WEIR_HTTP_WRITE_AHEAD ||
               (t->has_head && t->http_status >= 400);
    default:
        return 0;
    }
}

void weir__transfer_wake(weir_transfer *t, weir_status status)
{
    weir_waiter *w = t->waiter;
    if (w == NULL)
        return;
    t->waiter = NULL;
    t->client->api->waiter_settle(t->client->rt, w, status);
}

void weir__transfer_abort(weir_transfer *t)
{
    t->phase = t->state;
    weir__client_withdraw(t->client, t);
    drop_resolve(t);
    t->state = TRANSFER_ENDED;
}

static void end(weir_transfer *t)
{
    weir__transfer_abort(t);
    if (t->fault != FAULT_NONE || t->code != CURLE_OK)
        t->client->stats.failed++;
    weir__transfer_wake(t, WEIR_GRANTED);
}

void weir__transfer_fail(weir_transfer *t, int fault, int status)
{
    if (t->state == TRANSFER_ENDED)
        return;
    if (t->fault == FAULT_NONE) {
        t->fault = fault;
        t->status = status;
    }
    end(t);
}

void weir__transfer_release(weir_transfer *t)
{
    weir_client *c = t->client;
    if (t->state != TRANSFER_ENDED)
        weir__transfer_abort(t);
    weir__origin_put(c, t->dial);
    weir__origin_put(c, t->origin);
    t->origin = t->dial = NULL;
    t->exchange = NULL;
    t->n_lines = t->n_sensitive = 0;
    t->upload_start = 0;
    weir__buffer_clear(c, &t->head, KEEP_HEAD);
    weir__buffer_clear(c, &t->data, KEEP_BODY);
    weir__buffer_clear(c, &t->upload, 0);
    weir__buffer_clear(c, &t->location, 0);
    weir_link_remove(&t->busy);
    t->state = TRANSFER_SPARE;
    if (c->is_closed || c->n_spare >= WEIR_HTTP_MAX_SPARE) {
        weir__transfer_free(t);
        return;
    }
    weir_list_push_front(&c->spare, &t->link);
    c->n_spare++;
}

/* --- redirects -------------------------------------------------------------------------------- */
static void drop_lines(weir_transfer *t, const char *const *names)
{
    unsigned kept = 0, sensitive = t->n_sensitive;
    for (unsigned i = 0; i < t->n_lines; i++) {
        const char *const *name = names;
        while (*name != NULL && !is_line(t->lines[i].data, *name))
            name++;
        if (*name == NULL)
            t->lines[kept++].data = t->lines[i].data;
        else if (i < sensitive)
            t->n_sensitive--;
    }
    t->n_lines = kept;
}

/* The next origin is another one. */
static void drop_secrets(weir_transfer *t)
{
    static const char *const names[] = {"authorization", "cookie", "proxy-authorization", "host",
                                        NULL};
    drop_lines(t, names);
    for (unsigned i = t->n_sensitive; i < t->n_lines; i++)
        t->lines[i - t->n_sensitive].data = t->lines[i].data;
    t->n_lines -= t->n_sensitive;
    t->n_sensitive = 0;
}

static int redirect(weir_transfer *t, weir_origin **out)
{
    weir_client *c = t->client;
    const char *url = NULL;
    weir_address at;

    curl_easy_getinfo(t->easy, CURLINFO_REDIRECT_URL, &url);
    if (t->redirects_left <= 0)
        return FAULT_REDIRECTS;
    if (url == NULL || weir__address_parse(url, strlen(url), &at) != NULL)
        return FAULT_LOCATION;
    t->redirects_left--;
    t->location.size = 0;
    if (weir__buffer_append(c, &t->location, url, strlen(url) + 1) != 0)
        return FAULT_MEMORY;
    *out = weir__origin_get(c, &at);
    return *out == NULL ? FAULT_MEMORY : FAULT_NONE;
}

/* The same request at another place; 301 and 302 turn a POST into a GET, 303 everything. */
static void follow(weir_transfer *t)
{
    static const char *const of_body[] = {"content-type", "content-length", "content-encoding",
                                          "expect", NULL};
    weir_client *c = t->client;
    weir_origin *next = NULL;
    int fault = redirect(t, &next), rc;

    if (fault != FAULT_NONE) {
        weir__transfer_fail(t, fault, 0);
        return;
    }
    weir__client_withdraw(c, t);
    drop_resolve(t);
    c->stats.redirects++;
    if (next != t->origin)
        drop_secrets(t);
    if ((t->http_status == 303 && t->verb != VERB_HEAD) ||
        (t->http_status < 303 && t->verb == VERB_POST)) {
        t->verb = VERB_GET;
        t->is_upload = 0;
        drop_lines(t, of_body);
        set_method(t, NULL, 0);
    }
    set_lines(t);
    reset_answer(t);
    weir__origin_put(c, t->dial);
    weir__origin_put(c, t->origin);
    t->origin = next;
    t->dial = NULL;
    rc = set_dial(t, next);
    if (rc == WEIR_EINVAL)
        weir__transfer_fail(t, FAULT_PROXY, 0);
    else if (rc != 0 || curl_easy_setopt(t->easy, CURLOPT_URL, t->location.data) != CURLE_OK)
        weir__transfer_fail(t, FAULT_MEMORY, 0);
    else
        weir__client_submit(c, t);
}

void weir__transfer_done(weir_transfer *t, CURLcode code)
{
    t->code = code;
    if (code == CURLE_COULDNT_CONNECT && t->is_starved && t->fault == FAULT_NONE &&
        weir__client_starve(t->client, t)) {
        drop_resolve(t);
        reset_answer(t);
        return;
    }
    if (code == CURLE_OK && t->dial != NULL && t->loading != 0)
        t->dial->loaded = t->loading; /* by an old connection, but the list was read */
    if (code == CURLE_OK && t->is_redirect) {
        follow(t);
        return;
    }
    if (code == CURLE_OK && !t->has_head)
        t->code = CURLE_WEIRD_SERVER_REPLY;
    end(t);
}
