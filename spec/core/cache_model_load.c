/* cache_model_load.c - the loads of the cache's model: their flights, who waits for them. */
#include "cache_model.h"

int cache_model_load_of(const model *m, int key)
{
    for (int i = 0; i < LOADS; i++)
        if (m->load[i].used && m->load[i].indexed && m->load[i].key == key)
            return i;
    return -1;
}

/* Deleted tags that no load need know of any more. */
static void forget(model *m)
{
    uint64_t oldest = UINT64_MAX;
    for (int i = 0; i < LOADS; i++)
        if (m->load[i].used && m->load[i].indexed && m->load[i].begun < oldest)
            oldest = m->load[i].begun;
    while (m->n_deleted > 0 && m->deleted[0].number <= oldest)
        memmove(m->deleted, m->deleted + 1, sizeof *m->deleted * (size_t)--m->n_deleted);
}

void cache_model_take_out(model *m, model_load *l)
{
    l->indexed = 0;
    l->number = ++m->counter;
    l->tags = 0;
    forget(m);
}

static void stop_if_unwanted(model *m, model_load *l)
{
    if (l->state != WEIR_FLIGHT_FLYING || l->interested > 0 || l->lasting)
        return;
    l->state = WEIR_FLIGHT_ABANDONED;
    if (l->indexed) {
        m->stats.abandoned++;
        cache_model_take_out(m, l);
    }
}

static void free_if_done(model_load *l)
{
    if (l->ended && l->interested == 0)
        l->used = 0;
}

void cache_model_discard(model *m, model_load *l)
{
    m->stats.discarded++;
    cache_model_take_out(m, l);
    l->lasting = 0;
    stop_if_unwanted(m, l);
}

void cache_model_discard_key(model *m, int key)
{
    int i = cache_model_load_of(m, key);
    if (i >= 0)
        cache_model_discard(m, &m->load[i]);
}

void cache_model_leave(model *m, int load)
{
    model_load *l = &m->load[load];
    l->interested--;
    stop_if_unwanted(m, l);
    free_if_done(l);
}

static void settle(model *m, int wait, weir_status status)
{
    m->wait[wait].status = status;
    m->ready[m->n_ready++] = wait;
}

void cache_model_wait_for(model *m, int wait, int load, uint64_t deadline)
{
    model_load *l = &m->load[load];
    m->wait[wait] = (model_wait){WEIR_PENDING, load, deadline, ++m->counter};
    l->interested++;
    if (l->state != WEIR_FLIGHT_FLYING) {
        settle(m, wait, l->state == WEIR_FLIGHT_LANDED ? WEIR_GRANTED : WEIR_FAILED);
        return;
    }
    l->waiters[l->n_waiters++] = wait;
    m->waiting++;
}

void cache_model_land(model *m, int load, weir_flight_state state, intptr_t value)
{
    model_load *l = &m->load[load];
    l->ended = 1;
    l->value = value;
    if (l->state == WEIR_FLIGHT_FLYING) {
        l->state = state;
        m->landed++;
        if (l->indexed)
            cache_model_take_out(m, l);
        for (int i = 0; i < l->n_waiters; i++) {
            m->waiting--;
            settle(m, l->waiters[i], state == WEIR_FLIGHT_LANDED ? WEIR_GRANTED : WEIR_FAILED);
        }
        l->n_waiters = 0;
    }
    free_if_done(l);
}

int cache_model_give_up(model *m, int wait, weir_status status)
{
    model_wait *w = &m->wait[wait];
    model_load *l = &m->load[w->load];
    if (w->status == WEIR_GRANTED && status == WEIR_CANCELED) {
        w->status = WEIR_CANCELED;
        cache_model_leave(m, w->load);
        return 1;
    }
    if (w->status != WEIR_PENDING)
        return 0;
    int at = 0;
    while (l->waiters[at] != wait)
        at++;
    memmove(l->waiters + at, l->waiters + at + 1, sizeof(int) * (size_t)(--l->n_waiters - at));
    m->waiting--;
    m->stats.timeouts += status == WEIR_TIMEOUT;
    m->stats.cancels += status == WEIR_CANCELED;
    m->stats.closes += status == WEIR_CLOSED;
    cache_model_leave(m, w->load);
    settle(m, wait, status);
    return 1;
}

void cache_model_timeouts(model *m)
{
    for (;;) {
        int first = -1;
        for (int i = 0; i < WAITS; i++) {
            const model_wait *w = &m->wait[i], *f = first < 0 ? NULL : &m->wait[first];
            if (w->status == WEIR_PENDING && w->deadline <= m->now &&
                (f == NULL || w->deadline < f->deadline ||
                 (w->deadline == f->deadline && w->order < f->order)))
                first = i;
        }
        if (first < 0)
            return;
        cache_model_give_up(m, first, WEIR_TIMEOUT);
    }
}

/* The load with the lowest number among those that are indexed, or are not; or NULL. Past `after`.
 */
model_load *cache_model_first_load(model *m, int indexed, uint64_t after)
{
    model_load *first = NULL;
    for (int i = 0; i < LOADS; i++) {
        model_load *l = &m->load[i];
        if (l->used && l->indexed == indexed && l->number > after &&
            (first == NULL || l->number < first->number))
            first = l;
    }
    return first;
}

void cache_model_close_load(model *m, model_load *l)
{
    l->lasting = 0;
    if (l->state != WEIR_FLIGHT_FLYING)
        return;
    while (l->n_waiters > 0)
        cache_model_give_up(m, l->waiters[0], WEIR_CLOSED);
    stop_if_unwanted(m, l);
}
