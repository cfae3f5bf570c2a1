-- support/postgres_client.lua - what the specs of weir.postgres share: a server each, connections, sockets.

local helper = require "support.helper"
local server_of = require "support.postgres"
local weir = require "weir"

local found, postgres = pcall(require, "weir.postgres")

local client = {
  -- all that the specs need is here
  found = found and server_of.found,
  missing = "needs libpq's module and PostgreSQL",
  postgres = found and postgres or nil,
}

--- helper.real, on a clock that is not behind by what setting up took: time is read once a turn.
function client.real(fn)
  return helper.real(function()
    weir.sleep(0.001)
    fn()
  end)
end

--- A server for the specs of a file, by busted's setup and teardown: a function that gives it.
function client.server(setup, teardown, options)
  local server
  setup(function() server = server_of.start(options) end)
  teardown(function() if server then server:stop() end end)
  return function() return server end
end

--- The body of an `it` with a connection of its own over the socket of `get()`, fn(db, server).
function client.with(get, fn, options)
  return client.real(function()
    local server = get()
    local all = { host = server.dir, port = server.port, user = "weir", dbname = "postgres" }
    for key, value in pairs(options or {}) do all[key] = value end
    local db <close> = postgres.connect(all)
    fn(db, server)
  end)
end

--- Sockets that this process has open, and not by what is garbage.
function client.sockets()
  collectgarbage()
  collectgarbage()
  local pipe <close> = assert(io.popen("ls -l /proc/$PPID/fd | grep -c socket:"))
  return tonumber(pipe:read("a"))
end

--- Wait until `fn()` gives something, for 10 s at most, and return it.
function client.eventually(fn)
  for _ = 1, 1000 do
    local value = fn()
    if value then return value end
    weir.sleep(0.01)
  end
  error("it did not happen within 10 s", 2)
end

--- Wait until no more sockets are open than before: cancel requests and lookups have some for a moment.
function client.closed(before)
  client.eventually(function() return client.sockets() <= before end)
end

--- How many backends run a statement that has `text` in it, besides the asking one; or whether that of `pid` does: of a
--- test before, one may still run that could not be cancelled.
function client.running(db, text, pid)
  return db:value("select count(*)::int from pg_stat_activity where state = 'active' and query like $1 "
    .. "and pid <> pg_backend_pid() and pid = coalesce($2::int, pid)", "%" .. text .. "%", pid)
end

return client
