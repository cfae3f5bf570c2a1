/* cache_world.c - programs over one cache; see cache_world.h. */
#include "cache_world.h"

#include <weir/graph.h>

#define BREAK_UNLESS(w, cond)                                                                      \
    do {                                                                                           \
        if (!(cond) && (w)->broken == NULL) {                                                      \
            (w)->broken = #cond;                                                                   \
            (w)->line = __LINE__;                                                                  \
        }                                                                                          \
    } while (0)

static const weir_wait_ops wait_ops;

static size_t key_of(int key, char text[8])
{
    return (size_t)sprintf(text, "key%d", key);
}

/* --- hooks: the part that a language binding plays -------------------------------------------- */

static void on_drop(weir_cache *c, intptr_t value)
{
    world *w = weir_cache_data(c);
    (void)value;
    w->n_dropped++;
}

static void on_abandon(weir_flight *f)
{
    world_actor *a = ((weir_load *)(void *)f)->data;
    weir_scope_cancel(a->world->rt, &a->task.scope, (weir_reason){"nobody waits", 0});
}

static void on_free(weir_flight *f)
{
    weir_load_free((weir_load *)(void *)f);
}

static const weir_wait_ops wait_ops = WEIR_FLIGHT_WAIT("world:ask");
static const weir_flight_ops flight_ops = {on_abandon, on_free, NULL, NULL, &wait_ops};
static const weir_cache_ops cache_ops = {on_drop, &flight_ops};

static void resume(weir_runtime *rt, weir_task *t);

static weir_load *begin(world *w, int key, int behind)
{
    char text[8];
    if (w->n_loads == WORLD_LOADS)
        return NULL;
    weir_load *load = weir_cache_begin(w->cache, text, key_of(key, text), behind);
    if (load == NULL) {
        w->nomem += !weir_cache_is_closed(w->cache);
        return NULL;
    }
    world_actor *a = &w->loader[w->n_loads++];
    *a = (world_actor){.world = w, .step = w->program->loader[key], .load = load, .key = key};
    a->version = w->origin;
    a->alive = 1;
    load->data = a;
    load->flight.worker = &a->task;
    weir_task_spawn(w->rt, &a->task, weir_root(w->rt), resume, 0);
    return load;
}

/* What may store and is not kept for want of memory alone is worth a note. */
static void store(world *w, weir_load *load, intptr_t value, uint64_t ttl, int negative)
{
    int may = load->indexed && ttl > 0;
    w->n_given++;
    w->nomem += !weir_cache_store(w->cache, load, value, 8, ttl, negative) && may;
}

static void end_load(world_actor *a, int cancelled)
{
    world *w = a->world;
    weir_load *load = a->load;
    weir_flight *f = &load->flight;
    weir_flight_state state = WEIR_FLIGHT_LANDED;
    intptr_t value = a->version, old;
    f->worker = NULL;
    if (load->of == NULL) {
        state = WEIR_FLIGHT_FAILED;
    } else if (cancelled || a->fails) {
        uint64_t ttl = w->program->options.negative_ttl;
        if (weir_cache_failed(w->cache, load, &old)) {
            value = old;
        } else {
            state = WEIR_FLIGHT_FAILED;
            if (ttl > 0 && !cancelled)
                store(w, load, -1, ttl, 1);
        }
    } else {
        store(w, load, value, w->program->options.ttl, 0);
    }
    weir_flight_land(w->rt, f, state, value);
}

/* --- asking ----------------------------------------------------------------------------------- */

static void note(world_actor *a, world_outcome outcome, intptr_t got)
{
    if (a->n_asked < WORLD_STEPS) {
        a->outcome[a->n_asked] = outcome;
        a->got[a->n_asked++] = got;
    }
}

static void invalidate(world *w, int key)
{
    w->oldest[key] = ++w->origin;
}

