/* sync/batch.c - single requests, gathered into groups.
 *
 * One group gathers; what is full stands in `queued`. pump() is the one place that flushes, in
 * that order, while fewer than max_flying are out. It runs from the ready queue (full, flushed by
 * hand, one landed), from the timer and in the quiet, never inside a call: who has just added a
 * request can wait for it, whatever `flush` does with it, and a worker that lands at once does not
 * recurse. What gathers and is due flies when it may; until then it goes on gathering.
 */
#include <weir/batch.h>

#include "../sched/internal.h"

enum { DUE_NOT, DUE_DELAY, DUE_QUIET, DUE_FLUSH };

static const weir_flight_keeper keeper;

static weir_group *group_at(weir_link *k)
{
    return weir_container(k, weir_group, link);
}

static weir_request *request_at(weir_link *k)
{
    return weir_container(k, weir_request, link);
}

/* --- groups ----------------------------------------------------------------------------------- */

static weir_group *group_new(weir_batch *b)
{
    weir_group *g = weir_alloc(b->rt, NULL, 0, sizeof *g);
    if (g == NULL)
        return NULL;
    *g = (weir_group){.of = b, .since = b->rt->now};
    weir_list_init(&g->requests);
    return g;
}

static void group_free(weir_group *g)
{
    weir_alloc(g->of->rt, g, sizeof *g, 0);
}

static void gather(weir_batch *b, weir_group *g)
{
    b->gathering = g;
    b->due = DUE_NOT;
    weir_timer_set(b->rt, &b->timer, weir_after(b->rt, b->options.delay));
    if (b->options.quiet)
        weir_quiet_set(b->rt, &b->quiet);
}

static weir_group *end_gathering(weir_batch *b)
{
    weir_group *g = b->gathering;
    weir_timer_unset(b->rt, &b->timer);
    weir_quiet_unset(&b->quiet);
    b->gathering = NULL;
    return g;
}

static void wake_joiners(weir_batch *b)
{
    if (b->gathering != NULL || b->n_queued > 0 || b->n_flying > 0)
        return;
    for (weir_link *k; (k = weir_list_pop(&b->joiners)) != NULL;)
        weir_waiter_settle(b->rt, weir_container(k, weir_waiter, link), WEIR_GRANTED);
}

/* Out of a group that has not been flushed; the group is gone with its last. */
static void take_out(weir_request *r)
{
    weir_group *g = r->group;
    weir_batch *b = g->of;
    weir_link_remove(&r->link);
    r->group = NULL;
    b->n_unflushed--;
    if (--g->n > 0)
        return;
    if (g == b->gathering) {
        end_gathering(b);
    } else {
        weir_link_remove(&g->link);
        b->n_queued--;
    }
    group_free(g);
    wake_joiners(b);
}

/* --- flushing --------------------------------------------------------------------------------- */

static void fly(weir_batch *b, weir_group *g)
{
    uint64_t now = b->rt->now;
    for (weir_link *k = weir_list_first(&g->requests); k; k = weir_list_next(&g->requests, k))
        weir_histogram_record(&b->stats.wait, now - request_at(k)->flight.since);
    weir_histogram_record(&b->stats.size, g->n);
    b->stats.groups++;
    b->n_unflushed -= g->n;
    b->n_flying++;
    g->state = WEIR_GROUP_FLYING;
    g->since = now;
    weir_list_push(&b->flying, &g->link);
    b->ops->flush(b, g); /* which may land it */
}

static int may_fly(const weir_batch *b)
{
    return b->n_flying < b->options.max_flying &&
           (b->n_queued > 0 || (b->gathering != NULL && b->due != DUE_NOT));
}

static void pump(weir_batch *b)
{
    while (may_fly(b)) {
        weir_link *k = weir_list_pop(&b->queued);
        if (k != NULL) {
            b->n_queued--;
            fly(b, group_at(k));
            continue;
        }
        b->stats.by_delay += b->due == DUE_DELAY;
        b->stats.by_quiet += b->due == DUE_QUIET;
        b->stats.by_flush += b->due == DUE_FLUSH;
        fly(b, end_gathering(b));
    }
}

static void nothing(weir_runtime *rt, weir_waiter *w)
{
    (void)rt;
    (void)w;
}

