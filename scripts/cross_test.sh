#!/usr/bin/env bash
# Compares all implementations of the formats and tools, byte for byte: the C++ tools with three allocators, and the
# peers in Rust and Go (test/campaigns/interop). An implementation is a directory with the four tools in it.
#
#   scripts/cross_test.sh [--seeds N] [--first-seed S] [BUILD_DIR]     BUILD_DIR: build/release, built if missing
#
# LSM_CROSS_SKIP="rust go" skips languages. Ends with "=== ALL OK ===", or prints each difference and fails.
set -u -o pipefail
cd "$(dirname "$0")/.."
seeds=300
first_seed=1
build=build/release
while [ $# -gt 0 ]; do
    case $1 in
    --seeds) seeds=$2; shift 2 ;;
    --first-seed) first_seed=$2; shift 2 ;;
    *) build=$1; shift ;;
    esac
done

[[ $build == /* ]] || build=$PWD/$build
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0
names=()
declare -A tools

fail() {
    printf 'DIFFERENT  %s\n' "$*"
    failures=$((failures + 1))
}

# --- the implementations ----------------------------------------------------------------------------------------------

add() { # name directory
    names+=("$1")
    tools[$1]=$2
}

skipped() { [[ " ${LSM_CROSS_SKIP:-} " == *" $1 "* ]]; }

own_tests() { # name command...: runs the peer's own tests
    "${@:2}" >"$work/log" 2>&1 && return
    cat "$work/log"
    fail "$1: its own tests fail"
}

have() { # command package: whether the command exists; tries to install the package if it does not
    command -v "$1" >/dev/null 2>&1 && return 0
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 || return 1
    apt-get update -qq >/dev/null 2>&1
    apt-get install -y -qq --no-install-recommends "$2" >/dev/null 2>&1
    command -v "$1" >/dev/null 2>&1
}

if [ ! -x "$build/interop/arena/dbctl" ] || [ ! -x "$build/test/interop_generate" ]; then
    cmake -S . -B "$build" -DCMAKE_BUILD_TYPE=Release >/dev/null && cmake --build "$build" -j"$(nproc)" >/dev/null || exit 1
fi
generate=$build/test/interop_generate
add c++ "$build/bin"
add c++-pmr "$build/interop/pmr"
add c++-arena "$build/interop/arena"

if skipped rust || ! have cargo cargo; then
    echo "!!! SKIPPED: Rust (cargo is missing, or LSM_CROSS_SKIP names it)"
else
    CARGO_TARGET_DIR=$work/rust cargo build --release --offline -q --manifest-path test/campaigns/interop/rust/Cargo.toml || exit 1
    CARGO_TARGET_DIR=$work/rust own_tests rust cargo test --release --offline -q --manifest-path test/campaigns/interop/rust/Cargo.toml
    add rust "$work/rust/release"
fi
if skipped go || ! have go golang-go; then
    echo "!!! SKIPPED: Go (go is missing, or LSM_CROSS_SKIP names it)"
else
    export GOFLAGS=-mod=mod GOPROXY=off
    (cd test/campaigns/interop/go && go build -o "$work/go/" ./cmd/...) || exit 1
    own_tests go bash -c 'cd test/campaigns/interop/go && go test ./...'
    add go "$work/go"
fi
echo "implementations: ${names[*]}"

# --- the canonical inputs ---------------------------------------------------------------------------------------------

canonical() { # name: writes the canonical files to $work/out/name
    local t=${tools[$1]} o=$work/out/$1
    mkdir -p "$o"
    "$t/memtable" bulk "$o/m.mt" 100 && "$t/memtable" put "$o/m.mt" key50 REPLACED && "$t/memtable" del "$o/m.mt" key10 &&
        "$t/memtable" put "$o/m.mt" "" empty-key-value && "$t/memtable" del "$o/m.mt" key99 || return 1
    local target
    for target in 4096 64 76 80; do "$t/sstable" build "$o/m.mt" "$o/m$target.sst" --block-size $target || return 1; done
    [[ $1 != c++* ]] || "$t/sstable" build --extended "$o/m.mt" "$o/extended.sst" || return 1
    "$t/memtable" bulk "$o/newer.mt" 50 && "$t/memtable" put "$o/newer.mt" key10 NEW-10 &&
        "$t/memtable" del "$o/newer.mt" key5 && "$t/memtable" bulk "$o/older.mt" 100 &&
        "$t/memtable" put "$o/older.mt" key50 OLD-50 || return 1
    "$t/sstable" build "$o/newer.mt" "$o/newer.sst" && "$t/sstable" build "$o/older.mt" "$o/older.sst" || return 1
    "$t/merge_iter" "$o/newer.sst" "$o/older.sst" >"$o/kept" &&
        "$t/merge_iter" --drop-tombstones "$o/newer.sst" "$o/older.sst" >"$o/dropped" || return 1
    printf '%s\n' 'PUT a 1' 'PUT b 2' 'PUT c 3' FLUSH 'PUT b 22' 'DEL a' 'PUT d 4' FLUSH 'PUT e 5' 'DEL c' 'PUT b 222' |
        "$t/dbctl" --dir "$o/db" || return 1
}

expect() { # sha256 file
    local got label=${2#"$work"/out/}
    got=$(sha256sum <"$2" | cut -d' ' -f1)
    if [ "$got" = "$1" ]; then
        printf 'ok  %-24s %s\n' "$label" "$got"
    else
        fail "$label: SHA-256 is $got, expected $1"
    fi
}

has_hex() { # yes|no hex file
    local found=no
    od -An -v -tx1 <"$3" | tr -d ' \n' | grep -q "$2" && found=yes
    [ $found = "$1" ] || fail "${3#"$work"/out/}: contains hex $2: $found, expected $1"
}

for name in "${names[@]}"; do
    canonical "$name" || { fail "$name: a tool failed on the canonical inputs"; continue; }
    o=$work/out/$name
    expect 8c9c6bb8703c2267551bf490710bc09b682e967eb5683db39cb5e0da21aa315a "$o/m.mt"
    expect 91f260f16c3f09cc43b73230b7239fe522012f6f38b09d5c5e23428e416d7658 "$o/m4096.sst"
    expect c7ff492321960ae75bb353537b06ea45030fece195f7d43a30a239d4142a5dd7 "$o/m64.sst"
    expect 9e59e304539a3dbb23eefcb3a65f0d9972f416ea6224bdd0474a13945f26a532 "$o/m76.sst"
    expect ee0299eae45275e2fa2dd9c75b3d340efe2cdb6000788afab08670b5460ca49c "$o/m80.sst"
    [[ $name != c++* ]] || expect cf0ad7ac84406b7597d0c285ef7af1838521460767c38d34507f1571785a6007 "$o/extended.sst"
    expect f693c483ef39dfef8e6285e29f9051a57e60bf2c4ba7b45bbf552c7932687fd1 "$o/kept"
    expect ec71c56c89f451d33e58697af2d7bce985069078e1c599cc42062dfbba6e250e "$o/dropped"
    for stream in kept dropped; do
        for hex in 4e45572d3130 4f4c442d3530 76616c3939; do has_hex yes $hex "$o/$stream"; done
    done
    has_hex yes 040000006b65793501 "$o/kept"
    has_hex no 040000006b65793501 "$o/dropped"
    [ "$(cat "$o/db/MANIFEST")" = $'L0 2\nL0 1' ] || fail "$name: MANIFEST is $(cat "$o/db/MANIFEST"), expected L0 2 and L0 1"
done

# --- every reader reads what every writer wrote -----------------------------------------------------------------------

same() { # label expected actual
    cmp -s "$2" "$3" || fail "$1: $(cmp "$2" "$3" 2>&1 | head -1)"
}

# Makes a database whose writer was killed while it waited for input, with an incomplete record at the end of its log.
killed() { # name
    local o=$work/out/$1 writer
    rm -f "$work/input"
    mkfifo "$work/input"
    "${tools[$1]}/dbctl" --dir "$o/killed" <"$work/input" >"$o/answer" &
    writer=$!
    exec 9>"$work/input"
    printf 'PUT a 1\nPUT b 1\nFLUSH\nDEL a\nPUT b 2\nDUMP\n' >&9
    while kill -0 $writer 2>/dev/null && ! [ -s "$o/answer" ]; do sleep 0.01; done
    kill -9 $writer
    wait $writer 2>/dev/null
    exec 9>&-
    head -c 10 "$o/killed/wal.log" >"$work/begun" && cat "$work/begun" >>"$o/killed/wal.log"
}
for name in "${names[@]}"; do killed "$name"; done

first=$work/out/${names[0]}
"${tools[c++]}/memtable" iter "$first/m.mt" >"$work/lines"
for writer in "${names[@]}"; do
    o=$work/out/$writer
    for reader in "${names[@]}"; do
        t=${tools[$reader]}
        pair="$writer -> $reader"
        "$t/memtable" iter "$o/m.mt" >"$work/got"; same "memtable iter, $pair" "$work/lines" "$work/got"
        for target in 4096 64; do
            "$t/sstable" iter "$o/m$target.sst" >"$work/got"; same "sstable iter at $target, $pair" "$work/lines" "$work/got"
        done
        {
            "$t/sstable" footer "$o/m64.sst"
            "$t/memtable" size "$o/m.mt"
            for key in "" key0 key10 key50 key99 key100 zzz; do
                "$t/memtable" get "$o/m.mt" "$key"
                "$t/sstable" get "$o/m4096.sst" "$key"
                "$t/sstable" get "$o/m64.sst" "$key"
            done
        } >"$work/got"
        [ -e "$work/spots" ] || cp "$work/got" "$work/spots"
        same "footer, size and get, $pair" "$work/spots" "$work/got"
        if [ -e "$o/extended.sst" ]; then # readers without extensions must skip the extension area
            "$t/sstable" iter "$o/extended.sst" >"$work/got"; same "sstable iter with extension, $pair" "$work/lines" "$work/got"
            "$t/merge_iter" "$o/extended.sst" "$o/older.sst" >"$work/got"
            "$t/merge_iter" "$o/m4096.sst" "$o/older.sst" >"$work/want"; same "merge with extension, $pair" "$work/want" "$work/got"
        fi
        "$t/merge_iter" "$o/newer.sst" "$o/older.sst" >"$work/got"; same "merge, $pair" "$first/kept" "$work/got"
        cp -r "$o/db" "$work/db"
        echo DUMP | "$t/dbctl" --dir "$work/db" >"$work/dump"
        echo DUMP_WITH_TOMBS | "$t/dbctl" --dir "$work/db" >"$work/dump_with_tombs"
        rm -rf "$work/db"
        cp -r "$o/killed" "$work/db"
        echo DUMP | "$t/dbctl" --dir "$work/db" >"$work/got"
        rm -rf "$work/db"
        same "database after kill -9, $pair" "$first/answer" "$work/got"
        for pattern in "dump 7d1568c7bfdad9635ff655f7c4162628aa3253a7b95505c3d418362eb4c4c09c" \
            "dump_with_tombs 27e3d256e73c3ddbd080ad7a92e5da0be780d65896644eb7d4ec0cc8a574709d"; do
            read -r file sum <<<"$pattern"
            [ "$(sha256sum <"$work/$file" | cut -d' ' -f1)" = "$sum" ] || fail "database $file, $pair: not as published"
        done
    done
done
grep -qx 'index_offset=2033 index_size=846 num_blocks=34 magic_ok=true' "$work/spots" || fail "footer at target 64: not as published"
echo "${#names[@]} x ${#names[@]} writers and readers compared"

# --- generated inputs -------------------------------------------------------------------------------------------------

compare() { # seed label command: its output and status are equal with the tools of each implementation
    local seed=$1 label=$2 name
    shift 2
    for name in "${names[@]}"; do
        PATH=${tools[$name]}:$PATH IMPLEMENTATION=$name bash -c "$1" >"$work/gen.$name" 2>/dev/null
        echo "status $?" >>"$work/gen.$name"
        [ "$name" = "${names[0]}" ] || cmp -s "$work/gen.${names[0]}" "$work/gen.$name" ||
            fail "seed $seed, $label: ${names[0]} and $name: $(cmp "$work/gen.${names[0]}" "$work/gen.$name" 2>&1 | head -1)"
    done
}

export WORK=$work
for ((seed = first_seed; seed < first_seed + seeds; ++seed)); do
    RANDOM=$seed
    "$generate" dump $seed "$work/a.mt"
    "$generate" dump $((seed + 1000000)) "$work/older.mt"
    rm -f "$work/older.sst"
    "${tools[c++]}/sstable" build "$work/older.mt" "$work/older.sst"
    "$generate" script $seed "$work/script"
    target=$((1 + RANDOM % 200))
    compare $seed "memtable iter" 'memtable iter $WORK/a.mt; memtable size $WORK/a.mt'
    compare $seed "sstable build at $target" \
        "sstable build --block-size $target \$WORK/a.mt \$WORK/\$IMPLEMENTATION.sst && cat \$WORK/\$IMPLEMENTATION.sst"
    "$generate" gaps $seed "$work/c++.sst" "$work/a.sst"
    compare $seed "sstable iter with bytes between blocks and index" \
        'sstable iter $WORK/a.sst; sstable size $WORK/a.sst; sstable footer $WORK/a.sst'
    compare $seed "merge" \
        'merge_iter $WORK/a.sst $WORK/older.sst; merge_iter --drop-tombstones $WORK/older.sst $WORK/a.sst'
    compare $seed "dbctl script" 'rm -rf $WORK/db.$IMPLEMENTATION; dbctl --dir $WORK/db.$IMPLEMENTATION <$WORK/script;
        printf "DUMP_WITH_TOMBS\nDUMP\n" | dbctl --dir $WORK/db.$IMPLEMENTATION; cat $WORK/db.$IMPLEMENTATION/MANIFEST'
    # Damaged files: either all implementations accept them and read the same, or all refuse them.
    "$generate" damage $seed "$work/a.mt" "$work/bad.mt"
    "$generate" damage $seed "$work/c++.sst" "$work/bad.sst"
    compare $seed "damaged dump" 'set -o pipefail; lines=$(memtable iter $WORK/bad.mt | sha256sum) && echo "$lines"; sstable build $WORK/bad.mt $WORK/x.sst'
    compare $seed "damaged table" 'set -o pipefail; lines=$(sstable iter $WORK/bad.sst | sha256sum) && echo "$lines"; sstable footer $WORK/bad.sst
        sstable size $WORK/bad.sst'
    # A directory as a crash leaves it: one implementation wrote it, its log is torn, and all open it.
    writer=${names[$((seed % ${#names[@]}))]}
    log=$work/db.$writer/wal.log
    if [ -s "$log" ]; then
        cp "$log" "$work/whole.log"
        truncate -s $((RANDOM % $(stat -c %s "$log"))) "$log"
        [ $((RANDOM % 3)) = 0 ] && head -c 100 /dev/zero >>"$log"
        rm -rf "$work/torn"
        mv "$work/db.$writer" "$work/torn"
        for log in torn damaged; do
            [ $log = torn ] || "$generate" damage $seed "$work/whole.log" "$work/torn/wal.log"
            compare $seed "$log log of $writer" 'rm -rf $WORK/t.$IMPLEMENTATION; cp -r $WORK/torn $WORK/t.$IMPLEMENTATION;
                printf "DUMP\nPUT after crash\nDUMP_WITH_TOMBS\n" | dbctl --dir $WORK/t.$IMPLEMENTATION
                echo DUMP | dbctl --dir $WORK/t.$IMPLEMENTATION'
        done
    fi
done
echo "$seeds generated inputs compared, seeds $first_seed to $((first_seed + seeds - 1))"

if [ $failures -gt 0 ]; then
    echo "=== $failures DIFFERENCES ==="
    exit 1
fi
echo "=== ALL OK ==="
