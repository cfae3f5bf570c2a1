/* sync/foresee.c - when what stands in the queue of a rate will be due.
 *
 * One bucket that has a queue is never idle, so its future is a sum: of what is ahead. In a long
 * queue those sums come from a Fenwick tree over the tickets' costs, made when it is first asked
 * for and kept until the queue is empty: O(log n). Who is served at the head leaves its cost in it,
 * and is subtracted with what was before; who leaves from the middle is taken out.
 * Anything else (several limits, windows) is played through, on the second half of the parts, and
 * each ticket keeps its time. That plan goes on where it ended, and holds while all comes as it
 * says: a grant at another time, a cancel, a refund or other limits end it.
 * Invariant: the tickets with `planned` are the first of the queue, r->planned is the last of them;
 * while there is a tree every ticket of the queue has its slot, in order.
 */
#include "foresee.h"

#include "../sched/internal.h"
#include "limits.h"

#define LOOK_AHEAD 1000 /* tickets that a look behind the queue plays through */
#ifdef WEIR_STRESS
#define SHORT 1
#else
#define SHORT 16 /* tickets that are added up faster than found in a tree */
#endif

static weir_ticket *ticket_at(weir_link *k)
{
    return (weir_ticket *)(void *)k;
}

static int is_a_sum(const weir_rate *r)
{
    return r->parts == 1 && !weir__limit_is_window(r->part);
}

static weir_span cost(const weir_rate *r, const weir_ticket *t)
{
    return (weir_span)weir_bucket_cost(&r->part->rule, t->n);
}

/* --- the tree: node i, from 1 on, is the sum of (i & (i - 1), i] ------------------------- */

static void drop_tree(weir_rate *r)
{
    if (r->sums == NULL)
        return;
    weir_alloc(r->rt, r->sums, sizeof *r->sums * r->sums_room, 0);
    r->sums = NULL;
    r->sums_room = r->sums_used = 0;
}

static weir_span *node(const weir_rate *r, uint32_t i)
{
    return &r->sums[i - 1];
}

static void append(weir_rate *r, weir_ticket *t)
{
    uint32_t i = t->slot = ++r->sums_used;
    weir_span sum = cost(r, t);
    for (uint32_t k = i - 1; k != (i & (i - 1)); k &= k - 1)
        sum += *node(r, k);
    *node(r, i) = sum;
}

static void take_out(weir_rate *r, const weir_ticket *t)
{
    weir_span its = cost(r, t);
    for (uint32_t i = t->slot; i <= r->sums_used; i += i & (0 - i))
        *node(r, i) -= its;
}

static weir_span sum_before(const weir_rate *r, const weir_ticket *t)
{
    weir_span sum = 0;
    for (uint32_t i = t->slot - 1; i != 0; i &= i - 1)
        sum += *node(r, i);
    return sum;
}

/* Is there a tree, or could one be made? */
static int has_tree(weir_rate *r)
{
    uint32_t n = r->waiting + r->reserved;
    if (r->sums_used > 0)
        return 1;
    if (n <= SHORT || n > UINT32_MAX / 4)
        return 0;
    if (r->sums_room < n + n / 2) {
        drop_tree(r);
        r->sums = weir_alloc(r->rt, NULL, 0, sizeof *r->sums * 2 * n);
        if (r->sums == NULL)
            return 0; /* slower, and right all the same */
        r->sums_room = 2 * n;
    }
    for (weir_link *k = weir_list_first(&r->queue); k != NULL; k = weir_list_next(&r->queue, k))
        append(r, ticket_at(k));
    return 1;
}

static weir_span sum_ahead(weir_rate *r, const weir_ticket *t)
{
    weir_link *k = weir_list_first(&r->queue);
    weir_span sum = 0;
    if (has_tree(r))
        return sum_before(r, t) - sum_before(r, ticket_at(k));
    for (; k != &t->link; k = weir_list_next(&r->queue, k))
        sum += cost(r, ticket_at(k));
    return sum;
}

