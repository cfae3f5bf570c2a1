/* http/curl_exchange.c - a request in steps: body written in pieces, answer read in pieces.
 *
 *   exchange(client, method, url, lines, body, options, size) -> x      started, nothing awaited
 *   x:write(chunk) -> whether more is wanted   x:finish()               body true: written later
 *   x:answer() -> the answer   x:read() -> chunk or nil   x:close()
 *
 * An exchange owns its transfer from its start to its end, to close, or to its collection. One
 * task at a time waits on it; a wait that is cancelled or times out ends the transfer. The
 * request's timeout is one deadline over all steps. What curl borrows is kept alive by the
 * exchange's user values.
 */
#include "curl.h"
#include <string.h>

enum { VALUE_CLIENT = 1, VALUE_URL = 3, N_VALUES = 6 }; /* as the arguments of exchange() */

static weir_exchange *check_exchange(lua_State *L)
{
    return luaL_checkudata(L, 1, WEIR_HTTP_EXCHANGE);
}

static const char *url_of(lua_State *L, size_t *size)
{
    const char *url;
    lua_getiuservalue(L, 1, VALUE_URL);
    url = lua_tolstring(L, -1, size);
    lua_pop(L, 1); /* alive: the exchange has it */
    return url;
}

static int raise_closed(lua_State *L, const weir_exchange *x)
{
    return x->api->raise(L, "closed", x->op, "the answer is closed");
}

/* The transfer, within the request's time and without another task at it; raises otherwise. */
static weir_transfer *check_open(lua_State *L, weir_exchange *x)
{
    weir_transfer *t = x->transfer;
    size_t size;
    const char *url;
    if (t == NULL)
        raise_closed(L, x);
    if (t->client->rt == NULL || x->api->runtime(L) != t->client->rt)
        x->api->raise(L, "misuse", x->op, "the answer belongs to another runtime");
    if (t->waiter != NULL)
        x->api->raise(L, "misuse", x->op, "another task waits for this answer");
    if (x->deadline != WEIR_FOREVER && x->api->now(t->client->rt) >= x->deadline &&
        t->fault == FAULT_NONE) {
        url = url_of(L, &size);
        if (t->state != TRANSFER_ENDED)
            weir__transfer_abort(t);
        weir__raise_timeout(L, t, x->op, url, size);
    }
    return t;
}

static int wait_for(lua_State *L, weir_exchange *x, int wants, lua_KFunction k)
{
    weir_transfer *t = x->transfer;
    weir_waiter *w = x->api->enter(L, x->op);
    x->api->waiter_begin(t->client->rt, w, weir__wait_ops(x->verb), t, x->deadline);
    t->waiter = w;
    t->wants = (uint8_t)wants;
    if (weir__transfer_has(t, wants)) /* at once, by way of the ready queue */
        weir__transfer_wake(t, WEIR_GRANTED);
    return x->api->park(L, k, (lua_KContext)w);
}

/* The transfer after a wait that was granted; raises otherwise. */
static weir_transfer *resumed(lua_State *L, weir_exchange *x, const weir_waiter *w)
{
    weir_transfer *t = x->transfer;
    size_t size;
    const char *url;
    if (w->status == WEIR_TIMEOUT && t != NULL) {
        url = url_of(L, &size);
        weir__raise_timeout(L, t, x->op, url, size);
    }
    if (w->status != WEIR_GRANTED) {
        if (t != NULL) {
            x->transfer = NULL;
            weir__transfer_release(t);
        }
        x->api->outcome(L);
    }
    if (t == NULL)
        raise_closed(L, x);
    return t;
}

static int is_failed(const weir_transfer *t)
{
    return t->fault != FAULT_NONE || t->code != CURLE_OK;
}

/* --- the answer ------------------------------------------------------------------------------- */
static int answer_now(lua_State *L, weir_exchange *x, weir_transfer *t)
{
    CURLcode code = t->code;
    int fault = t->fault, is_head = t->is_stream && t->has_head;
    if (x->was_answered && (is_head || !is_failed(t)))
        return x->api->raise(L, "misuse", x->op, "the answer was given already");
    x->was_answered = 1;
    if (is_head) { /* an answer, even if the body broke off already: read will tell */
        t->code = CURLE_OK;
        t->fault = FAULT_NONE;
    }
    lua_getiuservalue(L, 1, VALUE_URL);
    weir__finish(L, t, x->op); /* a streamed one stays with the exchange */
    if (is_head) {
        t->code = code;
        t->fault = fault;
    }
    return 1;
}

