/* bindings/lerror.c - error objects, tracebacks, the report of what nobody caught.
 *
 * An error object is a table {kind, message, op, name, reason, cause, others, retry_after,
 * traceback} with a metatable whose __tostring gives the message. Only weir's own errors are
 * such objects: a value that the user raised passes everywhere unchanged, and what weir knows
 * about it is kept beside it, in the task (see lerror_handler).
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "context.h"

static const char meta_key = 0; /* registry key of the metatable */

/* [-0, +1, m] Our own: luaL_traceback searches package.loaded for the name of every frame,
 * which costs microseconds a level; errors are raised by the ten thousand when a scope ends. */
void lerror_push_traceback(lua_State *L, lua_State *of, int level)
{
    enum { HEAD = 12, TAIL = 10 };
    luaL_Buffer b;
    lua_Debug ar;
    int low = level, depth = level + 1; /* a level costs as much as it is deep: bisect */

    luaL_checkstack(L, 20, "traceback");
    while (lua_getstack(of, depth, &ar)) {
        low = depth;
        depth *= 2;
    }
    while (low < depth) {
        int middle = low + (depth - low) / 2;
        if (lua_getstack(of, middle, &ar))
            low = middle + 1;
        else
            depth = middle;
    }
    luaL_buffinit(L, &b);
    luaL_addstring(&b, "stack traceback:");
    for (int i = level; i < depth; i++) {
        if (i == level + HEAD && depth - i > TAIL) {
            lua_pushfstring(L, "\n\t... (%d more)", depth - i - TAIL);
            luaL_addvalue(&b);
            i = depth - TAIL;
        }
        if (!lua_getstack(of, i, &ar) || !lua_getinfo(of, "Sln", &ar))
            break;
        if (*ar.what == 'C' && ar.name == NULL)
            continue; /* weir's trampoline and the like */
        luaL_addstring(&b, "\n\t");
        if (ar.currentline > 0)
            lua_pushfstring(L, "%s:%d: in ", ar.short_src, ar.currentline);
        else
            lua_pushfstring(L, "%s: in ", ar.short_src);
        luaL_addvalue(&b);
        if (ar.name != NULL)
            lua_pushfstring(L, "%s '%s'", *ar.namewhat ? ar.namewhat : "function", ar.name);
        else if (*ar.what == 'm')
            lua_pushliteral(L, "main chunk");
        else
            lua_pushfstring(L, "function <%s:%d>", ar.short_src, ar.linedefined);
        luaL_addvalue(&b);
    }
    luaL_pushresult(&b);
}

void lerror_pushv(lua_State *L, const char *kind, const char *op, const char *fmt, va_list ap)
{
    luaL_checkstack(L, 10, "error");
    lua_createtable(L, 0, 4);
    lua_pushstring(L, kind);
    lua_setfield(L, -2, "kind");
    if (op != NULL) {
        lua_pushstring(L, op);
        lua_setfield(L, -2, "op");
        lua_pushfstring(L, "%s: ", op);
        lua_pushvfstring(L, fmt, ap);
        lua_concat(L, 2);
    } else {
        lua_pushvfstring(L, fmt, ap);
    }
    lua_setfield(L, -2, "message");
    lerror_push_traceback(L, L, 1);
    lua_setfield(L, -2, "traceback");
    lua_rawgetp(L, LUA_REGISTRYINDEX, &meta_key);
    lua_setmetatable(L, -2);
}

void lerror_push(lua_State *L, const char *kind, const char *op, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    lerror_pushv(L, kind, op, fmt, ap);
    va_end(ap);
}

int lerror_raise(lua_State *L, const char *kind, const char *op, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    lerror_pushv(L, kind, op, fmt, ap);
    va_end(ap);
    return lua_error(L);
}

static int is_error(lua_State *L, int index)
{
    if (lua_type(L, index) != LUA_TTABLE || !lua_getmetatable(L, index))
        return 0;
    const void *meta = lua_topointer(L, -1);
    lua_pop(L, 1);
    return meta == lbox_of(L)->error_meta;
}

const char *lerror_kind(lua_State *L, int index)
{
    const char *kind = "error";
    if (!is_error(L, index))
        return kind;
    index = lua_absindex(L, index);
    lua_pushliteral(L, "kind");
    if (lua_rawget(L, index) == LUA_TSTRING)
        kind = lua_tostring(L, -1); /* the table keeps it alive */
    lua_pop(L, 1);
    return kind;
}

int lerror_is_cancelled(lua_State *L, int index)
{
    return strcmp(lerror_kind(L, index), "cancelled") == 0;
}

void lerror_push_reason(lua_State *L, const weir_scope *scope)
{
    const weir_scope *cause = scope->cause;
    if (cause == NULL)
        lua_pushnil(L);
    else if (cause->reason.value != 0)
        lua_rawgeti(L, LUA_REGISTRYINDEX, (lua_Integer)cause->reason.value);
    else
        lua_pushstring(L, cause->reason.text);
}

