/* postgres/pg_cancel.c - a command that its task gave up: cancelled on the server, read to its end.
 *
 * A request that comes before the server has begun with the command is ignored there: so it is made
 * again, after pauses that double, until the results are read or the grace is over.
 *
 * The connection is READY again when the results are read and the request is over: the server
 * signals before it lets go of the request's connection, so no cancel can hit a later command.
 */
#include "pg.h"
#include <string.h>

#define FIRST_PAUSE (WEIR_SECOND / 20)

void weir__pg_asked(weir_pg *c)
{
    weir__pg_recover(c);
    weir__pg_watch(c);
    if (c->state == PG_RECOVERING) { /* it came too soon, or the results are long */
        c->api->timer_set(c->rt, &c->again, c->api->after(c->rt, c->pause));
        c->pause *= 2;
    }
}

void weir__pg_cancel_and_forget(weir_pg *c)
{
    if (c->cancel != NULL)
        weir__pg_request_forget(c, 0); /* it goes on by itself */
    else
        weir__pg_request(c, 0);
}

void weir__pg_cancel_end(weir_pg *c)
{
    c->api->timer_unset(c->rt, &c->grace);
    c->api->timer_unset(c->rt, &c->again);
    weir__pg_request_forget(c, 1);
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
    weir__pg_become_ready(c);
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
    if (!weir__pg_request(c, 1)) {
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
    weir__pg_request(c, 1); /* without memory for it the grace goes on */
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
