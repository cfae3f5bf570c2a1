/* http/curl_receive.c - what curl calls during a transfer: header lines in, data in and out.
 *
 * Header lines are kept as they came; they become Lua values when the task asks. A block of
 * lines counts from its status line to the empty one: 1xx blocks are replaced by what follows,
 * and lines after the body (trailers) are not kept.
 * Backpressure: over READ_AHEAD bytes that nobody has read, data is refused and curl stops reading
 * the connection; without bytes to send it stops writing. weir__transfer_resume undoes both.
 * A callback ends nothing: it says no, and curl's verdict comes by the multi handle.
 */
#include "curl.h"
#include <string.h>
#include <strings.h>

#define RESERVE_AT_MOST (1024 * 1024)

static int is_redirect_status(const weir_transfer *t)
{
    switch (t->http_status) {
    case 301:
    case 302:
        return !t->is_upload || t->verb == VERB_POST;
    case 303:
        return 1;
    case 307:
    case 308:
        return !t->is_upload; /* a body that was streamed cannot be sent again */
    default:
        return 0;
    }
}

static void head_ended(weir_transfer *t)
{
    curl_off_t length = -1;
    t->in_head = 0;
    if (t->http_status < 200)
        return;
    if (t->has_location && t->redirects_left >= 0 && is_redirect_status(t)) {
        t->is_redirect = 1;
        return;
    }
    t->has_head = 1;
    if (t->verb != VERB_HEAD)
        curl_easy_getinfo(t->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    if (length > 0 && !t->is_stream && (uint64_t)length <= t->max_body)
        weir__buffer_reserve(t->client, &t->data, /* a failure shows when the data comes */
                             length < RESERVE_AT_MOST ? (size_t)length : RESERVE_AT_MOST);
    if (t->waiter != NULL && weir__transfer_has(t, t->wants))
        weir__transfer_wake(t, WEIR_GRANTED);
}

static size_t on_header(char *line, size_t one, size_t size, void *data)
{
    weir_transfer *t = data;
    (void)one;
    if (!t->in_head) {
        const char *p;
        if (size < 5 || memcmp(line, "HTTP/", 5) != 0 || t->has_head || t->is_redirect)
            return size;
        t->in_head = 1;
        t->head.size = 0;
        t->http_status = 0;
        t->has_location = 0;
        p = memchr(line, ' ', size);
        for (int i = 1; p != NULL && i <= 3 && p + i < line + size; i++)
            if (p[i] >= '0' && p[i] <= '9')
                t->http_status = t->http_status * 10 + (unsigned)(p[i] - '0');
    }
    if (size <= 2 && (line[0] == '\r' || line[0] == '\n')) {
        head_ended(t);
        return size;
    }
    if (t->head.size + size > WEIR_HTTP_MAX_HEADERS) {
        t->fault = FAULT_HEADERS;
        return 0;
    }
    if (size > 10 && strncasecmp(line, "location:", 9) == 0)
        for (size_t i = 9; i < size; i++)
            if ((unsigned char)line[i] > ' ')
                t->has_location = 1;
    if (weir__buffer_append(t->client, &t->head, line, size) != 0) {
        t->fault = FAULT_MEMORY;
        return 0;
    }
    return size;
}

static size_t on_data(char *bytes, size_t one, size_t size, void *data)
{
    weir_transfer *t = data;
    (void)one;
    if (t->is_redirect || size == 0)
        return size;
    if (size > t->max_body || t->received > t->max_body - size) {
        t->fault = FAULT_BODY;
        return 0;
    }
    if (t->is_stream && t->data.size >= WEIR_HTTP_READ_AHEAD) {
        t->recv_paused = 1;
        return CURL_WRITEFUNC_PAUSE;
    }
    if (weir__buffer_append(t->client, &t->data, bytes, size) != 0) {
        t->fault = FAULT_MEMORY;
        return 0;
    }
    t->received += size;
    if (t->waiter != NULL && t->wants == WANT_DATA)
        weir__transfer_wake(t, WEIR_GRANTED);
    return size;
}

static size_t on_read(char *room, size_t one, size_t size, void *data)
{
    weir_transfer *t = data;
    size_t n = t->upload.size - t->upload_start;
    size *= one;
    if (n == 0) {
        if (t->upload_ended)
            return 0;
        t->send_paused = 1;
        return CURL_READFUNC_PAUSE;
    }
    if (n > size)
        n = size;
    memcpy(room, t->upload.data + t->upload_start, n);
    t->upload_start += n;
    if (t->upload_start == t->upload.size)
        t->upload_start = t->upload.size = 0;
    if (t->waiter != NULL && t->wants == WANT_ROOM && weir__transfer_has(t, WANT_ROOM))
        weir__transfer_wake(t, WEIR_GRANTED);
    return n;
}

/* The connection stands and says whether it is HTTP/2; the request is about to be sent. */
static int on_connection(void *data, char *to, char *from, int to_port, int from_port)
{
    weir_transfer *t = data;
    weir_origin *o = t->origin;
    (void)to;
    (void)from;
    (void)to_port;
    (void)from_port;
    if (!o->is_known && o->at.secure) {
        o->is_known = 1;
        weir_list_push(&t->client->opened, &o->opened);
    }
    return CURL_PREREQFUNC_OK;
}

void weir__transfer_resume(weir_transfer *t)
{
    int before = (t->recv_paused ? CURLPAUSE_RECV : 0) | (t->send_paused ? CURLPAUSE_SEND : 0),
        after;
    CURLcode rc;
    if (t->state != TRANSFER_ACTIVE || before == 0)
        return;
    if (t->data.size < WEIR_HTTP_READ_AHEAD)
        t->recv_paused = 0;
    if (t->upload.size > t->upload_start || t->upload_ended)
        t->send_paused = 0;
    after = (t->recv_paused ? CURLPAUSE_RECV : 0) | (t->send_paused ? CURLPAUSE_SEND : 0);
    if (after == before)
        return;
    rc = curl_easy_pause(t->easy, after); /* may call on_data, which may pause again */
    if (rc != CURLE_OK && rc != CURLE_BAD_FUNCTION_ARGUMENT) /* the latter: it has no connection */
        weir__transfer_done(t, rc);
}

void weir__transfer_set_callbacks(weir_transfer *t)
{
    CURL *e = t->easy;
    curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(e, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(e, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(e, CURLOPT_READFUNCTION, on_read);
    curl_easy_setopt(e, CURLOPT_READDATA, t);
    curl_easy_setopt(e, CURLOPT_PREREQFUNCTION, on_connection);
    curl_easy_setopt(e, CURLOPT_PREREQDATA, t);
}
