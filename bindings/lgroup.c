/* bindings/lgroup.c - the groups of a batch: what gathers, the task that answers, the parts.
 *
 * A group is userdata that is anchored while it has requests, so that who waits, the batch and
 * the core's hooks, which know no Lua, find it. The function gets the keys of those that
 * somebody still waits for, in the order they came; the part of a request is its number there.
 */
#include <string.h>

#include "lbatch.h"

/* --- references ----------------------------------------------------------------------- */

static void unref(lgroup *g)
{
    lcontext *ctx = g->ctx;
    if (--g->refs > 0)
        return;
    weir_alloc(ctx->rt, g->request, g->room * sizeof(lrequest *), 0);
    g->request = NULL;
    int slot = g->slot;
    g->slot = 0;
    lcontext_unanchor(ctx->from, ctx, slot); /* `g` may be collected from here on */
}

static void free_request(weir_flight *f)
{
    lrequest *r = (lrequest *)(void *)f;
    lgroup *g = r->group;
    weir_alloc(g->ctx->rt, r, sizeof *r, 0);
    unref(g);
}

static const char *name(const weir_flight *f)
{
    const weir_group *g = ((const weir_request *)(const void *)f)->group;
    return g != NULL ? g->of->name : NULL;
}

static const weir_wait_ops wait_ops = WEIR_FLIGHT_WAIT("batch");
static const weir_flight_ops flight_ops = {NULL, free_request, NULL, name, &wait_ops};

static void dropped(weir_batch *b, weir_request *request)
{
    const lrequest *r = (lrequest *)(void *)request;
    (void)b;
    r->group->request[r->place] = NULL;
}

/* --- gathering ------------------------------------------------------------------------ */

lgroup *lgroup_push(lua_State *L, lbatch *b)
{
    lcontext *ctx = b->ctx;
    if (b->batch.gathering != NULL) {
        lgroup *g = b->batch.gathering->data;
        lcontext_push_slot(L, ctx, g->slot);
        return g;
    }
    lgroup *g = lua_newuserdatauv(L, sizeof *g, LGROUP_USER - 1);
    *g = (lgroup){.ctx = ctx};
    lua_newtable(L);
    lua_setiuservalue(L, -2, LGROUP_KEYS);
    lua_newtable(L);
    lua_setiuservalue(L, -2, LGROUP_PLACES);
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, LGROUP_BATCH);
    return g;
}

lrequest *lgroup_find(lua_State *L, int index, int id)
{
    const lgroup *g = lua_touserdata(L, index);
    lua_getiuservalue(L, index, LGROUP_PLACES);
    lua_pushvalue(L, id);
    lua_rawget(L, -2);
    lua_Integer place = lua_tointeger(L, -1);
    lua_pop(L, 2);
    return place == 0 ? NULL : g->request[place - 1];
}

/* Room for one request more. 0 if memory is short. */
static int widen(lgroup *g)
{
    uint32_t room = g->room == 0 ? 16 : g->room * 2;
    if (g->n < g->room)
        return 1;
    lrequest **p = weir_alloc(g->ctx->rt, g->request, g->room * sizeof *p, room * sizeof *p);
    if (p == NULL)
        return 0;
    g->request = p;
    g->room = room;
    return 1;
}

/* Set the place of the identity at `id` to the number, or nil, at the top (popped). */
static void set_place(lua_State *L, int index, int id)
{
    lua_getiuservalue(L, index, LGROUP_PLACES);
    lua_pushvalue(L, id);
    lua_pushvalue(L, -3);
    lua_rawset(L, -3);
    lua_pop(L, 2);
}

int lgroup_add(lua_State *L, lbatch *b, int index, int key, int id, lrequest **out)
{
    lcontext *ctx = b->ctx;
    lgroup *g = lua_touserdata(L, index);
    lua_getiuservalue(L, index, LGROUP_KEYS);
    lua_pushvalue(L, key);
    lua_rawseti(L, -2, (lua_Integer)g->n + 1);
    lua_pop(L, 1);
    lua_pushinteger(L, (lua_Integer)g->n + 1);
    set_place(L, index, id);
    int slot = 0;
    if (g->slot == 0) { /* its first */
        lua_pushvalue(L, index);
        slot = lcontext_anchor(L, ctx);
        lua_pop(L, 1);
    }
    /* Nothing raises from here on but the last line of a failure, which allocates nothing. */
    lrequest *r = widen(g) ? weir_alloc(ctx->rt, NULL, 0, sizeof *r) : NULL;
    int rc = WEIR_ENOMEM;
    if (r != NULL) {
        *r = (lrequest){.group = g, .place = g->n};
        rc = weir_batch_add(&b->batch, &r->request);
    }
    if (rc != 0) {
        if (r != NULL)
            weir_alloc(ctx->rt, r, sizeof *r, 0);
        if (slot != 0) {
            weir_alloc(ctx->rt, g->request, g->room * sizeof(lrequest *), 0);
            *g = (lgroup){.ctx = ctx};
            lcontext_unanchor(L, ctx, slot);
        }
        lua_pushnil(L);
        set_place(L, index, id);
        return rc;
    }
    if (slot != 0)
        g->slot = slot;
    r->request.group->data = g;
    g->request[g->n++] = r;
    g->refs++;
    *out = r;
    return 0;
}

