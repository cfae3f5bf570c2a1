/* http/mhd_refuse.c - what a request is told that no handler gets to see.
 *
 * weir__httpd_refuse answers by libmicrohttpd, which takes an answer only before a body or after
 * it. In between, and where libmicrohttpd's own answer is a bad one, weir__httpd_turn_away writes
 * to the socket itself: all that was answered before is out then, for requests are served one at
 * a time, and nothing comes after it, for the sending half is shut down.
 *
 * One bad answer is known: to a Content-Length that is no number, or too large a one,
 * libmicrohttpd 0.9.75 sends the head of its 400 or 413 twice. It logs what it found just before,
 * though not of which connection: so that one, and any other with such a header, is answered here
 * first. (One that has such a header and not yet its whole head is only refused sooner.)
 */
#include "mhd.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define RETRY_AFTER "1"            /* seconds */
#define CLOSE_NS (2 * WEIR_SECOND) /* for a client whose head was answered before it was whole */

#define api weir__httpd_api

static void count(httpd_conn *c, unsigned status)
{
    httpd_server *s = c->server;
    if (status == MHD_HTTP_CONTENT_TOO_LARGE)
        s->n.refused_body++;
    else if (status == MHD_HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE)
        s->n.refused_head++;
    else if (status == MHD_HTTP_REQUEST_TIMEOUT)
        s->n.timeouts++;
    else if (status != MHD_HTTP_SERVICE_UNAVAILABLE)
        s->n.refused_malformed++;
    else if (c->phase == HTTPD_READY)
        s->n.refused_closing++;
    else
        s->n.refused_buffered++;
}

void weir__httpd_refuse(httpd_conn *c, unsigned status)
{
    const char *text = MHD_get_reason_phrase_for(status);
    struct MHD_Response *r =
        MHD_create_response_from_buffer(strlen(text), (void *)text, MHD_RESPMEM_PERSISTENT);
    count(c, status);
    api->timer_unset(c->server->rt, &c->due);
    c->phase = HTTPD_LOST;
    c->lingers = 1;
    if (r == NULL)
        return;
    if ((status != MHD_HTTP_SERVICE_UNAVAILABLE ||
         (MHD_add_response_header(r, MHD_HTTP_HEADER_CONNECTION, "close") == MHD_YES &&
          MHD_add_response_header(r, MHD_HTTP_HEADER_RETRY_AFTER, RETRY_AFTER) == MHD_YES)) &&
        MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, "text/plain") == MHD_YES &&
        MHD_queue_response(c->mhd, status, r) == MHD_YES)
        c->phase = HTTPD_ANSWERED;
    MHD_destroy_response(r);
}

void weir__httpd_turn_away(httpd_conn *c, unsigned status)
{
    httpd_server *s = c->server;
    char answer[256];
    const char *text = MHD_get_reason_phrase_for(status);
    int n =
        snprintf(answer, sizeof answer,
                 "HTTP/1.1 %u %s\r\nConnection: close\r\n%sContent-Type: text/plain\r\n"
                 "Content-Length: %zu\r\n\r\n%s",
                 status, text,
                 status == MHD_HTTP_SERVICE_UNAVAILABLE ? "Retry-After: " RETRY_AFTER "\r\n" : "",
                 strlen(text), c->is_head ? "" : text);
    count(c, status);
    api->timer_set(s->rt, &c->due, api->after(s->rt, CLOSE_NS));
    c->phase = HTTPD_LOST;
    c->lingers = 1;
    /* A client whose window is full with an earlier answer does without this one. */
    if (n > 0 && (size_t)n < sizeof answer)
        (void)!send(c->fd, answer, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
    shutdown(c->fd, SHUT_WR);
}

void weir__httpd_on_log(void *cls, const char *format, va_list arguments)
{
    httpd_server *s = cls;
    (void)arguments;
    if (strstr(format, MHD_HTTP_HEADER_CONTENT_LENGTH) == NULL)
        return;
    for (weir_link *link = weir_list_first(&s->conns); link != NULL;
         link = weir_list_next(&s->conns, link)) {
        httpd_conn *c = weir_container(link, httpd_conn, link);
        const char *length;
        if (c->phase != HTTPD_HEAD)
            continue;
        length =
            MHD_lookup_connection_value(c->mhd, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);
        if (length == NULL || weir__httpd_is_length(length))
            continue;
        weir__httpd_turn_away(c, length[strspn(length, "0123456789")] == '\0' && *length != '\0'
                                     ? MHD_HTTP_CONTENT_TOO_LARGE
                                     : MHD_HTTP_BAD_REQUEST);
    }
}
