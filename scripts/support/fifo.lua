-- support.fifo - a queue: in at the end, out at the front, both O(1) however long it is.

local fifo = {}
fifo.__index = fifo

function fifo.new()
  return setmetatable({ first = 1, last = 0 }, fifo)
end

---@return integer
function fifo:size()
  return self.last - self.first + 1
end

---@param value any but nil
function fifo:push(value)
  self.last = self.last + 1
  self[self.last] = value
end

--- What pop() would give, or nil.
function fifo:peek()
  return self[self.first]
end

--- Take out the first; nil if there is none.
function fifo:pop()
  local first <const> = self.first
  local value = self[first]
  if value ~= nil then
    self[first] = nil
    self.first = first + 1
    if first == self.last then -- from the start again, where the table is an array
      self.first, self.last = 1, 0
    end
  end
  return value
end

return fifo
