/* sync/rate.c - the queue over token buckets and windows.
 *
 * Every way in which the head of the queue or a limit changes (time, a ticket that leaves, new
 * rates) ends in serve(), the one place that grants. A waiter is charged for the time it is
 * granted: a loop that was late does not make up for it by a burst. A reservation is charged
 * for the time it is due: whoever made it acts then, and nobody looks at the bucket.
 */
#include <weir/rate.h>

#include "../sched/internal.h"
#include "foresee.h"
#include "limits.h"

static const weir_wait_ops take_ops, drain_ops;

static weir_ticket *ticket_at(weir_link *k)
{
    return (weir_ticket *)(void *)k;
}

static uint64_t due_of(const weir_rate *r, const weir_ticket *t)
{
    return weir__limits_due(r->part, r->parts, t->n, r->at);
}

static void charge(weir_rate *r, double n, uint64_t now)
{
    if (now > r->charged) {
        r->charged = now;
        r->era++;
    }
    r->stats.grants++;
    weir__limits_charge(r->part, r->parts, n, now,
                        r->era > r->mark && !weir_list_is_empty(&r->granted));
}

/* --- tickets -------------------------------------------------------------------------- */

static weir_ticket *ticket_new(weir_rate *r, double n)
{
    weir_link *k = weir_list_pop(&r->spare);
    weir_ticket *t = k != NULL ? ticket_at(k) : weir_alloc(r->rt, NULL, 0, sizeof *t);
    if (t == NULL)
        return NULL;
    *t = (weir_ticket){.of = r, .n = n, .since = r->rt->now};
    weir_link_init(&t->link);
    return t;
}

static void enqueue(weir_rate *r, weir_ticket *t)
{
    *(t->waiter != NULL ? &r->waiting : &r->reserved) += 1;
    r->stats.queued++;
    weir__limits_enqueue(r->part, r->parts, t->n);
    weir_list_push(&r->queue, &t->link);
    weir__foresee_enter(r, t);
}

/* Out of the queue at time `when`, into `state`. */
static void dequeue(weir_rate *r, weir_ticket *t, weir_ticket_state state, uint64_t when)
{
    weir__foresee_leave(r, t, state == WEIR_TICKET_GRANTED ? when : WEIR_FOREVER);
    *(t->waiter != NULL ? &r->waiting : &r->reserved) -= 1;
    weir__limits_dequeue(r->part, r->parts, t->n);
    weir_link_remove(&t->link);
    weir_histogram_record(&r->stats.wait, when - t->since);
    t->state = (uint8_t)state;
    if (t->waiter == NULL || state != WEIR_TICKET_GRANTED) {
        weir_list_push(t->kept ? &r->ended : &r->spare, &t->link);
        return;
    }
    if (weir_list_is_empty(&r->granted)) {
        r->mark = r->era;
        weir__limits_mark(r->part, r->parts);
    }
    t->era = r->era;
    weir_list_push(&r->granted, &t->link);
}

void weir_ticket_free(weir_ticket *t)
{
    t->kept = 0;
    if (t->state == WEIR_TICKET_QUEUED)
        return;
    weir_link_remove(&t->link);
    weir_list_push(&t->of->spare, &t->link);
}

static void serve(weir_rate *r)
{
    uint64_t now = r->rt->now, due = WEIR_FOREVER;
    weir_link *k;
    if (r->changing)
        return;
    while ((k = weir_list_first(&r->queue)) != NULL) {
        weir_ticket *t = ticket_at(k);
        weir_waiter *w = t->waiter;
        due = due_of(r, t);
        if (due > now)
            break;
        r->at = w != NULL ? now : due;
        charge(r, t->n, r->at);
        dequeue(r, t, WEIR_TICKET_GRANTED, r->at);
        t->since = r->at;
        if (w != NULL)
            weir_waiter_settle(r->rt, w, WEIR_GRANTED);
    }
    r->at = now;
    if (k == NULL)
        while ((k = weir_list_pop(&r->idle)) != NULL)
            weir_waiter_settle(r->rt, weir_container(k, weir_waiter, link), WEIR_GRANTED);
    else if (r->waiting > 0 || !weir_list_is_empty(&r->idle)) {
        weir_timer_set(r->rt, &r->timer, due);
        return;
    }
    weir_timer_unset(r->rt, &r->timer);
}

