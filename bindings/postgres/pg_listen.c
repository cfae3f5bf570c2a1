/* postgres/pg_listen.c - what the server says unasked: notifications, and notices for a handler.
 *
 *   notification(c, timeout) -> {channel, payload, pid}
 *
 * Who waits for a notification does not keep others from using the connection: whatever is read
 * from the socket, for whomever, may hold some. Each goes to the one who has waited longest; one
 * whose taker is cancelled in that moment goes to the next. While nobody waits they queue here.
 * Notices are told when libpq is not on the stack, since a handler may close the connection.
 */
#include "pg.h"
#include <string.h>

struct weir_pg_notice {
    weir_link link;
    size_t size;
    char *fields[6]; /* as names below; NULL for none; in `text` */
    char text[];
};

static const char *const names[] = {"severity", "sqlstate", "message", "detail", "hint", "context"};
static const int codes[] = {PG_DIAG_SEVERITY_NONLOCALIZED, PG_DIAG_SQLSTATE,
                            PG_DIAG_MESSAGE_PRIMARY,       PG_DIAG_MESSAGE_DETAIL,
                            PG_DIAG_MESSAGE_HINT,          PG_DIAG_CONTEXT};

/* --- notifications --------------------------------------------------------------------------- */
static const char *const op = "postgres:notification";

static void wake_next(weir_pg *c)
{
    weir_link *k = weir_list_first(&c->listeners);
    if (k == NULL)
        return;
    weir_link_remove(k);
    c->n_granted++;
    c->api->waiter_settle(c->rt, weir_container(k, weir_waiter, link), WEIR_GRANTED);
}

void weir__pg_take_notes(weir_pg *c)
{
    PGnotify *notify;
    while ((notify = PQnotifies(c->pg)) != NULL) {
        weir_pg_note *n = weir__pg_alloc(c, NULL, 0, sizeof *n);
        if (n == NULL) {
            PQfreemem(notify);
            weir__pg_lose(c, "not enough memory for a notification");
            return;
        }
        weir_link_init(&n->link);
        n->notify = notify;
        weir_list_push(&c->notes, &n->link);
        c->n_notes++;
        wake_next(c);
    }
}

static void note_free(weir_pg *c, weir_pg_note *n)
{
    weir_link_remove(&n->link);
    c->n_notes--;
    PQfreemem(n->notify);
    weir__pg_alloc(c, n, sizeof *n, 0);
}

static void leave(weir_runtime *rt, weir_waiter *w)
{
    weir_pg *c = w->object;
    (void)rt;
    if (weir_link_is_linked(&w->link))
        weir_link_remove(&w->link);
    weir__pg_watch(c);
}

static void refund(weir_runtime *rt, weir_waiter *w)
{
    weir_pg *c = w->object;
    (void)rt;
    c->n_granted--;
    wake_next(c);
}

static const weir_wait_ops listen_ops = {
    .op = "postgres:notification", .leave = leave, .refund = refund};

/* The first that nobody was woken for; after a wake, simply the first. */
static int push_note(lua_State *L, weir_pg *c, uint32_t skip)
{
    weir_link *k = weir_list_first(&c->notes);
    weir_pg_note *n;
    while (skip-- > 0)
        k = weir_list_next(&c->notes, k);
    n = weir_container(k, weir_pg_note, link);
    lua_createtable(L, 0, 3);
    lua_pushstring(L, n->notify->relname);
    lua_setfield(L, -2, "channel");
    lua_pushstring(L, n->notify->extra);
    lua_setfield(L, -2, "payload");
    lua_pushinteger(L, n->notify->be_pid);
    lua_setfield(L, -2, "pid");
    note_free(c, n);
    return 1;
}

static int notifiedk(lua_State *L, int status, lua_KContext ctx)
{
    weir_pg *c = lua_touserdata(L, 1);
    const weir_waiter *w = &c->api->scope(L)->owner->wait;
    (void)status;
    (void)ctx;
    if (w->status == WEIR_CLOSED)
        return weir__pg_raise_fault(L, c, op);
    c->api->outcome(L);
    c->n_granted--;
    return push_note(L, c, 0);
}

static int notification(lua_State *L)
{
    weir_pg *c = weir__pg_check(L, 1);
    weir_waiter *w;
    uint64_t deadline;

    if (c->rt == NULL || c->state >= PG_LOST)
        return weir__pg_raise_fault(L, c, op);
    deadline = c->api->check_timeout(L, 2, op, "timeout");
    lua_settop(L, 1);
    if (c->state == PG_READY && weir__pg_read(c)) /* what has come */
        weir__pg_take_notes(c);
    weir__pg_check_ready(L, c, op);
    if (c->n_notes > c->n_granted)
        return push_note(L, c, c->n_granted);
    w = c->api->enter(L, op);
    c->api->waiter_begin(c->rt, w, &listen_ops, c, deadline);
    weir_list_push(&c->listeners, &w->link);
    weir__pg_watch(c);
    return c->api->park(L, notifiedk, 0);
}

