/* bindings/lsemaphore.c - weir.semaphore: the object, with(), and what ends it.
 *
 * with() keeps its permit in the continuation's context and allocates nothing; acquire() is in
 * lacquire.c, the permit that it gives in lpermit.c.
 * A limit is the same object under another type: lsemaphore.h has what llimit.c takes from here.
 */
#include <string.h>

#include "lsemaphore.h"

/* --- the object ----------------------------------------------------------------------------- */

void lsem_free(lsem *s)
{
    if (s->owner != NULL)
        s->owner->sem = NULL;
    weir_link_remove(&s->link);
    weir_alloc(s->ctx->rt, s, s->size, 0);
}

static int free_if_idle(lsem *s)
{
    if (!weir_list_is_empty(&s->sem.holders) || s->sem.waiting > 0 ||
        !weir_list_is_empty(&s->sem.idle) || s->jobs > 0)
        return 0;
    weir_semaphore_fini(&s->sem);
    lsem_free(s);
    return 1;
}

/* Look at a few of the orphans: whoever makes semaphores also clears up. */
static void free_orphans(lcontext *ctx)
{
    for (int i = 0; i < 4; i++) {
        weir_link *k = weir_list_pop(&ctx->orphans);
        if (k == NULL)
            return;
        weir_list_push(&ctx->orphans, k);
        free_if_idle(weir_container(k, lsem, link));
    }
}

lsem *lsem_new(lua_State *L, ltype type, const lsem_options *options, const char *op)
{
    lcontext *ctx = lcontext_here(L);
    const char *name = options->name;
    size_t size = sizeof(lsem) + (name != NULL ? strlen(name) + 1 : 0);
    free_orphans(ctx);
    const lbox *box = lbox_here(L);
    lsem_object *object = lua_newuserdatauv(L, sizeof *object, 1);
    object->tag = ltag(box, type);
    object->sem = NULL;
    lcontext_set_type(L, box, type);
    lsem *s = weir_alloc(ctx->rt, NULL, 0, size);
    if (s == NULL)
        luaL_error(L, "%s: not enough memory", op);
    weir_link_init(&s->link);
    s->ctx = ctx;
    s->size = size;
    s->jobs = 0;
    if (name != NULL)
        memcpy(s->name, name, strlen(name) + 1);
    weir_semaphore_init(ctx->rt, &s->sem, options->n, name != NULL ? s->name : NULL);
    weir_semaphore_set_order(&s->sem, options->order, options->aging);
    s->sem.max_waiting = options->max_waiting;
    s->sem.bypass = options->bypass;
    weir_list_push(&ctx->semaphores, &s->link);
    s->owner = object;
    object->sem = s;
    return s;
}

/* Out of reach for Lua, but perhaps not for a task that holds a permit: then it is an orphan, and
 * freed when that has come back. */
int lsem_gc(lua_State *L)
{
    lsem_object *object = lua_touserdata(L, 1);
    const lbox *box = lbox_here(L);
    if (ltest_object(L, 1, box, LTYPE_SEMAPHORE) == NULL)
        lcheck_object(L, 1, LTYPE_LIMIT, "__gc");
    lsem *s = object->sem;
    object->sem = NULL; /* other finalizers may still look at the userdata */
    object->tag = NULL;
    if (s == NULL)
        return 0;
    s->owner = NULL;
    if (!free_if_idle(s)) {
        weir_link_remove(&s->link);
        weir_list_push(&s->ctx->orphans, &s->link);
    }
    return 0;
}

static lsem *of_userdata(lua_State *L, int index, const char *op)
{
    lsem *s = ((const lsem_object *)lua_touserdata(L, index))->sem;
    if (s == NULL || s->ctx != lcontext_here(L))
        lerror_raise(L, "misuse", op, "it belongs to another runtime, or to one that has ended");
    return s;
}

lsem *lsem_check(lua_State *L, ltype type, const char *op)
{
    lcheck_object(L, 1, type, op);
    return of_userdata(L, 1, op);
}

void lsem_push_histogram(lua_State *L, const weir_histogram *h)
{
    static const struct {
        const char *name;
        double q;
    } quantiles[] = {{"p50", .5}, {"p95", .95}, {"p99", .99}};
    lua_createtable(L, 0, 6);
    lua_pushinteger(L, (lua_Integer)h->count);
    lua_setfield(L, -2, "count");
    lua_pushnumber(L, h->count ? lseconds(h->sum) / (double)h->count : 0);
    lua_setfield(L, -2, "mean");
    lua_pushnumber(L, lseconds(h->max));
    lua_setfield(L, -2, "max");
    for (size_t i = 0; i < sizeof quantiles / sizeof *quantiles; i++) {
        lua_pushnumber(L, lseconds(weir_histogram_quantile(h, quantiles[i].q)));
        lua_setfield(L, -2, quantiles[i].name);
    }
}

