-- weir-microhttpd-scm-1.rockspec - the HTTP server of weir; made by tools/rockspec.lua, do not edit.
--
-- The connector weir.http.microhttpd: the one part of weir that links libmicrohttpd.
rockspec_format = "3.0"
package = "weir-microhttpd"
version = "scm-1"
source = {
  url = "git+file://.", -- `luarocks make` does not use it; tools/dist.sh writes rockspecs with one that can be fetched
}
description = {
  summary = "HTTP server for weir, on libmicrohttpd",
  detailed = "What weir.http serves with.",
  license = "MIT",
  labels = { "concurrency", "async", "libuv", "coroutine" },
}
supported_platforms = { "linux" }
dependencies = {
  "lua >= 5.4, < 5.5",
  "weir == scm",
}
external_dependencies = {
  MICROHTTPD = { header = "microhttpd.h", library = "microhttpd" },
}
build = {
  type = "builtin",
  modules = {
    ["weir.http.microhttpd"] = {
      defines = { "WEIR_HIDDEN" },
      libraries = { "microhttpd" },
      incdirs = { "$(MICROHTTPD_INCDIR)", "core/include", "bindings/include" },
      libdirs = { "$(MICROHTTPD_LIBDIR)" },
      sources = {
        "bindings/http/mhd.c",
        "bindings/http/mhd_connection.c",
        "bindings/http/mhd_head.c",
        "bindings/http/mhd_linger.c",
        "bindings/http/mhd_refuse.c",
        "bindings/http/mhd_request.c",
      },
    },
  },
}
