/* http/curl_answer.c - what a task gets to see: the answer as a table, a failure as an error.
 *
 * Kinds: `network` when no whole answer came (refused, reset, name, TLS, cut short), `protocol`
 * when what came is not HTTP or more than was asked for, `timeout` for connect_timeout, `closed`
 * after client:close(), `misuse` for what only the caller can mend. `code` is curl's name.
 * Headers are the dearest part of an answer and often not looked at: the table holds them as the
 * text that came (`head`), and becomes a table of them (weir.http.client) when asked.
 */
#include "curl.h"
#include <string.h>

static const struct {
    CURLcode code;
    const char *name, *kind;
} codes[] = {
    {CURLE_UNSUPPORTED_PROTOCOL, "CURLE_UNSUPPORTED_PROTOCOL", "protocol"}, /* HTTP/0.9 */
    {CURLE_URL_MALFORMAT, "CURLE_URL_MALFORMAT", "misuse"},
    {CURLE_COULDNT_RESOLVE_PROXY, "CURLE_COULDNT_RESOLVE_PROXY", "network"},
    {CURLE_COULDNT_RESOLVE_HOST, "CURLE_COULDNT_RESOLVE_HOST", "network"},
    {CURLE_COULDNT_CONNECT, "CURLE_COULDNT_CONNECT", "network"},
    {CURLE_WEIRD_SERVER_REPLY, "CURLE_WEIRD_SERVER_REPLY", "protocol"},
    {CURLE_HTTP2, "CURLE_HTTP2", "protocol"},
    {CURLE_PARTIAL_FILE, "CURLE_PARTIAL_FILE", "network"},
    {CURLE_WRITE_ERROR, "CURLE_WRITE_ERROR", "protocol"},
    {CURLE_READ_ERROR, "CURLE_READ_ERROR", "network"},
    {CURLE_OUT_OF_MEMORY, "CURLE_OUT_OF_MEMORY", "network"},
    {CURLE_OPERATION_TIMEDOUT, "CURLE_OPERATION_TIMEDOUT", "timeout"},
    {CURLE_SSL_CONNECT_ERROR, "CURLE_SSL_CONNECT_ERROR", "network"},
    {CURLE_TOO_MANY_REDIRECTS, "CURLE_TOO_MANY_REDIRECTS", "protocol"},
    {CURLE_GOT_NOTHING, "CURLE_GOT_NOTHING", "network"},
    {CURLE_SEND_ERROR, "CURLE_SEND_ERROR", "network"},
    {CURLE_RECV_ERROR, "CURLE_RECV_ERROR", "network"},
    {CURLE_SSL_CERTPROBLEM, "CURLE_SSL_CERTPROBLEM", "misuse"},
    {CURLE_SSL_CIPHER, "CURLE_SSL_CIPHER", "network"},
    {CURLE_PEER_FAILED_VERIFICATION, "CURLE_PEER_FAILED_VERIFICATION", "network"},
    {CURLE_BAD_CONTENT_ENCODING, "CURLE_BAD_CONTENT_ENCODING", "protocol"},
    {CURLE_FILESIZE_EXCEEDED, "CURLE_FILESIZE_EXCEEDED", "protocol"},
    {CURLE_SEND_FAIL_REWIND, "CURLE_SEND_FAIL_REWIND", "network"},
    {CURLE_SSL_CACERT_BADFILE, "CURLE_SSL_CACERT_BADFILE", "misuse"},
    {CURLE_SSL_SHUTDOWN_FAILED, "CURLE_SSL_SHUTDOWN_FAILED", "network"},
    {CURLE_HTTP2_STREAM, "CURLE_HTTP2_STREAM", "network"},
    {CURLE_HTTP3, "CURLE_HTTP3", "protocol"},
    {CURLE_PROXY, "CURLE_PROXY", "network"},
    {CURLE_ABORTED_BY_CALLBACK, "CURLE_ABORTED_BY_CALLBACK", "network"},
};

static int has_prefix(const weir_transfer *t, const char *prefix)
{
    return strncmp(t->message, prefix, strlen(prefix)) == 0;
}

/* curl reports these as it reports a lost connection; its text tells them apart. */
static int is_bad_answer(const weir_transfer *t)
{
    return t->code == CURLE_RECV_ERROR && (strstr(t->message, "chunked-encoding") != NULL ||
                                           has_prefix(t, "Too large response headers"));
}

/* curl keeps the first text it wrote, also when it tried again by itself after a kept connection
 * was found to be lost. */
