-- dedup.status - Cache-Status (RFC 9211): how an answer came about, for who looks for the reason.
--
--     weir-dedup; hit; ttl=12                              kept, fresh for 12 s more (negative: stale since)
--     weir-dedup; fwd=stale; fwd-status=304; stored; ttl=60
--     weir-dedup; fwd=uri-miss; fwd-status=200; collapsed; stored; ttl=60
--     weir-dedup; fwd=bypass; fwd-status=200; detail=cookie

local NAME <const> = "weir-dedup"

--- Add to what caches behind this one said.
---@param behind string? their Cache-Status
---@param how { hit?: boolean, fwd?: string, status?: integer, collapsed?: boolean, stored?: boolean, ttl?: number,
---  detail?: string }
---@return string
return function(behind, how)
  local words <const> = { NAME }
  local function add(format, value)
    if value then
      words[#words + 1] = format:format(value)
    end
  end
  add("hit", how.hit)
  add("fwd=%s", how.fwd)
  add("fwd-status=%d", how.status)
  add("collapsed", how.collapsed)
  add("stored", how.stored)
  add("ttl=%d", how.ttl and math.floor(how.ttl))
  add("detail=%s", how.detail)
  local mine <const> = table.concat(words, "; ")
  return behind and behind .. ", " .. mine or mine
end
