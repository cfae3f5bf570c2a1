/* http/curl_client.c - admission: who may start, and what happens when descriptors run out.
 *
 * A request takes a slot of its host, then one of the client, each first come, first served;
 * a redirect gives both back and queues anew, so that nobody holds one while it waits for the
 * other. Until the first connection to an https origin has settled whether it speaks HTTP/2, one
 * request goes ahead and the others wait for that: they then share its connection.
 *
 * Descriptors: `max` stays below the limit of the process less a reserve. Others may use up the
 * rest all the same; then the request that got none goes back to the head of the queue, `room`
 * shrinks to what is open (curl then closes an idle connection for a new one), and every request
 * that ends well widens it again by one. Other clients with nothing under way close theirs.
 */
#include "curl.h"
#include <string.h>

#define RETRY_AFTER (WEIR_SECOND / 20)
#define MAX_STARVED 40 /* in a row, with nothing of ours open: two seconds */

static uint32_t host_room(const weir_client *c, const weir_origin *o)
{
    return o->at.secure && !o->is_known ? 1 : c->max_per_host;
}

/* A slot of its host is free: next, one of the client's. */
static void enter_slot(weir_client *c, weir_transfer *t, int first)
{
    t->origin->held++;
    t->state = TRANSFER_SLOT;
    c->waiting++;
    if (first)
        weir_list_push_front(&c->queue, &t->link);
    else
        weir_list_push(&c->queue, &t->link);
}

static void refill(weir_client *c, weir_origin *o)
{
    while (o->held < host_room(c, o) && !weir_list_is_empty(&o->waiting)) {
        c->waiting--;
        enter_slot(c, weir_container(weir_list_pop(&o->waiting), weir_transfer, link), 0);
    }
}

/* Start what may start. Called from inside itself (a start can end at once) it leaves the work
 * to the outer call, or a long queue for a host that fails would be as deep a stack. */
static void admit(weir_client *c)
{
    if (c->is_admitting)
        return;
    c->is_admitting = 1;
    for (;;) {
        weir_link *k;
        while ((k = weir_list_pop(&c->opened)) != NULL)
            refill(c, weir_container(k, weir_origin, opened));
        if (c->held >= c->room || (k = weir_list_pop(&c->queue)) == NULL)
            break;
        weir_transfer *t = weir_container(k, weir_transfer, link);
        int rc;
        c->waiting--;
        c->held++;
        t->state = TRANSFER_NAME;
        rc = weir__origin_need(t->dial, t);
        if (rc > 0)
            weir__transfer_start(t);
        else if (rc < 0)
            weir__transfer_fail(t, FAULT_NAME, rc);
    }
    c->is_admitting = 0;
}

void weir__client_submit(weir_client *c, weir_transfer *t)
{
    weir_origin *o = t->origin;
    if (o->held < host_room(c, o)) {
        enter_slot(c, t, 0);
    } else {
        t->state = TRANSFER_HOST;
        c->waiting++;
        weir_list_push(&o->waiting, &t->link);
    }
    admit(c);
}

int weir__client_is_full(const weir_client *c, const weir_transfer *t)
{
    return c->waiting >= c->max_waiting &&
           (c->held >= c->room || t->origin->held >= host_room(c, t->origin));
}

void weir__client_withdraw(weir_client *c, weir_transfer *t)
{
    weir_origin *o = t->origin;
    int state = t->state;

    t->state = TRANSFER_SET;
    if (state == TRANSFER_HOST || state == TRANSFER_SLOT) {
        weir_link_remove(&t->link);
        c->waiting--;
    } else if (state == TRANSFER_NAME) {
        weir__origin_leave(t->dial, t);
        c->held--;
    } else if (state == TRANSFER_ACTIVE) {
        curl_multi_remove_handle(c->multi, t->easy);
        c->held--;
    }
    if (state == TRANSFER_SLOT || state == TRANSFER_NAME || state == TRANSFER_ACTIVE) {
        o->held--;
        refill(c, o);
        admit(c);
        weir__client_linger(c);
    }
}

static void widen(weir_client *c)
{
    c->n_starved = 0;
    if (c->room < c->max) {
        c->room++;
        if (c->multi != NULL)
            curl_multi_setopt(c->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)c->room);
    }
}

/* Close the connections of clients that make no use of them; 1 if there were any. */
static int borrow_descriptors(const weir_client *c)
{
    int found = 0;
    for (weir_link *k = weir_list_first(c->house); k != NULL; k = weir_list_next(c->house, k)) {
        weir_client *other = weir_container(k, weir_client, member);
        if (other->rt == c->rt && other->held == 0 && other->n_open > 0) {
            weir__client_drop_multi(other);
            found = 1;
        }
    }
    return found;
}