/* 1: it waits now; -1: it must end as cancelled. */
static int ask(world_actor *a, int key, uint32_t timeout)
{
    world *w = a->world;
    char text[8];
    weir_answer is = weir_cache_look(w->cache, text, key_of(key, text));
    weir_load *load = is.load;
    weir_graph g;
    if (is.found == WEIR_FOUND_FRESH || is.found == WEIR_FOUND_STALE) {
        BREAK_UNLESS(w, is.value >= w->oldest[key]);
        note(a, is.found == WEIR_FOUND_FRESH ? WORLD_HIT : WORLD_STALE, is.value);
        if (is.refresh)
            begin(w, key, 1);
        return 0;
    }
    if (is.found == WEIR_FOUND_NEGATIVE) {
        note(a, WORLD_NEGATIVE, is.value);
        return 0;
    }
    if (weir_scope_is_cancelled(a->task.current))
        return -1;
    if (is.found == WEIR_FOUND_NOTHING && (load = begin(w, key, 0)) == NULL) {
        note(a, weir_cache_is_closed(w->cache) ? WORLD_CLOSED : WORLD_NOMEM, 0);
        return 0;
    }
    weir_flight_wait(w->rt, &load->flight, &a->task.wait,
                     timeout == 0 ? WEIR_FOREVER : weir_after(w->rt, timeout));
    if (!weir_graph_is_stuck(w->rt, &a->task, &g))
        return 1;
    BREAK_UNLESS(w, g.n_cycle > 0);
    weir_waiter_abandon(w->rt, &a->task.wait);
    note(a, WORLD_DEADLOCK, 0);
    a->fails = 1; /* a loader raises it */
    return 0;
}

/* A wait for a flight has ended. */
static void asked(world_actor *a)
{
    weir_waiter *wait = &a->task.wait;
    weir_flight *f = wait->object;
    weir_status status = (weir_status)wait->status;
    if (status == WEIR_GRANTED || status == WEIR_FAILED) {
        BREAK_UNLESS(a->world, f->state == (status == WEIR_GRANTED ? WEIR_FLIGHT_LANDED
                                                                   : WEIR_FLIGHT_FAILED));
        note(a, status == WEIR_GRANTED ? WORLD_LOADED : WORLD_FAILED, f->value);
        weir_flight_leave(a->world->rt, f);
        a->fails |= status == WEIR_FAILED;
    } else {
        note(a,
             status == WEIR_TIMEOUT    ? WORLD_TIMEOUT
             : status == WEIR_CANCELED ? WORLD_CANCELLED
             : status == WEIR_CLOSED   ? WORLD_CLOSED
                                       : WORLD_DEADLOCK,
             0);
        a->fails = 1;
    }
}

/* --- steps ------------------------------------------------------------------------------------ */

static void put(world *w, int key)
{
    char text[8];
    intptr_t before = w->oldest[key];
    uint64_t ttl = w->program->options.ttl > 0 ? w->program->options.ttl : 10;
    invalidate(w, key);
    w->n_given++;
    int rc = weir_cache_set(w->cache, text, key_of(key, text), w->origin, 8, ttl);
    if (rc == WEIR_ENOMEM || rc == WEIR_ECLOSED) {
        w->nomem += rc == WEIR_ENOMEM;
        w->oldest[key] = before; /* nothing changed */
    }
}

/* As ask. */
static int take_step(world_actor *a, const world_step *s)
{
    world *w = a->world;
    char text[8];
    size_t n = key_of((int)s->n, text);
    switch (s->code) {
    case WORLD_ASK:
        return ask(a, (int)s->n, s->ns);
    case WORLD_SET:
        put(w, (int)s->n);
        break;
    case WORLD_DELETE:
        invalidate(w, (int)s->n);
        weir_cache_delete(w->cache, text, n);
        break;
    case WORLD_TAG:
        w->nomem += weir_cache_tag(w->cache, text, n, "tag", 3) == WEIR_ENOMEM;
        break;
    case WORLD_CLEAR:
    case WORLD_CLOSE:
        for (int key = 0; key < WORLD_KEYS; key++)
            invalidate(w, key);
        if (s->code == WORLD_CLEAR)
            weir_cache_clear(w->cache);
        else
            weir_cache_close(w->cache);
        break;
    case WORLD_DELETE_TAG: /* of the programs here every key has it, or gets it in its loader */
        for (int key = 0; key < WORLD_KEYS; key++)
            invalidate(w, key);
        weir_cache_delete_tag(w->cache, "tag", 3);
        break;
    case WORLD_NAP:
        if (weir_scope_is_cancelled(a->task.current))
            return -1;
        weir_sleep_until(w->rt, &a->task.wait, weir_after(w->rt, s->ns));
        return 1;
    case WORLD_CANCEL:
        if (w->actor[s->n].alive)
            weir_scope_cancel(w->rt, &w->actor[s->n].task.scope, (weir_reason){"asked to", 0});
        break;
    case WORLD_FAIL:
        a->fails = 1;
        break;
    case WORLD_END:
        break;
    }
    return 0;
}

