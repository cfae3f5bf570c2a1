/* http/curl_call.c - from Lua's arguments to a transfer, and a request that is one wait.
 *
 * perform(client, method, url [, lines, body, options]) -> answer
 *
 * Order: all that can raise comes first; then the transfer is taken and made ready by code that
 * only returns codes; then the task's waiter is armed and the transfer submitted. One that fails
 * at once settles the waiter at once, so that a failing loop still lets others run. From there on
 * the transfer is the task's: its continuation gives it back, whatever became of the wait.
 */
#include "curl.h"
#include <limits.h>
#include <math.h>
#include <string.h>

static void leave(weir_runtime *rt, weir_waiter *w)
{
    weir_transfer *t = w->object;
    (void)rt;
    t->waiter = NULL;
    weir__transfer_abort(t);
}

/* What came is of no use to anybody else; the task gives the transfer back when it is told. */
static void refund(weir_runtime *rt, weir_waiter *w)
{
    (void)rt;
    (void)w;
}

const weir_wait_ops *weir__wait_ops(int verb)
{
#define OP_OF(verb)                                                                                \
    {                                                                                              \
        "http:" verb, leave, refund, NULL, NULL                                                    \
    }
    static const weir_wait_ops ops[] = {OP_OF("get"),    OP_OF("head"),  OP_OF("post"),
                                        OP_OF("put"),    OP_OF("patch"), OP_OF("delete"),
                                        OP_OF("request")};
#undef OP_OF
    return &ops[verb];
}

/* --- arguments -------------------------------------------------------------------------------- */
static int is_token(const char *s, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)s[i] <= ' ' || (unsigned char)s[i] >= 0x7f ||
            strchr("()<>@,;:\\\"/[]?={}", s[i]))
            return 0;
    return size > 0;
}

static int misuse_option(lua_State *L, const weir_lua_api *api, const char *op, const char *name,
                         const char *expected)
{
    if (lua_type(L, -1) == LUA_TNUMBER)
        return api->raise(L, "misuse", op, "'%s' must be %s, got number %s", name, expected,
                          lua_tostring(L, -1));
    return api->raise(L, "misuse", op, "'%s' must be %s, got %s", name, expected,
                      luaL_typename(L, -1));
}

static uint64_t read_count(lua_State *L, const weir_lua_api *api, int index, const char *op,
                           const char *name, lua_Integer least, uint64_t unless)
{
    int type = lua_getfield(L, index, name), ok = 0;
    uint64_t value = unless;
    if (type == LUA_TNUMBER) {
        lua_Integer n = lua_tointegerx(L, -1, &ok);
        if (ok)
            value = (uint64_t)n;
        if (ok && n < least)
            ok = 0;
        if (lua_tonumber(L, -1) == (lua_Number)HUGE_VAL) {
            ok = 1;
            value = UINT64_MAX;
        }
    }
    if (type != LUA_TNIL && !ok)
        misuse_option(L, api, op, name,
                      least > 0 ? "a positive integer, or math.huge"
                                : "an integer >= 0, or math.huge");
    lua_pop(L, 1);
    return value;
}

uint32_t weir__read_bound(lua_State *L, const weir_lua_api *api, int index, const char *op,
                          const char *name, int least, uint32_t unless)
{
    uint64_t n = read_count(L, api, index, op, name, least, unless);
    return n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
}

/* -1 for nil, else 0 or 1. */
static int read_boolean(lua_State *L, const weir_lua_api *api, int index, const char *op,
                        const char *name)
{
    int type = lua_getfield(L, index, name), value = type == LUA_TNIL ? -1 : lua_toboolean(L, -1);
    if (type != LUA_TNIL && type != LUA_TBOOLEAN)
        misuse_option(L, api, op, name, "a boolean");
    lua_pop(L, 1);
    return value;
}

/* A string without NUL, or NULL; the table keeps it alive. `false` gives "" where `may_be_off`. */
static const char *read_text(lua_State *L, const weir_lua_api *api, int index, const char *op,
                             const char *name, int may_be_off)
{
    int type = lua_getfield(L, index, name);
    const char *text = NULL;
    if (type == LUA_TSTRING && strlen(lua_tostring(L, -1)) == lua_rawlen(L, -1))
        text = lua_tostring(L, -1);
    else if (may_be_off && type == LUA_TBOOLEAN && !lua_toboolean(L, -1))
        text = "";
    else if (type != LUA_TNIL)
        misuse_option(L, api, op, name, may_be_off ? "a string or false" : "a string");
    lua_pop(L, 1);
    return text;
}

static long to_ms(const weir_lua_api *api, weir_runtime *rt, uint64_t deadline)
{
    uint64_t now = api->now(rt), ms;
    if (deadline == WEIR_FOREVER)
        return INT_MAX;
    ms = deadline <= now ? 1 : (deadline - now + 999999) / 1000000; /* up: never sooner */
    return ms > INT_MAX ? INT_MAX : (long)ms;
}

