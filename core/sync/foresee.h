/* sync/foresee.h - when what stands in the queue of a rate will be due; core/sync alone sees this.
 *
 * Nothing here decides: who is due is worked out anew whenever the queue is served. The hooks keep
 * what was foreseen right, or forget it.
 */
#ifndef WEIR_SYNC_FORESEE_H
#define WEIR_SYNC_FORESEE_H
#include <weir/rate.h>

#include <weir/begin.h>

/* The ns at which `t`, which is queued, will be due, as things stand. WEIR_FOREVER is never. */
uint64_t weir__foresee(weir_rate *r, weir_ticket *t);

/* The same for `amount` behind the whole queue. Where the queue has to be played through, a call
 * plays at most a thousand tickets on: if those are not all it is too early, never too late. */
uint64_t weir__foresee_behind(weir_rate *r, double amount);

/* `t` was put at the end of the queue. */
void weir__foresee_enter(weir_rate *r, weir_ticket *t);

/* `t` is about to leave the queue: granted at `when`, or (WEIR_FOREVER) without a grant. */
void weir__foresee_leave(weir_rate *r, weir_ticket *t, uint64_t when);

/* A charge was taken back. */
void weir__foresee_refund(weir_rate *r);

/* The limits are about to change, or the queue is about to end. */
void weir__foresee_forget(weir_rate *r);

/* Is what was foreseen about the queue as it is? */
int weir__foresee_validate(const weir_rate *r);

#include <weir/end.h>
#endif
