/* batch_model.c - the reference model of batches; see batch_model.h. */
#include "batch_model.h"

void batch_log_add(int *log, int *n, int what)
{
    assert_true(*n < LOG);
    log[(*n)++] = what;
}

int batch_lands_in_flush(int id)
{
    return id % 7 == 3;
}

int batch_lands_in_abandon(int id)
{
    return id % 3 == 1;
}

int batch_request_fails(int id)
{
    return id % 5 == 2;
}

int batch_forgets_one(int id)
{
    return id % 4 == 3;
}

void batch_model_init(model *m, const weir_batch_options *options)
{
    *m = (model){.options = *options, .gathering = -1, .timer = WEIR_FOREVER};
    m->options.quiet = options->quiet || options->delay == 0;
}

static void cut(int *list, int *n, int what)
{
    int at = 0;
    while (list[at] != what)
        at++;
    memmove(list + at, list + at + 1, sizeof(int) * (size_t)(--*n - at));
}

static void ready(model *m, int who)
{
    m->ready[m->n_ready++] = who;
}

static void settle(model *m, int seat, weir_status status)
{
    m->seat[seat].status = status;
    ready(m, seat);
}

static int may_fly(const model *m)
{
    return (uint32_t)m->n_flying < m->options.max_flying &&
           (m->n_queued > 0 || (m->gathering >= 0 && m->due != 0));
}

static void schedule(model *m)
{
    for (int i = 0; i < m->n_ready; i++)
        if (m->ready[i] == TURN)
            return;
    if (may_fly(m))
        ready(m, TURN);
}

static void end_gathering(model *m)
{
    m->gathering = -1;
    m->timer = WEIR_FOREVER;
    m->quiet = 0;
}

static void wake_drains(model *m)
{
    if (m->gathering >= 0 || m->n_queued > 0 || m->n_flying > 0)
        return;
    for (int i = 0; i < m->n_drains; i++)
        settle(m, m->drains[i], WEIR_GRANTED);
    m->n_drains = 0;
}

/* --- requests ---------------------------------------------------------------------------- */

static void free_if_done(model_request *r)
{
    if (r->ended && r->interested == 0)
        r->used = 0;
}

static void take_out(model *m, int id)
{
    int g = m->request[id].group;
    model_group *group = &m->group[g];
    m->request[id].group = -1;
    cut(group->ids, &group->left, id);
    m->n_unflushed--;
    if (--group->n > 0)
        return;
    if (g == m->gathering)
        end_gathering(m);
    else
        cut(m->queued, &m->n_queued, g);
    wake_drains(m);
}

static void leave(model *m, int id)
{
    model_request *r = &m->request[id];
    r->interested--;
    if (r->interested == 0 && r->state == WEIR_FLIGHT_FLYING) {
        int g = r->group;
        model_group *group = &m->group[g];
        int first = group->ids[0];
        r->state = WEIR_FLIGHT_ABANDONED;
        group->wanted--;
        if (group->state != WEIR_GROUP_FLYING) {
            m->stats.dropped++;
            take_out(m, id);
            r->ended = 1;
        }
        batch_log_add(m->log, &m->n_log, LOG_DROPPED + id);
        if (group->state == WEIR_GROUP_FLYING && group->wanted == 0) {
            batch_log_add(m->log, &m->n_log, LOG_ABANDON + first);
            if (batch_lands_in_abandon(first))
                batch_model_land_group(m, g);
        }
    }
    free_if_done(r);
}

int batch_model_add(model *m)
{
    if (m->closed || m->draining) {
        m->stats.closes++;
        return WEIR_ECLOSED;
    }
    if (m->n_unflushed >= m->options.max_waiting) {
        m->stats.overload++;
        return WEIR_EOVERLOAD;
    }
    if (m->gathering < 0) {
        if (m->memory_is_short)
            return WEIR_ENOMEM;
        m->gathering = m->n_groups++;
        m->group[m->gathering] = (model_group){.state = WEIR_GROUP_GATHERING};
        m->due = 0;
        if (m->options.delay != WEIR_FOREVER)
            m->timer = m->now + m->options.delay;
        m->timer_order = ++m->counter;
        m->quiet = m->options.quiet;
    }
    model_group *g = &m->group[m->gathering];
    int id = m->n_requests++;
    m->request[id] = (model_request){.used = 1, .group = m->gathering, .since = m->now};
    g->ids[g->left++] = id;
    g->n++;
    g->wanted++;
    m->n_unflushed++;
    m->stats.requests++;
    if (g->n == m->options.max) {
        g->state = WEIR_GROUP_QUEUED;
        m->queued[m->n_queued++] = m->gathering;
        m->stats.by_size++;
        end_gathering(m);
        schedule(m);
    }
    return 0;
}

void batch_model_wait_for(model *m, int seat, int id, uint64_t deadline)
{
    model_request *r = &m->request[id];
    m->seat[seat] = (model_seat){WEIR_PENDING, id, deadline, ++m->counter};
    r->interested++;
    if (r->state == WEIR_FLIGHT_FLYING)
        r->seats[r->n++] = seat;
    else
        settle(m, seat, r->state == WEIR_FLIGHT_LANDED ? WEIR_GRANTED : WEIR_FAILED);
}

