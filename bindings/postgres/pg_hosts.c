/* postgres/pg_hosts.c - whom to dial, found the way libpq would, so that no name is left for libpq.
 *
 * libpq looks up names by a call that blocks. It does not if it gets addresses (`hostaddr`); the
 * name beside it (`host`) is then for TLS and .pgpass alone. Which names there are follows from
 * options, URL, environment and service file, in libpq's own order: it is asked by an attempt that
 * cannot begin, for want of a mode of TLS, and has read everything else by then.
 */
#include "pg.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NO_MODE "none-for-weir-asks"

static char *copy(weir_pg *c, char *at, const char *text, const char **out)
{
    size_t n = strlen(text) + 1;
    (void)c;
    memcpy(at, text, n);
    *out = at;
    return at + n;
}

/* Cut the next element of a list at its comma. The last one is found again and again: a single
 * port is for all. */
static const char *cut(char **rest)
{
    char *s = *rest, *comma = strchr(s, ',');
    if (comma != NULL) {
        *comma = '\0';
        *rest = comma + 1;
    }
    return s;
}

static size_t count(const char *list)
{
    size_t n = 1;
    for (; *list != '\0'; list++)
        n += *list == ',';
    return n;
}

static int set_hosts(weir_pg *c, const char *host, const char *hostaddr, const char *port)
{
    weir_pg_dial *d = c->dial;
    const char *texts[3];
    char *rest[3], *at;
    size_t n = count(*hostaddr != '\0' ? hostaddr : host);

    d->names_size = strlen(host) + strlen(hostaddr) + strlen(port) + 3;
    d->names = weir__pg_alloc(c, NULL, 0, d->names_size);
    if (d->names == NULL)
        return WEIR_ENOMEM;
    d->hosts = weir__pg_alloc(c, NULL, 0, n * sizeof *d->hosts);
    if (d->hosts == NULL)
        return WEIR_ENOMEM;
    memset(d->hosts, 0, n * sizeof *d->hosts);
    d->n_hosts = n;
    at = copy(c, d->names, host, &texts[0]);
    at = copy(c, at, hostaddr, &texts[1]);
    copy(c, at, port, &texts[2]);
    for (int i = 0; i < 3; i++)
        rest[i] = d->names + (texts[i] - d->names);
    for (size_t i = 0; i < n; i++) {
        d->hosts[i].c = c;
        d->hosts[i].host = cut(&rest[0]);
        d->hosts[i].hostaddr = cut(&rest[1]);
        d->hosts[i].port = cut(&rest[2]);
    }
    return 0;
}

static const char *value_of(const PQconninfoOption *options, const char *key)
{
    for (; options->keyword != NULL; options++)
        if (strcmp(options->keyword, key) == 0)
            return options->val != NULL ? options->val : "";
    return "";
}

/* Kerberos talks to its own servers, and blocks while it does: only who requires it gets it. */
static void set_gss(weir_pg_dial *d, const PQconninfoOption *options)
{
    if (strcmp(value_of(options, "gssencmode"), "require") != 0) {
        d->keys[d->n] = "gssencmode";
        d->values[d->n++] = "disable";
    }
}

/* What libpq says of a URL that it cannot read ends with the URL, passwords and all. */
static void hide(char *text)
{
    char *rest = strstr(text, ": \"");
    if (rest != NULL && (strstr(rest, "://") != NULL || strstr(text, "token") != NULL))
        *rest = '\0';
    rest = strstr(text, " after \"");
    if (rest != NULL)
        *rest = '\0';
}

const char *weir__pg_find_hosts(weir_pg *c, char *text, size_t size)
{
    weir_pg_dial *d = c->dial;
    PQconninfoOption *options;
    PGconn *probe;
    const char *problem = NULL;
    long each;

    d->keys[d->n] = "password"; /* not looked for in files now */
    d->values[d->n] = "-";
    d->keys[d->n + 1] = "sslmode";
    d->values[d->n + 1] = NO_MODE;
    d->keys[d->n + 2] = NULL;
    probe = PQconnectStartParams(d->keys, d->values, 1);
    if (probe == NULL)
        return "";
    if (strstr(PQerrorMessage(probe), NO_MODE) == NULL) {
        snprintf(text, size, "%.*s", (int)strcspn(PQerrorMessage(probe), "\n"),
                 PQerrorMessage(probe));
        hide(text);
        PQfinish(probe);
        return text;
    }
    options = PQconninfo(probe);
    PQfinish(probe);
    if (options == NULL)
        return "";
    if (set_hosts(c, value_of(options, "host"), value_of(options, "hostaddr"),
                  value_of(options, "port")) != 0)
        problem = "";
    each = strtol(value_of(options, "connect_timeout"), NULL, 10);
    d->each = each <= 0 ? WEIR_FOREVER : (uint64_t)each * WEIR_SECOND;
    set_gss(d, options);
    PQconninfoFree(options);
    return problem;
}

