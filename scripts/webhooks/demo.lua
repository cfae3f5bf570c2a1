-- webhooks.demo - the demonstration: many deliveries to many receivers, each with a rate that it enforces.
--
-- The receivers are one child process (webhooks/server.lua). Each takes rate + burst deliveries in
-- any second, answers 429 beyond, and counts what it saw. At the end both sides must agree: each
-- delivery taken exactly once. With --unlimited there is no rate, no limit and no second attempt.

local http = require "weir.http"

local child = require "support.child"
local journal = require "webhooks.journal"
local new_report = require "webhooks.report".new
local run = require "webhooks.run"
local source = require "webhooks.source"

local here <const> = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$")
local SEED <const> = 42

-- A file with `n` deliveries for `m` receivers, in turn; it is removed when what is returned is closed.
local function write_deliveries(base, n, m)
  local name = os.tmpname()
  local file <close> = assert(io.open(name, "wb"))
  for i = 1, n do
    local to = ("d%02d"):format((i - 1) % m + 1)
    assert(file:write(('{"id":"evt-%d","url":"%s/%s","destination":"%s","body":{"event":"order.paid","n":%d}}\n')
      :format(i, base, to, to, i)))
  end
  return setmetatable({ name = name }, { __close = function() os.remove(name) end })
end

-- No rate, no limit but the descriptors, and the first failure counts.
local function without_limits(given)
  return setmetatable({
    rate = math.huge, burst = 1000000, limit = child.affordable(given.demo_size), per_host_limit = math.huge,
    retries = 0, give_up = math.huge,
  }, { __index = given })
end

local function sorted_names(seen)
  local names = {}
  for name in pairs(seen) do
    names[#names + 1] = name
  end
  table.sort(names)
  return names
end

-- What the receivers saw, as text, and their sums.
local function receivers_text(seen, most)
  local sum = { seen = 0, taken = 0, refused = 0, doubled = 0, in_flight = 0, in_a_second = 0 }
  local lines = { ("  %-12s%8s%8s%8s%8s%16s%18s"):format("receiver", "seen", "taken", "429s", "twice", "most in flight",
    "most in a second") }
  for i, name in ipairs(sorted_names(seen)) do
    local r = seen[name]
    lines[i + 1] = ("  %-12s%8d%8d%8d%8d%16d%18d"):format(name, r.seen, r.taken, r.refused, r.doubled, r.in_flight,
      r.in_a_second)
    for key in pairs(sum) do
      sum[key] = (key == "in_flight" or key == "in_a_second") and math.max(sum[key], r[key]) or sum[key] + r[key]
    end
  end
  lines[#lines + 1] = ("  in all %d seen, %d taken, %d refused; a receiver saw at most %d in a second (it takes %d)")
    :format(sum.seen, sum.taken, sum.refused, sum.in_a_second, most)
  return table.concat(lines, "\n"), sum
end

-- Seconds that the busiest receiver's rate asks for.
local function least_seconds(given, report)
  local most = 0
  for _, row in ipairs(report.order) do
    most = math.max(most, row.attempts)
  end
  return math.max(0, most - given.burst) / given.rate
end

---@param given table as webhooks.options makes it
---@return integer exit code
return function(given)
  local function say(text)
    if not given.quiet and not given.json then
      io.stdout:write(text, "\n")
      io.stdout:flush()
    end
  end
  local n <const>, m <const> = given.demo_size, given.demo_destinations
  local most <const> = math.tointeger(math.floor(given.rate)) + given.burst
  local server <close> = child.start(here .. "/server.lua", most, SEED)
  local file <close> = write_deliveries(server.base, n, m)
  say(("webhooks.lua: a demonstration (--help for the rest): %d deliveries to %d receivers at %s"):format(n, m,
    server.base))
  local options <const> = given.unlimited and without_limits(given) or given
  local report <const> = new_report()
  do
    local from <close> = assert(source.open(file.name))
    local record <close> = assert(journal.open())
    local fine, problem = pcall(run, from, record, nil, options, report)
    if not fine then
      say("webhooks.lua: interrupted, " .. report:text())
      error(problem, 0)
    end
  end
  local text, sum = receivers_text(http.get(server.base .. "/report"):json(), most)
  if given.json and not given.quiet then
    io.stdout:write(report:json(), "\n")
  end
  say("webhooks.lua: " .. report:text())
  say(text)
  if given.unlimited then
    say(("  without limits %d of %d deliveries failed at their first and only attempt"):format(report.failed, n))
    return report:is_clean() and 0 or 1
  end
  local least = least_seconds(given, report)
  say(("  the rate asks for %.2f s, it took %.2f s; each of the %d deliveries %s"):format(least, report:seconds(), n,
    sum.taken == n and sum.doubled == 0 and "was taken exactly once"
    or ("should be taken once: %d were, %d twice"):format(sum.taken, sum.doubled)))
  return report:is_clean() and sum.taken == n and sum.doubled == 0 and 0 or 1
end
