-- fanout.report - what a run came to: counts, times, and what Little's law makes of them.
--
-- A report takes records as they finish (add) and measures how many requests are in flight
-- (enter, leave). Little's law, L = X * W: with L URLs always in work, each for W seconds, X
-- of them finish in a second; a run that measures much less than limit / W was not kept busy
-- (too few URLs, or this machine is the bottleneck).

local json = require "weir.json"
local weir = require "weir"

local report = {}
report.__index = report

---@param limit integer|number URLs in work at once; math.huge for no limit
function report.new(limit)
  return setmetatable({
    limit = limit, began = weir.now(), ended = nil,
    finished = 0, failed = 0, bytes = 0, attempts = 0, retried = 0, kinds = {}, classes = {}, busy = 0, times = {},
    in_flight = 0, peak = 0,
  }, report)
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
  end
  if record.status then
    bump(self.classes, ("%dxx"):format(record.status // 100))
  end
  if record.attempts > 0 then
    self.times[#self.times + 1] = record.ms
    self.busy = self.busy + record.ms / 1000
  end
end

-- No more will come. Idempotent.
function report:stop()
  self.ended = self.ended or weir.now()
end

-- Seconds it took; the mean of URLs in work; what the limit promises and what was reached.
local function rates(self)
  local seconds = math.max((self.ended or weir.now()) - self.began, 1e-9)
  local fetched = #self.times
  local mean = fetched > 0 and self.busy / fetched or 0
  local places = math.min(self.limit, fetched)
  return {
    seconds = seconds, mean = mean, in_work = self.busy / seconds,
    urls_per_second = fetched / seconds, requests_per_second = self.attempts / seconds,
    places = places, predicted = mean > 0 and places / mean or 0,
  }
end

local function quantiles(times)
  local sorted = table.move(times, 1, #times, 1, {})
  table.sort(sorted)
  local function at(share)
    return sorted[math.max(1, math.ceil(share * #sorted))] or 0
  end
  return at(0.5), at(0.95), at(0.99), at(1)
end

-- "timeout 3, network 1", the largest first.
local function listing(counts)
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
  for i, key in ipairs(keys) do
    keys[i] = ("%s %d"):format(key, counts[key])
  end
  return table.concat(keys, ", ")
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
  local r <const> = rates(self)
  local p50, p95, p99, most = quantiles(self.times)
  local lines = {}
  local function line(name, format, ...)
    lines[#lines + 1] = ("  %-12s"):format(name) .. format:format(...)
  end
  lines[1] = ("%d URLs in %.2f s: %d ok, %d failed"):format(
    self.finished, r.seconds, self.finished - self.failed, self.failed)
  if self.failed > 0 then
    line("failed", "%s", listing(self.kinds))
  end
  if next(self.classes) then
    line("answers", "%s, %s of body", listing(self.classes), size(self.bytes))
  end
  if self.retried > 0 then
    line("retries", "%d URLs needed %d further attempts", self.retried, self.attempts - #self.times)
  end
  if #self.times > 0 then
    line("time", "p50 %.1f ms, p95 %.1f ms, p99 %.1f ms, longest %.1f ms (retries included)", p50, p95, p99, most)
    line("rate", "%.0f URLs/s, %.0f requests/s", r.urls_per_second, r.requests_per_second)
    line("in flight", "%d requests at most, %.1f URLs in work on average", self.peak, r.in_work)
    line("Little", "%d in work / %.1f ms each = %.0f/s predicted, %.0f/s measured (%.0f %%)",
      r.places, r.mean * 1000, r.predicted, r.urls_per_second, 100 * r.urls_per_second / r.predicted)
  end
  return table.concat(lines, "\n")
end

---@return string json one object on one line
function report:json()
  local r <const> = rates(self)
  local p50, p95, p99, most = quantiles(self.times)
  return json.encode {
    limit = self.limit < math.huge and self.limit or nil,
    urls = self.finished, ok = self.finished - self.failed, failed = self.failed,
    failed_by_kind = self.kinds, status_classes = self.classes,
    bytes = self.bytes, attempts = self.attempts, retried = self.retried, seconds = r.seconds,
    ms = { mean = r.mean * 1000, p50 = p50, p95 = p95, p99 = p99, max = most },
    urls_per_second = r.urls_per_second, requests_per_second = r.requests_per_second,
    in_flight_peak = self.peak, little_predicted_per_second = r.predicted,
  }
end

return report
