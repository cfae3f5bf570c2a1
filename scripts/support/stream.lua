-- support.stream - a pipe or a terminal, read as it comes while others run; a wait for it can be cancelled.
--
-- That takes luv: without it there is no stream, and who reads anyway waits for all.

local weir = require "weir"

local stream = {}
stream.__index = stream

-- A handle of luv on the descriptor, and what it is; nil if it is neither pipe nor terminal.
local function handle_of(uv, descriptor)
  local kind = uv.guess_handle(descriptor)
  local handle
  if kind == "tty" then
    handle = assert(uv.new_tty(descriptor, true))
  elseif kind == "pipe" then
    handle = assert(uv.new_pipe(false))
    assert(handle:open(descriptor))
  end
  return handle, kind
end

--- Open standard input, or a pipe by its name.
---@param name string "-" is standard input
---@return table? stream nil without luv, and if it is neither pipe nor terminal
function stream.open(name)
  local found, uv = pcall(require, "weir.luv")
  if not found then
    return nil
  end
  local descriptor = name == "-" and 0 or uv.fs_open(name, "r", 0)
  local handle, kind
  if descriptor then
    handle, kind = handle_of(uv, descriptor)
  end
  if not handle then
    return nil
  end
  return setmetatable({ handle = handle, is_typed = kind == "tty" }, stream)
end

--- The next piece, or nil at the end and then the reason if it is an error.
---@async
---@return string? data
---@return string? why
function stream:read()
  local handle <const> = self.handle
  local why, data = weir.await(function(resume)
    handle:read_start(function(why, data)
      handle:read_stop()
      resume(why, data)
    end)
    return { close = function() handle:read_stop() end }
  end)
  return data, why
end

function stream:close()
  self.handle:close()
end

stream.__close = stream.close

return stream
