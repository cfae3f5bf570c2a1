/* sched/wheel.c - timers: a hierarchical timing wheel of nanosecond resolution.
 *
 * Why the level of a timer never has to be stored: `base` moves only inside weir__wheel_fire,
 * and whenever it enters a slot above level 0 that slot is emptied into the levels below.
 * So a timer always sits at the level of the highest bit in which its deadline differs from
 * the base of this moment, as it did from the base of the moment it was set.
 * Lower levels hold earlier timers: the first set bit of the lowest occupied level is next.
 */
#include "internal.h"

#define LOOK 16 /* timers of a slot that are looked at for the earliest */

void weir_timer_init(weir_timer *timer, weir_timer_fn fire)
{
    weir_link_init(&timer->_link);
    timer->deadline = WEIR_FOREVER;
    timer->fire = fire;
}

void weir__wheel_init(weir_wheel *wheel, uint64_t now)
{
    wheel->base = now;
    weir_list_init(&wheel->due);
    for (unsigned l = 0; l < WEIR_WHEEL_LEVELS; l++) {
        wheel->occupied[l] = 0;
        for (unsigned s = 0; s < WEIR_WHEEL_SLOTS; s++)
            weir_list_init(&wheel->slot[l][s]);
    }
}

static unsigned level_of(uint64_t difference)
{
    return (63u - (unsigned)__builtin_clzll(difference)) / WEIR_WHEEL_BITS;
}

static unsigned slot_of(uint64_t deadline, unsigned level)
{
    return (unsigned)(deadline >> (WEIR_WHEEL_BITS * level)) & (WEIR_WHEEL_SLOTS - 1);
}

/* The time at which slot `s` of `level` begins, seen from base. */
static uint64_t start_of(uint64_t base, unsigned level, unsigned s)
{
    unsigned shift = WEIR_WHEEL_BITS * level;
    uint64_t above = level + 1 >= WEIR_WHEEL_LEVELS ? 0 : ~UINT64_C(0) << (shift + WEIR_WHEEL_BITS);
    return (base & above) | ((uint64_t)s << shift);
}

static void put(weir_wheel *wheel, weir_timer *timer, weir_list *now)
{
    if (timer->deadline <= wheel->base) {
        weir_list_push(now, &timer->_link);
        return;
    }
    unsigned l = level_of(timer->deadline ^ wheel->base);
    unsigned s = slot_of(timer->deadline, l);
    weir_list_push(&wheel->slot[l][s], &timer->_link);
    wheel->occupied[l] |= UINT64_C(1) << s;
}

void weir_timer_set(weir_runtime *rt, weir_timer *timer, uint64_t deadline)
{
    weir_timer_unset(rt, timer);
    if (deadline == WEIR_FOREVER)
        return;
    timer->deadline = deadline;
    put(&rt->wheel, timer, &rt->wheel.due);
    rt->n.timers++;
    if (rt->wake != NULL)
        rt->wake(rt->loop);
}

void weir_timer_unset(weir_runtime *rt, weir_timer *timer)
{
    if (!weir_link_is_linked(&timer->_link))
        return;
    weir_link *head = timer->_link.next;
    int last = head == timer->_link.prev; /* alone in its list: both neighbours are the head */
    weir_link_remove(&timer->_link);
    rt->n.timers--;
    if (last) {
        weir_list *first = &rt->wheel.slot[0][0], *list = weir_container(head, weir_list, head);
        if (list >= first && list < first + WEIR_WHEEL_LEVELS * WEIR_WHEEL_SLOTS) {
            size_t i = (size_t)(list - first);
            rt->wheel.occupied[i / WEIR_WHEEL_SLOTS] &= ~(UINT64_C(1) << (i % WEIR_WHEEL_SLOTS));
        }
    }
}

/* Remove the next timer of `batch`; which one, when it holds several, is a choice. */
static weir_timer *take(weir_runtime *rt, weir_list *batch)
{
    weir_link *n = weir_list_first(batch);
    if (rt->env.choose != NULL) {
        uint32_t count = 0;
        for (weir_link *i = n; i != NULL; i = weir_list_next(batch, i))
            count++;
        for (uint32_t k = weir_choose(rt, count, WEIR_CHOICE_TIMER); k > 0; k--)
            n = weir_list_next(batch, n);
    }
    weir_link_remove(n);
    rt->n.timers--;
    return weir_container(n, weir_timer, _link);
}