/* Up to the present: reservations fall due without anybody looking. */
static inline void look(weir_rate *r)
{
    if (weir_list_is_empty(&r->queue))
        r->at = r->rt->now;
    else
        serve(r);
}

static void on_timer(weir_runtime *rt, weir_timer *timer)
{
    (void)rt;
    serve(weir_container(timer, weir_rate, timer));
}

/* --- requests ------------------------------------------------------------------------- */

/* Why a request cannot even queue, or 0. */
static int refuse(weir_rate *r, double n)
{
    if (r->closed || r->draining) {
        r->stats.closes++;
        return WEIR_ECLOSED;
    }
    if (!weir__limits_can_count(r->part, r->parts, n))
        return WEIR_EINVAL;
    if (!weir__limits_fit(r->part, r->parts, n)) {
        r->stats.impossible++;
        return WEIR_EIMPOSSIBLE;
    }
    look(r);
    return 0;
}

static int can_be_had(const weir_rate *r, double n)
{
    return weir_list_is_empty(&r->queue) && weir__limits_due(r->part, r->parts, n, r->at) <= r->at;
}

int weir_rate_try(weir_rate *r, double n)
{
    int rc = weir_rate_take(r, n);
    if (rc == WEIR_EBUSY)
        r->stats.busy++;
    return rc;
}

int weir_rate_take(weir_rate *r, double n)
{
    int rc = refuse(r, n);
    if (rc != 0)
        return rc;
    if (!can_be_had(r, n))
        return WEIR_EBUSY;
    charge(r, n, r->at);
    return 0;
}

static int is_full(weir_rate *r)
{
    if (r->waiting + r->reserved < r->max_waiting)
        return 0;
    r->stats.overload++;
    return 1;
}

int weir_rate_wait(weir_rate *r, double n, weir_waiter *w, uint64_t deadline, weir_ticket **out)
{
    int rc = refuse(r, n);
    if (rc != 0)
        return rc;
    if (deadline != WEIR_FOREVER && weir__foresee_behind(r, n) > deadline) {
        r->stats.timeouts++;
        return WEIR_ETIMEOUT;
    }
    if (is_full(r))
        return WEIR_EOVERLOAD;
    weir_ticket *t = ticket_new(r, n);
    if (t == NULL)
        return WEIR_ENOMEM;
    t->waiter = w;
    /* Due and timed out in the same ns is granted: the wait's own timer comes one ns later. */
    weir_waiter_begin(r->rt, w, &take_ops, t, deadline + (deadline != WEIR_FOREVER));
    enqueue(r, t);
    serve(r);
    *out = t;
    return 0;
}

int weir_rate_reserve(weir_rate *r, double n, weir_ticket **out)
{
    int rc = refuse(r, n), now = rc == 0 && can_be_had(r, n);
    if (rc != 0)
        return rc;
    if (!now && is_full(r))
        return WEIR_EOVERLOAD;
    weir_ticket *t = ticket_new(r, n);
    if (t == NULL)
        return WEIR_ENOMEM;
    t->kept = 1;
    if (now) {
        charge(r, n, r->at);
        t->state = WEIR_TICKET_GRANTED;
        weir_list_push(&r->ended, &t->link);
    } else {
        enqueue(r, t);
    }
    *out = t;
    return 0;
}

uint64_t weir_ticket_delay(weir_ticket *t)
{
    weir_rate *r = t->of;
    look(r);
    if (t->state == WEIR_TICKET_GRANTED)
        return 0;
    if (t->state != WEIR_TICKET_QUEUED)
        return WEIR_FOREVER;
    uint64_t due = weir__foresee(r, t);
    return due == WEIR_FOREVER ? due : due - r->at;
}

int weir_ticket_cancel(weir_ticket *t)
{
    weir_rate *r = t->of;
    look(r);
    if (t->state != WEIR_TICKET_QUEUED)
        return 0;
    dequeue(r, t, WEIR_TICKET_CANCELED, r->at);
    r->stats.cancels++;
    serve(r);
    return 1;
}

