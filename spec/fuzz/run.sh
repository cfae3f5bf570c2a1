#!/bin/sh
# run.sh - fuzz one target for FUZZ_SECONDS: build-fuzz/env sh spec/fuzz/run.sh semaphore
#
# Says in one line how many inputs were run and how much code they reached. As a test (FUZZ_SECONDS unset)
# it runs for a few seconds from WEIR_SEED and keeps nothing; else what reaches new code is kept in
# build-fuzz/fuzz/UNIT.corpus, and the next run goes on from there. An input that fails is kept beside
# it, and the way to run it again is printed. Options of libFuzzer may follow the unit.
set -eu
unit=$1
shift
program=$WEIR_BUILD/fuzz/$unit
if [ ! -x "$program" ]; then
    echo "fuzz: $unit: not built: clang with libFuzzer (Debian: libclang-rt-dev) and cmocka are needed"
    exit 77
fi

# libFuzzer takes 32 bits, and 0 for chance.
seed=$((${WEIR_SEED:-1} % 2147483647 + 1))
log=$program.log
failed=$program.failed-
if [ -n "${FUZZ_SECONDS:-}" ]; then
    mkdir -p "$program.corpus"
    set -- "$@" "$program.corpus"
fi
seconds=${FUZZ_SECONDS:-9}
# A Lua state keeps memory from one input to the next; that each gives back what is weir's, weir.test sees.
[ ! -f "$WEIR_SOURCE/spec/fuzz/$unit.lua" ] || set -- -detect_leaks=0 "$@"

echo "fuzz: $unit: WEIR_SEED=${WEIR_SEED:-1}, $seconds s"
rc=0
# A sequence is a few hundred bytes; the models draw no more of it.
"$program" -seed="$seed" -max_total_time="$seconds" -max_len=600 -len_control=0 -timeout=20 \
    -artifact_prefix="$failed" -print_final_stats=1 "$@" >"$log" 2>&1 || rc=$?
if [ $rc -ne 0 ]; then
    # Without the tool's diary and the input in three spellings.
    sed '/^#[0-9]/d; /^\tNEW_/d; /^INFO:/d; /^MS: /d; /^0x/d; /^\\[0-9]/d; /^Base64/d; /^stat:/d; /^artifact/d' "$log" | tail -n 80
    input=$(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1)
    input=${input#"$WEIR_SOURCE/"}
    echo "fuzz: $unit: the input: $input"
    echo "fuzz: $unit: once more: ${WEIR_BUILD#"$WEIR_SOURCE/"}/env ${program#"$WEIR_SOURCE/"} $input"
    exit 1
fi
runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
reached=$(sed -n 's/^#.*DONE *cov: \([0-9]*\) .*corp: \([0-9]*\).*/\1 places in the code reached, by \2 inputs/p' "$log")
echo "fuzz: $unit: $runs inputs run; $reached"
echo "figures: inputs=$runs places=${reached%% *}"
