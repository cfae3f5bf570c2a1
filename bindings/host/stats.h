/* host/stats.h - --stats: what a program did, said at its end. */
#ifndef WEIR_HOST_STATS_H
#define WEIR_HOST_STATS_H
#include <lua.h>
#include <weir/runtime.h>

/* Print what `rt` counted, memory and times on stderr. `started` is weir_now at the start;
 * `is_virtual` says that the clock is no clock. */
void host_stats_print(lua_State *L, const weir_runtime *rt, uint64_t started, int is_virtual);

#endif