static const weir_wait_ops turn_ops = {"batch:flush", nothing, nothing, NULL, NULL};

static void on_turn(weir_runtime *rt, weir_waiter *w)
{
    (void)rt;
    pump(weir_container(w, weir_batch, turn));
}

/* Pump when whoever calls has had his turn. */
static void schedule(weir_batch *b)
{
    if (may_fly(b) && !weir_link_is_linked(&b->turn.link))
        weir_waiter_enqueue(b->rt, &b->turn, &turn_ops);
}

static void is_due(weir_batch *b, int why)
{
    if (b->gathering != NULL && b->due == DUE_NOT)
        b->due = (uint8_t)why;
}

static void on_timer(weir_runtime *rt, weir_timer *timer)
{
    weir_batch *b = weir_container(timer, weir_batch, timer);
    (void)rt;
    is_due(b, DUE_DELAY);
    pump(b);
}

static void on_quiet(weir_runtime *rt, weir_quiet *quiet)
{
    weir_batch *b = weir_container(quiet, weir_batch, quiet);
    (void)rt;
    is_due(b, DUE_QUIET);
    pump(b);
}

void weir_batch_flush(weir_batch *b)
{
    is_due(b, DUE_FLUSH);
    schedule(b);
}

/* --- life ------------------------------------------------------------------------------------- */

int weir_batch_init(weir_runtime *rt, weir_batch *b, const weir_batch_ops *ops,
                    const weir_batch_options *options, const char *name)
{
    if (options->max == 0 || options->max_flying == 0 || options->max_waiting == 0)
        return WEIR_EINVAL;
    *b = (weir_batch){.rt = rt, .ops = ops, .options = *options, .name = name};
    b->options.quiet = options->quiet || options->delay == 0;
    weir_list_init(&b->queued);
    weir_list_init(&b->flying);
    weir_list_init(&b->joiners);
    weir_timer_init(&b->timer, on_timer);
    weir_quiet_init(&b->quiet, on_quiet);
    weir_waiter_init(&b->turn, on_turn);
    return 0;
}

void weir_batch_fini(weir_batch *b)
{
    assert(b->gathering == NULL && b->n_queued == 0 && b->n_flying == 0 &&
           weir_list_is_empty(&b->joiners));
    if (weir_link_is_linked(&b->turn.link))
        weir_waiter_abandon(b->rt, &b->turn);
    b->closed = 1;
}

/* --- requests --------------------------------------------------------------------------------- */

int weir_batch_add(weir_batch *b, weir_request *r)
{
    if (b->closed || b->draining) {
        b->stats.closes++;
        return WEIR_ECLOSED;
    }
    if (b->n_unflushed >= b->options.max_waiting) {
        b->stats.overload++;
        return WEIR_EOVERLOAD;
    }
    weir_group *g = b->gathering != NULL ? b->gathering : group_new(b);
    if (g == NULL)
        return WEIR_ENOMEM;
    if (g != b->gathering)
        gather(b, g);
    weir_flight_init(b->rt, &r->flight, b->ops->flight);
    r->flight.keeper = &keeper;
    r->group = g;
    weir_link_init(&r->link);
    weir_list_push(&g->requests, &r->link);
    g->n++;
    g->wanted++;
    b->n_unflushed++;
    b->stats.requests++;
    if (g->n == b->options.max) {
        end_gathering(b);
        g->state = WEIR_GROUP_QUEUED;
        weir_list_push(&b->queued, &g->link);
        b->n_queued++;
        b->stats.by_size++;
        schedule(b);
    }
    return 0;
}

void weir_batch_joined(weir_batch *b, weir_request *r)
{
    assert(r->flight.state == WEIR_FLIGHT_FLYING);
    b->stats.joined++;
}

void weir_request_land(weir_request *r, weir_flight_state state, intptr_t value)
{
    weir_group *g = r->group;
    assert(g != NULL && g->state == WEIR_GROUP_FLYING);
    weir_link_remove(&r->link);
    r->group = NULL;
    if (r->flight.state == WEIR_FLIGHT_FLYING) {
        g->wanted--;
        g->of->stats.failures += state == WEIR_FLIGHT_FAILED;
    }
    weir_flight_land(g->of->rt, &r->flight, state, value);
}

