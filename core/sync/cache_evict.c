/* sync/cache_evict.c - who goes when room is needed, and the freeing of what is gone.
 *
 * SIEVE: a hand walks from old to new and round again, spares (once) what was hit since it last
 * came by, and evicts the first that was not. A hit sets one flag and moves nothing, and what is
 * asked for once, a scan, leaves before what is asked for again. (Zhang et al., "SIEVE is simpler
 * than LRU", NSDI 2024.) Two additions: what has expired goes whatever its flag, and the hand
 * spares at most WEIR_CACHE_HAND in a row: no eviction is a walk over a million.
 *
 * A second hand drops what has expired, two entries looked at for each one inserted: so what
 * nobody asks for any more is found although nothing has to go. What a clear lets go of is
 * `doomed`: it counts as memory until it is freed, which is done before anything is evicted.
 */
#include "cache.h"

/* --- the end of an entry ---------------------------------------------------------------------- */

static weir_link *behind(const weir_cache *c, const weir_link *k)
{
    return weir_list_next(&c->order, k);
}

void weir__entry_detach(weir_cache *c, weir_entry *e)
{
    if (c->hand == &e->link)
        c->hand = behind(c, &e->link);
    if (c->sweep == &e->link)
        c->sweep = behind(c, &e->link);
    weir__index_remove(&c->entries, &e->node);
    weir_link_remove(&e->link);
    weir__entry_untag(c, e);
}

static void entry_free(weir_cache *c, weir_entry *e)
{
    size_t length = e->node.length;
    intptr_t value = e->value;
    weir__entry_untag(c, e);
    c->bytes -= weir__entry_cost(length, e->size);
    weir_alloc(c->rt, e, sizeof *e + length, 0);
    c->ops->drop(c, value);
}

void weir__entry_remove(weir_cache *c, weir_entry *e)
{
    weir__entry_detach(c, e);
    entry_free(c, e);
}

/* --- who goes --------------------------------------------------------------------------------- */

static int is_over(const weir_cache *c, const weir_entry *e)
{
    return c->rt->now >= weir__entry_end(c, e);
}

/* The hand moves on; never to rest on `keep`: what is new is not looked at before all that is
 * older. */
static void pass(weir_cache *c, const weir_link *k, const weir_entry *keep)
{
    c->hand = behind(c, k);
    if (keep != NULL && c->hand == &keep->link)
        c->hand = behind(c, c->hand);
}

/* NULL if there is nobody but `keep`. */
static weir_entry *choose(weir_cache *c, const weir_entry *keep)
{
    if (c->entries.n == (keep != NULL))
        return NULL;
    for (int steps = 1;; steps++) {
        weir_entry *e = weir__entry_at(c->hand != NULL ? c->hand : weir_list_first(&c->order));
        pass(c, &e->link, keep);
        if (e == keep)
            continue;
        if (!(e->flags & WEIR_ENTRY_VISITED) || is_over(c, e) || steps >= WEIR_CACHE_HAND)
            return e;
        e->flags &= (uint8_t)~WEIR_ENTRY_VISITED;
    }
}

void weir__cache_trim(weir_cache *c, const weir_entry *keep)
{
    weir_entry *e;
    while (c->entries.n > c->options.max || c->bytes > c->options.max_bytes) {
        if (c->bytes > c->options.max_bytes && !weir_list_is_empty(&c->doomed)) {
            weir__cache_reap(c, 1);
            continue;
        }
        if ((e = choose(c, keep)) == NULL)
            break;
        *(is_over(c, e) ? &c->stats.expired : &c->stats.evicted) += 1;
        weir__entry_remove(c, e);
    }
}

static void sweep(weir_cache *c)
{
    for (int i = 0; i < WEIR_CACHE_SWEEP && c->entries.n > 0; i++) {
        weir_entry *e = weir__entry_at(c->sweep != NULL ? c->sweep : weir_list_first(&c->order));
        c->sweep = behind(c, &e->link);
        if (is_over(c, e)) {
            c->stats.expired++;
            weir__entry_remove(c, e);
        }
    }
}

void weir__cache_tend(weir_cache *c)
{
    sweep(c);
    if (!weir_list_is_empty(&c->doomed))
        weir__cache_reap(c, WEIR_CACHE_REAP);
}

/* --- what is doomed --------------------------------------------------------------------------- */

void weir__cache_reap(weir_cache *c, uint32_t n)
{
    for (weir_link *k; n > 0 && (k = weir_list_pop(&c->doomed)) != NULL; n--)
        entry_free(c, weir__entry_at(k));
    if (weir_list_is_empty(&c->doomed))
        weir_quiet_unset(&c->quiet);
    else
        weir_quiet_set(c->rt, &c->quiet);
}

void weir__cache_quiet(weir_runtime *rt, weir_quiet *q)
{
    (void)rt;
    weir__cache_reap(weir_container(q, weir_cache, quiet), WEIR_CACHE_SLICE);
}