/* --- the work ------------------------------------------------------------------------- */

struct spawn {
    weir_group *group;
    lgroup *g;
    int rc;
};

/* [-0, +1, m] The keys of the requests that are left, which get their numbers. */
static void push_keys(lua_State *L, int index, const weir_group *group)
{
    uint32_t n = 0;
    lua_getiuservalue(L, index, LGROUP_KEYS);
    const lgroup *g = lua_touserdata(L, index);
    lua_pushnil(L); /* a key that was refused may still stand behind the last */
    lua_rawseti(L, -2, (lua_Integer)g->n + 1);
    if (group->n == g->n) /* all of them: the table itself */
        return;
    lua_createtable(L, (int)group->n, 0);
    for (weir_link *k = weir_list_first(&group->requests); k != NULL;
         k = weir_list_next(&group->requests, k)) {
        lrequest *r = (lrequest *)(void *)weir_container(k, weir_request, link);
        lua_rawgeti(L, -2, (lua_Integer)r->place + 1);
        lua_rawseti(L, -2, ++n);
    }
}

/* Protected: the task of a group. */
static int spawn_task(lua_State *L)
{
    struct spawn *s = lua_touserdata(L, 1);
    lcontext *ctx = s->g->ctx;
    lcontext_push_slot(L, ctx, s->g->slot); /* 2: the group */
    lua_getiuservalue(L, 2, LGROUP_BATCH);
    lua_getiuservalue(L, 3, LBATCH_FN);
    push_keys(L, 2, s->group);
    lua_replace(L, 3);
    lua_settop(L, 4); /* group, keys, function */
    lua_insert(L, 3);
    s->rc = lflight_spawn(L, ctx, 1, 2);
    if (s->rc != 0)
        return 0;
    ltask *t = lua_touserdata(L, -1);
    t->work = LWORK_GROUP;
    t->object = s->group;
    s->group->worker = &t->task;
    lua_setiuservalue(L, 2, LGROUP_TASK);
    return 0;
}

static void end(weir_group *group, weir_flight_state state, intptr_t code)
{
    lgroup *g = group->data;
    uint32_t part = 0;
    for (weir_link *k; (k = weir_list_first(&group->requests)) != NULL;) {
        lrequest *r = (lrequest *)(void *)weir_container(k, weir_request, link);
        part++;
        weir_request_land(&r->request, r->failed ? WEIR_FLIGHT_FAILED : state,
                          code != 0 ? code : (intptr_t)part);
    }
    weir_group_landed(group);
    unref(g);
}

static void flush(weir_batch *b, weir_group *group)
{
    lgroup *g = group->data;
    lua_State *L = g->ctx->from;
    struct spawn s = {group, g, WEIR_ENOMEM};
    (void)b;
    g->refs++;
    if (lua_checkstack(L, 4)) {
        lua_pushcfunction(L, spawn_task);
        lua_pushlightuserdata(L, &s);
        if (lua_pcall(L, 1, 0, 0) != LUA_OK)
            lua_pop(L, 1);
    }
    if (s.rc != 0)
        end(group, WEIR_FLIGHT_FAILED, s.rc);
}

static void abandon(weir_batch *b, weir_group *group)
{
    (void)b;
    lflight_stop(((lgroup *)group->data)->ctx, group->worker);
}

const weir_batch_ops lgroup_ops = {flush, abandon, dropped, &flight_ops};

static weir_task_state conclude(lua_State *L, ltask *t, weir_task_state state, int first)
{
    weir_group *group = t->object;
    luaL_checkstack(L, 16, "batch");
    if (state == WEIR_TASK_DONE) {
        lua_settop(L, first + 1); /* values, errors */
        lflight_check_parts(L, first, group->n, "batch", group->of->name);
        int some_failed = lua_istable(L, first + 1);
        uint32_t part = 0;
        for (weir_link *k = weir_list_first(&group->requests); k != NULL && some_failed;
             k = weir_list_next(&group->requests, k)) {
            lrequest *r = (lrequest *)(void *)weir_container(k, weir_request, link);
            r->failed = lua_rawgeti(L, first + 1, ++part) != LUA_TNIL;
            lua_pop(L, 1);
        }
    }
    lua_settop(L, first);
    return state;
}

static void ended(ltask *t)
{
    end(t->object, t->outcome == WEIR_TASK_DONE ? WEIR_FLIGHT_LANDED : WEIR_FLIGHT_FAILED, 0);
}

static void push_name(lua_State *L, const ltask *t)
{
    const weir_group *group = t->object;
    const char *of = group->of->name;
    lua_pushfstring(L, "%s: call for %I key%s", of != NULL ? of : "batch", (lua_Integer)group->n,
                    group->n == 1 ? "" : "s");
}

const lwork lgroup_work = {conclude, ended, push_name};

void lgroup_push_task(lua_State *L, int index)
{
    lua_getiuservalue(L, index, LGROUP_TASK);
}
