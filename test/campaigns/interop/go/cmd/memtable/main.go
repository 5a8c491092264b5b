// memtable creates, changes and prints MemTable dumps.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"

	"lsmpeer/internal/cli"
	"lsmpeer/internal/lsm"
)

const help = `memtable new PATH
memtable put PATH KEY VALUE
memtable del PATH KEY
memtable get PATH KEY
memtable iter PATH
memtable bulk PATH N
memtable size PATH
`

var operandCount = map[string]int{"new": 1, "put": 3, "del": 2, "get": 2, "iter": 1, "bulk": 2, "size": 1}

func main() { cli.Main("memtable", help, run) }

func run(args []string, out *bufio.Writer) {
	args, _ = cli.Parse(args, nil, true)
	cli.CheckCount(args, operandCount)
	command, path, args := args[0], args[1], args[2:]
	switch command {
	case "new":
		cli.ReplaceFile(path, func() []byte { return lsm.EncodeDump(nil) })
	case "put":
		change(path, lsm.Entry{Key: args[0], Value: args[1]})
	case "del":
		change(path, lsm.Entry{Key: args[0], Tombstone: true})
	case "get":
		e, found := cli.LoadDump(path)[args[0]]
		cli.PrintAnswer(out, e, found)
	case "iter":
		cli.PrintEntries(out, lsm.SliceSource(cli.LoadDump(path).Sorted()))
	case "bulk":
		bulk(path, cli.Number(args[0], 0))
	case "size":
		mem := cli.LoadDump(path)
		fmt.Fprintf(out, "entries=%d size_bytes=%d\n", len(mem), mem.SizeBytes())
	}
}

func change(path string, e lsm.Entry) {
	cli.ReplaceFile(path, func() []byte {
		mem := cli.LoadDump(path)
		mem.Apply(e)
		return lsm.EncodeDump(mem)
	})
}

func bulk(path string, n uint64) {
	cli.ReplaceFile(path, func() []byte {
		mem := lsm.MemTable{}
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			mem = cli.LoadDump(path)
		}
		for i := uint64(0); i < n; i++ {
			mem.Apply(lsm.Entry{Key: fmt.Sprint("key", i), Value: fmt.Sprint("val", i)})
		}
		return lsm.EncodeDump(mem)
	})
}