static void check_world(world *w)
{
    BREAK_UNLESS(w, weir_cache_validate(w->cache) == 0);
    BREAK_UNLESS(w, weir_runtime_validate(w->rt) == 0);
    BREAK_UNLESS(w, weir_cache_count(w->cache) <= w->program->options.max ||
                        w->program->options.max == 0);
    BREAK_UNLESS(w, w->n_dropped <= w->n_given &&
                        w->n_given - w->n_dropped >= weir_cache_count(w->cache));
}

static void inject(world *w)
{
    world_actor *a = w->victim >= 0 ? &w->actor[w->victim] : &w->loader[-1 - w->victim];
    if (++w->steps == w->cancel_at && a->alive)
        weir_scope_cancel(w->rt, &a->task.scope, (weir_reason){"injected", 0});
}

static void finish(world_actor *a, int cancelled)
{
    if (a->load != NULL)
        end_load(a, cancelled);
    a->alive = 0;
    weir_task_finish(a->world->rt, &a->task, cancelled ? WEIR_TASK_CANCELLED : WEIR_TASK_DONE);
}

static void resume(weir_runtime *rt, weir_task *t)
{
    world_actor *a = (world_actor *)(void *)t;
    world *w = a->world;
    int waits = 0, cancelled = t->wait.status == WEIR_CANCELED;
    (void)rt;
    if (t->wait.ops == &wait_ops)
        asked(a);
    inject(w);
    while (!cancelled && waits == 0 && a->step->code != WORLD_END)
        waits = take_step(a, a->step++);
    if (cancelled || waits <= 0)
        finish(a, cancelled || waits < 0);
    check_world(w);
}

world *world_run(const world_program *p, weir_simulator *sim, const world *setup)
{
    world *w = calloc(1, sizeof *w);
    weir_cache_options o = p->options;
    assert_non_null(w);
    o.max = o.max == 0 ? UINT32_MAX : o.max;
    o.max_bytes = o.max_bytes == 0 ? UINT64_MAX : o.max_bytes;
    o.max_waiting = o.max_waiting == 0 ? UINT32_MAX : o.max_waiting;
    w->sim = sim;
    w->program = p;
    w->cancel_at = setup != NULL ? setup->cancel_at : 0;
    w->victim = setup != NULL ? setup->victim : 0;
    w->rt = weir_runtime_new(weir_simulator_env(sim));
    if (w->rt == NULL || weir_cache_new(w->rt, &cache_ops, &o, p->name, &w->cache) != 0) {
        w->nomem++;
        weir_runtime_free(w->rt);
        return w;
    }
    weir_cache_set_data(w->cache, w);
    for (int i = 0; i < WORLD_TASKS && p->body[i][0].code != WORLD_END; i++) {
        world_actor *a = &w->actor[i];
        *a = (world_actor){.world = w, .step = p->body[i], .alive = 1};
        weir_task_spawn(w->rt, &a->task, weir_root(w->rt), resume, 0);
    }
    BREAK_UNLESS(w, weir_simulator_run(sim, w->rt, 5000) < 5000);
    for (int i = 0; i < WORLD_TASKS; i++)
        BREAK_UNLESS(w, !w->actor[i].alive);
    for (int i = 0; i < WORLD_LOADS; i++)
        BREAK_UNLESS(w, !w->loader[i].alive);
    BREAK_UNLESS(w, weir_cache_loading(w->cache) == 0 && weir_cache_waiting(w->cache) == 0);
    if (w->broken != NULL)
        return w;
    weir_cache_free(w->cache);
    BREAK_UNLESS(w, w->n_dropped == w->n_given);
    BREAK_UNLESS(w, weir_runtime_quiesce(w->rt) == NULL);
    if (w->broken == NULL)
        weir_runtime_free(w->rt);
    BREAK_UNLESS(w, weir_simulator_bytes(sim) == 0);
    return w;
}