static int to_text(lua_State *L)
{
    luaL_tolstring(L, 1, NULL);
    return 1;
}

void lerror_push_text(lua_State *L, int index)
{
    index = lua_absindex(L, index);
    luaL_checkstack(L, 4, "text");
    lua_pushcfunction(L, to_text);
    lua_pushvalue(L, index);
    if (lua_pcall(L, 1, 1, 0) != LUA_OK) {
        lua_pop(L, 1);
        lua_pushfstring(L, "(a %s whose __tostring failed)", luaL_typename(L, index));
    }
}

void lerror_push_cancelled(lua_State *L, const char *op, const weir_scope *scope)
{
    lerror_push_reason(L, scope);
    lerror_push_text(L, -1);
    if (lua_isnil(L, -2))
        lerror_push(L, "cancelled", op, "cancelled");
    else
        lerror_push(L, "cancelled", op, "cancelled (%s)", lua_tostring(L, -1));
    lua_pushvalue(L, -3);
    lua_setfield(L, -2, "reason");
    lua_replace(L, -3);
    lua_pop(L, 1);
}

int lerror_callback_handler(lua_State *L)
{
    lua_Debug ar;
    lerror_push_text(L, 1);
    if (lua_getstack(L, 1, &ar)) {
        lerror_push_traceback(L, L, 1);
        lua_pushfstring(L, "%s\n%s", lua_tostring(L, -2), lua_tostring(L, -1));
    }
    return 1;
}

/* [-0, +1, m] The stack of the failure, where the task was spawned and who awaits it, as text. */
enum { MAX_AWAITERS = 10 };

static void push_story(lua_State *L, ltask *t)
{
    lua_Debug ar;
    lerror_push_traceback(L, L, 1);
    if (!t->is_main) {
        ltask_push_name(L, t);
        ltask_push_site(L, t);
        lua_pushfstring(L, "\n%s spawned %s", lua_tostring(L, -2), lua_tostring(L, -1));
        lua_replace(L, -3);
        lua_pop(L, 1);
        lua_concat(L, 2);
    }
    const weir_list *joiners = &t->task.scope.joiners;
    int n = 0;
    for (weir_link *k = weir_list_first(joiners); k != NULL; k = weir_list_next(joiners, k)) {
        if (++n > MAX_AWAITERS) {
            lua_pushliteral(L, "\nawaited by more");
            lua_concat(L, 2);
            break;
        }
        ltask *by = (ltask *)(void *)weir_waiter_task(weir_container(k, weir_waiter, link));
        if (by == NULL || by == t || by->co == NULL || !lua_getstack(by->co, 1, &ar) ||
            !lua_getinfo(by->co, "Sl", &ar))
            continue;
        ltask_push_name(L, by);
        lua_pushfstring(L, "\nawaited by %s at %s:%d", lua_tostring(L, -1), ar.short_src,
                        ar.currentline);
        lua_remove(L, -2);
        lua_concat(L, 2);
    }
}

void lerror_keep_origin(lua_State *L, lcontext *ctx, int error, int origin)
{
    ltask *t = ltask_current(ctx);
    error = lua_absindex(L, error);
    origin = lua_absindex(L, origin);
    if (t == NULL || t->co != L || !lua_isstring(L, origin))
        return;
    luaL_checkstack(L, 10, "traceback");
    lscope_push_extra(L, ctx, &t->task.scope);
    lua_getfield(L, -1, "failed_with");
    if (!lua_rawequal(L, -1, error)) {
        lua_pushvalue(L, error);
        lua_setfield(L, -3, "failed_with");
        push_story(L, t);
        ltask_push_name(L, t);
        const char *frames = strchr(lua_tostring(L, -2), '\n'); /* none, if all are weir's own */
        lua_pushfstring(L, "%s\nraised again in %s%s%s", lua_tostring(L, origin),
                        lua_tostring(L, -1), frames != NULL ? ":" : "",
                        frames != NULL ? frames : "");
        lua_setfield(L, -5, "traceback");
        lua_pop(L, 2);
    }
    lua_pop(L, 2);
}

/* In a handler: did a function of weir.core raise, at the end of a scope or an await? They alone
 * have the box for upvalue, and what they raise of their own is always a new object. */