uint64_t weir_rate_retry_after(weir_rate *r, double n)
{
    look(r);
    if (!weir__limits_fit(r->part, r->parts, n))
        return WEIR_FOREVER;
    uint64_t due = weir__foresee_behind(r, n);
    return due == WEIR_FOREVER ? due : due - r->at;
}

uint64_t weir_rate_full_in(weir_rate *r)
{
    look(r);
    if (!weir_list_is_empty(&r->queue))
        return WEIR_FOREVER;
    uint64_t full = weir__limits_full(r->part, r->parts, r->at);
    return full == WEIR_FOREVER ? full : full - r->at;
}

double weir_rate_available(weir_rate *r)
{
    look(r);
    return weir__limits_available(r->part, r->parts, r->at);
}

/* --- life ----------------------------------------------------------------------------- */

int weir_rate_init(weir_runtime *rt, weir_rate *r, const weir_rate_limit *limits, uint32_t n,
                   const char *name)
{
    weir_rate_part *part;
    int rc = n == 0 ? WEIR_EINVAL : weir__limits_new(rt, limits, n, NULL, &part);
    if (rc != 0)
        return rc;
    *r = (weir_rate){.rt = rt, .part = part, .parts = n, .max_waiting = UINT32_MAX, .name = name};
    weir_list_init(&r->queue);
    weir_list_init(&r->granted);
    weir_list_init(&r->ended);
    weir_list_init(&r->spare);
    weir_list_init(&r->idle);
    weir_timer_init(&r->timer, on_timer);
    r->at = rt->now;
    return 0;
}

static void tickets_free(weir_rate *r, weir_list *l)
{
    for (weir_link *k; (k = weir_list_pop(l)) != NULL;)
        weir_alloc(r->rt, k, sizeof(weir_ticket), 0);
}

void weir_rate_fini(weir_rate *r)
{
    weir_timer_unset(r->rt, &r->timer);
    weir__foresee_forget(r);
    tickets_free(r, &r->queue);
    tickets_free(r, &r->granted);
    tickets_free(r, &r->ended);
    tickets_free(r, &r->spare);
    weir__limits_free(r->rt, r->part, r->parts);
    r->closed = 1;
}

/* End what can never be had under `part`, while the sums are still those of the old rules. */
static void drop_impossible(weir_rate *r, const weir_rate_part *part)
{
    for (weir_link *k = weir_list_first(&r->queue), *next; k != NULL; k = next) {
        weir_ticket *t = ticket_at(k);
        next = weir_list_next(&r->queue, k);
        if (weir__limits_fit(part, r->parts, t->n))
            continue;
        r->stats.impossible++;
        if (t->waiter != NULL)
            weir_waiter_give_up(r->rt, t->waiter, WEIR_IMPOSSIBLE);
        else
            dequeue(r, t, WEIR_TICKET_LOST, r->at);
    }
}

int weir_rate_set(weir_rate *r, const weir_rate_limit *limits)
{
    weir_rate_part *part, *old = r->part;

    look(r); /* what fell due meanwhile was charged to the old limits, and needs room */
    int rc = weir__limits_new(r->rt, limits, r->parts, old, &part);
    if (rc != 0)
        return rc;
    r->stats.changes++;
    r->era++;
    r->changing = 1; /* who leaves now lets nobody in under the old rules */
    drop_impossible(r, part);
    r->changing = 0;
    weir__foresee_forget(r);
    weir__limits_change(part, old, r->parts, r->at);
    for (weir_link *k = weir_list_first(&r->queue); k; k = weir_list_next(&r->queue, k))
        weir__limits_enqueue(part, r->parts, ticket_at(k)->n);
    r->part = part;
    weir__limits_free(r->rt, old, r->parts);
    serve(r);
    return 0;
}

void weir_rate_close(weir_rate *r)
{
    look(r);
    r->closed = 1;
    r->changing = 1;
    for (weir_link *k = weir_list_first(&r->queue), *next; k != NULL; k = next) {
        weir_ticket *t = ticket_at(k);
        next = weir_list_next(&r->queue, k);
        if (t->waiter == NULL)
            continue;
        r->stats.closes++;
        weir_waiter_give_up(r->rt, t->waiter, WEIR_CLOSED);
    }
    r->changing = 0;
    serve(r);
}