/* --- the programs ----------------------------------------------------------------------------- */

static int counts(const world *w, world_outcome outcome)
{
    int n = 0;
    for (int i = 0; i < WORLD_TASKS; i++)
        for (int k = 0; k < w->actor[i].n_asked; k++)
            n += w->actor[i].outcome[k] == outcome;
    return n;
}

static int one_load(const world *w)
{
    return w->n_loads == 1;
}

/* Whoever is there when it lands gets it; nobody starts a second one while one is wanted. */
static int one_or_two_loads(const world *w)
{
    return w->n_loads <= 2 && counts(w, WORLD_FAILED) == 0;
}

static int all_get_it(const world *w)
{
    return counts(w, WORLD_TIMEOUT) == 0 && counts(w, WORLD_CANCELLED) == 0 &&
           counts(w, WORLD_FAILED) == 0;
}

static int waiter_gets_the_old_one(const world *w)
{
    return w->actor[0].outcome[0] == WORLD_LOADED && w->actor[1].n_asked == 1 &&
           w->actor[1].got[0] >= w->oldest[0] && counts(w, WORLD_FAILED) == 0;
}

static int somebody_is_told(const world *w)
{
    int n = counts(w, WORLD_DEADLOCK) + counts(w, WORLD_FAILED);
    for (unsigned i = 0; i < w->n_loads; i++)
        for (int k = 0; k < w->loader[i].n_asked; k++)
            n += w->loader[i].outcome[k] == WORLD_DEADLOCK;
    return n > 0;
}

static int one_failure_for_all(const world *w)
{
    return w->n_loads == 1 && counts(w, WORLD_FAILED) + counts(w, WORLD_NEGATIVE) == 3;
}

static int old_value_for_all(const world *w)
{
    return counts(w, WORLD_FAILED) == 0 && counts(w, WORLD_STALE) + counts(w, WORLD_LOADED) == 2;
}

static int nothing_after_the_close(const world *w)
{
    return counts(w, WORLD_CLOSED) >= 1;
}

#define TTL(ns)                                                                                    \
    {                                                                                              \
        .ttl = (ns)                                                                                \
    }

