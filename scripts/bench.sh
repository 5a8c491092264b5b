#!/usr/bin/env bash
# Compares lsm with LevelDB, RocksDB and LMDB on the same workloads with equal settings. Prints medians and ratios.
#
#   scripts/bench.sh [FLAGS]     --help lists them; for example --workloads fillrandom,read --rounds 5 --settings big
#   scripts/chart.py FILE        draws the figures that --csv FILE saved
set -eu -o pipefail
cd "$(dirname "$0")/.."
scripts/install_packages.sh g++ cmake make libcxxopts-dev libleveldb-dev librocksdb-dev liblmdb-dev
cmake -S . -B build/bench -DCMAKE_BUILD_TYPE=Release -DLSM_BUILD_BENCH=ON -DLSM_BUILD_TOOLS=OFF -DLSM_BUILD_TESTS=OFF >/dev/null
cmake --build build/bench -j"$(nproc)" --target lsm_bench >/dev/null
program=$(find build/bench -name lsm_bench -type f)
scratch=$(mktemp -d "${TMPDIR:-/var/tmp}/lsm-bench-XXXXXX")
trap 'rm -rf "$scratch"' EXIT
"$program" --dir "$scratch" "$@"
