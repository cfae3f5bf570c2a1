/* bindings/lpool_options.c - the options of weir.pool, each checked before anything is made.
 *
 * One table says what there is, of which kind, and where the core wants it; what it says nothing
 * of is functions, words, and what has a meaning only together with something else.
 */
#include <stddef.h>
#include <string.h>

#include "lpool.h"

static const char op[] = "weir.pool";

typedef enum okind {
    OKIND_COUNT,   /* an integer > 0 */
    OKIND_NATURAL, /* an integer >= 0 */
    OKIND_BOUND,   /* an integer > 0, inf is none */
    OKIND_LEVEL,   /* an integer >= 0, inf is none */
    OKIND_SECONDS, /* >= 0, inf is never */
    OKIND_TIME,    /* > 0, inf is never */
    OKIND_SHARE    /* 0 .. 1 */
} okind;

#define AT(field) offsetof(weir_pool_options, field)
#define WITH_CHECK 1
#define WITH_DESTROY 2

static const struct option {
    const char *name;
    size_t at;
    uint8_t kind, needs;
} numbers[] = {
    {"max", AT(max), OKIND_COUNT, 0},
    {"min", AT(min), OKIND_NATURAL, 0},
    {"max_waiting", AT(max_waiting), OKIND_LEVEL, 0},
    {"max_uses", AT(max_uses), OKIND_BOUND, 0},
    {"max_dials", AT(max_dials), OKIND_BOUND, 0},
    {"open_after", AT(open_after), OKIND_LEVEL, 0},
    {"create_timeout", AT(create_timeout), OKIND_TIME, 0},
    {"check_timeout", AT(check_timeout), OKIND_TIME, WITH_CHECK},
    {"destroy_timeout", AT(destroy_timeout), OKIND_TIME, WITH_DESTROY},
    {"check_idle", AT(check_idle), OKIND_SECONDS, WITH_CHECK},
    {"keep_alive", AT(keep_alive), OKIND_TIME, WITH_CHECK},
    {"idle_timeout", AT(idle_timeout), OKIND_TIME, 0},
    {"max_lifetime", AT(max_lifetime), OKIND_TIME, 0},
    {"dial_stagger", AT(dial_stagger), OKIND_SECONDS, 0},
    {"backoff", AT(backoff), OKIND_TIME, 0},
    {"max_backoff", AT(max_backoff), OKIND_TIME, 0},
    {"leak_after", AT(leak_after), OKIND_TIME, 0},
    {"jitter", AT(jitter), OKIND_SHARE, 0},
    {"shed", AT(shed), OKIND_SHARE, 0},
};

static const char *const known[] = {"create",
                                    "destroy",
                                    "check",
                                    "max",
                                    "min",
                                    "name",
                                    "order",
                                    "acquire_timeout",
                                    "create_timeout",
                                    "check_timeout",
                                    "destroy_timeout",
                                    "idle_timeout",
                                    "max_lifetime",
                                    "jitter",
                                    "max_uses",
                                    "keep_alive",
                                    "check_idle",
                                    "dial_stagger",
                                    "max_dials",
                                    "open_after",
                                    "backoff",
                                    "max_backoff",
                                    "max_waiting",
                                    "shed",
                                    "leak_after",
                                    "on_leak",
                                    NULL};

/* An integer >= 0 at the top. */
static uint32_t check_natural(lua_State *L, const char *name)
{
    int is = 0;
    if (lua_type(L, -1) == LUA_TNUMBER && lua_tointegerx(L, -1, &is) == 0 && is)
        return 0;
    if (lua_type(L, -1) != LUA_TNUMBER || !lua_isinteger(L, -1) || lua_tointeger(L, -1) < 0)
        lcheck_fail(L, op, name, "an integer >= 0", -1);
    return lcheck_count(L, -1, op, name);
}

static double check_share(lua_State *L, const char *name)
{
    double x = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : -1;
    if (!(x >= 0 && x <= 1))
        lcheck_fail(L, op, name, "a number from 0 to 1", -1);
    return x;
}

static void read_number(lua_State *L, const struct option *o, weir_pool_options *out)
{
    void *at = (char *)out + o->at;
    uint64_t ns;
    switch ((okind)o->kind) {
    case OKIND_COUNT:
        *(uint32_t *)at = lcheck_count(L, -1, op, o->name);
        break;
    case OKIND_NATURAL:
        *(uint32_t *)at = check_natural(L, o->name);
        break;
    case OKIND_BOUND:
        *(uint32_t *)at = lcheck_bound_at(L, -1, op, o->name, 1);
        break;
    case OKIND_LEVEL:
        *(uint32_t *)at = lcheck_bound_at(L, -1, op, o->name, 0);
        break;
    case OKIND_SHARE:
        *(double *)at = check_share(L, o->name);
        break;
    default:
        ns = lcheck_seconds(L, -1, op, o->name);
        if (ns == 0 && o->kind == OKIND_TIME)
            lcheck_fail(L, op, o->name, "a number of seconds > 0", -1);
        *(uint64_t *)at = ns;
    }
}

