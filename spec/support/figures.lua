-- support/figures.lua - what the specs of a run counted, printed as one line at its end, as every C test does.
--
--     figures: tests=12 awaits=340 cancel_points=680
-- tools/proof.lua adds these lines up; it knows every name and what it means, and refuses one that it does not know.
-- A spec that failed is not counted, one that was left undone is under `pending`.

local figures = {}

local counts, names = {}, {}

--- Add `n` (1) to the figure `name`.
function figures.add(name, n)
  if not counts[name] then
    counts[name] = 0
    names[#names + 1] = name
  end
  counts[name] = counts[name] + (n or 1)
end

--- Count the specs of `busted` and print the line when they are done: run_busted.lua calls it.
function figures.watch(busted)
  figures.add("tests", 0)
  busted.subscribe({ "test", "end" }, function(_, _, status)
    if status == "success" then figures.add("tests") end
    if status == "pending" then figures.add("pending") end
    return nil, true
  end)
  busted.subscribe({ "exit" }, function()
    local words = { "figures:" }
    for _, name in ipairs(names) do words[#words + 1] = ("%s=%d"):format(name, counts[name]) end
    print(table.concat(words, " "))
    return nil, true
  end)
end

return figures
