-- support/pool.lua - a server for the specs of pools: connections that take time, are counted, and fail on demand.
--
-- server{create=, check=, destroy=} with the seconds that each takes (0 does not wait). Fields to be set at any
-- time: `refuses` (the error that create raises), `sick` (a set of connections whose check says no). Counted:
-- `open` now and `most` at once, `made`, `destroyed`, `checked`. A connection is {id=, open=}.

local weir = require "weir"

local server = {}
server.__index = server

local function take(seconds)
  if seconds > 0 then weir.sleep(seconds) end
end

local function new(times)
  times = times or {}
  return setmetatable({
    times = { create = times.create or 0, check = times.check or 0, destroy = times.destroy or 0 },
    open = 0, most = 0, made = 0, destroyed = 0, checked = 0, dialled = 0, dialling = 0, sick = {},
  }, server)
end

function server:create()
  self.dialled = self.dialled + 1
  self.dialling = self.dialling + 1
  local _ <close> = setmetatable({}, { __close = function() self.dialling = self.dialling - 1 end })
  take(self.times.create)
  if self.refuses then error(self.refuses, 0) end
  self.made, self.open = self.made + 1, self.open + 1
  self.most = math.max(self.most, self.open)
  return { id = self.made, open = true }
end

function server:check(connection)
  assert(connection.open, "checked after its end")
  self.checked = self.checked + 1
  take(self.times.check)
  return not self.sick[connection]
end

function server:destroy(connection)
  assert(connection.open, "destroyed twice")
  connection.open = false
  self.open, self.destroyed = self.open - 1, self.destroyed + 1
  take(self.times.destroy)
end

--- A pool of connections to it. `options` are those of weir.pool; `check = true` is the server's own.
function server:pool(options)
  local all = {
    create = function() return self:create() end,
    destroy = function(connection) self:destroy(connection) end,
  }
  for key, value in pairs(options or {}) do all[key] = value end
  if all.check == true then
    all.check = function(connection) return self:check(connection) end
  end
  return weir.pool(all)
end

return new
