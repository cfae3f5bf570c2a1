/* host/stats.c - what a program did, in a few lines. */
#include "stats.h"

#include <stdio.h>
#include <sys/resource.h>

static double seconds(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

void host_stats_print(lua_State *L, const weir_runtime *rt, uint64_t started, int is_virtual)
{
    const weir_counters *n = weir_runtime_counters(rt);
    struct rusage use;
    double elapsed = (double)(weir_now(rt) - started) / (double)WEIR_SECOND;
    double lua = lua_gc(L, LUA_GCCOUNT) / 1024.0;
    getrusage(RUSAGE_SELF, &use);
    fflush(stdout);
    fprintf(stderr,
            "weir: %.3f s%s, %.3f s CPU, %.1f MiB at most (%.1f MiB of Lua's and %.1f of the "
            "core's now)\n"
            "weir: %llu tasks: %llu done, %llu failed, %llu cancelled, %u alive\n"
            "weir: %llu waits: %llu granted, %llu timed out, %llu cancelled; %llu turns, %llu "
            "resumed\n",
            elapsed, is_virtual ? " of virtual time" : "",
            seconds(use.ru_utime) + seconds(use.ru_stime), (double)use.ru_maxrss / 1024, lua,
            (double)n->bytes / 1048576, (unsigned long long)n->spawned, (unsigned long long)n->done,
            (unsigned long long)n->failed, (unsigned long long)n->cancelled, n->tasks,
            (unsigned long long)n->waits, (unsigned long long)n->grants,
            (unsigned long long)n->timeouts, (unsigned long long)n->cancels,
            (unsigned long long)n->turns, (unsigned long long)n->runs);
    if (n->leaks > 0)
        fprintf(stderr, "weir: %llu permits or leases were still held when their task ended\n",
                (unsigned long long)n->leaks);
}
