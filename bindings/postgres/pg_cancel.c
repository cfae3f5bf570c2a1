/* postgres/pg_cancel.c - a command that its task gave up: cancelled on the server, read to its end.
 *
 * PQcancel makes a connection of its own and blocks, for minutes if the server cannot be reached:
 * it runs on a thread of the loop's pool, two at once, so that a silent server does not take all
 * of them from who looks up names. A request that waits for its turn when the connection goes is
 * dropped; one that runs is left to itself.
 *
 * A request that comes before the server has begun with the command is ignored there: so it is made
 * again, after pauses that double, until the results are read or the grace is over.
 *
 * The connection is READY again when the results are read and the request is over: the server
 * signals before it lets go of the request's connection, so no cancel can hit a later command.
 */
#include "pg.h"
#include <string.h>

#define AT_ONCE 2
#define FIRST_PAUSE (WEIR_SECOND / 20)

struct weir_pg_cancel {
    weir_link link; /* in the house's queue until it runs */
    const weir_lua_api *api;
    weir_runtime *rt;
    weir_pg_house *house;
    weir_pg *owner; /* NULL: nobody waits for it */
    lua_Alloc alloc;
    void *alloc_data;
    PGcancel *handle;
    weir_work *work;
};

static void cancel_free(weir_pg_cancel *k)
{
    if (k->owner != NULL)
        k->owner->cancel = NULL;
    PQfreeCancel(k->handle);
    k->alloc(k->alloc_data, k, sizeof *k, 0);
}

static void run(void *data) /* on a thread of the pool */
{
    weir_pg_cancel *k = data;
    char text[256];
    PQcancel(k->handle, text, sizeof text); /* if it fails the grace ends the wait */
}

static void begin_next(weir_pg_house *house);

static void done(void *data, int status)
{
    weir_pg_cancel *k = data;
    weir_pg *c = k->owner;
    weir_pg_house *house = k->house;
    house->running--;
    if (status == WEIR_ECANCELED)
        run(k); /* the runtime ends, and with it our last chance: nobody else waits any more */
    cancel_free(k);
    if (status == WEIR_ECANCELED) {
        while (!weir_list_is_empty(&house->queue))
            cancel_free(weir_container(weir_list_pop(&house->queue), weir_pg_cancel, link));
        return;
    }
    begin_next(house);
    if (c == NULL)
        return;
    weir__pg_recover(c);
    weir__pg_watch(c);
    if (c->state == PG_RECOVERING) { /* it came too soon, or the results are long */
        c->api->timer_set(c->rt, &c->again, c->api->after(c->rt, c->pause));
        c->pause *= 2;
    }
}

static void begin_next(weir_pg_house *house)
{
    while (house->running < AT_ONCE && !weir_list_is_empty(&house->queue)) {
        weir_pg_cancel *k = weir_container(weir_list_pop(&house->queue), weir_pg_cancel, link);
        if (k->api->work_new(k->rt, run, done, k, &k->work) == 0)
            house->running++;
        else
            cancel_free(k);
    }
}

/* 1 if a request is on its way, or will be. */
static int request(weir_pg *c, int is_awaited)
{
    weir_pg_cancel *k = weir__pg_alloc(c, NULL, 0, sizeof *k);
    if (k == NULL)
        return 0;
    memset(k, 0, sizeof *k);
    k->api = c->api;
    k->rt = c->rt;
    k->house = c->house;
    k->alloc = c->alloc;
    k->alloc_data = c->alloc_data;
    k->handle = PQgetCancel(c->pg);
    if (k->handle == NULL) {
        cancel_free(k);
        return 0;
    }
    if (is_awaited) {
        k->owner = c;
        c->cancel = k;
    }
    weir_list_push(&c->house->queue, &k->link);
    begin_next(c->house);
    return 1;
}

void weir__pg_cancel_and_forget(weir_pg *c)
{
    if (c->cancel != NULL) {
        c->cancel->owner = NULL; /* it goes on by itself */
        c->cancel = NULL;
    } else {
        request(c, 0);
    }
}

void weir__pg_cancel_end(weir_pg *c)
{
    weir_pg_cancel *k = c->cancel;
    c->api->timer_unset(c->rt, &c->grace);
    c->api->timer_unset(c->rt, &c->again);
    if (k == NULL)
        return;
    k->owner = NULL;
    c->cancel = NULL;
    if (weir_link_is_linked(&k->link)) {
        weir_link_remove(&k->link);
        cancel_free(k);
    }
}

