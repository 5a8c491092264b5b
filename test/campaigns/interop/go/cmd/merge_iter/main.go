// merge_iter writes the merge stream of tables to standard output.
package main

import (
	"bufio"

	"lsmpeer/internal/cli"
	"lsmpeer/internal/lsm"
)

const help = "merge_iter [--drop-tombstones] IN1.sst IN2.sst ...\n"

const dropTombstones = "--drop-tombstones"

func main() { cli.Main("merge_iter", help, run) }

func run(args []string, out *bufio.Writer) {
	paths, options := cli.Parse(args, cli.Options{dropTombstones: false}, false)
	if len(paths) == 0 {
		cli.Usage("no input files; see merge_iter --help")
	}
	var sources []lsm.Source
	for _, path := range paths {
		table, _ := cli.OpenTable(path)
		sources = append(sources, table.Entries())
	}
	_, drop := options[dropTombstones]
	lsm.WriteMerge(out, sources, drop)
}
