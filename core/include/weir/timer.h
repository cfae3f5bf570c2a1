/* weir/timer.h - one-shot timers of nanosecond resolution, set and cancelled in O(1).
 *
 * A timer is the caller's memory (32 bytes) and must stay put while set. Timers fire in the
 * order of their deadlines, equal deadlines in the order they were set (or as `choose` says).
 * Firing happens inside weir_turn, with rt->now >= deadline, and the timer is already unset:
 * the callback may set it again, or free its memory.
 */
#ifndef WEIR_TIMER_H
#define WEIR_TIMER_H
#include <weir/list.h>

#include <weir/begin.h>

typedef struct weir_runtime weir_runtime;
typedef struct weir_timer weir_timer;
typedef void (*weir_timer_fn)(weir_runtime *rt, weir_timer *timer);

struct weir_timer {
    weir_link _link;   /* linked while set */
    uint64_t deadline; /* ns on the runtime's clock; valid while set */
    weir_timer_fn fire;
};

/* Prepare `timer` (unset). */
void weir_timer_init(weir_timer *timer, weir_timer_fn fire);

/* Fire at `deadline` (a past one fires in the next turn); WEIR_FOREVER unsets. Re-sets if set. */
void weir_timer_set(weir_runtime *rt, weir_timer *timer, uint64_t deadline);

/* Forget it; nothing if it is not set. */
void weir_timer_unset(weir_runtime *rt, weir_timer *timer);

static inline int weir_timer_is_set(const weir_timer *timer)
{
    return weir_link_is_linked(&timer->_link);
}

#include <weir/end.h>
#endif
