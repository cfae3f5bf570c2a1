-- .luacheckrc - Lua 5.4, no globals of our own, 120 columns.
std = "lua54"
max_line_length = 120
codes = true
exclude_files = { "build/**", "build-*/**", "node_modules/**", "bench/peers/node_modules/**" }

files["spec/**/*_spec.lua"] = { std = "+busted", ignore = { "512" } } -- 512: a loop left after its first step
files["examples/runner/workflows/*.lua"] = { read_globals = { "approve", "digest", "sh", "weir" } }
files["types/**/*.lua"] = { ignore = { "21.", "241", "631" } } -- functions without bodies
files["rockspec/*.rockspec"] = { std = "+rockspec" }
files[".busted"] = { std = "lua54" }