static int is_raised_again(lua_State *L, const lbox *box)
{
    lua_Debug ar;
    if (!lua_getstack(L, 1, &ar) || !lua_getinfo(L, "f", &ar))
        return 0;
    int is = lua_iscfunction(L, -1) && lua_getupvalue(L, -1, 1) != NULL;
    if (is) {
        is = lua_touserdata(L, -1) == box;
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    return is;
}

/* Called where the error is raised, before the stack is unwound. The same value may come by
 * again further out (a scope raises it again after its join): the first stack is the true one.
 * Equal strings are no sign of that by themselves. */
int lerror_handler(lua_State *L)
{
    lbox *box = lbox_of(L);
    ltask *t = box->current != NULL ? ltask_current(box->current) : NULL;
    if (t == NULL || t->co != L || lerror_is_cancelled(L, 1))
        return 1;
    lscope_push_extra(L, box->current, &t->task.scope);
    lua_getfield(L, -1, "failed_with");
    lua_getfield(L, -2, "traceback");
    if (!is_raised_again(L, box) || lua_isnil(L, -1) || !lua_rawequal(L, -2, 1)) {
        lua_pop(L, 2);
        push_story(L, t);
        lua_setfield(L, -2, "traceback");
        lua_pushvalue(L, 1);
        lua_setfield(L, -2, "failed_with");
    }
    lua_settop(L, 1);
    return 1;
}

/* Protected: list, what, text. */
static int keep_report(lua_State *L)
{
    lua_createtable(L, 0, 2);
    lua_insert(L, 2);
    lua_setfield(L, 2, "text");
    lua_pushstring(L, lua_touserdata(L, 3));
    lua_setfield(L, 2, "what");
    lua_settop(L, 2);
    lua_rawseti(L, 1, (lua_Integer)lua_rawlen(L, 1) + 1);
    return 0;
}

/* The text at the top goes to whoever watches the run: 0 if nobody does, or memory is short. */
static int is_kept(lua_State *L, const lcontext *ctx, const char *what)
{
    if (ctx->reports == LUA_NOREF || !lua_checkstack(L, 8))
        return 0;
    lua_pushcfunction(L, keep_report);
    lua_rawgeti(L, LUA_REGISTRYINDEX, ctx->reports);
    lua_pushlightuserdata(L, (void *)(uintptr_t)what);
    lua_pushvalue(L, -4);
    if (lua_pcall(L, 3, 0, 0) == LUA_OK)
        return 1;
    lua_pop(L, 1);
    return 0;
}

void lerror_report(lua_State *L, lcontext *ctx, const char *what, int fatal)
{
    if (lua_type(L, -1) == LUA_TSTRING)
        lua_pushvalue(L, -1); /* "not enough memory" must need none */
    else
        lerror_push_text(L, -1);
    if (!is_kept(L, ctx, what)) {
        fflush(stdout);
        fprintf(stderr, "weir: %s: %s\n", what, lua_tostring(L, -1));
        fflush(stderr);
    }
    lua_pop(L, 2);
    if (fatal)
        ctx->n_unhandled++;
}

static int error_tostring(lua_State *L)
{
    lua_pushliteral(L, "message");
    if (lua_type(L, 1) == LUA_TTABLE && lua_rawget(L, 1) == LUA_TSTRING)
        return 1;
    lua_pushliteral(L, "weir error");
    return 1;
}

static const char *const kinds[] = {"timeout",    "cancelled", "closed", "overload", "limited",
                                    "impossible", "deadlock",  "open",   "network",  "protocol",
                                    "lost",       "query",     "misuse", NULL};

/* core.error(kind, op, message [, fields]) -> error object */
static int core_error(lua_State *L)
{
    const char *kind = luaL_checkstring(L, 1), *op = luaL_optstring(L, 2, NULL);
    const char *message = luaL_checkstring(L, 3);
    int known = 0;
    for (const char *const *k = kinds; *k != NULL && !known; k++)
        known = strcmp(*k, kind) == 0;
    if (!known)
        return lerror_raise(L, "misuse", "core.error", "unknown kind '%s'", kind);
    lerror_push(L, kind, op, "%s", message);
    if (lua_istable(L, 4)) {
        lua_pushnil(L);
        while (lua_next(L, 4) != 0) {
            lua_pushvalue(L, -2);
            lua_insert(L, -2);
            lua_rawset(L, -4);
        }
    }
    return 1;
}

/* core.misuse(op, format, ...): raises */
static int core_misuse(lua_State *L)
{
    const char *op = luaL_checkstring(L, 1);
    luaL_checkstring(L, 2);
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    lua_getfield(L, -1, "string");
    lua_getfield(L, -1, "format");
    lua_replace(L, -3);
    lua_pop(L, 1);
    lua_insert(L, 2);
    lua_call(L, lua_gettop(L) - 2, 1);
    return lerror_raise(L, "misuse", op, "%s", lua_tostring(L, -1));
}

/* weir.kind(value) -> the kind of any error value */
static int core_kind(lua_State *L)
{
    luaL_checkany(L, 1);
    lua_pushstring(L, lerror_kind(L, 1));
    return 1;
}

static const luaL_Reg functions[] = {
    {"error", core_error}, {"misuse", core_misuse}, {"kind", core_kind}, {NULL, NULL}};

void lerror_open(lua_State *L, lbox *box)
{
    lua_createtable(L, 0, 3);
    lua_pushliteral(L, "weir.error");
    lua_setfield(L, -2, "__name");
    lua_pushcfunction(L, error_tostring);
    lua_setfield(L, -2, "__tostring");
    box->error_meta = lua_topointer(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &meta_key);
    lcontext_set_functions(L, functions);
}
