/* bindings/lstory.c - what is known of a task beside its values: name, site, failures, report.
 *
 * weir never replaces an error that a user raised, so what it knows about one is kept in the
 * extra table of the task (where it failed, under what name) and of the scope that it failed
 * (the list `errors`). The table is made when it is first needed: most tasks never have one.
 */
#include <string.h>

#include "context.h"

/* --- names, sites, extras -------------------------------------------------------------- */

void ltask_push(lua_State *L, ltask *t)
{
    lcontext_push_slot(L, t->ctx, t->slot);
}

static void push_container(lua_State *L, lcontext *ctx, weir_scope *s)
{
    lcontext_push_slot(
        L, ctx, (s->flags & WEIR_SCOPE_TASK) ? ((ltask *)(void *)s)->slot : lscope_of(s)->slot);
}

/* The extra table of the task at the top of the stack (stays); made if missing. */
void ltask_push_extra(lua_State *L, ltask *t)
{
    if (t->has_extra) {
        lua_getiuservalue(L, -1, LTASK_EXTRA);
        return;
    }
    lua_createtable(L, 0, 2);
    lua_getiuservalue(L, -2, LTASK_EXTRA);
    lua_setfield(L, -2, "site");
    lua_pushvalue(L, -1);
    lua_setiuservalue(L, -3, LTASK_EXTRA);
    t->has_extra = 1;
}

void lscope_push_extra(lua_State *L, lcontext *ctx, weir_scope *s)
{
    luaL_checkstack(L, 8, "scope");
    push_container(L, ctx, s);
    if (s->flags & WEIR_SCOPE_TASK) {
        ltask_push_extra(L, (ltask *)(void *)s);
    } else if (lua_getiuservalue(L, -1, LSCOPE_EXTRA) == LUA_TNIL) {
        lua_pop(L, 1);
        lua_newtable(L);
        lua_pushvalue(L, -1);
        lua_setiuservalue(L, -3, LSCOPE_EXTRA);
    }
    lua_remove(L, -2);
}

/* Push field `key` of the task's extra table, nil if there is none. The task is at `index`. */
int ltask_push_field(lua_State *L, int index, ltask *t, const char *key)
{
    if (!t->has_extra) {
        lua_pushnil(L);
        return LUA_TNIL;
    }
    lua_getiuservalue(L, index, LTASK_EXTRA);
    int type = lua_getfield(L, -1, key);
    lua_remove(L, -2);
    return type;
}

void ltask_push_default_name(lua_State *L, ltask *t)
{
    if (t->is_main)
        lua_pushliteral(L, "the main task");
    else
        lua_pushfstring(L, "task %I", (lua_Integer)t->task.id);
}

void ltask_push_name(lua_State *L, ltask *t)
{
    if (t->slot == 0) { /* it ended: nothing anchors it any more */
        ltask_push_default_name(L, t);
        return;
    }
    ltask_push(L, t);
    int type = ltask_push_field(L, lua_gettop(L), t, "name");
    if (type != LUA_TSTRING && t->work != LWORK_NONE && lworks[t->work]->push_name != NULL) {
        lworks[t->work]->push_name(L, t);
        lua_replace(L, -2);
        type = LUA_TSTRING;
    }
    if (type == LUA_TSTRING)
        lua_pushfstring(L, "task '%s'", lua_tostring(L, -1));
    else
        ltask_push_default_name(L, t);
    lua_replace(L, -3);
    lua_pop(L, 1);
}

void ltask_push_site(lua_State *L, ltask *t)
{
    lua_Debug ar;
    assert(t->slot != 0);
    if (t->line == LTASK_BY_HOST) {
        lua_pushliteral(L, "by the host");
        return;
    }
    ltask_push(L, t);
    int index = lua_gettop(L);
    if (!t->has_extra)
        lua_getiuservalue(L, index, LTASK_EXTRA);
    else
        ltask_push_field(L, index, t, "site");
    if (lua_isfunction(L, -1) && lua_getinfo(L, ">S", &ar) && t->line > 0) {
        lua_pushfstring(L, "at %s:%d", ar.short_src, t->line);
    } else {
        lua_settop(L, index);
        lua_pushliteral(L, "at ?");
    }
    lua_remove(L, index);
}

/* --- errors kept beside scopes ----------------------------------------------------------- */