static void set_count(lua_State *L, const char *name, int64_t value)
{
    lua_pushinteger(L, value);
    lua_setfield(L, -2, name);
}

void lsem_push_stats(lua_State *L, const weir_semaphore *s)
{
    lua_createtable(L, 0, 12);
    if (s->name != NULL) {
        lua_pushstring(L, s->name);
        lua_setfield(L, -2, "name");
    }
    set_count(L, "capacity", s->capacity);
    set_count(L, "available", s->available);
    set_count(L, "held", s->capacity - s->available);
    set_count(L, "waiting", s->waiting);
    set_count(L, "grants", (int64_t)s->stats.grants);
    set_count(L, "queued", (int64_t)s->stats.queued);
    set_count(L, "bypassed", (int64_t)s->stats.passes);
    set_count(L, "queued_weight", s->wanted);
    lua_pushnumber(L, lseconds(weir_semaphore_oldest_wait(s)));
    lua_setfield(L, -2, "oldest_wait");
    lua_createtable(L, 0, 6);
    set_count(L, "timeout", (int64_t)s->stats.timeouts);
    set_count(L, "cancelled", (int64_t)s->stats.cancels);
    set_count(L, "closed", (int64_t)s->stats.closes);
    set_count(L, "busy", (int64_t)s->stats.busy);
    set_count(L, "impossible", (int64_t)s->stats.impossible);
    set_count(L, "overload", (int64_t)s->stats.overload);
    lua_setfield(L, -2, "rejects");
    lsem_push_histogram(L, &s->stats.wait);
    lua_setfield(L, -2, "wait");
    lsem_push_histogram(L, &s->stats.hold);
    lua_setfield(L, -2, "hold");
}

/* --- refusals --- */

int lsem_refused(lua_State *L, const weir_semaphore *s, int rc, uint32_t n, const char *op)
{
    if (rc == WEIR_EIMPOSSIBLE)
        lerror_push(L, "impossible", op, "%I permits asked of a capacity of %I", (lua_Integer)n,
                    (lua_Integer)s->capacity);
    else if (rc == WEIR_ECLOSED)
        lerror_push(L, "closed", op, "closed");
    else if (rc == WEIR_EOVERLOAD)
        lerror_push(L, "overload", op, "%I are waiting already", (lua_Integer)s->waiting);
    else
        return luaL_error(L, "not enough memory");
    lua_pushstring(L, s->name);
    lua_setfield(L, -2, "name");
    if (rc == WEIR_EOVERLOAD) {
        lua_pushnumber(L, lseconds(weir_semaphore_retry_after(s, n)));
        lua_setfield(L, -2, "retry_after");
    }
    if (rc == WEIR_ECLOSED) {
        lua_getiuservalue(L, 1, 1);
        lua_setfield(L, -2, "reason");
    }
    return lua_error(L);
}

void lsem_outcome(lua_State *L, lcontext *ctx)
{
    const weir_waiter *w = &ltask_current(ctx)->task.wait;
    if (w->status == WEIR_GRANTED)
        return;
    const lsem *s = ((const lsem_object *)lua_touserdata(L, 1))->sem;
    if (w->status == WEIR_CLOSED)
        lsem_refused(L, &s->sem, WEIR_ECLOSED, 0, "semaphore:acquire");
    if (w->status == WEIR_IMPOSSIBLE) {
        lerror_push(L, "impossible", "semaphore:acquire",
                    "can never be granted any more: the capacity shrank to %I",
                    (lua_Integer)s->sem.capacity);
        lua_pushstring(L, s->sem.name);
        lua_setfield(L, -2, "name");
        lua_error(L);
    }
    if (w->status == WEIR_TIMEOUT) {
        lerror_push(L, "timeout", "semaphore:acquire", "timed out; %I of %I held, %I waiting",
                    (lua_Integer)(s->sem.capacity - s->sem.available), (lua_Integer)s->sem.capacity,
                    (lua_Integer)s->sem.waiting);
        lua_pushstring(L, s->sem.name);
        lua_setfield(L, -2, "name");
        lua_error(L);
    }
    lwait_outcome(L, ctx);
}

