#!/usr/bin/env python3
"""Counts which branches of the headers that deal with an error were reached, and lists the others.

    scripts/error_branches.py TIER4.json ALL.json     both of `llvm-cov export`; scripts/coverage.sh makes them

A branch is a stretch of code that the compiler counts. It deals with an error if it makes one (`failure(...)`) or passes
one on (`return std::move(x).error()`, `if (!x) return x`, `if (done) ...` where it is not). It is on the error path of a
system call if what it passes on can be what a file_system has answered, or if it is in posix_file_system.hpp. The others
make an error for a reason of their own (bad bytes, a call that cannot be meant, no memory), pass on only such ones, or are
in the simulated disks. What is not compiled at all counts as not reached.

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

# Lines that pass on only what was not answered by a file_system, by file.
OF_ITS_OWN = {
    "db/compaction.hpp": r"!id\)",
    "db/db_core.hpp": r"!pinned\)|move\(left\)|health_\.closed\(\)",
    "db/maintenance.hpp": r"!id\)|chosen\.error|!sound\)|ENOMEM",
    "db/db.hpp": r"!pinned\)",
    "db/repair.hpp": r"ENOENT",
    "db/repair_order.hpp": r"!apart\)|!settled\)",
    "db/write_batch.hpp": r"",
    "db/write_queue.hpp": r"ENOMEM",
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
NO_ERRORS_OF_FILES = ("core/", "policy/")
LEFT_OUT = ("core/error.hpp", "core/result.hpp")  # where errors are defined


def without_comments_and_strings(text):
    return re.sub(r'//[^\n]*|"(?:\\.|[^"\\\n])*"', lambda found: " " * len(found[0]), text)


class Counts:
    """How often the code of a file ran, by place: (line, column)."""

    def __init__(self, file):
        self.segments = file["segments"] if file else []
        self.starts = [(s[0], s[1]) for s in self.segments]
        self.falses = {}  # of conditions: one for each template that was made of it
        for b in file["branches"] if file else []:
            self.falses[(b[0], b[1])] = self.falses.get((b[0], b[1]), 0) + b[5]

    def region(self, place):
        """Where the stretch of code begins that has the place, and how often it ran."""
        at = bisect.bisect_right(self.starts, place) - 1
        if at < 0 or not self.segments[at][3]:
            return place, 0
        return self.starts[at], self.segments[at][2]

    def was_false(self, place):
        return self.falses.get(place, 0)


def branches_of(name, source, runs):
    """[(line, whether on the error path of a system call, counts)] of a file."""
    text = without_comments_and_strings(source)
    begins = [0] + [m.end() for m in re.finditer("\n", text)]
    lines = source.splitlines()

    def place(offset):
        line = bisect.bisect_right(begins, offset)
        return line, offset - begins[line - 1] + 1

    def answered(line, made):
        own = OF_ITS_OWN.get(name)
        if name.startswith(NO_ERRORS_OF_FILES) or (own is not None and re.search(own, lines[line - 1])):
            return False
        return not made or name == "io/posix_file_system.hpp"

    found = {}
    for at in (place(m.start()) for m in MADE.finditer(text)):
        system = "system_failure" in lines[at[0] - 1]
        found.setdefault(runs[-1].region(at)[0], (at[0], answered(at[0], not system), [r.region(at)[1] for r in runs]))
    for m in PASSED_ON.finditer(text):
        at = place(m.start(m.lastgroup))
        found.setdefault(runs[-1].region(at)[0], (at[0], answered(at[0], False), [r.region(at)[1] for r in runs]))
    for m in CHAINED.finditer(text):
        at = place(m.start(1))
        found[at] = (at[0], answered(at[0], False), [r.was_false(at) for r in runs])
    return sorted(found.values())


def main():
    root = pathlib.Path(__file__).resolve().parent.parent / "include" / "lsm"
    exports = [{f["filename"]: f for f in json.load(open(path))["data"][0]["files"]} for path in sys.argv[1:3]]
    total = [0] * 5
    by_others, by_none, own = [], [], []
    head = ("error branches", "of system calls", "tier 4", "all tests", "others", "all tests")
    print("{:32} {:>15} {:>8} {:>10} {:>8} {:>10}".format(*head))
    for path in sorted(root.rglob("*.hpp")):
        name, source = str(path.relative_to(root)), path.read_text()
        row = [0] * 5
        runs = [Counts(e.get(str(path))) for e in exports]
        for line, system, counts in [] if name in LEFT_OUT else branches_of(name, source, runs):
            said = f"  include/lsm/{name}:{line}: {source.splitlines()[line - 1].strip()}"
            if system:
                row = [row[0] + 1, row[1] + (counts[0] != 0), row[2] + (counts[1] != 0), row[3], row[4]]
                if counts[0] == 0:
                    (by_others if counts[1] else by_none).append(said)
            else:
                row = row[:3] + [row[3] + 1, row[4] + (counts[1] != 0)]
                if counts[1] == 0:
                    own.append(said)
        if any(row):
            print(f"{name:32} {row[0]:15} {row[1]:8} {row[2]:10} {row[3]:8} {row[4]:10}")
        total = [a + b for a, b in zip(total, row)]
    print(f"{'all':32} {total[0]:15} {total[1]:8} {total[2]:10} {total[3]:8} {total[4]:10}")
    for title, which in (
        ("Of system calls, reached by other tests than tier 4:", by_others),
        ("Of system calls, reached by no test:", by_none),
        ("Others, reached by no test:", own),
    ):
        print(f"\n{title}", *(which or ["  none"]), sep="\n")
    sys.exit(1 if by_none else 0)


main()