void weir_rate_drain(weir_rate *r, weir_waiter *w, uint64_t deadline)
{
    r->draining = 1;
    weir_waiter_begin(r->rt, w, &drain_ops, r, deadline);
    weir_list_push(&r->idle, &w->link);
    serve(r);
}

/* --- the hooks ------------------------------------------------------------------------ */

static void leave_take(weir_runtime *rt, weir_waiter *w)
{
    weir_ticket *t = w->object;
    weir_rate *r = t->of;
    dequeue(r, t, WEIR_TICKET_CANCELED, rt->now);
    if (w->status == WEIR_TIMEOUT)
        r->stats.timeouts++;
    else if (w->status == WEIR_CANCELED)
        r->stats.cancels++;
    serve(r); /* it may have been a head that was not due, before one that is */
}

static void refund_take(weir_runtime *rt, weir_waiter *w)
{
    weir_ticket *t = w->object;
    weir_rate *r = t->of;
    (void)rt;
    r->stats.refunds++;
    weir__limits_refund(r->part, r->parts, t, r->mark, r->era);
    weir__foresee_refund(r);
    weir_ticket_free(t);
    serve(r);
}

static const char *take_name(const weir_waiter *w)
{
    return ((const weir_ticket *)w->object)->of->name;
}

static void leave_drain(weir_runtime *rt, weir_waiter *w)
{
    weir_rate *r = w->object;
    (void)rt;
    weir_link_remove(&w->link);
    serve(r);
}

static const char *drain_name(const weir_waiter *w)
{
    return ((const weir_rate *)w->object)->name;
}

/* Time wakes these, or anybody who changes the rate: no holder, nothing to prove. */
static const weir_wait_ops take_ops = {"bucket:take", leave_take, refund_take, NULL, take_name};
static const weir_wait_ops drain_ops = {"bucket:drain", leave_drain, NULL, NULL, drain_name};

/* --- checks --------------------------------------------------------------------------- */

static int tickets_are(const weir_rate *r, const weir_list *l, weir_ticket_state state)
{
    for (weir_link *k = weir_list_first(l); k; k = weir_list_next(l, k))
        if (ticket_at(k)->of != r || ticket_at(k)->state != state)
            return 0;
    return 1;
}

/* Are the sums of the queue right, and nothing charged that was not there? */
static int limits_are_right(const weir_rate *r)
{
    for (uint32_t i = 0; i < r->parts; i++) {
        const weir_rate_part *p = &r->part[i];
        weir_span queued = 0;
        if (weir__limit_is_window(p)) {
            if (weir_window_validate(&p->window) != 0)
                return 0;
            continue;
        }
        for (weir_link *k = weir_list_first(&r->queue); k; k = weir_list_next(&r->queue, k))
            queued += (weir_span)weir_bucket_cost(&p->rule, ticket_at(k)->n);
        if (queued != p->queued || weir_bucket_due(&p->rule, &p->bucket, 0, r->at) > r->at)
            return 0;
    }
    return 1;
}

int weir_rate_validate(const weir_rate *r)
{
    uint32_t waiting = 0, reserved = 0;
    uint64_t due = WEIR_FOREVER;
    weir_link *head = weir_list_first(&r->queue);
    for (weir_link *k = head; k; k = weir_list_next(&r->queue, k)) {
        const weir_waiter *w = ticket_at(k)->waiter;
        if (w != NULL && (w->status != WEIR_PENDING || w->object != ticket_at(k)))
            return __LINE__;
        *(w != NULL ? &waiting : &reserved) += 1;
    }
    if (waiting != r->waiting || reserved != r->reserved || (r->closed && waiting > 0))
        return __LINE__;
    if (!tickets_are(r, &r->queue, WEIR_TICKET_QUEUED) ||
        !tickets_are(r, &r->granted, WEIR_TICKET_GRANTED) || !limits_are_right(r) ||
        !weir__foresee_validate(r))
        return __LINE__;
    if (head != NULL && (due = due_of(r, ticket_at(head))) <= r->at)
        return __LINE__; /* a lost wake-up */
    if (waiting == 0 && weir_list_is_empty(&r->idle))
        due = WEIR_FOREVER;
    if (weir_timer_is_set(&r->timer) != (due != WEIR_FOREVER) ||
        (due != WEIR_FOREVER && r->timer.deadline != due))
        return __LINE__;
    return 0;
}