void lscope_add_error(lua_State *L, lcontext *ctx, weir_scope *blamed, int index, ltask *t)
{
    index = lua_absindex(L, index);
    lscope_push_extra(L, ctx, blamed);
    if (lua_getfield(L, -1, "errors") == LUA_TNIL) {
        lua_pop(L, 1);
        lua_newtable(L);
        lua_pushvalue(L, -1);
        lua_setfield(L, -3, "errors");
    }
    lua_createtable(L, 0, 3);
    lua_pushvalue(L, index);
    lua_setfield(L, -2, "error");
    if (t != NULL) {
        ltask_push(L, t);
        ltask_push_field(L, lua_gettop(L), t, "traceback");
        lua_setfield(L, -3, "traceback");
        if (ltask_push_field(L, lua_gettop(L), t, "name") == LUA_TNIL) {
            lua_pop(L, 1);
            ltask_push_default_name(L, t);
        }
        lua_setfield(L, -3, "name");
        lua_pop(L, 1);
    }
    lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
    lua_pop(L, 2);
}

int lscope_push_first_error(lua_State *L, lcontext *ctx, weir_scope *s)
{
    lscope_push_extra(L, ctx, s);
    if (lua_getfield(L, -1, "errors") != LUA_TTABLE) {
        lua_pop(L, 2);
        return 0;
    }
    lua_rawgeti(L, -1, 1);
    lua_getfield(L, -1, "traceback"); /* what the task failed of */
    lua_setfield(L, -4, "traceback");
    lua_getfield(L, -1, "error");
    lua_replace(L, -4);
    lua_pop(L, 2);
    return 1;
}

/* Append the text of the error and the traceback at the top (both popped) to the text below. */
static void append_failure(lua_State *L, const char *before)
{
    lerror_push_text(L, -2);
    if (lua_isstring(L, -2))
        lua_pushfstring(L, "%s%s%s\n%s", lua_tostring(L, -4), before, lua_tostring(L, -1),
                        lua_tostring(L, -2));
    else
        lua_pushfstring(L, "%s%s%s", lua_tostring(L, -4), before, lua_tostring(L, -1));
    lua_replace(L, -5);
    lua_pop(L, 3);
}

void ltask_push_story(lua_State *L, ltask *t, int index)
{
    index = lua_absindex(L, index);
    luaL_checkstack(L, 12, "report");
    lua_pushliteral(L, "");
    ltask_push(L, t);
    int task = lua_gettop(L);
    lua_pushvalue(L, task - 1);
    lua_pushvalue(L, index);
    ltask_push_field(L, task, t, "traceback");
    append_failure(L, "");
    if (ltask_push_field(L, task, t, "errors") == LUA_TTABLE) {
        lua_Integer n = (lua_Integer)lua_rawlen(L, -1);
        for (lua_Integer i = 1; i <= n; i++) {
            lua_rawgeti(L, task + 2, i);
            lua_getfield(L, -1, "error");
            lua_getfield(L, -2, "traceback");
            lua_remove(L, -3);
            if (lua_rawequal(L, -2, index)) {
                lua_pop(L, 2);
                continue;
            }
            lua_pushvalue(L, task + 1);
            lua_insert(L, -3);
            append_failure(L, "\nand beside it: ");
            lua_replace(L, task + 1);
        }
    }
    lua_settop(L, task + 1);
    lua_replace(L, task - 1);
    lua_settop(L, task - 1);
}

/* The error at `index` ended a task that nobody awaits: report it, or let the hook do so. */
void ltask_unhandled(lua_State *L, lcontext *ctx, ltask *t, int index)
{
    index = lua_absindex(L, index);
    if (ctx->on_unhandled != LUA_NOREF) {
        lua_rawgeti(L, LUA_REGISTRYINDEX, ctx->on_unhandled);
        lua_pushvalue(L, index);
        ltask_push(L, t);
        if (lua_pcall(L, 2, 1, 0) == LUA_OK) {
            ctx->n_unhandled += !lua_toboolean(L, -1);
            lua_pop(L, 1);
            return;
        }
        lerror_report(L, ctx, "error in the on_unhandled hook", 1);
    }
    ltask_push_story(L, t, index);
    ltask_push_name(L, t);
    lua_pushfstring(L, "unhandled error in %s", lua_tostring(L, -1));
    const char *what = lua_tostring(L, -1);
    lua_pushvalue(L, -3);
    lerror_report(L, ctx, what, 1);
    lua_pop(L, 3);
}
