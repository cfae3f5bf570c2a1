-- size.report - the answer for people (text) and for programs (json).

local json = require "weir.json"

local plot = require "size.plot"
local units = require "size.units"
local ordered = require "support.ordered"

local report = {}

local show_time <const>, show_share <const>, show_number <const> =
  units.show_time, units.show_share, units.show_number

local function plural(n, word)
  return ("%s %s%s"):format(n, word, n == 1 and "" or "s")
end

local function show_rate(x)
  return show_number(x) .. "/s"
end

local function show_value(target, value)
  return (target.field == "wait" or target.field == "mean") and show_time(value) or show_share(value)
end

local function never(w, verb)
  return ("never %s up"):format(verb) .. (w.growth > 0 and ", the queue grows by " .. show_rate(w.growth) or "")
end

-- A percentile: its name, and its value in a result.
local function percentile(share)
  return { name = ("p%.10g"):format(100 * share), share = share, value = function(w) return w:quantile(share) end }
end

-- The percentile that is plotted, the first that is a target, else p99; and the three of the table.
local function percentiles_of(given)
  local curve = percentile(0.99)
  for i = #given.target, 1, -1 do
    curve = given.target[i].quantile and percentile(given.target[i].quantile) or curve
  end
  local columns <const> = { percentile(0.5), percentile(0.95), percentile(0.99) }
  if curve.share ~= 0.95 and curve.share ~= 0.99 then
    columns[1] = curve
  end
  table.sort(columns, function(a, b) return a.share < b.share end)
  return curve, columns
end

-- The first line: yes or no.
local function headline(given, found)
  local pool <const>, w <const> = plural(found.servers, "server"), found.wait
  local targets <const> = {}
  for i, target in ipairs(given.target) do
    targets[i] = target.text
  end
  local all <const> = table.concat(targets, ", ")
  if not w.stable then
    return ("%s %s"):format(pool, never(w, found.servers == 1 and "catches" or "catch"))
      .. (#targets > 0 and ("; %s takes %d"):format(all, found.needed) or "")
  elseif #targets == 0 then
    return ("%s: jobs wait %s on average, 1 of 100 more than %s"):format(pool, show_time(w.mean), show_time(w.p99))
  elseif found.kept then
    local verb <const> = found.servers == 1 and "keeps" or "keep"
    return ("%s %s %s"):format(pool, verb, all)
      .. (found.servers > found.needed and (", so would %d"):format(found.needed) or "")
  end
  return ("%s %s not keep %s; it takes %d"):format(
    pool, found.servers == 1 and "does" or "do", all, found.needed)
end

local function facts(given, found)
  local load <const>, w <const> = given.load, found.wait
  local lines <const> = {}
  local function line(name, format, ...)
    lines[#lines + 1] = ("  %-9s"):format(name) .. format:format(...)
  end
  line("load", "%s of %s each keep %s busy%s", show_rate(load.rate), show_time(load.service),
    plural(show_number(w.offered), "server"),
    found.stable > 1 and (": %d at least"):format(found.stable) or "")
  if load.cv_arrival == 1 and load.cv_service == 1 then
    line("model", "Poisson arrivals, exponential service: exact (Erlang C)")
  else
    line("model", "cv %.3g of arrivals, %.3g of service: approximate (Allen-Cunneen)",
      load.cv_arrival, load.cv_service)
  end
  for _, item in ipairs(found.targets) do
    line("target", "%s: %s here%s; needs %s", item.target.text, show_value(item.target, item.value),
      item.kept and "" or " (missed)", plural(item.servers, "server"))
  end
  if w.stable then
    line("wait", "%s of jobs wait; mean %s, p50 %s, p95 %s, p99 %s", show_share(w.probability),
      show_time(w.mean), show_time(w.p50), show_time(w.p95), show_time(w.p99))
    line("Little", "%s x %s = %s in flight: %s served, %s waiting", show_rate(load.rate), show_time(w.time),
      show_number(w.n), show_number(w.offered), show_number(w.queue))
  end
  return lines
end

local function table_of(found, columns)
  local lines <const> = { ("  %9s %8s %8s %8s %8s %8s %8s %9s"):format("servers", "busy", "waiting", "mean",
    columns[1].name, columns[2].name, columns[3].name, "in flight") }
  for i, w in ipairs(found.around) do
    local sign <const> = w.servers == found.servers and ">" or " "
    local text <const> = ("%s %9d %8s "):format(sign, w.servers, show_share(w.utilisation))
    if w.stable then
      lines[i + 1] = text .. ("%8s %8s %8s %8s %8s %9s"):format(show_share(w.probability), show_time(w.mean),
        show_time(columns[1].value(w)), show_time(columns[2].value(w)), show_time(columns[3].value(w)),
        show_number(w.n))
    else
      lines[i + 1] = text .. " " .. never(w, "catches")
    end
  end
  return lines
end

---@param given table options
---@param found table answer
---@return string text without a last newline
function report.text(given, found)
  local curve <const>, columns <const> = percentiles_of(given)
  local lines <const> = { headline(given, found) }
  local function add(more)
    table.move(more, 1, #more, #lines + 1, lines)
  end
  add(facts(given, found))

  add { "" }
  add(table_of(found, columns))

  local limits <const>, legend = {}, {}
  for _, target in ipairs(given.target) do
    if (target.field == "wait" or target.field == "mean") and target.limit > 0 then
      limits[#limits + 1] = target
      legend[#legend + 1] = target.text
    end
  end
  local drawn <const> = plot.lines(found, curve, limits, given.width)
  if #drawn > 0 then
    add { "", ("  wait by servers, log scale: * %s, o mean%s; on the axis 0"):format(
      curve.name, #legend > 0 and ", - " .. table.concat(legend, ", ") or "") }
    add(drawn)
  end
  return table.concat(lines, "\n")
end

-- JSON has no infinity; what follows the sixth digit says nothing about any queue.
local function digits(x)
  if x == math.huge then
    return json.null
  end
  local short <const> = tonumber(("%.6g"):format(x))
  return math.tointeger(short) or short
end

local function fields_of(w)
  return ordered.object {
    { "servers", w.servers }, { "stable", w.stable }, { "utilisation", digits(w.utilisation) },
    { "waiting", digits(w.probability) }, { "mean", digits(w.mean) }, { "p50", digits(w.p50) },
    { "p95", digits(w.p95) }, { "p99", digits(w.p99) }, { "queue", digits(w.queue) }, { "time", digits(w.time) },
    { "in_flight", digits(w.n) }, { "growth", digits(w.growth) },
  }
end

---@return string json one object on one line; times in seconds, null for ever
function report.json(given, found)
  local targets <const>, around <const> = {}, {}
  for i, item in ipairs(found.targets) do
    targets[i] = ordered.object { { "target", item.target.text }, { "limit", digits(item.target.limit) },
      { "value", digits(item.value) }, { "servers", item.servers }, { "kept", item.kept } }
  end
  for i, w in ipairs(found.around) do
    around[i] = fields_of(w)
  end
  local load <const> = given.load
  return tostring(ordered.object {
    { "load", ordered.object { { "rate", load.rate }, { "service", load.service }, { "cv_arrival", load.cv_arrival },
      { "cv_service", load.cv_service }, { "offered", digits(found.wait.offered) },
      { "least_servers", found.stable } } },
    { "servers", found.servers }, { "needed", #targets > 0 and found.needed or json.null }, { "kept", found.kept },
    { "wait", fields_of(found.wait) }, { "targets", ordered.array(targets) }, { "around", ordered.array(around) },
  })
end

return report
