#!/usr/bin/env bash
# Runs ten million random operations on databases and compares with a std::map: 1,000 histories, each under two sets of
# options.
#
#   scripts/model.sh [FIRST_SEED [SEEDS]]     default: the current time, which is printed, and 1,000
set -eu -o pipefail
cd "$(dirname "$0")/.."
scripts/install_packages.sh g++ cmake make catch2 libcxxopts-dev
cmake --preset release >/dev/null
cmake --build --preset release --target model >/dev/null
seed=${1:-$(date +%s)}
echo "first seed: $seed"
build/release/test/model --seed "$seed" --seeds "${2:-1000}"
