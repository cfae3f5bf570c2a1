/* http/curl.c - weir.http.curl: the module, and the client as Lua sees it.
 *
 *   client(options, lines) -> client     lines: header lines of every request, or nil
 *   perform, exchange                    see curl_call.c, curl_exchange.c
 *   headers(head) -> table               see curl_answer.c
 *   runtime() -> a key for the current runtime: clients of one cannot be used in another
 *   methods, response                    method tables, to which weir.http adds
 *
 * A client ends with its runtime (at_end), with close, or with its collection, whichever comes
 * first. libcurl's own start and end are counted, once per Lua state.
 */
#include "curl.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define HOUSE "weir.http.curl" /* registry key */
#define DEFAULT_MAX 1024
#define DEFAULT_NAME_TTL (60 * WEIR_SECOND)
#define DEFAULT_CONNECT_TIMEOUT 30000
#define DEFAULT_REDIRECTS 10

static const weir_lua_api *api_of(lua_State *L) /* upvalue 1 */
{
    return lua_touserdata(L, lua_upvalueindex(1));
}

weir_client *weir__check_client(lua_State *L, int index)
{
    return luaL_checkudata(L, index, WEIR_HTTP_CLIENT);
}

/* Descriptors that connections may take: the limit less a reserve for everything else. */
static uint32_t descriptor_bound(void)
{
    struct rlimit limit;
    rlim_t n, reserve;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        return UINT32_MAX;
    n = limit.rlim_cur;
    reserve = n / 4 < 64 ? n / 4 : 64;
    n -= reserve;
    return n < 1 ? 1 : n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
}

static void runtime_ended(void *data)
{
    weir_client *c = data;
    weir__client_close(c);
    c->rt = NULL;
}

static void free_text(weir_client *c, char *text)
{
    if (text != NULL)
        weir__http_alloc(c, text, strlen(text) + 1, 0);
}

static int client_gc(lua_State *L)
{
    weir_client *c = weir__check_client(L, 1);
    if (c->rt != NULL) {
        c->api->at_end(L, c->rt, NULL, c);
        runtime_ended(c);
    }
    c->is_closed = 1;
    for (weir_link *k; (k = weir_list_first(&c->busy)) != NULL;) {
        weir_transfer *t = weir_container(k, weir_transfer, busy);
        if (t->exchange != NULL)
            t->exchange->transfer = NULL;
        weir__transfer_release(t);
    }
    weir__origins_free(c);
    if (weir_link_is_linked(&c->member))
        weir_link_remove(&c->member);
    free_text(c, c->proxy_http);
    free_text(c, c->proxy_https);
    free_text(c, c->no_proxy);
    c->proxy_http = c->proxy_https = c->no_proxy = NULL;
    return 0;
}

static int client_close(lua_State *L)
{
    weir__client_close(weir__check_client(L, 1));
    return 0;
}

static int client_is_open(lua_State *L)
{
    const weir_client *c = weir__check_client(L, 1);
    lua_pushboolean(L, c->rt != NULL && !c->is_closed);
    return 1;
}

static int client_tostring(lua_State *L)
{
    const weir_client *c = weir__check_client(L, 1);
    if (c->rt == NULL || c->is_closed)
        lua_pushliteral(L, WEIR_HTTP_CLIENT " (closed)");
    else
        lua_pushfstring(L, "%s (%d held, %d waiting)", WEIR_HTTP_CLIENT, (int)c->held,
                        (int)c->waiting);
    return 1;
}

static void set_count(lua_State *L, const char *name, uint64_t n)
{
    lua_pushinteger(L, (lua_Integer)n);
    lua_setfield(L, -2, name);
}