/* --- the lists ------------------------------------------------------------------------------- */
/* Entry after entry: the addresses of a name, or the host as it was given. */
typedef struct entry {
    const char *host, *hostaddr, *port;
} entry;

typedef struct walk {
    const weir_pg_dial *d;
    size_t host;
    unsigned address;
    const char *at;
} walk;

static int next_entry(walk *w, entry *e)
{
    const weir_pg_dial *d = w->d;
    while (w->host < d->n_hosts) {
        const weir_pg_host *h = &d->hosts[w->host];
        int is_name = weir__pg_is_name(h);
        if (w->address == 0)
            w->at = h->addresses;
        if (w->address < (is_name ? h->n : 1)) {
            *e = (entry){h->host, is_name ? w->at : h->hostaddr, h->port};
            w->address++;
            if (is_name)
                w->at += strlen(w->at) + 1;
            return 1;
        }
        w->host++;
        w->address = 0;
    }
    return 0;
}

int weir__pg_is_name(const weir_pg_host *h)
{
    return *h->hostaddr == '\0' && *h->host != '\0' && *h->host != '/' && *h->host != '@';
}

static char *join(char *at, const char *text, int is_first)
{
    size_t n = strlen(text);
    if (!is_first)
        *at++ = ',';
    memcpy(at, text, n);
    return at + n;
}

int weir__pg_list_hosts(weir_pg *c)
{
    weir_pg_dial *d = c->dial;
    size_t size = 3;
    unsigned number = 0;
    entry e;
    char *at, *lists[3];

    for (walk w = {.d = d}; next_entry(&w, &e);)
        size += strlen(e.host) + strlen(e.hostaddr) + strlen(e.port) + 3;
    weir__pg_alloc(c, d->lists, d->lists_size, 0);
    d->lists_size = 0;
    d->lists = weir__pg_alloc(c, NULL, 0, size);
    if (d->lists == NULL)
        return WEIR_ENOMEM;
    d->lists_size = size;
    at = d->lists;
    for (int i = 0; i < 3; i++) {
        lists[i] = at;
        number = 0;
        for (walk w = {.d = d}; next_entry(&w, &e); number++)
            if (number >= d->first)
                at = join(at, i == 0 ? e.host : i == 1 ? e.hostaddr : e.port, number == d->first);
        *at++ = '\0';
    }
    d->n_addresses = number;
    d->keys[d->n] = "host"; /* an empty list counts as not said, and then nothing else says it */
    d->values[d->n] = lists[0];
    d->keys[d->n + 1] = "hostaddr";
    d->values[d->n + 1] =
        lists[1] + (strspn(lists[1], ",") == strlen(lists[1]) ? strlen(lists[1]) : 0);
    d->keys[d->n + 2] = "port";
    d->values[d->n + 2] = lists[2];
    d->keys[d->n + 3] = NULL;
    return 0;
}

unsigned weir__pg_find_current(weir_pg *c, unsigned from)
{
    const char *host = PQhost(c->pg), *hostaddr = PQhostaddr(c->pg), *port = PQport(c->pg);
    unsigned number = 0;
    entry e;
    for (walk w = {.d = c->dial}; next_entry(&w, &e); number++)
        if (number >= from && (*e.hostaddr == '\0' || strcmp(e.hostaddr, hostaddr) == 0) &&
            (*e.host == '\0' || strcmp(e.host, host) == 0) &&
            (*e.port == '\0' || strcmp(e.port, port) == 0))
            return number;
    return from;
}

static int push_keywords(lua_State *L)
{
    lua_newtable(L);
    for (const PQconninfoOption *o = lua_touserdata(L, 1); o->keyword != NULL; o++) {
        lua_pushboolean(L, 1);
        lua_setfield(L, -2, o->keyword);
    }
    return 1;
}

/* keywords() -> the set of libpq's options */
int weir__pg_keywords(lua_State *L)
{
    PQconninfoOption *all = PQconndefaults();
    if (all == NULL)
        return luaL_error(L, "not enough memory");
    lua_pushcfunction(L, push_keywords);
    lua_pushlightuserdata(L, all);
    int rc = lua_pcall(L, 1, 1, 0);
    PQconninfoFree(all);
    return rc == LUA_OK ? 1 : lua_error(L);
}
