#!/usr/bin/env python3
"""Draws the figures that scripts/bench.sh --csv FILE saved: the speed of lsm relative to each peer, as SVG or tables.

    scripts/chart.py FILE > chart.svg
    scripts/chart.py FILE --markdown

The same file gives the same bytes. The colours are readable on white and on black.
"""

import argparse
import csv
import math
import statistics
import sys

NAMES = {"leveldb": "LevelDB", "rocksdb": "RocksDB", "lmdb": "LMDB", "disk": "disk"}
COLOURS = {"leveldb": "#3b82d0", "rocksdb": "#d0702a", "lmdb": "#2a9d78"}
GREY = "#78818c"
TITLES = {"write": "Writes", "read": "Reads", "mixed": "Reads and writes"}
HEADS = {
    "write": "writes a second",
    "read": "reads a second",
    "mixed": "operations a second",
    "cost": "cost, less is better",
}


class Figures:
    """{row: {engine: [value of each round]}} with each row's group and unit, in the order of the file."""

    def __init__(self, lines):
        lines = [line.rstrip("\n") for line in lines]
        self.circumstances = [line[2:] for line in lines if line.startswith("# ")]
        self.rows, self.group, self.unit, self.engines = {}, {}, {}, []
        for line in csv.DictReader(line for line in lines if not line.startswith("#")):
            row, engine = line["row"], line["engine"]
            self.group[row], self.unit[row] = line["group"], line["unit"]
            self.rows.setdefault(row, {}).setdefault(engine, {})[int(line["round"])] = float(line["value"])
            if engine not in self.engines:
                self.engines.append(engine)
        if not self.rows:
            sys.exit("chart.py: the file has no figures")
        if "lsm" not in self.engines:
            sys.exit("chart.py: the file has no figures of lsm")

    def peers(self):
        return [engine for engine in self.engines if engine in COLOURS]

    def median(self, row, engine):
        rounds = self.rows[row].get(engine)
        return statistics.median(rounds.values()) if rounds else None

    def ratio(self, row, peer):
        ours, theirs = self.median(row, "lsm"), self.median(row, peer)
        return ours / theirs if ours and theirs else None

    def ratios_of_rounds(self, row, peer):
        """Returns a ratio for each round, whose runs were next to each other in time. Their spread is the noise."""
        ours, theirs = self.rows[row].get("lsm", {}), self.rows[row].get(peer, {})
        return [ours[r] / theirs[r] for r in ours if theirs.get(r)]

    def in_group(self, group):
        return [row for row in self.rows if self.group[row] == group]


def short(ratio):
    if ratio >= 9.95:
        return f"{ratio:.0f}"
    return f"{ratio:.1f}" if ratio >= 0.995 else f"{ratio:.2f}"


def short_number(number):
    if number >= 1e7:
        return f"{number / 1e6:.1f}M"
    if number >= 1e5:
        return f"{number / 1e3:.0f}k"
    if number >= 1e3:
        return f"{number / 1e3:.1f}k"
    return f"{number:.0f}" if number >= 99.5 else f"{number:.1f}"


# --- tables ---


def markdown(figures):
    engines = ["lsm"] + figures.peers()
    out = []
    for group, head in HEADS.items():
        rows = figures.in_group(group)
        if not rows:
            continue
        titles = [head, "lsm"] + [NAMES[p] for p in figures.peers()] + [f"lsm / {NAMES[p]}" for p in figures.peers()]
        out += ["| " + " | ".join(titles) + " |", "|---" + "|---:" * (len(titles) - 1) + "|"]
        for row in rows:
            unit = "" if figures.unit[row] in ("", "/s") else ", " + figures.unit[row]
            medians = [figures.median(row, engine) for engine in engines]
            ratios = [figures.ratio(row, peer) for peer in figures.peers()]
            cells = [short_number(m) if m is not None else "" for m in medians]
            cells += [short(r) if r is not None else "" for r in ratios]
            out.append("| " + " | ".join([row + unit] + cells) + " |")
        out.append("")
    return "\n".join(out)


# --- the chart ---

WIDTH = 860
LEFT = 222  # where the axis begins; the labels of the shortest bars are left of it
RIGHT = WIDTH - 44
BAR = 9
ROW_GAP = 10


class Axis:
    """A logarithmic scale of ratios. It ends at powers of two, at most 2^WIDEST; ratios beyond its ends are cut off."""

    WIDEST = 4

    def __init__(self, ratios):
        self.low = max(-self.WIDEST, min(-1, math.floor(math.log2(min(ratios)))))
        self.high = min(self.WIDEST, max(1, math.ceil(math.log2(max(ratios)))))
        self.unit = (RIGHT - LEFT) / (self.high - self.low)

    def x(self, ratio):
        power = min(max(math.log2(ratio), self.low), self.high)
        return round(LEFT + (power - self.low) * self.unit, 1)

    def holds(self, ratio):
        return self.low <= math.log2(ratio) <= self.high

    def marks(self):
        return range(self.low, self.high + 1)