int32_t lsem_check_priority(lua_State *L, int index, const weir_semaphore *s, const char *op)
{
    if (lua_isnil(L, index))
        return 0;
    int is = 0;
    lua_Integer p = 0;
    if (lua_type(L, index) == LUA_TNUMBER)
        p = lua_tointegerx(L, index, &is);
    if (!is || p < INT32_MIN || p > INT32_MAX)
        lcheck_fail(L, op, "priority", "an integer of 32 bits", index);
    if (s->order != WEIR_ORDER_PRIORITY)
        lerror_raise(L, "misuse", op,
                     "'priority' needs order = \"priority\", this one is first "
                     "come, first served");
    return (int32_t)p;
}

/* --- with ---
 * This is the path that is measured: no look-up is done twice, and what seldom happens stands
 * apart. The permit travels in the continuation's context. */

/* The body has ended. Stack: handler, results or error. */
static int with_ended(lua_State *L, int status, lua_KContext permit)
{
    weir_permit_release((weir_permit *)permit);
    if (status != LUA_OK && status != LUA_YIELD)
        return lua_error(L);
    return lua_gettop(L) - 1;
}

/* The handler takes the semaphore's place: the permit keeps what it needs of it alive. */
static inline int with_body(lua_State *L, weir_permit *permit)
{
    lua_copy(L, LHANDLER, 1);
    int rc = lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 1, (lua_KContext)permit, with_ended);
    return with_ended(L, rc, (lua_KContext)permit);
}

static int with_granted(lua_State *L, int status, lua_KContext permit)
{
    (void)status;
    lsem_outcome(L, lcontext_here(L));
    return with_body(L, (weir_permit *)permit);
}

/* `n` could not be had at once, for `rc`. */
static int with_waiting(lua_State *L, ltask *t, lsem *s, uint32_t n, int rc)
{
    static const char op[] = "semaphore:with";
    weir_permit *permit = NULL;
    if (rc != WEIR_EBUSY)
        return lsem_refused(L, &s->sem, rc, n, op);
    lwait_check(L, t, op);
    rc = weir_semaphore_acquire(&s->sem, &t->task, n, &t->task.wait, WEIR_FOREVER, &permit);
    if (rc != 0)
        return lsem_refused(L, &s->sem, rc, n, op);
    return lwait_park(L, t, with_granted, (lua_KContext)permit);
}

/* Stack: semaphore, function, arguments; all checked. */
static inline int with_now(lua_State *L, ltask *t, lsem *s, uint32_t n)
{
    weir_permit *permit = NULL;
    int rc = weir_semaphore_take(&s->sem, &t->task, n, &permit);
    return rc == 0 ? with_body(L, permit) : with_waiting(L, t, s, n, rc);
}

/* After a checkpoint: the semaphore may be of a runtime that ended meanwhile. */
static int with_then(lua_State *L, int status, lua_KContext n)
{
    lcontext *ctx = lcontext_here(L);
    (void)status;
    lwait_outcome(L, ctx);
    lsem *s = of_userdata(L, 1, "semaphore:with");
    return with_now(L, ltask_current(ctx), s, (uint32_t)n);
}

static inline int with(lua_State *L, const lbox *box, const lsem_object *object, uint32_t n,
                       const char *op)
{
    lsem *s = object->sem;
    if (s == NULL || s->ctx != box->current)
        s = of_userdata(L, 1, op); /* raises */
    ltask *t = lwait_task(L, s->ctx, op);
    if (!lua_isfunction(L, 2))
        lcheck_function(L, 2, op, "fn");
    if (lwait_spend(L, t))
        return lwait_yield(L, t, op, with_then, n);
    return with_now(L, t, s, n);
}

/* A runner. */
int lsem_with(lua_State *L)
{
    return with(L, lbox_here(L), lua_touserdata(L, 1), 1, "limit");
}

/* semaphore:with(fn, ...) -> what fn returns, called while one permit is held. */
static int semaphore_with(lua_State *L)
{
    const lbox *box = lbox_here(L);
    const lsem_object *object = ltest_tagged(L, 1, box, LTYPE_SEMAPHORE);
    if (object == NULL)
        lcheck_object(L, 1, LTYPE_SEMAPHORE, "semaphore:with"); /* raises */
    return with(L, box, object, 1, "semaphore:with");
}

/* semaphore:with_n(n, fn, ...) -> what fn returns, called while n permits are held. */
static int semaphore_with_n(lua_State *L)
{
    const lsem_object *object = lcheck_object(L, 1, LTYPE_SEMAPHORE, "semaphore:with_n");
    uint32_t n = lcheck_count(L, 2, "semaphore:with_n", "n");
    lua_remove(L, 2);
    return with(L, lbox_here(L), object, n, "semaphore:with_n");
}

