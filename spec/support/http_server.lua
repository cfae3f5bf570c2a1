-- support/http_server.lua - what the specs of http.serve share.
--
-- `serve` is nil where the module or luv is missing. Servers are real, on a port of their own.

local helper = require "support.helper"
local raw = require "support.raw_http"
local weir = require "weir"

local found, module = pcall(require, "weir.http.server")

local support = { serve = found and raw.uv and module.serve or nil }

--- The body of an `it`: a server with `handler`, closed at the end; fn(port, server).
function support.with_server(options, handler, fn)
  return helper.real(function()
    local server <close> = support.serve(options, handler)
    fn(server.port, server)
  end)
end

--- Wait until `condition` holds: what depends on the network comes in no known time.
function support.wait_until(condition)
  weir.timeout(20, function()
    while not condition() do weir.sleep(0.001) end
  end)
end

--- Handlers.
function support.hello()
  return { status = 200, headers = { ["Content-Type"] = "text/plain" }, body = "hello" }
end

function support.echo(request)
  return { status = 200, body = request.body }
end

--- Run a program that serves with the handler `text` and prints what `talk`, a function of the
--- client `c` and the `server`, returns. For what it reports on stderr.
function support.program(text, talk)
  return helper.program(([[
    package.path = "spec/?.lua;" .. package.path
    local weir, raw = require "weir", require "support.raw_http"
    local serve = require("weir.http.server").serve
    weir.run(function()
      local server <close> = serve({ name = "shop" }, function(request) %s end)
      local c <close> = raw.connect(server.port)
      print((function() %s end)())
    end)]]):format(text, talk))
end

return support
