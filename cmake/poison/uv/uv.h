/* uv.h - found first by all of the core but core/uv, so that nothing else there can use libuv. */
#error "core/uv is the one folder that includes <uv.h>"
