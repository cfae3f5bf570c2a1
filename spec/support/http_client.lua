-- support/http_client.lua - what the specs of weir.http's client share: errors, sources, clients.

local helper = require "support.helper"
local nginx = require "support.nginx"
local rude = require "support.rude_server"
local weir = require "weir"

local found, http = pcall(require, "weir.http")

local support = {
  -- all that the specs need is here
  found = found and nginx.found and rude.found,
  missing = "needs libcurl's module, nginx and luv",
}

--- Call `fn` and return the error of `kind` and curl's name that it must raise; its text must
--- not show the password that the specs use.
function support.failure(kind, code, fn, ...)
  local err = helper.error(kind, fn, ...)
  if err.code ~= code then
    error(("expected an error with code %s, got %s: %s"):format(code, err.code, tostring(err)), 2)
  end
  if tostring(err):find("se cret", 1, true) then error("a password in: " .. tostring(err), 2) end
  return err
end

--- helper.real, on a clock that is not behind by what setting up took: time is read once a turn.
function support.real(fn)
  return helper.real(function()
    weir.sleep(0.001)
    fn()
  end)
end

--- The body of an `it` with a client of its own: fn(client).
function support.with_client(options, fn)
  return support.real(function()
    local client <close> = http.client(options)
    fn(client)
  end)
end

--- 1, 2 ... `last`, then nil.
function support.counter(last)
  local i = 0
  return function()
    i = i + 1
    return i <= last and i or nil
  end
end

--- helper.program under a shell's `settings`: limits and environment.
function support.program_under(settings, text)
  local name = os.tmpname()
  do
    local file <close> = assert(io.open(name, "w"))
    file:write(text)
  end
  local output = helper.program(([[
    local pipe = assert(io.popen(%q))
    io.write(pipe:read("a"))
    pipe:close()]]):format(settings .. " lua5.4 " .. name .. " 2>&1"))
  os.remove(name)
  return output
end

return support
