-- dbpool.report - the runs in words: a plot for each, a table of all, and what queueing theory says.

local json = require "weir.json"
local queueing = require "weir.queueing"
local weir = require "weir"

local plot = require "dbpool.plot"
local quantile = require "dbpool.record".quantile

local report = {}

local titles <const> = {
  shared = "one pool for all", bulkhead = "one pool, a bulkhead before the reports",
  separate = "a pool for the reports",
}
local SERVED <const> = 0.99 -- share of the API's requests that must be, for a scenario to be a good one

local function width_of(given)
  return given.width or tonumber(os.getenv("COLUMNS") or "") or 80
end

local function ms(seconds)
  return seconds and ("%.1f ms"):format(seconds * 1000) or "-"
end

function report.head(given, base)
  return ("dbpool.lua: %s, a pool of %d; %g API requests a second for %g s, %s each;\n"
    .. "  at %g s %d reports of %g ms come at once; a request waits %g ms for a connection, then gives up")
    :format(base.kind.name, given.pool, given.rate, given.seconds, ms(base.short_seconds), given.start, given.reports,
      given.report_ms, given.patience * 1000)
end

function report.plot(seen, given)
  local lines = { "", ("%s (* p99 and o p50 of the API's requests)"):format(titles[seen.name]) }
  local marks = given.reports > 0 and { [given.start] = "the reports start" } or {}
  for _, line in ipairs(plot.lines(seen.record, marks, width_of(given))) do
    lines[#lines + 1] = line
  end
  return table.concat(lines, "\n")
end

-- The API's connections, as queueing theory would have them: so that 99 of 100 wait 1 ms at most.
local function suggest(given, base)
  local load = { rate = given.rate, service = base.short_seconds, target_wait = 0.001 }
  local fine, n = pcall(queueing.servers, load)
  return fine and n or nil
end

-- And what would be needed if the reports were to queue nowhere.
local function suggest_shared(given, base)
  local all <const> = given.reports / given.seconds
  local rate <const> = given.rate + all
  local service <const> = (given.rate * base.short_seconds + all * given.report_ms / 1000) / rate
  local square <const> = (given.rate * base.short_seconds ^ 2 + all * (given.report_ms / 1000) ^ 2) / rate
  local cv <const> = math.sqrt(math.max(0, square / service ^ 2 - 1))
  local fine, n = pcall(queueing.servers, { rate = rate, service = service, cv_service = cv, target_wait = 0.001 })
  return fine and n or nil
end

local function figures(seen)
  local record <const> = seen.record
  return { scenario = seen.name, arrived = record.arrived, served = record.served, refused = record.refused,
    failed = record.failed, p50 = quantile(record.times, 0.5), p99 = quantile(record.times, 0.99),
    worst = quantile(record.times, 1), reports_done = seen.reports_done, reports_end = seen.reports_end,
    seconds = seen.seconds }
end

function report.table(runs, given, base)
  local lines = { "", ("%-42s%9s%9s%11s%11s%11s%13s"):format("", "served", "refused", "p50", "p99", "worst",
    "reports end") }
  for _, seen in ipairs(runs) do
    local f <const> = figures(seen)
    lines[#lines + 1] = ("%-42s%9d%9d%11s%11s%11s%13s"):format(titles[f.scenario], f.served, f.refused, ms(f.p50),
      ms(f.p99), ms(f.worst), f.reports_end and ("%.1f s"):format(f.reports_end) or "-")
    if f.failed > 0 then
      lines[#lines + 1] = ("  %d failed, the first with: %s"):format(f.failed, seen.problem)
    end
  end
  local alone <const>, shared <const> = suggest(given, base), suggest_shared(given, base)
  lines[#lines + 1] = ""
  if alone then
    lines[#lines + 1] = ("weir.queueing: %d connection%s would do for the API alone (99 of 100 wait 1 ms at most);"
      .. " used: %d"):format(alone, alone == 1 and "" or "s", given.pool)
  end
  if shared and given.reports > 0 then
    lines[#lines + 1] = ("  with the reports spread evenly over the run one pool for all would need %d; they come at\n"
      .. "  once, so that no size helps short of %d: what helps is to let few of them in"):format(shared,
      given.reports + (alone or 1))
  end
  return table.concat(lines, "\n")
end

function report.json(runs, given, base)
  local list = json.array()
  for i, seen in ipairs(runs) do
    list[i] = figures(seen)
  end
  return json.encode { database = base.kind.name, pool = given.pool, bulkhead = given.bulkhead, rate = given.rate,
    suggested = suggest(given, base), runs = list, version = weir._VERSION }
end

--- Was the API served wherever the reports were held back?
function report.is_fine(runs)
  for _, seen in ipairs(runs) do
    local record <const> = seen.record
    if record.failed > 0 or (seen.name ~= "shared" and record.served < SERVED * record.arrived) then
      return false
    end
  end
  return true
end

return report
