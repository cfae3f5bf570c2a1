/* bindings/lsimulator.c - the simulator for Lua: scripts on virtual time, in chosen orders.
 *
 * Each run has a fresh runtime, which is current in the Lua state while it lasts; objects made
 * in it do not outlive it, objects of another runtime are refused in it. It may be called from
 * plain Lua or from inside a task of another runtime, which stands still meanwhile.
 */
#include <math.h>
#include <string.h>

#include "context.h"

typedef struct lsimulator {
    weir_simulator *sim;
    uint32_t *choices; /* of a REPLAY plan; owned */
    size_t n_choices;
    uint64_t fail_nth, fail_extra, cancel_at;
    int cancel_self;
} lsimulator;

static lsimulator *check(lua_State *L, const char *op)
{
    lsimulator *s = lcheck_object(L, 1, LTYPE_SIMULATOR, op);
    if (s->sim == NULL)
        lerror_raise(L, "closed", op, "closed");
    return s;
}

static int simulator_gc(lua_State *L)
{
    lsimulator *s = lcheck_object(L, 1, LTYPE_SIMULATOR, "__gc");
    weir_simulator_free(s->sim);
    s->sim = NULL;
    return 0;
}

static const char *const plans[] = {"fifo", "seed", "odometer", "replay", NULL};
static const char *const options[] = {"plan", "seed", "choices", NULL};

/* core.simulator{plan=, seed=, choices=} */
static int core_simulator(lua_State *L)
{
    static const char op[] = "core.simulator";
    int plan = 0;
    uint64_t seed = 1;
    lua_settop(L, 1);
    if (lua_isnil(L, 1)) {
        lua_newtable(L);
        lua_replace(L, 1);
    }
    lcheck_options(L, 1, op, options);
    if (lua_getfield(L, 1, "plan") != LUA_TNIL) {
        const char *name = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";
        while (plans[plan] != NULL && strcmp(plans[plan], name) != 0)
            plan++;
        if (plans[plan] == NULL)
            return lcheck_fail(L, op, "plan", "'fifo', 'seed', 'odometer' or 'replay'", -1);
    }
    if (lua_getfield(L, 1, "seed") != LUA_TNIL) {
        if (!lua_isinteger(L, -1))
            return lcheck_fail(L, op, "seed", "an integer", -1);
        seed = (uint64_t)lua_tointeger(L, -1);
    }
    lsimulator *s = lua_newuserdatauv(L, sizeof *s, 1);
    memset(s, 0, sizeof *s);
    lcontext_set_type(L, lbox_here(L), LTYPE_SIMULATOR);
    if (lua_getfield(L, 1, "choices") == LUA_TTABLE) {
        s->n_choices = lua_rawlen(L, -1);
        s->choices = lua_newuserdatauv(L, (s->n_choices + 1) * sizeof *s->choices, 0);
        for (size_t i = 0; i < s->n_choices; i++) {
            lua_rawgeti(L, -2, (lua_Integer)i + 1);
            s->choices[i] = (uint32_t)lua_tointeger(L, -1);
            lua_pop(L, 1);
        }
        lua_setiuservalue(L, -3, 1);
    }
    lua_pop(L, 1);
    s->sim = weir_simulator_new((weir_plan)plan, seed);
    if (s->sim == NULL)
        return luaL_error(L, "not enough memory");
    if (plan == WEIR_PLAN_REPLAY)
        weir_simulator_replay(s->sim, s->choices, s->n_choices);
    return 1;
}

/* Protected: simulator context as light userdata, then the function and its arguments. Leaves
 * ok, then values or the error. */
static int run_main(lua_State *L)
{
    lcontext *ctx = lua_touserdata(L, 1);
    ltask *t = lrun_main(L, ctx, lua_gettop(L) - 2);
    int done = t->task.state == WEIR_TASK_DONE;
    lua_pushboolean(L, done);
    int n = ltask_push_values(L, -2, t);
    if (!done) { /* the traceback, where it is known: its own, or of the child that failed it */
        int task = lua_gettop(L) - n - 1;
        if (ltask_push_field(L, task, t, "traceback") == LUA_TNIL) {
            lua_pop(L, 1);
            if (ltask_push_field(L, task, t, "errors") == LUA_TTABLE) {
                lua_rawgeti(L, -1, 1);
                lua_getfield(L, -1, "traceback");
                lua_replace(L, -3);
                lua_pop(L, 1);
            }
        }
        n++;
    }
    return n + 1;
}

