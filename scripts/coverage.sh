#!/usr/bin/env bash
# Counts which branches of the headers that deal with an error are reached, by tier 4 alone and by all tests, and lists the
# others (scripts/error_branches.py says what counts). Tier 4 is: every operation of programs on a simulated disk fails in
# turn, and every system call of the tools, and what test/behaviour/faults.cpp has besides. The status is 1 if the error path of a
# system call is reached by no test.
#
#   scripts/coverage.sh
set -eu -o pipefail
cd "$(dirname "$0")/.."
scripts/install_packages.sh clang llvm cmake make catch2 libcxxopts-dev python3

tests=(core policy io memtable wal sstable cache merge db behaviour concurrency attack)
build=$PWD/build/coverage profiles=$PWD/build/coverage/profiles
launcher=()
if command -v ccache >/dev/null; then launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache); fi
cmake --preset coverage "${launcher[@]}" >/dev/null
cmake --build --preset coverage -j"$(nproc)" --target crash_faults writer memtable sstable merge_iter dbctl test_tools "${tests[@]/#/test_}" >/dev/null
rm -rf "$profiles"

# What a program counts is added to what it counted before.
counting() { # PART COMMAND...
    LLVM_PROFILE_FILE=$profiles/$1/%m.profraw "${@:2}" >"$profiles.log" 2>&1
}
counting tier4 "$build/test/crash_faults" --length 1
counting tier4 "$build/test/test_behaviour" "faults: *"
# Where a tool's counts cannot be written it says so, and that is taken for a failure of the tool.
counting tier4 scripts/attack.sh --short "$build" || true
counting all "$build/test/test_tools" || true
for test in "${tests[@]}"; do
    counting all "$build/test/test_$test" || { echo "coverage.sh: test_$test fails, see $profiles.log" >&2 && exit 1; }
done

objects=("$build"/bin/* "$build/test/writer" "$build/test/test_tools" "${tests[@]/#/$build/test/test_}")
export_counts() { # NAME PART...
    llvm-profdata merge --failure-mode=all -o "$profiles/$1.profdata" "${@:2}"
    llvm-cov export -skip-functions -instr-profile="$profiles/$1.profdata" "$build/test/crash_faults" "${objects[@]/#/-object=}" include/lsm >"$profiles/$1.json"
}
export_counts tier4 "$profiles"/tier4/*.profraw
export_counts all "$profiles"/{tier4,all}/*.profraw
scripts/error_branches.py "$profiles/tier4.json" "$profiles/all.json"