/* Is there a function at field `name` of the table at 1? */
static int check_callback(lua_State *L, const char *name)
{
    int is = lua_getfield(L, 1, name) != LUA_TNIL;
    if (is)
        lcheck_function(L, -1, op, name);
    lua_pop(L, 1);
    return is;
}

static void check_order(lua_State *L, weir_pool_options *out)
{
    if (lua_getfield(L, 1, "order") != LUA_TNIL) {
        const char *order = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";
        if (strcmp(order, "lifo") != 0 && strcmp(order, "fifo") != 0)
            lcheck_fail(L, op, "order", "\"lifo\" or \"fifo\"", -1);
        out->lifo = *order == 'l';
    }
    lua_pop(L, 1);
}

/* `name` makes no sense without `other`. */
static void needs(lua_State *L, const char *name, const char *other)
{
    lerror_raise(L, "misuse", op, "'%s' needs '%s'", name, other);
}

static void check_bounds(lua_State *L, const char *of, uint32_t min, uint32_t max)
{
    if (min > max)
        lerror_raise(L, "misuse", of, "'min' must be at most 'max' (%I), got %I", (lua_Integer)max,
                     (lua_Integer)min);
}

void lpool_check_options(lua_State *L, lpool_options *out)
{
    weir_pool_options *o = &out->core;
    *out = (lpool_options){.core = weir_pool_defaults(), .acquire_timeout = 30 * WEIR_SECOND};
    lua_settop(L, 1);
    lua_pushnil(L);
    lcheck_options(L, 1, op, known);
    if (!check_callback(L, "create"))
        lerror_raise(L, "misuse", op, "'create' must be a function, got nothing");
    int has_check = check_callback(L, "check"), has_destroy = check_callback(L, "destroy");
    uint64_t backoff = o->backoff;
    out->has_check = has_check;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        if (lua_getfield(L, 1, numbers[i].name) != LUA_TNIL) {
            read_number(L, &numbers[i], o);
            if (numbers[i].needs == WITH_CHECK && !has_check)
                needs(L, numbers[i].name, "check");
            if (numbers[i].needs == WITH_DESTROY && !has_destroy)
                needs(L, numbers[i].name, "destroy");
        }
        lua_pop(L, 1);
    }
    check_bounds(L, op, o->min, o->max);
    if (o->max_waiting == 0 && o->min == 0)
        lerror_raise(L, "misuse", op,
                     "'max_waiting' of 0 needs a 'min': where nobody may wait, nothing else is "
                     "ever made");
    if (o->max_backoff < o->backoff) {
        if (o->backoff == backoff)
            o->backoff = o->max_backoff; /* only the bound was given */
        else if (lua_getfield(L, 1, "max_backoff") == LUA_TNIL)
            o->max_backoff = o->backoff; /* only what it bounds was */
        else
            lerror_raise(L, "misuse", op, "'max_backoff' must be at least 'backoff'");
    }
    check_order(L, o);
    if (check_callback(L, "on_leak") && o->leak_after == WEIR_FOREVER)
        needs(L, "on_leak", "leak_after");
    if (lua_getfield(L, 1, "acquire_timeout") != LUA_TNIL)
        out->acquire_timeout = lcheck_seconds(L, -1, op, "acquire_timeout");
    if (lua_getfield(L, 1, "name") != LUA_TNIL) {
        if (lua_type(L, -1) != LUA_TSTRING)
            lcheck_fail(L, op, "name", "a string", -1);
        out->name = lua_tostring(L, -1);
    }
    lua_replace(L, 2);
    lua_settop(L, 2);
}

void lpool_check_bounds(lua_State *L, int index, const char *of, uint32_t *min, uint32_t *max)
{
    static const char *const bounds[] = {"min", "max", NULL};
    int top = lua_gettop(L), n_given = 0;
    lcheck_options(L, index, of, bounds);
    if (lua_getfield(L, index, "min") != LUA_TNIL) {
        int is = lua_isinteger(L, -1) && lua_tointeger(L, -1) == 0;
        *min = is ? 0 : lcheck_count(L, -1, of, "min");
        n_given++;
    }
    if (lua_getfield(L, index, "max") != LUA_TNIL) {
        *max = lcheck_count(L, -1, of, "max");
        n_given++;
    }
    if (n_given == 0)
        lerror_raise(L, "misuse", of, "'min' or 'max' must be given");
    check_bounds(L, of, *min, *max);
    lua_settop(L, top);
}
