// sstable builds and prints tables.
package main

import (
	"bufio"
	"fmt"
	"os"

	"lsmpeer/internal/cli"
	"lsmpeer/internal/lsm"
)

const help = `sstable build IN.mt OUT.sst [--block-size BYTES]
sstable footer FILE.sst
sstable get FILE.sst KEY
sstable iter FILE.sst
sstable size FILE.sst
`

const blockSize = "--block-size"

var operandCount = map[string]int{"build": 2, "footer": 1, "get": 2, "iter": 1, "size": 1}

func main() { cli.Main("sstable", help, run) }

func run(args []string, out *bufio.Writer) {
	args, options := cli.Parse(args, cli.Options{blockSize: true}, true)
	cli.CheckCount(args, operandCount)
	command, path := args[0], args[1]
	if len(options) > 0 && command != "build" {
		cli.Usage("%s is an option of build only", blockSize)
	}
	switch command {
	case "build":
		build(path, args[2], options)
	case "footer":
		file, size := cli.OpenToRead(path)
		f := lsm.ReadFooter(path, file, size)
		fmt.Fprintf(out, "index_offset=%d index_size=%d num_blocks=%d magic_ok=%t\n",
			f.IndexOffset, f.IndexSize, f.NumBlocks, f.MagicOK)
	case "get":
		table, _ := cli.OpenTable(path)
		e, found := table.Get(args[2])
		cli.PrintAnswer(out, e, found)
	case "iter":
		table, _ := cli.OpenTable(path)
		cli.PrintEntries(out, table.Entries())
	case "size":
		table, size := cli.OpenTable(path)
		fmt.Fprintf(out, "file_bytes=%d entries=%d num_blocks=%d\n", size, count(table.Entries()), table.NumBlocks())
	}
}

func build(in, out string, options map[string]string) {
	target := uint64(lsm.DefaultTarget)
	if text, given := options[blockSize]; given {
		target = cli.Number(text, 1)
	}
	if sameFile(in, out) {
		cli.Usage("OUT is the same file as IN: %s", out)
	}
	table := lsm.BuildTable(out, cli.LoadDump(in).Sorted(), target)
	cli.ReplaceFile(out, func() []byte { return table })
}

func sameFile(a, b string) bool {
	infoA, errA := os.Stat(a)
	infoB, errB := os.Stat(b)
	return a == b || errA == nil && errB == nil && os.SameFile(infoA, infoB)
}

func count(next lsm.Source) (n int) {
	for _, ok := next(); ok; _, ok = next() {
		n++
	}
	return n
}
