-- fanout.report - what a run came to: counts, times, and what Little's law makes of them.
--
-- A report takes records as they finish (add), from start to stop, and measures how many requests
-- are in flight (enter, leave). Little's law, L = X * W: with L URLs always in work, each for W seconds, X
-- of them finish in a second. It holds while there is enough to do, so what it predicts is set
-- beside what was measured until the source was empty (drained); the last few are left out.

local json = require "weir.json"
local weir = require "weir"

local object = require "support.ordered".object

local report = {}
report.__index = report

---@param limit integer|number URLs in work at once; math.huge for no limit
function report.new(limit)
  return setmetatable({
    limit = limit, began = weir.now(), ended = nil,
    finished = 0, failed = 0, bytes = 0, attempts = 0, retried = 0, kinds = {}, classes = {}, busy = 0, times = {},
    examples = {}, in_flight = 0, peak = 0, steady = nil,
  }, report)
end

-- Time begins now, not when this was made.
function report:start()
  self.began = weir.now()
end

function report:enter()
  self.in_flight = self.in_flight + 1
  self.peak = math.max(self.peak, self.in_flight)
end

function report:leave()
  self.in_flight = self.in_flight - 1
end

local function bump(counts, key)
  counts[key] = (counts[key] or 0) + 1
end

--- A record that failed, in words: where it is from, what it was and why.
---@return string
function report.describe(record)
  local shown = record.message:find(record.url, 1, true) and "" or record.url .. ": "
  return ("%s:%d: %s%s"):format(record.source, record.line, shown, record.message)
end

