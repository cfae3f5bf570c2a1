/* http/mhd_request.c - the box: what the task of a request does with it.
 *
 *   box:request()                          the request as a table; nil if the client left already
 *   box:respond(status, headers, body)     a whole response; the body is a string
 *   box:stream(status, headers [, size])   a head alone; says whether a body is wanted
 *   box:write(chunk)                       waits until libmicrohttpd has taken it: backpressure
 *   box:finish()                           the end of the body
 *   box:close()                            the end; without an answer the connection goes
 *
 * Once the client has left they do nothing, and give nil or false. All of a response is checked
 * before any of it is sent, so that a bad one can become a 500. What frames the message is
 * decided here: a handler's Transfer-Encoding and Keep-Alive are left out, and so is its
 * Content-Length, but for a body that is not at hand (a stream, or the answer to HEAD), of
 * which it is the size.
 */
#include "mhd.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define api weir__httpd_api

#define QUOTE_MOST 200         /* bytes of a string that a message shows */
#define READ_BLOCK (64 * 1024) /* taken at a time of a body that is not chunked */

/* Name of a response header, and what is wrong with it. */
typedef enum header_kind { HEADER_PLAIN, HEADER_OURS, HEADER_LENGTH, HEADER_BAD } header_kind;

static httpd_box *check_box(lua_State *L)
{
    return luaL_checkudata(L, 1, HTTPD_BOX);
}

static int box_request(lua_State *L)
{
    httpd_box *box = check_box(L);
    if (box->conn == NULL || box->started)
        return 0;
    box->started = 1;
    weir__httpd_push_request(L, box->conn);
    weir__httpd_drop_body(box->conn);
    return 1;
}

static header_kind header_kind_of(const char *name, size_t len)
{
    if (!weir__httpd_is_token(name, len))
        return HEADER_BAD;
    if (strcasecmp(name, MHD_HTTP_HEADER_CONTENT_LENGTH) == 0)
        return HEADER_LENGTH;
    if (strcasecmp(name, MHD_HTTP_HEADER_TRANSFER_ENCODING) == 0 ||
        strcasecmp(name, "Keep-Alive") == 0)
        return HEADER_OURS;
    return HEADER_PLAIN;
}

/* Push `s` for a message: quoted, control characters escaped, not too long. [-0, +1, m] */
static const char *push_quoted(lua_State *L, const char *s, size_t len)
{
    static const char digits[] = "0123456789ABCDEF";
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    luaL_addchar(&b, '"');
    for (size_t i = 0; i < len && i < QUOTE_MOST; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c >= 0x20 && c != 0x7f) {
            luaL_addchar(&b, (char)c);
        } else {
            luaL_addstring(&b, "\\x");
            luaL_addchar(&b, digits[c >> 4]);
            luaL_addchar(&b, digits[c & 15]);
        }
    }
    luaL_addstring(&b, len > QUOTE_MOST ? "...\"" : "\"");
    luaL_pushresult(&b);
    return lua_tostring(L, -1);
}

/* Push what a message says of the value at `index`: a string quoted. [-0, +1, e] */
static const char *push_value(lua_State *L, int index)
{
    size_t len;
    const char *s;
    if (lua_type(L, index) != LUA_TSTRING)
        return luaL_tolstring(L, index, NULL);
    s = lua_tolstring(L, index, &len);
    lua_pushfstring(L, "string %s", push_quoted(L, s, len));
    return lua_tostring(L, -1);
}

static int is_control(char c)
{
    unsigned char code = (unsigned char)c;
    return (code < 0x20 && code != '\t') || code == 0x7f;
}

/* The value at the top, a string or number without control characters, or raise. [-0, +0, e] */
static const char *check_value(lua_State *L, const char *name)
{
    int type = lua_type(L, -1);
    const char *value;
    size_t len;
    if (type != LUA_TSTRING && type != LUA_TNUMBER)
        api->raise(L, "misuse", HTTPD_SERVE,
                   "response header '%s' must be a string or number, got %s", name,
                   luaL_typename(L, -1));
    value = lua_tolstring(L, -1, &len);
    for (size_t i = 0; i < len; i++)
        if (is_control(value[i]))
            api->raise(L, "misuse", HTTPD_SERVE,
                       "response header '%s' must not contain control characters", name);
    return value;
}

/* The bytes it takes on the wire. */
static size_t add_header(lua_State *L, struct MHD_Response *r, const char *name)
{
    const char *value = check_value(L, name);
    /* libmicrohttpd refuses an empty value, a blank one is the same on the wire. */
    if (MHD_add_response_header(r, name, *value != '\0' ? value : " ") != MHD_YES &&
        strcasecmp(name, MHD_HTTP_HEADER_CONNECTION) != 0) /* "keep-alive" alone is refused */
        luaL_error(L, "not enough memory");
    return strlen(name) + strlen(value) + 4;
}