void weir__read_options(lua_State *L, const weir_lua_api *api, weir_runtime *rt, int index,
                        const char *op, weir_request *r)
{
    const char *text;
    int flag;
    weir_address at;

    r->max_body = read_count(L, api, index, op, "max_body", 0, r->max_body);
    r->max_redirects =
        (long)weir__read_bound(L, api, index, op, "max_redirects", 0, (uint32_t)r->max_redirects);
    flag = read_boolean(L, api, index, op, "follow");
    if (flag >= 0)
        r->follow = flag;
    flag = read_boolean(L, api, index, op, "verify");
    if (flag >= 0)
        r->verify = flag;
    if (lua_getfield(L, index, "connect_timeout") != LUA_TNIL)
        r->connect_timeout = to_ms(api, rt, api->check_timeout(L, index, op, "connect_timeout"));
    lua_pop(L, 1);
    text = read_text(L, api, index, op, "ca", 0);
    if (text != NULL)
        r->ca = text;
    text = read_text(L, api, index, op, "proxy", 1);
    if (text != NULL)
        r->proxy = text;
    if (text != NULL && *text != '\0' && weir__address_parse_proxy(text, &at) != NULL)
        api->raise(L, "misuse", op,
                   "option proxy must be the URL of an http, https or socks proxy");
}

