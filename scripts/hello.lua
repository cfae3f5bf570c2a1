-- hello.lua - weir in twenty lines: several things at once, what came of them, who was first.
local weir = require "weir"

local function greet(name, seconds)
  return function()
    weir.sleep(seconds)
    return "hello " .. name
  end
end

weir.run(function()
  local both = weir.all { greet("Ada", 0.02), greet("Alan", 0.01) }
  print("all", both[1], both[2])
  for i, outcome in ipairs(weir.settle { greet("Grace", 0.01), function() error("no one home", 0) end }) do
    print("settle", i, outcome.ok, outcome.value or outcome.error)
  end
  print("race", weir.race { greet("the hare", 0.05), greet("the tortoise", 0.01) })
  print("timeout", pcall(weir.timeout, 0.01, greet("Godot", 3600)))
end)