static int client_stats(lua_State *L)
{
    const weir_client *c = weir__check_client(L, 1);
    lua_createtable(L, 0, 12);
    set_count(L, "held", c->held);
    set_count(L, "waiting", c->waiting);
    set_count(L, "max", c->max);
    set_count(L, "room", c->room);
    set_count(L, "open", c->n_open);
    set_count(L, "spare", c->n_spare);
    set_count(L, "requests", c->stats.requests);
    set_count(L, "failed", c->stats.failed);
    set_count(L, "redirects", c->stats.redirects);
    set_count(L, "connections", c->stats.connections);
    set_count(L, "lookups", c->stats.lookups);
    lua_createtable(L, 0, 1);
    set_count(L, "overload", c->stats.overload);
    lua_setfield(L, -2, "rejects");
    return 1;
}

/* --- libcurl, and what a Lua state has of it -------------------------------------------------- */
static int curl_end(lua_State *L)
{
    (void)L;
    curl_global_cleanup();
    return 0;
}

/* The list of clients. The first of our objects, so that it is the last to be finalised.
 * [-0, +0, m] */
static void start_curl(lua_State *L)
{
    weir_list *house = lua_newuserdatauv(L, sizeof *house, 0);
    weir_list_init(house);
    lua_pushvalue(L, -1);
    lua_setfield(L, LUA_REGISTRYINDEX, HOUSE);
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, curl_end);
    lua_setfield(L, -2, "__gc");
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0)
        luaL_error(L, "libcurl cannot be started");
    lua_setmetatable(L, -2);
    lua_pop(L, 1);
}

static weir_list *house_of(lua_State *L)
{
    weir_list *house;
    lua_getfield(L, LUA_REGISTRYINDEX, HOUSE);
    house = lua_touserdata(L, -1);
    lua_pop(L, 1);
    return house;
}

/* --- a new client ----------------------------------------------------------------------------- */
static char *copy_env(lua_State *L, weir_client *c, const char *name, const char *other)
{
    const char *value = getenv(name);
    char *copy;
    size_t size;
    if (value == NULL || *value == '\0')
        value = other != NULL ? getenv(other) : NULL;
    if (value == NULL || *value == '\0')
        return NULL;
    size = strlen(value) + 1;
    copy = weir__http_alloc(c, NULL, 0, size);
    if (copy == NULL)
        luaL_error(L, "not enough memory");
    return memcpy(copy, value, size);
}

/* http_proxy counts in lower case only: a CGI server sets HTTP_PROXY from a request header. */
static void read_environment(lua_State *L, weir_client *c)
{
    c->proxy_http = copy_env(L, c, "http_proxy", NULL);
    if (c->proxy_http == NULL)
        c->proxy_http = copy_env(L, c, "all_proxy", "ALL_PROXY");
    c->proxy_https = copy_env(L, c, "https_proxy", "HTTPS_PROXY");
    if (c->proxy_https == NULL)
        c->proxy_https = copy_env(L, c, "all_proxy", "ALL_PROXY");
    c->no_proxy = copy_env(L, c, "no_proxy", "NO_PROXY");
}

/* Seconds of option `name` as ns, or `unless`. */
static uint64_t read_seconds(lua_State *L, weir_client *c, const char *name, uint64_t unless)
{
    uint64_t deadline;
    if (lua_getfield(L, 1, name) != LUA_TNIL) {
        deadline = c->api->check_timeout(L, 1, "http.client", name);
        unless = deadline == WEIR_FOREVER ? WEIR_FOREVER : deadline - c->api->now(c->rt);
    }
    lua_pop(L, 1);
    return unless;
}

