#!/usr/bin/env python3
"""Counts which error branches of the headers were reached, and lists the others.

    scripts/error_branches.py TIER4.json ALL.json     outputs of `llvm-cov export`, which scripts/coverage.sh makes

A branch is a region of code that the compiler counts. It is an error branch if it makes an error (`failure(...)`) or
passes one on (`return std::move(x).error()`, `if (!x) return x`, `if (done) ...` when it is skipped). It is on the
error path of a system call if the error that it passes on can come from a file_system, or if it is in
posix_file_system.hpp. The other error branches make an error for another reason (malformed bytes, an invalid call, no
memory), pass on only such errors, or are in the simulated disks. Code that is not compiled counts as not reached.

The status is 1 if a branch on the error path of a system call is not reached.
"""

import bisect
import json
import pathlib
import re
import sys

MADE = re.compile(
    r"\b(?:(?:system_)?failure|failure_at|corrupt|no_id_left)\("
    r"(?!errc code|std::(?:string_view|uint64_t)|unsigned|\)(?: const)?(?: noexcept)? \{)"  # where they are defined
)
PASSED_ON = re.compile(
    r"(?:\bstd::move\([\w.*>-]+\)|\w)(?P<here>\.error\(\))(?!\.(?:code|sys|what))"
    r"|!(\w+)\)\s*(?:\{\s*)?(?P<same>return) \2;"
    r"|!done\)\s*(?P<then>\S)"
    r"|(?P<kept>return \*\w*(?:failure|trouble)\w*;)"
)
CHAINED = re.compile(r"if \((done)\) done =")

# Lines that pass on only errors that no file_system returned, by file.
NOT_FROM_FILE_SYSTEM = {
    "db/admin/repair_order.hpp": r"!disjoint\)|!decided\)",
    "db/admin/repairer.hpp": r"ENOENT",
    "db/compaction/compaction.hpp": r"!id\)",
    "db/compaction/compactor.hpp": r"!id\)",
    "db/db.hpp": r"!pinned\)",
    "db/read/read_path.hpp": r"!pinned\)|!own\)",
    "db/recovery/recovery.hpp": r"move\(left\)",
    "db/write_batch.hpp": r"",
    "io/memory_file_system.hpp": r"",
    "io/posix_file_system.hpp": r"(?:source|target)\.failure|problem_|errc::",
    "io/power_loss.hpp": r"",
    "io/simulated_file_system.hpp": r"",
    "sstable/block.hpp": r"",
    "sstable/index.hpp": r"",
    "sstable/reader.hpp": r"!good\)",
    "sstable/table.hpp": r"!(?:index|view|found|block)\)|big_enough",
    "wal/writer.hpp": r"!checked\)",
}
FOLDERS_WITHOUT_FILES = ("core/", "policy/")
LEFT_OUT = ("core/error.hpp", "core/result.hpp")  # where errors are defined


def without_comments_and_strings(text):
    return re.sub(r'//[^\n]*|"(?:\\.|[^"\\\n])*"', lambda found: " " * len(found[0]), text)


class Counts:
    """How often each place of a file ran. A place is (line, column)."""

    def __init__(self, file):
        self.segments = file["segments"] if file else []
        self.starts = [(s[0], s[1]) for s in self.segments]
        self.falses = {}  # by condition, summed over the instantiations of a template
        for b in file["branches"] if file else []:
            self.falses[(b[0], b[1])] = self.falses.get((b[0], b[1]), 0) + b[5]

    def region(self, place):
        """Returns where the region that contains the place begins, and how often it ran."""
        at = bisect.bisect_right(self.starts, place) - 1
        if at < 0 or not self.segments[at][3]:
            return place, 0
        return self.starts[at], self.segments[at][2]

    def was_false(self, place):
        return self.falses.get(place, 0)


def branches_of(name, source, runs):
    """Returns [(line, whether on the error path of a system call, count for each run)] for a file."""
    text = without_comments_and_strings(source)
    begins = [0] + [m.end() for m in re.finditer("\n", text)]
    lines = source.splitlines()

    def place(offset):
        line = bisect.bisect_right(begins, offset)
        return line, offset - begins[line - 1] + 1

    def from_system_call(line, made):
        other = NOT_FROM_FILE_SYSTEM.get(name)
        if name.startswith(FOLDERS_WITHOUT_FILES) or (other is not None and re.search(other, lines[line - 1])):
            return False
        return not made or name == "io/posix_file_system.hpp"

    found = {}

    def add(at, made):
        branch = (at[0], from_system_call(at[0], made), [r.region(at)[1] for r in runs])
        found.setdefault(runs[-1].region(at)[0], branch)

    for at in (place(m.start()) for m in MADE.finditer(text)):
        add(at, "system_failure" not in lines[at[0] - 1])
    for m in PASSED_ON.finditer(text):
        add(place(m.start(m.lastgroup)), False)
    for m in CHAINED.finditer(text):
        at = place(m.start(1))
        found[at] = (at[0], from_system_call(at[0], False), [r.was_false(at) for r in runs])
    return sorted(found.values())


def main():
    root = pathlib.Path(__file__).resolve().parent.parent / "include" / "lsm"
    exports = [{f["filename"]: f for f in json.load(open(path))["data"][0]["files"]} for path in sys.argv[1:3]]
    total = [0] * 5
    by_others, by_none, other = [], [], []
    head = ("error branches", "of system calls", "tier 4", "all tests", "others", "all tests")
    print("{:32} {:>15} {:>8} {:>10} {:>8} {:>10}".format(*head))
    for path in sorted(root.rglob("*.hpp")):
        name, source = str(path.relative_to(root)), path.read_text()
        row = [0] * 5
        runs = [Counts(e.get(str(path))) for e in exports]
        for line, system, counts in [] if name in LEFT_OUT else branches_of(name, source, runs):
            shown = f"  include/lsm/{name}:{line}: {source.splitlines()[line - 1].strip()}"
            if system:
                row = [row[0] + 1, row[1] + (counts[0] != 0), row[2] + (counts[1] != 0), row[3], row[4]]
                if counts[0] == 0:
                    (by_others if counts[1] else by_none).append(shown)
            else:
                row = row[:3] + [row[3] + 1, row[4] + (counts[1] != 0)]
                if counts[1] == 0:
                    other.append(shown)
        if any(row):
            print(f"{name:32} {row[0]:15} {row[1]:8} {row[2]:10} {row[3]:8} {row[4]:10}")
        total = [a + b for a, b in zip(total, row)]
    print(f"{'all':32} {total[0]:15} {total[1]:8} {total[2]:10} {total[3]:8} {total[4]:10}")
    for title, branches in (
        ("Of system calls, reached by tests outside tier 4 only:", by_others),
        ("Of system calls, reached by no test:", by_none),
        ("Others, reached by no test:", other),
    ):
        print(f"\n{title}", *(branches or ["  none"]), sep="\n")
    sys.exit(1 if by_none else 0)


main()
