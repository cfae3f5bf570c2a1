#!/bin/sh
# test.sh - the runner with good workflows and bad ones: what it prints, how it exits, what it leaves behind.
#
#     test.sh RUNNER
set -eu
runner=$1
here=examples/runner
top=$(mktemp -d)
trap 'rm -rf "$top"' EXIT
TMPDIR=$top
export TMPDIR

fail() {
    echo "$1"
    sed 's/^/    /' "$top/out"
    exit 1
}

# expect CODE TEXT ...: the exit code of the last run, and what its output has, as fixed text.
expect() {
    [ "$code" -eq "$1" ] || fail "exit code $code, expected $1"
    shift
    for text in "$@"; do
        grep -qF -e "$text" "$top/out" || fail "the output lacks: $text"
    done
}

run() {
    code=0
    "$runner" "$@" >"$top/out" 2>&1 || code=$?
}

workflow() { # name; the text is the standard input
    cat >"$top/$1.lua"
}

# Two good ones at once, and the operator agrees.
printf 'yes\n' | { run $here/workflows/build.lua $here/workflows/release.lua; expect 0 'build.lua: ok' 'release.lua: ok' \
    'release: 1.2 is out' 'build: digest 511358c0fa687d4d'; }
[ -z "$(find "$top" -name '*.o')" ] || fail 'the build left its folder'

# The operator refuses; has gone.
printf 'no\n' | { run $here/workflows/release.lua; expect 1 'release.lua: failed: the operator said no'; }
: | { run $here/workflows/release.lua; expect 1 'release.lua: failed:' 'approve'; }

# All that can be wrong with one, beside a good one.
workflow typo <<'END'
local x = = 1
END
workflow error <<'END'
local function deep() error("no such branch") end
deep()
END
workflow command <<'END'
sh("echo what went wrong; exit 3")
END
workflow deadlock <<'END'
local a, b = weir.semaphore { permits = 1, name = "a" }, weir.semaphore { permits = 1, name = "b" }
local function take(first, second)
  return function()
    local p <close> = first:acquire()
    weir.checkpoint()
    local q <close> = second:acquire()
  end
end
weir.all { take(a, b), take(b, a) }
END
workflow good <<'END'
weir.sleep(0.01)
assert(not pcall(digest, "/no/such/file"))
print(#weir.map({ 1, 2, 3, 4 }, function(i) return sh("echo " .. i) end))
END
: | { run "$top/typo.lua" "$top/error.lua" "$top/command.lua" "$top/deadlock.lua" "$top/good.lua" "$top/none.lua"
    expect 1 'typo.lua: failed:' 'unexpected symbol' 'error.lua: failed:' 'no such branch' "in local 'deep'" \
        'command.lua: failed:' 'exit status 3' 'what went wrong' 'deadlock.lua: failed:' "'a'" "'b'" 'good.lua: ok' \
        'none.lua: failed: cannot open'; }

# A wait without end meets the time limit; the process it waits for goes with it.
workflow endless <<'END'
local cleanup <close> = setmetatable({}, { __close = function() print("cleaned up") end })
sh("echo $$ >$TMPDIR/pid; sleep 1000")
END
: | { run -t 1 "$top/endless.lua"; expect 1 'endless.lua: failed: weir.timeout: timed out' 'cleaned up'; }
if kill -0 "$(cat "$top/pid")" 2>/dev/null; then fail 'the process lives on'; fi

# A loop that never waits is stopped, and the others go on.
workflow busy <<'END'
weir.checkpoint()
while true do end
END
: | { run "$top/busy.lua" "$top/good.lua"; expect 1 'busy.lua: failed:' 'without waiting' 'good.lua: ok'; }

# Ctrl-C: cleanup runs, and may wait.
workflow stopped <<'END'
local cleanup <close> = setmetatable({}, { __close = function()
  weir.shield(sh, "echo cleaned >$TMPDIR/cleaned")
end })
sh("touch $TMPDIR/begun; sleep 1000")
END
mkfifo "$top/operator"
"$runner" "$top/stopped.lua" <"$top/operator" >"$top/out" 2>&1 &
pid=$!
exec 3>"$top/operator"
while [ ! -e "$top/begun" ]; do sleep 0.02; done
kill -TERM $pid
code=0
wait $pid || code=$?
exec 3>&-
expect 143 'stopped.lua: failed:' 'the operator stopped it'
grep -q cleaned "$top/cleaned" || fail 'no cleanup'

# Bad usage.
run -j 0 "$top/good.lua"
expect 2 'usage: runner'