/* --- reading to the end ---------------------------------------------------------------------- */
/* 1: go on, 0: wait for more, or it is lost. */
static int drop_one(weir_pg *c)
{
    PGresult *r;
    ExecStatusType status;
    char *chunk;
    int n;

    if (c->is_copying) {
        while ((n = PQgetCopyData(c->pg, &chunk, 1)) > 0)
            PQfreemem(chunk);
        if (n == 0)
            return 0;
        c->is_copying = 0;
        return 1;
    }
    r = PQgetResult(c->pg);
    if (r == NULL) {
        if (c->mode == MODE_PIPELINE && c->has_result) {
            c->has_result = 0;
            return 1;
        }
        c->is_drained = c->mode != MODE_PIPELINE;
        return 0;
    }
    c->has_result = 1;
    weir__pg_note_command(c, r);
    status = PQresultStatus(r);
    PQclear(r);
    if (status == PGRES_COMMAND_OK && c->preparing != 0)
        weir__pg_drop_later(c, c->preparing); /* who asked for it will never know */
    if (status == PGRES_PIPELINE_SYNC) {
        c->has_result = 0;
        if (--c->syncs == 0) {
            PQexitPipelineMode(c->pg);
            c->is_drained = 1;
            return 0;
        }
    } else if (c->mode == MODE_PIPELINE && weir__pg_is_copy(status)) {
        weir__pg_lose_to_copy(c);
        return 0;
    } else if (status == PGRES_COPY_IN) {
        return weir__pg_end_copy(c, "cancelled");
    } else if (weir__pg_is_copy(status)) {
        c->is_copying = 1;
    }
    return 1;
}

void weir__pg_recover(weir_pg *c)
{
    while (c->state == PG_RECOVERING && !c->is_drained && !PQisBusy(c->pg) && drop_one(c))
        ;
    if (c->state != PG_RECOVERING || !c->is_drained || c->cancel != NULL)
        return;
    weir__pg_cancel_end(c);
    c->state = PG_READY;
    c->mode = MODE_RESULT;
    weir__pg_wake(c, WEIR_GRANTED);
}

void weir__pg_abandon(weir_pg *c)
{
    if (c->state != PG_BUSY)
        return;
    weir__pg_clear(c);
    c->state = PG_RECOVERING;
    c->is_drained = 0;
    if (c->mode == MODE_PIPELINE && !c->is_ended) {
        if (!PQpipelineSync(c->pg)) {
            weir__pg_lose(c, NULL);
            return;
        }
        c->syncs++;
    }
    if (c->mode == MODE_COPY_IN && c->is_copying) {
        if (!weir__pg_end_copy(c, "cancelled"))
            return;
    } else if (!weir__pg_flush(c)) {
        return;
    }
    weir__pg_recover(c);
    if (c->state != PG_RECOVERING)
        return;
    if (!request(c, 1)) {
        weir__pg_lose(c, "not enough memory to cancel a command");
        return;
    }
    c->pause = FIRST_PAUSE;
    c->api->timer_set(c->rt, &c->grace, c->api->after(c->rt, c->grace_time));
    weir__pg_watch(c);
}

static void ask_again(weir_runtime *rt, weir_timer *timer)
{
    weir_pg *c = weir_container(timer, weir_pg, again);
    (void)rt;
    request(c, 1); /* without memory for it the grace goes on */
}

static void grace_is_over(weir_runtime *rt, weir_timer *timer)
{
    weir_pg *c = weir_container(timer, weir_pg, grace);
    (void)rt;
    weir__pg_lose(c, "the server did not end a cancelled command in time");
}

void weir__pg_cancel_init(weir_pg *c)
{
    c->api->timer_init(&c->grace, grace_is_over);
    c->api->timer_init(&c->again, ask_again);
}

weir_pg_house *weir__pg_house(lua_State *L)
{
    static const char key = 0;
    weir_pg_house *house;
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &key) == LUA_TNIL) {
        house = lua_newuserdatauv(L, sizeof *house, 0);
        weir_list_init(&house->queue);
        house->running = 0;
        lua_rawsetp(L, LUA_REGISTRYINDEX, &key);
    } else {
        house = lua_touserdata(L, -1);
    }
    lua_pop(L, 1);
    return house;
}
