// Package lsm reads and writes the files that formats.md describes.
//
// A fault of the input or the disk always ends the run. So functions do not
// return it: they panic with a *Failure, which Try recovers.
package lsm

import (
	"errors"
	"fmt"
	"os"
)

// The kinds of failure, as formats.md names them. Damaged stands for a log
// that is refused, which formats.md does not name.
const (
	Short           = "Short"
	BadMagic        = "BadMagic"
	BadType         = "BadType"
	BadTombstone    = "BadTombstone"
	Unsorted        = "Unsorted"
	TrailingBytes   = "TrailingBytes"
	IndexOutOfRange = "IndexOutOfRange"
	BadBlock        = "BadBlock"
	Damaged         = "Damaged"
)

// Failure is the fault that ended a run.
type Failure struct {
	File string
	Kind string // one of the kinds above, or ""
	Text string
}

func (f *Failure) Error() string { return f.File + ": " + f.Text }

// Fail panics with a failure that has no kind.
func Fail(file, format string, args ...any) {
	panic(&Failure{File: file, Text: fmt.Sprintf(format, args...)})
}

func failAt(file string, offset uint64, kind, detail string) {
	panic(&Failure{file, kind, fmt.Sprintf("offset %d: %s: %s", offset, kind, detail)})
}

// Check panics with a failure if err is not nil. It leaves out the file names
// in the errors of package os, which may be those of temporary files.
func Check(file string, err error) {
	var path *os.PathError
	var link *os.LinkError
	switch {
	case err == nil:
	case errors.As(err, &path):
		Fail(file, "%s: %v", path.Op, path.Err)
	case errors.As(err, &link):
		Fail(file, "%s: %v", link.Op, link.Err)
	default:
		Fail(file, "%v", err)
	}
}

// Try calls do and returns the failure that it panics with, or nil.
func Try(do func()) (failure *Failure) {
	defer func() {
		if p := recover(); p != nil {
			var ok bool
			if failure, ok = p.(*Failure); !ok {
				panic(p)
			}
		}
	}()
	do()
	return nil
}
