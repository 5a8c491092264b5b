#!/usr/bin/env bash
# Builds lsm and runs every test; with the preset release also the cross test of all implementations. Installs missing
# packages if it may (Debian, as root). Ends with "=== OK ===".
#
#   scripts/verify.sh [PRESET]     release (the default), clang or sanitize
set -eu -o pipefail
cd "$(dirname "$0")/.."
preset=${1:-release}

scripts/install_packages.sh g++ cmake make catch2 libcxxopts-dev strace
[ "$preset" != clang ] || scripts/install_packages.sh clang

launcher=()
if command -v ccache >/dev/null; then launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache); fi
cmake --preset "$preset" "${launcher[@]}"
cmake --build --preset "$preset" -j"$(nproc)"
ctest --preset "$preset" -j"$(nproc)"
[ "$preset" != release ] || scripts/cross_test.sh
echo "=== OK ==="
