/* postgres/pg_loop.c - what happens on the socket: read, send, collect results, wake who waits.
 *
 * libpq does no waiting here: its socket is non-blocking, a result is asked for only when it is
 * not "busy", and what it cannot send now it sends when the socket says so. What is read follows
 * from who waits (weir__pg_watch): nobody, and the server has to stop. An idle socket is watched
 * for its end, without keeping the loop alive.
 *
 * TLS decrypts whole records, so libpq can leave bytes behind that the socket does not show any
 * more. Hence with TLS we read on until the socket had nothing before the last read: libpq always
 * makes room for 8 KiB, and no more than that can be left of a record that did not fit at first.
 * An idle connection is read like that too: the server's last words and its end are seen at once.
 */
#include "pg.h"
#include <poll.h>
#include <stdio.h>
#include <string.h>

void weir__pg_wake(weir_pg *c, weir_status status)
{
    weir_waiter *w = c->waiter;
    if (w == NULL)
        return;
    c->waiter = NULL;
    c->api->waiter_settle(c->rt, w, status);
}

/* --- losing it ------------------------------------------------------------------------------- */
static int is_error(const PGresult *r)
{
    ExecStatusType status = PQresultStatus(r);
    return status == PGRES_FATAL_ERROR || status == PGRES_BAD_RESPONSE ||
           status == PGRES_PIPELINE_ABORTED;
}

/* `r` (taken) if with these words the server broke off (not libpq's words, and no mere error of a
 * statement); else NULL. */
static PGresult *only_if_said(PGresult *r)
{
    const char *severity = PQresultErrorField(r, PG_DIAG_SEVERITY_NONLOCALIZED);
    if (severity != NULL && (strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0))
        return r;
    PQclear(r);
    return NULL;
}

/* The server may have said why before it broke off: then that is the reason. */
static void find_reason(weir_pg *c)
{
    PGresult *r = only_if_said(c->error);
    c->error = NULL;
    while (r == NULL && c->n_results > 0)
        r = only_if_said(c->results[--c->n_results]);
    if (c->fault.text == NULL) { /* else a notice has said it, see pg_listen.c */
        char line[256];
        const char *text = PQerrorMessage(c->pg); /* its further lines are guesses */
        snprintf(line, sizeof line, "%.*s", (int)strcspn(text, "\n"), text);
        weir__pg_set_fault(c, "network", NULL, line);
    }
    for (int i = 0; r == NULL && i < 1000 && PQstatus(c->pg) == CONNECTION_BAD; i++) {
        r = PQgetResult(c->pg); /* does not block: there is no socket any more */
        if (r == NULL)
            break;
        r = only_if_said(r);
    }
    if (r != NULL) {
        const char *text = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
        weir__pg_set_fault(c, "network", PQresultErrorField(r, PG_DIAG_SQLSTATE),
                           text != NULL ? text : PQresultErrorMessage(r));
    }
    PQclear(r);
}

static void wake_all(weir_pg *c)
{
    weir__pg_wake(c, WEIR_GRANTED);
    for (weir_link *k; (k = weir_list_pop(&c->listeners)) != NULL;)
        c->api->waiter_settle(c->rt, weir_container(k, weir_waiter, link), WEIR_CLOSED);
}

void weir__pg_lose(weir_pg *c, const char *text)
{
    if (c->state >= PG_LOST)
        return;
    if (text != NULL)
        weir__pg_set_fault(c, "network", NULL, text);
    else
        find_reason(c);
    weir__pg_cancel_end(c);
    weir__pg_close_poll(c);
    weir__pg_clear(c);
    PQfinish(c->pg);
    c->pg = NULL;
    c->state = PG_LOST;
    wake_all(c);
}

/* --- reading and sending --------------------------------------------------------------------- */
static int is_readable(const weir_pg *c)
{
    struct pollfd p = {.fd = PQsocket(c->pg), .events = POLLIN};
    return poll(&p, 1, 0) > 0;
}

int weir__pg_read(weir_pg *c)
{
    for (int i = 0, more = 1; more && i < 4; i++) {
        more = (c->is_buffered || c->state == PG_READY) && is_readable(c);
        if (!PQconsumeInput(c->pg)) {
            weir__pg_lose(c, NULL);
            return 0;
        }
    }
    return 1;
}

int weir__pg_flush(weir_pg *c)
{
    int rc = PQflush(c->pg);
    if (rc < 0) {
        weir__pg_lose(c, NULL);
        return 0;
    }
    c->is_flushing = rc > 0;
    if (rc == 0)
        c->unsent = 0;
    return 1;
}

