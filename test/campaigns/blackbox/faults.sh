# Makes every system call of the tools fail in every way, or kills the tool at it. Sourced by scripts/attack.sh.

calls=(open read write pread pwrite fsync fdatasync close rename link unlink ftruncate mkdir fdopendir readdir fstat stat lstat
    flock posix_fallocate sync_file_range mmap madvise readlink chmod lchown poll)
# name:errno[:yes if all later calls fail too]; see fault.c. There is no lasting EINTR: a call that is always interrupted
# is repeated for ever.
faults=(EIO:5 KILL:0 EIO+:5:yes ENOSPC:28 ENOSPC+:28:yes EMFILE:24 EINTR:4 short:-1)
[ $short = no ] || faults=(EIO:5 KILL:0)
step=1 # from the third k on
[ $short = no ] || step=5

attack_calls() {
    cc -shared -fPIC -O1 -o "$work/fault.so" test/campaigns/blackbox/fault.c -ldl || exit 1
    printf '%-28s %-16s %5s %6s %9s %9s %7s %9s\n' attack call k runs reported harmless killed failures
    attack_databases
    attack_files
}

# Runs a command once for each of its system calls and each fault. `prepare` makes a fresh scene; `act` runs the command,
# prefixed with the words of the array `with`, which inject the fault; `check` judges the outcome.
attack() { # name prepare act check: the last three are functions
    local call fault name errno lasts k most before tried reported harmless killed
    for call in "${calls[@]}"; do
        tried=0 most=0 reported=0 harmless=0 killed=0 before=$failures
        for fault in "${faults[@]}"; do
            IFS=: read -r name errno lasts <<<"$fault"
            [[ $name != short || $call == *read || $call == *write ]] || continue
            for ((k = 1; ; k += k < 3 ? 1 : step)); do
                rm -f "$work/hit"
                $2
                with=(env LD_PRELOAD="$work/fault.so" FAULT_CALL="$call" FAULT_AT=$k FAULT_ERROR="$errno" FAULT_LOG="$work/hit"
                    ${lasts:+FAULT_LASTS=yes})
                $3
                [ -e "$work/hit" ] || break
                tried=$((tried + 1))
                [ $k -le $most ] || most=$k
                case $status in
                0) harmless=$((harmless + 1)) ;;
                1) reported=$((reported + 1)) ;;
                137) killed=$((killed + 1)) ;;
                esac
                $4 "$1, $name at $call $k"
            done
            [ $most != 0 ] || break
        done
        [ $most = 0 ] || printf '%-28s %-16s %5d %6d %9d %9d %7d %9d\n' "$1" "$call" $most $tried $reported $harmless $killed \
            $((failures - before))
    done
}

declare -A words=([EIO]='Input/output error' [EIO+]='Input/output error' [ENOSPC]='No space left' [ENOSPC+]='No space left'
    [EMFILE]='Too many open files' [EINTR]='Interrupted system call')

# Requires that a run with a fault was killed if it had to be, and otherwise ended well and reported the fault.
met_fault() { # label tool file
    if [ "$name" = KILL ]; then
        [ $status = 137 ] || fail "$1: status $status instead of an end by SIGKILL"
    else
        ended_well "$@" || return
        # An EIO of these calls is never harmless. Only the writer may succeed: its background work is retried.
        [[ $status != 0 || $name != EIO* || $2 == writer || ! $call =~ ^(p?(read|write)(64)?|fsync|fdatasync|rename)$ ]] ||
            fail "$1: the failure is not reported"
        [ $status = 0 ] || [ -z "${words[$name]:-}" ] || grep -q "${words[$name]}" "$err" ||
            fail "$1: the error does not name the cause: $(<"$err")"
    fi
}

# --- databases -------------------------------------------------------------------------------------------------------------

