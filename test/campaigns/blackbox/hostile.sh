# Hostile directories and files. Whatever they hold, a tool must end soon, not crash, bound its memory, report what is
# wrong, and touch nothing outside. Sourced by scripts/attack.sh.

attack_directories() {
    local scene=$work/hostile name kind text
    outside=$work/outside
    mkdir "$outside" "$work/sound"
    printf '%s\n' 'PUT a 1' FLUSH 'PUT b 2' FLUSH 'PUT c 3' | dbctl --dir "$work/sound/db"
    cp "$work"/sound/db/* "$outside"
    echo precious >"$outside/file"
    untouched=$(digest "$outside")

    # Put links, FIFOs, directories and devices under each name that a database uses.
    for name in MANIFEST LOCK wal.log sst-000001.sst sst-000002.sst wal-000001.log MANIFEST.tmp wal.log.tmp sst-000007.sst.tmp \
        sst-000007.sst; do
        for kind in link-to-the-same link-to-another dangling-link link-to-zeros link-to-itself fifo directory full-directory device; do
            hostile_scene
            rm -f "$scene/db/$name"
            case $kind in
            link-to-the-same) ln -s "$outside/$name" "$scene/db/$name" ;;
            link-to-another) ln -s "$outside/file" "$scene/db/$name" ;;
            dangling-link) ln -s "$outside/not-there" "$scene/db/$name" ;;
            link-to-zeros) ln -s /dev/zero "$scene/db/$name" ;;
            link-to-itself) ln -s "$name" "$scene/db/$name" ;;
            fifo) mkfifo "$scene/db/$name" ;;
            directory) mkdir "$scene/db/$name" ;;
            full-directory) mkdir -p "$scene/db/$name/MANIFEST" ;;
            device) mknod "$scene/db/$name" c 1 5 2>/dev/null || continue ;;
            esac
            case $name in
            *.tmp | sst-000007.sst) tried_database "$kind as $name" ;; # a leftover: removed, or refused
            *) refused_database "$kind as $name" ;;
            esac
        done
    done

    # Lines that MANIFEST must not have.
    local lines=('L0 ../x' 'L0 ../../outside/sst-000001' 'L0 /etc/passwd' 'L0 1/../2' 'L0 9223372036854775808' 'L0 18446744073709551617'
        'L0 99999999999999999999999999' 'L0 -1' 'L0 0' 'L0 01' 'L0 +1' 'L0 1 ' 'L0  1' ' L0 1' 'L 1' 'L7 1' 'L-1 1' 'l0 1' 'L00 1' 'L0 0x1'
        'L0 9223372036854775807' 'L0 3' $'L0 1\nL0 1' $'L1 1\nL0 2' $'L0 1\r' $'L0 1\n' $'\nL0 1' 'L0 1L0 2' $'L0 1\vL0 2' 'L0 1e3')
    for text in "${lines[@]}"; do
        hostile_scene
        printf '%s\n' "$text" >"$scene/db/MANIFEST"
        refused_database "MANIFEST: $(printf %q "$text")"
    done
    for text in 'L0 2\nL0 1' 'L' '\0' 'L0 2\0\n' '\xff\xff\xff\xff' '\n'; do
        hostile_scene
        printf "$text" >"$scene/db/MANIFEST"
        refused_database "MANIFEST: $text"
    done
    hostile_scene
    rm "$scene/db/MANIFEST"
    refused_database "no MANIFEST"

    # Sparse files that claim a large size, and a large MANIFEST.
    for name in MANIFEST wal.log sst-000001.sst wal-000001.log; do
        hostile_scene
        truncate -s 64T "$scene/db/$name" 2>/dev/null || truncate -s 1T "$scene/db/$name" || continue
        case $name in
        wal.log) truncate -s 1G "$scene/db/$name" && tried_database "1 GiB of zeros after $name" ;; # may be a torn tail
        wal-000001.log) truncate -s 1G "$scene/db/$name" && tried_database "1 GiB of zeros in $name" ;;
        *) refused_database "terabytes of zeros in $name" ;;
        esac
    done
    hostile_scene
    yes 'L0 1' | head -c 20000000 >"$scene/db/MANIFEST"
    refused_database "a MANIFEST of 20 MB"
    hostile_scene
    seq -f 'L0 %.0f' 10 1000000 >"$scene/db/MANIFEST"
    refused_database "a MANIFEST of a million tables"

    # Swap the files of the database, and replace them by noise.
    for name in MANIFEST wal.log sst-000001.sst wal-000001.log; do
        for text in MANIFEST wal.log sst-000002.sst; do
            [ "$name" != "$text" ] || continue
            hostile_scene
            cp "$work/sound/db/$text" "$scene/db/$name"
            tried_database "$text as $name"
        done
        for ((i = 0; i < 8; ++i)); do
            hostile_scene
            { head -c $((i % 4 * 8)) "$work/sound/db/$name" 2>/dev/null; head -c 5000 /dev/urandom; } >"$scene/db/$name"
            tried_database "noise as $name (kept: $(base64 -w0 "$scene/db/$name" | head -c 60)...)"
        done
    done

    # Files whose names are almost those of a database must be ignored.
    hostile_scene
    for name in sst-1.sst sst-0000001.sst sst-000000.sst SST-000009.SST sst-000009.sst.bak MANIFEST.old wal.log~ wal-1.log x.tmp \
        sst-9223372036854775808.sst .hidden; do
        echo "$name" >"$scene/db/$name"
    done
    mkdir "$scene/db/sub" && echo deep >"$scene/db/sub/sst-000009.sst"
    tried_database "foreign names"
    [ $status = 0 ] || fail "foreign names: $(<"$err")"
    for name in sst-1.sst sst-0000001.sst sst-000000.sst SST-000009.SST sst-000009.sst.bak MANIFEST.old wal.log~ wal-1.log x.tmp \
        sst-9223372036854775808.sst .hidden; do
        [ "$(cat "$scene/db/$name" 2>&1)" = "$name" ] || fail "foreign names: $name has changed"
    done
    [ "$(cat "$scene/db/sub/sst-000009.sst")" = deep ] || fail "foreign names: a file in a subdirectory has changed"

    # Give dbctl a DIR that is not a directory, cannot be made, or is a link.
    hostile_scene
    for text in "$outside/file" /dev/null /dev/zero "" "$scene/$(repeated 300 n)" "$(repeated 5000 n)" /proc/self/fd /proc/1 "$scene/db/LOCK/x"; do
        run timeout 20 dbctl --dir "$text" < <(printf 'PUT x 1\n')
        refused "dbctl --dir ${text:0:60}" dbctl "${text:0:60}"
        [ "$(digest "$outside")" = "$untouched" ] || fail "dbctl --dir ${text:0:60}: a file outside has changed"
    done
    ln -s db "$scene/link"
    run dbctl --dir "$scene/link" < <(printf 'GET a\n')
    [ "$(<"$out")" = 'value: 31' ] || fail "a link to the directory: $(<"$err")"
    run dbctl --dir "$scene/"$'new\nline' < <(printf 'PUT a 1\nGET a\nNONSENSE\n')
    refused "a directory with a newline in its name" dbctl "standard input"

    attack_hostile_files
}

hostile_scene() { rm -rf "$scene" && cp -r "$work/sound" "$scene"; }

# Opens the database with 1 GiB of address space, for at most 20 seconds.
try_database() { # label
    run limited "-v 1048576" timeout 20 dbctl --dir "$scene/db" < <(printf '%s\n' 'GET a' 'GET b' 'GET c' 'PUT d 4' FLUSH DUMP)
    [ "$(digest "$outside")" = "$untouched" ] || fail "$1: a file outside has changed"
}
refused_database() { # label
    local before
    before=$(digest "$scene")
    try_database "$1"
    refused "$1" dbctl "$scene"
    [ "$(digest "$scene")" = "$before" ] || fail "$1: is refused, but the directory has changed"
}
tried_database() { # label: the database may open or not
    try_database "$1"
    ended_well "$1" dbctl "$scene"
}

# The other tools, on hostile files.
attack_hostile_files() {
    local command i size sound=$work/sound/in
    memtable bulk "$sound.mt" 40 && sstable build --extended --block-size 200 "$sound.mt" "$sound.sst"
    mkfifo "$work/fifo"
    truncate -s 1T "$work/sparse" || truncate -s 100G "$work/sparse"
    for file in "$work/fifo" /dev/zero "$work" "$work/sparse" "$work/not there" /dev/full /proc/self/mem; do
        for command in 'memtable get % a' 'memtable iter %' 'memtable size %' 'memtable put % a b' 'memtable del % a' 'memtable bulk % 1' \
            'sstable footer %' 'sstable get % a' 'sstable iter %' 'sstable size %' "sstable build % $work/made.sst" 'merge_iter %' \
            "merge_iter $sound.sst %"; do
            [[ $command != *bulk* || $file != *"not there" ]] || continue
            run limited "-v 1048576" timeout 20 ${command%%%*} "$file" ${command#*%}
            [[ $command == *footer* && $file == *sparse ]] || refused "${command/\%/$file}" "${command%% *}" "$file"
            [ ! -e "$work/made.sst" ] || fail "${command/\%/$file}: writes a table"
        done
    done
    # Truncate files anywhere, and overwrite three bytes anywhere.
    for file in "$sound.mt" "$sound.sst"; do
        size=$(stat -c %s "$file")
        for ((i = 0; i < size; i += $([ $short = no ] && echo 7 || echo 61))); do
            head -c $i "$file" >"$work/bad"
            damaged "cut at $i"
            { head -c $i "$file" && head -c 3 /dev/urandom && tail -c +$((i + 4)) "$file"; } >"$work/bad"
            damaged "noise at $i"
        done
    done
}
damaged() { # label
    local tool=merge_iter arguments=("$work/bad")
    [[ $file != *.mt ]] || { tool=memtable && arguments=(iter "$work/bad"); }
    run limited "-v 1048576" timeout 20 $tool "${arguments[@]}"
    ended_well "${file##*/} $1" $tool "$work/bad"
    [[ $1 != cut* || $status = 1 ]] || fail "${file##*/} $1: a truncated file is accepted"
}
