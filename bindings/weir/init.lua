-- weir - concurrency control for Lua: tasks, scopes, limits, fan-out.
--
-- `require "weir"` gives one table. What needs C (tasks, scopes, waits, semaphores, limits) comes
-- from weir.core as it is; what can be said in terms of those is in the modules beside this file.
-- Optional modules (weir.http, weir.json ...) are loaded by their own `require`, or on first use
-- as a field: weir.http.
local core <const> = require "weir.core"
local batch <const> = require "weir.batch"
local cache <const> = require "weir.cache"
local fanout <const> = require "weir.fanout"
local keyed <const> = require "weir.keyed"
local pool <const> = require "weir.pool"

core.own_folder()

local weir = {
  _VERSION = "weir " .. core.version,
  -- tasks
  run = core.run,
  spawn = core.spawn,
  detach = core.detach,
  daemon = core.daemon,
  sleep = core.sleep,
  checkpoint = core.checkpoint,
  now = core.now,
  scope = core.scope,
  timeout = core.timeout,
  shield = core.shield,
  await = core.await,
  on_unhandled = core.on_unhandled,
  kind = core.kind,
  -- fan-out
  all = fanout.all,
  settle = fanout.settle,
  race = fanout.race,
  any = fanout.any,
  quorum = fanout.quorum,
  iter = fanout.iter,
  map = fanout.map,
  each = fanout.each,
  -- limits
  semaphore = core.semaphore,
  limit = core.limit,
  bucket = core.bucket,
  keyed = keyed,
  -- data
  pool = pool,
  cache = cache,
  batch = batch,
}

--- Make a waiting function of one that takes a callback as its last argument.
--- What `f` returns is closed (`:close()` or `__close`) if the wait is given up.
---@param f fun(...): any called with the arguments and then a callback
---@return async fun(...): ... waits, and returns what the callback was called with
function weir.wrap(f)
  core.check_function(f, "weir.wrap", "fn")
  return function(...)
    local args <const> = table.pack(...)
    return core.await(function(resume)
      args[args.n + 1] = resume
      return f(table.unpack(args, 1, args.n + 1))
    end)
  end
end

local optional <const> = {
  http = true, json = true, luv = true, postgres = true, progress = true, queueing = true, sqlite = true, test = true,
}

return setmetatable(weir, {
  __index = function(self, key)
    if optional[key] then
      local module <const> = require("weir." .. key)
      rawset(self, key, module)
      return module
    end
  end,
})