static weir_verb verb_of(const char *method)
{
    static const char *const names[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"};
    for (int i = 0; i < VERB_OTHER; i++)
        if (strcmp(names[i], method) == 0)
            return (weir_verb)i;
    return VERB_OTHER;
}

/* Arguments 2 to 6 into `r`; returns the deadline. Raises misuse; holds nothing. */
uint64_t weir__read_request(lua_State *L, weir_client *c, weir_request *r)
{
    const weir_lua_api *api = c->api;
    const char *op, *problem;
    size_t size;
    uint64_t deadline = WEIR_FOREVER;
    int has_timeout = 0;

    *r = c->base;
    r->method = luaL_checklstring(L, 2, &size);
    r->verb = verb_of(r->method);
    op = weir__wait_ops(r->verb)->op;
    if (c->rt == NULL || c->is_closed)
        api->raise(L, "closed", op, "the client is closed");
    if (api->runtime(L) != c->rt)
        api->raise(L, "misuse", op, "the client belongs to another runtime");
    if (!is_token(r->method, size) || strcmp(r->method, "CONNECT") == 0)
        api->raise(L, "misuse", op,
                   "option method must be the name of an HTTP method other than CONNECT");
    if (lua_type(L, 3) != LUA_TSTRING)
        api->raise(L, "misuse", op, "'url' must be a string, got %s", luaL_typename(L, 3));
    r->url = lua_tolstring(L, 3, &r->url_size);
    problem = weir__address_parse(r->url, r->url_size, &r->at);
    if (problem != NULL) {
        weir__url_push(L, r->url, r->url_size);
        luaL_gsub(L, lua_tostring(L, -1), "\r", "\\r");
        luaL_gsub(L, lua_tostring(L, -1), "\n", "\\n");
        api->raise(L, "misuse", op, "url \"%s\" is not one that can be fetched: %s",
                   lua_tostring(L, -1), problem);
    }
    if (lua_type(L, 5) == LUA_TSTRING)
        r->body = lua_tolstring(L, 5, &r->body_size);
    if (r->verb == VERB_HEAD && !lua_isnoneornil(L, 5))
        api->raise(L, "misuse", op, "a HEAD request has no body");
    if (lua_istable(L, 6)) {
        weir__read_options(L, api, c->rt, 6, op, r);
        has_timeout = lua_getfield(L, 6, "timeout") != LUA_TNIL;
        lua_pop(L, 1);
        if (has_timeout)
            deadline = api->check_timeout(L, 6, op, "timeout");
    }
    if (r->follow == 0 || (r->follow < 0 && r->verb != VERB_GET && r->verb != VERB_HEAD))
        r->max_redirects = -1;
    if (!has_timeout && c->timeout != WEIR_FOREVER)
        deadline = api->after(c->rt, c->timeout);
    return deadline;
}

/* Take a transfer for `r`, with the header lines at index 4 or the client's: a list whose first
 * `sensitive` (a field, nil is 0) are for one origin. NULL and a code. */
weir_transfer *weir__take_transfer(lua_State *L, weir_client *c, const weir_request *r, int *code)
{
    weir_transfer *t = weir__transfer_new(c);
    int lines = 4;

    *code = WEIR_ENOMEM;
    if (t == NULL)
        return NULL;
    *code = 0;
    if (lua_isnoneornil(L, lines)) {
        lua_getiuservalue(L, 1, 1);
        lines = lua_gettop(L);
    }
    if (lua_istable(L, lines)) {
        size_t n = lua_rawlen(L, lines);
        for (size_t i = 1; i <= n && *code == 0; i++) {
            lua_rawgeti(L, lines, (lua_Integer)i);
            *code = weir__transfer_add_line(t, lua_tostring(L, -1)); /* alive: its table is */
            lua_pop(L, 1);
        }
        lua_getfield(L, lines, "sensitive");
        t->n_sensitive = (unsigned)lua_tointeger(L, -1);
        lua_pop(L, 1);
    }
    if (lines != 4)
        lua_pop(L, 1);
    if (*code == 0)
        *code = weir__transfer_prepare(t, r);
    if (*code == 0 && weir__client_is_full(c, t))
        *code = WEIR_EOVERLOAD;
    if (*code != 0) {
        weir__transfer_release(t);
        return NULL;
    }
    return t;
}

int weir__raise_code(lua_State *L, weir_client *c, const char *op, int code)
{
    if (code == WEIR_ENOMEM)
        return luaL_error(L, "not enough memory");
    if (code == WEIR_EOVERLOAD) {
        c->stats.overload++;
        return c->api->raise(L, "overload", op, "%d requests wait already", (int)c->waiting);
    }
    return c->api->raise(L, "misuse", op, "%s", WEIR_HTTP_BAD_PROXY);
}

/* --- the outcome ------------------------------------------------------------------------------ */
static const char *phase_of(const weir_transfer *t)
{
    curl_off_t connected = 0;
    switch (t->phase) {
    case TRANSFER_HOST:
        return "waiting for a slot of its host";
    case TRANSFER_SLOT:
        return "waiting for a slot of the client";
    case TRANSFER_NAME:
        return "looking up the host name";
    case TRANSFER_ACTIVE:
        if (t->has_head)
            return "reading the body";
        curl_easy_getinfo(t->easy, CURLINFO_PRETRANSFER_TIME_T, &connected);
        return connected == 0 ? "connecting" : "waiting for the answer";
    default:
        return "after the answer";
    }
}

int weir__raise_timeout(lua_State *L, weir_transfer *t, const char *op, const char *url,
                        size_t size)
{
    const weir_lua_api *api = t->client->api;
    weir_exchange *x = t->exchange;
    const char *phase = phase_of(t);
    if (x != NULL)
        x->transfer = NULL;
    weir__transfer_release(t);
    weir__url_push(L, url, size);
    api->push_error(L, "timeout", op, "%s: timed out while %s", lua_tostring(L, -1), phase);
    lua_pushvalue(L, -2);
    lua_setfield(L, -2, "url");
    lua_pushliteral(L, "CURLE_OPERATION_TIMEDOUT");
    lua_setfield(L, -2, "code");
    return lua_error(L);
}

static int build_answer(lua_State *L)
{
    weir__answer_push(L, lua_touserdata(L, 2), 1);
    return 1;
}

/* A transfer that is done is released in any case: pushing can run out of memory. */
int weir__finish(lua_State *L, weir_transfer *t, const char *op)
{
    size_t size;
    const char *url;
    int status;
    if (t->fault != FAULT_NONE || t->code != CURLE_OK) {
        url = lua_tolstring(L, -1, &size);
        return weir__transfer_raise(L, t, op, url, size);
    }
    lua_pushcfunction(L, build_answer);
    lua_insert(L, -2);
    lua_pushlightuserdata(L, t);
    status = lua_pcall(L, 2, 1, 0);
    if (status != LUA_OK || !t->is_stream) {
        if (t->exchange != NULL)
            t->exchange->transfer = NULL;
        weir__transfer_release(t);
    }
    return status == LUA_OK ? 1 : lua_error(L);
}

static int performed(lua_State *L, int status, lua_KContext ctx)
{
    weir_waiter *w = (weir_waiter *)ctx;
    weir_transfer *t = w->object;
    const weir_lua_api *api = t->client->api;
    const char *op = w->ops->op, *url;
    size_t size;
    (void)status;

    if (w->status == WEIR_GRANTED) {
        lua_settop(L, 3);
        return weir__finish(L, t, op);
    }
    if (w->status == WEIR_TIMEOUT) {
        url = lua_tolstring(L, 3, &size);
        return weir__raise_timeout(L, t, op, url, size);
    }
    weir__transfer_release(t);
    api->outcome(L);
    return 0;
}

int weir__client_perform(lua_State *L)
{
    weir_client *c = weir__check_client(L, 1);
    weir_request r;
    uint64_t deadline;
    const weir_wait_ops *ops;
    weir_waiter *w;
    weir_transfer *t;
    int code;

    lua_settop(L, 6);
    luaL_checkstack(L, 12, "http request");
    deadline = weir__read_request(L, c, &r);
    ops = weir__wait_ops(r.verb);
    w = c->api->enter(L, ops->op);
    t = weir__take_transfer(L, c, &r, &code);
    if (t == NULL)
        return weir__raise_code(L, c, ops->op, code);
    c->api->waiter_begin(c->rt, w, ops, t, deadline);
    t->waiter = w;
    t->wants = WANT_END;
    weir__client_submit(c, t);
    return c->api->park(L, performed, (lua_KContext)w);
}