static uint32_t fire_all(weir_runtime *rt, weir_list *batch)
{
    uint32_t n = 0;
    while (!weir_list_is_empty(batch)) {
        weir_timer *timer = take(rt, batch);
        timer->fire(rt, timer);
        n++;
    }
    return n;
}

/* The lowest occupied level, or WEIR_WHEEL_LEVELS. */
static unsigned lowest(const weir_wheel *wheel)
{
    unsigned l = 0;
    while (l < WEIR_WHEEL_LEVELS && wheel->occupied[l] == 0)
        l++;
    return l;
}

uint32_t weir__wheel_fire(weir_runtime *rt)
{
    weir_wheel *wheel = &rt->wheel;
    weir_list batch; /* what fires next; a callback that sets a past timer finds `due` instead */
    uint32_t n;

    weir_list_init(&batch);
    weir_list_append(&batch, &wheel->due);
    n = fire_all(rt, &batch);
    for (;;) {
        unsigned l = lowest(wheel);
        if (l == WEIR_WHEEL_LEVELS)
            break;
        unsigned s = (unsigned)__builtin_ctzll(wheel->occupied[l]);
        uint64_t start = start_of(wheel->base, l, s);
        if (start > rt->now)
            break;
        weir_list moved;
        weir_list_init(&moved);
        weir_list_append(&moved, &wheel->slot[l][s]);
        wheel->occupied[l] &= ~(UINT64_C(1) << s);
        wheel->base = start;
        for (weir_link *k; (k = weir_list_pop(&moved)) != NULL;)
            put(wheel, weir_container(k, weir_timer, _link), &batch);
        n += fire_all(rt, &batch);
    }
    if (rt->now > wheel->base)
        wheel->base = rt->now;
    return n;
}

/* The earliest of a slot that has few timers, so that nobody wakes up on the way down the levels
 * for nothing; of one that has many its start. */
static uint64_t earliest(const weir_list *slot, uint64_t start)
{
    uint64_t at = WEIR_FOREVER;
    weir_link *k = weir_list_first(slot);
    for (unsigned i = 0; k != NULL; i++, k = weir_list_next(slot, k)) {
        uint64_t deadline = weir_container(k, weir_timer, _link)->deadline;
        if (i == LOOK)
            return start;
        if (deadline < at)
            at = deadline;
    }
    return at;
}

uint64_t weir__wheel_next(const weir_runtime *rt)
{
    const weir_wheel *wheel = &rt->wheel;
    if (!weir_list_is_empty(&wheel->due))
        return wheel->base;
    unsigned l = lowest(wheel);
    if (l == WEIR_WHEEL_LEVELS)
        return WEIR_FOREVER;
    unsigned s = (unsigned)__builtin_ctzll(wheel->occupied[l]);
    return earliest(&wheel->slot[l][s], start_of(wheel->base, l, s));
}

int weir__wheel_validate(const weir_runtime *rt)
{
    const weir_wheel *wheel = &rt->wheel;
    uint32_t n = 0;
    for (weir_link *k = weir_list_first(&wheel->due); k; k = weir_list_next(&wheel->due, k), n++)
        if (weir_container(k, weir_timer, _link)->deadline > wheel->base)
            return __LINE__;
    for (unsigned l = 0; l < WEIR_WHEEL_LEVELS; l++) {
        for (unsigned s = 0; s < WEIR_WHEEL_SLOTS; s++) {
            const weir_list *list = &wheel->slot[l][s];
            if (weir_list_is_empty(list) != !(wheel->occupied[l] >> s & 1))
                return __LINE__;
            for (weir_link *k = weir_list_first(list); k; k = weir_list_next(list, k), n++) {
                uint64_t at = weir_container(k, weir_timer, _link)->deadline;
                if (at <= wheel->base || level_of(at ^ wheel->base) != l || slot_of(at, l) != s)
                    return __LINE__;
            }
        }
    }
    return n == rt->n.timers ? 0 : __LINE__;
}
