-- weir.progress - how far a run of known or unknown length has come, on standard error.
--
--     local progress <close> = require "weir.progress" { total = 1000, label = "fetch" }
--     progress:start()            -- one more in flight
--     progress:finish(ok)         -- one of them ended; false counts it as failed
--
-- On a terminal one line is redrawn in place (at most every `interval` seconds, default 0.1)
-- and wiped on close; elsewhere a plain line comes now and then (default 2 s) and at the end.
-- Time is the runtime's, so it stands still in a virtual one. Nothing here waits, and no task
-- or timer is kept: whoever wants a redraw while nothing finishes calls draw().
-- Invariant: finished <= started, failed <= finished.

local core = require "weir.core"

---@class weir.Progress
---@field started integer
---@field finished integer
---@field failed integer
---@field total? integer set it whenever it becomes known
local progress = {}
progress.__index = progress
progress.__name = "weir.progress"

---@class (exact) weir.ProgressOpts
---@field total? integer how many there will be; without it there is no bar and no ETA
---@field label? string what the line starts with
---@field file? file* where to; io.stderr
---@field interval? number seconds between two drawings
---@field terminal? boolean redraw in place; whether standard error is a terminal unless given
---@field width? integer columns; those of the terminal

local known <const> = {
  total = true, label = true, file = true, interval = true, terminal = true, width = true,
}
local smoothing <const> = 3 -- seconds: the rate shown follows a change within about this
local settling <const> = 1 -- seconds before an ETA is worth a word

-- Columns of the terminal that standard error is, or nil. Lua alone cannot ask; one short
-- shell can, it inherits the descriptor.
local function terminal_width()
  local term = os.getenv("TERM")
  if term == nil or term == "dumb" then
    return nil
  end
  local pipe = io.popen("[ -t 2 ] && { stty size <&2 2>/dev/null || echo 0 0; }")
  if pipe == nil then
    return nil
  end
  local columns = (pipe:read("l") or ""):match("^%d+ (%d+)")
  pipe:close()
  columns = tonumber(columns)
  return columns and (columns > 0 and columns or 80)
end

local function clock(seconds)
  seconds = math.floor(seconds + 0.5)
  if seconds < 3600 then
    return ("%d:%02d"):format(seconds // 60, seconds % 60)
  end
  return ("%d:%02d:%02d"):format(seconds // 3600, seconds // 60 % 60, seconds % 60)
end

local function per_second(rate)
  return (rate < 10 and "%.1f/s" or "%.0f/s"):format(rate)
end

-- Bring the smoothed rate up to `now`: an average that forgets, exact while there is little to forget.
local function measure(self, now)
  local elapsed = now - self._measured_at
  if elapsed <= 0 then
    return
  end
  local keep = math.exp(-elapsed / smoothing)
  self._weight = self._weight * keep + (1 - keep)
  local rate = (self.finished - self._measured) / elapsed
  self._rate = self._rate + (rate - self._rate) * (1 - keep) / self._weight
  self._measured, self._measured_at = self.finished, now
end

-- The words of the line, most important first.
local function words(self)
  local list = {}
  list[1] = self.total and ("%d/%d"):format(self.finished, self.total) or tostring(self.finished)
  if self.failed > 0 then
    list[#list + 1] = ("%d failed"):format(self.failed)
  end
  local rate = self._rate
  list[#list + 1] = per_second(rate)
  list[#list + 1] = ("%d in flight"):format(self.started - self.finished)
  if self.total and self.total > self.finished and rate > 0 and self._measured_at - self._began >= settling then
    list[#list + 1] = "ETA " .. clock((self.total - self.finished) / rate)
  end
  return list
end

local function bar(share, width)
  local full = math.floor(share * width + 0.5)
  return "[" .. ("#"):rep(full) .. ("-"):rep(width - full) .. "]"
end

-- Three columns stay free: the terminal echoes ^C there.
local function draw_terminal(self)
  local text = table.concat(words(self), "  ")
  if self.label then
    text = self.label .. "  " .. text
  end
  local room = self._width - 3 - #text - 4
  if self.total and self.total > 0 and room >= 10 then
    local share = math.min(1, self.finished / self.total)
    text = text .. "  " .. bar(share, math.min(room, 40))
  end
  self._file:write("\r", text:sub(1, self._width - 3), "\27[K")
  self._file:flush()
  self._drawn = true
end

local function draw_plain(self)
  self._file:write(self.label and self.label .. ": " or "", table.concat(words(self), ", "), "\n")
  self._file:flush()
  self._printed = self.finished
end

--- Show the state now, whatever the interval.
function progress:draw()
  if self._closed then
    return
  end
  local now = core.now()
  measure(self, now)
  self._due = now + self._interval
  if self._width then
    draw_terminal(self)
  else
    draw_plain(self)
  end
end

local function changed(self)
  if core.now() >= self._due then
    self:draw()
  end
end

--- `n` (default 1) more are in flight.
---@param n? integer
function progress:start(n)
  self.started = self.started + (n == nil and 1 or core.check_count(n, "progress:start", "n"))
  changed(self)
end

--- One of those in flight ended; `ok` false counts it as failed.
---@param ok? boolean
function progress:finish(ok)
  if self.finished >= self.started then
    self.started = self.finished + 1
  end
  self.finished = self.finished + 1
  if ok == false then
    self.failed = self.failed + 1
  end
  changed(self)
end

--- Print a line of text above the bar.
---@param text any
function progress:message(text)
  if self._drawn then
    self._file:write("\r\27[K")
  end
  self._file:write(tostring(text), "\n")
  if self._drawn then
    self:draw()
  else
    self._file:flush()
  end
end

--- Wipe the bar, or print where it ended. A second call does nothing.
function progress:close()
  if self._closed then
    return
  end
  if self._drawn then
    self._file:write("\r\27[K")
    self._file:flush()
  elseif not self._width and self._printed ~= self.finished then
    self._rate, self._weight = 0, 0 -- of the whole
    self._measured, self._measured_at = 0, self._began
    self:draw()
  end
  self._closed = true
end

progress.__close = progress.close

function progress:__tostring()
  return ("weir.progress: %s%s"):format(table.concat(words(self), ", "), self._closed and ", closed" or "")
end

---@class weir.progress
---@overload fun(options?: weir.ProgressOpts): weir.Progress

local function new(_, options)
  local op <const> = "weir.progress"
  options = options or {}
  core.check_options(options, op, known)
  local total, width = options.total, nil
  if total ~= nil and (math.type(total) ~= "integer" or total < 0) then
    core.misuse(op, "option total must be an integer >= 0, got %s", tostring(total))
  end
  if options.label ~= nil and type(options.label) ~= "string" then
    core.misuse(op, "option label must be a string, got %s", type(options.label))
  end
  local columns <const> = options.width and core.check_count(options.width, op, "width")
  local file <const> = options.file or io.stderr
  if options.terminal == nil then
    width = file == io.stderr and terminal_width() or nil
  elseif options.terminal then
    width = 80
  end
  width = width and (columns or width)
  local now = core.now()
  local interval = core.check_seconds(options.interval, op, "interval", width and 0.1 or 2)
  return setmetatable({
    total = total, label = options.label, started = 0, finished = 0, failed = 0,
    _file = file, _width = width, _interval = interval, _due = now + interval,
    _began = now, _rate = 0, _weight = 0, _measured = 0, _measured_at = now, _printed = 0,
  }, progress)
end

return setmetatable({}, { __call = new })
