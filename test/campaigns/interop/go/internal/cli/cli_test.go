package cli

import (
	"fmt"
	"strings"
	"testing"

	"lsmpeer/internal/lsm"
)

func TestParse(t *testing.T) {
	known := Options{"--size": true, "--flag": false}
	for line, want := range map[string]string{
		"put p --flag -x":       "[put p --flag -x] map[]",
		"put --flag p -- --":    "[put p -- --] map[--flag:]",
		"put -- -p k --help":    "[put -p k --help] map[]",
		"get p --nonsense":      "[get p --nonsense] map[]",
		"build a --size 5 b":    "[build a b] map[--size:5]",
		"--size 5 build a b":    "[build a b] map[--size:5]",
		"build a -- --size b":   "[build a --size b] map[]",
		"build - --size -- a":   "[build - a] map[--size:--]",
		"build a b --size":      "usage",
		"build a b --other":     "usage",
		"build a b -s":          "usage",
		"build a b --size=5":    "usage",
		"put --help p":          "usage",
		"build a b --flag --":   "[build a b] map[--flag:]",
		"build a -- b -- --":    "[build a b -- --] map[]",
		"iter p --flag -- --no": "[iter p --no] map[--flag:]",
	} {
		var got string
		failure := lsm.Try(func() {
			operands, options := Parse(strings.Fields(line), known, true)
			got = fmt.Sprint(operands, " ", options)
		})
		if failure != nil {
			got = failure.Kind
		}
		if got != want {
			t.Errorf("%s: %s, want %s", line, got, want)
		}
	}
	operands, options := Parse([]string{"get", "p", "--flag"}, known, false)
	if fmt.Sprint(operands, options) != "[get p] map[--flag:]" {
		t.Error(operands, options)
	}
}

func TestNumber(t *testing.T) {
	for _, bad := range []string{"", "0", "+1", "-1", " 1", "1 ", "0x1", "1_0", "1e3", "4294967296", "99999999999999999999", "\u0661"} {
		if lsm.Try(func() { Number(bad, 1) }) == nil {
			t.Errorf("%q: accepted", bad)
		}
	}
	if Number("0", 0) != 0 || Number("007", 1) != 7 || Number("4294967295", 1) != 1<<32-1 {
		t.Error("a valid number is misread")
	}
}