/* simulator:run(fn, ...) -> {ok=, n=, values or error=, traceback=, left=, time=, waits=} */
static int simulator_run(lua_State *L)
{
    static const char op[] = "simulator:run";
    lsimulator *s = check(L, op);
    lbox *box = lbox_of(L);
    lcontext *outer = box->current;
    lcheck_function(L, 2, op, "fn");
    int n = lua_gettop(L) - 2;
    if (outer->simulator == s->sim)
        return lerror_raise(L, "misuse", op, "the simulator is running");
    uint64_t fail_nth = s->fail_nth, cancel_at = s->cancel_at;
    s->fail_nth = s->cancel_at = 0;
    weir_simulator_fail_alloc(s->sim, fail_nth, s->fail_extra);
    lcontext *ctx = lcontext_new(L, box, s->sim);
    ctx->cancel_at = cancel_at;
    ctx->cancel_self = s->cancel_self;
    uint64_t start = weir_now(ctx->rt);
    box->current = ctx;
    lua_pushcfunction(L, run_main);
    lua_pushlightuserdata(L, ctx);
    lua_rotate(L, 2, 2); /* simulator, run_main, context, fn, arguments */
    int ok = lua_pcall(L, n + 2, LUA_MULTRET, 0) == LUA_OK;
    box->current = outer;
    weir_simulator_fail_alloc(s->sim, 0, 0);
    const char *left = weir_runtime_quiesce(ctx->rt);
    double time = lseconds(weir_now(ctx->rt) - start);
    lua_Integer waits = (lua_Integer)ctx->parks;
    lcontext_free(L, ctx);

    /* Stack: simulator, ok, values... or simulator, error */
    if (!ok) {
        lua_pushboolean(L, 0);
        lua_insert(L, 2);
    }
    int values = lua_gettop(L) - 2, done = lua_toboolean(L, 2);
    lua_createtable(L, done ? values : 0, 8);
    int r = lua_gettop(L);
    lua_pushboolean(L, done);
    lua_setfield(L, r, "ok");
    if (done) {
        lua_pushinteger(L, values);
        lua_setfield(L, r, "n");
        for (int i = 1; i <= values; i++) {
            lua_pushvalue(L, 2 + i);
            lua_rawseti(L, r, i);
        }
    } else {
        lua_pushvalue(L, 3);
        lua_setfield(L, r, "error");
        if (values > 1) {
            lua_pushvalue(L, 4);
            lua_setfield(L, r, "traceback");
        }
    }
    lua_pushstring(L, left);
    lua_setfield(L, r, "left");
    lua_pushnumber(L, time);
    lua_setfield(L, r, "time");
    lua_pushinteger(L, waits);
    lua_setfield(L, r, "waits");
    return 1;
}

/* simulator:next() -> false when the odometer has been through every combination */
static int simulator_next(lua_State *L)
{
    lua_pushboolean(L, weir_simulator_next(check(L, "simulator:next")->sim));
    return 1;
}

/* simulator:record() -> the choices of the last run */
static int simulator_record(lua_State *L)
{
    size_t n;
    const uint32_t *record = weir_simulator_record(check(L, "simulator:record")->sim, &n);
    lua_createtable(L, (int)n, 0);
    for (size_t i = 0; i < n; i++) {
        lua_pushinteger(L, record[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

static int simulator_hash(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)weir_simulator_hash(check(L, "simulator:hash")->sim));
    return 1;
}

static int simulator_allocs(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)weir_simulator_allocs(check(L, "simulator:allocs")->sim));
    return 1;
}

/* simulator:fail_alloc(nth [, extra]): in the next run; extra may be math.huge. 0 turns it off. */
static int simulator_fail_alloc(lua_State *L)
{
    lsimulator *s = check(L, "simulator:fail_alloc");
    if (lua_isinteger(L, 2) && lua_tointeger(L, 2) == 0)
        s->fail_nth = 0;
    else
        s->fail_nth = lcheck_count(L, 2, "simulator:fail_alloc", "nth");
    double extra = luaL_optnumber(L, 3, 0);
    s->fail_extra = extra >= 9e15 ? UINT64_MAX : (uint64_t)extra;
    return 0;
}

/* simulator:cancel_at(k, "main" or "self"): at the k-th park of the next run. */
static int simulator_cancel_at(lua_State *L)
{
    lsimulator *s = check(L, "simulator:cancel_at");
    s->cancel_at = lcheck_count(L, 2, "simulator:cancel_at", "k");
    s->cancel_self = strcmp(luaL_optstring(L, 3, "main"), "self") == 0;
    return 0;
}

/* core.watch(list, seconds): in the running simulation. What would be reported on standard error
 * goes to the end of the list, as {what=, text=}; so does who waits in what if the run is not over
 * after so many seconds (what = "timeout"), and all is cancelled then. */
static int core_watch(lua_State *L)
{
    static const char op[] = "core.watch";
    lcontext *ctx = lcontext_here(L);
    luaL_checktype(L, 1, LUA_TTABLE);
    uint64_t seconds = lcheck_seconds(L, 2, op, "seconds");
    if (ctx->simulator == NULL)
        return lerror_raise(L, "misuse", op, "there is no simulation");
    lua_settop(L, 1);
    int list = luaL_ref(L, LUA_REGISTRYINDEX);
    luaL_unref(L, LUA_REGISTRYINDEX, ctx->reports);
    ctx->reports = list;
    ctx->until = weir_after(ctx->rt, seconds);
    return 0;
}

/* core.choose(n) -> 1 .. n: by chance, by the odometer, or 1, as the env answers. */
static int core_choose(lua_State *L)
{
    uint32_t n = lcheck_count(L, 1, "core.choose", "n");
    lua_pushinteger(
        L, 1 + (n < 2 ? 0 : (lua_Integer)weir_choose(lcontext_here(L)->rt, n, WEIR_CHOICE_FAULT)));
    return 1;
}

/* core.random() -> a number from 0 up to 1, by the env's chance. */
static int core_random(lua_State *L)
{
    lua_pushnumber(L, (lua_Number)(weir_random(lcontext_here(L)->rt) >> 11) * 0x1p-53);
    return 1;
}

static const luaL_Reg functions[] = {{"simulator", core_simulator},
                                     {"watch", core_watch},
                                     {"choose", core_choose},
                                     {"random", core_random},
                                     {NULL, NULL}};
static const luaL_Reg methods[] = {{"run", simulator_run},
                                   {"next", simulator_next},
                                   {"record", simulator_record},
                                   {"hash", simulator_hash},
                                   {"allocs", simulator_allocs},
                                   {"fail_alloc", simulator_fail_alloc},
                                   {"cancel_at", simulator_cancel_at},
                                   {NULL, NULL}};
static const luaL_Reg meta[] = {{"__gc", simulator_gc}, {NULL, NULL}};

void lsimulator_open(lua_State *L)
{
    lcontext_set_functions(L, functions);
    lcontext_new_type(L, LTYPE_SIMULATOR, methods, meta);
}