int weir__client_starve(weir_client *c, weir_transfer *t)
{
    int found = borrow_descriptors(c);
    if (!found && c->held == 1 && ++c->n_starved > MAX_STARVED)
        return 0;
    c->is_admitting = 1; /* its own slots are not for others: it is first */
    weir__client_withdraw(c, t);
    c->is_admitting = 0;
    c->stats.requests--; /* it starts again */
    enter_slot(c, t, 1);
    c->room = c->held > 0 ? c->held : 1;
    curl_multi_setopt(c->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS,
                      c->n_open > 1 ? (long)c->n_open : 1L);
    if (c->held == 0 && found) {
        admit(c);
    } else if (c->held == 0) {
        c->api->timer_set(c->rt, &c->retry, c->api->after(c->rt, RETRY_AFTER));
        c->room = 0; /* until then */
    }
    return 1;
}

static void retry(weir_runtime *rt, weir_timer *timer)
{
    weir_client *c = weir_container(timer, weir_client, retry);
    (void)rt;
    if (c->room == 0)
        c->room = 1;
    admit(c);
}

/* The multi handle itself failed: end what it has, and make a new one when one is needed. */
static void collapse(weir_client *c)
{
    weir_list ended;
    weir_list_init(&ended);
    for (weir_link *k = weir_list_first(&c->busy), *next; k != NULL; k = next) {
        weir_transfer *t = weir_container(k, weir_transfer, busy);
        next = weir_list_next(&c->busy, k);
        if (t->state == TRANSFER_ACTIVE) {
            weir_link_remove(k);
            weir_list_push(&ended, k);
        }
    }
    c->is_admitting = 1;
    for (weir_link *k; (k = weir_list_pop(&ended)) != NULL;) {
        weir_list_push(&c->busy, k);
        weir__transfer_fail(weir_container(k, weir_transfer, busy), FAULT_MEMORY, 0);
    }
    c->is_admitting = 0;
    weir__client_drop_multi(c);
    c->is_broken = 0;
    admit(c);
}

static void end_faulty(weir_client *c)
{
    c->has_faults = 0;
    for (weir_link *k = weir_list_first(&c->busy), *next; k != NULL; k = next) {
        weir_transfer *t = weir_container(k, weir_transfer, busy);
        next = weir_list_next(&c->busy, k); /* ending `t` does not release it */
        if (t->state == TRANSFER_ACTIVE && t->fault != FAULT_NONE)
            weir__transfer_fail(t, t->fault, t->status);
    }
}

void weir__client_after(weir_client *c, CURLMcode rc)
{
    CURLMsg *m;
    int left;
    if (rc != CURLM_OK)
        c->is_broken = 1;
    while (c->multi != NULL && (m = curl_multi_info_read(c->multi, &left)) != NULL) {
        CURLcode code = m->data.result; /* `m` dies with the next call */
        weir_transfer *t = NULL;
        if (m->msg != CURLMSG_DONE ||
            curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &t) != CURLE_OK)
            continue;
        if (code == CURLE_OK && c->room < c->max)
            widen(c);
        weir__transfer_done(t, code);
    }
    if (c->has_faults)
        end_faulty(c);
    if (c->is_broken)
        collapse(c);
    if (!weir_list_is_empty(&c->opened))
        admit(c);
}

void weir__client_close(weir_client *c)
{
    if (c->rt == NULL)
        return;
    c->is_closed = 1;
    c->is_admitting = 1; /* nobody starts any more */
    for (weir_link *k = weir_list_first(&c->busy); k != NULL; k = weir_list_next(&c->busy, k)) {
        weir_transfer *t = weir_container(k, weir_transfer, busy);
        if (t->state != TRANSFER_ENDED) {
            weir__transfer_abort(t);
            t->fault = FAULT_CLOSED;
            weir__transfer_wake(t, WEIR_CLOSED);
        }
    }
    while (!weir_list_is_empty(&c->spare))
        weir__transfer_free(weir_container(weir_list_pop(&c->spare), weir_transfer, link));
    c->n_spare = 0;
    weir__client_drop_multi(c);
    c->api->timer_unset(c->rt, &c->retry);
}

void weir__client_init(weir_client *c)
{
    weir_list_init(&c->spare);
    weir_list_init(&c->busy);
    weir_list_init(&c->queue);
    weir_list_init(&c->opened);
    weir_list_init(&c->unused);
    weir_list_init(&c->idle);
    weir__client_init_loop(c);
    c->api->timer_init(&c->retry, retry);
}
