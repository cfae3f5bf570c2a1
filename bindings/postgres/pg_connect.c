/* postgres/pg_connect.c - from options to an open connection, without blocking and within its time.
 *
 * connect(options) -> connection     one wait: names are looked up, all at once; then libpq dials
 *
 * libpq closes and opens sockets as it goes from address to address, and a new one can have the
 * number of the last: so the poll is made anew for every step. Its connect_timeout is for those
 * who wait inside it, and so ours to keep: an address that took too long is left for the next by
 * a new attempt with those that are left.
 */
#include "pg.h"
#include <stdio.h>
#include <string.h>

enum { OPTIONS = 1 }; /* on the stack, and beneath it what the strings belong to */

/* --- ends ------------------------------------------------------------------------------------ */
void weir__pg_dial_free(weir_pg *c)
{
    weir_pg_dial *d = c->dial;
    if (d == NULL)
        return;
    c->dial = NULL;
    if (c->rt != NULL)
        c->api->timer_unset(c->rt, &d->timer);
    for (size_t i = 0; i < d->n_hosts; i++) {
        if (d->hosts[i].lookup != NULL)
            c->api->resolve_cancel(d->hosts[i].lookup);
        weir__pg_alloc(c, d->hosts[i].addresses, d->hosts[i].size, 0);
    }
    weir__pg_alloc(c, d->hosts, d->n_hosts * sizeof *d->hosts, 0);
    weir__pg_alloc(c, d->names, d->names_size, 0);
    weir__pg_alloc(c, d->lists, d->lists_size, 0);
    weir__pg_alloc(c, d->keys, d->capacity * sizeof *d->keys, 0);
    weir__pg_alloc(c, d->values, d->capacity * sizeof *d->values, 0);
    weir__pg_alloc(c, d, sizeof *d, 0);
}

/* It failed, and the fault says why. */
static void fail(weir_pg *c)
{
    weir__pg_close_poll(c);
    PQfinish(c->pg);
    c->pg = NULL;
    weir__pg_dial_free(c);
    c->state = PG_CLOSED;
    weir__pg_wake(c, WEIR_GRANTED);
}

static void fail_with(weir_pg *c, const char *kind, const char *text)
{
    weir__pg_set_fault(c, kind, NULL, text);
    fail(c);
}

static void succeed(weir_pg *c)
{
    int rc;
    PQsetErrorVerbosity(c->pg, PQERRORS_DEFAULT);
    c->is_buffered = PQsslInUse(c->pg) || PQgssEncInUse(c->pg);
    rc = weir__pg_open_poll(c);
    if (rc == 0 && PQsetnonblocking(c->pg, 1) != 0)
        rc = WEIR_ENOMEM;
    if (rc != 0) {
        fail_with(c, "network", c->api->error_text(rc));
        return;
    }
    weir__pg_dial_free(c);
    weir__pg_clear_fault(c);
    weir__pg_become_ready(c);
}

/* --- dialling -------------------------------------------------------------------------------- */
int weir__pg_dial_events(const weir_pg *c)
{
    return c->dial->wants == PGRES_POLLING_READING ? WEIR_READABLE : WEIR_WRITABLE;
}

/* Whom it tries now; a new one has its full time. */
static void look_where(weir_pg *c)
{
    weir_pg_dial *d = c->dial;
    char where[sizeof d->where];
    const char *host = PQhost(c->pg), *address = PQhostaddr(c->pg), *port = PQport(c->pg);
    snprintf(where, sizeof where, "%s%s%s%s port %s", host, *address ? " (" : "", address,
             *address ? ")" : "", port);
    if (strcmp(where, d->where) == 0)
        return;
    d->current = weir__pg_find_current(c, *d->where != '\0' ? d->current + 1 : d->first);
    memcpy(d->where, where, sizeof where);
    if (d->each != WEIR_FOREVER)
        c->api->timer_set(c->rt, &d->timer, c->api->after(c->rt, d->each));
}

