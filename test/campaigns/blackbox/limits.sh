# Resources run out (file size, descriptors, memory, disk space), permissions are missing, and other processes hold the
# lock. Sourced by scripts/attack.sh.

attack_limits() {
    sorted_keys=(a b c d e f)
    printf '%s\n' 'PUT a 1' 'PUT b 2' 'GET a' FLUSH 'DEL a' "PUT c $(repeated 3000 c)" 'GET c' FLUSH 'PUT b 22' \
        "PUT d $(repeated 9000 d)" 'GET d' COMPACT 'PUT e 5' 'DEL b' 'GET e' >"$work/limited"
    model=() && plan "$work/limited"
    attack_resources
    attack_full_disk
    attack_permissions
    attack_openers
    attack_sizes
}

repeated() { head -c "$1" /dev/zero | tr '\0' "$2"; } # count letter

# Runs the script through dbctl, and the program writer, within a limit. However they end, the database must be sound.
within() { # limit... (arguments of ulimit)
    local answers known db=$work/limited.db
    rm -rf "$db"
    run limited "$*" dbctl --dir "$db" <"$work/limited"
    ended_well "dbctl within ulimit $*" dbctl "$db" || return
    mapfile -t answers <"$out"
    known=${acknowledging[${#answers[@]}]}
    if [ $status = 0 ]; then known=$((${#states[@]} - 1)); fi
    is_sound "dbctl within ulimit $*" "$db" "$known" $((known + 1))
    outcomes[$status]=$((${outcomes[$status]:-0} + 1))

    rm -rf "$db"
    run limited "$*" timeout 60 writer "$db" 40 200 0
    [ $status != 1 ] || ended_well "writer within ulimit $*" writer "$db"
    [[ $status == [01] ]] || fail "writer within ulimit $*: status $status: $(<"$err")"
    known=$(grep -c ^ok "$out")
    # The states planned are those of the script, not of writer. It is enough that its last acknowledged write is there.
    dump "$db" DUMP || fail "writer within ulimit $*: the database does not open: $(<"$err")"
    [ "$known" = 0 ] || { stream_of "k$((known % 7))" "$known" && [[ $dumped == *"${hex:8:4}00"*"${hex: -2 * ${#known}}78"* ]] ||
        fail "writer within ulimit $*: write $known was acknowledged and is lost"; }
}
limited() { # limit command...
    (ulimit $1 && exec "${@:2}")
}

# Finds the lowest limit under which a tool can start at all: with less, the loader fails.
least_to_run() { # option-of-ulimit step: sets least
    for ((least = $2; least < 1000 * $2; least += $2)); do
        limited "$1 $least" dbctl --version >/dev/null 2>&1 && break
    done
}

attack_resources() {
    local limit least
    declare -A outcomes=()
    # In units of 1 KiB. Not 0, because then the error message could not be written either.
    for limit in $([ $short = no ] && echo 1 2 3 4 8 12 16 24) 10 64; do within -f $limit; done
    printf 'file size: %d runs of the script refused, %d done\n' "${outcomes[1]:-0}" "${outcomes[0]:-0}"
    outcomes=()
    least_to_run -n 1
    for ((limit = least; limit <= least + 12; ++limit)); do within -n $limit; done
    printf 'descriptors: %d runs of the script refused, %d done\n' "${outcomes[1]:-0}" "${outcomes[0]:-0}"
    outcomes=()
    least_to_run -v 100
    for ((limit = least; limit < least + 6000; limit += $([ $short = no ] && echo 100 || echo 600))); do within -v $limit; done
    printf 'address space from %d KiB on: %d runs of the script refused, %d done\n' $least "${outcomes[1]:-0}" "${outcomes[0]:-0}"
    [ "${outcomes[1]:-0}" != 0 ] || fail "no limit of the address space was low enough to have an effect"
}

attack_full_disk() {
    local small=$work/small free answers known refusals=0 writing i
    mkdir "$small"
    mount -t tmpfs -o size=256k tmpfs "$small" 2>/dev/null || { skip "a full disk (mounting is not allowed)" && return; }
    for ((free = 0; free <= 128; free += $([ $short = no ] && echo 4 || echo 16))); do
        rm -rf "${small:?}"/*
        head -c $(((256 - free) * 1024)) /dev/zero >"$small/filler" 2>/dev/null
        run dbctl --dir "$small/db" <"$work/limited"
        ended_well "dbctl on a disk with $free KiB" dbctl "$small"
        mapfile -t answers <"$out"
        known=${acknowledging[${#answers[@]}]}
        [ $status = 1 ] && refusals=$((refusals + 1)) || known=$((${#states[@]} - 1))
        rm "$small/filler"
        is_sound "dbctl on a disk with $free KiB" "$small/db" "$known" $((known + 1))
        for tool in 'memtable bulk' 'sstable build'; do
            head -c $(((256 - free) * 1024)) /dev/zero >"$small/filler" 2>/dev/null
            [ "$tool" != "sstable build" ] || memtable bulk "$work/some.mt" 500
            run $tool $([ "$tool" = "sstable build" ] && echo "$work/some.mt" "$small/out" || echo "$small/out" 500)
            ended_well "$tool on a disk with $free KiB" "${tool% *}" "$small"
            [ $status = 0 ] || [ ! -e "$small/out" ] || fail "$tool on a disk with $free KiB: an incomplete file is left"
            [ -z "$(ls "$small"/.lsm-* 2>/dev/null)" ] || fail "$tool on a disk with $free KiB: a temporary file is left"
            rm -f "$small/filler" "$small/out"
        done
    done
    [ $refusals != 0 ] || fail "the disk was never full"

    # A database that is open while its disk is full can be written to when there is room again.
    rm -rf "${small:?}"/*
    head -c $((232 * 1024)) /dev/zero >"$small/filler"
    timeout 60 writer "$small/db" 400 600 5000 >"$out" 2>"$err" &
    writing=$!
    for ((i = 0; i < 300; ++i)); do
        grep -q '^full' "$out" && break
        sleep 0.1
    done
    grep -q '^full' "$out" || fail "writer: the disk was never full"
    rm "$small/filler"
    wait $writing || fail "writer: writes still fail when the disk has room again: $(<"$err")"
    runs=$((runs + 1))
    [ "$(grep -c ^ok "$out")" = 400 ] || fail "writer on a disk that was full: not all writes were acknowledged"
    dump "$small/db" 'GET k1' || fail "writer on a disk that was full: $(<"$err")"
    in_hex "value: 343030" && [[ $dumped == "$hex"* ]] || fail "writer on a disk that was full: k1 does not have its last value"
    printf 'full disk: %d runs of the script refused\n' $refusals
    umount "$small"
}

# Runs the tools as a user who may not read or write the files.
attack_permissions() {
    local scene=$work/forbidden as=() path
    if [ "$(id -u)" = 0 ]; then
        command -v setpriv >/dev/null || { skip "permissions (root without setpriv)" && return; }
        as=(setpriv --reuid=65534 --regid=65534 --clear-groups)
    fi
    mkdir "$scene"
    dbctl --dir "$scene/db" <"$work/limited" >/dev/null
    memtable bulk "$scene/file.mt" 10 && sstable build "$scene/file.mt" "$scene/file.sst"
    chmod 644 "$scene"/file.* "$scene"/db/*
    chmod 555 "$scene" "$scene/db"
    forbidden() { # tool arguments...
        local before
        before=$(digest "$scene")
        run "${as[@]}" "$@" < <(printf 'PUT x 1\n')
        refused "$* without permission" "$1" "$scene"
        [ "$(digest "$scene")" = "$before" ] || fail "$* without permission: the directory has changed"
    }
    forbidden dbctl --dir "$scene/db"
    forbidden dbctl --dir "$scene/new"
    forbidden dbctl --dir "$scene/new/deep"
    forbidden memtable new "$scene/new.mt"
    forbidden memtable put "$scene/file.mt" a b
    forbidden sstable build "$scene/file.mt" "$scene/file.sst"
    [ "$(id -u)" != 0 ] || chown -R 65534:65534 "$scene"
    chmod 755 "$scene" "$scene/db"
    for path in db/MANIFEST db/wal.log db/sst-*.sst db/LOCK file.mt file.sst db; do
        for path in "$scene"/$path; do
            [ -e "$path" ] || continue
            chmod 000 "$path"
            case $path in
            *.mt) forbidden memtable iter "$path" ;;
            */file.sst) forbidden sstable iter "$path" && forbidden merge_iter "$path" ;;
            *) forbidden dbctl --dir "$scene/db" ;;
            esac
            chmod 755 "$path"
        done
    done
}

digest() { # directory: prints a hash of its names and contents
    (cd "$1" && find . -printf '%p %y %l %s\n' | sort && find . -type f -size -1024k -readable -exec sha256sum {} + | sort) 2>/dev/null |
        sha256sum
}

attack_openers() {
    local db=$work/contested i holder pids=() won=0 before asked=
    # A second opener is refused while the first holds the lock.
    mkfifo "$work/held"
    dbctl --dir "$db" <"$work/held" >"$work/held.out" &
    holder=$!
    exec 9>"$work/held"
    printf 'PUT a 1\nGET a\n' >&9
    until [ -s "$work/held.out" ]; do sleep 0.01; done
    before=$(digest "$db")
    run timeout 10 dbctl --dir "$db" < <(printf 'PUT a 2\n')
    refused "a second opener" dbctl "$db"
    [ "$(digest "$db")" = "$before" ] || fail "a second opener: the directory has changed"
    printf 'PUT b 2\n' >&9
    exec 9>&-
    wait $holder || fail "the first of two openers: status $?"
    printf 'GET a\nGET b\n' | dbctl --dir "$db" | cmp -s - <(printf 'value: 31\nvalue: 32\n') ||
        fail "the first of two openers: a write is lost"

    # Of many openers at once, each gets the lock or is refused.
    rm -rf "$db"
    for ((i = 0; i < 40; ++i)); do
        printf 'PUT key%d 1\nFLUSH\n' $i | dbctl --dir "$db" 2>"$work/opener.$i" &
        pids+=($!)
    done
    for ((i = 0; i < 40; ++i)); do
        runs=$((runs + 1))
        if wait "${pids[i]}"; then
            won=$((won + 1))
            asked+="GET key$i"$'\n'
        else
            grep -q '^dbctl: .*LOCK: locked' "$work/opener.$i" || fail "opener $i: $(<"$work/opener.$i")"
        fi
    done
    [ "$(dbctl --dir "$db" <<<"$asked" | grep -c '^value: 31$')" = $won ] || fail "many openers: a write is lost"
    [ $won != 0 ] || fail "many openers: none got the lock"
    printf 'openers: %d of 40 at once got the lock\n' $won
}

attack_sizes() {
    local key value file=$work/sizes.mt bytes sizes=(1 65535 65536 100000000)
    key=$(repeated 65536 K)
    memtable new "$file"
    for key in "" "$key"; do
        run memtable put "$file" "$key" "value of ${#key}"
        ended_well "memtable put of a key of ${#key} bytes" memtable "$file"
        sstable build "$file" "$file.sst"
        run sstable get "$file.sst" "$key"
        in_hex "value of ${#key}"
        [ "$(<"$out")" = "value: $hex" ] || fail "sstable get of a key of ${#key} bytes: $(head -c 100 "$out" "$err")"
        [ -z "$key" ] && continue
        printf 'PUT %s v\nFLUSH\nGET %s\n' "$key" "$key" >"$work/sizes.in"
        run dbctl --dir "$work/sizes.db" <"$work/sizes.in"
        [ "$(<"$out")" = "value: 76" ] || fail "dbctl with a key of ${#key} bytes: $(head -c 100 "$out" "$err")"
    done
    [ $huge = no ] || sizes+=($((1 << 30)))
    for bytes in "${sizes[@]}"; do
        little_endian "$bytes"
        key=$(sed 's/../\\x&/g' <<<"$hex")
        for value in FLUSH '#'; do # once in a table, once in the log
            [[ $value == FLUSH || $short == no || $bytes -lt 100000 ]] || continue
            rm -rf "$disk/db"
            { printf 'PUT before 1\nPUT k ' && repeated "$bytes" v && printf '\nPUT after 1\n%s\nGET before\n' $value; } >"$disk/in"
            run timeout 300 dbctl --dir "$disk/db" <"$disk/in"
            [ $status = 0 ] || fail "a value of $bytes bytes: $(head -c 200 "$err")"
            { printf '\5\0\0\0after\0\1\0\0\0001\6\0\0\0before\0\1\0\0\0001\1\0\0\0k\0' && printf "$key" &&
                repeated "$bytes" v; } >"$disk/in"
            dbctl --dir "$disk/db" <<<DUMP 2>&1 | cmp -s - "$disk/in" || fail "a value of $bytes bytes ($value) comes back changed"
        done
    done
    rm -rf "$disk"/*
}
