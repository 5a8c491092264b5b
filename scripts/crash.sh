#!/usr/bin/env bash
# Tests power cuts and faults on a simulated disk, for a long time.
#
#   scripts/crash.sh power_loss [FLAGS]     --states N, --seed S, --workload NAME, --point K, --pattern P
#   scripts/crash.sh faults [FLAGS]         --length SEEDS, --seed S, --scenario NAME, --operation K, --fault F
#   scripts/crash.sh                        both: a million states, and 20 seeds
#
# A failure is printed with the flags that reproduce it.
set -eu -o pipefail
cd "$(dirname "$0")/.."
scripts/install_packages.sh g++ cmake make libcxxopts-dev catch2
cmake --preset release >/dev/null

run() {
    local program=$1
    shift
    cmake --build --preset release -j"$(nproc)" --target "crash_$program"
    "build/release/test/crash_$program" "$@"
}
case ${1:-both} in
    power_loss | faults) run "$@" ;;
    both)
        run power_loss --states 1000000
        run faults --length 20
        ;;
    *)
        echo "crash.sh: unknown campaign $1; expected power_loss or faults" >&2
        exit 2
        ;;
esac