static int answerk(lua_State *L, int status, lua_KContext ctx)
{
    weir_exchange *x = check_exchange(L);
    (void)status;
    return answer_now(L, x, resumed(L, x, (weir_waiter *)ctx));
}

static int exchange_answer(lua_State *L)
{
    weir_exchange *x = check_exchange(L);
    weir_transfer *t = check_open(L, x);
    return wait_for(L, x, t->is_stream ? WANT_HEAD : WANT_END, answerk);
}

/* --- reading ---------------------------------------------------------------------------------- */
static int read_now(lua_State *L, weir_exchange *x, weir_transfer *t)
{
    size_t size;
    const char *url;
    if (t->data.size > 0) {
        lua_pushlstring(L, t->data.data, t->data.size); /* may raise: nothing was taken yet */
        t->data.size = 0;
        weir__transfer_resume(t);
        return 1;
    }
    if (is_failed(t)) {
        url = url_of(L, &size);
        return weir__transfer_raise(L, t, x->op, url, size);
    }
    x->transfer = NULL; /* all was read: the handle is free for others */
    x->is_read = 1;
    weir__transfer_release(t);
    lua_pushnil(L);
    return 1;
}

static int readk(lua_State *L, int status, lua_KContext ctx)
{
    weir_exchange *x = check_exchange(L);
    (void)status;
    return read_now(L, x, resumed(L, x, (weir_waiter *)ctx));
}

static int yieldk(lua_State *L, int status, lua_KContext ctx)
{
    weir_exchange *x = check_exchange(L);
    (void)status;
    (void)ctx;
    x->api->outcome(L);
    return read_now(L, x, check_open(L, x));
}

static int exchange_read(lua_State *L)
{
    weir_exchange *x = check_exchange(L);
    weir_transfer *t;
    if (x->is_read) {
        lua_pushnil(L);
        return 1;
    }
    t = check_open(L, x);
    if (!weir__transfer_has(t, WANT_DATA))
        return wait_for(L, x, WANT_DATA, readk);
    if (x->api->spend(L))
        return x->api->yield(L, yieldk, 0);
    return read_now(L, x, t);
}

/* --- writing ---------------------------------------------------------------------------------- */
static int put(weir_transfer *t, const char *bytes, size_t size)
{
    weir_buffer *b = &t->upload;
    if (t->upload_start > 0 && b->capacity - b->size < size) {
        memmove(b->data, b->data + t->upload_start, b->size - t->upload_start);
        b->size -= t->upload_start;
        t->upload_start = 0;
    }
    return weir__buffer_append(t->client, b, bytes, size);
}

static int writek(lua_State *L, int status, lua_KContext ctx);

/* As much as there is room for, then wait for more; `x->taken` is what went of the chunk. */
static int write_on(lua_State *L, weir_exchange *x)
{
    size_t size;
    const char *chunk = lua_tolstring(L, 2, &size);
    for (;;) {
        weir_transfer *t = x->transfer;
        size_t room, n;
        if (t->state == TRANSFER_ENDED || !t->is_upload || (t->has_head && t->http_status >= 400)) {
            lua_pushboolean(L, 0);
            return 1;
        }
        if (x->taken == size)
            break;
        if (t->upload_size >= 0 && (curl_off_t)(size - x->taken) > t->upload_size - t->written) {
            weir__transfer_fail(t, FAULT_LENGTH, 0);
            continue;
        }
        room = t->upload.size - t->upload_start;
        room = room < WEIR_HTTP_WRITE_AHEAD ? WEIR_HTTP_WRITE_AHEAD - room : 0;
        if (room == 0)
            return wait_for(L, x, WANT_ROOM, writek);
        n = size - x->taken < room ? size - x->taken : room;
        if (put(t, chunk + x->taken, n) != 0) {
            weir__transfer_fail(t, FAULT_MEMORY, 0);
            continue;
        }
        x->taken += n;
        t->written += (curl_off_t)n;
        weir__transfer_resume(t);
    }
    lua_pushboolean(L, 1);
    return 1;
}

