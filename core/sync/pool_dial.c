/* sync/pool_dial.c - growth of the pool: how many dials, when, and what comes of a failure.
 *
 * Needed is what those who wait and `min` lack beyond what is on its way. Of what is needed one
 * dial begins at once, the next when it has ended or after the stagger, and after a failure none
 * before the backoff is over. One thing delays the first: if those who wait are likely to be served
 * by what is lent (at the recent hold time) before a dial could end (at the recent create time), it
 * waits that long, and never longer than the stagger since the need arose. So whoever waits has a
 * resource on its way, or the time of a dial is set, or there is no room; nothing here rests on a
 * tick.
 *
 * A failed create fails the head of the queue; unless leases came back since it was begun: the
 * server serves, perhaps it has a limit below ours, and who waits is better off with those. For
 * that reason too only failures with none that came back between them open the pool.
 */
#include "pool_resource.h"

static uint64_t later_of(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

uint32_t weir__pool_wanted(const weir_pool *p)
{
    uint32_t total = weir__pool_total(p), strong = weir__pool_strong(p), max = p->options.max;
    uint32_t coming = p->dials + (p->doubt ? 0 : p->checks), need = 0;
    if (p->closed || p->ended || total >= max)
        return 0;
    if (p->open) {
        need = p->dials == 0; /* the probe */
    } else {
        if (p->waiting > coming)
            need = p->waiting - coming;
        if (!p->draining && p->options.min > strong && p->options.min - strong > need)
            need = p->options.min - strong;
    }
    return need < max - total ? need : max - total;
}

uint64_t weir__pool_next_dial(const weir_pool *p)
{
    if (p->dials > 0)
        return later_of(p->dial_after, weir__later(p->dialled, p->options.dial_stagger));
    if (p->open || p->options.min > weir__pool_strong(p))
        return p->dial_after;
    return later_of(p->dial_after, p->patience);
}

/* Until when those who wait now are likely to be served by what is lent, if that is sooner than a
 * dial could help; else 0. A last lease that is out longer than usual says that the usual is over.
 */
static uint64_t foresee(const weir_pool *p)
{
    uint64_t now = p->rt->now, hold = p->recent_hold;
    uint64_t end = weir__later(p->need_since, p->options.dial_stagger);
    if (p->stats.hold.count == 0 || weir_list_is_empty(&p->leased) || end <= now)
        return 0;
    uint64_t age = now - weir__pool_resource(p->leased.head.prev)->lease->since;
    hold = later_of(hold, age);
    double span = (double)hold * (1 + (double)p->waiting / p->n_leased);
    uint64_t most = end - now < p->recent_create ? end - now : p->recent_create;
    return span <= (double)most ? now + (uint64_t)span : 0;
}

/* The need has changed, or not. */
static void note_need(weir_pool *p)
{
    uint32_t n = weir__pool_wanted(p);
    if (n > p->wanted) {
        if (p->wanted == 0)
            p->need_since = p->rt->now;
        p->patience = foresee(p);
    } else if (n < p->wanted) {
        p->stats.elided += p->wanted - n;
    }
    p->wanted = n;
}

/* --- failures ------------------------------------------------------------------------ */

static void drop(weir_pool *p, intptr_t failure)
{
    if (failure != 0 && p->ops->drop != NULL)
        p->ops->drop(p, failure);
}

static void set_cause(weir_pool *p, intptr_t cause)
{
    intptr_t old = p->cause;
    p->cause = cause;
    drop(p, old);
}

/* Twice as long after each failure in a row; by chance up to half of it less. */
static void back_off(weir_pool *p)
{
    uint64_t span = p->options.backoff, max = p->options.max_backoff;
    for (uint32_t i = 1; i < p->failures && span < max; i++)
        span = span > max / 2 ? max : span * 2;
    span -= weir_random(p->rt) % (span / 2 + 1);
    p->dial_after = weir_after(p->rt, span);
}

/* A dial that was begun at `since` failed with `rc` and `failure` (takes). */
static void fail(weir_pool *p, uint64_t since, int rc, intptr_t failure)
{
    int is_alive = p->returned > since;
    if (p->failures < UINT32_MAX)
        p->failures++;
    p->barren = p->returned > p->failed ? 1 : p->barren + (p->barren < UINT32_MAX);
    p->failed = p->rt->now;
    p->cause_rc = rc;
    back_off(p);
    if (!is_alive && p->waiting > p->checks) {
        weir_lease *head = weir__pool_request(weir_list_first(&p->queue));
        head->rc = rc;
        head->failure = failure;
        set_cause(p, failure != 0 && p->ops->share != NULL ? p->ops->share(p, failure) : 0);
        p->stats.failed++;
        weir__pool_turn_away(p, head, WEIR_FAILED);
    } else {
        set_cause(p, failure);
    }
    if (!is_alive && p->options.open_after != 0 && p->barren >= p->options.open_after) {
        p->open = 1;
        p->wanted = 0;
    }
}

/* --- dials --------------------------------------------------------------------------- */

static void begin_dial(weir_pool *p)
{
    weir_resource *r = weir_alloc(p->rt, NULL, 0, sizeof *r);
    p->wanted--;
    if (r == NULL) { /* a failure like any other: who waits is told, what `min` lacks comes later */
        p->stats.create_failures++;
        fail(p, later_of(p->need_since, p->failed), WEIR_ENOMEM, 0);
        p->serving = 2; /* it may be open now */
        return;
    }
    *r = (weir_resource){.of = p, .state = WEIR_RESOURCE_CONNECTING, .since = p->rt->now};
    weir_timer_init(&r->timer, weir__resource_fire);
    weir_list_push(&p->connecting, &r->link);
    weir_timer_set(p->rt, &r->timer, weir_after(p->rt, p->options.create_timeout));
    p->n_connecting++;
    p->dials++;
    p->dialled = p->rt->now;
    p->ops->create(p, r);
}

void weir__pool_dial(weir_pool *p)
{
    uint64_t at = WEIR_FOREVER;
    for (note_need(p); p->wanted > 0 && p->n_connecting < p->options.max_dials; note_need(p)) {
        at = weir__pool_next_dial(p);
        if (at > p->rt->now)
            break;
        at = WEIR_FOREVER;
        begin_dial(p);
    }
    if (at == WEIR_FOREVER)
        weir_timer_unset(p->rt, &p->dial);
    else if (!weir_timer_is_set(&p->dial) || p->dial.deadline != at)
        weir_timer_set(p->rt, &p->dial, at);
}

void weir__pool_dial_fire(weir_runtime *rt, weir_timer *timer)
{
    (void)rt;
    weir__pool_changed(weir_container(timer, weir_pool, dial));
}

/* --- answers ------------------------------------------------------------------------- */

void weir__pool_dial_late(weir_pool *p, weir_resource *r)
{
    p->stats.create_timeouts++;
    fail(p, r->since, WEIR_ETIMEOUT, 0);
    weir__pool_abort(p, r);
}

static void made(weir_pool *p, weir_resource *r)
{
    const weir_pool_options *o = &p->options;
    uint64_t now = p->rt->now, ns = now - r->since;
    double less = o->jitter * ((double)(weir_random(p->rt) >> 11) * 0x1p-53);
    p->recent_create = weir__smooth(p->recent_create, ns, p->stats.create.count == 0);
    weir_histogram_record(&p->stats.create, ns);
    p->stats.created++;
    p->failures = p->barren = 0;
    p->dial_after = 0;
    p->open = p->doubt = 0;
    r->aborted = 0;
    r->made = r->used = now;
    r->retire = r->keep = WEIR_FOREVER;
    if (o->max_lifetime != WEIR_FOREVER)
        r->retire = weir_after(p->rt, o->max_lifetime - (uint64_t)((double)o->max_lifetime * less));
    if (o->keep_alive != WEIR_FOREVER)
        r->keep = o->keep_alive - (uint64_t)((double)o->keep_alive * less);
}

void weir_pool_created(weir_pool *p, weir_resource *r, int rc, intptr_t failure)
{
    uint64_t since = r->since;
    int aborted = r->aborted;
    assert(r->of == p && r->state == WEIR_RESOURCE_CONNECTING);
    weir_timer_unset(p->rt, &r->timer);
    p->dials -= !aborted;
    if (rc == 0) {
        drop(p, failure);
        made(p, r);
        weir__pool_hand(p, r, 0);
    } else {
        weir__pool_free(p, r);
        if (aborted) { /* what that means was settled then */
            drop(p, failure);
        } else {
            p->stats.create_failures++;
            fail(p, since, rc, failure);
        }
    }
    weir__pool_changed(p);
}
