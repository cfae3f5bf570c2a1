/* bindings/lqueueing.c - core.queueing: the sizing maths of policy/queueing.c for Lua.
 *
 * Checks of arguments and the shape of tables; the maths is the core's. Nothing here waits or
 * needs a task. weir.queueing puts methods on what `wait` gives.
 */
#include <math.h>

#include "context.h"

/* --- numbers ------------------------------------------------------------------------------ */

enum { ZERO_TOO = 1, INFINITE_TOO = 2 };

static double check_number(lua_State *L, int index, const char *op, const char *name, int allow)
{
    static const char *const expected[] = {"a finite number > 0", "a finite number >= 0",
                                           "a number > 0", "a number >= 0"};
    double x = lua_type(L, index) == LUA_TNUMBER ? (double)lua_tonumber(L, index) : -1;
    if (!(x > 0 || (x == 0 && (allow & ZERO_TOO))) || (isinf(x) && !(allow & INFINITE_TOO)))
        lcheck_fail(L, op, name, expected[allow], index);
    return x;
}

/* A share of all: > 0 and at most 1, or below 1. */
static double check_share(lua_State *L, int index, const char *op, const char *name, int one_too)
{
    double x = lua_type(L, index) == LUA_TNUMBER ? (double)lua_tonumber(L, index) : -1;
    if (!(x > 0 && (x < 1 || (x == 1 && one_too))))
        lcheck_fail(L, op, name, one_too ? "a number > 0 and <= 1" : "a number > 0 and < 1", index);
    return x;
}

/* The field `name` of the options at 1, or `otherwise` where there is none. */
static double get_number(lua_State *L, const char *op, const char *name, double otherwise)
{
    double x = otherwise;
    if (lua_getfield(L, 1, name) != LUA_TNIL)
        x = check_number(L, -1, op, name, ZERO_TOO);
    lua_pop(L, 1);
    return x;
}

static double require_number(lua_State *L, const char *op, const char *name)
{
    lua_getfield(L, 1, name);
    double x = check_number(L, -1, op, name, ZERO_TOO);
    lua_pop(L, 1);
    return x;
}

static weir_queueing get_load(lua_State *L, const char *op)
{
    weir_queueing load = {require_number(L, op, "rate"), require_number(L, op, "service"),
                          get_number(L, op, "cv_arrival", 1), get_number(L, op, "cv_service", 1)};
    return load;
}

static void set_number(lua_State *L, const char *name, double x)
{
    lua_pushnumber(L, x);
    lua_setfield(L, -2, name);
}

/* --- functions ------------------------------------------------------------------------------ */

/* core.queueing.little{rate=, time=, n=}: two of them -> the third */
static int queueing_little(lua_State *L)
{
    static const char op[] = "weir.queueing.little";
    static const char *const names[] = {"rate", "time", "n", NULL};
    double x[3] = {0, 0, 0};
    int missing = -1, n_given = 0;
    lua_settop(L, 1);
    lcheck_options(L, 1, op, names);
    for (int i = 0; i < 3; i++) {
        if (lua_getfield(L, 1, names[i]) == LUA_TNIL)
            missing = i;
        else
            n_given++;
        lua_pop(L, 1);
    }
    if (n_given != 2)
        return lerror_raise(L, "misuse", op, "expected two of 'rate', 'time' and 'n', got %d",
                            n_given);
    for (int i = 0; i < 3; i++) {
        if (i == missing)
            continue;
        lua_getfield(L, 1, names[i]); /* what n is divided by must not be 0 */
        x[i] = check_number(L, -1, op, names[i], missing == 2 || i == 2 ? ZERO_TOO : 0);
        lua_pop(L, 1);
    }
    lua_pushnumber(L, missing == 2 ? x[0] * x[1] : x[2] / (missing == 0 ? x[1] : x[0]));
    return 1;
}

/* core.queueing.erlang_b(offered, servers) -> share refused */
static int queueing_erlang_b(lua_State *L)
{
    static const char op[] = "weir.queueing.erlang_b";
    lua_settop(L, 2);
    double offered = check_number(L, 1, op, "offered", ZERO_TOO);
    lua_pushnumber(L, weir_erlang_b(offered, lcheck_count(L, 2, op, "servers")));
    return 1;
}

/* core.queueing.erlang_c(offered, servers) -> share that waits */
static int queueing_erlang_c(lua_State *L)
{
    static const char op[] = "weir.queueing.erlang_c";
    lua_settop(L, 2);
    double offered = check_number(L, 1, op, "offered", ZERO_TOO);
    lua_pushnumber(L, weir_erlang_c(offered, lcheck_count(L, 2, op, "servers")));
    return 1;
}

/* core.queueing.wait{rate=, service=, servers=, cv_arrival=, cv_service=} -> table */
static int queueing_wait(lua_State *L)
{
    static const char op[] = "weir.queueing.wait";
    static const char *const names[] = {"rate",       "service",    "servers",
                                        "cv_arrival", "cv_service", NULL};
    weir_queueing_result r;
    lua_settop(L, 1);
    lcheck_options(L, 1, op, names);
    weir_queueing load = get_load(L, op);
    lua_getfield(L, 1, "servers");
    uint32_t servers = lcheck_count(L, -1, op, "servers");
    int rc = weir_queueing_solve(&load, servers, &r);
    if (rc != 0)
        return lerror_raise(L, weir_error_name(rc), op, "%s", weir_error_text(rc));
    lua_createtable(L, 0, 16);
    lua_pushboolean(L, r.is_stable);
    lua_setfield(L, -2, "stable");
    lua_pushinteger(L, servers);
    lua_setfield(L, -2, "servers");
    set_number(L, "offered", r.offered);
    set_number(L, "utilisation", r.utilisation);
    set_number(L, "probability", r.probability);
    set_number(L, "delay", r.delay);
    set_number(L, "mean", r.mean);
    set_number(L, "p50", weir_queueing_quantile(&r, 0.50));
    set_number(L, "p95", weir_queueing_quantile(&r, 0.95));
    set_number(L, "p99", weir_queueing_quantile(&r, 0.99));
    set_number(L, "queue", r.queue);
    set_number(L, "time", r.time);
    set_number(L, "n", r.n);
    set_number(L, "growth", r.growth);
    return 1;
}