/* Add the values, one or a list, at the top. [-0, +0, e] */
static size_t add_values(lua_State *L, struct MHD_Response *r, const char *name)
{
    size_t size = 0;
    lua_Integer n;
    if (lua_type(L, -1) != LUA_TTABLE)
        return add_header(L, r, name);
    n = luaL_len(L, -1);
    for (lua_Integer i = 1; i <= n; i++) {
        lua_geti(L, -1, i);
        size += add_header(L, r, name);
        lua_pop(L, 1);
    }
    return size;
}

/* Add the table at `index` to box->response. [-0, +0, e] */
static void add_headers(lua_State *L, httpd_box *box, int index)
{
    size_t size = 0, max = box->conn->server->max_header;
    if (lua_isnoneornil(L, index))
        return;
    luaL_checkstack(L, 6, "headers");
    lua_pushnil(L);
    while (lua_next(L, index) != 0) {
        const char *name;
        size_t len;
        header_kind kind;
        if (lua_type(L, -2) != LUA_TSTRING)
            api->raise(L, "misuse", HTTPD_SERVE,
                       "'headers' of a response must have names as keys, got a %s",
                       luaL_typename(L, -2));
        name = lua_tolstring(L, -2, &len);
        kind = header_kind_of(name, len);
        if (kind == HEADER_BAD)
            api->raise(L, "misuse", HTTPD_SERVE,
                       "'headers' of a response must have names as keys, got %s",
                       push_quoted(L, name, len));
        if (kind == HEADER_PLAIN)
            size += add_values(L, box->response, name);
        if (size > max) /* libmicrohttpd would close the connection without a word */
            api->raise(L, "misuse", HTTPD_SERVE,
                       "'headers' of a response must be of at most %I bytes (max_header)",
                       (LUAI_UACINT)max);
        lua_pop(L, 1);
    }
}

/* The Content-Length in the table at `index`, MHD_SIZE_UNKNOWN if it has none. [-0, +0, e] */
static uint64_t header_length(lua_State *L, int index)
{
    uint64_t length = MHD_SIZE_UNKNOWN;
    if (lua_isnoneornil(L, index))
        return length;
    lua_pushnil(L);
    while (lua_next(L, index) != 0) {
        size_t len;
        const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tolstring(L, -2, &len) : NULL;
        if (name != NULL && header_kind_of(name, len) == HEADER_LENGTH) {
            int is_integer;
            lua_Integer n = lua_tointegerx(L, -1, &is_integer);
            if (!is_integer || n < 0)
                api->raise(L, "misuse", HTTPD_SERVE,
                           "response header '%s' must be a size in bytes, got %s", name,
                           push_value(L, -1));
            length = (uint64_t)n;
        }
        lua_pop(L, 1);
    }
    return length;
}

static unsigned check_status(lua_State *L, int index)
{
    int is_integer;
    lua_Integer status = lua_tointegerx(L, index, &is_integer);
    if (!is_integer || lua_type(L, index) != LUA_TNUMBER || status < 200 || status > 599)
        api->raise(L, "misuse", HTTPD_SERVE,
                   "'status' of a response must be an integer from 200 to 599, got %s",
                   push_value(L, index));
    return (unsigned)status;
}

static void check_headers(lua_State *L, int index)
{
    if (!lua_isnoneornil(L, index) && lua_type(L, index) != LUA_TTABLE)
        api->raise(L, "misuse", HTTPD_SERVE, "'headers' of a response must be a table, got %s",
                   luaL_typename(L, index));
}

/* Drop a response that was begun and not sent. */
static void drop_response(httpd_box *box)
{
    if (box->response != NULL)
        MHD_destroy_response(box->response);
    box->response = NULL;
}

/* Take `r`, add the headers at `index` and hand it to libmicrohttpd. [-0, +0, e] */
static void queue(lua_State *L, httpd_box *box, unsigned status, int index, struct MHD_Response *r)
{
    drop_response(box); /* of an attempt that raised */
    box->response = r;
    if (r == NULL)
        luaL_error(L, "not enough memory");
    add_headers(L, box, index);
    if (box->conn->server->draining &&
        MHD_add_response_header(r, MHD_HTTP_HEADER_CONNECTION, "close") != MHD_YES)
        luaL_error(L, "not enough memory");
    if (MHD_queue_response(box->conn->mhd, status, r) != MHD_YES)
        api->raise(L, "misuse", HTTPD_SERVE, "libmicrohttpd refused the response");
    drop_response(box); /* libmicrohttpd holds it */
}

static int is_open(const httpd_box *box, httpd_phase phase)
{
    return box->conn != NULL && box->conn->phase == phase;
}

static int push_false(lua_State *L)
{
    lua_pushboolean(L, 0);
    return 1;
}

static int box_respond(lua_State *L)
{
    httpd_box *box = check_box(L);
    uint64_t size = MHD_SIZE_UNKNOWN;
    const char *body;
    size_t len;
    unsigned status;
    if (!is_open(box, HTTPD_RUNNING))
        return push_false(L);
    status = check_status(L, 2);
    check_headers(L, 3);
    body = luaL_optlstring(L, 4, "", &len);
    if (len == 0 && (box->conn->is_head || status == MHD_HTTP_NOT_MODIFIED))
        size = header_length(L, 3); /* of the body that is not sent */
    queue(L, box, status, 3,
          size != MHD_SIZE_UNKNOWN
              ? MHD_create_response_from_callback(size, 1, weir__httpd_on_read, box->conn, NULL)
              : MHD_create_response_from_buffer(
                    len, (void *)body, len > 0 ? MHD_RESPMEM_MUST_COPY : MHD_RESPMEM_PERSISTENT));
    weir__httpd_answered(box->conn);
    lua_pushboolean(L, 1);
    return 1;
}