const world_program world_programs[] = {
    {"three ask for one key", TTL(100), {{NAP(10)}}, {{ASK(0)}, {ASK(0)}, {ASK(0)}}, one_load, 0},
    {"its first asker is out of time when it lands",
     TTL(100),
     {{NAP(10)}},
     {{ASK_FOR(0, 10)}, {ASK(0)}, {NAP(10), ASK(0)}},
     one_or_two_loads,
     0},
    {"its first asker is cancelled",
     TTL(100),
     {{NAP(10)}},
     {{ASK(0)}, {ASK(0)}, {NAP(5), CANCEL(0)}},
     one_load,
     0},
    {"all leave and one comes in the same moment",
     TTL(100),
     {{NAP(10)}},
     {{ASK_FOR(0, 5)}, {ASK_FOR(0, 5)}, {NAP(5), ASK(0)}},
     one_or_two_loads,
     0},
    {"deleted while it loads",
     TTL(100),
     {{NAP(10)}},
     {{ASK(0)}, {NAP(5), DELETE(0), ASK(0)}, {NAP(10), ASK(0)}},
     waiter_gets_the_old_one,
     0},
    {"set while it loads",
     TTL(100),
     {{NAP(10)}},
     {{ASK(0)}, {NAP(10), SET(0), ASK(0)}, {NAP(10), ASK(0)}},
     all_get_it,
     0},
    {"cleared while two keys load",
     TTL(100),
     {{NAP(10)}, {NAP(10)}},
     {{ASK(0), ASK(0)}, {ASK(1), ASK(1)}, {NAP(10), CLEAR, ASK(0)}},
     all_get_it,
     20000},
    {"a tag deleted before and after the loader says it",
     TTL(100),
     {{NAP(5), TAG(0), NAP(5)}},
     {{ASK(0), ASK(0)}, {NAP(5), DELETE_TAG, ASK(0)}, {NAP(10), ASK(0)}},
     all_get_it,
     0},
    {"stale, refreshed behind",
     {.ttl = 10, .stale = 10},
     {{NAP(5)}},
     {{SET(0), NAP(12), ASK(0), NAP(6), ASK(0)}, {NAP(12), ASK(0)}, {NAP(17), ASK(0)}},
     all_get_it,
     0},
    {"a refresh that hangs pins nothing",
     {.ttl = 10, .stale = 10},
     {{NAP(100)}},
     {{SET(0), NAP(12), ASK(0), NAP(8), ASK(0)}, {NAP(20), ASK(0)}},
     all_get_it,
     0},
    {"a refresh overtaken by a set",
     {.ttl = 10, .stale = 10},
     {{NAP(5)}},
     {{SET(0), NAP(12), ASK(0), ASK(0)}, {NAP(17), SET(0), ASK(0)}},
     all_get_it,
     0},
    {"a failure is shared and remembered",
     {.ttl = 10, .negative_ttl = 10},
     {{NAP(5), FAIL}},
     {{ASK(0)}, {ASK(0)}, {NAP(5), ASK(0)}},
     NULL,
     0},
    {"one failure for all",
     {.ttl = 10, .negative_ttl = 10},
     {{NAP(5), FAIL}},
     {{ASK(0), ASK(0)}, {NAP(3), ASK(0)}},
     one_failure_for_all,
     0},
    {"stale if error",
     {.ttl = 10, .stale_if_error = 30, .negative_ttl = 10},
     {{NAP(5), FAIL}},
     {{SET(0), NAP(12), ASK(0), ASK(0)}},
     old_value_for_all,
     0},
    {"room for one",
     {.ttl = 100, .max = 1},
     {{NAP(5)}, {NAP(5)}, {NAP(5)}},
     {{ASK(0), ASK(1)}, {ASK(1), ASK(2)}, {ASK(2), ASK(0)}},
     all_get_it,
     20000},
    {"room for few bytes",
     {.ttl = 100, .max_bytes = 280},
     {{NAP(5)}, {NAP(5)}, {NAP(5), TAG(2)}},
     {{ASK(0), ASK(1), ASK(2)}, {ASK(2), TAG(0), TAG(1), ASK(0)}},
     all_get_it,
     20000},
    {"closed while it loads",
     TTL(100),
     {{NAP(10)}},
     {{ASK(0)}, {NAP(5), ASK(0)}, {NAP(10), CLOSE, ASK(0)}},
     nothing_after_the_close,
     0},
    {"single flight alone",
     TTL(0),
     {{NAP(10)}},
     {{ASK(0)}, {NAP(10), ASK(0)}, {NAP(5), ASK(0)}},
     all_get_it,
     0},
    {"a loader asks for its own key",
     TTL(100),
     {{ASK(0)}},
     {{ASK(0)}, {ASK(0)}},
     somebody_is_told,
     0},
    {"two loaders ask for each other's",
     TTL(100),
     {{ASK(1)}, {ASK(0)}},
     {{ASK(0)}, {ASK(1)}},
     somebody_is_told,
     0},
    {"three loaders in a ring",
     TTL(100),
     {{NAP(1), ASK(1)}, {NAP(1), ASK(2)}, {NAP(1), ASK(0)}},
     {{ASK(0)}, {ASK(1)}, {ASK(2)}},
     somebody_is_told,
     20000},
    {"a chain of loaders, all leave",
     TTL(100),
     {{ASK(1)}, {ASK(2)}, {NAP(10)}},
     {{ASK_FOR(0, 10)}, {NAP(10), ASK(2)}},
     NULL,
     0},
};

const unsigned n_world_programs = sizeof world_programs / sizeof *world_programs;