static int is_of_first_try(const weir_transfer *t)
{
    return t->code != CURLE_RECV_ERROR && t->code != CURLE_SEND_ERROR &&
           (has_prefix(t, "Recv failure") || has_prefix(t, "Send failure"));
}

static const char *message_of(const weir_transfer *t)
{
    return t->message[0] == '\0' || is_of_first_try(t) ? curl_easy_strerror(t->code) : t->message;
}

static const char *describe(const weir_transfer *t, const char **name)
{
    *name = NULL;
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        if (codes[i].code == t->code) {
            *name = codes[i].name;
            return is_bad_answer(t) ? "protocol" : codes[i].kind;
        }
    return "network";
}

/* [-0, +1, m] */
static void push_error(lua_State *L, const weir_transfer *t, const char *op, const char *url)
{
    const weir_lua_api *api = t->client->api;
    const char *name = NULL, *kind = "network";
    long system = 0;

    switch (t->fault) {
    case FAULT_NAME:
        if (t->status == WEIR_ENOIO || t->status == WEIR_EINVAL) {
            api->push_error(L, "misuse", op, "%s: %s", url, api->error_text(t->status));
        } else {
            name =
                t->dial == t->origin ? "CURLE_COULDNT_RESOLVE_HOST" : "CURLE_COULDNT_RESOLVE_PROXY";
            api->push_error(L, "network", op, "%s: no address for %s (%s)", url, t->dial->at.host,
                            api->error_text(t->status));
        }
        break;
    case FAULT_LOOP:
        kind = t->status == WEIR_ENOIO ? "misuse" : "network";
        api->push_error(L, kind, op, "%s: cannot watch the connection (%s)", url,
                        api->error_text(t->status));
        break;
    case FAULT_HEADERS:
        name = "CURLE_FILESIZE_EXCEEDED";
        api->push_error(L, "protocol", op, "%s: the headers are longer than %d bytes", url,
                        WEIR_HTTP_MAX_HEADERS);
        break;
    case FAULT_BODY:
        name = "CURLE_FILESIZE_EXCEEDED";
        api->push_error(L, "protocol", op, "%s: the body is longer than max_body, %I bytes", url,
                        (LUAI_UACINT)t->max_body);
        break;
    case FAULT_REDIRECTS:
        name = "CURLE_TOO_MANY_REDIRECTS";
        api->push_error(L, "protocol", op, "%s: redirected more often than max_redirects allows",
                        url);
        break;
    case FAULT_LOCATION:
        name = "CURLE_UNSUPPORTED_PROTOCOL";
        api->push_error(L, "protocol", op, "%s: redirected to what is not an http or https URL",
                        url);
        break;
    case FAULT_PROXY:
        api->push_error(L, "misuse", op, "%s: redirected, and %s", url, WEIR_HTTP_BAD_PROXY);
        break;
    case FAULT_LENGTH:
        api->push_error(L, "misuse", op,
                        "%s: the body has not the length that content-length announced (%I bytes)",
                        url, (LUAI_UACINT)t->upload_size);
        break;
    case FAULT_CLOSED:
        api->push_error(L, "closed", op, "%s: closed", url);
        break;
    default:
        kind = describe(t, &name);
        weir__message_push(L, message_of(t));
        curl_easy_getinfo(t->easy, CURLINFO_OS_ERRNO, &system);
        if (has_prefix(t, "Failed to connect") && system != 0) /* otherwise it may be an old one */
            api->push_error(L, kind, op, "%s: %s (%s)", url, lua_tostring(L, -1),
                            strerror((int)system));
        else
            api->push_error(L, kind, op, "%s: %s", url, lua_tostring(L, -1));
        lua_remove(L, -2);
    }
    lua_pushstring(L, url);
    lua_setfield(L, -2, "url");
    if (name != NULL) {
        lua_pushstring(L, name);
        lua_setfield(L, -2, "code");
    }
}

struct failure {
    const weir_transfer *t;
    const char *op, *url;
    size_t size;
};

static int build_error(lua_State *L)
{
    const struct failure *f = lua_touserdata(L, 1);
    weir__url_push(L, f->url, f->size);
    push_error(L, f->t, f->op, lua_tostring(L, -1));
    return 1;
}

int weir__transfer_raise(lua_State *L, weir_transfer *t, const char *op, const char *url,
                         size_t size)
{
    struct failure f = {t, op, url, size};
    weir_exchange *x = t->exchange;
    if (t->fault == FAULT_MEMORY || (t->fault == FAULT_NAME && t->status == WEIR_ENOMEM) ||
        (t->fault == FAULT_NONE && t->code == CURLE_OUT_OF_MEMORY)) {
        lua_pushliteral(L, "not enough memory");
    } else {
        lua_pushcfunction(L, build_error);
        lua_pushlightuserdata(L, &f);
        lua_pcall(L, 1, 1, 0); /* the error that was built, or the one that kept it from that */
    }
    if (x != NULL)
        x->transfer = NULL;
    weir__transfer_release(t);
    return lua_error(L);
}

