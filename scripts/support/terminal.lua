-- support.terminal - is a descriptor of this process a terminal? Lua cannot ask; a shell that inherits it can.

local terminal = {}

---@param descriptor integer
---@return boolean
function terminal.is(descriptor)
  return os.execute(("[ -t %d ]"):format(descriptor)) == true
end

return terminal
