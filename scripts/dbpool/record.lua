-- dbpool.record - what the API's requests had to wait, over all and by slices of time.

local weir = require "weir"

local record = {}
record.__index = record

---@param slice number seconds of a slice
function record.new(slice)
  return setmetatable({ slice = slice, began = weir.now(), times = {}, slices = {}, refused = 0, failed = 0,
    served = 0, arrived = 0 }, record)
end

local function slice_at(self, at)
  local index <const> = math.floor((at - self.began) / self.slice) + 1
  for i = #self.slices + 1, index do
    self.slices[i] = { times = {}, refused = 0 }
  end
  return self.slices[index]
end

--- A request that arrived at `at` was "served", "refused" (no connection in time) or "failed", after `seconds`.
function record:add(at, what, seconds)
  local slice <const> = slice_at(self, at)
  self.arrived = self.arrived + 1
  self[what] = self[what] + 1
  if what == "served" then
    self.times[#self.times + 1] = seconds
    slice.times[#slice.times + 1] = seconds
  elseif what == "refused" then
    slice.refused = slice.refused + 1
  end
end

--- The time that a share of the list did not exceed; nil of an empty one. Sorts it.
function record.quantile(list, share)
  table.sort(list)
  return list[math.max(1, math.ceil(#list * share))]
end

return record