attack_databases() {
    local scene=$work/scene
    sorted_keys=(a b c d e f)
    printf '%s\n' 'PUT a 1' 'PUT b 2' 'GET a' FLUSH 'DEL a' 'PUT c 3' 'GET c' FLUSH 'PUT b 22' 'PUT d 4' 'GET d' COMPACT \
        'PUT e 5' 'DEL b' 'GET e' 'PUT f 6' >"$work/script"
    printf '%s\n' 'GET e' DUMP DUMP_WITH_TOMBS >"$work/reading"
    printf '%s\n' 'PUT a old' 'PUT e old' FLUSH 'PUT f old' 'DEL e' FLUSH 'PUT c old' 'GET c' >"$work/before"

    model=()
    target=$scene/deep/db
    begin_new() { rm -rf "$scene" && mkdir "$scene"; }
    run_script() { run "${with[@]}" dbctl --dir "$target" <"$work/script"; }
    # Making a directory syncs its parents, so an error may name a directory above the scene.
    check_script() {
        local answers
        met_fault "$1" dbctl "$work" || return
        mapfile -t answers <"$out"
        if [ $status = 0 ]; then
            is_sound "$1" "$target" $((${#states[@]} - 1)) $((${#states[@]} - 1)) && cmp -s "$out" "$work/answers" ||
                fail "$1: status 0, but not every command was applied"
        else
            # Everything that an answer acknowledged is durable; of the rest at most one group of changes is.
            local known=${acknowledging[${#answers[@]}]}
            is_sound "$1" "$target" $known $((known + 1))
        fi
    }
    expect_answers() {
        begin_$1
        with=()
        run_script
        [ $status = 0 ] || fail "$1: fails without a fault: $(<"$err")"
        cp "$out" "$work/answers"
    }
    plan "$work/script"
    expect_answers new
    attack "dbctl, a new directory" begin_new run_script check_script

    # Two tables and a log.
    target=$scene/db
    mkdir "$work/prepared"
    dbctl --dir "$work/prepared/db" <"$work/before" >/dev/null
    begin_old() { rm -rf "$scene" && cp -r "$work/prepared" "$scene"; }
    model=() && plan "$work/before" && plan "$work/script"
    expect_answers old
    attack "dbctl, a database" begin_old run_script check_script
    attack_traced

    # What a crash leaves: a frozen log that was not flushed, a table that MANIFEST does not list, and temporary files.
    begin_crashed() {
        begin_old
        mv "$target/wal.log" "$target/wal-000001.log"
        cp "$target/sst-000001.sst" "$target/sst-000099.sst"
        : >"$target/sst-000100.sst.tmp" >"$target/MANIFEST.tmp" >"$target/wal.log.tmp"
    }
    expect_answers crashed
    attack "dbctl, after a crash" begin_crashed run_script check_script

    run_reading() { run "${with[@]}" dbctl --dir "$target" <"$work/reading"; }
    check_reading() {
        met_fault "$1" dbctl "$scene" && is_part "$1" && is_sound "$1" "$target" 0 0
    }
    begin_old && with=() && run_reading && cp "$out" "$work/whole"
    attack "dbctl, reading" begin_old run_reading check_reading

    # A program that uses the library (writer.cpp): background threads, a preallocated and mapped log, mapped tables.
    sorted_keys=(k0 k1 k2 k3 k4 k5 k6)
    local writes=40 letters i x
    printf -v letters '%0200d' 0 && letters=${letters//0/x}
    model=() && snapshot_model && states=("$state")
    for ((i = 1; i <= writes; ++i)); do
        put k$((i % 7)) $i$letters
        snapshot_model && states+=("$state")
    done
    run_writer() { run "${with[@]}" writer "$target" $writes 200 3; }
    check_writer() {
        local known
        met_fault "$1" writer "$work" || return
        known=$(grep -c ^ok "$out")
        [ $status != 0 ] || [ "$known" = $writes ] || fail "$1: status 0, but only $known acknowledged writes"
        is_sound "$1" "$target" "$known" $((known + 1))
    }
    begin_new
    attack "a program" begin_new run_writer check_writer
}

# Requires that the output is a prefix of the expected output, and all of it if the status is 0.
is_part() { # label
    cmp -s -n "$(stat -c %s "$out")" "$out" "$work/whole" && { [ $status != 0 ] || cmp -s "$out" "$work/whole"; } && return
    fail "$1: the output is wrong"
}

# Attacks the same script through strace, if it is installed and allowed to trace: a cross-check of the preloaded
# library. Here the loader's calls fail too; the loader then ends with status 127.
attack_traced() {
    strace -f -o /dev/null true 2>/dev/null || { skip "strace (not installed, or not allowed to trace)" && return; }
    local call name k tried killed reported harmless before
    for call in openat read pread64 write pwrite64 fsync fdatasync close rename unlink ftruncate mkdir getdents64 newfstatat fstat \
        flock; do
        tried=0 reported=0 harmless=0 killed=0 before=$failures
        for name in error=EIO signal=KILL; do
            for ((k = 1; ; k += k < 3 ? 1 : step)); do
                begin_old
                runs=$((runs + 1))
                { strace -f -o "$work/trace" -e trace=$call -e inject=$call:$name:when=$k dbctl --dir "$target" <"$work/script" \
                    >"$out" 2>"$err"; } 2>/dev/null
                status=$?
                # strace does not log the injection into a call that a kill prevents from returning.
                grep -q -e INJECTED -e 'killed by SIGKILL' "$work/trace" || break
                tried=$((tried + 1))
                case $status in
                0) harmless=$((harmless + 1)) ;;
                1 | 127) reported=$((reported + 1)) ;;
                137) killed=$((killed + 1)) ;;
                esac
                if [ $status = 127 ] && grep -q 'error while loading' "$err"; then continue; fi
                if [ $call = write ] && [ ! -s "$err" ] && [ $status = 1 ]; then continue; fi # the write that failed was that of the error
                name=${name/signal=/} check_script "strace, $name at $call $k"
            done
        done
        [ $tried = 0 ] || printf '%-28s %-16s %5s %6d %9d %9d %7d %9d\n' "strace: dbctl, a database" $call - $tried $reported \
            $harmless $killed $((failures - before))
    done
}

# --- files -----------------------------------------------------------------------------------------------------------------

attack_files() {
    local scene=$work/scene files=$work/files tool
    mkdir "$files"
    memtable bulk "$files/in.mt" 300 && memtable del "$files/in.mt" key7
    sstable build "$files/in.mt" "$files/in.sst"
    sstable build --extended "$files/in.mt" "$files/newer.sst"
    cp "$files/in.mt" "$files/out"
    begin_files() { rm -rf "$scene" && cp -r "$files" "$scene"; }
    run_command() { run "${with[@]}" "${command[@]}"; }

    # A file must be replaced whole or unchanged, and replaced if the status is 0. A failure must leave no temporary
    # file, and the command must succeed afterwards.
    check_change() {
        met_fault "$1" "$tool" "$scene" || return
        if ! cmp -s "$scene/out" "$work/whole" && { [ $status = 0 ] || ! cmp -s "$scene/out" "$files/out"; }; then
            fail "$1: the file is neither unchanged nor replaced whole, or not replaced although the status is 0"
        fi
        local left=("$scene"/.lsm-*)
        [ $status = 137 ] || [ ! -e "${left[0]}" ] || fail "$1: a temporary file is left: ${left[0]##*/}"
        with=() && run_command
        [ $status = 0 ] || fail "$1: the command fails when it is repeated: $(<"$err")"
        # All these commands are idempotent: a second run makes the same file.
        cmp -s "$scene/out" "$work/whole" || fail "$1: the repeated command makes another file"
    }
    check_read() {
        met_fault "$1" "$tool" "$scene" && is_part "$1"
    }
    local line
    while read -ra line; do
        tool=${line[1]}
        command=("$tool" "${line[@]:2}")
        begin_files && with=() && run_command
        [ $status = 0 ] || fail "${command[*]}: fails without a fault: $(<"$err")"
        local label=${line[2]}
        [[ $label != */* ]] || label=
        if [ "${line[0]}" = changes ]; then cp "$scene/out" "$work/whole"; else cp "$out" "$work/whole"; fi
        attack "${line[1]}${label:+ $label}" begin_files run_command "check_${line[0]%s}"
    done < <(
        printf 'changes memtable %s\n' "new $scene/out" "put $scene/out key value" "del $scene/out key1" "bulk $scene/out 400"
        printf 'changes sstable build %s %s\n' "$scene/in.mt" "$scene/out"
        printf 'reads memtable %s\n' "get $scene/in.mt key3" "iter $scene/in.mt" "size $scene/in.mt"
        printf 'reads sstable %s\n' "footer $scene/in.sst" "get $scene/in.sst key3" "iter $scene/newer.sst" "size $scene/in.sst"
        printf 'reads merge_iter %s\n' "$scene/newer.sst $scene/in.sst"
    )
}