void weir__pg_lose_to_copy(weir_pg *c)
{
    weir__pg_set_fault(c, "misuse", NULL,
                       "a COPY cannot be in a pipeline; the connection had to be closed");
    weir__pg_lose(c, NULL);
}

int weir__pg_end_copy(weir_pg *c, const char *message)
{
    if (PQputCopyEnd(c->pg, message) <= 0) {
        weir__pg_lose(c, PQerrorMessage(c->pg));
        return 0;
    }
    c->is_copying = 0;
    return weir__pg_flush(c);
}

/* --- collecting ------------------------------------------------------------------------------ */
void weir__pg_clear(weir_pg *c)
{
    for (size_t i = 0; i < c->n_results; i++)
        PQclear(c->results[i]);
    PQclear(c->result);
    PQclear(c->error);
    c->result = c->error = NULL;
    c->n_results = c->n_commands = 0;
}

static int has_tag(const char *tag, const char *word)
{
    return strcmp(tag, word) == 0;
}

void weir__pg_note_command(weir_pg *c, const PGresult *r)
{
    const char *tag;
    if (PQresultStatus(r) != PGRES_COMMAND_OK)
        return;
    tag = PQcmdStatus((PGresult *)r); /* reads it only */
    if (has_tag(tag, "LISTEN"))
        c->is_listening = 1;
    else if (has_tag(tag, "SET"))
        c->is_dirty = 1;
    else if (has_tag(tag, "DISCARD ALL"))
        c->is_listening = c->is_dirty = 0;
    if ((has_tag(tag, "DISCARD ALL") || has_tag(tag, "DEALLOCATE ALL")) && ++c->generation == 0)
        c->generation = 1;
}

static void keep(weir_pg *c, PGresult *r)
{
    lua_Integer affected;
    weir__pg_note_command(c, r);
    if (is_error(r)) {
        if (c->error == NULL)
            c->error = r;
        else
            PQclear(r);
        return;
    }
    affected = weir__pg_affected(r);
    if (affected >= 0)
        c->affected = affected + (c->affected > 0 ? c->affected : 0);
    if (c->result == NULL && c->op != OP_EXEC)
        c->result = r;
    else
        PQclear(r);
}

int weir__pg_is_copy(ExecStatusType status)
{
    return status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH;
}

/* What of a COPY TO STDOUT is there, thrown away: 1 at its end, 0 if more has to come. */
static int throw_copy_away(weir_pg *c)
{
    char *chunk;
    int n;
    while ((n = PQgetCopyData(c->pg, &chunk, 1)) > 0)
        PQfreemem(chunk);
    return n != 0;
}

/* 1 if it changes nothing for who collects, 0 if the wait is over or the connection lost. */
static int meet_copy(weir_pg *c, ExecStatusType status)
{
    int wanted = c->mode == MODE_COPY_IN    ? status == PGRES_COPY_IN
                 : c->mode == MODE_COPY_OUT ? status == PGRES_COPY_OUT
                                            : 0;
    c->is_copying = 1;
    if (wanted) {
        weir__pg_wake(c, WEIR_GRANTED);
        return 0;
    }
    c->is_stray = 1;
    if (status == PGRES_COPY_IN)
        return weir__pg_end_copy(c, "no data: a COPY is for copy_in");
    return 1;
}

void weir__pg_become_ready(weir_pg *c)
{
    c->state = PG_READY;
    c->mode = MODE_RESULT;
    weir__pg_watch(c);
    weir__pg_wake(c, WEIR_GRANTED);
}

static void collect(weir_pg *c)
{
    while (c->state == PG_BUSY && !PQisBusy(c->pg)) {
        PGresult *r;
        ExecStatusType status;
        if (c->is_stray && c->is_copying) {
            if (!throw_copy_away(c))
                return;
            c->is_copying = 0;
            continue;
        }
        r = PQgetResult(c->pg);
        if (r == NULL) {
            weir__pg_become_ready(c);
            return;
        }
        status = PQresultStatus(r);
        if (weir__pg_is_copy(status)) {
            PQclear(r);
            if (!meet_copy(c, status))
                return;
        } else {
            keep(c, r);
        }
    }
}

