# What the attacks share. Sourced by scripts/attack.sh.

work=$(mktemp -d -p "$([ -w /dev/shm ] && echo /dev/shm || echo "${TMPDIR:-/tmp}")" lsm-attack-XXXXXX)
chmod 755 "$work" # for another user
disk=$(mktemp -d -p "${TMPDIR:-/var/tmp}" lsm-attack-XXXXXX)
trap 'umount "$work/small" 2>/dev/null; rm -rf "$work" "$disk"' EXIT
mkdir "$work/bin"
cp "$build"/bin/{memtable,sstable,merge_iter,dbctl} "$build/test/writer" "$work/bin"
PATH=$work/bin:$PATH
out=$work/out
err=$work/err

runs=0
failures=0
skipped=0
fail() {
    printf 'FAILED  %s\n' "$*"
    failures=$((failures + 1))
}
skip() {
    printf '!!! SKIPPED: %s\n' "$*"
    skipped=$((skipped + 1))
}

run() { # command...: sets status; leaves $out and $err. No message of the shell's when it is killed.
    runs=$((runs + 1))
    { "$@" >"$out" 2>"$err"; } 2>/dev/null
    status=$?
}

# Whether a run ended as one may that met a failure: done in silence, or with status 1 and one line that names the tool and
# the file, or a stream, or memory.
ended_well() { # what tool file
    local lines
    mapfile -t lines <"$err"
    if [ $status = 0 ]; then
        [ ${#lines[@]} = 0 ] && return
        fail "$1: status 0, but says: ${lines[0]}"
    elif [ $status = 1 ]; then
        [[ ${#lines[@]} == 1 && ${lines[0]} == "$2: "* && (${lines[0]} == *"$3"* || ${lines[0]} == *"standard "*put* || ${lines[0]} == *'out of memory') ]] &&
            return
        fail "$1: status 1, and says: ${lines[*]}"
    else
        fail "$1: status $status, and says: ${lines[*]:-nothing}"
    fi
    return 1
}
refused() { # what tool file
    ended_well "$@" || return
    [ $status = 1 ] || fail "$1: is not refused"
}

# --- the model of a database: the merge stream (docs/formats.md, section 4) of its live keys, in hex -----------------------

little_endian() { # number: in hex, sets hex
    printf -v hex '%08x' "$1"
    hex=${hex:6:2}${hex:4:2}${hex:2:2}${hex:0:2}
}
in_hex() { # text: sets hex; the text of many equal letters at its end costs little
    local i byte text=$1
    hex=
    for ((i = 0; i < ${#text}; ++i)); do
        printf -v byte '%02x' "'${text:i:1}"
        hex+=$byte
    done
}
stream_of() { # key value: sets hex
    local key value length
    in_hex "$1" && key=$hex
    in_hex "$2" && value=$hex
    little_endian ${#1} && length=$hex
    little_endian ${#2} && hex=$length${key}00$hex$value
}

declare -A model # key: the stream of it alone
put() { stream_of "$1" "$2" && model[$1]=$hex; }
snapshot_model() { # sets state: all of the model, in order
    local key
    state=
    for key in "${sorted_keys[@]}"; do state+=${model[$key]:-}; done
}
stream_of z 9 && written_on=$hex # the last key there is

# The states that a script for dbctl leads through: states[i] when i groups of changes are durable; acknowledging[j] is how
# many are by its j-th answer. The model is as before the script.
plan() { # script
    local line words pending=no
    states=() acknowledging=(0)
    snapshot_model && states+=("$state")
    while read -ra words; do
        line=${words[0]:-}
        case $line in
        PUT) put "${words[1]}" "${words[2]}" && pending=yes && continue ;;
        DEL) unset "model[${words[1]}]" && pending=yes && continue ;;
        esac
        [ $pending = no ] || { snapshot_model && states+=("$state"); }
        pending=no
        [ "$line" != GET ] || acknowledging+=($((${#states[@]} - 1)))
    done <"$1"
    [ $pending = no ] || { snapshot_model && states+=("$state"); }
}

dump() { # directory commands: sets dumped to what dbctl writes, in hex; fails if it does
    runs=$((runs + 1))
    dumped=$(printf '%s\n' "${@:2}" | timeout 60 dbctl --dir "$1" 2>"$err" | od -An -v -tx1 | tr -d ' \n')
}

# Whether a database is in one of the states first to last, and can be written to and opened again.
is_sound() { # what directory first last
    local i
    if ! dump "$2" DUMP 'PUT z 9' FLUSH DUMP; then
        fail "$1: does not open any more: $(<"$err")"
        return 1
    fi
    for ((i = $3; i <= $4 && i < ${#states[@]}; ++i)); do
        [ "$dumped" = "${states[i]}${states[i]}$written_on" ] || continue
        if ! dump "$2" DUMP || [ "$dumped" != "${states[i]}$written_on" ]; then
            fail "$1: is not what it was when opened again"
            return 1
        fi
        has_only "$1" "$2"
        return
    done
    fail "$1: is in none of the states $3 to $4"
    return 1
}
has_only() { # what directory
    local path
    for path in "$2"/* "$2"/.[!.]*; do
        case ${path##*/} in
        LOCK | MANIFEST | wal.log | sst-*.sst | '.[!.]*') ;;
        *)
            fail "$1: leaves ${path##*/} behind"
            return 1
            ;;
        esac
    done
}