static void step(weir_pg *c)
{
    int rc;
    if (c->dial->wants == PGRES_POLLING_OK) {
        succeed(c);
        return;
    }
    if (c->dial->wants == PGRES_POLLING_FAILED) {
        weir__pg_set_dial_fault(c);
        fail(c);
        return;
    }
    look_where(c);
    rc = weir__pg_open_poll(c);
    if (rc != 0) {
        fail_with(c, "network", c->api->error_text(rc));
        return;
    }
    weir__pg_watch(c);
}

void weir__pg_dial_on(weir_pg *c)
{
    weir__pg_close_poll(c);
    c->dial->wants = PQconnectPoll(c->pg);
    step(c);
    weir__pg_tell_notices(c);
}

static void begin_attempt(weir_pg *c)
{
    weir_pg_dial *d = c->dial;
    if (weir__pg_list_hosts(c) != 0 ||
        (c->pg = PQconnectStartParams(d->keys, d->values, 1)) == NULL) {
        fail_with(c, "network", "not enough memory");
        return;
    }
    PQsetNoticeReceiver(c->pg, weir__pg_on_notice, c);
    PQsetErrorVerbosity(c->pg, PQERRORS_VERBOSE); /* for the sqlstate; see pg_error.c */
    d->wants = PQstatus(c->pg) == CONNECTION_BAD ? PGRES_POLLING_FAILED : PGRES_POLLING_WRITING;
    d->where[0] = '\0';
    step(c);
}

static void too_slow(weir_runtime *rt, weir_timer *timer)
{
    weir_pg_dial *d = weir_container(timer, weir_pg_dial, timer);
    weir_pg *c = d->hosts[0].c;
    char text[sizeof d->where + 64];
    (void)rt;
    if (d->current + 1 >= d->n_addresses) {
        snprintf(text, sizeof text, "no answer from %s within its connect_timeout", d->where);
        fail_with(c, "timeout", text);
        return;
    }
    weir__pg_close_poll(c);
    PQfinish(c->pg);
    c->pg = NULL;
    d->first = d->current + 1;
    begin_attempt(c);
}

/* --- names ----------------------------------------------------------------------------------- */
static void all_known(weir_pg *c)
{
    const weir_pg_dial *d = c->dial;
    char text[512] = "";
    int n_usable = 0;
    for (size_t i = 0; i < d->n_hosts; i++) {
        const weir_pg_host *h = &d->hosts[i];
        if (!weir__pg_is_name(h) || h->n > 0)
            n_usable++;
        else
            snprintf(text, sizeof text, "cannot look up \"%.255s\": %s", h->host,
                     c->api->error_text(h->status));
    }
    if (n_usable > 0)
        begin_attempt(c);
    else
        fail_with(c, "network", text);
}

static void looked_up(void *data, int status, const char *const *list, unsigned n)
{
    weir_pg_host *h = data;
    weir_pg *c = h->c;
    char *at;
    h->lookup = NULL;
    h->status = status;
    for (unsigned i = 0; i < n; i++)
        h->size += strlen(list[i]) + 1;
    if (n > 0)
        h->addresses = weir__pg_alloc(c, NULL, 0, h->size);
    if (n > 0 && h->addresses == NULL) {
        h->size = 0;
        h->status = WEIR_ENOMEM;
        n = 0;
    }
    at = h->addresses;
    for (unsigned i = 0; i < n; i++) {
        size_t size = strlen(list[i]) + 1;
        memcpy(at, list[i], size);
        at += size;
    }
    h->n = n;
    if (--c->dial->n_lookups == 0)
        all_known(c);
}

static int look_up(weir_pg *c)
{
    weir_pg_dial *d = c->dial;
    for (size_t i = 0; i < d->n_hosts; i++) {
        weir_pg_host *h = &d->hosts[i];
        int rc = 0;
        if (weir__pg_is_name(h))
            rc = c->api->resolve_new(c->rt, h->host, looked_up, h, &h->lookup);
        if (rc != 0)
            return rc;
        d->n_lookups += h->lookup != NULL;
    }
    return 0;
}

