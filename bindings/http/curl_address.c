/* http/curl_address.c - from a URL to the host that is dialled, and to what may be printed of it.
 *
 * Nearly all URLs are scheme://host[:port]/... in plain letters: those are read here, in one
 * pass. Everything else (user names, IPv6, percent signs, other alphabets) is curl's to read,
 * so that both agree on which host is meant.
 */
#include "curl.h"
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

static int lower(int ch)
{
    return ch >= 'A' && ch <= 'Z' ? ch + 32 : ch;
}

static int has_prefix(const char *s, size_t size, const char *prefix)
{
    size_t n = strlen(prefix);
    if (size < n)
        return 0;
    for (size_t i = 0; i < n; i++)
        if (lower((unsigned char)s[i]) != prefix[i])
            return 0;
    return 1;
}

static int is_host_letter(int ch)
{
    return (ch >= 'a' && ch <= 'z') || (ch >= '0' && ch <= '9') || ch == '-' || ch == '.' ||
           ch == '_';
}

/* 1 if it was read; 0 if it is one for curl. */
static int read_plain(const char *s, size_t size, weir_address *out)
{
    size_t i = 0, n = 0;
    struct in_addr number;
    for (; i < size; i++) {
        int ch = lower((unsigned char)s[i]);
        if (!is_host_letter(ch))
            break;
        if (n == sizeof out->host - 1)
            return 0;
        out->host[n++] = (char)ch;
    }
    if (n == 0 || out->host[n - 1] == '.')
        return 0;
    out->host[n] = '\0';
    if (out->host[0] <= '9' && inet_pton(AF_INET, out->host, &number) != 1)
        return 0; /* may be an address in another shape, 127.1 or 0x7f000001, which curl rewrites */
    if (i < size && s[i] == ':') {
        unsigned port = 0;
        size_t first = ++i;
        for (; i < size && s[i] >= '0' && s[i] <= '9'; i++)
            if ((port = port * 10 + (unsigned)(s[i] - '0')) > 65535)
                return 0;
        if (i == first)
            return 0;
        out->port = port;
    }
    return i == size || s[i] == '/' || s[i] == '?' || s[i] == '#';
}

static const char *read_by_curl(const char *url, unsigned how, unsigned port_flag,
                                weir_address *out)
{
    CURLU *u = curl_url();
    char *host = NULL, *port = NULL;
    const char *problem = NULL;
    unsigned flags = 0;
    CURLUcode rc;
#if LIBCURL_VERSION_NUM >= 0x075800
    flags = CURLU_PUNYCODE;
#endif
    if (u == NULL)
        return "out of memory";
    rc = curl_url_set(u, CURLUPART_URL, url, how);
    if (rc == CURLUE_OK)
        rc = curl_url_get(u, CURLUPART_HOST, &host, flags);
    if (rc == CURLUE_OK)
        rc = curl_url_get(u, CURLUPART_PORT, &port, port_flag);
    if (rc == CURLUE_NO_PORT)
        rc = CURLUE_OK;
    if (rc != CURLUE_OK) {
        problem = curl_url_strerror(rc);
    } else if (strlen(host) >= sizeof out->host) {
        problem = "host name too long";
    } else {
        size_t n = strlen(host);
        for (size_t i = 0; i <= n; i++)
            out->host[i] = (char)lower((unsigned char)host[i]);
        if (port != NULL)
            out->port = (unsigned)strtoul(port, NULL, 10);
    }
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(u);
    return problem;
}

const char *weir__address_parse(const char *url, size_t size, weir_address *out)
{
    size_t skip;
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)url[i] <= ' ' || url[i] == 0x7f)
            return "a space or control character in it";
    if (has_prefix(url, size, "http://")) {
        skip = 7;
        out->secure = 0;
        out->port = 80;
    } else if (has_prefix(url, size, "https://")) {
        skip = 8;
        out->secure = 1;
        out->port = 443;
    } else {
        return memchr(url, ':', size) != NULL ? "the scheme is not http or https"
                                              : "no http:// or https:// in front";
    }
    if (size == skip || strchr("/?#", url[skip]) != NULL) /* curl would skip a third slash */
        return "no host name in it";
    out->is_plain = read_plain(url + skip, size - skip, out);
    if (out->is_plain)
        return NULL;
    return read_by_curl(url, 0, CURLU_DEFAULT_PORT, out);
}

