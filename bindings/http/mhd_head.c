/* http/mhd_head.c - the head of a request: is it well formed, and as a Lua table.
 *
 * libmicrohttpd is lenient where two parsers that read one head differently let a request be
 * smuggled past the first of them. So what it accepted is checked again: one blank between
 * the parts of the first line, every name a token, no value with control characters, one
 * Host that may be one, one Content-Length or one chunked Transfer-Encoding, and the fields
 * it found must be the lines it was sent, one after the other: a folded line or a NUL breaks
 * that chain, because libmicrohttpd moves or cuts such a field. (All of its pointers go into
 * one buffer, from the method to the blank line.)
 * Not checked, because it is not to be seen from here: lines that end in a bare LF, in the
 * head and after the size of a chunk, which RFC 9112 lets a server accept in the former.
 */
#include "mhd.h"

#include <string.h>
#include <strings.h>

#define NAME_MAX_LEN 128

typedef struct head_check {
    const char *end; /* of what was seen so far, before its line break */
    unsigned n_host, n_length, n_encoding;
    int is_bad, is_chunked, expects_other;
    uint64_t length;
} head_check;

typedef struct head_push {
    lua_State *L;
    int table;
} head_push;

int weir__httpd_is_token(const char *s, size_t len)
{
    static const char marks[] = "!#$%&'*+-.^_`|~";
    if (len == 0)
        return 0;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s[i];
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
            continue;
        if (c == '\0' || strchr(marks, c) == NULL)
            return 0;
    }
    return 1;
}

static int is_text(const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return 0;
    }
    return 1;
}

static int is_name(const char *key, size_t len, const char *name)
{
    return len == strlen(name) && strncasecmp(key, name, len) == 0;
}

/* Only what a name, an address and a port are made of: no path, user or list. */
static int is_host(const char *s, size_t len)
{
    static const char marks[] = "-._~%!$&'()*+;=:[]";
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s[i];
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
            continue;
        if (c == '\0' || strchr(marks, c) == NULL)
            return 0;
    }
    return 1;
}

static size_t trim(const char *value, size_t len)
{
    while (len > 0 && (value[len - 1] == ' ' || value[len - 1] == '\t'))
        len--;
    return len;
}

static int to_length(const char *s, size_t len, uint64_t *out)
{
    if (len == 0 || len > 18) /* below 10^18: no overflow */
        return 0;
    *out = 0;
    for (size_t i = 0; i < len; i++) {
        if (s[i] < '0' || s[i] > '9')
            return 0;
        *out = *out * 10 + (uint64_t)(s[i] - '0');
    }
    return 1;
}

int weir__httpd_is_length(const char *s)
{
    uint64_t length;
    return to_length(s, trim(s, strlen(s)), &length);
}

/* `at` is one line break, CRLF or LF, after `end`. */
static int is_next_line(const char *end, const char *at)
{
    return at == end + 1 || at == end + 2;
}

static enum MHD_Result check_field(void *cls, enum MHD_ValueKind kind, const char *key,
                                   size_t key_len, const char *value, size_t value_len)
{
    head_check *h = cls;
    size_t len;
    (void)kind;
    if (value == NULL || !is_next_line(h->end, key) || value <= key || key_len > NAME_MAX_LEN ||
        !weir__httpd_is_token(key, key_len) || !is_text(value, value_len)) {
        h->is_bad = 1;
        return MHD_NO;
    }
    h->end = value + value_len;
    len = trim(value, value_len);
    if (is_name(key, key_len, "host")) {
        h->n_host++;
        if (!is_host(value, len))
            h->is_bad = 1;
    } else if (is_name(key, key_len, "content-length")) {
        h->n_length++;
        if (!to_length(value, len, &h->length))
            h->is_bad = 1;
    } else if (is_name(key, key_len, "transfer-encoding")) {
        h->n_encoding++;
        h->is_chunked = is_name(value, len, "chunked") && len == value_len;
    } else if (is_name(key, key_len, "expect")) {
        h->expects_other |= !is_name(value, len, "100-continue");
    }
    return MHD_YES;
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The path within a target: "/a?b", "http://host/a?b" and "*" alike. */
static const char *find_path(const char *target)
{
    const char *authority;
    if (*target == '/' || (authority = strstr(target, "://")) == NULL ||
        authority > target + strcspn(target, "/?"))
        return target;
    authority += 3;
    return authority + strcspn(authority, "/?");
}

/* No blank, control character or fragment; escapes in the path whole and not NUL. */
static int is_target(const char *target, size_t len)
{
    const char *p = find_path(target);
    if (len == 0)
        return 0;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)target[i];
        if (c <= 0x20 || c == 0x7f || c == '#')
            return 0;
    }
    for (; *p != '\0' && *p != '?'; p++)
        if (*p == '%' && (hex(p[1]) < 0 || hex(p[2]) < 0 || (p[1] == '0' && p[2] == '0')))
            return 0;
    return 1;
}

