-- chart.lua - horizontal bars as SVG: weir and its peers on one scale, with lines where the goals are.
--
-- chart.svg { title=, tick = function(value) -> text, blocks = { { title=, goals = { value ... },
-- bars = { { name=, value=, text=, is_weir= } ... } } ... } } gives the text of a file. Text stays text; colours follow
-- the reader's light or dark scheme, on a ground of the chart's own, as the page around it may have another; no
-- script, nothing from elsewhere. All bars of a chart share their scale: from 0, or logarithmic where the largest is
-- more than a hundred times the smallest, and the chart says so. It is 456 wide, so that at 390, the width of a
-- telephone, letters are still ten pixels high.

local chart = {}

local WIDTH <const>, LABEL <const>, RIGHT <const> = 440, 124, 68 -- of all, of a bar's name, of the value after a bar
local ROOM <const> = WIDTH - LABEL - RIGHT
local BAR <const>, STEP <const>, GAP <const> = 12, 17, 9
local EDGE <const> = 8
local LETTERS <const> = 61 -- of a title, in a line
local MOST <const> = 100 -- times the smallest: beyond it the scale is logarithmic

local STYLE <const> = [[
<style>
text { font: 12px system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; fill: #1f2328 }
.ground { fill: #ffffff }
.title { font-size: 14px; font-weight: 600 }
.row { font-weight: 600 }
.small { font-size: 11px; fill: #59636e }
.peer { fill: #9aa4af }
.weir { fill: #1f6feb }
.grid { stroke: #d1d9e0 }
.goal { stroke: #bc4c00; stroke-width: 2 }
.told { font-size: 11px; fill: #bc4c00 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .ground { fill: #0d1117 }
  .small { fill: #9198a1 }
  .peer { fill: #656c76 }
  .weir { fill: #4493f8 }
  .grid { stroke: #3d444d }
  .goal { stroke: #f0883e }
  .told { fill: #f0883e }
}
</style>]]

local function escape(text)
  return (text:gsub("[&<>\"]", { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;" }))
end

local function lines_of(title)
  if #title <= LETTERS then return { title } end
  local first, rest = title:sub(1, LETTERS):match("^(.+) (.*)$")
  return { first, rest .. title:sub(LETTERS + 1) }
end

local function range_of(blocks)
  local least, most = math.huge, 0
  for _, block in ipairs(blocks) do
    for _, bar in ipairs(block.bars) do
      if bar.value > 0 then least = math.min(least, bar.value) end
      most = math.max(most, bar.value)
    end
    for _, value in ipairs(block.goals or {}) do most = math.max(most, value) end
  end
  return least, most
end

-- The next of 1, 2 or 5 times a power of ten that is not below `value`.
local function round_up(value)
  local power = 10 ^ math.floor(math.log(value, 10))
  for _, factor in ipairs { 1, 2, 5 } do
    if factor * power >= value * (1 - 1e-9) then return factor * power end
  end
  return 10 * power
end

-- Two functions and a word: where a value lies (0 to ROOM), what is marked on the axis, the name of the scale.
local function scale_of(blocks)
  local least, most = range_of(blocks)
  if most == 0 then most, least = 1, 1 end
  local ticks = {}
  if most / least > MOST then
    local from, to = math.floor(math.log(least / 2, 10)), math.log(most, 10) -- the smallest has a length, too
    local step = math.max(1, math.ceil((to - from) / 5))
    for power = from, to, step do ticks[#ticks + 1] = 10.0 ^ power end
    return function(value)
      return value <= 0 and 0 or math.max(0, (math.log(value, 10) - from) / (to - from) * ROOM)
    end, ticks, "logarithmic"
  end
  local step = round_up(most / 4)
  for i = 0, math.floor(most / step) do ticks[#ticks + 1] = i * step end
  return function(value) return math.max(0, value / most * ROOM) end, ticks, "from 0"
end

-- Returns the text of the file.
function chart.svg(c)
  local at, ticks, scale <const> = scale_of(c.blocks)
  local out, has_goal = {}, false
  local function emit(fmt, ...) out[#out + 1] = fmt:format(...) end

  local top <const> = 50
  local y = top
  local bars = {}
  local function draw(fmt, ...) bars[#bars + 1] = fmt:format(...) end
  for _, block in ipairs(c.blocks) do
    for _, line in ipairs(lines_of(block.title)) do
      draw('<text class="row" x="0" y="%d">%s</text>', y + 12, escape(line))
      y = y + STEP
    end
    y = y + 1
    for _, bar in ipairs(block.bars) do
      local width <const> = math.max(1, at(bar.value))
      draw('<text x="%d" y="%d" text-anchor="end">%s</text>', LABEL - 6, y + 10, escape(bar.name))
      draw('<rect class="%s" x="%d" y="%d" width="%.1f" height="%d"/>', bar.is_weir and "weir" or "peer", LABEL, y,
        width, BAR)
      local past = width -- a value never stands on a goal's line
      for _, value in ipairs(bar.is_weir and block.goals or {}) do
        local x <const> = at(value)
        draw('<path class="goal" d="M%.1f %dv%d"/>', LABEL + x, y - 3, BAR + 6)
        if x > past - 4 and x < past + 60 then past = x end
        has_goal = true
      end
      draw('<text x="%.1f" y="%d">%s</text>', LABEL + past + 5, y + 10, escape(bar.text))
      y = y + STEP
    end
    y = y + GAP
  end
  local bottom <const> = y - GAP

  local w <const>, h <const> = WIDTH + 2 * EDGE, bottom + 22 + 2 * EDGE
  emit('<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="%d %d %d %d" role="img">', w, h, -EDGE,
    -EDGE, w, h)
  emit("<title>%s</title>", escape(c.title))
  out[#out + 1] = STYLE
  emit('<rect class="ground" x="%d" y="%d" width="%d" height="%d"/>', -EDGE, -EDGE, w, h)
  emit('<text class="title" x="0" y="15">%s</text>', escape(c.title))
  emit('<text class="small" x="0" y="33">less is better; scale: %s</text>', scale)
  if has_goal then
    emit('<path class="goal" d="M%d 22v14"/>', LABEL + 132)
    emit('<text class="told" x="%d" y="33">goal: at most this</text>', LABEL + 138)
  end
  for _, value in ipairs(ticks) do
    emit('<path class="grid" d="M%.1f %dV%d"/>', LABEL + at(value), top - 6, bottom)
    emit('<text class="small" x="%.1f" y="%d" text-anchor="middle">%s</text>', LABEL + at(value), bottom + 16,
      escape(c.tick(value)))
  end
  table.move(bars, 1, #bars, #out + 1, out)
  emit "</svg>"
  return table.concat(out, "\n") .. "\n"
end

return chart
