#!/usr/bin/env bash
# Attacks the tools, and a small program that uses the library, from outside. Each of their system calls in turn fails,
# or kills the process. Descriptors, memory, file sizes and disks run out. Directories and files are hostile. After each
# attack the database or file must hold every acknowledged write, and nothing that was never written.
#
#   scripts/attack.sh [--short] [--huge] [BUILD_DIR]     BUILD_DIR: build/release, built if missing
#
# --short is what CI runs: two kinds of failure instead of eight, and every fifth call from the third on. --huge adds a
# value of 1 GiB. Parts that this machine does not permit (mounting, tracing) are skipped with a message. Ends with a
# line of counts. The status is 1 if anything failed.
set -u -o pipefail
cd "$(dirname "$0")/.."
short=no
huge=no
build=build/release
for argument; do
    case $argument in
    --short) short=yes ;;
    --huge) huge=yes ;;
    *) build=$argument ;;
    esac
done
[[ $build == /* ]] || build=$PWD/$build
if [ ! -x "$build/bin/dbctl" ] || [ ! -x "$build/test/writer" ]; then
    cmake -S . -B "$build" -DCMAKE_BUILD_TYPE=Release >/dev/null &&
        cmake --build "$build" -j"$(nproc)" --target memtable sstable merge_iter dbctl writer >/dev/null || exit 1
fi

for part in common faults limits hostile; do . "test/campaigns/blackbox/$part.sh"; done
attack_calls
attack_limits
attack_directories
echo "=== attacks: $runs runs, $skipped parts skipped, $failures failures ==="
[ "$failures" = 0 ]