unsigned weir__httpd_check_head(const httpd_conn *c, const char *version, uint64_t *body_size)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(c->mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    const char *blank = c->method + (info != NULL ? info->header_size : 0);
    head_check h = {.end = version + strlen(version)};
    *body_size = 0;
    if (info == NULL || c->target == NULL)
        return MHD_HTTP_BAD_REQUEST;
    if (info->header_size > c->server->max_header)
        return MHD_HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE;
    if (c->target_at != c->method + strlen(c->method) + 1)
        return MHD_HTTP_BAD_REQUEST;
    if (!weir__httpd_is_token(c->method, strlen(c->method)) || !is_target(c->target, c->target_len))
        return MHD_HTTP_BAD_REQUEST;
    MHD_get_connection_values_n(c->mhd, MHD_HEADER_KIND, check_field, &h);
    /* The last field ends two line breaks before the end of the head. */
    if (h.is_bad || h.end + 2 > blank || h.end + 4 < blank)
        return MHD_HTTP_BAD_REQUEST;
    if (h.n_host > 1 || (h.n_host == 0 && !c->is_1_0) || h.n_length > 1)
        return MHD_HTTP_BAD_REQUEST;
    if (h.n_encoding > 0) {
        if (h.n_encoding > 1 || h.n_length > 0 || c->is_1_0)
            return MHD_HTTP_BAD_REQUEST;
        if (!h.is_chunked)
            return MHD_HTTP_NOT_IMPLEMENTED;
        *body_size = MHD_SIZE_UNKNOWN;
    } else if (h.n_length > 0) {
        *body_size = h.length;
    }
    if (strcmp(c->method, MHD_HTTP_METHOD_CONNECT) == 0) /* this is no proxy */
        return MHD_HTTP_NOT_IMPLEMENTED;
    return h.expects_other ? MHD_HTTP_EXPECTATION_FAILED : 0;
}

/* --- the table ------------------------------------------------------------------------ */

static enum MHD_Result push_field(void *cls, enum MHD_ValueKind kind, const char *key,
                                  size_t key_len, const char *value, size_t value_len)
{
    head_push *p = cls;
    lua_State *L = p->L;
    char name[NAME_MAX_LEN] = "";
    (void)kind;
    for (size_t i = 0; i < key_len; i++)
        name[i] = (char)(key[i] >= 'A' && key[i] <= 'Z' ? key[i] | 0x20 : key[i]);
    lua_pushlstring(L, name, key_len);
    lua_pushvalue(L, -1);
    if (lua_rawget(L, p->table) == LUA_TNIL) {
        lua_pop(L, 1);
        lua_pushlstring(L, value, trim(value, value_len));
    } else { /* a repeated field is one list; of cookies, by their own rule */
        lua_pushstring(L, is_name(name, key_len, "cookie") ? "; " : ", ");
        lua_pushlstring(L, value, trim(value, value_len));
        lua_concat(L, 3);
    }
    lua_rawset(L, p->table);
    return MHD_YES;
}

/* Push s[0..len) with its escapes decoded, those that are none kept. [-0, +1, m] */
static void push_decoded(lua_State *L, const char *s, size_t len, int plus)
{
    const char *end = s + len;
    luaL_Buffer b;
    char *out;
    size_t n = 0;
    if (memchr(s, '%', len) == NULL && (!plus || memchr(s, '+', len) == NULL)) {
        lua_pushlstring(L, s, len);
        return;
    }
    out = luaL_buffinitsize(L, &b, len);
    while (s < end) {
        if (*s == '%' && end - s > 2 && hex(s[1]) >= 0 && hex(s[2]) >= 0) {
            out[n++] = (char)(hex(s[1]) << 4 | hex(s[2]));
            s += 3;
        } else {
            out[n++] = plus && *s == '+' ? ' ' : *s;
            s++;
        }
    }
    luaL_pushresultsize(&b, n);
}

/* Push the table of "a=1&b=2"; of a repeated name the last wins. [-0, +1, m] */
static void push_query(lua_State *L, const char *s, size_t len)
{
    const char *end = s + len;
    lua_newtable(L);
    while (s < end) {
        const char *stop = memchr(s, '&', (size_t)(end - s));
        const char *equals;
        if (stop == NULL)
            stop = end;
        equals = memchr(s, '=', (size_t)(stop - s));
        if (equals == NULL)
            equals = stop;
        if (stop > s) {
            push_decoded(L, s, (size_t)(equals - s), 1);
            push_decoded(L, equals < stop ? equals + 1 : stop,
                         equals < stop ? (size_t)(stop - equals - 1) : 0, 1);
            lua_rawset(L, -3);
        }
        s = stop + 1;
    }
}

void weir__httpd_push_request(lua_State *L, const httpd_conn *c)
{
    const char *path = find_path(c->target);
    const char *mark = strchr(path, '?');
    size_t path_len = mark != NULL ? (size_t)(mark - path) : strlen(path);
    head_push p = {.L = L};
    luaL_checkstack(L, 12, "request");
    lua_createtable(L, 0, 8);
    lua_pushstring(L, c->method);
    lua_setfield(L, -2, "method");
    lua_pushlstring(L, c->target, c->target_len);
    lua_setfield(L, -2, "target");
    if (path_len > 0)
        push_decoded(L, path, path_len, 0);
    else
        lua_pushliteral(L, "/");
    lua_setfield(L, -2, "path");
    if (mark != NULL) {
        push_query(L, mark + 1, strlen(mark + 1));
        lua_setfield(L, -2, "query");
        lua_pushstring(L, mark + 1);
    } else {
        lua_newtable(L);
        lua_setfield(L, -2, "query");
        lua_pushliteral(L, "");
    }
    lua_setfield(L, -2, "query_string");
    lua_createtable(L, 0, 8);
    p.table = lua_gettop(L);
    MHD_get_connection_values_n(c->mhd, MHD_HEADER_KIND, push_field, &p);
    lua_setfield(L, -2, "headers");
    lua_pushlstring(L, c->body != NULL ? c->body : "", c->body_len);
    lua_setfield(L, -2, "body");
    lua_pushstring(L, c->remote);
    lua_setfield(L, -2, "remote");
}