/* --- the plan --------------------------------------------------------------------------- */

static void drop_plan(weir_rate *r)
{
    for (weir_link *k = weir_list_first(&r->queue); r->planned != NULL;
         k = weir_list_next(&r->queue, k)) {
        ticket_at(k)->planned = 0;
        if (ticket_at(k) == r->planned)
            r->planned = NULL;
    }
}

/* Go on with the plan until `end` is in it, or the queue ends, by at most `most` tickets. Returns
 * when the last of it is due. */
static uint64_t play(weir_rate *r, const weir_ticket *end, uint32_t most)
{
    weir_rate_part *plan = r->part + r->parts;
    uint64_t due = r->at;
    weir_link *k = weir_list_first(&r->queue);
    if (r->planned == NULL) {
        weir__limits_plan(r->part, r->parts);
    } else {
        due = r->planned->due;
        k = weir_list_next(&r->queue, &r->planned->link);
    }
    for (; k != NULL && most > 0 && (end == NULL || !end->planned); most--) {
        weir_ticket *t = r->planned = ticket_at(k);
        t->due = due = weir__limits_due(plan, r->parts, t->n, due);
        t->planned = 1;
        if (due != WEIR_FOREVER)
            weir__limits_charge(plan, r->parts, t->n, due, 0);
        k = weir_list_next(&r->queue, k);
    }
    return due;
}

/* --- what is asked ----------------------------------------------------------------------- */

uint64_t weir__foresee(weir_rate *r, weir_ticket *t)
{
    if (is_a_sum(r))
        return weir__limits_behind(r->part, t->n, sum_ahead(r, t), r->at);
    play(r, t, UINT32_MAX);
    return t->due;
}

uint64_t weir__foresee_behind(weir_rate *r, double amount)
{
    if (is_a_sum(r))
        return weir__limits_behind(r->part, amount, r->part->queued, r->at);
    if (weir_list_is_empty(&r->queue))
        return weir__limits_due(r->part, r->parts, amount, r->at);
    uint64_t due = play(r, NULL, LOOK_AHEAD);
    return weir__limits_due(r->part + r->parts, r->parts, amount, due);
}

/* --- the hooks ---------------------------------------------------------------------------- */

void weir__foresee_enter(weir_rate *r, weir_ticket *t)
{
    if (r->sums_used > 0 && r->sums_used < r->sums_room)
        append(r, t);
    else
        r->sums_used = 0; /* full: the next who asks gets a new one */
}

void weir__foresee_leave(weir_rate *r, weir_ticket *t, uint64_t when)
{
    if (t->planned && (when == WEIR_FOREVER || when != t->due))
        drop_plan(r);
    else if (r->planned == t)
        r->planned = NULL;
    t->planned = 0;
    if (r->sums == NULL)
        return;
    if (r->waiting + r->reserved == 1)
        drop_tree(r);
    else if (r->sums_used > 0 && weir_list_first(&r->queue) != &t->link)
        take_out(r, t);
}

void weir__foresee_refund(weir_rate *r)
{
    drop_plan(r);
}

void weir__foresee_forget(weir_rate *r)
{
    drop_plan(r);
    drop_tree(r);
}

/* --- checks -------------------------------------------------------------------------------- */

int weir__foresee_validate(const weir_rate *r)
{
    int planned = r->planned != NULL;
    weir_span sum = 0;
    weir_link *head = weir_list_first(&r->queue);
    for (weir_link *k = head; k != NULL; k = weir_list_next(&r->queue, k)) {
        const weir_ticket *t = ticket_at(k);
        if (t->planned != planned || (t->planned && t->due <= r->at))
            return 0;
        planned = planned && t != r->planned;
        if (r->sums_used == 0)
            continue;
        if (t->slot == 0 || sum_before(r, t) - sum_before(r, ticket_at(head)) != sum)
            return 0;
        sum += cost(r, t);
    }
    return !planned && (head != NULL || r->sums == NULL);
}
