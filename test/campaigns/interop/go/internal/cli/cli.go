// Package cli holds what the four tools share.
package cli

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"lsmpeer/internal/lsm"
)

const (
	version    = "1.0"
	usageFault = "usage" // the Kind of a failure that the command line caused
	stdoutName = "stdout"
)

// Usage fails with exit status 2.
func Usage(format string, args ...any) {
	panic(&lsm.Failure{File: "usage", Kind: usageFault, Text: fmt.Sprintf(format, args...)})
}

// Main runs a tool and exits with its status.
func Main(tool, help string, run func(args []string, out *bufio.Writer)) {
	occupyStandardFiles()
	signal.Ignore(syscall.SIGPIPE) // a write to a closed pipe then returns an error
	out := bufio.NewWriterSize(stdout{}, 1<<16)
	failure := lsm.Try(func() {
		switch first := append(os.Args, "")[1]; first {
		case "--help":
			fmt.Fprint(out, help)
		case "--version":
			fmt.Fprintln(out, tool, version)
		default:
			run(os.Args[1:], out)
		}
		out.Flush()
	})
	if failure == nil {
		os.Exit(0)
	}
	if failure.File != stdoutName {
		lsm.Try(func() { out.Flush() }) // the output before the failure is part of the answer
	}
	line := strings.NewReplacer("\n", `\n`, "\r", `\r`).Replace(failure.Error())
	fmt.Fprintf(os.Stderr, "%s: %s\n", tool, line)
	if failure.Kind == usageFault {
		os.Exit(2)
	}
	os.Exit(1)
}

// occupyStandardFiles opens /dev/null for each standard file that is closed,
// so that no file opened later gets its descriptor. Standard input is opened
// for writing and the outputs for reading, so that using them is an error.
func occupyStandardFiles() {
	for fd, flag := range []int{os.O_WRONLY, os.O_RDONLY, os.O_RDONLY} {
		var st syscall.Stat_t
		if syscall.Fstat(fd, &st) == syscall.EBADF {
			syscall.Open(os.DevNull, flag, 0)
		}
	}
}

type stdout struct{}

func (stdout) Write(b []byte) (int, error) {
	n, err := os.Stdout.Write(b)
	lsm.Check(stdoutName, err)
	return n, err
}

// Options maps each option to whether a value follows it.
type Options map[string]bool

// Parse splits a command line into operands and options. If keyed is set,
// everything after the path of put, del or get is an operand: a key or a
// value. An option without a value maps to "".
func Parse(args []string, known Options, keyed bool) (operands []string, options map[string]string) {
	options = map[string]string{}
	ended := false
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		if keyed && len(operands) == 2 && strings.Contains(" put del get ", " "+operands[0]+" ") {
			ended = true
		} else if arg == "--" && !ended {
			ended = true
			continue
		}
		if ended || len(arg) < 2 || arg[0] != '-' {
			operands = append(operands, arg)
			continue
		}
		hasValue, isKnown := known[arg]
		if !isKnown {
			Usage("unknown option %s", arg)
		}
		options[arg] = ""
		if hasValue {
			if len(args) == 0 {
				Usage("option %s requires a value", arg)
			}
			options[arg], args = args[0], args[1:]
		}
	}
	return operands, options
}

// CheckCount requires that operands begins with a known command, followed by
// as many operands as it takes.
func CheckCount(operands []string, counts map[string]int) {
	if len(operands) == 0 {
		Usage("no command; see --help")
	}
	count, known := counts[operands[0]]
	if !known {
		Usage("unknown command %s", operands[0])
	}
	if len(operands)-1 != count {
		Usage("%s takes %d operands, not %d", operands[0], count, len(operands)-1)
	}
}

// Number parses a number from least to 2^32-1: decimal digits without a sign.
func Number(text string, least uint64) uint64 {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil || n < least {
		Usage("not a number from %d to %d: %s", least, math.MaxUint32, text)
	}
	return n
}

// PrintAnswer prints the answer to a get.
func PrintAnswer(out io.Writer, e lsm.Entry, found bool) {
	switch {
	case !found:
		fmt.Fprintln(out, "absent")
	case e.Tombstone:
		fmt.Fprintln(out, "tombstone")
	default:
		fmt.Fprintf(out, "value: %x\n", e.Value)
	}
}

// PrintEntries prints one line for each entry.
func PrintEntries(out io.Writer, next lsm.Source) {
	for e, ok := next(); ok; e, ok = next() {
		if e.Tombstone {
			fmt.Fprintf(out, "T %x\n", e.Key)
		} else {
			fmt.Fprintf(out, "V %x %x\n", e.Key, e.Value)
		}
	}
}