/* --- ends --- */

/* semaphore:close([reason]): waiters and later calls get `closed`; permits that are out may come
 * back. */
static int semaphore_close(lua_State *L)
{
    lsem *s = lsem_check(L, LTYPE_SEMAPHORE, "semaphore:close");
    lua_settop(L, 2);
    if (!s->sem.closed)
        lua_setiuservalue(L, 1, 1);
    weir_semaphore_close(&s->sem);
    return 0;
}

/* semaphore:resize(n): growing grants at once, shrinking leaves a debt that releases pay. */
static int semaphore_resize(lua_State *L)
{
    lsem *s = lsem_check(L, LTYPE_SEMAPHORE, "semaphore:resize");
    weir_semaphore_resize(&s->sem, lcheck_count(L, 2, "semaphore:resize", "n"));
    return 0;
}

static int waited(lua_State *L, int status, lua_KContext op)
{
    (void)status;
    lwait_outcome_of(L, lcontext_here(L), (const char *)op);
    return 0;
}

int lsem_wait(lua_State *L, lsem *s, const char *op, lua_CFunction self, int is_over,
              void (*begin)(weir_semaphore *, weir_waiter *, uint64_t))
{
    uint64_t timeout = lcheck_only_timeout(L, 2, op);
    ltask *t = lwait_task(L, s->ctx, op);
    if (is_over)
        return lwait_spend(L, t) ? lwait_again(L, t, op, self) : 0;
    lwait_enter(L, s->ctx, op);
    begin(&s->sem, &t->task.wait, weir_after(s->ctx->rt, timeout));
    return lwait_park(L, t, waited, (lua_KContext)op);
}

/* semaphore:drain([timeout]): refuses new requests, serves those queued, waits until every permit
 * is back. */
static int semaphore_drain(lua_State *L)
{
    static const char op[] = "semaphore:drain";
    lsem *s = lsem_check(L, LTYPE_SEMAPHORE, op);
    int is_back = s->sem.available == s->sem.capacity;
    lcheck_only_timeout(L, 2, op);
    lwait_task(L, s->ctx, op);
    if (is_back)
        s->sem.draining = 1;
    return lsem_wait(L, s, op, semaphore_drain, is_back, weir_semaphore_drain);
}

/* semaphore:resized([timeout]): waits until no more is held than the capacity. */
static int semaphore_resized(lua_State *L)
{
    static const char op[] = "semaphore:resized";
    lsem *s = lsem_check(L, LTYPE_SEMAPHORE, op);
    return lsem_wait(L, s, op, semaphore_resized, s->sem.available >= 0, weir_semaphore_resized);
}

int lsem_set_priority(lua_State *L, lsem *s, const char *op)
{
    ltask *t = ltest_object(L, 2, lbox_here(L), LTYPE_TASK);
    if (t == NULL)
        return lcheck_fail(L, op, "task", "a task", 2);
    if (lua_isnoneornil(L, 3))
        return lcheck_fail(L, op, "priority", "an integer of 32 bits", 3);
    int32_t priority = lsem_check_priority(L, 3, &s->sem, op);
    lua_pushboolean(L, weir_semaphore_set_priority(&s->sem, &t->task.wait, priority) == 0);
    return 1;
}

static int semaphore_set_priority(lua_State *L)
{
    static const char op[] = "semaphore:set_priority";
    return lsem_set_priority(L, lsem_check(L, LTYPE_SEMAPHORE, op), op);
}

static int semaphore_stats(lua_State *L)
{
    lsem_push_stats(L, &lsem_check(L, LTYPE_SEMAPHORE, "semaphore:stats")->sem);
    return 1;
}

static int semaphore_index(lua_State *L)
{
    if (lcontext_push_method(L) != LUA_TNIL)
        return 1;
    const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
    const weir_semaphore *s = &lsem_check(L, LTYPE_SEMAPHORE, "semaphore")->sem;
    if (strcmp(key, "capacity") == 0)
        lua_pushinteger(L, s->capacity);
    else if (strcmp(key, "available") == 0)
        lua_pushinteger(L, s->available);
    else if (strcmp(key, "waiting") == 0)
        lua_pushinteger(L, s->waiting);
    else if (strcmp(key, "name") == 0)
        lua_pushstring(L, s->name);
    else
        return lerror_raise(L, "misuse", "semaphore", "no field '%s'", key);
    return 1;
}

