#!/bin/sh
# host/misuse_test.sh - the weir program used wrongly: closed and full streams, tools asked for what cannot be.
set -eu

case $WEIR in /*) ;; *) WEIR=$PWD/$WEIR ;; esac
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

fail() {
    echo "not ok: $*" >&2
    for file in out err; do [ ! -f "$dir/$file" ] || sed "s/^/$file: /" "$dir/$file" | head -40 >&2; done
    exit 1
}

# run CODE WORDS...: weir with these, which says something of at most two lines
run() {
    expected=$1
    shift
    code=0
    "$WEIR" "$@" >out 2>err </dev/null || code=$?
    [ "$code" -eq "$expected" ] || fail "exit code $code instead of $expected: weir $*"
    [ "$(wc -l <err)" -le 2 ] || fail "more than two lines: weir $*"
}

has() { grep -q -e "$1" err || fail "no line matches '$1' in err"; }

ends() { # CODE, of the command before
    [ "$code" -eq "$1" ] || fail "exit code $code instead of $1: $2"
}

echo 'print(1)' >fine.lua
mkdir folder

# --- standard streams that are closed or full: an error of the program, not of libuv
code=0 && "$WEIR" fine.lua 2>err >&- || code=$?
ends 1 'closed output'
has '^weir: cannot write to standard output: '
code=0 && "$WEIR" - >out 2>err <&- || code=$?
ends 2 'a script from closed input'
has '^weir: cannot read stdin'
code=0 && "$WEIR" fine.lua >out 2>err <&- || code=$?
ends 0 'closed input that nobody reads'
code=0 && "$WEIR" -l weir -e 'local file = io.open("held", "w") weir.sleep(0.001) file:write "kept" file:close()
    local ok, why = io.stderr:setvbuf "no" and io.stderr:write "lost" print(ok, why)' >out 2>&- || code=$?
ends 0 'closed errors'
grep -q '^nil' out || fail 'what is written to closed errors goes nowhere'
[ "$(cat held)" = kept ] || fail 'a file got the descriptor of a closed stream'
if [ -c /dev/full ]; then
    for words in fine.lua --help -v 'build --help'; do
        # shellcheck disable=SC2086 # words
        code=0 && "$WEIR" $words >/dev/full 2>err || code=$?
        ends 1 "a full disk: $words"
        has '^weir: cannot write to standard output: No space left'
    done
fi

# --- weir new
run 2 new ''
has 'one name'
run 2 new /
has 'one name'
run 2 new folder
has 'folder is there already'

# no room for what is written: nothing is left of it
limited() { # BLOCKS WORDS...
    blocks=$1
    shift
    {
        trap '' XFSZ
        code=0
        (ulimit -f "$blocks" && exec "$WEIR" "$@") || code=$?
        echo "exit code $code"
    } 2>&1 | cat >err
}
limited 0 new full
has '^weir new: full/main.lua: File too large$'
has '^exit code 2$'
[ ! -e full ] || fail 'half a project is left'

# --- weir build
limited 100 build fine.lua -o full
has '^weir build: full: File too large$'
has '^exit code 2$'
[ -z "$(find . -name 'full*')" ] || fail 'half an executable is left'
run 2 build fine.lua -o no/such/folder/app
has '^weir build: no/such/folder/app: No such file or directory$'
run 2 build fine.lua -o folder
has '^weir build: folder: Is a directory$'
[ -z "$(find . -name '*.weir-build')" ] || fail 'what could not be renamed stays'
ln -s /dev/zero zero
run 2 build fine.lua -o zero
has '^weir build: zero: File exists$'
[ -h zero ] || fail 'a device was replaced'
run 0 build fine.lua -o app
run 0 build fine.lua -o app # again, in its place
run 2 build folder
has '^weir build: folder: cannot be read$'
run 2 build fine.lua -m no.such
has '^weir build: -m no.such: there is no such Lua module$'
cp "$WEIR" weir
code=0 && ./weir build fine.lua -o ./weir 2>err || code=$?
ends 2 'an application in place of the program'
has 'that is the weir program itself'
cmp -s "$WEIR" weir || fail 'the program was changed'

echo 'ok: wrong uses are told'