static void collect_pipeline(weir_pg *c)
{
    while (c->state == PG_BUSY && !PQisBusy(c->pg)) {
        PGresult *r = PQgetResult(c->pg);
        if (weir__pg_is_copy(PQresultStatus(r))) { /* libpq would say so for ever */
            PQclear(r);
            weir__pg_lose_to_copy(c);
            return;
        }
        if (r == NULL && !c->has_result)
            return; /* nothing was sent that is not answered */
        c->has_result = r != NULL;
        if (r == NULL)
            continue;
        if (PQresultStatus(r) == PGRES_PIPELINE_SYNC) {
            PQclear(r);
            c->has_result = 0;
            if (--c->syncs == 0 && c->is_ended) {
                PQexitPipelineMode(c->pg);
                weir__pg_become_ready(c);
                return;
            }
        } else if (c->n_results < c->n_commands) {
            weir__pg_note_command(c, r);
            c->results[c->n_results++] = r;
        } else {
            PQclear(r);
        }
    }
}

void weir__pg_pump(weir_pg *c)
{
    weir__pg_take_notes(c);
    if (c->state == PG_RECOVERING) {
        weir__pg_recover(c);
        return;
    }
    if (c->state != PG_BUSY)
        return;
    if (c->mode == MODE_ROWS) {
        if (c->wants == WANT_ROW && !PQisBusy(c->pg))
            weir__pg_wake(c, WEIR_GRANTED);
        return;
    }
    if (c->mode == MODE_PIPELINE)
        collect_pipeline(c);
    else if (!c->is_copying || c->is_stray)
        collect(c);
    else if (c->wants == WANT_COPY && c->mode == MODE_COPY_OUT)
        weir__pg_wake(c, WEIR_GRANTED); /* to look at what came */
    if (c->state == PG_BUSY && c->wants == WANT_ROOM && c->unsent < WEIR_PG_UNSENT)
        weir__pg_wake(c, WEIR_GRANTED);
}

/* --- watching -------------------------------------------------------------------------------- */
/* In these libpq takes what we give it even when the connection is gone: only reading shows that.
 */
static int is_sending(const weir_pg *c)
{
    return c->mode == MODE_PIPELINE || c->mode == MODE_COPY_IN;
}

/* Idle: nothing that comes is anybody's, but the end of the connection must be seen before the next
 * command. Not where the server may send notifications, which would pile up here while nobody takes
 * them. */
static int is_idle(const weir_pg *c)
{
    return c->state == PG_READY && weir_list_is_empty(&c->listeners);
}

static int may_get_more(const weir_pg *c)
{
    return c->is_listening || c->n_notes > c->n_granted;
}

static void keep_alive(weir_pg *c, int on)
{
    if (on == c->keeps_alive)
        return;
    c->keeps_alive = (uint8_t)on;
    c->api->poll_keep_alive(c->poll, on);
}

void weir__pg_watch(weir_pg *c)
{
    int events = 0, rc;
    if (c->poll == NULL)
        return;
    if (c->state == PG_DIALLING)
        events = weir__pg_dial_events(c);
    else if (c->state == PG_RECOVERING ||
             (c->state == PG_BUSY && (c->waiter != NULL || is_sending(c))) ||
             (c->state == PG_READY && (!is_idle(c) || !may_get_more(c))))
        events = WEIR_READABLE;
    if (c->is_flushing && (c->state == PG_BUSY || c->state == PG_RECOVERING))
        events |= WEIR_WRITABLE;
    keep_alive(c, !is_idle(c));
    if (events == c->watched)
        return;
    rc = c->api->poll_set(c->poll, events);
    if (rc != 0) {
        weir__pg_lose(c, c->api->error_text(rc));
        return;
    }
    c->watched = events;
}

static void on_event(weir_poll *poll, int status, int events, void *data)
{
    weir_pg *c = data;
    (void)poll;
    (void)events;
    if (status < 0)
        c->watched = 0; /* libuv looks no more; the reason is in the next read */
    if (c->state == PG_DIALLING) {
        weir__pg_dial_on(c);
        return;
    }
    if (!weir__pg_read(c) || (c->is_flushing && !weir__pg_flush(c)))
        return;
    weir__pg_pump(c);
    weir__pg_watch(c);
    weir__pg_tell_notices(c); /* last: a handler may do anything to `c` */
}

int weir__pg_open_poll(weir_pg *c)
{
    int fd = PQsocket(c->pg);
    c->watched = 0;
    c->keeps_alive = 1;
    return fd < 0 ? WEIR_EINVAL : c->api->poll_new(c->rt, fd, on_event, c, &c->poll);
}

void weir__pg_close_poll(weir_pg *c)
{
    c->api->poll_free(c->poll);
    c->poll = NULL;
    c->watched = 0;
}
