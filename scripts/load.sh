#!/usr/bin/env bash
# Runs ten million random puts and deletes with compaction, under a memory budget, and compares with a std::map.
#
#   scripts/load.sh [FLAGS]     --num N, --seed S, --budget MIB, --write-buffer MIB
set -eu -o pipefail
cd "$(dirname "$0")/.."
scripts/install_packages.sh g++ cmake make libcxxopts-dev catch2
cmake --preset release >/dev/null
cmake --build --preset release -j"$(nproc)" --target load
scratch=$(mktemp -d "${TMPDIR:-/var/tmp}/lsm-load-XXXXXX")
trap 'rm -rf "$scratch"' EXIT
build/release/test/load --dir "$scratch/db" "$@"