static int writek(lua_State *L, int status, lua_KContext ctx)
{
    weir_exchange *x = check_exchange(L);
    (void)status;
    resumed(L, x, (weir_waiter *)ctx);
    return write_on(L, x);
}

static int write_yieldk(lua_State *L, int status, lua_KContext ctx)
{
    weir_exchange *x = check_exchange(L);
    (void)status;
    (void)ctx;
    x->api->outcome(L);
    check_open(L, x);
    return write_on(L, x);
}

static int exchange_write(lua_State *L)
{
    weir_exchange *x = check_exchange(L);
    if (lua_type(L, 2) != LUA_TSTRING)
        return x->api->raise(L, "misuse", x->op, "the body must come in strings, got %s",
                             luaL_typename(L, 2));
    lua_settop(L, 2);
    check_open(L, x);
    x->taken = 0;
    if (x->api->spend(L))
        return x->api->yield(L, write_yieldk, 0);
    return write_on(L, x);
}

static int exchange_finish(lua_State *L)
{
    weir_exchange *x = check_exchange(L);
    weir_transfer *t = check_open(L, x);
    t->upload_ended = 1;
    if (t->upload_size >= 0 && t->written != t->upload_size && t->is_upload &&
        t->state != TRANSFER_ENDED)
        weir__transfer_fail(t, FAULT_LENGTH, 0);
    else
        weir__transfer_resume(t);
    return 0;
}

/* --- start and end ---------------------------------------------------------------------------- */
static int exchange_close(lua_State *L)
{
    weir_exchange *x = check_exchange(L);
    weir_transfer *t = x->transfer;
    x->transfer = NULL;
    if (t != NULL) {
        if (t->state != TRANSFER_ENDED)
            weir__transfer_abort(t);
        weir__transfer_wake(t, WEIR_CLOSED);
        weir__transfer_release(t);
    }
    return 0;
}

static int exchange_tostring(lua_State *L)
{
    const weir_exchange *x = check_exchange(L);
    lua_pushfstring(L, "%s (%s)", WEIR_HTTP_EXCHANGE, x->transfer != NULL ? "open" : "closed");
    return 1;
}

int weir__client_exchange(lua_State *L)
{
    weir_client *c = weir__check_client(L, 1);
    weir_exchange *x;
    weir_request r;
    uint64_t deadline;
    int code;

    lua_settop(L, 7);
    luaL_checkstack(L, 12, "http request");
    deadline = weir__read_request(L, c, &r);
    r.is_upload = lua_isboolean(L, 5);
    r.upload_size = luaL_optinteger(L, 7, -1);
    lua_getfield(L, 6, "stream");
    r.is_stream = lua_toboolean(L, -1);
    lua_pop(L, 1);
    c->api->enter(L, weir__wait_ops(r.verb)->op); /* in a task, and not cancelled */

    x = lua_newuserdatauv(L, sizeof *x, N_VALUES);
    memset(x, 0, sizeof *x);
    x->api = c->api;
    x->verb = r.verb;
    x->op = weir__wait_ops(r.verb)->op;
    x->deadline = deadline;
    luaL_setmetatable(L, WEIR_HTTP_EXCHANGE);
    for (int i = 1; i <= N_VALUES; i++) {
        lua_pushvalue(L, i);
        lua_setiuservalue(L, -2, i);
    }
    x->transfer = weir__take_transfer(L, c, &r, &code);
    if (x->transfer == NULL)
        return weir__raise_code(L, c, x->op, code);
    x->transfer->exchange = x;
    weir__client_submit(c, x->transfer);
    return 1;
}

void weir__exchange_open(lua_State *L)
{
    static const luaL_Reg methods[] = {{"answer", exchange_answer}, {"read", exchange_read},
                                       {"write", exchange_write},   {"finish", exchange_finish},
                                       {"close", exchange_close},   {NULL, NULL}};
    static const luaL_Reg meta[] = {{"__gc", exchange_close},
                                    {"__close", exchange_close},
                                    {"__tostring", exchange_tostring},
                                    {NULL, NULL}};
    luaL_newmetatable(L, WEIR_HTTP_EXCHANGE);
    luaL_setfuncs(L, meta, 0);
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
}