-- Count a finished record; one of no attempts was never sent and has no time.
function report:add(record)
  self.finished = self.finished + 1
  self.bytes = self.bytes + record.bytes
  self.attempts = self.attempts + record.attempts
  if record.attempts > 1 then
    self.retried = self.retried + 1
  end
  if record.error then
    self.failed = self.failed + 1
    bump(self.kinds, record.error)
    self.examples[record.error] = self.examples[record.error] or report.describe(record)
  end
  if record.status then
    bump(self.classes, ("%dxx"):format(record.status // 100))
  end
  if record.attempts > 0 then
    self.times[#self.times + 1] = record.ms
    self.busy = self.busy + record.ms / 1000
  end
end

-- The source is empty: from now on places stay free.
function report:drained()
  self.steady = self.steady or { finished = #self.times, busy = self.busy, seconds = weir.now() - self.began }
end

-- No more will come.
function report:stop()
  self.ended = weir.now()
end

local function quantile(sorted, share)
  return sorted[math.max(1, math.ceil(share * #sorted))] or 0
end

--- Everything that is computed: times in ms, rates per second. `steady` is nil if the run was too
--- short, or had no limit to keep busy.
function report:figures()
  local sorted = table.move(self.times, 1, #self.times, 1, {})
  table.sort(sorted)
  local seconds <const> = math.max(self.ended - self.began, 1e-9)
  local mean <const> = self.busy / math.max(1, #sorted)
  local steady = self.steady
  if not steady or steady.seconds <= 0 or steady.finished < self.limit then
    steady = nil
  end
  return {
    seconds = seconds, mean = mean * 1000, in_work = self.busy / seconds,
    p50 = quantile(sorted, 0.5), p95 = quantile(sorted, 0.95), p99 = quantile(sorted, 0.99), max = quantile(sorted, 1),
    urls = #sorted / seconds, requests = self.attempts / seconds,
    steady = steady and {
      limit = self.limit, mean = 1000 * steady.busy / steady.finished,
      predicted = self.limit * steady.finished / steady.busy, measured = steady.finished / steady.seconds,
    },
  }
end

-- The keys of counts, the largest first.
local function by_count(counts)
  local keys = {}
  for key in pairs(counts) do
    keys[#keys + 1] = key
  end
  table.sort(keys, function(a, b)
    if counts[a] ~= counts[b] then
      return counts[a] > counts[b]
    end
    return a < b
  end)
  return keys
end

-- "timeout 3, network 1"
local function listing(counts)
  local words = {}
  for i, key in ipairs(by_count(counts)) do
    words[i] = ("%s %d"):format(key, counts[key])
  end
  return table.concat(words, ", ")
end

-- "1 URL", "2 URLs"
local function urls(n)
  return n == 1 and "1 URL" or ("%d URLs"):format(n)
end

local function size(bytes)
  local units <const> = { "B", "kB", "MB", "GB" }
  local unit = 1
  while bytes >= 1000 and unit < #units do
    bytes, unit = bytes / 1000, unit + 1
  end
  return (unit == 1 and "%d %s" or "%.1f %s"):format(bytes, units[unit])
end

---@return string text for people, lines without a last newline
function report:text()
  local f <const> = self:figures()
  local lines = {}
  local function line(name, format, ...)
    lines[#lines + 1] = ("  %-12s"):format(name) .. format:format(...)
  end
  lines[1] = ("%s in %.2f s: %d ok, %d failed"):format(
    urls(self.finished), f.seconds, self.finished - self.failed, self.failed)
  if self.failed > 0 then
    line("failed", "%s", listing(self.kinds))
    for _, kind in ipairs(by_count(self.kinds)) do
      if kind ~= "line" then -- each was named when it came
        line("  " .. kind, "%s%s", self.kinds[kind] > 1 and "first " or "", self.examples[kind])
      end
    end
  end
  if next(self.classes) then
    line("answers", "%s, %s of body", listing(self.classes), size(self.bytes))
  end
  if self.retried > 0 then
    line("retries", "%s needed %d further attempt%s", urls(self.retried), self.attempts - #self.times,
      self.attempts - #self.times == 1 and "" or "s")
  end
  if #self.times == 1 then
    line("time", "%.1f ms", f.max)
  elseif #self.times > 1 then
    line("time", "p50 %.1f ms, p95 %.1f ms, p99 %.1f ms, longest %.1f ms", f.p50, f.p95, f.p99, f.max)
    line("rate", f.urls < 10 and "%.1f URLs/s, %.1f requests/s" or "%.0f URLs/s, %.0f requests/s", f.urls, f.requests)
    line("in flight", "%d requests at most, %.1f URLs in work on average", self.peak, f.in_work)
  end
  local steady <const> = f.steady
  if steady then
    line("Little", "%d in work / %.1f ms = %.0f/s predicted, %.0f/s measured (%.0f %%)",
      steady.limit, steady.mean, steady.predicted, steady.measured, 100 * steady.measured / steady.predicted)
  end
  return table.concat(lines, "\n")
end

-- To so many decimals; what is whole as an integer.
local function round(x, decimals)
  local scale <const> = 10 ^ decimals
  local rounded <const> = math.floor(x * scale + 0.5) / scale
  return math.tointeger(rounded) or rounded
end

-- Counts as an object.
local function counted(counts)
  local fields = {}
  for i, key in ipairs(by_count(counts)) do
    fields[i] = { key, counts[key] }
  end
  return object(fields)
end

---@param is_complete boolean did the run come to its end?
---@return string json one object on one line: milliseconds and seconds to three decimals, rates to one
function report:json(is_complete)
  local f <const> = self:figures()
  local steady <const> = f.steady
  return tostring(object {
    { "complete", is_complete }, { "limit", self.limit < math.huge and self.limit or json.null },
    { "urls", self.finished }, { "ok", self.finished - self.failed }, { "failed", self.failed },
    { "failed_by_kind", counted(self.kinds) }, { "status_classes", counted(self.classes) },
    { "bytes", self.bytes }, { "attempts", self.attempts }, { "retried", self.retried },
    { "seconds", round(f.seconds, 3) },
    { "ms", object { { "mean", round(f.mean, 3) }, { "p50", round(f.p50, 3) }, { "p95", round(f.p95, 3) },
      { "p99", round(f.p99, 3) }, { "max", round(f.max, 3) } } },
    { "urls_per_second", round(f.urls, 1) }, { "requests_per_second", round(f.requests, 1) },
    { "in_flight_peak", self.peak },
    { "little", steady and object { { "predicted_per_second", round(steady.predicted, 1) },
      { "measured_per_second", round(steady.measured, 1) } } or json.null },
  })
end

return report