void weir_group_landed(weir_group *g)
{
    weir_batch *b = g->of;
    assert(g->state == WEIR_GROUP_FLYING);
    for (weir_link *k; (k = weir_list_first(&g->requests)) != NULL;)
        weir_request_land(request_at(k), WEIR_FLIGHT_FAILED, 0);
    weir_link_remove(&g->link);
    b->n_flying--;
    weir_histogram_record(&b->stats.flight, b->rt->now - g->since);
    group_free(g);
    schedule(b);
    wake_joiners(b);
}

/* Everybody has left a request: the hook of its flight. */
static void request_ended(weir_runtime *rt, weir_flight *f)
{
    weir_request *r = (weir_request *)(void *)f;
    if (f->state != WEIR_FLIGHT_ABANDONED)
        return;
    weir_group *g = r->group;
    weir_batch *b = g->of;
    g->wanted--;
    if (g->state == WEIR_GROUP_FLYING) {
        b->ops->dropped(b, r);
        if (g->wanted == 0 && b->ops->abandon != NULL)
            b->ops->abandon(b, g); /* which may land it */
        return;
    }
    b->stats.dropped++;
    take_out(r);
    b->ops->dropped(b, r);
    weir_flight_land(rt, f, WEIR_FLIGHT_FAILED, 0); /* nobody else will */
}

static void request_left(weir_flight *f, weir_status status)
{
    const weir_request *r = (const weir_request *)(const void *)f;
    if (r->group == NULL) /* it has landed */
        return;
    weir_batch_stats *stats = &r->group->of->stats;
    stats->timeouts += status == WEIR_TIMEOUT;
    stats->cancels += status == WEIR_CANCELED;
    stats->closes += status == WEIR_CLOSED;
}

/* --- can it still land? ----------------------------------------------------------------------- */

static int group_can_land(weir_graph *graph, const weir_group *g)
{
    return g->worker == NULL || weir_graph_can_act(graph, g->worker);
}

/* A flying one by its worker; one that was not flushed if there is room for it, or any of those
 * that are out can land. */
static int request_can_land(weir_graph *graph, const weir_flight *f)
{
    const weir_group *g = ((const weir_request *)(const void *)f)->group;
    const weir_batch *b = g->of;
    if (g->state == WEIR_GROUP_FLYING)
        return group_can_land(graph, g) &&
               (f->worker == NULL || weir_graph_can_act(graph, f->worker));
    if (b->n_flying < b->options.max_flying)
        return 1;
    for (weir_link *k = weir_list_first(&b->flying); k != NULL; k = weir_list_next(&b->flying, k))
        if (group_can_land(graph, group_at(k)))
            return 1;
    return 0;
}

static const weir_flight_keeper keeper = {request_ended, request_left, NULL, request_can_land};

/* --- ends ------------------------------------------------------------------------------------- */

/* Who waits gets CLOSED; who is interested without waiting sees it FAILED. */
static void close_request(weir_batch *b, weir_request *r)
{
    weir_flight *f = &r->flight;
    weir_flight_join(f); /* so that the last waiter does not end it under our hands */
    for (weir_link *k; (k = weir_list_first(&f->waiters)) != NULL;)
        weir_waiter_give_up(b->rt, weir_container(k, weir_waiter, link), WEIR_CLOSED);
    if (f->interested > 1) {
        r->group->wanted--;
        take_out(r);
        weir_flight_land(b->rt, f, WEIR_FLIGHT_FAILED, 0);
    }
    weir_flight_leave(b->rt, f);
}

void weir_batch_close(weir_batch *b)
{
    weir_link *k;
    b->closed = 1;
    while ((k = weir_list_first(&b->queued)) != NULL)
        close_request(b, request_at(weir_list_first(&group_at(k)->requests)));
    while (b->gathering != NULL)
        close_request(b, request_at(weir_list_first(&b->gathering->requests)));
}

static void leave_drain(weir_runtime *rt, weir_waiter *w)
{
    (void)rt;
    weir_link_remove(&w->link);
}