/* --- Lua ------------------------------------------------------------------------------------- */
static const char *const op = "postgres.connect";

/* The lists of keys and values into the dial. Room for what is added is left. */
static int read_lists(lua_State *L, weir_pg *c)
{
    weir_pg_dial *d = weir__pg_alloc(c, NULL, 0, sizeof *d);
    size_t n;
    if (d == NULL)
        return WEIR_ENOMEM;
    memset(d, 0, sizeof *d);
    c->dial = d;
    c->api->timer_init(&d->timer, too_slow);
    lua_getfield(L, OPTIONS, "keys");
    lua_getfield(L, OPTIONS, "values");
    n = lua_rawlen(L, -1);
    d->keys = weir__pg_alloc(c, NULL, 0, (n + 8) * sizeof *d->keys);
    d->values = d->keys != NULL ? weir__pg_alloc(c, NULL, 0, (n + 8) * sizeof *d->values) : NULL;
    if (d->values == NULL) {
        weir__pg_alloc(c, d->keys, (n + 8) * sizeof *d->keys, 0);
        d->keys = NULL;
        return WEIR_ENOMEM;
    }
    d->capacity = n + 8;
    for (size_t i = 0; i < n; i++) { /* strings: the lists keep them alive */
        lua_rawgeti(L, -2, (lua_Integer)i + 1);
        lua_rawgeti(L, -2, (lua_Integer)i + 1);
        d->keys[i] = lua_tostring(L, -2);
        d->values[i] = lua_tostring(L, -1);
        lua_pop(L, 2);
    }
    d->n = n;
    lua_pop(L, 2);
    return 0;
}

/* A wait for a connection is given up: nothing is left of it but what it was doing. */
void weir__pg_dial_give_up(weir_pg *c)
{
    char text[sizeof c->dial->where + 64];
    if (c->pg == NULL)
        snprintf(text, sizeof text, "timed out while looking up the host name");
    else
        snprintf(text, sizeof text, "timed out while %s %s",
                 PQstatus(c->pg) == CONNECTION_STARTED ? "connecting to" : "waiting for",
                 c->dial->where);
    fail_with(c, "timeout", text);
}

static int connectedk(lua_State *L, int status, lua_KContext ctx)
{
    weir_pg *c = lua_touserdata(L, 2);
    const weir_waiter *w = &c->api->scope(L)->owner->wait;
    (void)status;
    (void)ctx;
    if (w->status != WEIR_TIMEOUT)
        c->api->outcome(L);
    if (c->state != PG_READY)
        return weir__pg_raise_fault(L, c, op);
    weir__pg_tell_notices_in(L, c);
    lua_settop(L, 2);
    return 1;
}

int weir__pg_connect(lua_State *L)
{
    weir_pg *c;
    weir_waiter *w;
    uint64_t deadline;
    char text[512];
    const char *problem;
    int rc;

    lua_settop(L, OPTIONS);
    luaL_checktype(L, OPTIONS, LUA_TTABLE);
    c = weir__pg_new(L);
    deadline = c->api->check_timeout(L, OPTIONS, op, "timeout");
    w = weir__pg_enter(L, c, op);
    rc = read_lists(L, c);
    problem = rc == 0 ? weir__pg_find_hosts(c, text, sizeof text) : "";
    if (problem != NULL && *problem != '\0')
        return c->api->raise(L, "misuse", op, "%s", problem);
    if (problem == NULL)
        rc = look_up(c);
    if (problem != NULL || rc == WEIR_ENOMEM)
        return luaL_error(L, "not enough memory");
    if (rc != 0)
        return c->api->raise(L, rc == WEIR_ENOIO ? "misuse" : "network", op, "%s",
                             c->api->error_text(rc));
    c->op = OP_CONNECT;
    c->deadline = deadline;
    weir__pg_begin(c, w, WANT_OPEN);
    if (c->dial->n_lookups == 0)
        all_known(c); /* may fail at once, and wake us */
    return c->api->park(L, connectedk, 0);
}