static int semaphore_tostring(lua_State *L)
{
    const lsem *s = ((const lsem_object *)lcheck_object(L, 1, LTYPE_SEMAPHORE, "semaphore"))->sem;
    if (s == NULL)
        lua_pushliteral(L, "weir.semaphore (ended)");
    else
        lua_pushfstring(L, "weir.semaphore %s(%I of %I free, %I waiting)",
                        s->sem.name != NULL ? s->sem.name : "", (lua_Integer)s->sem.available,
                        (lua_Integer)s->sem.capacity, (lua_Integer)s->sem.waiting);
    return 1;
}

/* --- options ---------------------------------------------------------------------------- */

static void check_order(lua_State *L, const char *op, lsem_options *out)
{
    if (lua_getfield(L, 1, "order") != LUA_TNIL) {
        const char *order = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";
        if (strcmp(order, "priority") == 0)
            out->order = WEIR_ORDER_PRIORITY;
        else if (strcmp(order, "fifo") != 0)
            lcheck_fail(L, op, "order", "\"fifo\" or \"priority\"", -1);
    }
    if (lua_getfield(L, 1, "aging") != LUA_TNIL) {
        out->aging = lcheck_seconds(L, -1, op, "aging");
        if (out->aging == 0)
            lcheck_fail(L, op, "aging", "a number of seconds > 0", -1);
        if (out->order != WEIR_ORDER_PRIORITY)
            lerror_raise(L, "misuse", op, "'aging' needs order = \"priority\"");
    }
    lua_pop(L, 2);
}

void lsem_check_options(lua_State *L, const char *op, const char *count, lsem_options *out)
{
    const char *const known[] = {count, "name", "max_waiting", "bypass", "order", "aging", NULL};
    *out = (lsem_options){.max_waiting = UINT32_MAX, .aging = WEIR_SECOND};
    lua_settop(L, 1);
    if (!lua_istable(L, 1)) {
        out->n = lcheck_count(L, 1, op, count);
        return;
    }
    lcheck_options(L, 1, op, known);
    if (lua_getfield(L, 1, "name") != LUA_TNIL) {
        if (lua_type(L, -1) != LUA_TSTRING)
            lcheck_fail(L, op, "name", "a string", -1);
        out->name = lua_tostring(L, -1); /* stays on the stack */
    }
    out->max_waiting = lcheck_bound(L, 1, op, "max_waiting", UINT32_MAX);
    out->bypass = lcheck_bound(L, 1, op, "bypass", 0);
    check_order(L, op, out);
    lua_getfield(L, 1, count);
    out->n = lcheck_count(L, -1, op, count);
}

/* weir.semaphore(n) or weir.semaphore{permits=, name=, max_waiting=, bypass=, order=, aging=} */
static int core_semaphore(lua_State *L)
{
    static const char op[] = "weir.semaphore";
    lsem_options options;
    lsem_check_options(L, op, "permits", &options);
    lsem_new(L, LTYPE_SEMAPHORE, &options, op);
    return 1;
}

/* core.is_free(semaphore): would a permit be had at once? For the library, which asks before each
 * query: a property takes three times as long. */
static int core_is_free(lua_State *L)
{
    lua_pushboolean(L, lsem_check(L, LTYPE_SEMAPHORE, "semaphore")->sem.available > 0);
    return 1;
}

static const luaL_Reg functions[] = {
    {"semaphore", core_semaphore}, {"is_free", core_is_free}, {NULL, NULL}};
static const luaL_Reg methods[] = {{"acquire", lsem_acquire},
                                   {"try_acquire", lsem_try_acquire},
                                   {"resize", semaphore_resize},
                                   {"close", semaphore_close},
                                   {"drain", semaphore_drain},
                                   {"resized", semaphore_resized},
                                   {"set_priority", semaphore_set_priority},
                                   {"stats", semaphore_stats},
                                   {NULL, NULL}};
static const luaL_Reg runners[] = {
    {"with", semaphore_with}, {"with_n", semaphore_with_n}, {NULL, NULL}};
static const luaL_Reg meta[] = {{"__index", semaphore_index},
                                {"__tostring", semaphore_tostring},
                                {"__gc", lsem_gc},
                                {NULL, NULL}};
void lsemaphore_open(lua_State *L)
{
    lcontext_set_functions(L, functions);
    lcontext_new_type(L, LTYPE_SEMAPHORE, methods, meta);
    lua_getfield(L, -1, "methods");
    lua_getfield(L, -1, "semaphore");
    lcontext_set_runners(L, runners);
    lua_pop(L, 2);
    lpermit_open(L);
}
