/* policy/window.c - sliding window over a log of what was counted when.
 *
 * The log is a ring with one record per distinct time, so it never holds more records than
 * units count. Records that have left the window are dropped at the next charge. Records are
 * numbered through the life of the window: a plan reads those before `_split`, its beginning, in
 * the window that it is of, and has those after in a ring of its own.
 */
#include <weir/window.h>

#include <weir/error.h>

#include <assert.h>
#include <string.h>

/* How many of the records are the other window's, in a plan. */
static uint64_t lent(const weir_window *w)
{
    return w->_split > w->_begin ? w->_split - w->_begin : 0;
}

static weir_window_record *record(const weir_window *w, uint32_t i)
{
    uint64_t others = lent(w);
    if (i < others)
        return record(w->_of, (uint32_t)(w->_begin - w->_of->_begin) + i);
    uint32_t at = w->_first + (uint32_t)(i - others);
    return &w->_record[at < w->_room ? at : at - w->_room];
}

/* When what was counted at `at` counts no more. */
static uint64_t end_of(const weir_window *w, uint64_t at)
{
    return at > UINT64_MAX - w->per ? UINT64_MAX : at + w->per;
}

int weir_window_init(weir_window *w, uint32_t n, uint64_t per, weir_window_record *at,
                     uint32_t room)
{
    if (n == 0 || n > WEIR_WINDOW_MOST || per == 0 || room < n)
        return WEIR_EINVAL;
    *w = (weir_window){.per = per, .n = n, ._record = at, ._room = room};
    return 0;
}

void weir_window_plan(weir_window *plan, const weir_window *of)
{
    weir_window_record *ring = plan->_record;
    uint32_t room = plan->_room;
    *plan = *of;
    plan->_of = of;
    plan->_split = of->_begin + of->_records;
    plan->_record = ring;
    plan->_room = room;
    plan->_first = 0;
}

uint64_t weir_window_due(const weir_window *w, uint32_t count, uint64_t from)
{
    uint32_t left = w->used, i = 0;
    uint64_t due = from;
    while (left + count > w->n) { /* count <= n, so this ends with the last record at most */
        const weir_window_record *r = record(w, i++);
        left -= (uint32_t)r->count;
        if (end_of(w, r->at) > due)
            due = end_of(w, r->at);
    }
    return due;
}

static void forget(weir_window *w, uint64_t now)
{
    while (w->_records > 0 && end_of(w, record(w, 0)->at) <= now) {
        w->used -= (uint32_t)record(w, 0)->count;
        if (lent(w) == 0)
            w->_first = w->_first + 1 < w->_room ? w->_first + 1 : 0;
        w->_begin++;
        w->_records--;
    }
}

void weir_window_charge(weir_window *w, uint32_t count, uint64_t now)
{
    forget(w, now);
    w->used += count;
    if (w->_records > lent(w) && record(w, w->_records - 1)->at == now) {
        record(w, w->_records - 1)->count += count;
        return;
    }
    assert(w->_records - lent(w) < w->_room);
    w->_records++;
    *record(w, w->_records - 1) = (weir_window_record){now, count};
}

void weir_window_refund(weir_window *w, uint32_t count, uint64_t at)
{
    uint32_t i = w->_records;
    while (i > 0 && record(w, i - 1)->at > at)
        i--;
    if (i == 0 || record(w, i - 1)->at != at)
        return; /* it has left the window */
    w->used -= count;
    if ((record(w, i - 1)->count -= count) > 0)
        return;
    for (; i < w->_records; i++)
        *record(w, i - 1) = *record(w, i);
    w->_records--;
}

uint64_t weir_window_quiet(const weir_window *w, uint64_t from)
{
    uint64_t end = w->_records > 0 ? end_of(w, record(w, w->_records - 1)->at) : 0;
    return end > from ? end : from;
}

uint32_t weir_window_available(const weir_window *w, uint64_t now)
{
    uint32_t used = w->used;
    for (uint32_t i = 0; i < w->_records && end_of(w, record(w, i)->at) <= now; i++)
        used -= (uint32_t)record(w, i)->count;
    return used < w->n ? w->n - used : 0;
}

void weir_window_change(weir_window *w, uint32_t n, uint64_t per, weir_window_record *to,
                        uint32_t room)
{
    if (to != w->_record) {
        for (uint32_t i = 0; i < w->_records; i++)
            to[i] = *record(w, i);
        w->_record = to;
        w->_room = room;
        w->_first = 0;
    }
    w->n = n;
    w->per = per;
}

int weir_window_validate(const weir_window *w)
{
    uint64_t used = 0;
    for (uint32_t i = 0; i < w->_records; i++) {
        if (record(w, i)->count == 0 || (i > 0 && record(w, i)->at <= record(w, i - 1)->at))
            return __LINE__;
        used += record(w, i)->count;
    }
    return used != w->used || w->_records > w->_room ? __LINE__ : 0;
}
