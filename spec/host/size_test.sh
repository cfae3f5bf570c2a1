#!/bin/sh
# host/size_test.sh - scripts/size.lua from outside: what it prints and exits with.
set -eu

script=scripts/size.lua
. spec/host/support.sh
unset COLUMNS

# --- usage ---------------------------------------------------------------------------------------
usage() { # PATTERN WORDS...
    pattern=$1
    shift
    run 2 "$@"
    has err "$pattern"
    [ ! -s "$dir/out" ] || fail "usage on standard output: size.lua $*"
}
run 0 --help
has out '^Usage: size.lua'
has out '^Examples:'
usage "missing option '--rate'"
usage 'expected --target or --servers' --rate 5 --service 1s
usage '--rate: expected' -r 0 -s 1s -n 3
usage '--rate: expected' -r inf -s 1s -n 3
usage '--service: expected a time with its unit' -r 5 -s 1 -n 3
usage '--servers: expected an integer' -r 5 -s 1s -n 0
usage '--servers: expected an integer' -r 5 -s 1s -n 2.5
usage '--cv: expected' -r 5 -s 1s -n 9 --cv nan
usage '--cv-arrival: expected' -r 5 -s 1s -n 9 --cv-arrival=-1
usage '--target: expected p99<TIME' -r 5 -s 1s -t often
usage '--target: expected a time with its unit' -r 5 -s 1s -t 'p99<5'
usage '--target: expected a time above 0' -r 5 -s 1s -t 'mean<0'
usage '--target: expected a percentile' -r 5 -s 1s -t 'p100<5s'
usage '--target: expected a share' -r 5 -s 1s -t 'busy<120%'
usage '--max is for a pool to be found' -r 5 -s 1s -n 9 --max 9
usage 'unknown option' -r 5 -s 1s -n 9 --many

# --- a pool for a target -----------------------------------------------------------------------------
run 0 --rate 1000 --service 5ms --target 'p99<20ms' --width 80
has out '^7 servers keep p99 < 20ms$'
has out 'busy: 6 at least'
has out 'exact (Erlang C)'
has out '32.4% of jobs wait; mean 810us, p50 0, p95 4.67ms, p99 8.7ms'
has out '1000/s x 5.81ms = 5.81 in flight: 5 served, 0.81 waiting'
has out '^          5   100.0%  never catches up$' 1
has out '^>         7    71.4%    32.4%    810us        0   4.67ms    8.7ms      5.81$' 1
has out '^    1ms |' 1
has out '|\*-----' 1 # with six, 99 of 100 wait as long as the target
has out ' 6       7       8 ' 1
has out '^ *^$' 1
[ "$(wc -L <"$dir/out")" -le 80 ] || fail "wider than 80 columns"
[ ! -s "$dir/err" ] || fail "something on standard error"

run 0 --rate 60000/m --service 0.005s --target 'p99 <= 20ms' --target 'busy<60%' --target 'p99.9<1s'
has out '^9 servers keep p99 < 20ms, busy < 60%, p99.9 < 1s$'
has out 'busy < 60%: 55.6% here; needs 9 servers'

run 0 -r 1000 -s 5ms --cv 2 -t 'p99<20ms'
has out '^8 servers keep'
has out 'approximate (Allen-Cunneen)'

run 0 -r 100000 -s 20ms -t 'p99<5ms' --width 60
has out '^2017 servers keep'
[ "$(grep '|' "$dir/out" | wc -L)" -le 60 ] || fail "a plot wider than 60 columns"

run 0 -r 10 -s 1s --cv 0 --cv-arrival 0 -t 'p99<0'
has out '^11 servers keep'
has out 'log scale' 0 # nobody waits

# --- a pool that does not do -----------------------------------------------------------------------------
run 1 -r 1000 -s 5ms -t 'p99<10ms' --max 6
has out '^6 servers do not keep p99 < 10ms; it takes 7$'
has out '(missed)'
run 1 -r 1000 -s 5ms -n 4
has out '^4 servers never catch up, the queue grows by 200/s$'
run 1 -r 1e12 -s 1h -t 'p99<1s'
has err 'impossible: no pool is that large'

# --- a given pool ------------------------------------------------------------------------------------------
run 0 -r 90/m -s 30s -n 50
has out '^50 servers: jobs wait 2.18s on average'
run 0 -r 1000 -s 5ms -n 9 -t 'p99<20ms'
has out '^9 servers keep p99 < 20ms, so would 7$'

# --- JSON -----------------------------------------------------------------------------------------------------
run 0 -r 1000 -s 5ms -t 'p99<20ms' --json
[ "$(wc -l <"$dir/out")" -eq 1 ] || fail "JSON of several lines"
holds 'a.servers == 7 and a.needed == 7 and a.kept == true and a.wait.stable'
holds 'a.targets[1].target == "p99 < 20ms" and a.targets[1].limit == 0.02 and a.targets[1].kept'
holds 'math.abs(a.wait.p99 - 0.008696) < 1e-6 and a.load.offered == 5 and a.load.least_servers == 6'
holds '#a.around >= 5 and a.around[1].servers == 5'
has out '[0-9][.][0-9]*[1-9][0-9]\{6\}' 0 # more than six digits
run 1 -r 1000 -s 5ms -n 3 --json
holds 'a.kept == false and a.wait.stable == false and a.wait.growth == 400'
holds 'a.wait.p99 == require "weir.json".null and #a.targets == 0'

run 0 -r 1 -s 1ms -n 4294967294 --json # the largest pool that there is
holds 'a.servers == 4294967294 and a.wait.stable'

# --- no room ----------------------------------------------------------------------------------------------------
if [ -w /dev/full ]; then
    code=0
    "$WEIR" scripts/size.lua -r 1000 -s 5ms -n 9 >/dev/full 2>"$dir/err" || code=$?
    [ "$code" -eq 2 ] || fail "exit code $code on a full disk"
    has err '^size.lua: cannot write to standard output: No space left' 1
fi

# --- plain Lua --------------------------------------------------------------------------------------------------
lua5.4 scripts/size.lua -r 1000 -s 5ms -t 'p99<20ms' >"$dir/out"
has out '^7 servers keep'
