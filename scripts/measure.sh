#!/usr/bin/env bash
# Times the tools, alternating with dd and cat of the same bytes, and the compilation of a ten-line program. Prints
# medians and ratios. Compare the ratios: absolute times depend on the machine.
#
#   scripts/measure.sh [ROUNDS]     default: 9
set -eu -o pipefail
cd "$(dirname "$0")/.."
rounds=${1:-9}
source=$PWD
scripts/install_packages.sh g++ cmake make libcxxopts-dev
cmake -S . -B build/demo -DCMAKE_BUILD_TYPE=Release -DLSM_BUILD_TESTS=OFF >/dev/null
cmake --build build/demo -j"$(nproc)" >/dev/null
PATH=$PWD/build/demo/bin:$PATH
work=$(mktemp -d "${TMPDIR:-/var/tmp}/lsm-measure-XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work"

seconds() { # command...: runs it and prints its wall-clock seconds
    local start end
    start=$(date +%s%N)
    "$@" >/dev/null
    end=$(date +%s%N)
    echo $((end - start)) | awk '{ printf "%.4f\n", $1 / 1e9 }'
}
median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

compare() { # label baseline-label command baseline-command
    local i
    : >ours; : >theirs
    for ((i = 0; i < rounds; ++i)); do
        seconds bash -c "$3" >>ours
        seconds bash -c "$4" >>theirs
    done
    printf '%-34s %8.3f s   %-28s %8.3f s   ratio %.2f\n' "$1" "$(median <ours)" "$2" "$(median <theirs)" \
        "$(awk -v a="$(median <ours)" -v b="$(median <theirs)" 'BEGIN { print a / b }')"
}

memtable bulk big.mt 1000000
sstable build big.mt big.sst
for i in 1 2 3 4 5 6 7 8; do cp big.sst $i.sst; done
echo "1,000,000 entries: dump $(stat -c %s big.mt) bytes, table $(stat -c %s big.sst) bytes; medians of $rounds alternating rounds"
compare "memtable bulk 1000000" "dd conv=fsync of the dump" \
    'rm -f new.mt; memtable bulk new.mt 1000000' 'rm -f copy; dd if=big.mt of=copy bs=1M conv=fsync status=none'
compare "sstable build" "dd conv=fsync of the table" \
    'rm -f new.sst; sstable build big.mt new.sst' 'rm -f copy; dd if=big.sst of=copy bs=1M conv=fsync status=none'
compare "merge_iter of eight, to a pipe" "cat of the eight, to a pipe" \
    'merge_iter ?.sst | cat' 'cat ?.sst | cat'

cat >ten.cpp <<'PROGRAM'
#include <cstdio>
#include <lsm/lsm.hpp>

int main() {
    auto db = lsm::db::open("fruit.db");
    if (!db) return std::puts(db.error().what.c_str()), 1;
    if (!db->put("apple", "red") || !db->put("banana", "yellow")) return 1;
    for (auto [fruit, color] : db->scan({.from = "a", .to = "c"}))
        std::printf("%s is %s\n", lsm::bytes(fruit).c_str(), lsm::bytes(color).c_str());
}
PROGRAM
rounds=3
compare "compile a ten-line program" "compile an empty main" \
    "g++ -std=c++20 -I$source/include ten.cpp -o ten" 'echo "int main() {}" >empty.cpp; g++ -std=c++20 empty.cpp -o empty'
