-- weir-scm-1.rockspec - weir as a rock; made by tools/rockspec.lua, do not edit.
--
-- Builds weir.core with libuv alone and needs no other rock: `luarocks make rockspec/weir-scm-1.rockspec`.
-- weir.json wants lua-cjson and weir.http a connector, both looked for when they are required.
rockspec_format = "3.0"
package = "weir"
version = "scm-1"
source = {
  url = "git+file://.", -- `luarocks make` in a checkout does not use it
}
description = {
  summary = "Structured concurrency with limits, on libuv",
  detailed = [=[
    Tasks in scopes, deadlines that hold for every wait, semaphores and limits that lose nothing on
    cancel, and virtual time for tests. One C core, scripted in Lua.]=],
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
      libraries = { "uv" },
      incdirs = { "$(LIBUV_INCDIR)", "core/include", "bindings/include", "core" },
      libdirs = { "$(LIBUV_LIBDIR)" },
      sources = {
        "core/base/error.c",
        "core/base/histogram.c",
        "core/sched/graph.c",
        "core/sched/runtime.c",
        "core/sched/scope.c",
        "core/sched/simulator.c",
        "core/sched/task.c",
        "core/sched/waiter.c",
        "core/sched/wheel.c",
        "core/sync/semaphore.c",
      },
    },
    ["weir.fanout"] = "bindings/weir/fanout.lua",
    ["weir.progress"] = "bindings/weir/progress.lua",
    ["weir.test"] = "bindings/weir/test.lua",
  },
}
