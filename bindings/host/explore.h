/* host/explore.h - --explore: a script in many orders, each a process of its own. */
#ifndef WEIR_HOST_EXPLORE_H
#define WEIR_HOST_EXPLORE_H
#include "options.h"

/* Call `run` in o->explore processes, one after the other, with the seeds from o->seed on. Shows
 * the output of the first that fails, and its seed. Returns the exit code: that run's, or 0. */
int host_explore(host_options *o, int (*run)(host_options *o));

#endif
