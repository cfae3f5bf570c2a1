# host/support.sh - what the tests of scripts/ share: sourced with $script set, the path of the one under test.
#
# Makes $dir, a folder that goes with the test; run() leaves a run's output in $dir/out and $dir/err. What a
# failed test has in $dir/out, $dir/err and the files there that $shown names is printed, the end of each.
# shellcheck shell=sh disable=SC2154

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
name=$(basename "$script")

fail() {
    echo "not ok: $*" >&2
    for file in out err ${shown:-}; do
        [ ! -f "$dir/$file" ] || sed "s|^|$file: |" "$dir/$file" | tail -n 40 >&2
    done
    exit 1
}

# run CODE WORDS...: the script with these, nothing on its standard input
run() {
    expected=$1
    shift
    code=0
    "$WEIR" "$script" "$@" >"$dir/out" 2>"$dir/err" </dev/null || code=$?
    [ "$code" -eq "$expected" ] || fail "exit code $code instead of $expected: $name $*"
}

# ended CODE PID WHEN: the script that was started in the background
ended() {
    code=0
    wait "$2" || code=$?
    [ "$code" -eq "$1" ] || fail "exit code $code instead of $1 $3"
}

# has FILE PATTERN [COUNT]: so many lines match
has() {
    n=$(grep -c -e "$2" "$dir/$1") || true
    if [ $# -eq 3 ]; then
        [ "$n" -eq "$3" ] || fail "$n lines match '$2' in $1, not $3"
    else
        [ "$n" -gt 0 ] || fail "no line matches '$2' in $1"
    fi
}

# holds CONDITION: of the JSON object `a` in $dir/out
holds() {
    "$WEIR" -e "local a = require 'weir.json'.decode(io.read 'a'); assert($1)" <"$dir/out" ||
        fail "not so: $1"
}
