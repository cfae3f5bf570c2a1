-- weir-libpq-scm-1.rockspec - PostgreSQL for weir; made by tools/rockspec.lua, do not edit.
--
-- The connector weir.postgres.libpq: the one part of weir that links libpq.
rockspec_format = "3.0"
package = "weir-libpq"
version = "scm-1"
source = {
  url = "git+file://.", -- `luarocks make` does not use it; tools/dist.sh writes rockspecs with one that can be fetched
}
description = {
  summary = "PostgreSQL client for weir, on libpq",
  detailed = "What weir.postgres talks with.",
  license = "MIT",
  labels = { "concurrency", "async", "libuv", "coroutine" },
}
supported_platforms = { "linux" }
dependencies = {
  "lua >= 5.4, < 5.5",
  "weir == scm",
}
external_dependencies = {
  PQ = { library = "pq" },
}
build = {
  type = "builtin",
  modules = {
    ["weir.postgres.libpq"] = {
      defines = { "WEIR_HIDDEN" },
      libraries = { "pq" },
      incdirs = { "core/include", "bindings/include", "/usr/include/postgresql" },
      libdirs = { "$(PQ_LIBDIR)" },
      sources = {
        "bindings/postgres/pg.c",
        "bindings/postgres/pg_array.c",
        "bindings/postgres/pg_call.c",
        "bindings/postgres/pg_cancel.c",
        "bindings/postgres/pg_connect.c",
        "bindings/postgres/pg_copy.c",
        "bindings/postgres/pg_decode.c",
        "bindings/postgres/pg_error.c",
        "bindings/postgres/pg_hosts.c",
        "bindings/postgres/pg_listen.c",
        "bindings/postgres/pg_loop.c",
        "bindings/postgres/pg_params.c",
        "bindings/postgres/pg_pipeline.c",
        "bindings/postgres/pg_request.c",
        "bindings/postgres/pg_rows.c",
      },
    },
  },
}
