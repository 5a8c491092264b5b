// Package lsm reads and writes the files that formats.md describes.
//
// A fault of the input or the disk always ends the run, so functions do not
// return it: they panic with a *Failure, which Try turns into an error.
package lsm

import (
	"errors"
	"fmt"
	"os"
)

// The names formats.md gives to what can be wrong with a file. Damaged is a
// log that is refused, for which it has no name.
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

// Failure is what ended a run.
type Failure struct {
	File string
	Kind string // one of the names above, or ""
	Text string
}

func (f *Failure) Error() string { return f.File + ": " + f.Text }

// Fail reports a fault that has no name.
func Fail(file, format string, args ...any) {
	panic(&Failure{File: file, Text: fmt.Sprintf(format, args...)})
}

func failAt(file string, offset uint64, kind, detail string) {
	panic(&Failure{file, kind, fmt.Sprintf("offset %d: %s: %s", offset, kind, detail)})
}

// Check fails if there is an error. The file names in the errors of package
// os are left out: they may be temporary ones.
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

// Try returns the failure of do, or nil.
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