/* --- the answer ------------------------------------------------------------------------------- */
/* Put the value on top under the key below it, beside what is there already. [-2, +0, m] */
static void add_header(lua_State *L, int headers, int is_cookie)
{
    lua_pushvalue(L, -2);
    if (lua_rawget(L, headers) == LUA_TNIL) {
        lua_pop(L, 1);
        if (is_cookie) {
            lua_createtable(L, 1, 0);
            lua_insert(L, -2);
            lua_rawseti(L, -2, 1);
        }
        lua_rawset(L, headers);
        return;
    }
    if (is_cookie) { /* key value list */
        lua_insert(L, -2);
        lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
        lua_pop(L, 2);
        return;
    }
    lua_insert(L, -2); /* key old value */
    lua_pushliteral(L, ", ");
    lua_insert(L, -2);
    lua_concat(L, 3);
    lua_rawset(L, headers);
}

/* A line that begins with a space continues the one before it. */
static const char *end_of_value(const char *line, const char *stop)
{
    const char *end = line;
    do {
        const char *nl = memchr(end, '\n', (size_t)(stop - end));
        end = nl != NULL ? nl + 1 : stop;
    } while (end < stop && (*end == ' ' || *end == '\t'));
    return end;
}

static int is_blank(int ch)
{
    return ch == ' ' || ch == '\t' || ch == '\r' || ch == '\n';
}

static void push_name(lua_State *L, const char *name, size_t size)
{
    char small[64], *p = size <= sizeof small ? small : lua_newuserdatauv(L, size, 0);
    for (size_t i = 0; i < size; i++)
        p[i] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] + 32 : name[i]);
    lua_pushlstring(L, p, size);
    if (p != small)
        lua_remove(L, -2);
}

static void push_value(lua_State *L, const char *from, const char *to)
{
    while (from < to && is_blank((unsigned char)*from))
        from++;
    while (to > from && is_blank((unsigned char)to[-1]))
        to--;
    lua_pushlstring(L, from, (size_t)(to - from));
    if (memchr(from, '\n', (size_t)(to - from)) != NULL) { /* folded: rare */
        luaL_gsub(L, lua_tostring(L, -1), "\r\n", "");
        lua_remove(L, -2);
    }
}

int weir__answer_headers(lua_State *L)
{
    size_t size;
    const char *p = luaL_checklstring(L, 1, &size), *stop = p + size;
    int headers;
    lua_settop(L, 1); /* keeps the text alive */
    lua_createtable(L, 0, 8);
    headers = lua_gettop(L);
    p = end_of_value(p, stop); /* the status line */
    while (p < stop) {
        const char *end = end_of_value(p, stop);
        const char *colon = memchr(p, ':', (size_t)(end - p));
        if (colon != NULL && colon > p) {
            size_t n = (size_t)(colon - p);
            push_name(L, p, n);
            push_value(L, colon + 1, end);
            add_header(L, headers, n == 10 && strcmp(lua_tostring(L, -2), "set-cookie") == 0);
        }
        p = end;
    }
    return 1;
}

void weir__answer_push(lua_State *L, weir_transfer *t, int url)
{
    const weir_client *c = t->client;
    luaL_checkstack(L, 8, "http answer");
    lua_createtable(L, 0, 5);
    lua_pushinteger(L, (lua_Integer)t->http_status);
    lua_setfield(L, -2, "status");
    lua_pushlstring(L, t->head.data != NULL ? t->head.data : "", t->head.size);
    lua_setfield(L, -2, "head");
    if (!t->is_stream) {
        lua_pushlstring(L, t->data.data != NULL ? t->data.data : "", t->data.size);
        lua_setfield(L, -2, "body");
    }
    if (t->location.size > 0)
        weir__url_push(L, t->location.data, t->location.size - 1);
    else if (t->is_plain)
        lua_pushvalue(L, url);
    else
        weir__url_push(L, lua_tostring(L, url), lua_rawlen(L, url));
    lua_setfield(L, -2, "url");
    lua_pushnumber(L, (lua_Number)(c->api->now(c->rt) - t->started) / (lua_Number)WEIR_SECOND);
    lua_setfield(L, -2, "elapsed");
    luaL_setmetatable(L, WEIR_HTTP_RESPONSE);
}