static int box_stream(lua_State *L)
{
    httpd_box *box = check_box(L);
    httpd_conn *c = box->conn;
    struct MHD_Response *r;
    unsigned status;
    uint64_t size;
    int is_bare;
    if (!is_open(box, HTTPD_RUNNING))
        return push_false(L);
    status = check_status(L, 2);
    check_headers(L, 3);
    size = lua_isnoneornil(L, 4) ? header_length(L, 3) : (uint64_t)luaL_checkinteger(L, 4);
    is_bare = c->is_head || status == MHD_HTTP_NO_CONTENT || status == MHD_HTTP_NOT_MODIFIED;
    /* Chunks are made in the connection's own memory and need no block. */
    r = MHD_create_response_from_callback(size,
                                          size == MHD_SIZE_UNKNOWN && !c->is_1_0 ? 1 : READ_BLOCK,
                                          weir__httpd_on_read, c, NULL);
    if (r != NULL && is_bare && size == MHD_SIZE_UNKNOWN)
        /* Not chunked: libmicrohttpd sends the last chunk even where no body may be. */
        MHD_set_response_options(r, MHD_RF_HTTP_1_0_COMPATIBLE_STRICT, MHD_RO_END);
    queue(L, box, status, 3, r);
    if (is_bare) {
        weir__httpd_answered(c);
        return push_false(L);
    }
    c->left = size;
    c->phase = HTTPD_STREAMING;
    weir__httpd_resume(c);
    lua_pushboolean(L, 1);
    return 1;
}

/* The writer gives up: its string is about to go. */
static void write_leave(weir_runtime *rt, weir_waiter *w)
{
    httpd_box *box = w->object;
    (void)rt;
    if (box->conn != NULL) {
        box->conn->data = NULL;
        box->conn->len = 0;
        box->conn->writer = NULL;
    }
}

static const weir_wait_ops write_ops = {.op = "http.serve: write", .leave = write_leave};

static int box_writek(lua_State *L, int status, lua_KContext ctx)
{
    httpd_box *box = check_box(L);
    (void)status;
    (void)ctx;
    api->outcome(L);
    lua_pushboolean(L, is_open(box, HTTPD_STREAMING));
    return 1;
}

static int box_write(lua_State *L)
{
    httpd_box *box = check_box(L);
    size_t len;
    const char *chunk = luaL_checklstring(L, 2, &len);
    httpd_conn *c = box->conn;
    weir_waiter *w;
    if (!is_open(box, HTTPD_STREAMING))
        return push_false(L);
    if (len > c->left)
        return api->raise(L, "misuse", HTTPD_SERVE, "the body is longer than its content-length");
    if (len == 0) {
        lua_pushboolean(L, 1);
        return 1;
    }
    w = api->enter(L, write_ops.op);
    api->waiter_begin(c->server->rt, w, &write_ops, box, WEIR_FOREVER);
    if (c->left != MHD_SIZE_UNKNOWN)
        c->left -= len;
    c->data = chunk; /* stays on this stack while we wait */
    c->len = len;
    c->writer = w;
    weir__httpd_resume(c);
    return api->park(L, box_writek, 0);
}

static int box_finish(lua_State *L)
{
    httpd_box *box = check_box(L);
    httpd_conn *c = box->conn;
    if (!is_open(box, HTTPD_STREAMING))
        return 0;
    if (c->left != MHD_SIZE_UNKNOWN && c->left > 0)
        return api->raise(L, "misuse", HTTPD_SERVE,
                          "the body is %I bytes shorter than its content-length",
                          (LUAI_UACINT)c->left);
    c->finished = 1;
    weir__httpd_answered(c);
    return 0;
}

static int box_close(lua_State *L)
{
    httpd_box *box = check_box(L);
    drop_response(box);
    if (box->conn != NULL)
        weir__httpd_lose(box->conn, NULL);
    return 0;
}

/* 1 if nothing of a response was sent yet, so that it can still be an error. */
static int box_pending(lua_State *L)
{
    lua_pushboolean(L, is_open(check_box(L), HTTPD_RUNNING));
    return 1;
}

void weir__httpd_open_box(lua_State *L)
{
    static const luaL_Reg methods[] = {{"request", box_request}, {"respond", box_respond},
                                       {"stream", box_stream},   {"write", box_write},
                                       {"finish", box_finish},   {"close", box_close},
                                       {"pending", box_pending}, {NULL, NULL}};
    luaL_newmetatable(L, HTTPD_BOX);
    lua_pushcfunction(L, box_close);
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, "__close");
    lua_setfield(L, -2, "__gc"); /* of a task that was cancelled before it ran */
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
}
