-- weir-sqlite-scm-1.rockspec - SQLite for weir; made by tools/rockspec.lua, do not edit.
--
-- The connector weir.sqlite.sqlite3: the one part of weir that links SQLite.
rockspec_format = "3.0"
package = "weir-sqlite"
version = "scm-1"
source = {
  url = "git+file://.", -- `luarocks make` does not use it; tools/dist.sh writes rockspecs with one that can be fetched
}
description = {
  summary = "SQLite for weir, on its thread pool",
  detailed = "What weir.sqlite is made of.",
  license = "MIT",
  labels = { "concurrency", "async", "libuv", "coroutine" },
}
supported_platforms = { "linux" }
dependencies = {
  "lua >= 5.4, < 5.5",
  "weir == scm",
}
external_dependencies = {
  SQLITE = { header = "sqlite3.h", library = "sqlite3" },
}
build = {
  type = "builtin",
  modules = {
    ["weir.sqlite.sqlite3"] = {
      defines = { "WEIR_HIDDEN" },
      libraries = { "sqlite3" },
      incdirs = { "$(SQLITE_INCDIR)", "core/include", "bindings/include" },
      libdirs = { "$(SQLITE_LIBDIR)" },
      sources = {
        "bindings/sqlite/bytes.c",
        "bindings/sqlite/connection.c",
        "bindings/sqlite/cursor.c",
        "bindings/sqlite/error.c",
        "bindings/sqlite/query.c",
        "bindings/sqlite/sqlite.c",
        "bindings/sqlite/statement.c",
        "bindings/sqlite/values.c",
        "bindings/sqlite/wait.c",
        "bindings/sqlite/work.c",
      },
    },
  },
}
