# What the attacks share: running a tool, judging how it ended, and the contents that a database must have. Sourced by
# scripts/attack.sh.

work=$(mktemp -d -p "$([ -w /dev/shm ] && echo /dev/shm || echo "${TMPDIR:-/tmp}")" lsm-attack-XXXXXX)
chmod 755 "$work" # attack_permissions runs tools as another user
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

run() { # command...: sets status; the output is in $out and $err
    runs=$((runs + 1))
    # The outer redirection discards the shell's own message when the command is killed.
    { "$@" >"$out" 2>"$err"; } 2>/dev/null
    status=$?
}

# Requires that the last run either succeeded and printed no error, or ended with status 1 and one line that names the
# tool and the cause: the file, a standard stream, or memory.
ended_well() { # label tool file
    local lines
    mapfile -t lines <"$err"
    if [ $status = 0 ]; then
        [ ${#lines[@]} = 0 ] && return
        fail "$1: status 0, but prints an error: ${lines[0]}"
    elif [ $status = 1 ]; then
        [[ ${#lines[@]} == 1 && ${lines[0]} == "$2: "* && (${lines[0]} == *"$3"* || ${lines[0]} == *"standard "*put* || ${lines[0]} == *'out of memory') ]] &&
            return
        fail "$1: status 1 with a wrong error message: ${lines[*]}"
    else
        fail "$1: status $status: ${lines[*]:-no error message}"
    fi
    return 1
}
refused() { # label tool file: ended_well with status 1
    ended_well "$@" || return
    [ $status = 1 ] || fail "$1: is not refused"
}

# --- the model of a database: the merge stream (docs/formats.md, section 4) of its live keys, in hex -----------------------

little_endian() { # number: sets hex to its 4 bytes
    printf -v hex '%08x' "$1"
    hex=${hex:6:2}${hex:4:2}${hex:2:2}${hex:0:2}
}
in_hex() { # text: sets hex
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

declare -A model # by key: the stream of that key alone
put() { stream_of "$1" "$2" && model[$1]=$hex; }
snapshot_model() { # sets state to the stream of the whole model, keys in the order of sorted_keys
    local key
    state=
    for key in "${sorted_keys[@]}"; do state+=${model[$key]:-}; done
}
stream_of z 9 && written_on=$hex # what is_sound writes; z is greater than every other key

# Sets the states that a script for dbctl leads through, from the model before the script: states[i] is the stream when i
# groups of changes are durable. The script's j-th answer acknowledges the first acknowledging[j] groups.
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

dump() { # directory command...: sets dumped to the output of dbctl in hex; fails if dbctl fails
    runs=$((runs + 1))
    dumped=$(printf '%s\n' "${@:2}" | timeout 60 dbctl --dir "$1" 2>"$err" | od -An -v -tx1 | tr -d ' \n')
}

# Requires that a database is in one of the states first to last, and can be written to and opened again.
is_sound() { # label directory first last
    local i
    if ! dump "$2" DUMP 'PUT z 9' FLUSH DUMP; then
        fail "$1: the database does not open: $(<"$err")"
        return 1
    fi
    for ((i = $3; i <= $4 && i < ${#states[@]}; ++i)); do
        [ "$dumped" = "${states[i]}${states[i]}$written_on" ] || continue
        if ! dump "$2" DUMP || [ "$dumped" != "${states[i]}$written_on" ]; then
            fail "$1: the contents differ after the database is opened again"
            return 1
        fi
        has_only "$1" "$2"
        return
    done
    fail "$1: the contents are none of the states $3 to $4"
    return 1
}
has_only() { # label directory: requires that it holds no files but those of a database
    local path
    for path in "$2"/* "$2"/.[!.]*; do
        case ${path##*/} in
        LOCK | MANIFEST | wal.log | sst-*.sst | '.[!.]*') ;;
        *)
            fail "$1: an orphan is left: ${path##*/}"
            return 1
            ;;
        esac
    done
}