static void read_client_options(lua_State *L, weir_client *c)
{
    uint32_t bound = descriptor_bound();
    c->max = weir__read_bound(L, c->api, 1, "http.client", "max", 1, DEFAULT_MAX);
    if (c->max > bound)
        c->max = bound;
    c->room = c->max;
    c->max_per_host = weir__read_bound(L, c->api, 1, "http.client", "max_per_host", 1, UINT32_MAX);
    c->max_waiting = weir__read_bound(L, c->api, 1, "http.client", "max_waiting", 0, UINT32_MAX);
    c->name_ttl = read_seconds(L, c, "dns_ttl", DEFAULT_NAME_TTL);
    c->timeout = read_seconds(L, c, "timeout", WEIR_FOREVER);
    c->base.verify = 1;
    c->base.follow = -1;
    c->base.max_body = WEIR_HTTP_UNSAID;
    c->base.max_redirects = DEFAULT_REDIRECTS;
    c->base.connect_timeout = DEFAULT_CONNECT_TIMEOUT;
    c->base.upload_size = -1;
    weir__read_options(L, c->api, c->rt, 1, "http.client", &c->base);
    if (c->base.proxy == NULL)
        read_environment(L, c);
}

static void describe_ourselves(weir_client *c)
{
    const curl_version_info_data *v = curl_version_info(CURLVERSION_NOW);
    snprintf(c->encodings, sizeof c->encodings, "Accept-Encoding: %s%s%s",
             v->features & CURL_VERSION_LIBZ ? "gzip, deflate" : "identity",
             v->features & CURL_VERSION_BROTLI ? ", br" : "",
             v->features & CURL_VERSION_ZSTD ? ", zstd" : "");
    snprintf(c->standard, sizeof c->standard, "%s\r\n" WEIR_HTTP_AGENT, c->encodings);
}

static int client_new(lua_State *L)
{
    const weir_lua_api *api = api_of(L);
    weir_runtime *rt = api->runtime(L);
    weir_client *c;

    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 2);
    c = lua_newuserdatauv(L, sizeof *c, 2);
    memset(c, 0, sizeof *c);
    c->api = api;
    c->alloc = lua_getallocf(L, &c->alloc_data);
    weir__client_init(c);
    luaL_setmetatable(L, WEIR_HTTP_CLIENT);
    c->house = house_of(L);
    weir_list_push(c->house, &c->member);
    lua_pushvalue(L, 2);
    lua_setiuservalue(L, -2, 1);
    lua_pushvalue(L, 1); /* holds the strings that base points to */
    lua_setiuservalue(L, -2, 2);
    api->at_end(L, rt, runtime_ended, c);
    c->rt = rt;
    read_client_options(L, c);
    describe_ourselves(c);
    return 1;
}

static int runtime_key(lua_State *L)
{
    lua_pushlightuserdata(L, api_of(L)->runtime(L));
    return 1;
}

/* --- the module ------------------------------------------------------------------------------- */
int luaopen_weir_http_curl(lua_State *L);

LUAMOD_API int luaopen_weir_http_curl(lua_State *L)
{
    static const luaL_Reg functions[] = {{"client", client_new},
                                         {"perform", weir__client_perform},
                                         {"exchange", weir__client_exchange},
                                         {"headers", weir__answer_headers},
                                         {"runtime", runtime_key},
                                         {NULL, NULL}};
    static const luaL_Reg methods[] = {{"close", client_close},
                                       {"stats", client_stats},
                                       {"is_open", client_is_open},
                                       {NULL, NULL}};
    static const luaL_Reg meta[] = {{"__gc", client_gc},
                                    {"__close", client_close},
                                    {"__tostring", client_tostring},
                                    {NULL, NULL}};
    const weir_lua_api *api = weir_lua_open(L);

    if (house_of(L) == NULL)
        start_curl(L);
    weir__exchange_open(L);
    luaL_newlibtable(L, functions);
    lua_pushlightuserdata(L, (void *)api);
    luaL_setfuncs(L, functions, 1);

    luaL_newmetatable(L, WEIR_HTTP_CLIENT);
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, "meta");
    luaL_setfuncs(L, meta, 0);
    luaL_newlib(L, methods);
    lua_pushvalue(L, -1);
    lua_setfield(L, -4, "methods");
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);

    luaL_newmetatable(L, WEIR_HTTP_RESPONSE);
    lua_setfield(L, -2, "response");
    return 1;
}
