/* host/signals.h - how the program is asked to stop: signals and --timeout. */
#ifndef WEIR_HOST_SIGNALS_H
#define WEIR_HOST_SIGNALS_H
#include <weir/runtime.h>

/* Seconds that cleanup has after the first signal. */
#define HOST_GRACE 5

/* Watch SIGINT, SIGTERM and SIGHUP: the first cancels the root scope with the signal's name, the
 * second, or the end of the grace, ends the process from the handler. SIGPIPE is ignored. `timeout`
 * > 0 seconds: the same cancel with the reason "timeout". 0 or a negative code. */
int host_signals_start(weir_runtime *rt, double timeout);

/* Is that one of those which ask to stop? SIGHUP is none if the program was started with it
 * ignored. */
int host_signals_is_watched(int signum);

/* Stop watching; the runtime can be freed. */
void host_signals_stop(void);

/* From now on SIGINT calls `fn` from the loop, outside tasks, and cancels nothing; NULL: as before.
 * Three in a row that the loop does not come to see end the process. */
typedef void (*host_interrupt_fn)(void *data);
void host_signals_set_interrupt(host_interrupt_fn fn, void *data);

/* What asked the program to stop: a signal's number, -1 for the timeout, 0 for nothing. */
int host_signals_cause(void);

#endif
