#!/usr/bin/env bash
# Counts which error branches of the headers are reached, by tier 4 alone and by all tests, and lists the others;
# scripts/error_branches.py defines what an error branch is. Tier 4 is the fault tests: each operation on a simulated
# disk fails in turn, each system call of the tools fails in turn, and test/behaviour/faults.cpp. The status is 1 if a
# branch on the error path of a system call is reached by no test.
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

# Runs a command and adds its counts to those of the part.
counting() { # PART COMMAND...
    LLVM_PROFILE_FILE=$profiles/$1/%m.profraw "${@:2}" >"$profiles.log" 2>&1
}
counting tier4 "$build/test/crash_faults" --length 1
counting tier4 "$build/test/test_behaviour" "faults: *"
# Failures do not count here: a tool under attack may be unable to write its counts, and its message about that looks
# like a failure of the tool.
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
