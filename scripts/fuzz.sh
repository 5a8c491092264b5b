#!/usr/bin/env bash
# Runs the fuzzers, starting from their kept corpora, and prints how far each came. Inputs that make a fuzzer fail are
# left in build/fuzz/findings/ENTRY, and the exit status is 1.
#
#   scripts/fuzz.sh [--keep] [SECONDS [ENTRY...]]     default: 60 seconds for each entry, all entries
#
# --keep adds inputs that reach new code to the kept corpus, test/campaigns/fuzz/corpus.
set -eu -o pipefail
cd "$(dirname "$0")/.."
keep=
if [ "${1:-}" = --keep ]; then keep=1; shift; fi
seconds=${1:-60}
[ $# = 0 ] || shift
[ $# != 0 ] || set -- log manifest table dump batch operations directory tools

scripts/install_packages.sh clang cmake make libcxxopts-dev
cmake --preset fuzz >/dev/null
cmake --build --preset fuzz >/dev/null

# fuzz ENTRY ARGUMENT...: -close_fd_mask=3 discards what the fuzzed code prints; the log keeps libFuzzer's report.
fuzz() { build/fuzz/test/campaigns/fuzz/libfuzzer/fuzz --entry="$1" -close_fd_mask=3 "${@:2}"; }

status=0
printf '%-12s %12s %8s %8s %10s\n' entry executions cov ft findings
for entry in "$@"; do
    kept=test/campaigns/fuzz/corpus/$entry found=build/fuzz/findings/$entry fresh=build/fuzz/corpus/$entry log=build/fuzz/$entry.log
    rm -rf "$found"
    mkdir -p "$found" "$fresh" "$kept"
    longest=4096
    [ "$entry" != operations ] || longest=600  # each byte is an operation, which is slow
    # A short input must not take long or much memory: the limits make that a finding.
    fuzz "$entry" -max_total_time="$seconds" -max_len=$longest -timeout=10 -malloc_limit_mb=256 -rss_limit_mb=2048 \
        -print_final_stats=1 -artifact_prefix="$found/" "$fresh" "$kept" >"$log" 2>&1 || status=1
    executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    last=$(grep -a ' cov: ' "$log" | tail -n 1)
    printf '%-12s %12s %8s %8s %10s\n' "$entry" "${executions:-?}" "$(sed 's/.* cov: \([0-9]*\).*/\1/' <<<"$last")" \
        "$(sed 's/.* ft: \([0-9]*\).*/\1/' <<<"$last")" "$(find "$found" -type f | wc -l)"
    if [ -n "$keep" ]; then fuzz "$entry" -set_cover_merge=1 -use_counters=0 "$kept" "$fresh" >>"$log" 2>&1; fi
done
exit $status