/* Is the scheme of `url`, if it has one, of a proxy that this libcurl knows? It would refuse
 * others when it connects, with a message that shows the whole URL. */
static int is_proxy_scheme(const char *url)
{
    static const char *const known[] = {"http://",    "socks4://", "socks4a://", "socks5://",
                                        "socks5h://", "https://",  NULL};
    size_t size = strlen(url);
    if (strstr(url, "://") == NULL)
        return 1;
    for (const char *const *one = known; *one != NULL; one++)
        if (has_prefix(url, size, *one))
            return strcmp(*one, "https://") != 0 ||
                   (curl_version_info(CURLVERSION_NOW)->features & CURL_VERSION_HTTPS_PROXY) != 0;
    return 0;
}

const char *weir__address_parse_proxy(const char *url, weir_address *out)
{
    if (!is_proxy_scheme(url))
        return "not the scheme of a proxy";
    out->secure = 0;
    out->port = has_prefix(url, strlen(url), "https://") ? 443 : 1080; /* curl's own defaults */
    return read_by_curl(url, CURLU_GUESS_SCHEME | CURLU_NON_SUPPORT_SCHEME, 0, out);
}

/* Are the first `bits` bits of two addresses the same? 0 bits: all of them. */
static int is_same_net(const unsigned char *a, const unsigned char *b, unsigned bits, unsigned all)
{
    if (bits == 0 || bits > all)
        bits = all;
    if (memcmp(a, b, bits / 8) != 0)
        return 0;
    return bits % 8 == 0 || ((a[bits / 8] ^ b[bits / 8]) >> (8 - bits % 8)) == 0;
}

/* A host, a domain with or without its leading dot, an address, or a net in CIDR form. */
static int is_named(const char *token, size_t size, const weir_address *at)
{
    char name[64], host[256];
    unsigned char a[16], b[16];
    size_t n = strlen(at->host);
    char *slash;
    int family = at->host[0] == '[' ? AF_INET6 : AF_INET;

    memcpy(host, at->host, n + 1);
    if (family == AF_INET6) {
        host[n - 1] = '\0';
        memmove(host, host + 1, n - 1);
    }
    if (inet_pton(family, host, a) == 1) {
        unsigned bits = 0;
        if (size >= sizeof name)
            return 0;
        memcpy(name, token, size);
        name[size] = '\0';
        slash = strchr(name, '/');
        if (slash != NULL) {
            *slash = '\0';
            bits = (unsigned)strtoul(slash + 1, NULL, 10);
        }
        return inet_pton(family, name, b) == 1 &&
               is_same_net(a, b, bits, family == AF_INET ? 32 : 128);
    }
    if (*token == '.') {
        token++;
        size--;
    }
    if (size == 0 || size > n || (size < n && host[n - size - 1] != '.'))
        return 0;
    for (size_t i = 0; i < size; i++)
        if (lower((unsigned char)token[i]) != host[n - size + i])
            return 0;
    return 1;
}

int weir__no_proxy(const char *list, const weir_address *at)
{
    if (list == NULL)
        return 0;
    if (strcmp(list, "*") == 0)
        return 1;
    for (const char *p = list + strspn(list, " \t,"); *p != '\0'; p += strspn(p, " \t,")) {
        size_t size = strcspn(p, " \t,");
        if (is_named(p, size, at))
            return 1;
        p += size;
    }
    return 0;
}

/* After the last @ of the authority that begins at `p`, or `p`. */
static const char *skip_user(const char *p, const char *stop)
{
    const char *host = p;
    for (; p < stop && strchr("/?#", *p) == NULL; p++)
        if (*p == '@')
            host = p + 1;
    return host;
}

void weir__url_push(lua_State *L, const char *url, size_t size)
{
    const char *stop = url + size, *start = url, *host;
    for (const char *p = url; stop - p > 3; p++)
        if (memcmp(p, "://", 3) == 0) {
            start = p + 3;
            break;
        }
    host = skip_user(start, stop);
    lua_pushlstring(L, url, (size_t)(start - url));
    lua_pushlstring(L, host, (size_t)(stop - host));
    lua_concat(L, 2);
}

void weir__message_push(lua_State *L, const char *text)
{
    const char *stop = text + strlen(text), *p;
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    while ((p = strstr(text, "://")) != NULL) {
        p += 3;
        luaL_addlstring(&b, text, (size_t)(p - text));
        text = skip_user(p, stop);
    }
    luaL_addstring(&b, text);
    luaL_pushresult(&b);
}