/* --- notices --------------------------------------------------------------------------------- */
/* Called by libpq, in the middle of its work. */
void weir__pg_on_notice(void *data, const PGresult *r)
{
    weir_pg *c = data;
    size_t size = sizeof(weir_pg_notice);
    weir_pg_notice *n;
    char *at;
    const char *severity = PQresultErrorField(r, PG_DIAG_SEVERITY_NONLOCALIZED);

    if (severity != NULL && (strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0)) {
        const char *text = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
        weir__pg_set_fault(c, "network", PQresultErrorField(r, PG_DIAG_SQLSTATE),
                           text != NULL ? text : PQresultErrorMessage(r));
        return;
    }
    if (!c->has_handler)
        return;
    for (int i = 0; i < 6; i++) {
        const char *value = PQresultErrorField(r, codes[i]);
        size += value != NULL ? strlen(value) + 1 : 0;
    }
    n = weir__pg_alloc(c, NULL, 0, size);
    if (n == NULL)
        return; /* a notice is nothing to break a connection for */
    weir_link_init(&n->link);
    n->size = size;
    at = n->text;
    for (int i = 0; i < 6; i++) {
        const char *value = PQresultErrorField(r, codes[i]);
        size_t length = value != NULL ? strlen(value) + 1 : 0;
        n->fields[i] = value != NULL ? memcpy(at, value, length) : NULL;
        at += length;
    }
    weir_list_push(&c->notices, &n->link);
}

static const char known_key = 0; /* registry: connections by address, weak */

void weir__pg_remember(lua_State *L, int index)
{
    index = lua_absindex(L, index);
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &known_key) == LUA_TNIL) {
        lua_pop(L, 1);
        lua_newtable(L);
        lua_createtable(L, 0, 1);
        lua_pushliteral(L, "v");
        lua_setfield(L, -2, "__mode");
        lua_setmetatable(L, -2);
        lua_pushvalue(L, -1);
        lua_rawsetp(L, LUA_REGISTRYINDEX, &known_key);
    }
    lua_pushvalue(L, index);
    lua_rawsetp(L, -2, lua_touserdata(L, index));
    lua_pop(L, 1);
}

/* Protected: the connection's address is the argument. */
static int tell(lua_State *L)
{
    weir_pg *c = lua_touserdata(L, 1);
    weir_link *k;
    lua_rawgetp(L, LUA_REGISTRYINDEX, &known_key);
    if (lua_rawgetp(L, -1, c) != LUA_TUSERDATA) /* from here on it stays alive */
        return 0;
    lua_getiuservalue(L, -1, 1);
    while ((k = weir_list_first(&c->notices)) != NULL) {
        weir_pg_notice *n = weir_container(k, weir_pg_notice, link);
        lua_pushvalue(L, -1);
        lua_createtable(L, 0, 6);
        for (int i = 0; i < 6; i++)
            if (n->fields[i] != NULL) {
                lua_pushstring(L, n->fields[i]);
                lua_setfield(L, -2, names[i]);
            }
        weir_link_remove(&n->link);
        weir__pg_alloc(c, n, n->size, 0);
        lua_call(L, 1, 0);
    }
    return 0;
}

void weir__pg_tell_notices(weir_pg *c)
{
    if (!weir_list_is_empty(&c->notices))
        c->api->protect(c->rt, tell, c);
}

void weir__pg_tell_notices_in(lua_State *L, weir_pg *c)
{
    if (weir_list_is_empty(&c->notices))
        return;
    luaL_checkstack(L, 4, "notices");
    lua_pushcfunction(L, tell);
    lua_pushlightuserdata(L, c);
    if (lua_pcall(L, 1, 0, 0) != LUA_OK)
        c->api->report(L, "error in on_notice", 1);
}

void weir__pg_drop_notes(weir_pg *c)
{
    weir_link *k;
    while ((k = weir_list_first(&c->notes)) != NULL)
        note_free(c, weir_container(k, weir_pg_note, link));
    c->n_granted = 0;
    while ((k = weir_list_first(&c->notices)) != NULL) {
        weir_pg_notice *n = weir_container(k, weir_pg_notice, link);
        weir_link_remove(k);
        weir__pg_alloc(c, n, n->size, 0);
    }
}

const luaL_Reg weir__pg_listen_calls[] = {{"notification", notification}, {NULL, NULL}};
