-- weir-scm-1.rockspec - weir as a rock; made by tools/rockspec.lua, do not edit.
--
-- Builds weir.core with libuv alone and needs no other rock: `luarocks make rockspec/weir-scm-1.rockspec`.
-- weir.json wants lua-cjson and weir.http the rocks of its connectors; both are looked for when required.
rockspec_format = "3.0"
package = "weir"
version = "scm-1"
source = {
  url = "git+file://.", -- `luarocks make` in a checkout does not use it
}
description = {
  summary = "Structured concurrency with limits, on libuv",
  license = "MIT",
  labels = { "concurrency", "async", "libuv", "coroutine" },
}
supported_platforms = { "linux" }
dependencies = {
  "lua >= 5.4, < 5.5",
}
external_dependencies = {
  LIBUV = { header = "uv.h", library = "uv" },
}
build = {
  type = "builtin",
  modules = {
    ["weir.core"] = {
      libraries = { "uv", "m", "dl" },
      incdirs = { "$(LIBUV_INCDIR)", "core/include", "bindings/include", "core" },
      libdirs = { "$(LIBUV_LIBDIR)" },
      sources = {
        "bindings/context.c",
        "bindings/lacquire.c",
        "bindings/lapi.c",
        "bindings/lbody.c",
        "bindings/lborrow.c",
        "bindings/lbucket.c",
        "bindings/lcheck.c",
        "bindings/lerror.c",
        "bindings/llease.c",
        "bindings/llimit.c",
        "bindings/lluv.c",
        "bindings/lpermit.c",
        "bindings/lpool.c",
        "bindings/lpool_end.c",
        "bindings/lpool_error.c",
        "bindings/lpool_leak.c",
        "bindings/lpool_options.c",
        "bindings/lpool_work.c",
        "bindings/lqueueing.c",
        "bindings/lreservation.c",
        "bindings/lrun.c",
        "bindings/lscope.c",
        "bindings/lsemaphore.c",
        "bindings/lsimulator.c",
        "bindings/lstory.c",
        "bindings/ltask.c",
        "bindings/lwait.c",
        "core/base/error.c",
        "core/base/hash.c",
        "core/base/heap.c",
        "core/base/histogram.c",
        "core/policy/bucket.c",
        "core/policy/queueing.c",
        "core/policy/window.c",
        "core/sched/graph.c",
        "core/sched/runtime.c",
        "core/sched/scope.c",
        "core/sched/simulator.c",
        "core/sched/task.c",
        "core/sched/waiter.c",
        "core/sched/wheel.c",
        "core/sync/batch.c",
        "core/sync/cache.c",
        "core/sync/cache_evict.c",
        "core/sync/cache_index.c",
        "core/sync/cache_tag.c",
        "core/sync/cache_watch.c",
        "core/sync/flight.c",
        "core/sync/foresee.c",
        "core/sync/limits.c",
        "core/sync/pool.c",
        "core/sync/pool_dial.c",
        "core/sync/pool_resource.c",
        "core/sync/pool_watch.c",
        "core/sync/rate.c",
        "core/sync/semaphore.c",
        "core/sync/semaphore_queue.c",
        "core/sync/semaphore_watch.c",
        "core/uv/loop.c",
        "core/uv/poll.c",
        "core/uv/resolve.c",
        "core/uv/signal.c",
        "core/uv/work.c",
      },
    },
    ["weir.database"] = "bindings/weir/database.lua",
    ["weir.fanout"] = "bindings/weir/fanout.lua",
    ["weir.http.client"] = "bindings/weir/http/client.lua",
    ["weir.http"] = "bindings/weir/http/init.lua",
    ["weir.http.server"] = "bindings/weir/http/server.lua",
    ["weir"] = "bindings/weir/init.lua",
    ["weir.json"] = "bindings/weir/json.lua",
    ["weir.keyed"] = "bindings/weir/keyed.lua",
    ["weir.luv"] = "bindings/weir/luv.lua",
    ["weir.map"] = "bindings/weir/map.lua",
    ["weir.pool"] = "bindings/weir/pool.lua",
    ["weir.progress"] = "bindings/weir/progress.lua",
    ["weir.queueing"] = "bindings/weir/queueing.lua",
    ["weir.sqlite"] = "bindings/weir/sqlite.lua",
    ["weir.test"] = "bindings/weir/test.lua",
  },
}
