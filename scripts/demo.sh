#!/usr/bin/env bash
# Shows a database at work: counts the words of a text in it, kills the writer, and reads everything back. Then the
# other three tools read its files. Every step is checked against awk and sort. Builds the tools first. Installs missing
# packages if it may (Debian, as root).
#
#   scripts/demo.sh [TEXT_FILE]        default: the licence texts of the system
set -eu -o pipefail
cd "$(dirname "$0")/.."
scripts/install_packages.sh g++ cmake make libcxxopts-dev
cmake -S . -B build/demo -DCMAKE_BUILD_TYPE=Release -DLSM_BUILD_TESTS=OFF >/dev/null
cmake --build build/demo -j"$(nproc)" >/dev/null
PATH=$PWD/build/demo/bin:$PATH
export LC_ALL=C

if [ $# -ge 1 ]; then texts=("$1"); else texts=(/usr/share/common-licenses/*); fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
db=$work/db

say() { printf '\n== %s\n' "$*"; }
die() { echo "demo: $*" >&2; exit 1; }
now() { date +%s.%N; }
since() { awk -v from="$1" -v to="$(now)" 'BEGIN { printf "%.2f s", to - from }'; }
# Prints a merge stream as lines "word count".
stream_as_text() {
    perl -e 'local $/; $_ = <STDIN>; for (my $p = 0; $p < length;) {
        my ($k, $t, $v) = unpack "V/a C", substr $_, $p; $p += 5 + length $k;
        if ($t == 0) { ($v) = unpack "V/a", substr $_, $p; $p += 4 + length $v }
        print $t ? "$k (deleted)\n" : "$k $v\n" }'
}

say "1. Counting the words of ${texts[0]}$([ ${#texts[@]} = 1 ] || echo " and $((${#texts[@]} - 1)) more texts"): a PUT <word> <count> for each word"
cat "${texts[@]}" | tr -s '[:space:]' '\n' | awk 'length { print "PUT", $0, ++count[$0] }' >"$work/puts"
puts=$(wc -l <"$work/puts")
start=$(now)
{ head -n $((puts / 2)) "$work/puts"; echo FLUSH; tail -n +$((puts / 2 + 1)) "$work/puts"; echo FLUSH; } | dbctl --dir "$db"
echo "$puts PUTs are on disk after $(since "$start"):"
(cd "$db" && wc -c ./*)
echo "MANIFEST, newest first: $(paste -sd' ' "$db/MANIFEST")"

say "2. Deleting every word that occurs once, setting \"the\", and kill -9 with the input still open"
awk '{ last[$2] = $3 } END { for (word in last) if (last[word] == 1) print "DEL", word }' "$work/puts" >"$work/deletes"
mkfifo "$work/input"
dbctl --dir "$db" <"$work/input" >"$work/answers" &
process=$!
exec 9>"$work/input"
{ cat "$work/deletes"; echo "PUT the one-and-only"; echo "GET the"; } >&9
while ! [ -s "$work/answers" ]; do kill -0 $process || die "dbctl ended"; sleep 0.01; done
kill -9 $process
wait $process 2>/dev/null || true
exec 9>&-
echo "$(wc -l <"$work/deletes") words deleted; they are in the log only, which has $(stat -c %s "$db/wal.log") bytes"

say "3. Reopening: everything acknowledged is there"
awk '{ last[$2] = $3 } END { last["the"] = "one-and-only"; for (word in last) if (last[word] != 1) print word, last[word] }' \
    "$work/puts" | sort >"$work/expected"
start=$(now)
echo DUMP | dbctl --dir "$db" >"$work/dump"
stream_as_text <"$work/dump" >"$work/found"
cmp "$work/expected" "$work/found" || die "the database does not hold what it should"
echo "DUMP after $(since "$start"): $(wc -l <"$work/found") words, all counts equal to those of awk. The most frequent:"
sort -k2,2nr -k1,1 "$work/found" | sed -n '1,5s/^/    /p'
printf 'GET the\nGET %s\n' "$(sed -n '1s/DEL //p' "$work/deletes")" | dbctl --dir "$db" | sed 's/^/    GET -> /'

say "4. Reading the files with the other tools"
echo FLUSH | dbctl --dir "$db"
tables=()
while read -r _ id; do tables+=("$db/sst-$(printf %06d "$id").sst"); done <"$db/MANIFEST"
for table in "${tables[@]}"; do echo "$(basename "$table"): $(sstable size "$table"), \"the\" -> $(sstable get "$table" the)"; done
echo "merged, newest first, without the deleted words: $(merge_iter --drop-tombstones "${tables[@]}" | wc -c) bytes"
merge_iter --drop-tombstones "${tables[@]}" | cmp - "$work/dump" || die "the merge of the tables is not the DUMP"
echo "equal to the DUMP of step 3, byte for byte"
memtable new "$work/mine.mt"
memtable put "$work/mine.mt" the mine
memtable del "$work/mine.mt" of
sstable build "$work/mine.mt" "$work/mine.sst"
echo "a new table with $(memtable size "$work/mine.mt"), merged over them as the newest:"
merge_iter "$work/mine.sst" "${tables[@]}" | stream_as_text | awk '$1 == "the" || $1 == "of" { print "    " $0 }'

printf '\n== Everything is as expected.\n'
