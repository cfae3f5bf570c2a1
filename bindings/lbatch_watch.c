/* bindings/lbatch_watch.c - what is seen of a batch: its fields and statistics. */
#include <string.h>

#include "lbatch.h"

static void set_count(lua_State *L, const char *name, uint64_t value)
{
    lua_pushinteger(L, (lua_Integer)value);
    lua_setfield(L, -2, name);
}

/* {count=, mean=, max=, p50= ...} of requests in a group, not of seconds. */
static void push_sizes(lua_State *L, const weir_histogram *h)
{
    lua_createtable(L, 0, 3);
    set_count(L, "count", h->count);
    lua_pushnumber(L, h->count > 0 ? (double)h->sum / (double)h->count : 0);
    lua_setfield(L, -2, "mean");
    set_count(L, "max", h->max);
}

/* batch:stats() -> a snapshot */
int lbatch_stats(lua_State *L)
{
    const weir_batch *b = &lbatch_check(L, "batch:stats")->batch;
    const weir_batch_stats *s = &b->stats;
    const struct {
        const char *name;
        uint64_t value;
    } counts[] = {
        {"waiting", b->n_unflushed}, {"queued", b->n_queued},   {"flying", b->n_flying},
        {"requests", s->requests},   {"joined", s->joined},     {"dropped", s->dropped},
        {"groups", s->groups},       {"by_size", s->by_size},   {"by_delay", s->by_delay},
        {"by_quiet", s->by_quiet},   {"by_flush", s->by_flush}, {"failures", s->failures}};
    lua_createtable(L, 0, 17);
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        set_count(L, counts[i].name, counts[i].value);
    lua_pushstring(L, b->name);
    lua_setfield(L, -2, "name");
    lua_createtable(L, 0, 4);
    set_count(L, "timeout", s->timeouts);
    set_count(L, "cancelled", s->cancels);
    set_count(L, "closed", s->closes);
    set_count(L, "overload", s->overload);
    lua_setfield(L, -2, "rejects");
    lsem_push_histogram(L, &s->wait);
    lua_setfield(L, -2, "wait");
    lsem_push_histogram(L, &s->flight);
    lua_setfield(L, -2, "flight");
    push_sizes(L, &s->size);
    lua_setfield(L, -2, "size");
    return 1;
}

int lbatch_index(lua_State *L)
{
    if (lcontext_push_method(L) != LUA_TNIL)
        return 1;
    const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
    const weir_batch *b = &lbatch_check(L, "batch")->batch;
    if (strcmp(key, "waiting") == 0)
        lua_pushinteger(L, b->n_unflushed);
    else if (strcmp(key, "flying") == 0)
        lua_pushinteger(L, b->n_flying);
    else if (strcmp(key, "name") == 0)
        lua_pushstring(L, b->name);
    else
        return lerror_raise(L, "misuse", "batch", "no field '%s'", key);
    return 1;
}

int lbatch_tostring(lua_State *L)
{
    lcheck_object(L, 1, LTYPE_BATCH, "batch");
    const lbatch *b = lbatch_at(L);
    if (b == NULL)
        lua_pushliteral(L, "weir.batch (ended)");
    else
        lua_pushfstring(L, "weir.batch %s(%I waiting, %I groups flying)",
                        b->batch.name != NULL ? b->batch.name : "",
                        (lua_Integer)b->batch.n_unflushed, (lua_Integer)b->batch.n_flying);
    return 1;
}