def escape(text):
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def number(value):
    return f"{value:g}"


def svg(figures):
    peers = figures.peers()
    groups = [(g, figures.in_group(g)) for g in TITLES]
    shown = [(g, [r for r in rows if any(figures.ratio(r, p) for p in peers)]) for g, rows in groups]
    shown = [(g, rows) for g, rows in shown if rows]
    if not shown:
        sys.exit("chart.py: the file has no figures of a peer")
    axis = Axis([figures.ratio(r, p) for _, rows in shown for r in rows for p in peers if figures.ratio(r, p)])

    body, bars, noise = [], {p: [] for p in peers}, []

    def text(x, y, kind, words):
        kind = f' class="{kind}"' if kind else ""
        body.append(f'<text x="{number(x)}" y="{number(y)}"{kind}>{escape(words)}</text>')

    text(0, 18, "h", "Speed of lsm beside its peers")
    x = 0
    for peer in peers:
        body.append(f'<rect x="{x}" y="32" width="10" height="10" rx="2" fill="{COLOURS[peer]}"/>')
        text(x + 15, 41, "", "lsm / " + NAMES[peer])
        x += 40 + 7 * len("lsm / " + NAMES[peer])
    y = 52
    lanes = []
    for group, rows in shown:
        y += 26
        text(0, y, "g", TITLES[group])
        text(axis.x(1) - 6, y, "e", "\u2190 slower")
        text(axis.x(1) + 6, y, "", "faster \u2192")
        y += 10
        top = y
        for row in rows:
            drawn = [p for p in peers if figures.ratio(row, p)]
            height = BAR * len(drawn)
            text(LEFT - 36, y + height / 2 + 4, "e", row)
            for peer in drawn:
                ratio = figures.ratio(row, peer)
                one, end = axis.x(1), axis.x(ratio)
                bars[peer].append(f"M{number(one)} {number(y)}H{number(end)}v{BAR - 1}H{number(one)}z")
                rounds = figures.ratios_of_rounds(row, peer)
                least, most = axis.x(min(rounds)), axis.x(max(rounds))
                middle = y + (BAR - 1) / 2
                if most > least:
                    noise.append(f"M{number(least)} {number(middle)}H{number(most)}")
                left_mark, right_mark = ("", "") if axis.holds(ratio) else ("\u00ab ", " \u00bb")
                if ratio >= 1:
                    text(max(end, most) + 4, y + BAR - 1, "n", short(ratio) + right_mark)
                else:
                    text(min(end, least) - 4, y + BAR - 1, "n e", left_mark + short(ratio))
                y += BAR
            y += ROW_GAP
        lanes.append((top - 3, y - ROW_GAP + 3))
        for power in axis.marks():
            text(axis.x(2.0**power), y + 6, "n m", str(2**power) if power >= 0 else f"1/{2 ** -power}")
        y += 14
    y += 18
    legend = "Medians, on a logarithmic scale. A thin line goes from the least to the largest ratio of a round."
    for line in [legend] + figures.circumstances:
        for part in wrapped(line, 140):
            text(0, y, "n", part)
            y += 13
    grid = "".join(f"M{number(axis.x(2.0**p))} {number(a)}V{number(b)}" for a, b in lanes for p in axis.marks())
    one = "".join(f"M{number(axis.x(1))} {number(a)}V{number(b)}" for a, b in lanes)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH + 24}"',
            f' viewBox="-12 -6 {WIDTH + 24} {number(y + 6)}" role="img">',
            "<title>Speed of lsm beside its peers</title>",
            f"<style>text{{font:12px system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif;fill:{GREY}}}",
            ".h{font-size:17px;font-weight:600}.g{font-size:14px;font-weight:600}.n{font-size:9px}",
            ".e{text-anchor:end}.m{text-anchor:middle}</style>",
            f'<path d="{grid}" stroke="{GREY}" stroke-opacity=".22"/>',
            *(f'<path d="{"".join(bars[p])}" fill="{COLOURS[p]}"/>' for p in peers),
            f'<path d="{"".join(noise)}" stroke="{GREY}" stroke-width="1.5"/>',
            f'<path d="{one}" stroke="{GREY}" stroke-width="1.5"/>',
            *body,
            "</svg>",
            "",
        ]
    )


def wrapped(line, most):
    out = [""]
    for word in line.split():
        if len(out[-1]) + len(word) >= most:
            out.append("")
        out[-1] += (" " if out[-1] else "") + word
    return out


def main():
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("file")
    flags.add_argument("--markdown", action="store_true", help="print tables instead of the chart")
    arguments = flags.parse_args()
    with open(arguments.file, encoding="utf-8") as lines:
        figures = Figures(lines)
    sys.stdout.write(markdown(figures) if arguments.markdown else svg(figures))


if __name__ == "__main__":
    main()