int batch_model_give_up(model *m, int seat, weir_status status)
{
    model_seat *s = &m->seat[seat];
    if (s->status == WEIR_PENDING && seat >= SEATS) {
        cut(m->drains, &m->n_drains, seat);
        settle(m, seat, status);
        return 1;
    }
    if (s->status == WEIR_PENDING) {
        model_request *r = &m->request[s->request];
        cut(r->seats, &r->n, seat);
        m->stats.timeouts += status == WEIR_TIMEOUT;
        m->stats.cancels += status == WEIR_CANCELED;
        m->stats.closes += status == WEIR_CLOSED;
        leave(m, s->request);
        settle(m, seat, status);
        return 1;
    }
    if (s->status == WEIR_GRANTED && status == WEIR_CANCELED && seat < SEATS) {
        s->status = WEIR_CANCELED;
        leave(m, s->request);
        return 1;
    }
    return 0;
}

/* --- landing ------------------------------------------------------------------------------- */

void batch_model_land(model *m, int id, int fails)
{
    model_request *r = &m->request[id];
    model_group *g = &m->group[r->group];
    cut(g->ids, &g->left, id);
    r->group = -1;
    r->ended = 1;
    if (r->state == WEIR_FLIGHT_FLYING) {
        g->wanted--;
        m->stats.failures += fails != 0;
        r->state = fails ? WEIR_FLIGHT_FAILED : WEIR_FLIGHT_LANDED;
        for (int i = 0; i < r->n; i++)
            settle(m, r->seats[i], fails ? WEIR_FAILED : WEIR_GRANTED);
        r->n = 0;
    }
    free_if_done(r);
}

void batch_model_group_landed(model *m, int group)
{
    while (m->group[group].left > 0)
        batch_model_land(m, m->group[group].ids[0], 1);
    cut(m->flying, &m->n_flying, group);
    schedule(m);
    wake_drains(m);
}

void batch_model_land_group(model *m, int group)
{
    model_group *g = &m->group[group];
    int some = g->left > 1 && batch_forgets_one(g->ids[0]);
    while (g->left > some)
        batch_model_land(m, g->ids[0], batch_request_fails(g->ids[0]));
    batch_model_group_landed(m, group);
}

/* --- flushing ------------------------------------------------------------------------------ */

static void fly(model *m, int group)
{
    model_group *g = &m->group[group];
    g->state = WEIR_GROUP_FLYING;
    m->flying[m->n_flying++] = group;
    m->n_unflushed -= g->n;
    m->stats.groups++;
    m->flushes += g->n;
    batch_log_add(m->log, &m->n_log, LOG_FLUSH + (int)g->n);
    for (int i = 0; i < g->left; i++)
        batch_log_add(m->log, &m->n_log, LOG_REQUEST + g->ids[i]);
    if (batch_lands_in_flush(g->ids[0]))
        batch_model_land_group(m, group);
}

static void pump(model *m)
{
    while (may_fly(m)) {
        int g = m->n_queued > 0 ? m->queued[0] : m->gathering;
        if (m->n_queued > 0) {
            cut(m->queued, &m->n_queued, g);
        } else {
            m->stats.by_delay += m->due == 1;
            m->stats.by_quiet += m->due == 2;
            m->stats.by_flush += m->due == 3;
            end_gathering(m);
        }
        fly(m, g);
    }
}

static void is_due(model *m, int why)
{
    if (m->gathering >= 0 && m->due == 0)
        m->due = why;
}

void batch_model_flush(model *m)
{
    is_due(m, 3);
    schedule(m);
}

static void close_request(model *m, int id)
{
    model_request *r = &m->request[id];
    r->interested++;
    while (r->n > 0)
        batch_model_give_up(m, r->seats[0], WEIR_CLOSED);
    leave(m, id);
}

void batch_model_close(model *m)
{
    m->closed = 1;
    while (m->n_queued > 0)
        close_request(m, m->group[m->queued[0]].ids[0]);
    while (m->gathering >= 0)
        close_request(m, m->group[m->gathering].ids[0]);
}

void batch_model_drain(model *m, int seat, uint64_t deadline)
{
    m->draining = 1;
    batch_model_flush(m);
    m->seat[seat] = (model_seat){WEIR_PENDING, -1, deadline, ++m->counter};
    m->drains[m->n_drains++] = seat;
    wake_drains(m);
}

/* The earliest timer that is due goes off: a seat's, or that of what gathers. 0 if there is none.
 */
static int next_timer(model *m)
{
    int first = -1;
    for (int i = 0; i < SEATS + DRAINS; i++) {
        const model_seat *s = &m->seat[i];
        if (s->status == WEIR_PENDING && s->deadline <= m->now &&
            (first < 0 || s->deadline < m->seat[first].deadline ||
             (s->deadline == m->seat[first].deadline && s->order < m->seat[first].order)))
            first = i;
    }
    if (m->timer <= m->now &&
        (first < 0 || m->timer < m->seat[first].deadline ||
         (m->timer == m->seat[first].deadline && m->timer_order < m->seat[first].order))) {
        m->timer = WEIR_FOREVER;
        is_due(m, 1);
        pump(m);
        return 1;
    }
    if (first >= 0)
        batch_model_give_up(m, first, WEIR_TIMEOUT);
    return first >= 0;
}

void batch_model_turn(model *m)
{
    while (next_timer(m))
        ;
    while (m->n_ready > 0) {
        int who = m->ready[0];
        cut(m->ready, &m->n_ready, who);
        if (who == TURN) {
            pump(m);
            continue;
        }
        model_seat *s = &m->seat[who];
        batch_log_add(m->log, &m->n_log, LOG_END + 100 * (int)s->status + who);
        if (who < SEATS && (s->status == WEIR_GRANTED || s->status == WEIR_FAILED))
            leave(m, s->request);
        s->status = WEIR_IDLE;
    }
    if (m->quiet) {
        m->quiet = 0;
        is_due(m, 2);
        pump(m);
    }
}
