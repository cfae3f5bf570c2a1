-- support/run_busted.lua - busted inside the host: `build/weir spec/support/run_busted.lua ARGS`;
-- under plain lua5.4 with weir as a module: the same with lua5.4 before it.
--
-- In the host the specs run in a task of its own loop, so `it`, `before_each` and the rest may
-- wait. The runner looks two frames up its stack for its caller and may end the process with
-- os.exit from inside this task: hence a statement, not a tail call. `--ignore-lua` keeps it
-- from starting the interpreter that .busted names in our place. What the specs counted is printed last (figures.lua).

table.insert(arg, 1, "--ignore-lua")
table.insert(arg, 2, "-e")
table.insert(arg, 3, 'require "support.figures".watch(require "busted")')
package.path = "spec/?.lua;" .. package.path

require "support.figures" -- before busted, which forgets what a file of specs has loaded
local run = require "busted.runner"
run { standalone = false }
