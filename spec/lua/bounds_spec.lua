-- bounds_spec.lua - math.huge in every option that counts: no bound, or misuse where there has to be one.

local helper = require "support.helper"
local http = require "weir.http"
local weir = require "weir"

local function nothing() end

local function semaphore(options)
  options.permits = options.permits or 1
  return weir.semaphore(options)
end

local function limit(options)
  options.n = options.n or 1
  return weir.limit(options)
end

local function bucket(options)
  options.rate, options.burst = options.rate or 1, options.burst or 1
  return weir.bucket(options)
end

local function pool(options)
  options.create = nothing
  return weir.pool(options)
end

local function batch(options) return weir.batch(nothing, options) end
local function keyed(options) return weir.keyed(nothing, options) end
local function map(options) return weir.map({}, nothing, options) end

local function serve(options) http.serve(options, nothing):close() end

local none <const> = {
  { semaphore, "max_waiting", "bypass" },
  { limit, "max_waiting", "bypass" },
  { bucket, "max_waiting" },
  { keyed, "max" },
  { pool, "max_waiting", "max_uses", "max_dials", "open_after" },
  { weir.cache, "max", "max_bytes", "max_waiting" },
  { batch, "max", "limit", "max_waiting" },
  { map, "limit" },
  { http.client, "max", "max_per_host", "max_waiting", "max_body", "max_redirects" },
  { serve, "max_connections", "max_body", "max_buffered" },
}

local needed <const> = {
  { semaphore, "permits" },
  { limit, "n" },
  { pool, "max", "min" },
  { serve, "max_header", "backlog" },
}

local function each(list, fn)
  for _, row in ipairs(list) do
    for i = 2, #row do fn(row[1], row[i]) end
  end
end

describe("math.huge", function()
  it("is no bound in what bounds", helper.real(function()
    each(none, function(make, name) make { [name] = math.huge } end)
  end))

  it("is named in the message of what else is passed", helper.virtual(function()
    each(none, function(make, name)
      local err = helper.error("misuse", make, { [name] = -math.huge })
      assert.matches(("'%s' must be .*, or math.huge, got number %%-inf"):format(name), err.message)
    end)
  end))

  it("is misuse as a capacity", helper.virtual(function()
    each(needed, function(make, name)
      local err = helper.error("misuse", make, { [name] = math.huge })
      assert.matches(("'%s' must be an? .*integer.*, got number inf"):format(name), err.message)
    end)
    helper.error("misuse", weir.semaphore(1).resize, weir.semaphore(1), math.huge)
    helper.error("misuse", weir.limit(1).resize, weir.limit(1), math.huge)
  end))

  it("lets a batch gather without end", helper.virtual(function()
    local calls = 0
    local b = weir.batch(function(keys) calls = calls + 1 return keys end, { max = math.huge })
    local found = weir.map({ n = 1000 }, function(_, i) return b(i) end, { limit = math.huge })
    assert.equal(1000, found[1000])
    assert.equal(1, calls)
  end))
end)
