-- support.hash - sixty-four bits of a text: the same in every run, and others for other texts.
--
-- To notice a change and to draw numbers from; it withstands no one who means to deceive it.

local PRIME <const>, ODD <const> = 0x100000001B3, 0x9E3779B97F4A7C15

local function mix(x)
  x = (x ~ (x >> 30)) * 0xBF58476D1CE4E5B9
  x = (x ~ (x >> 27)) * 0x94D049BB133111EB
  return x ~ (x >> 31)
end

---@param text string
---@param seed? integer
---@return integer
return function(text, seed)
  local unpack <const>, n <const> = string.unpack, #text
  local x = (seed or 0) * ODD + n
  for at = 1, n - 7, 8 do
    x = (x ~ unpack("<i8", text, at)) * ODD
    x = x ~ (x >> 32)
  end
  for at = n - n % 8 + 1, n do
    x = (x ~ text:byte(at)) * PRIME
  end
  return mix(x)
end
