-- weir-curl-scm-1.rockspec - the HTTP client of weir; made by tools/rockspec.lua, do not edit.
--
-- The connector weir.http.curl: the one part of weir that links libcurl.
rockspec_format = "3.0"
package = "weir-curl"
version = "scm-1"
source = {
  url = "git+file://.", -- `luarocks make` does not use it; tools/dist.sh writes rockspecs with one that can be fetched
}
description = {
  summary = "HTTP client for weir, on libcurl",
  detailed = "What weir.http fetches with.",
  license = "MIT",
  labels = { "concurrency", "async", "libuv", "coroutine" },
}
supported_platforms = { "linux" }
dependencies = {
  "lua >= 5.4, < 5.5",
  "weir == scm",
}
external_dependencies = {
  CURL = { library = "curl" },
}
build = {
  type = "builtin",
  modules = {
    ["weir.http.curl"] = {
      defines = { "WEIR_HIDDEN" },
      libraries = { "curl" },
      incdirs = { "core/include", "bindings/include" },
      libdirs = { "$(CURL_LIBDIR)" },
      sources = {
        "bindings/http/curl.c",
        "bindings/http/curl_address.c",
        "bindings/http/curl_answer.c",
        "bindings/http/curl_buffer.c",
        "bindings/http/curl_call.c",
        "bindings/http/curl_client.c",
        "bindings/http/curl_exchange.c",
        "bindings/http/curl_loop.c",
        "bindings/http/curl_origin.c",
        "bindings/http/curl_receive.c",
        "bindings/http/curl_transfer.c",
      },
    },
  },
}
