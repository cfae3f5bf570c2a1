-- weir.luv - luv (all of libuv for Lua: files, processes, sockets) beside weir's tasks.
--
-- `require "weir.luv"` gives luv itself. Its callbacks come while weir's loop runs; weir.await
-- and weir.wrap turn them into waits:
--
--     local uv = require "weir.luv"
--     local stat = weir.wrap(uv.fs_stat)
--     local err, info = stat("README.md")
--
-- Require it in place of "luv", and first: a luv that was opened before runs on a loop of its
-- own. Callbacks are not tasks: they may call what does not wait (resume, weir.detach).
local core <const> = require "weir.core"

if package.loaded.luv then
  core.misuse("weir.luv", "luv was loaded before and runs on a loop of its own; " ..
    'require "weir.luv" in its place')
end

local path, err = package.searchpath("luv", package.cpath)
if not path then
  error("module 'luv' not found:" .. err, 0)
end

if core.luv_share(path) then
  return require "luv"
end

local luv <const> = require "luv"
core.luv_guest(luv.backend_fd(), function()
  luv.run("nowait")
  if luv.loop_alive() then
    return luv.backend_timeout()
  end
end)
return luv
