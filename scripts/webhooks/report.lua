-- webhooks.report - what a run came to, in all and for each destination.
--
-- Times are those of the attempts that were answered, kept as counts in classes of 5 % width, so
-- that a row costs the same after a million deliveries.

local json = require "weir.json"
local weir = require "weir"

local report = {}
report.__index = report

local WIDTH <const> = math.log(1.05)
local SHOWN <const> = 60 -- rows of the table

function report.new()
  return setmetatable({
    began = weir.now(), ended = nil, rows = {}, n_rows = 0, order = {},
    read = 0, bad = 0, skipped = 0, failed_before = 0, delivered = 0, failed = 0, attempts = 0,
    retried = 0, throttled = 0,
    in_flight = 0, peak = 0,
  }, report)
end

local function new_row(key)
  return { key = key, delivered = 0, failed = 0, attempts = 0, retried = 0, throttled = 0, classes = {}, timed = 0,
    first = nil, last = nil }
end

local function row_of(self, key)
  local row = self.rows[key]
  if not row then
    row = new_row(key)
    self.rows[key] = row
    self.order[#self.order + 1] = row
  end
  return row
end

--- An attempt begins.
function report:enter(key)
  local row = row_of(self, key)
  self.in_flight = self.in_flight + 1
  self.peak = math.max(self.peak, self.in_flight)
  self.attempts = self.attempts + 1
  row.attempts = row.attempts + 1
  row.first = row.first or weir.now()
end

--- It ended with `answer` (webhooks.delivery), or with nil if it was cut off, after `seconds`.
function report:leave(key, answer, seconds)
  local row = row_of(self, key)
  self.in_flight = self.in_flight - 1
  row.last = weir.now()
  if answer and answer.status then
    local class = math.floor(math.log(math.max(seconds * 1000, 0.01)) / WIDTH)
    row.classes[class] = (row.classes[class] or 0) + 1
    row.timed = row.timed + 1
    if answer.status == 429 then
      row.throttled = row.throttled + 1
      self.throttled = self.throttled + 1
    end
  end
end

--- Another attempt follows, or the delivery is done: "retried", "delivered" or "failed".
function report:count(key, what)
  local row = row_of(self, key)
  row[what] = row[what] + 1
  self[what] = self[what] + 1
end

function report:stop()
  self.ended = self.ended or weir.now()
end

--- Was every line delivered, now or before?
function report:is_clean()
  return self.failed == 0 and self.bad == 0 and self.failed_before == 0 and self:left() == 0
end

--- How many deliveries have no outcome.
function report:left()
  return self.read - self.bad - self.skipped - self.delivered - self.failed
end

-- Milliseconds that a share of the attempts of these rows did not exceed.
local function quantile(rows, share)
  local counts, classes, n = {}, {}, 0
  for _, row in ipairs(rows) do
    n = n + row.timed
    for class, count in pairs(row.classes) do
      if not counts[class] then
        classes[#classes + 1] = class
      end
      counts[class] = (counts[class] or 0) + count
    end
  end
  table.sort(classes)
  local left = math.max(1, math.ceil(share * n))
  for _, class in ipairs(classes) do
    left = left - counts[class]
    if left <= 0 then
      return math.exp((class + 0.5) * WIDTH)
    end
  end
  return 0
end

-- Attempts a second, over the time in which they were made.
local function rate(row)
  local seconds = (row.last or 0) - (row.first or 0)
  return row.attempts > 1 and seconds > 0 and row.attempts / seconds or 0
end

function report:seconds()
  return (self.ended or weir.now()) - self.began
end

-- Those with failures first, then those with most attempts.
local function sorted(self)
  local rows = table.move(self.order, 1, #self.order, 1, {})
  table.sort(rows, function(a, b)
    if a.failed ~= b.failed then
      return a.failed > b.failed
    elseif a.attempts ~= b.attempts then
      return a.attempts > b.attempts
    end
    return a.key < b.key
  end)
  return rows
end

local function table_text(rows)
  local width = #"destination"
  for i = 1, math.min(#rows, SHOWN) do
    width = math.max(width, math.min(40, #rows[i].key))
  end
  local head = ("  %%-%ds"):format(width)
  local lines = { (head .. "%10s%8s%9s%6s%10s%10s%9s"):format("destination", "delivered", "failed", "retried", "429s",
    "p50", "p99", "rate") }
  for i = 1, math.min(#rows, SHOWN) do
    local row = rows[i]
    lines[i + 1] = (head .. "%10d%8d%9d%6d%7.1f ms%7.1f ms%7.1f/s"):format(row.key:sub(1, 40), row.delivered,
      row.failed, row.retried, row.throttled, quantile({ row }, 0.5), quantile({ row }, 0.99), rate(row))
  end
  if #rows > SHOWN then
    lines[#lines + 1] = ("  and %d more"):format(#rows - SHOWN)
  end
  return table.concat(lines, "\n")
end

---@return string text for people, lines without a last newline
function report:text()
  local lines, seconds = {}, self:seconds()
  local n <const>, left <const> = self.read - self.bad - self.skipped, self:left()
  lines[1] = ("%d deliveries in %.2f s: %d delivered, %d failed%s"):format(n, seconds, self.delivered, self.failed,
    left > 0 and (", %d left"):format(left) or "")
  if self.bad > 0 then
    lines[#lines + 1] = ("  %d lines are no deliveries"):format(self.bad)
  end
  if self.skipped > 0 then
    lines[#lines + 1] = ("  %d more were done before"):format(self.skipped)
  end
  if self.failed_before > 0 then
    lines[#lines + 1] = ("  %d had failed before"):format(self.failed_before)
  end
  if self.attempts > 0 then
    lines[#lines + 1] = ("  %d attempts (%d retries, %d answers 429), %.0f/s, %d in flight at most"):format(
      self.attempts, self.retried, self.throttled, self.attempts / math.max(seconds, 1e-9), self.peak)
    lines[#lines + 1] = ("  answers after p50 %.1f ms, p99 %.1f ms"):format(quantile(self.order, 0.5),
      quantile(self.order, 0.99))
    lines[#lines + 1] = table_text(sorted(self))
  end
  return table.concat(lines, "\n")
end

---@return string json one object on one line
function report:json()
  local rows = json.array()
  for i, row in ipairs(sorted(self)) do
    rows[i] = { destination = row.key, delivered = row.delivered, failed = row.failed, attempts = row.attempts,
      retried = row.retried, throttled = row.throttled, per_second = rate(row),
      ms = { p50 = quantile({ row }, 0.5), p99 = quantile({ row }, 0.99) } }
  end
  return json.encode {
    seconds = self:seconds(), lines = self.read, bad = self.bad, skipped = self.skipped,
    failed_before = self.failed_before, delivered = self.delivered,
    failed = self.failed, attempts = self.attempts, retried = self.retried, throttled = self.throttled,
    in_flight_peak = self.peak, ms = { p50 = quantile(self.order, 0.5), p99 = quantile(self.order, 0.99) },
    destinations = rows,
  }
end

return report