/* All must land: one group that cannot is enough to be stuck. */
static int drain_can_wake(weir_graph *graph, weir_waiter *w)
{
    const weir_batch *b = w->object;
    for (weir_link *k = weir_list_first(&b->flying); k != NULL; k = weir_list_next(&b->flying, k))
        if (!group_can_land(graph, group_at(k)))
            return 0;
    return 1;
}

static const char *drain_name(const weir_waiter *w)
{
    return ((const weir_batch *)w->object)->name;
}

static const weir_wait_ops drain_ops = {"batch:drain", leave_drain, NULL, drain_can_wake,
                                        drain_name};

void weir_batch_drain(weir_batch *b, weir_waiter *w, uint64_t deadline)
{
    b->draining = 1;
    weir_batch_flush(b);
    weir_waiter_begin(b->rt, w, &drain_ops, b, deadline);
    weir_list_push(&b->joiners, &w->link);
    wake_joiners(b);
}

/* --- what is said of it ----------------------------------------------------------------------- */

uint64_t weir_batch_retry_after(const weir_batch *b)
{
    const weir_histogram *h = &b->stats.flight;
    uint64_t now = b->rt->now;
    if (b->n_unflushed < b->options.max_waiting)
        return 0;
    if (b->n_flying < b->options.max_flying)
        return weir_timer_is_set(&b->timer) && b->timer.deadline > now ? b->timer.deadline - now
                                                                       : 0;
    uint64_t mean = h->count > 0 ? h->sum / h->count : 0;
    uint64_t age = now - group_at(weir_list_first(&b->flying))->since;
    return age < mean ? mean - age : 0;
}

static int validate_group(const weir_batch *b, const weir_group *g, weir_group_state state,
                          uint32_t *unflushed)
{
    uint32_t n = 0, wanted = 0;
    for (weir_link *k = weir_list_first(&g->requests); k; k = weir_list_next(&g->requests, k)) {
        const weir_request *r = request_at(k);
        int line = weir_flight_validate(&r->flight);
        if (line != 0)
            return line;
        if (r->group != g || r->flight.ended || r->flight.keeper != &keeper)
            return __LINE__;
        wanted += r->flight.state == WEIR_FLIGHT_FLYING;
        n++;
    }
    if (g->of != b || g->state != state || wanted != g->wanted || n > g->n || g->n > b->options.max)
        return __LINE__;
    if (state != WEIR_GROUP_FLYING && (n == 0 || n != g->n || n != wanted))
        return __LINE__;
    *unflushed += state == WEIR_GROUP_FLYING ? 0 : n;
    return 0;
}

static int validate_groups(const weir_batch *b, const weir_list *list, weir_group_state state,
                           uint32_t want, uint32_t *unflushed)
{
    uint32_t n = 0;
    int line = 0;
    for (weir_link *k = weir_list_first(list); k && line == 0; k = weir_list_next(list, k), n++)
        line = validate_group(b, group_at(k), state, unflushed);
    return line != 0 ? line : n != want ? __LINE__ : 0;
}

int weir_batch_validate(const weir_batch *b)
{
    uint32_t unflushed = 0;
    int line = validate_groups(b, &b->queued, WEIR_GROUP_QUEUED, b->n_queued, &unflushed);
    if (line == 0)
        line = validate_groups(b, &b->flying, WEIR_GROUP_FLYING, b->n_flying, &unflushed);
    if (line == 0 && b->gathering != NULL)
        line = validate_group(b, b->gathering, WEIR_GROUP_GATHERING, &unflushed);
    if (line != 0)
        return line;
    if (unflushed != b->n_unflushed || b->n_flying > b->options.max_flying ||
        unflushed > b->options.max_waiting)
        return __LINE__;
    if (may_fly(b) && !weir_link_is_linked(&b->turn.link))
        return __LINE__; /* a lost flush */
    if (b->gathering == NULL &&
        (weir_timer_is_set(&b->timer) || weir_link_is_linked(&b->quiet.link)))
        return __LINE__;
    if (b->gathering != NULL && b->due == DUE_NOT && b->options.delay != WEIR_FOREVER &&
        !weir_timer_is_set(&b->timer))
        return __LINE__;
    if (b->closed && unflushed > 0)
        return __LINE__;
    return 0;
}
