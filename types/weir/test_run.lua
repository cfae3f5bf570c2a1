-- types/weir/test_run.lua - the annotations of bindings/weir/test/run.lua, taken out by tools/types.lua; do not edit.
---@meta _

---@class weir.TestReport
---@field what string "leak", "unhandled error in task 2" ...
---@field text string who, where, what

---@class (exact) weir.TestOpts
---@field plan? "fifo"|"seed"|"odometer"|"replay" where order is free; "fifo" unless a seed or choices are given
---@field seed? integer for chance and for the order; the same seed gives the same run
---@field choices? integer[] the recorded choices to answer with (plan "replay")
---@field timeout? number seconds of virtual time after which the run is cancelled and fails; 1,000,000
---@field reports? weir.TestReport[] a list that gets the reports, which then do not fail the run

---@class weir.TestOutcome
---@field ok boolean
---@field result? table the values, with n
---@field error? any what the function raised, or a text of ours
---@field is_ours? boolean the error is of the run, not of the function
---@field traceback? string