/* The part of the result at 1 that its distribution stands on. */
static weir_queueing_result get_result(lua_State *L, const char *op)
{
    weir_queueing_result r = {0};
    if (lua_type(L, 1) != LUA_TTABLE)
        lcheck_fail(L, op, "self", "what weir.queueing.wait gave", 1);
    lua_getfield(L, 1, "stable");
    r.is_stable = lua_toboolean(L, -1);
    lua_getfield(L, 1, "probability");
    r.probability = check_number(L, -1, op, "probability", ZERO_TOO);
    lua_getfield(L, 1, "delay");
    r.delay = check_number(L, -1, op, "delay", ZERO_TOO | INFINITE_TOO);
    lua_pop(L, 3);
    return r;
}

/* core.queueing.quantile(result, q) -> seconds that a share q waits at most */
static int queueing_quantile(lua_State *L)
{
    static const char op[] = "wait:quantile";
    lua_settop(L, 2);
    weir_queueing_result r = get_result(L, op);
    lua_pushnumber(L, weir_queueing_quantile(&r, check_share(L, 2, op, "q", 0)));
    return 1;
}

/* core.queueing.over(result, seconds) -> share that waits longer */
static int queueing_over(lua_State *L)
{
    static const char op[] = "wait:over";
    lua_settop(L, 2);
    weir_queueing_result r = get_result(L, op);
    double seconds = check_number(L, 2, op, "seconds", ZERO_TOO | INFINITE_TOO);
    lua_pushnumber(L, weir_queueing_over(&r, seconds));
    return 1;
}

/* The target in the options at 1; there must be one. */
static weir_queueing_target get_target(lua_State *L, const char *op)
{
    weir_queueing_target t = WEIR_QUEUEING_STABLE;
    int n_given = 0, top = lua_gettop(L);
    if (lua_getfield(L, 1, "target_wait") != LUA_TNIL) {
        t.wait = check_number(L, -1, op, "target_wait", ZERO_TOO);
        n_given++;
    }
    if (lua_getfield(L, 1, "quantile") != LUA_TNIL) {
        t.quantile = check_share(L, -1, op, "quantile", 0);
        if (n_given == 0)
            lerror_raise(L, "misuse", op, "'quantile' is that of 'target_wait', which is missing");
    }
    if (lua_getfield(L, 1, "target_mean") != LUA_TNIL) {
        t.mean = check_number(L, -1, op, "target_mean", 0);
        n_given++;
    }
    if (lua_getfield(L, 1, "target_utilisation") != LUA_TNIL) {
        t.utilisation = check_share(L, -1, op, "target_utilisation", 1);
        n_given++;
    }
    if (lua_getfield(L, 1, "target_probability") != LUA_TNIL) {
        t.probability = check_share(L, -1, op, "target_probability", 1);
        n_given++;
    }
    if (n_given == 0)
        lerror_raise(L, "misuse", op,
                     "expected a target: 'target_wait', 'target_mean', 'target_utilisation' or "
                     "'target_probability'");
    lua_settop(L, top);
    return t;
}

/* core.queueing.servers{rate=, service=, target_wait=, quantile= ...} -> integer */
static int queueing_servers(lua_State *L)
{
    static const char op[] = "weir.queueing.servers";
    /* clang-format off */
    static const char *const names[] = {
        "rate", "service", "cv_arrival", "cv_service", "target_wait", "quantile", "target_mean",
        "target_utilisation", "target_probability", "max", NULL};
    /* clang-format on */
    uint32_t max = UINT32_MAX - 1, servers = 0;
    lua_settop(L, 1);
    lcheck_options(L, 1, op, names);
    weir_queueing load = get_load(L, op);
    weir_queueing_target target = get_target(L, op);
    if (lua_getfield(L, 1, "max") != LUA_TNIL)
        max = lcheck_count(L, -1, op, "max");
    int rc = weir_queueing_servers(&load, &target, max, &servers);
    if (rc == WEIR_EIMPOSSIBLE)
        return lerror_raise(L, "impossible", op, "%I servers do not meet the target",
                            (LUAI_UACINT)max);
    if (rc != 0)
        return lerror_raise(L, weir_error_name(rc), op, "%s", weir_error_text(rc));
    lua_pushinteger(L, servers);
    return 1;
}

static const luaL_Reg functions[] = {
    {"little", queueing_little},     {"erlang_b", queueing_erlang_b},
    {"erlang_c", queueing_erlang_c}, {"wait", queueing_wait},
    {"quantile", queueing_quantile}, {"over", queueing_over},
    {"servers", queueing_servers},   {NULL, NULL}};

void lqueueing_open(lua_State *L)
{
    lua_newtable(L);
    lcontext_set_functions(L, functions);
    lua_setfield(L, -2, "queueing");
}
