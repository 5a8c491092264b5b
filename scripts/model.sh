#!/usr/bin/env bash
# Ten million random operations on databases of all kinds, against a std::map: 1,000 histories under two sets of options each.
#
#   scripts/model.sh [FIRST_SEED [SEEDS]]     from a number made of the time, which is printed, and 1,000
set -eu -o pipefail
cd "$(dirname "$0")/.."
scripts/install_packages.sh g++ cmake make catch2 libcxxopts-dev
cmake --preset release >/dev/null
cmake --build --preset release --target model >/dev/null
seed=${1:-$(date +%s)}
echo "from seed $seed on"
build/release/test/model --seed "$seed" --seeds "${2:-1000}"
