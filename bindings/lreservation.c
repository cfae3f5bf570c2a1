/* bindings/lreservation.c - what bucket:reserve gives: a place in a bucket's queue without a
 * waiter.
 *
 * The ticket is the core's and stays in the queue when its handle is dropped: a reservation is
 * given up by cancel() or `<close>` alone.
 */
#include <string.h>

#include "context.h"

/* User value 1: the bucket's userdata. */
typedef struct lreservation {
    weir_ticket *ticket; /* NULL before there is one */
} lreservation;

int lbucket_reserve(lua_State *L)
{
    static const char op[] = "bucket:reserve";
    lbucket *b = lbucket_check(L, op);
    double n = lbucket_amount(L, 2, b, op);
    lreservation *r = lua_newuserdatauv(L, sizeof *r, 1);
    r->ticket = NULL;
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, 1);
    lcontext_set_type(L, lbox_here(L), LTYPE_RESERVATION);
    int rc = weir_rate_reserve(&b->rate, n, &r->ticket);
    return rc == 0 ? 1 : lbucket_refused(L, b, rc, n, op);
}

static weir_ticket *check_ticket(lua_State *L, const char *op)
{
    lreservation *r = lcheck_object(L, 1, LTYPE_RESERVATION, op);
    lua_getiuservalue(L, 1, 1);
    lbucket_of(L, -1, op);
    lua_pop(L, 1);
    if (r->ticket == NULL) /* an older finalizer still looks at it */
        lerror_raise(L, "misuse", op, "the reservation was collected");
    return r->ticket;
}

/* reservation:cancel() -> was it given back? Not if it is due already. */
static int reservation_cancel(lua_State *L)
{
    lua_pushboolean(L, weir_ticket_cancel(check_ticket(L, "reservation:cancel")));
    return 1;
}

static int reservation_close(lua_State *L)
{
    weir_ticket_cancel(check_ticket(L, "reservation:close"));
    return 0;
}

static int reservation_gc(lua_State *L)
{
    lreservation *r = lcheck_object(L, 1, LTYPE_RESERVATION, "__gc");
    lua_getiuservalue(L, 1, 1);
    lbucket **b = lua_touserdata(L, -1);
    if (r->ticket != NULL && *b != NULL)
        weir_ticket_free(r->ticket);
    r->ticket = NULL;
    return 0;
}

static int reservation_index(lua_State *L)
{
    static const char *const states[] = {"waiting", "due", "cancelled", "impossible"};
    if (lcontext_push_method(L) != LUA_TNIL)
        return 1;
    const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
    weir_ticket *t = check_ticket(L, "reservation");
    uint64_t delay = weir_ticket_delay(t);
    if (strcmp(key, "delay") == 0)
        lua_pushnumber(L, lbucket_seconds(delay));
    else if (strcmp(key, "n") == 0)
        lua_pushnumber(L, t->n);
    else if (strcmp(key, "state") == 0)
        lua_pushstring(L, states[t->state]);
    else
        return lerror_raise(L, "misuse", "reservation", "no field '%s'", key);
    return 1;
}

static const luaL_Reg methods[] = {{"cancel", reservation_cancel}, {NULL, NULL}};
static const luaL_Reg meta[] = {{"__index", reservation_index},
                                {"__close", reservation_close},
                                {"__gc", reservation_gc},
                                {NULL, NULL}};

void lreservation_open(lua_State *L)
{
    lcontext_new_type(L, LTYPE_RESERVATION, methods, meta);
}
